"""The class scores along a path, and images of it above them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geoexplorer.figures.casing import cased
from geoexplorer.figures.chart import Axis, Canvas, Curve, Label, chart_layers
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.path_course import Course, Outside
from geoexplorer.figures.path_strip import Strip
from geoexplorer.figures.path_words import (
    outside_words,
    place_words,
    size_words,
    straight_words,
    title_words,
    verdict,
)
from geoexplorer.figures.polylines import simplified
from geoexplorer.figures.series import accent
from geoexplorer.figures.text import escaped, number, text_width
from geoexplorer.geometry.certificates import SegmentProof
from geoexplorer.geometry.paths import RegionPath

__all__ = ["scores_layers"]

_NAMED = 5  # classes with a curve and a name of their own
_MARKED = 3  # places where another class overtakes
_TOLERANCE = 0.15  # pixels that a curve may be off
_NUMBERED = 12  # anchors, above which they have no numbers
_ROOM = 2 * " "  # beside each name in the key, which plotly breaks sooner than its texts need
_OUTSIDE = 1.7  # lines of text that the ground below zero has at least


def scores_layers(
    path: RegionPath | SegmentProof,
    *,
    sizes: Mapping[str, Any],
    strip: Strip | None,
    place: float | None,
    title: bool,
    caption: bool,
) -> Layers:
    """The view ``"scores"``; for the arguments see ``path_figure``."""
    course = Course.of(path)
    named, rest = course.nearest[:_NAMED], course.nearest[_NAMED:]
    own = escaped(course.names[course.label])
    keys = [escaped(course.names[label]) for label in named]
    if rest:
        keys.append(f"{len(rest)} others" if len(rest) > 1 else escaped(course.names[rest[0]]))
    heading = [title_words(path), verdict(path), *size_words(path)]
    canvas = Canvas.around(
        heading=heading if title else (),
        caption=_reading(path, course) if caption else (),
        key=[key + _ROOM for key in keys],
        **sizes,
    )
    if strip is not None:
        canvas, strip = strip.above(canvas, free=sizes.get("height") is None)
    aside = 0.3 * canvas.font if strip is None else strip.aside
    length = course.length or 1.0
    unit = length / (canvas.wide - 2 * aside)
    across = (-aside * unit, length + aside * unit)
    lines = [course.margins[:, label] for label in named]
    if rest:
        lines.append(course.margins[:, rest].min(axis=1))
    low, high = _window(lines, canvas)
    kept = _kept(course)
    colours = [class_colour(label) for label in named] + [canvas.look.muted] * bool(rest)
    curves: list[Curve] = []
    for line, colour, key in zip(lines, colours, keys, strict=True):
        x, y = _thinned(course.distances, line, kept, unit, (high - low) / canvas.tall)
        about = f"{own} over {key}: %{{y:.4g}} at %{{x:.4g}}"
        dash = "solid" if len(curves) < len(named) else "dot"
        curves.append(Curve(x, y, colour, dash=dash, name=key, hover=about))
    ground = (np.array([across[0], across[1], across[1], across[0]]),
              np.array([0.0, 0.0, low, low]))  # fmt: skip
    x, y = _ticks(course, low, high)
    curves.append(Curve(x, y, canvas.look.line, dash="dot", area=ground))
    marks, labels = _overtaken(course, canvas, across)
    curves.append(marks)
    labels += _below(own, course, canvas, unit, (low, high))
    layers = chart_layers(
        canvas,
        Axis(across, _along(path, canvas)),
        Axis((low, high), _titles(own, keys), zero=True),
        curves=curves,
        labels=labels,
        selected=_selected(course, place, canvas, across, (low, high)),
    )
    layers = cased(layers, curves[: len(named)], canvas)
    return layers if strip is None else strip.onto(layers, canvas, unit)


def _window(lines: Sequence[np.ndarray], canvas: Canvas) -> tuple[float, float]:
    """Ends of the axis of margins: all curves, and some ground below zero."""
    known = np.concatenate([line[np.isfinite(line)] for line in lines] or [np.empty(0)])
    low = min(float(known.min()), 0.0) if len(known) else 0.0
    high = max(float(known.max()), 0.0) if len(known) else 1.0
    span = (high - low) or 1.0
    low, high = low - 0.05 * span * (low < 0), high + 0.06 * span
    least = _OUTSIDE * canvas.font / canvas.tall  # of the whole
    return min(low, -high * least / (1 - least)), high


def _kept(course: Course) -> np.ndarray:
    """Rows that every curve keeps: around a least margin and around every crossing."""
    ahead = np.delete(course.margins, course.label, axis=1).min(axis=1)
    if not np.isfinite(ahead).any():
        return np.empty(0, dtype=np.int64)
    rows = [int(np.nanargmin(ahead))]
    crossed = np.flatnonzero((ahead[:-1] < 0) != (ahead[1:] < 0))
    # A curve of noise crosses at every other row, and is thinned like any other.
    rows += crossed[:200].tolist() + (crossed[:200] + 1).tolist()
    return np.unique(np.array(rows, dtype=np.int64))


def _thinned(
    x: np.ndarray, y: np.ndarray, kept: np.ndarray, across: float, up: float
) -> tuple[np.ndarray, np.ndarray]:
    """No more points than the eye can tell at this scale, in units a pixel."""
    rows = simplified(np.stack([x / across, y / up], axis=1), tolerance=_TOLERANCE, kept=kept)
    return x[rows], y[rows]


def _ticks(course: Course, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """A line from bottom to top at each anchor between the ends."""
    inner = course.anchors[1:-1]
    x = np.stack([inner, inner, np.full(len(inner), math.nan)], axis=1)
    return x.ravel(), np.tile([low, high, math.nan], len(inner))


def _overtaken(
    course: Course, canvas: Canvas, across: tuple[float, float]
) -> tuple[Curve, list[Label]]:
    """A point on the zero line where another class overtakes, with its name and place."""
    shown = course.outside[:_MARKED]
    x = np.array([stretch.start for stretch in shown])
    marks = Curve(
        x, np.zeros(len(x)), canvas.look.ink, mode="markers",
        hover="%{text}", texts=[_overtaking(course, stretch) for stretch in shown],
    )  # fmt: skip
    unit = (across[1] - across[0]) / canvas.wide
    labels, taken = [], -math.inf
    for stretch in shown:
        text = _overtaking(course, stretch)
        wide = text_width(text, canvas.font) * unit
        right = stretch.start + wide + 0.6 * canvas.font * unit < across[1]
        start = stretch.start if right else stretch.start - wide
        if start > taken:
            side = "top right" if right else "top left"
            gap = 0.4 * canvas.font * unit * (1 if right else -1)
            labels.append(Label(stretch.start + gap, 0.0, text, side, canvas.look.ink))
            taken = start + wide + canvas.font * unit
    return marks, labels


def _overtaking(course: Course, stretch: Outside) -> str:
    return f"{escaped(course.names[stretch.label])} from {place_words(stretch.start)}"


def _below(
    own: str, course: Course, canvas: Canvas, unit: float, window: tuple[float, float]
) -> list[Label]:
    """What lies below zero, and there the numbers of the anchors, as far as there is room."""
    low, high = window
    gap = 0.4 * canvas.font * unit
    up = low + 0.85 * canvas.font * (high - low) / canvas.tall
    left = gap - (canvas.wide * unit - course.length) / 2
    text = f"outside {own}"
    labels = [Label(left, up, text, "middle right", canvas.look.muted)]
    taken = left + text_width(text, canvas.font) * unit + gap
    if 2 < len(course.anchors) <= _NUMBERED:
        for index, place in enumerate(course.anchors[1:-1].tolist(), start=2):
            if place > taken:
                said = str(index) if len(labels) > 1 else f"anchor {index}"
                labels.append(Label(place, up, said, "middle right", canvas.look.muted))
                taken = place + text_width(said, canvas.font) * unit + gap
    return labels


def _selected(
    course: Course,
    place: float | None,
    canvas: Canvas,
    across: tuple[float, float],
    window: tuple[float, float],
) -> Label | None:
    """The place that is looked at, on the curve of the class that comes next there."""
    if place is None:
        return None
    logits = course.at(np.array([place]))[0]
    margins = np.delete(logits[course.label] - logits, course.label)
    if not np.isfinite(margins).all():
        return None
    least = float(margins.min())
    text = number(least, 3)
    unit = (across[1] - across[0]) / canvas.wide
    room = (across[1] - place) / unit > text_width(text, canvas.font) + canvas.font
    high = (window[1] - least) / (window[1] - window[0]) * canvas.tall > 1.8 * canvas.font
    side = f"{'top' if high else 'bottom'} {'right' if room else 'left'}"
    return Label(place, least, text, side, accent(canvas.look))


def _along(path: RegionPath | SegmentProof, canvas: Canvas) -> tuple[str, ...]:
    what = "segment" if isinstance(path, SegmentProof) else "path"
    return (
        f"l2 distance along the {what}, from <i>a</i> to <i>b</i> · pixel values",
        f"l2 distance along the {what}, from <i>a</i> to <i>b</i>",
        f"l2 distance along the {what}",
        "l2 distance",
    )


def _titles(own: str, keys: Sequence[str]) -> tuple[str, ...]:
    others = keys[0] if len(keys) == 1 else "each class"  # one curve alone has no key
    return (
        f"how far {own} is ahead of {others} · logits",
        f"{own} ahead of {others} · logits",
        "ahead by · logits",
        "logits",
    )


def _reading(path: RegionPath | SegmentProof, course: Course) -> list[str]:
    """How the picture is read."""
    own = escaped(course.names[course.label])
    parts = [f"below zero another class is ahead of {own}"]
    parts += outside_words(course.outside, course.label, course.names, exact=course.exact)
    rest = len(course.nearest) - _NAMED
    if rest > 1:
        parts.append(f"dotted curve: the nearest of the {rest} others")
    if len(course.anchors) > 2:
        parts.append("dotted from top to bottom: anchors")
    if isinstance(path, RegionPath):
        parts += straight_words(path)
    return parts
