"""The command line."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from keras_decorr.cli.main import app


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "keras_decorr.cli.main", "compare", *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200", **environment},
    )  # fmt: skip


def test_the_command_trains_shows_and_writes(tmp_path):
    net = ["--net", "two_layer", "--epochs", "1", "--train-size", "128", "--test-size", "64"]
    # What runs once is compiled quickly, as `make test-jax` does.
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    done = command(*net, "--out", str(tmp_path / "out"), "--backend", "jax", XLA_FLAGS=quick)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "test accuracy" in done.stdout
    assert "auto" in done.stdout
    assert json.loads((tmp_path / "out" / "config.json").read_text())["backend"] == "jax"


def test_the_command_refuses_clearly(tmp_path):
    file = tmp_path / "file"
    file.write_text("in the way")
    out, none = ["--out", str(tmp_path / "out")], ["--data-dir", str(tmp_path / "none")]
    for written, said in (
        (["--out", str(file / "out")], "--out must be a folder that can be written to"),
        (["--dataset", "cifar10", *none, *out], "`data_dir` must be an existing folder"),
    ):
        done = CliRunner().invoke(app, ["compare", *written])
        assert done.exit_code == 2
        assert said in " ".join(done.output.split())


def test_an_option_takes_several_values_in_one_go(small, tmp_path):
    rules = [
        "--rule=backprop",
        "feedback_alignment",
        "--epochs",
        "1",
        "--rule",
        "node_perturbation",
    ]
    done = CliRunner().invoke(app, ["compare", *rules, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    saved = json.loads((tmp_path / "config.json").read_text())["config"]
    assert saved["rule"] == ["backprop", "feedback_alignment", "node_perturbation"]
    for shown in ("BP plain", "FA auto", "NP: node perturbation", "gain"):
        assert shown in done.output
    assert (tmp_path / "runs" / "node_perturbation-auto-lr0.0003-seed0").is_dir()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["--rule", "backprop", "hebb"], "Option --rule must be one of"),
        (
            ["--rule", "backprop", "node_perturbation", "--batch-normalization"],
            "Received: --batch-normalization --rule node_perturbation",
        ),
        (["--decorrelation-rate", "1e-5", "-1"], "-1"),
    ],
)
def test_it_refuses_before_any_work(tmp_path, written, said):
    done = CliRunner().invoke(app, ["compare", *written, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
