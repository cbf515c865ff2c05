"""One decorrelation step as a pure function: state and rows in, new state and report out."""

from typing import Any, NamedTuple

from keras import ops

from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.decorrelators.sample import Pool
from keras_decorr.decorrelators.structures import Stage, Structure
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


def decorrelation_step(
    rule: Decorrelator, operator: Structure, state: State, sample: Pool, parts: int = 1
) -> tuple[State, dict]:
    """Returns the state after one decorrelation step, and figures for the logs.

    Where the statistics are not finite (a NaN in the batch, activations that overflow) the step is
    skipped and counted. Without a row that counts (a mask that leaves nothing), M and the mean stay.

    Args:
        rule: The decorrelation rule.
        operator: The structure of M for the features of the layer.
        state: The `State` before.
        sample: The `Pool` of rows.
        parts: Equal parts of the features that never meet.

    Returns:
        `(state, report)`. The report holds float32 scalars: `decorrelation_loss`, the mean squared
        off-diagonal correlation before the step; `skipped_updates`, 1 if the step was skipped; and what
        the rule reports.
    """
    X, Z, weights = _scaled_rows(sample)
    stages, U = operator.stages(state.matrices, Z, squared_norms(X))
    reports = rule.report(stages)

    finite = _is_finite(stages, sample)
    any_row = sample.count > 0.0
    eta = ops.cast(rule.learning_rate, "float32")
    eta = ops.where(ops.logical_and(finite, any_row), eta, 0.0)

    def or_zero(x: Tensor) -> Tensor:
        return ops.where(finite, x, 0.0)

    def new_weights() -> tuple[tuple, tuple]:
        matrices, memory = operator.track(state.matrices, or_zero(Z), eta), []
        for stage, kept in zip(stages, state.memory, strict=True):
            stage = stage._replace(
                **{name: or_zero(getattr(stage, name)) for name in ("Z", "U", "x2", "u2", "raw2")},
                weights=weights,
                memory=kept,
                expected_rows=sample.expected_rows,
            )
            M, *new_memory = rule.step(stage, eta)
            matrices.append(M)
            memory.append(tuple(new_memory))
        return tuple(matrices), tuple(memory)

    if rule.update_every == 1:
        matrices, memory = new_weights()
    else:
        due = ops.equal(state.steps % rule.update_every, 0)
        matrices, memory = ops.cond(due, new_weights, lambda: (state.matrices, state.memory))
    mean, mean_count = _moving_mean(rule, state, sample, finite)
    skipped = ops.cast(ops.logical_not(finite), "int32")
    state = State(matrices, memory, state.steps + 1, state.skipped + skipped, mean, mean_count)
    pairs = max(operator.n * (operator.n // parts - 1), 1)
    energy = off_diagonal_energy(
        or_zero(U), sample.expected_rows, operator.row_axis, joint=parts == 1
    )
    report = {
        "decorrelation_loss": energy / pairs,
        "skipped_updates": ops.cast(skipped, "float32"),
        **reports,
    }
    return state, report


def _scaled_rows(sample: Pool) -> tuple[Tensor, Tensor, Tensor]:
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


def _is_finite(stages: list[Stage], sample: Pool) -> Tensor:
    # A NaN or an infinity anywhere shows in this sum. The square bounds every product of two elements
    # of U that the step forms.
    norms = [stages[0].raw2, stages[0].x2, *(stage.u2 for stage in stages)]
    probe = ops.sum(ops.square(ops.sum(ops.stack(norms), axis=-1)))
    return ops.isfinite(probe if sample.mean is None else probe + ops.sum(sample.mean))


def _moving_mean(
    rule: Decorrelator, state: State, sample: Pool, finite: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the moving mean and the rows that it remembers, older ones by less."""
    if state.mean is None:
        return None, None
    counts = ops.logical_and(finite, sample.count > 0.0)
    count = ops.where(counts, rule.momentum * state.mean_count + sample.count, state.mean_count)
    share = ops.where(counts, sample.count / ops.maximum(count, 1.0), 0.0)
    change = ops.where(counts, sample.mean - state.mean, 0.0)
    return state.mean + share * change, count
