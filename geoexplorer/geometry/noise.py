"""How often noise of a given norm changes the predicted class, by the subspace it lies in.

The paper's claim is that noise does most harm in the directions in which the boundary is curved.
Source: Fawzi, Moosavi-Dezfooli, Frossard & Soatto, "Empirical Study of the Topology and Geometry of
Deep Networks", CVPR 2018, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_numbers, require_seed, require_whole
from geoexplorer.classifier import Classifier, FullPrecision
from geoexplorer.geometry.blocks import random_block, slices
from geoexplorer.geometry.linear_subspace import Subspace, require_subspaces
from geoexplorer.jobs import News, Progress
from geoexplorer.proportions import wilson
from geoexplorer.results import Recorder, Result

__all__ = ["WHOLE_SPACE", "NoiseSensitivity", "noise_sensitivity", "noise_sensitivity_steps"]

WHOLE_SPACE = "whole space"
_NORMS = 8  # by default, evenly spaced up to the largest
_LARGEST_NOISE = 0.15  # root mean square over the pixels, in the bounds' width


@dataclass(frozen=True, eq=False, repr=False)
class NoiseSensitivity(Result):
    """How often noise changes the predicted class: counts by subspace and norm of the noise."""

    norms: Tensor  # (k,), l2 norms of the noise in pixel values, ascending
    changed: Tensor  # (s, k) int64: how often the class changed
    tried: Tensor  # (s, k) int64: images times draws
    names: tuple[str, ...]  # (s,): of the subspaces
    dimensions: tuple[int, ...]  # (s,): of the subspaces
    images: int
    draws: int

    @property
    def rates(self) -> Tensor:
        """Share of noisy images ``(s, k)`` whose predicted class is another; NaN without any."""
        return self.changed / self.tried

    def interval(self, *, z: float = 1.96) -> tuple[Tensor, Tensor]:
        """Ends ``(s, k)`` of Wilson's interval of :attr:`rates`; z = 1.96 covers 95 %.

        For these images: several draws of noise at one image are counted like draws at several.
        """
        return wilson(self.changed, self.tried, z=z)


def noise_sensitivity(
    clf: Classifier,
    x: Tensor,
    subspaces: Sequence[Subspace] = (),
    *,
    norms: Sequence[float] | None = None,
    draws: int = 10,
    seed: int = 0,
) -> NoiseSensitivity:
    """Count how often noise of equal norm, confined to subspaces, changes the predicted class.

    Parameters
    ----------
    clf
        The classifier.
    x
        Images ``(n, C, H, W)``, or one image.
    subspaces
        Where the noise lies, uniform on the sphere of each; the whole space is always there too,
        as the last one.
    norms
        l2 norms of the noise in pixel values; by default eight up to a root mean square of 0.15
        of the bounds' width a pixel.
    draws
        Of noise for each image, subspace and norm.
    seed
        For the noise, which is the same at all norms.

    Returns
    -------
    NoiseSensitivity
        Counts, rates and intervals. Noise may leave the bounds, like the paper's perturbations.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> _ = module[1].weight.data.copy_(torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]))
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> first, second = torch.eye(4).reshape(4, 1, 1, 2, 2)[:2]
    >>> subspaces = [Subspace(first, "across"), Subspace(second, "along")]
    >>> x = torch.full((100, 1, 2, 2), 0.5)
    >>> found = noise_sensitivity(clf, x, subspaces, norms=[1.0], draws=1)
    >>> found.names, found.rates[:2, 0].round(decimals=1).tolist()
    (('across', 'along', 'whole space'), [0.5, 0.0])
    """
    return jobs.last(
        noise_sensitivity_steps(clf, x, subspaces, norms=norms, draws=draws, seed=seed)
    )


def noise_sensitivity_steps(
    clf: Classifier,
    x: Tensor,
    subspaces: Sequence[Subspace] = (),
    *,
    norms: Sequence[float] | None = None,
    draws: int = 10,
    seed: int = 0,
) -> Iterator[NoiseSensitivity]:
    """Like :func:`noise_sensitivity`, yielding the counts of the draws made so far."""
    draws, seed = require_whole("draws", draws, 1), require_seed(seed)
    lengths = _lengths(clf, norms)
    subspaces = require_subspaces(
        clf, [subspaces] if isinstance(subspaces, Subspace) else subspaces
    )
    bases: list[Tensor | None] = [subspace.rows_for(clf) for subspace in subspaces]
    names = (*(subspace.name for subspace in subspaces), WHOLE_SPACE)
    dimensions = (*(subspace.dimension for subspace in subspaces), clf.dimension)
    recorder = Recorder(
        clf, "noise_sensitivity", subspaces=list(names), norms=lengths, draws=draws, seed=seed
    )
    images = clf.prepare(x)
    own = clf.forward(images).argmax(1)

    def steps() -> Iterator[NoiseSensitivity]:
        news = News()
        changed = torch.zeros(len(names), len(lengths), dtype=torch.int64)
        tried = torch.zeros_like(changed)
        generators = [torch.Generator().manual_seed(seed) for _ in names]
        for draw in range(draws):
            for row, (basis, generator) in enumerate(zip([*bases, None], generators, strict=True)):
                changed[row] += _changes(clf, images, own, basis, lengths, generator)
                tried[row] += len(images)
                fraction = (draw + (row + 1) / len(names)) / draws
                if news.due(fraction):
                    final = draw + 1 == draws and row + 1 == len(names)
                    message = f"noise, draw {draw + 1} of {draws}"
                    yield NoiseSensitivity(
                        norms=torch.tensor(lengths),
                        changed=changed.clone(),
                        tried=tried.clone(),
                        names=names,
                        dimensions=dimensions,
                        images=len(images),
                        draws=draws,
                        provenance=recorder.provenance(),
                        progress=Progress() if final else Progress(min(fraction, 0.999), message),
                    )

    return recorder.watch(steps())


def _changes(
    clf: Classifier,
    images: Tensor,
    own: Tensor,
    basis: Tensor | None,
    lengths: Sequence[float],
    generator: torch.Generator,
) -> Tensor:
    """How many of the images change their class, ``(k,)``, with one draw of noise at each."""
    counts = torch.zeros(len(lengths), dtype=torch.int64, device=images.device)
    for part in slices(len(images), max(1, clf.chunk_size * len(clf.devices))):
        count = part.stop - part.start
        size = clf.dimension if basis is None else len(basis)
        noise = random_block(count, size, generator, images)[0]
        noise = noise / noise.norm(dim=1, keepdim=True)
        if basis is not None:
            with FullPrecision():
                noise = noise @ basis
        noise = noise.reshape(count, *clf.input_shape)
        for column, length in enumerate(lengths):
            labels = clf.forward(images[part] + length * noise).argmax(1)
            counts[column] += (labels != own[part]).sum()
    return counts.cpu()  # once: a GPU is waited for here


def _lengths(clf: Classifier, norms: Any) -> tuple[float, ...]:
    if norms is None:
        low, high = clf.bounds
        largest = _LARGEST_NOISE * (high - low) * math.sqrt(clf.dimension)
        return tuple(largest * (index + 1) / _NORMS for index in range(_NORMS))
    return tuple(sorted(set(require_numbers("norms", norms, positive=True))))
