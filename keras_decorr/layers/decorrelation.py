"""A layer that decorrelates what passes through it (N. Ahmad, arXiv 2407.10780)."""

import math
from itertools import chain
from typing import Any

import keras
from keras import ops

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import in_symbolic_scope
from keras_decorr.backend.replicas import replica_count, replica_mean
from keras_decorr.context import collection, wiring
from keras_decorr.context.collection import Sample
from keras_decorr.decorrelators.cost import USUAL_BATCH, Work, operator_of
from keras_decorr.maths.centring import with_mean
from keras_decorr.maths.correlation import off_diagonal_energy, transpose
from keras_decorr.maths.sampling import sample_count, sample_rows


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
        mask: Boolean tensor of the shape of `inputs` without the last axis. Steps with False
            do not count in the statistics.

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
        self.work: Any = None
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
        if self.work is None:  # what comes behind is not known: a square map, say
            rows = math.prod(size or 1 for size in input_shape[1:-1])
            self.work = Work(rows=rows, columns=n, folds=False)
        self.operator = operator_of(self.decorrelator, n, self.work)
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
            for stage, identity in enumerate(identities)
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
        inputs, mask = as_rows(inputs, mask, self.compute_dtype)
        seen, seen_mask = wiring.current().sampled(self, inputs), mask
        if mask is not None:
            seen_mask = wiring.current().sampled(self, mask)
        inputs, mean = self.mean_of(inputs, seen, lambda x: row_mean(x, seen_mask), training)
        Z = inputs if mean is None else inputs - ops.cast(mean, inputs.dtype)
        stages = self.operator.stages(self._read(Z.dtype), self._flat(Z))
        if self.learns(training):
            self.observe(seen, mean, seen_mask, stages)
        U = self.operator.rows(stages[-1])
        return U if len(inputs.shape) == 2 else ops.reshape(U, ops.shape(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def serve(self, work):
        """Say, before `build`, what the linear map behind this layer has to do: a `Work`."""
        self.work = work

    # --- M as an operator ---------------------------------------------------------------------

    def fold(self, K):
        """`M^T K` for a kernel `(n, columns)`."""
        return self.operator.fold(self._read(K.dtype), K)

    def _read(self, dtype):
        matrices = [ops.cast(M, dtype) for M in self.matrices]
        if keras.backend.backend() == "torch":
            # The update is in place there, and would break the backward pass through this tensor.
            matrices = [M + 0 for M in matrices]
        return matrices

    # --- statistics ---------------------------------------------------------------------------

    def learns(self, training):
        """Whether a call with this `training` argument moves M."""
        if in_symbolic_scope():  # only shapes are asked for
            return False
        if training is None:  # a subclassed model without the argument does not pass it on
            training = collection.current() is not None
        return bool(training) and self.trainable

    def mean_of(self, inputs, seen, batch_mean, training):
        """The inputs to go on with, and the mean to centre by, or `None`.

        The gradient passes through the mean of a batch. If it did not, it would ask the biases of the
        layer before for what centring takes away again, and they would grow without end.

        Args:
            inputs: The inputs.
            seen: Those from which M learns.
            batch_mean: A function that gives `(x, mean)` for `x`: itself to go on with, and its mean.
            training: Where M learns the mean is that of the batch, else the moving mean.

        Returns:
            `(inputs, mean)`.
        """
        if not self.decorrelator.center:
            return inputs, None
        if not self.learns(training):
            return inputs, ops.convert_to_tensor(self.moving_mean)

        def mean_of_all():
            nonlocal inputs
            same = seen is inputs
            x, mean = batch_mean(seen)
            if same:
                inputs = x
            return replica_mean(mean)

        mean = wiring.current().mean(self, mean_of_all)
        return inputs, mean

    def observe(self, inputs, mean, mask=None, stages=None):
        """Take a sample of a batch of inputs.

        Args:
            inputs: `(batch, ..., n)`.
            mean: Their mean, or `None`.
            mask: Mask of the rows that count, or `None`.
            stages: Outputs of every stage of M for these rows, and perhaps others behind them, if
                they are at hand.
        """
        d = self.decorrelator
        batch, *inner = ops.shape(inputs)[:-1]
        rows = sample_count(batch, d.sample_fraction)
        if inner:
            rows = sample_rows(math.prod([rows, *inner]), d.max_samples, self.steps)
        elif d.max_samples is not None:  # one row a sample: the first will do
            rows = (
                min(rows, d.max_samples)
                if isinstance(rows, int)
                else ops.minimum(rows, d.max_samples)
            )

        def sampled(x, axis=-2):
            if inner:
                x = ops.take(x, rows, axis=axis)
            else:
                x = x[..., :rows, :] if axis == -2 else x[..., :rows]
            return ops.cast(x, "float32")

        X = sampled(self._flat(inputs))
        if stages is not None and inputs.dtype == self.matrices[0].dtype:
            stages = [sampled(U, self.operator.row_axis) for U in stages]
        else:  # in half precision they are too coarse
            stages = None
        kept = None
        if mask is not None:  # a masked row lies at the mean, whatever it holds
            counts = sampled(ops.reshape(mask, (-1, 1))) > 0.0
            kept = ops.reshape(counts, (-1,))
            X = ops.where(counts, X, 0.0 if mean is None else mean)
            each = counts if self.operator.row_axis == -2 else transpose(counts)
            stages = stages and [ops.where(each, U, 0.0) for U in stages]
        self.keep(Sample(X, mean, stages, self.expected_rows(inputs.shape[:-1]), kept))

    def expected_rows(self, shape):
        """The likely number of sampled rows in a batch of `shape`, its last axis left out."""
        if None in shape[1:]:
            return None
        rows = sample_count(shape[0] or USUAL_BATCH, self.decorrelator.sample_fraction)
        rows *= math.prod(shape[1:])
        return min(rows, self.decorrelator.max_samples or rows)

    def keep(self, sample):
        """Use a sample for the update: at the end of the training step, or now."""
        sample = keras.tree.map_structure(
            lambda x: ops.stop_gradient(x) if keras.ops.is_tensor(x) else x, sample
        )
        opened = collection.current()
        if opened is None:
            self.update(sample)
        else:
            opened.add(self, sample)

    # --- the update ---------------------------------------------------------------------------

    def update(self, sample):
        """One decorrelation step from sampled inputs.

        Where the statistics are not finite (a NaN in the batch, activations that overflow) the step
        is skipped, and counted in `skipped_updates`.

        Args:
            sample: A `Sample`.

        Returns:
            Float32 scalars by name, for the logs: `decorrelation_loss`, that before the step;
            `skipped_updates`, 1 if the step was skipped; what the decorrelator reports.
        """
        d = self.decorrelator
        X, mean, stages, rows, kept = sample
        row_axis = self.operator.row_axis
        matrices = [ops.convert_to_tensor(M) for M in self.matrices]
        Z = X if mean is None else X - mean
        if stages is None:
            stages = self.operator.stages(matrices, Z)
        norms = self.operator.norms(X if d.compares_raw else Z, stages)
        gains = d.gain(norms[:-1], norms[1:])

        # A NaN or an infinity anywhere shows in this sum. The square bounds every product of two
        # elements of U that the step forms.
        probe = ops.sum(ops.square(ops.sum(norms, axis=-1))) + ops.sum(gains)
        finite = ops.isfinite(probe if mean is None else probe + ops.sum(mean))
        # All replicas take the step, or none.
        finite = ops.equal(replica_mean(ops.cast(finite, "float32")), 1.0)
        gains = d.share_of_gain(replica_mean(ops.where(finite, gains, 1.0)))
        reports = self._reports(matrices, Z, stages)
        # The rule divides by the number of all rows, of which those that a mask leaves out are zero.
        learns = finite
        if kept is not None:
            share = ops.mean(ops.cast(kept, "float32"))
            weight = ops.rsqrt(ops.maximum(share, 1e-9))
            Z, stages = weight * Z, [weight * U for U in stages]
            learns = ops.logical_and(finite, replica_mean(share) > 0.0)
        stages = [ops.where(finite, U, 0.0) for U in stages]

        def centred():
            return ops.where(finite, Z, 0.0)

        def moved():
            eta = ops.where(learns, ops.cast(d.learning_rate, "float32"), 0.0)

            memory = [[ops.convert_to_tensor(v) for v in stage] for stage in self.memory]

            def step(stage, M, U, g, row_axis, Z=None):
                if memory[stage]:
                    memory[stage] = d.remember(memory[stage], Z, eta, row_axis)
                return d.step(M, U, g, eta, rows, row_axis, Z, memory[stage])

            new = self.operator.moved(matrices, centred, stages, gains, eta, step)
            return (*new, *chain(*memory))

        variables = [*self.matrices, *chain(*self.memory)]
        if d.update_every > 1:
            due = ops.equal(self.steps % d.update_every, 0)
            old = tuple(ops.convert_to_tensor(v) for v in variables)
            if d.reduces and replica_count() > 1:  # replicas cannot meet inside a condition
                new = [ops.where(due, a, b) for a, b in zip(moved(), old, strict=True)]
            else:
                new = ops.cond(due, moved, lambda: old)
        else:
            new = moved()
        parts = self.work.parts
        pairs = max(self.operator.n * (self.operator.n // parts - 1), 1)
        energy = off_diagonal_energy(stages[-1], rows, row_axis, joint=parts == 1)
        loss = replica_mean(energy / pairs)

        for variable, value in zip(variables, new, strict=True):
            variable.assign(value)
        if mean is not None:
            t = ops.cast(self.steps - self.skipped_updates, "float32")
            momentum = ops.minimum(d.momentum, t / (t + 1.0))
            change = ops.where(finite, mean - self.moving_mean, 0.0)
            self.moving_mean.assign(self.moving_mean + (1.0 - momentum) * change)
        self.skipped_updates.assign_add(ops.cast(ops.logical_not(finite), "int32"))
        self.steps.assign_add(1)
        skipped = 1.0 - ops.cast(finite, "float32")
        return {"decorrelation_loss": loss, "skipped_updates": skipped, **reports}

    def _reports(self, matrices, Z, stages):
        if not self.decorrelator.reports:
            return {}
        inputs = [give() for give in self.operator.inputs(lambda: Z, stages)]
        counts = self.decorrelator.report(matrices, inputs, stages, self.operator.row_axis)
        # What one replica sees, all report.
        return {
            name: ops.cast(replica_mean(count) > 0.0, "float32") for name, count in counts.items()
        }

    # --- to Keras's own layers ----------------------------------------------------------------

    def folded_layer(self):
        """A Keras layer that does in inference what this one does. It is not built yet."""
        if self.decorrelator is None:
            return keras.layers.Identity(name=self.name, dtype=self.dtype_policy)
        return keras.layers.Dense(
            self.operator.n,
            use_bias=self.decorrelator.center,
            name=self.name,
            dtype=self.dtype_policy,
            trainable=self.trainable,
        )

    def folded_weights(self):
        """Arrays for the weights of `folded_layer()`, once that is built."""
        if self.decorrelator is None:
            return []
        kernel = ops.convert_to_numpy(self.fold(ops.eye(self.operator.n, dtype="float32")))
        if not self.decorrelator.center:
            return [kernel]
        return [kernel, -ops.convert_to_numpy(self.moving_mean) @ kernel]

    def _flat(self, inputs):
        # A reshape that changes nothing would keep TensorFlow from fusing a transpose behind it.
        return inputs if len(inputs.shape) == 2 else ops.reshape(inputs, (-1, self.operator.n))

    def get_config(self):
        return {
            **super().get_config(),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }


def as_rows(inputs, mask, dtype):
    """Inputs as Keras's layers take them, and a mask with all of their axes but the last.

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


def row_mean(inputs, mask=None):
    """Inputs `(..., n)` to go on with, and the `(n,)` float32 mean of the rows that a mask keeps."""
    axes = tuple(range(len(inputs.shape) - 1))
    if mask is None:
        return with_mean(inputs, axes)
    X = ops.cast(inputs, "float32")
    kept = ops.expand_dims(ops.cast(mask, "bool"), -1)
    count = ops.sum(ops.cast(kept, "float32"))
    return inputs, ops.sum(ops.where(kept, X, 0.0), axis=axes) / ops.maximum(count, 1.0)
