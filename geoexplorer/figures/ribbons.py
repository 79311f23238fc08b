"""Ribbons of classes along a horizontal axis: which class there is at which place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoexplorer.figures.chart import Canvas, Curve, Label
from geoexplorer.figures.colours import class_colour, text_colour
from geoexplorer.figures.text import cut, escaped, text_width

__all__ = ["Ribbon", "drawn_ribbons"]

_SHORTEST = 1.5  # lines of text in which a name is still begun


@dataclass(frozen=True)
class Ribbon:
    """Pieces of one class each, between two heights."""

    name: str  # stands left of the axis
    pieces: tuple[tuple[float, float, int], ...]  # start, end and class; ascending
    bottom: float
    top: float

    @staticmethod
    def of(
        name: str,
        places: np.ndarray,
        labels: np.ndarray,
        bottom: float,
        top: float,
        *,
        between: np.ndarray,
    ) -> Ribbon:
        """From classes at ascending places; a class below 0 is not known.

        ``between`` each two of them is the place where one piece ends and the next begins.
        """
        starts = np.concatenate([places[:1], between])
        ends = np.concatenate([between, places[-1:]])
        pieces: list[tuple[float, float, int]] = []
        for start, end, label in zip(starts.tolist(), ends.tolist(), labels.tolist(), strict=True):
            if pieces and pieces[-1][2] == label and pieces[-1][1] == start:
                pieces[-1] = (pieces[-1][0], end, label)
            elif label >= 0:
                pieces.append((start, end, label))
        return Ribbon(name, tuple(pieces), bottom, top)

    @property
    def changes(self) -> np.ndarray:
        """Places where one class follows another."""
        return np.array([
            after[0] for before, after in zip(self.pieces, self.pieces[1:], strict=False)
            if before[1] == after[0]
        ])  # fmt: skip


def drawn_ribbons(
    ribbons: Sequence[Ribbon],
    names: Sequence[str],
    canvas: Canvas,
    ends: tuple[float, float],
    *,
    room: int,
    foremost: Sequence[int] = (),
) -> tuple[list[Curve], list[Label]]:
    """Areas in class colours, names in the pieces that have room for them, the ribbons' in front.

    ``ends`` are those of the axis. There are at most ``room`` areas: the ``foremost``
    classes and those with the longest pieces have their own, the rest one of no class' colour.
    """
    unit = (ends[1] - ends[0]) / canvas.wide  # a pixel
    lengths: dict[int, float] = {}
    for ribbon in ribbons:
        for start, end, label in ribbon.pieces:
            lengths[label] = lengths.get(label, 0.0) + end - start
    order = sorted(lengths, key=lambda label: (label not in foremost, -lengths[label]))
    count = len(order) if len(order) <= room else room - 1
    colours = {label: class_colour(label) for label in order[:count]}
    sets = [([label], colour) for label, colour in colours.items()]
    if count < len(order):
        sets.append((order[count:], canvas.look.line))
    none = np.empty(0)
    curves = [
        Curve(none, none, colour, area=_area(ribbons, labels), fill=1) for labels, colour in sets
    ]
    texts = []
    for ribbon in ribbons:
        middle = (ribbon.bottom + ribbon.top) / 2
        for start, end, label in ribbon.pieces:
            text = _fitted(names[label], (end - start) / unit, canvas.font)
            colour = text_colour(colours.get(label, canvas.look.line))
            at = start + 0.1 * canvas.font * unit
            texts += [Label(at, middle, text, "middle right", colour)] if text else []
        name = f"{ribbon.name}\u00a0"  # a gap
        texts.append(Label(ends[0], middle, name, "middle left", canvas.look.muted))
    return curves, texts


def _fitted(name: str, wide: float, font: float) -> str:
    """The name, or its beginning; nothing where there is no room."""
    room = wide - 0.6 * font
    if text_width(name, font) <= room:
        return escaped(name)
    return cut(name, room, font) if room > _SHORTEST * font else ""


def _area(ribbons: Sequence[Ribbon], labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    x: list[float] = []
    y: list[float] = []
    for ribbon in ribbons:
        for start, end, label in ribbon.pieces:
            if label in labels:
                x += [start, end, end, start, math.nan]
                y += [ribbon.bottom, ribbon.bottom, ribbon.top, ribbon.top, math.nan]
    return np.array(x[:-1]), np.array(y[:-1])
