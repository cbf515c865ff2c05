"""Models that decorrelate: functional, sequential, subclassed, and functional by their `__init__`."""

import keras

import keras_decorr
from keras_decorr.backend import keras_internals
from keras_decorr.layers import DecorDense
from keras_decorr.training.step import DecorrelationStep
from tests.helpers import EAGERLY, whole_batches
from tests.training.nets import Subclassed, compiled, data, decorrelator, layers, sequential, steps


def test_functional_and_subclassed_models(rng):
    x, y = data(rng, whole_batches(40, 16))
    inputs = keras.Input((6, 6, 2))
    outputs = inputs
    for layer in layers()[1:]:
        outputs = layer(outputs)
    functional = keras_decorr.Model(inputs, outputs)
    assert isinstance(functional, keras_decorr.Model)
    for model in (functional, Subclassed()):
        logs = compiled(model).fit(x, y, batch_size=16, epochs=2, verbose=0).history
        assert steps(model) == [6, 6]
        assert all(0 < value < 1 for value in logs["decorrelation_loss"])
        assert logs["skipped_updates"] == [0.0, 0.0]


class OfOneLayer(keras_decorr.Model):
    """As Keras allows it: functional by its own `__init__`."""

    def __init__(self, units=3):
        inputs = keras.Input((6, 6, 2))
        outputs = DecorDense(units, decorrelator=decorrelator())(keras.layers.Flatten()(inputs))
        super().__init__(inputs=inputs, outputs=outputs)


class OfItsOwnKind(OfOneLayer):
    def __init__(self):
        super().__init__(units=4)


def test_a_subclass_that_is_functional_by_its_init_leaves_the_others_alone(rng):
    x, y = data(rng, 20)
    for cls in (OfItsOwnKind, OfOneLayer, OfOneLayer):
        model = cls()
        assert isinstance(model, cls) and [layer.name for layer in model.layers]
        assert "decorrelation_loss" in compiled(model, **EAGERLY).fit(x, y, verbose=0).history
        assert [int(layer.steps) for layer in model.decorrelation_layers] == [1]
    for model in (sequential(), Subclassed(), OfOneLayer()):
        assert compiled(model, **EAGERLY).fit(x, y, verbose=0).history["decorrelation_loss"]
    for base in (keras_decorr.Model, DecorrelationStep, keras.Model):
        assert not issubclass(base, keras_internals.Functional)
