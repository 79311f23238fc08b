"""A map's pixels: every region in its class colour, paler where the margin is small."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from geoexplorer.figures.colours import blend, class_colour, contrast, text_colour
from geoexplorer.figures.rasters import png_uri
from geoexplorer.figures.theme import Theme, theme_named

__all__ = ["SHADINGS", "Shades", "map_pixels", "map_uri", "present", "shades"]

SHADINGS = ("margin", "bands", "none")
_READABLE = 4.5  # WCAG 2, AA
_BANDS = 6
_PALETTE = 256
# A screen shows a map about this large; coarser ones are enlarged here, to stay crisp.
_LEAST_SIDE = 512


class Shades(NamedTuple):
    """The colours that a class has in a map, and the one its name is written in."""

    nearest: str  # at the boundary
    farthest: str  # where the margin is large
    text: str


@lru_cache(maxsize=4096)
def shades(label: int, theme: str) -> Shades:
    """The shades of a class, so chosen that its name can be read on all of them.

    The theme says how much of the class colour is at a boundary and far from one. Where neither
    black nor white has a contrast of 4.5 on that whole range, the range is cut: from above for
    the text that wants the background's shade, else from below, whichever leaves more.

    Examples
    --------
    >>> shades(3, "light").text, shades(3, "dark").text
    ('#000000', '#ffffff')
    """
    look = theme_named(theme)
    colour = class_colour(label)
    shares = np.linspace(look.nearest, look.farthest, 33)
    colours = [blend(colour, look.paper, share) for share in shares]
    best = (0, 0, "")
    for text in (text_colour("#ffffff"), text_colour("#000000")):
        readable = [n for n, c in enumerate(colours) if contrast(text, c) >= _READABLE]
        if readable and readable[-1] - readable[0] > best[1] - best[0]:
            best = (readable[0], readable[-1], text)
    low, high, text = best
    return Shades(colours[low], colours[high], text)


def present(labels: np.ndarray) -> list[int]:
    """The classes in a map, ascending; ten times faster than sorting it.

    Examples
    --------
    >>> present(np.array([[3, 0], [0, 3]]))
    [0, 3]
    """
    return [int(label) for label in np.flatnonzero(np.bincount(labels.ravel()))]


def map_pixels(
    labels: np.ndarray, margins: np.ndarray, *, theme: Theme, shading: str
) -> tuple[np.ndarray, np.ndarray]:
    """Palette entries ``(H, W)`` and the palette ``(n, 3)`` uint8, in the rows' own order.

    The full strength is reached at the margin that nine tenths of the map stay below, and the
    shade goes with the square root, so that the neighbourhood of the boundary opens up.
    """
    found = present(labels)
    steps = {"none": 1, "bands": _BANDS}.get(shading, max(_PALETTE // len(found), 16))
    ends = [shades(label, theme.name) for label in found]
    near = np.array([_rgb(end.nearest) for end in ends])[:, None]
    far = np.array([_rgb(end.farthest) for end in ends])[:, None]
    share = np.linspace(0.0, 1.0, steps)[:, None] if steps > 1 else np.ones((1, 1))
    palette = (near + (far - near) * share + 0.5).astype(np.uint8).reshape(-1, 3)

    first = np.zeros(found[-1] + 1, dtype=np.int32)
    first[found] = steps * np.arange(len(found))
    entries = first[labels]
    full = float(np.quantile(margins[::4, ::4], 0.9))
    if steps == 1:
        return entries, palette
    if full <= 0:
        return entries + (steps - 1), palette
    strength = np.sqrt(np.minimum(margins.astype(np.float32) / np.float32(full), 1.0))
    return entries + np.minimum((strength * steps).astype(np.int32), steps - 1), palette


def map_uri(labels: np.ndarray, margins: np.ndarray, *, theme: Theme, shading: str) -> str:
    """The map as a PNG; row 0 of the arrays is at the bottom of the picture."""
    entries, palette = map_pixels(labels[::-1], margins[::-1], theme=theme, shading=shading)
    if len(palette) <= _PALETTE:
        return png_uri(entries.astype(np.uint8), palette=palette, least_side=_LEAST_SIDE)
    return png_uri(palette[entries], least_side=_LEAST_SIDE)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))
