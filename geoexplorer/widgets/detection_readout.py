"""What the detection panel says beside its figure: the image at t, and the verdicts on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from geoexplorer.classifier import Classifier
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.rasters import image_uri, signed_uri
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.detection import Detection
from geoexplorer.geometry.detection_along import DetectionAlong
from geoexplorer.geometry.detection_roc import DetectionROC
from geoexplorer.proportions import threshold_at
from geoexplorer.widgets.help import help_button, term

__all__ = ["Thresholds", "detection_facts", "detection_reading", "roc_facts", "row_of"]


@dataclass(frozen=True)
class Thresholds:
    """What the stated share of natural images lies beyond."""

    score: float  # those above it are called perturbed
    margin: float  # those below it

    @classmethod
    def of(cls, natural: Detection, rate: float) -> Thresholds:
        """The thresholds at a false-positive rate."""
        return cls(natural.threshold_at(rate), -threshold_at(-natural.margin, rate))


def detection_reading(
    clf: Classifier,
    points: BoundaryPoints,
    along: DetectionAlong | None,
    place: float,
    *,
    theme: str,
) -> dict[str, Any]:
    """The pictures at x + t r, for :class:`~geoexplorer.widgets.readout.Readout`."""
    change = place * points.perturbations[0]
    image = points.images[0] + change
    largest = float(change.abs().max())
    row = None if along is None else row_of(along, place)
    called = "" if along is None or row is None else clf.class_names[int(along.labels[row])]
    return {
        "where": f"x + {place:.2f} r{_where(place)}",
        "pinned": False,
        "image": image_uri(image.numpy(), bounds=clf.bounds, least_side=1),
        "image_caption": f"called {called}" if called else "",
        "difference": signed_uri(
            change.numpy(), largest, paper=theme_named(theme).paper, least_side=1
        ),
        "difference_caption": (
            f"{float(change.double().norm()):.3g} from x, ±{largest:.2g} a pixel"
            if place
            else "no difference: x itself"
        ),
        "scores": [],
    }


def detection_facts(
    along: DetectionAlong | None,
    place: float,
    thresholds: Thresholds | None,
    *,
    scored: str,
    to_come: str,
) -> str:
    """HTML: the verdict and the recovered label, by curvature and by what needs none.

    Parameters
    ----------
    along
        The scores known so far.
    place
        t.
    thresholds
        None while they are not known.
    scored
        How many images they are chosen on by now.
    to_come
        HTML that stands for what is not known yet.
    """
    row = None if along is None else row_of(along, place)
    if along is None or row is None:
        return f"<div>{term('score', 'detection score')} {to_come}</div>"
    score, margin = float(along.score[row]), float(along.margin[row])
    names = along.class_names
    changed = int(along.labels[row]) != along.own
    own = along.own if changed else None
    if thresholds is None:
        limits, verdicts = (to_come, to_come), ("", "")
        head, note = f"threshold {to_come}", escape(scored)
    else:
        limits = f"&gt; {_number(thresholds.score)}", f"&lt; {_number(thresholds.margin)}"
        verdicts = _verdict(score > thresholds.score), _verdict(margin < thresholds.margin)
        head, note = f"{verdicts[0]}, by its curvature", ""
    called, before = (escape(names[n]) for n in (int(along.labels[row]), along.own))
    truth = f"called {called}; x is called {before}" if changed else f"called {called}, as x is"
    rows = [
        ("", "curvature", f"margin {help_button('logit margin')}"),
        (term("score", "detection score"), _number(score), _number(margin)),
        (term("threshold", "threshold"), *limits),
        ("verdict", *verdicts),
    ]
    labels = [
        (term("recovered label", "recovered label"), _label(int(along.recovered[row]), names, own)),
        (term("runner-up", "runner-up"), _label(int(along.runner_up[row]), names, own)),
    ]
    return (
        f'<div class="gx-verdict"><b>{head}</b></div>'
        f'<div class="gx-note">{note or truth}</div>' + _table(rows) + _table(labels)
    )


def roc_facts(roc: DetectionROC) -> str:
    """HTML: the areas under the curves, by curvature and by what needs none."""
    rows: list[tuple[str, ...]] = [("", f"AUC {help_button('ROC')}", "by margin")]
    areas = zip(roc.scales, roc.auc("curvature"), roc.auc("margin"), strict=True)
    for scale, *each in areas:
        rows.append((f"α = {scale:g}", *(f"{float(area):.2f}" for area in each)))
    return _table(rows)


def row_of(along: DetectionAlong, place: float) -> int | None:
    """The row of a place t, None where it is not known yet."""
    away = (along.stops - place).abs()
    row = int(away.argmin())
    return row if float(away[row]) < 1e-3 else None


def _where(place: float) -> str:
    if place == 0.0:
        return ": the image x"
    return ": the boundary point" if place == 1.0 else ""


def _verdict(perturbed: bool) -> str:
    return "perturbed" if perturbed else "natural"


def _label(label: int, names: Sequence[str], wanted: int | None) -> str:
    """A class with its colour, and whether it is the one that was to come back."""
    if label < 0:
        return "none"
    mark = "" if wanted is None else " ✓" if label == wanted else " ✗"
    dot = f'<span class="gx-dot" style="background:{class_colour(label)}"></span>'
    return f"{dot}{escape(names[label])}{mark}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    return '<table class="gx-verdicts">' + "".join(map(_cells, rows)) + "</table>"


def _cells(row: Sequence[str]) -> str:
    name, *values = row
    kind = "" if name else ' class="gx-heads"'
    return f"<tr{kind}><th>{name}</th>" + "".join(f"<td>{value}</td>" for value in values) + "</tr>"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if math.isfinite(value) else "none"
