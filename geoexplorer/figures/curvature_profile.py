"""Profiles: all principal curvatures in descending order, against their index."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from geoexplorer.figures.chart import Axis, Canvas, Curve, Label, chart_layers, padded
from geoexplorer.figures.curvature_summary import (
    Band,
    Bound,
    Spread,
    bound_of,
    caption_words,
    common_and_own,
    heading_words,
    spread_words,
)
from geoexplorer.figures.curvature_words import AXIS_TITLES, sign_words, value_words
from geoexplorer.figures.index_axis import IndexAxis, Placed, Spectrum
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.level_lines import lower_end
from geoexplorer.figures.scales import Scale, scale_for
from geoexplorer.figures.series import accent, series_colour, series_dash
from geoexplorer.figures.text import bare, first_fitting, number, text_width
from geoexplorer.geometry.curvature import PrincipalCurvatures

__all__ = ["profile_layers", "value_at"]

_SPARSE = 0.5  # lines of text between two points that are marked one by one
_MOST_TEXTS = 400
_UNDER = 0.3  # lines of text from a line to the text below it


def profile_layers(
    results: Mapping[str, PrincipalCurvatures],
    *,
    sizes: Mapping[str, object],
    class_names: Sequence[str] | None,
    band: Band,
    axis: str,
    index: str,
    ends: int | None,
    selected: int | None,
    title: bool,
    caption: bool,
) -> Layers:
    """The view ``"profile"``; for the arguments see ``principal_figure``."""
    first = next(iter(results.values()))
    spectra = [Spectrum.of(result) for result in results.values()]
    indices = IndexAxis.of(spectra, ends, index)
    placed = [indices.placed(spectrum) for spectrum in spectra]
    spreads = [
        Spread.of(result.values.double().numpy()[:, place.columns], band)
        for result, place in zip(results.values(), placed, strict=True)
    ]
    shown = np.concatenate([np.concatenate([s.mean, s.low, s.high]) for s in spreads])
    measure = scale_for(axis, np.concatenate([spread.mean for spread in spreads]))
    facts, own = common_and_own(results)
    names = list(own)
    heading = heading_words("Principal curvatures", results, facts, class_names)
    canvas = Canvas.around(
        heading=heading if title else (),
        caption=[*_reading(results, own, indices, band, class_names), *measure.words]
        if caption
        else (),
        key=names if len(results) > 1 else (),
        **sizes,  # type: ignore[arg-type]
    )

    bounds = bound_of(list(results.values()))
    low, high = _window(measure.place(shown), measure, bounds, canvas)
    curves = []
    for number_, (spread, place, bound) in enumerate(zip(spreads, placed, bounds, strict=True)):
        colour = series_colour(number_, canvas.look)
        x, mean = _broken(place, place.x), _broken(place, measure.place(spread.mean))
        several = len(list(results.values())[number_]) > 1
        dense = len(place.x) * _SPARSE * canvas.font > canvas.wide
        plain = axis == "linear" and indices.ends is None and index == "linear" and indices.shared
        texts = None
        if not plain and len(place.x) <= _MOST_TEXTS:
            texts = _broken_texts(place, spread.mean)
        inside = bound is not None and low <= float(measure.place(bound.value)) <= high
        level = float(measure.place(bound.value)) if bound is not None else math.nan
        curves.append(
            Curve(
                x,
                mean,
                colour,
                dash=series_dash(number_),
                mode="lines" if dense else "lines+markers",
                name=names[number_] if len(results) > 1 else "",
                low=_broken(place, measure.place(spread.low)) if several else None,
                high=_broken(place, measure.place(spread.high)) if several else None,
                bound=(indices.window, (level, level)) if inside else None,
                hover="κ %{x:,} = %{y:.4g}" if plain else "%{text}" if texts else None,
                texts=texts,
            )
        )
    labels = _bound_labels(bounds, curves, indices, measure, (low, high), canvas)
    mark = None
    if selected is not None:
        mark = _mark(first, selected, indices, measure, spreads[0], placed[0], canvas)
        levels = [curve.bound[1][0] for curve in curves if curve.bound is not None]
        labels = [_clear_of(label, mark, indices, (low, high), canvas, levels) for label in labels]
        curves = [_open_at(curve, mark, indices, (low, high), canvas) for curve in curves]
    return chart_layers(
        canvas,
        Axis(indices.window, indices.titles, ticks=indices.ticks(canvas.wide, canvas.font)),
        Axis(
            (low, high),
            AXIS_TITLES,
            ticks=measure.ticks((low, high), 1.5 * canvas.font * (high - low) / canvas.tall),
            zero=True,
        ),
        curves=curves,
        labels=labels,
        selected=mark,
    )


def value_at(
    result: PrincipalCurvatures,
    x: float,
    *,
    compare: Mapping[str, PrincipalCurvatures] | None = None,
    index: str = "linear",
    ends: int | None = None,
) -> int | None:
    """The value nearest to a place on the horizontal axis of a profile.

    Parameters
    ----------
    result
        The curvatures that are drawn.
    x
        In the coordinates of the plot, as a click reports it.
    compare, index, ends
        The options that the profile was drawn with.

    Returns
    -------
    int or None
        The column of ``result.values``, for ``selected``, ``result.values[:, i]`` and
        ``result.directions[:, i]``; None in the gap between the ends.
    """
    spectra = [Spectrum.of(each) for each in (result, *(compare or {}).values())]
    return IndexAxis.of(spectra, ends, index).column_at(spectra[0], x)


def _window(
    places: np.ndarray, measure: Scale, bounds: Sequence[Bound | None], canvas: Canvas
) -> tuple[float, float]:
    """Ends of the axis of κ: all curves, zero, and the bounds unless they are far away."""
    known = places[np.isfinite(places)]
    if len(known) == 0:
        return -1.0, 1.0
    high = max(float(known.max()), 0.0)
    low = lower_end(min(float(known.min()), 0.0), high, bounds, measure)
    below, above = padded(low, high, max(0.06, canvas.font / canvas.tall))
    return below - canvas.font * (high - low) / canvas.tall, above


def _bound_labels(
    bounds: Sequence[Bound | None],
    curves: Sequence[Curve],
    axis: IndexAxis,
    measure: Scale,
    window: tuple[float, float],
    canvas: Canvas,
) -> list[Label]:
    """One text for the lines: above them as far as no curve comes down to it, else below."""
    known = [bound for bound in bounds if bound is not None]
    if not known:
        return []
    (low, high), (start, stop) = window, axis.window
    levels = [float(measure.place(bound.value)) for bound in known]
    levels = [level for level in levels if low <= level <= high]
    unit = (stop - start) / canvas.wide
    whole = canvas.wide - 0.8 * canvas.font
    top = max(levels, default=low) + 1.6 * canvas.font * (high - low) / canvas.tall
    lower = [curve.y if curve.low is None else curve.low for curve in curves]
    meets = [curve.x[y < top] for curve, y in zip(curves, lower, strict=True)]
    room = (min([stop, *(float(x.min()) for x in meets if len(x))]) - start) / unit
    left, colour = start + 0.4 * canvas.font * unit, canvas.look.muted
    *texts, _ = known[0].texts
    if not levels:
        texts = list(known[0].far)
        fitting = first_fitting(texts, room - 0.8 * canvas.font, canvas.font)
        return [Label(left, low, fitting or texts[-1], "top right", colour)]
    fitting = first_fitting(texts, room - 0.8 * canvas.font, canvas.font)
    if fitting is not None:
        return [Label(left, max(levels), fitting, "top right", colour)]
    fitting = first_fitting(texts, whole, canvas.font) or texts[-1]
    under = min(levels) - _UNDER * canvas.font * (high - low) / canvas.tall
    return [Label(left, under, fitting, "bottom right", colour)]


def _mark(
    result: PrincipalCurvatures,
    selected: int,
    axis: IndexAxis,
    measure: Scale,
    spread: Spread,
    place: Placed,
    canvas: Canvas,
) -> Label:
    count = result.values.shape[1]
    column = selected % count
    at = np.flatnonzero(place.columns == column)
    if len(at):
        x, value, index = (
            float(place.x[at[0]]),
            float(spread.mean[at[0]]),
            int(place.indices[at[0]]),
        )
    else:  # between the ends, where there is a gap
        x, index = axis.middle, column + 1
        rows = result.values[:, column].double()
        value = float(rows[rows.isfinite()].mean()) if rows.isfinite().any() else math.nan
    low, high = axis.window
    mean, error = "mean " if len(result) > 1 else "", 0.0
    if len(result) == 1 and result.standard_errors is not None:
        error = float(result.standard_errors[0, column])
    text = f"{mean}κ<sub>{index}</sub> = {value_words(value, error)}"
    # A curve that descends leaves room above it to the right, and below it to the left.
    room = canvas.wide * (high - x) / (high - low)
    side = "top right" if room > text_width(text, canvas.font) else "bottom left"
    return Label(x, float(measure.place(value)), text, side, accent(canvas.look))


def _clear_of(
    label: Label,
    mark: Label,
    axis: IndexAxis,
    window: tuple[float, float],
    canvas: Canvas,
    levels: Sequence[float],
) -> Label:
    """The label below all lines where the text of the mark is above its own."""
    (left, right), (low, high) = axis.window, window
    up, across = canvas.tall / (high - low), canvas.wide / (right - left)
    away = (mark.y - label.y) * up / canvas.font
    start = (mark.x - left) * across - _mark_width(mark, canvas)
    meets = start < text_width(bare(label.text), canvas.font) + canvas.font
    if label.side == "top right" and mark.side == "bottom left" and meets and -0.5 < away < 3.0:
        return dataclasses.replace(
            label, side="bottom right", y=min([label.y, *levels]) - _UNDER * canvas.font / up
        )
    return label


def _mark_width(mark: Label, canvas: Canvas) -> float:
    """In pixels; it is bold."""
    return 1.08 * text_width(re.sub("</?sub>", "", bare(mark.text)), canvas.font)


def _open_at(
    curve: Curve, mark: Label, axis: IndexAxis, window: tuple[float, float], canvas: Canvas
) -> Curve:
    """The curve, the line of its bound left out where the text of the mark stands on it."""
    if curve.bound is None:
        return curve
    (left, right), (low, high) = axis.window, window
    (start, stop), (level, _) = curve.bound
    away = (level - mark.y) * canvas.tall / (high - low) / canvas.font
    side = 1 if mark.side == "top right" else -1
    if not 0 < side * away < 2.0:
        return curve
    unit = (right - left) / canvas.wide
    far = mark.x + side * unit * (_mark_width(mark, canvas) + 0.5 * canvas.font)
    first, last = sorted((mark.x, far))
    ends = [start, max(first, start), math.nan, min(last, stop), stop]
    return dataclasses.replace(curve, bound=(ends, [level, level, math.nan, level, level]))


def _reading(
    results: Mapping[str, PrincipalCurvatures],
    own: Mapping[str, str],
    axis: IndexAxis,
    band: Band,
    class_names: Sequence[str] | None,
) -> list[str]:
    """How the picture is read."""
    parts = spread_words(results.values(), band)
    if axis.ends is not None:
        parts.append(f"the {axis.ends[0]} values at either end")
    parts += sign_words(list(results.values()), class_names)
    parts += caption_words(results, own, asymmetries=True)
    for name, result in zip(own, results.values(), strict=True):
        known = result.values.isfinite()
        unsure = int((known & ~result.converged).sum())
        if unsure:
            label = f"{name}: " if len(results) > 1 else ""
            parts.append(f"{label}{unsure:,} of {int(known.sum()):,} values not converged")
    return parts


def _broken(place: Placed, values: np.ndarray) -> np.ndarray:
    """With NaN in the gap."""
    if place.cut >= len(values):
        return values
    return np.insert(np.asarray(values, dtype=float), place.cut, math.nan)


def _broken_texts(place: Placed, means: np.ndarray) -> list[str]:
    texts = [
        f"κ {index:,} = {number(value, 4)}"
        for index, value in zip(place.indices.tolist(), means.tolist(), strict=True)
    ]
    if place.cut < len(texts):
        texts.insert(place.cut, "")
    return texts
