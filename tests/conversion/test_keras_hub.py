"""Backbones and tasks of keras_hub: decorrelated, trained, saved and folded."""

import os
import pickle
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_decorr
from keras_decorr import fold
from keras_decorr.layers.twin import DecorrelatingTwin
from keras_decorr.training import decorrelation_layers
from keras_decorr.training.step import name_within
from tests.conversion.nets import assert_same, disturb, numpy, outputs
from tests.helpers import EAGERLY

# KerasHub of today cannot be imported with Keras 3.16.
pytest.importorskip("keras_hub", reason="there is no keras_hub", exc_type=ImportError)

from tests.conversion.hub import CASES, inputs_of, linear_maps

QUICK = ("bert", "text_classifier_with_preprocessor")
if keras.backend.backend() == "tensorflow":  # elsewhere they are compiled for minutes
    QUICK = (*QUICK, "llama", "efficientnet")
STEPS = 3


def some(*quick):
    """All models, of which those that are not among the quick ones are slow."""
    marks = {name: () if name in quick else (pytest.mark.slow,) for name in CASES}
    return [pytest.param(name, marks=marks[name]) for name in CASES]


def trained(name):
    """A model before it was decorrelated, and what became of it in three steps of training."""
    case, rng = CASES[name], np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    plain = case.build()
    batch = case.batch(rng)
    x = inputs_of(plain, batch)
    model = keras_decorr.decorrelate(plain, head=True)
    before = outputs(plain, x), outputs(model, x)
    layers = {name_within(layer, model): layer for layer in decorrelation_layers(model)}
    identities = {path: [numpy(M).copy() for M in x.matrices] for path, x in layers.items()}
    if case.loss is not None:
        y = case.targets(model(x, training=False), rng)
        model.compile("adam", case.loss, **EAGERLY)
        model.fit(batch, y, batch_size=64, epochs=STEPS, verbose=0)
    learned = {path: [numpy(M).copy() for M in x.matrices] for path, x in layers.items()}
    steps = {path: int(numpy(layer.steps)) for path, layer in layers.items()}
    disturb(model, rng)
    return SimpleNamespace(
        case=case,
        model=model,
        x=x,
        before=before,
        identities=identities,
        learned=learned,
        steps=steps,
    )


@pytest.fixture(scope="module", params=some(*QUICK))
def hub(request):
    return trained(request.param)


def test_every_linear_map_is_converted(hub):
    decorrelating, left = linear_maps(hub.model)
    assert decorrelating
    assert not left


def test_the_outputs_are_those_of_the_original(hub):
    for ours, theirs in zip(*hub.before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_every_M_takes_every_step_and_learns(hub):
    if hub.case.loss is None:
        pytest.skip("keras_hub does not train this model")
    assert set(hub.steps.values()) == {STEPS}
    still = {
        path
        for path, matrices in hub.learned.items()
        if all(map(np.array_equal, matrices, hub.identities[path]))
    }
    assert still == {path for path in hub.steps if path.endswith(hub.case.still)}


def test_a_saved_model_is_loaded(hub, tmp_path):
    if hub.case.loses:
        pytest.skip(f"keras_hub does not save {hub.case.loses}")
    hub.model.save(tmp_path / "model.keras")
    assert_same(keras.saving.load_model(tmp_path / "model.keras"), hub.model, hub.x)


def test_a_folded_model_has_the_same_outputs_in_plain_layers(hub):
    folded = fold(hub.model)
    assert_same(folded, hub.model, hub.x, 1e-4)
    assert not any(isinstance(layer, DecorrelatingTwin) for layer in folded._flatten_layers())
    assert type(folded) is type(hub.case.build())


LOAD = """
import os, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras_decorr", "tests"):
            raise ImportError(f"{name} is not installed here")

blocked = Blocked()
sys.meta_path.insert(0, blocked)
import keras, keras_hub, pickle
import numpy as np

def call(name, x):
    y = keras.saving.load_model(name + ".keras")(x, training=False)
    np.savez(name + ".npz", *map(keras.ops.convert_to_numpy, keras.tree.flatten(y)))

with open("x.pickle", "rb") as file:
    x = pickle.load(file)
call("folded", x)
try:
    import keras_decorr
except ImportError:
    print("no keras_decorr")
sys.meta_path.remove(blocked)
import keras_decorr
call("model", x)
"""


@pytest.mark.parametrize("name", some("text_classifier"))
def test_another_process_loads_a_model_and_the_folded_one_without_the_package(name, tmp_path):
    hub = trained(name)
    if hub.case.loses:
        pytest.skip(f"keras_hub does not save {hub.case.loses}")
    hub.model.save(tmp_path / "model.keras")
    fold(hub.model).save(tmp_path / "folded.keras")
    arrays = keras.tree.map_structure(numpy, hub.x)
    (tmp_path / "x.pickle").write_bytes(pickle.dumps(arrays))
    done = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no keras_decorr" in done.stdout
    for kind in ("model", "folded"):
        with np.load(tmp_path / f"{kind}.npz") as found:
            for y, expected in zip(found.values(), outputs(hub.model, hub.x), strict=True):
                np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_task_keeps_its_logits_plain():
    report = keras_decorr.decorrelate(CASES["text_classifier"].build()).conversion_report
    plain = [row.path for row in report.left if row.type == "Dense"]
    assert plain == ["logits"]


def test_a_backbone_is_converted_and_folded_in_place(rng):
    model = CASES["bert"].build()
    x = CASES["bert"].batch(rng)
    cls, expected = type(model), outputs(model, x)
    assert keras_decorr.decorrelate(model, inplace=True) is model
    disturb(model, rng)
    disturbed = outputs(model, x)
    assert np.abs(disturbed[0] - expected[0]).max() > 1e-3
    fold(model, inplace=True)
    assert type(model) is cls
    for ours, theirs in zip(outputs(model, x), disturbed, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
