"""Derivatives of pure functions on the backend in use: reverse mode and forward mode."""

from collections.abc import Callable
from typing import Any

import keras

from keras_decorr.typing import Tensor


def read(x: Tensor) -> Tensor:
    """The value of a tensor or variable: what TensorFlow's custom gradients take no variable for."""
    if keras.backend.backend() != "tensorflow":
        return keras.ops.convert_to_tensor(x)
    import tensorflow as tf

    return tf.convert_to_tensor(x)


def pullback(function: Callable, xs: list) -> tuple[Any, Callable]:
    """`function(xs)`, and the gradient through it of as many cotangents as are asked for.

    Args:
        function: A pure function of a list of tensors.
        xs: The tensors.

    Returns:
        `(value, pull)`: `pull(upstream)`, with a tensor like the value, is the list of the gradients of
        `<function(xs), upstream>` with respect to each of `xs`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        value, pull = jax.vjp(function, list(xs))
        return value, lambda upstream: pull(upstream)[0]
    if backend == "torch":
        import torch

        with torch.enable_grad():
            xs = [x.detach().requires_grad_() for x in xs]
            value = function(xs)

        def gradients(upstream: Tensor) -> Any:
            return torch.autograd.grad(
                value, xs, upstream, retain_graph=True, allow_unused=True, materialize_grads=True
            )

        return value.detach(), gradients
    import tensorflow as tf

    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(xs)
        value = function(xs)
    zero = tf.UnconnectedGradients.ZERO
    return value, lambda upstream: tape.gradient(value, xs, upstream, unconnected_gradients=zero)


def vjp(function: Callable, x: Tensor, upstream: Tensor) -> Tensor:
    """The gradient of `<function(x), upstream>` with respect to `x`.

    Args:
        function: A pure function of one tensor.
        x: A tensor.
        upstream: A tensor like `function(x)`.

    Returns:
        A tensor like `x`.
    """
    _, pull = pullback(lambda xs: function(xs[0]), [x])
    return pull(upstream)[0]


def implicit(
    multiply: Callable, outer: Callable, solve: Callable, L: Tensor, Z: Tensor, flip: bool = False
) -> Tensor:
    """`U` with `multiply(L, U) = Z`, differentiable as the solution and not as the way to it.

    The gradient `E` of `U` gives `V`, the solution of the transposed equation, as that of `Z`, and
    `-outer(V, U)` as that of `L`. Forward mode solves for `dZ - multiply(dL, U)`.

    Args:
        multiply: `multiply(L, U, flip)`, linear in both; with `flip` by the transpose of `L`.
        outer: `outer(V, U, flip)`, the gradient of `<multiply(L, U, flip), V>` with respect to `L`.
        solve: `solve(L, Z, flip)`. Need not be differentiable.
        L: A tensor.
        Z: A tensor.
        flip: Solve the transposed equation.

    Returns:
        A tensor like `Z`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.lax.custom_linear_solve(
            lambda U: multiply(L, U, flip),
            Z,
            solve=lambda _, Z: solve(L, Z, flip),
            transpose_solve=lambda _, E: solve(L, E, not flip),
        )
    if backend == "torch":
        return _implicit_torch(multiply, outer, solve, L, Z, flip)

    @keras.ops.custom_gradient
    def solved(L: Tensor, Z: Tensor) -> tuple:
        U = solve(L, Z, flip)

        def gradient(*upstream_: Any, upstream: Tensor = None) -> tuple:
            E = upstream_[0] if upstream is None else upstream
            V = implicit(multiply, outer, solve, L, E, not flip)
            return -outer(V, U, flip), V

        return U, gradient

    return solved(read(L), read(Z))


def _implicit_torch(
    multiply: Callable, outer: Callable, solve: Callable, L: Tensor, Z: Tensor, flip: bool
) -> Tensor:
    # Not `ops.custom_gradient`, which has no forward mode here.
    import torch

    class Solved(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, L: Tensor, Z: Tensor) -> Tensor:
            U = solve(L, Z, flip)
            ctx.save_for_backward(L, U)
            ctx.save_for_forward(L, U)
            return U

        @staticmethod
        def backward(ctx: Any, E: Tensor) -> tuple:
            L, U = ctx.saved_tensors
            V = _implicit_torch(multiply, outer, solve, L, E, not flip)
            return -outer(V, U, flip) if ctx.needs_input_grad[0] else None, V

        @staticmethod
        def jvp(ctx: Any, dL: Tensor, dZ: Tensor) -> Tensor:
            L, U = ctx.saved_tensors
            change = torch.zeros_like(U) if dZ is None else dZ
            return solve(L, change if dL is None else change - multiply(dL, U, flip), flip)

    return Solved.apply(L, Z)


def derivative(function: Callable) -> tuple[Tensor, Tensor]:
    """`(f(0), f'(0))` of a function of one scalar, by forward-mode differentiation.

    Args:
        function: Of a float32 scalar; returns a tensor.

    Returns:
        Two tensors of one shape.

    Raises:
        NotImplementedError: If the backend has no forward mode.
    """
    backend = keras.backend.backend()
    zero, one = keras.ops.zeros(()), keras.ops.ones(())
    if backend == "jax":
        import jax

        return jax.jvp(function, (zero,), (one,))
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.autodiff.ForwardAccumulator(zero, one) as accumulator:
            value = function(zero)
        return value, accumulator.jvp(value, tf.UnconnectedGradients.ZERO)
    if backend == "torch":
        import torch.autograd.forward_ad as forward

        with forward.dual_level():
            value, tangent = forward.unpack_dual(function(forward.make_dual(zero, one)))
        return value, keras.ops.zeros_like(value) if tangent is None else tangent
    raise NotImplementedError(f"Forward-mode differentiation on the backend {backend!r}")


def variable_gradients(loss: Callable, variables: list) -> Any:
    """Returns the gradient of a loss with respect to each of the Keras variables that it reads.

    Args:
        loss: A function without arguments; returns a scalar.
        variables: List of Keras variables.

    Returns:
        A list of tensors, one for each variable; `None` for one that the loss does not depend on.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        def loss_of(values: Any) -> Tensor:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        return jax.grad(loss_of)([v.value for v in variables])
    if backend == "torch":
        import torch

        return torch.autograd.grad(loss(), [v.value for v in variables], allow_unused=True)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = loss()
    return tape.gradient(value, [v.value for v in variables])
