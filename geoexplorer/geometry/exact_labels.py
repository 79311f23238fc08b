"""Triangles on which the logits are affine, cut until each of them belongs to one class."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from geoexplorer.geometry.exact_mesh import Cells, Mesh, crossing

__all__ = ["of_one_class"]

# By so large a share of the largest logit two of them may differ at a corner that lies on the line
# where they are equal: some roundings. The bound of the logits' errors is far above it.
_ROUNDINGS = 2.0**-49


def of_one_class(mesh: Mesh, cells: Cells, logits: Tensor) -> Iterator[tuple[Cells, Tensor]]:
    """Parts of triangles, and the class ``(n,)`` of each.

    Parameters
    ----------
    mesh
        What the triangles belong to.
    cells
        The triangles.
    logits
        ``(n, 3, L)`` at their corners.
    """
    logits = logits.nan_to_num()
    classes = logits.shape[2]
    for _ in range(classes * classes):
        slack = _ROUNDINGS * logits.abs().amax((1, 2))[:, None, None]
        highest = logits >= logits.amax(2, keepdim=True) - slack
        everywhere = highest.all(1)
        done = everywhere.any(1)
        sums = logits.sum(1)
        yield cells[done], _best(sums[done], everywhere[done])
        cells, logits, highest, sums = cells[~done], logits[~done], highest[~done], sums[~done]
        if not len(cells):
            return
        # The first one is not the highest at some corner, where the second one is.
        first = _best(sums, highest[:, 0])
        rows = torch.arange(len(cells))
        elsewhere = (~highest[rows, :, first]).to(torch.int64).argmax(1)
        second = logits[rows, elsewhere].argmax(1)
        order, shares = crossing(logits[rows, :, first] - logits[rows, :, second])
        cells = mesh.cut(cells, order, shares)
        logits = _cut_values(logits, order, shares)
    yield cells, logits.sum(1).argmax(1)


def _best(values: Tensor, among: Tensor) -> Tensor:
    return torch.where(among, values, -torch.inf).argmax(1)


def _cut_values(values: Tensor, order: Tensor, shares: Tensor) -> Tensor:
    """Values ``(n, 3, L)`` at the corners of triangles, at those of the parts of each."""
    a, b, c = values.gather(1, order[..., None].expand_as(values)).unbind(1)
    ab, ac = (
        far * share + a * (1 - share) for far, share in ((b, shares[:, :1]), (c, shares[:, 1:]))
    )
    parts = [(a, ab, ac), (ab, b, c), (ab, c, ac)]
    return torch.cat([torch.stack(part, 1) for part in parts])
