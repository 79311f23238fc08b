"""What is said of one direction beside the figure: its rank, pictures, facts."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import ipywidgets

__all__ = ["METHOD_WORDS", "DirectionReadout"]

METHOD_WORDS = {
    "autograd": "autograd",
    "central_difference": "central differences",
    "smoothed": "smoothed",
}


class DirectionReadout(ipywidgets.VBox):
    """A heading, pictures with captions, and lines of HTML."""

    def __init__(self) -> None:
        self.head = ipywidgets.HTML()
        self.pictures = ipywidgets.HTML()
        self.facts = ipywidgets.HTML()
        super().__init__([self.head, self.pictures, self.facts])
        self.add_class("gx-curvature-readout")

    def _fill(self, head: str, pictures: Iterable[tuple[str, str]], lines: Iterable[str]) -> None:
        """Show HTML, pictures as data addresses with plain captions, and HTML."""
        self.head.value = f'<div class="gx-where">{head}</div>'
        self.pictures.value = _block("gx-pictures", (_figure(*picture) for picture in pictures))
        self.facts.value = _block("gx-facts", (f"<div>{line}</div>" for line in lines))


def _block(name: str, parts: Iterable[str]) -> str:
    return f'<div class="{name}">{"".join(parts)}</div>'


def _figure(source: str, caption: str) -> str:
    return (
        f'<figure><img src="{source}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
