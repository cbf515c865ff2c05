"""A checkpoint in mid-training holds what the rule keeps: a fresh process goes on as if nothing was."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

import keras_decorr
from keras_decorr.layers import DecorConv2D, DecorDense
from keras_decorr.rules import (
    DirectFeedbackAlignment,
    FeedbackAlignment,
    NodePerturbation,
)
from tests.helpers import EAGERLY
from tests.rules.nets import compiled, conv_layers, data, decorrelator, numpy

ROOT = Path(__file__).parents[2]

# No seed: what was drawn must come from the file.
RULES = {
    "mirroring": FeedbackAlignment("kolen_pollack"),
    "direct": DirectFeedbackAlignment(),
    "perturbation": NodePerturbation(n_samples=2),
}
if keras.backend.backend() == "jax":  # every step takes seconds to compile there
    RULES = {name: RULES[name] for name in ("mirroring", "perturbation")}

GO_ON = """
import sys, numpy as np, keras
from keras_decorr.rules import LearningRule
from tests.rules.test_saving import RULES, built, train, values

folder = sys.argv[1]
loaded = np.load(folder + "/data.npz")
for name in RULES:
    model = keras.saving.load_model(f"{folder}/{name}.keras")
    assert model.learning_rule.get_config() == RULES[name].get_config()
    train(model, loaded["x"], loaded["y"])
    np.savez(f"{folder}/{name}.model.npz", *values(model))
    keras.utils.set_random_seed(77)
    model = built(name)
    model.optimizer.build(model.trainable_variables)  # Keras loads what is there
    model.load_weights(f"{folder}/{name}.weights.h5")
    train(model, loaded["x"], loaded["y"])
    np.savez(f"{folder}/{name}.weights.npz", *values(model))
"""


def built(name):
    model = keras_decorr.Sequential([
        keras.Input((6, 5, 2)),
        DecorConv2D(4, (3, 2), activation="leaky_relu", decorrelator=decorrelator()),
        keras.layers.Flatten(),
        DecorDense(3, decorrelator=decorrelator()),
    ])  # fmt: skip
    return compiled(model, RULES[name], optimizer=keras.optimizers.Adam(1e-2), **EAGERLY)


def train(model, x, y):
    model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)


def values(model):
    return [numpy(v) for v in model.variables]


def start(folder):
    """Train every rule, save it in the midst, and write down where the run ends."""
    for name in RULES:
        keras.utils.set_random_seed(5)
        model = built(name)
        x, y = data(model, np.random.default_rng(0), 32)
        np.savez(f"{folder}/data.npz", x=x, y=y)
        train(model, x, y)
        model.save(f"{folder}/{name}.keras")
        model.save_weights(f"{folder}/{name}.weights.h5")
        before = values(model)
        train(model, x, y)
        np.savez(f"{folder}/{name}.expected.npz", *values(model))
        moved = [np.any(a != b) for a, b in zip(values(model), before, strict=True)]
        assert sum(moved) > len(moved) / 2


def test_a_fresh_process_goes_on_exactly_as_the_run_that_was_not_stopped(tmp_path, backend):
    start(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", GO_ON, str(tmp_path)], capture_output=True, text=True, check=False,
        cwd=ROOT, env={**os.environ, "KERAS_BACKEND": backend},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name in RULES:
        expected = np.load(tmp_path / f"{name}.expected.npz")
        wanted = [expected[key] for key in expected.files]
        for kind in ("model", "weights"):
            found = np.load(tmp_path / f"{name}.{kind}.npz")
            assert len(found.files) == len(wanted)
            for a, b in zip((found[key] for key in found.files), wanted, strict=True):
                if backend == "tensorflow":
                    np.testing.assert_array_equal(a, b, err_msg=f"{name} {kind}")
                else:
                    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=f"{name} {kind}")


def test_the_rule_is_saved_with_its_arguments(tmp_path):
    for rule in (
        FeedbackAlignment("sign_concordant", keras.initializers.Orthogonal(0.5), 2.0, seed=3),
        DirectFeedbackAlignment("glorot_normal", 0.5, seed=4),
        NodePerturbation(0.1, 3, "activity", seed=5),
    ):
        model = keras_decorr.Sequential(conv_layers())
        compiled(model, rule)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        assert type(loaded.learning_rule) is type(rule)
        assert loaded.learning_rule.get_config() == rule.get_config()


def test_compiling_again_changes_the_rule_and_keeps_the_net(rng):
    model = compiled(keras_decorr.Sequential(conv_layers()), "feedback_alignment", rng, **EAGERLY)
    x, y = data(model, rng, 16)
    train(model, x, y)
    kept = [numpy(w).copy() for w in model.weights]
    B = [numpy(v).copy() for v in model.learning_rule_state.variables]
    assert len(B) == 2
    compiled(model, "backprop")
    assert model.learning_rule_state is None
    for a, b in zip(kept, model.weights, strict=True):
        np.testing.assert_array_equal(a, numpy(b))
    train(model, x, y)
