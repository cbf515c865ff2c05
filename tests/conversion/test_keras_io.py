"""The examples of keras.io, in a small version, converted, trained, saved and folded."""

import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import keras_decorr
from keras_decorr.training import decorrelation_layers
from tests.conversion import keras_io
from tests.conversion.nets import assert_same, disturb, numpy, outputs
from tests.helpers import EAGERLY, undamped

BATCH = 4
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BY_TAPE = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the site's step is made of tf.GradientTape"
)


@dataclass(frozen=True)
class Example:
    """A model of the site.

    Attributes:
        build: A function that makes it.
        converted: How many of its layers decorrelate then; those of the outputs stay plain.
        data: A function of a generator that gives inputs and targets.
        loss: The loss of `compile`.
        copies: Whether Keras can make another one from its configuration, and load it.
        tells: Whether its layers are told that they are trained.
        compile: A function that gives what a `compile` of its own takes instead of the loss.
    """

    build: Any
    converted: int
    data: Any
    loss: Any = CROSSENTROPY
    copies: bool = True
    tells: bool = True
    compile: Any = None


def images(channels, targets=3):
    return lambda rng: (floats(rng, 8, 8, channels), classes(rng, targets))


def floats(rng, *shape):
    return rng.uniform(size=(BATCH, *shape)).astype("float32")


def classes(rng, n, *shape):
    return rng.integers(0, n, (BATCH, *shape)).astype("int32")


def one_hot(rng, n, *shape):
    return np.eye(n, dtype="float32")[classes(rng, n, *shape)]


def census(rng):
    numbers = {name: floats(rng) for name in keras_io.NUMERIC}
    kinds = {name: classes(rng, n) for name, n in keras_io.CATEGORIES.items()}
    return numbers | kinds, classes(rng, 3)


def distillation():
    return {
        "metrics": ["sparse_categorical_accuracy"],
        "student_loss_fn": CROSSENTROPY,
        "distillation_loss_fn": keras.losses.KLDivergence(),
    }


def built_distiller():
    model = keras_io.distiller()
    model(np.zeros((1, 8, 8, 1), "float32"))
    return model


EXAMPLES = {
    "text classification": Example(
        keras_io.text_classification,
        4,  # attention, two in its block, one behind the pooling
        lambda rng: (classes(rng, 20, 6), classes(rng, 2)),
        "sparse_categorical_crossentropy",
        copies=False,
    ),
    "vision transformer": Example(keras_io.vision_transformer, 9, images(3), copies=False),
    "MLP-Mixer": Example(keras_io.mlp_mixer, 9, images(3), copies=False),
    "U-Net": Example(
        keras_io.unet,
        7,
        # Of the sparse loss for images PyTorch takes no gradient.
        lambda rng: (floats(rng, 8, 8, 3), one_hot(rng, 3, 8, 8)),
        "categorical_crossentropy",
    ),
    "siamese network": Example(
        keras_io.siamese,
        3,  # each once, although the encoder is called twice
        lambda rng: ([floats(rng, 8, 8, 1), floats(rng, 8, 8, 1)], 1.0 * classes(rng, 2, 1)),
        keras_io.contrastive_loss,
    ),
    "knowledge distillation": Example(
        built_distiller,
        5,  # all but the logits of the student
        images(1),
        copies=False,
        compile=distillation,
    ),
    "actor-critic": Example(
        keras_io.actor_critic,
        1,  # both others make outputs
        lambda rng: (floats(rng, 4), [classes(rng, 2), floats(rng, 1)]),
        ["sparse_categorical_crossentropy", "mse"],
    ),
    "ConvLSTM": Example(
        keras_io.conv_lstm,
        1,  # that of the outputs, as there is no other
        lambda rng: (floats(rng, 3, 6, 6, 1), floats(rng, 3, 6, 6, 1)),
        "binary_crossentropy",
    ),
    "wide and deep": Example(keras_io.wide_and_deep, 2, census, "sparse_categorical_crossentropy"),
    "graph network": Example(
        keras_io.graph_network,
        12,  # two in each of six feed-forward nets
        lambda rng: (classes(rng, 10), classes(rng, 3)),
        copies=False,
        tells=False,
    ),
    "sequence to sequence": Example(
        keras_io.seq2seq,
        2,
        lambda rng: ([one_hot(rng, 7, 5), one_hot(rng, 6, 4)], one_hot(rng, 6, 4)),
        "categorical_crossentropy",
    ),
    "translation": Example(
        keras_io.translation,
        7,  # three attentions, two behind the last of each part
        lambda rng: (
            {"encoder_inputs": classes(rng, 20, 6), "decoder_inputs": classes(rng, 20, 5)},
            classes(rng, 20, 5),
        ),
        keras.losses.SparseCategoricalCrossentropy(ignore_class=0),
    ),
    "time-series transformer": Example(
        keras_io.timeseries_transformer,
        7,
        lambda rng: (floats(rng, 10, 1), classes(rng, 2)),
        "sparse_categorical_crossentropy",
    ),
}

# What the site's code gives `load_model`.
NAMES = {
    named.__name__: named
    for named in (
        keras_io.euclidean_distance,
        keras_io.EmbeddingModel,
        keras_io.PositionalEmbedding,
        keras_io.Sampling,
        keras_io.TransformerDecoder,
        keras_io.TransformerEncoder,
    )
}

# Classes without `call`, of which each step calls the parts: the parts, and their converted layers.
OF_PARTS = {
    "VAE": (keras_io.vae, {"encoder": 3, "decoder": 3}),
    "DCGAN": (keras_io.dcgan, {"discriminator": 2, "generator": 3}),
    "WGAN-GP": (keras_io.wgan, {"discriminator": 2, "generator": 2}),
    "SimCLR": (keras_io.ContrastiveModel, {"encoder": 2, "projection_head": 1}),
}


def converted(example, model):
    """The model with decorrelating layers: a copy, where Keras makes one."""
    return keras_decorr.decorrelate(model, undamped(), inplace=not example.copies)


def tensors(x):
    return keras.tree.map_structure(ops.convert_to_tensor, x)


def fit(model, x, y=None, **arguments):
    model.compile(**arguments, **EAGERLY)
    return model.fit(x, y, batch_size=BATCH // 2, epochs=1, verbose=0)


def moved(model):
    """For each M whether it was updated, and is not the identity if it has more than one feature."""
    return [
        int(numpy(layer.steps)) > 0
        and not int(numpy(layer.skipped_updates))
        and (layer.operator.n == 1 or not is_identity(layer))
        for layer in decorrelation_layers(model)
    ]


def is_identity(layer):
    pairs = zip(layer.matrices, layer.operator.identities(), strict=True)
    return all(np.array_equal(numpy(M), np.asarray(start)) for M, start in pairs)


@pytest.mark.parametrize("name", EXAMPLES)
def test_all_its_linear_maps_decorrelate_and_the_outputs_stay(name, rng):
    example = EXAMPLES[name]
    model = example.build()
    x = tensors(example.data(rng)[0])
    before = outputs(model, x)
    if not example.copies:
        with pytest.raises(ValueError, match=r"cannot copy.*(?s:.*)`inplace=True`"):
            keras_decorr.decorrelate(model)
        assert not decorrelation_layers(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "`build.*was called")  # Keras's, where it loads a layer
        new = converted(example, model)
    assert (new is model) == (not example.copies)
    assert len(new.conversion_report.converted) == example.converted
    for ours, theirs in zip(outputs(new, x), before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.tells])
def test_fit_moves_m_and_the_folded_model_does_the_same(name, rng):
    example = EXAMPLES[name]
    x, y = example.data(rng)
    model = converted(example, example.build())
    settings = example.compile() if example.compile else {"loss": example.loss}
    logs = fit(model, x, y, optimizer="adam", **settings).history
    assert np.isfinite(logs["decorrelation_loss"]).all()
    teacher = len(decorrelation_layers(model.teacher)) if hasattr(model, "teacher") else 0
    assert moved(model)[:teacher] == [False] * teacher
    assert all(moved(model)[teacher:])
    x = tensors(x)
    before = outputs(model, x)
    # What `compile` of a class of its own wants cannot be known.
    said = example.compile and example.copies
    with pytest.warns(match="could not be compiled") if said else nullcontext():
        folded = keras_decorr.fold(model, inplace=not example.copies)
    assert not decorrelation_layers(folded)
    for ours, theirs in zip(outputs(folded, x), before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.copies])
def test_what_keras_can_load_is_loaded_with_its_m(name, rng, tmp_path):
    example = EXAMPLES[name]
    plain = example.build()
    x = tensors(example.data(rng)[0])
    new = keras_decorr.decorrelate(plain)
    disturb(new, rng)
    for model in (plain, new):
        model.save(tmp_path / "model.keras")
        assert_same(keras.saving.load_model(tmp_path / "model.keras", NAMES), model, x)


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if not example.copies])
def test_what_keras_cannot_load_takes_the_weights_of_a_checkpoint(name, rng, tmp_path):
    example = EXAMPLES[name]
    x = tensors(example.data(rng)[0])
    model, other = (converted(example, example.build()) for _ in range(2))
    disturb(model, rng)
    model.save_weights(tmp_path / "checkpoint.weights.h5")
    assert not np.allclose(outputs(other, x)[0], outputs(model, x)[0], atol=1e-4)
    other.load_weights(tmp_path / "checkpoint.weights.h5")
    assert_same(other, model, x)


def steps(model):
    """How often each M was updated."""
    return [int(numpy(layer.steps)) for layer in decorrelation_layers(model)]


def optimizers(*names):
    return {name: keras.optimizers.Adam(1e-3) for name in names}


def settings_of(name):
    """The arguments with which the site compiles a class without `call`."""
    if name == "VAE":
        return {"optimizer": "adam"}
    if name == "SimCLR":
        return optimizers("contrastive_optimizer", "probe_optimizer")
    if name == "DCGAN":
        loss = keras.losses.BinaryCrossentropy()
        return {**optimizers("d_optimizer", "g_optimizer"), "loss_fn": loss}
    losses = {"d_loss_fn": keras_io.discriminator_loss, "g_loss_fn": keras_io.generator_loss}
    return {**optimizers("d_optimizer", "g_optimizer"), **losses}


def fit_of_parts(name, model, rng):
    """One step of the site's own training; gives the logs."""
    images = floats(rng, 8, 8, 3 if name in ("DCGAN", "SimCLR") else 1)
    model.compile(**settings_of(name))
    model.run_eagerly = True
    labels = (classes(rng, 3),) if name == "SimCLR" else ()
    logs = model.fit(images, *labels, batch_size=BATCH, verbose=0).history
    assert logs
    assert all(np.isfinite(value).all() for value in logs.values())


def parts_input(name, part, rng):
    if part in ("decoder", "generator"):
        return tensors(rng.normal(size=(BATCH, 2 if name == "VAE" else 5)).astype("float32"))
    if part == "projection_head":
        return tensors(floats(rng, 4))
    return tensors(floats(rng, 8, 8, 3 if name in ("DCGAN", "SimCLR") else 1))


@pytest.mark.parametrize("name", OF_PARTS)
def test_parts_of_a_class_without_call_convert_one_by_one(name, rng, tmp_path):
    build, parts = OF_PARTS[name]
    model = build()
    for part, number in parts.items():
        plain, x = getattr(model, part), parts_input(name, part, rng)
        new = keras_decorr.decorrelate(plain, undamped())
        assert len(new.conversion_report.converted) == number
        assert_same(new, plain, x)
        disturb(new, rng)
        new.save(tmp_path / "part.keras")
        loaded = keras.saving.load_model(tmp_path / "part.keras", NAMES)
        drawn = 2 if part == "encoder" and name == "VAE" else None  # the state of the seed moves on
        pairs = zip(outputs(loaded, x)[:drawn], outputs(new, x)[:drawn], strict=True)
        assert all(np.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in pairs)
        assert_same(keras_decorr.fold(new), new, x, 1e-4)


@pytest.mark.parametrize("name", OF_PARTS)
def test_a_class_without_call_is_converted_itself(name, rng):
    build, parts = OF_PARTS[name]
    model = build()
    with pytest.raises(ValueError, match=r"cannot copy.*(?s:.*)`inplace=True`"):
        keras_decorr.decorrelate(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert keras_decorr.decorrelate(model, undamped(), inplace=True) is model
    assert isinstance(model, type(build()))
    # As many as one by one, so the layers of the outputs of each part stay plain.
    assert len(model.conversion_report.converted) == sum(parts.values())
    disturb(model, rng)
    batches = {part: parts_input(name, part, rng) for part in parts}
    before = {part: outputs(getattr(model, part), x)[0] for part, x in batches.items()}
    keras_decorr.fold(model, inplace=True)
    assert not decorrelation_layers(model)
    for part, x in batches.items():
        after = outputs(getattr(model, part), x)[0]
        np.testing.assert_allclose(after, before[part], rtol=1e-4, atol=1e-5)


@BY_TAPE
@pytest.mark.parametrize("name", ["WGAN-GP", "SimCLR"])
def test_m_moves_in_a_step_that_says_that_it_trains(name, rng):
    model = keras_decorr.decorrelate(OF_PARTS[name][0](), undamped(), inplace=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The gradient of a decorrelating layer")
        fit_of_parts(name, model, rng)
    assert all(moved(model))


@BY_TAPE
def test_m_of_parts_moves_in_a_step_that_says_that_it_trains(rng):
    model = keras_io.wgan(lambda part: keras_decorr.decorrelate(part, undamped()))
    fit_of_parts("WGAN-GP", model, rng)
    assert all(moved(model))


@BY_TAPE
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "parts"])
@pytest.mark.parametrize("name", ["VAE", "DCGAN"])
def test_a_step_that_never_says_that_it_trains_warns_and_moves_no_m(name, whole, rng):
    build, _ = OF_PARTS[name]
    if whole:
        model = keras_decorr.decorrelate(build(), undamped(), inplace=True)
    else:
        model = build(lambda part: keras_decorr.decorrelate(part, undamped()))
    with pytest.warns(UserWarning, match="its M does not move"):
        fit_of_parts(name, model, rng)
    assert not any(steps(model))


@BY_TAPE
def test_a_functional_model_with_a_step_of_its_own(rng, tmp_path):
    plain = keras_io.metric_learning()
    model = keras_decorr.decorrelate(plain, undamped())
    assert isinstance(model, keras_io.EmbeddingModel)
    assert len(model.conversion_report.converted) == 2
    x = tensors(floats(rng, 8, 8, 3))
    assert_same(model, plain, x)
    model.compile("adam", CROSSENTROPY, metrics=["sparse_categorical_accuracy"], **EAGERLY)
    pairs = np.stack([floats(rng, 8, 8, 3) for _ in range(2)])
    assert np.isfinite(model.train_on_batch(pairs, return_dict=True)["loss"])
    assert all(moved(model))
    model.save(tmp_path / "model.keras")
    assert_same(keras.saving.load_model(tmp_path / "model.keras", NAMES), model, x)
    folded = keras_decorr.fold(model)
    assert type(folded) is type(plain)
    assert_same(folded, model, x, 1e-4)


def test_a_model_whose_call_has_no_training_warns(rng):
    example = EXAMPLES["graph network"]
    x, y = example.data(rng)
    model = converted(example, example.build())
    with pytest.warns(UserWarning, match="GNNNodeClassifier has no argument `training`.*dropout"):
        fit(model, x, y, optimizer="adam", loss=example.loss)
    # Behind a Dropout they stay in Keras 3.15 and move in 3.16.
    assert len(set(steps(model))) == 1
    disturb(model, rng)
    before = outputs(model, tensors(x))[0]
    keras_decorr.fold(model, inplace=True)
    np.testing.assert_allclose(outputs(model, tensors(x))[0], before, rtol=1e-4, atol=1e-5)


@BY_TAPE
@pytest.mark.parametrize("training", [None, True])
def test_m_moves_in_a_loop_of_the_user_where_it_says_that_it_trains(training, rng):
    import tensorflow as tf

    model = keras_decorr.decorrelate(keras_io.actor_critic(), undamped())
    optimizer = keras.optimizers.Adam(0.01)
    warns = nullcontext() if training else pytest.warns(match="its M does not move")
    with warns:
        for _ in range(2):
            with tf.GradientTape() as tape:
                action_probs, critic_value = model(tensors(floats(rng, 4)), training=training)
                loss = ops.mean(-ops.log(action_probs[:, 0])) + ops.mean((1.0 - critic_value) ** 2)
            grads = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
    assert steps(model) == [2 if training else 0]
    assert moved(model) == [bool(training)]


def test_models_made_of_the_layers_of_another_decode_the_same(rng):
    plain = keras_io.seq2seq()
    model = keras_decorr.decorrelate(plain, undamped())
    (source, target), _ = EXAMPLES["sequence to sequence"].data(rng)
    both = [keras_io.sampling_models(m) for m in (plain, model)]
    states = both[0][0](tensors(source), training=False)
    for theirs, ours, x in zip(*both, (source, [target[:, :1], *states]), strict=True):
        assert_same(ours, theirs, tensors(x))
    disturb(model, rng)
    folded = keras_io.sampling_models(keras_decorr.fold(model))
    for theirs, ours, x in zip(folded, both[1], (source, [target[:, :1], *states]), strict=True):
        assert_same(ours, theirs, tensors(x), 1e-4)
