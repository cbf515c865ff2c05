"""Finds the likelihood that a loss stands for, and the Fisher information of a model's outputs.

J. Martens, "New insights and perspectives on the natural gradient method", JMLR 21 (2020), section 6:
the loss is the negative logarithm of a likelihood, and the Fisher information of its parameters `f` is
known in closed form for each.
"""

from collections.abc import Callable

import keras
import numpy as np

# Below this a probability of float32 is rounding error.
_TINY = 1e-12


def likelihood(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Returns a square root of the Fisher information of a model's outputs, for its compiled loss.

    Args:
        model: A compiled model with one output.

    Returns:
        A function `root(f, v)`: for outputs `f` of `(samples, ..., units)` and coefficients `v` of
        their shape it gives `R v` for each sample, where `R R^T` is the Fisher information of `f`, the
        expectation of the outer product of `d log p(y | f) / df` over `y` from the model's own
        distribution. For white noise `v`, `R v` is a cotangent with that covariance.

    Raises:
        ValueError: If the loss is no negative log-likelihood that is known here.
    """
    loss = keras.losses.get(model.loss) if isinstance(model.loss, str) else model.loss
    kind = getattr(loss, "__name__", None) or type(loss).__name__
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    name = kind.replace("_", "").lower()
    known = {
        "sparsecategoricalcrossentropy": (_softmax_of_logits, _softmax),
        "categoricalcrossentropy": (_softmax_of_logits, _softmax),
        "binarycrossentropy": (_sigmoid_of_logits, _sigmoid),
        "meansquarederror": (_gaussian, _gaussian),
    }
    if name not in known:
        raise ValueError(
            "The true Fisher information needs a loss that is the negative log-likelihood of a "
            "distribution: a categorical or binary cross-entropy, or the mean squared error. Use "
            f"fisher='empirical' with others. Received: loss={model.loss!r}"
        )
    of_logits, of_probabilities = known[name]
    return of_logits if config.get("from_logits") else of_probabilities


def _softmax_of_logits(f: np.ndarray, v: np.ndarray) -> np.ndarray:
    # diag(p) - p p^T = R R^T with R = (I - p 1^T) diag(sqrt(p))
    p = np.exp(f - f.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    v = np.sqrt(p) * v
    return np.asarray(v - p * v.sum(-1, keepdims=True))


def _softmax(f: np.ndarray, v: np.ndarray) -> np.ndarray:
    # The score of class c is e_c / p_c, and it comes with probability p_c.
    return np.asarray(v / np.sqrt(np.maximum(f, _TINY)))


def _sigmoid_of_logits(f: np.ndarray, v: np.ndarray) -> np.ndarray:
    p = 1.0 / (1.0 + np.exp(-f))
    return np.asarray(np.sqrt(p * (1.0 - p)) * v)


def _sigmoid(f: np.ndarray, v: np.ndarray) -> np.ndarray:
    return v / np.sqrt(np.maximum(f * (1.0 - f), _TINY))


def _gaussian(f: np.ndarray, v: np.ndarray) -> np.ndarray:
    # Of whatever variance: a factor, and no angle depends on it.
    return v
