"""A copy of a model in which some layers are others.

Both directions of a conversion are this one mechanism with another `Converter`.
"""

import functools
import inspect
from typing import Any

import keras

from keras_decorr.backend.keras_internals import Functional, sublayers, takes_inputs_and_outputs
from keras_decorr.conversion.converted import Converted, description, mark
from keras_decorr.conversion.parts import part, parts, put
from keras_decorr.conversion.state import build_like, copied, copy_flag, copy_own_state, copy_state

# What a functional model's own class may define and still be rebuilt from its graph alone.
_REBUILT_FROM_GRAPH = {"__init__", "__new__", "get_config", "from_config", "__module__", "__doc__"}


class Clone:
    """Copies a model layer by layer. A layer that is used twice is copied once.

    Args:
        converter: The `Converter` that says which layers are replaced.
        nested_types: The type of a copy of a nested model, by its type; others keep theirs.
    """

    def __init__(self, converter: Any, nested_types: dict[Any, Any]) -> None:
        self._converter = converter
        self._nested_types = nested_types
        self._new: dict = {}  # by the id of the old one
        self._pairs: list = []  # (old, new, what fills the new one)

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """`(old, new)` for every layer and model, what is inside before what it is in."""
        return [(old, new) for old, new, _ in self._pairs]

    def of(self, model: keras.Model, model_types: dict[Any, Any]) -> keras.Model:
        """The copy of a model, its state and flags included; not compiled.

        Args:
            model: The model.
            model_types: As `nested_types`, for the model itself.
        """
        new = self._copy_model(model, None, model_types, inside=False)
        for old, layer, _ in self._pairs:
            build_like(layer, old)
        # From the outside in: the flag of a model sets those of all that is in it.
        for old, layer, _ in reversed(self._pairs):
            copy_flag(old, layer)
        for old, layer, fill in self._pairs:
            fill(old, layer)
        return new

    def _layer(self, layer: Any, own: Any = None, inside: bool = False) -> Any:
        """The new layer for an old one; `own` is what a user's class has made in its place."""
        if id(layer) in self._new:
            return self._new[id(layer)]
        if isinstance(layer, keras.Model):
            new = self._copy_model(layer, own, self._nested_types, inside)
            if own is not None and new is not own and same(own, new):  # as its owner makes it
                self._pairs.append((new, own, copy_state))
                new = own
        elif not isinstance(layer, keras.layers.Layer):
            return _operation(layer)  # of keras.ops, in the graph; it has no state
        elif self._converter.descends(layer):
            new = self._owner(layer, own)
        else:
            new, fill = self._converter.convert(layer, inside), self._converter.load
            if new is None:
                new, fill = own or copied(layer), copy_state
            elif own is not None and same(own, new):
                new = own
            self._pairs.append((layer, new, fill))
        self._new[id(layer)] = new
        return new

    def _owner(self, owner: Any, own: Any) -> Any:
        """A layer or model of a user's class: the layers in its attributes are replaced."""
        new = own or copied(owner)
        plain = description(owner)
        theirs, ours = dict(parts(owner)), dict(parts(new))
        if theirs.keys() != ours.keys():
            return self._whole(owner, new, theirs, ours)
        replaced = []
        for path, old in theirs.items():
            put_in = self._layer(old, ours[path], inside=True)
            if put_in is not part(new, path):
                put(new, path, put_in)
                replaced.append(path)
            elif isinstance(put_in, Converted):
                replaced.append(path)
        if replaced:
            mark(new, plain, replaced)
        self._pairs.append((owner, new, copy_own_state))
        return new

    def _whole(self, owner: Any, new: Any, theirs: Any, ours: Any) -> Any:
        """One that makes layers only when it is built cannot be converted from outside."""
        late = sorted(theirs.keys() ^ ours.keys())
        self._converter.leave(
            owner,
            f"makes {late} only when it is built: make them in __init__, or use the layers of "
            "keras_decorr.layers in its code",
        )
        self._pairs.append((owner, new, copy_state))
        return new

    def _copy_model(
        self, model: keras.Model, own: Any, model_types: dict[Any, Any], inside: bool
    ) -> Any:
        cls = model_types.get(type(model), type(model))
        if isinstance(model, keras.Sequential):
            new = self._copy_sequential(model, cls, inside)
        elif isinstance(model, Functional):
            new = self._copy_functional(model, cls, model_types, inside)
        else:
            new = self._owner(model, own)
            if own is None:
                build_like(new, model)
        if new.dtype_policy != model.dtype_policy:
            new.dtype_policy = model.dtype_policy
        self._pairs.append((model, new, lambda old, new: None))
        return new

    def _copy_sequential(self, model: keras.Model, cls: Any, inside: bool) -> Any:
        layers = [self._layer(layer, inside=inside) for layer in model.layers]
        inputs = getattr(model, "inputs", None)  # none before it is built
        if inputs is not None:
            layers.insert(0, _input_like(model, inputs[0]))
        if not functional_like_sequential(cls):
            raise ValueError(
                f"A {cls.__name__} cannot be rebuilt from its layers, as its constructor takes other "
                "arguments than that of keras.Sequential. Convert a keras.Sequential with the same "
                f"layers: keras.Sequential(model.layers). Received: {model!r}"
            )
        new = cls(layers, name=model.name)
        if inputs is None:
            build_like(new, model)
        return new

    def _copy_functional(
        self, model: keras.Model, cls: Any, model_types: dict[Any, Any], inside: bool
    ) -> Any:
        inputs = keras.tree.map_structure(lambda x: _input_like(model, x), model.input)
        # The same graph without a compile state, which `clone_model` would copy in its own way.
        graph = keras.Model(model.input, model.output)
        clone = functools.partial(self._layer, inside=inside)
        copy = keras.models.clone_model(
            graph, input_tensors=inputs, clone_function=clone, call_function=_call
        )
        if not takes_inputs_and_outputs(cls):
            changed = overridden(cls)
            if changed:
                raise ValueError(
                    f"A {cls.__name__} cannot be rebuilt from its graph: it defines {changed}, and its "
                    "constructor takes other arguments than `inputs` and `outputs`. Convert "
                    "keras.Model(model.inputs, model.outputs), or use the layers of "
                    f"`keras_decorr.layers` in its code. Received: {model!r}"
                )
            cls = model_types.get(keras.Model, keras.Model)
        return cls(copy.input, copy.output, name=model.name)


def _call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a new layer as the old one was in the graph, which names arguments that are `None`, too."""
    if isinstance(layer, keras.layers.Layer):
        known = inspect.signature(layer.call).parameters
        for name in ("mask", "training"):
            if name not in known:
                kwargs.pop(name, None)
    return layer(*args, **kwargs)


def _operation(operation: Any) -> Any:
    try:
        return type(operation).from_config(operation.get_config())
    except Exception:  # it holds what has no configuration; without state it can be shared
        return operation


def _input_like(model: keras.Model, tensor: Any) -> Any:
    """A new `keras.Input` like that of a model."""
    for layer in sublayers(model):
        if isinstance(layer, keras.layers.InputLayer) and layer.output is tensor:
            return type(layer).from_config(layer.get_config()).output
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def functional_like_sequential(cls: Any) -> bool:
    """Whether a subclass of keras.Sequential is made from its layers."""
    return cls.__init__ is keras.Sequential.__init__ or takes_inputs_and_outputs(cls)


def overridden(cls: Any) -> list[str]:
    """What a class of functional models defines beyond what its graph says."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.split(".")[0] in ("keras", "keras_decorr"):
            break
        names |= {
            n for n, value in vars(base).items() if callable(value) and hasattr(keras.Model, n)
        }
    return sorted(names - _REBUILT_FROM_GRAPH - {"__init_subclass__"})


def same(layer: Any, other: Any) -> bool:
    """Whether two layers are made alike, but for their names and flags."""
    if type(layer) is not type(other):
        return False
    if isinstance(layer, keras.Sequential | Functional):
        pairs = list(zip(layer.layers, other.layers, strict=False))
        return len(layer.layers) == len(other.layers) and all(same(a, b) for a, b in pairs)
    return bool(_plain(layer.get_config()) == _plain(other.get_config()))


def _plain(config: Any) -> Any:
    if isinstance(config, dict):
        return {
            key: _plain(value)
            for key, value in config.items()
            if key not in ("name", "trainable", "build_config")
        }
    return config
