"""Taking the state of a layer over to a copy of it."""

import tempfile
from typing import Any

import keras
import numpy as np

from keras_decorr.backend.keras_internals import flatten_layers, seed_generators
from keras_decorr.conversion.converted import blueprint


def copied(layer: Any) -> Any:
    """A layer with the configuration of another. It is not built and has no weights.

    Raises:
        ValueError: If the configuration does not give the layer back.
    """
    try:
        cls, config = blueprint(layer)
        name = f"copied>{cls.__name__}"
        return keras.saving.deserialize_keras_object(
            {"class_name": name, "config": config},
            custom_objects={name: cls},
            safe_mode=False,  # a lambda of this process is as safe as its model
        )
    except Exception as error:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r} cannot be copied from its configuration. Implement "
            "`get_config` so that `from_config` gives the layer back, and register functions and "
            "classes of your own with `keras.saving.register_keras_serializable`. "
            f"Received: {type(error).__name__}: {error}"
        ) from error


def build_like(new: Any, old: Any) -> None:
    """Build a layer for the inputs for which another was built, where those are known."""
    config = old.get_build_config()
    if new.built or not config:
        return
    shapes = config.get("shapes_dict")
    if isinstance(new, keras.Model):
        new.build_from_config(config)
        new.built = _unbuilt(new) <= _unbuilt(old)
        if not new.built:
            raise ValueError(
                f"{type(old).__name__} {old.name!r} cannot be built again from the shapes of its "
                "inputs. Implement `get_build_config` and `build_from_config`. "
                f"Received: get_build_config() = {config}"
            )
    elif shapes is None:
        new.build(config["input_shape"])
    elif isinstance(new, keras.layers.MultiHeadAttention | keras.layers.GroupQueryAttention):
        new.build(**shapes)
    else:  # such as a recurrent layer, and the shapes of its state
        new.build(next(iter(shapes.values())))


def _unbuilt(model: keras.Model) -> Any:
    return sum(not layer.built for layer in flatten_layers(model, include_self=False))


def copy_state(old: Any, new: Any) -> None:
    """Give a built copy of a layer all that the layer has: variables, vocabularies, seeds, flags."""
    for theirs, ours in zip(flatten_layers(old), flatten_layers(new), strict=True):
        copy_flag(theirs, ours)
        copy_own_state(theirs, ours)
    for variable, value in zip(new.variables, old.variables, strict=True):
        variable.assign(_apart(value))  # as they are: LoRA's are merged when saved


def copy_own_state(old: Any, new: Any) -> None:
    """Give a built copy of a layer what the layer has beside the layers inside it."""
    store: dict = {}
    # What a layer derives from its variables, or keeps beside them, comes along only this way.
    old.save_own_variables(store)
    new.load_own_variables({name: _apart(value) for name, value in store.items()})
    if hasattr(old, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)
    for theirs, ours in zip(seed_generators(old), seed_generators(new), strict=True):
        ours.state.assign(_apart(theirs.state))


def _apart(value: Any) -> Any:
    """A copy of a variable: on JAX a training step deletes the arrays that it has used up."""
    if isinstance(value, keras.Variable) or keras.ops.is_tensor(value):
        return np.array(keras.ops.convert_to_numpy(value))
    return value


def copy_flag(old: Any, new: Any) -> None:
    """Make a layer trainable or not, as another is."""
    if new.trainable != old.trainable:
        new.trainable = old.trainable
