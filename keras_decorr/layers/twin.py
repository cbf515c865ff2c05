"""The decorrelating twins of Keras's layers: what they share, and the one map of them."""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from keras_decorr import decorrelators
from keras_decorr.backend.keras_internals import (
    add_sublayer,
    become,
    flatten_layers,
    remove_attribute,
)
from keras_decorr.decorrelators import Decorrelator
from keras_decorr.layers.decorrelation import Decorrelation
from keras_decorr.typing import Shape

_Mixin: Any = object  # a Keras layer comes behind it

# The class of the decorrelating twin, by the exact class of the Keras layer.
TWINS: dict[type, Any] = {}


def register(cls: Any) -> Any:
    """Class decorator: enters a decorrelating layer as the twin of the class that it names as `twin`.

    From then on `decorrelate`, `fold`, learning rules and instruments know it. It is registered for
    Keras's files, too, as by `keras.saving.register_keras_serializable`.

    Args:
        cls: A subclass of its `twin` and, before it, of a class of `keras_decorr.layers`.

    Returns:
        The class.

    Raises:
        ValueError: If it has no `twin`, or is no subclass of it.

    Example:

    >>> import keras, keras_decorr
    >>> class Scaled(keras.layers.Dense):
    ...     def call(self, inputs):
    ...         return 2.0 * super().call(inputs)
    >>> @keras_decorr.conversion.register
    ... class DecorScaled(keras_decorr.layers.DecorDense, Scaled):
    ...     twin = Scaled
    ...     def call(self, inputs, training=None, mask=None):
    ...         return 2.0 * super().call(inputs, training, mask)
    """
    twin = getattr(cls, "twin", None)
    ours = issubclass(cls, DecorrelatingTwin)
    if not isinstance(twin, type) or not ours or not issubclass(cls, twin):
        raise ValueError(
            "A decorrelating layer must name the Keras layer that it is a subclass of as its `twin`. "
            f"Received: {cls!r} with twin={twin!r}"
        )
    TWINS[twin] = cls
    package = cls.__module__.split(".")[0]
    return keras.saving.register_keras_serializable(package=package)(cls)


class DecorrelatingTwin(_Mixin):
    """Mixin for a subclass of a Keras layer, its `twin`.

    A layer of the class `twin` becomes decorrelating where it is, and plain again: `attach` changes its
    class and adds an M, `detach` takes both back.
    """

    twin: Any = None
    decorrelation: Any
    served_shape: Shape  # of the inputs for which it was built or attached

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.twin is not None:
            cls.__signature__ = signature(cls.twin)

    def __init__(self, *args: Any, decorrelator: Any = "norm_preserving", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rule = decorrelators.get(decorrelator)
        self.decorrelation = rule and self._new_decorrelation(rule)

    def _new_decorrelation(self, rule: Decorrelator) -> Decorrelation:
        return Decorrelation(
            rule, name="decorrelation", dtype=self.dtype_policy, trainable=self.trainable
        )

    @property
    def decorrelator(self) -> Any:
        """The layer's own `Decorrelator`, or `None`. Set its `learning_rate` at any time."""
        return self.decorrelation and self.decorrelation.decorrelator

    @property
    def features(self) -> Any:
        """The number of features of the largest M, or `None` without one."""
        parts = (p for p in flatten_layers(self) if isinstance(p, Decorrelation))
        return max((p.operator.n for p in parts if p.decorrelator is not None), default=None)

    # No property: Keras would save the layers once more under its name.
    def added(self) -> list[Any]:
        """Returns the layers inside that the twin does not have."""
        return [] if self.decorrelation is None else [self.decorrelation]

    # --- in place -----------------------------------------------------------------------------

    @classmethod
    def reason_against(cls, layer: Any, decorrelator: Decorrelator) -> str | None:
        """Returns why a layer of the class `twin` stays plain with a decorrelator, or `None`."""
        return None

    @classmethod
    def attach(cls, layer: Any, decorrelator: Decorrelator | None, input_shape: Any = None) -> None:
        """Makes a built layer of the class `twin` a decorrelating one. M is the identity.

        Args:
            layer: The layer.
            decorrelator: A `Decorrelator`, of which the layer gets a copy, or `None` for a layer that
                decorrelates nothing.
            input_shape: Shape of the inputs. Defaults to that for which the layer was built.

        Raises:
            ValueError: If the decorrelator or the inputs do not suit; the layer is as it was.
        """
        become(layer, cls)
        layer.decorrelation = None
        layer.served_shape = tuple(input_shape or built_shape(layer))
        rule = decorrelators.get(decorrelator)
        if rule is None:
            return
        try:
            with named_like(layer):
                layer.start_decorrelation(rule, layer.served_shape)
        except BaseException:
            layer.detach()
            raise

    def start_decorrelation(self, rule: Decorrelator, input_shape: Shape) -> None:
        """Gives the layer, which is built, an M for inputs of a shape."""
        # Tracked last: a part that failed would stay.
        decorrelation = self._new_decorrelation(rule)
        object.__setattr__(self, "decorrelation", decorrelation)
        try:
            self.attach_decorrelation(input_shape)
        except BaseException:
            object.__setattr__(self, "decorrelation", None)
            raise
        add_sublayer(self, "decorrelation", decorrelation)

    def attach_decorrelation(self, input_shape: Shape) -> None:
        """Builds M for inputs of a shape."""
        self.decorrelation.build(input_shape)

    @property
    def takes_mean(self) -> bool:
        """Whether the layer has weights to merge its mean into, or has no mean to merge."""
        raise NotImplementedError

    def merge(self) -> None:
        """Changes the weights to those of the plain layer that has the same outputs in inference."""
        raise NotImplementedError

    def detach(self) -> None:
        """Makes this an ordinary layer of the class `twin`, without M; the weights stay as they are."""
        remove_attribute(self, "decorrelation")
        self.__dict__.pop("served_shape", None)
        become(self, self.twin)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "decorrelator": decorrelators.serialize(self.decorrelator),
        }


@contextmanager
def named_like(layer: Any) -> Iterator[None]:
    """Gives what is built inside paths within that of a layer."""
    with ExitStack() as stack:
        for name in (layer.path or layer.name).split("/"):
            stack.enter_context(keras.name_scope(name))
        yield


def built_shape(layer: Any) -> Any:
    """Returns the shape of the first input for which a layer was built."""
    config = layer.get_build_config() or {}
    shapes = config.get("shapes_dict") or config
    if not shapes:
        raise ValueError(
            f"It is not known for which inputs the layer {layer.name!r} was built: call the model on a "
            "batch."
        )
    shape = next(iter(shapes.values()))
    return shape if len(shape) > 1 else (None, *shape)  # an owner may have left the batch out


def signature(twin: Any) -> inspect.Signature:
    """Returns the signature of a Keras layer with an argument `decorrelator`."""
    _, *parameters = inspect.signature(twin.__init__).parameters.values()
    decorrelator = inspect.Parameter(
        "decorrelator", inspect.Parameter.KEYWORD_ONLY, default="norm_preserving"
    )
    rest = [p for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD]
    named = [p for p in parameters if p not in rest]
    return inspect.Signature([*named, decorrelator, *rest])
