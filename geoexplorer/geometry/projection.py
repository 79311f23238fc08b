"""The shortest offset that satisfies several linear conditions, for many images at once."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["shortest_offset"]

_TINY = 1e-12
_LEAST_FREE_SHARE = 1e-2


def shortest_offset(
    normals: Tensor,
    levels: Tensor,
    multipliers: Tensor,
    *,
    box: tuple[Tensor, Tensor] | None = None,
    sweeps: int = 8,
) -> tuple[Tensor, Tensor]:
    """Minimise ‖p‖ subject to ``levels + normals p <= 0`` and, where given, a box.

    Solves the dual by cyclic coordinate ascent (Hildreth 1957), started from ``multipliers``; a
    condition whose level is minus infinity does not count. Infeasible conditions give an offset
    that violates some of them.

    Parameters
    ----------
    normals
        ``(n, m, d)``, unit rows.
    levels
        ``(n, m)``, in the units of p.
    multipliers
        ``(n, m)``, non-negative, as the last call returned them or zeros.
    box
        Lowest (<= 0) and highest (>= 0) offset, ``(n, d)`` each.
    sweeps
        Passes over the conditions.

    Returns
    -------
    tuple of Tensor
        The offset p ``(n, d)`` and the multipliers ``(n, m)``.

    Examples
    --------
    >>> normals = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    >>> offset, _ = shortest_offset(normals, torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2))
    >>> offset
    tensor([[-1., -2.]])
    """
    multipliers = torch.where(levels.isinf(), 0.0, multipliers)
    if box is None:
        return _without_box(normals, levels, multipliers, sweeps)
    return _within_box(normals, levels, multipliers, box, sweeps)


def _without_box(
    normals: Tensor, levels: Tensor, multipliers: Tensor, sweeps: int
) -> tuple[Tensor, Tensor]:
    # Sums of products here and below, not matrix products, which a GPU may round to few digits.
    gram = torch.stack([(normals * row[:, None]).sum(2) for row in normals.unbind(1)], dim=1)
    slopes = gram.diagonal(dim1=1, dim2=2).clamp_min(_TINY)
    multipliers = multipliers.clone()
    for _ in range(sweeps):
        for k, row in enumerate(gram.unbind(1)):
            excess = levels[:, k] - (row * multipliers).sum(1)
            multipliers[:, k] = (multipliers[:, k] + excess / slopes[:, k]).clamp_min(0.0)
    return -_combination(multipliers, normals), multipliers


def _within_box(
    normals: Tensor,
    levels: Tensor,
    multipliers: Tensor,
    box: tuple[Tensor, Tensor],
    sweeps: int,
) -> tuple[Tensor, Tensor]:
    """The same with p clipped: each coordinate step is Newton's, on the pixels not at a bound."""
    multipliers = multipliers.clone()
    free_offset = -_combination(multipliers, normals)
    for _ in range(sweeps):
        for k, normal in enumerate(normals.unbind(1)):
            offset = free_offset.clamp(*box)
            inside = offset == free_offset
            # Where nearly all pixels sit at their bounds the slope says little: no long jumps.
            slope = (normal.square() * inside).sum(1).clamp_min(_LEAST_FREE_SHARE)
            excess = levels[:, k] + (normal * offset).sum(1)
            new = (multipliers[:, k] + excess / slope).clamp_min(0.0)
            free_offset = free_offset - (new - multipliers[:, k])[:, None] * normal
            multipliers[:, k] = new
    return free_offset.clamp(*box), multipliers


def _combination(weights: Tensor, vectors: Tensor) -> Tensor:
    return (weights[:, :, None] * vectors).sum(1)
