"""The noise of node perturbation: the same for the same step, sample and layer."""

import keras
from keras import ops
from keras.src.backend import random_seed_dtype

from keras_decorr.decorrelators.replicas import replica_number
from keras_decorr.rules.state import RuleState

# PyTorch adds the two halves of a seed; with these strides no two layers get the same sum.
_LAYER, _SAMPLE, _REPLICA = 1_000_003, 100_003, 10_007


class NoiseState(RuleState):
    """A seed and the number of steps taken."""

    def __init__(self, seed):
        super().__init__()
        self.seed_and_step = self.add_weight(
            name="seed_and_step",
            shape=(2,),
            initializer=lambda shape, dtype=None: ops.convert_to_tensor([seed, 0], dtype),
            dtype="int32",
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
        )

    def next_seed(self):
        """`(2,)` int32: the seed of this step."""
        seed = ops.convert_to_tensor(self.seed_and_step) + 0
        self.seed_and_step.assign(seed + ops.convert_to_tensor([0, 1], "int32"))
        return seed


def noise_state(seed):
    """A `NoiseState` from a seed, or from Keras's global seed if it is `None`."""
    seed = keras.random.randint((), 0, 2**30) if seed is None else seed
    return NoiseState(int(ops.convert_to_numpy(seed)))


class Noise:
    """Standard normal noise for every pre-activation in one noisy pass.

    Args:
        seed: `(2,)` seed of the step.
        sample: Number of the pass.
    """

    def __init__(self, seed, sample):
        self._seed = seed
        self._offset = _SAMPLE * sample + _REPLICA * replica_number()
        self.drawn = []

    def of(self, call, a):
        """The noise on the pre-activation `a`, the `call`-th of the pass."""
        if call == len(self.drawn):
            first = self._seed[0] + _LAYER * call + self._offset
            seed = _Seed(ops.cast(ops.stack([first, self._seed[1]]), random_seed_dtype()))
            self.drawn.append(keras.random.normal(ops.shape(a), dtype=a.dtype, seed=seed))
        return self.drawn[call]


class _Seed(keras.random.SeedGenerator):
    """A seed that is at hand: it does not move, and holds no variable."""

    def __init__(self, seed):
        self._value = seed

    def next(self, ordered=True):
        return self._value
