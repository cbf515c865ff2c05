"""Names made from the names of classes."""

import re


def to_snake_case(name: str) -> str:
    """Returns the name of a class in snake case, as Keras names its layers.

    Example:

    >>> from keras_decorr.naming import to_snake_case
    >>> to_snake_case("DepthwiseConv2D")
    'depthwise_conv2d'
    """
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
