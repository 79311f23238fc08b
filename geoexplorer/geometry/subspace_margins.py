"""Margins in several subspaces: how far the boundary is when a perturbation is confined to each.

Source: Ortiz-Jiménez, Modas, Moosavi-Dezfooli & Frossard, "Hold me tight! Influence of
discriminative features on deep network boundaries", NeurIPS 2020, for blocks of cosines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_share
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import nearest_boundary_steps
from geoexplorer.geometry.linear_subspace import Subspace, require_subspaces
from geoexplorer.jobs import Progress
from geoexplorer.results import Recorder, Result

__all__ = ["SubspaceMargins", "subspace_margins", "subspace_margins_steps"]


@dataclass(frozen=True, eq=False, repr=False)
class SubspaceMargins(Result):
    """Distances to the boundary of the same images, by the subspace of the perturbation."""

    names: tuple[str, ...]  # (s,): of the subspaces
    dimensions: tuple[int, ...]  # (s,)
    distances: Tensor  # (s, n), l2; infinite where no boundary was reached in the subspace
    own: Tensor  # (n,) int64: predicted classes
    class_names: tuple[str, ...]

    @property
    def reached(self) -> Tensor:
        """Share ``(s,)`` of the images known whose boundary was reached in the subspace."""
        known = ~self.distances.isnan()
        return self.distances.isfinite().sum(1) / known.sum(1)

    def quantile(self, q: float = 0.5) -> Tensor:
        """A quantile ``(s,)`` of the distances over the images; the median by default.

        Where the boundary was not reached the distance counts as infinite, so that a quantile
        that is finite is one of all images.

        Raises
        ------
        ValueError
            If q is not a number from 0 to 1.
        """
        q = require_share("q", q)
        ordered = self.distances.sort(dim=1).values
        index = min(ordered.shape[1] - 1, max(0, math.ceil(q * ordered.shape[1]) - 1))
        return ordered[:, index]


def subspace_margins(
    clf: Classifier,
    x: Tensor,
    subspaces: Sequence[Subspace],
    *,
    effort: str = "interactive",
    seed: int = 0,
) -> SubspaceMargins:
    """Measure how far the boundary is from images when perturbations are confined to subspaces.

    Parameters
    ----------
    clf
        The classifier.
    x
        Images ``(n, C, H, W)``, or one image.
    subspaces
        Such as ``shared.curved(10)``, ``shared.flat(10)`` or
        :func:`geoexplorer.dct_diagonal`; those of equal dimension can be compared.
    effort, seed
        As for :func:`geoexplorer.nearest_boundary`, which finds the distances.

    Returns
    -------
    SubspaceMargins
        Distances by subspace and image, upper bounds of the true ones.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> _ = module[1].weight.data.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> first, second = torch.eye(4).reshape(4, 1, 1, 2, 2)[:2]
    >>> subspaces = [Subspace(first, "across"), Subspace(second, "along")]
    >>> subspace_margins(clf, torch.full((1, 2, 2), 0.5), subspaces).distances
    tensor([[0.5000],
            [   inf]])
    """
    return jobs.last(subspace_margins_steps(clf, x, subspaces, effort=effort, seed=seed))


def subspace_margins_steps(
    clf: Classifier,
    x: Tensor,
    subspaces: Sequence[Subspace],
    *,
    effort: str = "interactive",
    seed: int = 0,
) -> Iterator[SubspaceMargins]:
    """Like :func:`subspace_margins`, yielding what is known so far; NaN is not known yet."""
    subspaces = require_subspaces(clf, subspaces)
    if not subspaces:
        raise ValueError("subspaces must hold at least one Subspace, got none")
    # Each checks its arguments now, and does its work when it is asked for results.
    searches = [
        nearest_boundary_steps(clf, x, effort=effort, subspace=subspace, seed=seed)
        for subspace in subspaces
    ]
    names = tuple(subspace.name for subspace in subspaces)
    recorder = Recorder(clf, "subspace_margins", subspaces=list(names), effort=effort, seed=seed)

    def steps() -> Iterator[SubspaceMargins]:
        rows: list[Tensor] = []
        count = len(searches)
        for index, search in enumerate(searches):
            for points in search:
                done = (index + points.progress.fraction) / count
                searched = points.converged | points.progress.complete
                found = torch.where(searched, points.distances, math.nan)
                known = torch.stack([*rows, found])
                missing = torch.full((count - len(known), known.shape[1]), math.nan)
                message = f"margins, {index} of {count} subspaces"
                yield SubspaceMargins(
                    names=names,
                    dimensions=tuple(subspace.dimension for subspace in subspaces),
                    distances=torch.cat([known, missing.to(known)]),
                    own=points.own,
                    class_names=clf.class_names,
                    provenance=recorder.provenance(),
                    progress=Progress(done, message) if done < 1.0 else Progress(),
                )
            rows.append(points.distances)

    return recorder.watch(steps())
