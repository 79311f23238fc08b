"""Shared directions of the panel about them: found over many images, tried at as many others.

The first N images of the set give the mean of the shape operators, the N that follow are held
out: whatever is said of the directions is measured at these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.linear_subspace import Subspace, dct_diagonal
from geoexplorer.geometry.matrices import matrix_is_quick
from geoexplorer.geometry.noise import noise_sensitivity_steps
from geoexplorer.geometry.relative_curvature import RelativeCurvature, relative_curvature_steps
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.geometry.subspace_margins import subspace_margins_steps
from geoexplorer.geometry.subspace_shares import subspace_shares
from geoexplorer.geometry.subspaces import shared_directions_steps
from geoexplorer.results import Result, joined
from geoexplorer.widgets.curvatures import Measure, effort_code, points_of_many_steps
from geoexplorer.widgets.following import announced, followed
from geoexplorer.widgets.parts import in_parts
from geoexplorer.widgets.session import Session, Subject, View
from geoexplorer.widgets.worker import Delivery

__all__ = [
    "RHO_SEED",
    "Basis",
    "Sharing",
    "basis_steps",
    "beside_name",
    "known_rho",
    "margins_steps",
    "noise_steps",
    "rho_steps",
    "shared_code",
    "shares_steps",
]

_SEARCHED_FOR = 20  # directions, where not all are measured
RHO_SEED = 1  # other probes than those that the directions were found with
_IMAGES, _FEW_IMAGES = 30, 10  # in the mean, by default: where all are measured, and otherwise
_CURVED = 6  # the curved subspace has a dimension of d over this, by default
# Gradients at a point that a search takes about, by the method; and those of a relative curvature.
_SEARCHED = {"smoothed": 5400, "autograd": 560}
_SMOOTHED, _PROBES, _TOGETHER = 256, 100, 32
# What a gradient among many takes, over what it took in the search for boundary points.
_AMONG_MANY = 0.4
_PIXELS = 256  # of the held-out images that come in at once on a CPU
_IMAGES_TOGETHER = 10  # of them elsewhere

R = TypeVar("R", bound=Result)


@dataclass(frozen=True)
class Sharing:
    """Over which points directions are shared.

    Examples
    --------
    >>> Sharing().found(64) is None, Sharing().found(3072)
    (True, 20)
    >>> Sharing().dimension(64), Sharing(m=50).dimension(64), Sharing().dimension(3072)
    (10, 32, 20)
    """

    images: int | None = None  # in the mean; None: as many as are quick
    point: str = "nearest"
    m: int | None = None  # dimension of the curved subspace; None: d/6

    def found(self, d: int) -> int | None:
        """The m of ``shared_directions``: how many are searched for; None for all d."""
        return None if matrix_is_quick(d) else _SEARCHED_FOR

    def dimension(self, d: int) -> int:
        """Dimension of the curved subspace: at most half of d, and of those found."""
        found = self.found(d)
        limit = max(1, d // 2) if found is None else found
        return min(limit, max(1, d // _CURVED) if self.m is None else self.m)

    def count(self, session: Session, subject: Subject) -> int:
        """How many images are in the mean; as many are held out, and none was added by hand.

        Raises
        ------
        ValueError
            If there are too few images.
        """
        there = len(subject.images) - len(session.added.get(subject.images_name, ()))
        if there < 2:
            raise ValueError(
                "Directions are shared by several images, and tried at others: choose a set of "
                f"at least two images, this one has {there}."
            )
        whole = self.found(subject.clf.dimension) is None
        wanted = self.images or (_IMAGES if whole else _FEW_IMAGES)
        return min(wanted, there // 2)


@dataclass(frozen=True, eq=False)
class Basis:
    """Shared directions, and the points that had no part in them."""

    shared: SharedDirections
    held_out: BoundaryPoints  # those that were reached
    dropped: int  # images that were held out, and whose boundary was not reached
    count: int  # images in the mean
    seconds: float  # of a gradient, about

    @property
    def whole(self) -> bool:
        """Whether all directions are known, the flattest too."""
        return len(self.shared.values) == self.shared.dimension

    def curved(self, m: int) -> Subspace:
        """The m most curved directions."""
        return self.shared.curved(m)

    def beside(self, m: int) -> Subspace:
        """The flattest directions; where they are not known, random ones at right angles."""
        if self.whole:
            return self.shared.flat(m)
        return self.curved(m).beside(beside_name(m))

    def random(self, m: int) -> Subspace:
        """Random directions."""
        return Subspace.random(self.shared.directions.shape[1:], m)


def beside_name(m: int) -> str:
    """What a random subspace in place of the flat one is called."""
    return f"random ⟂ curved, {m} dimensions"


def basis_steps(
    session: Session,
    view: View,
    sharing: Sharing,
    show: Callable[[SharedDirections], None] = lambda shared: None,
    *,
    with_rho: bool = False,
) -> Generator[Delivery, None, Basis]:
    """The shared directions, remembered for all panels; ``show`` gets what there is on the way.

    Parameters
    ----------
    session, view, sharing, show
        What is looked at, and how.
    with_rho
        Whether ρ follows, so that what is said of the time includes it.

    Raises
    ------
    ValueError
        If there are too few images, or none was reached among those of either half.
    """
    subject, clf = view.subject, view.clf
    count = sharing.count(session, subject)
    points = yield from points_of_many_steps(
        session, subject, Measure(point=sharing.point), 2 * count
    )
    held_out = points[count:]
    for part, which in ((points[:count], "first"), (held_out, "held-out")):
        if not bool(part.converged.any()):
            raise ValueError(
                f"No boundary was reached from any of the {which} {count} images; choose another "
                "network, or more images."
            )
    reached = held_out[held_out.converged]
    cost = points.provenance
    seconds = _AMONG_MANY * cost.seconds / max(1, cost.cost.gradients)
    key = ("shared", subject.key, count, sharing.point)
    shared = session.results.get(key)
    if shared is None:
        gradients = count * _gradients(clf, sharing)
        if with_rho:
            gradients += len(reached) * _gradients_of_rho(clf, sharing)
        yield from announced(session, f"shared directions of {count} images", seconds * gradients)
        steps = shared_directions_steps(clf, points[:count], sharing.found(clf.dimension))
        shared = yield from followed(
            session, steps, "shared directions", show,
            worth=lambda found: bool(found.values.isfinite().any()),
        )  # fmt: skip
        session.results.put(key, shared)
    return Basis(shared, reached, count - len(reached), count, seconds)


def shared_code(
    session: Session, subject: Subject, sharing: Sharing, *, points: str, shared: str
) -> list[str]:
    """Lines of a script that find the boundary points and the directions, by these names."""
    count, found = sharing.count(session, subject), sharing.found(subject.clf.dimension)
    searched = effort_code(sharing.point)
    many = "" if found is None else f", {found}"
    return [
        f"{points} = gx.nearest_boundary(clf, images.images[:{2 * count}]{searched})",
        f"{shared} = gx.shared_directions(clf, {points}[:{count}]{many})",
    ]


def rho_steps(
    session: Session,
    view: View,
    sharing: Sharing,
    basis: Basis,
    show: Callable[[RelativeCurvature], None],
) -> Generator[Delivery, None, RelativeCurvature]:
    """ρ along all directions at the held-out points; those measured so far are remembered."""
    clf = view.clf
    points = basis.held_out

    def measured(part: Tensor) -> Iterator[RelativeCurvature]:
        directions = basis.shared.directions
        return relative_curvature_steps(clf, points[part], directions, seed=RHO_SEED)

    one = max(1, _PIXELS // clf.dimension) if clf.device.type == "cpu" else _IMAGES_TOGETHER
    parts = points.converged.nonzero()[:, 0].split(one)
    return (
        yield from in_parts(
            session, _rho_key(view, sharing, basis), f"ρ at {len(points)} held-out images", parts,
            measured, lambda known, new: joined(known, new, 0), show, known=len,
            seconds=basis.seconds * _gradients_of_rho(clf, sharing),
        )
    )  # fmt: skip


def known_rho(
    session: Session, view: View, sharing: Sharing, basis: Basis
) -> RelativeCurvature | None:
    """ρ at all held-out points, if it was measured before."""
    found: RelativeCurvature | None = session.results.get(_rho_key(view, sharing, basis))
    return found if found is not None and found.progress.complete else None


def shares_steps(
    session: Session, view: View, sharing: Sharing, basis: Basis, show: Callable[[Result], None]
) -> Generator[Delivery, None, Result]:
    """Shares of perturbations, gradients and others in the curved subspace."""
    curved = basis.curved(sharing.dimension(view.clf.dimension))

    def steps() -> Iterator[Result]:
        yield subspace_shares(view.clf, curved, basis.held_out)

    return (yield from _remembered("shares", session, view, sharing, basis, steps, show))


def noise_steps(
    session: Session, view: View, sharing: Sharing, basis: Basis, show: Callable[[Result], None]
) -> Generator[Delivery, None, Result]:
    """Misclassification under noise in the curved, the flat and the whole space."""
    m = sharing.dimension(view.clf.dimension)

    def steps() -> Iterator[Result]:
        subspaces = [basis.curved(m), basis.beside(m)]
        return noise_sensitivity_steps(view.clf, basis.held_out.images, subspaces)

    return (yield from _remembered("noise", session, view, sharing, basis, steps, show))


def margins_steps(
    session: Session, view: View, sharing: Sharing, basis: Basis, show: Callable[[Result], None]
) -> Generator[Delivery, None, Result]:
    """Distances of the boundary in the curved, the flat, a random subspace, blocks of cosines."""
    clf = view.clf
    m = sharing.dimension(clf.dimension)

    def steps() -> Iterator[Result]:
        subspaces = [basis.curved(m), basis.beside(m)]
        subspaces += [basis.random(m)] if basis.whole else []
        subspaces += dct_diagonal(clf.input_shape)
        return subspace_margins_steps(clf, basis.held_out.images, subspaces)

    return (yield from _remembered("margins", session, view, sharing, basis, steps, show))


def _remembered(
    what: str,
    session: Session,
    view: View,
    sharing: Sharing,
    basis: Basis,
    steps: Callable[[], Iterator[R]],
    show: Callable[[R], None],
) -> Generator[Delivery, None, R]:
    m = sharing.dimension(view.clf.dimension)
    key = (what, view.subject.key, basis.count, sharing.point, m)
    found: R | None = session.results.get(key)
    if found is None:
        found = yield from followed(session, steps(), what, show)
        session.results.put(key, found)
    return found


def _rho_key(view: View, sharing: Sharing, basis: Basis) -> tuple[Any, ...]:
    return ("rho", view.subject.key, basis.count, sharing.point)


def _gradients(clf: Classifier, sharing: Sharing) -> int:
    """About how many gradients the shared directions take at each point."""
    smoothed = has_kinks(clf)
    if sharing.found(clf.dimension) is None:
        return (4 if smoothed else 2) * clf.dimension
    return _SEARCHED["smoothed" if smoothed else "autograd"]


def _gradients_of_rho(clf: Classifier, sharing: Sharing) -> int:
    """About how many ρ takes at each point."""
    d = clf.dimension
    count = sharing.found(d) or d
    if not has_kinks(clf):
        return 2 * (_PROBES + count)
    blocks = math.ceil(_PROBES / _TOGETHER) + math.ceil(count / _TOGETHER)
    return _SMOOTHED * blocks
