"""Class colours: the same in maps, gallery, bars and paths, and safe for the colour-blind.

The ten base colours were found by a search that made the least difference between any two of
them as large as it could, at full strength and shaded, for normal sight, protanopia,
deuteranopia and tritanopia alike. What that gives is held by the tests: CIEDE2000 of at least
16 between any two in all four kinds of sight, 20 in normal sight. The first few are the most
different ones, since most networks and most pictures have few classes.
"""

from __future__ import annotations

import colorsys
from operator import index as as_integer

__all__ = ["blend", "class_colour", "contrast", "text_colour"]

_BASE = (
    "#4d89ff",  # blue
    "#f5cf6d",  # sand
    "#8a4018",  # rust
    "#1153a7",  # deep blue
    "#6fe9cd",  # mint
    "#829103",  # olive
    "#5e5251",  # graphite
    "#a2729a",  # mauve
    "#b9c5ff",  # lavender
    "#f57c87",  # coral
)
_GOLDEN = 0.6180339887498949
_DARK_TEXT, _LIGHT_TEXT = "#000000", "#ffffff"


def class_colour(index: int) -> str:
    """The colour of a class, as ``"#rrggbb"``.

    The first ten are as different as can be. Class 10 k + j is base colour j with its hue
    turned by k times the golden section of the circle and its lightness moved, down in odd
    rounds and up in even ones; so a thousand classes have a thousand colours, but from the
    eleventh on a colour-blind reader needs the names that stand in the picture.

    Raises
    ------
    TypeError
        If ``index`` is not an integer.
    ValueError
        If ``index`` is negative.

    Examples
    --------
    >>> class_colour(0), class_colour(3), class_colour(13)
    ('#4d89ff', '#1153a7', '#59760c')
    """
    try:
        index = as_integer(index)
    except TypeError:
        raise TypeError(f"index must be an integer, got {type(index).__name__}") from None
    if index < 0:
        raise ValueError(f"index must be 0 or more, got {index}")
    turn, position = divmod(index, len(_BASE))
    if turn == 0:
        return _BASE[position]
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(_BASE[position]))
    hue = (hue + turn * _GOLDEN) % 1.0
    lightness = 0.65 * lightness + (0.02 if turn % 2 else 0.33)
    # A grey has no hue to turn, so the less saturated ones are given some.
    return _hex(colorsys.hls_to_rgb(hue, lightness, max(saturation, 0.35)))


def text_colour(*backgrounds: str) -> str:
    """Black or white, whichever is read more easily on all of the ``backgrounds``.

    On a single background the WCAG contrast is at least 4.5.

    Examples
    --------
    >>> text_colour("#f5cf6d"), text_colour("#1153a7")
    ('#000000', '#ffffff')
    """
    if not backgrounds:
        raise ValueError("backgrounds must name at least one colour, got none")
    return max(
        (_DARK_TEXT, _LIGHT_TEXT),
        key=lambda text: min(contrast(text, background) for background in backgrounds),
    )


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours after WCAG 2, between 1 and 21.

    Examples
    --------
    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def blend(colour: str, onto: str, share: float) -> str:
    """``share`` of ``colour`` laid over ``onto``; 1 gives ``colour`` itself.

    Examples
    --------
    >>> blend("#ff0000", "#000000", 0.5)
    '#800000'
    """
    pairs = zip(_channels(colour), _channels(onto), strict=True)
    return _hex(tuple(share * a + (1.0 - share) * b for a, b in pairs))


def _channels(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))


def _hex(channels: tuple[float, ...]) -> str:
    return "#" + "".join(f"{int(min(max(c, 0.0), 1.0) * 255 + 0.5):02x}" for c in channels)


def _luminance(colour: str) -> float:
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
