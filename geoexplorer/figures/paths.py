"""Figures of paths inside one region, and of single segments.

In a widget one figure shows a path in all its views, one after the other and each as one message:

    figure = plotly.graph_objects.FigureWidget(blank_chart("light"))
    apply(figure, path_layers(path, width=640, height=420))
    apply(figure, path_layers(path, view="strip", width=640))

Over a map the path is drawn by the option ``region_path`` of a cross-section's figure, see
:mod:`geoexplorer.figures.sections`.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from geoexplorer.figures.chart import Canvas, blank_chart, check_sizes
from geoexplorer.figures.layers import Layers, apply
from geoexplorer.figures.path_scores import scores_layers
from geoexplorer.figures.path_strip import Strip, strip_layers
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.certificates import SegmentProof
from geoexplorer.geometry.paths import RegionPath

__all__ = [
    "VIEWS",
    "apply",
    "blank_chart",
    "path_figure",
    "path_layers",
    "segment_figure",
    "segment_layers",
]

VIEWS = ("scores", "strip")


def path_figure(
    path: RegionPath,
    *,
    view: str = "scores",
    images: int | None = None,
    place: float | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> go.Figure:
    """Draw a path.

    Parameters
    ----------
    path
        What :func:`geoexplorer.connect` gives, connected or not.
    view
        ``"scores"``: how far the path's class is ahead of each other class, against the l2
        distance from a; below zero another class is ahead. The five classes that come nearest
        have their own curves, and of the others the nearest one at each place. ``"strip"``: images
        along the path, with class, margin and distance. For the path over a map see
        :func:`geoexplorer.figures.sections.section_figure`.
    images
        How many images along the path are shown, evenly spread; as many as fit, at most nine, by
        default. 0 shows none above the scores.
    place
        An l2 distance from a that is pointed out in the scores.
    bounds
        Pixel values that are drawn black and white.
    theme
        ``"light"`` or ``"dark"``.
    width, height
        CSS pixels, 96 to the inch. The width is 640 by default, and the height follows.
    font_size
        In points, for all text.
    title
        Whether network, proof, straightness, length and anchors stand above the plot.
    caption
        Whether it says below the plot how it is read.

    Raises
    ------
    ValueError
        For an unknown view or theme, or a size that leaves no room for the plot.

    Examples
    --------
    >>> import torch
    >>> t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    >>> logits = torch.tensor([[3.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    >>> proof = SegmentProof(
    ...     inside=True, exact=True, label=0, place=None, other=None, t=t, logits=logits, pieces=1,
    ...     least_margin=2.0, rounding=1e-12, spacing=None, length=4.0, class_names=("in", "out"))
    >>> path = RegionPath(
    ...     anchors=torch.tensor([0.0, 1.0]).repeat_interleave(16).reshape(2, 1, 4, 4), label=0,
    ...     connected=True, proof="exact", spacing=None, length=4.0, straightness=1.0,
    ...     least_margin=2.0, segments=(proof,), straight=proof, failed=None,
    ...     class_names=("in", "out"))
    >>> path_figure(path).layout.annotations[0].text.startswith("<b>Path in the region of in")
    True
    """
    layers = path_layers(
        path, view=view, images=images, place=place, bounds=bounds, theme=theme, width=width,
        height=height, font_size=font_size, title=title, caption=caption,
    )  # fmt: skip
    return _figure(layers, theme, font_size)


def path_layers(
    path: RegionPath,
    *,
    view: str = "scores",
    images: int | None = None,
    place: float | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Everything that :func:`apply` needs to show a path; see :func:`path_figure`."""
    if view not in VIEWS:
        accepted = ", ".join(map(repr, VIEWS))
        raise ValueError(
            f"view must be one of {accepted}, got {view!r}; a path over a map is "
            "cross_section(clf, path_plane(path)).figure(region_path=path)"
        )
    check_sizes(width, height, font_size)
    sizes = {"theme": theme, "width": width, "height": height, "font_size": font_size}
    if view == "strip":
        return strip_layers(
            path, sizes=sizes, images=images, bounds=bounds, title=title, caption=caption
        )
    strip = None
    if images != 0 and path.length > 0:
        room = Canvas.around(theme=theme, width=width, font_size=font_size).wide
        strip = Strip.fitting(path, images, room=room, font=pixels(font_size), bounds=bounds)
    return scores_layers(
        path, sizes=sizes, strip=strip, place=place, title=title, caption=caption
    )  # fmt: skip


def segment_figure(
    proof: SegmentProof,
    *,
    place: float | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> go.Figure:
    """Draw how far the class of a is ahead of the others along a straight segment.

    Parameters
    ----------
    proof
        What :func:`geoexplorer.prove_segment` gives.
    place, theme, width, height, font_size, title, caption
        As for a path.

    Raises
    ------
    ValueError
        For an unknown theme, or a size that leaves no room for the plot.
    """
    layers = segment_layers(
        proof, place=place, theme=theme, width=width, height=height, font_size=font_size,
        title=title, caption=caption,
    )  # fmt: skip
    return _figure(layers, theme, font_size)


def segment_layers(
    proof: SegmentProof,
    *,
    place: float | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Everything that :func:`apply` needs to show a segment; see :func:`segment_figure`."""
    check_sizes(width, height, font_size)
    sizes: dict[str, Any] = {
        "theme": theme, "width": width, "height": height, "font_size": font_size,
    }  # fmt: skip
    return scores_layers(
        proof, sizes=sizes, strip=None, place=place, title=title, caption=caption
    )  # fmt: skip


def _figure(layers: Layers, theme: str, font_size: float) -> go.Figure:
    figure = blank_chart(theme, font_size=font_size)
    apply(figure, layers)
    return figure.update_layout(width=layers.size[0], height=layers.size[1])
