"""ρ against the index of the direction: how much more curved than along random directions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from geoexplorer.figures.chart import Axis, Canvas, Curve, chart_layers, decades
from geoexplorer.figures.curvature_summary import (
    Band,
    Spread,
    check_band,
    common_and_own,
    compared,
    heading_words,
    spread_words,
)
from geoexplorer.figures.index_axis import IndexAxis, Spectrum
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.result_words import progress_words
from geoexplorer.figures.series import series_colour, series_dash
from geoexplorer.figures.shown import figure_of
from geoexplorer.figures.text import number
from geoexplorer.geometry.relative_curvature import RelativeCurvature

__all__ = ["relative_curvature_figure", "relative_curvature_layers"]

_FLOOR = 1e-5  # of the largest value: what lies below is drawn there
_ROOM = 3 * " "  # beside each name in the key
_SPARSE = 0.5  # lines of text between two points that are marked one by one
_TITLES = ("relative curvature ρ · 1 is a random direction", "relative curvature ρ", "ρ")
_ACROSS = {
    "index": ("index <i>i</i> of the direction <i>u<sub>i</sub></i>, in the order given",
              "index <i>i</i> of the direction", "index <i>i</i>"),
    "share": ("share of the directions, in the order given", "share of the directions"),
}  # fmt: skip


def relative_curvature_layers(
    relative: RelativeCurvature,
    *,
    compare: Mapping[str, RelativeCurvature] | None = None,
    name: str | None = None,
    band: Band = (0.1, 0.9),
    index: str = "linear",
    ends: int | None = None,
    class_names: Sequence[str] | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw ρ along each direction, averaged over the points, on a logarithmic axis.

    Parameters
    ----------
    relative
        What :func:`geoexplorer.relative_curvature` gives, at points that had no part in the
        directions.
    compare
        Further results by their names, at most five, drawn over it.
    name
        What the result itself is called beside them; the network's name by default.
    band
        The two quantiles over the points that the band spans.
    index, ends, class_names, theme, width, height, font_size, title, caption
        As for shared directions and principal curvatures.

    Raises
    ------
    TypeError
        If ``compare`` is no mapping to results of the same kind.
    ValueError
        For an option that is not as described, or a size that leaves no room for the plot.
    """
    check_band(band)
    results = compared(relative, compare, name)
    one = len(results) == 1
    spectra = [Spectrum(m, m, 0) for m in (each.values.shape[1] for each in results.values())]
    indices = IndexAxis.of(spectra, ends, index)
    placed = [indices.placed(spectrum) for spectrum in spectra]
    spreads = [
        Spread.of(result.values.double().numpy()[:, place.columns], band)
        for result, place in zip(results.values(), placed, strict=True)
    ]
    shown = np.concatenate([np.concatenate([s.mean, s.low, s.high]) for s in spreads])
    shown = shown[np.isfinite(shown)]
    floor = _FLOOR * max([1.0, *shown])
    facts, own = common_and_own(results)
    names = list(own)
    heading = heading_words("Relative curvature", results, facts, class_names)
    reading = [
        "ρ = |<i>u</i>ᵀ G <i>u</i>| / E|<i>v</i>ᵀ G <i>v</i>|, <i>v</i> uniform on the sphere",
        *spread_words(results.values(), band),
        "dotted, at 1: along a random direction",
        "at points that had no part in the directions, ρ far above 1: shared",
    ]
    if indices.ends is not None:
        reading.append(f"the {indices.ends[0]} directions at either end")
    for key, result in zip(own, results.values(), strict=True):
        words = [*([own[key]] if own[key] else []), *_facts(result)]
        reading += words if one else [f"{key}: {', '.join(words)}"]
        unfinished = progress_words(result)
        heading += unfinished if one else [f"{key}: {words}" for words in unfinished]
    if len(shown) and float(shown.min()) < floor:
        reading.append(f"what lies below {number(floor, 1)} is drawn there")
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=heading if title else (),
        caption=reading if caption else (),
        key=() if one else [key + _ROOM for key in names],
    )
    low = math.log10(max(min([1.0, *shown]), floor))
    high = math.log10(max([1.0, *shown]))
    margin = max(0.06 * (high - low), 0.05) + 1.2 * canvas.font / canvas.tall
    low, high = low - margin, high + margin
    curves = []
    for number_, (spread, place, result) in enumerate(
        zip(spreads, placed, results.values(), strict=True)
    ):
        several = len(result) > 1
        dense = len(place.x) * _SPARSE * canvas.font > canvas.wide
        texts = [
            f"ρ {at:,} = {number(value, 3)}"
            for at, value in zip(place.indices.tolist(), spread.mean.tolist(), strict=True)
        ]
        gap = [place.cut] if place.cut < len(place.x) else []
        mean, lowest, highest = (
            np.insert(np.maximum(values, floor), gap, math.nan)
            for values in (spread.mean, spread.low, spread.high)
        )
        curves.append(
            Curve(
                np.insert(place.x.astype(np.float64), gap, math.nan),
                mean,
                series_colour(number_, canvas.look),
                dash=series_dash(number_),
                mode="lines" if dense else "lines+markers",
                name="" if one else names[number_] + _ROOM,
                low=lowest if several else None,
                high=highest if several else None,
                hover="%{text}",
                texts=[*texts[: place.cut], *([""] if gap else []), *texts[place.cut :]],
            )
        )
    across = indices.window
    none = np.empty(0)
    curves.append(Curve(none, none, canvas.look.muted, bound=(across, (1.0, 1.0))))
    return chart_layers(
        canvas,
        Axis(
            across,
            _ACROSS["index" if indices.shared or indices.ends is not None else "share"],
            ticks=indices.ticks(canvas.wide, canvas.font),
        ),
        Axis((low, high), _TITLES, kind="log", ticks=decades(10**low, 10**high)),
        curves=curves,
    )


relative_curvature_figure = figure_of(relative_curvature_layers)


def _facts(result: RelativeCurvature) -> list[str]:
    """How many probes the average is taken over, and how sure it is."""
    shares = result.typical_errors / result.typical
    shares = shares[shares.isfinite()].double()
    percent = 100 * float(shares.quantile(0.5)) if len(shares) else 0.0
    sure = f", median standard error {percent:.2g} %" if len(shares) else ""
    return [f"E|<i>v</i>ᵀ G <i>v</i>| from {result.probes:,} probes at each point{sure}"]
