"""The equations in float64 NumPy, written from the papers and not from the package.

Every group of features is an explicit list of indices, every M an explicit matrix.
"""

import numpy as np


def norm_preserving(M, X, U, eta):
    """2407.10780: `C = U^T U / k`, `g = mean_k(|x_k| / |u_k|)`, `M <- g M - eta C (g M)`."""
    C = sum(np.outer(u, u) for u in U) / len(U)
    g = np.mean([np.linalg.norm(x) / np.linalg.norm(u) for x, u in zip(X, U, strict=True)])
    return g * M - eta * C @ (g * M)


def decorrelated_backprop(M, X, U, eta, kappa):
    """2405.02385: `M <- M - eta ((1 - kappa) C_off M + kappa diag(v) M)`, `v = mean(u^2 - 1)`."""
    C = sum(np.outer(u, u) for u in U) / len(U)
    v = np.mean(U**2 - 1, axis=0)
    return M - eta * ((1 - kappa) * (C - np.diag(np.diag(C))) @ M + kappa * np.diag(v) @ M)


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


def stage_step(M, groups, X, U, eta, kappa=None):
    """One step of a block matrix: C per group, one gain for the whole vector."""
    n = len(M)
    new = np.zeros((n, n))
    for group in groups:
        block, part = M[np.ix_(group, group)], U[:, group]
        if kappa is None:
            C = part.T @ part / len(part)
            g = np.mean(np.linalg.norm(X, axis=1) / np.linalg.norm(U, axis=1))
            new[np.ix_(group, group)] = g * block - eta * C @ (g * block)
        else:
            new[np.ix_(group, group)] = decorrelated_backprop(block, None, part, eta, kappa)
    return new


def patches(images, kernel, strides, dilation, padding):
    """All patches of `(b, h, w, c)` images, one by one: `(b * positions, kh kw c)`."""
    (kh, kw), (sh, sw), (dh, dw) = kernel, strides, dilation
    b, h, w, c = images.shape
    eh, ew = (kh - 1) * dh + 1, (kw - 1) * dw + 1
    if padding == "same":
        ph, pw = -(-h // sh), -(-w // sw)
        th, tw = max((ph - 1) * sh + eh - h, 0), max((pw - 1) * sw + ew - w, 0)
        images = np.pad(images, ((0, 0), (th // 2, th - th // 2), (tw // 2, tw - tw // 2), (0, 0)))
    else:
        ph, pw = (h - eh) // sh + 1, (w - ew) // sw + 1
    return np.array([
        [
            images[image, i * sh + a * dh, j * sw + e * dw, channel]
            for a in range(kh)
            for e in range(kw)
            for channel in range(c)
        ]
        for image in range(b)
        for i in range(ph)
        for j in range(pw)
    ])  # fmt: skip
