"""Checks of the numbers a decorrelator is given."""

import math
import numbers
from typing import Any


def check_number(
    owner: str, name: str, value: Any, low: float, high: float = math.inf, *, open_low: bool = False
) -> Any:
    """Returns `value` if it is a number in `[low, high]` (`(low, high]` if `open_low`).

    Raises:
        ValueError: If it is not; the message names the argument.
    """
    interval = f"{'(' if open_low else '['}{low:g}, {high:g}{']' if math.isfinite(high) else ')'}"
    valid = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if not valid or not low <= value <= high or (open_low and value == low):
        raise ValueError(
            f"Argument `{name}` of {owner} must be a finite number in {interval}. Received: {value!r}"
        )
    return value


def check_count(owner: str, name: str, value: Any, low: float = 1) -> int:
    """Returns `value` if it is an integer of at least `low`.

    Raises:
        ValueError: If it is not; the message names the argument.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
        raise ValueError(
            f"Argument `{name}` of {owner} must be an integer of at least {low}. Received: {value!r}"
        )
    return int(value)


def check_center(owner: str, value: Any) -> str | bool:
    """Returns `"batch"` (for True, too), `"moving"` or False.

    Raises:
        ValueError: If `value` is none of these.
    """
    if value in ("batch", "moving"):
        return str(value)
    if isinstance(value, bool):
        return "batch" if value else False
    raise ValueError(
        f"Argument `center` of {owner} must be 'batch' (or True), 'moving' or False. "
        f"Received: {value!r}"
    )
