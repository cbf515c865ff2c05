"""The base class of the structures of M."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Self

from keras_decorr.decorrelators.structures.product import Product
from keras_decorr.maths.correlation import squared_norms
from keras_decorr.maths.singular_values import range_of_blocks
from keras_decorr.typing import Tensor


class Stage(NamedTuple):
    """One stage of M and the rows that passed through it, from which a rule updates the stage.

    A structure has one stage (a full M) or several (a Monarch M). The rows are scaled by the square
    root of their weights, so that a mean over the `k` rows is the weighted mean.

    Attributes:
        M: `(..., m, m)` weights of the stage. `...` are groups of features.
        Z: Inputs, `(..., k, m)`, or `(..., m, k)` where `row_axis` is -1.
        U: Outputs, laid out as `Z`.
        x2: `(k,)` squared norms of the inputs, over all groups.
        u2: `(k,)` squared norms of the outputs, over all groups.
        raw2: `(k,)` squared norms of the inputs before the mean was subtracted; `x2` where the inputs
            are the outputs of another stage.
        row_axis: Axis of `Z` and `U` with the rows: -2 or -1.
        weights: `(k,)` weights of the rows with mean 1, or `None` if all are 1.
        memory: What the rule keeps beside M, in the order of `Decorrelator.memory`.
        expected_rows: The number of rows to expect where `k` is not known when tracing, or `None`.

    Example:

    >>> import numpy as np
    >>> from keras_decorr.decorrelators.structures import Full
    >>> operator, Z = Full().for_features(3), np.ones((2, 3), "float32")
    >>> (stage,), U = operator.stages(operator.identities(), Z, np.full(2, 3.0, "float32"))
    >>> tuple(stage.U.shape), stage.row_axis
    ((3, 2), -1)
    """

    M: Any
    Z: Any
    U: Any
    x2: Any
    u2: Any
    raw2: Any
    row_axis: int
    weights: Any = None
    memory: tuple = ()
    expected_rows: int | None = None


class StructureSpec(ABC):
    """What a decorrelator takes for its `structure`: arguments, and the choice of an operator.

    Equal arguments make equal objects, and `get_config` gives them, as for an initializer.
    """

    name: ClassVar[str]

    @abstractmethod
    def operator_for(self, n: int, work: Any, decorrelator: Any) -> "Structure":
        """Returns the operator for `n` features of a layer.

        Args:
            n: Number of features.
            work: The `Work` of the linear map behind the decorrelation.
            decorrelator: The `Decorrelator`.
        """

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns a structure from the dictionary of `get_config`."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), tuple(sorted(self.get_config().items()))))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Structure(StructureSpec):
    """Base class of the structures of M that are operators, each an argument of a decorrelator.

    The constructor takes the arguments of the structure alone. `for_features(n)` gives the operator for
    `n` features: a copy that knows `n` and applies M, folds it and says what its stages saw. An
    operator holds no weights: `matrices` are handed to each method, in the order of `shapes`.

    A new structure is a subclass in a file of its own, entered in `structures/__init__.py`.

    Example:

    >>> import numpy as np
    >>> from keras_decorr.decorrelators.structures import Full
    >>> operator = Full().for_features(3)
    >>> Z = np.ones((2, 3), "float32")
    >>> tuple(operator.apply(operator.identities(), Z).shape)
    (2, 3)
    """

    # The axis of the outputs of `run` along which the rows lie.
    row_axis = -2
    # How many of the first matrices follow the inputs by `track`, and not the rule.
    tracked = 0
    n: int
    product: Product

    def for_features(self, n: int, product: Product | None = None) -> Self:
        """Returns the operator for `n` features.

        Args:
            n: Number of features.
            product: How the weights of a stage act. Default: as a matrix, M itself.
        """
        operator = copy.copy(self)
        operator.n = n
        operator.product = product or Product()
        operator.set_sizes()
        return operator

    def operator_for(self, n: int, work: Any, decorrelator: Any) -> "Structure":
        return self.for_features(n, decorrelator.product)

    def set_sizes(self) -> None:
        """Computes the sizes that depend on `n`. Called by `for_features`; nothing by default."""

    @property
    @abstractmethod
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each matrix of weights."""

    @abstractmethod
    def identities(self) -> list:
        """Returns the arrays with which M is the identity, one for each of `shapes`."""

    @abstractmethod
    def run(self, matrices: Sequence, Z: Tensor) -> list[tuple]:
        """Returns `(inputs, outputs)` of every stage for rows `Z` of shape `(k, n)`.

        They are laid out as the matrix `(..., m, m)` of the stage takes them: `(..., k, m)`, or
        `(..., m, k)` if `row_axis` is -1.
        """

    @abstractmethod
    def join(self, U: Tensor) -> Tensor:
        """Returns the outputs of the last stage as rows `(k, n)`."""

    def apply(self, matrices: Sequence, Z: Tensor) -> Tensor:
        """Returns `U = Z M^T` for rows `Z` of shape `(k, n)`."""
        return self.join(self.run(matrices, Z)[-1][1])

    @abstractmethod
    def fold(self, matrices: Sequence, K: Tensor) -> Tensor:
        """Returns `M^T K` for a kernel `K` of shape `(n, units)`: `(Z M^T) K = Z (M^T K)`."""

    # --- the update ---------------------------------------------------------------------------

    def stages(self, matrices: Sequence, Z: Tensor, raw2: Tensor) -> tuple[list[Stage], Any]:
        """Returns what a rule learns from, and the outputs of M.

        Args:
            matrices: The weights.
            Z: Centred rows `(k, n)`.
            raw2: `(k,)` squared norms of the rows before they were centred.

        Returns:
            `(stages, U)`: a `Stage` for each matrix but the first `tracked`, and the outputs of M,
            laid out as `row_axis` says.
        """
        passed = self.run(matrices, Z)
        before, stages = squared_norms(Z), []
        for M, (inputs, U) in zip(matrices, passed, strict=True):
            after = squared_norms(U, self.row_axis)
            stages.append(Stage(M, inputs, U, before, after, raw2, self.row_axis))
            before = raw2 = after
        return stages, passed[-1][1]

    def track(self, matrices: Sequence, Z: Tensor, eta: Tensor) -> list:
        """Returns new values of the first `tracked` matrices.

        Args:
            matrices: The matrices before.
            Z: Rows `(k, n)`.
            eta: Scalar decorrelation rate.
        """
        return []

    def principal(self, Z: Tensor) -> list:
        """Returns the first `tracked` matrices as rows `(k, n)` have them in the limit of `track`."""
        return []

    # --- diagnostics --------------------------------------------------------------------------

    def singular_range(self, matrices: Sequence) -> tuple[float, float]:
        """Returns the `(largest, smallest)` singular value of M, padding left out.

        Args:
            matrices: float64 arrays of the weights, all finite.
        """
        (weights,), (identity,) = matrices, self.identities()
        return range_of_blocks(self.product.matrix(weights), identity.max(-1) > 0)

    # --- cost ---------------------------------------------------------------------------------

    @property
    def weights(self) -> int:
        """Number of weights in M, padding included."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def row_cost(self) -> int:
        """Multiply-adds to apply M to one row, or to fold it into one column of a kernel."""
        return self.product.passes * self.weights

    def update_cost(self, k: int, step_cost: Callable[[int, int], int]) -> int:
        """Returns the multiply-adds of an update from `k` rows whose stages were computed.

        Args:
            k: Number of rows.
            step_cost: `step_cost(k, m)`: those of the rule, for a matrix of `(m, m)`.
        """
        return sum(math.prod(groups) * step_cost(k, m) for *groups, m, _ in self.shapes)
