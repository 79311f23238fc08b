"""Proofs that a straight segment stays in one region of a piecewise-linear network.

On a piece of a segment on which no unit of the network switches, the network is affine: what holds
at both ends holds in between. So "the whole segment stays in the region" is a statement about
finitely many pieces, whose ends :mod:`geoexplorer.geometry.exact_lines` finds in float64 together
with a bound of what rounding can have changed. A segment is gone through from its start, so that
work ends at the first exit. Where a network is not piecewise linear the segment is sampled, and the
result says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_flag
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.exact_lines import Corners, TooManyCorners, split_segments
from geoexplorer.geometry.piecewise import Program, agrees, distrust, program_of, why_not
from geoexplorer.geometry.rounding import ROUNDING
from geoexplorer.geometry.sampling import sampled_proofs
from geoexplorer.geometry.segment_proof import SegmentProof
from geoexplorer.jobs import News, Progress
from geoexplorer.results import Recorder, ResultList

__all__ = ["SegmentProof", "proofs_steps", "prove_all", "prove_segment", "prove_segment_steps"]

# Of a segment, the part that is split first.
_FIRST_PART = 1 / 32
# Corners that are worked on together: as many as make so many bytes of the largest result. More
# do not stay in a CPU's caches.
_CPU_BYTES = 12 * 2**20
_GPU_SHARE = 1 / 64  # of the memory allowed
_FEWEST, _MOST = 8, 2**14
_ALLOWED = 4  # times as many, before a part is tried again in halves
_LEAST = 3  # corners, whatever the memory: the ends of a part, and one between
# Where a part as short as this has too many corners it is not split.
_SHORTEST_PART = 2.0**-40
_SHORTER = 1 / 8  # of a part that has too many
# A segment that is foretold to have more pieces is not proven; nothing is foretold from fewer
# corners than these. No time is measured: what is proven must not depend on the machine.
_MOST_PIECES, _LOOK_CORNERS = 500_000, 20
_COMPARED = 3  # corners of each segment at which program and network are compared, beside others


def prove_segment(
    clf: Classifier, a: Tensor, b: Tensor, *, stop: bool = True
) -> SegmentProof | list[SegmentProof]:
    """Prove that the straight segment from a to b stays in the region of a's class, or does not.

    Parameters
    ----------
    clf
        The classifier. If it is made of affine layers, batch normalisation, ReLU-like units, max-
        and average-pooling, sums and concatenations, the answer is a proof; of any other network
        the segment is sampled, and so it is where the first pieces foretell that there are more
        than 500,000: ``reason`` says which.
    a, b
        One image ``(C, H, W)`` each, or as many pairs ``(n, C, H, W)``.
    stop
        Whether to end at the first exit from the region; if not, the whole segment is split.

    Returns
    -------
    SegmentProof or list of SegmentProof
        One for a pair of images, a list for batches. ``inside`` is None where a margin is not
        above the bound of the rounding errors, and there is no exit for sure: at ``place`` the
        answer is undecided. Before an exit for sure there may be such places too. What is proven
        holds for the network's weights in exact arithmetic, if the operations that were seen are
        the network: both are compared with each other, and with the classifier as it is, at the
        ends, where the margin is least, and at some of the corners.

    Raises
    ------
    TypeError, ValueError
        If a or b are not images of the classifier, or not as many of one as of the other.

    Notes
    -----
    Source: own; see :mod:`geoexplorer.geometry.exact_lines`.

    Examples
    --------
    >>> from torch import nn
    >>> layers = [nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2)]
    >>> with torch.no_grad():  # class 0 where |x| < 1, x the first pixel
    ...     layers[1].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    ...     layers[3].weight.copy_(torch.tensor([[-1.0, -1.0], [0.0, 0.0]]))
    ...     layers[3].bias.copy_(torch.tensor([1.0, 0.0]))
    Parameter containing: ...
    >>> clf = Classifier(nn.Sequential(*layers).eval(), input_shape=(1, 1, 2), device="cpu")
    >>> a, b = torch.tensor([[[[-0.5, 0.0]]], [[[0.5, 0.0]]]])
    >>> proof = prove_segment(clf, a, b)
    >>> proof.inside, proof.exact, proof.crossings.tolist(), proof.least_margin
    (True, True, [0.5], 0.5)
    >>> prove_segment(clf, a, 3 * b).place
    0.75
    """
    proofs = jobs.last(prove_segment_steps(clf, a, b, stop=stop))
    return proofs if getattr(a, "ndim", 3) == 4 else proofs[0]


def prove_segment_steps(
    clf: Classifier, a: Tensor, b: Tensor, *, stop: bool = True
) -> Iterator[ResultList[SegmentProof]]:
    """Like :func:`prove_segment`, always a list, with what is known so far.

    What has been gone through of a segment that is not finished is in ``t`` and ``logits``, and its
    ``inside`` is None.
    """
    if not isinstance(clf, Classifier):
        raise TypeError(f"clf must be a Classifier, got {type(clf).__name__}")
    require_flag("stop", stop)
    recorder = Recorder(clf, "prove_segment", stop=stop)
    starts, ends = clf.prepare(a, argument="a"), clf.prepare(b, argument="b")
    if len(starts) != len(ends):
        raise ValueError(
            f"a and b must hold as many images, got {len(starts)} and {len(ends)}; the segments "
            "lead from each image of a to the one of b in the same place"
        )
    # Pixels as they were given: float64 images need not be rounded for a float32 network.
    labels = clf.forward(starts).argmax(1)
    steps = proofs_steps(clf, _exactly(a, clf), _exactly(b, clf), labels, stop=stop)
    return recorder.watch(_recorded(steps, recorder))


def _recorded(
    steps: Iterator[ResultList[SegmentProof]], recorder: Recorder
) -> Iterator[ResultList[SegmentProof]]:
    for proofs in steps:
        provenance = recorder.provenance()
        made = [replace(proof, provenance=provenance) for proof in proofs]
        yield ResultList(made, proofs.progress)


def _exactly(images: Tensor, clf: Classifier) -> Tensor:
    pixels = torch.as_tensor(images).detach().to(device=clf.device, dtype=torch.float64)
    return pixels.reshape(-1, *clf.input_shape)


def proofs_steps(
    clf: Classifier, starts: Tensor, ends: Tensor, labels: Tensor, *, stop: bool = True
) -> Iterator[ResultList[SegmentProof]]:
    """Proofs for segments ``(n, C, H, W)`` and the classes ``(n,)`` they ought to stay in.

    Nothing is checked, and nothing is said of how they were made.
    """
    program = program_of(clf)
    if isinstance(program, Program):
        walks = [
            _Walk(start, end, int(label), stop)
            for start, end, label in zip(starts.double(), ends.double(), labels, strict=True)
        ]
        yield from _walked(clf, program, walks)
        finished = [walk for walk in walks if walk.finished]
        if not finished or _all_agree(clf, program, finished):
            proofs = [walk.proof(clf) for walk in walks]
            rows = [row for row, walk in enumerate(walks) if not walk.finished]
            if rows:
                found = sampled_proofs(clf, starts[rows], ends[rows], labels[rows], stop=stop)
                for row, proof in zip(rows, found, strict=True):
                    proofs[row] = replace(proof, reason=walks[row].too_long)
            yield ResultList(proofs, Progress())
            return
        distrust(clf)
    reason = why_not(clf)
    found = sampled_proofs(clf, starts, ends, labels, stop=stop)
    yield ResultList([replace(proof, reason=reason) for proof in found], Progress())


def _all_agree(clf: Classifier, program: Program, walks: list[_Walk]) -> bool:
    """Whether the program is the network at some corners of each segment."""
    places = [(walk, t) for walk in walks for t in walk.compared()]
    images = torch.stack([walk.point(t) for walk, t in places])
    rounding = torch.tensor([walk.rounding for walk, _ in places], dtype=torch.float64)
    return agrees(clf, program, images, rounding)


def _walked(
    clf: Classifier, program: Program, walks: list[_Walk]
) -> Iterator[ResultList[SegmentProof]]:
    """Go through all segments that have not too many pieces, yielding what is known on the way."""
    (at_once, allowed), news = _corners_together(clf, program), News()
    while left := [walk for walk in walks if not walk.finished and walk.too_long is None]:
        _go_on(clf, program, left, at_once, allowed)
        share = sum(walk.share for walk in walks) / len(walks)
        if share < 1.0 and news.due(share):
            done = sum(walk.finished for walk in walks)
            progress = Progress(share, f"proving, {done} of {len(walks)} segments")
            yield ResultList([walk.proof(clf) for walk in walks], progress)


def prove_all(
    clf: Classifier, starts: Tensor, ends: Tensor, labels: Tensor, *, stop: bool = True
) -> list[SegmentProof]:
    """The last of :func:`proofs_steps`."""
    return jobs.last(proofs_steps(clf, starts, ends, labels, stop=stop))


def _corners_together(clf: Classifier, program: Program) -> tuple[int, int]:
    """Corners to aim at in a part, and how many are allowed."""
    gpu = clf.device.type == "cuda"
    memory = clf.memory * _GPU_SHARE if gpu else _CPU_BYTES
    wanted = int(min(_MOST, max(_FEWEST, memory // (8 * program.largest))))
    fitting = program.fitting(clf.memory)
    return max(_LEAST, min(wanted, fitting)), max(_LEAST, min(_ALLOWED * wanted, fitting))


def _go_on(
    clf: Classifier, program: Program, walks: list[_Walk], at_once: int, allowed: int
) -> None:
    """Go on by one part on as many of the segments as fit together."""
    together, corners = [walks[0]], walks[0].expected(at_once)
    for walk in walks[1:]:
        corners += walk.expected(at_once)
        if corners > at_once:
            break
        together.append(walk)
    starts, ends = (torch.stack(points) for points in zip(*map(_part, together), strict=True))
    sizes = torch.stack([walk.size for walk in together])
    alone = len(together) == 1
    most = None if alone and walks[0].width <= _SHORTEST_PART else allowed
    found = None
    try:
        found = split_segments(program, starts, ends, sizes, most)
    except TooManyCorners:
        pass
    except torch.OutOfMemoryError:
        if most is None:
            raise
    if found is None:  # behind the handlers, which hold on to the memory that was short
        if clf.device.type == "cuda":
            torch.cuda.empty_cache()
        if alone:
            walks[0].width *= _SHORTER
        _go_on(clf, program, together[: (len(together) + 1) // 2], at_once, allowed)
        return
    clf.count(forwards=len(found.t))
    for index, walk in enumerate(together):
        walk.take(_of_segment(found, index), at_once)


def _part(walk: _Walk) -> tuple[Tensor, Tensor]:
    return walk.point(walk.reached), walk.point(walk.reached + walk.width)


def _of_segment(corners: Corners, index: int) -> Corners:
    own = corners.segments == index
    return Corners(
        corners.t[own].cpu(),
        corners.segments[own].cpu(),
        corners.logits[own].cpu(),
        corners.errors[index : index + 1].cpu(),
    )


@dataclass
class _Walk:
    """One segment, as far as it has been gone through."""

    start: Tensor  # (C, H, W) float64
    end: Tensor
    label: int
    stop: bool

    def __post_init__(self) -> None:
        self.size = torch.maximum(self.start.abs(), self.end.abs())
        self.reached, self.width = 0.0, _FIRST_PART
        self.rounding = 0.0
        self.least, self.lowest = math.inf, 0.0  # the least margin, and where it is
        self.exit: tuple[float, int] | None = None  # place and class
        self.doubt: tuple[float, int] | None = None  # where the margin is least
        self._doubtful = math.inf
        self._density: float | None = None  # corners a unit of t
        self.corners = 0  # that are known
        self._t: list[Tensor] = []
        self._logits: list[Tensor] = []

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to find out."""
        return self.reached >= 1.0 or (self.stop and self.exit is not None)

    @property
    def share(self) -> float:
        """Of the work that is done."""
        return 1.0 if self.finished or self.too_long is not None else self.reached

    @property
    def too_long(self) -> str | None:
        """Why it is not gone through to its end, if it is not."""
        if self.finished or self.corners < _LOOK_CORNERS:
            return None
        foretold = self.corners / self.reached  # if there are as many everywhere
        if foretold <= _MOST_PIECES:
            return None
        return (
            f"the segment has about {foretold:,.0f} pieces, of which the first {self.corners} were "
            f"gone through; at most {_MOST_PIECES:,} are"
        )

    def compared(self) -> list[float]:
        """Places at which it is to be compared with the network: ends, corners, the lowest one."""
        t = torch.cat(self._t)
        some = torch.linspace(0, len(t) - 1, _COMPARED + 2).round().to(torch.int64)
        critical = self.exit or self.doubt
        places = [*t[some].tolist(), self.lowest, *([] if critical is None else critical[:1])]
        return sorted(set(places))

    def point(self, t: float) -> Tensor:
        """The place t on it; both ends are as they were given."""
        return torch.lerp(self.start, self.end, t)

    def expected(self, at_once: int) -> float:
        """Corners of the next part, roughly."""
        return at_once if self._density is None else self._density * self.width

    def take(self, corners: Corners, at_once: int) -> None:
        """Take in the next part, and choose how long the one after it is."""
        t = self.reached + self.width * corners.t
        # The ends of a part lie on the segment but for their own rounding.
        margins = corners.logits[:, self.label, None] - corners.logits
        errors = corners.errors + corners.errors[:, self.label, None]
        errors = errors + 2 * ROUNDING * corners.logits.abs().amax()
        unknown = ~margins.isfinite()  # numbers were too large for float64
        margins = torch.where(unknown, -math.inf, margins)
        errors = torch.where(unknown, math.inf, errors.nan_to_num(math.inf))
        margins[:, self.label], errors[:, self.label] = math.inf, 0.0
        last = self._judge(t, margins, errors)
        self._join(t[: last + 1], corners.logits[: last + 1])
        low, place = margins[: last + 1].amin(1).min(0)
        if float(low) < self.least:
            self.least, self.lowest = float(low), float(t[place])
        self.rounding = max(self.rounding, float(errors.max()))
        self._density = len(t) / self.width
        self.reached = min(1.0, self.reached + self.width)
        left = 1.0 - self.reached
        self.width = min(at_once / self._density, left)
        if left - self.width < self.width / 2:  # no small rest
            self.width = left

    def _judge(self, t: Tensor, margins: Tensor, errors: Tensor) -> int:
        """Look for an exit and for doubts; the last corner to be kept."""
        inside, outside = (margins > errors).all(1), (margins < -errors).any(1)
        first = int(outside.nonzero()[0, 0]) if bool(outside.any()) else len(t)
        lowest = margins.amin(1)
        doubtful = torch.where(inside | outside, math.inf, lowest)[:first]
        if len(doubtful) and float(doubtful.min()) < self._doubtful:
            place = int(doubtful.argmin())
            self._doubtful = float(doubtful[place])
            self.doubt = float(t[place]), int(margins[place].argmin())
        if first == len(t) or self.exit is not None:
            return len(t) - 1
        before = max(first - 1, 0)
        start, end = margins[before], margins[first]
        crossed = (end < 0) & end.isfinite()
        shares = torch.where(crossed, (start / (start - end)).nan_to_num(1.0), math.inf)
        other = int(shares.argmin())
        share = min(max(float(shares[other]), 0.0), 1.0) if first else 0.0
        self.exit = float(torch.lerp(t[before], t[first], share)), other
        return first if self.stop else len(t) - 1

    def _join(self, t: Tensor, logits: Tensor) -> None:
        """Append corners; the one where two parts meet stays only if a unit switches there."""
        if self._t:
            t, logits = t[1:], logits[1:]
            if len(t) and not self._bends(t[0], logits[0]):
                self._t[-1], self._logits[-1] = self._t[-1][:-1], self._logits[-1][:-1]
                self.corners -= 1
        self._t.append(t)
        self._logits.append(logits)
        self.corners += len(t)

    def _bends(self, t: Tensor, logits: Tensor) -> bool:
        known = [(a, b) for a, b in zip(self._t, self._logits, strict=True) if len(a)]
        places = torch.cat([a for a, _ in known[-2:]])[-2:]
        values = torch.cat([b for _, b in known[-2:]])[-2:]
        if len(places) < 2:
            return True
        share = (places[1] - places[0]) / (t - places[0])
        chord = torch.lerp(values[0], logits, share)
        return bool(((chord - values[1]).abs() > self._chord_errors(values, logits)).any())

    def _chord_errors(self, values: Tensor, logits: Tensor) -> Tensor:
        return _STRAIGHT * ROUNDING * (1 + values.abs().amax() + logits.abs().amax())

    def proof(self, clf: Classifier) -> SegmentProof:
        """What is known of the segment."""
        critical = self.exit or self.doubt
        inside = None
        if self.exit is not None:
            inside = False
        elif self.doubt is None and self.finished:
            inside = True
        t = torch.cat(self._t) if self._t else torch.zeros(0, dtype=torch.float64)
        logits = (
            torch.cat(self._logits)
            if self._logits
            else torch.zeros(0, clf.n_classes, dtype=torch.float64)
        )
        t, logits = _ascending(t, logits)
        return SegmentProof(
            inside=inside,
            exact=True,
            label=self.label,
            place=None if critical is None else critical[0],
            other=None if critical is None else critical[1],
            t=t,
            logits=logits,
            pieces=max(len(t) - 1, 0),
            least_margin=self.least,
            rounding=self.rounding,
            spacing=None,
            length=float((self.end - self.start).norm()),
            class_names=clf.class_names,
            progress=Progress() if self.finished else Progress(self.share, "proving"),
        )


def _ascending(t: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Of corners that fall on one number t the last, and at 0 the first."""
    kept = torch.ones_like(t, dtype=torch.bool)
    t = t.cummax(0).values if len(t) else t
    kept[:-1] = t[1:] > t[:-1]
    kept &= t > t[:1]
    kept[:1] = True
    return t[kept], logits[kept]


# A joint of two parts bends if it lies off the chord of its neighbours by so many roundings.
_STRAIGHT = 4096.0
