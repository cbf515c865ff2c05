"""A grid whose process is killed, with others that help: the same results as of one that is not."""

import csv
import os
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

TEXT = """
rule = ["backprop", "feedback_alignment"]
batch_size = 64
epochs = 6
seeds = 2
train_size = 300
"""


def start(tmp_path, out):
    command = ["reproduce", "--grid", str(tmp_path / "mine.toml"), "--out", str(tmp_path / out)]
    return subprocess.Popen(
        [sys.executable, "-m", "keras_decorr.cli.main", *command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "200"},
    )  # fmt: skip


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_killed_in_mid_run_and_helped(tmp_path):
    (tmp_path / "mine.toml").write_text(TEXT)
    first = start(tmp_path, "killed")
    finished = []
    for _ in range(30_000):
        tables = {
            path: len(table(path)) for path in (tmp_path / "killed").glob("*/runs/*/epochs.csv")
        }
        finished = [path.parent.name for path, rows in tables.items() if rows == 6]
        if finished and any(0 < rows < 6 for rows in tables.values()):
            break
        assert first.poll() is None, first.stdout.read()
        time.sleep(0.01)
    first.kill()
    first.wait()
    assert list((tmp_path / "killed").glob("*/runs/*/lock-*"))  # it could not clean up
    helpers = [start(tmp_path, "killed") for _ in range(2)]
    whole = start(tmp_path, "whole")
    said = [helper.communicate(timeout=900)[0] for helper in helpers]
    assert [helper.returncode for helper in helpers] == [0, 0], said
    assert whole.communicate(timeout=900) and whole.returncode == 0

    names = {path.parent.name for path in (tmp_path / "whole").glob("*/runs/*/epochs.csv")}
    assert len(names) == 8
    for name in names:
        rest = name.removeprefix("feedback_alignment-")
        line = f"{'backprop' if rest == name else 'feedback_alignment'} {rest}: best"
        counted = sum(text.count(line) for text in said)
        assert counted == (name not in finished), (name, said)  # once, by one of them
        runs = [table(tmp_path / of / "digits-dense" / "runs" / name / "epochs.csv")
                for of in ("killed", "whole")]  # fmt: skip
        for a, b in zip(*runs, strict=True):
            for column in ("loss", "test_loss", "test_accuracy"):
                assert float(a[column]) == pytest.approx(float(b[column]), rel=1e-4)
    best = [[row["best_accuracy"] for row in table(tmp_path / of / "table.csv")]
            for of in ("killed", "whole")]  # fmt: skip
    assert best[0] == best[1]
