"""The cost of a decorrelation, counted in multiply-adds."""

from typing import Any, NamedTuple

from keras_decorr.maths.sampling import sample_count

# The batch to choose for where its size is not known: an order of multiplication, or a structure.
USUAL_BATCH = 256


class Work(NamedTuple):
    """The size of the linear map behind a decorrelation of `n` features.

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

    def is_folded(self, batch: int) -> bool:
        """Returns whether M is folded into the kernel at this batch size."""
        return batch * self.rows > self.columns if self.folds is None else self.folds


class Cost(NamedTuple):
    """Multiply-adds of the parts of a training step and of inference.

    Attributes:
        plain_step: A training step of the linear map: forward, and both gradients.
        apply: M in a training step: forward, and the gradient through it; with `acts_on="gradient"`
            M and its transpose on the gradient of the kernel.
        sample: M on the sampled rows, which an update learns from.
        update: The rest of the update of M.
        plain_inference: The linear map, in inference.
        inference: M, in inference.
    """

    plain_step: int
    apply: int
    sample: int
    update: int
    plain_inference: int
    inference: int

    @property
    def extra_step(self) -> int:
        """What decorrelation adds to a training step."""
        return self.apply + self.sample + self.update


def cost(operator: Any, work: Any, decorrelator: Any, batch: int = USUAL_BATCH) -> Cost:
    """Returns the `Cost` of a training step and of inference on a batch.

    Args:
        operator: A `Structure` for the features of the layer.
        work: The `Work` of the layer.
        decorrelator: The `Decorrelator`.
        batch: Samples a batch.
    """
    rows, plain = batch * work.rows, batch * work.rows * operator.n * work.columns
    once = (work.columns if work.is_folded(batch) else rows) * operator.row_cost
    k = sample_count(batch, decorrelator.sample_fraction) * work.rows
    k = min(k, decorrelator.max_samples or k)
    update = operator.update_cost(k, decorrelator.step_cost)
    update += k * operator.n * min(k, operator.n // work.parts)  # the decorrelation loss
    every = decorrelator.update_every
    sample = k * operator.row_cost
    inference = 0 if decorrelator.acts_on_gradient else once
    return Cost(3 * plain, 2 * once, sample // every, update // every, plain, inference)
