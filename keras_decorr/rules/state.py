"""What a rule keeps for one model: saved, restored and traced with it."""

import keras


class RuleState(keras.layers.Layer):
    """Variables of a learning rule.

    A layer, since that is what Keras saves; it is none of the model's layers and is never called.
    """

    def __init__(self):
        super().__init__(name="learning_rule_state", dtype="float32")
        self._of_layer = {}
        self.built = True

    def add(self, layer, key, shape, initializer, trainable=False):
        """Add a float32 variable for a layer of the model."""
        self._of_layer[id(layer), key] = self.add_weight(
            name=f"{layer.path}/{key}".replace("/", "_"),
            shape=shape,
            initializer=initializer,
            trainable=trainable,
            autocast=False,
            aggregation="mean",
        )

    def of(self, layer, key="feedback"):
        """The variable of a layer, or `None`."""
        return self._of_layer.get((id(layer), key))

    def load_own_variables(self, store):
        if not len(store):  # weights of a model that learned by another rule
            return
        super().load_own_variables(store)
