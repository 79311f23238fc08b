"""A path drawn over a map: where it lies in the plane, and where it leaves it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from geoexplorer.figures.frame import Frame
from geoexplorer.figures.region_names import Box
from geoexplorer.figures.series import accent
from geoexplorer.figures.text import lines_of, number
from geoexplorer.figures.theme import Theme
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.geometry.planes import Plane

__all__ = ["PathMarks", "path_key", "path_marks"]

# Nearer to the plane than this share of the distance from a to b, the path counts as in it.
_NEAR = 0.01
_BETWEEN = "   "
_STEPS = 24  # boxes along a segment, for names to keep clear of


def _nothing() -> dict[str, Any]:
    return {"x": [], "y": []}


@dataclass(frozen=True)
class PathMarks:
    """Values of the traces that draw a path over a map, and the room they take."""

    halo: dict[str, Any] = field(default_factory=_nothing)
    straight: dict[str, Any] = field(default_factory=_nothing)  # the segment from a to b
    inside: dict[str, Any] = field(default_factory=_nothing)  # the path where it is in the plane
    away: dict[str, Any] = field(default_factory=_nothing)  # and where it is not
    anchors: dict[str, Any] = field(default_factory=_nothing)
    boxes: tuple[Box, ...] = ()


def path_marks(path: RegionPath | None, plane: Plane, frame: Frame, look: Theme) -> PathMarks:
    """What draws a path over the map in a ``frame``; nothing without a path.

    Raises
    ------
    ValueError
        If the path's images have another shape than the plane's.
    """
    if path is None:
        return PathMarks()
    if path.anchors.shape[1:] != plane.origin.shape:
        raise ValueError(
            f"region_path must be of images of the plane's shape {tuple(plane.origin.shape)}, "
            f"got {tuple(path.anchors.shape[1:])}"
        )
    corners = plane.coordinates(path.anchors).numpy()
    near, far = _pieces(path, plane, corners)
    width = frame.font / 4.5
    line = {"color": accent(look), "width": width, "simplify": False}
    straight = np.stack([corners[0], corners[-1]])
    bent = len(corners) > 2
    middle = corners[1:-1]
    failed = [] if path.failed is None else plane.coordinates(path.failed).tolist()
    spots = [*middle.tolist(), *failed]
    whole = _polyline([corners, straight] if bent else [corners])
    return PathMarks(
        halo={**whole, "line": {**line, "color": look.paper, "width": 2.2 * width},
              "opacity": 0.85},
        straight={**_polyline([straight] if bent else []),
                  "line": {"color": look.ink, "width": frame.font / 9, "dash": "dash"}},
        inside={**_polyline(near), "line": line},
        away={**_polyline(far), "line": {**line, "dash": "dot"}},
        anchors={
            "x": [x for x, _ in spots],
            "y": [y for _, y in spots],
            "marker": {
                "symbol": ["circle"] * len(middle) + ["x"] * len(failed),
                "size": 0.6 * frame.font,
                "color": look.paper,
                "line": {"color": accent(look), "width": frame.font / 8},
            },
        },
        boxes=_boxes(corners, frame),
    )  # fmt: skip


def path_key(path: RegionPath, plane: Plane, frame: Frame, look: Theme) -> list[str]:
    """Lines of text that say what is drawn, in its colours."""
    colour = accent(look)
    signs = [("—", "path" if path.connected else "last attempt at a path", colour)]
    if float(plane.distances(path.anchors).max()) > _tolerance(path):
        away = f"more than {number(_tolerance(path), 2)} away from this plane"
        signs.append(("····", away, colour))
    if len(path.anchors) > 2:
        signs += [("○", "anchors", colour), ("– –", "straight segment", look.ink)]
    if path.failed is not None:
        signs.append(("×", "not inside", colour))
    plain = [f"{sign} {text}" for sign, text, _ in signs]
    drawn = [f'<span style="color:{ink}">{sign}</span> {text}' for sign, text, ink in signs]
    rows = lines_of(plain, frame.width, frame.font, between=_BETWEEN)
    return [_BETWEEN.join(drawn[n] for n in row) for row in rows]


def _tolerance(path: RegionPath) -> float:
    distance = float((path.anchors[-1] - path.anchors[0]).double().norm())
    return _NEAR * (distance or path.length or 1.0)


def _pieces(
    path: RegionPath, plane: Plane, corners: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The path's segments, cut where they leave the neighbourhood of the plane."""
    anchors = path.anchors.double()
    offsets = (anchors - plane.points(torch.from_numpy(corners)).double()).flatten(1)
    squares = (offsets**2).sum(dim=1).tolist()
    products = (offsets[:-1] * offsets[1:]).sum(dim=1).tolist()
    reach = _tolerance(path) ** 2
    near: list[np.ndarray] = []
    far: list[np.ndarray] = []
    for index, product in enumerate(products):
        ends = _within(squares[index], product, squares[index + 1], reach)
        start, stop = corners[index], corners[index + 1]
        cuts = [0.0, *ends, 1.0] if ends else [0.0, 1.0]
        for first, last in pairwise(cuts):
            if last > first:
                piece = start + np.array([[first], [last]]) * (stop - start)
                inside = bool(ends) and (first, last) == ends
                (near if inside else far).append(piece)
    return near, far


def _within(first: float, product: float, second: float, reach: float) -> tuple[float, ...]:
    """The shares between which |o + s (p - o)|² <= reach, of |o|², o p, |p|²; empty if nowhere."""
    a = first - 2 * product + second
    b = product - first
    if a <= 1e-12 * max(first, second, reach):
        return (0.0, 1.0) if first <= reach else ()
    root = b * b - a * (first - reach)
    if root < 0:
        return ()
    low, high = ((-b - math.sqrt(root)) / a, (-b + math.sqrt(root)) / a)
    low, high = max(low, 0.0), min(high, 1.0)
    return (low, high) if low < high else ()


def _polyline(pieces: list[np.ndarray]) -> dict[str, Any]:
    if not pieces:
        return _nothing()
    gap = np.full((1, 2), math.nan)
    points = np.concatenate([part for piece in pieces for part in (piece, gap)])[:-1]
    return {"x": points[:, 0], "y": points[:, 1]}


def _boxes(corners: np.ndarray, frame: Frame) -> tuple[Box, ...]:
    half = frame.font / 4
    shares = np.linspace(0.0, 1.0, _STEPS)[:, None]
    boxes = []
    for start, stop in pairwise(corners):
        for x, y in (start + shares * (stop - start)).tolist():
            across, up = frame.screen(x, y)
            boxes.append(Box(across - half, up - half, across + half, up + half))
    return tuple(boxes)
