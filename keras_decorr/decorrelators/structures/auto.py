"""The structure that is chosen for each layer by its counted cost."""

from typing import Any

import keras

from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.cost import USUAL_BATCH, cost
from keras_decorr.decorrelators.structures.block_diagonal import GROUPS
from keras_decorr.decorrelators.structures.full import Full
from keras_decorr.decorrelators.structures.monarch import Monarch
from keras_decorr.decorrelators.structures.structure import StructureSpec

# What M may add to the layer's own training step, as a share of its multiply-adds.
_BUDGET = 0.05


@keras.saving.register_keras_serializable(package="keras_decorr")
class Auto(StructureSpec):
    """A full M where its counted cost is small beside the layer's own, else a Monarch M.

    A full M is nearly free where patches or tokens are many and features few. Where the rows are single
    pixels (`rows="pixels"`) M is full, as it has the channels alone.

    Args:
        groups: See `Monarch`. Defaults to 32.

    Example:

    >>> from keras_decorr import decorrelators
    >>> decorrelators.NormPreserving(structure=decorrelators.structures.Auto(groups=16)).structure
    Auto(groups=16)
    """

    name = "auto"

    def __init__(self, groups: int = GROUPS) -> None:
        self.groups = check_count(type(self).__name__, "groups", groups)

    def operator_for(self, n: int, work: Any, decorrelator: Any) -> "Full | Monarch":
        full = Full().for_features(n, decorrelator.product)
        if work.pixels and decorrelator.rows == "pixels":
            return full
        counted = cost(full, work, decorrelator)
        extra = counted.apply + counted.update
        if work.is_folded(USUAL_BATCH):
            # Not otherwise, as in version 0.1.0: its files must find the structure they have.
            extra += counted.sample
        if extra <= _BUDGET * counted.plain_step:
            return full
        return Monarch(self.groups).for_features(n, decorrelator.product)

    def get_config(self) -> dict[str, Any]:
        return {"groups": self.groups}
