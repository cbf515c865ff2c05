"""The command `keras-decorr tune`."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keras_decorr.cli.main import app
from keras_decorr.cli.tune.distributed import free_port
from keras_decorr.cli.tune.net_hyper_model import NetHyperModel
from tests.helpers import eagerly

# Nets of the digits are small, and so is this part of them.
SMALL = ["--train-size", "100", "--batch-size", "32", "--epochs", "1", "--validation", "0.2"]


@pytest.fixture(autouse=True)
def eager_trials(monkeypatch):
    """Trials of this process that are not compiled."""
    eagerly(monkeypatch, NetHyperModel)


def in_process(*arguments):
    done = CliRunner().invoke(app, ["tune", *arguments])
    return done.exit_code, " ".join(done.output.split())


def started(out, *arguments, **environment):
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "keras_decorr.cli.main", "tune", *SMALL, *arguments,
         "--out", str(out)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "150", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def trials(out):
    with open(out / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_it_searches_shows_and_writes_and_goes_on(small, tmp_path):
    out = tmp_path / "out"
    arguments = [*SMALL, "--tuner", "random", "--structure", "full", "monarch", "--out", str(out)]
    code, said = in_process(*arguments, "--trials", "2")
    assert code == 0, said
    assert "2 of 2 ended" in said
    assert "best rates (validation accuracy)" in said
    assert "best plain" in said
    rows = trials(out)
    assert [row["status"] for row in rows] == ["completed"] * 2
    assert [float(row["learning_rate"]) for row in rows] == [3e-4] * 2
    assert [float(row["decorrelation_rate"]) for row in rows] == [2e-3, 0]  # default and control
    assert [row["structure"] for row in rows] == ["full", ""]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["default"]["trial"] == "0" and summary["control"]["trial"] == "1"
    assert summary["trials"] == {"completed": 2, "failed": 0, "running": 0}
    assert (out / "heat_map.png").read_bytes().startswith(b"\x89PNG")
    assert not list(out.glob("search/*/*.h5"))
    saved = json.loads((out / "config.json").read_text())
    assert saved["config"]["validation"] == 0.2
    assert saved["decorrelation_rates"][0] == "0"

    code, said = in_process(*arguments, "--trials", "3")  # more of them
    assert code == 0, said
    assert trials(out)[:2] == rows
    assert len(trials(out)) == 3

    code, said = in_process(*arguments, "--trials", "3", "--seed", "1")
    assert code == 2
    assert "holds a search with another seed" in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["--tuner", "annealing"], "Option --tuner must be one of ['random', 'bayesian'"),
        (["--net", "deep"], "Option --net must be one of"),
        (["--structure", "round"], "Option --structure must be one of"),
        (["--optimizer", "downhill"], "Option --optimizer must be one of"),
        (["--learning-rates", "1e-2", "1e-3"], "Options --learning-rates and --per-decade must"),
        (["--decorrelation-rates", "4e-4", "6e-4"], "must leave something to search"),
        (["--decorrelation-rates", "-1e-5", "1e-3"], "Received: -1e-05"),
        (["--per-decade", "7"], "must be 1, 2 or 3. Received: 7"),
        (
            ["--decorrelator", "zca", "--decorrelation-rates", "0.1", "3"],
            "of --decorrelator zca must",
        ),
        (["--preserve", "mean"], "Option --preserve must be one of ['centred', 'raw'"),
        (
            ["--gain-rate", "0"],
            "Option --gain-rate must be a finite number in (0, 1]. Received: 0.0",
        ),
        (
            ["--gain-rate", "1", "--decorrelator", "zca"],
            "Option --gain-rate is for the decorrelators",
        ),
        (["--tuner", "hyperband", "--trials", "5"], "Option --trials is not for --tuner hyperband"),
        (["--validation", "0"], "Option --validation must be a finite number in (0, 0.9]"),
        (["--workers", "0"], "Option --workers must be an integer of at least 1"),
        (["--trials", "0"], "Option --trials must be an integer of at least 1"),
        (["--train-size", "50"], "must leave a batch of training images"),
        (
            ["--train-size", "99999"],
            "`train_size` of the data set 'digits' must be between 1 and 1437",
        ),
        (["--dataset", "cifar10", "--data-dir", "/none/such"], "must be an existing folder"),
    ],
)
def test_it_refuses_in_a_line(tmp_path, written, said):
    code, output = in_process(*written, "--out", str(tmp_path / "out"))
    assert code == 2, output
    assert said in output
    assert "Traceback" not in output
    assert not (tmp_path / "out" / "config.json").exists()  # or the next command would be refused


@pytest.mark.parametrize(
    "content", ["{broken", "[]", '{"config": {"epochs": 3}}', '{"learning_rates": []}']
)
def test_the_folder_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    code, output = in_process("--out", str(tmp_path))
    assert code == 2
    assert "ValueError: The folder holds something else than a search. Choose another" in output
    assert (tmp_path / "config.json").read_text() == content


def test_the_folder_of_another_version_is_refused(tmp_path, small):
    arguments = [*SMALL, "--tuner", "random", "--out", str(tmp_path)]
    assert in_process(*arguments, "--trials", "1")[0] == 0
    written = (tmp_path / "config.json").read_text()
    for package in ("keras-decorr", "keras"):
        saved = json.loads(written)
        saved["versions"][package] = "0.0.1"
        (tmp_path / "config.json").write_text(json.dumps(saved))
        code, output = in_process(*arguments, "--trials", "2")
        assert code == 2
        assert f"The folder holds runs of {package} 0.0.1, and this is {package} " in output


def test_a_full_disk_is_told_and_it_goes_on(tmp_path, small, monkeypatch):
    arguments = [*SMALL, "--tuner", "random", "--trials", "2", "--out", str(tmp_path)]
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        code, output = in_process(*arguments)
    assert code == 2
    assert f"The results could not be written to {tmp_path}: [Errno 28] No space left" in output
    assert "again: the trial that was running begins anew." in output
    assert "Traceback" not in output
    code, output = in_process(*arguments)
    assert code == 0, output
    assert [row["status"] for row in trials(tmp_path)] == ["completed"] * 2


def test_the_variables_of_the_chief_go_together(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    code, output = in_process("--out", str(tmp_path))
    assert code == 2
    assert "KERASTUNER_ORACLE_PORT must be set together, or none of them" in output


@pytest.mark.slow
def test_a_search_killed_in_mid_trial_goes_on_to_the_same_end(tmp_path):
    arguments = ["--tuner", "random", "--trials", "3"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert started(whole, *arguments).wait() == 0
    process = started(killed, *arguments)
    second = killed / "search" / "trial_1" / "trial.json"
    while not second.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads(second.read_text())["status"] == "RUNNING"
    assert not (killed / "trials.csv").exists()
    process = started(killed, *arguments)
    assert process.wait() == 0, process.stdout.read()
    clock = {"seconds"}
    for mine, theirs in zip(trials(killed), trials(whole), strict=True):
        for name in mine.keys() - clock:
            if name == "loss":
                assert float(mine[name]) == pytest.approx(float(theirs[name]), rel=1e-4)
            else:
                assert mine[name] == theirs[name]


GRID = [
    "--tuner", "grid", "--per-decade", "1", "--learning-rates", "1e-4", "1e-3",
    "--decorrelation-rates", "1e-3", "1e-3",
]  # fmt: skip
TOLD = re.compile(r"^trial (\d+) completed: accuracy 0\.\d{4} in epoch 1, ", re.MULTILINE)


@pytest.fixture(scope="module")
def one_process(tmp_path_factory):
    """What the search of a grid finds: the rates, and the accuracy, of nine trials."""
    out = tmp_path_factory.mktemp("one")
    assert started(out, *GRID).wait() == 0
    found = told(out)
    assert len(found) == 9
    return found


def told(out):
    rates = ("learning_rate", "decorrelation_rate")
    assert {row["status"] for row in trials(out)} == {"completed"}
    return {tuple(row[n] for n in rates): float(row["accuracy"]) for row in trials(out)}


def wait_for(what, process):
    while not (found := what()):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    return found


def running(out):
    """The trials that a worker has begun and not ended."""
    states = [json.loads(path.read_text()) for path in (out / "search").glob("trial_*/trial.json")]
    return [state["trial_id"] for state in states if state["status"] == "RUNNING"]


@pytest.mark.slow
def test_two_workers_do_the_search_of_one(tmp_path, one_process):
    process = started(tmp_path, *GRID, "--workers", "2")
    assert process.wait() == 0, process.stdout.read()
    assert told(tmp_path) == pytest.approx(one_process, abs=0.05)
    logs = [path.read_text() for path in sorted((tmp_path / "workers").glob("*.log"))]
    did = [TOLD.findall(log) for log in logs]
    assert len(did) == 2 and all(did)
    assert sorted(did[0] + did[1]) == [row["trial"] for row in trials(tmp_path)]


@pytest.mark.slow
def test_a_search_goes_on_after_a_worker_was_killed(tmp_path, one_process):
    process = started(tmp_path, *GRID, "--workers", "2")
    wait_for(lambda: len(running(tmp_path)) == 2, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[0]), signal.SIGKILL)
    assert process.wait(timeout=60) == 2
    assert "ended with exit code -9" in process.stdout.read()
    assert not (tmp_path / "trials.csv").exists()
    process = started(tmp_path, *GRID, "--workers", "2")
    assert process.wait() == 0, process.stdout.read()
    assert told(tmp_path) == pytest.approx(one_process, abs=0.05)


@pytest.mark.slow
def test_a_worker_of_another_machine_is_killed_and_started_again(tmp_path, one_process):
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port())}

    def named(name):
        return started(tmp_path, *GRID, KERASTUNER_TUNER_ID=name, **place)

    chief, worker = named("chief"), named("worker0")
    (trial,) = wait_for(lambda: running(tmp_path), worker)
    worker.kill()
    assert not TOLD.findall(worker.communicate()[0])
    worker = named("worker0")
    assert worker.wait() == 0
    assert TOLD.findall(worker.stdout.read())[0] == trial
    assert chief.wait(timeout=60) == 0, chief.stdout.read()
    assert told(tmp_path) == pytest.approx(one_process, abs=0.05)
