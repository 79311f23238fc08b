"""What the paper reported, figure by figure, and how surely that is known.

The paper: Fawzi, Moosavi-Dezfooli, Frossard and Soatto, "Empirical Study of the Topology and
Geometry of Deep Networks", CVPR 2018. Its body could not be opened when this was written, so every
sentence says where it comes from. Numbers that are remembered without certainty are left out:
nobody should aim at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["CERTAINTY", "FIGURES", "PAPER", "Reported", "Statement"]

PAPER = (
    "Alhussein Fawzi, Seyed-Mohsen Moosavi-Dezfooli, Pascal Frossard and Stefano Soatto, "
    "Empirical Study of the Topology and Geometry of Deep Networks, CVPR 2018"
)

CERTAINTY: Mapping[str, str] = MappingProxyType(
    {
        "abstract": "from the paper's abstract",
        "secondary": "from secondary sources that were read, not from the paper itself",
        "memory": "from memory of the paper, with confidence",
        "uncertain": "from memory of the paper, uncertain",
        "derived": "derived by us",
    }
)
"""In words, how surely a sentence about the paper is known."""


@dataclass(frozen=True)
class Reported:
    """One sentence about the paper, and how surely it is known."""

    sentence: str
    certainty: str  # a key of CERTAINTY


@dataclass(frozen=True)
class Statement:
    """A figure of the set: its title, what it shows, and what the paper reported."""

    title: str
    shows: str
    reported: tuple[Reported, ...]


FIGURES: Mapping[str, Statement] = MappingProxyType(
    {
        "sections": Statement(
            "Cross-sections of the boundary",
            "The plane of the boundary's normal and one tangent at the boundary point z = x + r(x) "
            "of one image: along the most positive and the most negative principal direction, and "
            "along two random ones. Below, the plane through three images.",
            (
                Reported(
                    "The boundary near data points is flat along most directions.", "abstract"
                ),
                Reported(
                    "Cross-sections spanned by the normal and a random tangent look flat, those "
                    "spanned by the normal and a principal direction curved.",
                    "memory",
                ),
            ),
        ),
        "path": Statement(
            "A path inside one region",
            "Two images of one predicted class, joined by a path that never leaves the region of "
            "that class: the class scores along it, and images on the way. Below, how many of "
            "some random pairs are joined.",
            (
                Reported(
                    "State-of-the-art networks learn connected classification regions.", "abstract"
                ),
                Reported(
                    "All tested pairs were connected, by paths that are nearly straight, while the "
                    "regions are not necessarily convex.",
                    "secondary",
                ),
                Reported("The segments of paths were checked by dense sampling.", "memory"),
            ),
        ),
        "convex": Statement(
            "Convex combinations of images of a class",
            "The probability that a random convex combination of k images of one predicted class "
            "is in the region of that class, against k.",
            (
                Reported(
                    "This probability was shown against k, for networks on CIFAR-10 and ImageNet.",
                    "memory",
                ),
                Reported("Classification regions are not necessarily convex.", "secondary"),
            ),
        ),
        "profiles": Statement(
            "Profiles of principal curvatures",
            "All principal curvatures of the boundary, sorted, averaged over boundary points of "
            "many images: at the points that DeepFool finds, which the paper used, and at the "
            "nearest points. Here a negative curvature means that the own region bulges out; the "
            "paper's own orientation is the opposite in places.",
            (
                Reported(
                    "Nearly all principal curvatures are close to zero, few are large, and one "
                    "side, called negative there, dominates.",
                    "secondary",
                ),
                Reported(
                    "This was measured for LeNet and NiN on CIFAR-10, in 3,072 dimensions.",
                    "memory",
                ),
            ),
        ),
        "shared": Statement(
            "Curved directions are shared",
            "How much more the boundary is curved along shared directions than along random ones, "
            "ρ, at boundary points that had no part in finding them. They are the eigenvectors of "
            "the mean of the shape operators at other images.",
            (
                Reported(
                    "At unseen points ρ is far above 1 at both ends: the curved directions are "
                    "shared by many images.",
                    "memory",
                ),
                Reported(
                    "As images, the shared directions resemble local Gabor filters.", "secondary"
                ),
            ),
        ),
        "shares": Statement(
            "What lies in the curved subspace",
            "The share ‖P v‖/‖v‖ of adversarial perturbations, of gradients, of differences of "
            "images and of random vectors v in the span of the most curved shared directions.",
            (
                Reported(
                    "The directions in which the boundary is curved are those to which the "
                    "classifier is most vulnerable.",
                    "abstract",
                ),
                Reported(
                    "Adversarial perturbations lie in the curved subspace more than random vectors "
                    "do. The numbers are not surely known, so none is given.",
                    "uncertain",
                ),
                Reported("For a random vector the share is about √(m/d).", "derived"),
            ),
        ),
        "noise": Statement(
            "Noise in the curved and in the flat subspace",
            "How often random noise of one norm changes the predicted class, when the noise is "
            "confined to the most curved shared directions, to as many flat ones, or not at all.",
            (
                Reported(
                    "Sensitivity to additive perturbations and the curvature of the boundary are "
                    "tied.",
                    "abstract",
                ),
                Reported(
                    "Noise of equal norm changes the class far more often in the curved subspace "
                    "than in the flat one.",
                    "memory",
                ),
            ),
        ),
        "detection": Statement(
            "Telling perturbed images by curvature",
            "Natural images x against x + α r: the rate of perturbed images that are detected "
            "against that of natural ones that are called perturbed, by the mean curvature over "
            "all other classes, beside the logit margin, which takes no curvature; how often the "
            "natural label comes back, beside the runner-up class; and the score on the way across "
            "the boundary. An observation about geometry, not a defence: attacks that know of it "
            "break it.",
            (
                Reported(
                    "An asymmetry of the curvature tells original images from images perturbed by "
                    "small adversarial examples, and recovers the labels of the latter.",
                    "abstract",
                ),
                Reported(
                    "This was evaluated with DeepFool's perturbations scaled by α = 1, 2 and 5, on "
                    "GoogLeNet, CaffeNet and VGG-19 with ImageNet.",
                    "memory",
                ),
                Reported(
                    "A later detector built on the same view was broken by attacks that knew of "
                    "it.",
                    "secondary",
                ),
            ),
        ),
    }
)
"""The figures by their names, in the order of the page."""
