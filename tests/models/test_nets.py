"""What the ready-made nets have in common."""

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr import models
from keras_decorr.rules import RULES
from keras_decorr.training import decorrelation_layers
from tests.helpers import few_of, undamped


@pytest.mark.parametrize(("net", "hidden"), [("dense_net", (8, 8)), ("conv_net", 8)])
@pytest.mark.parametrize("shape", [(8, 8, 1), (12, 7, 3)])
@pytest.mark.parametrize("decorrelator", [None, "norm_preserving", undamped(1e-3)])
def test_any_input_shape_and_number_of_classes(net, hidden, shape, decorrelator, rng):
    model = getattr(models, net)(shape, 5, decorrelator=decorrelator, hidden=hidden)
    assert isinstance(model, keras_decorr.Sequential) == (decorrelator is not None)
    probabilities = model.predict(rng.normal(size=(3, *shape)).astype("float32"), verbose=0)
    np.testing.assert_allclose(probabilities.sum(-1), np.ones(3), rtol=1e-5)
    if decorrelator is None:
        assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


@pytest.mark.parametrize(
    ("net", "of", "size"),
    [
        ("dense_net", ((8, 8, 1), 10), {"hidden": (16, 16)}),
        ("conv_net", ((8, 8, 1), 10), {"hidden": 16}),
        ("resnet18", ((8, 8, 1), 10), {"width": 6}),
        ("vit", ((8, 8, 1), 10), {"width": 6}),
        ("gpt", (8, 10), {"width": 8}),
    ],
)
def test_the_same_seed_gives_the_same_weights_with_and_without_decorrelation(net, of, size):
    weights = []
    for arguments in (
        {"decorrelator": None},
        {"decorrelator": None, "for_any_rule": True},
        {"decorrelator": "norm_preserving"},
    ):
        keras.utils.set_random_seed(3)
        model = getattr(models, net)(*of, **size, **arguments)
        weights.append([keras.ops.convert_to_numpy(w) for w in model.trainable_weights])
    for other in weights[1:]:
        for a, b in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("net", "hidden"), [("dense_net", (8, 8)), ("conv_net", 8)])
@pytest.mark.parametrize("rule", few_of(RULES, "feedback_alignment".__eq__))
def test_a_net_for_any_rule_learns_by_any_rule_without_decorrelation(net, hidden, rule, rng):
    model = getattr(models, net)(
        (8, 8, 1), 3, None, hidden=hidden, classifier_activation=None, for_any_rule=True
    )
    assert not decorrelation_layers(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, learning_rule=rule)
    x, y = rng.normal(size=(4, 8, 8, 1)).astype("float32"), np.arange(4) % 3
    assert np.isfinite(model.train_on_batch(x, y, return_dict=True)["loss"])
