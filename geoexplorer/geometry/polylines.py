"""Polylines that are to stay in one region, and the paper's rule that bends them into it.

The rule: where a segment leaves the region, move its midpoint into it, and go on with both halves.
The midpoint goes on to a margin comparable with the images' own, also where it was in the region.
Source: Fawzi et al., CVPR 2018, section 3; the margin is our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.entering import toward_margin
from geoexplorer.geometry.sampling import SampledSegment, samples
from geoexplorer.geometry.segment_proof import SegmentProof

__all__ = ["Leg", "Polyline", "bend_steps", "insert_anchors", "look", "sampled_between"]

INTERVALS = 16
"""Of the even grid that a segment is looked at with while the search goes on."""

_MOST_LEGS = 64


@dataclass(eq=False)
class Leg:
    """What is known of one segment of a polyline."""

    sampled: SampledSegment | None = None
    proof: SegmentProof | None = None

    @property
    def inside(self) -> bool:
        """Whether it stays in the region: an exact proof decides, else nothing may contradict."""
        if self.proof is not None and self.proof.exact:
            return self.proof.inside is True
        known = [part for part in (self.proof, self.sampled) if part is not None]
        return bool(known) and all(part.inside is True for part in known)

    @property
    def place(self) -> float | None:
        """t where it leaves the region, or where that is undecided."""
        places = [part.place for part in (self.proof, self.sampled) if part is not None]
        return next((place for place in places if place is not None), None)


@dataclass(eq=False)
class Polyline:
    """Anchors on the classifier's device, and the legs between them."""

    anchors: list[Tensor]  # (d,) each
    label: int
    depth: float  # margin that new anchors are moved to
    legs: list[Leg] = field(default_factory=lambda: [Leg()])
    given: tuple[Tensor, Tensor] | None = None  # a and b in more digits than the anchors have

    @property
    def points(self) -> list[Tensor]:
        """The anchors, but a and b as they were given."""
        if self.given is None:
            return self.anchors
        return [self.given[0], *self.anchors[1:-1], self.given[1]]

    @property
    def inside(self) -> bool:
        """Whether every leg stays in the region."""
        return all(leg.inside for leg in self.legs)

    def outside(self) -> list[int]:
        """Indices of the legs that do not, or that nobody has looked at."""
        return [index for index, leg in enumerate(self.legs) if not leg.inside]

    def point(self, leg: int, t: float) -> Tensor:
        """The point ``(d,)`` of a leg at t."""
        start, end = self.anchors[leg : leg + 2]
        return torch.lerp(start, end, t)

    def length(self) -> float:
        """In l2 units."""
        line = torch.stack([point.double() for point in self.points])
        return float((line[1:] - line[:-1]).norm(dim=1).sum())

    def bent(self, leg: int, anchor: Tensor) -> None:
        """Lead a leg over a new anchor."""
        self.anchors.insert(leg + 1, anchor)
        self.legs[leg : leg + 1] = [Leg(), Leg()]

    def along(self, kept: Sequence[int], legs: Sequence[Leg]) -> None:
        """Keep some of the anchors only, joined by other legs."""
        self.anchors = [self.anchors[index] for index in kept]
        self.legs = list(legs)


def look(clf: Classifier, lines: Sequence[Polyline]) -> None:
    """Sample all legs that nobody has looked at, of all lines together."""
    news = [
        (line, index)
        for line in lines
        for index, leg in enumerate(line.legs)
        if leg.sampled is None
    ]
    starts = [line.anchors[index] for line, index in news]
    ends = [line.anchors[index + 1] for line, index in news]
    labels = [line.label for line, _ in news]
    found = sampled_between(clf, starts, ends, labels)
    for (line, index), segment in zip(news, found, strict=True):
        line.legs[index].sampled = segment


def sampled_between(
    clf: Classifier,
    starts: Sequence[Tensor],
    ends: Sequence[Tensor],
    labels: Sequence[int],
    *,
    locate: bool = True,
) -> list[SampledSegment]:
    """Samples of segments between flattened images ``(d,)``, all together."""
    if not starts:
        return []
    return samples(
        clf,
        torch.stack(list(starts)),
        torch.stack(list(ends)),
        torch.tensor(labels),
        intervals=INTERVALS,
        locate=locate,
    )


def bend_steps(
    clf: Classifier, lines: Sequence[Polyline], *, levels: int, steps: int, seed: int
) -> Iterator[float]:
    """Bend lines by the paper's rule; afterwards every leg has been looked at.

    Parameters
    ----------
    clf
        The classifier.
    lines
        Changed in place.
    levels
        Most halvings of a leg.
    steps
        Most gradients for one midpoint.
    seed
        See :func:`toward_margin`.

    Yields
    ------
    float
        Share of the levels that are done.
    """
    look(clf, lines)
    for level in range(levels):
        open_ = [line for line in lines if not line.inside and len(line.legs) < _MOST_LEGS]
        if not open_:
            return
        places = [
            (line, index, line.point(index, 0.5)) for line in open_ for index in line.outside()
        ]
        insert_anchors(clf, places, steps=steps, seed=seed)
        look(clf, open_)
        yield (level + 1) / levels


def insert_anchors(
    clf: Classifier, places: Sequence[tuple[Polyline, int, Tensor]], *, steps: int, seed: int
) -> None:
    """Move points into their lines' regions and lead the legs over them; one point a leg."""
    if not places:
        return
    images = torch.stack([point for _, _, point in places])
    labels = torch.tensor([line.label for line, _, _ in places], device=images.device)
    margins = torch.tensor([line.depth for line, _, _ in places]).to(images)
    moved = toward_margin(clf, images, labels, margins, steps=steps, seed=seed)
    reached = moved.isfinite().all(1).tolist()
    for (line, index, _), anchor, usable in reversed(
        list(zip(places, moved.unbind(), reached, strict=True))
    ):
        if usable:
            line.bent(index, anchor)
