"""Principal curvatures of some of the points, and how those that were held out are judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer.geometry.operators import ShapeOperators
from geoexplorer.geometry.spectra import TOLERANCE, Extremes

__all__ = ["Part", "Parts", "compared", "part_of"]

# A smoothed value has converged if the other half of the probes agrees to this share of the
# largest value in size at the same end of the spectrum.
_AGREEMENT = 0.1


@dataclass(frozen=True)
class Part:
    """Curvatures of some of the points, on the device."""

    rows: Tensor
    values: Tensor  # (n, k)
    residuals: Tensor  # (n, k)
    converged: Tensor  # (n, k)
    asymmetry: Tensor  # (n,)
    directions: Tensor | None  # (n, k, d)
    errors: Tensor | None = None  # (n, k); None is 0


Parts = Iterator[tuple[float, Part | None]]
"""Shares of the work done, and what is known then."""


def part_of(
    rows: Tensor, operators: ShapeOperators, extremes: Extremes, errors: Tensor | None = None
) -> Part:
    """The part whose curvatures are these eigenvalues, with the ``errors`` of held-out ones."""
    return Part(
        rows=rows,
        values=extremes.values,
        residuals=extremes.residuals,
        converged=extremes.converged,
        asymmetry=extremes.asymmetry,
        directions=operators.lift(extremes.vectors),
        errors=errors,
    )


def compared(
    values: Tensor, errors: Tensor, found: Extremes, m: int | None
) -> tuple[Extremes, Tensor]:
    """Held-out values beside those found, all or m at either end, descending; and their errors."""
    order = values.argsort(dim=1, descending=True)
    if m is not None:
        order = torch.cat([order[:, :m], order[:, -m:]], dim=1)
    values, errors = values.gather(1, order), errors.gather(1, order)
    residuals = (found.values.gather(1, order) - values).abs()
    middle = (values.shape[1] + 1) // 2
    sizes = values.abs()
    largest = torch.cat(
        [end.amax(1, keepdim=True).expand_as(end) for end in (sizes[:, :middle], sizes[:, middle:])
         if end.shape[1]], dim=1,
    )  # fmt: skip
    # What is nothing beside the largest of all has no digits to agree in.
    least = TOLERANCE * sizes.amax(1, keepdim=True)
    held_out = Extremes(
        values=values,
        vectors=found.vectors.gather(1, order[..., None].expand(-1, -1, found.vectors.shape[2])),
        residuals=residuals,
        converged=residuals <= torch.maximum(_AGREEMENT * largest, least),
        asymmetry=found.asymmetry,
        fraction=1.0,
    )
    return held_out, errors
