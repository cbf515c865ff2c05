"""The base class of the decorrelation rules: rate, sampling and structure of M."""

import math
from abc import ABC, abstractmethod
from typing import Any, Self

import keras
from keras.optimizers.schedules import LearningRateSchedule

from keras_decorr.decorrelators import old_spellings, structures
from keras_decorr.decorrelators.arguments import check_center, check_count, check_number
from keras_decorr.decorrelators.structures import STRUCTURES, Product, Stage
from keras_decorr.maths.correlation import multiply, squared_norms
from keras_decorr.maths.norm_preserving import gain
from keras_decorr.maths.zca import adapted_matrix
from keras_decorr.typing import Tensor

STRUCTURE = "auto"
ROWS = ("patches", "pixels")
ACTS_ON = ("inputs", "gradient")
# eta_M, for the default structure.
LEARNING_RATE = 2e-4


class Decorrelator(ABC):
    """Base class of the rules that update a decorrelation matrix M from the inputs of a layer.

    A decorrelator is given to a layer as an initializer is: by name, or as an object with its
    arguments. Each layer keeps a copy of its own, whose `learning_rate` can be set while the layer
    trains. A new rule subclasses this and defines `step`. It overrides `product` if its weights are not
    M itself, `memory` if it keeps more than M, and `report` if it has a failure of its own to count.

    Args:
        learning_rate: Decorrelation rate eta_M of an update: a non-negative float or a
            `keras.optimizers.schedules.LearningRateSchedule`. It is held in a scalar variable, so
            setting it between batches or epochs takes effect at the next step. Defaults to 2e-4,
            which did well in a dense net on CIFAR-10 with the default structure and a batch of 256;
            there a full M took 1e-4, and a convolutional net 2e-3.
        sample_fraction: Fraction of the batch, in (0, 1], from which the statistics are taken:
            `floor(fraction * batch) + 1` samples. Defaults to 0.1, as in the paper's code. Under
            `tf.distribute` each replica samples from its own part of the batch.
        max_samples: The most rows (samples, time steps or patches) used in one step, over all replicas,
            or `None` for no cap. When it binds, the rows are spread evenly over those of the sampled
            fraction. Defaults to 512: on CIFAR-10 (convolutional net, `benchmarks/max_samples.py`) it
            learned as 2048 and as all 26,624 patches did, and it keeps the update a few per cent of the
            step.
        update_every: Update M every so many training steps. Nothing of an update is computed in the
            others. Defaults to 1.
        center: Subtract the mean of the inputs; without it the mean itself is a correlation of all
            features. `"batch"`, or True (default): the mean of the batch in training, a moving mean in
            inference. `"moving"`: the moving mean in training, too, for where the output of one sample
            must not depend on the others of its batch: critics and gradient penalties, differential
            privacy, reinforcement learning, batches of a few rows. False: nothing is subtracted.
        momentum: Momentum of the moving mean, in [0, 1): a step multiplies the weight of all earlier
            batches by it. A batch counts by its rows, so a short last batch moves the mean less.
            Defaults to 0.9, a memory of some ten steps: the means change as the net learns, and with
            0.99, as in Keras's BatchNormalization, those of a convolutional net lag behind so far that
            it tests points worse than it is in its first epochs (`benchmarks/moving_mean.py`). For
            batches of a few samples a longer memory may do better.
        structure: The structure of M: `"auto"`, `"full"`, `"block_diagonal"`, `"monarch"`,
            `"low_rank"`, or an object such as `structures.Monarch(groups=16)`. Defaults to `"auto"`,
            a full M where its counted cost is small beside the layer's own (patches or tokens are many
            and features few), else a Monarch M: on CIFAR-10 Monarch needed the fewest epochs and
            seconds in a dense net, and the full one learned more in convolutions, at no more cost (see
            docs/results.md). The parts of a grouped or depthwise convolution each have a full M.
        rows: What M acts on in a convolution: `"patches"` of all positions of the kernel times the
            channels, or single `"pixels"`: one M over the channels for all positions of the kernel,
            with `channels^2` weights instead of `(positions * channels)^2`. Other layers have no
            positions, and do the same with both. Defaults to `"patches"`.
        follow_optimizer: In a `keras_decorr.Model`, multiply the rate by the learning rate of the
            optimizer over the highest that it has had: M then follows a schedule, or a callback such as
            ReduceLROnPlateau, and is not slowed by a warm-up. Defaults to True, as a constant rate of M
            undoes what a falling learning rate gains. A rate with a schedule of its own does not
            follow. In a plain `keras.Model` nothing follows by itself: use
            `callbacks.DecorrelationRateScheduler("optimizer")`.
        acts_on: What M is applied to. `"inputs"` (default): the layer's inputs, `u = M (x - mean)`.
            `"gradient"`: the gradient of the layer's kernel `W`, which the optimizer gets as
            `M^T M dL/dW`; outputs are those of the Keras layer, so that there is nothing to centre
            (`center` is ignored) and nothing to fold. That is FOOF, the input half of K-FAC, with the
            M of this rule (F. Benzing, arXiv 2201.12250). For layers with a kernel.
        **old: `groups` and `rank`, arguments of version 0.1.0: give them to the structure instead.

    Raises:
        ValueError: If an argument is out of its range.
        TypeError: If an argument is unknown.

    Example:

    A rule that only ever shrinks M:

    >>> import keras, keras_decorr
    >>> class Shrinking(keras_decorr.decorrelators.Decorrelator):
    ...     def step(self, stage, eta):
    ...         return ((1.0 - eta) * stage.M,)
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=Shrinking(learning_rate=1e-3))
    >>> tuple(layer(keras.ops.ones((4, 8)), training=True).shape)
    (4, 10)
    """

    # Names of the structures for which the rule makes sense.
    structures: tuple[str, ...] = tuple(STRUCTURES)
    # What `report` counts: names of sums over the layers and steps of an epoch, in the logs.
    reports: tuple[str, ...] = ()
    # The highest rate that makes sense.
    highest_rate = math.inf

    def __init__(
        self,
        learning_rate: Any = LEARNING_RATE,
        sample_fraction: float = 0.1,
        max_samples: int | None = 512,
        update_every: int = 1,
        center: str | bool = "batch",
        momentum: float = 0.9,
        structure: Any = STRUCTURE,
        rows: str = ROWS[0],
        follow_optimizer: bool = True,
        acts_on: str = ACTS_ON[0],
        **old: Any,
    ) -> None:
        owner = type(self).__name__
        if isinstance(learning_rate, dict):
            learning_rate = keras.saving.deserialize_keras_object(learning_rate)
        if not isinstance(learning_rate, LearningRateSchedule):
            check_number(owner, "learning_rate", learning_rate, 0.0, self.highest_rate)
        self.structure, self.rows = old_spellings.structure_and_rows(owner, structure, rows, old)
        if self.structure.name in STRUCTURES and self.structure.name not in self.structures:
            raise ValueError(
                f"Argument `structure` of {owner} must be one of {sorted(self.structures)}. "
                f"Received: {structure!r}"
            )
        if self.rows not in ROWS:
            raise ValueError(
                f"Argument `rows` of {owner} must be one of {list(ROWS)}. Received: {rows!r}"
            )
        if acts_on not in ACTS_ON:
            raise ValueError(
                f"Argument `acts_on` of {owner} must be one of {list(ACTS_ON)}. Received: {acts_on!r}"
            )
        if momentum == 1:
            raise ValueError(
                f"Argument `momentum` of {owner} must be below 1, or the moving mean never changes. "
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
        self.follow_optimizer = bool(follow_optimizer)
        self.acts_on = acts_on
        center = check_center(owner, center)
        self.center = False if self.acts_on_gradient else center
        self.momentum = check_number(owner, "momentum", momentum, 0.0, 1.0)

    @property
    def acts_on_gradient(self) -> bool:
        """Whether M is applied to the gradient of the kernel rather than to the inputs."""
        return self.acts_on == "gradient"

    # --- the rule -----------------------------------------------------------------------------

    @abstractmethod
    def step(self, stage: Stage, eta: Tensor) -> tuple:
        """Returns the weights of a stage after one step, and then its memory.

        Where `eta` is 0 and the rows are all zero, as for a step that is skipped, both must come out as
        they are.

        Args:
            stage: The `Stage`: M, the rows that passed through it, and the memory.
            eta: Scalar decorrelation rate.

        Returns:
            `(M,)`, or `(M, *memory)` of a rule with a memory.
        """

    def adapted_stage(self, stage: Stage, damping: float) -> tuple:
        """Returns the weights and the memory of a stage from its rows alone, for `adapt`.

            M = g (C + d mean(l) I)^(-1/2)

        with the covariance `C` of the inputs of the stage, its mean eigenvalue `mean(l)`, the damping
        `d`, and the gain `g` that keeps the norm of the rows.

        Args:
            stage: The `Stage`, whose M is the identity.
            damping: `d`. With 0 the outputs are white; the higher, the nearer M is to the identity.
        """
        M = adapted_matrix(stage.M, stage.Z, damping, stage.row_axis)
        U = multiply(M, stage.Z, stage.row_axis)
        return (gain(stage.x2, squared_norms(U, stage.row_axis), stage.weights) * M,)

    @property
    def product(self) -> Product:
        """How the weights of a stage act on its inputs: as a matrix, M itself, by default."""
        return Product()

    def memory(self, identity: Tensor) -> dict:
        """Returns what the rule keeps beside the weights of a stage, which start as `identity`.

        Returns:
            A dictionary of arrays, each the start of a variable; none by default.
        """
        return {}

    def report(self, stages: list[Stage]) -> dict:
        """Returns counts for the logs, by the names in `reports`: of this step, before M changes.

        Args:
            stages: A list of `Stage`.

        Returns:
            A dictionary of float32 scalars.
        """
        return {}

    def step_cost(self, k: int, m: int) -> int:
        """Returns the multiply-adds of `step` and `report` with `k` rows, for a matrix `(m, m)`."""
        return min(2 * k * m**2, k * m**2 + m**3)

    # --- the rate -----------------------------------------------------------------------------

    @property
    def learning_rate(self) -> Tensor:
        """The decorrelation rate per step; of a schedule, its value at the present step."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            if self._step_variable is None:
                return self._learning_rate(0)
            return self._learning_rate(self._step_variable) * self._rate_variable
        return self._learning_rate if self._rate_variable is None else self._rate_variable

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
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

    @property
    def follows(self) -> bool:
        """Whether the rate is multiplied by the optimizer's over its highest one."""
        return self.follow_optimizer and not self.has_schedule

    @property
    def has_schedule(self) -> bool:
        """Whether the rate is a `LearningRateSchedule` of its own."""
        return isinstance(self._learning_rate, LearningRateSchedule)

    def scale_rate(self, factor: float) -> None:
        """Multiplies the rate of a built layer by a number; of a schedule, all later rates."""
        factor = check_number(type(self).__name__, "factor", float(factor), 0.0)
        if isinstance(self._learning_rate, LearningRateSchedule):
            self._rate_variable.assign(self._rate_variable * factor)
        else:
            self.learning_rate = float(keras.ops.convert_to_numpy(self.learning_rate)) * factor

    def bind(self, rate: Tensor, step: Tensor) -> None:
        """Connects to the variables in which a layer holds the rate and counts its steps."""
        self._rate_variable, self._step_variable = rate, step

    @property
    def initial_rate(self) -> float:
        """Value with which the rate variable of a layer starts: the rate, or a schedule's factor."""
        scheduled = isinstance(self._learning_rate, LearningRateSchedule)
        return 1.0 if scheduled else float(self._learning_rate)

    # --- serialization ------------------------------------------------------------------------

    def get_config(self) -> dict:
        """Returns the arguments, as plain Python objects."""
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
            "structure": structures.serialize(self.structure),
            "rows": self.rows,
            "follow_optimizer": self.follow_optimizer,
            "acts_on": self.acts_on,
        }

    @classmethod
    def from_config(cls, config: dict) -> Self:
        """Returns a decorrelator from the dictionary of `get_config`."""
        return cls(**config)

    def clone(self) -> "Decorrelator":
        """Returns a copy with the same arguments and no connection to a layer."""
        return self.from_config(self.get_config())
