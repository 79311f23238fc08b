"""What is known of a straight segment: whether it stays in one region, and how surely."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from geoexplorer.results import Result

__all__ = ["SegmentProof"]


@dataclass(frozen=True, eq=False, repr=False)
class SegmentProof(Result):
    """Whether the straight segment from a to b stays in the region of a's class.

    Places on it are numbers t: 0 is a, 1 is b. Up to its end or the first exit, the logits are
    known at ``t``; where ``exact``, they are affine between two neighbours, up to ``rounding``.
    Corners that float64 cannot tell apart are one in ``t``; their margins are all judged.

    What can be proven about is a network each of whose operations is an affine one (linear layers,
    zero-padded convolutions, batch normalisation, average-pooling, sums, differences, products with
    constants, reshaping, concatenation), a unit with kinks (ReLU, leaky ReLU, PReLU, hard tanh and
    the like, absolute values, clamping) or a maximum (max-pooling, ``torch.maximum``, ``amax``).
    Any other one stops the proof, though it may be piecewise linear; ``reason`` names it, and the
    segment is sampled.
    """

    inside: bool | None  # None: undecided, a margin is not above what rounding can change
    exact: bool  # proven in float64; if not, sampled
    label: int  # the class at a
    place: float | None  # t of the first exit for sure, or of the place where it is undecided
    other: int | None  # the class met there
    t: Tensor  # (p + 1,) float64, strictly ascending from 0: ends of the pieces, or the samples
    logits: Tensor  # (p + 1, L) float64, at these
    pieces: int  # p affine pieces; 0 where it is sampled
    least_margin: float  # least f_label - f_j at any corner or sample; -inf where none is finite
    rounding: float  # bound of the error of the margins; 0 where it is sampled
    spacing: float | None  # largest l2 distance between two samples; None where it is exact
    length: float  # ‖b - a‖
    class_names: tuple[str, ...]
    reason: str | None = None  # what stood against a proof; None where exact, or not asked for one

    @property
    def crossings(self) -> Tensor:
        """t ``(p - 1,)`` at which a unit of the network switches; empty where it is sampled."""
        return self.t[1:-1] if self.exact else self.t[:0]
