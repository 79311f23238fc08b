"""About how long a figure takes, from how long one pass through the network does."""

from __future__ import annotations

import time
from collections.abc import Callable

from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.paper.paths import layer_outputs, soon_proven
from geoexplorer.paper.subjects import Subject

__all__ = ["Pace", "about", "seconds_for"]

_BATCH = 64
_FEWEST_SMOOTHED = 4_096  # gradients of a smoothed shape operator in few dimensions
_PASSES_TO_PROVE = 0.4  # of a path, for each number that a layer gives for one image
_DRAWING = 1.0  # seconds a picture in three formats
_PICTURES = {"sections": 2, "path": 2, "shared": 2, "detection": 4}


class Pace:
    """Seconds that a forward pass and a gradient of one image take on this machine."""

    def __init__(self, subject: Subject) -> None:
        images = subject.images[:_BATCH]
        clf = subject.clf
        own = clf.labels(images)
        other = (own + 1) % clf.n_classes
        self.forward = _seconds(lambda: clf.logits(images)) / len(images)
        self.kinked = has_kinks(clf)
        self.gradient = _seconds(lambda: clf.margin_gradient(images, own, other)) / len(images)


def seconds_for(figure: str, subject: Subject, pace: Pace) -> float:
    """About how many seconds a figure takes, everything that it needs included."""
    forwards, gradients = _passes(figure, subject, pace.kinked)
    drawing = _DRAWING * _PICTURES.get(figure, 1)
    return forwards * pace.forward + gradients * pace.gradient + drawing


def about(seconds: float) -> str:
    """A time in the unit that suits it.

    Examples
    --------
    >>> about(8), about(100), about(5400), about(90000)
    ('8 s', '1.7 minutes', '1.5 hours', '25 hours')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    for unit, length in (("minutes", 60), ("hours", 3600)):
        if seconds < 90 * length or unit == "hours":
            value = seconds / length
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    raise AssertionError


def _passes(figure: str, subject: Subject, kinked: bool) -> tuple[float, float]:
    """Forward passes and gradients of one image, as counted on the bundled networks."""
    sizes, d = subject.sizes, subject.clf.dimension
    near = 30 if sizes.effort == "interactive" else 100
    points = sizes.points * near
    if figure == "sections":
        return 10_000, 4_000 + points
    if figure == "path":
        proven = sizes.thorough or soon_proven(subject.clf)
        return 300 * sizes.pairs + (
            _PASSES_TO_PROVE * layer_outputs(subject.clf) if proven else 0
        ), 0
    if figure == "convex":
        return 9 * sizes.combinations, 0
    if figure == "profiles":
        whole = max(4 * d, _FEWEST_SMOOTHED) if kinked else 2 * d
        each = whole if sizes.extremes is None else min(whole, 1_000 * sizes.extremes)
        return 0, 2 * sizes.profile * each + points + 20 * sizes.points
    if figure == "detection":
        classes = subject.clf.n_classes
        scored = 2 * 4 * sizes.points
        return scored * (100 + 2 * classes), scored * classes + points
    # Shared directions, which three figures share: the first of them pays.
    if figure == "shared":
        m = sizes.directions
        whole, columns = (4 if kinked else 2) * d, min(d, 2 * sizes.ends)
        each = whole if m is None else min(whole, (270 if kinked else 40) * m)
        columns = columns if m is None else m
        rho = 12 * columns + 1_000 if kinked else 2 * (columns + 100)
        return 0, sizes.seen * (each + rho) + points
    return 300 * sizes.seen, 0


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first time takes longer
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
