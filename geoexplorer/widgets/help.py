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
    "principal direction": (
        "A direction along the boundary in which it bends most: “most positive 1” where the other "
        "region bulges in most, “most negative 1” where the own one bulges out most. The κ in its "
        "name is the curvature along it.",
        "G v<sub>i</sub> = κ<sub>i</sub> v<sub>i</sub>,  κ₁ ≥ κ₂ ≥ … ≥ κ<sub>d−1</sub>",
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
    "principal curvature": (
        "How strongly the boundary bends at z, in each of d − 1 directions at right angles to each "
        "other. They are the eigenvalues of the shape operator G; 1/|κ| is the radius of the "
        "circle that fits.",
        "G = P H P / ‖∇F‖,  P = I − n nᵀ,  H = ∇²F(z)",
    ),
    "normal curvature": (
        "How strongly the boundary bends along one direction v: near z it is the parabola that is "
        "drawn over the map. Positive where the other region bulges in, negative where the own one "
        "bulges out; a ball of radius R has −1/R.",
        "κ(v) = vᵀ H v / ‖∇F‖,  z + s v − ½ κ s² n",
    ),
    "method": (
        "“autograd” is exact, for networks without kinks such as ReLU or max-pooling; “central "
        "differences” compares gradients at z ± h v, as the authors' code does; “smoothed” "
        "averages F over Gaussian noise first, and so is sound where there are kinks. “auto” takes "
        "autograd without kinks and smoothed with them.",
        "Hv ≈ (∇F(z + hv) − ∇F(z − hv)) / 2h,  H<sub>σ</sub> = ∇²(F ∗ N(0, σ²)),  σ = h/√d",
    ),
    "step h": (
        "The scale at which curvature is measured: the l2 length of the displacement from z. With "
        "kinks the answer depends on it, as “κ against h” shows.",
        "h = 10 √d (hi − lo) / 512",
    ),
    "limit": (
        "No nearest boundary point has a curvature below this line, or a nearer one would exist. "
        "It binds the curvature at z itself: at DeepFool's points, at a step h, or where r is "
        "confined to the bounds or a subspace, values may lie below.",
        "κ ≥ −1 / ‖r‖",
    ),
    "asymmetry": (
        "How far the measured matrix is from a symmetric one, as a share of its size: 0 for a "
        "smooth function. Where it is large, its eigenvalues are not curvatures in the strict "
        "sense.",
        "‖G − Gᵀ‖ / ‖G‖",
    ),
    "agreement": (
        "The direction was found with some random probes and its value measured with others, so "
        "that noise does not inflate it. The two differ by this share of the largest value at this "
        "end of the spectrum; what stands behind ± is the error of κ along this very direction.",
        "|κ′ − κ| / max |κ<sub>i</sub>|",
    ),
    "residual": (
        "How far the direction is from being an eigenvector of G, as a share of the largest "
        "curvature. It is 0 for an exact one; above a few thousandths do not trust the last "
        "digits.",
        "‖G v − κ v‖ / max |κ<sub>i</sub>|",
    ),
    "point": (
        "Where it is measured: at the nearest boundary point, or at the one that DeepFool's search "
        "ends in, as in the paper. With kinks the nearest point tends to lie in a crease where the "
        "other region pokes in, so that positive curvature is found there by selection.",
        "z = x + r",
    ),
    "average": (
        "The curvatures of the first images of the set at their own boundary points, averaged rank "
        "by rank. The band holds the middle 80 % of the images.",
        "κ̄<sub>i</sub> = (1/n) Σ κ<sub>i</sub>(z<sub>j</sub>)",
    ),
    "path": (
        "A chain of straight segments from the image to another one, all inside the region of one "
        "class: first the straight segment, else it is bent at a midpoint that is moved into the "
        "region, and so on for both halves. An image of another class, or a random point, is first "
        "perturbed into the region.",
        "p₀ = a, p₁, …, p<sub>m</sub> = b,  argmax f = own on every [p<sub>k</sub>, "
        "p<sub>k+1</sub>]",
    ),
    "straightness": (
        "How much longer the path is than the straight line between its ends. 1 is the straight "
        "segment itself; the paper found that hardly more is ever needed.",
        "Σ ‖p<sub>k+1</sub> − p<sub>k</sub>‖ / ‖b − a‖",
    ),
    "proven": (
        "A network of ReLUs and max-pooling is affine on finitely many pieces of a segment, so "
        "what holds at their ends holds in between: the path never leaves its region, up to a "
        "rounding error that is stated. On other networks segments are sampled, and what lies "
        "between two samples is not known.",
        "f<sub>own</sub> − f<sub>j</sub> > rounding at all ends of pieces, for all j",
    ),
    "sampled": (
        "The network was evaluated at places so far apart, and none of them lies outside. It is no "
        "proof: a sliver of another class between two samples is not seen.",
        "argmax f(a + t (b − a)) = own at every t = k δ / ‖b − a‖",
    ),
    "anchors": (
        "The corners of the path, both ends included. The fewer, the nearer the region is to being "
        "convex between the two images.",
        "p₀, p₁, …, p<sub>m</sub>",
    ),
    "effort": (
        "How long a path is looked for. “accurate” bends it more often, tries more ways round, and "
        "shortens it more.",
        "levels of halving, ways round, rounds of shortening",
    ),
    "random point": (
        "A point drawn at random from the sphere of all points as long as a typical image, to the "
        "eye noise; the number is the seed, and ⟳ draws another. It is perturbed into the region "
        "and then connected, as in the paper.",
        "w / ‖w‖ · mean ‖x‖,  w ~ N(0, I)",
    ),
    "shared direction": (
        "A direction along which the boundary is curved for many images at once: an eigenvector of "
        "the mean of their shape operators. Its value is the mean curvature along it; 1 is the "
        "most positive, −1 the most negative one.",
        "Ḡ u<sub>i</sub> = κ̄<sub>i</sub> u<sub>i</sub>,  Ḡ = (1/N) Σ G(z<sub>j</sub>)",
    ),
    "relative curvature": (
        "How curved the boundary is along a direction, over how curved it is along random ones, at "
        "images that had no part in finding the direction. Far above 1, the direction is shared by "
        "them too.",
        "ρ<sub>i</sub>(z) = |u<sub>i</sub>ᵀ G<sub>z</sub> u<sub>i</sub>| / "
        "E<sub>v</sub>|vᵀ G<sub>z</sub> v|",
    ),
    "held-out images": (
        "The first N images of the set give the directions, and the N that follow have no part in "
        "them. What is said of the directions is measured at these held-out ones.",
        "u<sub>i</sub> from x<sub>1</sub>, …, x<sub>N</sub>;  tried at x<sub>N+1</sub>, …, "
        "x<sub>2N</sub>",
    ),
    "curved subspace": (
        "The span S of the m shared directions with the largest mean curvature, of either sign. "
        "The flat subspace is the span of the m with the smallest, known where all d directions "
        "are measured.",
        "S = span{u<sub>i</sub> : |κ̄<sub>i</sub>| among the m largest}",
    ),
    "share": (
        "How much of a vector lies in a subspace: 1 if it lies in it, 0 if at right angles to it. "
        "The paper found that perturbations lie in the curved subspace far more than random "
        "vectors do.",
        "‖P<sub>S</sub> r‖ / ‖r‖;  √(m/d) for random vectors",
    ),
    "noise in a subspace": (
        "Random noise of a given norm is added to each held-out image, drawn from the curved, the "
        "flat or the whole space. Where noise of equal norm changes the class more often, the "
        "network is more sensitive.",
        "P(argmax f(x + ε v) ≠ argmax f(x)),  v ∈ S uniform, ‖v‖ = 1",
    ),
    "margin in a subspace": (
        "How far the boundary is when the perturbation must lie in a subspace: the median over the "
        "held-out images. Compare subspaces of equal dimension; DCT blocks go from coarse patterns "
        "to fine ones.",
        "min ‖r‖  such that  r ∈ S,  argmax f(x + r) ≠ own",
    ),
    "not a defence": (
        "Scores of this kind tell images that were perturbed by somebody who does not know of "
        "them. A detector built on the same view was broken by attacks that did, with 93 to 100 % "
        "success, as secondary sources report.",
        "min ‖r‖  such that  argmax f(x + r) ≠ own  and  ρ(x + r) < threshold",
    ),
    "x + t r": (
        "The way from the image straight across its boundary point: t = 0 is the image, t = 1 the "
        "boundary, and beyond it the network calls it something else. Drag the slider, use its "
        "arrow keys, or click in the plot.",
        "x + t r,  0 ≤ t ≤ 3",
    ),
    "detection score": (
        "The mean curvature of the level sets through the image between the class it is called by "
        "and each other one, seen from the other class. The paper found it low at natural images, "
        "and high at those that a small perturbation has just carried across the boundary.",
        "ρ = mean<sub>i,v</sub> vᵀ G<sub>i</sub> v,  F<sub>i</sub> = f<sub>i</sub> − "
        "f<sub>own</sub>",
    ),
    "terms": (
        "The score is the mean of these: one for each other class i, the mean curvature of its "
        "level set over random directions. The class with the largest one is the recovered label.",
        "mean<sub>v</sub> vᵀ G<sub>i</sub> v = (tr H<sub>i</sub> − nᵀ H<sub>i</sub> n) / "
        "(d ‖∇F<sub>i</sub>‖)",
    ),
    "threshold": (
        "An image whose score lies above it is called perturbed. It is chosen on natural images "
        "alone, so that the stated share of them lies above it.",
        "ρ > threshold: perturbed,  else natural",
    ),
    "false-positive rate": (
        "The share of natural images that the threshold calls perturbed. A lower one lets more "
        "perturbed images pass.",
        "#{natural x: ρ(x) > threshold} / N",
    ),
    "natural images": (
        "The first N images of the set, as they are. Threshold, ROC and distributions are made "
        "from them, and from the same ones perturbed.",
        "x<sub>1</sub>, …, x<sub>N</sub>",
    ),
    "probes": (
        "Random directions of length one along which the curvature is measured, the same for all "
        "images. More of them make the score less noisy, at the cost of two forward passes each.",
        "vᵀ H v ≈ (f(x + hv) − 2 f(x) + f(x − hv)) / h²,  v<sub>1</sub>, …, v<sub>T</sub>",
    ),
    "classes": (
        "Of the other classes, those whose level sets are looked at: all of them, or the ones with "
        "the highest logits. With the runner-up alone the score is one term, and the recovered "
        "label always the runner-up.",
        "ρ = (1/k) Σ<sub>i</sub> mean<sub>v</sub> vᵀ G<sub>i</sub> v",
    ),
    "recovered label": (
        "What a perturbed image was called before: the class whose level set is curved most. ✓ "
        "and ✗ say whether it is what the network calls the image x.",
        "argmax<sub>i</sub> mean<sub>v</sub> vᵀ G<sub>i</sub> v",
    ),
    "runner-up": (
        "The class with the second highest logit, which takes no curvature to find. Right across "
        "the boundary it is nearly always the original one, so compare any recovered label with "
        "it.",
        "argmax<sub>i ≠ own</sub> f<sub>i</sub>",
    ),
    "logit margin": (
        "How far the highest logit is above the second highest, the simplest score there is. It is "
        "low near a boundary, so an image is suspicious where it lies below its threshold.",
        "f<sub>(1)</sub> − f<sub>(2)</sub>",
    ),
    "ROC": (
        "The share of perturbed images that are found, against the share of natural ones that are "
        "called perturbed, for all thresholds. AUC, the area under it, is how often a perturbed "
        "image scores above a natural one: 0.5 is chance, 1 is perfect.",
        "AUC = P(ρ(x + α r) > ρ(x′))",
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
_EQUALS = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"  # a formula breaks elsewhere


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
        f'{sentences}<br><span class="gx-formula">{formula.replace(" = ", _EQUALS)}</span></span>'
    )


def term(text: str, name: str) -> str:
    """HTML of a word with its question mark.

    Examples
    --------
    >>> term("predicted", "own").startswith("predicted <button")
    True
    """
    return f"{escape(text)} {help_button(name)}"
