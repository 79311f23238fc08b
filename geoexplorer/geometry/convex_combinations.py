"""Whether random convex combinations of images of a class stay in its region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_seed, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.drawing_pairs import draw_sets, populated_classes
from geoexplorer.geometry.entering import least_margins
from geoexplorer.jobs import Progress
from geoexplorer.proportions import wilson
from geoexplorer.results import Recorder, Result

__all__ = ["ConvexCombinations", "convex_combinations", "convex_combinations_steps"]


@dataclass(frozen=True, eq=False, repr=False)
class ConvexCombinations(Result):
    """How often a convex combination of k images of a class is in its region, against k.

    The same images serve many combinations, so the error of a probability is that for these
    images, not for other ones.
    """

    sizes: Tensor  # (m,) int64: k
    labels: Tensor  # (c,) int64: the classes
    tried: Tensor  # (c, m) int64: combinations; 0 where a class has fewer than k images
    inside: Tensor  # (c, m) int64: those of them that are in the region
    class_names: tuple[str, ...]

    def probability(self, label: int | None = None) -> Tensor:
        """Share ``(m,)`` of combinations inside, of one class or of all; NaN without any."""
        tried, inside = self._counts(label)
        return inside / tried

    def standard_error(self, label: int | None = None) -> Tensor:
        """Standard error ``(m,)`` of :meth:`probability`; 0 where it is 0 or 1."""
        tried, _ = self._counts(label)
        p = self.probability(label)
        return (p * (1 - p) / tried).sqrt()

    def interval(self, label: int | None = None, *, z: float = 1.96) -> tuple[Tensor, Tensor]:
        """Lower and upper ends ``(m,)`` of Wilson's interval; z = 1.96 covers 95 %."""
        tried, inside = self._counts(label)
        return wilson(inside, tried, z=z)

    def _counts(self, label: int | None) -> tuple[Tensor, Tensor]:
        rows = torch.ones(len(self.labels), dtype=torch.bool)
        if label is not None:
            rows = self.labels == label
            if not bool(rows.any()):
                raise ValueError(f"label must be one of {self.labels.tolist()}, got {label!r}")
        return self.tried[rows].sum(0).double(), self.inside[rows].sum(0).double()


def convex_combinations(
    clf: Classifier,
    images: Tensor,
    *,
    largest: int = 10,
    combinations: int = 1000,
    label: int | None = None,
    seed: int = 0,
) -> ConvexCombinations:
    """Estimate how often a random convex combination of k images of a class stays in its region.

    Parameters
    ----------
    clf
        The classifier.
    images
        ``(n, C, H, W)``. Their predicted classes count, not true labels.
    largest
        k goes from 2 to this.
    combinations
        Combinations for each k, shared evenly among the classes that have as many images. Each is
        of k different images, with weights uniform on the simplex.
    label
        The class; None for all.
    seed
        For images and weights.

    Returns
    -------
    ConvexCombinations
        Counts by class, with probability, standard error and Wilson's interval.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or no class has two images.

    Notes
    -----
    Source: Fawzi et al., "Empirical Study of the Topology and Geometry of Deep Networks", CVPR
    2018, section 3.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()  # its regions are convex
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> found = convex_combinations(clf, torch.randn(50, 1, 2, 2), largest=4, combinations=100)
    >>> found.sizes.tolist(), found.probability().tolist()
    ([2, 3, 4], [1.0, 1.0, 1.0])
    """
    return jobs.last(
        convex_combinations_steps(
            clf, images, largest=largest, combinations=combinations, label=label, seed=seed
        )
    )


def convex_combinations_steps(
    clf: Classifier,
    images: Tensor,
    *,
    largest: int = 10,
    combinations: int = 1000,
    label: int | None = None,
    seed: int = 0,
) -> Iterator[ConvexCombinations]:
    """Like :func:`convex_combinations`, yielding the counts after every k."""
    largest = require_whole("largest", largest, 2)
    combinations = require_whole("combinations", combinations, 1)
    if label is not None:
        label = require_whole("label", label, 0, clf.n_classes - 1)
    seed = require_seed(seed)
    recorder = Recorder(
        clf, "convex_combinations", largest=largest, combinations=combinations, label=label,
        seed=seed,
    )  # fmt: skip
    prepared = clf.prepare(images, argument="images")
    predicted = clf.forward(prepared).argmax(1).cpu()
    classes = populated_classes(predicted, label, 2)
    return recorder.watch(
        _steps(clf, prepared, predicted, classes, largest, combinations, seed, recorder)
    )


def _steps(
    clf: Classifier,
    images: Tensor,
    predicted: Tensor,
    classes: list[int],
    largest: int,
    combinations: int,
    seed: int,
    recorder: Recorder,
) -> Iterator[ConvexCombinations]:
    sizes = torch.arange(2, largest + 1)
    tried = torch.zeros((len(classes), len(sizes)), dtype=torch.int64)
    inside = torch.zeros_like(tried)
    generator = torch.Generator().manual_seed(seed)
    members = [(predicted == label).nonzero()[:, 0] for label in classes]
    for column, size in enumerate(sizes.tolist()):
        able = [row for row, own in enumerate(members) if len(own) >= size]
        for turn, row in enumerate(able):
            share = (combinations + len(able) - 1 - turn) // len(able)
            chosen = members[row][draw_sets(share, size, len(members[row]), generator)]
            weights = torch.empty(share, size, dtype=torch.float64).exponential_(
                generator=generator
            )
            weights = weights / weights.sum(1, keepdim=True)
            tried[row, column] = share
            inside[row, column] = _count_inside(clf, images, chosen, weights, classes[row])
        done = (column + 1) / len(sizes)
        yield ConvexCombinations(
            sizes=sizes,
            labels=torch.tensor(classes),
            tried=tried.clone(),
            inside=inside.clone(),
            class_names=clf.class_names,
            provenance=recorder.provenance(),
            progress=Progress(done, f"combinations of {size} images") if done < 1 else Progress(),
        )


def _count_inside(
    clf: Classifier, images: Tensor, chosen: Tensor, weights: Tensor, label: int
) -> int:
    at_once = clf.chunk_size * len(clf.devices)
    count = 0
    for rows, shares in zip(
        torch.split(chosen, at_once), torch.split(weights, at_once), strict=True
    ):
        parts = images[rows.to(images.device)]  # (b, k, C, H, W)
        shares = shares.to(images)[:, :, None, None, None]
        logits = clf.forward((shares * parts).sum(1))
        labels = torch.full((len(logits),), label, device=logits.device)
        count += int((least_margins(logits, labels) > 0).sum())
    return count
