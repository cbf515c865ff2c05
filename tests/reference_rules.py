"""The learning rules in float64 NumPy, written from the papers and not from the package.

A net is a list of `Map`s and learns by softmax cross-entropy, a mean over the batch. A convolution is a
dense map on patches, so one code serves both.
"""

from typing import Any, NamedTuple

import numpy as np

from tests import reference


class Map(NamedTuple):
    """`u = M (rows - mean)`, `a = u W + b`, `y = f(a)`."""

    W: Any  # (n, units)
    b: Any
    f: Any = None
    slope: Any = None  # f' as a function of a
    M: Any = None  # (n, n), or None
    center: bool = False
    window: Any = None  # (kernel, strides, dilation, padding) of a convolution
    places: tuple = ()  # (height, width) of its output


class Pass(NamedTuple):
    x: Any
    mean: Any
    u: Any
    a: Any


def _tanh_slope(a):
    return 1 - np.tanh(a) ** 2


def _leaky(a):
    return np.where(a > 0, a, 0.2 * a)


def _leaky_slope(a):
    return np.where(a > 0, 1.0, 0.2)


ACTIVATIONS = {
    "tanh": (np.tanh, _tanh_slope),
    "leaky_relu": (_leaky, _leaky_slope),  # Keras's slope is 0.2
    "linear": (lambda a: a, np.ones_like),
}


def _rows(layer, x):
    return x if layer.window is None else reference.patches(x, *layer.window)


def _back(layer, d, shape):
    """The transpose of `_rows`: every pixel gets the sum over the patches that hold it."""
    if layer.window is None:
        return d
    pixels = 1 + np.arange(np.prod(shape)).reshape(shape)  # 0 is the padding
    where = reference.patches(pixels, *layer.window)
    return np.bincount(where.ravel(), d.ravel(), pixels.size + 1)[1:].reshape(shape)


def forward(net, x, noise=None, means=None):
    """What every map sees and makes; `noise` is added to the pre-activations."""
    passes = []
    for i, layer in enumerate(net):
        x = x.reshape(len(x), -1) if layer.window is None else x
        rows = _rows(layer, x)
        mean = rows.mean(0) if layer.center else np.zeros(rows.shape[1])
        if means is not None:
            mean = means[i]
        u = rows - mean
        if layer.M is not None:
            u = u @ layer.M.T
        a = (u @ layer.W + layer.b).reshape(len(x), *layer.places, -1)
        if noise is not None:
            a = a + noise[i]
        passes.append(Pass(x, mean, u, a))
        x = layer.f(a)
    return passes


def softmax(a):
    p = np.exp(a - a.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def losses(logits, y):
    """Cross-entropy of every sample."""
    return -np.log(softmax(logits))[np.arange(len(y)), y]


def deltas(net, passes, y, rule="backprop", B=None, through_mean=True):
    """`dL/da` of every map. `L` is a mean over the batch.

    Args:
        net: List of `Map`s, the last with the identity for activation.
        passes: What `forward` gave.
        y: Classes.
        rule: Name.
        B: Feedback for all maps but the first: like `W`, or `(inputs of a sample, classes)`.
        through_mean: Whether the mean depends on the inputs.
    """
    e = (softmax(passes[-1].a) - np.eye(passes[-1].a.shape[-1])[y]) / len(y)
    found = [e]
    for i in range(len(net) - 1, 0, -1):
        layer, x = net[i], passes[i].x
        if rule == "direct_feedback_alignment":
            dx = (e @ B[i].T).reshape(x.shape)
            if layer.center:
                dx = dx - dx.mean(tuple(range(x.ndim - 1)))
        else:
            W = layer.W if rule == "backprop" else B[i]
            dz = found[0].reshape(-1, W.shape[1]) @ W.T
            if layer.M is not None:
                dz = dz @ layer.M
            if layer.center and through_mean:
                dz = dz - dz.mean(0)
            dx = _back(layer, dz, x.shape)
        a = passes[i - 1].a
        found.insert(0, dx.reshape(a.shape) * net[i - 1].slope(a))
    return found


def weight_gradients(passes, deltas):
    """`[(dW, db), ...]` of pre-activation gradients."""
    rows = [d.reshape(-1, d.shape[-1]) for d in deltas]
    return [(p.u.T @ d, d.sum(0)) for p, d in zip(passes, rows, strict=True)]


def gradients(net, x, y, rule="backprop", B=None):
    """`[(dW, db), ...]` by a rule."""
    passes = forward(net, x)
    return weight_gradients(passes, deltas(net, passes, y, rule, B))


def directional_derivative(net, x, y, noise):
    """`dL/da = (dL along xi) xi` a sample, the means held; then `dW = u^T dL/da`."""
    passes = forward(net, x)
    exact = deltas(net, passes, y, through_mean=False)
    along = sum((d * xi).reshape(len(x), -1).sum(1) for d, xi in zip(exact, noise, strict=True))
    return weight_gradients(passes, [along.reshape(-1, *[1] * (xi.ndim - 1)) * xi for xi in noise])


def activity(net, x, y):
    """The expected estimate of 2310.00965 for small noise, and the gradient: both `[(dW, db), ...]`.

    The noise `xi` of all maps changes all pre-activations by `A xi` and the loss by `g . xi`. The
    estimate is `N E[(g . xi) A xi / |A xi|^2]`. With `A = P S Q` (singular values) and `z = Q xi` that
    is `N P S E[z z^T / |S z|^2] Q g`, where off the diagonal the expectation is zero, and
    `E[z_i^2 / |S z|^2]` is the integral of `E[z_i^2 exp(-t |S z|^2)]` over `t`, which is
    `1 / (1 + 2 t s_i^2)` times the product of all `(1 + 2 t s_j^2)^(-1/2)`.
    """
    passes, h = forward(net, x), 1e-5
    shapes = [(1, *p.a.shape[1:]) for p in passes]
    sizes = [p.a[0].size for p in passes]
    estimates = [np.zeros_like(p.a) for p in passes]
    for sample in range(len(x)):
        one, label = x[sample : sample + 1], y[sample : sample + 1]

        def moved(xi, one=one, label=label):
            parts = np.split(xi, np.cumsum(sizes)[:-1])
            noise = [part.reshape(s) for part, s in zip(parts, shapes, strict=True)]
            made = forward(net, one, noise)
            loss = losses(made[-1].a, label)[0]
            return np.concatenate([p.a.ravel() for p in made]), loss / len(x)

        A, g = [], []
        for direction in np.eye(sum(sizes)) * h:
            (up, high), (down, low) = moved(direction), moved(-direction)
            A.append((up - down) / (2 * h))
            g.append((high - low) / (2 * h))
        P, s, Q = np.linalg.svd(np.array(A).T)
        # With t = exp(v) the integrand is smooth and falls off at both ends.
        t = np.exp(np.linspace(-40, 40, 4001))[:, None]
        density = t / (1 + 2 * t * s**2) * np.prod((1 + 2 * t * s**2) ** -0.5, 1, keepdims=True)
        expected = sum(sizes) * P @ (s * density.sum(0) * (80 / 4000) * (Q @ np.array(g)))
        for estimate, part in zip(
            estimates, np.split(expected, np.cumsum(sizes)[:-1]), strict=True
        ):
            estimate[sample] = part.reshape(estimate.shape[1:])
    return weight_gradients(passes, estimates)
