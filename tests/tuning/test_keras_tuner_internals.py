"""Oracles that survive a kill, and learn from failed trials. No model is trained here."""

import sys

import keras_tuner
import numpy as np
import pytest

from keras_decorr.tuning.keras_tuner_internals import (
    BayesianOptimizationOracle,
    GridSearchOracle,
    HyperbandOracle,
    RandomSearchOracle,
)

ORACLES = {
    "random": RandomSearchOracle,
    "bayesian": BayesianOptimizationOracle,
    "grid": GridSearchOracle,
    "hyperband": HyperbandOracle,
}


class Killed(BaseException):
    """As good as kill -9: no code of the search catches it."""


def made(kind, folder, trials=12, values=5, epochs=4):
    """An oracle over a grid of two, which goes on if the folder holds a search."""
    space = keras_tuner.HyperParameters()
    for name in ("a", "b"):
        space.Choice(name, [str(i) for i in range(values)], default="1")
    limit = {"max_epochs": epochs} if kind == "hyperband" else {"max_trials": trials}
    objective = keras_tuner.Objective("val_accuracy", "max")
    oracle = ORACLES[kind](
        objective=objective, hyperparameters=space, seed=1, max_consecutive_failed_trials=None,
        **limit,
    )  # fmt: skip
    oracle.verbose = 0
    oracle._set_project_dir(str(folder), "search")
    if (folder / "search" / "oracle.json").exists():
        oracle.reload()
    return oracle


def pair(trial):
    return int(trial.hyperparameters.values["a"]), int(trial.hyperparameters.values["b"])


def finish(oracle, trial):
    """The high rates fail, the others are the better the higher they are."""
    a, b = pair(trial)
    if a + b >= 5:
        trial.status = "FAILED"
    else:
        oracle.update_trial(trial.trial_id, {"val_accuracy": 0.1 * a + 0.05 * b})
        trial.status = "COMPLETED"
    oracle.end_trial(trial)


def searched(oracle):
    while (trial := oracle.create_trial("tuner")).status == "RUNNING":
        finish(oracle, trial)
    return told(oracle)


def told(oracle):
    return [(i, pair(t), t.status, t.score) for i, t in sorted(oracle.trials.items())]


@pytest.mark.parametrize("kind", ORACLES)
def test_a_search_killed_in_every_trial_is_the_one_without_a_kill(kind, tmp_path):
    trials = 8 if kind == "bayesian" else 12  # its last two are proposed by the Gaussian process
    whole = searched(made(kind, tmp_path / "whole", trials))
    folder = tmp_path / "killed"
    for _ in range(100):
        trial = made(kind, folder, trials).create_trial("tuner")  # and killed
        oracle = made(kind, folder, trials)
        again = oracle.create_trial("another name")
        assert (again.trial_id, again.status) == (trial.trial_id, trial.status)
        if again.status != "RUNNING":
            break
        assert again.hyperparameters.values == trial.hyperparameters.values
        finish(oracle, again)  # and killed
    assert told(made(kind, folder, trials)) == whole
    assert {status for *_, status, _ in whole} == {"COMPLETED", "FAILED"}


@pytest.mark.parametrize("kind", ["random", "grid"])
@pytest.mark.parametrize("moment", ["begin", "metrics", "end"])
def test_a_kill_between_two_files_loses_no_trial(kind, moment, tmp_path, monkeypatch):
    oracle = made(kind, tmp_path, trials=7)
    for _ in range(3):
        finish(oracle, oracle.create_trial("tuner"))

    def kill(*args):
        raise Killed

    with pytest.raises(Killed):
        if moment == "begin":
            monkeypatch.setattr(oracle, "save", kill)  # the trial's own file is there
        trial = oracle.create_trial("tuner")
        if moment == "metrics":
            oracle.update_trial(trial.trial_id, {"val_accuracy": 0.9})  # not what it will reach
            raise Killed
        monkeypatch.setattr(oracle, "save", kill)
        finish(oracle, trial)
    (tmp_path / "search" / "oracle.partial").write_text('{"half a')
    trials = searched(made(kind, tmp_path, trials=7))
    assert len({values for _, values, *_ in trials}) == len(trials) == 7
    for _, (a, b), status, score in trials:
        assert status == ("FAILED" if a + b >= 5 else "COMPLETED")
        assert score is None or score == pytest.approx(0.1 * a + 0.05 * b)


def test_two_interrupted_trials_are_both_run_by_one_worker(tmp_path):
    oracle = made("bayesian", tmp_path, trials=9)
    for number in range(6):
        finish(oracle, oracle.create_trial(f"worker{number % 2}"))
    lost = [oracle.create_trial(f"worker{number}").trial_id for number in range(2)]
    oracle = made("bayesian", tmp_path, trials=9)
    again = []
    for _ in range(2):
        trial = oracle.create_trial("worker0")
        again.append(trial.trial_id)
        finish(oracle, trial)
    assert sorted(again) == sorted(lost)
    assert len(searched(oracle)) == 9


def test_bayesian_optimization_learns_from_failed_trials(tmp_path):
    oracle = made("bayesian", tmp_path, trials=14)
    trials = searched(oracle)
    assert len({values for _, values, *_ in trials}) == 14  # KerasTuner's repeats a failing pair
    scores = [score for *_, score in trials if score is not None]
    assert len(scores) < 14
    _, y = oracle._vectorize_trials()
    assert len(y) == 14
    failed = np.array([status == "FAILED" for *_, status, _ in trials])
    assert np.all(y[failed] == -min(scores))
    assert told(oracle) == trials


def test_hyperband_throws_failed_trials_out_first(tmp_path):
    oracle = made("hyperband", tmp_path, epochs=9)
    searched(oracle)
    rounds: dict = {}
    for trial in oracle.trials.values():
        values = trial.hyperparameters.values
        rounds.setdefault((values["tuner/bracket"], values["tuner/round"]), []).append(trial)
    assert set(rounds) == {(2, 0), (2, 1), (2, 2), (1, 0), (1, 1), (0, 0)}
    failed = {place: sum(t.status == "FAILED" for t in trials) for place, trials in rounds.items()}
    assert failed[2, 0] > 1  # so that KerasTuner's would not fill the round behind it
    for (bracket, number), trials in rounds.items():
        size = oracle._get_size(bracket, number)
        if number == 0:
            assert len(trials) == size
            continue
        scores = sorted((t.score for t in rounds[bracket, number - 1] if t.score), reverse=True)
        assert failed[bracket, number] == 0
        assert len(trials) == min(size, len(scores))
        came_from = [t.hyperparameters.values["tuner/trial_id"] for t in trials]
        assert sorted((oracle.trials[i].score for i in came_from), reverse=True) == scores[:size]


def test_hyperband_goes_on_where_all_fail(tmp_path, monkeypatch):
    def fail(oracle, trial):
        trial.status = "FAILED"
        oracle.end_trial(trial)

    monkeypatch.setattr(sys.modules[__name__], "finish", fail)
    trials = searched(made("hyperband", tmp_path, epochs=9))
    assert [status for *_, status, _ in trials] == ["FAILED"] * (9 + 5 + 3)


def test_a_small_grid_is_searched_whole(tmp_path):
    for kind in ("random", "grid"):
        trials = searched(made(kind, tmp_path / kind, trials=50, values=3))
        assert len({values for _, values, *_ in trials}) == len(trials) == 9


def test_a_search_begins_with_the_defaults_and_what_is_to_follow(tmp_path):
    for kind in ("random", "bayesian", "hyperband"):
        oracle = made(kind, tmp_path / kind)
        oracle.starts = ({}, {"b": "0"})
        assert [pair(oracle.create_trial(f"worker{i}")) for i in range(2)] == [(1, 1), (1, 0)]
