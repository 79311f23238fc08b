"""The light and the dark theme: a few colours, one font, and a plotly template from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import plotly.graph_objects as go

from geoexplorer.figures.colours import class_colour

__all__ = ["THEMES", "Theme", "pixels", "theme_named"]

# Arial and its metric twins come first: a PDF then embeds a font that every journal accepts.
_FONT = "Arial, 'Liberation Sans', 'Helvetica Neue', Helvetica, sans-serif"


@dataclass(frozen=True)
class Theme:
    """What a figure is drawn with, beside the class colours.

    Examples
    --------
    >>> theme_named("dark").template(font_size=9).layout.font.size
    12.0
    """

    name: str
    paper: str  # background
    ink: str  # text, marks, boundaries
    muted: str  # what may stand back: units, counts
    line: str  # axes
    nearest: float  # share of the class colour at a boundary
    farthest: float  # share of the class colour far from a boundary

    def template(self, *, font_size: float) -> go.layout.Template:
        """A plotly template; ``font_size`` in points. Plotly's default template is left alone."""
        return _template(self, font_size)


_LIGHT = Theme("light", "#ffffff", "#1a1a1a", "#5f6368", "#9aa0a6", nearest=0.42, farthest=0.88)
# JupyterLab's own dark background, so that the figure has no frame there.
_DARK = Theme("dark", "#111111", "#f1f1f1", "#a8adb4", "#6b7178", nearest=0.42, farthest=0.9)
THEMES = {theme.name: theme for theme in (_LIGHT, _DARK)}


def theme_named(name: str) -> Theme:
    """The theme ``"light"`` or ``"dark"``.

    Raises
    ------
    ValueError
        For any other name.

    Examples
    --------
    >>> theme_named("light").paper
    '#ffffff'
    """
    if name not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(map(repr, THEMES))}, got {name!r}")
    return THEMES[name]


def pixels(points: float) -> float:
    """CSS pixels (1/96 inch) for a length in points (1/72 inch)."""
    return points * 96.0 / 72.0


@cache  # to make one takes milliseconds, and figures copy it
def _template(theme: Theme, font_size: float) -> go.layout.Template:
    size = pixels(font_size)
    axis = {
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": theme.line,
        "tickfont": {"color": theme.muted, "size": size},
        "linecolor": theme.line,
        "showline": False,
        "showgrid": False,
        "zeroline": False,
        "title": {"font": {"color": theme.ink, "size": size}, "standoff": 0.5 * size},
    }
    layout = go.Layout(
        font={"family": _FONT, "size": size, "color": theme.ink},
        title={"font": {"size": size, "color": theme.ink}},
        paper_bgcolor=theme.paper,
        plot_bgcolor=theme.paper,
        colorway=[class_colour(index) for index in range(10)],
        xaxis=axis,
        yaxis=axis,
        showlegend=False,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": theme.muted, "activecolor": theme.ink},
    )
    return go.layout.Template(layout=layout)
