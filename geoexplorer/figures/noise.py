"""How often noise changes the class, against its norm, by the subspace that it lies in."""

from __future__ import annotations

import numpy as np

from geoexplorer.figures.chart import (
    DEFAULT_WIDTH,
    MOST_CURVES,
    Axis,
    Canvas,
    Curve,
    chart_layers,
    check_sizes,
    percents,
)
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.result_words import counted, progress_words, title_of
from geoexplorer.figures.series import series_colour, series_dash
from geoexplorer.figures.shown import figure_of
from geoexplorer.figures.text import cut, number
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.noise import NoiseSensitivity

__all__ = ["noise_figure", "noise_layers"]

_NAMES = 0.7  # of the width, at most
_ROOM = 3 * " "  # beside each name in the key
_LEAST_TOP = 0.01  # of the axis of rates


def noise_layers(
    found: NoiseSensitivity,
    *,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw the rate of changed classes against the norm of the noise, a curve for each subspace.

    Parameters
    ----------
    found
        What :func:`geoexplorer.noise_sensitivity` gives; the first twelve subspaces are drawn.
    theme, width, height, font_size, title, caption
        As for shared directions.

    Raises
    ------
    ValueError
        For an unknown theme, or a size that leaves no room for the plot.
    """
    check_sizes(width, height, font_size)
    count = min(len(found.names), MOST_CURVES)
    room = _NAMES * (DEFAULT_WIDTH if width is None else width) - 6 * pixels(font_size)
    names = [cut(name, room, pixels(font_size)) for name in found.names[:count]]
    norms = found.norms.double().numpy()
    rates = found.rates.double().numpy()[:count]
    low, high = (end.double().numpy()[:count] for end in found.interval())
    reading = [
        "share of noisy images whose predicted class is another",
        "noise uniform on the sphere of each subspace",
        "band: 95 % interval, for these images",
    ]
    if count < len(found.names):
        reading.append(f"{count} of {len(found.names)} subspaces")
    heading = [
        title_of("Sensitivity to noise", found),
        *([names[0]] if count == 1 else []),
        counted(found.images, "image"),
        f"{counted(found.draws, 'draw')} for each norm",
        *progress_words(found),
    ]
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=heading if title else (),
        caption=reading if caption else (),
        key=[name + _ROOM for name in names],
    )
    known = high[np.isfinite(high)]
    top = max([_LEAST_TOP, *known])
    margin = 0.04 * top
    curves = []
    for row, name in enumerate(names):
        texts = [
            f"{name}, norm {number(norm)}: {100 * rate:.3g} %"
            for norm, rate in zip(norms, rates[row], strict=True)
        ]
        curves.append(
            Curve(
                norms, rates[row], series_colour(row, canvas.look), dash=series_dash(row),
                mode="lines+markers", name=name + _ROOM if count > 1 else "",
                low=low[row], high=high[row],
                hover="%{text}", texts=texts,
            )
        )  # fmt: skip
    return chart_layers(
        canvas,
        Axis((0.0, 1.04 * float(norms.max())), (
            "norm of the noise · l2 distance in pixel values", "norm of the noise · l2", "norm")),
        Axis((-margin, top + margin), ("rate of changed classes", "changed"),
             ticks=percents(0.0, top)),
        curves=curves,
    )  # fmt: skip


noise_figure = figure_of(noise_layers)
