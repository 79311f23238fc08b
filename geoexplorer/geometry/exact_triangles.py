"""Triangles of a plane through a piecewise-linear network: what can be said of all their points.

The logits of a triangle's corners, and of what lies between them, say those of its other points up
to an error, for which there is a bound: the rounding, and what every unit that switches inside the
triangle adds. Such a unit's value lies within a chord's height of the plane through its corner
values; half of it is taken off the values and half is added to the error. Where no unit switches
the network is affine on the triangle. Else the first of its operations with a unit that switches
gives a straight line to cut the triangle along.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from geoexplorer.classifier import FullPrecision
from geoexplorer.geometry.programs import Affine, Elementwise, Maximum, Program
from geoexplorer.geometry.rounding import (
    BESIDE,
    FAINT,
    INTERPOLATED,
    ROUNDING,
    share_of,
    size_of,
)
from geoexplorer.jobs import check_cancelled, tell_passed

__all__ = ["Triangles", "triangles_through"]

# A unit that switches is passed over if it adds less than so many times the error that is there.
# Corners on a line that a triangle was cut along differ from zero by about that error.
_FAINT_ERRORS = 2.0


@dataclass(frozen=True)
class Triangles:
    """What is known of the network on triangles."""

    logits: Tensor  # (n, 3, L) float64, at the corners
    errors: Tensor  # (n, L): by which what lies between them can be wrong, anywhere in a triangle
    switches: Tensor  # (n,) int64: units that switch inside; where 0, the network is affine
    cuts: Tensor  # (n, 3): at the corners, what is zero along a line on which one of them switches


def triangles_through(program: Program, images: Tensor, sizes: Tensor | None = None) -> Triangles:
    """Send triangles through the network.

    Parameters
    ----------
    program
        The network.
    images
        Their corners ``(n, 3, C, H, W)``, float64 on the program's device.
    sizes
        ``(n, C, H, W)``, the largest sizes of what the corners were computed from; their own where
        None.
    """
    sizes = images.abs().amax(1) if sizes is None else sizes
    with torch.no_grad(), FullPrecision():
        return _Pass(len(images), program.device).through(program, images, sizes)


@dataclass(frozen=True)
class _Traced:
    """A result at the corners ``(3 n, ...)``, and the bound of its error ``(n, ...)``."""

    values: Tensor
    errors: Tensor


class _Pass:
    """One pass of some triangles through the network."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.count = count
        self.switches = torch.zeros(count, dtype=torch.int64, device=device)
        self.cuts = torch.zeros(count, 3, dtype=torch.float64, device=device)

    def through(self, program: Program, images: Tensor, sizes: Tensor) -> Triangles:
        results = {0: _Traced(images.flatten(0, 1), INTERPOLATED * ROUNDING * sizes)}
        for number, node in enumerate(program.nodes, start=1):
            check_cancelled()
            inputs = [results[index] for index in node.inputs]
            program.forget(results, number)
            if isinstance(node.kind, Affine):
                results[number] = self._affine(node.kind, inputs)
            elif isinstance(node.kind, Elementwise):
                results[number] = self._elementwise(node.kind, inputs[0])
            else:
                results[number] = self._maximum(node.kind, inputs)
        logits = results[len(program.nodes)]
        tell_passed(len(images))
        values = logits.values.reshape(self.count, 3, -1)
        return Triangles(values, logits.errors, self.switches, self.cuts)

    def _affine(self, kind: Affine, inputs: list[_Traced]) -> _Traced:
        values = kind.apply(*[traced.values for traced in inputs])
        sizes = [self._largest(traced.values) for traced in inputs] if kind.terms else []
        return _Traced(values, kind.errors([traced.errors for traced in inputs], sizes))

    def _elementwise(self, kind: Elementwise, given: _Traced) -> _Traced:
        largest = self._largest(given.values)
        errors = kind.steepest * (given.errors + share_of(kind.terms) * largest)
        values = kind.apply(given.values)
        corners = self._corners(given.values)
        for place, jump in kind.kinks:
            offsets = corners - place
            high, low = offsets.amax(1).clamp_min(0.0), (-offsets.amin(1)).clamp_min(0.0)
            height = high * low / (high + low).clamp_min(torch.finfo(high.dtype).tiny)
            height = height * size_of(jump)
            faint = FAINT * ROUNDING * (largest + size_of(place)) + _FAINT_ERRORS * given.errors
            self._note(height, faint, partial(_offset, offsets.reshape(self.count, 3, -1)))
            half = height / 2
            concave = jump < 0 if isinstance(jump, Tensor) else torch.tensor(jump < 0)
            down = torch.where(concave.to(half.device), -half, half)
            values = (self._corners(values) - down[:, None]).flatten(0, 1)
            errors = errors + half + BESIDE * ROUNDING * (largest + size_of(place)) * size_of(jump)
        return _Traced(values, errors)

    def _maximum(self, kind: Maximum, inputs: list[_Traced]) -> _Traced:
        tensors = [traced.values for traced in inputs]
        errors = kind.select(*[traced.errors for traced in inputs])[0]
        values, winners = kind.highest(tensors)
        members = self._corners(kind.arrange(*tensors))
        names, tops = self._corners(winners), values.reshape(self.count, 3, -1)
        # How far the winner at one corner lies below the maximum at another, (n, 3, 3, c w).
        below = torch.stack(
            [
                torch.stack(
                    [tops[:, c] - kind.picked(members[:, c], names[:, w]) for c in range(3)], 1
                )
                for w in range(3)
            ],
            dim=1,
        )
        height = below.amax(2).amin(1)
        largest = tops.abs().amax(1)
        flat = errors.reshape(self.count, -1)
        faint = FAINT * ROUNDING * largest + _FAINT_ERRORS * flat
        self._note(
            height, faint, lambda row, at: self._rivals(kind, members, names, below, row, at)
        )
        half = height / 2
        lowered = (tops - half[:, None]).reshape(values.shape)
        bound = flat + half + 2 * BESIDE * ROUNDING * largest
        return _Traced(lowered, bound.reshape(errors.shape))

    def _rivals(
        self,
        kind: Maximum,
        members: Tensor,
        names: Tensor,
        below: Tensor,
        row: Tensor,
        at: Tensor,
    ) -> Tensor:
        """The difference ``(m, 3)`` of two values of a window that win at different corners."""
        deficits = below[row, :, :, at]  # (m, winner, corner)
        both = torch.minimum(deficits, deficits.transpose(1, 2)).flatten(1).argmax(1)
        windows = len(kind.members)
        found = []
        for which in (both // 3, both % 3):
            name = names[row, which, at]
            place = name.clamp_min(0)
            value = members[row, :, at // windows, place]
            if kind.floor is not None:
                value = torch.where(name[:, None] < 0, kind.floor, value)
            found.append(value)
        return found[0] - found[1]

    def _note(self, heights: Tensor, faint: Tensor, line: Callable[..., Tensor]) -> None:
        """Count units that switch, and remember a line for triangles that have none yet."""
        flat = heights.reshape(self.count, -1)
        seen = (heights > faint).reshape(self.count, -1)
        first = (self.switches == 0) & seen.any(1)
        if bool(first.any()):
            row = first.nonzero()[:, 0]
            at = torch.where(seen[row], flat[row], -1.0).argmax(1)
            self.cuts[row] = line(row, at)
        self.switches += seen.sum(1)

    def _corners(self, values: Tensor) -> Tensor:
        return values.reshape(self.count, 3, *values.shape[1:])

    def _largest(self, values: Tensor) -> Tensor:
        return self._corners(values).abs().amax(1)


def _offset(offsets: Tensor, row: Tensor, at: Tensor) -> Tensor:
    return offsets[row, :, at]
