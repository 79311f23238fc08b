"""What a figure is made with: a network, images, sizes, and a place that keeps results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from geoexplorer.geometry.boundary import BoundaryPoints, nearest_boundary_steps
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.geometry.subspaces import shared_directions_steps
from geoexplorer.jobs import Progress
from geoexplorer.paper.sizes import Sizes
from geoexplorer.paper.store import Store, key_of
from geoexplorer.paper.subjects import Subject
from geoexplorer.results import Result

__all__ = ["Finding", "Picture", "Workshop"]

R = TypeVar("R", bound=Result)
Watch = Callable[[str, Progress], None]


@dataclass(frozen=True)
class Picture:
    """One picture of a figure."""

    name: str  # begins with the figure's name
    alt: str  # what is to be seen, for those who cannot
    result: Result
    options: Mapping[str, Any] = field(default_factory=dict)  # of figures.draw


@dataclass(frozen=True)
class Finding:
    """What was found for one figure on one network."""

    found: tuple[str, ...]  # sentences, from the numbers of the results
    sample: str
    method: str
    pictures: tuple[Picture, ...]
    code: str  # Python after which clf and x are known, and which draws the first picture


class Workshop:
    """Computes what figures ask for, or takes it from the store.

    Results are written as ``<name>-<network>.npz``. :attr:`kept` says which ones a figure used, so
    that its time is theirs, even if they were computed in an earlier run.
    """

    def __init__(
        self, subject: Subject, short: str, seed: int, store: Store, watch: Watch | None = None
    ) -> None:
        self.subject, self.short, self.seed = subject, short, seed
        self.store, self._watch = store, watch
        self.kept: dict[str, Result] = {}  # by file

    @property
    def sizes(self) -> Sizes:
        """Sample sizes."""
        return self.subject.sizes

    def keep(self, name: str, steps: Callable[..., Iterator[R]], *given: Any, **options: Any) -> R:
        """The final result of ``steps(clf, *given, **options)``, computed or read."""
        file, clf = f"{name}-{self.short}.npz", self.subject.clf

        def make() -> Result:
            result: Result | None = None
            for result in steps(clf, *given, **options):
                if self._watch is not None:
                    self._watch(name, result.progress)
            assert result is not None  # steps always yield
            return result

        self.kept[file] = self.store.result(file, key_of(clf, steps, given, options), make)
        return cast(R, self.kept[file])

    def points(self, effort: str | None = None) -> BoundaryPoints:
        """Boundary points of the first images: nearest ones, or with an effort of their own."""
        effort = effort or self.sizes.effort
        name = "points-deepfool" if effort == "deepfool" else "points-nearest"
        return self.keep(
            name,
            nearest_boundary_steps,
            self.subject.images[: self.sizes.points],
            effort=effort,
            seed=self.seed,
        )

    def shared(self) -> SharedDirections:
        """Shared directions of the first half of the points; the rest is :meth:`held_out`."""
        return self.keep(
            "shared-directions",
            shared_directions_steps,
            self.points()[: self._seen],
            self.sizes.directions,
            seed=self.seed,
        )

    def held_out(self) -> BoundaryPoints:
        """As many points, of images that had no part in the shared directions."""
        return self.points()[self._seen : 2 * self._seen]

    @property
    def _seen(self) -> int:
        return min(self.sizes.seen, len(self.points()) // 2)

    def shared_code(self) -> str:
        """Python for what the figures of shared directions have in common."""
        seen, m = self._seen, self.sizes.directions
        chosen = "" if m is None else f", m={m}"
        return "\n".join(
            (
                self.subject.code,
                f"points = {self.points_code()}",
                f"seen, held_out = points[:{seen}], points[{seen}:{2 * seen}]",
                f"shared = gx.shared_directions(clf, seen{chosen}, seed={self.seed})",
            )
        )

    def points_code(self, effort: str | None = None) -> str:
        """Python for :meth:`points`."""
        return (
            f"gx.nearest_boundary(clf, x[:{self.sizes.points}], "
            f'effort="{effort or self.sizes.effort}", seed={self.seed})'
        )


def once(function: Callable[..., R]) -> Callable[..., Iterator[R]]:
    """A function without intermediate results as one that :meth:`Workshop.keep` takes."""

    def steps(*given: Any, **options: Any) -> Iterator[R]:
        yield function(*given, **options)

    steps.__module__, steps.__qualname__ = function.__module__, function.__qualname__
    return steps
