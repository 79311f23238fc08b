"""Two sentences and a formula for every term, behind a question mark beside it."""

from __future__ import annotations

import itertools
from html import escape

__all__ = ["TERMS", "help_button", "term"]

# term -> (two sentences, formula)
TERMS = {
    "across": (
        "The direction that runs from left to right in the map, as a unit vector in the space of "
        "all images. The map is flat: it shows the plane that this and the direction “up” span.",
        "p(s, t) = o + s·u + t·v",
    ),
    "up": (
        "The direction that runs upward in the map; its share along “across” is removed, so that "
        "the two are at right angles. One step on either axis is the same distance.",
        "v = (w − ⟨w, u⟩u) / ‖w − ⟨w, u⟩u‖",
    ),
    "distance": (
        "How far two images are apart: the root of the sum of their squared differences over all "
        "pixels and channels. Pixel values run from 0 to 1 unless the classifier says otherwise.",
        "‖a − b‖ = (Σ (aᵢ − bᵢ)²)<sup>½</sup>",
    ),
    "boundary": (
        "Where two classes have the same, highest score. The nearest boundary point is the end of "
        "the smallest change to the image that alters the predicted class.",
        "z = x + r,  F(z) = f<sub>own</sub>(z) − f<sub>other</sub>(z) = 0,  ‖r‖ smallest",
    ),
    "alignment": (
        "How nearly the step from the image to its boundary point is at right angles to the "
        "boundary there. It is 1 at the nearest point of a smooth boundary; a kink may lower it.",
        "−⟨r / ‖r‖, n⟩,  n = ∇F(z) / ‖∇F(z)‖",
    ),
    "scores": (
        "The classifier's outputs as shares of one (softmax). Only this list uses them: the map "
        "and all distances are measured on the outputs themselves, the logits.",
        "exp f<sub>k</sub> / Σ<sub>j</sub> exp f<sub>j</sub>",
    ),
    "own": (
        "The class that the network gives the image x, right or wrong. Its region holds x; every "
        "other region in the map is where the network says something else.",
        "own = argmax<sub>k</sub> f<sub>k</sub>(x)",
    ),
    "window": (
        "The part of the plane that is shown. Drag to move it, scroll or drag a rectangle with "
        "Shift to zoom: the map is computed anew there; a double click goes back to the whole.",
        "[s₀, s₁] × [t₀, t₁]",
    ),
    "shading": (
        "With “margin” the colour is strong far from a boundary and pale near one. What is shown "
        "is the gap between the two highest logits.",
        "f<sub>(1)</sub> − f<sub>(2)</sub> ≥ 0",
    ),
}

_numbers = itertools.count()


def help_button(name: str) -> str:
    """HTML of a question mark that opens what is known about a term; it needs no script.

    Examples
    --------
    >>> "argmax" in help_button("own")
    True
    """
    sentences, formula = TERMS[name]
    target = f"gx-help-{next(_numbers)}"
    return (
        f'<button class="gx-help" type="button" popovertarget="{target}" '
        f'aria-label="what is {escape(name)}?">?</button>'
        f'<span class="gx-help-text" id="{target}" popover><b>{escape(name)}</b><br>'
        f'{sentences}<br><span class="gx-formula">{formula}</span></span>'
    )


def term(text: str, name: str) -> str:
    """HTML of a word with its question mark.

    Examples
    --------
    >>> term("Across", "across").startswith("Across <button")
    True
    """
    return f"{escape(text)} {help_button(name)}"
