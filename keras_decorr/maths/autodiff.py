"""Derivatives of pure functions on the backend in use: reverse mode and forward mode."""

import keras


def read(x):
    """The value of a tensor or variable: what TensorFlow's custom gradients take no variable for."""
    if keras.backend.backend() != "tensorflow":
        return keras.ops.convert_to_tensor(x)
    import tensorflow as tf

    return tf.convert_to_tensor(x)


def pullback(function, xs):
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

        def gradients(upstream):
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


def vjp(function, x, upstream):
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


def derivative(function):
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
