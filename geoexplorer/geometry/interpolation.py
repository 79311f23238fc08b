"""Interpolation on a pixel grid: cubic through a coarse grid, kriging from scattered pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["coarse_nodes", "kriging_weights", "polynomial_weights"]

# Added to the diagonal of the correlations, since pixels side by side are nearly equal.
_JITTER = 1e-11


def coarse_nodes(count: int, interval: float) -> Tensor:
    """Some of ``count`` pixels, spread evenly by ``interval`` or less, both ends among them.

    Their number is odd wherever it can be: every second one is a coarser grid still.

    >>> coarse_nodes(9, 2.0)
    tensor([0, 2, 4, 6, 8])
    """
    intervals = 2 * math.ceil((count - 1) / (2 * interval))
    nodes = torch.linspace(0, count - 1, intervals + 1, dtype=torch.float64).round().long()
    first = torch.ones(len(nodes), dtype=torch.bool)
    first[1:] = nodes[1:] != nodes[:-1]
    return nodes[first]


def polynomial_weights(positions: Tensor, nodes: Tensor, *, degree: int = 3) -> Tensor:
    """Weights ``(n, m)`` that turn values at ``m`` ascending nodes into values at positions.

    Those of the polynomial through the ``degree + 1`` nodes around a position, or through all
    if there are fewer.

    >>> polynomial_weights(torch.tensor([1.5]), torch.arange(4))
    tensor([[-0.0625,  0.5625,  0.5625, -0.0625]])
    """
    positions, nodes = positions.double(), nodes.double()
    count = min(degree + 1, len(nodes))
    first = torch.searchsorted(nodes, positions, right=True) - count // 2
    columns = first.clamp(0, len(nodes) - count)[:, None] + torch.arange(count)
    near = nodes[columns]  # (n, count)
    same = torch.eye(count, dtype=torch.bool)
    above = (positions[:, None, None] - near[:, None, :]).masked_fill(same, 1.0)
    below = (near[:, :, None] - near[:, None, :]).masked_fill(same, 1.0)
    weights = torch.zeros(len(positions), len(nodes), dtype=torch.float64)
    return weights.scatter_(1, columns, (above / below).prod(dim=2)).float()


def kriging_weights(
    known: Tensor, rows: Tensor, columns: Tensor, length: float
) -> tuple[Tensor, Tensor]:
    """Weights of known pixels for a grid of wanted ones, and how much they leave unknown.

    Gaussian-process regression with Matérn's correlation of smoothness 3/2, whose samples
    have one derivative, as networks with kinks seem to have from a distance. For smooth
    networks it is on the safe side.

    Parameters
    ----------
    known
        Rows and columns of k pixels ``(m, k, 2)``: m problems at once.
    rows, columns
        Those of the wanted pixels, ``(m, a)`` and ``(m, b)``.
    length
        Distance over which values are alike.

    Returns
    -------
    tuple of Tensor
        Weights ``(m, b * a, k)``, column by column, and the standard deviation of what is left
        unknown ``(m, b * a)``, in units of that of the values.
    """
    known, rows, columns = known.double(), rows.double(), columns.double()
    y, x = known[:, None].unbind(3)  # (m, 1, k)
    within = _matern((y - y.mT).square_() + (x - x.mT).square_(), length)
    within.diagonal(dim1=1, dim2=2).add_(_JITTER)
    apart_y, apart_x = (rows[:, :, None] - y).square_(), (columns[:, :, None] - x).square_()
    across = _matern((apart_x[:, :, None] + apart_y[:, None]).flatten(1, 2), length)
    weights = across @ torch.cholesky_inverse(torch.linalg.cholesky(within))
    explained = across.mul_(weights).sum(dim=2)
    return weights.float(), (1.0 - explained).clamp_min_(_JITTER).sqrt_().float()


def _matern(squares: Tensor, length: float) -> Tensor:
    """The correlation at squared distances, whose place it takes."""
    scaled = squares.sqrt_().mul_(math.sqrt(3.0) / length)
    decay = torch.exp(-scaled)
    return scaled.add_(1.0).mul_(decay)
