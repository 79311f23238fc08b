"""Freeing widgets: ipywidgets keeps every one of them until it is closed."""

from __future__ import annotations

from typing import Any

import ipywidgets

__all__ = ["close_all", "with_descendants"]


def with_descendants(widget: ipywidgets.Widget) -> list[ipywidgets.Widget]:
    """A widget and all that it holds, the innermost first."""
    found: dict[str, ipywidgets.Widget] = {}

    def visit(each: Any) -> None:
        if isinstance(each, (list, tuple)):
            for item in each:
                visit(item)
        elif isinstance(each, ipywidgets.Widget) and each.model_id not in found:
            found[each.model_id] = each
            for name in each.trait_names():
                if each.trait_has_value(name):
                    visit(getattr(each, name))

    visit(widget)
    return list(found.values())[::-1]


def close_all(widgets: list[ipywidgets.Widget]) -> None:
    """Close widgets, and nothing that their own ``close`` may do beside it."""
    for widget in widgets:
        widget.unobserve_all()
        ipywidgets.Widget.close(widget)
