"""Named unit directions in the input space, the axes of cross-sections.

Every function returns a :class:`Direction`: a unit vector with the name under which it is
shown. Directions that belong to a boundary point take :class:`BoundaryPoints` of one image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from geoexplorer.arguments import require_seed
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints, nearest_boundary
from geoexplorer.images import ImageSet
from geoexplorer.results import Stored

__all__ = [
    "Direction",
    "dct_frequency",
    "given",
    "loss_gradient",
    "normal",
    "principal_components",
    "random_tangent",
    "to_boundary",
    "toward_class",
    "toward_image",
]


@dataclass(frozen=True, eq=False, repr=False)
class Direction(Stored):
    """A unit vector of the input space and what it is called."""

    vector: Tensor  # (C, H, W), l2 norm 1
    name: str


def given(vector: Tensor, name: str = "given direction") -> Direction:
    """A direction of one's own; the vector is scaled to unit length.

    Parameters
    ----------
    vector
        ``(C, H, W)`` or ``(1, C, H, W)``, not zero.

    Raises
    ------
    ValueError
        If the vector is zero, not finite, or not one image.

    Examples
    --------
    >>> float(given(torch.full((1, 2, 2), 3.0)).vector.norm())
    1.0
    """
    vector = one_image(vector, name)
    length = float(vector.norm())
    if not math.isfinite(length) or length == 0.0:
        raise ValueError(f"{name} must be a finite vector other than zero, got norm {length:g}")
    return Direction(vector / length, name)


def normal(boundary: BoundaryPoints) -> Direction:
    """Across the boundary at z, out of the own region: -n."""
    return given(-_single(boundary).normals, "normal")


def to_boundary(boundary: BoundaryPoints) -> Direction:
    """From the image to its boundary point: r / ‖r‖.

    At the nearest point of a smooth boundary this is the normal; ``boundary.alignment`` says
    how nearly. Unlike the normal it has both x and z on one line.
    """
    return given(_single(boundary).perturbations, "nearest boundary")


def toward_class(clf: Classifier, image: Tensor, other: int, *, seed: int = 0) -> Direction:
    """From an image to the nearest boundary between its own class and ``other``.

    Raises
    ------
    ValueError
        If ``other`` is the image's own class, or that boundary could not be reached.
    """
    boundary = nearest_boundary(clf, one_image(image, "image"), other, seed=seed)
    name = clf.class_names[int(other)]
    if not bool(boundary.converged[0]):
        raise ValueError(f"no boundary toward class {name!r} was found from this image")
    return given(boundary.perturbations, f"toward class {name}")


def toward_image(image: Tensor, target: Tensor, name: str = "toward image") -> Direction:
    """From one image to another."""
    return given(one_image(target, "target") - one_image(image, "image"), name)


def random_tangent(boundary: BoundaryPoints, *, seed: int = 0) -> Direction:
    """A uniformly random direction in the boundary's tangent space at z."""
    n = _single(boundary).normals[0]
    generator = torch.Generator().manual_seed(require_seed(seed))
    drawn = torch.randn(n.shape, generator=generator, dtype=torch.float64).to(n)
    return given(drawn - (drawn * n).sum() * n, "random tangent")


def loss_gradient(clf: Classifier, image: Tensor, label: int | None = None) -> Direction:
    """The gradient of the cross-entropy with respect to the image.

    ``label`` is the class whose loss is meant; the predicted one when None.

    Raises
    ------
    ValueError
        If the gradient vanishes in floating point (a loss that is zero to rounding).
    """
    images = clf.prepare(one_image(image, "image"), argument="image")
    labels = clf.forward(images).argmax(1) if label is None else clf.classes(label, images, "label")

    # The softmax weights of the other classes underflow where the network is sure of itself;
    # the gradient of log(1 - p) has the direction of the loss's and does not.
    def log_odds(logits: Tensor, own: Tensor) -> Tensor:
        others = logits.scatter(1, own[:, None], -math.inf)
        return others.logsumexp(1) - logits.gather(1, own[:, None])[:, 0]

    _, _, gradients = clf.forward_gradient(images, log_odds, labels)
    return given(gradients.cpu(), "loss gradient")


def dct_frequency(
    shape: tuple[int, int, int], row: int, column: int, channel: int | None = None
) -> Direction:
    """A two-dimensional cosine (DCT-II basis image), in one channel or all alike.

    Parameters
    ----------
    shape
        ``(C, H, W)``.
    row, column
        Frequencies, ``0 <= row < H`` and ``0 <= column < W``, in half periods an image.
    channel
        The channel it lives in; all of them when None.

    Raises
    ------
    ValueError
        If a frequency or the channel is out of range.

    Examples
    --------
    >>> dct_frequency((1, 8, 8), 0, 3).name
    'DCT (0, 3)'
    """
    channels, height, width = shape
    for argument, value, count in (("row", row, height), ("column", column, width)):
        if not 0 <= value < count:
            raise ValueError(f"{argument} must be between 0 and {count - 1}, got {value}")
    if channel is not None and not 0 <= channel < channels:
        raise ValueError(f"channel must be between 0 and {channels - 1} or None, got {channel}")
    vertical = torch.cos(math.pi * row * (torch.arange(height) + 0.5) / height)
    horizontal = torch.cos(math.pi * column * (torch.arange(width) + 0.5) / width)
    basis = torch.zeros(shape)
    basis[slice(None) if channel is None else channel] = vertical[:, None] * horizontal
    suffix = "" if channel is None else f" in channel {channel}"
    return given(basis, f"DCT ({row}, {column}){suffix}")


def principal_components(images: ImageSet | Tensor, count: int = 2) -> tuple[Direction, ...]:
    """The directions in which a set of images varies most, the first the strongest.

    Raises
    ------
    ValueError
        If there are not as many components.
    """
    pixels = images.images if isinstance(images, ImageSet) else images
    most = min(len(pixels) - 1, pixels[0].numel())
    if not 1 <= count <= most:
        raise ValueError(
            f"these {len(pixels)} images have {max(most, 0)} principal components, got {count}"
        )
    centred = (pixels - pixels.mean(0)).flatten(1)
    _, _, components = torch.linalg.svd(centred, full_matrices=False)
    return tuple(
        given(component.reshape(pixels.shape[1:]), f"principal component {index + 1}")
        for index, component in enumerate(components[:count])
    )


def one_image(image: Tensor, argument: str) -> Tensor:
    """``(C, H, W)`` from one image or a batch of one, on the CPU."""
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(image)
    if not isinstance(image, Tensor) or not image.is_floating_point():
        kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(f"{argument} must be a float tensor (C, H, W), got {kind}")
    if image.ndim == 4 and len(image) == 1:
        image = image[0]
    if image.ndim != 3:
        raise ValueError(f"{argument} must be one image (C, H, W), got shape {tuple(image.shape)}")
    return image.detach().cpu()


def _single(boundary: BoundaryPoints) -> BoundaryPoints:
    if len(boundary) != 1:
        raise ValueError(
            f"boundary must hold one point, got {len(boundary)}; index it: boundary[i]"
        )
    if not bool(boundary.converged[0]):
        raise ValueError("the boundary was not reached from this image (converged is False)")
    return boundary
