"""How well perturbed images are told from natural ones, and how often their labels come back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geoexplorer.figures.bars import PER_CENT, ROW, bars, rows_axis, whiskers
from geoexplorer.figures.chart import Axis, Canvas, Curve, Label, chart_layers, padded, percents
from geoexplorer.figures.detection_words import (
    CAUTION,
    SCORE_TITLES,
    alpha_words,
    measured_words,
)
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.result_words import counted, progress_words, title_of
from geoexplorer.figures.series import accent, series_colour, series_dash
from geoexplorer.figures.shown import figure_of
from geoexplorer.figures.stairs import stairs
from geoexplorer.figures.text import number, text_width
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.detection_roc import SCORES, DetectionROC

__all__ = ["VIEWS", "detection_roc_figure", "detection_roc_layers"]

VIEWS = ("roc", "scores", "recovery")
_MOST_SCALES = 5
_BINS = 31
_ROOM = 2 * " "  # beside names
_MARGINS = ("score: logit margin with its sign changed · logits", "minus the logit margin", "score")


def detection_roc_layers(
    found: DetectionROC,
    *,
    view: str = "roc",
    score: str = "curvature",
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw how perturbed images are told from natural ones; the first five scales are drawn.

    Parameters
    ----------
    found
        What :func:`geoexplorer.detection_roc` gives.
    view
        ``"roc"``: the rate of detected perturbed images against that of natural ones that are
        called perturbed, by curvature and, dashed, by the logit margin. ``"scores"``: how the
        scores of natural and of perturbed images are distributed. ``"recovery"``: how often the
        natural class is recovered, by curvature and as the runner-up class.
    score
        Of the view ``"scores"``: ``"curvature"`` or ``"margin"``.
    theme, width, height, font_size, title, caption
        As for shared directions.

    Raises
    ------
    ValueError
        For an option that is not as described, or a size that leaves no room for the plot.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(map(repr, VIEWS))}, got {view!r}")
    if score not in SCORES:
        raise ValueError(f"score must be one of {', '.join(map(repr, SCORES))}, got {score!r}")
    sizes = {"theme": theme, "width": width, "height": height, "font_size": font_size}
    if view == "scores":
        return _scores(found, score, sizes, title, caption)
    draw = _roc if view == "roc" else _recovery
    return draw(found, sizes, title, caption)


detection_roc_figure = figure_of(detection_roc_layers)


def _roc(found: DetectionROC, sizes: Mapping[str, Any], title: bool, caption: bool) -> Layers:
    alphas = found.scales[:_MOST_SCALES]
    n = _known(found)
    margin = "dashed: logit margin  "
    keys = [f"{alpha_words(alpha)}, curvature  " for alpha in alphas]
    reading = [CAUTION, *_areas(found, len(alphas))] if n else [CAUTION]
    reading.append(
        f"dots: threshold of at most {100 * found.false_positive_rate:.3g} % false positives"
    )
    canvas = Canvas.around(
        heading=_heading("ROC of detection", found) if title else (),
        caption=[*reading, *_left_out(found)] if caption else (),
        key=[*keys, margin],
        **sizes,
    )
    curves = []
    for row, alpha in enumerate(alphas) if n else ():
        colour = series_colour(row + 1, canvas.look)
        for kind, dash, key in (("curvature", "solid", keys[row]), ("margin", "dash", "")):
            x, y = (rates.double().numpy() for rates in found.curve(row, kind))
            about = f"{alpha_words(alpha)}, {kind}: %{{y:.1%}} at %{{x:.1%}}"
            curves.append(Curve(x, y, colour, dash=dash, name=key, hover=about))
    nan = np.array([math.nan])
    diagonal = (0.0, 1.0), (0.0, 1.0)
    curves.append(Curve(nan, nan, canvas.look.ink, dash="dash", name=margin, bound=diagonal))
    points = [_working_point(found, row) for row in range(len(alphas))] if n else []
    x, y = (np.array([point[end] for point in points]) for end in (0, 1))
    texts = [
        f"{alpha_words(alpha)}: {100 * true:.3g} % detected, {100 * false:.3g} % false"
        for alpha, (false, true) in zip(alphas, points, strict=False)
    ]
    curves.append(Curve(x, y, accent(canvas.look), mode="markers", hover="%{text}", texts=texts))
    labels = [] if n else [_nothing(canvas)]
    return chart_layers(
        canvas,
        Axis((-0.02, 1.02), ("natural images called perturbed", "false positives"),
             ticks=percents(0.0, 1.0)),
        Axis((-0.02, 1.03), ("perturbed images detected", "detected"), ticks=percents(0.0, 1.0)),
        curves=curves,
        labels=labels,
    )  # fmt: skip


def _scores(
    found: DetectionROC, score: str, sizes: Mapping[str, Any], title: bool, caption: bool
) -> Layers:
    column = SCORES.index(score)
    count = min(len(found.scales), _MOST_SCALES)
    rows = [found.natural[column], *found.perturbed[:count, column]]
    sets = [row[row.isfinite()].double().numpy() for row in rows]
    names = ["natural  ", *(f"{alpha_words(alpha)}  " for alpha in found.scales[:count])]
    level = found.threshold(score) if _known(found) else math.nan
    what = f"at most {100 * found.false_positive_rate:.3g} % of natural images exceed it"
    reading = [CAUTION, *([f"dotted: threshold, {what}"] if _known(found) else [])]
    canvas = Canvas.around(
        heading=_heading(f"Scores by {score}", found) if title else (),
        caption=[*reading, *_left_out(found)] if caption else (),
        key=names,
        note=True,
        **sizes,
    )
    known = np.concatenate([*sets, [level] if math.isfinite(level) else []])
    low, high = padded(float(known.min()), float(known.max()), 0.04) if len(known) else (-1.0, 1.0)
    edges = np.linspace(low, high, _BINS + 1)
    shares = [np.histogram(values, edges)[0] / max(len(values), 1) for values in sets]
    top = 1.08 * max([0.01, *(float(share.max()) for share in shares)])
    curves = []
    for row, (share, name) in enumerate(zip(shares, names, strict=True)):
        x, y = stairs(edges, share)
        area = (x, y) if row == 0 else None
        curves.append(
            Curve(x, y, series_colour(row, canvas.look), dash=series_dash(row), name=name,
                  area=area)
        )  # fmt: skip
    labels = [] if len(known) else [_nothing(canvas, (low, high), top)]
    if math.isfinite(level):
        none = np.empty(0)
        curves.append(Curve(none, none, canvas.look.ink, bound=((level, level), (0.0, top))))
        said = (f"threshold {number(level)}", "threshold")
        labels.append(canvas.upright(level, (low, high), top, said))
    return chart_layers(
        canvas,
        Axis((low, high), SCORE_TITLES if score == "curvature" else _MARGINS),
        Axis((0.0, top), ("share of the images", "share"), ticks=percents(0.0, top)),
        curves=curves,
        labels=labels,
    )


def _recovery(found: DetectionROC, sizes: Mapping[str, Any], title: bool, caption: bool) -> Layers:
    count = min(len(found.scales), _MOST_SCALES)
    font = pixels(sizes["font_size"])
    kinds = ("curvature", "runner-up")
    names = [f"{alpha_words(alpha)}, {kind}" for alpha in found.scales[:count] for kind in kinds]
    shares = _by_rows([found.recovery(kind) for kind in kinds], count)
    low, high = (
        _by_rows([found.recovery_interval(kind)[end] for kind in kinds], count) for end in (0, 1)
    )
    tried = found.changed.sum(1).tolist()[:count]
    reading = [
        CAUTION,
        "of perturbed images whose class changed: how many get the natural one back",
        "runner-up: the second highest class, which takes no curvature",
        "line: 95 % interval, for these images",
    ]
    canvas = Canvas.around(
        heading=_heading("Recovered labels", found) if title else (),
        caption=[*reading, *_left_out(found)] if caption else (),
        rows=[name + _ROOM for name in names],
        plot_height=ROW * len(names) * font,
        **sizes,
    )
    texts = [
        f"{100 * share:.3g} % of {tried[row // 2]:,}" if tried[row // 2] else "no class changed"
        for row, share in enumerate(shares)
    ]
    taken = min((max(text_width(text, font) for text in texts) + 0.8 * font) / canvas.wide, 0.6)
    across = (0.0, 1.0 / (1.0 - taken))
    x, y = whiskers(low, high)
    odd = np.arange(len(shares)) % 2 == 1
    zero = np.zeros(len(shares))
    none = np.empty(0)
    look = canvas.look
    curves = [
        Curve(none, none, accent(look), area=bars(zero, np.where(odd, math.nan, shares)), fill=0.7),
        Curve(none, none, look.ink, area=bars(zero, np.where(odd, shares, math.nan))),
        Curve(x, y, look.ink),
    ]
    labels = [
        Label(float(max(share, end)) if math.isfinite(share) else 0.0, row, f" {text}",
              "middle right", look.ink)
        for row, (share, end, text) in enumerate(zip(shares, high, texts, strict=True))
    ]  # fmt: skip
    return chart_layers(
        canvas,
        Axis(across, ("share of recovered labels", "recovered"), ticks=PER_CENT),
        rows_axis(names),
        curves=curves,
        labels=labels,
    )


def _heading(what: str, found: DetectionROC) -> list[str]:
    shortest = "" if not found.perturbation else " to the nearest boundary"
    r = "DeepFool's <i>r</i>" if found.perturbation == "deepfool" else f"<i>r</i>{shortest}"
    n = _known(found)
    images = counted(found.natural.shape[1], "image")
    return [
        title_of(what, found),
        images if n == found.natural.shape[1] else f"{n:,} of {images}",
        f"<i>x</i> and <i>x</i> + α <i>r</i>, {r}",
        *measured_words(found),
        *progress_words(found),
    ]


def _areas(found: DetectionROC, count: int) -> list[str]:
    """Areas under the curves, with intervals once they are final."""
    parts = []
    final = found.progress.complete
    ends = {kind: found.auc_interval(kind) for kind in SCORES} if final else {}
    for row, alpha in enumerate(found.scales[:count]):
        areas = []
        for kind in SCORES:
            area = f"{kind} {float(found.auc(kind)[row]):.3f}"
            if final:
                low, high = (float(end[row]) for end in ends[kind])
                area += f" ({low:.2f} to {high:.2f})"
            areas.append(area)
        parts.append(f"AUC at {alpha_words(alpha)}: {', '.join(areas)}")
    return [*parts, "in brackets: 95 % interval"] if final else parts


def _working_point(found: DetectionROC, row: int) -> tuple[float, float]:
    """False and true positive rate at the threshold."""
    natural = found.natural[0][_rows(found)].double()
    false = float((natural > found.threshold()).double().mean())
    return false, float(found.detected()[row])


def _rows(found: DetectionROC) -> Any:
    """Images that have all scores, ``(n,)`` bool."""
    return found.natural.isfinite().all(0) & found.perturbed.isfinite().all(1).all(0)


def _known(found: DetectionROC) -> int:
    return int(_rows(found).sum())


def _by_rows(columns: Sequence[Any], count: int) -> np.ndarray:
    """Scale by scale, the two kinds one after the other."""
    values: np.ndarray = np.stack([c.double().numpy()[:count] for c in columns], axis=1).ravel()
    return values


def _left_out(found: DetectionROC) -> list[str]:
    count = len(found.scales)
    return [f"{_MOST_SCALES} of {count} scales"] if count > _MOST_SCALES else []


def _nothing(canvas: Canvas, across: tuple[float, float] = (0.0, 1.0), top: float = 1.0) -> Label:
    middle = (across[0] + across[1]) / 2
    return Label(middle, top / 2, "no image has all scores yet", "middle center", canvas.look.muted)
