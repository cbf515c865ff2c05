"""Measures how well a learning rule's updates point along the gradient while a model trains.

T. P. Lillicrap et al., "Random synaptic feedback weights support error backpropagation for deep
learning", Nature Communications 7, 13276 (2016), figure 2.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.keras_internals import state_without_model
from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.metrics import angle
from keras_decorr.rules.graph import linear_maps
from keras_decorr.training.gradients import gradients
from keras_decorr.training.step import DecorrelationStep
from keras_decorr.typing import Tensor, Tensors


class AlignmentMonitor(keras.callbacks.Callback):
    """Measures the angle between a learning rule's update and the gradient, layer by layer.

    At the end of an epoch it computes both on a fixed batch, of the weights as they are, and puts the
    angle of each kernel into the logs as `alignment/<layer name>`, in degrees: 0 for backpropagation,
    90 for an update that has nothing to do with the gradient. So it stands in `History`, and in what
    callbacks later in the list write, such as `CSVLogger`. No weight, no M and no seed is changed.

    In the epochs between, the logs hold NaN, as `CSVLogger` writes the columns of the first epoch
    alone.

    Args:
        x: Inputs of the fixed batch, an array or a structure of them. The memory that a training step
            on it takes is needed.
        y: Its targets.
        every: Measure at the end of every so many epochs. Defaults to 1.
        repeats: Average so many updates first. Of use for node perturbation: one noisy estimate lies
            near 90 degrees to the gradient in a large layer, though its mean is the gradient. A
            rule without noise gets one. Defaults to 1.

    Attributes:
        history: Dictionary of lists, an entry for each measurement of the last `fit`: `"epoch"`,
            `"alignment/<layer name>"` and, for the biases, `"alignment/<layer name>/bias"`.

    Raises:
        ValueError: If `every` or `repeats` is not a positive integer; in `fit`, if the model is not a
            `keras_decorr` model with trainable linear maps.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> model = keras_decorr.Sequential([
    ...     keras.Input((64,)),
    ...     keras_decorr.layers.DecorDense(32, activation="relu", name="hidden"),
    ...     keras_decorr.layers.DecorDense(10, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy", learning_rule="feedback_alignment")
    >>> x, y = np.random.rand(128, 64).astype("float32"), np.random.randint(0, 10, 128)
    >>> monitor = keras_decorr.callbacks.AlignmentMonitor(x[:64], y[:64])
    >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[monitor])
    >>> len(history.history["alignment/hidden"])
    2
    """

    def __init__(self, x: Tensors, y: Tensors, every: int = 1, repeats: int = 1) -> None:
        super().__init__()
        self.every = check_count("AlignmentMonitor", "every", every)
        self.repeats = check_count("AlignmentMonitor", "repeats", repeats)
        self.x, self.y = (keras.tree.map_structure(_array, value) for value in (x, y))
        self.history: dict[str, list[float]] = {}

    def set_model(self, model: keras.Model) -> None:
        if not isinstance(model, DecorrelationStep):
            raise ValueError(
                "AlignmentMonitor needs a keras_decorr.Model or keras_decorr.Sequential, which has a "
                f"learning rule. Received: {model.name!r} ({type(model).__name__})"
            )
        super().set_model(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.history = {"epoch": []}
        if self.model.built:  # else Keras builds it in the first epoch
            self._variables()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        due = (epoch + 1) % self.every == 0
        angles = self._angles() if due else {}
        if due:
            self.history["epoch"].append(epoch)
        for name, value in angles.items():
            self.history.setdefault(name, []).append(value)
        if logs is not None:
            for name, part, _ in self._variables():
                if part == "kernel":
                    logs[name] = angles.get(name, math.nan)

    def _variables(self) -> list[tuple[str, str, int]]:
        """Returns `(name, part, index)` for each trainable kernel and bias of the linear maps."""
        index = {id(v): i for i, v in enumerate(self.model.trainable_variables)}
        layers = linear_maps(self.model)
        names = [layer.name for layer in layers]
        found = []
        for layer in layers:
            name = layer.name if names.count(layer.name) == 1 else layer.path
            for part, suffix in (("kernel", ""), ("bias", "/bias")):
                if id(variable := getattr(layer, part)) in index:
                    found.append((f"alignment/{name}{suffix}", part, index[id(variable)]))
        if not found:
            raise ValueError(
                "AlignmentMonitor finds no trainable linear map in the model "
                f"{self.model.name!r}: it needs a DecorDense or DecorConv2D."
            )
        return found

    def _angles(self) -> dict[str, float]:
        updates = self._updates()
        exact = gradients(self.model, self.x, self.y, "backprop")
        return {name: angle(updates[i], exact[i]) for name, _, i in self._variables()}

    def _updates(self) -> list[np.ndarray]:
        """Computes the rule's updates, averaged over `repeats` draws of its noise."""
        state = self.model.learning_rule_state
        seed = getattr(state, "seed_and_step", None)
        if seed is None:
            return gradients(self.model, self.x, self.y)
        start = ops.convert_to_numpy(seed).copy()
        total: list[Any] = [0.0] * len(self.model.trainable_variables)
        try:
            for step in range(self.repeats):
                seed.assign(start + np.array([0, step], start.dtype))
                updates = gradients(self.model, self.x, self.y)
                total = [a + b / self.repeats for a, b in zip(total, updates, strict=True)]
        finally:
            seed.assign(start)
        return total

    def __getstate__(self) -> dict[str, Any]:  # copies and pickles go without the model
        return state_without_model(self)


def _array(value: Tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(value)))
