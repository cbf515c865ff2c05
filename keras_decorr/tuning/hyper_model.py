"""The models that a search chooses from: one for each forward rate and decorrelation rate."""

import inspect
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

import keras
import keras_tuner

from keras_decorr import decorrelators, rules
from keras_decorr.backend.keras_internals import compile_arguments
from keras_decorr.conversion import decorrelate, fold
from keras_decorr.conversion.compilation import fresh
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.training.step import DecorrelationStep
from keras_decorr.tuning.divergence import StopDivergence
from keras_decorr.tuning.rates import checked_rates, log_values, written

_OFFERED = ("hp", "decorrelator", "learning_rule")


class DecorHyperModel(keras_tuner.HyperModel):
    """A KerasTuner `HyperModel` that searches the forward rate together with the decorrelation rate.

    The two depend on each other, so they are tuned as a pair, on logarithmic scales. A decorrelation
    rate of 0 is the control: the net without decorrelation. Optimizer, learning rule, sampling and
    structure are searched, too, if several are given. A trial that diverges is ended early and fails
    (see `StopDivergence`).

    The names of the hyperparameters are `learning_rate`, `decorrelation_rate`, `optimizer`,
    `learning_rule`, `structure`, `sample_fraction` and `max_samples`, those with several values alone.
    Their values are text, `"0.0003"`, as KerasTuner would round numbers on the way to its workers;
    `settings(hp)` gives what they mean.

    Any tuner of KerasTuner takes it. `keras_decorr.tuning.make_tuner` makes one that goes on after a
    kill and learns from failed trials, too.

    Args:
        model: A built Keras model without decorrelation, which `keras_decorr.decorrelate` converts for
            every trial: all of them start with its weights. Or a function that makes a model. It gets
            what it has arguments for: `decorrelator`, a `Decorrelator` or `None` for none;
            `learning_rule`, a name; `hp`, to search further hyperparameters. The model of a function
            without an argument `decorrelator` is plain, and converted.
        learning_rates: Forward rates to try. Defaults to `log_values(1e-5, 1e-2)`.
        decorrelation_rates: Decorrelation rates to try, 0 included. Defaults to 0 and
            `log_values(1e-4, 1e-1)`.
        decorrelator: Name of a decorrelation rule, or a `Decorrelator` whose other arguments all trials
            share. Defaults to `"norm_preserving"`.
        structures: Structures of M to try. Default: the decorrelator's.
        sample_fractions: Fractions of the batch to try. Default: the decorrelator's.
        max_samples: Most rows per update to try. Default: the decorrelator's.
        optimizers: Names of optimizers to try, or `{name: function of the rate}`. Default: that of the
            compiled model, else Adam.
        learning_rules: Names of learning rules to try. Defaults to `("backprop",)`.
        defaults: `{hyperparameter: value}` for a start of the search, such as
            `{"learning_rate": 3e-4, "decorrelation_rate": 2e-4}`. GridSearch and `make_tuner` begin
            with them. Its rates join those to try; the others must be among what is tried. Default: the
            first value of each.
        divergence: `factor` of `StopDivergence`. Defaults to 10.
        seed: Seed of every trial's weights and order, so that trials differ in their hyperparameters
            alone, or `None`.
        **compile_arguments: `loss`, `metrics` and others of `keras.Model.compile`. Default: those with
            which the model is compiled.

    Raises:
        ValueError: If an argument is out of its range; in the search, if there is no loss, or a rule
            that needs a `keras_decorr.Model` gets another.
        TypeError: If `model` is neither a model nor a function.

    Example:

    >>> import keras, keras_tuner, keras_decorr
    >>> net = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, activation="softmax")])
    >>> hyper_model = keras_decorr.tuning.DecorHyperModel(
    ...     net, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> hp = keras_tuner.HyperParameters()
    >>> model = hyper_model.build(hp)
    >>> sorted(hp.values)
    ['decorrelation_rate', 'learning_rate']
    """

    def __init__(
        self,
        model: Any,
        learning_rates: Sequence[float] | None = None,
        decorrelation_rates: Sequence[float] | None = None,
        decorrelator: Any = "norm_preserving",
        structures: Sequence | None = None,
        sample_fractions: Sequence[float] | None = None,
        max_samples: Sequence | None = None,
        optimizers: Any = None,
        learning_rules: Sequence[str] = ("backprop",),
        defaults: dict | None = None,
        divergence: float = 10.0,
        seed: int | None = None,
        name: str | None = None,
        **compile_arguments: Any,
    ) -> None:
        super().__init__(name=name)
        owner = type(self).__name__
        if not isinstance(model, keras.Model) and not callable(model):
            raise TypeError(
                f"Argument `model` of {owner} must be a Keras model or a function that makes one. "
                f"Received: {model!r}"
            )
        self.decorrelator = decorrelators.get(decorrelator)
        if self.decorrelator is None:
            raise ValueError(
                f"Argument `decorrelator` of {owner} must name a rule; for the net without one give "
                "decorrelation_rates=(0,). Received: decorrelator=None"
            )
        self.model = model
        self.defaults = dict(defaults or {})
        self._asked = _asked(model)
        self._optimizers = dict(optimizers) if isinstance(optimizers, dict) else None
        if learning_rates is None:
            learning_rates = log_values(1e-5, 1e-2)
        if decorrelation_rates is None:
            decorrelation_rates = (0.0, *log_values(1e-4, 1e-1))
        # What a decorrelator has, and what every net has.
        of_m = {
            "structure": structures,
            "sample_fraction": sample_fractions,
            "max_samples": max_samples,
        }
        self._of_m = {name: tuple(v) for name, v in of_m.items() if v is not None}
        self._of_all = {
            "learning_rate": self._rates(owner, "learning_rate", learning_rates),
            "decorrelation_rate": self._rates(
                owner,
                "decorrelation_rate",
                decorrelation_rates,
                high=self.decorrelator.highest_rate,
                zero=True,
            ),
            "optimizer": tuple(optimizers) if optimizers else (None,),
            "learning_rule": tuple(learning_rules),
        }
        self.divergence = check_number(owner, "divergence", divergence, 1.0, open_low=True)
        self.seed = None if seed is None else check_count(owner, "seed", seed, 0)
        self.compile_arguments = compile_arguments
        self._check(owner)

    @property
    def values(self) -> dict[str, tuple]:
        """Everything that may be searched: a dictionary of the values of each hyperparameter."""
        return {**self._of_all, **self._of_m}

    def _rates(
        self, owner: str, name: str, values: Iterable[float], **limits: Any
    ) -> tuple[float, ...]:
        """The rates to try, the default among them."""
        rates = checked_rates(owner, f"{name}s", values, **limits)
        if name not in self.defaults:
            return rates
        default = checked_rates(owner, f"defaults[{name!r}]", (self.defaults[name],), **limits)
        return tuple(sorted({*rates, *default}))

    def _check(self, owner: str) -> None:
        for name, values in self.values.items():
            if not values:
                raise ValueError(f"{owner} needs a value for {name!r}. Received: {values!r}")
        for rule in self._of_all["learning_rule"]:
            rules.get(rule)
        for name, values in self._of_m.items():
            for value in values:
                self._changed(1e-5, **{name: value})
        if self._optimizers is None:
            for optimizer in self._of_all["optimizer"]:
                try:
                    _optimizer(optimizer or "adam", 1e-3)
                except (ValueError, TypeError) as error:  # Keras's, by its version
                    raise ValueError(
                        f"Argument `optimizers` of {owner} must name optimizers of Keras. "
                        f"Received: {optimizer!r}"
                    ) from error
        for name, value in self.defaults.items():
            known = [written(v) for v in self.values.get(name, ())]
            if written(value) not in known:
                raise ValueError(
                    f"Argument `defaults` of {owner} must name values of the search. Received: "
                    f"{name}={value!r}, of {known}"
                )

    def _changed(self, rate: float, **arguments: Any) -> Any:
        """The decorrelator with another rate and other arguments."""
        config = {**self.decorrelator.get_config(), "learning_rate": rate, **arguments}
        return type(self.decorrelator).from_config(config)

    @property
    def starts(self) -> tuple[dict, ...]:
        """What the first trials change in the defaults: nothing, then no decorrelation, a control."""
        rates, name = self._of_all["decorrelation_rate"], "decorrelation_rate"
        if rates[0] > 0 or not self.defaults.get(name, rates[0]):
            return ({},)
        return ({}, {name: written(0.0)})

    # --- the search space ---------------------------------------------------------------------

    def settings(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """`{name: value}` of a trial: the searched ones, and those with one value.

        Args:
            hp: `HyperParameters`. What is new to them is declared.

        Returns:
            A dictionary with floats, integers and text; without decorrelation, those of M are left out.
        """
        found = {name: self._value(hp, name, values) for name, values in self._of_all.items()}
        rates = self._of_all["decorrelation_rate"]
        scope = nullcontext()
        if rates[0] == 0 < rates[-1] and any(len(values) > 1 for values in self._of_m.values()):
            decorrelating = [written(rate) for rate in rates if rate > 0]
            scope = hp.conditional_scope("decorrelation_rate", decorrelating)
        with scope:
            of_m = {name: self._value(hp, name, values) for name, values in self._of_m.items()}
        return {**found, **(of_m if found["decorrelation_rate"] > 0 else {})}

    def _value(self, hp: keras_tuner.HyperParameters, name: str, values: Sequence) -> Any:
        if len(values) == 1:
            return values[0]
        texts = [written(value) for value in values]
        default = self.defaults.get(name, values[0])
        chosen = hp.Choice(name, texts, default=written(default))
        return None if chosen is None else values[texts.index(chosen)]

    # --- the model ----------------------------------------------------------------------------

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model of a trial.

        Args:
            hp: `HyperParameters`.
        """
        settings = self.settings(hp)
        if self.seed is not None:
            keras.utils.set_random_seed(self.seed)
        model = self._model(hp, settings)
        arguments = self._compile_arguments(model)
        arguments["optimizer"] = self._optimizer(settings, arguments.get("optimizer"))
        rule = settings["learning_rule"]
        if isinstance(model, DecorrelationStep):
            arguments["learning_rule"] = rule
        elif rule != "backprop":
            raise ValueError(
                f"The learning rule {rule!r} needs a keras_decorr.Model or keras_decorr.Sequential. "
                f"Received: {type(model).__name__} from the function that makes the model"
            )
        model.compile(**arguments)
        if model.built:  # so that a checkpoint of a trial brings its optimizer back, too
            model.optimizer.build(model.trainable_variables)
        return model

    def _model(self, hp: keras_tuner.HyperParameters, settings: dict) -> keras.Model:
        rate, rule = settings["decorrelation_rate"], settings["learning_rule"]
        arguments = {name: settings[name] for name in self._of_m if name in settings}
        decorrelator = self._changed(rate, **arguments) if rate > 0 else None
        offered = {"hp": hp, "decorrelator": decorrelator, "learning_rule": rule}
        model = self.model
        if self._asked is not None:
            model = model(**{name: offered[name] for name in self._asked})
            if "decorrelator" in self._asked:
                return model
        head = rule != "backprop"  # other rules train the layers of this package alone
        if decorrelator is not None:
            return decorrelate(model, decorrelator, head=head)
        # With a rate of 0 and nothing subtracted, M stays the identity.
        idle = decorrelators.DecorrelatedBackprop(learning_rate=0.0, center=False)
        idle_model = decorrelate(model, idle, head=head)
        return fold(idle_model) if rule == "backprop" else idle_model

    def _compile_arguments(self, model: Any) -> Any:
        if self.compile_arguments.get("loss") is not None:
            return keras.tree.map_structure(fresh, dict(self.compile_arguments))
        given = model if model.compiled else self.model
        if not isinstance(given, keras.Model) or not given.compiled:
            raise ValueError(
                f"{type(self).__name__} needs a loss: pass `loss` (and `metrics`), or compile the "
                f"model. Received: {model!r}, not compiled"
            )
        # The model is a copy that nothing else uses, and so are its metrics.
        return {**compile_arguments(given), **self.compile_arguments}

    def _optimizer(self, settings: dict, own: Any) -> keras.optimizers.Optimizer:
        name, rate = settings["optimizer"], settings["learning_rate"]
        if name is not None:
            return self._optimizers[name](rate) if self._optimizers else _optimizer(name, rate)
        if own is None:
            return keras.optimizers.Adam(rate)
        own = keras.optimizers.get(own)
        return type(own).from_config({**own.get_config(), "learning_rate": rate})

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: Any,
        *args: Any,
        callbacks: Sequence = (),
        **kwargs: Any,
    ) -> Any:
        """Train a trial's model, and end it if it diverges.

        Args:
            hp: `HyperParameters`.
            model: The compiled model.
            *args: As for `keras.Model.fit`.
            callbacks: Callbacks of the search.
            **kwargs: As for `keras.Model.fit`.
        """
        stop = StopDivergence(self.divergence)
        return model.fit(*args, callbacks=[stop, *callbacks], **kwargs)


def _asked(model: Any) -> list[str] | None:
    """The arguments that a function which makes a model wants; `None` for a model."""
    if isinstance(model, keras.Model):
        return None
    parameters = inspect.signature(model).parameters.values()
    unknown = [
        p.name
        for p in parameters
        if p.name not in _OFFERED and p.default is p.empty and p.kind is not p.VAR_KEYWORD
    ]
    if unknown:
        raise TypeError(
            "The function that makes the model can have the arguments `hp`, `decorrelator` and "
            f"`learning_rule`; others need a default. Received: {unknown}"
        )
    return [p.name for p in parameters if p.name in _OFFERED]


def _optimizer(name: str, rate: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.get({"class_name": name, "config": {"learning_rate": rate}})
