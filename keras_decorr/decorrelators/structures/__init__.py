"""Structures of the decorrelation matrix M: one a file, each an operator."""

from keras_decorr.decorrelators.structures.block_diagonal import BlockDiagonal
from keras_decorr.decorrelators.structures.channel import Channel
from keras_decorr.decorrelators.structures.full import Full
from keras_decorr.decorrelators.structures.low_rank import LowRank
from keras_decorr.decorrelators.structures.monarch import Monarch
from keras_decorr.decorrelators.structures.product import Product
from keras_decorr.decorrelators.structures.structure import Structure

STRUCTURES: dict[str, type[Structure]] = {
    "full": Full,
    "block_diagonal": BlockDiagonal,
    "monarch": Monarch,
    "low_rank": LowRank,
    "channel": Channel,
}

__all__ = [
    "STRUCTURES",
    "BlockDiagonal",
    "Channel",
    "Full",
    "LowRank",
    "Monarch",
    "Product",
    "Structure",
]
