"""The step h as it is chosen, and its slider: in quarters of octaves, over the authors' step."""

from __future__ import annotations

import math
from typing import Any

import ipywidgets
import traitlets

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.operators import default_step

__all__ = ["EXPONENTS", "StepFactor", "StepSlider", "chosen_step"]

EXPONENTS = -6.0, 2.0  # of 2: the smallest and the largest step, in the authors'
_PER_OCTAVE = 4
_DIGITS = 4  # of a step


class StepSlider(ipywidgets.FloatLogSlider):
    """A slider that only ever holds a place at which its handle can stand.

    In the page the handle snaps to the nearest such place and writes that back, be it a person or
    the program who has moved it: a value in between would come back as a choice that nobody made.

    Examples
    --------
    >>> slider = StepSlider()
    >>> slider.value = 0.1
    >>> round(slider.value, 3)
    0.105
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            value=1.0, base=2, min=EXPONENTS[0], max=EXPONENTS[1], step=1 / _PER_OCTAVE,
            readout=False, tooltip="The step h, from 1/64 to 4 times the authors'", **options,
        )  # fmt: skip

    @traitlets.validate("value")
    def _validate_value(self, proposal: Any) -> float:
        least, most = EXPONENTS
        exponent = math.log2(max(proposal["value"], 2.0**least))
        return 2.0 ** min(round(_PER_OCTAVE * exponent) / _PER_OCTAVE, most)


class StepFactor(traitlets.TraitType[Any, Any]):
    """The step h over the authors', or None for the one that suits the method."""

    info_text = "None or a number from 1/64 to 4"
    allow_none = True
    default_value = None

    def validate(self, obj: Any, value: Any) -> float:
        """A float within the limits."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        least, most = (2.0**exponent for exponent in EXPONENTS)
        if not number or not least <= value <= most:
            self.error(obj, value)
        return float(value)


def chosen_step(clf: Classifier, factor: float) -> float:
    """The step h that is so many times the authors', in as many digits as are shown."""
    return float(f"{factor * default_step(clf):.{_DIGITS}g}")
