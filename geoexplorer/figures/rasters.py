"""Pixels as PNG data URIs.

Plotly sends a two-dimensional array as nested JSON lists, a megabyte for one map; the same
pixels are some ten kilobytes as a PNG. Browsers smooth an image that they enlarge, so small
ones are enlarged here, by repeating pixels.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from geoexplorer.figures.colours import text_colour

__all__ = ["image_uri", "png_uri", "signed_uri"]


def png_uri(pixels: np.ndarray, *, palette: np.ndarray | None = None, least_side: int = 1) -> str:
    """A PNG as a data URI.

    Parameters
    ----------
    pixels
        uint8, ``(H, W)`` grey or palette entries, or ``(H, W, 3)`` red, green, blue; row 0 on top.
    palette
        ``(at most 256, 3)`` uint8; then ``pixels`` are rows of it.
    least_side
        Every pixel is repeated until the longer side has at least this many.

    Examples
    --------
    >>> png_uri(np.zeros((2, 2), dtype=np.uint8))[:22]
    'data:image/png;base64,'
    """
    times = -(-least_side // max(pixels.shape[:2]))
    if times > 1:
        pixels = pixels.repeat(times, axis=0).repeat(times, axis=1)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if palette is not None:
        image.putpalette(np.ascontiguousarray(palette, dtype=np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "png", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def image_uri(
    image: np.ndarray, *, bounds: tuple[float, float] = (0.0, 1.0), least_side: int = 256
) -> str:
    """An image ``(C, H, W)`` in ``bounds`` as a crisp PNG; what lies outside them is clipped."""
    low, high = bounds
    scaled = np.clip((np.asarray(image, dtype=np.float64) - low) / (high - low), 0.0, 1.0)
    return png_uri(_eight_bit(_drawable(scaled)), least_side=least_side)


def signed_uri(
    image: np.ndarray, scale: float, *, paper: str = "#ffffff", least_side: int = 256
) -> str:
    """A signed image ``(C, H, W)`` as a crisp PNG, of the colour ``paper`` where it is zero.

    One channel is drawn from blue (-scale) to orange (+scale). Three channels are drawn as
    colours around middle grey, since a difference of colours is itself a colour.
    """
    share = np.clip(np.asarray(image, dtype=np.float64) / (scale or 1.0), -1.0, 1.0)
    if share.shape[0] == 3:
        return png_uri(_eight_bit(_drawable(0.5 + 0.5 * share)), least_side=least_side)
    flat = share.mean(axis=0)[..., None]
    # Away from the paper: darker ends on a light one, lighter ends on a dark one.
    below, above = (
        ("#2166ac", "#c8401a") if text_colour(paper) == "#000000" else ("#6db3ff", "#ff9457")
    )
    ends = np.where(flat < 0, _rgb(below), _rgb(above))
    return png_uri(
        _eight_bit(_rgb(paper) * (1.0 - abs(flat)) + ends * abs(flat)), least_side=least_side
    )


def _drawable(image: np.ndarray) -> np.ndarray:
    """``(H, W)`` or ``(H, W, 3)``; other numbers of channels show their mean."""
    if image.shape[0] == 3:
        return np.moveaxis(image, 0, -1)
    return image.mean(axis=0)


def _eight_bit(values: np.ndarray) -> np.ndarray:
    return (values * 255.0 + 0.5).astype(np.uint8)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
