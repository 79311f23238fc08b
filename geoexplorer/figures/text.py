"""How wide a text will be, and where to break it, before any browser has seen it."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["escaped", "lines_of", "text_width"]

_NARROW, _WIDE = "iIjlt.,:;'|!()[]f -", "mwMW@%"


def text_width(text: str, size: float) -> float:
    """About how wide ``text`` is in a sans-serif font of ``size``, in the same unit.

    Examples
    --------
    >>> text_width("will", 10) < text_width("moon", 10)
    True
    """
    return size * sum(
        0.32 if c in _NARROW else 0.88 if c in _WIDE else 0.7 if c.isupper() else 0.56 for c in text
    )


def lines_of(parts: Sequence[str], width: float, size: float, *, between: str) -> list[list[int]]:
    """Positions of the ``parts`` that go on each line, so that lines are no wider than ``width``.

    A part that is wider than a line has a line to itself.

    Examples
    --------
    >>> lines_of(["one", "two", "three"], 50, 10, between=", ")
    [[0, 1], [2]]
    """
    lines: list[list[int]] = []
    used = 0.0
    for position, part in enumerate(parts):
        needed = text_width(part, size)
        if lines and used + text_width(between, size) + needed <= width:
            lines[-1].append(position)
            used += text_width(between, size) + needed
        else:
            lines.append([position])
            used = needed
    return lines


def escaped(text: str) -> str:
    """A name as plotly draws it letter by letter, whatever markup it may contain."""
    return html.escape(text, quote=False)
