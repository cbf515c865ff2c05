"""Natural-gradient angles against float64 NumPy and closed forms."""

import keras
import numpy as np
import pytest
from keras import layers as plain

import keras_decorr
from keras_decorr.analysis import natural_gradient_alignment
from keras_decorr.analysis.natural_gradient import _cotangents
from keras_decorr.layers import DecorConv2D, DecorDense
from tests.analysis.reference import degrees, natural_gradients, softmax
from tests.helpers import undamped

LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def skewed(rng, samples, n):
    """Rows with correlations and a mean."""
    return (rng.normal(size=(samples, n)) @ rng.normal(size=(n, n)) + 1.0).astype("float32")


def weights(layer):
    return [keras.ops.convert_to_numpy(v).astype("float64") for v in (layer.kernel, layer.bias)]


def compiled(model, loss=LOGITS):
    model.compile("sgd", loss)
    return model


def test_a_linear_regression_points_to_its_least_squares_solution(rng):
    x = skewed(rng, 200, 5)
    y = rng.normal(size=(200, 3)).astype("float32")
    model = compiled(keras.Sequential([keras.Input((5,)), plain.Dense(3, name="map")]), "mse")
    (found,) = natural_gradient_alignment(model, x, y, damping=1e-7)
    K, b = weights(model.layers[0])
    solution = np.linalg.lstsq(np.c_[x, np.ones(200)].astype("float64"), y, rcond=None)[0][:-1]
    error = x @ K + b - y
    expected = degrees(x.T @ error, K - solution)
    # F = A (x) I: the three natural gradients are one.
    np.testing.assert_allclose(found.update, expected, atol=5e-3)
    np.testing.assert_allclose([found.input_to_both, found.both_to_exact], 0.0, atol=1e-2)
    assert found.centred == found.plain
    assert expected > 20


@pytest.mark.parametrize("fisher", ["true", "empirical"])
def test_a_hidden_layer_and_a_softmax_layer(rng, fisher):
    x, y = skewed(rng, 40, 4), rng.integers(0, 3, 40)
    model = compiled(
        keras.Sequential(
            [keras.Input((4,)), plain.Dense(5, activation="tanh"), plain.Dense(3, name="out")]
        )
    )
    before = [w.copy() for w in model.get_weights()]
    found = natural_gradient_alignment(model, x, y, damping=[0.1, 0.01], fisher=fisher)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    (K1, b1), (K2, b2) = (weights(layer) for layer in model.layers)
    h = np.tanh(x @ K1 + b1)
    p = softmax(h @ K2 + b2)
    at_output = np.eye(3)[:, None] - p  # of each class
    d_loss = p - np.eye(3)[y]
    chances = p.T if fisher == "true" else np.eye(3)[y].T

    def back(d):
        return d @ K2.T * (1 - h**2)

    cases = {
        "dense": (x.astype("float64"), back(at_output), back(d_loss)),
        "out": (h, at_output, d_loss),
    }
    assert [(f.name, f.damping) for f in found[-2:]] == [("out", 0.1), ("out", 0.01)]
    for f in found:
        rows, scores, d = cases["out" if f.name == "out" else "dense"]
        references = natural_gradients(
            rows[:, None], scores[:, :, None], chances, d[:, None], f.damping
        )
        expected = [degrees(rows.T @ d, r) for r in references]
        np.testing.assert_allclose(f.update, expected, atol=2e-2)
        np.testing.assert_allclose(f.plain, expected, atol=2e-2)
        np.testing.assert_allclose(f.both_to_exact, degrees(*references[1:]), atol=2e-2)


@pytest.mark.parametrize("structure", [None, "full", "channel"])
def test_a_convolution(rng, structure):
    """Patches cut out by hand; M is random, so that the order of its transpose shows."""
    x = rng.normal(size=(6, 4, 5, 2)).astype("float32") + 0.5
    x[..., 1] += x[..., 0]
    y = rng.integers(0, 3, 6)
    d = structure and undamped(structure=structure)
    layer = DecorConv2D(3, (2, 3), strides=(1, 2), padding="same", decorrelator=d)
    if structure is None:
        layer = plain.Conv2D(3, (2, 3), strides=(1, 2), padding="same")
    model = compiled(
        keras.Sequential([keras.Input((4, 5, 2)), layer, plain.GlobalAveragePooling2D()])
    )
    M = np.eye(12)
    if structure is not None:
        (variable,) = layer.decorrelation.matrices
        m = rng.normal(size=variable.shape)
        variable.assign(m)
        M = m if structure == "full" else np.kron(np.eye(6), m)
    (found,) = natural_gradient_alignment(model, x, y, damping=0.1)

    padded = np.pad(x.astype("float64"), ((0, 0), (0, 1), (1, 1), (0, 0)))
    patches = np.array([
        [padded[i, r : r + 2, 2 * c : 2 * c + 3].ravel() for r in range(4) for c in range(3)]
        for i in range(6)
    ])  # fmt: skip
    K, b = weights(layer)
    K = M.T @ K.reshape(12, 3)
    mean = {None: 0.0, "full": patches.mean((0, 1)), "channel": np.tile(x.mean((0, 1, 2)), 6)}
    z = patches - mean[structure]
    p = softmax((z @ K + b).mean(1))
    spread = np.ones((6, 12, 1)) / 12
    scores = (np.eye(3)[:, None] - p)[:, :, None] * spread
    d_loss = (p - np.eye(3)[y])[:, None] * spread
    references = natural_gradients(z, scores, p.T, d_loss, 0.1)
    dW = M @ np.einsum("itn,itm->nm", z, d_loss)
    expected = [degrees(M.T @ dW, r) for r in references]
    assert (found.inputs, found.outputs, found.rows) == (12, 3, 72)
    np.testing.assert_allclose(found.update, expected, atol=2e-2)
    raw = np.einsum("itn,itm->nm", patches, d_loss)
    np.testing.assert_allclose(found.plain, [degrees(raw, r) for r in references], atol=2e-2)


def test_white_inputs_make_the_update_natural_but_for_the_output_factor(rng):
    """M A M^T = I, so M^T M D = A^-1 D: 0 degrees, where the plain update is far off."""
    x, y = skewed(rng, 300, 6), rng.integers(0, 3, 300)
    decorrelator = undamped(structure="full")
    model = compiled(
        keras_decorr.Sequential(
            [keras.Input((6,)), DecorDense(3, decorrelator=decorrelator, use_bias=False)]
        )
    )
    C = np.cov(x.astype("float64"), rowvar=False, ddof=0)
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    whitening = rotation @ np.linalg.inv(np.linalg.cholesky(C))  # any of them will do
    model.layers[0].decorrelation.matrices[0].assign(whitening)
    (found,) = natural_gradient_alignment(model, x, y, damping=1e-7)
    assert found.update.input_factor < 0.05
    assert found.centred.input_factor > 20
    # What is left is the output factor alone.
    np.testing.assert_allclose(found.update.both_factors, found.input_to_both, atol=0.1)


def test_probabilities_and_logits_are_one_model(rng):
    x, y = skewed(rng, 30, 4), rng.integers(0, 3, 30)
    inputs = keras.Input((4,))
    layer = plain.Dense(3)
    logits = layer(inputs)
    of_logits = compiled(keras.Model(inputs, logits))
    of_softmax = compiled(
        keras.Model(inputs, plain.Softmax()(logits)), "sparse_categorical_crossentropy"
    )
    first, second = (natural_gradient_alignment(m, x, y)[0][5:] for m in (of_logits, of_softmax))
    np.testing.assert_allclose(np.hstack(first), np.hstack(second), atol=0.05)


def test_two_units_of_softmax_are_one_of_sigmoid(rng):
    """log p of a sigmoid of f is that of a softmax of (0, f)."""
    x, y = skewed(rng, 30, 4), rng.integers(0, 2, (30, 1))
    inputs = keras.Input((4,))
    f = plain.Dense(1, use_bias=False, name="map")(inputs)
    padded = plain.ZeroPadding1D((1, 0))(plain.Reshape((1, 1))(f))
    two = compiled(keras.Model(inputs, plain.Flatten()(padded)))
    one = compiled(keras.Model(inputs, f), keras.losses.BinaryCrossentropy(from_logits=True))
    sigmoid = compiled(keras.Model(inputs, plain.Activation("sigmoid")(f)), "binary_crossentropy")
    found = [np.hstack(natural_gradient_alignment(m, x, y)[0][5:]) for m in (two, one, sigmoid)]
    np.testing.assert_allclose(found[1], found[0], atol=0.05)
    np.testing.assert_allclose(found[2], found[0], atol=0.05)


def test_random_cotangents_have_the_fisher_information_of_the_outputs(rng):
    """Of k products of signs each element has a variance of at most (tr F)^2 / k, here 1 / k."""
    from keras_decorr.analysis.likelihood import likelihood

    f = rng.normal(size=(1, 4))
    model = compiled(keras.Sequential([keras.Input((4,)), plain.Dense(4)]))
    outputs = keras.ops.convert_to_tensor(np.repeat(f, 2500, 0))
    drawn = _cotangents(likelihood(model), outputs, 4, seed=0)
    F = sum(d.T @ d for d in map(keras.ops.convert_to_numpy, drawn)) / 2500
    p = softmax(f)[0]
    # 10,000 draws: a standard deviation of at most 0.01; 16 elements within 5 of them.
    np.testing.assert_allclose(F, np.diag(p) - np.outer(p, p), atol=0.05)
    exact = _cotangents(likelihood(model), outputs[:1], None, seed=0)
    F = sum(d.T @ d for d in map(keras.ops.convert_to_numpy, exact))
    np.testing.assert_allclose(F, np.diag(p) - np.outer(p, p), atol=1e-5)


def test_a_shared_layer_a_learning_rule_and_layers_by_name(rng):
    # Most labels are alike, so that the gradient through the means is not small.
    x, y = skewed(rng, 20, 4), np.maximum(rng.integers(-8, 3, 20), 0)
    inputs = keras.Input((4,))
    shared = DecorDense(4, activation="tanh", name="shared")
    outputs = DecorDense(3, name="out")(shared(shared(inputs)))
    model = keras_decorr.Model(inputs, outputs)
    model.compile("sgd", LOGITS, learning_rule=keras_decorr.rules.FeedbackAlignment(seed=1))
    (found,) = natural_gradient_alignment(model, x, y, layers="shared", samples=3)
    (K, b), (K2, b2) = (weights(layer) for layer in (shared, model.layers[-1]))
    zs, hs = [x - x.mean(0, dtype="float64")], []
    for _ in range(2):
        hs.append(np.tanh(zs[-1] @ K + b))
        zs.append(hs[-1] - hs[-1].mean(0))
    error = softmax(zs[2] @ K2 + b2) - np.eye(3)[y]

    def gradient(through_means):
        def back(d, kernel, h):
            g = d @ kernel.T
            return (g - g.mean(0) if through_means else g) * (1 - h**2)

        d = back(error, K2, hs[1])
        return zs[1].T @ d + zs[0].T @ back(d, K, hs[0])

    D, A = gradient(False), sum(z.T @ z for z in zs[:2]) / 40
    natural = np.linalg.solve(A + 0.01 * np.trace(A) / 4 * np.eye(4), D)
    expected = degrees(gradient(True), natural)
    assert abs(degrees(D, natural) - expected) > 0.1  # the means make a difference
    assert (found.name, found.rows) == ("shared", 40)
    np.testing.assert_allclose(found.centred.input_factor, expected, atol=0.02)
    # M is the identity, but the rule's update is not the gradient.
    model.compile("sgd", LOGITS)
    (exact,) = natural_gradient_alignment(model, x, y, layers=["shared"], exact_parameters=0)
    assert abs(found.update.input_factor - exact.update.input_factor) > 0.5
    np.testing.assert_allclose(exact.centred.input_factor, expected, atol=0.02)
    np.testing.assert_allclose(exact.update[:2], exact.centred[:2], atol=0.02)
    assert np.isnan(exact.update.exact)


def test_it_refuses_clearly(rng):
    x, y = skewed(rng, 8, 4), rng.integers(0, 3, 8)
    model = keras.Sequential([keras.Input((4,)), plain.Dense(3, name="out")])
    with pytest.raises(ValueError, match="built and compiled"):
        natural_gradient_alignment(model, x, y)
    compiled(model)
    for arguments, said in (
        ({"damping": 0.0}, "`damping`"),
        ({"damping": [0.1, -1.0]}, "Received: -1.0"),
        ({"fisher": "exact"}, "`fisher`"),
        ({"samples": 0}, "`samples`"),
        ({"exact_parameters": -1}, "`exact_parameters`"),
        ({"layers": ["hidden"]}, r"\['out'\]. Received: \['hidden'\]"),
    ):
        with pytest.raises(ValueError, match=said):
            natural_gradient_alignment(model, x, y, **arguments)
    compiled(model, keras.losses.Huber())
    with pytest.raises(ValueError, match="negative log-likelihood"):
        natural_gradient_alignment(model, x, rng.normal(size=(8, 3)))
    inputs = keras.Input((4,))
    two = keras.Model(inputs, [plain.Dense(3)(inputs), plain.Dense(3)(inputs)])
    compiled(two, ["mse", "mse"])
    with pytest.raises(ValueError, match="one output"):
        natural_gradient_alignment(two, x, [x[:, :3]] * 2, fisher="empirical")
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match="no trainable dense layer"):
        natural_gradient_alignment(compiled(model), x, y)
    wide = compiled(keras.Sequential([keras.Input((4,)), plain.Dense(1001)]), "mse")
    with pytest.raises(ValueError, match="samples=10"):
        natural_gradient_alignment(wide, x, np.zeros((8, 1001), "float32"))
