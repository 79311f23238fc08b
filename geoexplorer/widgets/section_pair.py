"""Normal sections in a figure that is made once and then changed."""

from __future__ import annotations

import plotly.graph_objects as go

from geoexplorer.figures.sections import TRACES
from geoexplorer.figures.theme import theme_named

__all__ = ["blank_pair", "show_pair"]


def blank_pair(theme: str, *, font_size: float) -> go.Figure:
    """A figure with the traces of two normal sections and nothing in them yet."""
    look = theme_named(theme)
    traces = [
        go.Scatter(name=name, mode=mode, x=[], y=[], xaxis=f"x{axis}", yaxis=f"y{axis}")
        for axis in ("", "2")
        for name, mode in TRACES.items()
    ]
    layout = {"template": look.template(font_size=font_size), "width": 600, "height": 400}
    return go.Figure(traces, layout)


def show_pair(pair: go.Figure, figure: go.Figure) -> None:
    """Show a figure of two normal sections in the blank one, as one update."""
    layout = figure.layout.to_plotly_json()
    layout["dragmode"] = False
    # Nothing moves these axes, and their places have the scale already. Plotly would keep it in
    # the places of the drawing before, and the titles would then lie on the maps.
    for axis in ("xaxis", "yaxis", "xaxis2", "yaxis2"):
        for tie in ("scaleanchor", "scaleratio", "matches", "constrain"):
            layout[axis].pop(tie, None)
    if pair.layout.template == figure.layout.template:
        del layout["template"]  # the largest part of the message
    with pair.batch_update():
        for trace, drawn in zip(pair.data, figure.data, strict=True):
            values = drawn.to_plotly_json()
            del values["type"]  # cannot be changed, and is the same
            trace.update(values, overwrite=True)
        pair.layout.update(layout, overwrite=True)
