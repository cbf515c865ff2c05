"""ZCA whitening from a running covariance (L. Huang et al., arXiv 1804.08450)."""

from typing import Any

import keras
from keras import ops

from keras_decorr.decorrelators.arguments import check_count, check_number
from keras_decorr.decorrelators.decorrelator import Decorrelator
from keras_decorr.decorrelators.structures import Stage
from keras_decorr.maths.correlation import mean_outer_product
from keras_decorr.maths.zca import inverse_root_eigh, inverse_root_newton_schulz
from keras_decorr.typing import Tensor

METHODS = ("newton_schulz", "eigh")


@keras.saving.register_keras_serializable(package="keras_decorr")
class ZCA(Decorrelator):
    """Whitens by the inverse square root of a running covariance.

    With the centred inputs `z` of the `k` sampled rows, after each training step:

        Sigma <- (1 - eta_M) Sigma + eta_M mean_k(z_k z_k^T)
        M = (Sigma + epsilon I)^(-1/2)

    Of all M with `M Sigma M^T = I` it is the one whose outputs stay nearest to the inputs. `Sigma`
    starts as the identity, so M moves away from it over about `1 / eta_M` steps, and a batch with fewer
    rows than features cannot make `Sigma` singular. With a block-diagonal M this is the whitening of
    decorrelated batch normalisation, whose group size is `n / groups`; a Monarch M whitens each stage.
    An eigenvalue `l` of the covariance comes out as `l / (l + epsilon)`.

    Decorrelated batch normalisation whitens a batch by its own covariance in training and sends the
    gradient through that; the running one serves inference. Here the running one serves both, and M
    takes no gradient, as in every rule of this package. So a batch of any size will do.

    Args:
        learning_rate: Rate of the running covariance in [0, 1]: one minus its momentum. Defaults to
            0.01, Keras's for batch normalisation.
        method: `"newton_schulz"` (products of matrices alone, quick on accelerators) or `"eigh"`
            (an eigendecomposition, exact). Defaults to `"newton_schulz"`.
        epsilon: Positive number added to every variance. Defaults to 1e-3, Keras's for batch
            normalisation: a direction with less variance is not blown up.
        iterations: Newton-Schulz iterations. Directions with a variance above about
            `2.25^(4 - iterations)` of the norm of the covariance come out white, others short of it.
            Defaults to 15.
        structure: Structure of M, any but `"low_rank"`. Defaults to `"block_diagonal"`, as in the
            paper.
        **kwargs: See `Decorrelator`: `sample_fraction`, `max_samples`, `update_every`, `center`,
            `momentum` (of the mean), `rows`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import keras_decorr
    >>> decorrelator = keras_decorr.decorrelators.ZCA(update_every=10)
    >>> layer = keras_decorr.layers.DecorDense(10, decorrelator=decorrelator)

    Reference:
        L. Huang, D. Yang, B. Lang, J. Deng, "Decorrelated Batch Normalization", arXiv 1804.08450.
    """

    # A low-rank M acts on the principal directions, whose covariance is diagonal already.
    structures = tuple(name for name in Decorrelator.structures if name != "low_rank")
    highest_rate = 1.0

    def __init__(
        self,
        learning_rate: Any = 1e-2,
        method: str = "newton_schulz",
        epsilon: float = 1e-3,
        iterations: int = 15,
        structure: Any = "block_diagonal",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, structure=structure, **kwargs)
        owner = type(self).__name__
        if method not in METHODS:
            raise ValueError(
                f"Argument `method` of {owner} must be one of {list(METHODS)}. Received: {method!r}"
            )
        self.method = method
        self.epsilon = check_number(owner, "epsilon", epsilon, 0.0, open_low=True)
        self.iterations = check_count(owner, "iterations", iterations)

    def memory(self, identity: Tensor) -> dict:
        return {"covariance": identity}

    def step(self, stage: Stage, eta: Tensor) -> tuple:
        M, (Sigma,) = stage.M, stage.memory
        Sigma = Sigma + eta * (mean_outer_product(stage.Z, stage.Z, stage.row_axis) - Sigma)
        A = Sigma + self.epsilon * ops.eye(M.shape[-1], dtype=Sigma.dtype)
        if self.method == "eigh":
            root = inverse_root_eigh(A)
        else:
            root = inverse_root_newton_schulz(A, self.iterations)
        # Only the padding has zeros on the diagonal of M, and it keeps them.
        real = ops.expand_dims(ops.diagonal(M, axis1=-2, axis2=-1) != 0.0, -1)
        return ops.where(eta > 0.0, ops.where(real, root, 0.0), M), Sigma

    def adapted_stage(self, stage: Stage, damping: float) -> tuple:
        # Its running covariance, from these rows alone; `epsilon` is its damping.
        return self.step(stage, ops.ones((), "float32"))

    def step_cost(self, k: int, m: int) -> int:
        # An eigendecomposition counts as six products: five for it, one to put M together.
        products = 6 if self.method == "eigh" else 3 * self.iterations
        return k * m**2 + products * m**3

    def get_config(self) -> dict[str, Any]:
        own = {"method": self.method, "epsilon": self.epsilon, "iterations": self.iterations}
        return {**own, **super().get_config()}
