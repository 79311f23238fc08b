"""About how long a figure takes, from how long one pass through the network does."""

from __future__ import annotations

import time
from collections.abc import Callable

from geoexplorer.paper.subjects import Subject

__all__ = ["Pace", "about", "seconds_for"]

_BATCH = 64
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
        self.gradient = _seconds(lambda: clf.margin_gradient(images, own, other)) / len(images)


def seconds_for(figure: str, subject: Subject, pace: Pace) -> float:
    """About how many seconds a figure takes, everything that it needs included."""
    forwards, gradients = _passes(figure, subject)
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


def _passes(figure: str, subject: Subject) -> tuple[float, float]:
    """Forward passes and gradients of one image, as counted on the bundled networks."""
    sizes, d = subject.sizes, subject.clf.dimension
    near = 30 if sizes.effort == "interactive" else 100
    points = sizes.points * near
    whole = 3 * d  # gradients of a shape operator: twice d, or four times where it is smoothed
    if figure == "sections":
        return 10_000, 4_000 + points
    if figure == "path":
        return 300 * sizes.pairs + 80_000, 0
    if figure == "convex":
        return 9 * sizes.combinations, 0
    if figure == "profiles":
        each = whole if sizes.extremes is None else 1_000 * sizes.extremes
        return 0, 2 * sizes.profile * min(each, whole) + points + 20 * sizes.points
    if figure == "detection":
        classes = subject.clf.n_classes
        scored = 2 * 4 * sizes.points
        return scored * (100 + 2 * classes), scored * classes + points
    # Shared directions, which three figures share: the first of them pays.
    if figure == "shared":
        each = whole if sizes.directions is None else 270 * sizes.directions
        columns = min(d, 2 * sizes.ends) if sizes.directions is None else sizes.directions
        return 0, sizes.seen * (min(each, whole) + 10 * columns + 800) + points
    return 300 * sizes.seen, 0


def _seconds(work: Callable[[], object]) -> float:
    work()  # the first time takes longer
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
