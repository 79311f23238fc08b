"""Measuring some images at a time, remembering after every part.

What is known can be seen as it comes, and what was interrupted goes on from there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.results import Result
from geoexplorer.widgets.following import DRAWING_SECONDS, announced
from geoexplorer.widgets.session import Session
from geoexplorer.widgets.worker import Delivery

__all__ = ["in_parts"]

R = TypeVar("R", bound=Result)


def in_parts(
    session: Session,
    key: tuple[Any, ...],
    what: str,
    parts: Sequence[Tensor],
    measured: Callable[[Tensor], Iterator[R]],
    together: Callable[[R, R], R],
    show: Callable[[R], None],
    *,
    known: Callable[[R], int],
    seconds: float,
) -> Generator[Delivery, None, R]:
    """The result of all parts, going on from what is remembered of it."""
    found: R | None = session.results.get(key)
    done, total = 0 if found is None else known(found), sum(map(len, parts))
    if done < total:
        yield from announced(session, what, seconds * (total - done))
    clock, drawn, end = TimeLeft(), -math.inf, 0
    for part in parts:
        end += len(part)
        if end <= done:
            continue
        result: R | None = None
        for result in measured(part):
            share = (end - len(part) * (1 - result.progress.fraction)) / total
            progress = Progress(share, what)
            yield partial(session.report, progress, clock.describe(progress))
        assert result is not None  # there is at least one step
        found = result if found is None else together(found, result)
        share = end / total
        found = replace(found, progress=Progress() if end == total else Progress(share, what))
        session.results.put(key, found)
        if end < total and time.monotonic() - drawn > DRAWING_SECONDS:
            yield partial(show, found)
            drawn = time.monotonic()
    assert found is not None  # there is at least one part
    return found
