"""Straight segments through a piecewise-linear network, split exactly where a unit switches.

All segments go through the network once, operation by operation, as a batch of corners: places on
the segments between which everything so far is affine. Where a unit switches between two corners,
a corner is put there, with values interpolated between its neighbours, and all goes on with more
corners. So no operation is applied to more corners than it has pieces in front of it.

Beside the values of the corners goes a bound of the error, one for each segment: by how much the
true value can differ, anywhere on the segment, from what lies between the computed corners. It
takes in the rounding of every operation (Higham, "Accuracy and Stability of Numerical Algorithms",
2002, section 3.1) and every switch that is too faint to be split at, so that what the result says
of a margin above the bound is true of the network in exact arithmetic. Source: own; lines that are
split by the layers' units are Sotoudeh & Thakur, "Computing linear restrictions of neural networks"
(NeurIPS 2019), without bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer.classifier import FullPrecision
from geoexplorer.geometry.programs import Affine, Elementwise, Maximum, Program
from geoexplorer.geometry.rounding import (
    BESIDE,
    FAINT,
    FAINT_SHARE,
    INTERPOLATED,
    ROUNDING,
    share_of,
    size_of,
)
from geoexplorer.jobs import check_cancelled, tell_passed

__all__ = ["Corners", "TooManyCorners", "split_segments"]


# Corners that lie no further apart, in units of the interval that they divide, are one.
_NEAR = 4 * ROUNDING


class TooManyCorners(Exception):
    """The segments have more corners than were allowed."""


@dataclass(frozen=True)
class Corners:
    """Segments split where a unit switches; in between the logits are affine up to ``errors``."""

    t: Tensor  # (k,) float64, ascending from 0 to 1 on each segment
    segments: Tensor  # (k,) int64, ascending: the segment that each lies on
    logits: Tensor  # (k, L) float64
    errors: Tensor  # (s, L): bound of the error of the logits anywhere on each segment


@dataclass(frozen=True)
class _Split:
    """Corners of a finer division: each lies between two of the coarser one."""

    before: Tensor  # (k,) int64
    after: Tensor  # (k,) int64
    weights: Tensor  # (k,): 0 is the one before


@dataclass(frozen=True)
class _Traced:
    """A result at the corners of a division, and the bound of its error on each segment."""

    values: Tensor  # (k, ...)
    errors: Tensor  # (s, ...)
    division: int


def split_segments(
    program: Program, starts: Tensor, ends: Tensor, sizes: Tensor, most: int | None
) -> Corners:
    """Split segments ``(s, C, H, W)`` where a unit of the network switches.

    Parameters
    ----------
    program
        The network.
    starts, ends
        Float64, on the program's device.
    sizes
        ``(s, C, H, W)``, the largest sizes of what the ends were computed from.
    most
        Corners that are allowed in all. None: the segments are not split, and every unit that
        switches adds to the errors.

    Raises
    ------
    TooManyCorners
        If there are more.
    """
    with torch.no_grad(), FullPrecision():
        division = _Division(len(starts), program.device, most)
        return division.traced(program, torch.stack([starts, ends], dim=1).flatten(0, 1), sizes)


class _Division:
    """The corners so far, and how they came about."""

    def __init__(self, count: int, device: torch.device, most: int | None) -> None:
        self.most = most
        self.t = torch.tensor([0.0, 1.0], dtype=torch.float64, device=device).repeat(count)
        self.segments = torch.arange(count, device=device).repeat_interleave(2)
        self._counts = [2] * count  # corners on each segment
        self.splits: list[_Split] = []

    def traced(self, program: Program, images: Tensor, sizes: Tensor) -> Corners:
        # The ends may themselves be places that were computed.
        results = {0: _Traced(images, INTERPOLATED * ROUNDING * sizes, 0)}
        for number, node in enumerate(program.nodes, start=1):
            check_cancelled()
            inputs = [self._brought_up(results[index]) for index in node.inputs]
            program.forget(results, number)
            if isinstance(node.kind, Affine):
                results[number] = self._affine(node.kind, inputs)
            elif isinstance(node.kind, Elementwise):
                results[number] = self._elementwise(node.kind, inputs[0])
            else:
                results[number] = self._maximum(node.kind, inputs)
            del inputs
        logits = self._brought_up(results[len(program.nodes)])
        tell_passed(len(self.t))
        return Corners(self.t, self.segments, logits.values, logits.errors)

    def _affine(self, kind: Affine, inputs: list[_Traced]) -> _Traced:
        values = kind.apply(*[traced.values for traced in inputs])
        sizes = [self._largest(traced.values) for traced in inputs] if kind.terms else []
        return self._now(values, kind.errors([traced.errors for traced in inputs], sizes))

    def _elementwise(self, kind: Elementwise, given: _Traced) -> _Traced:
        values, errors = given.values, given.errors
        largest = self._largest(values)
        lost = torch.zeros_like(errors)
        beside = BESIDE * ROUNDING * largest
        places: list[Tensor] = []
        weights: list[Tensor] = []
        for place, jump in kind.kinks:
            offsets = values - place
            apart = (offsets[:-1] * offsets[1:] < 0) & self._inner(values.ndim)
            at = apart.nonzero(as_tuple=True)
            low, high = offsets[:-1][at].abs(), offsets[1:][at].abs()
            change = size_of(jump)
            if isinstance(change, Tensor):
                change = change.expand_as(values)[at]
            owners = (self.segments[at[0]], *at[1:])
            missed = change * low * high / (low + high)
            faint = self._faint(values, errors, at, owners)
            _raise(lost, owners, torch.where(missed <= faint, missed, 0.0))
            places.append(at[0][missed > faint])
            weights.append((low / (low + high))[missed > faint])
            beside = beside + BESIDE * ROUNDING * (largest + size_of(place)) * size_of(jump)
        values = self._divided(torch.cat(places), torch.cat(weights), values)
        rounding = share_of(kind.terms) * largest
        return self._now(kind.apply(values), kind.steepest * (errors + rounding + beside) + lost)

    def _maximum(self, kind: Maximum, inputs: list[_Traced]) -> _Traced:
        tensors = [traced.values for traced in inputs]
        largest = kind.select(*[self._largest(tensor) for tensor in tensors])[0]
        errors = kind.select(*[traced.errors for traced in inputs])[0]
        lost = torch.zeros_like(errors)
        members = kind.arrange(*tensors)
        values, winners = kind.highest(tensors)
        # A maximum is flat between two corners unless each winner is below the other's at its end.
        low = _rows(values[:-1]) - kind.picked(members[:-1], winners[1:])
        high = _rows(values[1:]) - kind.picked(members[1:], winners[:-1])
        at = ((low > 0) & (high > 0) & self._inner(2)).nonzero(as_tuple=True)
        low, high = low[at], high[at]
        owners = (self.segments[at[0]], at[1])
        missed = low * high / (low + high)
        faint = self._faint(_rows(values), _rows(errors), at, owners)
        _raise(_rows(lost), owners, torch.where(missed <= faint, missed, 0.0))
        seen = missed > faint
        if bool(seen.any()):
            intervals, windows = at[0][seen], at[1][seen]
            starts, ends = (kind.entries(members, i, windows) for i in (intervals, intervals + 1))
            rows, weights = _envelope(starts, ends)
            split = self._split(intervals[rows], weights)
            values, _ = kind.highest([_interpolated(tensor, split) for tensor in tensors])
        return self._now(values, errors + lost + 2 * BESIDE * ROUNDING * largest)

    def _faint(
        self,
        values: Tensor,
        errors: Tensor,
        at: tuple[Tensor, ...],
        owners: tuple[Tensor, ...],
    ) -> Tensor:
        """Below this a switch is not split at."""
        if self.most is None:
            return torch.full_like(values[:-1][at], torch.inf)
        size = values[:-1][at].abs() + values[1:][at].abs()
        return FAINT * ROUNDING * size + FAINT_SHARE * errors[owners]

    def _inner(self, ndim: int) -> Tensor:
        """Whether two corners in a row lie on one segment, ``(k - 1, 1, ...)``."""
        same = self.segments[:-1] == self.segments[1:]
        return same.reshape(-1, *[1] * (ndim - 1))

    def _largest(self, values: Tensor) -> Tensor:
        """The largest size of each value on each segment, ``(s, ...)``."""
        parts = torch.split(values, self._counts)
        return torch.stack([torch.maximum(part.amax(0), -part.amin(0)) for part in parts])

    def _divided(self, intervals: Tensor, weights: Tensor, values: Tensor) -> Tensor:
        """The values at a finer division, with a corner at each weight between two corners."""
        if len(intervals) == 0:
            return values
        return _interpolated(values, self._split(intervals, weights))

    def _split(self, intervals: Tensor, weights: Tensor) -> _Split:
        count = len(self.t)
        before = torch.cat([torch.arange(count, device=self.t.device), intervals])
        weights = torch.cat([torch.zeros_like(self.t), weights])
        order = weights.argsort(stable=True)
        order = order[before[order].argsort(stable=True)]
        before, weights = before[order], weights[order]
        new = _apart(before, weights)
        before, weights = before[new], weights[new]
        if self.most is not None and len(before) > self.most:
            raise TooManyCorners
        split = _Split(before, (before + 1).clamp_max(count - 1), weights)
        self.t = _interpolated(self.t, split)
        self.segments = self.segments[before]
        self._counts = torch.bincount(self.segments).tolist()
        self.splits.append(split)
        return split

    def _brought_up(self, traced: _Traced) -> _Traced:
        """The same result at all corners that there are by now."""
        if traced.division == len(self.splits):
            return traced
        values, errors = traced.values, traced.errors
        behind = self.splits[traced.division :]
        # Interpolation makes nothing larger; its own rounding comes on top each time.
        size = torch.maximum(values.amax(0), -values.amin(0))
        for split in behind:
            values = _interpolated(values, split)
        return self._now(values, errors + len(behind) * INTERPOLATED * ROUNDING * size)

    def _now(self, values: Tensor, errors: Tensor) -> _Traced:
        return _Traced(values, errors, len(self.splits))


def _apart(intervals: Tensor, weights: Tensor) -> Tensor:
    """Which corners are kept ``(k,)``: every other is near to one before it that is kept.

    Both are ascending. Many in a row, each of them near to the next, lie apart in the end.
    """
    new = torch.ones_like(intervals, dtype=torch.bool)
    close = (weights[1:] - weights[:-1]).abs() <= _NEAR
    new[1:] = ~((intervals[1:] == intervals[:-1]) & close)
    number = new.cumsum(0) - 1
    beyond = ((weights - weights[new][number]) / _NEAR).floor()
    new[1:] |= beyond[1:] != beyond[:-1]
    return new


def _envelope(starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Where the highest of k lines changes, between their values at 0 and 1, ``(m, k)`` each.

    Returns
    -------
    tuple of Tensor
        The rows, and the places between 0 and 1.
    """
    slopes = torch.where(starts.isfinite(), ends - starts, -torch.inf)
    first = starts.amax(1, keepdim=True)
    current = torch.where(starts == first, slopes, -torch.inf).argmax(1, keepdim=True)
    rows = torch.arange(len(starts), device=starts.device)
    found = []
    while len(rows):
        steeper = slopes - slopes.gather(1, current)
        below = starts.gather(1, current) - starts
        places = torch.where(steeper > 0, below / steeper, torch.inf)
        place = places.amin(1, keepdim=True)
        current = torch.where(places == place, slopes, -torch.inf).argmax(1, keepdim=True)
        goes_on = place[:, 0] < 1.0
        rows, place, current = rows[goes_on], place[goes_on, 0], current[goes_on]
        starts, slopes = starts[goes_on], slopes[goes_on]
        found.append((rows, place))
    rows, places = (torch.cat(parts) for parts in zip(*found, strict=True))
    inner = places > 0
    return rows[inner], places[inner]


def _interpolated(values: Tensor, split: _Split) -> Tensor:
    weights = split.weights.reshape(-1, *[1] * (values.ndim - 1))
    return torch.lerp(values[split.before], values[split.after], weights)


def _rows(values: Tensor) -> Tensor:
    """``(n, v)``, also of one value each."""
    return values.reshape(len(values), -1)


def _raise(bounds: Tensor, at: tuple[Tensor, ...], values: Tensor) -> None:
    """Raise bounds ``(s, ...)`` at some places, which may be named more than once."""
    index = torch.zeros_like(at[0])
    for places, size in zip(at, bounds.shape, strict=True):
        index = index * size + places
    bounds.view(-1).scatter_reduce_(0, index, values, "amax")
