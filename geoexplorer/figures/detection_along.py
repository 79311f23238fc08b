"""The detection score, and the term of each class, on the way from an image across its boundary."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geoexplorer.figures.casing import cased
from geoexplorer.figures.chart import (
    DEFAULT_WIDTH,
    MOST_CURVES,
    Axis,
    Canvas,
    Curve,
    Label,
    chart_layers,
    check_sizes,
    round_ticks,
)
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.detection_words import CAUTION, SCORE_TITLES, measured_words
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.result_words import progress_words, title_of
from geoexplorer.figures.ribbons import Ribbon, drawn_ribbons
from geoexplorer.figures.series import accent, series_colour
from geoexplorer.figures.shared_directions import check_column
from geoexplorer.figures.shown import figure_of
from geoexplorer.figures.text import cut, escaped, number, text_width
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.detection_along import DetectionAlong

__all__ = ["VIEWS", "detection_along_figure", "detection_along_layers"]

VIEWS = ("score", "terms")
_NAMED = 5  # classes with a term of their own
_NAMES = 0.5  # of the width, at most
_RIBBON = 1.5  # lines of text that a ribbon is high
_TICK = 3.0  # lines of text from tick to tick, at least
_FINE = 400  # places at which a curve is looked for below a text
_ROUNDING = 1e-6  # of a stop
_ROOM = 2 * " "  # beside each name in the key
_TITLES = ("<i>t</i> of <i>x</i> + <i>t r</i> · 0 is the image, 1 its boundary point",
           "<i>t</i> · 0: image, 1: boundary", "<i>t</i>")  # fmt: skip
_TERMS = ("term of each class: mean of <i>v</i>ᵀ G<sub>i</sub> <i>v</i> · 1 / l2 unit",
          "term of each class · 1 / l2 unit", "term")  # fmt: skip


def detection_along_layers(
    along: DetectionAlong,
    *,
    view: str = "score",
    selected: int | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw how the detection score changes from an image across its boundary.

    Parameters
    ----------
    along
        What :func:`geoexplorer.detect_along` gives.
    view
        ``"score"``: the score against t, with the threshold, unless that is NaN. ``"terms"``: the
        term of each class, of which the score is the mean, for the five that matter most. Below
        both stand the class that is called and the class that is recovered.
    selected
        A position in ``along.stops`` that is marked.
    theme, width, height, font_size, title, caption
        As for shared directions.

    Raises
    ------
    ValueError
        For an option that is not as described, or a size that leaves no room for the plot.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(map(repr, VIEWS))}, got {view!r}")
    check_column(selected, len(along.stops), of="stops")
    check_sizes(width, height, font_size)
    sizes = {"theme": theme, "width": width, "height": height, "font_size": font_size}
    draw = _score if view == "score" else _terms
    return draw(along, selected=selected, sizes=sizes, title=title, caption=caption)


detection_along_figure = figure_of(detection_along_layers)


def _score(
    along: DetectionAlong,
    *,
    selected: int | None,
    sizes: Mapping[str, Any],
    title: bool,
    caption: bool,
) -> Layers:
    stops, score = (values.double().numpy() for values in (along.stops, along.score))
    errors = along.standard_errors.double().numpy()
    judged = math.isfinite(along.threshold)
    keys: tuple[str, ...] = ("above the threshold: called perturbed", "below it: called natural")
    if not judged:
        keys = ("score, no threshold yet",)
    reading = ["dotted from bottom to top: the class changes"]
    if np.isfinite(errors).any():
        reading.insert(0, "band: one standard error, from the choice of probes")
    canvas = _canvas(
        "Detection score across the boundary", along, reading, keys, sizes, title, caption
    )
    around = np.nan_to_num(errors)
    low, high = _window([score - around, score + around, np.array([along.threshold])], canvas)
    x, y, spread = _crossed(stops, score, errors, along.threshold)
    parts = [
        (y >= along.threshold, accent(canvas.look), "solid"),
        (y <= along.threshold, series_colour(0, canvas.look), "dash"),
    ]
    if not judged:
        parts = [(np.isfinite(y), series_colour(0, canvas.look), "solid")]
    texts = [f"t = {number(t)}: {number(value, 4)}" for t, value in zip(x, y, strict=True)]
    curves = [
        Curve(
            x, np.where(part, y, math.nan), colour, dash=dash, name=key + _ROOM,
            low=np.where(part, y - spread, math.nan), high=np.where(part, y + spread, math.nan),
            hover="%{text}", texts=texts,
        )
        for (part, colour, dash), key in zip(parts, keys, strict=True)
    ]  # fmt: skip
    across = _across(stops)
    level = (along.threshold, along.threshold)
    mark = _mark(along, selected, curves, (low, high), canvas)
    said = []
    if judged:
        none = np.empty(0)
        curves.append(Curve(none, none, canvas.look.ink, bound=(across, level)))
        text, side, spot = canvas.beside(1.0, (f"threshold {number(along.threshold)}", "threshold"))
        at = across[0] + spot * (across[1] - across[0])
        said = [Label(at, along.threshold, text, f"top {side}", canvas.look.muted)]
    return _drawn(along, canvas, (low, high), curves, said, mark, SCORE_TITLES)


def _terms(
    along: DetectionAlong,
    *,
    selected: int | None,
    sizes: Mapping[str, Any],
    title: bool,
    caption: bool,
) -> Layers:
    stops, terms = along.stops.double().numpy(), along.terms.double().numpy()
    named = _largest(along)
    wide = _NAMES * (DEFAULT_WIDTH if sizes["width"] is None else sizes["width"])
    keys = [cut(along.class_names[label], wide, pixels(sizes["font_size"])) for label in named]
    known = int(np.isfinite(terms).any(axis=0).sum())
    reading = ["the class that is called has no term", "the largest term is recovered"]
    if known > len(named):
        reading.append(f"{len(named)} of {known} classes, and their mean over all: the score")
    canvas = _canvas(
        "Terms across the boundary", along, reading, [*keys, "score"], sizes, title, caption
    )
    score = along.score.double().numpy()
    low, high = _window([*(terms[:, label] for label in named), score], canvas)
    curves = [
        Curve(stops, terms[:, label], class_colour(label), name=key + _ROOM,
              hover=f"{key}, t = %{{x:.3g}}: %{{y:.4g}}")
        for label, key in zip(named, keys, strict=True)
    ]  # fmt: skip
    count = len(curves)
    curves.append(Curve(stops, score, canvas.look.ink, dash="dash", name="score" + _ROOM,
                        hover="score, t = %{x:.3g}: %{y:.4g}"))  # fmt: skip
    mark = _mark(along, selected, curves, (low, high), canvas)
    layers = _drawn(along, canvas, (low, high), curves, [], mark, _TERMS, named)
    return cased(layers, curves[:count], canvas)


def _canvas(
    what: str,
    along: DetectionAlong,
    reading: Sequence[str],
    keys: Sequence[str],
    sizes: Mapping[str, Any],
    title: bool,
    caption: bool,
) -> Canvas:
    own, other = (escaped(along.class_names[label]) for label in (along.own, along.other))
    heading = [
        title_of(what, along),
        f"own: {own}, other: {other}",
        f"‖<i>r</i>‖ = {number(along.distance)}",
        *measured_words(along),
        *progress_words(along),
    ]
    below = [
        CAUTION,
        *reading,
        "below: the class that is called, and the one recovered by the largest term",
    ]
    return Canvas.around(
        heading=heading if title else (),
        caption=below if caption else (),
        key=[key + _ROOM for key in keys],
        **sizes,
    )  # fmt: skip


def _drawn(
    along: DetectionAlong,
    canvas: Canvas,
    window: tuple[float, float],
    curves: list[Curve],
    labels: list[Label],
    mark: Label | None,
    titles: Sequence[str],
    named: Sequence[int] = (),
) -> Layers:
    """The curves, where the class changes, and below them two ribbons of classes."""
    low, high = window
    stops = along.stops.double().numpy()
    line = canvas.font * (high - low) / (canvas.tall - 2 * _RIBBON * canvas.font)
    bottom = low - 2 * _RIBBON * line
    across = _across(stops)
    between, middle = _changes(along), low - _RIBBON * line
    ribbons = [
        Ribbon.of("called", stops, along.labels.numpy(), middle, low, between=between),
        Ribbon.of("recovered", stops, along.recovered.numpy(), bottom, middle, between=between),
    ]
    changes = ribbons[0].changes
    nan = np.full(len(changes), math.nan)
    x = np.stack([changes, changes, nan], axis=1).ravel().tolist()
    y = [low, high, math.nan] * len(changes)
    # There are no more curves than a chart has, so one that has no such line yet takes it.
    free = [n for n, c in enumerate(curves) if c.bound is None and c.colour == canvas.look.ink][-1]
    curves[free] = dataclasses.replace(curves[free], bound=(x, y))
    room = MOST_CURVES - len(curves)
    filled, names = drawn_ribbons(
        ribbons, along.class_names, canvas, across, room=room, foremost=named
    )
    ticks = round_ticks(low, high, max(2, int(canvas.tall / (_TICK * canvas.font))))
    return chart_layers(
        canvas,
        Axis(across, _TITLES),
        Axis((bottom, high), titles, ticks=ticks, zero=True),
        curves=[*curves, *filled],
        labels=[*labels, *names],
        selected=mark,
    )


def _across(stops: np.ndarray) -> tuple[float, float]:
    low, high = float(stops.min()), float(stops.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _changes(along: DetectionAlong) -> np.ndarray:
    """Where the class changes between each two stops, if it does.

    That of the image changes at t = 1, the boundary point, where that lies between two stops;
    about other changes nothing is known, and halfway is as good as any place.
    """
    stops, labels = along.stops.double().numpy(), along.labels.numpy()
    leaves = (labels[:-1] == along.own) & (labels[1:] != along.own) & (labels[1:] >= 0)
    around = (stops[:-1] <= 1 + _ROUNDING) & (stops[1:] >= 1 - _ROUNDING)
    return np.where(leaves & around, 1.0, (stops[1:] + stops[:-1]) / 2)


def _window(values: Sequence[np.ndarray], canvas: Canvas) -> tuple[float, float]:
    """Ends of the axis, with room for a line of text above all values and zero."""
    known = np.concatenate([part[np.isfinite(part)] for part in values])
    low, high = min([0.0, *known]), max([0.0, *known])
    span = (high - low) or 1.0
    return low - 0.06 * span, high + (0.04 + 1.6 * canvas.font / canvas.tall) * span


def _crossed(
    x: np.ndarray, y: np.ndarray, spread: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same line with a point wherever it crosses the level."""
    with np.errstate(invalid="ignore"):
        at = np.flatnonzero((y[:-1] - level) * (y[1:] - level) < 0)
    share = (level - y[at]) / (y[at + 1] - y[at])
    between = [values[at] + share * (values[at + 1] - values[at]) for values in (x, spread)]
    return (
        np.insert(x, at + 1, between[0]),
        np.insert(y, at + 1, level),
        np.insert(spread, at + 1, between[1]),
    )


def _largest(along: DetectionAlong) -> list[int]:
    """The own class, and those whose terms are the largest ones most often, or are largest."""
    terms = along.terms.double().numpy()
    known = np.isfinite(terms)
    best = np.where(known, terms, -math.inf)
    often = np.bincount(best.argmax(axis=1)[known.any(axis=1)], minlength=terms.shape[1])
    order = np.lexsort((-best.max(axis=0), -often)).tolist()
    kept = [label for label in order if known[:, label].any()]
    first = [label for label in (along.own,) if label in kept]
    return [*first, *(label for label in kept if label not in first)][:_NAMED]


def _mark(
    along: DetectionAlong,
    selected: int | None,
    curves: Sequence[Curve],
    window: tuple[float, float],
    canvas: Canvas,
) -> Label | None:
    """The selected stop, its text where the curves leave room, unless its score is not known."""
    if selected is None or not math.isfinite(along.score[selected]):
        return None
    t, value = float(along.stops[selected]), float(along.score[selected])
    text = f"t = {number(t)}: {number(value)}"
    (left, right), (low, high) = _across(along.stops.double().numpy()), window
    across, up = canvas.wide / (right - left), canvas.tall / (high - low)
    wide, font = 1.1 * text_width(text, canvas.font) + 0.4 * canvas.font, canvas.font
    fine = np.linspace(left, right, _FINE)
    lines = [(curve.x, curve.y) for curve in curves]
    if math.isfinite(along.threshold):
        lines.append((np.array([left, right]), np.full(2, along.threshold)))

    def met(side: str) -> tuple[bool, int]:
        """Whether the text reaches out of the plot, and how often curves run through it."""
        signs = (1 if "top" in side else -1), (1 if "right" in side else -1)
        count = 0
        for places, values in lines:
            y = (np.interp(fine, places, values) - value) * up * signs[0]
            x = (fine - t) * across * signs[1]
            count += int(((x > 0) & (x < wide) & (y > 0) & (y < 1.6 * font)).sum())
        end = (t - left) * across + signs[1] * wide
        above = (value - low) * up + signs[0] * 1.6 * font
        return not (0 <= end <= canvas.wide + font and 0 <= above <= canvas.tall), count

    side = min(("top right", "top left", "bottom right", "bottom left"), key=met)
    return Label(t, value, text, side, accent(canvas.look))
