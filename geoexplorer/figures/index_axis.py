"""Where the values of a sorted spectrum stand on the horizontal axis of its profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoexplorer.figures.text import round_step, text_width
from geoexplorer.geometry.curvature import PrincipalCurvatures

__all__ = ["INDICES", "IndexAxis", "Placed", "Spectrum"]

INDICES = ("linear", "log")
_GAP = 0.12  # of the width of both ends together
_TITLES = {
    "index": ("index, the most positive curvature first", "index, most positive first", "index"),
    "share": ("share of the spectrum, the most positive curvatures first",
              "share of the spectrum"),
}  # fmt: skip


@dataclass(frozen=True)
class Spectrum:
    """Which values of a descending spectrum are known: so many at its upper and its lower end."""

    total: int
    upper: int
    lower: int

    @staticmethod
    def of(result: PrincipalCurvatures) -> Spectrum:
        """All principal curvatures, or as many at either end."""
        count = result.values.shape[1]
        return Spectrum(result.dimension - 1, count // 2, count - count // 2)

    @property
    def complete(self) -> bool:
        """Whether all values are known."""
        return self.upper + self.lower == self.total


@dataclass(frozen=True)
class Placed:
    """The values of a result that are shown."""

    columns: np.ndarray  # (k,) of ``values``
    indices: np.ndarray  # (k,) from 1 to the length of the spectrum
    x: np.ndarray  # (k,)
    cut: int  # so many come before the gap; all of them without one


@dataclass(frozen=True)
class IndexAxis:
    """The horizontal axis of a profile of one or several spectra.

    With ``ends`` only so many values at both ends are shown, with a gap between. Without, the
    index is linear, or logarithmic from both ends (the logit of its share of the spectrum).
    Spectra of different length are shown against that share.
    """

    totals: tuple[int, ...]  # length of each
    ends: tuple[int, int] | None  # values at the upper and at the lower end
    index: str

    @staticmethod
    def of(spectra: Sequence[Spectrum], ends: int | None, index: str) -> IndexAxis:
        """The axis that suits all the spectra.

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
        totals = tuple(spectrum.total for spectrum in spectra)
        pairs = [] if ends is None else [(ends, ends)]
        if ends is not None or index == "linear":
            pairs += [(part.upper, part.lower) for part in spectra if not part.complete]
        if not pairs or sum(map(min, zip(*pairs, strict=True))) >= min(totals):
            return IndexAxis(totals, None, index)
        upper, lower = map(min, zip(*pairs, strict=True))
        return IndexAxis(totals, (upper, lower), index)

    @property
    def shared(self) -> bool:
        """Whether all spectra are of the same length."""
        return len(set(self.totals)) == 1

    def placed(self, spectrum: Spectrum) -> Placed:
        """Which values of a spectrum are shown, and where."""
        total, count = spectrum.total, spectrum.upper + spectrum.lower
        columns = np.arange(count)
        indices = np.where(columns < spectrum.upper, columns + 1, columns + 1 + total - count)
        if self.ends is None:
            cut = count if spectrum.complete else spectrum.upper
            return Placed(columns, indices, self._everywhere(indices, total), cut)
        upper, lower = self.ends
        kept = (indices <= upper) | (indices > total - lower)
        columns, indices = columns[kept], indices[kept]
        last = indices - total + upper + lower + self.gap
        return Placed(columns, indices, np.where(indices <= upper, indices, last), upper)

    def column_at(self, spectrum: Spectrum, x: float) -> int | None:
        """The value nearest to a place on the axis; None in the gap between the ends."""
        place = self.placed(spectrum)
        if self.ends is not None and self.ends[0] + 0.75 < x < self.ends[0] + self.gap + 0.25:
            return None
        return int(place.columns[np.abs(place.x - x).argmin()])

    @property
    def gap(self) -> int:
        """Width of the gap between the two ends, in indices."""
        if self.ends is None or 0 in self.ends:
            return 0
        return max(2, round(_GAP * sum(self.ends)))

    @property
    def middle(self) -> float:
        """Where the values between the two ends would stand."""
        return 0.0 if self.ends is None else self.ends[0] + (self.gap + 1) / 2

    @property
    def window(self) -> tuple[float, float]:
        """Ends of the axis."""
        if self.ends is not None:
            low, high = 1.0, float(sum(self.ends) + self.gap)
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
        upper, lower = self.ends or (1, 1)
        inward, other = _inward(upper, least), _inward(lower, least)
        # Both innermost labels stand beside the gap, and beside each other.
        if inward and other:
            room = self.gap + 1 + (upper - inward[-1]) + (lower - other[-1])
            other = other if room >= least or len(other) == 1 else other[:-1]
        high, total = upper + lower + self.gap + 1, self.totals[0]
        first = [(float(n), f"{n:,}") for n in inward]
        named = [f"{total + 1 - n:,}" if self.shared else _from_end(n) for n in other]
        if self.gap:
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


def _inward(count: int, least: float) -> list[int]:
    """The first of so many values and round ones after it, at least so far from each other."""
    if count == 0:
        return []
    step = max(1, int(round_step(count, count / least))) if least < count else count
    return [1, *(n for n in range(step, count + 1, step) if n - 1 >= least)]


def _from_end(index: int) -> str:
    return f"<i>d</i>−{index}"
