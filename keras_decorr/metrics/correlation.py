"""Measures how correlated rows of activations are: NumPy or tensors in, floats out.

With `C = X^T X / k` for rows `X` of `(k, n)`, centred by whoever hands them over. All of these are
functions of `C`, computed from the smaller of `C` and the Gram matrix `X X^T / k`, which has the same
eigenvalues but for zeros.
"""

import math
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_decorr.typing import Tensor

# Below these shares, of the strongest direction and of the raw norm, a float32 value is rounding error.
_DIRECTION, _NORM = 1e-5, 1e-6


class Figures(NamedTuple):
    """Holds what depends on the `C` of a batch of rows alone; each is a function of this file."""

    energy: float
    whiteness: float
    condition: float
    rank: float


def off_diagonal_energy(x: Tensor) -> float:
    """Computes the mean squared off-diagonal element of `C`: `sum_{i != j} C_ij^2 / (n (n - 1))`.

    It is what `fit` logs as `decorrelation_loss` of the decorrelated inputs. It has the fourth power of
    the unit of `x`.

    Args:
        x: `(k, n)` rows, an array or tensor.

    Returns:
        A float, 0 without correlations (and for one feature). `k` rows of independent features of
        variance `s^2` have about `s^4 / k`.

    Raises:
        ValueError: If `x` is no matrix, or empty.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.off_diagonal_energy([[1.0, 1.0], [-1.0, -1.0]])
    1.0
    """
    x = _rows("off_diagonal_energy", x)
    return _energy(x, _gram(x))


def whiteness(x: Tensor) -> float:
    """Computes the distance of `C` from white: `||C / c - I||_F^2 / n` with `c = tr(C) / n`.

    It is the statistic `U` of S. John (1971), which does not depend on the scale of `x`. Unlike the
    off-diagonal energy it counts unequal variances, too.

    Args:
        x: `(k, n)` rows, an array or tensor.

    Returns:
        A float from 0 (white) to `n - 1` (one direction); NaN if all of `x` is zero. `k` rows of white
        noise have about `n / k`: rows that are few look correlated (O. Ledoit and M. Wolf, 2002).

    Raises:
        ValueError: If `x` is no matrix, or empty.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.whiteness([[1.0, 1.0], [-1.0, -1.0]])
    1.0

    Reference:
        S. John, "Some optimal multivariate tests", Biometrika 58 (1971). O. Ledoit and M. Wolf, "Some
        hypothesis tests for the covariance matrix when the dimension is large compared to the sample
        size", Annals of Statistics 30 (2002).
    """
    x = _rows("whiteness", x)
    return _whiteness(x, _gram(x))


def correlation_eigenvalues(x: Tensor) -> np.ndarray:
    """Computes the `min(k, n)` largest eigenvalues of `C` in descending order; the others are 0.

    Args:
        x: `(k, n)` rows, an array or tensor.

    Returns:
        A float64 array; of NaN if `x` holds a NaN or an infinity.

    Raises:
        ValueError: If `x` is no matrix, or empty.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.correlation_eigenvalues([[2.0, 0.0], [0.0, 1.0]]).tolist()
    [2.0, 0.5]
    """
    return _spectrum(_gram(_rows("correlation_eigenvalues", x)))


def correlation_condition(x: Tensor) -> float:
    """Computes the largest eigenvalue of `C` over its smallest one that is not 0.

    With fewer rows than features, or with a feature that is constant, `C` has no inverse and its plain
    condition number would be infinite; `effective_rank` tells how much of the space the range fills.

    Args:
        x: `(k, n)` rows, an array or tensor, or the eigenvalues `(m,)` of `correlation_eigenvalues`.

    Returns:
        A float from 1 upwards; NaN if all of `x` is zero, or not all finite.

    Raises:
        ValueError: If `x` is no matrix, or empty.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.correlation_condition([[2.0, 0.0], [0.0, 1.0]])
    4.0
    """
    values = _eigenvalues(x)
    # A direction is known to the rounding of float32 activations, its variance to the square of that.
    positive = values[values > _DIRECTION**2 * values[0]]
    return float(positive[0] / positive[-1]) if positive.size else math.nan


def effective_rank(x: Tensor) -> float:
    """Computes how many directions the rows fill: `exp(-sum_i p_i log p_i)`, `p_i = lambda_i / tr(C)`.

    Args:
        x: `(k, n)` rows, an array or tensor, or the eigenvalues `(m,)` of `correlation_eigenvalues`.

    Returns:
        A float from 1 to the rank of `C`; NaN if all of `x` is zero, or not all finite.

    Raises:
        ValueError: If `x` is no matrix, or empty.

    Example:

    >>> import keras_decorr
    >>> round(keras_decorr.metrics.effective_rank([[1.0, 0.0], [0.0, 1.0]]), 6)
    2.0

    Reference:
        O. Roy and M. Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO
        (2007).
    """
    values = _eigenvalues(x)
    if not values[0] > 0.0:
        return math.nan
    p = values[values > 0.0] / values.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def gain(x: Tensor, u: Tensor) -> float:
    """Computes the factor by which M must grow to keep the norm: `g = mean_k(||x_k|| / ||u_k||)`.

    Rows with `u_k = 0` have no ratio and are left out.

    Args:
        x: `(k, n)` inputs whose norm is to be kept, raw or centred; an array or tensor.
        u: `(k, n)` decorrelated inputs `u = M (x - mean)`.

    Returns:
        A float; 1 if every row is left out.

    Raises:
        ValueError: If they are no matrices of the same number of rows.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.metrics.gain([[3.0, 4.0]], [[0.0, 2.5]])
    2.0

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780.
    """
    x, u = _rows("gain", x), _rows("gain", u)
    if len(x) != len(u):
        raise ValueError(
            f"`gain` needs the same rows before and after. Received: shapes {x.shape} and {u.shape}"
        )
    before, after = (np.linalg.norm(rows, axis=1) for rows in (x, u))
    # What is not finite is kept, and shows.
    kept = (after > _NORM * before) | ~np.isfinite(before + after)
    return float(np.mean(before[kept] / after[kept])) if kept.any() else 1.0


def figures(x: Tensor) -> Figures:
    """Computes the `Figures` of rows `(k, n)` at the cost of one of them."""
    x = _rows("figures", x)
    gram = _gram(x)
    values = _spectrum(gram)
    return Figures(
        _energy(x, gram), _whiteness(x, gram), correlation_condition(values), effective_rank(values)
    )


def _rows(owner: str, x: Tensor) -> np.ndarray:
    rows = np.asarray(ops.convert_to_numpy(x), "float64")
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(
            f"`{owner}` needs rows of features, (samples, features), not empty. Flatten what stands "
            f"before the last axis. Received: shape {rows.shape}"
        )
    return rows


def _gram(x: np.ndarray) -> np.ndarray:
    k, n = x.shape
    return np.asarray((x @ x.T if k < n else x.T @ x) / k)


def _energy(x: np.ndarray, gram: np.ndarray) -> float:
    n = x.shape[1]
    # Where a value is so large that its square overflows, infinity is the answer.
    with np.errstate(over="ignore", invalid="ignore"):
        total = np.sum(np.square(gram))
        diagonal = np.sum(np.square(np.mean(np.square(x), axis=0)))
        return float(np.maximum(total - diagonal, 0.0) / max(n * (n - 1), 1))


def _whiteness(x: np.ndarray, gram: np.ndarray) -> float:
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # ||C / c - I||^2 / n = n tr(C^2) / tr(C)^2 - 1
        value = x.shape[1] * np.sum(np.square(gram / np.trace(gram))) - 1.0
    return float(np.maximum(value, 0.0))


def _spectrum(gram: np.ndarray) -> np.ndarray:
    if not np.isfinite(gram).all():
        return np.full(len(gram), np.nan)
    return np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0)


def _eigenvalues(x: Tensor) -> np.ndarray:
    if isinstance(x, np.ndarray) and x.ndim == 1 and x.size:
        return x
    return correlation_eigenvalues(x)
