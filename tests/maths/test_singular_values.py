"""The Lanczos iteration and the ranges of singular values against NumPy's decomposition."""

import numpy as np
import pytest

from keras_decorr.maths import singular_values


def gram_product(A):
    return lambda v: A.T @ (A @ v)


def test_the_largest_value_is_within_the_bound_of_the_iteration(rng):
    A = rng.normal(size=(60, 40))
    expected = np.linalg.svd(A, compute_uv=False)[0]
    for steps in (8, 16, 40):
        found = singular_values.largest_singular_value(gram_product(A), rng.normal(size=40), steps)
        assert (1 - (np.log(40) / (2 * steps)) ** 2) * expected <= found <= expected * (1 + 1e-9)


def test_the_iteration_ends_where_its_subspace_is_exhausted(rng):
    values = np.array([3.0, 2.0, 1.0])
    found = singular_values.largest_singular_value(lambda v: values**2 * v, np.ones(3))
    assert found == pytest.approx(3.0, rel=1e-12)
    # A start without the first direction stays without it.
    start = np.array([0.0, 1.0, 1.0])
    assert singular_values.largest_singular_value(lambda v: values**2 * v, start) == pytest.approx(
        2
    )


def test_the_range_without_an_inverse_ends_at_zero():
    values = np.array([3.0, 2.0, 0.5])

    def product(v):
        return values**2 * v

    start = np.ones(3)
    found = singular_values.singular_range(product, lambda v: v / values**2, start)
    np.testing.assert_allclose(found, (3.0, 0.5))
    assert singular_values.singular_range(product, None, start)[1] == 0.0
    assert singular_values.inverse_or_none(np.diag([1.0, 0.0])) is None


@pytest.mark.parametrize("m", [6, singular_values.SMALL])  # decomposed; by the iteration
def test_the_range_of_blocks_leaves_the_padding_out(m, rng):
    values = np.concatenate([[5.0], np.linspace(1.0, 2.0, 2 * m - 3), [0.1]])
    blocks, real = np.zeros((2, m, m)), np.ones((2, m), bool)
    real[1, -1] = False  # one feature of padding, where the block is zero
    for block, part in zip(blocks, np.split(values, [m]), strict=True):
        Q, R = (np.linalg.qr(rng.normal(size=(len(part),) * 2))[0] for _ in range(2))
        block[: len(part), : len(part)] = Q @ np.diag(part) @ R
    np.testing.assert_allclose(singular_values.range_of_blocks(blocks, real), (5.0, 0.1), rtol=1e-6)
