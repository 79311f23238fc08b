"""One protocol for long work.

A long computation is a generator, named ``*_steps``. It yields results of the same type
as the plain function returns, each better than the one before and each carrying its
``progress``; the last one is final. Whoever drives the generator decides what to do with
the partial results: :func:`last` ignores them, a plot draws them, a worker thread drops
the generator when the user has chosen something else.

Between two yields the network is evaluated in chunks, and before every chunk
:func:`check_cancelled` is called, so that work stops within one chunk of a request even
where a single step is long. After every chunk :func:`tell_passed` says how many images it had,
which :func:`hearing_passes` hears: a sign of life, and a measure of how far a long step is.
"""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol, TextIO, TypeVar

__all__ = [
    "Cancelled",
    "News",
    "Progress",
    "TimeLeft",
    "Words",
    "cancellable",
    "check_cancelled",
    "hearing_passes",
    "last",
    "tell_passed",
]

_WIDTH = 78
_TERMINAL_SECONDS = 0.1
_FILE_SECONDS = 10.0
_SILENCE_SECONDS = 1.0
_LEAST_NEWS = 0.01  # share of the work between two intermediate results


@dataclass(frozen=True)
class Progress:
    """How far a computation has come.

    Parameters
    ----------
    fraction
        Done share of the work, between 0 and 1; 1 only for a final result.
    message
        What is being done, for a person: ``"refining, 3 of 5"``.

    Examples
    --------
    >>> Progress(0.5, "refining, 2 of 4").complete
    False
    >>> Progress().complete
    True
    """

    fraction: float = 1.0
    message: str = "final"

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.fraction >= 1.0


class HasProgress(Protocol):
    """Anything that says how far it has come."""

    @property
    def progress(self) -> Progress:
        """Share of the work done so far."""
        ...


R = TypeVar("R", bound=HasProgress)


def last(steps: Iterable[R], *, show: bool = False) -> R:
    """Run a ``*_steps`` generator to its end and return the final result.

    Parameters
    ----------
    steps
        The generator.
    show
        Print one line on standard error that says what is being done and how long it
        will take; where that is no terminal, a new line every ten seconds.

    Raises
    ------
    ValueError
        If the generator yields no final result.

    Examples
    --------
    >>> from geoexplorer.results import Result
    >>> last(iter([Result(progress=Progress(0.5, "half")), Result()])).progress.complete
    True
    """
    final: R | None = None
    line = _Line(sys.stderr) if show else None
    with nullcontext() if line is None else hearing_passes(line.passed):
        for result in steps:
            if line is not None:
                line.show(result.progress)
            if result.progress.complete:
                final = result
            del result  # which may be large, before the next one is made
    if final is None:
        raise ValueError("steps yielded no result that is final")
    return final


class _Line:
    """What is being done, on a terminal in one line, else in a new one from time to time."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._clock = file, TimeLeft()
        self._terminal = file.isatty()
        self._words = Words(_TERMINAL_SECONDS if self._terminal else _FILE_SECONDS)

    def show(self, progress: Progress) -> None:
        text = self._words.news(self._clock.describe(progress), now=progress.complete)
        self._write(text, complete=progress.complete)

    def passed(self, images: int) -> None:
        self._write(self._words.passed(images))

    def _write(self, text: str | None, *, complete: bool = False) -> None:
        if text is None:
            return
        start, width = ("\r", _WIDTH) if self._terminal else ("", 0)
        end = "\n" if complete or not self._terminal else ""
        print(f"{start}{text:<{width}}", end=end, file=self._file, flush=True)


class Words:
    """What to say of work in progress, and when: news, or how many passes there were since.

    Parameters
    ----------
    seconds
        Least time between two of them.
    silence
        Passes are counted aloud after so many seconds without news, or after ``seconds`` if that
        is longer.

    Examples
    --------
    >>> words = Words(seconds=0.0, silence=0.0)
    >>> words.news("curvature, 1 of 2 points, 40 s left")
    'curvature, 1 of 2 points, 40 s left'
    >>> words.passed(512)
    'curvature, 1 of 2 points, 40 s left (+512 network passes)'
    """

    def __init__(self, seconds: float, silence: float = _SILENCE_SECONDS) -> None:
        self._seconds, self._silence = seconds, max(seconds, silence)
        self._due = 0.0  # on the monotonic clock
        self._heard = time.monotonic()
        self._news, self._passed = "starting", 0

    def news(self, text: str, *, now: bool = False) -> str | None:
        """The text, or None while it is too early, unless it is to be said now."""
        self._news, self._passed = text, 0
        self._heard = time.monotonic()
        return text if self._may_speak(now) else None

    def passed(self, images: int) -> str | None:
        """The last news and the passes since, these ones included; None while it is too early."""
        self._passed += images
        if time.monotonic() < self._heard + self._silence or not self._may_speak():
            return None
        self._heard = time.monotonic()
        passes = "pass" if self._passed == 1 else "passes"
        return f"{self._news} (+{self._passed:,} network {passes})"

    def _may_speak(self, now: bool = False) -> bool:
        moment = time.monotonic()
        if moment < self._due and not now:
            return False
        self._due = moment + self._seconds
        return True


class TimeLeft:
    """Estimates the time left from the progress made since the clock was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def seconds(self, progress: Progress) -> float | None:
        """Seconds left, or None while there is nothing to go by."""
        if progress.complete:
            return 0.0
        if progress.fraction <= 0.0:
            return None
        elapsed = time.monotonic() - self._start
        return elapsed * (1.0 - progress.fraction) / progress.fraction

    def describe(self, progress: Progress) -> str:
        """One line for a person: what is being done and how long it will take."""
        left = self.seconds(progress)
        if left is None or progress.complete:
            return progress.message
        return f"{progress.message}, {left:.0f} s left" if left >= 1.0 else progress.message


class Cancelled(Exception):
    """Raised inside a computation that was asked to stop."""


_cancel_event: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar(
    "geoexplorer_cancel_event", default=None
)


_passes_listener: contextvars.ContextVar[Callable[[int], None] | None] = contextvars.ContextVar(
    "geoexplorer_passes_listener", default=None
)


@contextmanager
def hearing_passes(listener: Callable[[int], None]) -> Iterator[None]:
    """Call ``listener`` with the number of images of every chunk evaluated inside the block.

    Examples
    --------
    >>> with hearing_passes(print):
    ...     tell_passed(64)
    64
    """
    token = _passes_listener.set(listener)
    try:
        yield
    finally:
        _passes_listener.reset(token)


def tell_passed(images: int) -> None:
    """Tell whoever hears it that so many images have gone through the network."""
    listener = _passes_listener.get()
    if listener is not None:
        listener(images)


@contextmanager
def cancellable(event: threading.Event) -> Iterator[None]:
    """Let everything computed inside the block stop soon after ``event`` is set.

    Examples
    --------
    >>> event = threading.Event()
    >>> event.set()
    >>> with cancellable(event):
    ...     check_cancelled()
    Traceback (most recent call last):
        ...
    geoexplorer.jobs.Cancelled
    """
    token = _cancel_event.set(event)
    try:
        yield
    finally:
        _cancel_event.reset(token)


def check_cancelled() -> None:
    """Raise :class:`Cancelled` if the surrounding :func:`cancellable` block was asked to stop."""
    event = _cancel_event.get()
    if event is not None and event.is_set():
        raise Cancelled


class News:
    """Tells which steps bring enough progress to be worth a look; the last one always does.

    Examples
    --------
    >>> news = News()
    >>> [news.due(fraction) for fraction in (0.5, 0.501, 0.6, 1.0)]
    [True, False, True, True]
    """

    def __init__(self) -> None:
        self._shown = 0.0

    def due(self, fraction: float) -> bool:
        """Whether to show a result with such a share of the work done."""
        check_cancelled()
        if fraction < min(1.0, self._shown + _LEAST_NEWS):
            return False
        self._shown = fraction
        return True
