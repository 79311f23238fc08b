"""Which share of perturbations, gradients or differences of images lies in a subspace.

Source: Fawzi, Moosavi-Dezfooli, Frossard & Soatto, "Empirical Study of the Topology and Geometry of
Deep Networks", CVPR 2018, section 5: adversarial perturbations lie in the curved subspace far more
than random vectors do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoexplorer.arguments import require_seed, require_share
from geoexplorer.classifier import Classifier, difference
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.linear_subspace import Subspace
from geoexplorer.geometry.measurement import require_points
from geoexplorer.results import Recorder, Result

__all__ = ["SubspaceShares", "subspace_shares"]

_STREAM = 7_368_787
_OWN = ("perturbations", "gradients", "differences of images", "random vectors")


@dataclass(frozen=True, eq=False, repr=False)
class SubspaceShares(Result):
    """‖P_S v‖ / ‖v‖ of several sets of vectors v, S one subspace."""

    names: tuple[str, ...]  # (s,): what the vectors are
    shares: tuple[Tensor, ...]  # s of (n_s,), between 0 and 1; NaN for vectors that are zero
    subspace: str  # its name
    m: int  # its dimension
    dimension: int  # d

    @property
    def expected(self) -> float:
        """√(m/d), the root mean square of the shares of random vectors."""
        return math.sqrt(self.m / self.dimension)

    def mean(self) -> Tensor:
        """Means ``(s,)``."""
        return torch.stack([share.nanmean() for share in self.shares])

    def quantiles(self, low: float = 0.1, high: float = 0.9) -> tuple[Tensor, Tensor]:
        """Two quantiles ``(s,)`` each.

        Raises
        ------
        ValueError
            If one of them is not a number from 0 to 1.
        """
        low, high = require_share("low", low), require_share("high", high)
        ends = [torch.stack([share.nanquantile(q) for share in self.shares]) for q in (low, high)]
        return ends[0], ends[1]


def subspace_shares(
    clf: Classifier,
    subspace: Subspace,
    points: BoundaryPoints,
    *,
    vectors: Mapping[str, Tensor] | None = None,
    seed: int = 0,
) -> SubspaceShares:
    """Compare how much of different vectors lies in a subspace.

    Parameters
    ----------
    clf
        The classifier.
    subspace
        Such as ``shared.curved(10)``.
    points
        Boundary points of images that had no part in finding the subspace. They give the
        perturbations r, the gradients of F at the images, the differences of pairs of images, and
        as many random vectors to compare with.
    vectors
        Further sets of vectors ``(n, C, H, W)`` by names other than those of the four.
    seed
        For the random vectors, and for which images make a pair.

    Returns
    -------
    SubspaceShares
        One set of shares for each kind of vector.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> _ = module[1].weight.data.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> first = Subspace(torch.eye(4).reshape(4, 1, 2, 2)[:1], "first pixel")
    >>> found = subspace_shares(clf, first, nearest_boundary(clf, torch.rand(50, 1, 2, 2)))
    >>> found.names[0], round(float(found.mean()[0]), 3), found.expected
    ('perturbations', 1.0, 0.5)
    """
    require_points(clf, points, "points")
    if not isinstance(subspace, Subspace):
        raise TypeError(f"subspace must be a Subspace, got {type(subspace).__name__}")
    subspace.require_shape_of(clf)
    seed = require_seed(seed)
    further = _shares_of(subspace, {} if vectors is None else vectors)
    recorder = Recorder(
        clf, "subspace_shares", subspace=subspace.name, seed=seed,
        points=points.provenance.options.get("effort"),
    )  # fmt: skip
    reached = points[points.converged]
    images = clf.prepare(reached.images)
    own, other = reached.own.to(clf.device), reached.other.to(clf.device)
    _, _, gradients = clf.forward_gradient(images, difference, own, other)
    generator = torch.Generator().manual_seed(seed)
    # Numbers of their own: the same seed may have made a random subspace.
    apart = torch.Generator().manual_seed(seed + _STREAM)
    # Each image and the next one of a random order, so that no image meets itself.
    order = torch.randperm(len(reached), generator=generator)
    partners = reached.images[order] - reached.images[order.roll(1)]
    drawn = torch.randn(reached.images.shape, generator=apart)
    sets = dict(zip(_OWN, (reached.perturbations, gradients.cpu(), partners, drawn), strict=True))
    shares = {name: subspace.share_of(value) for name, value in sets.items()} | further
    return SubspaceShares(
        names=tuple(shares),
        shares=tuple(shares.values()),
        subspace=subspace.name,
        m=subspace.dimension,
        dimension=clf.dimension,
        provenance=recorder.provenance(),
    )


def _shares_of(subspace: Subspace, vectors: Any) -> dict[str, Tensor]:
    """The shares of the caller's own sets of vectors."""
    if not isinstance(vectors, Mapping):
        raise TypeError(
            "vectors must be a mapping of names to float tensors (n, C, H, W), got "
            f"{type(vectors).__name__}"
        )
    for name in vectors:
        if not isinstance(name, str):
            raise TypeError(f"vectors must have names that are str, got {name!r}")
        if name in _OWN:
            raise ValueError(f"vectors must have other names than {_OWN}, got {name!r}")
    return {name: subspace.share_of(value) for name, value in vectors.items()}
