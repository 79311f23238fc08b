"""Normal sections side by side: one scale, one window, each with the parabola of its curvature."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import torch

from geoexplorer.figures.captions import footer_lines
from geoexplorer.figures.chart import DEFAULT_WIDTH, check_sizes
from geoexplorer.figures.curvature_words import method_words, value_words
from geoexplorer.figures.frame import Frame
from geoexplorer.figures.sections import TRACES, map_layers, window_of
from geoexplorer.figures.series import accent
from geoexplorer.figures.shading import SHADINGS
from geoexplorer.figures.text import escaped, first_fitting, round_step, text_width, wrapped
from geoexplorer.figures.theme import Theme, pixels, theme_named
from geoexplorer.geometry.normal_sections import NormalSections

__all__ = ["normal_sections_figure"]

_LINE = 1.3
_LEFT, _RIGHT, _GAP = 4.6, 0.9, 1.6  # in lines of text
_TICKS = 1.9
_LEAST_MAP, _LARGEST_MAP = 9.5, 34.0
# In the name of a principal direction; what is measured along it here stands beside the name.
_KNOWN_VALUE = re.compile(r" \(κ = [^)]*\)$")
_ACROSS = (
    "normal, out of the own region · l2 distance in pixel values",
    "normal · l2 distance in pixel values",
    "normal · l2 distance",
)


def normal_sections_figure(
    sections: NormalSections,
    *,
    theme: str = "light",
    shading: str = "margin",
    width: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
    markers: bool = True,
    parabola: bool = True,
) -> go.Figure:
    """Draw normal sections side by side.

    All have one scale and one window, so that they can be compared; where they are too many
    for one row, they go on in the next.

    Parameters
    ----------
    sections
        What :func:`geoexplorer.normal_sections` gives.
    theme
        ``"light"`` or ``"dark"``.
    shading
        ``"margin"``, ``"bands"`` or ``"none"``, as of a cross-section.
    width
        In CSS pixels, 640 by default. The height follows.
    font_size
        In points, for all text.
    title
        Whether network, own class and method stand above the maps.
    caption
        Whether the keys stand below them.
    markers
        Whether x and z are marked.
    parabola
        Whether x = ½ κ y² is drawn over each map whose κ is known.

    Raises
    ------
    ValueError
        For an unknown theme or shading, or a width that leaves no room for the maps.
    """
    look = theme_named(theme)
    if shading not in SHADINGS:
        accepted = ", ".join(map(repr, SHADINGS))
        raise ValueError(f"shading must be one of {accepted}, got {shading!r}")
    check_sizes(width, None, font_size)
    font = pixels(font_size)
    grid = _Grid.of(sections, width, font)
    heading = _heading(sections, look, grid.width - 2 * font, font) if title else []
    titles = [
        wrapped(
            [escaped(_KNOWN_VALUE.sub("", name)), f"κ = {value_words(*value)}"],
            grid.wide,
            font,
            between=", ",
        )
        for name, *value in zip(
            sections.names, sections.curvatures, sections.standard_errors, strict=True
        )
    ]
    above = _LINE * font * max(map(len, titles)) + 0.4 * font
    top = 0.5 * font + _LINE * font * len(heading) + (0.3 * font if heading else 0.0)
    frame = Frame(
        grid.window, font, grid.scale, 0, 0, 0, 0, (grid.wide, grid.tall), False, (), "", ""
    )
    drawn = [
        map_layers(section, frame, look, shading=shading, markers=markers,
                   curvature=value if parabola and math.isfinite(value) else None)
        for section, value in zip(sections.sections, sections.curvatures, strict=True)
    ]  # fmt: skip
    footer = []
    if caption:
        unnamed = frozenset[int]().union(*(one.unnamed for one in drawn))
        whole = Frame(grid.window, font, 1, font, font, 0, 0, (grid.width, 0), False, (), "", "")
        # The key orders classes by their areas in all maps together.
        labels = torch.cat([section.labels.flatten() for section in sections.sections])
        together = dataclasses.replace(sections.sections[0], labels=labels)
        footer = footer_lines(together, unnamed, look, whole, shading=shading)
        if parabola:
            key = "– – <i>x</i> = ½ κ <i>y</i>²: the curvature alone"
            footer = [f'<span style="color:{accent(look)}">{key}</span>', *footer]
    below = _LINE * font * len(footer) + (0.5 * font if footer else 0.0)
    maps = grid.rows * (above + grid.tall) + (grid.rows - 1) * 0.5 * font
    bottom = _TICKS * font + _LINE * font + 0.5 * font + below
    height = math.ceil(top + maps + bottom)

    # In pixels from the figure's upper left corner, as parts of the whole figure.
    def spot(x: float, y: float) -> tuple[float, float]:
        return x / grid.width, 1 - y / height

    layout: dict[str, Any] = {}
    notes = [_note("<br>".join(heading), *spot(font, 0.5 * font), "left", "top")]
    count = len(drawn)
    middle = grid.left + (grid.columns * (grid.wide + grid.gap) - grid.gap) / 2
    under = top + maps + _TICKS * font
    across = first_fitting(_ACROSS, grid.width - 2 * font, font) or ""
    half = text_width(across, font) / 2
    middle = min(max(middle, half + font), grid.width - half - font)
    notes.append(_note(across, *spot(middle, under), "center", "top"))
    ends = under + _LINE * font + 0.5 * font
    notes.append(_note("<br>".join(footer), *spot(font, ends), "left", "top"))
    images, traces = [], []
    for index, one in enumerate(drawn):
        row, column = divmod(index, grid.columns)
        left = grid.left + column * (grid.wide + grid.gap)
        high = top + row * (above + grid.tall + 0.5 * font) + above
        x0, y1 = spot(left, high)
        x1, y0 = spot(left + grid.wide, high + grid.tall)
        own = "" if index == 0 else str(index + 1)
        lowest = index + grid.columns >= count
        layout[f"xaxis{own}"] = _axis(grid.window[0], (x0, x1), f"y{own}", lowest, grid.wide, font)
        layout[f"yaxis{own}"] = _axis(
            grid.window[1], (y0, y1), f"x{own}", column == 0, grid.tall, font
        )
        layout[f"yaxis{own}"] |= {"scaleanchor": "x", "scaleratio": 1} if index == 0 else {}
        if index:
            layout[f"xaxis{own}"]["matches"], layout[f"yaxis{own}"]["matches"] = "x", "y"
        text = [f"<b>{line}</b>" for line in titles[index]]
        notes.append(_note("<br>".join(text), *spot(left, high - 0.3 * font), "left", "bottom"))
        if column == 0:
            turned = {"textangle": -90}
            at = spot(0.5 * font, high + grid.tall / 2)
            notes.append(_note("tangent", *at, "left", "middle") | turned)
        place = {"xref": f"x{own}", "yref": f"y{own}", "xanchor": "left", "yanchor": "top"}
        images.append({**one.image, **place, "sizing": "stretch", "layer": "below"})
        for (name, mode), values in zip(TRACES.items(), one.traces, strict=True):
            shared = {"name": name, "mode": mode, "hoverinfo": "skip", "showlegend": False}
            axes = {"xaxis": f"x{own}", "yaxis": f"y{own}"}
            traces.append(go.Scatter(**values, **shared, **axes))
    return go.Figure(
        traces,
        go.Layout(
            **layout,
            template=look.template(font_size=font_size),
            images=images,
            annotations=notes,
            margin={"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0},
            width=grid.width,
            height=height,
            hovermode=False,
            dragmode="pan",
        ),
    )


@dataclass(frozen=True)
class _Grid:
    """How the maps are arranged. Lengths are in CSS pixels."""

    window: tuple[tuple[float, float], tuple[float, float]]
    scale: float  # per l2 unit
    width: float
    left: float
    gap: float
    wide: float  # a map
    tall: float
    columns: int
    rows: int

    @staticmethod
    def of(sections: NormalSections, width: float | None, font: float) -> _Grid:
        width = DEFAULT_WIDTH if width is None else width
        window = window_of(sections.sections[0])
        (x0, x1), (y0, y1) = window
        left, gap = _LEFT * font, _GAP * font
        room = width - left - _RIGHT * font
        count = len(sections.sections)
        columns = min(count, int((room + gap) / (_LEAST_MAP * font + gap)))
        if columns < 1:
            raise ValueError(
                f"width must leave {_LEAST_MAP * font:.0f} pixels for a map beside its texts, "
                f"got {width:.0f} with a font of {font:.3g} pixels"
            )
        rows = -(-count // columns)
        columns = -(-count // rows)
        wide = (room - (columns - 1) * gap) / columns
        scale = min(wide / (x1 - x0), _LARGEST_MAP * font / (y1 - y0))
        wide = scale * (x1 - x0)
        return _Grid(window, scale, width, left, gap, wide, scale * (y1 - y0), columns, rows)


def _heading(sections: NormalSections, look: Theme, width: float, font: float) -> list[str]:
    network = escaped(sections.provenance.network)
    names = sections.sections[0].class_names
    first = wrapped([f"Normal sections of {network}" if network else "Normal sections"],
                    width / 1.08, font)  # fmt: skip
    rest = [
        f"own: {escaped(names[sections.own])}",
        f"other: {escaped(names[sections.other])}",
        f"κ: {method_words(sections.method, sections.step)}",
    ]
    if not sections.progress.complete:
        rest.append(f"coarse ({escaped(sections.progress.message)})")
    muted = [f'<span style="color:{look.muted}">{line}</span>'
             for line in wrapped(rest, width, font)]  # fmt: skip
    return [*(f"<b>{line}</b>" for line in first), *muted]


def _axis(
    ends: tuple[float, float],
    domain: tuple[float, float],
    anchor: str,
    named: bool,
    length: float,
    font: float,
) -> dict[str, Any]:
    return {
        "range": ends,
        "domain": domain,
        "anchor": anchor,
        "showticklabels": named,
        "tick0": 0,
        "dtick": round_step(ends[1] - ends[0], length / (2.4 * font)),
        "constrain": "domain",
        "tickangle": 0,
    }


def _note(text: str, x: float, y: float, across: str, up: str) -> dict[str, Any]:
    return {
        "text": text,
        "showarrow": False,
        "borderpad": 0,
        "xref": "paper",
        "yref": "paper",
        "x": x,
        "y": y,
        "xanchor": across,
        "yanchor": up,
        "align": across,
    }
