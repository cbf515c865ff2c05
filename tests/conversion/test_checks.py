"""Which models and layers can be converted."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_decorr import fold
from tests.conversion.nets import decorrelate
from tests.helpers import undamped


@pytest.mark.parametrize("convert", [decorrelate, fold])
def test_it_must_be_a_model_that_is_built(convert):
    with pytest.raises(TypeError, match=r"`model` of \w+ must be a keras.Model. Received: <Dense"):
        convert(layers.Dense(3))
    with pytest.raises(ValueError, match=r"Give a Sequential a keras.Input.*not built"):
        convert(keras.Sequential([layers.Dense(3)]))


def test_layers_with_changed_weights_are_refused(rng):
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8, name="quantized"), layers.Dense(8, name="lora")]
    )
    model.add(layers.Dense(2, name="plain"))
    model.get_layer("lora").enable_lora(2)
    model.get_layer("quantized").quantize("int8")
    new = decorrelate(model, undamped(center=False))
    rows = {row.path: row for row in new.conversion_report.rows}
    assert "LoRA" in rows["lora"].reason and "quantized" in rows["quantized"].reason
    x = rng.normal(size=(3, 8)).astype("float32")
    np.testing.assert_allclose(new.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
