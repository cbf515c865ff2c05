"""One training run, which resumes exactly after its process was killed at any moment.

After each epoch the weights and the table of epochs are written, each whole or not at all, weights
first. `keras.callbacks.BackupAndRestore` writes weights and epoch in place: a kill between the two
trains an epoch twice. `keras.callbacks.CSVLogger` appends: a kill leaves half a line, or the row of an
epoch that is trained again.
"""

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_decorr.cli.compare.config import Net
from keras_decorr.cli.optimizers import make_optimizer
from keras_decorr.files import atomic_write, check_room, write_csv

MODEL = "model.keras"
TABLE = "epochs.csv"
# Those that a run has.
FIELDS = (
    "epoch",
    "seconds",
    "loss",
    "accuracy",
    "perplexity",
    "test_loss",
    "test_accuracy",
    "validation_loss",
    "validation_perplexity",
    "top_5_accuracy",
    "test_top_5_accuracy",
    "decorrelation_loss",
    "skipped_updates",
    "unsettled_updates",
)


@dataclass(frozen=True)
class Run:
    """Describes one training of one net."""

    variant: str
    learning_rate: float
    seed: int
    epochs: int
    rule: str = "backprop"
    decorrelation_rate: float | None = None  # the usual one of the configuration

    @classmethod
    def of(cls, config: Any, net: Any, rates: Any, seed: int, epochs: int) -> Any:
        """Returns the run of a `Net` with certain `Rates`."""
        usual = rates.decorrelation is None or rates.decorrelation == config.usual_rate(net)
        rate = None if usual else rates.decorrelation
        return cls(net.variant, rates.learning, seed, epochs, net.rule, rate)

    @property
    def net(self) -> Any:
        """The `Net` that it trains."""
        return Net(self.rule, self.variant)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.net.name}-{self._numbers}"

    @property
    def title(self) -> str:
        """Its rule, variant, rates and seed, for a progress bar."""
        return f"{self.rule} {self.variant}-{self._numbers}"

    @property
    def _numbers(self) -> str:
        rate = self.decorrelation_rate
        eta = "" if rate is None else f"-eta{rate:g}"
        return f"lr{self.learning_rate:g}{eta}-seed{self.seed}"


def load_data(config: Any) -> Any:
    """Loads the data that the runs of a configuration train and test with."""
    return config.task.load(config).first(config.train_size, config.test_size)


def build(config: Any, run: Any, data: Any) -> Any:
    """Builds and compiles the model of a run, with the weights of its seed."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(run.seed)
    decorrelator = None
    if run.variant in config.decorrelations:
        rate = run.decorrelation_rate
        rate = config.usual_rate(run.net) if rate is None else rate
        decorrelator = config.new_decorrelator(run.variant, rate)
    chosen = {"batch_normalization": True} if run.variant == "batch_normalization" else {}
    model = config.make_net(data, decorrelator, run.rule, **chosen)
    steps = config.epochs * config.task.batches(data, config.batch_size)
    model.compile(
        make_optimizer(config.optimizer, run.learning_rate, config.schedule, steps),
        config.task.loss(),
        metrics=config.task.metrics(data),
        **({"learning_rule": run.rule} if run.rule != "backprop" else {}),
    )
    return model


def train(
    config: Any,
    run: Any,
    data: Any,
    folder: Path,
    callbacks: Sequence = (),
    keep_model: bool = False,
) -> Any:
    """Trains a run to its last epoch; one that was begun before resumes after its last whole epoch.

    Args:
        config: The `Config`.
        run: The `Run`.
        data: The data set, of `load_data`.
        folder: Folder of the comparison; the run writes to a folder of its own inside.
        callbacks: Keras callbacks, of the training and of the test after every epoch.
        keep_model: Save the trained model, without what its optimizer has gathered, to `model.keras`
            in the run's folder.

    Returns:
        One dictionary per epoch: `epoch` (from 1), `seconds` of training, and the metrics.
    """
    folder = Path(folder) / "runs" / run.name
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / TABLE
    rows = read(table)
    if len(rows) >= run.epochs:
        return rows[: run.epochs]
    task = config.task
    model = build(config, run, data)
    held_out = task.held_out(data)
    if rows and _checkpoint(folder, len(rows)).exists():
        model.optimizer.build(model.trainable_variables)
        # Builds the metrics, for which Keras would take a batch from the epoch and so shuffle it again.
        model.evaluate(held_out.take(1), verbose=0)
        model.load_weights(_checkpoint(folder, len(rows)))
    else:
        rows = []
    for epoch in range(len(rows), run.epochs):
        # Each epoch has a seed of its own, so that a resumed run sees the same batches.
        check_room(model, folder)
        batches = task.train(data, config, 1000 * run.seed + epoch)
        start = time.perf_counter()
        history = model.fit(
            batches,
            initial_epoch=epoch,
            epochs=epoch + 1,
            verbose=0,
            shuffle=False,
            callbacks=list(callbacks),
        )
        seconds = time.perf_counter() - start
        logs = task.figures({name: values[-1] for name, values in history.history.items()})
        found = model.evaluate(held_out, verbose=0, return_dict=True, callbacks=list(callbacks))
        logs |= {f"{task.part}_{name}": value for name, value in task.figures(found).items()}
        rows.append({"epoch": epoch + 1, "seconds": seconds, **logs})
        # First the weights, then the table that counts the epoch, then the old weights are deleted.
        _save(model, _checkpoint(folder, epoch + 1))
        write(table, rows)
        _checkpoint(folder, epoch).unlink(missing_ok=True)
    if keep_model:
        save(model, folder / MODEL)
    return rows


def _save(model: Any, checkpoint: Path) -> None:
    with atomic_write(checkpoint) as partial:
        check_room(model, checkpoint.parent)
        model.save_weights(partial, overwrite=True)


def _checkpoint(folder: Path, epochs: int) -> Path:
    return folder / f"checkpoint-{epochs}.weights.h5"


def delete_checkpoints(folder: Path) -> None:
    """Deletes the checkpoints in the folder of a run that will not resume."""
    for path in Path(folder).glob("*.weights.h5"):
        path.unlink(missing_ok=True)


def save(model: Any, path: Path) -> None:
    """Saves a model without the state of its optimizer, whole or not at all."""
    model.optimizer = None
    with atomic_write(path) as partial:
        model.save(partial)


def read(table: Path) -> list:
    """Reads the rows of a table of epochs; none if there is no table.

    Raises:
        ValueError: If it is damaged.
    """
    if not table.exists():
        return []
    try:
        with table.open(newline="") as file:
            rows = [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]
        return [{**row, "epoch": int(row["epoch"])} for row in rows]
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise ValueError(
            f"The table of epochs {table} is damaged ({error}). Delete it, and its run begins anew."
        ) from error


def write(table: Path, rows: list[dict]) -> None:
    """Writes a table of epochs, whole or not at all."""
    write_csv(table, rows, [name for name in FIELDS if name in rows[0]])
