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

    # The axis of the outputs of `stages` along which the rows lie.
    row_axis = -2

    def __init__(self, n, groups):
        self.n = n

    @abstractmethod
    def identities(self):
        """Arrays, one per stage, with which M is the identity."""

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
