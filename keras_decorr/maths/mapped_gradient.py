"""Changes a gradient on its way to the optimizer, as preconditioning does.

F. Benzing, "Gradient Descent on Neurons and its Link to Approximate Second-Order Optimization", arXiv
2201.12250: the gradient of a kernel, multiplied by the inverse of the correlation of the inputs.
"""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_decorr.backend.autodiff import read
from keras_decorr.typing import Tensor


def with_mapped_gradient(K: Tensor, change: Callable) -> Tensor:
    """Returns `K`; in the backward pass its gradient `d` becomes `change(d)`.

    Args:
        K: A tensor.
        change: A function of a tensor like `K` that returns another of its shape and type.

    Returns:
        A tensor equal to `K`. The forward pass computes nothing.
    """

    @ops.custom_gradient
    def mapped(K: Tensor) -> tuple:
        def gradient(*upstream_: Any, upstream: Tensor = None) -> Tensor:
            return change(upstream_[0] if upstream is None else upstream)

        return K + 0, gradient

    return mapped(read(K))
