"""The values that an option allows, and the error that names the option of another value.

Each class says with `in` whether it allows a value, and with `str` which values those are.
"""

import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OneOf:
    """Allows certain names.

    Args:
        names: The names, or a dictionary with these keys.
    """

    names: Any

    def __contains__(self, value: Any) -> bool:
        return value in list(self.names)

    def __str__(self) -> str:
        return f"one of {list(self.names)}"


@dataclass(frozen=True)
class Number:
    """Allows finite numbers in `[low, high]`, or in `(low, high]` if `open_low`."""

    low: float = 0.0
    high: float = math.inf
    open_low: bool = False

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return False
        if not math.isfinite(value) or (self.open_low and value == self.low):
            return False
        return self.low <= float(value) <= self.high

    def __str__(self) -> str:
        left, right = "(" if self.open_low else "[", "]" if math.isfinite(self.high) else ")"
        return f"a finite number in {left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True)
class Count:
    """Allows integers of at least `low`."""

    low: int = 1

    def __contains__(self, value: Any) -> bool:
        integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return integer and value >= self.low

    def __str__(self) -> str:
        return f"an integer of at least {self.low}"


def check_option(option: str, value: Any, allowed: Any, condition: str | None = "") -> None:
    """Raises unless the value of an option is allowed.

    Args:
        option: Name of the option, such as `"--gain-rate"`.
        value: Its value.
        allowed: A `OneOf`, `Number` or `Count`.
        condition: The options on which `allowed` depends, such as `" of --decorrelator zca"`.

    Raises:
        ValueError: If it is not allowed.
    """
    if value not in allowed:
        raise ValueError(f"Option {option}{condition} must be {allowed}. Received: {value!r}")


def one_of(names: Iterable[str]) -> str:
    """Returns names as a help text lists them: "a, b or c"."""
    *most, last = names
    return f"{', '.join(most)} or {last}"
