"""What an optimizer excludes from weight decay, in a converted model."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops

from keras_decorr import fold
from tests.conversion.nets import decorrelate
from tests.helpers import undamped


def no_gradients():
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("how", ["names", "variables"])
def test_what_is_spared_from_weight_decay_stays_so(how, wrapped):
    i = keras.Input((5, 6))
    y = keras.layers.SeparableConv1D(6, 2, use_bias=False)(i)
    y = keras.Sequential([keras.layers.Dense(6), keras.layers.LayerNormalization()])(y)
    model = keras.Model(i, keras.layers.Dense(1)(y))
    inner = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    if how == "names":
        inner.exclude_from_weight_decay(var_names=["bias", "depthwise"])
    else:
        inner.exclude_from_weight_decay([model.layers[1].weights[0], *model.layers[2].weights])
    model.compile(keras.optimizers.LossScaleOptimizer(inner) if wrapped else inner, "mse")

    def spared(model):
        """The weights that a step with a gradient of zero leaves as they are."""
        weights = model.trainable_weights
        # Not the wrapper, which JAX cannot run outside of a compiled step.
        optimizer = model.optimizer.inner_optimizer if wrapped else model.optimizer
        for v in weights:
            v.assign(ops.ones(v.shape))
        with no_gradients():
            optimizer.apply([ops.zeros(v.shape) for v in weights], weights)
        weights = [v for v in weights if np.all(ops.convert_to_numpy(v) == 1.0)]
        return sorted((v.name.removeprefix("depthwise_"), tuple(v.shape)) for v in weights)

    decorrelated = decorrelate(model, undamped(center=how == "names"))
    assert spared(decorrelated) == spared(model)
    folded = fold(decorrelated)
    new = [("bias", (6,))] if how == "names" else []  # it takes the mean
    assert spared(folded) == sorted(spared(model) + new)
