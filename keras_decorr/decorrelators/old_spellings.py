"""Arguments of version 0.1.0, which are still in users' code and saved files."""

from typing import Any

from keras_decorr.decorrelators.arguments import check_count
from keras_decorr.decorrelators.structures import STRUCTURES, StructureSpec, get

_NAMES = ("groups", "rank")


def structure_and_rows(
    owner: str, structure: Any, rows: str, old: dict
) -> tuple[StructureSpec, str]:
    """Returns the structure and the rows that the arguments of a decorrelator ask for.

    `groups=` and `rank=` were arguments of the decorrelator, beside the name of a structure. A third
    name, `"channel"`, was no structure but a choice of rows: `rows="pixels"` today.

    Args:
        owner: Name of the decorrelator, for messages.
        structure: What `structures.get` takes, or a name of version 0.1.0.
        rows: `"patches"` or `"pixels"`.
        old: Further keyword arguments.

    Raises:
        TypeError: If there is a keyword argument that never was one.
        ValueError: If `groups` or `rank` is not a positive integer.
    """
    unknown = sorted(old.keys() - set(_NAMES))
    if unknown:
        raise TypeError(f"{owner} has no argument {unknown[0]!r}. Received: {old[unknown[0]]!r}")
    given = {name: check_count(owner, name, n) for name, n in old.items() if n is not None}
    if structure == "channel":
        structure, rows = "auto", "pixels"
    if isinstance(structure, str) and structure in STRUCTURES:
        cls = STRUCTURES[structure]
        taken = cls().get_config()
        return cls(**{name: n for name, n in given.items() if name in taken}), rows
    return get(structure), rows
