"""Curvature by measuring: how far the boundary departs from its tangent plane.

At z + s v the boundary lies off the tangent plane by t n with t = -½ κ s² to leading order. So the
offsets at s = ±h, found by bisection along the normal, give κ without any derivative but n: an
independent check of what differentiates, for any classifier. Source: own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geoexplorer.classifier import difference
from geoexplorer.geometry.operators import LevelSets

__all__ = ["secant_curvatures"]

# The offset is looked for within this share of h, then within twice as much, up to h itself.
_FIRST_REACH, _WIDENINGS = 1 / 64, 7
# Rounding errors of a logit and of a pixel; and the share of κ, or κ, from which on they hide it.
_ROUNDINGS, _HIDDEN, _HIDDEN_FLAT = 4.0, 0.5, 0.1


def secant_curvatures(sets: LevelSets, gradients: Tensor, tangents: Tensor, step: float) -> Tensor:
    """κ, ``(n, m)``, along unit tangents ``(n, m, d)``; NaN where it cannot be told.

    The boundary is looked for no farther from the tangent plane than h: beyond, it has turned by
    more than 45 degrees, and one number does not describe it. Where h is so short that rounding
    may be as large as the boundary's offset, nothing is measured either.
    """
    slopes = gradients.norm(dim=1, keepdim=True)
    normals = gradients / slopes
    ahead = _offsets(sets, normals, step * tangents, step)
    behind = _offsets(sets, normals, -step * tangents, step)
    curvatures = -(ahead + behind) / step**2
    sizes = sets.clf.forward(sets.images).abs().amax(1, keepdim=True)
    pixels = sets.points.square().mean(1, keepdim=True).sqrt()
    rounding = _ROUNDINGS * torch.finfo(sizes.dtype).eps * (sizes / slopes + pixels)
    hidden = 2 * rounding / step**2 > (_HIDDEN * curvatures.abs()).clamp_min(_HIDDEN_FLAT)
    return torch.where(hidden, math.nan, curvatures)


def _offsets(sets: LevelSets, normals: Tensor, places: Tensor, step: float) -> Tensor:
    """t ``(n, m)`` at which F(z + place + t n) = F(z), within the first bracket that holds one."""
    level = _levels(sets, torch.zeros_like(places[:, :1]))

    def levels(t: Tensor) -> Tensor:
        return _levels(sets, places + t[..., None] * normals[:, None]) - level

    reach = torch.full_like(places[..., 0], step * _FIRST_REACH)
    low, high = -reach, reach
    for _ in range(_WIDENINGS):
        below, above = levels(low), levels(high)
        met = (below < 0) & (above >= 0)
        low, high = torch.where(met, low, 2 * low), torch.where(met, high, 2 * high)
        if bool(met.all()):
            break
    for _ in range(round(-math.log2(torch.finfo(places.dtype).eps))):
        middle = (low + high) / 2
        below = levels(middle) < 0
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return torch.where(met, (low + high) / 2, math.nan)


def _levels(sets: LevelSets, offsets: Tensor) -> Tensor:
    """F ``(n, m)`` at the points displaced by ``(n, m, d)``."""
    n, m, _ = offsets.shape
    images = (sets.points[:, None] + offsets).reshape(n * m, *sets.clf.input_shape)
    own, other = sets.own.repeat_interleave(m), sets.other.repeat_interleave(m)
    return difference(sets.clf.forward(images), own, other).reshape(n, m)
