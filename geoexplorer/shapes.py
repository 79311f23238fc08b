"""A drawn set of 32x32 colour images of ten shapes.

It stands in for CIFAR-10 wherever nothing can be downloaded: the same size, ten classes, and hard
enough that a good network is wrong on a few images in a hundred. The difficulty comes from what
makes photographs difficult too: small objects, clutter behind and bars in front of them, weak
contrast, noise, and classes that are alike (a hexagon and a disc).

Every shape is given by its signed distance, so that edges are anti-aliased without drawing at a
higher resolution and a few thousand images take about a second. Images are rounded to 256 levels,
as photographs are; this also hides differences in the last bit between processors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

SIDE = 32
SIZES = {"train": 16_000, "test": 2_000}
_CHUNK = 500


@lru_cache(maxsize=4)
def draw_shapes(split: str = "test", seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw a split of the shapes set: images (n, 3, 32, 32) in 0..255 and labels (n,).

    Classes are equally frequent and in random order. The two splits of one seed, and the same
    split of two seeds, have no image in common. The arrays are shared between calls: read only.
    """
    n = SIZES[split]
    rng = np.random.default_rng([seed, list(SIZES).index(split)])
    labels = rng.permutation(np.arange(n) % len(CLASS_NAMES)).astype(np.int64)
    images = np.concatenate(
        [_draw(labels[start : start + _CHUNK], rng) for start in range(0, n, _CHUNK)]
    )
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def _draw(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
    n = len(labels)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) - (SIDE - 1) / 2

    def uniform(low: float, high: float, *shape: int) -> Array:
        return rng.uniform(low, high, (n, *shape)).astype(np.float32)

    base = np.clip(uniform(0.1, 0.9, 1) + uniform(-0.25, 0.25, 3), 0, 1)
    picture: Array = base[:, :, None, None]
    picture = picture + _clouds(uniform(-1, 1, 3, 5, 5)) * uniform(0, 0.2, 1, 1, 1)

    for _ in range(2):
        stroke = _segment(
            x, y, uniform(-16, 16, 2), uniform(-16, 16, 2), half_width=uniform(0.3, 0.8)
        )
        picture = _paint(picture, stroke, uniform(0, 1, 3))

    radius = uniform(7, 13)
    room = np.minimum(16 - radius, 4)
    centre = uniform(-1, 1, 2) * room[:, None]
    distance = _distances(labels, x, y, centre, radius, uniform(-0.35, 0.35), uniform(0.85, 1.18))
    picture = _paint(picture, distance, _contrasting(base, uniform(0.4, 1.0), rng))

    # Three images in ten get a bar in front of the shape; for the others it lies far outside.
    through = centre + uniform(-0.7, 0.7, 2) * radius[:, None] + 1000 * (uniform(0, 1, 1) < 0.7)
    angle = uniform(0, np.pi)
    along = 40 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    bar = _segment(x, y, through - along, through + along, half_width=uniform(0.5, 1.3))
    picture = _paint(picture, bar, uniform(0, 1, 3))

    noise = rng.standard_normal(picture.shape, dtype=np.float32) * uniform(0, 0.07, 1, 1, 1)
    return np.rint(255 * np.clip(picture + noise, 0, 1)).astype(np.uint8)


def _paint(picture: Array, distance: Array, colour: Array) -> Array:
    """Lay a shape over the picture: distance (n, H, W) in pixels, negative inside."""
    cover = np.clip(0.5 - distance, 0, 1)[:, None]
    return picture + cover * (colour[:, :, None, None] - picture)


def _clouds(knots: Array) -> Array:
    """Spread random numbers on a coarse grid (n, 3, k, k) smoothly over the picture."""
    k = knots.shape[-1]
    position = np.linspace(0, k - 1, SIDE, dtype=np.float32)
    weights = np.clip(1 - np.abs(position[:, None] - np.arange(k, dtype=np.float32)), 0, 1)
    smooth = weights * weights * (3 - 2 * weights)
    spread: Array = smooth @ knots @ smooth.T
    return spread


def _contrasting(base: Array, contrast: Array, rng: np.random.Generator) -> Array:
    """Colours at a given l2 distance from the base colours, turned back where they leave [0, 1]."""
    step = rng.standard_normal(base.shape, dtype=np.float32)
    step *= contrast[:, None] / np.linalg.norm(step, axis=1, keepdims=True)
    outside = (base + step < 0) | (base + step > 1)
    return np.clip(np.where(outside, base - step, base + step), 0, 1)


def _segment(x: Array, y: Array, start: Array, end: Array, half_width: Array) -> Array:
    """Signed distance (n, H, W) to a thick line from start (n, 2) to end (n, 2)."""
    px, py = _moved(x, y, start)
    along = end - start
    length2 = np.maximum((along**2).sum(1), 1e-6)[:, None, None]
    ax, ay = along[:, 0, None, None], along[:, 1, None, None]
    t = np.clip((px * ax + py * ay) / length2, 0, 1)
    gap: Array = np.hypot(px - t * ax, py - t * ay) - half_width[:, None, None]
    return gap


def _moved(x: Array, y: Array, centre: Array) -> tuple[Array, Array]:
    return x - centre[:, 0, None, None], y - centre[:, 1, None, None]


def _distances(
    labels: NDArray[np.int64],
    x: Array,
    y: Array,
    centre: Array,
    radius: Array,
    angle: Array,
    stretch: Array,
) -> Array:
    """Signed distance (n, H, W) in pixels of every image's own shape, turned and stretched."""
    px, py = _moved(x, y, centre)
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    size = radius[:, None, None]
    root = np.sqrt(stretch)[:, None, None]
    px, py = (cos * px + sin * py) / (size * root), (sin * px - cos * py) / (size / root)
    distance = np.empty_like(px)
    for label, shape in enumerate(_SHAPES.values()):
        mine = labels == label
        distance[mine] = shape(px[mine], py[mine])
    return distance * size


# Below, y points up and the outer radius is about one.


def _disc(x: Array, y: Array) -> Array:
    return np.hypot(x, y) - 0.9


def _ring(x: Array, y: Array) -> Array:
    return np.abs(np.hypot(x, y) - 0.7) - 0.25


def _crescent(x: Array, y: Array) -> Array:
    return np.maximum(np.hypot(x, y) - 1, 0.8 - np.hypot(x - 0.55, y))


def _polygon(corners: int) -> Callable[[Array, Array], Array]:
    half = np.float32(math.pi / corners)

    def distance(x: Array, y: Array) -> Array:
        sector = np.mod(np.arctan2(x, y), 2 * half) - half
        return np.hypot(x, y) * np.cos(sector) - np.cos(half)

    return distance


def _square(x: Array, y: Array) -> Array:
    return np.maximum(np.abs(x), np.abs(y)) - 0.8


def _arrow(x: Array, y: Array) -> Array:
    head = np.maximum((np.abs(x) + 0.9 * (y - 1)) / math.sqrt(1.81), 0.05 - y)
    shaft = np.maximum(np.abs(x) - 0.22, np.maximum(-1 - y, y - 0.1))
    return np.minimum(head, shaft)


def _star(x: Array, y: Array) -> Array:
    half, inner = math.pi / 5, 0.45
    angle = np.abs(np.mod(np.arctan2(x, y) + half, 2 * half) - half)
    r = np.hypot(x, y)
    # The edge runs from the tip to the inner corner; its normal gives the distance.
    edge_x, edge_y = inner * math.cos(half) - 1, inner * math.sin(half)
    along, across = r * np.cos(angle) - 1, r * np.sin(angle)
    return (edge_y * along - edge_x * across) / math.hypot(edge_x, edge_y)


def _cross(x: Array, y: Array) -> Array:
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.maximum(x, y) - 0.95, np.minimum(x, y) - 0.32)


def _heart(x: Array, y: Array) -> Array:
    scale = 0.6
    x, y = np.abs(x) * scale, scale * y + 0.55
    lobe = np.hypot(x - 0.25, y - 0.75) - math.sqrt(2) / 4
    middle = 0.5 * np.maximum(x + y, 0)
    flank = np.minimum(np.hypot(x, y - 1), np.hypot(x - middle, y - middle)) * np.sign(x - y)
    return np.where(x + y > 1, lobe, flank) / scale


_SHAPES: dict[str, Callable[[Array, Array], Array]] = {
    "disc": _disc,
    "ring": _ring,
    "crescent": _crescent,
    "triangle": _polygon(3),
    "square": _square,
    "hexagon": _polygon(6),
    "arrow": _arrow,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
}

CLASS_NAMES: tuple[str, ...] = tuple(_SHAPES)
