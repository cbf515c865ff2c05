"""Names for types that Keras has no stubs for."""

from os import PathLike
from typing import Any

# A tensor, variable or array of the backend, or what Keras converts to one.
Tensor = Any
# A structure of tensors: one, or lists, tuples and dictionaries of them.
Tensors = Any
# As Keras writes them: `None` is a size that is not known.
Shape = tuple[int | None, ...]
FilePath = str | PathLike[str]
