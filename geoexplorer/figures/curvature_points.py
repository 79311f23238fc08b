"""Single numbers: the mean curvature of each point, and the curvature along each direction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from geoexplorer.figures.bars import ROW, bars, rows_axis, whiskers
from geoexplorer.figures.chart import (
    DEFAULT_WIDTH,
    Axis,
    Canvas,
    Curve,
    Label,
    chart_layers,
    check_sizes,
    padded,
)
from geoexplorer.figures.curvature_summary import (
    Band,
    Spread,
    caption_words,
    check_band,
    common_and_own,
    heading_words,
    spread_words,
)
from geoexplorer.figures.curvature_words import AXIS_TITLES, sign_words, value_words
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.series import series_colour
from geoexplorer.figures.text import cut, number, round_step, text_width
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.mean_curvature import MeanCurvature
from geoexplorer.geometry.normal_curvature import NormalCurvature

__all__ = ["mean_layers", "normal_layers"]

_MOST_BARS = 24
_NAMES = 0.4  # of the width, at most
_MEAN_TITLES = (
    "mean curvature · 1 / l2 unit of pixel values",
    "mean κ · 1 / l2 unit",
    "mean κ",
)


def mean_layers(
    curvatures: MeanCurvature,
    *,
    class_names: Sequence[str] | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw the mean curvature of each boundary point with its standard error.

    Parameters
    ----------
    curvatures
        What :func:`geoexplorer.mean_curvature` gives.
    class_names, theme, width, height, font_size, title, caption
        As for principal curvatures.

    Raises
    ------
    ValueError
        For an unknown theme, or a size that leaves no room for the plot.
    """
    results = {"": curvatures}
    facts, own = common_and_own(results)
    facts.append(f"{curvatures.probes:,} probes")
    heading = heading_words("Mean curvature", results, facts, class_names)
    values = curvatures.values.double().numpy()
    errors = np.nan_to_num(curvatures.standard_errors.double().numpy())
    known = np.isfinite(values)
    reading = ["trace(G) / (<i>d</i> − 1) at each point, bars: one standard error"]
    several = int(known.sum()) > 1
    mean = float(values[known].mean()) if several else math.nan
    if several:
        reading.append(f"dotted: mean of the images, {number(mean)}")
    reading += [*sign_words([curvatures], class_names), *caption_words(results, own)]
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=heading if title else (),
        caption=reading if caption else (),
    )
    count = len(values)
    ends = [0.0, *(values - errors)[known], *(values + errors)[known]]
    low, high = padded(min(ends), max(ends))
    positions = np.arange(count)
    across = (-0.5, count - 0.5)
    bound = (across, (mean, mean)) if several else None
    texts = [
        f"image {index}: {number(value, 4)} ± {number(error, 2)}"
        for index, value, error in zip(positions, values, errors, strict=True)
    ]
    step = max(1, int(round_step(count, canvas.wide / (3.0 * canvas.font))))
    return chart_layers(
        canvas,
        Axis(
            across,
            ("number of the image, from 0", "number of the image"),
            ticks={"tickmode": "linear", "dtick": step, "tick0": 0},
        ),
        Axis((low, high), _MEAN_TITLES, zero=True),
        curves=[
            Curve(
                positions,
                values,
                series_colour(0, canvas.look),
                mode="markers",
                errors=errors,
                bound=bound,
                hover="%{text}",
                texts=texts,
            )
        ],
    )


def normal_layers(
    curvatures: NormalCurvature,
    *,
    band: Band = (0.1, 0.9),
    class_names: Sequence[str] | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw the curvature along each direction as a bar; of many points the mean and a band.

    Parameters
    ----------
    curvatures
        What :func:`geoexplorer.normal_curvature` gives.
    band
        The two quantiles over the points that the line across a bar spans.
    class_names, theme, width, height, font_size, title, caption
        As for principal curvatures. The height follows from the number of bars by default.

    Raises
    ------
    ValueError
        For a band that is none, an unknown theme, or a size that leaves no room for the plot.
    """
    check_band(band)
    check_sizes(width, height, font_size)
    results = {"": curvatures}
    facts, own = common_and_own(results)
    heading = heading_words("Normal curvature", results, facts, class_names)
    count = min(curvatures.values.shape[1], _MOST_BARS)
    spread = Spread.of(curvatures.values[:, :count].double().numpy(), band)
    reading = spread_words([curvatures], band, mean="bar", ends="line")
    errors = np.zeros(count)
    if len(curvatures) == 1:
        errors = np.nan_to_num(curvatures.standard_errors[0, :count].double().numpy())
        if errors.any():
            spread = Spread(spread.mean, spread.mean - errors, spread.mean + errors)
            reading.append("line: one standard error")
    if count < curvatures.values.shape[1]:
        reading.append(f"{count} of {curvatures.values.shape[1]} directions")
    reading += [*sign_words([curvatures], class_names), *caption_words(results, own)]
    font = pixels(font_size)
    room = _NAMES * (DEFAULT_WIDTH if width is None else width)
    names = [cut(name, room, font) for name in curvatures.direction_names[:count]]
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=heading if title else (),
        caption=reading if caption else (),
        rows=names,
        plot_height=max(5.0, ROW * count) * font,
    )
    ends = np.concatenate([spread.mean, spread.low, spread.high, [0.0]])
    ends = ends[np.isfinite(ends)]
    # Beside every bar stands its value.
    values = [value_words(*value) for value in zip(spread.mean, errors, strict=True)]
    widest = max(text_width(text, font) for text in ("−0.0000", *values))
    share = (widest + 0.6 * font) / canvas.wide
    share /= max(1 - 2 * share, 0.2)
    low, high = padded(float(ends.min()), float(ends.max()), share)
    x, y = whiskers(spread.low, spread.high)
    labels = [
        _value(row, mean, text, (start, stop), canvas)
        for row, (mean, text, start, stop) in enumerate(
            zip(spread.mean, values, spread.low, spread.high, strict=True)
        )
    ]
    return chart_layers(
        canvas,
        Axis((low, high), AXIS_TITLES, zero=True),
        rows_axis(names),
        curves=[
            Curve(x, y, series_colour(0, canvas.look), area=bars(np.zeros(count), spread.mean))
        ],
        labels=labels,
    )


def _value(row: int, value: float, text: str, line: tuple[float, float], canvas: Canvas) -> Label:
    """The mean, beyond the bar and its line."""
    if not math.isfinite(value):
        return Label(0.0, row, " no value", "middle right", canvas.look.muted)
    end, side = (min(value, *line), "left") if value < 0 else (max(value, *line), "right")
    return Label(end, row, f" {text} ", f"middle {side}", canvas.look.ink)
