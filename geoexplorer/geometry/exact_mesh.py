"""A window cut into triangles that stays one piece, whatever rounding does.

Where two triangles meet, they may be cut at different places. So each side of a triangle lies on a
line, from one place on it to another, and a line has one side or several to its left and to its
right, which cover it whole: what touches what is known without a look at coordinates. A line
begins where a triangle is cut and lies within it; it ends on two other lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["RIM", "Cells", "Mesh", "crossing"]

RIM = 4  # so many first lines are the window's rim, counter-clockwise


@dataclass(frozen=True)
class Cells:
    """Triangles, their corners counter-clockwise."""

    corners: Tensor  # (n, 3, 2) float64
    nodes: Tensor  # (n, 3) int64: which node each corner is
    lines: Tensor  # (n, 3) int64: on which line the side from each corner to the next one lies
    spans: Tensor  # (n, 3, 2) float64: between which places on it, 0 to 1; they ascend to its left
    depths: Tensor  # (n,) int64: of so many cuts they are what is left

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: Tensor | slice) -> Cells:
        return Cells(
            self.corners[index],
            self.nodes[index],
            self.lines[index],
            self.spans[index],
            self.depths[index],
        )

    @property
    def areas(self) -> Tensor:
        """``(n,)``, not negative."""
        a, b = (self.corners[:, k] - self.corners[:, 0] for k in (1, 2))
        return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs() / 2

    @staticmethod
    def joined(parts: list[Cells]) -> Cells:
        """All of them."""
        return Cells(
            torch.cat([part.corners for part in parts]),
            torch.cat([part.nodes for part in parts]),
            torch.cat([part.lines for part in parts]),
            torch.cat([part.spans for part in parts]),
            torch.cat([part.depths for part in parts]),
        )

    def turned(self, order: Tensor) -> Cells:
        """With the corners in another cyclic order ``(n, 3)``."""
        pairs = order[..., None].expand(-1, -1, 2)
        return Cells(
            self.corners.gather(1, pairs),
            self.nodes.gather(1, order),
            self.lines.gather(1, order),
            self.spans.gather(1, pairs),
            self.depths,
        )


@dataclass(frozen=True)
class _Points:
    """A point on a side of each of n triangles."""

    points: Tensor  # (n, 2)
    nodes: Tensor  # (n,)
    places: Tensor  # (n,), on the side's line


class Mesh:
    """The nodes and lines of a window.

    Parameters
    ----------
    window
        ``(x0, x1, y0, y1)``.
    """

    def __init__(self, window: tuple[float, float, float, float]) -> None:
        x0, x1, y0, y1 = window
        corners = torch.tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=torch.float64)
        self._points, self._lines = [corners], [torch.arange(4)]
        self._places = [torch.zeros(4, dtype=torch.float64)]
        self._count, self._line_count = 4, RIM + 1
        nodes = torch.tensor([[0, 1, 2], [0, 2, 3]])
        self.whole = Cells(
            corners[nodes],
            nodes,
            torch.tensor([[0, 1, 4], [4, 2, 3]]),
            torch.tensor([[[0.0, 1.0]] * 3, [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]]).double(),
            torch.zeros(2, dtype=torch.int64),
        )

    @property
    def nodes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Points ``(m, 2)``, and on which line ``(m,)`` at which place ``(m,)`` each was made."""
        parts = [self._points, self._lines, self._places]
        self._points, self._lines, self._places = ([torch.cat(part)] for part in parts)
        return self._points[0], self._lines[0], self._places[0]

    def quartered(self, cells: Cells) -> Cells:
        """Four similar triangles for each."""
        half = cells.corners.new_full((len(cells),), 0.5)
        middles = [self._toward(cells, side, side, half) for side in range(3)]
        inner = [self._new_lines(len(cells)) for _ in range(3)]
        parts = [_corner_cells(cells, k, middles[k], middles[k - 1], inner[k]) for k in range(3)]
        ab, bc, ca = middles
        down = _span(cells, 1.0, 0.0)
        sides = [(ab, inner[1], down), (bc, inner[2], down), (ca, inner[0], down)]
        return Cells.joined([*parts, _cells(sides, cells.depths)])

    def cut(self, cells: Cells, order: Tensor, shares: Tensor) -> Cells:
        """Three triangles for each, cut so far along both sides of a corner.

        Parameters
        ----------
        cells
            The triangles.
        order
            Their corners ``(n, 3)`` in cyclic order from the one that is cut off.
        shares
            ``(n, 2)``, 0 to 1: how far from it toward the second and the third.
        """
        cells = cells.turned(order)
        ab = self._toward(cells, 0, 0, shares[:, 0])
        ac = self._toward(cells, 0, 2, shares[:, 1])
        b, c = (_Points(cells.corners[:, k], cells.nodes[:, k], ab.places) for k in (1, 2))
        between, across = self._new_lines(len(cells)), self._new_lines(len(cells))
        up, down = _span(cells, 0.0, 1.0), _span(cells, 1.0, 0.0)
        rest_ab = torch.stack([ab.places, cells.spans[:, 0, 1]], 1)
        rest_ca = torch.stack([cells.spans[:, 2, 0], ac.places], 1)
        second = [
            (ab, cells.lines[:, 0], rest_ab),
            (b, cells.lines[:, 1], cells.spans[:, 1]),
            (c, across, up),
        ]
        third = [(ab, across, down), (c, cells.lines[:, 2], rest_ca), (ac, between, down)]
        return Cells.joined(
            [
                _corner_cells(cells, 0, ab, ac, between),
                _cells(second, cells.depths),
                _cells(third, cells.depths),
            ]
        )

    def _toward(self, cells: Cells, corner: int, side: int, shares: Tensor) -> _Points:
        """Points so far from a corner along one of its sides."""
        ahead = side == corner
        other = (corner + (1 if ahead else -1)) % 3
        start, stop = (
            cells.spans[:, side].unbind(1) if ahead else cells.spans[:, side].flip(1).unbind(1)
        )
        places = start + shares * (stop - start)
        places = torch.minimum(
            torch.maximum(places, torch.minimum(start, stop)), torch.maximum(start, stop)
        )
        # What lies within the side has a place of its own, if there is one left.
        within = (shares > 0) & (shares < 1)
        places = torch.where(within & (places == start), torch.nextafter(start, stop), places)
        places = torch.where(within & (places == stop), torch.nextafter(stop, start), places)
        at_start, at_stop = (shares <= 0) | (places == start), (shares >= 1) | (places == stop)
        places = torch.where(at_start, start, torch.where(at_stop, stop, places))
        a, b = cells.corners[:, corner], cells.corners[:, other]
        points = torch.lerp(a, b, shares[:, None])
        points = torch.where(at_start[:, None], a, torch.where(at_stop[:, None], b, points))
        new = torch.arange(self._count, self._count + len(cells))
        self._count += len(cells)
        self._points.append(points)
        self._lines.append(cells.lines[:, side])
        self._places.append(places)
        nodes = torch.where(at_stop, cells.nodes[:, other], new)
        nodes = torch.where(at_start, cells.nodes[:, corner], nodes)
        return _Points(points, nodes, places)

    def _new_lines(self, count: int) -> Tensor:
        self._line_count += count
        return torch.arange(self._line_count - count, self._line_count)


def crossing(levels: Tensor) -> tuple[Tensor, Tensor]:
    """Where to cut triangles along the line on which ``levels`` ``(n, 3)`` is zero.

    The corner that is alone on its side comes first; the other two have values of the other sign.
    """
    signs = levels > 0
    alone = (signs != signs.roll(1, 1)) & (signs != signs.roll(2, 1))
    order = (alone.to(torch.int64).argmax(1, keepdim=True) + torch.arange(3)) % 3
    level = levels.gather(1, order)
    shares = level[:, :1] / (level[:, :1] - level[:, 1:])
    return order, shares.nan_to_num(0.5).clamp(0.0, 1.0)


def _corner_cells(cells: Cells, k: int, ahead: _Points, behind: _Points, across: Tensor) -> Cells:
    """Corner k cut off, between a point on the side after it and one on the side before it."""
    own = _Points(cells.corners[:, k], cells.nodes[:, k], ahead.places)
    sides = [
        (own, cells.lines[:, k], torch.stack([cells.spans[:, k, 0], ahead.places], 1)),
        (ahead, across, _span(cells, 0.0, 1.0)),
        (behind, cells.lines[:, k - 1], torch.stack([behind.places, cells.spans[:, k - 1, 1]], 1)),
    ]
    return _cells(sides, cells.depths)


def _cells(sides: list[tuple[_Points, Tensor, Tensor]], depths: Tensor) -> Cells:
    """Triangles from their corners, each with the line of the side that follows and its span."""
    return Cells(
        torch.stack([point.points for point, _, _ in sides], 1),
        torch.stack([point.nodes for point, _, _ in sides], 1),
        torch.stack([line for _, line, _ in sides], 1),
        torch.stack([span for _, _, span in sides], 1),
        depths + 1,
    )


def _span(cells: Cells, start: float, stop: float) -> Tensor:
    return torch.tensor([start, stop], dtype=torch.float64).expand(len(cells), 2)
