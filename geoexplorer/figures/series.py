"""Colours and dashes of curves that stand for networks, methods or directions, never classes.

The first is the theme's ink. The colours were found by a search that made the least difference
between any two as large as it could for all four kinds of sight, at a contrast with the
background that a thin line needs; dashes tell curves apart in print without colours.
"""

from __future__ import annotations

from geoexplorer.figures.theme import Theme

__all__ = ["COLOURS", "DASHES", "accent", "rgba", "series_colour", "series_dash"]

COLOURS = {
    "light": ("#1a1a1a", "#cc7700", "#004488", "#009988", "#9966ff", "#883300"),
    "dark": ("#f1f1f1", "#ffaa00", "#55bbff", "#cc0000", "#8833dd", "#007766"),
}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def series_colour(index: int, look: Theme) -> str:
    """The colour of a curve; after six they come again."""
    colours = COLOURS[look.name]
    return colours[index % len(colours)]


def series_dash(index: int) -> str:
    """The dash of a curve; after six they come again."""
    return DASHES[index % len(DASHES)]


def accent(look: Theme) -> str:
    """The colour of what is pointed out, unlike any class, curve or boundary."""
    return "#c2006b" if look.name == "light" else "#ff7ac1"


def rgba(colour: str, opacity: float) -> str:
    """A colour ``"#rrggbb"`` that lets through what is below it.

    Examples
    --------
    >>> rgba("#ff0000", 0.25)
    'rgba(255,0,0,0.25)'
    """
    channels = ",".join(str(int(colour[start : start + 2], 16)) for start in (1, 3, 5))
    return f"rgba({channels},{opacity:g})"
