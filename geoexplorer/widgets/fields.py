"""Controls with their names and question marks beside them."""

from __future__ import annotations

from typing import Any

import ipywidgets

from geoexplorer.widgets.help import help_button

__all__ = ["field", "set_options"]


def field(title: str, name: str, *controls: ipywidgets.Widget) -> ipywidgets.HBox:
    """A title, the help on a term, and controls in a row."""
    label = ipywidgets.HTML(f'<span class="gx-label">{title} {help_button(name)}</span>')
    box = ipywidgets.HBox([label, *controls])
    box.add_class("gx-field")
    return box


def set_options(control: ipywidgets.Dropdown, options: list[tuple[str, Any]], value: Any) -> None:
    """New options where there are some, and the value."""
    if control.options != tuple(options):
        control.options = options
    if control.value != value:
        control.value = value
