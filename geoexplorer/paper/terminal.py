"""What a person at the terminal sees while figures are made."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.paper.estimates import about

__all__ = ["Terminal"]

_WIDTH = 98
_BETWEEN_LINES = 30.0  # seconds between two lines where a line cannot be overwritten


class Terminal:
    """One line of progress, overwritten where that can be, and lines that stay.

    Parameters
    ----------
    expected
        Seconds that each figure is expected to take.
    """

    def __init__(self, expected: Sequence[float], stream: TextIO | None = None) -> None:
        self._expected = list(expected)
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._number, self._title = 0, ""
        self._step, self._clock = "", TimeLeft()
        self._start = self._begun = self._shown = time.monotonic()

    def begin(self, number: int, title: str) -> None:
        """The figure of this number (from 0) begins."""
        self._number, self._title, self._step = number, title, ""
        self._begun = time.monotonic()
        self._show("begins")

    def watch(self, step: str, progress: Progress) -> None:
        """A computation has come so far."""
        if step != self._step:
            self._step, self._clock = step, TimeLeft()
        self._show(self._clock.describe(progress))

    def end(self, words: str) -> None:
        """The figure is finished."""
        self._line(f"{self._place}: {words}")

    def say(self, words: str) -> None:
        """A line that stays."""
        self._line(words)

    def left(self) -> float:
        """Seconds left in all, as far as can be said."""
        done = sum(self._expected[: self._number])
        spent = self._begun - self._start
        pace = spent / done if done > 0 and spent > 0 else 1.0
        return max(0.0, pace * sum(self._expected[self._number :]) - self._since_begun)

    @property
    def _since_begun(self) -> float:
        return time.monotonic() - self._begun

    @property
    def _place(self) -> str:
        return f"[{self._number + 1}/{len(self._expected)}] {self._title}"

    def _show(self, words: str) -> None:
        text = f"{self._place}: {words}; about {about(self.left())} left in all"
        if self._live:
            print(f"\r{text[:_WIDTH]:<{_WIDTH}}", end="", file=self._stream, flush=True)
        elif time.monotonic() - self._shown > _BETWEEN_LINES:
            self._line(text)

    def _line(self, words: str) -> None:
        start = f"\r{'':<{_WIDTH}}\r" if self._live else ""
        print(f"{start}{words}", file=self._stream, flush=True)
        self._shown = time.monotonic()
