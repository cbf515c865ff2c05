"""What every decorrelation rule shares: its rate, its sampling and the structure of its M."""

import math
from abc import ABC, abstractmethod
from typing import Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.decorrelators.structures import STRUCTURES, Product

STRUCTURE = "auto"
# eta_M, for the default structure.
LEARNING_RATE = 2e-4


class Decorrelator(ABC):
    """Base class of the rules by which a decorrelation matrix M follows the data.

    A decorrelator is given to a layer as an initializer is: by name, or as an object with its
    arguments. Each layer keeps a copy of its own, whose `learning_rate` can be set while the layer
    trains. A new rule subclasses this and defines `step`, and `gain` if it has one; `product` if its
    weights are not M itself, `memory` and `remember` if it keeps more than them, `report` if it has a
    failure of its own to count.

    Args:
        learning_rate: Decorrelation rate eta_M per training step: a non-negative float or a
            `keras.optimizers.schedules.LearningRateSchedule`. It is held in a scalar variable, so
            setting it between batches or epochs takes effect at the next step. Defaults to 2e-4,
            which did well in a dense net on CIFAR-10 with the default structure and a batch of 256;
            there a full M took 1e-4, and a convolutional net 2e-3.
        sample_fraction: Fraction of the batch, in (0, 1], from which the statistics are taken.
            `floor(fraction * batch) + 1` samples. Defaults to 0.1, as in the paper's code. Under
            `tf.distribute` each replica samples from its own part of the batch.
        max_samples: The most rows (samples, time steps or patches) used in one step, or `None` for
            no cap. When it binds, the rows are spread evenly over those of the sampled fraction.
            Defaults to 512: on CIFAR-10 (convolutional net, `benchmarks/max_samples.py`) it learned as
            2048 and as all 26,624 patches did, and it keeps the update a few per cent of the step.
        update_every: Update M every so many training steps. Defaults to 1.
        center: Subtract the mean of the inputs: of the batch in training, a moving mean in inference.
            Defaults to True: without it the mean itself is a correlation of all features.
        momentum: Momentum of the moving mean, in [0, 1). Defaults to 0.9, a memory of some ten steps:
            the means move as the net learns, and with 0.99, as in Keras's BatchNormalization, those of
            a convolutional net lag behind so far that it tests points worse than it is in its first
            epochs (`benchmarks/moving_mean.py`). For batches of a few samples a longer memory may do
            better. The first steps take the plain average, so that the mean does not start from zero.
        structure: The structure of M: `"full"`, `"block_diagonal"`, `"monarch"`, `"low_rank"` (identity
            plus rank `rank`), `"channel"` (of a convolution: one M over the channels for all positions
            of the kernel; of other layers as `"auto"`) or `"auto"`, which takes the richest one whose
            counted cost is small beside the layer's own (`keras_decorr.decorrelators.cost`): full where
            patches or tokens are many and features few, else Monarch. Defaults to `"auto"`: on CIFAR-10
            the Monarch M needed the fewest epochs and seconds in a dense net, and the full one learned
            more in convolutions, at no more cost (see docs/results.md). The
            parts of a grouped or depthwise convolution each have a full M, over channels only with
            `"channel"`.
        groups: The most groups of features in a block-diagonal or Monarch M; fewer where that needs
            less padding, and in a Monarch M at most the square root of the features. Defaults to 32,
            with which the nets of the README learned as with 16.
        rank: Rank of a low-rank M. Defaults to 32, or a fourth of the features where that is less.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    A rule that only ever shrinks M:

    >>> import keras, keras_decorr
    >>> class Shrinking(keras_decorr.decorrelators.Decorrelator):
    ...     def step(self, M, U, g, eta, rows=None, row_axis=-2, Z=None, memory=()):
    ...         return (1.0 - eta) * M
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=Shrinking(learning_rate=1e-3))
    >>> tuple(layer(keras.ops.ones((4, 8)), training=True).shape)
    (4, 10)
    """

    # The structures for which the rule makes sense.
    structures: tuple[str, ...] = (*STRUCTURES, "auto")
    # What `report` counts: names of sums over the layers and steps of an epoch, in the logs.
    reports: tuple[str, ...] = ()
    # The highest rate that makes sense.
    highest_rate = math.inf
    # Whether `remember` takes a mean over the replicas of a `tf.distribute` strategy.
    reduces = False

    def __init__(
        self,
        learning_rate=LEARNING_RATE,
        sample_fraction=0.1,
        max_samples=512,
        update_every=1,
        center=True,
        momentum=0.9,
        structure=STRUCTURE,
        groups=32,
        rank=None,
    ):
        owner = type(self).__name__
        if isinstance(learning_rate, dict):
            learning_rate = keras.saving.deserialize_keras_object(learning_rate)
        if not isinstance(learning_rate, LearningRateSchedule):
            check_number(owner, "learning_rate", learning_rate, 0.0, self.highest_rate)
        if structure not in self.structures:
            raise ValueError(
                f"Argument `structure` of {owner} must be one of {sorted(self.structures)}. "
                f"Received: {structure!r}"
            )
        if momentum == 1:
            raise ValueError(
                f"Argument `momentum` of {owner} must be below 1, or the moving mean never moves. "
                f"Received: {momentum!r}"
            )
        self._learning_rate = learning_rate
        self._rate_variable: Any = None
        self._step_variable: Any = None
        self.sample_fraction = check_number(
            owner, "sample_fraction", sample_fraction, 0.0, 1.0, open_low=True
        )
        self.max_samples = (
            None if max_samples is None else check_count(owner, "max_samples", max_samples)
        )
        self.update_every = check_count(owner, "update_every", update_every)
        self.center = bool(center)
        self.momentum = check_number(owner, "momentum", momentum, 0.0, 1.0)
        self.structure = structure
        self.groups = check_count(owner, "groups", groups)
        self.rank = None if rank is None else check_count(owner, "rank", rank)

    # --- the rule -----------------------------------------------------------------------------

    def gain(self, x2, u2):
        """The gain `g` of every stage of M. 1 unless the rule has one.

        Args:
            x2: `(stages, k)` squared norms of the inputs of each stage.
            u2: `(stages, k)` squared norms of its outputs.

        Returns:
            `(stages,)`.
        """
        return keras.ops.ones((x2.shape[0],), x2.dtype)

    def share_of_gain(self, g):
        """What a step takes of the gain, `(stages,)`; all of it unless the rule takes less."""
        return g

    @property
    def compares_raw(self):
        """Whether `gain` compares with the inputs as they come, not with the centred ones."""
        return False

    @property
    def product(self):
        """How the weights of a stage act on its inputs: a `structures.Product`."""
        return Product()

    def memory(self, identity):
        """What the rule keeps beside the weights of a stage, that start as `identity`.

        Returns:
            A dictionary of arrays, each the start of a variable; none by default.
        """
        return {}

    def remember(self, memory, Z, eta, row_axis=-2):
        """The new memory of a stage, from its inputs. Called before `step`, if there is a memory.

        Args:
            memory: A list of tensors, in the order of `memory`.
            Z: A function that gives the inputs, laid out as `U` in `step`.
            eta: Scalar decorrelation rate; 0 for a step that is skipped.
            row_axis: -2, or -1.
        """
        return memory

    @abstractmethod
    def step(self, M, U, g, eta, rows=None, row_axis=-2, Z=None, memory=()):
        """The new weights of one stage; the old ones if `eta` is 0 and `g` is 1.

        Args:
            M: `(..., m, m)`, the weights: M itself, unless the rule has another `product`.
            U: `(..., k, m)`, or `(..., m, k)`: its outputs.
            g: Scalar gain.
            eta: Scalar decorrelation rate.
            rows: The number of rows to expect where `k` is not known when tracing.
            row_axis: The axis of `U` along which the `k` rows lie: -2, or -1.
            Z: A function that gives the inputs of the stage, laid out as `U`.
            memory: What `remember` gave.
        """

    def report(self, matrices, inputs, stages, row_axis=-2):
        """Counts for the logs, by the names in `reports`: of this step, before M moves.

        Args:
            matrices: The weights of every stage.
            inputs: Inputs of every stage.
            stages: Outputs of every stage, laid out as its inputs.
            row_axis: -2, or -1.

        Returns:
            A dictionary of float32 scalars.
        """
        return {}

    def step_cost(self, k, m):
        """Multiply-adds of `step`, `remember` and `report` with `k` rows, for a matrix `(m, m)`."""
        return min(2 * k * m**2, k * m**2 + m**3)

    # --- the rate -----------------------------------------------------------------------------

    @property
    def learning_rate(self):
        """The decorrelation rate per step; of a schedule, its value at the present step."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            if self._step_variable is None:
                return self._learning_rate(0)
            return self._learning_rate(self._step_variable) * self._rate_variable
        return self._learning_rate if self._rate_variable is None else self._rate_variable

    @learning_rate.setter
    def learning_rate(self, value):
        owner = type(self).__name__
        if isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                f"The `learning_rate` of this {owner} follows a LearningRateSchedule and cannot be "
                f"set. Build it with a float to change the rate by hand. Received: {value!r}"
            )
        self._learning_rate = check_number(
            owner, "learning_rate", float(value), 0.0, self.highest_rate
        )
        if self._rate_variable is not None:
            self._rate_variable.assign(self._learning_rate)

    def scale_rate(self, factor):
        """Multiply the rate of a built layer by a number, or what its schedule gives from now on."""
        factor = check_number(type(self).__name__, "factor", float(factor), 0.0)
        if isinstance(self._learning_rate, LearningRateSchedule):
            self._rate_variable.assign(self._rate_variable * factor)
        else:
            self.learning_rate = float(keras.ops.convert_to_numpy(self.learning_rate)) * factor

    def bind(self, rate, step):
        """Connect to the variables in which a layer holds the rate and counts its steps."""
        self._rate_variable, self._step_variable = rate, step

    @property
    def initial_rate(self):
        """Value with which the rate variable of a layer starts: the rate, or a schedule's factor."""
        scheduled = isinstance(self._learning_rate, LearningRateSchedule)
        return 1.0 if scheduled else float(self._learning_rate)

    # --- serialisation ------------------------------------------------------------------------

    def get_config(self):
        """The arguments, as plain Python objects."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            rate = keras.saving.serialize_keras_object(rate)
        elif self._rate_variable is not None:
            rate = float(keras.ops.convert_to_numpy(self._rate_variable))
        return {
            "learning_rate": rate,
            "sample_fraction": self.sample_fraction,
            "max_samples": self.max_samples,
            "update_every": self.update_every,
            "center": self.center,
            "momentum": self.momentum,
            "structure": self.structure,
            "groups": self.groups,
            "rank": self.rank,
        }

    @classmethod
    def from_config(cls, config):
        """A decorrelator from `get_config`'s dictionary."""
        return cls(**config)

    def clone(self):
        """A copy with the same arguments and no connection to a layer."""
        return self.from_config(self.get_config())
