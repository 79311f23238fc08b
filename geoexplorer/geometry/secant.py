"""Curvature by measuring: how far the boundary departs from its tangent plane.

At z + s v the boundary lies off the tangent plane by t n with t = -½ κ s² to leading order. So the
offsets at s = ±h, found by bisection along the normal, give κ without any derivative but n: an
independent check of what differentiates, for any classifier. They are of the order of h², so that
a network in float32 would hide them in its rounding: the bisection runs on a copy in float64.
Source: own.
"""

from __future__ import annotations

import copy
import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from geoexplorer.classifier import difference
from geoexplorer.geometry.operators import LevelSets

__all__ = ["secant_curvatures"]

# The offset is looked for within this share of h, then within twice as much, up to h itself.
_FIRST_REACH, _WIDENINGS = 1 / 64, 7
_FINEST = 1e-7  # of κ times the width of the bounds, to which the bisection goes
# Roundings of a logit and of a pixel at least; and the share of κ, or κ times the width of the
# bounds, from which on they hide it.
_ROUNDINGS, _HIDDEN, _HIDDEN_FLAT = 4.0, 0.1, 0.01
# Directions in which the noise of the logits is looked for, and how far, in sizes of a pixel.
_TRIALS, _APART = 8, 8 * torch.finfo(torch.float32).eps


def secant_curvatures(sets: LevelSets, gradients: Tensor, tangents: Tensor, step: float) -> Tensor:
    """κ, ``(n, m)``, along unit tangents ``(n, m, d)``; NaN where it cannot be told.

    It is that of the parabola through z and the boundary beside it at ±h. The boundary is looked
    for no farther from the tangent plane than h: beyond, the chords from z to it rise by more than
    45 degrees, and one number does not describe it. Where h is so short that rounding
    may be a tenth of κ, or 0.01 over the width of the bounds if that is more, nothing is measured.
    """
    if tangents.numel() == 0:
        return tangents[..., 0]
    levels = _Levels(sets)
    slopes = gradients.norm(dim=1, keepdim=True)
    normals = gradients / slopes
    offsets = [_offsets(levels, normals, side * tangents, step) for side in (step, -step)]
    curvatures = -(offsets[0] + offsets[1]) / step**2
    told = (_HIDDEN * curvatures.abs()).clamp_min(_HIDDEN_FLAT / levels.width)
    error = 2 * levels.rounding(slopes) / slopes / step**2
    return torch.where(error > told, math.nan, curvatures).to(tangents)


class _Levels:
    """F at points displaced from several z, in float64 where the network can."""

    def __init__(self, sets: LevelSets) -> None:
        self._sets = sets
        self._exact = True
        try:
            logits = self._logits(sets.images.double())
            self._exact = logits.dtype == torch.float64
        except (RuntimeError, TypeError):  # made for float32 alone, or on a device that is
            self._exact = False
        self._points = sets.points.double() if self._exact else sets.points

    @property
    def width(self) -> float:
        """Of the bounds: curvature is measured in its inverse."""
        low, high = self._sets.clf.bounds
        return high - low

    def at(self, offsets: Tensor) -> Tensor:
        """F ``(n, m)`` at the points displaced by ``(n, m, d)``."""
        sets, (n, m, _) = self._sets, offsets.shape
        images = self._points[:, None] + offsets.to(self._points)
        logits = self._logits(images.reshape(n * m, *sets.clf.input_shape))
        own, other = sets.own.repeat_interleave(m), sets.other.repeat_interleave(m)
        return difference(logits, own, other).reshape(n, m)

    def rounding(self, slopes: Tensor) -> Tensor:
        """By how much F may be wrong, ``(n, 1)``: in theory, or as it shows if that is more.

        What a network does between pixels and logits is not known: it may compute in float32 in
        between. So F is compared at places so near to each other that all else is linear there.
        """
        points = self._points
        pixels = points.square().mean(1, keepdim=True).sqrt()
        drawn = torch.randn(_TRIALS, points.shape[1], generator=torch.Generator().manual_seed(0))
        apart = _APART * pixels[..., None] * drawn.to(points)
        here = self.at(torch.zeros_like(apart[:, :1]))
        shown = (self.at(apart) + self.at(-apart) - 2 * here).abs().amax(1, keepdim=True)
        logits = self._logits(self._points.reshape_as(self._sets.images))
        eps = torch.finfo(points.dtype).eps
        theory = _ROUNDINGS * eps * (logits.abs().amax(1, keepdim=True) + pixels * slopes)
        return torch.maximum(theory, shown)

    def _logits(self, images: Tensor) -> Tensor:
        clf = self._sets.clf
        if not self._exact or clf.dtype == torch.float64:
            return clf.forward(images)

        def evaluate(network: nn.Module, _rounded: Tensor, exact: Tensor) -> tuple[Tensor]:
            with torch.no_grad():
                return (_in_float64(network)(exact),)

        (logits,) = clf.in_chunks(evaluate, images, images, load=2)
        clf.count(forwards=len(images))
        return logits


_copies: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()


def _in_float64(network: nn.Module) -> nn.Module:
    if network not in _copies:
        _copies[network] = copy.deepcopy(network).double()
    return _copies[network]


def _offsets(levels: _Levels, normals: Tensor, places: Tensor, step: float) -> Tensor:
    """t ``(n, m)`` at which F(z + place + t n) = F(z), within the first bracket that holds one."""
    level = levels.at(torch.zeros_like(places[:, :1]))

    def above(t: Tensor) -> Tensor:
        return levels.at(places + t[..., None] * normals[:, None]) - level

    reach = torch.full_like(level.expand(places.shape[:2]), step * _FIRST_REACH)
    low, high = -reach, reach
    for _ in range(_WIDENINGS):
        met = (above(low) < 0) & (above(high) >= 0)
        low, high = torch.where(met, low, 2 * low), torch.where(met, high, 2 * high)
        if bool(met.all()):
            break
    finest = _FINEST * step**2 / levels.width
    most = -math.log2(torch.finfo(level.dtype).eps)
    for _ in range(math.ceil(min(math.log2(float((high - low).max()) / finest), most))):
        middle = (low + high) / 2
        below = above(middle) < 0
        # Each goes as far as it would alone, however wide the brackets beside it are.
        wide = high - low > finest
        low = torch.where(wide & below, middle, low)
        high = torch.where(wide & ~below, middle, high)
    return torch.where(met, (low + high) / 2, math.nan)
