"""What every figure of curvatures says about how they were measured, and which side is which."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from geoexplorer.figures.text import escaped, number
from geoexplorer.geometry.measurement import Curvature

__all__ = [
    "AXIS_TITLES",
    "at_words",
    "class_name",
    "finding_words",
    "method_name",
    "method_words",
    "network_name",
    "place_words",
    "side_words",
    "sign_words",
    "value_words",
]

# The longest one that fits is taken.
AXIS_TITLES = (
    "curvature κ · 1 / l2 unit of pixel values",
    "κ · 1 / l2 unit of pixel values",
    "κ · 1 / l2 unit",
    "κ",
)
_LEAST_ERROR = 1e-3  # of a value, which is written with three digits
_METHODS = {
    "autograd": "autograd",
    "central_difference": "central differences",
    "smoothed": "smoothed",
    "secant": "secant",
}


def method_words(method: str, step: float) -> str:
    """The method and its step h.

    Examples
    --------
    >>> method_words("autograd", 0.0), method_words("smoothed", 1.0825)
    ('autograd, exact', 'smoothed, h = 1.08')
    """
    name = method_name(method)
    return f"{name}, h = {number(step)}" if step > 0 else f"{name}, exact"


def value_words(value: float, error: float = 0.0) -> str:
    """A curvature and its standard error, if it has one.

    Examples
    --------
    >>> value_words(-1.3604, 0.0312), value_words(-0.0187, 0.035), value_words(0.5)
    ('−1.36 ± 0.03', '−0.02 ± 0.04', '0.5')
    """
    if not math.isfinite(value):
        return "not known"
    if not error > _LEAST_ERROR * abs(value):
        return number(value)
    digits = max(0, -math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "−")


def method_name(method: str) -> str:
    """The method in words."""
    return _METHODS.get(method, escaped(method))


def network_name(result: Curvature) -> str:
    """The network's name, or nothing where it is not known."""
    return escaped(result.provenance.network)


def place_words(result: Curvature) -> str:
    """Where along r it was measured, to what r was confined, and how nearly it is normal at z."""
    place = at_words(result.at)
    if result.confined:
        place += f", <i>z</i> found within {escaped(result.confined)}"
    known = result.alignment[result.alignment.isfinite()]
    if len(known) == 0:
        return place
    median = " (median)" if len(known) > 1 else ""
    there = "" if result.at == 1 else " at <i>z</i>"
    return f"{place}, alignment{there} {float(known.double().quantile(0.5)):.3f}{median}"


def at_words(at: float) -> str:
    """Where along r it was measured.

    Examples
    --------
    >>> at_words(1.0), at_words(0.8)
    ('at <i>z</i>', 'at <i>x</i> + 0.8 <i>r</i>')
    """
    return "at <i>z</i>" if at == 1 else f"at <i>x</i> + {at:.3g} <i>r</i>"


def side_words(result: Curvature, class_names: Sequence[str] | None) -> str:
    """Which class is own."""
    own = sorted(set(result.own.tolist()))
    other = sorted(set(result.other.tolist()))
    if len(own) != 1:
        return "own: each image's predicted class"
    words = f"own: {class_name(own[0], class_names)}"
    return f"{words}, other: {class_name(other[0], class_names)}" if len(other) == 1 else words


def sign_words(results: Sequence[Curvature], class_names: Sequence[str] | None) -> list[str]:
    """What the two signs mean, in the classes' names where all are of one pair of them."""
    own = {label for result in results for label in result.own.tolist()}
    other = {label for result in results for label in result.other.tolist()}
    first, second = "the own region", "the other region"
    if len(own) == 1 and len(other) == 1:
        first = f"{class_name(own.pop(), class_names)} (own)"
        second = class_name(other.pop(), class_names)
    return [f"positive: {second} bulges into {first}", f"negative: {first} bulges out"]


def finding_words(result: Curvature, asymmetry: torch.Tensor | None = None) -> list[str]:
    """How far the method's numbers can be trusted."""
    words = []
    if result.method == "smoothed" and hasattr(result, "residuals"):
        words.append("found with half of the probes, measured with the other half")
    if result.method == "central_difference" and asymmetry is not None:
        known = asymmetry[asymmetry.isfinite()]
        if len(known):
            share = float(known.double().quantile(0.5))
            median = "median " if len(known) > 1 else ""
            words.append(f"{median}asymmetry ‖G − Gᵀ‖ / ‖G‖ = {number(share, 2)}")
    if not result.progress.complete:
        words.append(f"coarse ({escaped(result.progress.message)})")
    return words


def class_name(label: int, class_names: Sequence[str] | None) -> str:
    """A class's name, or its number without names."""
    if label < 0:
        return "?"
    if class_names is not None and label >= len(class_names):
        raise ValueError(f"class_names must name class {label}, got {len(class_names)} names")
    return str(label) if class_names is None else escaped(class_names[label])
