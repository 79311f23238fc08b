"""What only the page can do: tell its theme, copy text, hand over files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from geoexplorer.widgets.assets import read_asset, read_module

__all__ = ["Page"]


class Page(anywidget.AnyWidget):
    """The page that the Explorer is shown in; it also brings the Explorer's style sheet.

    ``copied`` is called with True once a text is on the clipboard, with False where the browser
    does not allow that and the text stands there to be copied by hand.
    """

    _esm = read_module("page.js")
    _css = read_asset("style.css")

    dark = traitlets.Bool(False).tag(sync=True)

    def __init__(self, *, copied: Callable[[bool], None]) -> None:
        super().__init__()
        self._copied = copied
        self.on_msg(self._receive)

    def copy(self, text: str) -> None:
        """Put a text on the clipboard."""
        self.send({"kind": "copy", "text": text})

    def download(self, name: str, data: bytes, media_type: str) -> None:
        """Hand a file to the browser, which saves it where it saves files."""
        self.send({"kind": "download", "name": name, "type": media_type}, [data])

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        self._copied(content.get("kind") == "copied")
