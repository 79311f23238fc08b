"""The search for paths inside a region, of many pairs of images at once.

The straight segment is tried first, then the paper's midpoint rule
(:mod:`geoexplorer.geometry.polylines`), then ways round (:mod:`geoexplorer.geometry.detours`); what
was found is shortened. While the search goes on segments are sampled; the segments of the final
paths are proven, or sampled more densely, and where that finds what the search did not, the path is
bent once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.certificates import proofs_steps
from geoexplorer.geometry.detours import detours
from geoexplorer.geometry.entering import least_margins
from geoexplorer.geometry.piecewise import why_not
from geoexplorer.geometry.polylines import Leg, Polyline, bend_steps, insert_anchors, look
from geoexplorer.geometry.region_path import RegionPath
from geoexplorer.geometry.sampling import proof_of, sampled_proofs
from geoexplorer.geometry.segment_proof import SegmentProof
from geoexplorer.geometry.shortening import shorten_steps
from geoexplorer.jobs import News, Progress
from geoexplorer.results import Provenance, Recorder, ResultList

__all__ = ["EFFORTS", "Effort", "PathSearch"]


@dataclass(frozen=True)
class Effort:
    """How long to look for a path."""

    levels: int  # most halvings of a segment
    depths: tuple[float, ...]  # tried in turn: margins of new anchors, as shares of the images' own
    steps: int  # most gradients for one point that is moved into the region
    detours: tuple[int, ...]  # random points of a road map, tried in turn
    shortening: int  # rounds
    repairs: int  # of what a proof finds


EFFORTS = {
    "interactive": Effort(
        levels=6, depths=(0.25, 0.5, 0.1), steps=50, detours=(16, 32), shortening=3, repairs=3
    ),
    "accurate": Effort(
        levels=10,
        depths=(0.25, 0.5, 0.1),
        steps=100,
        detours=(24, 48, 64),
        shortening=12,
        repairs=5,
    ),
}

_SEEDS_APART = 1_000_003
# Where a proof found an exit that the samples did not see, the new anchor is moved aside by these
# shares of the segment's length: a sliver may be wider than it is thick.
_ASIDE = (0.0, 0.1, 0.3, 0.3, 0.3)
_JUST_BEYOND = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
_STRAIGHT, _SEARCHED, _SHORTENED = 0.05, 0.25, 0.35  # shares of the work done after these stages
_PROVEN = 0.9  # of the rest, before the first repair


class PathSearch:
    """The search for paths of several pairs, and what it knows at any time.

    Parameters
    ----------
    clf
        The classifier.
    a, b
        Flattened images ``(n, d)`` on its device, in its dtype.
    labels
        ``(n,)``, the classes whose regions the paths are to stay in.
    margins
        ``(n,)``, the larger of the least margins at a and at b.
    effort, prove, seed
        As for :func:`geoexplorer.connect`.
    recorder
        What the paths say of how they were made.
    given
        a and b as they were given, ``(n, d)`` float64, where they have more digits.
    """

    def __init__(
        self,
        clf: Classifier,
        a: Tensor,
        b: Tensor,
        labels: Tensor,
        margins: Tensor,
        effort: Effort,
        prove: bool,
        seed: int,
        recorder: Recorder,
        given: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.clf, self.effort, self.prove, self.seed = clf, effort, prove, seed
        self.recorder = recorder
        self.margins = margins.tolist()
        self.straight = [
            Polyline([start, end], label, effort.depths[0] * margin)
            for start, end, label, margin in zip(a, b, labels.tolist(), self.margins, strict=True)
        ]
        if given is not None:
            for line, first, last in zip(self.straight, *given, strict=True):
                line.given = first, last
        self.lines = list(self.straight)

    def steps(self) -> Iterator[ResultList[RegionPath]]:
        """The paths as far as they are known; the last ones are final."""
        news = News()
        for fraction, message in self._work():
            if fraction < 1.0 and news.due(fraction):
                yield self._result(Progress(fraction, message))
        yield self._result(Progress())

    def _work(self) -> Iterator[tuple[float, str]]:
        look(self.clf, self.straight)
        yield _STRAIGHT, "straight segments"
        yield from _scaled(self._find(), _STRAIGHT, _SEARCHED, "paths")
        bent = [line for line in self.lines if line.inside and len(line.legs) > 1]
        shortening = shorten_steps(self.clf, bent, rounds=self.effort.shortening)
        yield from _scaled(shortening, _SEARCHED, _SHORTENED, "shortening")
        yield from _scaled(
            self._certify(), _SHORTENED, 1.0, "proving" if self.prove else "sampling"
        )

    def _find(self) -> Iterator[float]:
        """Look for paths of the pairs that the straight segment does not join."""
        effort = self.effort
        tries = [(depth, 0) for depth in effort.depths]
        tries += [(effort.depths[0], points) for points in effort.detours]
        for number, (depth, points) in enumerate(tries):
            rows = [row for row, line in enumerate(self.lines) if not line.inside]
            if not rows:
                return
            lines = [self._anew(row, depth) for row in rows]
            if points:
                seed = self.seed + _SEEDS_APART * number
                lines = detours(self.clf, lines, points=points, steps=effort.steps, seed=seed)
            if number == 0:
                self.lines = _replaced(self.lines, list(zip(rows, lines, strict=True)))
            for share in self._bend(lines):
                yield (number + share) / len(tries)
            found = [(row, line) for row, line in zip(rows, lines, strict=True) if line.inside]
            self.lines = _replaced(self.lines, found)

    def _anew(self, row: int, depth: float) -> Polyline:
        """The straight segment of a pair, to be bent; what is known of it stays."""
        line = _copied(self.straight[row])
        line.depth = depth * self.margins[row]
        return line

    def _bend(self, lines: Sequence[Polyline]) -> Iterator[float]:
        effort = self.effort
        return bend_steps(self.clf, lines, levels=effort.levels, steps=effort.steps, seed=self.seed)

    def _certify(self) -> Iterator[float]:
        """Prove the straight segments and the paths found; bend again what does not hold."""
        found = [line for line in self.lines if line.inside]
        for share in self._prove([*self.straight, *found], exactly=self.prove):
            yield _PROVEN * share
        self._prefer_straight()
        broken = [row for row, line in enumerate(self.lines) if line in found and not line.inside]
        repairs = self.effort.repairs
        for number in range(repairs):
            if not broken:
                break
            for share in self._repair(broken, number):
                yield _PROVEN + (1 - _PROVEN) * (number + share) / repairs
            broken = [row for row in broken if not self.lines[row].inside]
        self._retract()
        lost = [line for line in self.lines if not line.inside]
        for line, index in _unproven(lost):
            leg = line.legs[index]
            if leg.sampled is not None and leg.sampled.inside is not True:
                leg.proof = _as_proof(self.clf, line, index)
        list(self._prove(lost, exactly=False))

    def _prove(self, lines: Sequence[Polyline], *, exactly: bool) -> Iterator[float]:
        """Give every leg of some lines that has no proof one, or sample it more densely."""
        wanted = _unproven(lines)
        if not wanted:
            return
        points = [line.points for line, _ in wanted]
        images = [
            anchors[index + end]
            for end in (0, 1)
            for anchors, (_, index) in zip(points, wanted, strict=True)
        ]
        starts, ends = _stacked(images).reshape(-1, *self.clf.input_shape).chunk(2)
        labels = torch.tensor([line.label for line, _ in wanted], device=starts.device)
        found: Sequence[SegmentProof]
        if exactly:
            for found in proofs_steps(self.clf, starts, ends, labels):
                yield found.progress.fraction
        else:
            reason = why_not(self.clf) if self.prove else None
            sampled = sampled_proofs(self.clf, starts, ends, labels)
            found = [replace(proof, reason=reason) for proof in sampled]
        for (line, index), proof in zip(wanted, found, strict=True):
            line.legs[index].proof = proof

    def _retract(self) -> None:
        """Where the network has turned out to be another one, no leg is proven any more."""
        if not self.prove or why_not(self.clf) is None:
            return
        lines = [*self.straight, *self.lines]
        for leg in (leg for line in lines for leg in line.legs):
            if leg.proof is not None and leg.proof.exact:
                leg.proof = None
        list(self._prove(lines, exactly=False))

    def _prefer_straight(self) -> None:
        """Where the samples' rounding was wrong about the straight segment it is the path."""
        self.lines = [
            straight if straight.inside else line
            for straight, line in zip(self.straight, self.lines, strict=True)
        ]

    def _repair(self, rows: Sequence[int], number: int) -> Iterator[float]:
        """Bend lines where a proof found what the samples did not see, and prove them again."""
        aside = _ASIDE[min(number, len(_ASIDE) - 1)]
        lines = [_copied(self.lines[row]) for row in rows]
        places = [
            (line, index, _beside(line, index, aside, self.seed + number))
            for line in lines
            for index in line.outside()
        ]
        insert_anchors(self.clf, places, steps=self.effort.steps, seed=self.seed)
        list(self._bend(lines))
        bent = [(row, line) for row, line in zip(rows, lines, strict=True) if line.inside]
        self.lines = _replaced(self.lines, bent)
        yield from self._prove([line for _, line in bent], exactly=self.prove)

    def _result(self, progress: Progress) -> ResultList[RegionPath]:
        provenance = self.recorder.provenance()
        made = [
            self._path(line, straight, provenance, progress)
            for line, straight in zip(self.lines, self.straight, strict=True)
        ]
        return ResultList(made, progress)

    def _path(
        self, line: Polyline, straight: Polyline, provenance: Provenance, progress: Progress
    ) -> RegionPath:
        clf = self.clf
        segments = tuple(_as_proof(clf, line, index) for index in range(len(line.legs)))
        spacings = [segment.spacing for segment in segments if segment.spacing is not None]
        proof = "exact" if all(segment.exact for segment in segments) else "sampled"
        length, distance = line.length(), straight.length()
        return RegionPath(
            anchors=_stacked(line.points).reshape(-1, *clf.input_shape).to("cpu", copy=True),
            label=line.label,
            connected=line.inside,
            proof=proof if line.inside else None,
            spacing=max(spacings) if spacings else None,
            length=length,
            straightness=length / distance if distance > 0 else 1.0,
            least_margin=min(segment.least_margin for segment in segments),
            segments=segments,
            straight=replace(_as_proof(clf, straight, 0), provenance=provenance),
            failed=None if line.inside else self._failed(line),
            class_names=clf.class_names,
            provenance=provenance,
            progress=progress,
        )

    def _failed(self, line: Polyline) -> Tensor:
        """A point of the first leg that is not inside, outside the region if one is found there."""
        index = line.outside()[0]
        place = line.legs[index].place or 0.0
        points = [line.point(index, min(place + beyond, 1.0)) for beyond in _JUST_BEYOND]
        images = torch.stack(points).reshape(-1, *self.clf.input_shape)
        labels = torch.full((len(images),), line.label, device=images.device)
        outside = least_margins(self.clf.forward(images), labels) < 0
        return images[int(outside.int().argmax())].to("cpu", copy=True)


def _as_proof(clf: Classifier, line: Polyline, index: int) -> SegmentProof:
    """What is known of a leg, whether proven or sampled; a sample outside outweighs others."""
    leg = line.legs[index]
    sampled_outside = leg.sampled is not None and leg.sampled.inside is not True
    if leg.proof is not None and (leg.proof.exact or not sampled_outside):
        return leg.proof
    if leg.sampled is None:
        raise RuntimeError("a leg that nobody has looked at")
    start, end = (point.double() for point in line.points[index : index + 2])
    length = float((end - start).norm())
    return proof_of(leg.sampled, line.label, length, clf.class_names)


def _unproven(lines: Sequence[Polyline]) -> list[tuple[Polyline, int]]:
    distinct = {id(line): line for line in lines}.values()
    return [
        (line, index)
        for line in distinct
        for index, leg in enumerate(line.legs)
        if leg.proof is None
    ]


def _stacked(points: Sequence[Tensor]) -> Tensor:
    """In double precision where one of them is."""
    double = any(point.dtype == torch.float64 for point in points)
    return torch.stack([point.double() if double else point for point in points])


def _copied(line: Polyline) -> Polyline:
    legs = [Leg(leg.sampled, leg.proof) for leg in line.legs]
    return Polyline(list(line.anchors), line.label, line.depth, legs, line.given)


def _replaced(lines: Sequence[Polyline], others: Sequence[tuple[int, Polyline]]) -> list[Polyline]:
    replaced = dict(others)
    return [replaced.get(row, line) for row, line in enumerate(lines)]


def _beside(line: Polyline, index: int, aside: float, seed: int) -> Tensor:
    """The place where a leg is not inside, moved aside by a share of the leg's length."""
    leg = line.anchors[index + 1] - line.anchors[index]
    place = line.point(index, line.legs[index].place or 0.0)
    length = float(leg.norm())
    if aside == 0.0 or length == 0.0:
        return place
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(leg.shape, generator=generator, dtype=torch.float64).to(leg)
    across = drawn - (drawn @ leg) / length**2 * leg
    moved: Tensor = place + aside * length * across / across.norm().clamp_min(1e-30)
    return moved


def _scaled(
    shares: Iterator[float], first: float, end: float, message: str
) -> Iterator[tuple[float, str]]:
    for share in shares:
        yield first + (end - first) * share, message
