"""Rates on a logarithmic scale, and how a search keeps them."""

import math
from collections.abc import Iterable
from typing import Any

from keras_decorr.decorrelators.arguments import check_number

# The first digits of the values in a decade, evenly spread on a logarithmic scale but for rounding.
_DIGITS = {1: (1,), 2: (1, 3), 3: (1, 2, 5)}


def log_values(low: float, high: float, per_decade: int = 2) -> tuple[float, ...]:
    """Round numbers from `low` to `high`, evenly spread on a logarithmic scale.

    Args:
        low: Positive lower end.
        high: Upper end, at least `low`.
        per_decade: Values in a factor of ten: 1 (1, 10, ...), 2 (1, 3, 10, ...) or 3 (1, 2, 5, 10,
            ...). Defaults to 2.

    Returns:
        A tuple of floats.

    Raises:
        ValueError: If there is no such number between `low` and `high`, or an argument is out of its
            range.

    Example:

    >>> import keras_decorr
    >>> keras_decorr.tuning.log_values(1e-4, 1e-2)
    (0.0001, 0.0003, 0.001, 0.003, 0.01)
    """
    check_number("log_values", "low", low, 0.0, open_low=True)
    check_number("log_values", "high", high, 0.0, open_low=True)
    if per_decade not in _DIGITS:
        raise ValueError(
            f"Argument `per_decade` of log_values must be 1, 2 or 3. Received: {per_decade!r}"
        )
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    values = [float(f"{digit}e{k}") for k in exponents for digit in _DIGITS[per_decade]]
    chosen = tuple(v for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9))
    if not chosen:
        raise ValueError(
            "Argument `low` of log_values must not be above `high`, and a number such as 0.001 must "
            f"lie between. Received: low={low!r}, high={high!r}, per_decade={per_decade}"
        )
    return chosen


def checked_rates(
    owner: str, name: str, values: Iterable[float], *, high: float = math.inf, zero: bool = False
) -> tuple[float, ...]:
    """The different rates of a search, in ascending order.

    Args:
        owner: Who asks, for the message.
        name: Name of the argument.
        values: Rates.
        high: The highest rate.
        zero: Whether 0 is one.

    Raises:
        ValueError: If there is none, or one is out of its range.
    """
    values = tuple(values)
    if not values:
        raise ValueError(f"Argument `{name}` of {owner} must hold a rate. Received: {values!r}")
    for value in values:
        check_number(owner, name, value, 0.0, high, open_low=not zero)
    return tuple(sorted({float(value) for value in values}))


def written(value: Any) -> str:
    """A value as the search keeps it: text, which the way to a worker and back does not round.

    KerasTuner sends floats in single precision, and then does not know its own values again.
    """
    return f"{value:g}" if isinstance(value, float) else str(value)
