"""Tuners: searches that end, resume and fail as they should."""

import keras_tuner
import pytest

from keras_decorr.tuning import make_tuner
from tests.helpers import few_of
from tests.tuning.searches import ended, small_search


def test_an_objective_that_is_not_in_the_logs_is_refused_at_the_first_epoch(data, tmp_path):
    x, y = data
    objective = keras_tuner.Objective("val_acc", "max")
    tuner = make_tuner("grid", small_search(), objective, tmp_path)
    with pytest.raises(ValueError, match=r"`objective` .*'loss'.*`validation_data`.*'val_acc'"):
        tuner.search(x, y, epochs=1, verbose=0)


@pytest.mark.parametrize(
    "name",
    few_of(["random", "bayesian", "grid", "hyperband"], ("random", "hyperband").__contains__),
)
def test_tuners_run_and_diverging_trials_fail(name, data, tmp_path, quick):
    if name in ("bayesian", "grid"):  # these train as the random one does
        quick()
    limit = {"epochs": 3} if name == "hyperband" else {"trials": 4}
    tuner = make_tuner(name, small_search(), "val_accuracy", tmp_path / "search", **limit)
    found = ended(tuner, data, **({} if name == "hyperband" else {"epochs": 1}))
    assert found == {("0.001", "COMPLETED"), ("1e+30", "FAILED")}
    assert tuner.get_best_hyperparameters()[0].get("learning_rate") == "0.001"
    for trial in tuner.oracle.trials.values():
        assert (trial.message or "").startswith("The trial diverges") == (trial.status == "FAILED")
    again = make_tuner(name, small_search(), "val_accuracy", tmp_path / "search", **limit)
    again.run_trial = None  # there is nothing left to run
    assert ended(again, data) == found


def test_another_error_stops_the_search(data, tmp_path):
    tuner = make_tuner("random", small_search(), "val_accuracy", tmp_path / "search", trials=3)
    with pytest.raises(ValueError):
        tuner.search(data[0], data[1][:5], verbose=0)
    assert len(tuner.oracle.trials) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "annealing"}, "`name` must be one of.*'annealing'"),
        ({"name": "hyperband"}, "plans its trials from the most `epochs`"),
        ({"name": "hyperband", "epochs": 3, "trials": 3}, "plans its trials"),
        ({"name": "random", "epochs": 3}, "epochs in `search`"),
    ],
)
def test_a_tuner_that_cannot_be_is_refused(arguments, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        make_tuner(
            hypermodel=small_search(), objective="val_accuracy", directory=tmp_path, **arguments
        )
