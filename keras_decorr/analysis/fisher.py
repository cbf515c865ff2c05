"""Computes the Fisher information of one linear map `a = z K + b` and natural gradients, in float64.

S. Amari, "Natural gradient works efficiently in learning", Neural Computation 10 (1998); J. Martens and
R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", arXiv 1503.05671;
for convolutions R. Grosse and J. Martens, arXiv 1602.01407.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Fisher:
    """Holds the Fisher block of one layer, from rows `z` and scores `d = d log p / da` of a batch.

    With a bias the rows are `(z, 1)`. Both are free to move, so the kernel's part of a natural gradient
    is that of centred rows: `K` and `b' = b + mean(z) K` are coordinates of the same maps, in which the
    two do not meet in `E[(z, 1)^T (z, 1)]`, and a natural gradient is the same in all coordinates. So
    with a bias everything here is of centred rows.

    Attributes:
        A: `(n, n)` input factor `E[z^T z]`, over the rows of all samples.
        G: `(m, m)` output factor `E[d^T d]`.
        gradient: `(n, m)` gradient of the loss with respect to the kernel.
        bias_gradient: `(m,)` gradient with respect to `b'`, or `None` without a bias.
        exact: `(p, p)` exact block `E[g g^T]` with `g` the score of a sample with respect to the
            parameters in the order of `(z, 1)` x outputs, or `None`.
    """

    A: np.ndarray
    G: np.ndarray
    gradient: np.ndarray
    bias_gradient: Any = None
    exact: Any = None

    def by_input_factor(self, damping: float) -> np.ndarray:
        """Computes Computes `(A + lambda I)^-1 gradient`."""
        return np.linalg.solve(damped(self.A, damping), self.gradient)

    def by_output_factor(self, direction: np.ndarray, damping: float) -> np.ndarray:
        """Computes `direction (G + lambda I)^-1`: of `by_input_factor`, natural by both factors."""
        return np.linalg.solve(damped(self.G, damping), direction.T).T

    def by_exact(self, damping: float) -> np.ndarray | None:
        """Computes the kernel's part of `(F + lambda I)^-1 gradient`; `None` without `exact`."""
        if self.exact is None:
            return None
        gradient = self.gradient
        if self.bias_gradient is not None:
            gradient = np.vstack([gradient, self.bias_gradient])
        step = np.linalg.solve(damped(self.exact, damping), gradient.ravel())
        return step.reshape(gradient.shape)[: len(self.gradient)]


def damped(matrix: np.ndarray, damping: float) -> np.ndarray:
    """Computes Computes `matrix + lambda I` with `lambda = damping` times its mean eigenvalue."""
    mean = np.trace(matrix) / len(matrix)
    # A layer whose factor is zero has no gradient either: any matrix will do.
    return matrix + (damping * mean or 1.0) * np.eye(len(matrix))


class Moments:
    """Gathers a `Fisher` from the rows and scores of a layer's calls.

    Args:
        n: Inputs of the linear map.
        m: Its outputs.
        bias: Whether it has a bias that learns.
    """

    def __init__(self, n: int, m: int, bias: bool) -> None:
        self.bias = bias
        self.rows = 0
        self._sum, self._squares = np.zeros(n), np.zeros((n, n))
        self._gradient, self._bias_gradient = np.zeros((n, m)), np.zeros(m)
        self._G = np.zeros((m, m))

    def see(self, z: np.ndarray, d_loss: np.ndarray) -> None:
        """Adds rows `(samples, t, n)` and the gradient of the loss with respect to `a`."""
        z, d_loss = (x.reshape(-1, x.shape[-1]) for x in (z, d_loss))
        self.rows += len(z)
        self._sum += z.sum(0)
        self._squares += z.T @ z
        self._gradient += z.T @ d_loss
        self._bias_gradient += d_loss.sum(0)

    def score(self, d: np.ndarray) -> None:
        """Adds scores `(samples, t, m)`, one term of the sum that is the expectation."""
        d = d.reshape(-1, d.shape[-1])
        self._G += d.T @ d

    @property
    def centre(self) -> np.ndarray:
        """Returns the mean of the rows, `(n,)`, if there is a bias, else zeros."""
        return self._sum / self.rows if self.bias else np.zeros_like(self._sum)

    def fisher(self, exact: np.ndarray | None = None) -> Fisher:
        """Returns the `Fisher`; `exact` is the sum of `exact_block` over the terms."""
        centre = self.centre
        return Fisher(
            A=self._squares / self.rows - np.outer(centre, centre),
            G=self._G / self.rows,
            gradient=self._gradient - np.outer(centre, self._bias_gradient),
            bias_gradient=self._bias_gradient if self.bias else None,
            exact=exact,
        )


def exact_block(calls: Any, bias: bool) -> np.ndarray:
    """Computes the sum over samples of `g g^T` for one term of the expectation.

    Args:
        calls: A pair for each call of the layer: rows `(samples, t, n)`, centred if there is a bias,
            and scores `(samples, t, m)`.
        bias: Whether the rows get a 1.
    """
    g: Any = 0.0
    for z, d in calls:
        if bias:
            z = np.concatenate([z, np.ones((*z.shape[:-1], 1))], axis=-1)
        g = g + np.matmul(np.swapaxes(z, 1, 2), d)
    g = g.reshape(len(g), -1)
    return np.asarray(g.T @ g)
