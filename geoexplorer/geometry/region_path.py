"""What is known of a path that is to stay in one region."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from geoexplorer.geometry.segment_proof import SegmentProof
from geoexplorer.results import Result

__all__ = ["RegionPath"]


@dataclass(frozen=True, eq=False, repr=False)
class RegionPath(Result):
    """A polyline between two images of one class, and whether it stays in the class's region.

    Segment k leads from anchor k to anchor k + 1. Where no path was found, ``connected`` is False
    and ``segments`` are those of the last attempt.
    """

    anchors: Tensor  # (m, C, H, W), the first is a and the last is b, to the last digit
    label: int  # the class of all of them
    connected: bool
    proof: str | None  # "exact", "sampled", or None where not connected
    spacing: float | None  # largest l2 distance between samples, where sampled
    length: float
    straightness: float  # length / ‖a - b‖; 1 for the straight segment
    least_margin: float  # least f_label - f_j on the path
    segments: tuple[SegmentProof, ...]  # (m - 1)
    straight: SegmentProof  # the straight segment from a to b
    failed: Tensor | None  # (C, H, W), where not connected: outside the region, or undecided there
    class_names: tuple[str, ...]
