"""Descent on a sphere whose radius follows the boundary, a coarse search for a near crossing.

Source: Rony et al., "Decoupling direction and norm for efficient gradient-based L2 adversarial
attacks and defenses", CVPR 2019, with step and radius in units of the linearised distance
instead of the images', and few long steps, since refining comes after.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geoexplorer.geometry.crossings import ANY, Rays, level

__all__ = ["sphere_descent"]

# First and last value, along half a cosine: of a step, as a share of the radius, and of the
# factor by which the radius changes.
_STEP = (1.0, 0.1)
_RADIUS_CHANGE = (0.15, 0.03)


def sphere_descent(rays: Rays, offsets: Tensor, steps: int) -> Tensor:
    """The shortest offsets across the boundary met on the way, NaN where none was.

    Each step goes down the gradient and back to the sphere around the image; the radius shrinks
    after a step that ends across the boundary and grows after one that does not.

    Parameters
    ----------
    rays
        The images.
    offsets
        Where to start, ``(n, d)``; their lengths are the first radii.
    steps
        Gradients an image.
    """
    radius = offsets.norm(dim=1)
    place = rays.clip(offsets)
    shortest = torch.full_like(radius, math.inf)
    best = torch.full_like(offsets, math.nan)
    for done in range(steps):
        logits, _, normals = rays.linearise(place, _smooth_level)
        lengths = place.norm(dim=1)
        across = level(logits, rays.own, rays.other) < 0
        shorter = across & (lengths < shortest)
        shortest = torch.where(shorter, lengths, shortest)
        best = torch.where(shorter[:, None], place, best)
        phase = (1 + math.cos(math.pi * done / steps)) / 2
        step, change = (last + (first - last) * phase for first, last in (_STEP, _RADIUS_CHANGE))
        place = place - (step * radius)[:, None] * normals
        radius = torch.where(
            across, torch.minimum(radius, lengths) * (1 - change), radius * (1 + change)
        )
        place = rays.clip(place * (radius / place.norm(dim=1))[:, None])
    return best


def _smooth_level(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """F, with the logarithm of the sum of exponentials for the highest of the other classes.

    Its gradient looks toward several near classes at once, where F's looks toward one.
    """
    own_logits = logits.gather(1, own[:, None])
    others = logits.scatter(1, own[:, None], -math.inf).logsumexp(1)
    given = logits.gather(1, other.clamp_min(0)[:, None])[:, 0]
    return own_logits[:, 0] - torch.where(other == ANY, others, given)
