"""Taking the state of a layer over to a copy of it."""

import tempfile

import keras
from keras.src.saving.serialization_lib import SafeModeScope


def copied(layer):
    """A layer with the configuration of another. It is not built and has no weights.

    Raises:
        ValueError: If the configuration does not give the layer back.
    """
    try:
        with SafeModeScope(False):  # a lambda of this process is as safe as its model
            return type(layer).from_config(layer.get_config())
    except Exception as error:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r} cannot be copied from its configuration. Implement "
            "`get_config` so that `from_config` gives the layer back, and register functions and "
            "classes of your own with `keras.saving.register_keras_serializable`. "
            f"Received: {type(error).__name__}: {error}"
        ) from error


def build_like(new, old):
    """Build a layer for the inputs for which another was built, where those are known."""
    config = old.get_build_config()
    if new.built or not config:
        return
    shapes = config.get("shapes_dict")
    if shapes is None:
        new.build(config["input_shape"])
    elif isinstance(new, keras.layers.MultiHeadAttention | keras.layers.GroupQueryAttention):
        new.build(**shapes)
    else:  # such as a recurrent layer, and the shapes of its state
        new.build(next(iter(shapes.values())))


def copy_state(old, new):
    """Give a built copy of a layer all that the layer has: variables, vocabularies, seeds, flags."""
    for theirs, ours in zip(old._flatten_layers(), new._flatten_layers(), strict=True):
        copy_flag(theirs, ours)
        # What a layer derives from its variables, or keeps beside them, comes along only this way.
        store: dict = {}
        theirs.save_own_variables(store)
        ours.load_own_variables(store)
        if hasattr(theirs, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                theirs.save_assets(folder)
                ours.load_assets(folder)
    for variable, value in zip(new.variables, old.variables, strict=True):  # seeds, too
        variable.assign(value)


def copy_flag(old, new):
    """Make a layer trainable or not, as another is."""
    if new.trainable != old.trainable:
        new.trainable = old.trainable
