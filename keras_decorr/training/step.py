"""The training step: a learning rule, and one decorrelation step from its clean samples.

Keras's trainers for TensorFlow, JAX and PyTorch all call `Model.compute_loss` inside what they
differentiate, and keep the variables it updates. So one override of it serves the three.
"""

from contextlib import contextmanager

import keras
from keras import ops

from keras_decorr import rules
from keras_decorr.layers import collection
from keras_decorr.layers.decorrelation import Decorrelation


class DecorrelationStep(keras.Model):
    """A Keras model with a learning rule and one decorrelation step per training step.

    Adds to the logs of `fit`:
        decorrelation_loss: mean squared off-diagonal correlation of the sampled inputs, before the
            step, averaged over the layers.
        skipped_updates: layers' updates of M that were skipped in this epoch because a batch held
            NaN or infinity.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._learning_rule = rules.get("backprop")
        self._evaluating = False
        self._decorrelation_metrics = [
            keras.metrics.Mean(name="decorrelation_loss"),
            keras.metrics.Sum(name="skipped_updates"),
        ]

    def compile(self, *args, learning_rule="backprop", **kwargs):
        """Configure the model for training.

        Args:
            *args: As for `keras.Model.compile`: `optimizer`, `loss`, `loss_weights`, `metrics`, ...
            learning_rule: Name of a learning rule or a `keras_decorr.rules.LearningRule`. Defaults
                to `"backprop"`.
            **kwargs: As for `keras.Model.compile`.

        Raises:
            ValueError: If `learning_rule` is unknown.
        """
        self._learning_rule = rules.get(learning_rule)
        super().compile(*args, **kwargs)

    @property
    def learning_rule(self):
        """The rule by which the weights learn."""
        return self._learning_rule

    @property
    def decorrelation_layers(self):
        """Every `Decorrelation` of the model with an M, those inside other layers included."""
        return decorrelation_layers(self)

    @property
    def decorrelation_rate(self):
        """The decorrelation rate per step of the first layer; setting it sets that of every layer.

        It takes effect at the next step (on JAX at the next epoch) without a new trace.
        """
        layers = self.decorrelation_layers
        return layers[0].decorrelator.learning_rate if layers else None

    @decorrelation_rate.setter
    def decorrelation_rate(self, value):
        for layer in self.decorrelation_layers:
            layer.decorrelator.learning_rate = value

    def train_step(self, *args):
        with collection.collect():
            return super().train_step(*args)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
        )
        samples = collection.current()
        if not training or samples is None:
            return loss
        with samples.paused():
            loss = self._learning_rule.compute_loss(self, loss, x, y, y_pred, sample_weight)
        self._decorrelate(samples)
        return loss

    def _decorrelate(self, samples):
        progress = [layer.update(sample) for layer, sample in samples.flush()]
        if not progress:
            return
        finite = ops.stack([p.finite for p in progress])
        tracker, skipped = self._decorrelation_metrics
        tracker.update_state(ops.stack([p.loss for p in progress]), sample_weight=finite)
        skipped.update_state(1.0 - finite)

    def evaluate(self, *args, **kwargs):
        with self._without_decorrelation_metrics():
            return super().evaluate(*args, **kwargs)

    def test_on_batch(self, *args, **kwargs):
        with self._without_decorrelation_metrics():
            return super().test_on_batch(*args, **kwargs)

    def get_metrics_result(self):
        results = super().get_metrics_result()
        if self._evaluating:
            for metric in self._decorrelation_metrics:
                results.pop(metric.name, None)
        return results

    @contextmanager
    def _without_decorrelation_metrics(self):
        """Nothing decorrelates in evaluation, so there is nothing to show."""
        self._evaluating = True
        try:
            yield
        finally:
            self._evaluating = False

    def get_compile_config(self):
        config = super().get_compile_config()
        if config is not None:
            config["learning_rule"] = keras.saving.serialize_keras_object(self._learning_rule)
        return config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)


def decorrelation_layers(model):
    """Every `Decorrelation` with an M in a Keras model, those inside other layers included."""
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, Decorrelation) and layer.decorrelator is not None
    ]
