"""A layer that decorrelates what passes through it (N. Ahmad, arXiv 2407.10780)."""

from typing import NamedTuple

import keras
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.decorrelators.replicas import replica_mean
from keras_decorr.decorrelators.structures import STRUCTURES
from keras_decorr.layers import collection
from keras_decorr.maths.correlation import decorrelation_loss
from keras_decorr.maths.sampling import sample_count, sample_rows

# Keras's own default batch size, to choose an order of multiplication where the batch is unknown.
_USUAL_BATCH = 32


class Progress(NamedTuple):
    """What one decorrelation step reports: two scalars."""

    loss: object
    finite: object


@keras.saving.register_keras_serializable(package="keras_decorr")
class Decorrelation(keras.layers.Layer):
    """Decorrelates the last axis of its inputs: `u = M (x - mean)`.

    Put it before any layer. M starts as the identity and follows the data while the layer trains:
    in a `keras_decorr.Model` once per training step, in any other `keras.Model` at each call with
    `training=True`. With `trainable=False` the layer runs as in inference and nothing moves.

    Args:
        decorrelator: Name of a decorrelation rule, a `keras_decorr.decorrelators.Decorrelator`, or
            `None`, which passes the inputs through. Defaults to `"norm_preserving"`.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 2 or more.
        training: Use the mean of the batch, and move M. Defaults to False.
        mask: Boolean tensor of the shape of `inputs` without the last axis. Masked steps do not
            count in the statistics.

    Input shape:
        `(batch, ..., n)` with a known `n`.

    Output shape:
        The same.

    Raises:
        ValueError: If the inputs have rank 1, or an unknown last axis.

    Example:

    >>> import keras, keras_decorr
    >>> model = keras_decorr.Sequential(
    ...     [keras.Input((64,)), keras_decorr.layers.Decorrelation(), keras.layers.Dense(10)])

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """

    def __init__(self, decorrelator="norm_preserving", **kwargs):
        super().__init__(**kwargs)
        self.decorrelator = decorrelators.get(decorrelator)
        self.supports_masking = True

    def build(self, input_shape):
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
        self.operator = STRUCTURES[self.decorrelator.structure](n, self.decorrelator.groups)
        self.matrices = [
            self._state(f"decorrelation_matrix_{stage}", identity.shape, identity)
            for stage, identity in enumerate(self.operator.identities())
        ]
        if self.decorrelator.center:
            self.moving_mean = self._state("moving_mean", (n,), 0.0)
        self.rate = self._state("decorrelation_rate", (), self.decorrelator.initial_rate)
        self.steps = self._state("steps", (), 0, dtype="int32")
        self.skipped_updates = self._state("skipped_updates", (), 0, dtype="int32")
        self.decorrelator.bind(self.rate, self.steps)

    def _state(self, name, shape, value, dtype="float32"):
        # In float16 a step of 1e-5 would round to nothing. Without an aggregation the replicas of a
        # tf.distribute strategy would drift apart.
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=lambda shape, dtype=None: ops.full(shape, value, dtype),
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="mean" if dtype == "float32" else "only_first_replica",
        )

    def call(self, inputs, training=None, mask=None):
        if self.decorrelator is None:
            return inputs
        mean = self.observe(inputs, training, mask)
        return self.transform(inputs if mean is None else inputs - ops.cast(mean, inputs.dtype))

    def compute_output_shape(self, input_shape):
        return input_shape

    # --- M as an operator ---------------------------------------------------------------------

    def transform(self, Z):
        """`U = Z M^T` on the last axis of centred inputs of any rank."""
        if len(Z.shape) == 2:
            return self.operator.apply(self._read(Z.dtype), Z)
        U = self.operator.apply(self._read(Z.dtype), ops.reshape(Z, (-1, self.operator.n)))
        return ops.reshape(U, ops.shape(Z))

    def fold(self, kernel, bias, mean):
        """The kernel and bias that do to raw inputs what the given ones do to decorrelated inputs.

        Args:
            kernel: `(n, units)`.
            bias: `(units,)` or `None`.
            mean: `(n,)` or `None`.

        Returns:
            `K_eff = M^T K` and `b_eff = b - mean K_eff` (`None` if there is neither bias nor mean).
        """
        kernel = self.operator.fold(self._read(kernel.dtype), kernel)
        if mean is not None:
            shift = ops.matmul(ops.cast(mean, kernel.dtype), kernel)
            bias = -shift if bias is None else bias - shift
        return kernel, bias

    def _read(self, dtype):
        matrices = [ops.cast(M, dtype) for M in self.matrices]
        if keras.backend.backend() == "torch":
            # The update is in place there, and would break the backward pass through this tensor.
            matrices = [M + 0 for M in matrices]
        return matrices

    # --- statistics ---------------------------------------------------------------------------

    def observe(self, inputs, training, mask=None):
        """Take the statistics of a batch of inputs; the mean to centre it by, or `None`."""
        if not self.learns(training):
            return self.mean_of(None, training)
        if mask is not None:
            mask = ops.expand_dims(ops.cast(mask, "float32"), -1)
        mean = self.mean_of(lambda: _row_mean(inputs, mask), training)
        X, rows = self.sample(inputs)
        if mask is not None:  # a masked row counts as one that lies at the mean
            kept, _ = self.sample(mask)
            X = kept * X if mean is None else kept * X + (1.0 - kept) * mean
        self.keep(X, mean, rows)
        return mean

    def learns(self, training):
        """Whether a call with this `training` argument moves M."""
        if training is None:  # a subclassed model without the argument does not pass it on
            training = collection.current() is not None
        return bool(training) and self.trainable

    def mean_of(self, batch_mean, training):
        """The mean to centre by: `batch_mean()` where M learns, else the moving mean, or `None`."""
        if not self.decorrelator.center:
            return None
        if not self.learns(training):
            return ops.convert_to_tensor(self.moving_mean)
        return replica_mean(batch_mean())

    def sample(self, inputs):
        """Rows `(k, n)` float32 of the sampled part of the batch, and the `k` to expect."""
        d = self.decorrelator
        taken = inputs[: sample_count(_size(inputs, 0), d.sample_fraction)]
        taken = ops.reshape(taken, (-1, inputs.shape[-1]))
        rows = _size(taken, 0)
        if not isinstance(rows, int) or rows > (d.max_samples or rows):
            taken = ops.take(taken, self.positions(rows), axis=0)
        return ops.cast(taken, "float32"), self.expected_rows(inputs.shape[:-1])

    def positions(self, rows):
        """Indices of the rows to use out of `rows` rows of the sampled part of the batch."""
        return sample_rows(rows, self.decorrelator.max_samples, self.steps)

    def expected_rows(self, shape):
        """The likely number of sampled rows in a batch of `shape`, its last axis left out."""
        if None in shape[1:]:
            return None
        rows = sample_count(shape[0] or _USUAL_BATCH, self.decorrelator.sample_fraction)
        for size in shape[1:]:
            rows *= size
        return min(rows, self.decorrelator.max_samples or rows)

    def keep(self, X, mean, rows):
        """Use sampled inputs `X` (k, n) for the update: at the end of the step, or now."""
        X = ops.stop_gradient(X)
        mean = None if mean is None else ops.stop_gradient(mean)
        opened = collection.current()
        if opened is not None:
            opened.add(self, X, mean, rows)
        else:
            self.update(X, X if mean is None else X - mean, mean, rows)

    # --- the update ---------------------------------------------------------------------------

    def update(self, X, Z, mean, rows=None):
        """One decorrelation step from sampled inputs.

        Where the statistics are not finite (a NaN in the batch, activations that overflow) the step
        is skipped, and counted in `skipped_updates`.

        Args:
            X: `(k, n)` float32 raw inputs.
            Z: `(k, n)` the same, centred.
            mean: `(n,)` mean of the whole batch, or `None`.
            rows: The number of rows to expect where `k` is not known when tracing.

        Returns:
            A `Progress`: the decorrelation loss before the step, and 1.0 or 0.0 for a step that was
            taken or skipped.
        """
        d = self.decorrelator
        matrices = [ops.convert_to_tensor(M) for M in self.matrices]
        stages = self.operator.stages(matrices, Z)
        inputs = [X] + [U for U, _ in stages[:-1]]
        gains = ops.stack([d.gain(x, U) for x, (U, _) in zip(inputs, stages)])

        # The square bounds every product of two elements of U that the step forms.
        sizes = [ops.square(ops.sum(ops.square(U))) for U, _ in stages]
        if mean is not None:
            sizes.append(ops.sum(mean))
        finite = ops.all(ops.isfinite(ops.append(ops.stack(sizes), gains)))
        # All replicas take the step, or none.
        finite = ops.equal(replica_mean(ops.cast(finite, "float32")), 1.0)
        gains = replica_mean(ops.where(finite, gains, 1.0))

        def moved():
            eta = ops.where(finite, ops.cast(d.learning_rate, "float32"), 0.0)
            return tuple(
                d.step(M, ops.where(finite, U, 0.0), gains[i], eta, rows)
                for i, (M, (_, U)) in enumerate(zip(matrices, stages))
            )

        if d.update_every > 1:
            due = ops.equal(self.steps % d.update_every, 0)
            new = ops.cond(due, moved, lambda: tuple(matrices))
        else:
            new = moved()
        loss = replica_mean(decorrelation_loss(ops.where(finite, stages[-1][0], 0.0), rows))

        for variable, M in zip(self.matrices, new):
            variable.assign(M)
        if mean is not None:
            t = ops.cast(self.steps - self.skipped_updates, "float32")
            momentum = ops.minimum(d.momentum, t / (t + 1.0))
            change = ops.where(finite, mean - self.moving_mean, 0.0)
            self.moving_mean.assign(self.moving_mean + (1.0 - momentum) * change)
        self.skipped_updates.assign_add(ops.cast(ops.logical_not(finite), "int32"))
        self.steps.assign_add(1)
        return Progress(loss, ops.cast(finite, "float32"))

    def get_config(self):
        return {
            **super().get_config(),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }


def _row_mean(inputs, mask):
    axes = tuple(range(len(inputs.shape) - 1))
    X = ops.cast(inputs, "float32")
    if mask is None:
        return ops.mean(X, axis=axes)
    weight = ops.broadcast_to(mask, ops.shape(X)[:-1] + (1,))
    return ops.sum(X * weight, axis=axes) / ops.maximum(ops.sum(weight), 1.0)


def _size(x, axis):
    """The size of an axis: an int if it is known, else a tensor."""
    return ops.shape(x)[axis]
