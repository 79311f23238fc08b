"""What a cross-section says above and below its map."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.frame import Frame
from geoexplorer.figures.text import escaped, lines_of, text_width
from geoexplorer.figures.theme import Theme
from geoexplorer.geometry.sections import CrossSection

__all__ = ["OWN", "footer_lines", "heading_parts"]

OWN = " (own)"
_MOST_KEY_LINES = 3
_BETWEEN = "   "
_SHADING = (
    "stronger colour: larger margin between the two highest logits",
    "stronger colour: larger logit margin",
)


def heading_parts(section: CrossSection) -> list[str]:
    """What it is, then what is known about it: own class, coarse or final, cost."""
    network = section.provenance.network
    parts = [f"Cross-section of {escaped(network)}" if network else "Cross-section"]
    if section.own is not None:
        parts.append(f"own: {escaped(section.class_names[section.own])}")
    progress = section.progress
    parts.append("final" if progress.complete else f"coarse ({escaped(progress.message)})")
    parts.append(f"{section.evaluations:,} evaluations")
    return parts


def footer_lines(
    section: CrossSection, unnamed: Collection[int], look: Theme, frame: Frame, *, shading: str
) -> list[str]:
    """A key for the classes that have no name in the map, and what the shading means."""
    lines = _key(section, unnamed, frame)
    if shading != "none":
        fits = text_width(_SHADING[0], frame.font) <= frame.width
        lines.append(f'<span style="color:{look.muted}">{_SHADING[0 if fits else 1]}</span>')
    return lines


def _key(section: CrossSection, labels: Collection[int], frame: Frame) -> list[str]:
    """The classes in a few lines, the one with the largest regions first."""
    areas = np.bincount(section.labels.numpy().ravel())
    order = sorted(labels, key=lambda label: -areas[label])
    names = [section.class_names[n] + (OWN if n == section.own else "") for n in order]
    rows = lines_of([f"■ {name}" for name in names], frame.width, frame.font, between=_BETWEEN)
    entries = [
        f'<span style="color:{class_colour(label)}">■</span> {escaped(name)}'
        for label, name in zip(order, names, strict=True)
    ]
    lines = [_BETWEEN.join(entries[n] for n in row) for row in rows[:_MOST_KEY_LINES]]
    left = sum(map(len, rows[_MOST_KEY_LINES:]))
    if left:
        lines[-1] += f"{_BETWEEN}and {left} more"
    return lines
