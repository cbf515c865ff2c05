"""What is found in a path, and the samples to inspect it with; test_command.py inspects models."""

import json

import numpy as np
import pytest

from keras_decorr.cli.compare.run import write
from keras_decorr.cli.inspect.inspection import Batch, curves, find, shown, usual_report

ROW = {
    "epoch": 1, "seconds": 9.0, "loss": 1.0, "accuracy": 0.5, "test_loss": 1.5, "test_accuracy": 0.25,
}  # fmt: skip


@pytest.fixture
def comparison(tmp_path):
    for name in ("plain-seed0", "plain-seed1"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        later = {**ROW, "epoch": 2, "seconds": 2.0, "test_accuracy": 0.5}
        write(tmp_path / "runs" / name / "epochs.csv", [ROW, later])
    (tmp_path / "runs" / "plain-seed0" / "model.keras").touch()
    (tmp_path / "config.json").write_text(json.dumps({"config": {"dataset": "mnist"}}))
    return tmp_path


def test_the_runs_of_a_comparison_and_one_of_them(comparison):
    runs, config = find(comparison)
    assert config == {"dataset": "mnist"}
    first, second = (comparison / "runs" / name for name in ("plain-seed0", "plain-seed1"))
    assert runs == {
        "plain-seed0": (first / "model.keras", first / "epochs.csv"),
        "plain-seed1": (None, second / "epochs.csv"),
    }
    assert find(first) == ({"plain-seed0": runs["plain-seed0"]}, config)
    assert curves(first / "epochs.csv") == (2.0, [0.25, 0.5])  # the first epoch compiles
    assert curves(None) is None


def test_the_report_is_beside_a_model_or_in_a_folder(tmp_path):
    assert usual_report(tmp_path) == tmp_path / "inspect.html"
    assert usual_report(tmp_path / "net.keras") == tmp_path / "net.html"


def test_a_batch_of_a_file(tmp_path):
    path = tmp_path / "batch.npz"
    np.savez(path, x=np.zeros((5, 2)), y=np.arange(5))
    batch = Batch.of_file(path, 3)
    assert (batch.x.shape, batch.x.dtype) == ((3, 2), "float32")
    assert batch.y.tolist() == [0, 1, 2]
    assert batch.source == "3 samples of batch.npz"
    np.savez(path, z=np.zeros(3))
    with pytest.raises(ValueError, match="must hold inputs `x`"):
        Batch.of_file(path, 3)


def test_figures_as_text():
    assert [shown(v) for v in (None, float("nan"), 0.12345, 3, "full")] == [
        "-", "-", "0.123", "3", "full",
    ]  # fmt: skip
