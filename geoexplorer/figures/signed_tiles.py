"""Signed images in a row, each with its value below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoexplorer.figures.chart import Canvas, Label, Tile
from geoexplorer.figures.rasters import signed_uri
from geoexplorer.figures.text import number

__all__ = ["ABOVE", "BELOW", "LEAST", "SPACE", "SignedTiles", "fitting", "scale_words"]

# All in lines of text.
LEAST = 4.2  # width of a tile
SPACE = 0.5  # between tiles
BELOW = 1.9  # a value and the room to the next row
ABOVE = 1.5  # a title over tiles
_LARGEST = 9.0
_PRECISE = 6.0  # width from which on a value has three digits


class SignedTiles:
    """Tiles of one size and one scale, placed row by row in pixels from the upper left corner."""

    def __init__(self, shape: Sequence[int], *, count: int, room: float, font: float) -> None:
        """``count`` tiles for images ``(..., H, W)`` side by side in a ``room`` in pixels."""
        wide = min(_LARGEST * font, (room - (count - 1) * SPACE * font) / count)
        self.size = wide, wide * shape[-2] / shape[-1]
        self.step = wide + SPACE * font
        self.tiles: list[Tile] = []
        self.labels: list[Label] = []

    def place(
        self,
        images: np.ndarray,
        values: Sequence[float],
        starts: Sequence[float],
        top: float,
        *,
        scale: float,
        canvas: Canvas,
    ) -> None:
        """A row of images ``(k, C, H, W)`` with values, their left sides at ``starts``."""
        (wide, tall), font, look = self.size, canvas.font, canvas.look
        digits = 2 if wide < _PRECISE * font else 3
        for start, image, value in zip(starts, images, values, strict=True):
            source = signed_uri(np.nan_to_num(image), scale, paper=look.paper)
            self.tiles.append(Tile(source, start, top, wide, tall))
            at = start + wide / 2, top + tall + 0.7 * font
            self.labels.append(Label(*at, number(value, digits), "middle center", look.ink))


def fitting(room: float, font: float) -> int:
    """How many of the smallest tiles stand side by side."""
    return int((room / font + SPACE) / (LEAST + SPACE))


def scale_words(scale: float) -> list[str]:
    """What the colours of unit directions stand for."""
    return [
        f"unit l2 norm, pixels from −{scale:.2g} to {scale:.2g}",
        "the sign of a direction is arbitrary",
    ]
