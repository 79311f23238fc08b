"""The named points of a plane: x filled, z open, others as diamonds, each with its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from geoexplorer.figures.frame import Frame
from geoexplorer.figures.region_names import Box
from geoexplorer.figures.shading import shades
from geoexplorer.figures.text import escaped, text_width
from geoexplorer.figures.theme import Theme
from geoexplorer.geometry.sections import CrossSection

__all__ = ["Marks", "place_marks"]

# Plotly's text positions, and where they are: -1 left or below, 0 centred, 1 right or above.
_SIDES = {
    "top right": (1, 1),
    "top left": (-1, 1),
    "bottom right": (1, -1),
    "bottom left": (-1, -1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top center": (0, 1),
    "bottom center": (0, -1),
}


@dataclass(frozen=True)
class Marks:
    """Values of the two traces, and the room they take on the screen."""

    line: dict[str, Any] = field(default_factory=lambda: {"x": [], "y": []})
    points: dict[str, Any] = field(default_factory=lambda: {"x": [], "y": [], "text": []})
    boxes: tuple[Box, ...] = ()


def place_marks(section: CrossSection, frame: Frame, look: Theme) -> Marks:
    """The marks inside the window, each name where it hides least."""
    (x0, x1), (y0, y1) = frame.window
    marks = {
        name: (x, y)
        for name, (x, y) in section.plane.marks.items()
        if x0 <= x <= x1 and y0 <= y <= y1
    }
    line: dict[str, Any] = {"x": [], "y": [], "line": {"color": look.ink, "width": frame.font / 10}}
    ends = [section.plane.marks[name] for name in ("x", "z") if name in section.plane.marks]
    along: list[Box] = []
    if len(ends) == 2:
        line.update(x=[end[0] for end in ends], y=[end[1] for end in ends])
        along = _boxes_along(frame.screen(*ends[0]), frame.screen(*ends[1]), frame.font)

    radius = 0.36 * frame.font
    dots = [_around(frame.screen(*point), 1.4 * radius) for point in marks.values()]
    sides = _sides(marks, frame, section.labels.numpy(), dots, along)
    texts = [choice.box for choice in sides]
    colours = [shades(choice.label, look.name).text for choice in sides]
    points = {
        "x": [x for x, _ in marks.values()],
        "y": [y for _, y in marks.values()],
        "text": [f"<i>{escaped(n)}</i>" if len(n) == 1 else escaped(n) for n in marks],
        "textposition": [choice.side for choice in sides],
        "textfont": {"color": colours, "size": frame.font},
        "marker": {
            "symbol": ["circle" if name in ("x", "z") else "diamond" for name in marks],
            "size": 2 * radius,
            "color": ["#ffffff" if name == "z" else "#111111" for name in marks],
            "line": {
                "color": ["#111111" if name == "z" else "#ffffff" for name in marks],
                "width": frame.font / 8,
            },
        },
    }
    return Marks(line, points, (*dots, *texts, *along))


class _Choice(NamedTuple):
    """A place for a mark's name: its box, the class below it, and what it hides by itself."""

    side: str
    box: Box
    label: int
    cost: float


def _sides(
    marks: Mapping[str, tuple[float, float]],
    frame: Frame,
    labels: np.ndarray,
    dots: Sequence[Box],
    along: Sequence[Box],
) -> list[_Choice]:
    """For each mark the side where its name hides least, given where the others are."""
    options: list[list[_Choice]] = []
    for name, point in marks.items():
        size = text_width(name, frame.font) + 0.3 * frame.font, 1.25 * frame.font
        options.append([])
        for rank, (side, where) in enumerate(_SIDES.items()):
            box = _beside(frame.screen(*point), size, 0.36 * frame.font, where)
            below = _classes_below(box, labels, frame)
            cost = (
                8 * _outside(box, frame)
                + 4 * sum(box.overlaps(dot) for dot in dots)
                + 2 * any(box.overlaps(piece) for piece in along)
                + 2 * (len(below) - 1)
                + 0.1 * rank
            )
            options[-1].append(_Choice(side, box, below[0], cost))
    chosen = [min(choices, key=lambda choice: choice.cost) for choices in options]
    for _ in range(3):  # each in turn makes room for the others
        for number, choices in enumerate(options):
            others = [choice.box for other, choice in enumerate(chosen) if other != number]
            chosen[number] = min(
                choices, key=lambda c: c.cost + 4 * sum(c.box.overlaps(box) for box in others)
            )
    return chosen


def _around(at: tuple[float, float], radius: float) -> Box:
    return Box(at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius)


def _beside(
    at: tuple[float, float], size: tuple[float, float], radius: float, where: tuple[int, int]
) -> Box:
    """The box of a text whose nearest corner or edge plotly puts at the marker's own."""
    middle = [at[axis] + where[axis] * (radius + size[axis] / 2) for axis in (0, 1)]
    return Box(
        middle[0] - size[0] / 2,
        middle[1] - size[1] / 2,
        middle[0] + size[0] / 2,
        middle[1] + size[1] / 2,
    )


def _boxes_along(start: tuple[float, float], end: tuple[float, float], font: float) -> list[Box]:
    steps = np.linspace(0.0, 1.0, 24)
    return [
        _around((start[0] + t * (end[0] - start[0]), start[1] + t * (end[1] - start[1])), font / 6)
        for t in steps.tolist()
    ]


def _outside(box: Box, frame: Frame) -> bool:
    width, height = frame.screen(frame.window[0][1], frame.window[1][1])
    return box.left < 0 or box.bottom < 0 or box.right > width or box.top > height


def _classes_below(box: Box, labels: np.ndarray, frame: Frame) -> list[int]:
    """Classes under a box, the most frequent first."""
    across, up = frame.node(labels.shape)
    rows = slice(max(int(box.bottom / up), 0), max(int(box.top / up), 0) + 1)
    columns = slice(max(int(box.left / across), 0), max(int(box.right / across), 0) + 1)
    under = labels[rows, columns]
    if under.size == 0:
        under = labels[-1:, -1:]
    counts = np.bincount(under.ravel())
    return [label for label in np.argsort(-counts).tolist() if counts[label]]
