"""One decorrelation step as a pure function: state and rows in, new state and report out."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.decorrelators.sample import Pool
from keras_decorr.decorrelators.structures import Structure
from keras_decorr.maths.correlation import off_diagonal_energy, squared_norms
from keras_decorr.typing import Tensor


class State(NamedTuple):
    """Everything that a decorrelation step changes.

    Attributes:
        matrices: Weights of M, in the order of `Structure.shapes`.
        memory: What the rule keeps beside each matrix that it updates: a tuple for every stage.
        steps: int32 scalar: decorrelation steps so far.
        skipped: int32 scalar: those of them that were skipped.
        mean: `(n,)` moving mean, or `None` if the layer does not centre.
        mean_count: Float32 scalar: the rows that the moving mean remembers, or `None`.
    """

    matrices: tuple
    memory: tuple
    steps: Any
    skipped: Any
    mean: Any = None
    mean_count: Any = None


# Of every report, besides what the rule counts.
REPORTS = ("decorrelation_loss", "skipped_updates", "updates")


def decorrelation_step(
    rule: Decorrelator,
    operator: Structure,
    state: State,
    sample: Pool,
    eta: Tensor,
    parts: int = 1,
) -> tuple[State, dict]:
    """Returns the state with a new M, and figures for the logs.

    Where the rows or the new M are not finite (a NaN in the batch, activations that overflow) the step
    is skipped and counted. Without a row that counts (a mask that leaves nothing), M stays.

    Args:
        rule: The decorrelation rule.
        operator: The structure of M for the features of the layer.
        state: The `State` before.
        sample: The `Pool` of rows.
        eta: Scalar decorrelation rate.
        parts: Equal parts of the features that never meet.

    Returns:
        `(state, report)`. The report holds float32 scalars: `decorrelation_loss`, the mean squared
        off-diagonal correlation before the step; `skipped_updates`, 1 if the step was skipped, and
        `updates`, 1 if not; and what the rule reports.
    """
    X, Z, weights = scaled_rows(sample)
    raw2 = squared_norms(X)
    # What is not finite never reaches a rule, whose eigendecomposition, say, would not end.
    probe = ops.sum(ops.square(raw2))
    usable = ops.isfinite(probe if sample.mean is None else probe + ops.sum(sample.mean))
    Z, raw2 = (ops.where(usable, A, 0.0) for A in (Z, raw2))

    stages, U = operator.stages(state.matrices, Z, raw2)
    matrices, memory = operator.track(state.matrices, Z, eta), []
    for stage, kept in zip(stages, state.memory, strict=True):
        stage = stage._replace(weights=weights, memory=kept, expected_rows=sample.expected_rows)
        M, *new_memory = rule.step(stage, eta)
        matrices.append(M)
        memory.append(tuple(new_memory))
    energy = off_diagonal_energy(U, sample.expected_rows, operator.row_axis, joint=parts == 1)

    norms = sum(ops.sum(ops.square(A)) for A in keras.tree.flatten((matrices, memory)))
    finite = ops.logical_and(usable, ops.isfinite(norms + energy))
    moves = ops.logical_and(finite, sample.count > 0.0)
    matrices, memory = keras.tree.map_structure(
        lambda new, old: ops.where(moves, new, old),
        (tuple(matrices), tuple(memory)),
        (state.matrices, state.memory),
    )
    pairs = max(operator.n * (operator.n // parts - 1), 1)
    taken = ops.cast(finite, "float32")
    report = {
        "decorrelation_loss": ops.where(finite, energy, 0.0) / pairs,
        "skipped_updates": 1.0 - taken,
        "updates": taken,
        **rule.report(stages),
    }
    skipped = state.skipped + ops.cast(ops.logical_not(finite), "int32")
    return state._replace(matrices=matrices, memory=memory, skipped=skipped), report


def moving_mean(state: State, momentum: float, count: Tensor, mean: Tensor) -> State:
    """Returns the state with the moving mean after a batch, which counts by its rows.

    Args:
        state: The `State` before.
        momentum: The factor for the weight of all earlier batches.
        count: Scalar: rows of the batch. With 0, or a mean that is not finite, nothing changes.
        mean: `(n,)` mean of the batch.
    """
    counts = ops.logical_and(is_usable(mean), count > 0.0)
    remembered = ops.where(counts, momentum * state.mean_count + count, state.mean_count)
    share = ops.where(counts, count / ops.maximum(remembered, 1.0), 0.0)
    change = ops.where(counts, mean - state.mean, 0.0)
    return state._replace(mean=state.mean + share * change, mean_count=remembered)


def is_usable(mean: Tensor) -> Tensor:
    """Returns whether a mean is finite, and its square, too."""
    return ops.isfinite(ops.sum(ops.square(mean)))


def scaled_rows(sample: Pool) -> tuple[Tensor, Tensor, Tensor]:
    """Returns raw and centred rows, scaled so that a mean over them is their weighted mean."""
    X, mean, weights = sample.X, sample.mean, sample.weights
    Z = X if mean is None else X - mean
    if weights is None:
        return X, Z, None
    rows = ops.cast(ops.shape(X)[0], "float32")
    weights = weights * (rows / ops.maximum(ops.sum(weights), 1e-9))
    scale = ops.expand_dims(ops.sqrt(weights), -1)
    # A row that does not count may hold anything, NaN too.
    X, Z = (ops.where(scale > 0.0, scale * A, 0.0) for A in (X, Z))
    return X, Z, weights
