"""The training step: a learning rule, and one decorrelation step from its clean samples.

Keras's trainers for TensorFlow, JAX and PyTorch all call `Model.compute_loss` inside what they
differentiate, and keep the variables it updates. So one override of it serves the three.
"""

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from keras_decorr import rules
from keras_decorr.backend.keras_internals import (
    BuiltBeforeOptimizer,
    build_symbolically,
    flatten_layers,
)
from keras_decorr.backend.optimizers import learning_rate_in_step
from keras_decorr.context import collection, wiring
from keras_decorr.layers.call import has_call, takes_training
from keras_decorr.layers.decorrelation import Decorrelation
from keras_decorr.layers.walk import walk
from keras_decorr.training.followed_rate import FollowedRate
from keras_decorr.typing import Tensor, Tensors

_KEPT = ("learning_rule_state", "_decorrelation_metrics", "_reports")


class DecorrelationStep(BuiltBeforeOptimizer):
    """A Keras model with a learning rule and one decorrelation step per training step.

    Adds to the logs of `fit`:
        decorrelation_loss: mean squared off-diagonal correlation of the sampled inputs, before the
            step, averaged over the layers.
        skipped_updates: layers' updates of M that were skipped in this epoch because a batch held
            NaN or infinity.
        decorrelation_rate: the rate of M in the last step, averaged over the layers. It follows the
            learning rate of the optimizer: see `Decorrelator`.
        What its decorrelators count besides, in `Decorrelator.reports`.
    """

    optimizer: Any
    _reports: Mapping[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start_decorrelation_step()

    def start_decorrelation_step(self) -> None:
        """Gives the model what the training step keeps; also one that gets this class afterwards."""
        self._learning_rule = rules.get("backprop")
        self._rule_is_built = False
        self._evaluating = False
        self._keep("learning_rule_state", None)
        loss = keras.metrics.Mean(name="decorrelation_loss")
        skipped = keras.metrics.Sum(name="skipped_updates")
        self._keep("_decorrelation_metrics", [loss, skipped, FollowedRate()])
        self._keep("_reports", MappingProxyType({}))
        if self.compiled and self.built:
            self.build_rule()

    def end_decorrelation_step(self) -> None:
        """Takes away what the training step keeps, before the model becomes one of another class."""
        kept: dict[str, Any] = self.__dict__
        for name in (*_KEPT, "_learning_rule", "_rule_is_built", "_evaluating"):
            kept.pop(name, None)

    def compile(self, *args: Any, learning_rule: Any = "backprop", **kwargs: Any) -> None:
        """Configures the model for training.

        Args:
            *args: As for `keras.Model.compile`: `optimizer`, `loss`, `loss_weights`, `metrics`, ...
            learning_rule: Name of a learning rule or a `keras_decorr.rules.LearningRule`. Defaults
                to `"backprop"`.
            **kwargs: As for `keras.Model.compile`.

        Raises:
            ValueError: If `learning_rule` is unknown, or cannot serve a layer or the loss.
        """
        rule = rules.get(learning_rule)
        super().compile(*args, **kwargs)
        self._learning_rule = rule
        rule.check(self)
        self._followed_rate.restart()
        self._keep("learning_rule_state", None)
        self._rule_is_built = False
        if self.built:
            self.build_rule()

    def _keep(self, name: str, value: Any) -> None:
        """Sets an attribute past Keras's tracking.

        That would make the state of a rule one of the model's layers, and a built model takes no more
        metrics. Keras saves them all the same, as every attribute with a layer or a list of metrics.
        What the decorrelators report it does not: a file of an older version has none.
        """
        object.__setattr__(self, name, value)

    @property
    def metrics(self) -> list:
        """All metrics, those of the decorrelation step included."""
        return [*super().metrics, *self._step_metrics]

    @property
    def _step_metrics(self) -> list:
        kept: dict[str, Any] = self.__dict__  # not there yet while Keras makes the model
        return [*kept.get("_decorrelation_metrics", ()), *kept.get("_reports", {}).values()]

    def build_rule(self) -> None:
        """Creates the variables of the learning rule and the metrics of the logs, if not done yet."""
        if not self._rule_is_built:
            self._keep("learning_rule_state", self._learning_rule.build(self))
            names = {name for d in self.decorrelation_layers for name in d.decorrelator.reports}
            reports = {name: keras.metrics.Sum(name=name) for name in sorted(names)}
            self._keep("_reports", MappingProxyType(reports))
            self._rule_is_built = True
            self._warn_of_inference()

    def _warn_of_inference(self) -> None:
        """Warns of layers that run as in inference because the model has no argument `training`."""
        if takes_training(self) or not has_call(self):
            return
        layers = flatten_layers(self, include_self=False)
        calls = {layer.name: inspect.signature(layer.call) for layer in layers}
        off = [
            n
            for n, call in calls.items()
            if getattr(call.parameters.get("training"), "default", 0) is False
        ]
        if off:
            warnings.warn(
                f"The method `call` of {type(self).__name__} has no argument `training`, so in "
                f"training the layers {off} run as in inference, and layers behind them may not move "
                "their M. Define `call(self, inputs, training=None)`.",
                stacklevel=2,
            )

    @property
    def variables(self) -> Any:
        """All variables of the model, those of its learning rule included."""
        state = getattr(self, "learning_rule_state", None)
        return super().variables + ([] if state is None else state.variables)

    @property
    def trainable_weights(self) -> Any:
        """All trainable weights of the model, feedback that learns included."""
        state = getattr(self, "learning_rule_state", None)
        return super().trainable_weights + ([] if state is None else state.trainable_weights)

    @property
    def learning_rule(self) -> rules.LearningRule:
        """The rule by which the weights learn."""
        return self._learning_rule

    @property
    def decorrelation_layers(self) -> list[Decorrelation]:
        """Every `Decorrelation` of the model with an M, those inside other layers included."""
        return decorrelation_layers(self)

    @property
    def _followed_rate(self) -> FollowedRate:
        followed: FollowedRate = self._decorrelation_metrics[-1]
        return followed

    @property
    def decorrelation_rate_factor(self) -> float:
        """The factor by which the rate of M followed the learning rate in the last step."""
        return float(ops.convert_to_numpy(self._followed_rate.last_factor))

    @property
    def decorrelation_rate(self) -> Tensor:
        """The decorrelation rate per step of the first layer; setting it sets that of every layer.

        It takes effect at the next step (on JAX at the next epoch) without a new trace. `None` for a
        model without M, where setting it raises a ValueError.
        """
        layers = self.decorrelation_layers
        return layers[0].decorrelator.learning_rate if layers else None

    @decorrelation_rate.setter
    def decorrelation_rate(self, value: float) -> None:
        layers = self.decorrelation_layers
        if not layers:
            raise ValueError(
                f"The model {self.name!r} has no decorrelating layer, whose rate could be set. "
                f"Received: decorrelation_rate={value}"
            )
        for layer in layers:
            layer.decorrelator.learning_rate = value

    def train_step(self, *args: Any) -> Any:
        if not self._rule_is_built:  # TensorFlow builds a model at its first call
            build_symbolically(self, args[-1])
        learning_rate = learning_rate_in_step(self.optimizer, args)
        with (
            collection.collect(learning_rate),
            wiring.opened(self._learning_rule.wires(self)),
        ):
            return super().train_step(*args)

    def compute_loss(
        self,
        x: Tensors = None,
        y: Tensors = None,
        y_pred: Tensors = None,
        sample_weight: Tensors = None,
        training: bool = True,
    ) -> Tensor:
        compiled_loss = super().compute_loss

        def loss_of(y_pred: Tensors) -> Tensor:
            return compiled_loss(x, y, y_pred, sample_weight, training)

        samples = collection.current()
        if not training or samples is None:
            return loss_of(y_pred)
        with samples.paused():
            loss = self._learning_rule.compute_loss(self, loss_of, x, y, y_pred, sample_weight)
        self.decorrelate(samples)
        return loss

    def decorrelate(self, samples: collection.Collection) -> None:
        """Takes one decorrelation step from the samples of a `Collection`, and adds it to the logs."""
        factor = 1.0
        if samples.learning_rate is not None:
            factor = self._followed_rate.factor(samples.learning_rate)
        progress = [layer.update(of_layer, factor) for layer, of_layer in samples.flush()]
        if not progress:
            return
        loss, skipped, followed = self._decorrelation_metrics
        taken = ops.stack([p["updates"] for p in progress])
        loss.update_state(ops.stack([p[loss.name] for p in progress]), sample_weight=taken)
        followed.update_state(ops.stack([p[followed.name] for p in progress]))
        for counter in (skipped, *self._reports.values()):
            counter.update_state(
                ops.stack([p[counter.name] for p in progress if counter.name in p])
            )

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with self._without_decorrelation_metrics():
            return super().evaluate(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with self._without_decorrelation_metrics():
            return super().test_on_batch(*args, **kwargs)

    def get_metrics_result(self) -> Any:
        results = super().get_metrics_result()
        if self._evaluating:
            for metric in self._step_metrics:
                results.pop(metric.name, None)
        return results

    @contextmanager
    def _without_decorrelation_metrics(self) -> Iterator[None]:
        """Hides the decorrelation metrics, as evaluation does not update M."""
        self._evaluating = True
        try:
            yield
        finally:
            self._evaluating = False

    def get_compile_config(self) -> Any:
        config = super().get_compile_config()
        # A model that was not compiled has none. Backpropagation goes without saying: Keras compiles
        # the clone of a Sequential, which is a plain one, with this configuration.
        if config and not isinstance(self._learning_rule, rules.Backprop):
            config["learning_rule"] = keras.saving.serialize_keras_object(self._learning_rule)
        return config

    def compile_from_config(self, config: dict) -> None:
        if type(self).compile is not DecorrelationStep.compile:
            super().compile_from_config(config)  # which says that it cannot
            return
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)


def decorrelation_layers(model: keras.Model) -> list[Decorrelation]:
    """Returns every `Decorrelation` with an M in a Keras model, including those inside other layers.

    Example:

    >>> import keras_decorr
    >>> model = keras_decorr.models.dense_net((8, 8, 1), 10, hidden=(16,))
    >>> len(keras_decorr.training.decorrelation_layers(model))
    2
    """
    layers = {id(place.layer): place.layer for place in walk(model)}.values()
    return [x for x in layers if isinstance(x, Decorrelation) and x.decorrelator is not None]


def required_decorrelation_layers(model: keras.Model) -> list[Decorrelation]:
    """Returns the `decorrelation_layers` of a model; raises if there are none or it is not built.

    Raises:
        ValueError: If it is not built, or has none.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(
            "Argument `model` must be a built Keras model: give it a `keras.Input`, or call it on a "
            f"batch. Received: {model!r}"
        )
    layers = decorrelation_layers(model)
    if not layers:
        raise ValueError(
            "Argument `model` has no decorrelating layer. Use the layers of keras_decorr.layers, or "
            f"`keras_decorr.decorrelate(model)`. Received: {model.name!r}"
        )
    return layers


def name_within(layer: keras.layers.Layer, model: keras.Model) -> str:
    """Returns the path of a layer in a model: the names of what contains it and its own, with `/`.

    A `Decorrelation` inside a layer goes by the name of that layer.
    """
    chain: tuple[tuple[str, Any], ...] = next(
        (p.chain for p in walk(model) if p.layer is layer), ()
    )
    if (
        len(chain) > 1
        and layer.name == "decorrelation"
        and not isinstance(chain[-2][1], keras.Model)
    ):
        chain = chain[:-1]
    return chain[-1][0] if chain else layer.name
