"""Two-dimensional cross-sections of the classification regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.contours import class_contours
from geoexplorer.geometry.exact_regions import ExactMap, Region
from geoexplorer.geometry.exact_slices import slices_steps
from geoexplorer.geometry.mixed import Mixed, require_bfloat16, rough_forward
from geoexplorer.geometry.piecewise import Program, program_of
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.refinement import Refinement
from geoexplorer.jobs import Progress, last
from geoexplorer.results import Recorder, Result, Stored

__all__ = ["Boundary", "CrossSection", "cross_section", "cross_section_steps"]

# Half the window's width where the marks give no scale: so much a pixel, of the bounds' width.
_PIXEL_SHARE = 0.1
# Window around the marks, in units of their span: a quarter more on every side.
_WINDOW = 1.5
_REFINE = ("boundary", "everything")
_PRECISIONS = ("full", "mixed")
# Maps that are shown on the way to evaluating everything.
_BANDS = 8
_EXACT = "finding the exact regions"
_REFINED_SHARE = 0.05  # of the work of an exact map, roughly
# Share of the largest margin that an evaluated pixel's must have for its class to be beyond doubt.
_CLEAR = 1e-3
_FILLED = 1e-9  # share of the window by which the areas of all exact regions may differ from it


@dataclass(frozen=True, eq=False, repr=False)
class Boundary(Stored):
    """One connected piece of the boundary between two regions of a cross-section."""

    classes: tuple[int, int]  # i < j
    points: NDArray[np.float64]  # (m, 2), plane coordinates; closed if the last equals the first


@dataclass(frozen=True, eq=False, repr=False)
class CrossSection(Result):
    """The classification regions in a window of a plane, on a regular grid."""

    plane: Plane
    x: Tensor  # (W,) float64, l2 units along u, ascending
    y: Tensor  # (H,) float64, l2 units along v, ascending
    labels: Tensor  # (H, W) int64, row = y
    margins: Tensor  # (H, W) float32: highest logit minus the second highest
    boundaries: tuple[Boundary, ...]
    evaluations: int  # network evaluations spent on the map
    class_names: tuple[str, ...]
    own: int | None = None  # class at the plane's mark "x", or at its origin
    evaluated: Tensor | None = None  # (H, W) bool: where labels and margins are the network's
    exact: bool = False  # whether labels and boundaries are exact
    regions: tuple[Region, ...] = ()  # the connected parts of the regions, where exact
    undecided: float = 0.0  # where exact: share of the window within rounding errors of a boundary


def cross_section(
    clf: Classifier,
    plane: Plane,
    *,
    extent: float | Sequence[float] | None = None,
    resolution: int | tuple[int, int] = 513,
    refine: str = "boundary",
    tolerance: float = 0.03,
    exact: bool = False,
    precision: str = "full",
) -> CrossSection:
    """Map the classification regions in a window of a plane.

    The network is evaluated on a coarse grid first, then where the class is in doubt, judged
    by the logits and by how well they could be foretold (see
    :mod:`geoexplorer.geometry.refinement`). All other pixels are interpolated.

    What is sure: a region that contains a pixel of the coarse grid (25 pixels along the longer
    side, evenly spread: every 21st at the default resolution) appears, and the class of an
    evaluated pixel is the network's. A smaller island is found where the logits raise a doubt,
    because they lie close together nearby or are hard to foretell. On the trained networks of
    the benchmark that leaves about one wrong pixel in a million; but an island of which no
    evaluated pixel gives a sign is missed.
    ``refine="everything"`` misses none.

    Parameters
    ----------
    clf
        The classifier.
    plane
        Where to cut, with images of the classifier's shape.
    extent
        Window in l2 units of the plane's coordinates: ``(x0, x1, y0, y1)``, or half the width
        of a square around the origin. None shows all of the plane's marks with a margin of a
        quarter of their span, or ±0.1 √d (hi - lo) around the only one.
    resolution
        Pixels along each side, or ``(rows, columns)``; at least 2. Pixel centres are evenly
        spread, the outermost ones on the window's rim.
    refine
        ``"boundary"``, or ``"everything"`` to evaluate every pixel.
    tolerance
        Pixels are evaluated until no other one's chance to carry a wrong class is estimated
        to be above it; between 0 and 0.5.
    exact
        Whether to find the exact polygons of the regions afterwards, in float64: for
        piecewise-linear networks (see :func:`geoexplorer.prove_segment`) of moderate size. Then
        no region is missed but strips thinner than about 1e-12 of the window, as thin as rounding
        puts corners off. The polygons fill the window. Labels and boundaries are exact, margins
        stay those of the refined map. ``undecided`` bounds the share of the window in which
        rounding errors are larger than the margin; where two classes have the same logits on a
        whole area, all of that is undecided.
    precision
        ``"full"``, that of the classifier, or ``"mixed"`` for ``refine="everything"``: pixels far
        from a boundary are settled by a copy of the network in bfloat16, with a margin at least
        twice as large as any error of it seen in the window, and the others evaluated anew (see
        :mod:`geoexplorer.geometry.mixed`). Classes and boundaries are those of full precision as
        far as such a bound can tell; the margins of settled pixels have about two digits. The copy
        takes half as much memory as the network again. Meant for CPUs with units for bfloat16
        (AMX, AVX512-BF16), where it saves a third to two thirds of the time, and for GPUs; other
        CPUs may need longer.

    Returns
    -------
    CrossSection
        ``evaluations`` counts the network's forward passes: one a pixel of ``evaluated``, and
        one for ``own``; in mixed precision also those that were made anew or to compare.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the network cannot compute in bfloat16 for
        ``precision="mixed"``, before any work; ValueError if the network's
        logits are not finite in the window, or if an exact map cannot be made of it: the network
        turns out to be another one than its operations say, has so many pieces in the window that
        the map is foretold to take more than a quarter of an hour or too much memory, or more than
        1e-4 of the window is undecided.

    Notes
    -----
    Source: own (kriging for level sets, with an error model fitted on networks).

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> section = cross_section(clf, Plane.through(*torch.rand(3, 1, 2, 2)), resolution=129)
    >>> section.labels.shape, section.evaluations < 1000
    (torch.Size([129, 129]), True)
    """
    return last(
        _sections(
            clf, plane, extent, resolution, refine, tolerance, exact, precision, only_the_last=True
        )
    )


def cross_section_steps(
    clf: Classifier,
    plane: Plane,
    *,
    extent: float | Sequence[float] | None = None,
    resolution: int | tuple[int, int] = 513,
    refine: str = "boundary",
    tolerance: float = 0.03,
    exact: bool = False,
    precision: str = "full",
) -> Iterator[CrossSection]:
    """Like :func:`cross_section`, in steps: a coarse map first, then better ones.

    Each is a complete map; what was evaluated for one stays as it is in all that follow, but for
    values in bfloat16 (``precision="mixed"``), which full ones may replace.
    """
    return _sections(
        clf, plane, extent, resolution, refine, tolerance, exact, precision, only_the_last=False
    )


def _sections(
    clf: Classifier,
    plane: Plane,
    extent: float | Sequence[float] | None,
    resolution: int | tuple[int, int],
    refine: str,
    tolerance: float,
    exact: bool,
    precision: str,
    *,
    only_the_last: bool,
) -> Iterator[CrossSection]:
    _check_plane(clf, plane)
    shape = _checked_resolution(resolution)
    window = _window(clf, plane, extent)
    if refine not in _REFINE:
        raise ValueError(f"refine must be one of {', '.join(map(repr, _REFINE))}, got {refine!r}")
    if not _is_number(tolerance) or not 0.0 < tolerance < 0.5:
        raise ValueError(f"tolerance must be a number between 0 and 0.5, got {tolerance!r}")
    _check_precision(clf, plane, precision, refine)
    recorder = Recorder(
        clf,
        "cross_section",
        extent=window,
        resolution=shape,
        refine=refine,
        tolerance=float(tolerance),
        exact=exact,
        precision=precision,
    )
    program = _program(clf) if exact else None
    sampler = _Sampler(clf, plane, shape, window)
    steps = _steps(sampler, recorder, refine, float(tolerance), precision, only_the_last)
    if program is not None:
        steps = _exact_steps(steps, sampler, recorder, program, window)
    return recorder.watch(steps)


def _program(clf: Classifier) -> Program:
    program = program_of(clf)
    if isinstance(program, str):
        raise ValueError(
            "exact must be False for a network that is not piecewise linear, or not known to be: "
            f"{program}"
        )
    return program


def _exact_steps(
    steps: Iterator[CrossSection],
    sampler: _Sampler,
    recorder: Recorder,
    program: Program,
    window: tuple[float, float, float, float],
) -> Iterator[CrossSection]:
    """The refined maps first, then the exact one."""
    refined = None
    for refined in steps:
        share = _REFINED_SHARE * refined.progress.fraction
        message = _EXACT if refined.progress.complete else refined.progress.message
        yield replace(refined, progress=Progress(share, message))
    assert refined is not None  # a map is always yielded
    plane = sampler.plane
    origin, u, v = (
        vector.to(program.device, torch.float64) for vector in (plane.origin, plane.u, plane.v)
    )

    def labels_at(places: NDArray[np.float64]) -> NDArray[np.int64]:
        x, y = torch.from_numpy(places).to(program.device)[..., None, None, None].unbind(1)
        labels: NDArray[np.int64] = program.forward(origin + x * u + y * v).argmax(1).cpu().numpy()
        return labels

    for done, found in slices_steps(sampler.clf, program, plane, sampler.x, sampler.y):
        slices = found  # the last one is that of the whole window
        if done < 1.0:
            share = _REFINED_SHARE + (1 - _REFINED_SHARE) * done
            yield replace(refined, progress=Progress(share, _EXACT))
    labels = torch.from_numpy(slices.pixels.finished(labels_at))
    _require_agreement(refined, labels)
    exact = ExactMap(slices.sides.pieces(slices.mesh), window)
    regions = exact.regions()
    _require_whole(regions, window)
    yield replace(
        refined,
        labels=labels,
        boundaries=tuple(Boundary(classes, line) for classes, line in exact.boundaries()),
        exact=True,
        undecided=slices.undecided,
        regions=regions,
        provenance=recorder.provenance(),
        progress=Progress(),
    )


def _require_agreement(refined: CrossSection, labels: Tensor) -> None:
    """The network itself was evaluated at some pixels: clear ones must have the exact class."""
    assert refined.evaluated is not None  # it is known of maps that are made here
    clear = refined.margins > _CLEAR * max(1.0, float(refined.margins.max()))
    if bool((refined.evaluated & clear & (labels != refined.labels)).any()):
        raise ValueError(
            "exact must be False for this network: at a pixel that was evaluated its class is "
            "clearly another than on the exact map"
        )


def _require_whole(regions: Sequence[Region], window: tuple[float, float, float, float]) -> None:
    x0, x1, y0, y1 = window
    whole = (x1 - x0) * (y1 - y0)
    if not abs(sum(region.area for region in regions) - whole) <= _FILLED * whole:
        raise ValueError(
            "exact must be False for this network in this window: in float64 its regions cannot "
            "be told apart, their polygons do not fill the window"
        )


class _Sampler:
    """Evaluates a classifier at pixels of a window of a plane."""

    def __init__(
        self,
        clf: Classifier,
        plane: Plane,
        shape: tuple[int, int],
        window: tuple[float, float, float, float],
    ) -> None:
        self.clf, self.plane, self.shape = clf, plane, shape
        self.evaluations = 0
        x0, x1, y0, y1 = window
        self.y = torch.linspace(y0, y1, shape[0], dtype=torch.float64)
        self.x = torch.linspace(x0, x1, shape[1], dtype=torch.float64)
        origin, u, v = (
            tensor.to(device=clf.device, dtype=clf.dtype)
            for tensor in (plane.origin, plane.u, plane.v)
        )
        self._plane = Plane(origin, u, v)

    def own_and_logits(self, pixels: Tensor) -> tuple[int, Tensor]:
        """The class at the plane's mark "x", or at its origin, and the logits of pixels."""
        mark = torch.tensor([self.plane.marks.get("x", (0.0, 0.0))], dtype=torch.float64)
        logits = self._logits(torch.cat([mark, self._coordinates(pixels)]))
        return int(logits[0].argmax()), logits[1:]

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits ``(n, L)`` at rows and columns ``(n, 2)``."""
        return self._logits(self._coordinates(pixels))

    def _coordinates(self, pixels: Tensor) -> Tensor:
        return torch.stack([self.x[pixels[:, 1]], self.y[pixels[:, 0]]], dim=1)

    def rough_logits(self, pixels: Tensor) -> Tensor:
        """The same in bfloat16, finite or not."""
        return self._evaluate(self._coordinates(pixels), partial(rough_forward, self.clf))

    def _logits(self, coordinates: Tensor) -> Tensor:
        logits = self._evaluate(coordinates, self.clf.forward)
        if not bool(torch.isfinite(logits).all()):
            raise ValueError(
                "clf gives NaN or infinite logits in this window of the plane; choose a smaller "
                "extent or another plane"
            )
        return logits

    def _evaluate(self, coordinates: Tensor, forward: Callable[[Tensor], Tensor]) -> Tensor:
        # The images of all pixels at once would not fit; those of a chunk do.
        at_once = self.clf.chunk_size * len(self.clf.devices)
        rows = coordinates.to(self.clf.device, self.clf.dtype)
        count = math.ceil(len(rows) / at_once)
        # Filled in: many small tensors that stay would lie scattered between the large ones that a
        # pass leaves, and keep their memory from being used again.
        logits = rows.new_empty(len(rows), self.clf.n_classes)
        for part, filled in zip(rows.tensor_split(count), logits.tensor_split(count), strict=True):
            filled.copy_(forward(self._plane.points(part)))
        self.evaluations += len(coordinates)
        return logits.cpu()


def _steps(
    sampler: _Sampler,
    recorder: Recorder,
    refine: str,
    tolerance: float,
    precision: str,
    only_the_last: bool,
) -> Iterator[CrossSection]:
    refinement = Refinement(sampler.shape, tolerance=tolerance)
    pixels = refinement.ask()
    own, logits = sampler.own_and_logits(pixels)
    refinement.tell(pixels, logits)

    def result(progress: Progress) -> CrossSection:
        labels, margins = refinement.labels, refinement.margins
        return CrossSection(
            plane=sampler.plane,
            x=sampler.x,
            y=sampler.y,
            labels=labels,
            margins=margins,
            boundaries=_boundaries(labels, margins, sampler.x, sampler.y),
            evaluations=sampler.evaluations,
            class_names=sampler.clf.class_names,
            own=own,
            evaluated=refinement.evaluated,
            provenance=recorder.provenance(),
            progress=progress,
        )

    share = 1.0 if refine == "boundary" else 1.0 / (_BANDS + 1)
    while len(pixels := refinement.ask()):
        if not only_the_last:
            done, count = refinement.round, refinement.rounds
            yield result(Progress(share * done / count, f"refining, {done} of {count}"))
        refinement.tell(pixels, sampler.logits(pixels))
    if refine == "everything":
        rest = (~refinement.evaluated).nonzero()
        mixed = Mixed(refinement, sampler) if precision == "mixed" and len(rest) else None
        for band, pixels in enumerate(rest.tensor_split(_BANDS), start=1):
            if not only_the_last:
                yield result(Progress(share * band, f"evaluating every pixel, {band} of {_BANDS}"))
            if len(pixels) == 0:
                continue
            if mixed is None:
                refinement.settle(pixels, sampler.logits(pixels))
            else:
                mixed.settle(pixels)
        if mixed is not None:
            mixed.finish()
    yield result(Progress())


def _boundaries(labels: Tensor, margins: Tensor, x: Tensor, y: Tensor) -> tuple[Boundary, ...]:
    corner = np.array([float(x[0]), float(y[0])])
    spacing = np.array([float(x[-1] - x[0]) / (len(x) - 1), float(y[-1] - y[0]) / (len(y) - 1)])
    return tuple(
        Boundary(classes, corner + spacing * points)
        for classes, points in class_contours(labels.numpy(), margins.numpy())
    )


def _check_plane(clf: Any, plane: Any) -> None:
    if not isinstance(clf, Classifier):
        raise TypeError(f"clf must be a Classifier, got {type(clf).__name__}")
    if not isinstance(plane, Plane):
        raise TypeError(f"plane must be a Plane, got {type(plane).__name__}")
    shape = tuple(plane.origin.shape)
    if shape != clf.input_shape:
        raise ValueError(
            "plane.origin must have the shape of the classifier's images, "
            f"{clf.input_shape}, got {shape}"
        )
    clf.prepare(plane.origin, argument="plane.origin")


def _check_precision(clf: Classifier, plane: Plane, precision: Any, refine: str) -> None:
    if precision not in _PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(map(repr, _PRECISIONS))}, got {precision!r}"
        )
    if precision == "mixed":
        if refine != "everything":
            raise ValueError(
                "precision='mixed' needs refine='everything' beside it: the default, "
                "refine='boundary', interpolates pixels, which takes values of full precision"
            )
        require_bfloat16(clf, clf.prepare(plane.origin))


def _checked_resolution(value: Any) -> tuple[int, int]:
    shape = value if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in shape)
    if not whole:
        raise TypeError(f"resolution must be an int or a pair of ints, got {value!r}")
    if len(shape) != 2 or min(shape) < 2:
        raise ValueError(
            f"resolution must be at least 2, or (rows, columns) of at least 2 each, got {value!r}"
        )
    return int(shape[0]), int(shape[1])


def _window(clf: Classifier, plane: Plane, extent: Any) -> tuple[float, float, float, float]:
    if extent is None:
        return _window_around_marks(clf, plane)
    if _is_number(extent):
        if not (math.isfinite(extent) and extent > 0):
            raise ValueError(f"extent must be finite and above 0, got {extent!r}")
        return -float(extent), float(extent), -float(extent), float(extent)
    try:
        x0, x1, y0, y1 = (float(value) for value in extent)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"extent must be None, half a width, or (x0, x1, y0, y1), got {extent!r}"
        ) from error
    if not (np.isfinite([x0, x1, y0, y1]).all() and x0 < x1 and y0 < y1):
        raise ValueError(
            f"extent (x0, x1, y0, y1) must be finite with x0 < x1 and y0 < y1, got {extent!r}"
        )
    return x0, x1, y0, y1


def _window_around_marks(clf: Classifier, plane: Plane) -> tuple[float, float, float, float]:
    marks = np.array(list(plane.marks.values()) or [(0.0, 0.0)], dtype=np.float64)
    lowest, highest = marks.min(axis=0), marks.max(axis=0)
    low, high = clf.bounds
    unit = _PIXEL_SHARE * math.sqrt(clf.dimension) * (high - low)
    span = float((highest - lowest).max())
    # Marks on top of each other, but for rounding, give no scale.
    half = _WINDOW * span / 2 if span > 1e-6 * unit else unit
    x, y = ((lowest + highest) / 2).tolist()
    return x - half, x + half, y - half, y + half


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
