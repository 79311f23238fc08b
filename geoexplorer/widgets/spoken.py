"""What a screen reader reads out: how work ended, and now and then how far it has come."""

from __future__ import annotations

import time

import anywidget
import traitlets

from geoexplorer.widgets.assets import read_module

__all__ = ["Spoken"]

# A wait of so many seconds is told, and then again so often.
_LONG_SECONDS, _AGAIN_SECONDS = 2.0, 20.0


class Spoken(anywidget.AnyWidget):
    """A live region that nobody sees.

    It says little, since what is read out cannot be overlooked: the page drops what is replaced
    within half a second, and progress is told only where people wait for it.

    Examples
    --------
    >>> spoken = Spoken()
    >>> spoken.begin()
    >>> spoken.progress("refining, 3 of 5")  # it has only just begun
    >>> spoken.say("done")
    >>> spoken.text
    'done'
    """

    _esm = read_module("spoken.js")

    text = traitlets.Unicode().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._due = 0.0  # on the monotonic clock

    def begin(self) -> None:
        """Work begins: what was said is over."""
        self.text = ""
        self._due = time.monotonic() + _LONG_SECONDS

    def progress(self, text: str) -> None:
        """Say how far it has come, where that is due."""
        if time.monotonic() >= self._due:
            self.text = text
            self._due = time.monotonic() + _AGAIN_SECONDS

    def say(self, text: str) -> None:
        """Say something now, also what was said last."""
        self.text = ""
        self.text = text
