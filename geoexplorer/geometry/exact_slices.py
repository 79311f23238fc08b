"""Exact regions of a piecewise-linear network in a window of a plane.

The window is cut into triangles until each of them either lies in one region for sure, by the
bounds of :mod:`geoexplorer.geometry.exact_triangles`, or holds no unit that switches. On the latter
ones the logits are affine, and the boundary is where the two highest of them are equal: straight
pieces, which are put together to the boundaries of the window. Triangles with many units that
switch are cut in four, those with few along the lines on which they do. Where the two highest
logits are nearer to each other than rounding can have brought them, it is not known on which side
of the boundary a point lies; how large a share of the window that is comes with the boundary.
Source: own; exact slices
of networks without pooling and residual sums are SplineCam (Humayun et al., CVPR 2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.exact_triangles import triangles_through
from geoexplorer.geometry.piecewise import agrees, distrust
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.programs import Program
from geoexplorer.jobs import News

__all__ = ["Pieces", "boundary_pieces_steps"]

# Triangles with at most so many units that switch are cut along one of them.
_FEW = 12
_CPU_BYTES = 24 * 2**20  # of the largest result, for triangles that are worked on together
_GPU_SHARE = 1 / 64
_MOST = 2**12
_MOST_TRIANGLES = 3_000_000
# A triangle whose sides are a smaller share of the window's is taken to be affine, and undecided.
_SMALLEST = 1e-10
_UNSURE = 1e-4  # the largest share of the window that may be undecided
_COMPARED = 64  # of so many triangles one at whose corners program and network are compared


@dataclass(frozen=True)
class Pieces:
    """Straight pieces of the boundaries between regions."""

    points: Tensor  # (p, 2, 2) float64: the ends, in plane coordinates
    classes: Tensor  # (p, 2) int64: the regions to the left and to the right of end - start
    undecided: float = 0.0  # at most so large a share of the window is undecided


def boundary_pieces_steps(
    clf: Classifier, program: Program, plane: Plane, window: tuple[float, float, float, float]
) -> Iterator[tuple[float, Pieces]]:
    """The share of the window that is done, and the pieces of boundary found there.

    Parameters
    ----------
    clf, program
        The classifier, and its network as a program.
    plane
        Where to cut.
    window
        ``(x0, x1, y0, y1)`` in plane coordinates.

    Raises
    ------
    ValueError
        If the network has too many pieces in the window, gives other logits than the program, or
        if float64 cannot tell in a noticeable part of the window which class is the highest.
    """
    x0, x1, y0, y1 = window
    corners = torch.tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=torch.float64)
    waiting = corners[torch.tensor([[0, 1, 2], [0, 2, 3]])]
    whole = (x1 - x0) * (y1 - y0)
    smallest = _SMALLEST * max(x1 - x0, y1 - y0)
    origin, u, v = (
        vector.double().to(program.device) for vector in (plane.origin, plane.u, plane.v)
    )
    found = Pieces(torch.zeros(0, 2, 2, dtype=torch.float64), torch.zeros(0, 2, dtype=torch.int64))
    at_once, spent, done, undecided, news = _at_once(clf, program), 0, 0.0, 0.0, News()
    while len(waiting):
        # The last ones first, so that no more wait than have to.
        part = waiting[-at_once:]
        places = part.to(program.device)
        images = origin + places[..., :1, None, None] * u + places[..., 1:, None, None] * v
        x, y = places.abs().amax(1)[..., None, None, None].unbind(1)
        sizes = origin.abs() + x * u.abs() + y * v.abs()
        try:
            seen = triangles_through(program, images, sizes)
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
            at_once = max(1, at_once // 2)
            continue
        waiting = waiting[:-at_once]
        some = torch.arange(len(part))[-spent % _COMPARED :: _COMPARED]
        _compare(clf, program, images[some].flatten(0, 1))
        spent += len(part)
        if spent > _MOST_TRIANGLES:
            raise ValueError(
                "extent holds too many pieces of this network for an exact map; choose a smaller "
                "window, or exact=False"
            )
        clf.count(forwards=3 * len(part))
        logits, errors, switches = seen.logits.cpu(), seen.errors.cpu(), seen.switches.cpu()
        settled = _in_one_region(logits, errors)
        sides = (part - part.roll(1, dims=1)).norm(dim=2).amax(1)
        affine = ~settled & ((switches == 0) | (sides <= smallest))
        known = affine & logits.isfinite().all(2).all(1)
        pieces = _equal_highest(part[known], logits[known])
        unsure = torch.where(switches[affine] == 0, _unsure(logits[affine], errors[affine]), 1.0)
        undecided += float((_areas(part[affine]) * unsure).sum()) / whole
        if not undecided <= _UNSURE:
            raise ValueError(
                "exact must be False for a network whose highest logits are nearer to each other "
                "than the rounding errors of float64 in a noticeable part of the window"
            )
        found = Pieces(
            torch.cat([found.points, pieces.points]),
            torch.cat([found.classes, pieces.classes]),
            undecided,
        )
        done += float(_areas(part[settled | affine]).sum()) / whole
        rest = ~settled & ~affine
        few = rest & (switches <= _FEW)
        waiting = torch.cat(
            [waiting, _quartered(part[rest & ~few]), _cut(part[few], seen.cuts.cpu()[few])]
        )
        if len(waiting) and news.due(min(done, 1.0)):
            yield min(done, 0.999), found
    yield 1.0, found


def _compare(clf: Classifier, program: Program, places: Tensor) -> None:
    """Refuse a network that differs from its program at some places."""
    if len(places) == 0:
        return
    # On a triangle that is a point no unit switches, and the error is that of rounding.
    points = triangles_through(program, places[:, None].expand(-1, 3, -1, -1, -1))
    if not agrees(clf, program, places, points.errors.amax(1)):
        distrust(clf)
        raise ValueError(
            "exact must be False for a network whose operations, as far as they were seen, give "
            "other logits than the network itself"
        )


def _unsure(logits: Tensor, errors: Tensor) -> Tensor:
    """A bound ``(n,)`` of the share of a triangle in which rounding may change the highest class.

    The values of an affine function on a triangle that lies between ``low`` and ``high`` have a
    density of at most 2 / (high - low).
    """
    if not len(logits):
        return logits.new_zeros(0)
    classes = logits.shape[2]
    first, second = torch.triu_indices(classes, classes, offset=1).unbind(0)
    levels = logits[..., first] - logits[..., second]
    bounds = errors[:, first] + errors[:, second]
    low, high = levels.amin(1), levels.amax(1)
    near = (low <= bounds) & (high >= -bounds)
    # Neither is surely below a third one all over the triangle.
    best = logits.sum(1).argmax(1, keepdim=True)
    below = logits.gather(2, best[:, None].expand(-1, 3, -1)) - logits
    rival = below.amin(1) <= errors + errors.gather(1, best)
    near &= rival[:, first] & rival[:, second]
    shares = (4 * bounds / (high - low)).nan_to_num(1.0).clamp_max(1.0)
    shares = torch.where(near, shares, 0.0).sum(1).clamp_max(1.0)
    return torch.where(logits.isfinite().all(2).all(1), shares, 1.0)


def _at_once(clf: Classifier, program: Program) -> int:
    memory = clf.memory * _GPU_SHARE if clf.device.type == "cuda" else _CPU_BYTES
    return int(min(_MOST, max(1, memory // (3 * 8 * program.largest))))


def _in_one_region(logits: Tensor, errors: Tensor) -> Tensor:
    """``(n,)`` bool: whether one class is the highest everywhere in a triangle, for sure."""
    best = logits.sum(1).argmax(1)
    rows = torch.arange(len(best))
    margins = (logits[rows, :, best][..., None] - logits).amin(1)
    bounds = errors + errors[rows, best][:, None]
    sure = margins > bounds
    sure[rows, best] = True
    return sure.all(1)


def _areas(triangles: Tensor) -> Tensor:
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs() / 2


def _quartered(triangles: Tensor) -> Tensor:
    """Four similar triangles for each."""
    a, b, c = triangles.unbind(1)
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return torch.cat([torch.stack(part, dim=1) for part in parts])


def _cut(triangles: Tensor, levels: Tensor) -> Tensor:
    """Three triangles for each, on either side of the line where ``levels`` ``(n, 3)`` is zero.

    The corner that is alone on its side comes first; the other two have values of the other sign.
    """
    order = _alone_first(levels)
    a, b, c = triangles.gather(1, order[..., None].expand(-1, -1, 2)).unbind(1)
    la, lb, lc = (level[:, None] for level in levels.gather(1, order).unbind(1))
    ab, ac = torch.lerp(a, b, la / (la - lb)), torch.lerp(a, c, la / (la - lc))
    parts = [(a, ab, ac), (ab, b, c), (ab, c, ac)]
    return torch.cat([torch.stack(part, dim=1) for part in parts])


def _equal_highest(triangles: Tensor, logits: Tensor) -> Pieces:
    """Where the two highest of affine logits are equal, in triangles ``(n, 3, 2)``."""
    classes = logits.shape[2]
    first, second = torch.triu_indices(classes, classes, offset=1).unbind(0)
    # A pair matters only where neither is below a third at all corners.
    levels = logits[..., first] - logits[..., second]  # (n, 3, p)
    signs = levels > 0
    crossed = signs.any(1) & ~signs.all(1)
    highest = (logits >= logits.amax(2, keepdim=True)).any(1)
    rivals = torch.stack([_ever_near(logits, highest, c) for c in range(classes)], 1)
    row, pair = (crossed & rivals[:, first] & rivals[:, second]).nonzero(as_tuple=True)
    if len(row) == 0:
        return Pieces(triangles.new_zeros(0, 2, 2), torch.zeros(0, 2, dtype=torch.int64))
    level = levels[row, :, pair]
    order = _alone_first(level)
    places = triangles[row].gather(1, order[..., None].expand(-1, -1, 2))
    values = logits[row].gather(1, order[..., None].expand(-1, -1, classes))
    level = level.gather(1, order)
    shares = level[:, :1] / (level[:, :1] - level[:, 1:])  # (m, 2), of the two sides it crosses
    ends = torch.lerp(places[:, :1], places[:, 1:], shares[..., None])
    heights = torch.lerp(values[:, :1], values[:, 1:], shares[..., None])
    own = heights[torch.arange(len(row)), :, first[pair]][..., None]
    above = own - heights  # (m, 2, L): of the pair over the others
    above.scatter_(2, torch.stack([first[pair], second[pair]], 1)[:, None].expand(-1, 2, -1), 0.0)
    start, stop = _where_positive(above)
    kept = start < stop
    start, stop, ends = start[kept, None], stop[kept, None], ends[kept]
    points = torch.stack([torch.lerp(ends[:, 0], ends[:, 1], at) for at in (start, stop)], 1)
    pairs = torch.stack([first[pair], second[pair]], 1)[kept]
    return _oriented(points, pairs, places[kept], level[kept])


def _ever_near(logits: Tensor, highest: Tensor, c: int) -> Tensor:
    """``(n,)``: whether a class may be the highest somewhere: no other is above at all corners."""
    above = (logits > logits[..., c, None]).all(1)
    return ~(above & highest).any(1)


def _alone_first(levels: Tensor) -> Tensor:
    """Corners ``(m, 3)`` in cyclic order from the one whose sign differs from the other two."""
    signs = levels > 0
    alone = (signs != signs.roll(1, 1)) & (signs != signs.roll(2, 1))
    first = alone.to(torch.int64).argmax(1, keepdim=True)
    return (first + torch.arange(3)) % 3


def _where_positive(values: Tensor) -> tuple[Tensor, Tensor]:
    """The part of 0 to 1 in which all lines with values ``(m, 2, k)`` at the ends are positive."""
    first, last = values[:, 0], values[:, 1]
    root = first / (first - last)
    start = torch.where((first < 0) & (last >= 0), root, 0.0)
    start = torch.where((first < 0) & (last < 0), 2.0, start).amax(1)
    stop = torch.where((first >= 0) & (last < 0), root, 1.0).amin(1)
    return start, stop


def _oriented(points: Tensor, pairs: Tensor, places: Tensor, level: Tensor) -> Pieces:
    """With the region of the first class on the left."""
    along, toward = points[:, 1] - points[:, 0], places[:, 0] - points[:, 0]
    left = along[:, 0] * toward[:, 1] - along[:, 1] * toward[:, 0] > 0
    swapped = left != (level[:, 0] > 0)
    return Pieces(points, torch.where(swapped[:, None], pairs.flip(1), pairs))
