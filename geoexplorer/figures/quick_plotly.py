"""Imports plotly without what it needs only where it shows a figure by itself.

Plotly asks nbformat for its version then. With nbformat comes jsonschema, and where JupyterLab is
installed that builds a grammar of internationalised addresses, which takes two to four times as
long as plotly itself. So plotly is told at first that there is no nbformat, and gets one that is
imported when it is asked. If plotly has other names for this some day, it is imported as always.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """A module that is imported when something in it is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def _without_nbformat() -> None:
    if {"plotly.io", "nbformat"} & set(sys.modules):
        return
    try:
        missing = import_module("_plotly_utils.optional_imports")._not_importable
        missing.add("nbformat")
        try:
            renderers = import_module("plotly.io._renderers")
        finally:
            missing.discard("nbformat")
    except (AttributeError, ImportError):
        return
    if find_spec("nbformat") is not None:
        renderers.nbformat = _Later("nbformat")  # type: ignore[attr-defined]


_without_nbformat()
