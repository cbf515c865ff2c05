"""The equations in float64 NumPy, written from the papers and not from the package.

Every group of features is an explicit list of indices, every M an explicit matrix.
"""

import numpy as np


def norm_preserving(M, X, U, eta, noise=0.0):
    """2407.10780: `C = U^T U / k`, `g = mean_k(|x_k| / |u_k|)`, `M <- g M - eta C (g M)`.

    `noise` is the variance of white noise in the inputs, which adds `noise M M^T` to `C`.
    """
    C = sum(np.outer(u, u) for u in U) / len(U) + noise * M @ M.T
    g = np.mean([np.linalg.norm(x) / np.linalg.norm(u) for x, u in zip(X, U, strict=True)])
    return g * M - eta * C @ (g * M)


def decorrelated_backprop(M, X, U, eta, kappa):
    """2405.02385: `M <- M - eta ((1 - kappa) C_off M + kappa diag(v) M)`, `v = mean(u^2 - 1)`."""
    C = sum(np.outer(u, u) for u in U) / len(U)
    v = np.mean(U**2 - 1, axis=0)
    return M - eta * ((1 - kappa) * (C - np.diag(np.diag(C))) @ M + kappa * np.diag(v) @ M)


def recurrent(L, X, whole, Z, U, eta):
    """2407.10780, lateral: `L <- (L + eta mean(z u^T)) / g`, `g = mean_k(|x_k| / |u_k|)`.

    `Z` and `U` are those of a group of features, `X` and `whole` the inputs and outputs of all.
    """
    g = np.mean([np.linalg.norm(x) / np.linalg.norm(u) for x, u in zip(X, whole, strict=True)])
    return (L + eta * sum(np.outer(z, u) for z, u in zip(Z, U, strict=True)) / len(U)) / g


def foldiak(L, U, eta):
    """Foldiak 1990, linear: `u = z + W u`, `dW_ij = -eta u_i u_j` for `i != j`; here `L = I - W`."""
    W = np.eye(len(L)) - L
    for i in range(len(L)):
        for j in range(len(L)):
            if i != j:
                W[i, j] -= eta * np.mean(U[:, i] * U[:, j])
    return np.eye(len(L)) - W


def inverse_root(A):
    """`A^(-1/2)` of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(A)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def zca(Sigma, Z, eta, epsilon):
    """1804.08450: the running covariance and `(Sigma + epsilon I)^(-1/2)`."""
    Sigma = (1 - eta) * Sigma + eta * sum(np.outer(z, z) for z in Z) / len(Z)
    return Sigma, inverse_root(Sigma + epsilon * np.eye(len(Sigma)))


def contiguous(n, g):
    """`g` groups of neighbours."""
    return [list(part) for part in np.arange(n).reshape(g, -1)]


def monarch_second(n, g):
    """Group `j` takes the `j`-th `n / g^2` features of every contiguous group."""
    share = n // g**2
    return [
        [i * (n // g) + j * share + s for i in range(g) for s in range(share)] for j in range(g)
    ]


def assemble(blocks, groups, n):
    """The (n, n) matrix of blocks that act on groups of features."""
    M = np.zeros((n, n))
    for block, group in zip(blocks, groups, strict=True):
        M[np.ix_(group, group)] = block
    return M


def stage_step(M, groups, X, U, eta, kappa=None, gain_rate=1.0):
    """One step of a block matrix: C per group, one gain for the whole vector."""
    n = len(M)
    new = np.zeros((n, n))
    for group in groups:
        block, part = M[np.ix_(group, group)], U[:, group]
        if kappa is None:
            C = part.T @ part / len(part)
            g = np.mean(np.linalg.norm(X, axis=1) / np.linalg.norm(U, axis=1))
            g = g / min(max(g ** (1 - gain_rate), 2 / 3), 3 / 2)  # no more than this is left
            new[np.ix_(group, group)] = g * block - eta * C @ (g * block)
        else:
            new[np.ix_(group, group)] = decorrelated_backprop(block, None, part, eta, kappa)
    return new


def low_rank(V, S, s):
    """The (n, n) matrix `s (I - V V^T) + V S V^T`."""
    return s * (np.eye(len(V)) - V @ V.T) + V @ S @ V.T


def low_rank_step(V, S, s, X, Z, eta, rate):
    """The norm-preserving rule on the tracked directions together, and on all others as one.

    On the directions V: `C = T^T T / k`, `t = V^T u`, `S <- g S - eta C (g S)`. On the rest, whose mean
    square is `c`: `s <- g s - eta c g s`. One gain `g`. V by Oja's rule, then one Newton-Schulz step.
    """
    n, r = V.shape
    U = Z @ low_rank(V, S, s).T
    g = np.mean([np.linalg.norm(x) / np.linalg.norm(u) for x, u in zip(X, U, strict=True)])
    T = U @ V
    C = sum(np.outer(t, t) for t in T) / len(T)
    c = np.mean([(u @ u - t @ t) / (n - r) for u, t in zip(U, T, strict=True)])
    covariance = Z.T @ Z / len(Z)
    Y = rate / np.trace(covariance) * covariance @ V
    W = V + (np.eye(n) - V @ V.T) @ Y
    return W @ (3 * np.eye(r) - W.T @ W) / 2, g * S - eta * C @ (g * S), g * s - eta * c * g * s


def patches(images, kernel, strides, dilation, padding):
    """All patches of `(b, *sizes, c)` images, one by one: `(b * positions, taps * c)`."""
    sizes = images.shape[1:-1]
    places, pads = [], []
    for size, k, s, d in zip(sizes, kernel, strides, dilation, strict=True):
        extent = (k - 1) * d + 1
        if padding == "valid":
            places.append((size - extent) // s + 1)
            pads.append((0, 0))
            continue
        places.append(-(-size // s))
        pad = max((places[-1] - 1) * s + extent - size, 0)
        pads.append((extent - 1, 0) if padding == "causal" else (pad // 2, pad - pad // 2))
    images = np.pad(images, ((0, 0), *pads, (0, 0)))
    return np.array([
        [
            images[(image, *np.multiply(place, strides) + np.multiply(tap, dilation), channel)]
            for tap in np.ndindex(*kernel)
            for channel in range(images.shape[-1])
        ]
        for image in range(len(images))
        for place in np.ndindex(*places)
    ])  # fmt: skip
