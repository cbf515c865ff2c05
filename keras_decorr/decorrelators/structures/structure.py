"""What every structure of M can do."""

from abc import ABC, abstractmethod


class Structure(ABC):
    """The shape of a decorrelation matrix M for `n` features, as an operator.

    A structure holds no weights: the matrices are handed to each method, in the order of
    `identities`. A new structure is a new file with a subclass, entered in `structures/__init__.py`.

    Args:
        n: Number of features.
        groups: Number of groups to cut them into, where the structure has groups.
    """

    def __init__(self, n, groups):
        self.n = n

    @abstractmethod
    def identities(self):
        """Arrays, one per stage, with which M is the identity."""

    @abstractmethod
    def stages(self, matrices, Z):
        """One pair `(U, U_groups)` per stage for rows `Z` of shape `(k, n)`.

        `U` is `(k, width)`: what the stage gives to the next. `U_groups` is the same laid out as its
        matrix needs it for an update: `(..., k, m)` for a matrix `(..., m, m)`.
        """

    @abstractmethod
    def apply(self, matrices, Z):
        """`U = Z M^T` for rows `Z` of shape `(rows, n)`."""

    @abstractmethod
    def fold(self, matrices, K):
        """`M^T K` for a kernel `K` of shape `(n, units)`: `(Z M^T) K = Z (M^T K)`."""
