"""Boundary points as a strip: the image x, the perturbation r, and z = x + r."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from geoexplorer.figures.chart import check_sizes
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.rasters import image_uri, signed_uri
from geoexplorer.figures.text import escaped, lines_of, text_width
from geoexplorer.figures.theme import Theme, pixels, theme_named
from geoexplorer.geometry.boundary import BoundaryPoints

__all__ = ["boundary_figure"]

_LARGEST_TILE = 10.0  # in lines of text
_LEAST_TILE = 2.5
_LINE = 1.3


def boundary_figure(
    points: BoundaryPoints,
    *,
    theme: str = "light",
    class_names: Sequence[str] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    images: int = 8,
    width: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
) -> go.Figure:
    """Draw each image, its perturbation and its boundary point in a column of their own.

    All perturbations share one scale, so a paler one is a smaller one. One channel goes from
    blue over the background to orange; three channels are shown around middle grey.

    Parameters
    ----------
    points
        What :func:`geoexplorer.nearest_boundary` gives.
    theme
        ``"light"`` or ``"dark"``.
    class_names
        Names in the classes' order; their numbers by default.
    bounds
        Pixel values that are drawn black and white.
    images
        How many are drawn; the first ones are.
    width
        In CSS pixels; by default as many as are needed, up to 640. The height follows.
    font_size
        In points.
    title
        Whether network, unit and scale stand above the strip.

    Raises
    ------
    ValueError
        For an unknown theme, a size that is no positive number, fewer than one image, or more
        than the width has room for.

    Examples
    --------
    >>> import torch
    >>> x, r = torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    >>> one = torch.ones(2)
    >>> points = BoundaryPoints(
    ...     images=x, points=x + r, perturbations=r, distances=one, own=one.long(),
    ...     other=0 * one.long(), normals=r, alignment=one, residual=0 * one, converged=one > 0)
    >>> len(boundary_figure(points).layout.images)
    6
    """
    look = theme_named(theme)
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    check_sizes(width, None, font_size)
    font = pixels(font_size)
    shown = points[:images]
    count = len(shown)
    left, gap = 6.6 * font, 0.6 * font
    if width is None:
        width = min(640.0, max(left + font + count * (_LARGEST_TILE * font + gap), 32 * font))
    tile = min(_LARGEST_TILE * font, (width - left - font) / count - gap)
    if tile < _LEAST_TILE * font:
        raise ValueError(
            f"images must leave {_LEAST_TILE * font:.0f} pixels for each, got {count} of them "
            f"and a width of {width:.0f} pixels with a font of {font:.3g} pixels"
        )
    rows, columns = shown.images.shape[-2:]
    tall = tile * rows / columns

    scale = float(shown.perturbations.abs().nan_to_num(0.0).max())  # NaN where not reached
    heading = _heading(points, count, scale, look, width - 2 * font, font) if title else []
    # Downward from the top, in pixels.
    text = font + _LINE * font * len(heading) + (0.6 * font if heading else 0.0)
    tops = [text + 3.1 * font + row * (tall + gap) for row in range(3)]
    below = tops[-1] + tall + 1.1 * font
    height = math.ceil(below + 2.6 * font)

    sheet = _Sheet(look, font)
    for line, part in enumerate(heading):
        sheet.write(part, font, font + _LINE * font * (line + 0.5), "left")
    for top, name in zip(
        tops, ("<i>x</i>", "<i>r</i>", "<i>z</i> = <i>x</i> + <i>r</i>"), strict=True
    ):
        sheet.write(name, left - font, top + tall / 2, "right")
    sheet.write("own", left - font, text + 0.7 * font, "right")
    sheet.write("other", left - font, text + (0.7 + _LINE) * font, "right")
    sheet.write("distance", left - font, below, "right")
    sheet.write("alignment", left - font, below + _LINE * font, "right")
    for column in range(count):
        one = shown[column]
        start = left + column * (tile + gap)
        centre = start + tile / 2
        reached = bool(one.converged[0])
        sources = [image_uri(one.images[0].numpy(), bounds=bounds)]
        if reached:
            sources += [
                signed_uri(one.perturbations[0].numpy(), scale, paper=look.paper),
                image_uri(one.points[0].numpy(), bounds=bounds),
            ]
        for top, source in zip(tops, sources, strict=False):  # r and z only where there are any
            sheet.show(source, start, top, tile, tall)
        own = _named(int(one.own[0]), class_names, tile, font)
        other = _named(int(one.other[0]), class_names, tile, font)
        sheet.write(own, centre, text + 0.7 * font, "center")
        sheet.write(other if reached else "?", centre, text + (0.7 + _LINE) * font, "center")
        distance = f"{float(one.distances[0]):#.3g}".rstrip(".") if reached else "not reached"
        sheet.write(distance, centre, below, "center")
        if reached:
            alignment = f"{float(one.alignment[0]):.3f}"
            sheet.write(alignment, centre, below + _LINE * font, "center")
    return sheet.figure(width, height, font_size)


class _Sheet:
    """Texts and images at places in pixels, counted from the upper left corner."""

    def __init__(self, look: Theme, font: float) -> None:
        self._look = look
        self._font = font
        self._texts: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._frames: list[dict[str, Any]] = []

    def write(self, text: str, x: float, y: float, side: str) -> None:
        place = {"x": x, "y": y, "xanchor": side, "yanchor": "middle", "align": side}
        self._texts.append({"text": text, "showarrow": False, "borderpad": 0, **place})

    def show(self, source: str, x: float, y: float, width: float, height: float) -> None:
        place = {"x": x, "y": y, "sizex": width, "sizey": height, "sizing": "stretch"}
        self._images.append({"source": source, "xref": "x", "yref": "y", **place})
        corners = {"x0": x, "y0": y, "x1": x + width, "y1": y + height}
        line = {"color": self._look.line, "width": self._font / 12}
        self._frames.append({"type": "rect", "line": line, **corners})

    def figure(self, width: float, height: float, font_size: float) -> go.Figure:
        hidden = {"visible": False, "fixedrange": True}
        return go.Figure(
            layout={
                "template": self._look.template(font_size=font_size),
                "width": width,
                "height": height,
                "margin": {"l": 0, "r": 0, "t": 0, "b": 0, "pad": 0},
                "xaxis": {"range": (0, width), **hidden},
                "yaxis": {"range": (height, 0), **hidden},
                "annotations": self._texts,
                "images": self._images,
                "shapes": self._frames,
            }
        )


def _heading(
    points: BoundaryPoints, count: int, scale: float, look: Theme, width: float, font: float
) -> list[str]:
    network = points.provenance.network
    first = f"Boundary points of {escaped(network)}" if network else "Boundary points"
    parts = [
        "distance: l2 in pixel values",
        f"r drawn from −{scale:.2g} to {scale:.2g}",
    ]
    if count < len(points):
        parts.append(f"{count} of {len(points)} images")
    rows = lines_of(parts, width, font, between=" · ")
    muted = [
        f'<span style="color:{look.muted}">{" · ".join(parts[n] for n in row)}</span>'
        for row in rows
    ]
    return [f"<b>{first}</b>", *muted]


def _named(label: int, class_names: Sequence[str] | None, room: float, font: float) -> str:
    """A class in its colour, cut to the room there is."""
    name = str(label) if class_names is None else class_names[label]
    if text_width(f"■ {name}", font) > room:
        while name and text_width(f"■ {name}…", font) > room:
            name = name[:-1].rstrip()
        name += "…"
    return f'<span style="color:{class_colour(label)}">■</span> {escaped(name)}'
