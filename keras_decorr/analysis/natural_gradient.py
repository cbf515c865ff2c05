"""Measures the angle between the update of a layer and its natural gradient.

N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780, claims so.
"""

import math
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_decorr.analysis.fisher import Moments, exact_block
from keras_decorr.analysis.likelihood import likelihood
from keras_decorr.analysis.passes import Passes, numpy64
from keras_decorr.backend.keras_internals import sync_state
from keras_decorr.conversion.wired import wired
from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.metrics import angle
from keras_decorr.training import gradients
from keras_decorr.training.step import DecorrelationStep, name_within
from keras_decorr.typing import Tensors

FISHERS = ("true", "empirical")
_MOST_OUTPUTS = 1000


class Angles(NamedTuple):
    """Holds the angles between one direction and the natural gradients of a layer, in degrees.

    Attributes:
        input_factor: To `A^-1 D`, by the input factor alone.
        both_factors: To `A^-1 D G^-1`, by both Kronecker factors.
        exact: To `F^-1 D`, by the exact Fisher block of the layer; NaN for a layer with too many
            parameters.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.analysis.Angles(60.0, 75.0, 71.0).both_factors
    75.0
    """

    input_factor: float
    both_factors: float
    exact: float


class LayerAlignment(NamedTuple):
    """Holds the angles of one layer; see `natural_gradient_alignment`.

    Attributes:
        name: Path of the layer within the model.
        inputs: Inputs `n` of its linear map (of a convolution: values in a patch).
        outputs: Outputs `m`.
        rows: Rows that `A` is from.
        damping: Damping of the natural gradients.
        update: Angles of the update that a training step makes.
        centred: Angles of the update that backpropagation would make without the M of this layer,
            without regularisers; of a layer that does not centre, `plain`. From here to `update` it
            is M that turns.
        plain: Angles of the gradient with respect to the effective kernel, which the same net would
            follow without decorrelation: from raw inputs, with the means held constant. Of a plain
            layer, `update`.
        input_to_both: Angle between the natural gradients by the input factor and by both: what is
            left to the output factor when the inputs are white.
        both_to_exact: Angle between those by both factors and by the exact block; NaN without it.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.analysis.LayerAlignment._fields[:4]
    ('name', 'inputs', 'outputs', 'rows')
    """

    name: str
    inputs: int
    outputs: int
    rows: int
    damping: float
    update: Angles
    centred: Angles
    plain: Angles
    input_to_both: float
    both_to_exact: float


def natural_gradient_alignment(
    model: keras.Model,
    x: Tensors,
    y: Tensors,
    damping: float | Sequence[float] = 1e-2,
    fisher: str = "true",
    samples: int | None = None,
    exact_parameters: int = 1024,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> list[LayerAlignment]:
    """Computes the angle between each layer's update and its natural gradient; changes nothing.

    A dense layer or convolution that decorrelates computes `a = (x - mean) M^T W + b`, that is
    `a = z K + b` for centred rows `z` and the effective kernel `K = M^T W`. Directions are compared in
    the space of `K`, the kernel that acts on raw inputs, which is the same for a plain and a
    decorrelated model. There, with `D = E[z^T d]` the gradient of the loss with respect to `K` (`d`:
    that with respect to `a`):

    - the plain update is `D` (with `x` for `z` where the layer does not centre);
    - M gives `dW = E[(z M^T)^T d] = M D`, a step of `M^T dW = M^T M D` on `K`;
    - the natural gradient is `F^-1 D`. With `F = A (x) G`, `A = E[z^T z]`, `G = E[d^T d]`, it is
      `A^-1 D G^-1`.

    White `u = M z` means `M A M^T = c I`, so `M^T M = c A^-1`: the update of a layer whose M whitens
    is `A^-1 D`, the natural gradient by the input factor, and `G^-1` is what it lacks. The angle to
    each is measured here. The signs of update and gradient go together.

    A bias that learns adds the homogeneous coordinate, `(x, 1)`; what that does to the kernel's part of
    a natural gradient is to centre `x`, in whatever way the layer does (see `analysis.fisher.Fisher`).
    The angles are those of the kernel.

    The update is what a training step hands to the optimizer: of the model's learning rule, with the
    gradient through the mean of the batch, and with regularisers. `F` and `D` hold that mean, as M,
    constant, so that each sample stands for itself; where other layers mix the samples of a batch
    (BatchNormalization in training) they are an approximation.

    Args:
        model: A built and compiled Keras model with one output: plain, decorrelated, or mixed.
        x: Inputs of a batch, as arrays or tensors. Take a few thousand rows for layers of a thousand
            inputs: of directions that no row has, the damping alone decides.
        y: Targets.
        damping: Positive; what is added to `A`, `G` and `F` before they are inverted, as a multiple of
            each one's mean eigenvalue. Several give a result for each. Defaults to 1e-2.
        fisher: `"true"` (default): scores are expected over labels from the model's own distribution,
            in closed form for softmax, sigmoid and Gaussian (mean squared error) outputs.
            `"empirical"`: over the given labels, which is no curvature (Kunstner et al., 2019).
        samples: `None` (default) for the exact sum over the model's outputs, one backward pass each;
            an integer for that many random backward passes with the same expectation.
        exact_parameters: The most parameters of a layer for its exact Fisher block. Defaults to 1024.
        layers: Names of the layers to measure. Default: every trainable dense layer and (ungrouped)
            convolution.
        seed: Seed of the random backward passes. Defaults to 0.

    Returns:
        A list of `LayerAlignment`, for each layer one for each damping.

    Raises:
        ValueError: If the model is not compiled and built, has several outputs, or has no such layer;
            if its loss is no known likelihood with `fisher="true"`; if an argument is out of range.

    Example:

    >>> import keras, numpy as np, keras_decorr
    >>> model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="out")])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.random.rand(64, 6).astype("float32"), np.random.rand(64, 3).astype("float32")
    >>> (layer,) = keras_decorr.analysis.natural_gradient_alignment(model, x, y)
    >>> layer.name, layer.inputs, layer.outputs, layer.rows
    ('out', 6, 3, 64)

    Reference:
        N. Ahmad, "Correlations Are Ruining Your Gradient Descent", arXiv 2407.10780. J. Martens,
        R. Grosse, arXiv 1503.05671. F. Kunstner et al., "Limitations of the empirical Fisher
        approximation for natural gradient descent", arXiv 1905.12558.
    """
    dampings = _checked(model, damping, fisher, samples, exact_parameters)
    root = likelihood(model) if fisher == "true" else None
    sync_state(model)
    x, y = (keras.tree.map_structure(ops.convert_to_tensor, value) for value in (x, y))
    with wired(model):
        passes = Passes(model, x)
        calls = _calls(model, passes, layers)
        d_loss = passes.loss_cotangent(y)
        at_loss, trained = passes.pull(d_loss), passes.through_means(d_loss)
        gathered = {
            key: _Layer(model, passes.calls, of, at_loss, trained) for key, of in calls.items()
        }
        cotangents = [d_loss] if root is None else _cotangents(root, passes.outputs, samples, seed)
        for cotangent in cotangents:
            scores = passes.pull(cotangent)
            for layer in gathered.values():
                layer.score(scores, exact_parameters)
        rule = None if isinstance(model, DecorrelationStep) else "backprop"
        updates = {
            id(v): update
            for v, update in zip(
                model.trainable_variables, gradients(model, x, y, rule), strict=True
            )
        }
        return [
            layer.alignment(updates[id(layer.layer.kernel)], each)
            for layer in gathered.values()
            for each in dampings
        ]


def _checked(
    model: keras.Model, damping: Any, fisher: Any, samples: int | None, exact_parameters: int
) -> Any:
    owner = "natural_gradient_alignment"
    if not isinstance(model, keras.Model) or not model.built or not model.compiled:
        raise ValueError(
            "Argument `model` must be a built and compiled Keras model: its loss is differentiated. "
            f"Received: {model!r}"
        )
    if fisher not in FISHERS:
        raise ValueError(
            f"Argument `fisher` of {owner} must be one of {list(FISHERS)}. Received: {fisher!r}"
        )
    if samples is not None:
        check_count(owner, "samples", samples)
    check_count(owner, "exact_parameters", exact_parameters, 0)
    dampings = [damping] if isinstance(damping, numbers.Real) else list(damping)
    return [check_number(owner, "damping", each, 0.0, open_low=True) for each in dampings]


def _calls(model: keras.Model, passes: Passes, names: Any) -> Any:
    """Returns the indices of the calls of each layer to measure, by the id of the layer."""
    found: dict = {}
    for i, call in enumerate(passes.calls):
        found.setdefault(id(call.layer), []).append(i)
    known = {id(passes.calls[of[0]].layer): passes.calls[of[0]].layer for of in found.values()}
    paths = {key: name_within(layer, model) for key, layer in known.items()}
    if names is not None:
        names = [names] if isinstance(names, str) else list(names)
        unknown = [n for n in names if n not in paths.values()]
        if unknown:
            raise ValueError(
                "Argument `layers` of natural_gradient_alignment must name dense layers or "
                f"convolutions of the model: {sorted(paths.values())}. Received: {unknown}"
            )
        found = {key: of for key, of in found.items() if paths[key] in names}
    if not found:
        raise ValueError(
            "natural_gradient_alignment finds no trainable dense layer or convolution (without groups) "
            f"in the model. Received: {model.name!r}"
        )
    return found


def _cotangents(root: Any, outputs: Any, samples: int | None, seed: int) -> Any:
    """Yields cotangents of the outputs whose outer products sum to their Fisher information."""
    f = numpy64(outputs)
    units = math.prod(f.shape[1:])
    if samples is None and units > _MOST_OUTPUTS:
        raise ValueError(
            f"The exact sum would take a backward pass for each of {units} outputs. Give `samples`, "
            "such as samples=10, for random ones. Received: samples=None"
        )

    def cotangent(v: np.ndarray) -> Any:
        return ops.cast(root(f, v.reshape(f.shape)), outputs.dtype)

    if samples is None:
        for unit in range(units):
            v = np.zeros((len(f), units))
            v[:, unit] = 1.0
            yield cotangent(v)
        return
    rng = np.random.default_rng(seed)
    for _ in range(samples):
        yield cotangent(rng.choice([-1.0, 1.0], (len(f), units)) / math.sqrt(samples))


class _Layer:
    """Gathers the moments of one layer over its calls."""

    def __init__(self, model: keras.Model, calls: Any, of: Any, at_loss: Any, trained: Any) -> None:
        self.calls, self.of = [calls[i] for i in of], of
        self.layer = self.calls[0].layer
        self.name = name_within(self.layer, model)
        m = self.layer.kernel.shape[-1]
        n = math.prod(self.layer.kernel.shape[:-1])
        bias = self.layer.bias is not None and self.layer.bias.trainable
        self.moments = Moments(n, m, bias)
        self.raw = np.zeros((n, m))  # the gradient from raw inputs
        self.centred = np.zeros((n, m))  # that from centred ones, through the means
        for i, call in zip(of, self.calls, strict=True):
            d, through = call.deltas(at_loss[i]), call.deltas(trained[i])
            centre = call.centre(n)
            for part, rows in call.rows():
                self.moments.see(rows - centre, d[part])
                self.raw += np.tensordot(rows, d[part], ((0, 1), (0, 1)))
                self.centred += np.tensordot(rows - centre, through[part], ((0, 1), (0, 1)))
        self._exact: np.ndarray | None = None
        self._parameters = (n + bias) * m

    def score(self, scores: Any, exact_parameters: int) -> None:
        """Adds the scores of all calls for one term of the expectation."""
        deltas = [call.deltas(scores[i]) for call, i in zip(self.calls, self.of, strict=True)]
        for d in deltas:
            self.moments.score(d)
        if self._parameters > exact_parameters:
            return
        centre, pairs = self.moments.centre, []
        for call, d in zip(self.calls, deltas, strict=True):
            off = call.centre(len(centre)) + centre
            pairs.append((np.concatenate([rows - off for _, rows in call.rows()]), d))
        block = exact_block(pairs, self.moments.bias)
        self._exact = block if self._exact is None else self._exact + block

    def alignment(self, update: Any, damping: float) -> LayerAlignment:
        """Computes the `LayerAlignment` for an update of the layer's kernel."""
        n, m = self.raw.shape
        if self.layer.decorrelation is not None:
            update = ops.convert_to_numpy(self.layer.fold(ops.convert_to_tensor(update)))
        fisher = self.moments.fisher(self._exact)
        by_input = fisher.by_input_factor(damping)
        by_both = fisher.by_output_factor(by_input, damping)
        exact = fisher.by_exact(damping)

        def angles(direction: np.ndarray) -> Angles:
            return Angles(*(_angle(direction, r) for r in (by_input, by_both, exact)))

        centres = self.layer.decorrelation is not None and self.layer.decorrelator.center
        return LayerAlignment(
            name=self.name,
            inputs=n,
            outputs=m,
            rows=self.moments.rows,
            damping=float(damping),
            update=angles(update),
            centred=angles(self.centred if centres else self.raw),
            plain=angles(self.raw),
            input_to_both=_angle(by_input, by_both),
            both_to_exact=_angle(by_both, exact),
        )


def _angle(a: Any, b: Any) -> float:
    return math.nan if b is None else angle(a, b)
