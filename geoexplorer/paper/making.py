"""Making the figures: one after the other, kept as they are finished, whatever happens to one."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from geoexplorer import figures
from geoexplorer.figures.export import MissingProgramError, one_chrome
from geoexplorer.figures.result_words import counted
from geoexplorer.paper.estimates import Pace, about, seconds_for
from geoexplorer.paper.figure_set import FIGURE_SET
from geoexplorer.paper.index_page import PAGE, Entry, Shown, index_page
from geoexplorer.paper.request import FORMATS, Request, no_folder
from geoexplorer.paper.statements import FIGURES
from geoexplorer.paper.store import Store, digest_of, write_whole
from geoexplorer.paper.subjects import Subject, load_subject
from geoexplorer.paper.terminal import Terminal
from geoexplorer.paper.workshop import Finding, Picture, Workshop

__all__ = ["make_figures"]

_ENTRIES = "entries of the page"
_PNG_SCALE = 2.0  # image pixels to a CSS pixel
_INTERRUPTED = 130  # as a shell calls what was stopped by Ctrl-C


@dataclass(frozen=True)
class _Item:
    """One figure of one network."""

    figure: str
    network: str
    subject: Subject | str  # or the sentence that says why it could not be loaded
    expected: float  # seconds

    @property
    def key(self) -> str:
        """Its name among the entries of the page."""
        return f"{self.figure} {self.network}"

    @property
    def title(self) -> str:
        return f"{self.figure}, {self.network}"


def make_figures(request: Request) -> int:
    """Make what is asked for, and the page that says what was found.

    Returns
    -------
    int
        0 if every figure was made, 1 if one was not, 130 after Ctrl-C. In each case the page
        shows all that is finished, and the same request goes on from there. 1 as well, after a
        sentence that says so, if the folder cannot be written to.
    """
    try:
        store = Store(request.out)
    except OSError as error:
        print(f"geoexplorer: {no_folder(request.out, error)}", file=sys.stderr)
        return 1
    items = _items(request)
    terminal = Terminal([item.expected for item in items])
    total = sum(item.expected for item in items)
    terminal.say(
        f"{counted(len(items), 'figure')}, written to {request.out}; about {about(total)} where "
        "nothing of it is there yet. Ctrl-C stops; the same command goes on."
    )
    with ExitStack() as stack:
        maker = _Maker(request, store, terminal, stack)
        try:
            for number, item in enumerate(items):
                terminal.begin(number, item.title)
                maker.make(item)
        except KeyboardInterrupt:
            maker.write_page(stopped=True)
            terminal.say(
                f"Stopped. What is finished is in {request.out / PAGE}; the same command goes on."
            )
            return _INTERRUPTED
        maker.write_page()
    if others := maker.others():
        terminal.say(f"The page still shows figures that were made otherwise: {others}.")
    terminal.say(f"The page is {request.out / PAGE}")
    return 1 if maker.failed else 0


class _Maker:
    """Makes one item after the other and keeps the page up to date."""

    def __init__(
        self, request: Request, store: Store, terminal: Terminal, stack: ExitStack
    ) -> None:
        self._request, self._store, self._terminal = request, store, terminal
        self._stack = stack  # closes what pictures need
        self._chrome: bool | None = None  # not tried yet
        self._drew = False  # whether anything of the present figure was drawn
        self._missing = ""  # why there are only web pages
        self._entries = {
            name: Entry.read(entry) for name, entry in (store.noted(_ENTRIES) or {}).items()
        }
        self.failed = 0

    def make(self, item: _Item) -> None:
        """Make one figure; what goes wrong is written down in place of it."""
        start = time.monotonic()
        try:
            entry = self._entry(item)
            words = f"done in {time.monotonic() - start:.1f} s"
        except Exception as error:
            self.failed += 1
            sentence = str(error) or type(error).__name__
            entry = self._blank(item, error=sentence, trace=traceback.format_exc())
            words = f"not made: {sentence}"
        before = self._entries.get(item.key)
        if before is not None and before.settings and before.settings != entry.settings:
            words += f", in place of what was made with {before.settings}"
        self._entries[item.key] = entry
        self._store.note(_ENTRIES, {name: asdict(entry) for name, entry in self._entries.items()})
        self.write_page()
        self._terminal.end(words)

    def others(self) -> str:
        """Figures on the page that were made with another seed or size than is asked for now."""
        request = self._request
        return ", ".join(
            f"{entry.figure} of {entry.network} ({entry.settings})"
            for entry in self._in_order()
            if (entry.seed, entry.full) not in ((request.seed, request.full), (None, None))
        )

    def _in_order(self) -> list[Entry]:
        order = list(FIGURES)
        return sorted(self._entries.values(), key=lambda entry: order.index(entry.figure))

    def write_page(self, *, stopped: bool = False) -> None:
        """Write the page of all that is there."""
        notes = [self._missing] if self._missing else []
        if stopped:
            notes.append("Making the figures was stopped; the same command goes on.")
        write_whole(self._request.out / PAGE, index_page(self._in_order(), notes))

    def _entry(self, item: _Item) -> Entry:
        if isinstance(item.subject, str):
            raise ValueError(item.subject)
        short = self._request.short_name(item.network)
        shop = Workshop(item.subject, short, self._request.seed, self._store, self._terminal.watch)
        finding = FIGURE_SET[item.figure](shop)
        before = self._entries.get(item.key)
        start, self._drew = time.monotonic(), False
        pictures = tuple(self._drawn(picture, short) for picture in finding.pictures)
        return self._blank(
            item,
            finding=finding,
            pictures=pictures,
            results=tuple(shop.kept),
            computing=sum(result.provenance.seconds for result in shop.kept.values()),
            drawing=time.monotonic() - start if self._drew or before is None else before.drawing,
        )

    def _blank(self, item: _Item, *, finding: Finding | None = None, **known: Any) -> Entry:
        subject = item.subject
        if finding is not None:
            known |= {
                "found": finding.found,
                "sample": finding.sample,
                "method": finding.method,
                "code": finding.code,
            }
        return Entry(
            figure=item.figure,
            network=item.network,
            images="" if isinstance(subject, str) else subject.source,
            command=self._request.command(item.figure, item.network),
            seed=self._request.seed,
            full=self._request.full,
            made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **known,
        )

    def _drawn(self, picture: Picture, short: str) -> Shown:
        """The picture in every format; files that are there and show the same are left alone."""
        drawn = cache(lambda: figures.draw(picture.result, **picture.options))
        digest = digest_of((_PNG_SCALE, picture.result, _versions(), picture.options))
        files = {}
        for kind in reversed(FORMATS):  # web pages last: they may have to stand in for the rest
            file = f"{picture.name}-{short}.{kind}"
            made = self._store.is_made(file, digest)
            if not made and self._can_draw(kind):
                self._drew = True
                self._store.picture(file, digest, lambda path: _save(drawn(), path))
                made = True
            if made:
                files[kind] = file
        return Shown(picture.name, picture.alt, {k: files[k] for k in FORMATS if k in files})

    def _can_draw(self, kind: str) -> bool:
        """Whether files of a kind are to be made, and can be: all but web pages need a Chrome."""
        if kind == "html":
            return kind in self._request.formats or self._chrome is False
        if kind not in self._request.formats:
            return False
        if self._chrome is None:
            try:
                self._stack.enter_context(one_chrome())
                self._chrome = True
            except MissingProgramError as error:
                self._chrome = False
                self._missing = f"Only web pages were made, no SVG, PNG or PDF: {error}."
                self._terminal.say(self._missing)
        return self._chrome


def _save(figure: Any, path: Path) -> None:
    scale = {"scale": _PNG_SCALE} if path.suffix == ".png" else {}
    figures.save(figure, path, offline="beside", **scale)


def _versions() -> dict[str, str]:
    import plotly

    import geoexplorer

    return {"plotly": plotly.__version__, "geoexplorer": geoexplorer.__version__}


def _items(request: Request) -> list[_Item]:
    """Every figure of every network, in the order of the page; networks are loaded once."""

    @cache
    def loaded(network: str) -> tuple[Subject, Pace] | str:
        try:
            subject = load_subject(
                network, folder=request.images, full=request.full, seed=request.seed
            )
            return subject, Pace(subject)
        except Exception as error:
            return str(error) or type(error).__name__

    def items() -> Iterator[_Item]:
        for figure in request.figures:
            for network in request.networks_for(figure):
                found = loaded(network)
                if isinstance(found, str):
                    yield _Item(figure, network, found, 0.0)
                else:
                    yield _Item(figure, network, found[0], seconds_for(figure, *found))

    return list(items())
