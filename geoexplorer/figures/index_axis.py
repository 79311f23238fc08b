"""Where the values of a sorted spectrum stand on the horizontal axis of its profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoexplorer.figures.text import round_step, text_width
from geoexplorer.geometry.curvature import PrincipalCurvatures

__all__ = ["INDICES", "IndexAxis", "Placed"]

INDICES = ("linear", "log")
_GAP = 0.12  # of the width of both ends together
_TITLES = {
    "index": ("index, the most positive curvature first", "index, most positive first", "index"),
    "share": ("share of the spectrum, the most positive curvatures first",
              "share of the spectrum"),
}  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """The values of a result that are shown."""

    columns: np.ndarray  # (k,) of ``values``
    indices: np.ndarray  # (k,) from 1 to d - 1
    x: np.ndarray  # (k,)
    cut: int  # so many come before the gap; all of them without one


@dataclass(frozen=True)
class IndexAxis:
    """The horizontal axis of a profile of one or several spectra.

    With ``ends`` only so many values at both ends are shown, with a gap between. Without, the
    index is linear, or logarithmic from both ends (the logit of its share of the spectrum).
    Spectra of different length are shown against that share.
    """

    totals: tuple[int, ...]  # d - 1 of each
    ends: int | None
    index: str

    @staticmethod
    def of(results: Sequence[PrincipalCurvatures], ends: int | None, index: str) -> IndexAxis:
        """The axis that suits all the results.

        Raises
        ------
        ValueError
            If ``ends`` is not a positive integer, or ``index`` is unknown.
        """
        if index not in INDICES:
            accepted = ", ".join(map(repr, INDICES))
            raise ValueError(f"index must be one of {accepted}, got {index!r}")
        if ends is not None and (isinstance(ends, bool) or not isinstance(ends, int) or ends < 1):
            raise ValueError(f"ends must be a positive integer or None, got {ends!r}")
        totals = tuple(result.dimension - 1 for result in results)
        known = [
            result.values.shape[1] // 2
            for result, total in zip(results, totals, strict=True)
            if result.values.shape[1] < total
        ]
        if known and index == "linear":
            ends = min([*known, *([] if ends is None else [ends])])
        if ends is not None and 2 * ends >= min(totals):
            ends = None
        return IndexAxis(totals, ends, index)

    @property
    def shared(self) -> bool:
        """Whether all spectra are of the same length."""
        return len(set(self.totals)) == 1

    def placed(self, result: PrincipalCurvatures) -> Placed:
        """Which values of a result are shown, and where."""
        total, count = result.dimension - 1, result.values.shape[1]
        columns = np.arange(count)
        indices = columns + 1
        if count < total:
            indices = np.where(columns < count // 2, indices, indices + total - count)
        if self.ends is None:
            cut = count // 2 if count < total else count
            return Placed(columns, indices, self._everywhere(indices, total), cut)
        kept = (indices <= self.ends) | (indices > total - self.ends)
        columns, indices = columns[kept], indices[kept]
        last = indices - total + 2 * self.ends + self.gap
        return Placed(columns, indices, np.where(indices <= self.ends, indices, last), self.ends)

    @property
    def gap(self) -> int:
        """Width of the gap between the two ends, in indices."""
        return 0 if self.ends is None else max(2, round(2 * _GAP * self.ends))

    @property
    def middle(self) -> float:
        """Where the values between the two ends would stand."""
        return 0.0 if self.ends is None else self.ends + (self.gap + 1) / 2

    @property
    def window(self) -> tuple[float, float]:
        """Ends of the axis."""
        if self.ends is not None:
            low, high = 1.0, 2.0 * self.ends + self.gap
        elif self.index == "log" or not self.shared:
            lows, highs = zip(
                *(self._everywhere(np.array([1, n]), n) for n in self.totals), strict=True
            )
            low, high = min(lows), max(highs)
        else:
            low, high = 1.0, float(self.totals[0])
        margin = 0.02 * (high - low) or 0.5
        if self.ends is None and self.index == "linear" and self.shared:
            return 0.5, float(high + margin)  # there is no index 0 to be named
        return float(low - margin), float(high + margin)

    @property
    def titles(self) -> Sequence[str]:
        """Titles, the longest first."""
        return _TITLES["index" if self.shared or self.ends is not None else "share"]

    def ticks(self, width: float, font: float) -> dict[str, Any]:
        """Plotly's tick settings on an axis so many pixels wide."""
        low, high = self.window
        need = text_width(f"{max(self.totals):,}", font) + 1.2 * font
        if self.ends is not None:
            pairs = self._end_ticks(need * (high - low) / width)
        elif self.index == "log":
            pairs = self._log_ticks(need * (high - low) / width)
        else:
            suffix = "" if self.shared else " %"
            return {"tickmode": "auto", "tickvals": None, "ticktext": None,
                    "ticksuffix": suffix, "nticks": max(2, int(width / need))}  # fmt: skip
        return {"tickmode": "array", "tickvals": [at for at, _ in pairs],
                "ticktext": [text for _, text in pairs], "ticksuffix": "",
                "nticks": None}  # fmt: skip

    def _everywhere(self, indices: np.ndarray, total: int) -> np.ndarray:
        share = (indices - 0.5) / total
        if self.index == "log":
            return np.log10(share / (1.0 - share))
        return indices.astype(float) if self.shared else 100.0 * share

    def _end_ticks(self, least: float) -> list[tuple[float, str]]:
        """Of the first and of the last values, at least so far from each other."""
        ends = self.ends or 1
        step = max(1, int(round_step(ends, ends / least))) if least < ends else ends
        inward = [1, *(n for n in range(step, ends + 1, step) if n - 1 >= least)]
        # Both innermost labels stand beside the gap, and beside each other.
        room = self.gap + 1 + 2 * (ends - inward[-1])
        other = inward if room >= least or len(inward) == 1 else inward[:-1]
        high, total = 2 * ends + self.gap + 1, self.totals[0]
        first = [(float(n), f"{n:,}") for n in inward]
        named = [f"{total + 1 - n:,}" if self.shared else _from_end(n) for n in other]
        first.append((self.middle, "⋯"))
        last = [(float(high - n), text) for n, text in zip(other, named, strict=True)]
        return [*first, *last[::-1]]

    def _log_ticks(self, least: float) -> list[tuple[float, str]]:
        low, high = self.window
        if self.shared:
            total = self.totals[0]
            powers = [10**n for n in range(6) if 10**n <= total // 2]
            indices = np.array([*powers, *(total + 1 - n for n in powers[::-1])])
            places = self._everywhere(indices, total)
            texts = [f"{n:,}" for n in indices.tolist()]
        else:
            shares = np.array([0.01, 0.1, 1, 10, 50, 90, 99, 99.9, 99.99])
            places = np.log10(shares / (100 - shares))
            texts = [f"{share:g} %" for share in shares.tolist()]
        pairs: list[tuple[float, str]] = []
        for place, text in zip(places.tolist(), texts, strict=True):
            if low <= place <= high and (not pairs or place - pairs[-1][0] >= least):
                pairs.append((place, text))
        return pairs


def _from_end(index: int) -> str:
    return f"<i>d</i>−{index}"
