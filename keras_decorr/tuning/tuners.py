"""Tuners that resume after a kill, over the oracles of `keras_tuner_internals.py`."""

import contextlib
import io
from pathlib import Path
from typing import Any

import keras_tuner

from keras_decorr.files import check_room
from keras_decorr.tuning import keras_tuner_internals as internals
from keras_decorr.typing import FilePath

ORACLES = {
    "random": internals.RandomSearchOracle,
    "bayesian": internals.BayesianOptimizationOracle,
    "hyperband": internals.HyperbandOracle,
    "grid": internals.GridSearchOracle,
}


class Tuner(internals.ResumableTuner):
    """KerasTuner's tuner for one process or, by KerasTuner's environment variables, for several.

    Its state does not depend on who it is in a search by several processes: any number of them can go
    on with what another number began. It tells `watcher`, if there is one, what happens.
    """

    watcher = None

    def __init__(self, oracle: Any, hypermodel: Any, **kwargs: Any) -> None:
        # By name: the next in line may be Hyperband, which makes an oracle of its own.
        keras_tuner.Tuner.__init__(self, oracle, hypermodel, **kwargs)

    def on_trial_begin(self, trial: Any) -> None:
        super().on_trial_begin(trial)
        self._tell("on_trial_begin", trial)

    def on_epoch_end(self, trial: Any, model: Any, epoch: int, logs: dict | None = None) -> None:
        logs, objective = logs or {}, self.oracle.objective
        if not objective.has_value(logs):
            raise ValueError(
                f"Argument `objective` of the tuner must be in the logs of `fit`: {sorted(logs)}. "
                "Those with 'val_' need `validation_data` or `validation_split` in `search`. "
                f"Received: {objective.name!r}"
            )
        super().on_epoch_end(trial, model, epoch, logs)
        # Next KerasTuner writes the weights, and h5py may crash where there is no room for them.
        check_room(model, self.get_trial_dir(trial.trial_id))
        self._tell("on_epoch_end", trial, epoch, logs or {})

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self._tell("on_trial_end", trial)

    def _tell(self, event: str, *args: Any) -> None:
        if self.watcher is not None:
            getattr(self.watcher, event)(*args)


class Hyperband(Tuner, keras_tuner.Hyperband):
    """Hyperband trains the best trials on from their checkpoints."""


def make_tuner(
    name: str,
    hypermodel: Any,
    objective: Any,
    directory: FilePath,
    trials: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Tuner:
    """A KerasTuner tuner whose search can be killed at any moment and goes on when it is made again.

    `search` takes the arguments of `keras.Model.fit`. The first trial takes the default values, the
    second these without decorrelation (but for a grid, which has its own order). The trial that was
    killed is run again from its start. A failed trial is not tried again, and Bayesian
    optimization learns from it. Any other error stops the search.

    Args:
        name: `"random"`, `"bayesian"`, `"hyperband"` or `"grid"`.
        hypermodel: A `DecorHyperModel`, or another of KerasTuner's.
        objective: What to optimise, such as `"val_accuracy"`.
        directory: Folder of this search. If it holds one, that goes on.
        trials: Most trials. Defaults to 20; of a grid, to all. Hyperband has a plan of its own.
        epochs: Most epochs of a trial; for Hyperband, which needs it.
        seed: Seed of the proposals. Defaults to 0.
        **kwargs: Further arguments of `keras_tuner.Tuner`.

    Returns:
        A `keras_tuner.Tuner`.

    Raises:
        ValueError: If the name is unknown, or `trials` or `epochs` does not suit it.

    Example:

    >>> import keras, keras_decorr, tempfile
    >>> net = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, activation="softmax")])
    >>> hyper_model = keras_decorr.tuning.DecorHyperModel(
    ...     net, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> tuner = keras_decorr.tuning.make_tuner(
    ...     "bayesian", hyper_model, "val_accuracy", tempfile.mkdtemp(), trials=12)
    >>> tuner.remaining_trials
    12
    """
    if name not in ORACLES:
        raise ValueError(f"Argument `name` must be one of {list(ORACLES)}. Received: {name!r}")
    hyperband = name == "hyperband"
    if hyperband == (epochs is None) or (hyperband and trials is not None):
        raise ValueError(
            "Hyperband plans its trials from the most `epochs` of one; the others take `trials` here, "
            f"and epochs in `search`. Received: {name!r} with trials={trials}, epochs={epochs}"
        )
    # A seed of 0 means a random one to KerasTuner.
    arguments = {"objective": objective, "seed": seed + 1}
    if hyperband:
        arguments |= {"max_epochs": epochs}
    else:
        arguments |= {"max_trials": 20 if trials is None and name != "grid" else trials}
    # Divergence is no reason to stop: a search may well start among rates that are too high.
    oracle = ORACLES[name](max_consecutive_failed_trials=None, **arguments)
    oracle.starts = getattr(hypermodel, "starts", oracle.starts)
    directory = Path(directory)
    kind = Hyperband if hyperband else Tuner
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it goes on
        return kind(
            oracle,
            hypermodel,
            directory=str(directory.parent),
            project_name=directory.name,
            **kwargs,
        )
