"""Cross-sections: regions in class colours, their boundaries, names, marks and scale.

In a widget :func:`section_layers` says what a cross-section looks like and :func:`apply` shows
it in the figure that :func:`blank_section` made once; :func:`section_figure` is all three, one
after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from geoexplorer.figures.captions import OWN, footer_lines, heading_parts
from geoexplorer.figures.chart import check_sizes
from geoexplorer.figures.frame import Frame
from geoexplorer.figures.layers import Layers, apply
from geoexplorer.figures.marks import Marks, place_marks
from geoexplorer.figures.parabola import parabola_boxes, parabola_key, parabola_lines
from geoexplorer.figures.path_map import path_key, path_marks
from geoexplorer.figures.polylines import joined
from geoexplorer.figures.region_names import Place, place_names
from geoexplorer.figures.shading import SHADINGS, map_uri, present, shades
from geoexplorer.figures.text import escaped, text_width
from geoexplorer.figures.theme import Theme, pixels, theme_named
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.geometry.sections import CrossSection

__all__ = [
    "TRACES",
    "MapLayers",
    "apply",
    "blank_section",
    "map_layers",
    "section_figure",
    "section_layers",
    "window_of",
]

# In drawing order, with plotly's modes.
TRACES = {
    "halo": "lines",
    "path halo": "lines",
    "other boundaries": "lines",
    "own boundary": "lines",
    "parabola": "lines",
    "straight segment": "lines",
    "path": "lines",
    "path elsewhere": "lines",
    "anchors": "markers",
    "perturbation": "lines",
    "marks": "markers+text",
    "names": "text",
}
_DEFAULT_WIDTH = 640


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
    curvature: float | None = None,
    region_path: RegionPath | None = None,
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
    curvature
        In a normal section (``Plane.normal_section``) the boundary's curvature κ along the
        tangent, in 1 / l2 unit: the parabola x = ½ κ y² through the origin, which has that
        curvature, is then drawn over the map.
    region_path
        A path (:func:`geoexplorer.connect`) that is drawn over the map where it projects onto the
        plane, dotted where it leaves it, with its anchors and the straight segment.

    Raises
    ------
    ValueError
        For an unknown theme or shading, a size that leaves no room for the map, a curvature that
        is not a finite number, or a path of images of another shape.

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
        title=title, markers=markers, curvature=curvature, region_path=region_path,
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
    curvature: float | None = None,
    region_path: RegionPath | None = None,
) -> Layers:
    """Everything that :func:`apply` needs to show a cross-section; see :func:`section_figure`.

    ``width`` and ``height`` say for which size the texts are placed; where the figure takes the
    width of its surroundings, the height alone will do.
    """
    look = theme_named(theme)
    if shading not in SHADINGS:
        accepted = ", ".join(map(repr, SHADINGS))
        raise ValueError(f"shading must be one of {accepted}, got {shading!r}")
    check_sizes(width, height, font_size)
    if width is None and height is None:
        width = _DEFAULT_WIDTH
    frame = Frame.around(
        window_of(section),
        width=width,
        height=height,
        font=pixels(font_size),
        heading=heading_parts(section) if title else [],
        across=escaped(section.plane.u_name),
        up=escaped(section.plane.v_name),
    )
    drawn = map_layers(
        section, frame, look, shading=shading, markers=markers, curvature=curvature,
        region_path=region_path,
    )  # fmt: skip
    footer = footer_lines(section, drawn.unnamed, look, frame, shading=shading)
    if curvature is not None:
        footer = [parabola_key(curvature, look), *footer]
    if region_path is not None:
        footer = [*path_key(region_path, section.plane, frame, look), *footer]
    frame = frame.with_footer(len(footer))
    return Layers(
        traces=drawn.traces,
        layout={"images": [drawn.image], **frame.layout(look, footer)},
        template=look.template(font_size=font_size),
        window=frame.window,
        size=frame.size,
    )


@dataclass(frozen=True, eq=False)
class MapLayers:
    """A map alone, without the texts around it."""

    traces: tuple[dict[str, Any], ...]  # one for each of TRACES
    image: dict[str, Any]
    unnamed: frozenset[int]  # classes whose regions have no room for their names


def map_layers(
    section: CrossSection,
    frame: Frame,
    look: Theme,
    *,
    shading: str,
    markers: bool,
    curvature: float | None,
    region_path: RegionPath | None = None,
) -> MapLayers:
    """What is drawn inside a map's ``frame``."""
    labels = section.labels.numpy()
    marks = place_marks(section, frame, look) if markers else Marks()
    halo, parabola = parabola_lines(curvature, frame, look)
    along = path_marks(region_path, section.plane, frame, look)
    taken = [*marks.boxes, *parabola_boxes(parabola, frame), *along.boxes]
    places, texts = _names(section, labels, frame, taken)
    own, others = _boundaries(section, frame)
    line = {"color": look.ink, "width": frame.font / 6, "simplify": False}
    (x0, x1), (y0, y1) = frame.window
    names = {
        **frame.positions([(place.x, place.y) for place in places]),
        "text": texts,
        "textfont": {
            "color": [shades(place.label, look.name).text for place in places],
            "size": frame.font,
            "weight": 600,
        },
    }
    image = {
        "source": map_uri(labels, section.margins.numpy(), theme=look, shading=shading),
        "x": x0,
        "y": y1,
        "sizex": x1 - x0,
        "sizey": y1 - y0,
    }
    return MapLayers(
        traces=(
            halo,
            along.halo,
            {**others, "line": {**line, "width": frame.font / 12}, "opacity": 0.75},
            {**own, "line": line},
            parabola,
            along.straight,
            along.inside,
            along.away,
            along.anchors,
            marks.line,
            marks.points,
            names,
        ),
        image=image,
        unnamed=frozenset(present(labels)) - {place.label for place in places},
    )


def window_of(
    section: CrossSection,
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ends of the x and of the y axis: half a node beyond the outermost ones."""
    (x0, x1), (y0, y1) = ((float(nodes[0]), float(nodes[-1])) for nodes in (section.x, section.y))
    across, up = (x1 - x0) / (len(section.x) - 1), (y1 - y0) / (len(section.y) - 1)
    return (x0 - across / 2, x1 + across / 2), (y0 - up / 2, y1 + up / 2)


def _boundaries(section: CrossSection, frame: Frame) -> tuple[dict[str, Any], dict[str, Any]]:
    """The own region's boundary, and the other ones."""
    traces = []
    node = min(frame.node(section.labels.shape)) / frame.scale
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
