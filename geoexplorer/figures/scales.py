"""An axis of curvatures: linear, or one that opens up the neighbourhood of zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoexplorer.figures.text import number

__all__ = ["SCALES", "Scale", "check_scale", "scale_for"]

SCALES = ("linear", "symlog")
_DECADES = 4  # at most, from the linear part to the largest value


@dataclass(frozen=True)
class Scale:
    """Where a curvature stands on its axis.

    With a ``unit`` c it is asinh(κ / c), which is linear below c and logarithmic far above it, on
    both sides of zero.

    Examples
    --------
    >>> Scale(None).place(np.array([0.5])), Scale(0.1).place(np.array([0.0]))
    (array([0.5]), array([0.]))
    """

    unit: float | None

    def place(self, curvatures: Any) -> np.ndarray:
        """Positions on the axis."""
        values = np.asarray(curvatures, dtype=np.float64)
        return values if self.unit is None else np.arcsinh(values / self.unit)

    def value(self, positions: Any) -> np.ndarray:
        """Curvatures at positions on the axis."""
        places = np.asarray(positions, dtype=np.float64)
        return places if self.unit is None else np.sinh(places) * self.unit

    def ticks(self, window: tuple[float, float], least: float) -> dict[str, Any]:
        """Plotly's tick settings, labels ``least`` apart; a linear axis finds its own."""
        if self.unit is None:
            return {"tickmode": "auto", "tickvals": None, "ticktext": None}
        low, high = sorted(window)
        top = max(abs(low), abs(high))
        values = [0.0]
        last = math.inf
        for power in range(math.floor(math.log10(math.sinh(min(top, 700.0)))), -1, -1):
            size = self.unit * 10.0**power
            place = float(self.place(size))
            if place >= least and last - place >= least:
                values, last = [*values, -size, size], place
        shown = [v for v in sorted(values) if low <= float(self.place(v)) <= high]
        return {
            "tickmode": "array",
            "tickvals": self.place(shown).tolist(),
            "ticktext": [number(value) for value in shown],
        }

    @property
    def words(self) -> list[str]:
        """What a reader has to know about the axis."""
        return [] if self.unit is None else [f"κ axis linear up to ±{number(self.unit)}, then log"]


def check_scale(name: str) -> None:
    """Refuse a name that is no scale's.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in SCALES:
        accepted = ", ".join(map(repr, SCALES))
        raise ValueError(f"axis must be one of {accepted}, got {name!r}")


def scale_for(name: str, curvatures: np.ndarray) -> Scale:
    """The scale of that name for these values.

    The linear part of ``"symlog"`` ends at the power of ten below the median size, which is where
    most curvatures of a network lie, but not more than four decades below the largest.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> scale_for("symlog", np.array([0.02, -0.03, 4.0])).unit
    0.01
    """
    check_scale(name)
    if name == "linear":
        return Scale(None)
    sizes = np.abs(curvatures[np.isfinite(curvatures)])
    largest = float(sizes.max()) if len(sizes) else 0.0
    if largest == 0.0:
        return Scale(1.0)
    least = max(float(np.median(sizes)), largest / 10**_DECADES)
    return Scale(float(f"1e{math.floor(math.log10(least) + 1e-9)}"))
