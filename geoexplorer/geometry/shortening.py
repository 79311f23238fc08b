"""Shortening polylines inside a region: fewer anchors, and anchors nearer to the straight line.

Both keep a distance from the boundary: no leg's least margin falls below a share of what the
polyline's was, or the proof that follows would find what the samples did not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.detours import distances, shortest_way
from geoexplorer.geometry.polylines import Leg, Polyline, sampled_between
from geoexplorer.geometry.sampling import SampledSegment

__all__ = ["shorten_steps"]

_CLEARANCE = 0.25  # of the least margin at the outset, which stays
_SPAN = 12  # anchors that a shortcut leaves out at most
_SHARES = (1.0, 0.75, 0.5, 0.25, 0.1)  # of the way to the straight line
_PER_ANCHOR = 1e-5  # of the images' distance: what one anchor less is worth in length
_LEAST_GAIN = 1e-6  # relative; a line that gains less is left as it is


def shorten_steps(clf: Classifier, lines: Sequence[Polyline], *, rounds: int) -> Iterator[float]:
    """Shorten lines that stay inside, in place; yields the share of the rounds that are done."""
    floors = {
        id(line): _CLEARANCE * min(_least(leg.sampled) for leg in line.legs) for line in lines
    }
    going = [line for line in lines if len(line.legs) > 1]
    for done in range(rounds):
        before = [line.length() for line in going]
        _cut(clf, going, floors)
        for parity in (1, 2):
            _pull(clf, going, parity, floors)
        going = [
            line
            for line, length in zip(going, before, strict=True)
            if len(line.legs) > 1 and line.length() < (1 - _LEAST_GAIN) * length
        ]
        yield (done + 1) / rounds
        if not going:
            break
    _cut(clf, [line for line in lines if len(line.legs) > 1], floors)


def _cut(clf: Classifier, lines: Sequence[Polyline], floors: dict[int, float]) -> None:
    """Take the shortest way over each line's anchors that stays inside."""
    cuts = [
        (row, i, j)
        for row, line in enumerate(lines)
        for i in range(len(line.anchors))
        for j in range(i + 2, min(i + 2 + _SPAN, len(line.anchors)))
    ]
    found = sampled_between(
        clf,
        [lines[row].anchors[i] for row, i, _ in cuts],
        [lines[row].anchors[j] for row, _, j in cuts],
        [lines[row].label for row, _, _ in cuts],
        locate=False,
    )
    legs = [{(i, i + 1): leg for i, leg in enumerate(line.legs)} for line in lines]
    for (row, i, j), sampled in zip(cuts, found, strict=True):
        if _keeps_clear(sampled, floors[id(lines[row])]):
            legs[row][i, j] = Leg(sampled)
    for line, known in zip(lines, legs, strict=True):
        way = _way(line.anchors, list(known))
        line.along(way, [known[ends] for ends in pairwise(way)])


def _way(anchors: Sequence[Tensor], legs: Sequence[tuple[int, int]]) -> list[int]:
    stacked = torch.stack(list(anchors)).double()
    lengths = distances(stacked).cpu().numpy()
    weights = np.full(lengths.shape, np.inf)
    for i, j in legs:
        weights[i, j] = lengths[i, j] + _PER_ANCHOR * lengths[0, -1]
    return shortest_way(weights)


def _pull(
    clf: Classifier, lines: Sequence[Polyline], parity: int, floors: dict[int, float]
) -> None:
    """Move every other anchor as far toward the straight line as both its legs stay inside."""
    tries = [
        (line, index, anchor)
        for line in lines
        for index in range(parity, len(line.anchors) - 1, 2)
        for anchor in _toward_chord(*line.anchors[index - 1 : index + 2])
    ]
    found = sampled_between(
        clf,
        [end for line, index, anchor in tries for end in (line.anchors[index - 1], anchor)],
        [end for line, index, anchor in tries for end in (anchor, line.anchors[index + 1])],
        [line.label for line, _, _ in tries for _ in range(2)],
        locate=False,
    )
    moved: set[tuple[int, int]] = set()
    for (line, index, anchor), before, after in zip(tries, found[::2], found[1::2], strict=True):
        floor, key = floors[id(line)], (id(line), index)
        if key in moved or not (_keeps_clear(before, floor) and _keeps_clear(after, floor)):
            continue
        moved.add(key)
        line.anchors[index] = anchor
        line.legs[index - 1 : index + 1] = [Leg(before), Leg(after)]


def _toward_chord(before: Tensor, anchor: Tensor, after: Tensor) -> list[Tensor]:
    """Points between an anchor and its foot on the chord of its neighbours, the foot first."""
    chord = after - before
    along = float(((anchor - before) * chord).sum() / chord.square().sum().clamp_min(1e-30))
    foot = torch.lerp(before, after, min(max(along, 0.0), 1.0))
    return [torch.lerp(anchor, foot, share) for share in _SHARES]


def _keeps_clear(sampled: SampledSegment, floor: float) -> bool:
    return sampled.inside is True and _least(sampled) >= floor


def _least(sampled: SampledSegment | None) -> float:
    return 0.0 if sampled is None else float(sampled.least.min())
