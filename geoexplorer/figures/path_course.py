"""The class scores along a path as plain arrays, and where another class is ahead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geoexplorer.geometry.certificates import SegmentProof
from geoexplorer.geometry.path_places import anchor_distances, known_logits
from geoexplorer.geometry.paths import RegionPath

__all__ = ["Course", "Outside"]


@dataclass(frozen=True)
class Outside:
    """A stretch on which another class is ahead."""

    start: float  # l2 distance from a
    end: float | None  # None where it is not known to end
    label: int  # the class that overtakes at its start


@dataclass(frozen=True, eq=False)
class Course:
    """Class scores along a path."""

    distances: np.ndarray  # (p,), l2 distance from a, ascending
    logits: np.ndarray  # (p, L); NaN where nothing is known up to the next one
    label: int
    names: tuple[str, ...]
    length: float
    anchors: np.ndarray  # (m,), l2 distances
    exact: bool

    @staticmethod
    def of(path: RegionPath | SegmentProof) -> Course:
        """The course of a path, or of one segment."""
        distances, logits = (values.numpy() for values in known_logits(path))
        if isinstance(path, SegmentProof):
            anchors, exact = np.array([0.0, path.length]), path.exact
        else:
            anchors = anchor_distances(path).numpy()
            exact = all(proof.exact for proof in path.segments)
        return Course(
            distances, logits, path.label, path.class_names, float(anchors[-1]), anchors, exact
        )

    @cached_property
    def margins(self) -> np.ndarray:
        """How far the path's class is ahead of each class, ``(p, L)``; 0 of itself."""
        ahead: np.ndarray = self.logits[:, self.label, None] - self.logits
        return ahead

    @cached_property
    def nearest(self) -> list[int]:
        """The other classes, the one that comes nearest first."""
        if not np.isfinite(self.margins).any():
            return [label for label in range(len(self.names)) if label != self.label]
        least = np.nanmin(self.margins, axis=0)
        return [int(label) for label in np.argsort(least, kind="stable") if label != self.label]

    def at(self, distances: np.ndarray) -> np.ndarray:
        """Logits ``(n, L)`` at distances from a, NaN where they are not known."""
        if len(self.distances) == 0:
            return np.full((len(distances), self.logits.shape[1]), math.nan)
        # The last of several rows at one place: after a gap it is known what comes there.
        after = np.searchsorted(self.distances, distances, side="right").clip(
            1, max(1, len(self.distances) - 1)
        )
        after = np.minimum(after, len(self.distances) - 1)
        before = np.maximum(after - 1, 0)
        start, stop = self.distances[before], self.distances[after]
        span = np.where(stop > start, stop - start, 1.0)
        share = np.where(stop > start, (distances - start) / span, 0.0)[:, None]
        first, second = self.logits[before], self.logits[after]
        # An end is known also where what lies beyond it is not.
        mixed = np.where(share == 0, first, np.where(share == 1, second, 0.0))
        inner = (share != 0) & (share != 1)
        values: np.ndarray = np.where(inner, (1 - share) * first + share * second, mixed)
        beyond = (distances < self.distances[0] - 1e-9) | (distances > self.distances[-1] + 1e-9)
        values[beyond] = math.nan
        return values

    @cached_property
    def outside(self) -> list[Outside]:
        """The stretches on which another class is ahead, in order."""
        ahead = np.delete(self.margins, self.label, axis=1)
        others = [label for label in range(len(self.names)) if label != self.label]
        before, after = ahead[:-1], ahead[1:]
        gap = np.isnan(before).any(axis=1) | np.isnan(after).any(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            place = before / (before - after)
        # On each piece the path's class is ahead from the last entry to the first exit.
        entries = np.where(before >= 0, 0.0, np.where(after >= 0, place, math.inf))
        exits = np.where(after >= 0, 1.0, np.where(before >= 0, place, -math.inf))
        enter, leave = entries.max(axis=1), exits.min(axis=1)
        found: list[Outside] = []
        start: tuple[float, int] | None = None  # of the stretch that goes on

        def finish(end: float | None) -> None:
            nonlocal start
            if start is not None:
                found.append(Outside(start[0], end, start[1]))
            start = None

        for piece in np.flatnonzero(gap | (enter > 0) | (leave < 1)).tolist():
            if gap[piece]:
                finish(None)
                continue
            near, far = self.distances[piece], self.distances[piece + 1]
            if enter[piece] > 0 and start is None:
                start = float(near), others[int(before[piece].argmin())]
            if enter[piece] <= leave[piece]:
                finish(float(near + enter[piece] * (far - near)))
                if leave[piece] < 1:
                    overtaking = others[int(exits[piece].argmin())]
                    start = float(near + leave[piece] * (far - near)), overtaking
        finish(None)
        return found
