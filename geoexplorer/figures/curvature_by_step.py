"""Curvatures against the step h at which they are measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from geoexplorer.figures.chart import (
    MOST_CURVES,
    Axis,
    Canvas,
    Curve,
    Label,
    chart_layers,
    decades,
    padded,
)
from geoexplorer.figures.curvature_summary import (
    Band,
    Spread,
    caption_words,
    check_band,
    common_and_own,
    compared,
    heading_words,
    spread_words,
)
from geoexplorer.figures.curvature_words import AXIS_TITLES, method_name, sign_words, value_words
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.scales import scale_for
from geoexplorer.figures.series import series_colour, series_dash
from geoexplorer.figures.text import escaped, number
from geoexplorer.geometry.curvature_by_step import CurvatureByStep

__all__ = ["by_step_layers"]

_COLOURS = 6
_TITLES = ("step h · l2 distance in pixel values", "step h · l2 distance", "h")


def by_step_layers(
    curvatures: CurvatureByStep,
    *,
    compare: Mapping[str, CurvatureByStep] | None = None,
    name: str | None = None,
    band: Band = (0.1, 0.9),
    axis: str = "linear",
    found_at: float | None = None,
    class_names: Sequence[str] | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw curvatures against the step, a curve for each direction.

    With several directions colours stand for directions and dashes for methods; no more than six
    directions are drawn, the first ones, and twelve curves.

    Parameters
    ----------
    curvatures
        What :func:`geoexplorer.curvature_by_step` gives.
    compare
        The same directions by other methods, by their names.
    name
        What the result itself is called beside them; its method by default.
    found_at
        The step that directions were found at, such as principal ones: it is marked, since at
        another step they need not be principal.
    band, axis, class_names, theme, width, height, font_size, title, caption
        As for principal curvatures.

    Raises
    ------
    TypeError
        If ``compare`` is no mapping to results of the same kind.
    ValueError
        For an option that is not as described, or a size that leaves no room for the plot.
    """
    check_band(band)
    if found_at is not None and not (math.isfinite(found_at) and found_at > 0):
        raise ValueError(f"found_at must be a positive step or None, got {found_at!r}")
    name = method_name(curvatures.method) if name is None else name
    results = compared(curvatures, compare, name)
    one = len(results) == 1
    # A line for the default step takes a place among the curves.
    count = min(_COLOURS, MOST_CURVES // len(results) - 1)
    directions = {key: min(result.values.shape[1], count) for key, result in results.items()}
    spreads = {
        key: [
            Spread.of(result.values[:, row].double().numpy(), band)
            for row in range(directions[key])
        ]
        for key, result in results.items()
    }
    every = [spread for rows in spreads.values() for spread in rows]
    measure = scale_for(axis, np.concatenate([spread.mean for spread in every]))
    places = measure.place(np.concatenate([np.concatenate([s.low, s.high]) for s in every]))
    places = places[np.isfinite(places)]
    low, high = padded(min([0.0, *places]), max([0.0, *places]))

    facts, own = common_and_own(results, steps=False)
    heading = heading_words("Curvature", results, facts, class_names)
    heading[0] += " against the step h"
    names = {key: _names(result, key, len(results)) for key, result in results.items()}
    shown = [label for key in results for label in names[key][: directions[key]]]
    reading = spread_words(results.values(), band)
    total = max(result.values.shape[1] for result in results.values())
    if total > count:
        reading.append(f"{count} of {total} directions")
    errors = {key: _errors(result) for key, result in results.items()}
    if any(each.any() for each in errors.values()):
        reading.append("bars: one standard error")
    if found_at is not None:
        reading.append(f"direction found at h = {number(found_at)}; other h have others")
    reading += sign_words(list(results.values()), class_names)
    reading += [*caption_words(results, own), *measure.words]
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=heading if title else (),
        caption=reading if caption else (),
        key=shown,
        note=True,
    )

    curves = []
    by_direction = max(directions.values()) > 1
    for series, (key, result) in enumerate(results.items()):
        steps = np.array(result.steps)
        for row, spread in enumerate(spreads[key]):
            several = len(result) > 1
            colour = row if by_direction else series
            texts = [
                f"h = {number(step)}: κ = {value_words(value, error)}"
                for step, value, error in zip(
                    result.steps, spread.mean.tolist(), errors[key][row].tolist(), strict=True
                )
            ]
            curves.append(
                Curve(
                    steps,
                    measure.place(spread.mean),
                    series_colour(colour, canvas.look),
                    dash=series_dash(series if by_direction and not one else colour),
                    mode="lines+markers",
                    name=names[key][row] if len(shown) > 1 else "",
                    low=measure.place(spread.low) if several else None,
                    high=measure.place(spread.high) if several else None,
                    errors=errors[key][row] if errors[key].any() and axis == "linear" else None,
                    hover="%{text}",
                    texts=texts,
                )
            )
    edges = [step for result in results.values() for step in result.steps]
    defaults = sorted({result.step for result in results.values() if result.step > 0})
    marked: list[tuple[list[float], str]] = [(defaults, "default h")] if defaults else []
    if found_at is not None:
        marked.append(([found_at], "found at h"))
        if any(math.isclose(found_at, step, rel_tol=1e-3) for step in defaults):
            marked = [(defaults, "default h, where it was found")]
    lines = [step for where, _ in marked for step in where]
    across = padded(math.log10(min(edges + lines)), math.log10(max(edges + lines)), 0.03)
    none = np.empty(0)
    curves += [
        Curve(none, none, canvas.look.muted, bound=((step, step), (low, high))) for step in lines
    ]
    labels = []
    for row, (where, what) in enumerate(marked):
        at = (math.log10(where[-1]) - across[0]) / (across[1] - across[0])
        text = f"{what} = {' and '.join(map(number, where))}"
        first = "left" if where[-1] < max(lines) else "right"  # no line goes through a text
        said, side, place = canvas.beside(at, (text, what), first=first)
        # One above the plot, the other just below its upper end.
        top = high - 0.01 * (high - low)
        spot = 10.0 ** (across[0] + place * (across[1] - across[0]))
        up = "bottom" if row else "top"
        labels.append(Label(spot, top, said, f"{up} {side}", canvas.look.muted))
    return chart_layers(
        canvas,
        Axis(across, _TITLES, kind="log", ticks=_ticks(across)),
        Axis(
            (low, high),
            AXIS_TITLES,
            ticks=measure.ticks((low, high), 1.5 * canvas.font * (high - low) / canvas.tall),
            zero=True,
        ),
        curves=curves,
        labels=labels,
    )


def _errors(result: CurvatureByStep) -> np.ndarray:
    """Standard errors ``(m, s)`` of a single point, 0 for several."""
    if len(result) > 1:
        return np.zeros(result.values.shape[1:])
    return np.nan_to_num(result.standard_errors[0].double().numpy())


def _names(result: CurvatureByStep, key: str, results: int) -> list[str]:
    """Directions, methods, or both, whichever there are several of."""
    if results == 1:
        return [escaped(name) for name in result.direction_names]
    if len(result.direction_names) == 1:
        return [escaped(key)]
    return [f"{escaped(name)}, {escaped(key)}" for name in result.direction_names]


def _ticks(across: tuple[float, float]) -> dict[str, object]:
    """Powers of ten, with 2 and 5 between them where there are few."""
    low, high = 10.0 ** across[0], 10.0 ** across[1]
    if across[1] - across[0] > 2:
        return decades(low, high)
    powers = range(math.floor(across[0]), math.ceil(across[1]) + 1)
    values = [factor * 10.0**power for power in powers for factor in (1.0, 2.0, 5.0)]
    values = [value for value in values if low <= value <= high]
    texts = [f"{value:.3g}" for value in values]
    return {"tickmode": "array", "tickvals": values, "ticktext": texts}
