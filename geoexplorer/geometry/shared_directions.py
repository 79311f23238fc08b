"""Directions curved for many images at once, as a result: subspaces, shares, ρ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import ReferenceType

from torch import Tensor

from geoexplorer.arguments import require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.directions import Direction, given
from geoexplorer.geometry.linear_subspace import Subspace
from geoexplorer.geometry.relative_curvature import relative_curvature
from geoexplorer.results import Result

__all__ = ["SharedDirections"]


@dataclass(frozen=True, eq=False, repr=False)
class SharedDirections(Result):
    """Orthonormal directions, and the mean curvature u_iᵀ Ḡ u_i of the boundaries along each.

    All d eigenvectors of the mean Ḡ, or the m whose values are largest in size; in descending
    order of the values, so that both ends are the curved ones.
    """

    directions: Tensor  # (m, C, H, W), orthonormal; NaN while not known
    values: Tensor  # (m,), descending, 1 / l2 unit of pixel values
    # (m,): ‖Ḡ u - κ u‖; for "smoothed" how far the value that u was found with, in one half of the
    # probes, lies from this one, of the other half
    residuals: Tensor
    converged: Tensor  # (m,) bool: whether the residual is small beside the largest value
    asymmetry: float  # ‖Ḡ - Ḡᵀ‖ / ‖Ḡ‖ before Ḡ was symmetrised
    points: int  # boundary points in the mean
    dimension: int  # d
    method: str
    step: float  # h; 0 for autograd
    at: float
    classifier: ReferenceType[Classifier] | None = field(
        default=None, kw_only=True, repr=False, metadata={"stored": False}
    )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "classifier": None}  # a result goes where the network is not

    def curved(self, m: int | None = None) -> Subspace:
        """The span of the m directions whose values are largest in size, by default of all.

        Raises
        ------
        ValueError
            If there are not so many.
        """
        kept = self._most_curved(m)
        return Subspace(self.directions[kept], f"curved, {len(kept)} dimensions")

    def flat(self, m: int) -> Subspace:
        """The span of the m directions whose values are smallest in size.

        Raises
        ------
        ValueError
            If not all d directions were measured, of which these are the flattest.
        """
        if len(self.values) < self.dimension:
            raise ValueError(
                f"the flattest directions are known where all {self.dimension} are; measure them "
                f"with m=None (here are the {len(self.values)} most curved ones)"
            )
        m = require_whole("m", m, 1, len(self.values))
        kept = self.values.abs().argsort(stable=True)[:m].sort().values
        return Subspace(self.directions[kept], f"flat, {m} dimensions")

    def share_of(self, vectors: Tensor, m: int | None = None) -> Tensor:
        """‖P_S v‖ / ‖v‖ ``(n,)`` of vectors ``(n, C, H, W)``, S the span of :meth:`curved`.

        For random vectors its root mean square is √(m/d); NaN for vectors that are zero or not
        finite.
        """
        return self.curved(m).share_of(vectors)

    def rho(
        self,
        points: BoundaryPoints,
        *,
        clf: Classifier | None = None,
        probes: int = 100,
        seed: int = 1,
    ) -> Tensor:
        """ρ_i ``(n, m)`` at boundary points that had no part in the mean.

        Parameters
        ----------
        points
            Held-out points; measured like the directions: same method, step and place.
        clf
            The classifier; needed where the one that the directions were measured with is gone,
            as after loading.
        probes, seed
            As for :func:`geoexplorer.relative_curvature`, which gives more than ρ.

        Raises
        ------
        TypeError, ValueError
            If the points are not the classifier's, or there is no classifier.
        """
        if clf is None:
            clf = None if self.classifier is None else self.classifier()
            if clf is None:
                raise ValueError(
                    "clf must be given: a result that was loaded, or whose classifier is gone, "
                    "does not know the network"
                )
        step = None if self.method == "autograd" else self.step
        return relative_curvature(
            clf, points, self.directions, probes=probes, method=self.method, step=step, at=self.at,
            seed=seed,
        ).values  # fmt: skip

    def direction(self, rank: int) -> Direction:
        """A direction by its rank, as an axis of cross-sections.

        Parameters
        ----------
        rank
            1 is the direction of the largest value, 2 that of the next; -1 that of the smallest
            one, which is the most negative one where there are negative ones.

        Raises
        ------
        TypeError, ValueError
            If there is none of that rank.
        """
        count = len(self.values)
        if require_whole("rank", rank, -count, count) == 0:
            raise ValueError(f"rank must be 1 to {count} or -1 to -{count}, got 0")
        index = rank - 1 if rank > 0 else rank
        name = f"shared direction {rank} (κ = {float(self.values[index]):.3g})"
        return given(self.directions[index], name.replace("-", "−"))

    def _most_curved(self, m: int | None) -> Tensor:
        count = len(self.values)
        m = count if m is None else require_whole("m", m, 1, count)
        order = self.values.abs().argsort(descending=True, stable=True)
        return order[:m].sort().values
