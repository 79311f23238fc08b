"""The page that shows the figures: what the paper reported beside what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import geoexplorer
from geoexplorer.paper.statements import CERTAINTY, FIGURES, PAPER, Statement

__all__ = ["PAGE", "Entry", "Shown", "index_page"]

PAGE = "index.html"
_SHOWN_FIRST = ("svg", "png", "html", "pdf")  # what the page itself shows of a picture


@dataclass(frozen=True)
class Shown:
    """A picture on the page."""

    name: str
    alt: str
    files: Mapping[str, str]  # by format


@dataclass(frozen=True)
class Entry:
    """What the page says about one figure of one network."""

    figure: str
    network: str
    images: str
    command: str
    made: str  # ISO 8601, UTC
    found: Sequence[str] = ()
    sample: str = ""
    method: str = ""
    code: str = ""
    computing: float = 0.0  # seconds
    drawing: float = 0.0  # seconds
    pictures: Sequence[Shown] = field(default_factory=tuple)
    results: Sequence[str] = ()  # files
    error: str = ""
    trace: str = ""
    seed: int | None = None  # None: not known
    full: bool | None = None

    @property
    def settings(self) -> str:
        """The seed, and how many images were taken, in words; nothing if that is not known."""
        if self.seed is None:
            return ""
        return f"seed {self.seed}, {'full' if self.full else 'quick'}"

    @classmethod
    def read(cls, known: Mapping[str, Any]) -> Entry:
        """The entry that ``asdict`` made a mapping of."""
        pictures = tuple(Shown(**picture) for picture in known["pictures"])
        return cls(**{**known, "pictures": pictures})


def index_page(entries: Sequence[Entry], notes: Sequence[str] = ()) -> str:
    """HTML that opens without a network and without a server.

    Parameters
    ----------
    entries
        In the order of the page.
    notes
        Sentences that stand above everything.

    Examples
    --------
    >>> "Telling perturbed images" in index_page([])
    False
    """
    return "\n".join(_page(entries, notes))


def _page(entries: Sequence[Entry], notes: Sequence[str]) -> Iterator[str]:
    style = files("geoexplorer.paper").joinpath("index_page.css").read_text(encoding="utf-8")
    present = [name for name in FIGURES if any(entry.figure == name for entry in entries)]
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>The paper's figures</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>"
    yield "<h1>The paper's figures</h1>"
    yield (
        f"<p>Made again after {escape(PAPER)}, "
        '<a href="https://doi.org/10.1109/CVPR.2018.00396">doi:10.1109/CVPR.2018.00396</a>. '
        "Each section says what the paper reported and how surely that is known (its body could "
        "not be opened when this was written), and what was found here, on the networks named. "
        "These are other networks and other images than the paper's, so other numbers are to be "
        "expected. Distances are l2 in pixel values from 0 to 1; curvatures are their inverse, "
        "and negative where the own region bulges out.</p>"
    )
    failed = [entry for entry in entries if entry.error]
    if failed:
        names = ", ".join(f"{entry.figure} of {entry.network}" for entry in failed)
        notes = (*notes, f"{len(failed)} of {len(entries)} figures could not be made: {names}.")
    if len({entry.settings for entry in entries}) > 1:
        notes = (
            *notes,
            "Not all figures were made with the same seed and sample sizes: each says which. Saved "
            "results that several figures use are those of the latest run.",
        )
    for note in notes:
        yield _note(note)
    if not entries:
        yield "<p>No figure is finished yet.</p>"
    yield "<nav><ol>"
    for name in present:
        yield f'<li><a href="#{name}">{escape(FIGURES[name].title)}</a></li>'
    yield "</ol></nav>"
    for name in present:
        yield from _section(
            name, FIGURES[name], [entry for entry in entries if entry.figure == name]
        )
    yield f"<footer><p>geoexplorer {escape(geoexplorer.__version__)}</p></footer>"
    yield "</main>\n</body>\n</html>\n"


def _section(name: str, statement: Statement, entries: Sequence[Entry]) -> Iterator[str]:
    yield f'<section id="{name}">\n<h2>{escape(statement.title)}</h2>'
    yield f"<p>{escape(statement.shows)}</p>"
    yield '<div class="reported"><h3>What the paper reported</h3><ul>'
    for reported in statement.reported:
        sure = escape(CERTAINTY[reported.certainty])
        yield f'<li>{escape(reported.sentence)} <span class="sure">({sure})</span></li>'
    yield "</ul></div>"
    for entry in entries:
        yield from _entry(entry)
    yield "</section>"


def _entry(entry: Entry) -> Iterator[str]:
    settings = f' <span class="sure">({escape(entry.settings)})</span>' if entry.settings else ""
    yield f"<article>\n<h3>Found here: {escape(entry.network)}{settings}</h3>"
    if entry.error:
        yield _note(f"This figure could not be made: {entry.error}")
        if entry.trace:
            yield f"<details><summary>Traceback</summary><pre>{escape(entry.trace)}</pre></details>"
    for sentence in entry.found:
        yield f'<p class="found">{escape(sentence)}</p>'
    for picture in entry.pictures:
        yield _picture(picture)
    if entry.results:
        links = ", ".join(_link(file, file) for file in entry.results)
        yield "<dl>"
        yield f"<dt>Sample</dt><dd>{escape(entry.sample)}; images: {escape(entry.images)}</dd>"
        yield f"<dt>Method</dt><dd>{escape(entry.method)}</dd>"
        yield (
            f"<dt>Time</dt><dd>{entry.computing:.1f} s of computing, with all results named below, "
            f"some of which other figures use too; {entry.drawing:.1f} s of drawing; made "
            f"{escape(entry.made.replace('T', ' ').replace('+00:00', ' UTC'))}</dd>"
        )
        yield f"<dt>Saved results</dt><dd>{links}</dd>"
        yield "</dl>"
    yield f"<details><summary>Make this figure again</summary><pre>{escape(entry.command)}</pre>"
    if entry.code:
        yield f"<p>or, in Python:</p><pre>{escape(entry.code)}</pre>"
    yield "</details>\n</article>"


def _picture(picture: Shown) -> str:
    kind = next(kind for kind in _SHOWN_FIRST if kind in picture.files)
    source = quote(picture.files[kind])
    if kind in ("html", "pdf"):
        shown = f'<iframe src="{source}" title="{escape(picture.alt)}" loading="lazy"></iframe>'
    else:
        shown = f'<img src="{source}" alt="{escape(picture.alt)}">'
    links = " · ".join(_link(file, kind.upper()) for kind, file in picture.files.items())
    return f"<figure>{shown}<figcaption>{escape(picture.alt)} {links}</figcaption></figure>"


def _note(sentence: str) -> str:
    return f'<p class="note" role="note">{escape(sentence)}</p>'


def _link(file: str, text: str) -> str:
    return f'<a href="{quote(file)}">{escape(text)}</a>'
