"""Maps in mixed precision: bfloat16 where the class is clear, the full one where it is not.

In bfloat16 a network runs two to four times as fast on a CPU that has units for it (large ones
most), and its logits are right to about two digits. That settles the class of a pixel whose two
highest logits are far apart. How far is learned from pixels that are evaluated both ways: what
counts is how much the margin of the rough class changes, and twice the largest change seen is the
bound. Pixels with less, and those beside another class, are evaluated anew, so that boundaries
are drawn through full values only. These are compared too: the bound can grow, and then pixels
that no longer reach it follow.
"""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from geoexplorer.classifier import Classifier, put_channels_last
from geoexplorer.geometry.network_copies import made_once
from geoexplorer.geometry.refinement import Refinement, two_highest

__all__ = ["Mixed", "require_bfloat16", "rough_forward"]

# Changes of the margin may be so many times as large as those that were seen.
_SAFETY = 2.0
# Pixels evaluated both ways before any is settled, at most.
_COMPARED = 1024


class _Sampler(Protocol):
    def logits(self, pixels: Tensor) -> Tensor: ...

    def rough_logits(self, pixels: Tensor) -> Tensor: ...


class Mixed:
    """Evaluates the pixels that a refinement has left, in mixed precision.

    Parameters
    ----------
    refinement
        The refined map, whose evaluated pixels have full values.
    sampler
        Gives logits ``(n, L)`` at pixels ``(n, 2)``, full and rough ones.

    Attributes
    ----------
    bound
        The margin above which a rough class is taken to be right.
    """

    def __init__(self, refinement: Refinement, sampler: _Sampler) -> None:
        self._refinement, self._sampler = refinement, sampler
        self._rough = torch.zeros_like(refinement.evaluated)
        self.bound = 0.0
        pixels = refinement.evaluated.nonzero()
        pixels = pixels[:: -(-len(pixels) // _COMPARED)]
        labels, _, margins = two_highest(sampler.rough_logits(pixels))
        self._compare(pixels, labels, margins)

    def settle(self, pixels: Tensor) -> None:
        """Evaluate pixels ``(n, 2)``; their classes are final after :meth:`finish`."""
        self._refinement.settle(pixels, self._sampler.rough_logits(pixels))
        y, x = pixels.T
        self._rough[y, x] = True
        self._evaluate_anew(pixels[self._unclear()[y, x]])

    def finish(self) -> None:
        """Evaluate anew what lies beside another class, or is not above the final bound."""
        while len(pixels := (self._unclear() | self._beside_another_class()).nonzero()):
            self._evaluate_anew(pixels)

    def _unclear(self) -> Tensor:
        margins = self._refinement.margins
        return self._rough & ~((margins > self.bound) & margins.isfinite())

    def _beside_another_class(self) -> Tensor:
        labels = self._refinement.labels.double()[None, None]  # no pooling of whole numbers
        highest, lowest = (
            sign * max_pool2d(sign * labels, 3, stride=1, padding=1)[0, 0] for sign in (1, -1)
        )
        return self._rough & (highest != lowest)

    def _evaluate_anew(self, pixels: Tensor) -> None:
        if len(pixels) == 0:
            return
        y, x = pixels.T
        labels, margins = self._refinement.labels[y, x], self._refinement.margins[y, x]
        self._refinement.settle(pixels, self._sampler.logits(pixels))
        self._rough[y, x] = False
        self._compare(pixels, labels, margins)

    def _compare(self, pixels: Tensor, labels: Tensor, margins: Tensor) -> None:
        """Learn from pixels whose full values are known how wrong rough ones can be."""
        y, x = pixels.T
        same = labels == self._refinement.labels[y, x]
        # Of another class the margin is negative, and at least as far below zero.
        full = torch.where(same, 1.0, -1.0) * self._refinement.margins[y, x]
        changes = (margins - full).abs()
        changes = changes[changes.isfinite()]
        if len(changes):
            self.bound = max(self.bound, _SAFETY * float(changes.max()))


def rough_forward(clf: Classifier, images: Tensor) -> Tensor:
    """Logits ``(n, L)`` of prepared images, computed in bfloat16 and counted as forward passes.

    Examples
    --------
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> x = torch.rand(3, 1, 2, 2)
    >>> bool(((rough_forward(clf, x) - clf.forward(x)).abs() < 0.1).all()), clf.cost.forwards
    (True, 6)
    """

    def evaluate(network: nn.Module, chunk: Tensor) -> tuple[Tensor]:
        with torch.no_grad():
            return (_in_bfloat16(network)(chunk).to(clf.dtype),)

    (logits,) = clf.in_chunks(evaluate, images)
    clf.count(forwards=len(images))
    return logits


def require_bfloat16(clf: Classifier, images: Tensor) -> None:
    """Check, uncounted, that the network can be applied in bfloat16 to prepared images.

    Raises
    ------
    ValueError
        If it cannot.
    """
    try:
        network = _in_bfloat16(clf.module)
        with torch.no_grad():
            network(images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"precision must be 'full' for this network, which cannot compute in bfloat16: {error}"
        ) from error


@made_once
def _in_bfloat16(network: nn.Module) -> nn.Module:
    """A copy that normalises in full precision, and goes on in bfloat16, channels last."""
    normalisation, module = copy.deepcopy(network).children()
    module = module.to(torch.bfloat16)
    put_channels_last(module)
    return nn.Sequential(normalisation, _Shorten(), module).eval()


class _Shorten(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.to(torch.bfloat16, memory_format=torch.channels_last)
