"""Why layers stay plain."""

import keras
import pytest
from keras import layers

from keras_decorr.conversion.no_twin import _REASONS, is_leaf, reason_against
from keras_decorr.layers.twin import TWINS
from tests.conversion.nets import assert_same, decorrelate
from tests.helpers import undamped

STEPS = (7, 4)
LEFT = {
    "Embedding": (lambda: layers.Embedding(9, 3), (4,), "lookup"),
    "BatchNormalization": (lambda: layers.BatchNormalization(), (4,), "each feature alone"),
    "PReLU": (lambda: layers.PReLU(), (4,), "each feature alone"),
    "RNN": (lambda: layers.RNN(layers.LSTMCell(2)), STEPS, "loop over the steps"),
    "ConvLSTM1D": (lambda: layers.ConvLSTM1D(2, 3), (3, 5, 2), "loop over the steps"),
    "EinsumDense": (lambda: layers.EinsumDense("abc,bcd->abd", (7, 2)), STEPS, "DecorEinsumDense"),
    "TimeDistributed": (
        lambda: layers.TimeDistributed(layers.BatchNormalization()),
        STEPS,
        "inside is more than one linear map, or none",
    ),
    "SpectralNormalization": (
        lambda: layers.SpectralNormalization(layers.Dense(3)),
        (4,),
        "replaces the kernel",
    ),
    "Scale": (lambda: layers.Attention(use_scale=True), None, "no decorrelating layer is known"),
}


@pytest.mark.parametrize("name", sorted(LEFT))
def test_what_is_left_alone_and_why(name, rng):
    make, shape, reason = LEFT[name]
    layer = make()
    a = keras.Input(shape or STEPS)
    y = layer(a) if shape else layer([a, a])
    model = keras.Model(a, [layers.Flatten()(y), layers.Dense(2, name="head")(layers.Flatten()(a))])
    new = decorrelate(model)
    rows = {row.path: row for row in new.conversion_report.rows}
    assert set(rows) == {"head", layer.name}
    assert rows["head"].converted and not rows[layer.name].converted
    assert reason in rows[layer.name].reason
    assert rows[layer.name].into is None
    assert reason.split()[0] in str(new.conversion_report)
    assert_same(new, model, rng.integers(0, 2, (3, *a.shape[1:])).astype("float32"))


def test_a_gradient_does_not_reach_into_a_recurrent_loop():
    model = keras.Sequential([keras.Input(STEPS), layers.LSTM(3), layers.Dense(2)])
    new = decorrelate(model, undamped(acts_on="gradient"))
    (row,) = new.conversion_report.left
    assert row.type == "LSTM" and "acts_on='gradient'" in row.reason


class Doubled(layers.Dense):
    pass


def test_a_subclass_of_a_keras_layer_is_not_taken_for_it():
    reason = reason_against(Doubled(3))
    assert "Doubled is a subclass of Dense" in reason and "conversion.register" in reason
    model = keras.Sequential([keras.Input((6,)), Doubled(4, name="mine"), layers.Dense(2)])
    row, other = decorrelate(model).conversion_report.rows
    assert not row.converted and row.reason == reason and other.converted


def test_quantized_layers_stay_as_they_are(rng):
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8, name="quantized"), layers.Dense(2, name="plain")]
    )
    model.get_layer("quantized").quantize("int8")
    new = decorrelate(model)
    rows = {row.path: row for row in new.conversion_report.rows}
    assert "quantized" in rows["quantized"].reason and rows["plain"].converted
    assert_same(new, model, rng.normal(size=(3, 8)).astype("float32"))


class Unused(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.used, self.unused = layers.Dense(3), layers.Dense(3)

    def call(self, x):
        return self.used(x)


def test_a_layer_that_is_never_called_has_no_row():
    layer = Unused()
    model = keras.Sequential([keras.Input((6,)), layer])
    assert reason_against(layer.unused).startswith("not built")
    assert [row.path.split("/")[1] for row in decorrelate(model).conversion_report.rows] == [
        layer.used.name
    ]


class WithWeights(Unused):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")
        self.used.build(input_shape)

    def call(self, x):
        return self.scale * self.used(x)


def test_weights_of_an_owner_have_a_row_beside_the_layers_inside():
    model = keras.Sequential([keras.Input((6,)), WithWeights(name="owner")])
    own, used = decorrelate(model).conversion_report.rows
    assert own.path == "owner" and "weights beside those of the layers inside it" in own.reason
    assert used.converted


def test_leaves():
    owner = Unused()
    assert not is_leaf(owner) and is_leaf(owner.used)
    assert is_leaf(layers.RNN(layers.LSTMCell(2))) and is_leaf(layers.TimeDistributed(owner.used))
    assert not is_leaf(layers.Bidirectional(layers.LSTM(2)))


def test_every_layer_type_of_keras_with_a_kernel_is_known():
    names = ["Dense", "EinsumDense", "MultiHeadAttention", "GroupQueryAttention", "TimeDistributed"]
    names += ["Embedding", "ReversibleEmbedding", "LSTM", "GRU", "SimpleRNN", "RNN"]
    names += [n for n in dir(layers) if "Conv" in n and isinstance(getattr(layers, n), type)]
    for name in names:
        cls = getattr(layers, name)
        assert cls in TWINS or issubclass(cls, tuple(_REASONS)), name
