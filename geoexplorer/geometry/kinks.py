"""Whether a network has kinks, found out from how its gradient behaves.

A network of ReLUs or max-pooling has no curvature in the classical sense: its gradient is
constant, and jumps. A layer's name does not tell, so the largest jump is looked for: a segment
is halved again and again, always keeping the half over which the gradient of F changes more. For
a differentiable gradient the change falls with the length; at a jump it stays.

A network of very many units has jumps everywhere if it has any, and its gradients take long. There
one short segment is looked at first, of the length at which the others are judged, and then the
longest alone: about 27 gradients in single precision, and 8 of a network of ReLUs, where others
take 144 and 36.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier, difference

__all__ = ["has_kinks"]

# Segments looked at together: where the first ones show a jump, there is no need for more.
_LINES = (2, 6)
# Bytes that a gradient holds on to, from which on a network has very many units.
_MANY_UNITS = 16 * 2**20
# The last segments are so many times longer than the rounding of a pixel.
_SHORTEST = 64.0
_MOST_HALVINGS = 24
# Over the last halvings the change of a smooth gradient falls by 2 each; where a segment holds
# very many jumps it falls by the square root of 2. The limit lies half way, on a log scale.
_COMPARED = 6
_LEAST_FALL = 2.0 ** (0.75 * _COMPARED)
# Changes below this multiple of the rounding error of a gradient are noise.
_NOISE = 2000.0

_known: WeakKeyDictionary[Classifier, bool] = WeakKeyDictionary()


def has_kinks(clf: Classifier) -> bool:
    """Whether the gradient of the logits with respect to the image jumps anywhere.

    Looked for along eight segments between random images of different brightness and contrast, or
    two in a network of very many units; always the same ones. Remembered for each classifier.
    Source: own.

    Examples
    --------
    >>> from torch import nn
    >>> layers = [nn.Flatten(), nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2)]
    >>> has_kinks(Classifier(nn.Sequential(*layers).eval(), input_shape=(1, 2, 2), device="cpu"))
    True
    >>> layers[2] = nn.GELU()
    >>> has_kinks(Classifier(nn.Sequential(*layers).eval(), input_shape=(1, 2, 2), device="cpu"))
    False
    """
    if clf not in _known:
        _known[clf] = any(_jumps(clf, *segments) for segments in _lots(clf))
    return _known[clf]


def _lots(clf: Classifier) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Segments that are looked at together: their ends ``(n, C, H, W)``, and how often to halve."""
    lots = [_random_segments(clf, count, seed) for seed, count in enumerate(_LINES)]
    if clf.bytes_per_image() < _MANY_UNITS:
        for ends in lots:
            yield *ends, _halvings(clf, *ends)
        return
    left, right = (torch.cat(images) for images in zip(*lots, strict=True))
    longest = _norms(right - left).argmax()[None]
    left, right = left[longest], right[longest]
    halvings = _halvings(clf, left, right)
    yield left, left + 2.0 ** (_COMPARED - halvings) * (right - left), _COMPARED
    yield left, right, halvings


def _jumps(clf: Classifier, left: Tensor, right: Tensor, halvings: int) -> bool:
    """Whether the gradient jumps on any of some segments."""
    own, other = clf.forward((left + right) / 2).topk(2, dim=1).indices.unbind(1)

    def gradients(images: Tensor) -> Tensor:
        return clf.forward_gradient(images, difference, own, other)[2]

    gradient_left, gradient_right = gradients(left), gradients(right)
    changes = [_norms(gradient_right - gradient_left)]
    for _ in range(halvings):
        middle = (left + right) / 2
        gradient = gradients(middle)
        before, after = _norms(gradient - gradient_left), _norms(gradient_right - gradient)
        first = (before >= after)[:, None, None, None]
        left, right = torch.where(first, left, middle), torch.where(first, middle, right)
        gradient_left = torch.where(first, gradient_left, gradient)
        gradient_right = torch.where(first, gradient, gradient_right)
        changes.append(torch.maximum(before, after))
    noise = _NOISE * torch.finfo(clf.dtype).eps * _norms(gradient_left)
    persists = changes[-1] > changes[-1 - _COMPARED] / _LEAST_FALL
    return bool((persists & (changes[-1] > noise)).any())


def _halvings(clf: Classifier, left: Tensor, right: Tensor) -> int:
    rounding = torch.finfo(clf.dtype).eps * float(left.abs().max())
    longest = float((right - left).abs().amax((1, 2, 3)).min())
    return max(_COMPARED, min(_MOST_HALVINGS, int(math.log2(longest / (_SHORTEST * rounding)))))


def _random_segments(clf: Classifier, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Between noise around random greys, reaching somewhat beyond the bounds."""
    count *= 2
    generator = torch.Generator().manual_seed(seed)
    low, high = clf.bounds
    grey, contrast = torch.rand(2, count, 1, 1, 1, generator=generator)
    noise = torch.rand((count, *clf.input_shape), generator=generator) - 0.5
    images: Tensor = low + (high - low) * (grey + 2 * contrast * noise)
    left, right = images.to(device=clf.device, dtype=clf.dtype).chunk(2)
    return left, right


def _norms(images: Tensor) -> Tensor:
    norms: Tensor = images.flatten(1).norm(dim=1)
    return norms
