"""Fisher information and natural gradients in float64 NumPy, score by score."""

import numpy as np


def softmax(f):
    e = np.exp(f - f.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def degrees(a, b):
    a, b = np.ravel(a), np.ravel(b)
    return np.degrees(np.arccos(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1)))


def damp(S, damping):
    return S + damping * np.trace(S) / len(S) * np.eye(len(S))


def natural_gradients(rows, scores, weights, d_loss, damping, bias=True):
    """By the input factor, by both, and by the exact block; the kernel's part.

    Args:
        rows: `(samples, t, n)`.
        scores: `(classes, samples, t, m)`: `d log p(y = class) / da`.
        weights: `(classes, samples)` probabilities of the classes.
        d_loss: `(samples, t, m)` gradient of the loss.
    """
    N, T, n = rows.shape
    m = d_loss.shape[-1]
    if bias:
        rows = rows - rows.mean((0, 1))
    A = sum(np.outer(z, z) for sample in rows for z in sample) / (N * T)
    G, F = np.zeros((m, m)), 0.0
    for score, p in zip(scores, weights, strict=True):
        for i in range(N):
            g = np.zeros((n + bias, m))
            for t in range(T):
                G += p[i] * np.outer(score[i, t], score[i, t]) / (N * T)
                g += np.outer(np.append(rows[i, t], [1.0] * bias), score[i, t])
            F = F + p[i] * np.outer(g.ravel(), g.ravel())
    D = sum(np.outer(rows[i, t], d_loss[i, t]) for i in range(N) for t in range(T))
    full = np.vstack([D, d_loss.sum((0, 1))]) if bias else D
    by_input = np.linalg.inv(damp(A, damping)) @ D
    by_both = by_input @ np.linalg.inv(damp(G, damping))
    by_exact = (np.linalg.inv(damp(F, damping)) @ full.ravel()).reshape(full.shape)[:n]
    return by_input, by_both, by_exact
