"""What every structure of M can do."""

import math
from abc import ABC, abstractmethod

from keras import ops

from keras_decorr.decorrelators.structures.product import Product
from keras_decorr.maths.correlation import squared_norms
from keras_decorr.maths.singular_values import range_of_blocks


class Structure(ABC):
    """The shape of a decorrelation matrix M for `n` features, as an operator.

    A structure holds no weights: the matrices are handed to each method, in the order of
    `identities`. A new structure is a new file with a subclass, entered in `structures/__init__.py`.

    Args:
        n: Number of features.
        groups: Number of groups to cut them into, where the structure has groups.
        rank: Rank, where the structure has one; `None` for its usual one.
        product: How the weights of a stage act. Default: as a matrix, M itself.

    Example:

    >>> import numpy as np
    >>> from keras_decorr.decorrelators.structures import Full
    >>> structure = Full(3)
    >>> Z = np.ones((2, 3), "float32")
    >>> tuple(structure.apply(structure.identities(), Z).shape)
    (2, 3)
    """

    # The axis of the outputs of `stages` along which the rows lie.
    row_axis = -2

    def __init__(self, n, groups=32, rank=None, product=None):
        self.n = n
        self.product = product or Product()

    @abstractmethod
    def identities(self):
        """Arrays with which M is the identity, one for each variable."""

    @abstractmethod
    def stages(self, matrices, Z):
        """The outputs of every stage for rows `Z` of shape `(k, n)`.

        Each is laid out as its matrix `(..., m, m)` gives it: `(..., k, m)`, or `(..., m, k)` if
        `row_axis` is -1.
        """

    @abstractmethod
    def rows(self, U):
        """The output of the last stage as rows `(k, n)`."""

    def apply(self, matrices, Z):
        """`U = Z M^T` for rows `Z` of shape `(k, n)`."""
        return self.rows(self.stages(matrices, Z)[-1])

    @abstractmethod
    def fold(self, matrices, K):
        """`M^T K` for a kernel `K` of shape `(n, units)`: `(Z M^T) K = Z (M^T K)`."""

    # --- the update ---------------------------------------------------------------------------

    def norms(self, X, stages):
        """`(stages + 1, k)`: squared norms of the rows of the raw inputs and of every stage."""
        return ops.stack([squared_norms(X), *(squared_norms(U, self.row_axis) for U in stages)])

    def inputs(self, Z, stages):
        """The inputs of every stage, laid out as its outputs: a function that gives them, for each.

        Args:
            Z: A function that gives the centred rows `(k, n)`.
            stages: Outputs of every stage for these rows.
        """
        return [Z]

    def moved(self, matrices, Z, stages, gains, eta, step):
        """The matrices after one decorrelation step.

        Args:
            matrices: The matrices before.
            Z: A function that gives the centred rows `(k, n)`.
            stages: Outputs of every stage for these rows.
            gains: `(stages,)`.
            eta: Scalar decorrelation rate; 0 for a step that is skipped.
            step: `step(stage, M, U, g, row_axis, Z)`, the rule for the stage of that number; `Z` is a
                function that gives its inputs.
        """
        inputs = self.inputs(Z, stages)
        return tuple(
            step(i, M, U, gains[i], self.row_axis, inputs[i])
            for i, (M, U) in enumerate(zip(matrices, stages, strict=True))
        )

    # --- what it looks like -------------------------------------------------------------------

    def singular_range(self, matrices):
        """`(largest, smallest)` singular value of M, padding left out.

        Args:
            matrices: float64 arrays of the weights, all finite.
        """
        (weights,), (identity,) = matrices, self.identities()
        return range_of_blocks(self.product.matrix(weights), identity.max(-1) > 0)

    # --- what it costs ------------------------------------------------------------------------

    @property
    def weights(self):
        """Number of weights in M, padding included."""
        return sum(math.prod(identity.shape) for identity in self.identities())

    @property
    def row_cost(self):
        """Multiply-adds to apply M to one row, or to fold it into one column of a kernel."""
        return self.product.passes * self.weights

    def update_cost(self, k, step_cost):
        """Multiply-adds of an update from `k` rows whose stages are at hand.

        Args:
            k: Number of rows.
            step_cost: `step_cost(k, m)`: those of the rule, for a matrix of `(m, m)`.
        """
        cost = 0
        for identity in self.identities():
            *groups, m, _ = identity.shape
            cost += math.prod(groups) * step_cost(k, m)
        return cost
