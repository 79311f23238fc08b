"""The size of a map's figure: margins, scale, and the texts around the map."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geoexplorer.figures.chart import check_sizes
from geoexplorer.figures.text import lines_of, text_width
from geoexplorer.figures.theme import Theme

__all__ = ["Frame"]

_UNIT = "l2 distance in pixel values"
_LINE = 1.3  # plotly's line spacing
_LEAST_PLOT = 80.0
# Where the height is given, the lines below the map are kept room for before they are known.
_USUAL_FOOTER = 2


@dataclass(frozen=True)
class Frame:
    """A map's window, and how it lies on the screen. Lengths are in CSS pixels."""

    window: tuple[tuple[float, float], tuple[float, float]]
    font: float
    scale: float  # pixels per l2 unit, on both axes
    left: float
    right: float
    top: float
    bottom: float  # down to the last line below the map
    size: tuple[float, float]
    free_height: bool  # whether the figure grows with the lines below the map
    heading: Sequence[Sequence[str]]
    across: str
    up: str

    @staticmethod
    def around(
        window: tuple[tuple[float, float], tuple[float, float]],
        *,
        width: float | None,
        height: float | None,
        font: float,
        heading: Sequence[str],
        across: str,
        up: str,
    ) -> Frame:
        """The frame of a figure of a width, a height, or both.

        Raises
        ------
        ValueError
            If a size is not a positive number, or too small for the map and its texts.
        """
        check_sizes(width, height, font)
        (x0, x1), (y0, y1) = window
        left, right = 5.2 * font, 1.4 * font
        room = math.inf if width is None else width - left - right
        lines: list[list[str]] = []
        if heading:
            first, rest = heading[0], heading[1:]
            rows = lines_of(rest, min(room, 40 * font), font, between=" · ")
            lines = [[first], *([rest[n] for n in row] for row in rows)]
        top = _LINE * font * len(lines) + 1.2 * font
        if text_width(f"{across} · {_UNIT}", font) <= min(room, 40 * font):
            title, title_lines = f"{across} · {_UNIT}", 1
        else:
            title, title_lines = f"{across}<br>{_UNIT}", 2
        bottom = 4 + (0.5 + 1.3 + 0.6 + _LINE * title_lines) * font
        tall = math.inf if height is None else height - top - bottom - _footer(_USUAL_FOOTER, font)
        if min(room, tall) < _LEAST_PLOT:
            raise ValueError(
                f"width and height must leave {_LEAST_PLOT:.0f} pixels for the map beside its "
                f"texts, got width={width}, height={height} with a font of {font:.3g} pixels"
            )
        scale = min(room / (x1 - x0), tall / (y1 - y0))
        if width is None:
            width = left + scale * (x1 - x0) + right
        whole = top + scale * (y1 - y0) + bottom if height is None else height
        return Frame(
            window, font, scale, left, right, top, bottom, (width, whole), height is None,
            lines, title, up,
        )  # fmt: skip

    @property
    def width(self) -> float:
        """Room for a line of text below the map."""
        return self.size[0] - self.left - self.right

    def with_footer(self, lines: int) -> Frame:
        """The same frame with room for that many lines below the map."""
        more = _footer(lines, self.font)
        width, height = self.size
        height = math.ceil(height + more) if self.free_height else height
        return dataclasses.replace(self, bottom=self.bottom + more, size=(width, height))

    def screen(self, x: float, y: float) -> tuple[float, float]:
        """Pixels right of and above the map's lower left corner."""
        return (x - self.window[0][0]) * self.scale, (y - self.window[1][0]) * self.scale

    def node(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Pixels from one grid node to the next, across and up."""
        (x0, x1), (y0, y1) = self.window
        return (x1 - x0) * self.scale / shape[1], (y1 - y0) * self.scale / shape[0]

    def positions(self, screen: Sequence[tuple[float, float]]) -> dict[str, list[float]]:
        """Plane coordinates of points on the screen, as a trace takes them."""
        return {
            "x": [self.window[0][0] + x / self.scale for x, _ in screen],
            "y": [self.window[1][0] + y / self.scale for _, y in screen],
        }

    def layout(self, look: Theme, footer: Sequence[str]) -> dict[str, Any]:
        """Margins and texts for plotly's layout."""
        heading = ""
        if self.heading:
            rest = "<br>".join(" · ".join(line) for line in self.heading[1:])
            heading = f"<b>{self.heading[0][0]}</b>"
            heading += f'<br><span style="color:{look.muted}">{rest}</span>' if rest else ""
        drop = self.bottom - _footer(len(footer), self.font)
        return {
            "margin": {"l": self.left, "r": self.right, "t": self.top, "b": self.bottom, "pad": 0},
            "xaxis": {"title": {"text": self.across}},
            "yaxis": {"title": {"text": self.up}},
            "annotations": [
                {"text": heading, "yshift": 0.5 * self.font},
                {"text": "<br>".join(footer), "yshift": -drop},
            ],
        }


def _footer(lines: int, font: float) -> float:
    return (_LINE * lines + 0.5) * font if lines else 0.0
