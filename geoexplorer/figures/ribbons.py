"""Ribbons of classes along a horizontal axis: which class there is at which place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoexplorer.figures.chart import Canvas, Curve, Label
from geoexplorer.figures.colours import class_colour, text_colour
from geoexplorer.figures.text import cut, escaped, first_fitting

__all__ = ["Ribbon", "drawn_ribbons"]

_SHORTEST = 1.5  # lines of text in which a name is still begun


@dataclass(frozen=True)
class Ribbon:
    """Pieces of one class each, between two heights."""

    name: str
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
    ribbons: Sequence[Ribbon], names: Sequence[str], canvas: Canvas, unit: float, *, room: int
) -> tuple[list[Curve], list[Label]]:
    """Areas in class colours, and the names in the pieces that have room for them.

    ``unit`` is the axis' length of a pixel. There are at most ``room`` areas: the classes with the
    longest pieces have their own, the rest one of no class' colour.
    """
    lengths: dict[int, float] = {}
    for ribbon in ribbons:
        for start, end, label in ribbon.pieces:
            lengths[label] = lengths.get(label, 0.0) + end - start
    order = sorted(lengths, key=lambda label: -lengths[label])
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
        for index, (start, end, label) in enumerate(ribbon.pieces):
            said = (f"{ribbon.name}: {names[label]}",) if index == 0 else ()
            text = _fitted((*said, names[label]), (end - start) / unit, canvas.font)
            colour = text_colour(colours.get(label, canvas.look.line))
            at = start + 0.1 * canvas.font * unit, (ribbon.bottom + ribbon.top) / 2
            texts += [Label(*at, text, "middle right", colour)] if text else []
    return curves, texts


def _fitted(texts: Sequence[str], wide: float, font: float) -> str:
    """The first text that fits, or the beginning of the last; nothing where there is no room."""
    room = wide - 0.6 * font
    text = first_fitting(texts, room, font)
    if text is not None:
        return escaped(text)
    return cut(texts[-1], room, font) if room > _SHORTEST * font else ""


def _area(ribbons: Sequence[Ribbon], labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    x: list[float] = []
    y: list[float] = []
    for ribbon in ribbons:
        for start, end, label in ribbon.pieces:
            if label in labels:
                x += [start, end, end, start, math.nan]
                y += [ribbon.bottom, ribbon.bottom, ribbon.top, ribbon.top, math.nan]
    return np.array(x[:-1]), np.array(y[:-1])
