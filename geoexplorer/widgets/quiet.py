"""Telling a change that the program makes from one that a person makes."""

from __future__ import annotations

import threading
from types import TracebackType

__all__ = ["Quiet"]


class Quiet:
    """True in the thread that is inside its ``with`` block, and only there.

    While the worker's thread sets a control to what is shown, the control's observers must not
    take that for a choice; a person's choice that arrives in another thread at the same moment
    must not be missed.

    Examples
    --------
    >>> showing = Quiet()
    >>> with showing:
    ...     bool(showing)
    True
    >>> bool(showing)
    False
    """

    def __init__(self) -> None:
        self._depth = threading.local()

    def __bool__(self) -> bool:
        return getattr(self._depth, "value", 0) > 0

    def __enter__(self) -> None:
        self._depth.value = getattr(self._depth, "value", 0) + 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth.value -= 1
