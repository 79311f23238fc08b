"""How connected regions are: pairs of images by class, and convex combinations against k."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from geoexplorer.figures.bars import PER_CENT, ROW, bars, rows_axis
from geoexplorer.figures.chart import (
    MOST_CURVES,
    Axis,
    Canvas,
    Curve,
    Label,
    chart_layers,
    check_sizes,
    percents,
)
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.path_words import straightness_words
from geoexplorer.figures.result_words import progress_words, title_of
from geoexplorer.figures.series import accent, series_colour
from geoexplorer.figures.shown import shown
from geoexplorer.figures.text import cut, escaped, text_width
from geoexplorer.figures.theme import pixels, theme_named
from geoexplorer.geometry.connectivity import Connectivity, PairCounts
from geoexplorer.geometry.convex_combinations import ConvexCombinations
from geoexplorer.results import Result

__all__ = [
    "combinations_figure",
    "combinations_layers",
    "connectivity_figure",
    "connectivity_layers",
]

_MOST_ROWS = 24
_NAMES = 0.3  # of the width, at most
_TEXTS = 0.5  # of the room beside the names, at most
_DEFAULT_WIDTH = 640.0
_PARTS = ("straight segment", "bent path", "not connected", "not perturbed into it")
_SCENARIOS = {
    "images": "two images of the class",
    "perturbed": "an image, and one of another class perturbed into it",
    "random": "an image, and a random point perturbed into it",
}


def connectivity_figure(
    found: Connectivity,
    *,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> go.Figure:
    """Draw for each class how many pairs the straight segment joins, a bent path, or none.

    Parameters
    ----------
    found
        What :func:`geoexplorer.connectivity` gives.
    theme
        ``"light"`` or ``"dark"``.
    width, height
        CSS pixels. The width is 640 by default, and the height follows from the number of classes;
        24 are drawn at most.
    font_size
        In points, for all text.
    title
        Whether network, scenario and counts stand above the bars.
    caption
        Whether it says below them how they are read.

    Raises
    ------
    ValueError
        For an unknown theme, or a size that leaves no room for the bars.
    """
    layers = connectivity_layers(
        found, theme=theme, width=width, height=height, font_size=font_size, title=title,
        caption=caption,
    )  # fmt: skip
    return shown(layers)


def connectivity_layers(
    found: Connectivity,
    *,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """What the figure shows, for a chart that is changed; see :func:`connectivity_figure`."""
    check_sizes(width, height, font_size)
    look, font = theme_named(theme), pixels(font_size)
    whole, classes = found.altogether(), found.by_class()
    counts = [whole, *classes[:_MOST_ROWS]] if len(classes) > 1 else [whole]
    room = (_DEFAULT_WIDTH if width is None else width) * _NAMES
    names = [cut(count.name, room, font) for count in counts]
    if len(classes) == 1:
        names = [cut(classes[0].name, room, font)]
    # As wide as the canvas will be: texts below the bars change its height alone.
    wide = Canvas.around(theme=theme, width=width, font_size=font_size, rows=names).wide
    beside, said = _beside(counts, _TEXTS * wide, font)
    reading = [f"beside each bar: {said}"]
    if len(classes) > _MOST_ROWS:
        reading.append(f"{_MOST_ROWS} of {len(classes)} classes")
    shares = np.array([_shares(count) for count in counts])
    present = [part for part in range(len(_PARTS)) if shares[:, part].any()]
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=[*_heading("Connected pairs", found), *_counted(whole, found)] if title else (),
        caption=reading if caption else (),
        key=[f"{_PARTS[part]}  " for part in present],
        rows=names,
        plot_height=max(5.0, ROW * len(counts)) * font,
    )
    taken = (max(text_width(text, font) for text in beside) + 0.8 * font) / canvas.wide
    window = (0.0, 1.0 / (1.0 - taken))
    colours = (series_colour(2, look), series_colour(1, look), accent(look), look.line)
    ends = np.concatenate([np.zeros((len(counts), 1)), shares.cumsum(axis=1)], axis=1)
    nowhere = np.array([math.nan])
    curves = [
        Curve(
            nowhere, nowhere, colours[part], name=_PARTS[part],
            area=bars(ends[:, part], ends[:, part + 1]), fill=1,
        )
        for part in present
    ]  # fmt: skip
    gap = 0.4 * font * window[1] / canvas.wide
    labels = [
        Label(1.0 + gap, row, text, "middle right", look.ink) for row, text in enumerate(beside)
    ]
    return chart_layers(
        canvas,
        Axis(window, ("share of the pairs",), ticks=PER_CENT),
        rows_axis(names),
        curves=curves,
        labels=labels,
    )


def combinations_figure(
    found: ConvexCombinations,
    *,
    by_class: bool = True,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> go.Figure:
    """Draw the share of convex combinations of k images that stay in their region, against k.

    Parameters
    ----------
    found
        What :func:`geoexplorer.convex_combinations` gives.
    by_class
        Whether each class has a curve of its own, where there are at most eleven.
    theme, width, height, font_size, title, caption
        As for pairs.

    Raises
    ------
    ValueError
        For an unknown theme, or a size that leaves no room for the plot.
    """
    layers = combinations_layers(
        found, by_class=by_class, theme=theme, width=width, height=height, font_size=font_size,
        title=title, caption=caption,
    )  # fmt: skip
    return shown(layers)


def combinations_layers(
    found: ConvexCombinations,
    *,
    by_class: bool = True,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """What the figure shows, for a chart that is changed; see :func:`combinations_figure`."""
    look = theme_named(theme)
    labels = found.labels.tolist()
    shown = labels if by_class and 1 < len(labels) < MOST_CURVES else []
    names = [escaped(found.class_names[label]) for label in shown]
    alone = escaped(found.class_names[labels[0]]) if len(labels) == 1 else "all classes"
    x = found.sizes.double().numpy()
    low, high = (_known(end) for end in found.interval())
    mean = _known(found.probability())
    texts = [
        f"k = {int(k)}: {100 * p:.3g} % ({100 * start:.3g} to {100 * stop:.3g} %)"
        for k, p, start, stop in zip(x, mean, low, high, strict=True)
    ]
    colour = class_colour(labels[0]) if len(labels) == 1 else look.ink
    curves = [
        Curve(
            x, _known(found.probability(label)), class_colour(label), name=name,
            hover=f"{name}, k = %{{x}}: %{{y:.1%}}",
        )
        for label, name in zip(shown, names, strict=True)
    ]  # fmt: skip
    curves.append(
        Curve(x, mean, colour, mode="lines+markers", name=alone, low=low, high=high,
              hover="%{text}", texts=texts)
    )  # fmt: skip
    each = int(found.tried.sum(dim=0).max()) if found.tried.numel() else 0
    canvas = Canvas.around(
        theme=theme,
        width=width,
        height=height,
        font_size=font_size,
        heading=[*_heading("Convex combinations", found), alone, f"{each:,} for each k"]
        if title
        else (),
        caption=[
            "share of random convex combinations of k images called alike that are called so too",
            "band: 95 % interval, for these images",
            *_classes_words(found),
        ]
        if caption
        else (),
        key=[f"{curve.name}  " for curve in curves],
    )
    values = np.concatenate([low, high, *(curve.y for curve in curves)])
    values = values[np.isfinite(values)]
    least = float(values.min()) if len(values) else 0.0
    margin = 0.04 * (1.0 - least) or 0.01
    step = max(1, round(len(x) / max(canvas.wide / (3 * canvas.font), 1)))
    return chart_layers(
        canvas,
        Axis(
            (float(x.min()) - 0.5, float(x.max()) + 0.5),
            ("k, images that are combined", "k"),
            ticks={"tickmode": "array", "tickvals": x[::step].tolist(),
                   "ticktext": [f"{int(k)}" for k in x[::step]]},
        ),
        Axis(
            (max(least - margin, -0.02), 1.0 + margin),
            ("share inside the region", "share inside"),
            ticks=percents(least, 1.0),
        ),
        curves=curves,
    )  # fmt: skip


def _known(values: Tensor) -> np.ndarray:
    numbers: np.ndarray = values.double().numpy()
    return numbers


def _classes_words(found: ConvexCombinations) -> list[str]:
    """That not all classes have so many images, where that is so."""
    there = (found.tried > 0).sum(dim=0).tolist()
    if not found.progress.complete or len(set(there)) < 2:
        return []
    first, last = int(found.sizes[0]), int(found.sizes[-1])
    return [f"classes that have k images: {there[0]} at k = {first}, {there[-1]} at k = {last}"]


def _heading(what: str, found: Result) -> list[str]:
    parts = [title_of(f"{what} in the regions", found)]
    if isinstance(found, Connectivity):
        parts.append(_SCENARIOS.get(found.scenario, escaped(found.scenario)))
    return parts + progress_words(found)


def _counted(whole: PairCounts, found: Connectivity) -> list[str]:
    """All pairs together, in words."""
    parts = [f"{whole.connected:,} of {whole.pairs:,} pairs connected"]
    rest = whole.connected - whole.proven
    if whole.proven == whole.connected:
        parts.append("all of these proven" if whole.connected else "")
    else:
        parts.append(f"{whole.proven:,} of these proven, {rest:,} sampled")
    if math.isfinite(whole.straightness_max):
        parts.append(f"straightness at most {straightness_words(whole.straightness_max)}")
    return [part for part in parts if part]


def _shares(count: PairCounts) -> tuple[float, float, float, float]:
    """Of the pairs: joined straight, joined by a bent path, lost, and not perturbed into it."""
    total = max(count.pairs, 1)
    straight = min(count.straight, count.connected)
    lost = count.moved - count.connected
    return (
        straight / total, (count.connected - straight) / total, lost / total,
        (count.pairs - count.moved) / total,
    )  # fmt: skip


def _beside(counts: Sequence[PairCounts], room: float, font: float) -> tuple[list[str], str]:
    """Texts for the bars' ends, the longest ones that fit, and what they say."""
    short = [f"{count.connected} of {count.pairs}" for count in counts]
    kinds = [(short, "connected of all pairs")]
    proven = [f"{text}, {count.proven} proven" for text, count in zip(short, counts, strict=True)]
    kinds.append((proven, "connected of all pairs, and proven"))
    medians = [count.straightness_bent for count in counts]
    if np.isfinite(medians).any():
        bent = [
            text + (f", {straightness_words(median)}" if math.isfinite(median) else "")
            for text, median in zip(proven, medians, strict=True)
        ]
        said = "connected of all pairs, proven, median straightness of bent paths"
        kinds.append((bent, said))
    fitting = [kind for kind in kinds if max(text_width(t, font) for t in kind[0]) <= room]
    return fitting[-1] if fitting else kinds[0]
