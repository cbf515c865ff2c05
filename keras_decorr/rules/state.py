"""Holds the variables of a learning rule for one model."""

from typing import Any

import keras


class RuleState(keras.layers.Layer):
    """Holds variables of a learning rule, saved with the model.

    A layer, since that is what Keras saves; it is none of the model's layers and is never called.
    """

    def __init__(self) -> None:
        super().__init__(name="learning_rule_state", dtype="float32")
        self._of_layer: dict[tuple[int, Any], keras.Variable] = {}
        self.built = True

    def add(
        self, layer: Any, key: Any, shape: Any, initializer: Any, trainable: bool = False
    ) -> None:
        """Adds a float32 variable for a layer of the model."""
        self._of_layer[id(layer), key] = self.add_weight(
            name=f"{layer.path}/{key}".replace("/", "_"),
            shape=shape,
            initializer=initializer,
            trainable=trainable,
            autocast=False,
            aggregation="mean",
        )

    def of(self, layer: Any, key: Any = "feedback") -> Any:
        """Returns the variable of a layer, or `None`."""
        return self._of_layer.get((id(layer), key))

    def load_own_variables(self, store: Any) -> None:
        if not len(store):  # weights of a model that learned by another rule
            return
        super().load_own_variables(store)
