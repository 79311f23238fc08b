"""Densities: how the principal curvatures are distributed, from random probes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from geoexplorer.figures.chart import Axis, Canvas, Curve, chart_layers, decades
from geoexplorer.figures.curvature_summary import (
    Band,
    Spread,
    bound_of,
    caption_words,
    check_band,
    common_and_own,
    compared,
    heading_words,
    spread_words,
)
from geoexplorer.figures.curvature_words import AXIS_TITLES, sign_words
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.level_lines import level_label, level_room
from geoexplorer.figures.scales import Scale
from geoexplorer.figures.series import series_colour, series_dash
from geoexplorer.figures.text import number
from geoexplorer.geometry.mean_curvature import CurvatureDensity

__all__ = ["density_layers"]

_NODES = 401
_PARTS = 80  # the default width is this part of what the curvatures span
_FLOOR = 0.1  # of the height of a single curvature
_TITLES = ("share of the curvatures per unit of κ", "share per unit of κ", "density")


def density_layers(
    density: CurvatureDensity,
    *,
    compare: Mapping[str, CurvatureDensity] | None = None,
    name: str | None = None,
    band: Band = (0.1, 0.9),
    smoothing: float | None = None,
    class_names: Sequence[str] | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw how the principal curvatures are distributed, averaged over the points.

    Parameters
    ----------
    density
        What :func:`geoexplorer.curvature_density` gives.
    compare, name, band, class_names, theme, width, height, font_size, title, caption
        As for principal curvatures.
    smoothing
        Standard deviation of the bell that stands for a curvature, in 1 / l2 unit; by default an
        eightieth of what the curvatures span.

    Raises
    ------
    TypeError
        If ``compare`` is no mapping to results of the same kind.
    ValueError
        For an option that is not as described, or a size that leaves no room for the plot.
    """
    check_band(band)
    if smoothing is not None and not (math.isfinite(smoothing) and smoothing > 0):
        raise ValueError(f"smoothing must be a positive number or None, got {smoothing!r}")
    results = compared(density, compare, name)
    one = len(results) == 1
    bounds = bound_of(list(results.values()))
    linear = Scale(None)
    nodes = np.concatenate([_weighty(result) for result in results.values()])
    low, high = level_room(nodes, bounds, linear)
    known = nodes[np.isfinite(nodes)]
    span = float(np.ptp(known)) if len(known) else 1.0
    wide = smoothing if smoothing is not None else (span / _PARTS or 0.01)
    low, high = min(low, -4 * wide), max(high, 4 * wide)
    grid = np.linspace(low, high, _NODES)
    singles = [_peak(result.dimension, wide) for result in results.values()]
    floor = _FLOOR * min(singles)

    facts, own = common_and_own(results)
    names = list(own)
    heading = heading_words("Density of principal curvatures", results, facts, class_names)
    reading = spread_words(results.values(), band)
    single = " and ".join(number(value, 2) for value in dict.fromkeys(singles))
    reading += [f"each curvature a bell of width {number(wide, 2)}, by itself {single} high"]
    reading += sign_words(list(results.values()), class_names)
    for key, result in zip(own, results.values(), strict=True):
        noise = result.noise[result.noise.isfinite()].double()
        share = float(noise.quantile(0.5)) if len(noise) else 0.0
        if share > 0:
            words = f"noise of the probes, {100 * share:.0f} % of G v, widens it"
            reading.append(words if one else f"{key}: {words}")
    reading += caption_words(results, own)
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=heading if title else (),
        caption=reading if caption else (),
        key=() if one else names,
        note=True,
    )

    spreads = [Spread.of(_densities(result, grid, wide), band) for result in results.values()]
    tops = [float(np.nanmax(spread.high)) for spread in spreads if not np.isnan(spread.high).all()]
    top = 2.0 * max([10 * floor, *tops])
    curves = []
    for index, (spread, bound, result) in enumerate(
        zip(spreads, bounds, results.values(), strict=True)
    ):
        inside = bound is not None and low <= bound.value <= high
        several = len(result) > 1
        level = bound.value if bound is not None else math.nan
        curves.append(
            Curve(
                grid,
                np.maximum(spread.mean, floor),
                series_colour(index, canvas.look),
                dash=series_dash(index),
                name="" if one else names[index],
                low=np.maximum(spread.low, floor) if several else None,
                high=np.maximum(spread.high, floor) if several else None,
                bound=((level, level), (floor, top)) if inside else None,
                hover="κ = %{x:.3g}: %{y:.3g}",
            )
        )
    return chart_layers(
        canvas,
        Axis((low, high), AXIS_TITLES, zero=True),
        Axis((math.log10(floor), math.log10(top)), _TITLES, kind="log", ticks=decades(floor, top)),
        curves=curves,
        labels=level_label(bounds, (low, high), linear, canvas, y=0.99 * top),
    )


def _weighty(result: CurvatureDensity) -> np.ndarray:
    """The nodes that stand for something: a hundredth of a curvature at least."""
    kept: np.ndarray = result.values[result.weights * (result.dimension - 1) >= 0.01].numpy()
    return kept.astype(np.float64)


def _densities(result: CurvatureDensity, grid: np.ndarray, width: float) -> np.ndarray:
    """Point by point: all at once would be points times nodes times curvatures."""
    places = torch.from_numpy(grid).to(result.values)
    rows = [result[index].on_grid(places, width) for index in range(len(result))]
    densities: np.ndarray = torch.cat(rows).double().numpy()
    return densities


def _peak(dimension: int, width: float) -> float:
    """Height of the bell of one of d - 1 curvatures."""
    return 1.0 / ((dimension - 1) * width * math.sqrt(2 * math.pi))
