"""Checks of what callers give, with errors that name the argument and what is accepted."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from numbers import Real
from typing import Any

__all__ = [
    "require_flag",
    "require_image_shape",
    "require_numbers",
    "require_seed",
    "require_share",
    "require_whole",
]

_LARGEST_SEED = 2**63 - 1  # of torch's generators, with room for further streams of numbers


def require_whole(argument: str, value: Any, lowest: int, highest: int | None = None) -> int:
    """A whole number within limits.

    Raises
    ------
    TypeError, ValueError
        If it is none, or beyond them; the message names the argument.

    Examples
    --------
    >>> require_whole("probes", 0, 1)
    Traceback (most recent call last):
        ...
    ValueError: probes must be at least 1, got 0
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{argument} must be a whole number, got {value!r}")
    number = operator.index(value)
    if number < lowest or (highest is not None and number > highest):
        limits = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
        raise ValueError(f"{argument} must be {limits}, got {number}")
    return number


def require_flag(argument: str, value: Any) -> bool:
    """True or False.

    Examples
    --------
    >>> require_flag("prove", 1)
    Traceback (most recent call last):
        ...
    TypeError: prove must be True or False, got 1
    """
    if not isinstance(value, bool):
        raise TypeError(f"{argument} must be True or False, got {value!r}")
    return value


def require_image_shape(argument: str, value: Any) -> tuple[int, int, int]:
    """``(C, H, W)`` of an image.

    Examples
    --------
    >>> require_image_shape("shape", (8, 8))
    Traceback (most recent call last):
        ...
    ValueError: shape must be (C, H, W), three positive integers, got (8, 8)
    """
    numbers = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    whole = all(hasattr(n, "__index__") and not isinstance(n, bool) and n >= 1 for n in numbers)
    if len(numbers) != 3 or not whole:
        raise ValueError(f"{argument} must be (C, H, W), three positive integers, got {value!r}")
    channels, height, width = (operator.index(n) for n in numbers)
    return channels, height, width


def require_numbers(argument: str, value: Any, *, positive: bool = False) -> tuple[float, ...]:
    """Finite numbers, at least one, from a sequence or a one-dimensional array of them.

    Examples
    --------
    >>> require_numbers("norms", [1, 2.5], positive=True)
    (1.0, 2.5)
    >>> require_numbers("norms", [0.0], positive=True)
    Traceback (most recent call last):
        ...
    ValueError: norms must hold positive, finite numbers, at least one, got [0.0]
    """
    given = value.tolist() if hasattr(value, "tolist") else value
    listed = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    if not listed or not all(_is_finite(number, positive) for number in listed):
        kind = "positive, finite" if positive else "finite"
        raise ValueError(f"{argument} must hold {kind} numbers, at least one, got {value!r}")
    return tuple(float(number) for number in listed)


def _is_finite(value: Any, positive: bool) -> bool:
    real = isinstance(value, Real) or (hasattr(value, "item") and getattr(value, "ndim", 1) == 0)
    if not real or isinstance(value, bool) or not math.isfinite(value):
        return False
    return not positive or float(value) > 0


def require_share(argument: str, value: Any) -> float:
    """A number from 0 to 1.

    Examples
    --------
    >>> require_share("q", 1.5)
    Traceback (most recent call last):
        ...
    ValueError: q must be a number from 0 to 1, got 1.5
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0.0 <= float(value) <= 1.0:
        raise ValueError(f"{argument} must be a number from 0 to 1, got {value!r}")
    return float(value)


def require_seed(value: Any) -> int:
    """A seed of random numbers.

    Examples
    --------
    >>> require_seed("a")
    Traceback (most recent call last):
        ...
    TypeError: seed must be a whole number, got 'a'
    """
    return require_whole("seed", value, 0, _LARGEST_SEED)
