"""How wide a text will be, and where to break it, before any browser has seen it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

__all__ = [
    "bare",
    "cut",
    "escaped",
    "first_fitting",
    "lines_of",
    "number",
    "round_step",
    "text_width",
    "wrapped",
]

# Widths of letters, in thousandths of the size, in DejaVu Sans: the font that Linux and so a
# paper's PDF has for "sans-serif", and about the widest of those that browsers take for it.
_WIDTHS = {
    letter: width
    for width, letters in {
        278: "'ijl", 295: "IJ", 318: " ,.·", 337: "/:;\\|", 361: "f-", 393: "()[]⟨⟩t", 411: "!²r",
        460: '"', 521: "*_`‖°–“”s", 531: "z?", 557: "cL", 579: "Fk", 592: "κvxy", 616: "PTYoae",
        637: "Ehnuσbdgpqρ$0123456789{}μ√S", 656: "K", 685: "AVXZ", 698: "BRC", 752: "UNH",
        787: "DG&OQ", 863: "M", 838: "w#+<=>^~−→×≤≥≈±",
    }.items()
    for letter in letters
}  # fmt: skip
_WIDEST = 1000
_OTHER_FONTS = 1.05  # so much wider another font may be


def text_width(text: str, size: float) -> float:
    """About how wide ``text`` is at most in a sans-serif font of ``size``, in the same unit.

    Examples
    --------
    >>> text_width("will", 10) < text_width("moon", 10)
    True
    """
    return _OTHER_FONTS * size * sum(_WIDTHS.get(c, _WIDEST) for c in text) / 1000


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


def cut(name: str, room: float, size: float) -> str:
    """A name as plotly draws it letter by letter, without its end where it is too long.

    Examples
    --------
    >>> cut("short", 100, 10), cut("a rather long name", 60, 10)
    ('short', 'a rather l…')
    """
    if text_width(name, size) <= room:
        return escaped(name)
    while name and text_width(f"{name}…", size) > room:
        name = name[:-1].rstrip()
    return f"{escaped(name)}…"


def first_fitting(texts: Sequence[str], room: float, size: float) -> str | None:
    """The first of the ``texts`` that is no wider than ``room``.

    Examples
    --------
    >>> first_fitting(["a long one", "short"], 40, 10), first_fitting(["a long one"], 40, 10)
    ('short', None)
    """
    return next((text for text in texts if text_width(bare(text), size) <= room), None)


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, and a minus sign that is as wide as a plus.

    Examples
    --------
    >>> number(-0.5801), number(12.0), number(0.0)
    ('−0.58', '12', '0')
    """
    return f"{value:.{digits}g}".replace("-", "−")


def round_step(span: float, most: float) -> float:
    """The least of 1, 2 or 5 times a power of ten that divides ``span`` in at most ``most`` parts.

    Examples
    --------
    >>> round_step(3.0, 4), round_step(3.0, 8), round_step(3000, 7)
    (1.0, 0.5, 500.0)
    """
    least = span / max(most, 1.0)
    power = 10.0 ** math.floor(math.log10(least))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= least)


def wrapped(parts: Sequence[str], width: float, size: float, *, between: str = " · ") -> list[str]:
    """The ``parts`` in lines no wider than ``width``; one that is too long breaks at its spaces.

    Examples
    --------
    >>> wrapped(["a", "b", "one two"], 30, 10)
    ['a · b', 'one', 'two']
    """
    lines: list[str] = []
    for row in lines_of([bare(part) for part in parts], width, size, between=between):
        line = between.join(parts[n] for n in row)
        if text_width(bare(line), size) <= width:
            lines.append(line)
        else:
            words = line.split(" ")
            broken = lines_of([bare(word) for word in words], width, size, between=" ")
            lines += [" ".join(words[n] for n in piece) for piece in broken]
    return lines


def bare(text: str) -> str:
    """The text without its italics."""
    return re.sub("</?i>", "", text)
