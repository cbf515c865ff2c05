"""Structures of the decorrelation matrix M, one per file: arguments of a decorrelator."""

from typing import Any

import keras

from keras_decorr.decorrelators.structures.auto import Auto
from keras_decorr.decorrelators.structures.block_diagonal import BlockDiagonal
from keras_decorr.decorrelators.structures.full import Full
from keras_decorr.decorrelators.structures.low_rank import LowRank
from keras_decorr.decorrelators.structures.monarch import Monarch
from keras_decorr.decorrelators.structures.product import Product
from keras_decorr.decorrelators.structures.structure import Stage, Structure, StructureSpec

STRUCTURES: dict[str, type[StructureSpec]] = {
    cls.name: cls for cls in (Auto, Full, BlockDiagonal, Monarch, LowRank)
}


def get(identifier: Any) -> StructureSpec:
    """Returns a structure of M.

    Args:
        identifier: A name (`"auto"`, `"full"`, `"block_diagonal"`, `"monarch"`, `"low_rank"`), a
            structure, or the dictionary of `serialize`.

    Raises:
        ValueError: If the identifier is none of these.

    Example:

    >>> from keras_decorr.decorrelators import structures
    >>> structures.get("monarch")
    Monarch(groups=32)
    """
    if isinstance(identifier, str) and identifier in STRUCTURES:
        return STRUCTURES[identifier]()
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, StructureSpec):
        return identifier
    raise ValueError(
        f"Argument `structure` must be one of {sorted(STRUCTURES)} or an instance of "
        f"keras_decorr.decorrelators.structures.Structure. Received: {identifier!r}"
    )


def serialize(structure: StructureSpec) -> Any:
    """Returns the name of a structure with default arguments, else its configuration.

    Example:

    >>> from keras_decorr.decorrelators import structures
    >>> structures.serialize(structures.Monarch())
    'monarch'
    """
    cls = STRUCTURES.get(structure.name)
    if cls is not None and structure == cls():
        return structure.name
    return keras.saving.serialize_keras_object(structure)


def operator_for(n: int, work: Any, decorrelator: Any) -> Any:
    """Returns the operator that a decorrelator's M is for `n` features.

    Args:
        n: Number of features.
        work: The `Work` of the linear map behind the decorrelation.
        decorrelator: The `Decorrelator`.
    """
    if work.parts > 1:
        return BlockDiagonal.of_parts(n, work.parts, decorrelator.product)
    return decorrelator.structure.operator_for(n, work, decorrelator)


__all__ = [
    "STRUCTURES",
    "Auto",
    "BlockDiagonal",
    "Full",
    "LowRank",
    "Monarch",
    "Product",
    "Stage",
    "Structure",
    "get",
    "serialize",
]
