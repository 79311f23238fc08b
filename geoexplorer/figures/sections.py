"""Cross-sections: regions in class colours, their boundaries, names, marks and scale.

A figure in a widget must be made once and then changed, since every new one ships its
JavaScript again. So drawing has two halves. :func:`section_layers` turns a cross-section into
plain values, one dictionary for each of a fixed number of traces and one for the layout;
:func:`apply` puts them into a figure, be it new or on the screen. :func:`section_figure` is
both, one after the other, on :func:`blank_section`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from geoexplorer.figures.captions import OWN, footer_lines, heading_parts
from geoexplorer.figures.frame import Frame
from geoexplorer.figures.marks import Marks, place_marks
from geoexplorer.figures.polylines import joined
from geoexplorer.figures.region_names import Place, place_names
from geoexplorer.figures.shading import SHADINGS, map_uri, present, shades
from geoexplorer.figures.text import escaped, text_width
from geoexplorer.figures.theme import pixels, theme_named
from geoexplorer.geometry.sections import CrossSection

__all__ = ["TRACES", "SectionLayers", "apply", "blank_section", "section_figure", "section_layers"]

# In drawing order, with plotly's modes.
TRACES = {
    "other boundaries": "lines",
    "own boundary": "lines",
    "perturbation": "lines",
    "marks": "markers+text",
    "names": "text",
}
_DEFAULT_WIDTH = 640


@dataclass(frozen=True, eq=False)
class SectionLayers:
    """What a cross-section looks like, in plain values."""

    traces: tuple[dict[str, Any], ...]  # one for each of TRACES
    layout: dict[str, Any]
    template: go.layout.Template
    window: tuple[tuple[float, float], tuple[float, float]]  # ends of the x and of the y axis
    size: tuple[
        float, float
    ]  # width and height in pixels that the places of the texts are made for


def section_figure(
    section: CrossSection,
    *,
    theme: str = "light",
    shading: str = "margin",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    markers: bool = True,
) -> go.Figure:
    """Draw a cross-section.

    Parameters
    ----------
    section
        What :func:`geoexplorer.cross_section` gives.
    theme
        ``"light"`` or ``"dark"``.
    shading
        ``"margin"``: paler where the two highest logits are close; ``"bands"``: the same in six
        steps; ``"none"``: one colour a class.
    width, height
        CSS pixels, 96 to the inch. The width is 640 by default and the height follows from the
        map's shape; with both given the map is as large as fits.
    font_size
        In points, for all text; names of regions have it too.
    title
        Whether network, own class, progress and cost stand above the map.
    markers
        Whether the plane's named points are drawn.

    Raises
    ------
    ValueError
        For an unknown theme or shading, or a size that leaves no room for the map.

    Examples
    --------
    >>> import torch
    >>> from geoexplorer.geometry.planes import Plane
    >>> e = torch.eye(3).reshape(3, 1, 1, 3)
    >>> line = torch.linspace(-1, 1, 65, dtype=torch.float64)
    >>> section = CrossSection(
    ...     plane=Plane(e[0], e[1], e[2], marks={"x": (-0.5, 0.0)}), x=line, y=line,
    ...     labels=(line > 0).long().expand(65, 65), margins=line.abs().float().expand(65, 65),
    ...     boundaries=(), evaluations=65, class_names=("left", "right"), own=0)
    >>> figure = section_figure(section)
    >>> figure.layout.width
    640
    """
    layers = section_layers(
        section, theme=theme, shading=shading, width=width, height=height, font_size=font_size,
        title=title, markers=markers,
    )  # fmt: skip
    figure = blank_section(theme, font_size=font_size)
    apply(figure, layers)
    return figure.update_layout(width=layers.size[0], height=layers.size[1])


def blank_section(theme: str = "light", *, font_size: float = 9.0) -> go.Figure:
    """A figure with all traces and no map yet, for ``go.FigureWidget(blank_section())``.

    It takes the width of its surroundings; give ``layout.height`` a value of your own.
    """
    look = theme_named(theme)
    traces = [
        go.Scatter(name=name, mode=mode, x=[], y=[], hoverinfo="skip", showlegend=False)
        for name, mode in TRACES.items()
    ]
    image = {"xref": "x", "yref": "y", "xanchor": "left", "yanchor": "top", "sizing": "stretch",
             "layer": "below"}  # fmt: skip
    note = {"text": "", "showarrow": False, "xref": "paper", "yref": "paper", "x": 0,
            "xanchor": "left", "align": "left", "borderpad": 0}  # fmt: skip
    heading, footer = {**note, "y": 1, "yanchor": "bottom"}, {**note, "y": 0, "yanchor": "top"}
    axis = {"constrain": "domain"}
    layout = go.Layout(
        template=look.template(font_size=font_size),
        images=[image],
        annotations=[heading, footer],
        dragmode="pan",
        hovermode=False,
        xaxis={**axis, "constraintoward": "left"},
        yaxis={**axis, "constraintoward": "top", "scaleanchor": "x", "scaleratio": 1},
    )
    return go.Figure(traces, layout)


def apply(figure: go.Figure, layers: SectionLayers, *, move: bool = True) -> None:
    """Show ``layers`` in a figure that :func:`blank_section` made, as one update.

    Parameters
    ----------
    figure
        A ``Figure`` or ``FigureWidget``; its traces stay the same ones.
    move
        Whether the axes go to the layers' window. Not after a pan or zoom: there the map
        follows the axes, and moving them again would be taken for another zoom.
    """
    with figure.batch_update():
        for trace, values in zip(figure.data, layers.traces, strict=True):
            trace.update(values)
        figure.layout.update(layers.layout)
        if figure.layout.template != layers.template:
            figure.layout.template = layers.template
        if move:
            across, up = layers.window
            figure.layout.update(xaxis={"range": across}, yaxis={"range": up})


def section_layers(
    section: CrossSection,
    *,
    theme: str = "light",
    shading: str = "margin",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    markers: bool = True,
) -> SectionLayers:
    """Everything that :func:`apply` needs to show a cross-section; see :func:`section_figure`.

    ``width`` and ``height`` say for which size the texts are placed; where the figure takes the
    width of its surroundings, the height alone will do.
    """
    look = theme_named(theme)
    if shading not in SHADINGS:
        accepted = ", ".join(map(repr, SHADINGS))
        raise ValueError(f"shading must be one of {accepted}, got {shading!r}")
    if width is None and height is None:
        width = _DEFAULT_WIDTH
    size = pixels(font_size)
    x, y = section.x.numpy(), section.y.numpy()
    node = float(x[-1] - x[0]) / (len(x) - 1), float(y[-1] - y[0]) / (len(y) - 1)
    window = (
        (float(x[0]) - node[0] / 2, float(x[-1]) + node[0] / 2),
        (float(y[0]) - node[1] / 2, float(y[-1]) + node[1] / 2),
    )
    labels = section.labels.numpy()
    heading = heading_parts(section) if title else []
    frame = Frame.around(
        window,
        width=width,
        height=height,
        font=size,
        heading=heading,
        across=escaped(section.plane.u_name),
        up=escaped(section.plane.v_name),
    )

    marks = place_marks(section, frame, look) if markers else Marks()
    places, texts = _names(section, labels, frame, marks.boxes)
    unnamed = set(present(labels)) - {place.label for place in places}
    footer = footer_lines(section, unnamed, look, frame, shading=shading)
    frame = frame.with_footer(len(footer))

    own, others = _boundaries(section, min(node))
    line = {"color": look.ink, "width": size / 6, "simplify": False}
    names = {
        **frame.positions([(place.x, place.y) for place in places]),
        "text": texts,
        "textfont": {
            "color": [shades(place.label, look.name).text for place in places],
            "size": size,
            "weight": 600,
        },
    }
    image = {
        "source": map_uri(labels, section.margins.numpy(), theme=look, shading=shading),
        "x": window[0][0],
        "y": window[1][1],
        "sizex": window[0][1] - window[0][0],
        "sizey": window[1][1] - window[1][0],
    }
    return SectionLayers(
        traces=(
            {**others, "line": {**line, "width": size / 12}, "opacity": 0.75},
            {**own, "line": line},
            marks.line,
            marks.points,
            names,
        ),
        layout={"images": [image], **frame.layout(look, footer)},
        template=look.template(font_size=font_size),
        window=window,
        size=frame.size,
    )


def _boundaries(section: CrossSection, node: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The own region's boundary, and the other ones."""
    traces = []
    for wanted in (True, False):
        chosen = (b.points for b in section.boundaries if (section.own in b.classes) is wanted)
        x, y = joined(chosen, tolerance=node / 8)
        traces.append({"x": x, "y": y})
    return traces[0], traces[1]


def _names(
    section: CrossSection, labels: np.ndarray, frame: Frame, taken: Sequence[Any]
) -> tuple[list[Place], list[str]]:
    """Where the names go, and what they say; x's region also says that it is the own one."""
    names = section.class_names
    height = 1.5 * frame.font
    sizes = {
        label: (text_width(names[label], frame.font) + 0.8 * frame.font, height)
        for label in present(labels)
    }
    own = {}
    if section.own in sizes:
        origin = section.plane.marks.get("x", (0.0, 0.0))
        wide = sizes[section.own][0] + text_width(OWN, frame.font)
        own = {"chosen": frame.screen(*origin), "chosen_size": (wide, height)}
    places = place_names(labels, sizes, frame.node(labels.shape), taken=taken, **own)
    texts = [escaped(names[place.label]) + (OWN if place.chosen else "") for place in places]
    return places, texts
