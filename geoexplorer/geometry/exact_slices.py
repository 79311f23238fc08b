"""Exact regions of a piecewise-linear network in a window of a plane.

The window is cut into triangles until each of them either lies in one region for sure, by the
bounds of :mod:`geoexplorer.geometry.exact_triangles`, or holds no unit that switches. On the latter
ones the logits are affine, and they are cut on along the lines where the two highest are equal.
Triangles with many units that switch are cut in four, those with few along the lines on which they
do. So in the end each triangle belongs to one class; the boundaries are the sides between those of
different classes. Where the two highest logits are nearer to each other than rounding can have
brought them, it is not known on which side of the boundary a point lies; how large a share of the
window that is comes with the triangles.
Source: own; exact slices
of networks without pooling and residual sums are SplineCam (Humayun et al., CVPR 2023).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.exact_labels import of_one_class
from geoexplorer.geometry.exact_mesh import Cells, Mesh, crossing
from geoexplorer.geometry.exact_pixels import ExactPixels
from geoexplorer.geometry.exact_sides import Sides
from geoexplorer.geometry.exact_triangles import Triangles, triangles_through
from geoexplorer.geometry.piecewise import agrees, distrust
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.programs import Program
from geoexplorer.jobs import News

__all__ = ["Slices", "slices_steps"]

# Triangles with at most so many units that switch are cut along one of them.
_FEW = 12
_CPU_BYTES = 24 * 2**20  # of the largest result, for triangles that are worked on together
_GPU_SHARE = 1 / 64
_MOST = 2**12
_MOST_TRIANGLES = 3_000_000
_MOST_SECONDS = 900.0  # foretold from those that the first ones took
# It is foretold how many there will be after so many, or after so many seconds.
_FORETOLD = 500
_FORETOLD_SECONDS = 10.0
_FOLLOWED = 64  # to foretell it
# A triangle whose sides are a smaller share of the window's is taken to be affine, and undecided.
_SMALLEST = 1e-10
_DEEPEST = 1000  # and so is one that so many cuts have left over
_UNSURE = 1e-4  # the largest share of the window that may be undecided
_COMPARED = 64  # of so many triangles one at whose corners program and network are compared


@dataclass(frozen=True)
class Slices:
    """A window of a plane, as far as it is cut into triangles that each belong to one class."""

    mesh: Mesh
    sides: Sides
    pixels: ExactPixels
    undecided: float = 0.0  # at most so large a share of the window is undecided


def slices_steps(
    clf: Classifier, program: Program, plane: Plane, x: Tensor, y: Tensor
) -> Iterator[tuple[float, Slices]]:
    """The share of the window that is done, and what is known of it.

    Parameters
    ----------
    clf, program
        The classifier, and its network as a program.
    plane
        Where to cut.
    x, y
        Columns and rows of the pixels, in plane coordinates; the outermost ones are the window's
        rim.

    Raises
    ------
    ValueError
        If the network has too many pieces in the window, gives other logits than the program, or
        if float64 cannot tell in a noticeable part of the window which class is the highest.
    """
    window = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))
    mesh = Mesh(window)
    waiting, whole = mesh.whole, float(mesh.whole.areas.sum())
    smallest = _SMALLEST * max(window[1] - window[0], window[3] - window[2])
    slices = Slices(mesh, Sides(), ExactPixels(x.numpy(), y.numpy()))
    look = _Look(clf, program, plane)
    done, undecided, foretold, news = 0.0, 0.0, False, News()
    while len(waiting):
        # The last ones first, so that no more wait than have to.
        part, seen = look.at(waiting)
        waiting = waiting[: len(waiting) - len(part)]
        logits, errors = seen.logits.cpu(), seen.errors.cpu()
        settled, smooth, affine, few = _sorted(part, seen, smallest)
        areas = part.areas / whole
        unsure = torch.where(smooth[affine], _unsure(logits[affine], errors[affine]), 1.0)
        undecided += float((areas[affine] * unsure).sum())
        if not undecided <= _UNSURE:
            raise ValueError(
                "exact must be False for a network whose highest logits are nearer to each other "
                "than the rounding errors of float64 in a noticeable part of the window"
            )
        for cells, labels in [
            (part[settled], logits[settled].sum(1).argmax(1)),
            *of_one_class(mesh, part[affine], logits[affine]),
        ]:
            slices.sides.add(cells, labels.numpy())
            slices.pixels.paint(cells.corners.numpy(), labels.numpy())
        done += float(areas[settled | affine].sum())
        many = ~(settled | affine | few)
        cuts = crossing(seen.cuts.cpu()[few])
        waiting = Cells.joined([waiting, mesh.quartered(part[many]), mesh.cut(part[few], *cuts)])
        enough = look.spent > _FORETOLD or look.seconds > _FORETOLD_SECONDS
        if enough and not foretold and len(waiting):
            foretold = True
            _require_few(look, waiting, window, smallest)
        if look.spent > _MOST_TRIANGLES:
            raise _too_many(look.spent / max(done, 1e-9), done)
        if len(waiting) and news.due(min(done, 1.0)):
            yield min(done, 0.999), slices
    yield 1.0, replace(slices, undecided=undecided)


def _sorted(
    cells: Cells, seen: Triangles, smallest: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Which triangles are done, as no unit or no boundary passes, and which have few units."""
    switches = seen.switches.cpu()
    settled = _in_one_region(seen.logits.cpu(), seen.errors.cpu())
    sides = (cells.corners - cells.corners.roll(1, dims=1)).norm(dim=2).amax(1)
    smooth = ~settled & (switches == 0)
    affine = smooth | (~settled & ((sides <= smallest) | (cells.depths > _DEEPEST)))
    return settled, smooth, affine, ~settled & ~affine & (switches <= _FEW)


def _require_few(
    look: _Look, waiting: Cells, window: tuple[float, float, float, float], smallest: float
) -> None:
    """Foretell how many triangles there will be and how long they take, and refuse too many.

    As soon as there are too many: what is left of the foretelling is not waited for.
    Some that wait are followed to the end, each time to one part of them that is chosen at random:
    one that has as many others beside it as there were parts to choose from (Knuth 1975).
    """
    mesh, generator = Mesh(window), torch.Generator().manual_seed(0)
    cells = waiting[torch.randint(len(waiting), (_FOLLOWED,), generator=generator)]
    stand_for = torch.full((_FOLLOWED,), len(waiting) / _FOLLOWED, dtype=torch.float64)
    expected, left = float(look.spent), len(cells)
    while len(cells):
        part, seen = look.at(cells)
        left = len(cells) - len(part)
        cells, weights, rest = cells[:left], stand_for[left:], stand_for[:left]
        expected += float(weights.sum())
        seconds = expected * look.seconds / look.spent
        share = min(_MOST_TRIANGLES / expected, _MOST_SECONDS / seconds)
        if share < 1:
            raise _too_many(expected, share)
        settled, _, affine, few = _sorted(part, seen, smallest)
        many = ~(settled | affine | few)
        cuts = crossing(seen.cuts.cpu()[few])
        chosen = [
            _one_each(mesh.quartered(part[many]), int(many.sum()), generator),
            _one_each(mesh.cut(part[few], *cuts), int(few.sum()), generator),
        ]
        cells = Cells.joined([cells, *chosen])
        stand_for = torch.cat([rest, 4 * weights[many], 3 * weights[few]])


def _too_many(expected: float, share: float) -> ValueError:
    """What to say where at most so large a share of the triangles can be looked at."""
    return ValueError(
        f"extent holds too many pieces of this network for an exact map: at least "
        f"{float(f'{expected:.0e}'):,.0f} triangles to look at; choose a smaller extent, at most "
        f"{share**0.5 / 2:.1g} times as wide, or exact=False"
    )


def _one_each(parts: Cells, count: int, generator: torch.Generator) -> Cells:
    """One of the parts of each triangle."""
    if not count:
        return parts
    which = torch.randint(len(parts) // count, (count,), generator=generator)
    return parts[which * count + torch.arange(count)]


class _Look:
    """Sends triangles through the network, as many at once as fit into memory."""

    def __init__(self, clf: Classifier, program: Program, plane: Plane) -> None:
        self._clf, self._program = clf, program
        self._origin, self._u, self._v = (
            vector.double().to(program.device) for vector in (plane.origin, plane.u, plane.v)
        )
        self._at_once, self.spent, self._began = _at_once(clf, program), 0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def at(self, cells: Cells) -> tuple[Cells, Triangles]:
        """The last ones of some triangles, and what is known of them."""
        while True:
            part = cells[-self._at_once :]
            places = part.corners.to(self._program.device)
            images = (
                self._origin
                + places[..., :1, None, None] * self._u
                + places[..., 1:, None, None] * self._v
            )
            x, y = places.abs().amax(1)[..., None, None, None].unbind(1)
            sizes = self._origin.abs() + x * self._u.abs() + y * self._v.abs()
            try:
                seen = triangles_through(self._program, images, sizes)
                break
            except torch.OutOfMemoryError:
                if self._at_once == 1:
                    raise
                self._at_once = max(1, self._at_once // 2)
        some = torch.arange(len(part))[-self.spent % _COMPARED :: _COMPARED]
        _compare(self._clf, self._program, images[some].flatten(0, 1))
        self.spent += len(part)
        self._clf.count(forwards=3 * len(part))
        return part, seen


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
    wanted = min(_MOST, memory // (3 * 8 * program.largest))
    return int(max(1, min(wanted, program.fitting(clf.memory, rows=3))))


def _in_one_region(logits: Tensor, errors: Tensor) -> Tensor:
    """``(n,)`` bool: whether one class is the highest everywhere in a triangle, for sure."""
    best = logits.sum(1).argmax(1)
    rows = torch.arange(len(best))
    margins = (logits[rows, :, best][..., None] - logits).amin(1)
    bounds = errors + errors[rows, best][:, None]
    sure = margins > bounds
    sure[rows, best] = True
    return sure.all(1)
