"""keras-decorr inspect: of a model, of a comparison, and of what is neither."""

import base64
import re

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import keras_decorr
from keras_decorr.cli.compare.comparison import compare
from keras_decorr.cli.compare.config import Config
from keras_decorr.cli.inspect.inspection import Batch, inspect
from keras_decorr.cli.main import app
from keras_decorr.layers import DecorDense


def run(*arguments):
    done = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    return done.exit_code, " ".join(done.output.split())


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trained model in a file, and a batch for it."""
    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 6)) @ rng.normal(size=(6, 6))).astype("float32")
    y = rng.integers(0, 3, 60)
    decorrelator = keras_decorr.decorrelators.NormPreserving(1e-2, structure="full")
    model = keras_decorr.Sequential([
        keras.Input((6,)),
        DecorDense(5, activation="relu", decorrelator=decorrelator, name="hidden"),
        DecorDense(3, decorrelator=None, name="out"),
    ])  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(x, y, epochs=5, batch_size=20, verbose=0)
    model.save(folder / "net.keras")
    np.savez(folder / "batch.npz", x=x, y=y)
    np.savez(folder / "inputs.npz", x=x.astype("float64"))
    return folder, model, x, y


def test_a_model_and_a_batch_of_ones_own(saved):
    folder, model, x, y = saved
    code, output = run(folder / "net.keras", "--data", folder / "batch.npz", "--samples", 50)
    assert code == 0, output
    assert "net: correlations, before > after M" in output
    assert "net: degrees to the natural gradient" in output
    page = (folder / "net.html").read_text()
    state, *others = keras_decorr.metrics.decorrelation_state(model, x[:50])
    assert not others
    for figure in (state.energy_before, state.whiteness_after, state.condition):
        assert f"<td>{figure:.3g}</td>" in page
    found = keras_decorr.analysis.natural_gradient_alignment(model, x[:50], y[:50])
    for layer in found:
        assert f"<td>{layer.update.input_factor:.3g}</td>" in page
    images = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert len(images) == 4  # angles; correlations, spectra and M of the one layer
    assert all(base64.b64decode(image).startswith(b"\x89PNG") for image in images)
    assert "http" not in re.sub(r'base64,[^"]*', "", page)  # it needs nothing else
    assert "50 samples of batch.npz" in page


def test_what_it_sees_is_the_decorrelation(saved):
    _, model, x, y = saved
    before = [w.copy() for w in model.get_weights()]
    (seen,) = inspect("net", model, Batch(x, y, ""), angles=False).seen
    M = keras.ops.convert_to_numpy(model.layers[0].decorrelation.matrices[0])
    np.testing.assert_allclose(seen.M, M, rtol=1e-6)
    C = np.cov(x, rowvar=False, ddof=0)
    np.testing.assert_allclose(seen.correlations[0], C, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(seen.correlations[1], M @ C @ M.T, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(seen.spectra[0], np.linalg.eigvalsh(C)[::-1], rtol=1e-3, atol=1e-4)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_what_is_missing_is_said(saved, tmp_path):
    folder, *_ = saved
    code, output = run(
        folder / "net.keras", "--data", folder / "inputs.npz", "--out", tmp_path / "a.html"
    )
    assert code == 0, output
    assert "No natural-gradient angles: there are no targets" in output
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    plain.save(tmp_path / "plain.keras")
    code, output = run(tmp_path / "plain.keras", "--data", folder / "batch.npz")
    assert code == 0, output
    assert "no decorrelating layer, as the control of a comparison; `keras_decorr" in output
    assert "saved without a loss" in output
    plain.compile("sgd", keras.losses.Huber())
    plain.save(tmp_path / "plain.keras")
    code, output = run(tmp_path / "plain.keras", "--data", folder / "batch.npz")
    assert "negative log-likelihood" in output


def test_a_comparison_and_one_of_its_runs(small, tmp_path):
    compare(Config(epochs=1, structure=("full",)), tmp_path)
    code, output = run(tmp_path, "--samples", 40)
    assert code == 0, output
    assert "full-lr0.0003-seed0: correlations" in output
    assert "plain-lr0.0003-seed0: degrees" in output
    page = (tmp_path / "inspect.html").read_text()
    assert "Test accuracy of every run." in page
    assert "40 samples for testing of digits" in page
    one = tmp_path / "runs" / "full-lr0.0003-seed0"
    (one / "model.keras").unlink()
    code, output = run(one)
    assert code == 0, output
    assert "full-lr0.0003-seed0: No model was kept" in output
    assert "plain" not in output
    assert "Test accuracy of every run." in (one / "inspect.html").read_text()


def test_it_refuses_before_any_work(saved, tmp_path):
    folder, *_ = saved
    model, data = folder / "net.keras", folder / "batch.npz"
    text = tmp_path / "text.keras"
    text.write_text("no model")
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    (broken / "runs" / "plain").mkdir(parents=True)
    (broken / "runs" / "plain" / "epochs.csv").touch()
    (broken / "config.json").write_text("{broken")
    x, y = saved[2:]
    for name, of_file in {
        "high": {"x": x, "y": y + 7},
        "low": {"x": x, "y": y - 1},
        "no_axis": {"x": np.float32(3)},
        "no_targets": {"x": x, "y": np.int64(1)},
        "words": {"x": x, "y": y.astype(str)},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **of_file)
    cases = (
        ((model, "--data", tmp_path / "high.npz"), "high.npz with labels from 7 to 9"),
        (
            (model, "--data", tmp_path / "low.npz"),
            "has the classes 0 to 2. Give the labels of its own",
        ),
        ((model, "--data", tmp_path / "no_axis.npz"), "`x` of --data must hold samples of numbers"),
        ((model, "--data", tmp_path / "no_targets.npz"), "Received: shape (), dtype int64"),
        ((model, "--data", tmp_path / "words.npz"), "`y` of --data must hold samples of numbers"),
        ((tmp_path / "none.keras",), "no such model or folder"),
        ((data,), "must be a file that `model.save('name.keras')` wrote"),
        ((tmp_path / "empty",), "holds no finished run"),
        ((broken,), "The folder holds something else than a comparison"),
        ((text, "--data", data), "Keras cannot load"),
        ((model, "--data", tmp_path / "none.npz"), "Option --data must be an .npz file"),
        ((model, "--data", text), "as `numpy.savez(path, x=x, y=y)` writes it"),
        ((model, "--out", text / "report.html"), "--out must be a file that can be written"),
        ((model, "--out", tmp_path / "empty"), "--out must be a file that can be written"),
        (
            (model, "--samples", 8),
            "Choose another --dataset, or give inputs of your own with --data",
        ),
        ((model, "--dataset", "images"), "Argument `name` must be one of"),
    )
    for arguments, said in cases:
        code, output = run(*arguments)
        assert code == 2, arguments
        assert said in output
        assert "Traceback" not in output
    assert not list(tmp_path.glob("**/*.html"))
