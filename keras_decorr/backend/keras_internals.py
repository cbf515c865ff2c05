"""The one file that uses private names of Keras; `tests/backend/test_keras_internals.py` checks that.

Each function says why no public name will do. Unless it says what happens without the private name, a
Keras without it raises an AttributeError, or an ImportError at `import keras_decorr`.
`make test-nightly` finds that before such a Keras is released.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
from keras import ops
from keras.src.backend.common.masking import get_keras_mask
from keras.src.backend.common.symbolic_scope import in_symbolic_scope
from keras.src.losses.loss import apply_mask, squeeze_or_expand_to_same_rank
from keras.src.models.functional import Functional
from keras.src.saving.keras_saveable import KerasSaveable

from keras_decorr.typing import Tensor

# `Functional` is the class of `keras.Model(inputs, outputs)`. The public `keras.Model` is no base to
# derive a functional class from, and `isinstance` with it says nothing about a graph.
#
# `in_symbolic_scope()` tells whether Keras calls a layer only for the shapes of its outputs. The scope
# itself is public, `keras.SymbolicScope`, but not the question whether one is open.
#
# `get_keras_mask(tensor)` returns the mask that a layer left on its output, or `None`. Keras hands it
# to layers, and to nothing else.
__all__ = [
    "BuiltBeforeOptimizer",
    "Functional",
    "StoredElsewhere",
    "add_sublayer",
    "attention_projections",
    "become",
    "build_symbolically",
    "compile_arguments",
    "compiled_losses",
    "flatten_layers",
    "forget_traces",
    "get_keras_mask",
    "in_symbolic_scope",
    "is_functional_call",
    "kernel_variable",
    "make_functional",
    "mark_called_like",
    "model_of",
    "nodes",
    "optimizer_slots",
    "producer",
    "remove_attribute",
    "replace_sublayer",
    "replace_weight",
    "sample_weights",
    "schedule_of_optimizer",
    "seed_generators",
    "set_kernel",
    "spared_from_weight_decay",
    "state_without_model",
    "steps_of_optimizer",
    "sublayers",
    "sync_state",
    "unpickling",
    "use_bias_in_projections",
]


# --- layers ---------------------------------------------------------------------------------------


def sublayers(layer: Any) -> Any:
    """Returns the layers that a layer or model tracks, without those inside them.

    Only a `keras.Model` has a public `layers`, and that of a `Sequential` leaves the input layer out.
    """
    return layer._flatten_layers(include_self=False, recursive=False)


def flatten_layers(layer: Any, include_self: bool = True) -> Any:
    """Returns a layer and every layer inside it, each once.

    Only a `keras.Model` has a public list of its layers, and only of the outermost ones.
    """
    return layer._flatten_layers(include_self=include_self)


def become(layer: Any, cls: type) -> None:
    """Makes a layer an instance of another class, which is a subclass or a base of its own.

    Keras looks at the arguments of `call` once, in the constructor of a layer, and keeps what it found
    in private attributes. If they are gone or have other names, layers are not told that they are
    trained, and the tests of conversion fail.
    """
    object.__setattr__(layer, "__class__", cls)
    signature = inspect.signature(layer.call)
    names = list(signature.parameters)
    found = {
        "_call_signature": signature,
        "call_signature_parameters": names,
        "_call_has_training_arg": "training" in names,
        "_call_has_mask_arg": "mask" in names,
        "_call_has_context_arg": {name: name in names for name in layer._call_context_args},
    }
    for name, value in found.items():
        object.__setattr__(layer, name, value)
    # Keras writes down every argument of a call, those that are `None`, too.
    for node in nodes(layer):
        for name in {"mask", "training"} - set(names):
            node.arguments.kwargs.pop(name, None)


def add_sublayer(owner: Any, name: str, layer: Any) -> None:
    """Gives a built layer another layer as an attribute. Keras lets a built one track nothing new.

    `enable_lora` of Keras's layers does it in this way.
    """
    owner._tracker.unlock()
    try:
        setattr(owner, name, layer)
    finally:
        owner._tracker.lock()


def replace_weight(layer: Any, name: str, **arguments: Any) -> None:
    """Gives a built layer a weight as an attribute, in the place of the one that it has, if any.

    Args:
        layer: The layer.
        name: Name of the attribute and of the weight.
        **arguments: Those of `layer.add_weight`.
    """
    layer._tracker.unlock()
    try:
        if getattr(layer, name) is not None:
            delattr(layer, name)
        setattr(layer, name, layer.add_weight(name=name, **arguments))
    finally:
        layer._tracker.lock()


def remove_attribute(layer: Any, name: str) -> None:
    """Removes an attribute of a built layer, and what it holds from what the layer tracks."""
    value = getattr(layer, name)
    layer._tracker.unlock()
    try:
        if isinstance(value, keras.layers.Layer):
            layer._tracker.untrack(value)
        if name in vars(layer):
            vars(layer).pop(name)
        else:
            delattr(layer, name)
    finally:
        layer._tracker.lock()


def kernel_variable(layer: Any) -> Any:
    """Returns the variable with the kernel of a layer, without what LoRA adds to it.

    The public `kernel` of a layer with LoRA is a sum.
    """
    return layer._kernel if hasattr(layer, "_kernel") else layer.kernel


def set_kernel(layer: Any, kernel: Any) -> None:
    """Gives a layer that is not built the variable of another as its kernel: see `kernel_variable`."""
    readable = isinstance(getattr(type(layer), "kernel", None), property)
    setattr(layer, "_kernel" if readable else "kernel", kernel)


def seed_generators(layer: Any) -> Any:
    """Returns the `keras.random.SeedGenerator`s of a layer, without those of the layers inside it.

    In public their states are among `layer.variables`, where nothing tells them from other variables.
    """
    return layer._seed_generators


def mark_called_like(new: Any, old: Any) -> None:
    """Makes Keras take a model for one that has been called if `old` has been.

    `model.export` without an input signature asks for it, and only a call would set it in public.
    """
    new._called = old._called


class StoredElsewhere(KerasSaveable):
    """A place in a file where an older version stored the variables of a layer.

    Keras looks for places among the attributes of a layer, by a class that it does not export.

    Args:
        load: A function of the store that takes the variables from it.
    """

    def __init__(self, load: Callable[[Any], None]) -> None:
        self._load = load
        self.loaded = False

    def load_own_variables(self, store: Any) -> None:
        """Takes the variables."""
        self.loaded = True
        self._load(store)

    def _obj_type(self) -> str:
        return "Layer"


def replace_sublayer(owner: Any, path: str, new: Any) -> None:
    """Puts a layer in the place of another that a layer holds in an attribute, list or dictionary.

    The public way would leave the other one tracked.

    Args:
        owner: The layer that holds it, not built.
        path: Name of the attribute and the indices or keys that follow, joined by `/`.
        new: The layer to put there.
    """
    *before, last = path.split("/")
    holder = owner
    for step in before:
        holder = _item(holder, step)
    owner._tracker.untrack(_item(holder, last))
    if isinstance(holder, dict):
        holder[next(key for key in holder if str(key) == last)] = new
    elif isinstance(holder, list):
        # A list of Keras's does not track it, unlike a dictionary.
        holder[int(last)] = owner._tracker.track(new)
    else:
        setattr(holder, last, new)


def _item(holder: Any, step: str) -> Any:
    if isinstance(holder, dict):
        return next(value for key, value in holder.items() if str(key) == step)
    return holder[int(step)] if isinstance(holder, list | tuple) else getattr(holder, step)


# --- attention ------------------------------------------------------------------------------------

# In the order in which Keras builds them; the gate is optional.
_PROJECTIONS = {
    "query": "_query_dense",
    "key": "_key_dense",
    "gate": "_gate_dense",
    "value": "_value_dense",
    "output": "_output_dense",
}


def attention_projections(layer: Any) -> dict[str, Any]:
    """Returns `{role: layer}` of a built attention layer's projections, in the order of its weights.

    The roles are `"query"`, `"key"`, `"gate"` (optional), `"value"` and `"output"`. Keras's attention
    layers have no public attribute for their projections.
    """
    found = {role: getattr(layer, name, None) for role, name in _PROJECTIONS.items()}
    return {role: projection for role, projection in found.items() if projection is not None}


def use_bias_in_projections(layer: Any) -> None:
    """Makes an attention layer say that its projections have a bias.

    That of a `GroupQueryAttention` can be set in public, that of a `MultiHeadAttention` only read.
    """
    setattr(layer, "_use_bias" if hasattr(layer, "_use_bias") else "use_bias", True)


# --- the graph of a functional model --------------------------------------------------------------


def nodes(operation: Any) -> Any:
    """Returns the symbolic calls of an operation, each with `input_tensors` and `output_tensors`.

    The public `operation.input` and `operation.output` are those of its first call alone.
    """
    return operation._inbound_nodes


def producer(tensor: keras.KerasTensor) -> Any:
    """Returns the operation whose symbolic call made a `keras.KerasTensor`.

    A `keras.KerasTensor` has no public attribute that leads back into its graph.
    """
    return tensor._keras_history.operation


def is_functional_call(args: tuple, kwargs: dict) -> bool:
    """Returns whether `keras.Model(*args, **kwargs)` makes a functional model.

    Keras has this as a private function. It is repeated here, as its answer is documented behaviour.
    """
    return len(args) == 2 or (len(args) == 1 and "outputs" in kwargs) or {*kwargs} >= _GRAPH


_GRAPH = {"inputs", "outputs"}


def make_functional(cls: type, model: type, functional_model: type) -> type:
    """Puts `functional_model` in the place of `model` among the bases of a class, and of its bases.

    Keras does this with `keras.Model` and `Functional` for a class that calls
    `super().__init__(inputs, outputs)`. It would change the bases of `model` itself, and so of every
    other class that is derived from it. Python allows setting `__bases__`, Keras has no public way.

    Args:
        cls: A subclass of `model`.
        model: A subclass of `keras.Model`.
        functional_model: A subclass of `model` and `Functional`.
    """
    if cls is model:
        return functional_model
    if issubclass(cls, model):
        bases = (make_functional(base, model, functional_model) for base in cls.__bases__)
        cls.__bases__ = tuple(bases)
    return cls


# --- copies ---------------------------------------------------------------------------------------


def unpickling(cls: type, model: Any) -> Any:
    """Returns `__reduce__` of a model, for a class that pickle finds by its name.

    Keras pickles a model as a file, and a method of its class, which is private, to load it.
    """
    _, arguments = keras.Model.__reduce__(model)
    return cls._unpickle_model, arguments  # type: ignore[attr-defined]


# --- training -------------------------------------------------------------------------------------


class BuiltBeforeOptimizer(keras.Model):
    """A model that makes more variables once its layers are built, before its optimizer is built.

    Keras's trainers build layers, metrics, loss and optimizer in one private method, so no public
    method runs between the layers and the optimizer. If Keras no longer called it, the optimizer would
    not know the variables that `build_rule` makes, and the tests of learned feedback would fail.
    """

    optimizer: Any
    _rule_is_built = False

    def build_rule(self) -> None:
        """Makes the variables and sets `_rule_is_built`."""
        raise NotImplementedError

    def _symbolic_build(self, *args: Any, **kwargs: Any) -> None:
        if not self._rule_is_built:
            optimizer, self.optimizer = self.optimizer, None
            try:
                super()._symbolic_build(*args, **kwargs)
                self.build_rule()
            finally:
                self.optimizer = optimizer
        super()._symbolic_build(*args, **kwargs)


def build_symbolically(model: Any, data: Any) -> None:
    """Builds the layers, metrics, loss and optimizer of a compiled model for a batch, without a step.

    Public `build` knows shapes alone, and builds neither the loss nor the optimizer.
    """
    model._symbolic_build(data_batch=data)


def compile_arguments(model: Any) -> dict[str, Any]:
    """Returns the arguments that a compiled model was compiled with, as `{name: value}`.

    The public `get_compile_config` serialises them, so that a function or class which is not registered
    does not come back.
    """
    return dict(model._compile_config.config)


def compiled_losses(model: Any) -> Any:
    """Returns `(path, loss, weight, name)` of every loss of a compiled model.

    The model must have computed its loss before. A path leads to the output in a nested structure.
    The public `model.loss` is what was given to `compile`: names, one loss for several outputs, or a
    structure unlike that of the outputs.
    """
    return model._compile_loss._flat_losses


def sample_weights(values: Tensor, weights: Tensor, predicted: Tensor, reduction: Any) -> Any:
    """Combines sample weights with the mask of the outputs, as a Keras loss does.

    Keras does this inside `keras.losses.Loss.__call__`, which also takes the mean over the samples.

    Args:
        values: Values of the loss, `(batch, ...)` float32.
        weights: Weights like the targets, float32, or `None`.
        predicted: Outputs of the model, which may carry a mask.
        reduction: Reduction of the loss.

    Returns:
        `(values, weights)` of the same rank; weights `None` if there are neither weights nor a mask.
    """
    if weights is not None:
        weights = ops.copy(weights)  # on PyTorch Keras multiplies them in place
    weights = apply_mask(weights, get_keras_mask(predicted), "float32", reduction)
    if weights is None:
        return values, None
    return squeeze_or_expand_to_same_rank(values, weights)


def sync_state(model: Any) -> None:
    """Copies what the running epoch has changed into the variables of a model, where it is not there.

    It is not there on JAX alone. The method is public, but Keras 3.16 has renamed it.
    """
    sync = getattr(model, "state_sync", None) or getattr(model, "jax_state_sync", None)
    if sync is not None:
        sync()


def forget_traces(model: Any) -> None:
    """Makes the next `fit`, `evaluate` or `predict` trace anew, as `compile` does.

    No public method does it without a new optimizer.
    """
    for name in ("train_function", "test_function", "predict_function"):
        if getattr(model, name, None) is not None:
            setattr(model, name, None)


# --- callbacks ------------------------------------------------------------------------------------


def model_of(callback: keras.callbacks.Callback) -> keras.Model:
    """Returns the model of a callback, on JAX without what the running epoch has changed.

    The public `callback.model` copies the whole state of the training step into the variables first.
    """
    return callback._model


def state_without_model(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns the attributes of a callback for a copy or a pickle, without its model.

    The attribute that holds the model is private, and `set_model` is only for a model.
    """
    return {**vars(callback), "_model": None}


# --- optimizers -----------------------------------------------------------------------------------


def steps_of_optimizer(optimizer: Any) -> int:
    """Returns how many times a gradient was applied or accumulated.

    The public `iterations` counts the steps that accumulate one gradient once.
    """
    return int(ops.convert_to_numpy(optimizer._iterations))


def schedule_of_optimizer(optimizer: Any) -> Any:
    """Returns the `LearningRateSchedule` of an optimizer, or `None` if it has none.

    The public `learning_rate` is the value of the schedule at the present step. Without the private
    name there seems to be no schedule, and the tests of a rate that follows it fail.
    """
    rate = getattr(optimizer, "_learning_rate", None)
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


def optimizer_slots(optimizer: Any) -> tuple[list, dict[str, list]]:
    """Returns the variables that a built optimizer trains, and what it keeps for each of them.

    The public `variables` is one flat list, in an order that each optimizer chooses.

    Returns:
        `(trained, slots)`: a list, and by the name of the attribute a list of the same length, in which
        `None` stands for a variable without that slot.
    """
    trained = list(optimizer._trainable_variables)
    slots = {
        re.sub(r"^_*", "", name): list(value)
        for name, value in vars(optimizer).items()
        if isinstance(value, list)
        and name not in ("_trainable_variables", "_variables")
        and len(value) == len(trained)
        and all(v is None or isinstance(v, keras.Variable) for v in value)
    }
    return trained, slots


def spared_from_weight_decay(optimizer: Any, variables: list) -> tuple[list[bool], str | None]:
    """Returns which variables an optimizer spares from weight decay, and by which pattern of names.

    The public `exclude_from_weight_decay` only sets them. If the private names are gone, nothing seems
    to be spared, and the tests of a converted model's weight decay fail.

    Returns:
        `(spared, pattern)`: a boolean for each variable, and a string or `None`.
    """
    keys = getattr(optimizer, "_exclude_from_weight_decay", None) or ()
    pattern: Any = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    spared = [
        optimizer._var_key(v) in keys or (pattern is not None and bool(pattern.search(v.name)))
        for v in variables
    ]
    return spared, pattern and pattern.pattern
