"""Curvature by measuring: how far the boundary departs from its tangent plane.

At z + s v the boundary lies off the tangent plane by t n with t = -½ κ s² to leading order. So the
offsets at s = ±h, found by false position along the normal, give κ without any derivative but n: an
independent check of what differentiates, for any classifier. They are of the order of h², so that
a network in float32 would hide them in its rounding: the search runs on a copy in float64.
Source: own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from geoexplorer.classifier import difference
from geoexplorer.geometry.network_copies import made_once
from geoexplorer.geometry.operators import LevelSets

__all__ = ["secant_curvatures"]

# The offset is looked for within this share of h, then within twice as much, up to h itself.
_FIRST_REACH, _WIDENINGS = 1 / 64, 7
_FINEST = 1e-7  # of κ times the width of the bounds, to which the search goes
# Least and largest step into a bracket, as shares of it; and of the finest one, how far aside of
# where the chord meets zero a trial lies, on the side that was not met last.
_STEPS, _ASIDE = (0.02, 0.98), 0.5
# Trials after which a bracket that is not half as wide is cut in the middle, and the most of them.
_HALVED, _MOST_TRIALS = 3, 150
# Roundings of a logit and of a pixel at least; and the share of κ, or κ times the width of the
# bounds, from which on they hide it.
_ROUNDINGS, _HIDDEN, _HIDDEN_FLAT = 4.0, 0.1, 0.01
# Directions in which the noise of the logits is looked for, and how far, in sizes of a pixel.
_TRIALS, _APART = 8, 8 * torch.finfo(torch.float32).eps
# As much memory as so many passes: a CPU unfolds the images of convolutions in float64, and large
# batches of them take three times as long.
_EXACT_LOAD = 8


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
    curvatures = -_offsets(levels, gradients / slopes, tangents, step).sum(2) / step**2
    told = (_HIDDEN * curvatures.abs()).clamp_min(_HIDDEN_FLAT / levels.width)
    error = 2 * levels.rounding(slopes) / slopes / step**2
    return torch.where(error > told, math.nan, curvatures).to(tangents)


class _Levels:
    """F at points displaced from several z, in float64 where the network can."""

    def __init__(self, sets: LevelSets) -> None:
        self._sets = sets
        self._exact = True
        self._points = sets.points.double()
        try:
            around = self._around()
            self._exact = around.dtype == torch.float64
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError):  # made for float32 alone, or on a device that is
            self._exact = False
        if not self._exact:
            self._points = sets.points
            around = self._around()
        own, other = (each[:, None].expand(around.shape[:2]) for each in (sets.own, sets.other))
        levels = difference(around.flatten(0, 1), own.flatten(), other.flatten()).view_as(own)
        self.here: Tensor = levels[:, 0]  # (n,), F at z
        ahead, behind = levels[:, 1:].chunk(2, dim=1)
        self._noise = (ahead + behind - 2 * levels[:, :1]).abs().amax(1, keepdim=True)
        self._largest = around[:, 0].abs().amax(1, keepdim=True)

    @property
    def width(self) -> float:
        """Of the bounds: curvature is measured in its inverse."""
        low, high = self._sets.clf.bounds
        return high - low

    def at(self, points: Tensor, offsets: Tensor) -> Tensor:
        """F ``(k,)`` at the points with some numbers ``(k,)``, displaced by ``(k, d)``."""
        sets = self._sets
        images = self._points[points] + offsets
        logits = self._logits(images.reshape(-1, *sets.clf.input_shape))
        return difference(logits, sets.own[points], sets.other[points])

    def rounding(self, slopes: Tensor) -> Tensor:
        """By how much F may be wrong, ``(n, 1)``: in theory, or as it shows if that is more.

        What a network does between pixels and logits is not known: it may compute in float32 in
        between. So F is compared at places so near to each other that all else is linear there.
        """
        eps = torch.finfo(self._points.dtype).eps
        theory = _ROUNDINGS * eps * (self._largest + self._pixels * slopes)
        return torch.maximum(theory, self._noise)

    @property
    def _pixels(self) -> Tensor:
        """The size of a pixel, ``(n, 1)``."""
        return self._points.square().mean(1, keepdim=True).sqrt()

    def _around(self) -> Tensor:
        """Logits ``(n, 1 + 2 trials, L)`` at z, and on both sides of it."""
        points, clf = self._points, self._sets.clf
        drawn = torch.randn(_TRIALS, points.shape[1], generator=torch.Generator().manual_seed(0))
        apart = _APART * self._pixels[..., None] * drawn.to(points)
        images = points[:, None] + torch.cat([torch.zeros_like(apart[:, :1]), apart, -apart], dim=1)
        logits = self._logits(images.reshape(-1, *clf.input_shape))
        return logits.reshape(*images.shape[:2], -1)

    def _logits(self, images: Tensor) -> Tensor:
        clf = self._sets.clf
        if not self._exact or clf.dtype == torch.float64:
            return clf.forward(images)

        def evaluate(network: nn.Module, _rounded: Tensor, exact: Tensor) -> tuple[Tensor]:
            with torch.no_grad():
                return (_in_float64(network)(exact),)

        (logits,) = clf.in_chunks(evaluate, images, images, load=_EXACT_LOAD)
        clf.count(forwards=len(images))
        return logits


@made_once
def _in_float64(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).double()


def _offsets(levels: _Levels, normals: Tensor, tangents: Tensor, step: float) -> Tensor:
    """t ``(n, m, 2)`` at which F(z ± h v + t n) = F(z), within the first bracket that holds one."""
    n, m, d = tangents.shape
    vectors = tangents.reshape(n * m, d)
    sides = torch.tensor([step, -step], dtype=torch.float64).to(levels.here)

    def above(rows: Tensor, t: Tensor) -> Tensor:
        points = rows // (2 * m)
        offsets = t[:, None] * normals[points]
        offsets += sides[rows % 2, None] * vectors[rows // 2]
        return levels.at(points, offsets) - levels.here[points]

    rows = torch.arange(2 * n * m, device=tangents.device)
    high = torch.full_like(rows, step * _FIRST_REACH, dtype=sides.dtype)
    low, above_low, above_high = -high, torch.zeros_like(high), torch.zeros_like(high)
    met = torch.zeros_like(rows, dtype=torch.bool)
    for _ in range(_WIDENINGS):
        ends = above(rows.repeat(2), torch.cat([low[rows], high[rows]]))
        above_low[rows], above_high[rows] = ends.chunk(2)
        met[rows] = (above_low[rows] < 0) & (above_high[rows] >= 0)
        rows = rows[~met[rows]]
        if len(rows) == 0:
            break
        low[rows], high[rows] = 2 * low[rows], 2 * high[rows]
    rows = met.nonzero()[:, 0]
    ends = torch.stack([low, high, above_low, above_high])[:, rows]
    t = torch.full_like(high, math.nan)
    t[rows] = _roots(lambda some, t: above(rows[some], t), ends, _FINEST * step**2 / levels.width)
    return t.reshape(n, m, 2)


def _roots(above: Callable[[Tensor, Tensor], Tensor], ends: Tensor, finest: float) -> Tensor:
    """Where functions change their sign, ``(k,)``, by Illinois' false position.

    Parameters
    ----------
    above
        Takes the numbers of some of the functions and a place for each, and gives their values.
    ends
        ``(4, k)``: a place where a function is negative, one where it is not, its values there.
    finest
        The width at which a bracket is good enough.
    """
    low, high, at_low, at_high = ends
    roots: Tensor = (low + high) / 2
    if len(roots) == 0:
        return roots
    width = high - low
    enough = (torch.finfo(width.dtype).eps * width).clamp_min(finest)
    rows, last, before = torch.arange(len(roots), device=roots.device), width * 0, width
    for trial in range(1, _MOST_TRIALS + 1):
        aside = _ASIDE * last * enough / width
        share = (at_low / (at_low - at_high) + aside).nan_to_num(0.5).clamp(*_STEPS)
        if trial % _HALVED == 0:
            share, before = torch.where(2 * width > before, 0.5, share), width
        middle = torch.lerp(low, high, share)
        values = above(rows, middle)
        # The end that stays twice in a row counts half, which draws the chord to it.
        below, side = values < 0, torch.where(values < 0, 1.0, -1.0).to(last)
        staying = torch.where(side == last, 0.5, 1.0)
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        at_low = torch.where(below, values, staying * at_low)
        at_high = torch.where(below, staying * at_high, values)
        roots[rows] = (low + high) / 2
        # Each goes as far as it would alone, however wide the brackets beside it are.
        left = (high - low > enough).nonzero()[:, 0]
        if len(left) == 0:
            break
        state = torch.stack([low, high, at_low, at_high, side, enough, before])[:, left]
        rows, (low, high, at_low, at_high, last, enough, before) = rows[left], state
        width = high - low
    return roots
