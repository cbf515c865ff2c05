"""A layer that decorrelates its inputs (N. Ahmad, arXiv 2407.10780)."""

import math
from collections.abc import Callable
from itertools import chain
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import in_symbolic_scope
from keras_decorr.backend.replicas import replica_count, replica_sum
from keras_decorr.context import collection, wiring
from keras_decorr.decorrelators.cost import USUAL_BATCH, Work
from keras_decorr.decorrelators.sample import Sample, pool
from keras_decorr.decorrelators.step import State, decorrelation_step
from keras_decorr.decorrelators.structures import operator_for
from keras_decorr.maths.centring import count_rows, with_sum
from keras_decorr.maths.sampling import sample_count, sample_rows
from keras_decorr.typing import Shape, Tensor


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
        if len(input_shape) < 2:
            raise ValueError(
                f"{type(self).__name__} needs inputs of rank 2 or more, (batch, ..., features): with "
                f"one axis there is nothing to correlate. Received: input_shape={input_shape}"
            )
        n = input_shape[-1]
        if n is None:
            raise ValueError(
                f"The last axis of the inputs of {type(self).__name__} must be known, as it gives M "
                f"its size. Define it in `keras.Input`. Received: input_shape={input_shape}"
            )
        if self.decorrelator is None:
            return
        if self.work is None and self.decorrelator.acts_on_gradient:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} has no kernel whose gradient M could act on. Use "
                "a layer with a linear map, such as DecorDense, or acts_on='inputs'. "
                f"Received: {type(self.decorrelator).__name__}(acts_on='gradient')"
            )
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
        inputs, mean = self.centre(inputs, seen, lambda x: row_sum(x, seen_mask), count, training)
        Z = inputs if mean is None else inputs - ops.cast(mean, inputs.dtype)
        U = self.operator.apply(self._read(Z.dtype), self._flat(Z))
        if self.learns(training):
            self.observe(seen, count, mean, seen_mask)
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

    def seen(self, inputs: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the part of a batch and of its mask, or `None`, from which M learns."""
        wires = wiring.current()
        return wires.sampled(self, inputs), None if mask is None else wires.sampled(self, mask)

    def centre(
        self, inputs: Tensor, seen: Tensor, row_sum: Callable, count: Tensor, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        """Returns the inputs to go on with, and the mean to subtract from them, or `None`.

        The gradient passes through the mean of a batch. If it did not, it would ask the biases of the
        layer before for what centring takes away again, and they would grow without end. A batch
        without a row that counts is centred by the moving mean.

        Args:
            inputs: The inputs.
            seen: Those from which M learns.
            row_sum: A function that gives `(x, sum)` for `x`: itself to go on with, and the sum of its
                rows.
            count: The number of rows in that sum.
            training: Where M learns the mean is that of the batch, else the moving mean.

        Returns:
            `(inputs, mean)`.
        """
        if not self.decorrelator.center:
            return inputs, None
        if not self.learns(training):
            return inputs, ops.convert_to_tensor(self.moving_mean)

        def mean_of_the_batch() -> Tensor:
            nonlocal inputs
            x, total = row_sum(seen)
            if seen is inputs:
                inputs = x
            rows = replica_sum(count)
            moving = ops.convert_to_tensor(self.moving_mean)
            return ops.where(rows > 0.0, replica_sum(total) / ops.maximum(rows, 1.0), moving)

        mean = wiring.current().mean(self, mean_of_the_batch)
        return inputs, mean

    def observe(
        self, inputs: Tensor, count: Tensor, mean: Tensor = None, mask: Tensor = None
    ) -> None:
        """Takes a sample of the rows of a batch.

        Args:
            inputs: `(batch, ..., n)`.
            count: The number of its rows that a mask keeps, a float32 scalar.
            mean: The mean that they were centred by, or `None`.
            mask: Mask of the rows that count, or `None`.
        """
        batch, *inner = ops.shape(inputs)[:-1]
        rows = sample_count(batch, self.decorrelator.sample_fraction)
        if inner:
            rows = sample_rows(math.prod([rows, *inner]), self.most_rows, self.steps)
        elif self.most_rows is not None:  # one row a sample: the first will do
            known = isinstance(rows, int)
            rows = min(rows, self.most_rows) if known else ops.minimum(rows, self.most_rows)

        def sampled(x: Tensor) -> Tensor:
            return ops.take(x, rows, axis=0) if inner else x[:rows]

        kept = None if mask is None else sampled(ops.reshape(ops.cast(mask, "bool"), (-1,)))
        expected = self.expected_rows(inputs.shape[:-1])
        self.keep(Sample(sampled(self._flat(inputs)), count, mean, kept, expected))

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
        sample = sample._replace(X=ops.cast(sample.X, "float32"))
        sample = keras.tree.map_structure(
            lambda x: ops.stop_gradient(x) if ops.is_tensor(x) else x, sample
        )
        opened = collection.current()
        if opened is None:
            self.update([sample])
        else:
            opened.add(self, sample)

    # --- the update ---------------------------------------------------------------------------

    def update(self, samples: list[Sample]) -> dict[str, Tensor]:
        """Takes one decorrelation step.

        Args:
            samples: A list of `Sample`, one for each call of the layer in this step.

        Returns:
            Float32 scalars by name, for the logs: see `decorrelators.step.decorrelation_step`.
        """
        state = self.state
        values = keras.tree.map_structure(
            lambda v: None if v is None else ops.convert_to_tensor(v), state
        )
        new, report = decorrelation_step(
            self.decorrelator, self.operator, values, pool(samples), self.work.parts
        )
        for variable, value in zip(keras.tree.flatten(state), keras.tree.flatten(new), strict=True):
            if variable is not None:
                variable.assign(value)
        return report

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

    # --- to Keras's own layers ----------------------------------------------------------------

    def folded_layer(self) -> keras.layers.Layer:
        """Returns a Keras layer with the same outputs in inference, not built."""
        if self.decorrelator is None:
            return keras.layers.Identity(name=self.name, dtype=self.dtype_policy)
        return keras.layers.Dense(
            self.operator.n,
            use_bias=self.decorrelator.center,
            name=self.name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )

    def folded_weights(self) -> list[np.ndarray]:
        """Returns arrays for the weights of `folded_layer()`, once that is built."""
        if self.decorrelator is None:
            return []
        kernel = ops.convert_to_numpy(self.fold(ops.eye(self.operator.n, dtype="float32")))
        if not self.decorrelator.center:
            return [kernel]
        return [kernel, -ops.convert_to_numpy(self.moving_mean) @ kernel]

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
