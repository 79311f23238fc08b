"""Saying beforehand how long work takes, and showing it while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TypeVar

from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.results import Result
from geoexplorer.widgets.session import LONG_SECONDS, Session
from geoexplorer.widgets.worker import Delivery

__all__ = ["DRAWING_SECONDS", "announced", "followed", "seconds_words"]

DRAWING_SECONDS = 0.3
"""Between two drawings of what is not complete."""

R = TypeVar("R", bound=Result)


def announced(session: Session, what: str, seconds: float) -> Generator[Delivery, None, None]:
    """Say what is going to be computed, and how long it takes where that is long."""
    message = what
    if seconds > LONG_SECONDS:
        message = f"{what}: this may take {seconds_words(seconds)}; Cancel stops it"
    yield partial(session.report, Progress(0.0, message), message)


def followed(
    session: Session,
    steps: Iterator[R],
    what: str,
    show: Callable[[R], None],
    *,
    worth: Callable[[R], bool] = lambda found: True,
) -> Generator[Delivery, None, R]:
    """The last of the steps; those before that are worth it are shown now and then."""
    clock, drawn = TimeLeft(), -math.inf
    found: R | None = None
    for found in steps:
        done = found.progress
        if not done.complete and worth(found) and time.monotonic() - drawn > DRAWING_SECONDS:
            yield partial(show, found)
            drawn = time.monotonic()
        yield partial(session.report, done, clock.describe(Progress(done.fraction, what)))
    assert found is not None  # there is at least one step
    return found


def seconds_words(seconds: float) -> str:
    """A duration for a person.

    Examples
    --------
    >>> seconds_words(12.3), seconds_words(150)
    ('about 12 s', 'about 2 min')
    """
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"
