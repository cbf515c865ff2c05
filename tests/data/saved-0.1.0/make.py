"""Models as keras-decorr 0.1.0 saved them, so that later versions can be tested to load them.

Run with keras-decorr 0.1.0 installed (the files here: Keras 3.15.1, TensorFlow 2.21.0); writes files
beside itself:

    KERAS_BACKEND=tensorflow python make.py [NAME ...]

Without names it makes every case. Each is a small model after a few training steps, in two files:

    NAME.keras    the saved model
    NAME.npz      x             the inputs of a few samples; x0, x1, ... if there are several
                  y             what the model predicts for them, float32
                  layers        the path of every `Decorrelation`: names of what it is in, and its own
                  LAYER/...     of each of them: matrix_0, matrix_1, ... (the weights of every stage);
                                memory_0_0, ... (of every stage, what the rule keeps beside them);
                                moving_mean (if it centres); rate; steps; skipped_updates
                  optimizer/0, ...         the variables of the optimizer
                  learning_rule/...        what the learning rule keeps, as it is saved

`dense.weights.h5` holds the weights of the model `dense` alone; `dense()` makes one to load it into.
A decorrelator is given a rate at which M is far from the identity after these steps.
"""

import sys
import zlib
from pathlib import Path

import keras
import numpy as np
from keras import ops

import keras_decorr
from keras_decorr.decorrelators import ZCA, DecorrelatedBackprop, Foldiak, NormPreserving, Recurrent
from keras_decorr.layers import (
    DecorConv1D,
    DecorConv1DTranspose,
    DecorConv2D,
    DecorConv2DTranspose,
    DecorConv3D,
    DecorConv3DTranspose,
    DecorDense,
    DecorDepthwiseConv1D,
    DecorDepthwiseConv2D,
    DecorEinsumDense,
    DecorGroupQueryAttention,
    DecorMultiHeadAttention,
    Decorrelation,
    DecorRNN,
    DecorSeparableConv1D,
    DecorSeparableConv2D,
)
from keras_decorr.layers.walk import walk
from keras_decorr.models.position_embedding import PositionEmbedding
from keras_decorr.rules import FeedbackAlignment

HERE = Path(__file__).parent
RATE, BATCH, STEPS, SAMPLES = 2e-2, 16, 10, 4

CASES = {}


def case(build):
    """Enter a function that makes a model among the cases, by its name."""
    CASES[build.__name__] = build
    return build


def norm_preserving(**kwargs):
    return NormPreserving(RATE, **kwargs)


def wide():
    """Weights of a size with which a depthwise convolution does not shrink what it gets."""
    return keras.initializers.RandomNormal(stddev=0.5)


def compiled(model, learning_rule=None):
    """The model, with an optimizer that keeps a state."""
    rule = {} if learning_rule is None else {"learning_rule": learning_rule}
    model.compile(keras.optimizers.Adam(1e-2), "mean_squared_error", **rule)
    return model


# --- layers -----------------------------------------------------------------------------------


@case
def dense():
    """All by default, but for the rate, which is set afterwards."""
    model = keras_decorr.Sequential(
        [
            keras.Input((12,)),
            DecorDense(9, activation="leaky_relu"),
            DecorDense(8, activation="tanh", use_bias=False),
            DecorDense(3),
        ]
    )
    model.decorrelation_rate = RATE
    return model


@case
def dense_in_a_keras_model():
    """M moves at each call in training."""
    inputs = keras.Input((10,))
    x = DecorDense(8, activation="leaky_relu", decorrelator=norm_preserving())(inputs)
    return compiled(keras.Model(inputs, DecorDense(3, decorrelator=norm_preserving())(x)))


@case
def conv():
    rule = norm_preserving()
    inputs = keras.Input((6, 6, 2))
    x = DecorConv2D(4, 3, strides=2, padding="same", activation="leaky_relu", decorrelator=rule)(
        inputs
    )
    x = DecorDepthwiseConv2D(
        2, depth_multiplier=2, padding="same", depthwise_initializer=wide(), decorrelator=rule
    )(x)
    x = DecorSeparableConv2D(
        5,
        2,
        padding="same",
        activation="leaky_relu",
        depthwise_initializer=wide(),
        pointwise_initializer="he_normal",
        decorrelator=rule,
    )(x)
    x = DecorConv2DTranspose(
        3, 3, strides=2, use_bias=False, kernel_initializer="he_normal", decorrelator=rule
    )(x)
    return keras_decorr.Model(inputs, keras.layers.GlobalMaxPooling2D()(x))


@case
def conv_grouped():
    rule = norm_preserving()
    inputs = keras.Input((6, 6, 4))
    x = DecorConv2D(8, 3, groups=2, strides=2, activation="leaky_relu", decorrelator=rule)(inputs)
    over_channels = norm_preserving(structure="channel")
    x = DecorConv2D(4, 2, groups=4, decorrelator=over_channels)(x)
    return keras_decorr.Model(inputs, keras.layers.Flatten()(x))


@case
def conv_1d():
    rule = norm_preserving()
    layers = [
        keras.Input((8, 3)),
        DecorConv1D(
            4, 3, padding="causal", dilation_rate=2, activation="leaky_relu", decorrelator=rule
        ),
        DecorDepthwiseConv1D(2, depthwise_initializer=wide(), decorrelator=rule),
        DecorSeparableConv1D(4, 2, depthwise_initializer=wide(), decorrelator=rule),
        DecorConv1DTranspose(3, 2, decorrelator=rule),
        keras.layers.GlobalMaxPooling1D(),
    ]
    return keras_decorr.Sequential(layers)


@case
def conv_3d():
    rule = norm_preserving()
    layers = [
        keras.Input((4, 4, 4, 2)),
        DecorConv3D(3, 2, strides=2, activation="leaky_relu", decorrelator=rule),
        DecorConv3DTranspose(2, 2, decorrelator=rule),
        keras.layers.GlobalMaxPooling3D(),
    ]
    return keras_decorr.Sequential(layers)


@case
def attention():
    """Two inputs: queries, and values of another width."""
    rule = norm_preserving()
    queries, values = keras.Input((5, 8)), keras.Input((4, 6))
    x = PositionEmbedding()(queries)
    x = DecorMultiHeadAttention(2, 4, value_dim=3, decorrelator=rule)(x, values)
    return keras_decorr.Model([queries, values], keras.layers.GlobalMaxPooling1D()(x))


@case
def attention_group_query():
    inputs = keras.Input((5, 8))
    attend = DecorGroupQueryAttention(4, 4, 2, use_bias=False, decorrelator=norm_preserving())
    x = attend(inputs, inputs)
    return keras_decorr.Model(inputs, keras.layers.GlobalMaxPooling1D()(x))


@case
def einsum_dense():
    rule = norm_preserving()
    layers = [
        keras.Input((4, 6)),
        DecorEinsumDense("abc,cde->abde", (4, 2, 5), "leaky_relu", "de", decorrelator=rule),
        DecorEinsumDense("abde,def->abf", (4, 4), activation="leaky_relu", decorrelator=rule),
        DecorEinsumDense("abf,bfg->ag", 3, bias_axes="g", decorrelator=rule),
    ]
    return keras_decorr.Sequential(layers)


@case
def rnn():
    rule = norm_preserving()
    inputs = keras.Input((5, 6))
    x = DecorRNN(keras.layers.LSTM(5, return_sequences=True), rule)(inputs)
    outputs = [
        keras.layers.GlobalMaxPooling1D()(x),
        DecorRNN(keras.layers.GRU(4, go_backwards=True), rule)(inputs),
        DecorRNN(keras.layers.SimpleRNN(3), rule)(inputs),
    ]
    return keras_decorr.Model(inputs, keras.layers.Concatenate()(outputs))


@case
def decorrelation():
    """The layer by itself, also over steps, and before a layer that has no twin."""
    layers = [
        keras.Input((5, 6)),
        Decorrelation(norm_preserving()),
        keras.layers.Bidirectional(keras.layers.LSTM(4)),
        Decorrelation(NormPreserving(0.2, structure="full")),
        keras.layers.Dense(3),
    ]
    return keras_decorr.Sequential(layers)


@case
def frozen_and_plain():
    """A layer that is frozen once it has learned, and some without a decorrelator."""
    rule = norm_preserving()
    inputs = keras.Input((6, 6, 2))
    x = DecorConv2D(3, 3, strides=2, decorrelator=None)(inputs)
    x = keras.layers.Flatten()(x)
    x = DecorDense(8, activation="leaky_relu", decorrelator=rule, name="to_be_frozen")(x)
    x = Decorrelation(None)(x)
    x = DecorDense(6, decorrelator=None)(x)
    return keras_decorr.Model(inputs, DecorDense(3, decorrelator=rule)(x))


@case
def mixed_bfloat16():
    rule, policy = norm_preserving(), "mixed_bfloat16"
    layers = [
        keras.Input((6, 6, 2)),
        DecorConv2D(3, 3, strides=2, activation="leaky_relu", decorrelator=rule, dtype=policy),
        keras.layers.Flatten(dtype=policy),
        DecorDense(8, activation="leaky_relu", decorrelator=rule, dtype=policy),
        DecorDense(3, decorrelator=rule, dtype=policy),
    ]
    return keras_decorr.Sequential(layers)


# --- models -----------------------------------------------------------------------------------


@case
def nested():
    """Models in a model, one of them used twice, and a layer that is used twice."""
    rule = norm_preserving()
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    inner = [keras.Input((6,)), DecorDense(7, activation="leaky_relu", decorrelator=rule)]
    twice = keras_decorr.Sequential(
        [*inner, DecorDense(5, activation="tanh", decorrelator=rule)], name="twice"
    )
    inputs = keras.Input((10,))
    outputs = DecorDense(4, activation="tanh", decorrelator=rule)(inputs)
    plain = keras.Model(inputs, outputs, name="plain")
    shared = DecorDense(4, decorrelator=rule, name="shared")
    x = plain(keras.layers.Concatenate()([twice(left), twice(right)]))
    return keras_decorr.Model([left, right], shared(shared(x)))


@case
def converted_functional():
    """With steps that a mask leaves out."""
    tokens, images = keras.Input((5,), dtype="int32"), keras.Input((6, 6, 2))
    x = keras.layers.Embedding(10, 6, wide(), mask_zero=True)(tokens)
    x = keras.layers.TimeDistributed(keras.layers.Dense(6, "leaky_relu"))(x)
    x = keras.layers.LSTM(4)(x)
    y = keras.layers.Conv2D(4, 3, strides=2, activation="leaky_relu")(images)
    y = keras.layers.BatchNormalization()(y)
    inner = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(5, "leaky_relu")], name="inner"
    )
    y = inner(keras.layers.Flatten()(y))
    outputs = keras.layers.Dense(3)(keras.layers.Concatenate()([x, y]))
    plain = keras.Model([tokens, images], outputs, name="plain")
    return keras_decorr.decorrelate(plain, norm_preserving())


@case
def converted_sequential():
    """Where a wide layer gets another structure, and one is left out."""
    layers = [
        keras.Input((8, 3)),
        keras.layers.Conv1D(4, 3, activation="leaky_relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="leaky_relu"),
        keras.layers.Dense(6, activation="leaky_relu", name="left_out"),
        keras.layers.Dense(3),
    ]
    return keras_decorr.decorrelate(
        keras.Sequential(layers),
        norm_preserving(structure="full", groups=4),
        exclude="left_out",
        max_features=16,
        above="block_diagonal",
    )


@keras.saving.register_keras_serializable("saved_0_1_0")
class Block(keras.layers.Layer):
    """Of a class that makes its layers: in an attribute, a list and a dictionary, one of them twice."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.first = keras.layers.Dense(width, "leaky_relu")
        self.rest = [keras.layers.Dense(width, "leaky_relu") for _ in range(2)]
        self.by_name = {"last": keras.layers.Dense(width), "again": self.first}

    def build(self, input_shape):
        for layer in (self.first, *self.rest, self.by_name["last"]):
            layer.build((None, self.width))
        self.built = True

    def call(self, inputs):
        x = self.first(self.first(inputs))
        for layer in self.rest:
            x = x + layer(x)
        return self.by_name["last"](x)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@case
def converted_class():
    """Inside a layer of a user's class."""
    inputs = keras.Input((6,))
    outputs = keras.layers.Dense(3)(Block(6, name="block")(inputs))
    return keras_decorr.decorrelate(keras.Model(inputs, outputs, name="plain"), norm_preserving())


# --- structures -------------------------------------------------------------------------------


def of_structure(structure, **kwargs):
    """18 features in the convolution, 36 and 10 in the dense layers."""
    rule = norm_preserving(structure=structure, **kwargs)
    layers = [
        keras.Input((6, 6, 2)),
        DecorConv2D(4, 3, strides=2, padding="same", activation="leaky_relu", decorrelator=rule),
        keras.layers.Flatten(),
        DecorDense(10, activation="leaky_relu", decorrelator=rule),
        DecorDense(3, decorrelator=rule),
    ]
    return keras_decorr.Sequential(layers)


@case
def structure_full():
    return of_structure("full")


@case
def structure_block_diagonal():
    return of_structure("block_diagonal", groups=4)


@case
def structure_monarch():
    return of_structure("monarch", groups=4)


@case
def structure_low_rank():
    return of_structure("low_rank", rank=3)


def with_separable(rule):
    layers = [
        keras.Input((6, 6, 2)),
        DecorConv2D(
            16, 2, activation="leaky_relu", kernel_initializer="he_normal", decorrelator=rule
        ),
        DecorSeparableConv2D(
            4,
            2,
            strides=2,
            activation="leaky_relu",
            depthwise_initializer=wide(),
            pointwise_initializer="he_normal",
            decorrelator=rule,
        ),
        keras.layers.Flatten(),
        DecorDense(10, activation="leaky_relu", decorrelator=rule),
        DecorDense(3, decorrelator=rule),
    ]
    return keras_decorr.Sequential(layers)


@case
def structure_channel():
    return with_separable(norm_preserving(structure="channel"))


@case
def structure_auto():
    return with_separable(norm_preserving(structure="auto"))


# --- decorrelation rules ----------------------------------------------------------------------


def by_rule(rule, of_dense=None):
    layers = [
        keras.Input((6, 6, 2)),
        DecorConv2D(4, 3, strides=2, activation="leaky_relu", decorrelator=rule),
        keras.layers.Flatten(),
        DecorDense(3, decorrelator=of_dense or rule),
    ]
    return keras_decorr.Sequential(layers)


@case
def rule_norm_preserving():
    rule = NormPreserving(
        RATE,
        preserve="raw",
        gain_rate=1.0,
        sample_fraction=0.5,
        max_samples=20,
        update_every=2,
        center=False,
        momentum=0.8,
    )
    return by_rule(rule)


@case
def rule_decorrelated_backprop():
    return by_rule(DecorrelatedBackprop(0.3, learning_rate=RATE))


@case
def rule_recurrent():
    return by_rule(Recurrent(RATE, gain_rate=0.5, steps=200, tolerance=1e-6, structure="full"))


@case
def rule_zca():
    """One layer by each of the methods."""
    eigh = ZCA(0.1, method="eigh", epsilon=1e-2, structure="full", update_every=2)
    return by_rule(ZCA(0.1, groups=4), eigh)


@case
def rule_foldiak():
    return by_rule(Foldiak(RATE, structure="block_diagonal", groups=2))


@case
def schedule():
    return by_rule(NormPreserving(keras.optimizers.schedules.ExponentialDecay(RATE, 3, 0.9)))


# --- learning rules ---------------------------------------------------------------------------


def classifier(learning_rule):
    layers = [
        keras.Input((6, 6, 2)),
        DecorConv2D(3, 3, strides=2, activation="leaky_relu", decorrelator=norm_preserving()),
        keras.layers.Flatten(),
        DecorDense(8, activation="leaky_relu", decorrelator=norm_preserving()),
        DecorDense(3, activation="softmax", decorrelator=norm_preserving()),
    ]
    return compiled(keras_decorr.Sequential(layers), learning_rule)


@case
def learning_backprop():
    """The rule by default, by name."""
    return classifier("backprop")


@case
def learning_feedback_alignment():
    return classifier("feedback_alignment")


@case
def learning_kolen_pollack():
    """Feedback that learns, too."""
    return classifier(FeedbackAlignment("kolen_pollack", feedback_scale=0.5, seed=3))


@case
def learning_direct_feedback_alignment():
    return classifier("direct_feedback_alignment")


@case
def learning_node_perturbation():
    return classifier("node_perturbation")


# --- training, and what is written ------------------------------------------------------------


def inputs_for(tensor, rows, rng):
    """Correlated inputs with a mean, or numbers of tokens of which 0 is none."""
    shape = tensor.shape[1:]
    if "int" in tensor.dtype:
        return rng.integers(0, 10, (rows, *shape)).astype(tensor.dtype)
    n = int(np.prod(shape))
    mixed = rng.normal(size=(rows, n)) @ rng.normal(size=(n, n)) / np.sqrt(n)
    return (2.0 * mixed + 0.5).reshape(rows, *shape).astype("float32")


def train(model, rng):
    if not model.compiled:
        model.compile(keras.optimizers.SGD(1e-2), "mean_squared_error")
    rows = BATCH * STEPS
    x = [inputs_for(tensor, rows, rng) for tensor in model.inputs]
    shape = (rows, *model.output_shape[1:])
    y = rng.normal(size=shape).astype("float32")
    x = x if len(x) > 1 else x[0]
    model.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)


def numpy(value):
    return np.array(ops.convert_to_numpy(value))


def state_of(layer):
    """What a `Decorrelation` keeps, by name."""
    state = {f"matrix_{stage}": M for stage, M in enumerate(layer.matrices)}
    for stage, memory in enumerate(layer.memory):
        state |= {f"memory_{stage}_{i}": value for i, value in enumerate(memory)}
    if layer.decorrelator.center:
        state["moving_mean"] = layer.moving_mean
    return {
        **state,
        "rate": layer.rate,
        "steps": layer.steps,
        "skipped_updates": layer.skipped_updates,
    }


def arrays_of(model, rng):
    """What `NAME.npz` holds."""
    x = [inputs_for(tensor, SAMPLES, rng) for tensor in model.inputs]
    y = model(x if len(x) > 1 else x[0], training=False)
    arrays = {"x": x[0]} if len(x) == 1 else {f"x{i}": value for i, value in enumerate(x)}
    arrays["y"] = numpy(ops.cast(y, "float32"))
    paths = {}
    for place in walk(model):
        layer = place.layer
        if isinstance(layer, Decorrelation) and layer.decorrelator is not None:
            paths.setdefault(id(layer), (place.path, layer))
    arrays["layers"] = np.array([path for path, _ in paths.values()])
    for path, layer in paths.values():
        arrays |= {f"{path}/{key}": numpy(value) for key, value in state_of(layer).items()}
    for i, variable in enumerate(model.optimizer.variables):
        arrays[f"optimizer/{i}"] = numpy(variable)
    learning_rule = {}
    if getattr(model, "learning_rule_state", None) is not None:
        model.learning_rule_state.save_own_variables(learning_rule)
    arrays |= {f"learning_rule/{key}": numpy(value) for key, value in learning_rule.items()}
    return arrays


def make(name):
    keras.utils.clear_session()
    seed = zlib.crc32(name.encode())
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = CASES[name]()
    train(model, rng)
    if name == "frozen_and_plain":
        model.get_layer("to_be_frozen").trainable = False
        train(model, rng)
    if name == "schedule":
        for layer in model.decorrelation_layers:
            layer.decorrelator.scale_rate(0.5)
    model.save(HERE / f"{name}.keras")
    np.savez_compressed(HERE / f"{name}.npz", **arrays_of(model, rng))
    if name == "dense":
        model.save_weights(HERE / "dense.weights.h5")


def main():
    if keras_decorr.__version__ != "0.1.0":
        raise SystemExit(f"keras-decorr 0.1.0 is needed. Found: {keras_decorr.__version__}")
    for name in sys.argv[1:] or CASES:
        make(name)
        sizes = [(HERE / f"{name}.{kind}").stat().st_size for kind in ("keras", "npz")]
        print(f"{name}: {sizes[0]} + {sizes[1]} bytes", flush=True)


if __name__ == "__main__":
    main()
