"""How much of different vectors lies in one subspace, beside what random vectors have."""

from __future__ import annotations

import numpy as np

from geoexplorer.figures.bars import ROW, bars, row_names, rows_axis, whiskers
from geoexplorer.figures.chart import (
    Axis,
    Canvas,
    Curve,
    Label,
    chart_layers,
    check_sizes,
)
from geoexplorer.figures.curvature_summary import Band, Spread, check_band
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.result_words import progress_words, title_of
from geoexplorer.figures.series import series_colour
from geoexplorer.figures.shown import figure_of
from geoexplorer.figures.text import escaped, number, text_width
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.subspace_shares import SubspaceShares

__all__ = ["subspace_shares_figure", "subspace_shares_layers"]

_ROOM = 2 * " "  # beside each name
_NAMES = 0.35  # of the width, at most


def subspace_shares_layers(
    found: SubspaceShares,
    *,
    band: Band = (0.1, 0.9),
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw the mean share of each kind of vector in the subspace as a bar.

    Parameters
    ----------
    found
        What :func:`geoexplorer.subspace_shares` gives.
    band
        The two quantiles over the vectors that the line across a bar spans.
    theme, width, height, font_size, title, caption
        As for shared directions. The height follows from the number of rows, at most 24.

    Raises
    ------
    ValueError
        For an option that is not as described, or a size that leaves no room for the bars.
    """
    check_band(band)
    check_sizes(width, height, font_size)
    font = pixels(font_size)
    names = row_names(found.names, width, font, _NAMES)
    count = len(names)
    sets = [Spread.of(share.double().numpy()[:, None], band) for share in found.shares[:count]]
    mean, low, high = (
        np.concatenate([getattr(spread, end) for spread in sets]) for end in ("mean", "low", "high")
    )
    shares = " to ".join(f"{100 * end:.3g}" for end in band)
    reading = [
        "bar: mean of ‖P<sub>S</sub> <i>v</i>‖ / ‖<i>v</i>‖",
        f"line: {shares} % of the vectors",
        "dotted: √(<i>m</i>/<i>d</i>), root mean square of random vectors",
        _counts(found),
    ]
    if count < len(found.names):
        reading.append(f"{count} of {len(found.names)} kinds of vectors")
    effort = found.provenance.options.get("points")
    if effort:
        reading.append(f"perturbations: nearest_boundary, {escaped(str(effort))}")
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=_heading(found) if title else (),
        caption=reading if caption else (),
        rows=[name + _ROOM for name in names],
        plot_height=max(5.0, ROW * count) * font,
        note=True,
    )
    taken = (text_width("0.000", font) + 0.8 * font) / canvas.wide
    across = (0.0, 1.0 / (1.0 - min(taken, 0.5)))
    x, y = whiskers(low, high)
    top = count - 0.5, -0.5
    random = Curve(
        np.empty(0), np.empty(0), canvas.look.muted,
        bound=((found.expected, found.expected), top),
    )  # fmt: skip
    value = number(found.expected)
    said = (f"random: √(<i>m</i>/<i>d</i>) = {value}", f"random {value}")
    labels = [canvas.upright(found.expected, across, -0.5, said)]
    for row, (middle, end) in enumerate(zip(mean, high, strict=True)):
        if np.isfinite(middle):
            at, words, colour = max(middle, end), number(middle), canvas.look.ink
        else:
            at, words, colour = 0.0, "no value", canvas.look.muted
        labels.append(Label(float(at), row, f" {words}", "middle right", colour))
    ticks = {"tickmode": "array", "tickvals": [0.0, 0.25, 0.5, 0.75, 1.0],
             "ticktext": ["0", "0.25", "0.5", "0.75", "1"]}  # fmt: skip
    return chart_layers(
        canvas,
        Axis(across, ("share in the subspace, ‖P<sub>S</sub> <i>v</i>‖ / ‖<i>v</i>‖", "share"),
             ticks=ticks),
        rows_axis(names),
        curves=[
            Curve(x, y, series_colour(0, canvas.look), area=bars(np.zeros(count), mean)),
            random,
        ],
        labels=labels,
    )  # fmt: skip


subspace_shares_figure = figure_of(subspace_shares_layers)


def _heading(found: SubspaceShares) -> list[str]:
    return [
        title_of("Shares in a subspace", found),
        f"subspace: {escaped(found.subspace)}",
        f"<i>m</i> = {found.m:,} of <i>d</i> = {found.dimension:,}",
        *progress_words(found),
    ]


def _counts(found: SubspaceShares) -> str:
    """How many vectors of each kind have a share."""
    counts = [int(share.isfinite().sum()) for share in found.shares]
    low, high = min(counts), max(counts)
    return f"{low:,} vectors of each kind" if low == high else f"{low:,} to {high:,} of each kind"
