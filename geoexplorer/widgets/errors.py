"""Errors as a sentence in the app, the traceback folded. None vanish."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from html import escape
from typing import Any, TypeVar, cast

import ipywidgets

from geoexplorer.figures.export import MissingProgramError

__all__ = ["Errors", "guarded"]

F = TypeVar("F", bound=Callable[..., Any])


class Errors(ipywidgets.HTML):
    """Shows the last error until it is dismissed or the next piece of work succeeds."""

    def __init__(self) -> None:
        super().__init__()
        self.add_class("gx-errors")
        self.last: BaseException | None = None

    def show(self, error: BaseException, doing: str = "") -> None:
        """Show an error; ``doing`` says what was being done, for errors that are not ours."""
        self.last = error
        trace = "".join(traceback.format_exception(error))
        self.value = (
            f'<div role="alert"><span class="gx-sentence">{escape(_sentence(error, doing))}</span>'
            f"<details><summary>details</summary><pre>{escape(trace)}</pre></details></div>"
        )

    def clear(self) -> None:
        """Take the error away."""
        if self.last is not None:
            self.last = None
            self.value = ""


def guarded(method: F) -> F:
    """Show what a callback raises in ``self.errors``: a callback's exception is seen by nobody."""

    @functools.wraps(method)
    def safe(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.errors.show(error)
            return None

    return cast(F, safe)


def _sentence(error: BaseException, doing: str) -> str:
    if isinstance(error, (ValueError, TypeError, MissingProgramError)) and str(error):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "There is not enough memory for this; choose a smaller window or network."
    what = f"{doing} failed" if doing else "This failed"
    return f"{what} ({type(error).__name__}: {error}). Choose something else, or see the details."
