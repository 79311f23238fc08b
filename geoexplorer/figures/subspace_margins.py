"""How far the boundary is when a perturbation is confined to each of several subspaces."""

from __future__ import annotations

import math

import numpy as np

from geoexplorer.figures.bars import MOST_ROWS, ROW, rows_axis, whiskers
from geoexplorer.figures.chart import (
    DEFAULT_WIDTH,
    Axis,
    Canvas,
    Curve,
    Label,
    chart_layers,
    check_sizes,
    decades,
)
from geoexplorer.figures.curvature_summary import Band, check_band
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.result_words import counted, progress_words, title_of
from geoexplorer.figures.series import series_colour
from geoexplorer.figures.shown import figure_of
from geoexplorer.figures.text import cut, number, text_width
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.subspace_margins import SubspaceMargins

__all__ = ["subspace_margins_figure", "subspace_margins_layers"]

_ROOM = 2 * " "  # beside each name
_NAMES = 0.35  # of the width, at most
_RANGE = 20.0  # of largest to smallest distance, from which on the axis is logarithmic
_TITLES = ("distance of the boundary in the subspace · l2 in pixel values",
           "distance in the subspace · l2", "distance · l2", "distance")  # fmt: skip


def subspace_margins_layers(
    found: SubspaceMargins,
    *,
    band: Band = (0.25, 0.75),
    axis: str | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw the median distance to the boundary in each subspace.

    Beside its name stands its dimension: only distances in subspaces of one dimension compare.

    Parameters
    ----------
    found
        What :func:`geoexplorer.subspace_margins` gives.
    band
        The two quantiles over the images that the line spans. An image whose boundary was not
        reached in the subspace counts as infinitely far.
    axis
        Of the distances: ``"linear"``, ``"log"``, or None for the one that suits their range.
    theme, width, height, font_size, title, caption
        As for shared directions. The height follows from the number of rows, at most 24.

    Raises
    ------
    ValueError
        For an option that is not as described, or a size that leaves no room for the plot.
    """
    check_band(band)
    if axis not in (None, "linear", "log"):
        raise ValueError(f"axis must be 'linear', 'log' or None, got {axis!r}")
    check_sizes(width, height, font_size)
    font = pixels(font_size)
    names, brackets = _labels(found, _NAMES * (DEFAULT_WIDTH if width is None else width), font)
    count = len(names)
    median, low, high = (_quantile(found, q)[:count] for q in (0.5, *band))
    shown = np.concatenate([median, low, high])
    shown = shown[np.isfinite(shown)]
    positive = shown[shown > 0]
    wide_range = len(positive) > 0 and float(shown.max()) > _RANGE * float(positive.min())
    log = len(positive) > 0 and (axis == "log" or (axis is None and wide_range))
    n = found.distances.shape[1]
    images = "not yet measured" if n == 0 else counted(n, "image")
    shares = " to ".join(f"{100 * end:.3g}" for end in band)
    reading = [f"dot: median over the images, line: {shares} % of them"] if n > 1 else []
    if bool((found.reached[:count] < 1).any()):
        reading.append("a boundary that was not reached counts as infinitely far")
    if brackets:
        reading.append("in brackets: the dimension")
    if count < len(found.names):
        reading.append(f"{count} of {len(found.names)} subspaces")
    reading.append("upper bounds of the true distances")
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=[title_of("Margins in subspaces", found), images, *progress_words(found)]
        if title
        else (),
        caption=reading if caption else (),
        rows=[name + _ROOM for name in names],
        plot_height=max(5.0, ROW * count) * font,
    )
    texts = [_said(found, row, float(median[row])) for row in range(count)]
    if max(text_width(text, font) for text in texts) > 0.5 * canvas.wide:
        texts = [_said(found, row, float(median[row]), short=True) for row in range(count)]
    # Beyond every line stands its text.
    taken = min((max(text_width(text, font) for text in texts) + font) / canvas.wide, 0.7)
    start = math.log10(float(positive.min())) if log else 0.0
    stop = float(shown.max()) if len(shown) else 1.0
    stop = (math.log10(stop) if log else stop) or (0.0 if log else 1.0)
    span = (stop - start) or 1.0
    across = (start - 0.06 * span * log, start + span / (1.0 - taken))
    edge = start + span * (1.0 + 0.02 / (1.0 - taken))
    ends = np.where(np.isposinf(high), 10.0**edge if log else edge, high)
    ends = np.where(np.isfinite(low), ends, math.nan)
    x, y = whiskers(np.where(np.isfinite(low), low, math.nan), ends)
    rows = np.arange(count, dtype=np.float64)
    ink = series_colour(0, canvas.look)
    curves = [
        Curve(x, y, ink),
        Curve(median, rows, ink, mode="markers", hover="%{text}", texts=texts),
    ]
    labels = []
    for row, text in enumerate(texts):
        at = max([v for v in (median[row], ends[row]) if np.isfinite(v)],
                 default=10.0 ** across[0] if log else across[0])  # fmt: skip
        arrow = "→" if np.isposinf(high[row]) else ""
        labels.append(Label(float(at), row, f" {arrow} {text}", "middle right", canvas.look.ink))
    return chart_layers(
        canvas,
        Axis(across, _TITLES, kind="log", ticks=_ticks(across, canvas))
        if log
        else Axis(across, _TITLES),
        rows_axis(names),
        curves=curves,
        labels=labels,
    )


subspace_margins_figure = figure_of(subspace_margins_layers)


def _labels(found: SubspaceMargins, room: float, font: float) -> tuple[list[str], bool]:
    """Names with dimensions for the rows, and whether these stand in brackets, for want of room."""
    rows = list(zip(found.names, found.dimensions, strict=True))[:MOST_ROWS]
    said = [f", {m} dimension{'s' * (m != 1)}" for _, m in rows]
    names = [name.removesuffix(end) for (name, _), end in zip(rows, said, strict=True)]
    brackets = any(
        text_width(name + end, font) > room for name, end in zip(names, said, strict=True)
    )
    ends = [f" ({m})" for _, m in rows] if brackets else said
    shown = zip(names, ends, strict=True)
    return [cut(name, room - text_width(end, font), font) + end for name, end in shown], brackets


def _quantile(found: SubspaceMargins, q: float) -> np.ndarray:
    """Over the images; infinite where too few were reached, NaN where they are not known yet."""
    if found.distances.shape[1] == 0:
        return np.full(len(found.names), math.nan)
    values: np.ndarray = found.quantile(q).double().numpy()
    return np.where(found.distances.isnan().any(dim=1).numpy(), math.nan, values)


def _said(found: SubspaceMargins, row: int, median: float, *, short: bool = False) -> str:
    """The median, and how many images were reached if not all of them."""
    distances = found.distances[row]
    if len(distances) == 0 or bool(distances.isnan().any()):
        return "not yet"
    reached = int(distances.isfinite().sum())
    value = number(median) if math.isfinite(median) else "∞"
    if reached == len(distances):
        return value
    return (
        f"{value}, {reached}/{len(distances)}"
        if short
        else (f"{value}, reached in {reached:,} of {len(distances):,}")
    )


def _ticks(across: tuple[float, float], canvas: Canvas) -> dict[str, object]:
    """Powers of ten, with 2 and 5 between them where there are few."""
    low, high = across
    if high - low > 2:
        return decades(10.0**low, 10.0**high)
    least = 3.0 * canvas.font * (high - low) / canvas.wide
    values: list[float] = []
    for power in range(math.floor(low), math.ceil(high) + 1):
        for factor in (1.0, 2.0, 5.0):
            place = math.log10(factor) + power
            if low <= place <= high and (not values or place - math.log10(values[-1]) >= least):
                values.append(factor * 10.0**power)
    return {"tickmode": "array", "tickvals": values, "ticktext": [f"{v:.3g}" for v in values]}
