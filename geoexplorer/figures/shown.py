"""A chart's layers as a figure of its own, of their size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go

from geoexplorer.figures.chart import blank_chart
from geoexplorer.figures.layers import Layers, apply
from geoexplorer.results import Result

__all__ = ["figure_of", "layers_among", "shown"]


def figure_of(layers: Callable[..., Layers]) -> Callable[..., go.Figure]:
    """The function that draws the same as a figure, with the same options."""

    @functools.wraps(layers)
    def figure(result: Result, **options: Any) -> go.Figure:
        return shown(layers(result, **options))

    return figure


def layers_among(
    drawings: Mapping[type[Result], Callable[..., Layers]],
    what: str,
    result: Result,
    options: Mapping[str, Any],
) -> Layers:
    """What the figure of a result of one of several kinds shows.

    Raises
    ------
    TypeError
        If it is of none of them; ``what`` says which results they are.
    """
    layers = drawings.get(type(result))
    if layers is None:
        raise TypeError(f"result must {what}, got {type(result).__name__}")
    return layers(result, **options)


def shown(layers: Layers) -> go.Figure:
    """The layers as a figure of their size."""
    figure = blank_chart()
    apply(figure, layers)
    return figure.update_layout(width=layers.size[0], height=layers.size[1])
