"""Two sentences and a formula for every term, behind a question mark beside it."""

from __future__ import annotations

import itertools
from html import escape

__all__ = ["TERMS", "help_button", "term"]

# term -> (two sentences, formula)
TERMS = {
    # The kinds of axes. Each is a unit vector; what is along Up has no share of Across.
    "nearest boundary": (
        "From the image x to the nearest point z at which the predicted class changes. Both lie "
        "on this axis, a distance of ‖r‖ apart.",
        "u = r / ‖r‖,  z = x + r",
    ),
    "normal": (
        "At right angles to the boundary at z, out of the own region. The map then goes through "
        "z, and x is marked where it projects onto it.",
        "u = −n,  n = ∇F(z) / ‖∇F(z)‖",
    ),
    "toward a class": (
        "From the image x to the nearest boundary between its own class and the chosen one. The "
        "runner-up is the class with the next highest score.",
        "u = r<sub>k</sub> / ‖r<sub>k</sub>‖,  f<sub>own</sub>(x + r<sub>k</sub>) = "
        "f<sub>k</sub>(x + r<sub>k</sub>)",
    ),
    "toward an image": (
        "Straight from the image x to another one, at first the nearest of the class across the "
        "boundary. Choose another by pressing the button and clicking it in the gallery.",
        "u = (y − x) / ‖y − x‖",
    ),
    "random tangent": (
        "A random direction along the boundary at z, each as likely as any other. The number is "
        "the seed it is drawn from; ⟳ draws another.",
        "v = w − ⟨w, n⟩n,  w ~ N(0, I)",
    ),
    "loss gradient": (
        "The direction in which the cross-entropy of the predicted class grows fastest at x. A "
        "single step along it is the simplest adversarial attack.",
        "u = ∇ℓ(x) / ‖∇ℓ(x)‖",
    ),
    "DCT frequency": (
        "A wave over the whole image: a product of two cosines with as many half periods down "
        "(row) and across (column). Small numbers are coarse patterns.",
        "cos(πi(y + ½)/H) · cos(πj(x + ½)/W)",
    ),
    "principal component": (
        "A direction in which the images of this set differ most. Number 1 is the strongest, and "
        "each further one is at right angles to those before.",
        "Cov(x) u<sub>k</sub> = λ<sub>k</sub> u<sub>k</sub>,  λ₁ ≥ λ₂ ≥ …",
    ),
    "saved direction": (
        "A direction that was kept: click a place in the map and press “Keep direction”. It is "
        "the one from x to that place.",
        "u = (p − x) / ‖p − x‖",
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
    >>> term("predicted", "own").startswith("predicted <button")
    True
    """
    return f"{escape(text)} {help_button(name)}"
