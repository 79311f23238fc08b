"""How connected the region of a class is: random pairs of images, and whether paths join them.

The paper's three scenarios: two images of one predicted class; an image and one of another class
perturbed into it; an image and a random point perturbed into it. Source: Fawzi et al., CVPR 2018,
section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_flag, require_seed, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.drawing_pairs import draw_pairs, populated_classes
from geoexplorer.geometry.entering import clearly_inside, least_margins
from geoexplorer.geometry.path_search import EFFORTS, PathSearch
from geoexplorer.geometry.piecewise import why_not
from geoexplorer.geometry.region_path import RegionPath
from geoexplorer.jobs import News, Progress
from geoexplorer.results import BatchResult, Recorder, Stored

__all__ = ["Connectivity", "PairCounts", "connectivity", "connectivity_steps"]

SCENARIOS = ("images", "perturbed", "random")
_TOGETHER = 20  # pairs between two intermediate results


@dataclass(frozen=True, eq=False)
class PairCounts(Stored):
    """What was counted over pairs of one class, or of all of them."""

    label: int | None  # None: all classes
    name: str
    pairs: int  # tried
    moved: int  # pairs whose second image is in the region, or could be perturbed into it
    straight: int  # pairs whose straight segment stays inside
    connected: int
    proven: int  # connected by a path with an exact proof
    straightness: float  # median over the connected pairs; NaN without any
    straightness_bent: float  # median over those whose path is not the straight segment
    straightness_max: float
    anchors: float  # mean over the connected pairs
    anchors_max: int


@dataclass(frozen=True, eq=False, repr=False)
class Connectivity(BatchResult):
    """Random pairs and what was found of them; one row a pair."""

    labels: Tensor  # (n,) int64: the class whose region is looked at
    first: Tensor  # (n,) int64: index of the first image
    second: Tensor  # (n,) int64: index of the second one; -1 for a random point
    moved: Tensor  # (n,) bool: whether the second is in the region, if need be after a perturbation
    straight: Tensor  # (n,) bool: whether the straight segment stays inside
    connected: Tensor  # (n,) bool
    proven: Tensor  # (n,) bool: whether the path has an exact proof; if not, it was sampled
    straightness: Tensor  # (n,) float64: NaN where not connected
    anchors: Tensor  # (n,) int64: 0 where not connected
    distances: Tensor  # (n,) float64: ‖a - b‖; NaN where not moved
    least_margins: Tensor  # (n,) float64: on the path; NaN where not connected
    scenario: str
    class_names: tuple[str, ...]

    def by_class(self) -> tuple[PairCounts, ...]:
        """One count a class that has pairs."""
        return tuple(self._count(label) for label in sorted(set(self.labels.tolist())))

    def altogether(self) -> PairCounts:
        """The count over all pairs."""
        return self._count(None)

    def _count(self, label: int | None) -> PairCounts:
        part = self if label is None else self[self.labels == label]
        connected = part[part.connected]
        bent = connected.straightness[connected.anchors > 2]
        return PairCounts(
            label=label,
            name="all classes" if label is None else self.class_names[label],
            pairs=len(part.labels),
            moved=int(part.moved.sum()),
            straight=int(part.straight.sum()),
            connected=len(connected.labels),
            proven=int(part.proven.sum()),
            straightness=_median(connected.straightness),
            straightness_bent=_median(bent),
            straightness_max=float(connected.straightness.amax()) if len(connected) else math.nan,
            anchors=float(connected.anchors.double().mean()),
            anchors_max=int(connected.anchors.amax()) if len(connected) else 0,
        )


def connectivity(
    clf: Classifier,
    images: Tensor,
    *,
    pairs: int = 40,
    scenario: str = "images",
    label: int | None = None,
    prove: bool = True,
    effort: str = "interactive",
    seed: int = 0,
) -> Connectivity:
    """Try to connect random pairs inside the regions of their classes, and count.

    Parameters
    ----------
    clf
        The classifier.
    images
        ``(n, C, H, W)``. Their predicted classes count, not true labels.
    pairs
        How many, shared evenly among the classes. No pair is drawn twice, so there are fewer where
        a class has too few images.
    scenario
        ``"images"``: two images of a predicted class. ``"perturbed"``: an image of the class and
        one of another class, perturbed into it as by :func:`geoexplorer.enter_region`.
        ``"random"``: an image of the class and a random point on the sphere around zero whose
        radius is the images' mean norm, perturbed likewise.
    label
        The class; None for all that are predicted often enough.
    prove, effort, seed
        As for :func:`geoexplorer.connect`; the seed also draws the pairs.

    Returns
    -------
    Connectivity
        One row a pair; :meth:`Connectivity.by_class` and :meth:`Connectivity.altogether` count.
        That no path was found does not mean that there is none.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or no class has enough images.

    Notes
    -----
    Source: Fawzi et al., "Empirical Study of the Topology and Geometry of Deep Networks", CVPR
    2018, section 3.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> found = connectivity(clf, torch.rand(20, 1, 2, 2) - 0.5, pairs=6)
    >>> count = found.altogether()
    >>> count.pairs, count.straight, count.connected, count.proven, count.straightness
    (6, 6, 6, 6, 1.0)
    """
    return jobs.last(
        connectivity_steps(
            clf, images, pairs=pairs, scenario=scenario, label=label, prove=prove, effort=effort,
            seed=seed,
        )
    )  # fmt: skip


def connectivity_steps(
    clf: Classifier,
    images: Tensor,
    *,
    pairs: int = 40,
    scenario: str = "images",
    label: int | None = None,
    prove: bool = True,
    effort: str = "interactive",
    seed: int = 0,
) -> Iterator[Connectivity]:
    """Like :func:`connectivity`, yielding the pairs done so far."""
    pairs = require_whole("pairs", pairs, 1)
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario must be one of {SCENARIOS}, got {scenario!r}")
    require_flag("prove", prove)
    if effort not in EFFORTS:
        raise ValueError(f"effort must be one of {tuple(EFFORTS)}, got {effort!r}")
    if label is not None:
        label = require_whole("label", label, 0, clf.n_classes - 1)
    seed = require_seed(seed)
    recorder = Recorder(
        clf, "connectivity", pairs=pairs, scenario=scenario, label=label, prove=prove,
        effort=effort, seed=seed,
    )  # fmt: skip
    prepared = clf.prepare(images, argument="images")
    logits = clf.forward(prepared)
    classes = populated_classes(logits.argmax(1).cpu(), label, 2 if scenario == "images" else 1)
    study = _Study(clf, prepared, logits, scenario, prove, effort, seed, recorder)
    return recorder.watch(study.steps(classes, pairs))


class _Study:
    def __init__(
        self,
        clf: Classifier,
        images: Tensor,
        logits: Tensor,
        scenario: str,
        prove: bool,
        effort: str,
        seed: int,
        recorder: Recorder,
    ) -> None:
        self.clf, self.images, self.logits = clf, images, logits
        self.scenario, self.prove, self.seed = scenario, prove, seed
        self.effort, self.recorder = EFFORTS[effort], recorder
        self.generator = torch.Generator().manual_seed(seed)
        self.rows: list[dict[str, float]] = []

    def steps(self, classes: Sequence[int], count: int) -> Iterator[Connectivity]:
        predicted = self.logits.argmax(1).cpu()
        among = {"images": "same", "perturbed": "other", "random": "any"}[self.scenario]
        labels, first, second = draw_pairs(predicted, classes, count, self.generator, among=among)
        if self.scenario == "random":
            second = torch.full_like(second, -1)
        news, total = News(), len(labels)
        for start in range(0, total, _TOGETHER):
            part = slice(start, start + _TOGETHER)
            for share in self._block(labels[part], first[part], second[part]):
                done = (start + share * len(labels[part])) / total
                if done < 1.0 and news.due(done):
                    yield self._result(Progress(done, f"{len(self.rows)} of {total} pairs"))
        yield self._result(Progress())

    def _block(self, labels: Tensor, first: Tensor, second: Tensor) -> Iterator[float]:
        """Connect some pairs and add their rows; yields the share of the work that is done."""
        wanted = labels.to(self.images.device)
        a = self.images[first].flatten(1)
        b = clearly_inside(
            self.clf, self._seconds(second), wanted, steps=self.effort.steps, seed=self.seed
        )
        moved = b.isfinite().all(1)
        logits = self.clf.forward(b[moved].reshape(-1, *self.clf.input_shape))
        margins = torch.maximum(
            least_margins(self.logits[first][moved], wanted[moved]),
            least_margins(logits, wanted[moved]),
        )
        search = PathSearch(
            self.clf, a[moved], b[moved], wanted[moved], margins, self.effort, self.prove,
            self.seed, self.recorder,
        )  # fmt: skip
        paths: Sequence[RegionPath] = []
        if bool(moved.any()):
            for found in search.steps():
                paths = found
                if not found.progress.complete:
                    yield found.progress.fraction
        distances = (a - b).double().norm(dim=1).tolist()
        left = iter(paths)
        for row, reached in enumerate(moved.tolist()):
            facts = {"labels": labels[row], "first": first[row], "second": second[row]}
            path = next(left) if reached else None
            self.rows.append(
                {name: int(value) for name, value in facts.items()} | _facts(path, distances[row])
            )
        yield 1.0

    def _seconds(self, second: Tensor) -> Tensor:
        if self.scenario != "random":
            return self.images[second].flatten(1)
        radius = self.images.flatten(1).double().norm(dim=1).mean()
        shape = (len(second), self.clf.dimension)
        drawn = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        points = drawn / drawn.norm(dim=1, keepdim=True) * float(radius)
        seconds: Tensor = points.to(self.images)
        return seconds

    def _result(self, progress: Progress) -> Connectivity:
        # Also where the network was taken to be piecewise linear before.
        if self.prove and why_not(self.clf) is not None:
            self.rows = [row | {"proven": False} for row in self.rows]
        columns = {name: [row[name] for row in self.rows] for name in _COLUMNS}
        return Connectivity(
            **{name: torch.tensor(columns[name], dtype=kind) for name, kind in _COLUMNS.items()},
            scenario=self.scenario,
            class_names=self.clf.class_names,
            provenance=self.recorder.provenance(),
            progress=progress,
        )


_COLUMNS = {
    "labels": torch.int64,
    "first": torch.int64,
    "second": torch.int64,
    "moved": torch.bool,
    "straight": torch.bool,
    "connected": torch.bool,
    "proven": torch.bool,
    "straightness": torch.float64,
    "anchors": torch.int64,
    "distances": torch.float64,
    "least_margins": torch.float64,
}


def _facts(path: RegionPath | None, distance: float) -> dict[str, float]:
    connected = path is not None and path.connected
    return {
        "moved": path is not None,
        "straight": path is not None and path.straight.inside is True,
        "connected": connected,
        "proven": path is not None and path.proof == "exact",
        "straightness": path.straightness if path is not None and connected else math.nan,
        "anchors": len(path.anchors) if path is not None and connected else 0,
        "distances": distance,
        "least_margins": path.least_margin if path is not None and connected else math.nan,
    }


def _median(values: Tensor) -> float:
    """The middle value, or the mean of the two in the middle; NaN of none."""
    return float(values.quantile(0.5)) if len(values) else math.nan
