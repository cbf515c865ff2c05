"""What a decorrelation costs, counted in multiply-adds, and the structure of M to choose by it."""

from typing import NamedTuple

from keras_decorr.decorrelators.structures import STRUCTURES, BlockDiagonal
from keras_decorr.maths.sampling import sample_count

# The batch to choose for where its size is not known: an order of multiplication, or a structure.
USUAL_BATCH = 256

# `structure="auto"`: the first of these whose extra cost is within the budget, a share of the layer's
# own training step; if none is, the last. A full M is nearly free where patches are small.
AUTO = ("full", "monarch")
AUTO_BUDGET = 0.05


class Work(NamedTuple):
    """What the linear map behind a decorrelation does, for `n` features.

    Attributes:
        rows: Rows (patches, steps) a sample; 1 where that is not known.
        columns: Columns of the kernel as a matrix.
        folds: Whether M is folded into the kernel; `None` for the cheaper way.
        parts: Equal parts of the features that never meet, as in a grouped convolution.
        pixels: Whether the rows are the pixels of a convolution: the features are its channels.
    """

    rows: int
    columns: int
    folds: bool | None = None
    parts: int = 1
    pixels: bool = False


class Cost(NamedTuple):
    """Multiply-adds.

    Attributes:
        plain_step: A training step of the linear map: forward, and both gradients.
        apply: M in a training step: forward, and the gradient through it.
        update: The update of M.
        plain_inference: The linear map, in inference.
        inference: M, in inference.
    """

    plain_step: int
    apply: int
    update: int
    plain_inference: int
    inference: int

    @property
    def extra_step(self):
        """What decorrelation adds to a training step."""
        return self.apply + self.update


def cost(operator, work, decorrelator, batch=USUAL_BATCH):
    """The `Cost` of a batch for a structure of M at its work."""
    rows, plain = batch * work.rows, batch * work.rows * operator.n * work.columns
    folds = rows > work.columns if work.folds is None else work.folds
    once = (work.columns if folds else rows) * operator.row_cost
    k = sample_count(batch, decorrelator.sample_fraction) * work.rows
    k = min(k, decorrelator.max_samples or k)
    update = operator.update_cost(k, decorrelator.step_cost) + (
        k * operator.row_cost if folds else 0
    )
    update += k * operator.n * min(k, operator.n // work.parts)  # the decorrelation loss
    return Cost(3 * plain, 2 * once, update // decorrelator.update_every, plain, once)


def operator_of(decorrelator, n, work):
    """The operator for `n` features that a decorrelator asks for."""
    if work.parts > 1:
        return BlockDiagonal.of_parts(n, work.parts, decorrelator.product)
    structure = decorrelator.structure
    arguments = (decorrelator.groups, decorrelator.rank, decorrelator.product)
    if structure == "channel" and not work.pixels:  # there are no positions to leave out
        structure = "auto"
    if structure != "auto":
        return STRUCTURES[structure](n, *arguments)
    for name in AUTO:
        operator = STRUCTURES[name](n, *arguments)
        counted = cost(operator, work, decorrelator)
        if counted.extra_step <= AUTO_BUDGET * counted.plain_step:
            break
    return operator
