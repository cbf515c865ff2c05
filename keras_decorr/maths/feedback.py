"""Linear maps with separate feedback weights for the backward pass.

Feedback alignment: T. P. Lillicrap et al., "Random synaptic feedback weights support error
backpropagation for deep learning", Nature Communications 7, 13276 (2016). Direct feedback alignment:
A. Nokland, "Direct Feedback Alignment Provides Learning in Deep Neural Networks", arXiv 1609.01596.
"""

import math
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_decorr.backend.autodiff import read, vjp
from keras_decorr.typing import Tensor


def feedback_map(op: Callable, x: Tensor, W: Tensor, B: Tensor) -> Tensor:
    """Computes `op(x, W)`, with `B` instead of `W` in the gradient with respect to `x`.

    With `op(x, W) = x W` and the gradient `d` of the output: `dx = d B^T`, `dW = x^T d`. `B` gets the
    gradient of `W`, which is of use where the feedback learns (J. F. Kolen and J. B. Pollack,
    "Backpropagation without weight transport", ICNN 1994) and no loss where it does not.

    Args:
        op: A pure function, linear in each of its two arguments.
        x: Inputs.
        W: Forward weights.
        B: Feedback weights, of the shape of `W`.

    Returns:
        `op(x, W)`.
    """

    @ops.custom_gradient
    def mapped(x: Tensor, W: Tensor, B: Tensor) -> tuple:
        def gradient(*upstream_: Any, upstream: Tensor = None) -> tuple:
            d = upstream_[0] if upstream is None else upstream
            dx = vjp(lambda x: op(x, B), x, d)
            dW = vjp(lambda W: op(x, W), W, d)
            return dx, dW, dW

        return op(x, W), gradient

    return mapped(read(x), read(W), read(B))


def send_error(a: Tensor, xs: list, Bs: list) -> Tensor:
    """Returns `a`; in the backward pass its gradient `e` also goes to each of `xs`, through its `B`.

    `dx = e B^T`, a row for each sample; `da = e`. Direct feedback alignment puts it at the output.

    Args:
        a: `(batch, ...)` output with `m` values a sample.
        xs: Tensors `(batch, ...)`, of `n` values a sample each.
        Bs: A matrix `(n, m)` for each of `xs`.

    Returns:
        `a`.
    """
    count = len(xs)

    @ops.custom_gradient
    def sent(a: Tensor, *args: Any) -> tuple:
        def gradient(*upstream_: Any, upstream: Tensor = None) -> tuple:
            e = upstream_[0] if upstream is None else upstream
            rows = ops.reshape(e, (-1, math.prod(a.shape[1:])))
            dxs = [
                ops.reshape(ops.matmul(rows, ops.transpose(B)), ops.shape(x))
                for x, B in zip(args[:count], args[count:], strict=True)
            ]
            return (e, *dxs, *(ops.zeros_like(B) for B in args[count:]))

        return a + 0, gradient

    return sent(*map(read, (a, *xs, *Bs)))


def with_gradient(a: Tensor, g: Tensor) -> Tensor:
    """Returns a scalar 0 whose gradient with respect to `a` is `g`.

    It costs nothing in the forward pass, where `<a, g> - <a, g>` would cost two products.

    Args:
        a: A tensor.
        g: A float32 tensor of its shape, which gets no gradient itself. In half precision the scale
            of the loss must come to it before it is rounded to the type of `a`.

    Returns:
        A scalar, float32.
    """

    @ops.custom_gradient
    def zero(a: Tensor, g: Tensor) -> tuple:
        def gradient(*upstream_: Any, upstream: Tensor = None) -> tuple:
            d = upstream_[0] if upstream is None else upstream
            return ops.cast(d * g, a.dtype), ops.zeros_like(g)

        return ops.zeros((), "float32"), gradient

    return zero(read(a), ops.stop_gradient(read(g)))
