"""Cross-sections of simple functions, whose regions and boundaries are known exactly."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch

from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.sections import Boundary, CrossSection
from geoexplorer.jobs import Progress
from geoexplorer.results import Provenance

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _section(logits, x, y, boundaries, names, **fields):
    top = logits.topk(2, dim=-1).values
    axes = torch.eye(3).reshape(3, 1, 1, 3)
    marks = fields.pop("marks", {"x": (0.0, 0.0), "z": (0.5, 0.0)})
    return CrossSection(
        plane=Plane(axes[0], axes[1], axes[2], "normal", "random tangent 1", marks),
        x=x,
        y=y,
        labels=logits.argmax(dim=-1),
        margins=(top[..., 0] - top[..., 1]).float(),
        boundaries=tuple(boundaries),
        evaluations=2431,
        class_names=tuple(names),
        **{
            "own": 0,
            "provenance": Provenance(network="digits-cnn"),
            "progress": Progress(),
            **fields,
        },
    )


def _grid(half_width, half_height, resolution):
    x = torch.linspace(-half_width, half_width, resolution, dtype=torch.float64)
    rows = round((resolution - 1) * half_height / half_width) + 1
    y = torch.linspace(-half_height, half_height, rows, dtype=torch.float64)
    up, across = torch.meshgrid(y, x, indexing="ij")
    return x, y, across, up


def halves(names=("3", "8"), *, half_height=2.0, resolution=129, **fields):
    """Class 0 left of 0.5, class 1 right of it; the margin is the distance from the line."""
    x, y, across, _ = _grid(2.0, half_height, resolution)
    logits = torch.stack([0.5 - across, across - 0.5], dim=-1) / 2
    line = np.array([[0.5, -half_height], [0.5, 0.0], [0.5, half_height]])
    return _section(logits, x, y, [Boundary((0, 1), line)], names, **fields)


def quarters(**fields):
    """Classes 0 and 1 below, 2 and 3 above, from left to right."""
    x, y, across, up = _grid(2.0, 2.0, 65)
    logits = torch.stack([-across - up, across - up, -across + up, across + up], dim=-1)
    return _section(logits, x, y, [], ("a", "b", "c", "d"), **fields)


def rings(**fields):
    """Classes 0, 1, 2 in rings around the origin, with boundaries at the radii 0.5 and 1.5."""
    x, y, across, up = _grid(2.0, 2.0, 513)
    radius = torch.hypot(across, up)
    logits = torch.stack([-(radius - centre).abs() for centre in (0.0, 1.0, 2.0)], dim=-1)
    angle = np.linspace(0.0, 2.0 * math.pi, 2001)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    boundaries = [Boundary((0, 1), 0.5 * circle), Boundary((1, 2), 1.5 * circle)]
    return _section(logits, x, y, boundaries, ("0", "1", "2"), **fields)


@functools.cache
def cells(count, *, seed=0, resolution=513):
    """Ten classes in the Voronoi cells of ``count`` random points, with wavy boundaries."""
    x, y, across, up = _grid(2.0, 2.0, resolution)
    generator = torch.Generator().manual_seed(seed)
    points = 4.0 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 2.0
    across, up = across + 0.2 * torch.sin(3 * up), up + 0.15 * torch.cos(4 * across)
    nearest = [torch.full_like(across, math.inf) for _ in range(10)]
    for number, (u, v) in enumerate(points.tolist()):
        label = number % 10
        nearest[label] = torch.minimum(nearest[label], torch.hypot(across - u, up - v))
    logits = -torch.stack(nearest, dim=-1)
    labels = logits.argmax(dim=-1).numpy()
    # Where a row crosses from one class to another: chained by rows, not by neighbourhood, which
    # is enough for what is tested with it (how much there is to send).
    rows, columns = np.nonzero(labels[:, 1:] != labels[:, :-1])
    pairs = np.sort(np.stack([labels[rows, columns], labels[rows, columns + 1]], axis=1), axis=1)
    middle = np.stack([(x[columns] + x[columns + 1]).numpy() / 2, y[rows].numpy()], axis=1)
    boundaries = [
        Boundary((i, j), middle[(pairs == (i, j)).all(axis=1)])
        for i, j in sorted({(int(i), int(j)) for i, j in pairs})
    ]
    own = int(labels[labels.shape[0] // 2, labels.shape[1] // 2])
    return _section(logits, x, y, boundaries, NAMES, own=own)
