"""A copy of a model in which some layers are others.

Both directions of a conversion are this one mechanism with another `replace`.
"""

import keras
from keras.src.models.functional import Functional, functional_like_constructor

from keras_decorr.conversion.state import build_like, copied, copy_flag, copy_state

# What a functional model's own class may define and still be rebuilt from its graph alone.
_REBUILT_FROM_GRAPH = {"__init__", "__new__", "get_config", "from_config", "__module__", "__doc__"}


class Clone:
    """Copies a model layer by layer. A layer that is used twice is copied once.

    Args:
        replace: A function of a layer that gives the built layer to take its place, or `None` to copy
            it.
        load: A function of the old and the new layer that fills one that takes a place.
        model_types: The type of a copied model, by the type of the model; others keep theirs.
    """

    def __init__(self, replace, load, model_types):
        self._replace = replace
        self._load = load
        self._model_types = model_types
        self._new: dict = {}  # by the id of the old one
        self._pairs: list = []

    def of(self, model, model_types=None):
        """The copy of a model, its state and flags included; not compiled."""
        new = self._model(model, {**self._model_types, **(model_types or {})})
        # From the outside in: the flag of a model sets those of all that is in it.
        copy_flag(model, new)
        for old, layer, _ in reversed(self._pairs):
            if isinstance(old, keras.Model):
                copy_flag(old, layer)
        for old, layer, replaced in self._pairs:
            if isinstance(old, keras.Model):
                continue
            build_like(layer, old)
            if replaced:
                self._load(old, layer)
                copy_flag(old, layer)
            else:
                copy_state(old, layer)
        return new

    def _layer(self, layer):
        if id(layer) in self._new:
            return self._new[id(layer)]
        new, replaced = None, False
        if isinstance(layer, keras.Model):
            new = self._model(layer, self._model_types)
        elif isinstance(layer, keras.layers.Layer):
            new = self._replace(layer)
            replaced = new is not None
            new = new if replaced else copied(layer)
        else:  # an operation of keras.ops in the graph, which has no state
            return _operation(layer)
        self._new[id(layer)] = new
        self._pairs.append((layer, new, replaced))
        return new

    def _model(self, model, model_types):
        cls = model_types.get(type(model), type(model))
        if isinstance(model, keras.Sequential):
            new = self._sequential(model, cls)
        elif isinstance(model, Functional):
            new = self._functional(model, cls)
        else:
            raise ValueError(f"Received: {model!r}")
        if new.dtype_policy != model.dtype_policy:
            new.dtype_policy = model.dtype_policy
        return new

    def _sequential(self, model, cls):
        layers = [self._layer(layer) for layer in model.layers]
        if model._functional is not None:
            layers.insert(0, _input_like(model, model.inputs[0]))
        if not functional_like_sequential(cls):
            raise ValueError(
                f"A {cls.__name__} cannot be rebuilt from its layers, as its constructor takes other "
                "arguments than that of keras.Sequential. Convert a keras.Sequential with the same "
                f"layers: keras.Sequential(model.layers). Received: {model!r}"
            )
        new = cls(layers, name=model.name)
        if model._functional is None:
            build_like(new, model)
        return new

    def _functional(self, model, cls):
        inputs = keras.tree.map_structure(lambda x: _input_like(model, x), model.input)
        # The same graph without a compile state, which `clone_model` would copy in its own way.
        graph = keras.Model(model.input, model.output)
        copy = keras.models.clone_model(graph, input_tensors=inputs, clone_function=self._layer)
        if not functional_like_constructor(cls):
            changed = overridden(cls)
            if changed:
                raise ValueError(
                    f"A {cls.__name__} cannot be rebuilt from its graph: it defines {changed}, and its "
                    "constructor takes other arguments than `inputs` and `outputs`. Convert "
                    "keras.Model(model.inputs, model.outputs), or use the layers of "
                    f"`keras_decorr.layers` in its code. Received: {model!r}"
                )
            cls = self._model_types.get(keras.Model, keras.Model)
        return cls(copy.input, copy.output, name=model.name)


def _operation(operation):
    try:
        return type(operation).from_config(operation.get_config())
    except Exception:  # it holds what has no configuration; without state it can be shared
        return operation


def _input_like(model, tensor):
    """A new `keras.Input` like that of a model."""
    for layer in model._layers:
        if isinstance(layer, keras.layers.InputLayer) and layer.output is tensor:
            return type(layer).from_config(layer.get_config()).output
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)


def functional_like_sequential(cls):
    """Whether a subclass of keras.Sequential is made from its layers."""
    return cls.__init__ is keras.Sequential.__init__ or functional_like_constructor(cls)


def overridden(cls):
    """What a class of functional models defines beyond what its graph says."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.split(".")[0] in ("keras", "keras_decorr"):
            break
        names |= {
            name for name in vars(base) if callable(vars(base)[name]) and hasattr(keras.Model, name)
        }
    return sorted(names - _REBUILT_FROM_GRAPH - {"__init_subclass__"})
