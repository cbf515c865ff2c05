"""A layer that decorrelates its inputs (N. Ahmad, arXiv 2407.10780)."""

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import in_symbolic_scope
from keras_decorr.backend.replicas import replica_count, replica_sum
from keras_decorr.context import collection, wiring
from keras_decorr.context.scope import Scope
from keras_decorr.decorrelators.adaptation import adapted
from keras_decorr.decorrelators.arguments import check_number
from keras_decorr.decorrelators.cost import USUAL_BATCH, Work
from keras_decorr.decorrelators.sample import Means, Pool, Sample, pool, pool_means
from keras_decorr.decorrelators.step import (
    REPORTS,
    State,
    decorrelation_step,
    is_usable,
    moving_mean,
)
from keras_decorr.decorrelators.structures import operator_for
from keras_decorr.layers.sampling import sampling_all
from keras_decorr.maths.centring import count_rows, with_sum
from keras_decorr.maths.sampling import sample_count, sample_rows
from keras_decorr.typing import Shape, Tensor

# Of `adapt`: of the mean eigenvalue of the covariance. Compared by `benchmarks/schedules.py`.
DAMPING = 10.0
# The most rows that a layer adapts to.
ROWS = 4096


_limit = Scope()
at_most = _limit.open  # a context manager: inside, no M is built of more features than its argument


class TooManyFeaturesError(ValueError):
    """A layer has more features than `at_most` allows.

    Args:
        n: Their number.
    """

    def __init__(self, n: int) -> None:
        super().__init__(f"{n} features")
        self.n = n


class Adaptation(collection.Collection):
    """Sets the M of each layer from its first sample, before the layer uses it.

    So a single forward pass sets layer after layer, each from what the M of those before leave of its
    inputs.

    Args:
        damping: As in `keras_decorr.adapt`.
        layers: Each `Decorrelation` to set.
    """

    before_use = True

    def __init__(self, damping: float, layers: Sequence) -> None:
        super().__init__()
        self.damping = damping
        self._layers = list(layers)

    def add(self, layer: Any, sample: Any) -> None:
        left = [x for x in self._layers if x is not layer]
        if len(left) < len(self._layers):
            self._layers = left
            layer.adapt_to([sample], self.damping)


@keras.saving.register_keras_serializable(package="keras_decorr")
class Decorrelation(keras.layers.Layer):
    """Decorrelates the last axis of its inputs: `u = M (x - mean)`.

    Put it before any layer. M starts as the identity and follows the data while the layer trains:
    in a `keras_decorr.Model` once per training step, in any other `keras.Model` at each call with
    `training=True`. With `trainable=False` the layer runs as in inference and nothing is updated.

    Args:
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None`, which passes the inputs through. Defaults to `"norm_preserving"`.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 2 or more.
        training: Use the mean of the batch, and update M. Defaults to False.
        mask: Boolean tensor of the shape of `inputs` without the last axis. Steps with False
            do not count in the statistics.

    Input shape:
        `(batch, ..., n)` with a known `n`.

    Output shape:
        The same.

    Raises:
        ValueError: If the inputs have rank 1, or an unknown last axis; if the decorrelator acts on a
            gradient, as this layer has no kernel.

    Example:

    >>> import keras, keras_decorr
    >>> model = keras_decorr.Sequential(
    ...     [keras.Input((64,)), keras_decorr.layers.Decorrelation(), keras.layers.Dense(10)])

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def __init__(self, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decorrelator = decorrelators.get(decorrelator)
        self.work: Any = None
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        n = feature_count(type(self).__name__, input_shape)
        if self.decorrelator is None:
            return
        if self.work is None and self.decorrelator.acts_on_gradient:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has no kernel whose gradient M could act on. Use "
                "a layer with a linear map, such as DecorDense, or acts_on='inputs'. "
                f"Received: {type(self.decorrelator).__name__}(acts_on='gradient')"
            )
        of_a_part = n // self.work.parts if self.work else n
        if _limit.current is not None and of_a_part > _limit.current:
            raise TooManyFeaturesError(of_a_part)
        if self.work is None:  # what comes behind is not known: a square map, say
            rows = math.prod(size or 1 for size in input_shape[1:-1])
            self.work = Work(rows=rows, columns=n, folds=False)
        self.operator = operator_for(n, self.work, self.decorrelator)
        identities = self.operator.identities()
        self.matrices = [
            self._state(f"decorrelation_matrix_{stage}", identity.shape, identity)
            for stage, identity in enumerate(identities)
        ]
        self.memory = [
            [
                self._state(f"{name}_{stage}", start.shape, start)
                for name, start in self.decorrelator.memory(identity).items()
            ]
            for stage, identity in enumerate(identities[self.operator.tracked :])
        ]
        if self.decorrelator.center:
            self.moving_mean = self._state("moving_mean", (n,), 0.0)
        self.rate = self._state("decorrelation_rate", (), self.decorrelator.initial_rate)
        self.steps = self._state("steps", (), 0, dtype="int32")
        self.skipped_updates = self._state("skipped_updates", (), 0, dtype="int32")
        if self.decorrelator.center:
            self.mean_count = self._state("mean_count", (), 0.0)
        self.decorrelator.bind(self.rate, self.steps)

    def _state(self, name: str, shape: Shape, value: Any, dtype: Any = "float32") -> keras.Variable:
        # In float16 a step of 1e-5 would round to nothing. All replicas of a tf.distribute strategy
        # compute the same new value, from the rows of all.
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=lambda shape, dtype=None: ops.full(shape, value, dtype),
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        if self.decorrelator is None:
            return inputs
        inputs, mask = as_rows(inputs, mask, self.compute_dtype)
        seen, seen_mask = self.seen(inputs, mask)
        count = row_count(seen, seen_mask) if self.learns(training) else None
        inputs, means = self.centre(inputs, seen, lambda x: row_sum(x, seen_mask), count, training)
        Z = inputs if means is None else inputs - ops.cast(means.used, inputs.dtype)
        learns = self.learns(training)
        before = learns and collection.wants_samples_before_use()
        if before:
            self.observe(seen, count, means, seen_mask)
        U = self.operator.apply(self._read(Z.dtype), self._flat(Z))
        if learns and not before:
            self.observe(seen, count, means, seen_mask)
        return U if len(inputs.shape) == 2 else ops.reshape(U, ops.shape(inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def serve(self, work: Work) -> None:
        """Sets the `Work` of the linear map behind this layer. Call it before `build`."""
        self.work = work

    # --- M as an operator ---------------------------------------------------------------------

    def fold(self, K: Tensor) -> Tensor:
        """Computes `M^T K` for a kernel `(n, columns)`."""
        return self.operator.fold(self._read(K.dtype), K)

    def precondition(self, dK: Tensor) -> Tensor:
        """Computes `M^T M dK` for the gradient of a kernel `(n, columns)`."""
        matrices = self._read(dK.dtype)
        M_dK = ops.transpose(self.operator.apply(matrices, ops.transpose(dK)))
        return self.operator.fold(matrices, M_dK)

    def _read(self, dtype: Any) -> list:
        matrices = [ops.cast(M, dtype) for M in self.matrices]
        if keras.backend.backend() == "torch":
            # The update is in place there, and would break the backward pass through this tensor.
            matrices = [M + 0 for M in matrices]
        return matrices

    # --- statistics ---------------------------------------------------------------------------

    def learns(self, training: bool | None) -> bool:
        """Returns whether a call with this `training` argument updates M."""
        if in_symbolic_scope():  # only shapes are asked for
            return False
        if training is None:  # a subclassed model without the argument does not pass it on
            training = collection.current() is not None
        return bool(training) and self.trainable

    def asleep(self, training: bool | None) -> bool:
        """Returns whether a call leaves M as it is that may be part of a training step all the same."""
        in_step = in_symbolic_scope() or collection.current() is not None
        return self.trainable and training is None and not in_step

    def seen(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the part of a batch and of its mask, or `None`, from which M learns."""
        wires = wiring.current()
        return wires.sampled(self, inputs), None if mask is None else wires.sampled(self, mask)

    def centre(
        self, inputs: Tensor, seen: Tensor, row_sum: Callable, count: Tensor, training: bool | None
    ) -> tuple[Tensor, Means | None]:
        """Returns the inputs to go on with, and the means of which `used` is to be subtracted.

        The gradient passes through the mean of a batch. If it did not, it would ask the biases of the
        layer before for what centring takes away again, and they would grow without end. A batch of
        one row, or without a row that counts, is centred by the moving mean: its own would leave
        nothing of it.

        Args:
            inputs: The inputs.
            seen: Those from which M learns.
            row_sum: A function that gives `(x, sum)` for `x`: itself to go on with, and the sum of its
                rows.
            count: The number of rows in that sum.
            training: Where M learns the mean is that of the batch, else the moving mean.

        Returns:
            `(inputs, means)`; `None` for the means of a layer that does not centre.
        """
        center = self.decorrelator.center
        if not center:
            return inputs, None
        moving = ops.convert_to_tensor(self.moving_mean)
        if not self.learns(training):
            return inputs, Means(moving, moving)
        rows = replica_sum(count)
        of_batch: Tensor = None

        def mean_of_the_batch() -> Tensor:
            nonlocal inputs, of_batch
            x, total = row_sum(seen)
            if seen is inputs:
                inputs = x
            of_batch = ops.where(rows > 0.0, replica_sum(total) / ops.maximum(rows, 1.0), moving)
            return ops.where(rows > 1.0, of_batch, moving)

        if center == "moving":
            mean_of_the_batch()
            return inputs, Means(moving, of_batch)
        self._warn_of_one_row(inputs)
        mean = wiring.current().mean(self, mean_of_the_batch)
        return inputs, Means(mean, mean if of_batch is None else of_batch)

    def _warn_of_one_row(self, inputs: Tensor) -> None:
        sizes = inputs.shape[:-1]
        if None not in sizes and math.prod(sizes) == 1:
            warnings.warn(
                f"{self.path} is trained with a batch of one row, whose mean is the row itself. It is "
                "centred by the moving mean instead. Give its decorrelator `center='moving'` to do so "
                "with batches of all sizes, or `center=False`.",
                stacklevel=2,
            )

    def observe(
        self, inputs: Tensor, count: Tensor, means: Means | None = None, mask: Tensor = None
    ) -> None:
        """Takes a sample of the rows of a batch.

        Args:
            inputs: `(batch, ..., n)`.
            count: The number of its rows that a mask keeps, a float32 scalar.
            means: As `centre` gave them, or `None`.
            mask: Mask of the rows that count, or `None`.
        """

        def sampled(x: Tensor, shape: Sequence) -> Tensor:
            batch, *inner = ops.shape(inputs)[:-1]
            rows = sample_count(batch, self.decorrelator.sample_fraction)
            x = ops.reshape(x, shape) if len(x.shape) != len(shape) else x
            if inner:
                rows = sample_rows(math.prod([rows, *inner]), self.most_rows, self.steps)
                return ops.take(x, rows, axis=0)
            if self.most_rows is not None:  # one row per sample: the first will do
                known = isinstance(rows, int)
                rows = min(rows, self.most_rows) if known else ops.minimum(rows, self.most_rows)
            return x[:rows]

        def kept() -> Tensor:
            return sampled(ops.cast(mask, "bool"), (-1,))

        self.keep(
            Sample(
                lambda: sampled(inputs, (-1, self.operator.n)),
                count,
                means,
                None if mask is None else kept,
                self.expected_rows(inputs.shape[:-1]),
            )
        )

    @property
    def most_rows(self) -> int | None:
        """The most rows that this replica samples in a step, or `None` for no cap."""
        most = self.decorrelator.max_samples
        return None if most is None else max(most // replica_count(), 1)

    def expected_rows(self, shape: tuple) -> Any:
        """Returns the likely number of sampled rows in a batch of `shape`, without its last axis."""
        if None in shape[1:]:
            return None
        rows = sample_count(shape[0] or USUAL_BATCH, self.decorrelator.sample_fraction)
        rows *= math.prod(shape[1:])
        return min(rows, self.most_rows or rows)

    def keep(self, sample: Sample) -> None:
        """Uses a `Sample` for the update: at the end of the training step, or now."""
        opened = collection.current()
        if opened is None:
            self.update([sample])
        else:
            opened.add(self, sample)

    # --- the update ---------------------------------------------------------------------------

    def update(self, samples: list[Sample], factor: Any = 1.0) -> dict[str, Tensor]:
        """Takes one decorrelation step; of `update_every` steps, one takes rows and updates M.

        Args:
            samples: A list of `Sample`, one for each call of the layer in this step.
            factor: A factor for the rate of a rule that follows the optimizer's.

        Returns:
            Float32 scalars by name, for the logs: `decorrelation_rate`, and those of
            `decorrelators.step.decorrelation_step`, 0 where M is not due.
        """
        rule, variables = self.decorrelator, self.state
        state = keras.tree.map_structure(
            lambda v: None if v is None else ops.convert_to_tensor(v), variables
        )
        eta = ops.cast(rule.learning_rate, "float32")
        eta = eta * factor if rule.follows else eta

        count, means = pool_means(samples)

        def rows() -> Pool:
            return pool(samples, rule.center, (count, means))

        every = rule.update_every
        # TensorFlow lets replicas exchange nothing within a branch.
        exchanged = rows() if every > 1 and replica_count() > 1 else None

        def new_matrices() -> tuple:
            sample = exchanged or rows()
            new, report = decorrelation_step(
                rule, self.operator, state, sample, eta, self.work.parts
            )
            return new.matrices, new.memory, new.skipped, report

        def same_matrices() -> tuple:
            report = dict.fromkeys((*REPORTS, *rule.reports), ops.zeros((), "float32"))
            if means is not None:  # a bad batch is counted in these steps, too
                report["skipped_updates"] = 1.0 - ops.cast(is_usable(means.batch), "float32")
            skipped = state.skipped + ops.cast(report["skipped_updates"], "int32")
            return state.matrices, state.memory, skipped, report

        if every == 1:
            new = new_matrices()
        else:
            new = ops.cond(ops.equal(state.steps % every, 0), new_matrices, same_matrices)
        matrices, memory, skipped, report = new
        state = state._replace(
            matrices=tuple(matrices), memory=memory, skipped=skipped, steps=state.steps + 1
        )
        if means is not None:
            state = moving_mean(state, rule.momentum, count, means.batch)
        for variable, value in zip(
            keras.tree.flatten(variables), keras.tree.flatten(state), strict=True
        ):
            if variable is not None:
                variable.assign(value)
        return {**report, "decorrelation_rate": eta}

    def adapt(self, data: Any, damping: float = DAMPING) -> None:
        """Sets M, and the mean, from data at once: see `keras_decorr.adapt`.

        Args:
            data: Array or tensor of inputs, `(batch, ..., n)`; of more than 4096 rows a part is used.
            damping: As in `keras_decorr.adapt`.
        """
        check_number(type(self).__name__, "damping", damping, 0.0)
        data = ops.convert_to_tensor(data)
        if not self.built:
            self.build(data.shape)
        if self.decorrelator is None:
            return
        adaptation = Adaptation(damping, [self])
        with sampling_all(self.decorrelator, ROWS), collection.opened(adaptation):
            self(data, training=True)

    def adapt_to(self, samples: list[Sample], damping: float) -> None:
        """Sets M and the mean from the rows of samples."""
        count, means = pool_means(samples)
        sample = pool(samples, self.decorrelator.center, (count, means))
        matrices, memory = adapted(self.decorrelator, self.operator, sample, damping)
        for variables, values in ((self.matrices, matrices), (self.memory, memory)):
            flat = keras.tree.flatten(variables), keras.tree.flatten(values)
            for variable, value in zip(*flat, strict=True):
                variable.assign(value)
        if means is not None:
            self.moving_mean.assign(means.batch)
            self.mean_count.assign(count)

    def reset(self) -> None:
        """Makes M the identity, and the mean zero."""
        if self.decorrelator is None:
            return
        for M, identity in zip(self.matrices, self.operator.identities(), strict=True):
            M.assign(ops.broadcast_to(identity, M.shape))
        if self.decorrelator.center:
            self.moving_mean.assign(ops.zeros(self.moving_mean.shape))

    @property
    def state(self) -> State:
        """The variables that a step changes, as a `State`."""
        mean = (self.moving_mean, self.mean_count) if self.decorrelator.center else ()
        memory = tuple(tuple(stage) for stage in self.memory)
        return State(tuple(self.matrices), memory, self.steps, self.skipped_updates, *mean)

    @property
    def matrix_variables(self) -> list:
        """The variables that make up M: its weights, the memory of its rule, and the mean."""
        mean = [self.moving_mean, self.mean_count] if self.decorrelator.center else []
        return [*self.matrices, *chain(*self.memory), *mean]

    def plain_layer(self) -> Any:
        """Returns a Keras layer that does in inference what this one does, not built."""
        if self.decorrelator is None:
            return keras.layers.Identity(name=self.name, dtype=self.dtype_policy)
        return keras.layers.Dense(
            self.operator.n,
            use_bias=bool(self.decorrelator.center),
            name=self.name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )

    def folded_weights(self) -> list[np.ndarray]:
        """Returns arrays for the weights of `plain_layer()`, once that is built."""
        if self.decorrelator is None:
            return []
        kernel = ops.convert_to_numpy(self.fold(ops.eye(self.operator.n, dtype="float32")))
        if not self.decorrelator.center:
            return [kernel]
        return [kernel, -ops.convert_to_numpy(self.moving_mean) @ kernel]

    # --- to and from files --------------------------------------------------------------------

    def load_own_variables(self, store: Any) -> None:
        variables = self.variables
        # A file of version 0.1.0 lacks the last one, `mean_count`.
        lacks_one = self.decorrelator is not None and self.decorrelator.center
        if not lacks_one or len(store.keys()) != len(variables) - 1:
            super().load_own_variables(store)
            return
        for i, variable in enumerate(variables[:-1]):
            variable.assign(store[str(i)])
        # As if all steps had had the usual batch.
        rows = USUAL_BATCH * self.work.rows / (1.0 - self.decorrelator.momentum)
        self.mean_count.assign(rows if ops.convert_to_numpy(self.steps) else 0.0)

    def _flat(self, inputs: Tensor) -> Tensor:
        # A reshape that changes nothing would keep TensorFlow from fusing a transpose behind it.
        return inputs if len(inputs.shape) == 2 else ops.reshape(inputs, (-1, self.operator.n))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }


def feature_count(name: str, input_shape: Shape) -> int:
    """Returns the number of features of inputs that are rows of features.

    Args:
        name: Name of the layer's class, for the message.
        input_shape: Shape of the inputs.

    Raises:
        ValueError: If they are no rows, or if it is not known.
    """
    if len(input_shape) < 2:
        raise ValueError(
            f"{name} needs inputs of rank 2 or more, (batch, ..., features): with one axis there is "
            f"nothing to correlate. Received: input_shape={input_shape}"
        )
    n = input_shape[-1]
    if n is None:
        raise ValueError(
            f"The last axis of the inputs of {name} must be known, as it gives M its size. Define it "
            f"in `keras.Input`. Received: input_shape={input_shape}"
        )
    return n


def as_rows(inputs: Tensor, mask: Tensor, dtype: Any) -> tuple[Tensor, Tensor]:
    """Returns floating-point inputs, and a mask with all of their axes except the last.

    Keras casts floats alone, and integers cannot be centred. A mask may be of the first axes alone, as
    that of time steps is where a step has several rows.
    """
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype)):
        inputs = ops.cast(inputs, dtype)
    missing = 0 if mask is None else len(inputs.shape) - 1 - len(mask.shape)
    if missing > 0:
        mask = ops.reshape(mask, (*ops.shape(mask), *[1] * missing))
        mask = ops.broadcast_to(mask, ops.shape(inputs)[:-1])
    return inputs, mask


def row_sum(inputs: Tensor, mask: Tensor = None) -> Any:
    """Returns inputs `(..., n)` to go on with, and the `(n,)` float32 sum of the rows a mask keeps."""
    axes = tuple(range(len(inputs.shape) - 1))
    if mask is None:
        return with_sum(inputs, axes)
    kept = ops.expand_dims(ops.cast(mask, "bool"), -1)
    return inputs, ops.sum(ops.where(kept, ops.cast(inputs, "float32"), 0.0), axis=axes)


def row_count(inputs: Tensor, mask: Tensor = None) -> Tensor:
    """Returns the number of rows of `(..., n)` that a mask keeps, as a float32 scalar."""
    if mask is None:
        return count_rows(inputs, range(len(inputs.shape) - 1))
    return ops.sum(ops.cast(ops.cast(mask, "bool"), "float32"))
