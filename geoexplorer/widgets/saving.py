"""The form behind "Save": what kind of file, how wide, how large the letters."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import ipywidgets

__all__ = ["FORMATS", "SaveForm"]

# format -> media type
FORMATS = {
    "PDF": "application/pdf",
    "SVG": "image/svg+xml",
    "PNG": "image/png",
    "HTML": "text/html",
}


class SaveForm(ipywidgets.HBox):
    """Asks how a figure is to be saved and calls ``save(format, width, points)``.

    The width is a length with its unit, such as ``"84mm"``.
    """

    def __init__(self, save: Callable[[str, str, float], None]) -> None:
        # All but HTML need kaleido, which is not installed with the rest.
        preferred = "PDF" if find_spec("kaleido") else "HTML"
        self.format = ipywidgets.Dropdown(
            options=list(FORMATS), value=preferred, description="Format"
        )
        self.width = ipywidgets.BoundedFloatText(84.0, min=1.0, max=5000.0, description="Width")
        self.unit = ipywidgets.Dropdown(options=["mm", "px", "in"])
        self.points = ipywidgets.BoundedFloatText(8.0, min=1.0, max=72.0, description="Font, pt")
        self.button = ipywidgets.Button(description="Download", tooltip="Save the figure as a file")
        super().__init__([self.format, self.width, self.unit, self.points, self.button])
        self.add_class("gx-form")
        self.unit.add_class("gx-unit")
        self.button.on_click(
            lambda _: save(
                self.format.value, f"{self.width.value:g}{self.unit.value}", self.points.value
            )
        )
