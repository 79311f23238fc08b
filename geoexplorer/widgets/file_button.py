"""A button that takes a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from geoexplorer.widgets.assets import read_module

__all__ = ["FileButton"]


class FileButton(anywidget.AnyWidget):
    """Asks for a file and calls ``taken`` with its name and its bytes.

    Parameters
    ----------
    description, tooltip
        What stands on the button, and beside the pointer.
    accept
        Kinds of files that are offered, as HTML's ``accept``.
    taken
        Called once a file.
    """

    _esm = read_module("file_button.js")

    description = traitlets.Unicode().tag(sync=True)
    tooltip = traitlets.Unicode().tag(sync=True)
    accept = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, description: str, *, tooltip: str, accept: str, taken: Callable[[str, bytes], None]
    ) -> None:
        super().__init__(description=description, tooltip=tooltip, accept=accept)
        self._taken = taken
        self.on_msg(self._receive)

    def _receive(self, _widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        self._taken(str(content["name"]), bytes(buffers[0]))
