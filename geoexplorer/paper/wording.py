"""Numbers and methods in words."""

from __future__ import annotations

import math

from geoexplorer.figures.text import number

__all__ = ["between", "method_words", "number", "percent", "plain", "straightness_words"]


def percent(share: float) -> str:
    """A share in per cent, with as many digits as it needs.

    Examples
    --------
    >>> percent(0.5), percent(0.001), percent(1.0), percent(0.9991), percent(float("nan"))
    ('50 %', '0.1 %', '100 %', '99.9 %', 'not known')
    """
    if not math.isfinite(share):
        return "not known"
    value = 100 * share
    digits = 1 if 0 < value < 10 or 99 < value < 100 else 0
    return f"{value:.{digits}f} %"


def plain(value: float, digits: int = 2) -> str:
    """A number with so many digits after the point; a true minus sign.

    Examples
    --------
    >>> plain(-0.128), plain(float("nan"))
    ('−0.13', 'not known')
    """
    if not math.isfinite(value):
        return "not known"
    return f"{value:.{digits}f}".replace("-", "−")


def between(low: float, high: float, digits: int = 2) -> str:
    """An interval.

    Examples
    --------
    >>> between(0.871, 0.95)
    '0.87 to 0.95'
    """
    return f"{plain(low, digits)} to {plain(high, digits)}"


def method_words(method: str, step: float) -> str:
    """How curvature was measured, and at which scale.

    Examples
    --------
    >>> method_words("smoothed", 1.0825), method_words("autograd", 0.0)
    ('smoothed, h = 1.08', 'autograd (exact derivatives)')
    """
    if method == "autograd":
        return "autograd (exact derivatives)"
    return f"{method.replace('_', ' ')}, h = {number(step)}"


def straightness_words(straightness: float) -> str:
    """Length over distance, with the digits by which it differs from 1.

    Examples
    --------
    >>> straightness_words(1.0), straightness_words(1.000041), straightness_words(1.25)
    ('1', '1.00004', '1.25')
    """
    more = straightness - 1.0
    if not 1e-9 < more < 0.01:
        return number(straightness)
    return f"{straightness:.{-math.floor(math.log10(more))}f}"
