"""Models as users write them: each is converted, trains, is saved and loaded, and folds."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_decorr
from keras_decorr import fold
from keras_decorr.layers import DecorDense
from tests.conversion.nets import (
    assert_same,
    decorrelate,
    differs,
    disturb,
    numpy,
    outputs,
    reloaded,
    round_trip,
    steps,
)
from tests.helpers import EAGERLY, undamped

register = keras.saving.register_keras_serializable(package="tests.users")


@pytest.fixture
def x(rng):
    return rng.normal(size=(4, 6)).astype("float32")


def named(model):
    """The last part of the path of what was converted."""
    return [row.path.split("/")[-1] for row in model.conversion_report.converted]


def check(model, x, rng, folder, expected, *classes):
    """A round trip, one step of training, and files of both models."""
    new, _ = round_trip(model, x, rng)
    assert sorted(named(new)) == sorted(expected)
    new.compile("sgd", "mse", **EAGERLY)
    new.fit(x, keras.tree.map_structure(lambda y: np.zeros(y.shape), new(x)), verbose=0)
    assert set(steps(new)) == {1}
    again = reloaded(new, folder, *classes)
    assert_same(again, new, x)
    assert steps(again) == steps(new)
    folded = fold(new)
    assert_same(folded, new, x, 1e-4)
    assert_same(reloaded(folded, folder, *classes), new, x, 1e-4)
    return new


# --- where a class keeps its layers ---------------------------------------------------------------


def dense(name, units=6):
    return layers.Dense(units, name=name)


class Home(layers.Layer):
    """Two layers, `a` and `b`; a subclass says where."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.make()

    def make(self):
        raise NotImplementedError

    def parts(self):
        raise NotImplementedError

    def build(self, input_shape):
        for part in self.parts():
            if not part.built:
                part.build(input_shape)

    def call(self, x):
        for part in self.parts():
            x = ops.tanh(part(x))
        return x


class BehindSelf(Home):
    """../shared/cases/models/06: TensorFlow does not track names that begin so."""

    def make(self):
        self._self_a, self._self_b = dense("a"), dense("b")

    def parts(self):
        return self._self_a, self._self_b


class Private(Home):
    def make(self):
        self.__a, self._b = dense("a"), dense("b")

    def parts(self):
        return self.__a, self._b


class WithNamesOfOurs(Home):
    def make(self):
        self.layer, self.decorrelation = dense("a"), dense("b")
        self.twin, self.features, self.plain_layers = "mine", 3, ["mine"]

    def parts(self):
        assert (self.twin, self.features, self.plain_layers) == ("mine", 3, ["mine"])
        return self.layer, self.decorrelation


class InDictionary(Home):
    def make(self):
        self.of = {"one": dense("a"), "two": {"three": dense("b")}}

    def parts(self):
        return self.of["one"], self.of["two"]["three"]


class InTuple(Home):
    def make(self):
        self.of = (dense("a"), 3, (dense("b"),))

    def parts(self):
        return self.of[0], self.of[2][0]


class InNestedLists(Home):
    def make(self):
        self.of = [[dense("a")], [[], [dense("b"), None]]]

    def parts(self):
        return self.of[0][0], self.of[1][1][0]


class Shared(Home):
    def make(self):
        self.one = self.other = dense("a")
        self.again = [self.one, dense("b")]

    def parts(self):
        return self.one, self.other, *self.again


class InBuild(Home):
    def make(self):
        self.made = None

    def parts(self):
        return self.made

    def build(self, input_shape):
        self.made = [dense("a"), dense("b")]
        super().build(input_shape)


class AtTheFirstCall(Home):
    def make(self):
        self.made = None

    def parts(self):
        if self.made is None:
            self.made = [dense("a"), dense("b")]
        return self.made


class InModels(Home):
    def make(self):
        i = keras.Input((6,))
        self.functional = keras.Model(i, dense("a")(i))
        self.sequential = keras.Sequential([dense("b"), layers.Dropout(0.5)])

    def parts(self):
        return self.functional, self.sequential


class InOurs(Home):
    """One of our models, with plain layers, in a class of one's own."""

    def make(self):
        self.ours = keras_decorr.Sequential([keras.Input((6,)), dense("a")])
        self.b = dense("b")

    def parts(self):
        return self.ours, self.b


HOMES = [
    BehindSelf, Private, WithNamesOfOurs, InDictionary, InTuple, InNestedLists, Shared, InBuild,
    AtTheFirstCall, InModels, InOurs,
]  # fmt: skip


@pytest.mark.parametrize("cls", HOMES)
def test_wherever_a_class_keeps_its_layers(cls, x, rng, tmp_path):
    i = keras.Input((6,))
    model = keras.Model(i, dense("head", 2)(cls(name="home")(i)))
    new = check(model, x, rng, tmp_path, ["a", "b", "head"], cls)
    assert isinstance(new.get_layer("home"), cls)
    parts = new.get_layer("home")._flatten_layers(include_self=False)
    assert sum(type(part) is DecorDense for part in parts) == 2


@register
class OfSequences(layers.Layer):
    """Layers of Keras with layers inside, in a layer of one's own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.both = layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="lstm"))
        self.steps = layers.TimeDistributed(dense("inner"), name="steps")
        self.attention = layers.MultiHeadAttention(2, 3, name="attention")

    def build(self, shape):
        self.both.build(shape)
        shape = (*shape[:-1], 6)
        self.steps.build(shape)
        self.attention.build(shape, shape)

    def call(self, x):
        x = self.steps(self.both(x))
        return x + self.attention(x, x)


def test_layers_of_keras_with_layers_inside(rng, tmp_path):
    model = keras.Sequential([keras.Input((5, 4)), OfSequences()])
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    check(model, x, rng, tmp_path, ["forward_lstm", "backward_lstm", "steps", "attention"])


@register
class OwnStack(keras.Model):
    """A model in a model, both of a class of their own, and one of Keras between."""

    def __init__(self, depth=2, **kwargs):
        super().__init__(**kwargs)
        self.depth = depth
        self.lower = OwnStack(depth - 1) if depth else dense("lowest")
        self.between = keras.Sequential([dense("between"), layers.LayerNormalization()])

    def call(self, x, training=None):
        return self.between(self.lower(x), training=training)

    def get_config(self):
        return {**super().get_config(), "depth": self.depth}


def test_models_of_own_classes_in_each_other(x, rng, tmp_path):
    model = OwnStack()
    model(x)
    check(model, x, rng, tmp_path, ["between"] * 3 + ["lowest"])


@pytest.mark.parametrize("inplace", [False, True])
def test_the_methods_of_nested_models_go_on(inplace, x):
    """An autoencoder of two models, each of which is used by itself."""

    @register
    class Autoencoder(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.encoder = keras.Sequential([dense("e", 3), layers.Activation("tanh")])
            self.decoder = keras.Sequential([dense("d")])

        def call(self, x, training=None):
            return self.decoder(self.encoder(x, training=training), training=training)

        def encode(self, x):
            return self.encoder(x)

    model = Autoencoder()
    model(x)
    codes = numpy(model.encode(x))
    new = decorrelate(model, inplace=inplace)
    np.testing.assert_allclose(numpy(new.encode(x)), codes, atol=1e-6)
    new.compile("sgd", "mse", **EAGERLY)
    new.fit(x, x, verbose=0)
    assert steps(new) == [1, 1]


# --- what a class says of itself ------------------------------------------------------------------


class FeedForward(layers.Layer):
    """../shared/cases/models/10: only its owner makes it, as keras.io writes them."""

    def __init__(self, width):
        super().__init__()
        self.up, self.down = layers.Dense(2 * width, name="up"), dense("down", width)

    def call(self, x):
        return x + self.down(ops.tanh(self.up(x)))


@register
class Transformer(keras.Model):
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks, self.head = [FeedForward(width) for _ in range(2)], dense("head", 1)

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


def test_a_class_that_only_its_owner_makes(x, rng, tmp_path):
    model = Transformer(6)
    model(x)
    check(model, x, rng, tmp_path, ["up", "down"] * 2 + ["head"])


class WithoutConfig(keras.Model):
    """Keras cannot make it again: it needs a function, and an argument that it does not note."""

    def __init__(self, function):
        super().__init__()
        self.function, self.a, self.b = function, dense("a"), dense("b", 2)

    def call(self, x, training=None):
        return self.b(self.function(self.a(x)))

    def get_config(self):
        raise NotImplementedError


def test_a_class_without_a_configuration_is_converted_in_place(x, rng):
    model = WithoutConfig(lambda x: ops.tanh(x))
    model(x)
    expected = outputs(model, x)[0]
    with pytest.raises(ValueError, match=r"(?s)cannot copy WithoutConfig.*`inplace=True`"):
        decorrelate(model)
    assert decorrelate(model, inplace=True) is model and named(model) == ["a", "b"]
    np.testing.assert_allclose(outputs(model, x)[0], expected, atol=1e-6)
    model.compile("sgd", "mse", **EAGERLY)
    model.fit(x, np.zeros((4, 2)), verbose=0)
    assert steps(model) == [1, 1]
    expected = outputs(model, x)[0]
    with pytest.raises(ValueError, match="`inplace=True`"):
        fold(model)
    assert fold(model, inplace=True) is model and type(model) is WithoutConfig
    np.testing.assert_allclose(outputs(model, x)[0], expected, rtol=1e-4, atol=1e-5)


class Scaled(layers.Layer):
    """../shared/cases/models/12: its configuration has not all that its outputs depend on."""

    def __init__(self, width, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.scale, self.width = dense("inner", width), scale, width

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, x):
        return self.scale * self.dense(x)

    def get_config(self):
        return {**super().get_config(), "width": self.width}


@pytest.mark.parametrize("when", ["made", "afterwards"])
def test_a_class_with_a_plain_number_as_its_state(when, x, rng):
    layer = Scaled(4, 5.0 if when == "made" else 1.0, name="scaled")
    model = keras.Sequential([keras.Input((6,)), layer, dense("last", 2)])
    layer.scale = 5.0
    expected = outputs(model, x)[0]
    with pytest.raises(ValueError, match=r"other outputs, first .*scaled'.*`inplace=True`"):
        decorrelate(model)
    assert decorrelate(model, inplace=True) is model and named(model) == ["inner", "last"]
    np.testing.assert_allclose(outputs(model, x)[0], expected, atol=1e-5)
    disturb(model, rng)
    expected = outputs(model, x)[0]
    with pytest.raises(ValueError, match=r"other outputs"):
        fold(model)
    np.testing.assert_allclose(outputs(model, x)[0], expected, rtol=1e-6)
    assert fold(model, inplace=True) is model and type(layer) is Scaled
    np.testing.assert_allclose(outputs(model, x)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inplace", [False, True])
def test_classes_of_a_function_that_are_not_registered(inplace, x, rng, tmp_path):
    class Local(layers.Layer):
        def __init__(self, units, activation, **kwargs):
            super().__init__(**kwargs)
            self.units, self.activation = units, keras.activations.get(activation)
            self.inner = dense("inner", units)

        def build(self, input_shape):
            self.inner.build(input_shape)

        def call(self, x):
            return self.activation(self.inner(x))

        def get_config(self):
            config = {
                "units": self.units,
                "activation": keras.activations.serialize(self.activation),
            }
            return {**super().get_config(), **config}

    model = keras.Sequential([keras.Input((6,)), Local(4, "tanh"), Local(3, "relu")])
    new = decorrelate(model, inplace=inplace)
    disturb(new, rng)
    assert named(new) == ["inner", "inner"] and isinstance(new.layers[0], Local)
    assert_same(reloaded(new, tmp_path, Local), new, x)
    folded = fold(new)
    assert_same(folded, new, x, 1e-4)
    assert_same(reloaded(folded, tmp_path, Local), new, x, 1e-4)


# --- functional models with a class ---------------------------------------------------------------


class Backbone(keras.Model):
    """../shared/cases/models/11, as in KerasHub: a constructor of its own that makes the graph."""

    def __init__(self, width, **kwargs):
        i = keras.Input((6,))
        super().__init__(i, layers.Dense(width, activation="relu", name="stem")(i), **kwargs)
        self.width = width

    def get_config(self):
        return {"width": self.width, "name": self.name}


class Setting(Backbone):
    def __setattr__(self, name, value):
        super().__setattr__(name, value)


class Showing(Backbone):
    def __repr__(self):
        return f"<Showing of width {self.width}>"


class Calling(Backbone):
    def call(self, inputs, training=None, mask=None):
        return 2.0 * super().call(inputs, training=training, mask=mask)


BACKBONES = [Backbone, Setting, Showing, Calling]


@pytest.mark.parametrize("cls", BACKBONES)
@pytest.mark.parametrize("arguments", [{}, {"layers": "head"}, {"exclude": "backbone"}])
def test_a_functional_model_of_its_own_class_inside_another(cls, arguments, x, rng, tmp_path):
    i = keras.Input((6,))
    backbone = cls(5, name="backbone")
    backbone.trainable = False
    model = keras.Model(i, dense("head", 2)(backbone(i)))
    new, folded = round_trip(model, x, rng, **arguments)
    assert named(new) == (["head"] if arguments else ["stem", "head"])
    assert isinstance(new.get_layer("backbone"), cls) and type(folded.get_layer("backbone")) is cls
    assert repr(new.get_layer("backbone")).startswith("<Showing of") == (cls is Showing)
    assert not new.get_layer("backbone").trainable
    assert_same(reloaded(new, tmp_path, cls), new, x)
    assert_same(reloaded(folded, tmp_path, cls), folded, x)


@pytest.mark.parametrize("cls", BACKBONES)
def test_a_functional_model_of_its_own_class(cls, x, rng, tmp_path):
    new = check(cls(3), x, rng, tmp_path, ["stem"], cls)
    assert isinstance(new, cls) and new.width == 3
    assert new.output_shape == (None, 3)


# --- training of one's own ------------------------------------------------------------------------


@register
class Stepping(keras.Model):
    """A training step that calls the model in training, once or more."""

    calls = 1

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = dense("a"), dense("b", 2)

    def call(self, x, training=None):
        return self.b(self.a(x, training=training), training=training)

    def train_step(self, *arguments):
        for _ in range(self.calls - 1):
            self(arguments[-1][0], training=True)
        if keras.backend.backend() != "jax":
            return {**super().train_step(*arguments), "mine": 7.0}
        logs, state = super().train_step(*arguments)
        return {**logs, "mine": 7.0}, state


@pytest.mark.parametrize("calls", [1, 3])
def test_a_training_step_is_kept_and_M_moves_at_each_call(calls, x, monkeypatch):
    if keras.backend.backend() == "jax" and calls > 1:
        pytest.skip("a step on JAX must hand on the state of each call itself")
    monkeypatch.setattr(Stepping, "calls", calls)
    model = Stepping()
    model(x)
    new = decorrelate(model, undamped(0.1))
    new.compile("sgd", "mse", **EAGERLY)
    logs = new.fit(x, np.zeros((4, 2)), batch_size=2, verbose=0).history
    assert logs["mine"] == [7.0] and "decorrelation_loss" not in logs
    assert steps(new) == [2 * calls] * 2
    assert type(new).train_step is Stepping.train_step
    assert type(fold(new)) is Stepping


@pytest.mark.parametrize("training", [None, True])
def test_the_parts_of_a_model_learn_if_they_are_told_that_they_train(training, x, tensorflow_only):
    """../shared/cases/models/09: keras.io's VAE and DCGAN do not tell them."""
    import tensorflow as tf

    net = decorrelate(keras.Sequential([keras.Input((6,)), dense("a"), dense("b")]))

    class Autoencoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.net = net

        def train_step(self, x):
            with tf.GradientTape() as tape:
                loss = ops.mean((self.net(x, training=training) - x) ** 2)
            weights = self.trainable_weights
            self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            return {"loss": loss}

    model = Autoencoder()
    model.compile("adam", run_eagerly=True)
    model.fit(x, batch_size=2, verbose=0)
    assert steps(net) == ([2, 2] if training else [0, 0])


@register
class Counting(keras.metrics.Metric):
    def __init__(self, name="count", **kwargs):
        super().__init__(name=name, **kwargs)
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")

    def update_state(self, y, y_pred, sample_weight=None):
        self.count.assign(self.count + 1.0)

    def result(self):
        return ops.convert_to_tensor(self.count)


@register
class Penalised(keras.Model):
    """A loss, metrics and a `compile` of its own, which it gives back as Keras asks for."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.a, self.b = dense("a"), dense("b", 2)
        self.penalty = keras.metrics.Mean(name="penalty")

    def call(self, x, training=None):
        return self.b(self.a(x))

    def compile(self, factor=1.0, **kwargs):
        super().compile(**kwargs)
        self.factor = factor

    def get_compile_config(self):
        return {**super().get_compile_config(), "factor": self.factor}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        penalty = self.factor * ops.mean(ops.square(y_pred))
        self.penalty.update_state(penalty)
        return loss + penalty

    @property
    def metrics(self):
        return [*(m for m in super().metrics if m is not self.penalty), self.penalty]


@pytest.mark.parametrize("inplace", [False, True])
def test_a_loss_metrics_and_compile_of_its_own(inplace, x, rng, tmp_path):
    model = Penalised()
    model(x)
    model.compile(factor=3.0, optimizer="sgd", loss="mse", metrics=[Counting()], **EAGERLY)
    y = rng.normal(size=(4, 2)).astype("float32")
    expected = model.evaluate(x, y, verbose=0, return_dict=True)
    new = decorrelate(model, inplace=inplace)
    assert new.factor == 3.0
    assert new.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-4)
    logs = new.fit(x, y, verbose=0).history
    assert {"loss", "penalty", "count", "decorrelation_loss"} <= set(logs)
    assert steps(new) == [1, 1]
    expected = new.evaluate(x, y, verbose=0, return_dict=True)
    again = reloaded(new, tmp_path)
    assert again.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-4)
    folded = fold(new, inplace=inplace)
    found = folded.evaluate(x, y, verbose=0, return_dict=True)
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-3)
    assert set(found) == {"loss", "penalty", "count"}


class Adversarial(keras.Model):
    """As keras.io's GANs: two optimizers, and no way to tell Keras of them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator, self.critic = dense("generator"), dense("critic", 1)

    def call(self, x, training=None):
        return self.critic(self.generator(x))

    def compile(self, of_generator, of_critic):
        super().compile()
        self.optimizers = [of_generator, of_critic]


def test_a_compile_that_nothing_gives_back_is_said(x):
    model = Adversarial()
    model(x)
    model.compile("adam", "sgd")
    with pytest.warns(UserWarning, match="Call `compile` on it"):
        new = decorrelate(model)
    assert not new.compiled
    with pytest.warns(UserWarning, match="Call `compile` on it"):
        new.compile("adam", "sgd")
        fold(new)
    new = decorrelate(model, inplace=True)
    assert new is model and model.compiled and model.optimizers == ["adam", "sgd"]


# --- inputs ---------------------------------------------------------------------------------------


@register
class OfDictionaries(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.left, self.right, self.head = dense("left"), dense("right"), dense("head", 2)

    def call(self, inputs, training=None):
        left, (right,) = inputs["left"], inputs["right"]
        hidden = ops.tanh(self.left(left) + self.right(right))
        return {"y": self.head(hidden), "hidden": hidden}


def test_inputs_and_outputs_in_dictionaries(x, rng, tmp_path):
    model = OfDictionaries()
    data = {"left": x, "right": (x[:, :3],)}
    model(data)
    check(model, data, rng, tmp_path, ["left", "right", "head"])


@register
class OfSeveral(layers.Layer):
    """Several arguments, one with a default, and a mask."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.of_a, self.of_b = dense("a"), dense("b")

    def build(self, a_shape, b_shape=None):
        self.of_a.build(a_shape)
        self.of_b.build(a_shape if b_shape is None else b_shape)

    def call(self, a, b=None, mask=None):
        return self.of_a(a) * self.of_b(a if b is None else b)

    def compute_output_shape(self, a_shape, b_shape=None):
        return a_shape


@pytest.mark.parametrize("several", [False, True])
def test_several_arguments(several, x, rng, tmp_path):
    a, b = keras.Input((6,)), keras.Input((6,))
    y = OfSeveral()(a, b) if several else OfSeveral()(a)
    model = keras.Model([a, b] if several else a, y)
    check(model, [x, x + 1.0] if several else x, rng, tmp_path, ["a", "b"])


@pytest.mark.parametrize("inplace", [False, True])
def test_a_stateful_recurrent_layer_goes_on_from_its_state(inplace, rng):
    i = keras.Input((5, 6), batch_size=4)
    model = keras.Model(i, dense("head", 2)(layers.LSTM(3, stateful=True, name="lstm")(i)))
    x = rng.normal(size=(4, 5, 6)).astype("float32")
    first = numpy(model(x))
    second = numpy(model(x))
    model.get_layer("lstm").reset_state()
    np.testing.assert_allclose(numpy(model(x)), first, atol=1e-6)
    new = decorrelate(model, undamped(center=False), inplace=inplace)
    assert named(new) == ["lstm", "head"]
    np.testing.assert_allclose(numpy(new(x)), second, atol=1e-5)
    new.get_layer("lstm").reset_state()
    np.testing.assert_allclose(numpy(new(x)), first, atol=1e-5)
    folded = fold(new, inplace=inplace)
    np.testing.assert_allclose(numpy(folded(x)), second, atol=1e-5)


# --- copies ---------------------------------------------------------------------------------------


def functional():
    i = keras.Input((6,))
    return keras.Model(i, dense("b", 2)(dense("a")(i)))


def sequential():
    return keras.Sequential([keras.Input((6,)), dense("a"), dense("b", 2)])


def transformer():
    model = Transformer(6)
    model.build((None, 6))
    return model


MODELS = [functional, sequential, transformer]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("compiled", [False, True])
def test_clone_model(make, compiled, x, rng):
    """../shared/cases/models/08."""
    model = make()
    model(x)
    new = decorrelate(model)
    if compiled:
        new.compile("sgd", "mse", **EAGERLY)
    disturb(new, rng)
    clone = keras.models.clone_model(new)
    clone(x)
    assert len(steps(clone)) == len(steps(new))
    clone.set_weights(new.get_weights())
    assert_same(clone, new, x)
    if compiled:
        clone.fit(x, numpy(new(x)), verbose=0)
        assert set(steps(clone)) == {1} and set(steps(new)) == {0}
    assert_same(fold(clone), clone, x, 1e-4)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("how", ["copy", "pickle"])
def test_copies_and_pickles(make, how, x, rng):
    model = make()
    model(x)
    new = decorrelate(model)
    new.compile("sgd", "mse", **EAGERLY)
    disturb(new, rng)
    again = copy.deepcopy(new) if how == "copy" else pickle.loads(pickle.dumps(new))
    assert_same(again, new, x)
    assert differs(again, model, x)
    again.fit(x, numpy(new(x)), verbose=0)
    assert set(steps(again)) == {1} and set(steps(new)) == {0}


# --- a layer as the root --------------------------------------------------------------------------


@pytest.mark.parametrize("inplace", [False, True])
def test_a_layer_with_layers_inside(inplace, x, rng, recwarn):
    layer = Scaled(4, name="scaled")
    layer(x)
    expected = numpy(layer(x))
    recwarn.clear()
    new = decorrelate(layer, undamped(center=False), inplace=inplace)
    assert not [w for w in recwarn if "M will not move" in str(w.message)]
    assert (new is layer) == inplace and isinstance(new, Scaled) and named(new) == ["inner"]
    np.testing.assert_allclose(numpy(new(x)), expected, atol=1e-6)
    new(x, training=True)
    assert steps(new) == [1]
    expected = numpy(new(x))
    folded = fold(new, inplace=inplace)
    assert (folded is layer) == inplace and type(folded) is Scaled
    np.testing.assert_allclose(numpy(folded(x)), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_that_decorrelates_inside_a_plain_model(x, tmp_path):
    layer = Transformer(6)
    layer(x)
    part = decorrelate(layer)
    model = keras.Sequential([keras.Input((6,)), part, dense("last", 2)])
    model.compile("sgd", "mse", **EAGERLY)
    model.fit(x, np.zeros((4, 2)), verbose=0)
    assert steps(part) == [1] * 5
    assert_same(reloaded(model, tmp_path), model, x)
    folded = fold(model)
    assert_same(folded, model, x, 1e-4)
    assert type(folded.layers[0]) is Transformer


@register
class Decorrelating(keras.Model):
    """Calls `decorrelate` itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.body = decorrelate(keras.Sequential([keras.Input((6,)), dense("a"), dense("b")]))
        self.head = dense("head", 2)

    def call(self, x, training=None):
        return self.head(self.body(x, training=training))


def test_a_class_that_decorrelates_itself(x, rng, tmp_path):
    model = Decorrelating()
    model(x)
    with pytest.raises(ValueError, match="decorrelating layers already"):
        decorrelate(model)
    model.compile("sgd", "mse", **EAGERLY)
    model.fit(x, np.zeros((4, 2)), verbose=0)
    assert steps(model) == [1, 1]
    disturb(model, rng)
    assert_same(reloaded(model, tmp_path), model, x)
    with pytest.warns(UserWarning, match="The class Decorrelating makes .* cannot be loaded"):
        folded = fold(model)
    assert type(folded) is Decorrelating and type(folded.body) is keras.Sequential
    assert_same(folded, model, x, 1e-4)


# --- in place -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MODELS)
def test_a_trained_model_in_place_keeps_its_optimizer_and_traces_anew(make, x):
    model = make()
    y = np.zeros_like(numpy(model(x)))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    model.fit(x, y, verbose=0)
    model.predict(x, verbose=0)
    optimizer, weights = model.optimizer, [id(v) for v in model.trainable_variables]
    state = [numpy(v).copy() for v in optimizer.variables]
    decorrelate(model, inplace=True)
    assert model.optimizer is optimizer and model.compiled
    for variable, value in zip(optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(numpy(variable), value)
    assert {id(v) for v in model.trainable_variables} == set(weights)
    logs = model.fit(x, y, epochs=2, verbose=0).history
    assert set(steps(model)) == {2} and int(optimizer.iterations) == 3
    assert np.isfinite(logs["decorrelation_loss"]).all()
    predicted = model.predict(x, verbose=0)
    np.testing.assert_allclose(predicted, numpy(model(x)), rtol=1e-4, atol=1e-5)
    fold(model, inplace=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), predicted, rtol=1e-4, atol=1e-5)
    assert "decorrelation_loss" not in model.fit(x, y, verbose=0).history


@pytest.mark.parametrize("cls", [None, *HOMES])
def test_a_conversion_that_fails_leaves_the_model_plain(cls, x):
    """The second layer has too few features for the rank."""
    parts = [] if cls is None else [cls(name="home")]
    model = keras.Sequential([keras.Input((6,)), *parts, dense("small", 2), dense("last")])
    before = [type(part) for part in model._flatten_layers()]
    expected, names = outputs(model, x)[0], [v.path for v in model.variables]
    rule = undamped(structure="low_rank", rank=4)
    for _ in range(2):
        with pytest.raises(ValueError, match="layer 'last'"):
            decorrelate(model, rule, inplace=True)
        assert [type(part) for part in model._flatten_layers()] == before
        assert [v.path for v in model.variables] == names
        np.testing.assert_array_equal(outputs(model, x)[0], expected)
    assert decorrelate(model, rule, exclude="last", inplace=True) is model


class Moody(layers.Layer):
    """Is another once its layer is no plain one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = dense("inner")

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, x):
        return self.inner(x) + (type(self.inner) is not layers.Dense)


def test_other_outputs_in_place_leave_the_model_plain(x):
    model = keras.Sequential([keras.Input((6,)), Moody(name="moody"), dense("last")])
    expected = outputs(model, x)[0]
    with pytest.raises(ValueError, match="other outputs"):
        decorrelate(model, inplace=True)
    assert type(model) is keras.Sequential and type(model.layers[0]) is Moody
    assert type(model.layers[0].inner) is layers.Dense
    np.testing.assert_array_equal(outputs(model, x)[0], expected)
