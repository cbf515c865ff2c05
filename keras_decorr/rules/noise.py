"""Draws the noise of node perturbation as slices of one table of normal numbers.

Drawing a normal number for every pre-activation would cost as much as the forward pass. So, as in T.
Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement Learning", arXiv
1703.03864, the numbers are drawn once, and each layer and step takes them from a place of its own.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.replicas import replica_number
from keras_decorr.rules.seeds import drawn_seed
from keras_decorr.rules.state import RuleState
from keras_decorr.typing import Tensor

# Enough for a batch of 512 of the widest layer, between 16 and 64 MiB. An average over ever more steps
# comes within sqrt(units / SMALLEST) of the gradient: 1 % for 400 units, 3 % for 4,000.
SMALLEST, LARGEST = 2**22, 2**24
_BATCH = 512
# Slices start at multiples of 64 bytes, where TensorFlow takes one without a copy.
_GRAIN = 16
# PyTorch adds the two halves of a seed; with these strides no two layers get the same sum.
_LAYER, _SAMPLE, _REPLICA = 1_000_003, 100_003, 10_007


class NoiseState(RuleState):
    """Holds a seed, the number of steps taken, and the table drawn from the seed.

    Args:
        seed: Integer, or `None` for one from Keras's global seed.
        units: Pre-activations of the widest layer, or `None` if that is not known.
    """

    def __init__(self, seed: int | None, units: int | None = None) -> None:
        super().__init__()
        self.seed_dtype = keras.random.SeedGenerator(0).state.dtype  # that of the backend
        seed = drawn_seed(seed)
        wanted = 2 ** math.ceil(math.log2(_BATCH * (units or 1)))
        self.seed_and_step = self._add("seed_and_step", np.array([seed, 0]), "int32")
        size = min(max(wanted, SMALLEST), LARGEST)
        self.table = self._add("table", _table(seed, size), "float32")

    def _add(self, name: str, value: np.ndarray, dtype: str) -> Any:
        return self.add_weight(
            name=name,
            shape=value.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(value, dtype),
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def next_seed(self) -> Tensor:
        """Returns the seed of this step, `(2,)` int32, and counts the step."""
        seed = ops.convert_to_tensor(self.seed_and_step) + 0
        self.seed_and_step.assign(seed + ops.convert_to_tensor([0, 1], "int32"))
        return seed

    def save_own_variables(self, store: Any) -> None:
        store["seed_and_step"] = ops.convert_to_numpy(self.seed_and_step)

    def load_own_variables(self, store: Any) -> None:
        if "seed_and_step" not in store:  # weights of a model that learned by another rule
            return
        seed_and_step = np.array(store["seed_and_step"])
        self.seed_and_step.assign(seed_and_step)
        self.table.assign(_table(int(seed_and_step[0]), self.table.shape[0]))


def _table(seed: int, size: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(size, dtype="float32"))


class Noise:
    """Draws standard normal noise for every pre-activation in one noisy pass.

    Args:
        state: A `NoiseState`.
        seed: `(2,)` seed of the step.
        sample: Number of the pass.
    """

    def __init__(self, state: "NoiseState", seed: Tensor, sample: int) -> None:
        self._table, self._seed = ops.convert_to_tensor(state.table), seed
        self._seed_dtype = state.seed_dtype
        self._offset = _SAMPLE * sample + _REPLICA * replica_number()
        self.drawn: list[Tensor] = []

    def of(self, call: int, a: Tensor) -> Any:
        """Returns the noise for the pre-activation `a`, number `call` of the pass."""
        if call == len(self.drawn):
            shape = ops.shape(a)
            noise = self._slice(self._start(call), math.prod(shape))
            self.drawn.append(ops.cast(ops.reshape(noise, shape), a.dtype))
        return self.drawn[call]

    def _start(self, call: int) -> Tensor:
        first = self._seed[0] + _LAYER * call + self._offset
        seed = _Seed(ops.cast(ops.stack([first, self._seed[1]]), self._seed_dtype))
        places = self._table.shape[0] // 2 // _GRAIN
        return keras.random.randint((), 0, places, "int32", seed=seed) * _GRAIN

    def _slice(self, start: Any, size: Any) -> Tensor:
        table, length = self._table, self._table.shape[0]

        def sliced() -> Tensor:
            return ops.slice(table, [start], [size])

        def around() -> Tensor:  # a batch that the table does not hold
            return ops.take(table, (start + ops.arange(size, dtype="int32")) % length)

        if isinstance(size, int):
            return sliced() if size <= length // 2 else around()
        return ops.cond(size <= length // 2, sliced, around)


class _Seed(keras.random.SeedGenerator):
    """Gives a fixed seed and holds no variable."""

    def __init__(self, seed: Tensor) -> None:
        self._value = seed

    def next(self, ordered: bool = True) -> Tensor:
        return self._value
