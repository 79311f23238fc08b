"""What every figure of detection says."""

from __future__ import annotations

from geoexplorer.figures.result_words import counted
from geoexplorer.figures.text import number
from geoexplorer.geometry.detection import Detection
from geoexplorer.geometry.detection_roc import DetectionROC

__all__ = ["CAUTION", "SCORE_TITLES", "alpha_words", "measured_words"]

CAUTION = "an observation about geometry, not a defence"
SCORE_TITLES = (
    "score: mean curvature of the level sets · 1 / l2 unit",
    "score · 1 / l2 unit",
    "score",
)


def measured_words(found: Detection | DetectionROC) -> list[str]:
    """Probes and step."""
    return [counted(found.probes, "probe"), f"<i>h</i> = {number(found.step)}"]


def alpha_words(alpha: float) -> str:
    """The scale of a perturbation."""
    return f"α = {number(alpha)}"
