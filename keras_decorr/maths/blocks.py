"""Block-diagonal maps, and the permutation between the two stages of a Monarch map.

T. Dao et al., "Monarch: Expressive Structured Matrices for Efficient and Accurate Training",
arXiv 2204.00595 (2022). Features are padded with zeros to `g m`, where no `g` divides `n`; the
identity of the padding is 0, not 1, so that the padding can never grow.
"""

import numpy as np
from keras import ops


def block_size(n, groups):
    """`(g, m)`: at most `groups` groups of `m` features that together hold `n`."""
    g = min(groups, n)
    m = -(-n // g)
    return -(-n // m), m


def block_identity(n, g, m, order=None):
    """`(g, m, m)` float32: the identity on `n` features, 0 on the padding.

    Args:
        n: Number of features.
        g: Number of groups.
        m: Features a group.
        order: `(g m,)` permutation: which feature stands at each place. Default: as they come.
    """
    real = np.arange(g * m) < n
    real = (real if order is None else real[order]).reshape(g, m)
    return np.eye(m, dtype="float32") * real[:, None, :]


def monarch_order(g, m):
    """`(g m,)`: the feature at each place of the second stage, which mixes all first groups."""
    return np.arange(g * m).reshape(g, m).T.reshape(-1)


def split(X, g, m):
    """`(..., n)` rows into `(g, rows, m)` groups, padded with zeros."""
    n = X.shape[-1]
    X = ops.reshape(X, (-1, n))
    if g * m > n:
        X = ops.pad(X, ((0, 0), (0, g * m - n)))
    return ops.transpose(ops.reshape(X, (-1, g, m)), (1, 0, 2))


def join(X, n):
    """`(g, rows, m)` groups back into `(rows, n)`, the inverse of `split`."""
    g, m = X.shape[0], X.shape[-1]
    return ops.reshape(ops.transpose(X, (1, 0, 2)), (-1, g * m))[:, :n]


def shuffle(X):
    """`(g, rows, m)` groups of the first stage into the groups of the second."""
    g, m = X.shape[0], X.shape[-1]
    X = ops.reshape(ops.transpose(X, (1, 2, 0)), (-1, g, m))
    return ops.transpose(X, (1, 0, 2))


def unshuffle(X):
    """The inverse of `shuffle`."""
    g, m = X.shape[0], X.shape[-1]
    X = ops.reshape(ops.transpose(X, (1, 0, 2)), (-1, m, g))
    return ops.transpose(X, (2, 0, 1))
