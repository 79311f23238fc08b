"""Straight segments, sampled more densely where they might leave their region.

The margins f_label - f_j over every other class j are known at samples. Between two neighbours a
margin could dip below zero unless it is large beside its change from one to the other and beside
the change of its slope there; such intervals are halved until none is left. Where they get too
narrow or too many before, it is undecided whether the segment stays inside. This is an estimate and
no proof: what lies between two samples and gives no sign at them is missed.
Source: own; the paper sampled its segments at even steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.segment_proof import SegmentProof

__all__ = ["SampledSegment", "proof_of", "sampled_proofs", "samples"]

INTERVALS = 64
"""Intervals of the evenly spaced samples to begin with."""

# An interval is safe if every margin at its ends is larger than these multiples of the margin's
# change over it and of the change of slope times its width. A parabola dips by an eighth of the
# latter below its chord, a kink by at most a quarter.
_CHANGE, _BEND = 0.5, 1.0
_MOST = 2000  # samples of a segment from which on no interval is halved for safety
_ROUNDING_STEPS = 8  # width of an interval, in units of the last place of t, that is not halved
_NARROWEST = 1e-9


@dataclass(frozen=True)
class SampledSegment:
    """Samples of one segment, up to its end or its first exit, on the CPU."""

    t: Tensor  # (p + 1,) float64, ascending from 0
    logits: Tensor  # (p + 1, L) float64
    least: Tensor  # (p + 1,) float64: least f_label - f_j there
    exit: int | None  # index of the first sample outside the region
    doubt: int | None  # of the lowest one beside which it might leave, with no room for more

    @property
    def inside(self) -> bool | None:
        """Whether it stays in the region, as far as samples tell; None: undecided."""
        if self.exit is not None:
            return False
        return True if self.doubt is None else None

    @property
    def critical(self) -> int | None:
        """Index of the first exit, or of the lowest sample in doubt."""
        return self.doubt if self.exit is None else self.exit

    @property
    def place(self) -> float | None:
        """t of that sample."""
        return None if self.critical is None else float(self.t[self.critical])


def sampled_proofs(
    clf: Classifier,
    starts: Tensor,
    ends: Tensor,
    labels: Tensor,
    *,
    stop: bool = True,
    intervals: int = INTERVALS,
) -> list[SegmentProof]:
    """Look for exits of straight segments from the regions of their labels, by sampling.

    Parameters
    ----------
    clf
        The classifier.
    starts, ends
        ``(n, C, H, W)``, prepared. Equal ones make a segment of one point.
    labels
        ``(n,)``, the class whose region each segment ought to stay in.
    stop
        Whether a segment ends at its first exit; if not, every sample is kept.
    intervals
        Of the even grid to begin with.

    Returns
    -------
    list of SegmentProof
        The first exit lies between ``place`` and the sample before it, found by bisection.
        ``inside`` is None where there is none and a margin comes so near to zero, at ``place``,
        that its sign between the samples remains in doubt.

    Raises
    ------
    ValueError
        If the network's logits are not finite on a segment.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> _ = module[1].weight.data.copy_(torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> a, b = torch.ones(1, 1, 2, 2), -torch.ones(1, 1, 2, 2)
    >>> proof = sampled_proofs(clf, a, b, torch.tensor([0]))[0]
    >>> proof.inside, round(proof.place, 4), proof.other
    (False, 0.5, 1)
    """
    found = samples(clf, starts, ends, labels, stop=stop, intervals=intervals)
    lengths = (ends.double() - starts.double()).flatten(1).norm(dim=1).tolist()
    return [
        proof_of(segment, label, length, clf.class_names)
        for segment, label, length in zip(found, labels.tolist(), lengths, strict=True)
    ]


def samples(
    clf: Classifier,
    starts: Tensor,
    ends: Tensor,
    labels: Tensor,
    *,
    stop: bool = True,
    intervals: int = INTERVALS,
    locate: bool = True,
) -> list[SampledSegment]:
    """The samples themselves; everything as for :func:`sampled_proofs`.

    ``locate=False`` leaves out the bisection, and an exit lies somewhere before its sample.
    """
    sampler = _Sampler(clf, starts.flatten(1), ends.flatten(1), labels.cpu(), stop, locate)
    pending, finished = sampler.even(intervals), []
    while len(pending):
        halved = sampler.intervals_to_halve(pending)
        going = torch.zeros(sampler.count, dtype=torch.bool)
        going[pending.segments[:-1][halved]] = True
        ended = ~going[pending.segments]
        finished.append(pending[ended])
        more = sampler.middles(pending, halved)
        pending = _Known.joined([pending[~ended], more])
    return sampler.split(_Known.joined(finished))


@dataclass(frozen=True)
class _Known:
    """What is known of many segments, ordered by segment and t, on the CPU."""

    segments: Tensor  # (N,) int64
    t: Tensor  # (N,) float64
    logits: Tensor  # (N, L) float64

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, chosen: Tensor) -> _Known:
        return _Known(self.segments[chosen], self.t[chosen], self.logits[chosen])

    @staticmethod
    def joined(parts: Sequence[_Known]) -> _Known:
        segments = torch.cat([part.segments for part in parts])
        t = torch.cat([part.t for part in parts])
        order = t.argsort(stable=True)
        order = order[segments[order].argsort(stable=True)]
        return _Known(segments, t, torch.cat([part.logits for part in parts]))[order]


class _Sampler:
    """Evaluates a classifier on segments, and says where more samples are needed."""

    def __init__(
        self,
        clf: Classifier,
        starts: Tensor,
        ends: Tensor,
        labels: Tensor,
        stop: bool,
        locate: bool,
    ) -> None:
        self.clf, self.starts, self.ends, self.labels = clf, starts, ends, labels
        self.stop, self.locate = stop, locate
        self.count = len(starts)
        self.narrowest = max(_NARROWEST, _ROUNDING_STEPS * torch.finfo(clf.dtype).eps)

    def even(self, intervals: int) -> _Known:
        """Evenly spaced samples of every segment, and one of those that are a single point."""
        long = (self.starts != self.ends).any(1).cpu()
        grid = torch.linspace(0, 1, intervals + 1, dtype=torch.float64)
        number = torch.where(long, len(grid), 1)
        segments = torch.arange(self.count).repeat_interleave(number)
        first = number.cumsum(0) - number
        return self._evaluate(segments, grid[torch.arange(len(segments)) - first[segments]])

    def middles(self, known: _Known, halved: Tensor) -> _Known:
        """Samples in the middle of the intervals, given by the index of their first ends."""
        t = (known.t[:-1] + known.t[1:]) / 2
        return self._evaluate(known.segments[:-1][halved], t[halved])

    def intervals_to_halve(self, known: _Known) -> Tensor:
        """Indices of those that a segment might leave its region in, or where it does."""
        margins = self.margins(known)
        width = known.t.diff()
        within = known.segments[1:] == known.segments[:-1]
        least = margins.amin(1)
        outside = least < 0
        crossed = outside[1:] != outside[:-1]
        both_inside = ~outside[1:] & ~outside[:-1]
        crowded = known.segments.bincount(minlength=self.count)[known.segments[1:]] > _MOST
        wanted = both_inside & ~crowded & self._in_doubt(margins, width, within)
        if self.locate:
            wanted |= crossed
        if self.stop:
            wanted &= ~self._beyond_exit(known, outside)[:-1]
        return (wanted & within & (width > self.narrowest)).nonzero()[:, 0]

    def margins(self, known: _Known) -> Tensor:
        """f_label - f_j ``(N, L)``, infinite for the label itself."""
        own = self.labels[known.segments][:, None]
        return (known.logits.gather(1, own) - known.logits).scatter(1, own, torch.inf)

    def split(self, known: _Known) -> list[SampledSegment]:
        """One a segment, cut off after its first exit where that ends it."""
        margins = self.margins(known)
        doubtful = margins.amin(1) <= 0
        within = known.segments[1:] == known.segments[:-1]
        between = within & self._in_doubt(margins, known.t.diff(), within)
        doubtful[:-1] |= between
        doubtful[1:] |= between
        sizes = known.segments.bincount(minlength=self.count).tolist()
        columns = known.t, known.logits, margins.amin(1), doubtful
        parts = (torch.split(column, sizes) for column in columns)
        return [self._segment(*rows) for rows in zip(*parts, strict=True)]

    def _segment(
        self, t: Tensor, logits: Tensor, least: Tensor, doubtful: Tensor
    ) -> SampledSegment:
        left = _lowest(least < 0, torch.arange(len(t)))
        doubt = _lowest(doubtful, least)
        kept = slice(None) if left is None or not self.stop else slice(left + 1)
        return SampledSegment(
            t[kept].clone(), logits[kept].clone(), least[kept].clone(), left, doubt
        )

    def _in_doubt(self, margins: Tensor, width: Tensor, within: Tensor) -> Tensor:
        """Whether a margin is small beside its change and beside the change of its slope."""
        finite = margins.nan_to_num(posinf=0.0)
        change = torch.where(within[:, None], finite[1:] - finite[:-1], 0.0)
        slope = change / torch.where(within, width, 1.0)[:, None]
        bend = torch.zeros_like(finite)  # at the samples; none is known at a segment's ends
        inner = (within[1:] & within[:-1])[:, None]
        bend[1:-1] = torch.where(inner, (slope[1:] - slope[:-1]).abs(), 0.0)
        bend = torch.maximum(bend[1:], bend[:-1]) * width[:, None]
        lower = torch.minimum(margins[1:], margins[:-1])
        return (lower <= _CHANGE * change.abs() + _BEND * bend).any(1)

    def _beyond_exit(self, known: _Known, outside: Tensor) -> Tensor:
        """Whether a sample is at the first exit of its segment or beyond."""
        first = torch.full((self.count,), torch.inf, dtype=torch.float64)
        first = first.scatter_reduce(0, known.segments[outside], known.t[outside], "amin")
        return known.t >= first[known.segments]

    def _evaluate(self, segments: Tensor, t: Tensor) -> _Known:
        # The images of all samples at once would not fit; those of a chunk do.
        at_once = self.clf.chunk_size * len(self.clf.devices)
        parts = [
            self._logits(rows, places)
            for rows, places in zip(
                torch.split(segments, at_once), torch.split(t, at_once), strict=True
            )
        ]
        logits = torch.cat(parts) if parts else t.new_empty(0, self.clf.n_classes)
        if not bool(torch.isfinite(logits).all()):
            raise ValueError(
                "clf gives NaN or infinite logits on the straight segment between two of the images"
            )
        return _Known(segments, t, logits)

    def _logits(self, segments: Tensor, t: Tensor) -> Tensor:
        if len(t) == 0:  # a network need not take an empty batch
            return torch.zeros(0, self.clf.n_classes, dtype=torch.float64)
        rows = segments.to(self.starts.device)
        share = t.to(self.starts)[:, None]
        images = torch.lerp(self.starts[rows], self.ends[rows], share)  # exact at both ends
        return self.clf.forward(images.reshape(-1, *self.clf.input_shape)).double().cpu()


def _lowest(chosen: Tensor, values: Tensor) -> int | None:
    """Index of the lowest value among those chosen."""
    return int(torch.where(chosen, values, torch.inf).argmin()) if bool(chosen.any()) else None


def proof_of(
    segment: SampledSegment, label: int, length: float, names: tuple[str, ...]
) -> SegmentProof:
    """What the samples of a segment of the given l2 length say, as a result."""
    other = None
    if segment.critical is not None:
        margins = segment.logits[segment.critical, label] - segment.logits[segment.critical]
        margins[label] = torch.inf
        other = int(margins.argmin())
    gaps = segment.t.diff()
    return SegmentProof(
        inside=segment.inside,
        exact=False,
        label=label,
        place=segment.place,
        other=other,
        t=segment.t,
        logits=segment.logits,
        pieces=0,
        least_margin=float(segment.least.min()),
        rounding=0.0,
        spacing=float(gaps.max()) * length if len(gaps) else 0.0,
        length=length,
        class_names=names,
    )
