"""A chart of curves with bands, lines to compare with, labels, and texts around it.

Every chart has the same traces, so that one figure in a widget can show one after the other:
:func:`blank_chart` makes it, and :func:`geoexplorer.figures.layers.apply` shows the layers that
:func:`chart_layers` gives.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from geoexplorer.figures.layers import Layers
from geoexplorer.figures.series import rgba
from geoexplorer.figures.text import bare, first_fitting, number, round_step, text_width, wrapped
from geoexplorer.figures.theme import Theme, pixels, theme_named

__all__ = [
    "DEFAULT_WIDTH",
    "MOST_CURVES",
    "MOST_TILES",
    "TRACES",
    "Axis",
    "Canvas",
    "Curve",
    "Label",
    "Tile",
    "blank_chart",
    "chart_layers",
    "check_sizes",
    "decades",
    "padded",
    "percents",
    "round_ticks",
]

DEFAULT_WIDTH = 640.0  # in CSS pixels
MOST_CURVES = 12
MOST_TILES = 24
# In drawing order: bands below all, labels above.
TRACES = (
    *(f"band {number}" for number in range(MOST_CURVES)),
    *(f"bound {number}" for number in range(MOST_CURVES)),
    *(f"curve {number}" for number in range(MOST_CURVES)),
    "selected",
    "labels",
)
_ROUNDING = 1e-6  # of sums of heights, in pixels
_LEAST_PLOT = (90.0, 60.0)
_LINE = 1.3
_KEPT = 15.0  # lines of text: the height of the plot that a caption leaves where it is given
_LEFT, _RIGHT = 5.8, 1.2  # in lines of text
_SHAPE, _LOWEST, _HIGHEST = 0.58, 9.0, 28.0  # height of the plot
_KEY = 45  # pixels that plotly's key takes beside its text
_BAND = 0.22


@dataclass(frozen=True)
class Curve:
    """Points joined by a line, with a band around them and a line to compare them with."""

    x: np.ndarray
    y: np.ndarray  # NaN where the line is broken
    colour: str
    dash: str = "solid"
    mode: str = "lines"
    name: str = ""  # in the key; none without
    low: np.ndarray | None = None  # ends of the band
    high: np.ndarray | None = None
    errors: np.ndarray | None = None  # half lengths of error bars
    bound: tuple[Sequence[float], Sequence[float]] | None = None
    area: tuple[np.ndarray, np.ndarray] | None = None  # polygons in place of the band
    fill: float = _BAND  # opacity of band or area
    symbol: str = "circle"  # of the markers
    hover: str | None = None  # plotly's template
    texts: Sequence[str] | None = None  # for the template


@dataclass(frozen=True)
class Axis:
    """One axis of a chart."""

    window: tuple[float, float]  # powers of ten where it is logarithmic
    titles: Sequence[str] = ("",)  # the first one that fits is taken
    kind: str = "linear"  # or "log"
    ticks: dict[str, Any] = field(default_factory=dict)
    zero: bool = False  # whether zero has a line
    visible: bool = True


@dataclass(frozen=True)
class Label:
    """A text at a place of the plot, in the axes' coordinates (not their powers)."""

    x: float
    y: float
    text: str
    side: str  # of plotly's text positions
    colour: str


@dataclass(frozen=True)
class Tile:
    """An image, in the axes' coordinates."""

    source: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Canvas:
    """How large a chart is, and what stands around the plot. Lengths are in CSS pixels."""

    look: Theme
    font: float
    font_size: float  # in points
    size: tuple[float, float]
    left: float
    right: float
    top: float
    bottom: float
    heading: Sequence[str]
    caption: Sequence[str]
    key_columns: int  # 0 without a key

    @staticmethod
    def around(
        *,
        theme: str = "light",
        width: float | None = None,
        height: float | None = None,
        font_size: float = 9.0,
        heading: Sequence[str] = (),
        caption: Sequence[str] = (),
        key: Sequence[str] = (),
        note: bool = False,
        axes: bool = True,
        rows: Sequence[str] = (),
        plot_height: float | None = None,
    ) -> Canvas:
        """The canvas of a chart.

        Parameters
        ----------
        heading
            The title and further parts, which stand above the plot in as few lines as they fit in.
        caption
            Parts of the text below the plot. Where the height is given, as many of the first as
            leave the plot 15 lines of text.
        key
            The names of the curves, where there is more than one.
        note
            Whether there is a line for a label between heading and plot.
        axes
            Whether there is room for ticks and titles.
        rows
            Names in place of the ticks of the y axis, which then has no title.
        plot_height
            Of the plot, where the height is not given.

        Raises
        ------
        ValueError
            If a size is not a positive number, or too small for the plot and its texts.
        """
        look = theme_named(theme)
        check_sizes(width, height, font_size)
        font = pixels(font_size)
        width = DEFAULT_WIDTH if width is None else width
        room = width - 1.4 * font
        lines: list[str] = []
        if heading:
            lines = [f"<b>{line}</b>" for line in wrapped(heading[:1], room / 1.08, font)]
            lines += [_muted(line, look) for line in wrapped(heading[1:], room, font)]
        left, right = (_LEFT * font, _RIGHT * font) if axes else (0.7 * font, 0.7 * font)
        if rows:
            left = max(text_width(bare(row), font) for row in rows) + 1.4 * font
        columns, key_rows = _key_grid(key, width - left - right, font)
        top = 0.6 * font + _LINE * font * len(lines) + key_rows * _key_height(font)
        top += (0.4 * font if lines else 0.0) + (1.5 * font if note else 0.0)
        bottom = (4 + (1.5 + 0.4 + _LINE) * font) if axes else 0.2 * font
        bottom += 0.6 * font
        spare = math.inf if height is None else height - top - bottom - _KEPT * font
        below = [_muted(line, look) for line in _fitting(caption, room, font, spare)]
        bottom += _LINE * font * len(below)
        wide = width - left - right
        if plot_height is None:
            plot_height = min(max(_SHAPE * wide, _LOWEST * font), _HIGHEST * font)
        plot_height = max(plot_height, _LEAST_PLOT[1])
        whole = math.ceil(top + plot_height + bottom) if height is None else height
        tall = whole - top - bottom + _ROUNDING
        if wide < _LEAST_PLOT[0] or tall < _LEAST_PLOT[1]:
            raise ValueError(
                f"width and height must leave {_LEAST_PLOT[0]:.0f} by {_LEAST_PLOT[1]:.0f} pixels "
                f"for the plot beside its texts, got width={width:.0f}, height={height} with a "
                f"font of {font:.3g} pixels"
            )
        return Canvas(
            look, font, font_size, (width, whole), left, right, top, bottom, lines, below, columns
        )

    @property
    def wide(self) -> float:
        """Width of the plot."""
        return self.size[0] - self.left - self.right

    @property
    def tall(self) -> float:
        """Height of the plot."""
        return self.size[1] - self.top - self.bottom

    def beside(
        self, place: float, texts: Sequence[str], *, first: str = "right"
    ) -> tuple[str, str, float]:
        """The first of the ``texts`` that fits above a line at ``place``.

        Places are shares of the plot's width; the text may reach into the right margin. The
        side that comes ``first`` is ``"left"`` or ``"right"``.

        Returns
        -------
        tuple
            The text, the side of the place that it stands on, and the place itself, which is
            not the line's where the text has to stand across it.
        """
        spot, gap = self.left + place * self.wide, 0.3 * self.font
        for text in texts:
            needed = text_width(bare(text), self.font)
            fits = {"right": self.size[0] - spot - gap, "left": spot - self.left}
            for side in sorted(fits, key=lambda side: side != first):
                if needed <= fits[side]:
                    return text, side, place
            if needed <= self.size[0] - self.left - gap:
                middle = self.size[0] - gap - needed / 2
                return text, "center", (middle - self.left) / self.wide
        return texts[-1], "right" if place < 0.5 else "left", place

    def upright(
        self, x: float, across: tuple[float, float], top: float, texts: Sequence[str]
    ) -> Label:
        """The label of a line from bottom to ``top``, above its upper end.

        ``across`` are the ends of the horizontal axis; there has to be a note's room above.
        """
        low, high = across
        text, side, place = self.beside((x - low) / (high - low), texts)
        return Label(low + place * (high - low), top, text, f"top {side}", self.look.muted)


def check_sizes(width: float | None, height: float | None, font_size: float) -> None:
    """Refuse sizes that are none.

    Raises
    ------
    ValueError
        If one is not a positive number.
    """
    sizes: dict[str, Any] = {"width": width, "height": height, "font_size": font_size}
    for name, value in sizes.items():
        if name != "font_size" and value is None:
            continue
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (real and math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, got {value!r}")


def blank_chart(theme: str = "light", *, font_size: float = 9.0) -> go.Figure:
    """A chart with nothing in it yet, for ``go.FigureWidget(blank_chart())``.

    It takes the width of its surroundings; give ``layout.height`` a value of your own.
    """
    look = theme_named(theme)
    traces = [go.Scatter(name=name, x=[], y=[], mode="lines", hoverinfo="skip", showlegend=False)
              for name in TRACES]  # fmt: skip
    note = {"text": "", "showarrow": False, "borderpad": 0, "xref": "paper", "yref": "paper",
            "x": 0, "xanchor": "left", "align": "left"}  # fmt: skip
    image = {"xref": "x", "yref": "y", "xanchor": "left", "yanchor": "top", "sizing": "stretch",
             "visible": False}  # fmt: skip
    layout = go.Layout(
        template=look.template(font_size=font_size),
        annotations=[{**note, "y": 1, "yanchor": "top"}, {**note, "y": 0, "yanchor": "bottom"}],
        images=[image] * MOST_TILES,
        dragmode="pan",
        hovermode="closest",
    )
    return go.Figure(traces, layout)


def chart_layers(
    canvas: Canvas,
    x: Axis,
    y: Axis,
    *,
    curves: Sequence[Curve] = (),
    labels: Sequence[Label] = (),
    selected: Label | None = None,
    tiles: Sequence[Tile] = (),
) -> Layers:
    """Everything that :func:`geoexplorer.figures.layers.apply` needs to show a chart.

    Raises
    ------
    ValueError
        If there are more curves than a chart has.
    """
    if len(curves) > MOST_CURVES:
        raise ValueError(f"a figure has room for {MOST_CURVES} curves, got {len(curves)}")
    bands = [_band(curve) for curve in curves]
    bounds = [_bound(curve, canvas) for curve in curves]
    lines = [_line(curve, canvas) for curve in curves]
    none = _trace()
    spare = [none] * (MOST_CURVES - len(curves))
    mark = none if selected is None else _selected(selected, canvas)
    traces = (*bands, *spare, *bounds, *spare, *lines, *spare, mark, _labels(labels, canvas))
    images = [
        {"visible": True, "source": tile.source, "x": tile.x, "y": tile.y,
         "sizex": tile.width, "sizey": tile.height} for tile in tiles
    ]  # fmt: skip
    unused: dict[str, Any] = {"visible": False}
    images += [unused] * (MOST_TILES - len(images))
    up = first_fitting(y.titles, canvas.tall, canvas.font) or y.titles[-1]
    across = first_fitting(x.titles, canvas.wide, canvas.font) or x.titles[-1]
    layout = {
        "margin": {"l": canvas.left, "r": canvas.right, "t": canvas.top, "b": canvas.bottom,
                   "pad": 0},
        "xaxis": _axis(x, across, canvas),
        "yaxis": _axis(y, up, canvas),
        "annotations": [
            {"text": "<br>".join(canvas.heading), "xshift": 0.7 * canvas.font - canvas.left,
             "yshift": canvas.top - 0.5 * canvas.font},
            {"text": "<br>".join(canvas.caption), "xshift": 0.7 * canvas.font - canvas.left,
             "yshift": 0.5 * canvas.font - canvas.bottom},
        ],
        "images": images,
        **_key(canvas, curves),
    }  # fmt: skip
    return Layers(
        traces=traces,
        layout=layout,
        template=canvas.look.template(font_size=canvas.font_size),
        window=(x.window, y.window),
        size=canvas.size,
    )


def decades(low: float, high: float, *, percent: bool = False) -> dict[str, Any]:
    """Plotly's tick settings for the powers of ten on a logarithmic axis, at most six.

    Examples
    --------
    >>> decades(0.5, 2000)["ticktext"]
    ['1', '10', '100', '1,000']
    """
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    powers = powers[:: -(-len(powers) // 6) or 1]
    texts = [
        f"{100 * 10.0**power:,.{max(0, -power - 2)}f} %"
        if percent
        else f"{10.0**power:,.{max(0, -power)}f}"
        for power in powers
    ]
    return {"tickmode": "array", "tickvals": [10.0**power for power in powers], "ticktext": texts}


def round_ticks(low: float, high: float, most: int) -> dict[str, Any]:
    """Plotly's tick settings for at most so many round numbers from ``low`` to ``high``.

    Examples
    --------
    >>> round_ticks(-0.13, 0.42, 8)["ticktext"]
    ['−0.1', '0', '0.1', '0.2', '0.3', '0.4']
    """
    step = round_step(high - low, most)
    values = _multiples(step, low, high)
    return {"tickmode": "array", "tickvals": values, "ticktext": [number(v, 12) for v in values]}


def percents(low: float, high: float) -> dict[str, Any]:
    """Plotly's tick settings for round shares from ``low`` to ``high``, written as per cent.

    Examples
    --------
    >>> percents(0.0, 1.0)["ticktext"]
    ['0 %', '25 %', '50 %', '75 %', '100 %']
    """
    steps = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
    step = next((step for step in steps if 5 * step >= high - low), 0.25)
    values = _multiples(step, low, high)
    texts = [f"{100 * value:.4g} %" for value in values]
    return {"tickmode": "array", "tickvals": values, "ticktext": texts}


def _multiples(step: float, low: float, high: float) -> list[float]:
    """All multiples of a step from ``low`` to ``high``."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [count * step for count in range(first, last + 1)]


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """A window around all that lies between two numbers, with a margin on both sides.

    Examples
    --------
    >>> padded(0.0, 1.0, 0.1)
    (-0.1, 1.1)
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return -1.0, 1.0
    margin = share * (high - low) or 0.1 * abs(high) or 1.0
    return low - margin, high + margin


def _trace(**values: Any) -> dict[str, Any]:
    """All that any trace sets, so that nothing is left of the chart before."""
    return {
        "x": [],
        "y": [],
        "text": None,
        "mode": "lines",
        "fill": "none",
        "hoverinfo": "skip",
        "hovertemplate": None,
        "showlegend": False,
        "error_y": {"visible": False},
        **values,
    }


def _line(curve: Curve, canvas: Canvas) -> dict[str, Any]:
    width = canvas.font / 7
    errors: dict[str, Any] = {"visible": False}
    if curve.errors is not None:
        errors = {"visible": True, "array": curve.errors, "color": curve.colour,
                  "thickness": width / 1.5, "width": canvas.font / 4}  # fmt: skip
    values = _trace(
        x=_single(curve.x),
        y=_single(curve.y),
        name=curve.name,
        mode=curve.mode,
        text=curve.texts,
        line={"color": curve.colour, "dash": curve.dash, "width": width},
        marker={
            "color": curve.colour,
            "symbol": curve.symbol,
            "size": canvas.font / (2.4 if curve.symbol == "circle" else 1.4),
        },
        showlegend=bool(curve.name) and canvas.key_columns > 0,
        error_y=errors,
    )
    if curve.hover is not None:
        values |= {"hoverinfo": None, "hovertemplate": curve.hover + "<extra></extra>"}
    return values


def _band(curve: Curve) -> dict[str, Any]:
    """The band as a polygon for each unbroken piece of the curve."""
    if curve.area is not None:
        x, y = curve.area
    elif curve.low is None or curve.high is None:
        return _trace()
    else:
        known = np.isfinite(curve.low) & np.isfinite(curve.high)
        ends = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
        pieces = [slice(start, stop) for start, stop in ends.reshape(-1, 2)]
        nan = [math.nan]
        x = np.concatenate([np.concatenate([curve.x[p], curve.x[p][::-1], nan]) for p in pieces]
                           or [np.empty(0)])[:-1]  # fmt: skip
        y = np.concatenate([np.concatenate([curve.high[p], curve.low[p][::-1], nan])
                            for p in pieces] or [np.empty(0)])[:-1]  # fmt: skip
    return _trace(
        x=_single(x),
        y=_single(y),
        fill="toself",
        fillcolor=curve.colour if curve.fill == 1 else rgba(curve.colour, curve.fill),
        line={"width": 0, "color": curve.colour},
    )


def _bound(curve: Curve, canvas: Canvas) -> dict[str, Any]:
    if curve.bound is None:
        return _trace()
    x, y = curve.bound
    line = {"color": curve.colour, "dash": "dot", "width": canvas.font / 9}
    # As arrays: a NaN in a list is no JSON, which is how lists go to the page.
    return _trace(x=np.asarray(x, dtype=float), y=np.asarray(y, dtype=float), line=line)


def _selected(label: Label, canvas: Canvas) -> dict[str, Any]:
    ring = {"color": canvas.look.paper, "size": 0.75 * canvas.font, "symbol": "circle",
            "line": {"color": label.colour, "width": canvas.font / 6}}  # fmt: skip
    return _trace(
        x=[label.x],
        y=[label.y],
        text=[f"<b>{label.text}</b>"],
        textposition=label.side,
        textfont={"color": canvas.look.ink, "size": canvas.font},
        mode="markers+text",
        marker=ring,
        cliponaxis=False,
    )


def _labels(labels: Sequence[Label], canvas: Canvas) -> dict[str, Any]:
    return _trace(
        x=[label.x for label in labels],
        y=[label.y for label in labels],
        text=[label.text for label in labels],
        textposition=[label.side for label in labels] or "top right",
        textfont={
            "color": [label.colour for label in labels] or canvas.look.ink,
            "size": canvas.font,
        },
        mode="text",
        cliponaxis=False,
    )


def _axis(axis: Axis, title: str, canvas: Canvas) -> dict[str, Any]:
    look = canvas.look
    return {
        "type": axis.kind,
        "visible": axis.visible,
        "title": {"text": title},
        "tickmode": "auto",
        "tickvals": None,
        "ticktext": None,
        "dtick": None,
        "nticks": None,
        "tickangle": 0,
        "ticksuffix": "",
        "showline": True,
        "zeroline": axis.zero,
        "zerolinecolor": look.line,
        "zerolinewidth": canvas.font / 12,
        **axis.ticks,
    }


def _key_grid(names: Sequence[str], room: float, font: float) -> tuple[int, int]:
    """Columns and rows of the key."""
    if len(names) < 2:
        return 0, 0
    widest = max(text_width(bare(name), font) for name in names) + _KEY
    columns = max(1, min(len(names), int(room / widest)))
    return columns, -(-len(names) // columns)


def _key_height(font: float) -> float:
    return max(_LINE * font, 16.0) + 3.0


def _key(canvas: Canvas, curves: Sequence[Curve]) -> dict[str, Any]:
    if not canvas.key_columns:
        return {"showlegend": False}
    names = [curve.name for curve in curves if curve.name]
    room = canvas.wide / canvas.key_columns - _KEY
    note = canvas.top - 0.6 * canvas.font - _LINE * canvas.font * len(canvas.heading)
    note -= -(-len(names) // canvas.key_columns) * _key_height(canvas.font)
    return {
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1 + max(note - 0.4 * canvas.font, 0.0) / canvas.tall,
            "yanchor": "bottom",
            "font": {"size": canvas.font, "color": canvas.look.ink},
            "bgcolor": "rgba(0,0,0,0)",
            "borderwidth": 0,
            "entrywidth": min(room, max(text_width(bare(n), canvas.font) for n in names)),
            "entrywidthmode": "pixels",
            "traceorder": "normal",
            "itemclick": False,
            "itemdoubleclick": False,
        },
    }


def _fitting(parts: Sequence[str], width: float, font: float, height: float) -> list[str]:
    """The lines of the first parts that are together no higher than ``height``."""
    for count in range(len(parts), 0, -1):
        lines = wrapped(parts[:count], width, font)
        if _LINE * font * len(lines) <= height:
            return lines
    return []


def _muted(line: str, look: Theme) -> str:
    return f'<span style="color:{look.muted}">{line}</span>'


def _single(values: Any) -> np.ndarray:
    """Single precision: half as much to send, and more than a screen shows."""
    return np.asarray(values, dtype=np.float32)
