"""Maps with feedback weights of their own, against NumPy."""

import keras
import numpy as np
from keras import ops

from keras_decorr.backend.autodiff import vjp
from keras_decorr.maths.feedback import feedback_map, send_error, with_gradient


def numpy(x):
    return ops.convert_to_numpy(x)


def tensors(rng, *shapes):
    return [ops.convert_to_tensor(rng.normal(size=s).astype("float32")) for s in shapes]


def test_b_takes_the_place_of_w_in_the_gradient_of_the_inputs(rng):
    x, W, B, d = tensors(rng, (5, 4), (4, 3), (4, 3), (5, 3))

    def mapped(x=x, W=W, B=B):
        return feedback_map(ops.matmul, x, W, B)

    np.testing.assert_allclose(numpy(mapped()), numpy(x) @ numpy(W), rtol=1e-5, atol=1e-6)
    dx = vjp(lambda x: mapped(x=x), x, d)
    np.testing.assert_allclose(numpy(dx), numpy(d) @ numpy(B).T, rtol=1e-5, atol=1e-6)
    for gradient in (vjp(lambda W: mapped(W=W), W, d), vjp(lambda B: mapped(B=B), B, d)):
        expected = numpy(x).T @ numpy(d)
        np.testing.assert_allclose(numpy(gradient), expected, rtol=1e-5, atol=1e-6)


def test_a_convolution_goes_back_through_the_convolution_with_b(rng):
    def op(x, K):
        return ops.conv(x, K, strides=2, padding="same")

    x, W, B, d = tensors(rng, (2, 5, 4, 3), (3, 2, 3, 4), (3, 2, 3, 4), (2, 3, 2, 4))
    dx = vjp(lambda x: feedback_map(op, x, W, B), x, d)
    # Linear: <op(e, B), d> is the component of the gradient along e.
    for place in ((0, 0, 0, 0), (1, 4, 3, 2), (0, 2, 1, 1)):
        e = np.zeros(x.shape, "float32")
        e[place] = 1.0
        expected = np.sum(numpy(op(ops.convert_to_tensor(e), B)) * numpy(d))
        np.testing.assert_allclose(numpy(dx)[place], expected, rtol=1e-5, atol=1e-6)


def test_variables_do_for_weights(rng):
    x, d = tensors(rng, (5, 4), (5, 3))
    W, B = (keras.Variable(rng.normal(size=(4, 3)).astype("float32")) for _ in range(2))
    dx = vjp(lambda x: feedback_map(ops.matmul, x, W, B), x, d)
    np.testing.assert_allclose(numpy(dx), numpy(d) @ numpy(B).T, rtol=1e-5, atol=1e-6)


def test_the_error_goes_to_every_tensor_by_its_own_way(rng):
    a, e, first, second = tensors(rng, (5, 3), (5, 3), (5, 4), (5, 2, 3))
    B, C = tensors(rng, (4, 3), (6, 3))

    def sent(a=a, first=first, second=second):
        return send_error(a, [first, second], [B, C])

    np.testing.assert_array_equal(numpy(sent()), numpy(a))
    np.testing.assert_allclose(numpy(vjp(lambda a: sent(a=a), a, e)), numpy(e))
    np.testing.assert_allclose(
        numpy(vjp(lambda x: sent(first=x), first, e)), numpy(e) @ numpy(B).T, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        numpy(vjp(lambda x: sent(second=x), second, e)),
        (numpy(e) @ numpy(C).T).reshape(5, 2, 3),
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_zero_with_a_gradient(rng):
    a, g = tensors(rng, (5, 3), (5, 3))
    assert float(with_gradient(a, g)) == 0.0
    got = vjp(lambda a: with_gradient(a, g), a, ops.convert_to_tensor(np.float32(2.0)))
    np.testing.assert_allclose(numpy(got), 2 * numpy(g), rtol=1e-6)
