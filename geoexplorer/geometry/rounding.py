"""Bounds of what float64 arithmetic can have changed.

Source: Higham, "Accuracy and Stability of Numerical Algorithms" (2002), section 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "BESIDE",
    "FAINT",
    "FAINT_SHARE",
    "INTERPOLATED",
    "ROUNDING",
    "SMALLEST",
    "share_of",
    "size_of",
]

ROUNDING = torch.finfo(torch.float64).eps / 2
SMALLEST = torch.finfo(torch.float64).tiny  # what a product may lose where it underflows

# A unit that switches is left as it is if what is lost is below so many roundings of its values, or
# below this share of the error that is there already.
FAINT, FAINT_SHARE = 16.0, 0.01
# Roundings of a value, by which interpolation and a corner beside its place can be wrong.
INTERPOLATED, BESIDE = 8.0, 16.0


def share_of(terms: int) -> float:
    """The share of the sum of so many terms' sizes by which their computed sum can be wrong."""
    return terms * ROUNDING / (1 - terms * ROUNDING)


def size_of(value: Tensor | float) -> Tensor | float:
    """The size of a number or of each of a tensor."""
    return value.abs() if isinstance(value, Tensor) else abs(value)
