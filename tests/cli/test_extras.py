"""Every command asks for what it needs before any work."""

import sys

import pytest
from typer.testing import CliRunner

from keras_decorr.cli.main import app


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (["compare"], "sklearn", "data"),
        (["compare"], "tensorflow", "data"),
        (["compare"], "matplotlib", "plots"),
        (["compare", "--dataset", "cifar10"], "tensorflow_datasets", "data"),
        (["reproduce", "--grid", "mnist"], "tensorflow_datasets", "data"),
        (["reproduce"], "scipy", "data"),
        (["reproduce"], "matplotlib", "plots"),
        (["tune"], "keras_tuner", "tuner"),
        (["tune"], "matplotlib", "plots"),
        (["tune", "--dataset", "mnist"], "tensorflow_datasets", "data"),
    ],
)
def test_a_missing_package_is_named_before_any_work(
    tmp_path, monkeypatch, arguments, missing, extra
):
    monkeypatch.setitem(sys.modules, missing, None)
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2, done.output
    assert f"keras-decorr {arguments[0]} needs more packages: pip install" in done.stderr
    assert f'"keras-decorr[{extra}' in done.stderr
    assert not (tmp_path / "out").exists()


def test_inspect_needs_no_data_set_for_a_batch_of_ones_own(tmp_path, monkeypatch):
    model = tmp_path / "net.keras"
    model.touch()
    for module in ("sklearn", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)
    for arguments, extras in (([], "data,plots"), (["--data", "batch.npz"], "plots")):
        done = CliRunner().invoke(app, ["inspect", str(model), *arguments])
        assert done.exit_code == 2, done.output
        assert (
            f'keras-decorr inspect needs more packages: pip install "keras-decorr[{extras}]"'
            in (done.stderr)
        )
