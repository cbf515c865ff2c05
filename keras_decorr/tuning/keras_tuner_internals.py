"""KerasTuner's oracles and tuner, made to survive a kill at any moment and to learn from failed trials.

This is the one file that uses or overrides private names of KerasTuner: it has no public way to choose
how its files are written, which values a trial gets, or what becomes of an error in a trial.

What KerasTuner 1.4.8 does by itself: it sends a trial that was running for another run, but it writes
its files in place, so that a kill may leave half of one; it loses a trial killed between its two files;
grid search forgets where it was; and failed trials are left out, so that Bayesian optimization may
propose the same diverging rates again and again, and Hyperband waits in vain for them to be thrown out.
"""

import copy
import functools
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.src.tuners.gridsearch import LinkedList

from keras_decorr.files import write_text
from keras_decorr.typing import FilePath


def write_state(path: FilePath, state: dict) -> None:
    """Write a JSON file as KerasTuner reads it, whole or not at all."""
    write_text(Path(path), json.dumps(state))


class Resumable(keras_tuner.Oracle):
    """Goes before an oracle of KerasTuner. A trial that was killed is run again, from its start.

    The first trials take the default of every hyperparameter, but for what `starts` says.
    """

    starts: tuple[dict, ...] = ({},)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_collisions = 1000  # random draws before a small grid counts as searched whole

    def save(self) -> None:
        write_state(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        write_state(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def reload(self) -> None:
        super().reload()
        for trial_id, trial in sorted(self.trials.items()):
            if trial_id not in self.start_order:  # killed before the oracle's own file was written
                self.start_order.append(trial_id)
                self._record_values(trial)
            done = trial.status in ("COMPLETED", "FAILED") and trial_id in self.end_order
            if done and trial_id in self._retry_queue:  # killed after its end was written
                self._retry_queue.remove(trial_id)
            elif not done and trial_id not in self._retry_queue:
                self._retry_queue.append(trial_id)
        for trial_id in self._retry_queue:  # what a run has left that was killed at its end
            self.trials[trial_id].metrics = type(self.trials[trial_id].metrics)()

    @keras_tuner.synchronized
    def end_trial(self, trial: Any) -> None:
        super().end_trial(trial)
        self.save()  # KerasTuner saves before it takes the trial off those that run

    def _failed_as_worst(self, barred: Collection[str] = ()) -> Any:
        """This oracle as if trials that failed were completed with the worst score.

        It shares all but the trials, which others may be reading, with this one.
        """
        completed = [t.score for t in self.trials.values() if t.status == "COMPLETED"]
        worst = (min if self.objective.direction == "max" else max)(completed, default=None)
        other = copy.copy(self)
        other.trials = {}
        for trial_id, trial in self.trials.items():
            if worst is not None and trial.status == "FAILED" and trial_id not in barred:
                trial = copy.copy(trial)
                trial.status, trial.score = "COMPLETED", worst
            other.trials[trial_id] = trial
        return other

    def _random_values(self) -> Any:
        begun = len(self.start_order)
        if begun < len(self.starts):
            return self._default_values(self.starts[begun])
        return super()._random_values()

    def _default_values(self, changes: dict) -> Any:
        hps = keras_tuner.HyperParameters()
        for hp in self.hyperparameters.space:
            hps.merge([hp])
            if hps.is_active(hp):
                hps.values[hp.name] = changes.get(hp.name, hp.default)
        return hps.values


class ResumableTuner(keras_tuner.Tuner):
    """Goes before a tuner of KerasTuner. Any error but a `FailedTrialError` stops the search.

    Its file has one name for every process of a search, so that any number of them can resume it.
    """

    def _get_tuner_fname(self) -> str:
        return str(Path(self.project_dir) / "tuner.json")

    def save(self) -> None:
        if not self._is_worker():
            self.oracle.save()
            write_state(self._get_tuner_fname(), self.get_state())

    def _try_run_and_update_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        # KerasTuner would call a trial failed for any error, and make the same mistake in the next.
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = "COMPLETED"
        except keras_tuner.errors.FailedTrialError as error:
            trial.status, trial.message = "FAILED", str(error)


class RandomSearchOracle(Resumable, keras_tuner.oracles.RandomSearchOracle):
    """Draws at random what was not tried yet."""


class HyperbandOracle(Resumable, keras_tuner.oracles.HyperbandOracle):
    """Trains many for few epochs, and the best of them for more.

    A failed trial is one of those that are thrown out after a round.
    """

    def populate_space(self, trial_id: str) -> Any:
        barred: set = set()  # of rounds in which only failed trials are left to choose from
        while True:
            other = self._failed_as_worst(barred)
            response = keras_tuner.oracles.HyperbandOracle.populate_space(other, trial_id)
            self.__dict__.update({**vars(other), "trials": self.trials})
            chosen = response.get("values", {}).get("tuner/trial_id")
            if chosen is None or self.trials[chosen].status != "FAILED":
                return response
            for round_ in (round_ for bracket in self._brackets for round_ in bracket["rounds"]):
                round_[:] = [entry for entry in round_ if entry["id"] != trial_id]
            barred.add(chosen)


class BayesianOptimizationOracle(Resumable, keras_tuner.oracles.BayesianOptimizationOracle):
    """Models the score by a Gaussian process; a failed trial counts as the worst that was completed.

    Values that were tried already are replaced by random ones that were not.
    """

    def populate_space(self, trial_id: str) -> Any:
        # The state is not saved. So it depends on the number of the trial, and a search that goes on
        # proposes what it would have.
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        response = super().populate_space(trial_id)
        values = response["values"]
        if values is not None and self.start_order and self._duplicate(values):
            return self._random_populate_space()
        return response

    def _vectorize_trials(self) -> Any:
        other = self._failed_as_worst()
        return keras_tuner.oracles.BayesianOptimizationOracle._vectorize_trials(other)


class GridSearchOracle(Resumable, keras_tuner.oracles.GridSearchOracle):
    """Tries every combination."""

    def reload(self) -> None:
        super().reload()
        # KerasTuner walks along the trials in the order of their values, which it does not save.
        values = {trial_id: t.hyperparameters.values for trial_id, t in self.trials.items()}

        def compare(a: str, b: str) -> Any:
            return self._compare(values[a], values[b])

        self._ordered_ids = LinkedList()
        for trial_id in sorted(values, key=functools.cmp_to_key(compare)):
            self._ordered_ids.insert(trial_id)
        self._populate_next = list(self.start_order)
