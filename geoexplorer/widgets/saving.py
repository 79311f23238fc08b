"""The form behind "Save": what kind of file, how wide, how large the letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import ipywidgets

__all__ = ["FORMATS", "FileLook", "SaveForm"]

# format -> media type
FORMATS = {
    "PDF": "application/pdf",
    "SVG": "image/svg+xml",
    "PNG": "image/png",
    "HTML": "text/html",
}


@dataclass(frozen=True)
class FileLook:
    """What a figure's file looks like.

    Examples
    --------
    >>> FileLook("PDF", "84mm", 8.0).ending
    '.pdf'
    """

    format: str
    width: str  # a length with its unit
    points: float  # of the letters

    @property
    def ending(self) -> str:
        """Of the file's name."""
        return f".{self.format.lower()}"

    def options(self) -> dict[str, Any]:
        """Of :func:`geoexplorer.figures.save`."""
        points = int(self.points) if self.points.is_integer() else self.points
        return {"width": self.width, "font_size": points}


class SaveForm(ipywidgets.HBox):
    """Asks how a figure is to be saved and calls ``save(look)``."""

    def __init__(self, save: Callable[[FileLook], None]) -> None:
        # What was saved last, or is chosen since; None as long as nobody has chosen anything.
        self.chosen: FileLook | None = None
        # All but HTML need kaleido, which is not installed with the rest.
        preferred, missing = ("PDF", "") if find_spec("kaleido") else ("HTML", " (needs kaleido)")
        options = [(name + missing * (name != "HTML"), name) for name in FORMATS]
        self.format = ipywidgets.Dropdown(options=options, value=preferred, description="Format")
        self.width = ipywidgets.BoundedFloatText(85.0, min=1.0, max=5000.0, description="Width")
        self.unit = ipywidgets.Dropdown(options=["mm", "px", "in"])
        self.points = ipywidgets.BoundedFloatText(8.0, min=1.0, max=72.0, description="Font, pt")
        self.button = ipywidgets.Button(description="Download", tooltip="Save the figure as a file")
        super().__init__([self.format, self.width, self.unit, self.points, self.button])
        self.add_class("gx-form")
        self.unit.add_class("gx-unit")
        for control in (self.format, self.width, self.unit, self.points):
            control.observe(self._choose, "value")
        self.button.on_click(lambda _: save(self._choose()))

    def _choose(self, _change: object = None) -> FileLook:
        width = f"{self.width.value:g}{self.unit.value}"
        self.chosen = FileLook(self.format.value, width, self.points.value)
        return self.chosen
