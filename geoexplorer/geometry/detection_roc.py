"""How well perturbed images are told from natural ones, and how often their labels come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_numbers, require_seed, require_share, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import slices
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.detection import Detection, detect_steps
from geoexplorer.geometry.measurement import require_points, require_step
from geoexplorer.geometry.operators import default_step
from geoexplorer.jobs import Progress
from geoexplorer.proportions import threshold_at, wilson
from geoexplorer.results import Recorder, Result

__all__ = ["SCORES", "DetectionROC", "detection_roc", "detection_roc_steps"]

SCORES = ("curvature", "margin")
_SCALES = (1.02, 2.0, 5.0)
_RESAMPLES = 1000
_COVERED = 0.95
_COLUMNS = 512  # of pairs compared at once
# Images that are scored at all scales before the next ones: what is known is known at all of them.
_TOGETHER = 64


@dataclass(frozen=True, eq=False, repr=False)
class DetectionROC(Result):
    """Scores of natural images x and of perturbed ones x + α r, and what follows from them.

    ``"curvature"`` is the mean curvature of the level sets, ``"margin"`` the logit margin with its
    sign changed: both are high where an image is suspicious. Labels are recovered where the
    perturbed image is called by another class than the natural one, which is what is to come back.
    """

    scales: tuple[float, ...]  # (a,): α, 1 is the boundary point
    natural: Tensor  # (2, n): scores of the natural images, by SCORES
    perturbed: Tensor  # (a, 2, n): scores of the perturbed ones
    changed: Tensor  # (a, n) bool: whether the perturbed image is called by another class
    recovered: Tensor  # (a, n) bool: whether the class with the largest curvature is the natural
    runner_up: Tensor  # (a, n) bool: whether the runner-up is the natural class
    own: Tensor  # (n,) int64: the natural class
    distances: Tensor  # (n,): ‖r‖
    false_positive_rate: float
    perturbation: str  # how r was found: the effort of nearest_boundary
    probes: int
    step: float
    seed: int
    class_names: tuple[str, ...]

    def auc(self, score: str = "curvature") -> Tensor:
        """Area under the curve ``(a,)``: how often a perturbed image scores above a natural one."""
        natural, perturbed = self._scores(score)
        return torch.tensor([_area(natural, row) for row in perturbed])

    def auc_interval(self, score: str = "curvature") -> tuple[Tensor, Tensor]:
        """Ends ``(a,)`` of the 95 % interval of :meth:`auc`, from images drawn again and again.

        A natural image and its perturbed one are drawn together, since they depend on each other.
        """
        natural, perturbed = self._scores(score)
        n = len(natural)
        if n == 0:
            unknown = torch.full((len(perturbed),), torch.nan, dtype=torch.float64)
            return unknown, unknown.clone()
        # How often each image is drawn, and the share of pairs in which the perturbed one is above.
        drawn = np.random.default_rng(self.seed).multinomial(n, np.full(n, 1 / n), _RESAMPLES)
        areas = np.zeros((len(perturbed), _RESAMPLES))
        for row, scores in enumerate(perturbed):
            for part in slices(n, _COLUMNS):
                above = (scores[None, part] > natural[:, None]) + 0.0
                above += 0.5 * (scores[None, part] == natural[:, None])
                areas[row] += ((drawn @ above) * drawn[:, part]).sum(1) / n**2
        tail = 100 * (1 - _COVERED) / 2
        low, high = np.percentile(areas, [tail, 100 - tail], axis=1)
        return torch.from_numpy(low), torch.from_numpy(high)

    def threshold(self, score: str = "curvature") -> float:
        """What the stated share of natural images, ``false_positive_rate``, exceeds at most.

        NaN where no image has all scores.
        """
        natural, _ = self._scores(score)
        return threshold_at(torch.from_numpy(natural), self.false_positive_rate)

    def detected(self, score: str = "curvature") -> Tensor:
        """Share ``(a,)`` of perturbed images above :meth:`threshold`."""
        _, perturbed = self._scores(score)
        above = torch.from_numpy(perturbed > self.threshold(score))
        return above.double().mean(1)  # NaN of none

    def curve(self, index: int, score: str = "curvature") -> tuple[Tensor, Tensor]:
        """False and true positive rates ``(p,)`` of one scale, ascending from 0 to 1.

        Of the images that have all scores; a single NaN each where there is none yet.
        """
        natural, perturbed = self._scores(score)
        row = perturbed[index]
        if len(natural) == 0:
            unknown = torch.full((1,), torch.nan, dtype=torch.float64)
            return unknown, unknown.clone()
        levels = np.unique(np.concatenate([natural, row]))[::-1]
        false = [0.0, *((natural >= level).mean() for level in levels)]
        true = [0.0, *((row >= level).mean() for level in levels)]
        return torch.tensor(false, dtype=torch.float64), torch.tensor(true, dtype=torch.float64)

    def recovery(self, by: str = "curvature") -> Tensor:
        """Share ``(a,)`` of changed labels that come back, by "curvature" or by "runner-up"."""
        hits, tried = self._recoveries(by)
        return hits / tried

    def recovery_interval(self, by: str = "curvature") -> tuple[Tensor, Tensor]:
        """Ends ``(a,)`` of Wilson's 95 % interval of :meth:`recovery`."""
        return wilson(*self._recoveries(by))

    def _recoveries(self, by: str) -> tuple[Tensor, Tensor]:
        if by not in ("curvature", "runner-up"):
            raise ValueError(f"by must be 'curvature' or 'runner-up', got {by!r}")
        hits = self.recovered if by == "curvature" else self.runner_up
        return (hits & self.changed).sum(1), self.changed.sum(1)

    def _scores(self, score: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the images that have all of them: ``(n,)`` natural and ``(a, n)`` perturbed."""
        if score not in SCORES:
            raise ValueError(f"score must be one of {SCORES}, got {score!r}")
        column = SCORES.index(score)
        natural, perturbed = self.natural[column], self.perturbed[:, column]
        known = natural.isfinite() & perturbed.isfinite().all(0)
        return natural[known].double().numpy(), perturbed[:, known].double().numpy()


def detection_roc(
    clf: Classifier,
    points: BoundaryPoints,
    scales: Sequence[float] = _SCALES,
    *,
    probes: int = 50,
    step: float | None = None,
    classes: int | None = None,
    false_positive_rate: float = 0.05,
    seed: int = 0,
    natural: Detection | None = None,
) -> DetectionROC:
    """Score natural images and the same ones perturbed by α r, and compare.

    Parameters
    ----------
    clf
        The classifier.
    points
        Boundary points of natural images: with ``effort="deepfool"`` r is the perturbation that
        the paper used, else a minimal one.
    scales
        α > 0; x + r lies just across the boundary. The paper's are 1, 2 and 5, DeepFool's own
        overshoot makes 1.02 of the first.
    probes, step, classes
        As for :func:`geoexplorer.detect`.
    false_positive_rate
        Share of natural images that the threshold may call perturbed.
    seed
        For the probes, and for the images drawn again for the intervals.
    natural
        What :func:`geoexplorer.detect` says with the same ``probes``, ``step``, ``classes`` and
        ``seed`` of ``points.images``, if that is known already: they are not scored again then,
        and what that took is no part of the ``cost``.

    Returns
    -------
    DetectionROC
        Scores, areas under the curve with intervals, and how often labels come back; beside them
        the logit margin and the runner-up class, which take no curvature.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    Source: Fawzi et al., CVPR 2018, section 6. It is an observation about geometry, not a defence.

    Examples
    --------
    >>> from torch import nn
    >>> from geoexplorer.geometry.boundary import nearest_boundary
    >>> class Shells(nn.Module):  # class 0 is the ball of radius 1, class 1 all around it
    ...     def forward(self, x):
    ...         margin = 1 - x.flatten(1).norm(dim=1)
    ...         return torch.stack([margin, -margin], dim=1)
    >>> clf = Classifier(Shells().eval(), input_shape=(1, 2, 2), device="cpu")
    >>> x = torch.rand(20, 1, 2, 2) + 0.6  # natural images of class 1, whose boundary bends in
    >>> found = detection_roc(clf, nearest_boundary(clf, x), [1.02], step=0.05)
    >>> found.auc().tolist(), found.recovery().tolist()
    ([1.0], [1.0])
    """
    return jobs.last(
        detection_roc_steps(
            clf, points, scales, probes=probes, step=step, classes=classes,
            false_positive_rate=false_positive_rate, seed=seed, natural=natural,
        )
    )  # fmt: skip


def detection_roc_steps(
    clf: Classifier,
    points: BoundaryPoints,
    scales: Sequence[float] = _SCALES,
    *,
    probes: int = 50,
    step: float | None = None,
    classes: int | None = None,
    false_positive_rate: float = 0.05,
    seed: int = 0,
    natural: Detection | None = None,
) -> Iterator[DetectionROC]:
    """Like :func:`detection_roc`, yielding the images scored so far; NaN is not known yet."""
    require_points(clf, points, "points")
    alphas = require_numbers("scales", scales, positive=True)
    rate, seed = require_share("false_positive_rate", false_positive_rate), require_seed(seed)
    probes = require_whole("probes", probes, 1)
    step = default_step(clf) if step is None else require_step(step, clf=clf)
    options: dict[str, Any] = {"probes": probes, "step": step, "classes": classes, "seed": seed}
    effort = str(points.provenance.options.get("effort", ""))
    recorder = Recorder(
        clf, "detection_roc", scales=alphas, false_positive_rate=rate, points=effort, **options
    )
    reached = points[points.converged]
    found = _Found(clf, reached, alphas)
    if natural is not None:
        _require_same(clf, points, natural, options)
        found.take(0, slice(None), natural[points.converged])

    def scores(row: int, part: slice) -> Iterator[Detection]:
        scale = alphas[row - 1] if row else 0.0
        images = reached.images[part]
        if row:
            images = images + scale * reached.perturbations[part]
        return detect_steps(clf, images, **options)

    rows = range(0 if natural is None else 1, len(alphas) + 1)
    parts = [(row, part) for part in slices(len(reached), _TOGETHER) for row in rows]
    searches = [scores(*parts[0])]  # checks the options now

    def steps() -> Iterator[DetectionROC]:
        done = 0
        for row, part in parts:
            size = part.stop - part.start
            for verdict in searches.pop() if searches else scores(row, part):
                found.take(row, part, verdict)
                fraction = (done + size * verdict.progress.fraction) / (len(rows) * len(reached))
                if fraction < 1.0:
                    message = f"scores, {part.start} of {len(reached)} images"
                    yield result(Progress(fraction, message))
            done += size
        yield result(Progress())

    def result(progress: Progress) -> DetectionROC:
        return DetectionROC(
            scales=alphas,
            **found.tensors(),
            own=reached.own.clone(),
            distances=reached.distances.clone(),
            false_positive_rate=rate,
            perturbation=effort,
            probes=probes,
            step=step,
            seed=seed,
            class_names=clf.class_names,
            provenance=recorder.provenance(),
            progress=progress,
        )

    return recorder.watch(steps())


class _Found:
    """What is known so far, on the CPU; row 0 is the natural images, the others the scales."""

    def __init__(self, clf: Classifier, reached: BoundaryPoints, alphas: Sequence[float]) -> None:
        self._own = reached.own
        rows, n = len(alphas) + 1, len(reached)
        self._scores = torch.full((rows, 2, n), torch.nan, dtype=clf.dtype)
        self._changed = torch.zeros(rows, n, dtype=torch.bool)
        self._recovered, self._runner_up = self._changed.clone(), self._changed.clone()

    def take(self, row: int, part: slice, verdict: Detection) -> None:
        own = self._own[part]
        self._scores[row, :, part] = torch.stack([verdict.score, -verdict.margin])
        self._changed[row, part] = (verdict.labels != own) & (verdict.labels >= 0)
        self._recovered[row, part] = verdict.recovered == own
        self._runner_up[row, part] = verdict.runner_up == own

    def tensors(self) -> dict[str, Tensor]:
        """Fields of the result."""
        return {
            "natural": self._scores[0].clone(),
            "perturbed": self._scores[1:].clone(),
            "changed": self._changed[1:].clone(),
            "recovered": self._recovered[1:].clone(),
            "runner_up": self._runner_up[1:].clone(),
        }


def _require_same(
    clf: Classifier, points: BoundaryPoints, natural: Any, options: Mapping[str, Any]
) -> None:
    """Refuse what is not the final verdict on the images of the points, found with the options."""
    accepted = "natural must be what detect says of points.images"
    if not isinstance(natural, Detection):
        raise TypeError(f"{accepted}, a Detection, or None, got {type(natural).__name__}")
    if len(natural) != len(points):
        raise ValueError(f"{accepted}: one row for each of {len(points)}, got {len(natural)}")
    if not natural.progress.complete:
        raise ValueError(f"{accepted}, all of them, got a result that is not complete")
    provenance = natural.provenance
    if provenance.fingerprint not in ("", clf.fingerprint):
        raise ValueError(
            f"{accepted} with clf, got one by another network, {provenance.network or 'unnamed'!r}"
        )
    made = {**provenance.options, "probes": natural.probes, "step": natural.step}
    for name, value in options.items():
        if name in made and made[name] != value:
            raise ValueError(f"{accepted} with {name}={value!r}, got one with {made[name]!r}")
    if not torch.equal(natural.labels, points.own):
        raise ValueError(
            f"{accepted}, got one of images that are called by other classes: "
            f"{int((natural.labels != points.own).sum())} of {len(points)} differ"
        )


def _area(natural: NDArray[np.float64], perturbed: NDArray[np.float64]) -> float:
    """The share of pairs in which the perturbed one scores higher, ties for a half."""
    n, m = len(natural), len(perturbed)
    if n == 0 or m == 0:
        return float("nan")
    from scipy.stats import rankdata  # takes a second to import

    ranks = rankdata(np.concatenate([natural, perturbed]))
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))
