"""Layers and models of classes that make layers in their own code, with decorrelating ones inside.

The configuration of such a class does not tell of what `decorrelate` did inside: from it Keras would
make a plain one. So a converted one becomes an instance of a subclass, made here. Its configuration is
that of the plain one, as Keras would save it, and beside it which layers decorrelate and how. Loading
makes the plain one, attaches, and then all weights come by their paths.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import Functional, flatten_layers, sublayers, unpickling
from keras_decorr.context import collection
from keras_decorr.conversion.no_twin import is_leaf
from keras_decorr.layers.twin import TWINS, DecorrelatingTwin
from keras_decorr.training.model import FunctionalModel, Sequential
from keras_decorr.training.step import DecorrelationStep

_register = keras.saving.register_keras_serializable(package="keras_decorr", name="Decorrelated")

# Models whose configuration has that of every layer, and what they become as a whole.
STANDARD: dict[Any, Any] = {Functional: FunctionalModel, keras.Sequential: Sequential}


def is_standard(layer: Any) -> bool:
    """Returns whether the configuration of a model has that of every layer in it."""
    return type(layer) in (*STANDARD, *STANDARD.values())


@_register
class Decorrelated:
    """Mixin of what a layer or model of a class of its own becomes with decorrelating layers inside."""

    plain_class: Any
    _trains: bool

    def get_config(self) -> dict[str, Any]:
        layers = [
            {
                "class": name,
                "number": number,
                "build": layer.get_build_config(),
                "decorrelator": decorrelators.serialize(layer.decorrelator),
            }
            for (name, number), layer in numbered_layers(self).items()
            if isinstance(layer, DecorrelatingTwin) and layer.decorrelator is not None
        ]
        with _plain(self):
            plain = keras.saving.serialize_keras_object(self)
        plain.pop("compile_config", None)
        name = type(self).__name__
        return {"plain": plain, "layers": layers, "trains": self._trains, "name": name}

    def get_build_config(self) -> None:
        """Returns nothing: that of the plain one builds it."""

    def __reduce__(self) -> Any:
        return unpickling(self.plain_class, self)

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """Returns a decorrelating layer or model, M being the identity."""
        owner = keras.saving.deserialize_keras_object(config["plain"], custom_objects)
        inside = numbered_layers(owner)
        for entry in config["layers"]:
            layer = inside.get((entry["class"], entry["number"]))
            if layer is None:
                raise ValueError(
                    f"The class {type(owner).__name__} makes other layers than when the model was "
                    f"saved: it had more than {entry['number']} of the class {entry['class']}."
                )
            if not layer.built:  # its owner builds it when it is called
                layer.build_from_config(entry["build"])
            TWINS[type(layer)].attach(layer, decorrelators.get(entry["decorrelator"]))
        return mark(owner, config["trains"], config["name"])


def build_config(owner: Any) -> dict[str, Any]:
    """Returns for which inputs a layer or model was built, as Keras writes it down, or nothing."""
    if isinstance(owner, Decorrelated):
        return owner.plain_class.get_build_config(owner) or {}
    return owner.get_build_config() or {}


class _EveryLoss:
    """Mixin that takes the decorrelation step also where a class computes its loss without `super`."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)  # type: ignore[misc]
        samples = collection.current()
        if samples is not None:  # in training; there are none left where `super` was called
            self.decorrelate(samples)  # type: ignore[attr-defined]
        return loss


def mark(owner: Any, trains: bool, name: str | None = None) -> Any:
    """Makes a layer or model of a class of its own say what was attached inside.

    Args:
        owner: The layer or model.
        trains: Whether it is a model that gets the training step of `keras_decorr.Model`, too.
        name: Name of its new class, by which Keras finds its variables in a file. Default: that of its
            own class.
    """
    trains = trains and not isinstance(owner, DecorrelationStep)
    kind: Any = type(owner)
    object.__setattr__(owner, "__class__", _subclass(kind, trains, name or kind.__name__))
    if trains:
        owner.start_decorrelation_step()
    return owner


@functools.cache
def _subclass(cls: Any, trains: bool, name: str) -> Any:
    # The step comes last, so that what the class overrides, and calls by `super`, is as it was.
    bases = (Decorrelated, _EveryLoss, cls, DecorrelationStep) if trains else (Decorrelated, cls)
    members = {"__module__": Decorrelated.__module__, "plain_class": cls, "_trains": trains}
    return _register(type(name, bases, {**members, "__doc__": cls.__doc__}))


def plain_layers(owner: Any) -> list[Any]:
    """Returns the outermost layers inside that have a decorrelating twin, or are one, each once.

    What is inside of them does not count, nor do others: their owner may make them when it is called.
    """
    found: dict[int, Any] = {}
    for layer in sublayers(owner):
        if type(layer) in TWINS or isinstance(layer, DecorrelatingTwin):
            found.setdefault(id(layer), layer)
        elif not is_leaf(layer):
            found |= {id(x): x for x in plain_layers(layer) if id(x) not in found}
    return list(found.values())


def numbered_layers(owner: Any) -> dict[tuple[str, int], Any]:
    """Returns `plain_layers` by the name of the plain class and the number within that class."""
    count: Counter = Counter()
    found = {}
    for layer in plain_layers(owner):
        name = (layer.twin if isinstance(layer, DecorrelatingTwin) else type(layer)).__name__
        found[name, count[name]] = layer
        count[name] += 1
    return found


@contextmanager
def _plain(owner: Any) -> Iterator[None]:
    """Makes an owner and all that is in it instances of their plain classes inside."""
    inside = flatten_layers(owner, include_self=False)
    twins = (layer for layer in inside if isinstance(layer, DecorrelatingTwin))
    classes = [(layer, type(layer), layer.twin) for layer in twins]
    classes.append((owner, type(owner), owner.plain_class))
    for layer, _, plain in classes:
        object.__setattr__(layer, "__class__", plain)
    try:
        yield
    finally:
        for layer, cls, _ in classes:
            object.__setattr__(layer, "__class__", cls)
