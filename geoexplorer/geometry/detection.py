"""Telling a slightly perturbed image from a natural one by the curvature of its level sets.

For each other class i the level set of F_i = f_i - f_own through the image has a shape operator
G_i, with this orientation the own region on the outside. Its mean over random directions is low
at natural images and high at images that a small perturbation has just carried across the
boundary; the class with the largest mean tends to be the original one. Source: Fawzi,
Moosavi-Dezfooli, Frossard & Soatto, "Empirical Study of the Topology and Geometry of Deep
Networks", CVPR 2018, section 6. It is an observation about geometry, no defence: attacks that know
of it break it.

The mean of vᵀ G_i v over the sphere is (tr H_i - nᵢᵀ H_i nᵢ) / (d ‖∇F_i‖). Second differences of
the logits along v give vᵀ H_i v for all classes at once, and those of F_i along its normal the
rest, so that one image takes 2 T + 2 L forward passes and L gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_seed, require_share, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import orthonormal, random_block, slices
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.measurement import require_step
from geoexplorer.geometry.operators import default_step
from geoexplorer.geometry.room import room_for
from geoexplorer.jobs import News, Progress
from geoexplorer.proportions import threshold_at
from geoexplorer.results import BatchResult, Recorder

__all__ = ["Baselines", "Detection", "detect", "detect_steps"]

_IMAGES_TOGETHER = 256
_VECTORS = 6  # of the input's size, held for each class at an image
_FRAME_VECTORS = 6  # likewise, for each probe of a frame while it is made orthonormal
_TINY = 1e-30
_ROUNDINGS = 4.0  # of the largest logit, in a second difference


class Baselines(NamedTuple):
    """What needs no curvature, to be shown beside it."""

    margin: Tensor  # (n,): f_own - f_runner-up; low where an image is suspicious
    runner_up: Tensor  # (n,) int64: the second highest class, as the recovered label


@dataclass(frozen=True, eq=False, repr=False)
class Detection(BatchResult):
    """Mean curvatures of the level sets through images, and what they say; one row an image."""

    score: Tensor  # (n,): ρ, the mean of the terms; high where an image is suspicious
    # (n,): of the score, from the choice of probes and from the rounding of the logits; NaN for one
    # probe
    standard_errors: Tensor
    perturbed: Tensor  # (n,) bool: whether the score is above the threshold
    recovered: Tensor  # (n,) int64: the class with the largest term; -1 where there is no term
    labels: Tensor  # (n,) int64: the predicted class of the image as it is
    # (n, L): mean of vᵀ G_i v in 1 / l2 unit of pixel values; NaN for the own class, and for
    # classes that were left out or whose F_i has no gradient
    terms: Tensor
    margin: Tensor  # (n,): f_own - f_runner-up
    runner_up: Tensor  # (n,) int64
    threshold: float
    probes: int
    step: float
    class_names: tuple[str, ...]

    @property
    def baselines(self) -> Baselines:
        """The logit margin as a score, and the runner-up class as the recovered label."""
        return Baselines(self.margin, self.runner_up)

    def threshold_at(self, false_positive_rate: float = 0.05) -> float:
        """The threshold that at most that share of these scores exceeds; of natural images.

        Raises
        ------
        ValueError
            If the rate is not between 0 and 1, or there is no score.
        """
        rate = require_share("false_positive_rate", false_positive_rate)
        threshold = threshold_at(self.score, rate)
        if math.isnan(threshold):
            raise ValueError("no image has a score to choose a threshold from")
        return threshold

    def judged(self, threshold: float) -> Detection:
        """The same images, judged by another threshold.

        Raises
        ------
        ValueError
            If the threshold is no finite number.
        """
        threshold = _threshold(threshold)
        return replace(self, threshold=threshold, perturbed=self.score > threshold)


def detect(
    clf: Classifier,
    x: Tensor,
    probes: int = 50,
    step: float | None = None,
    *,
    classes: int | None = None,
    threshold: float = 0.0,
    seed: int = 0,
) -> Detection:
    """Tell perturbed images from natural ones by the mean curvature of their level sets.

    An observation about geometry, not a defence: attacks that know of it break it.

    Parameters
    ----------
    clf
        The classifier.
    x
        Images ``(n, C, H, W)``, or one image.
    probes
        T, random unit vectors v, the same for all images. They are orthonormal, d at a time or as
        many as fit into the classifier's ``memory``.
    step
        h, the l2 length of a displacement in second differences; by default the authors',
        10 √d (hi - lo) / 512. The rounding of the logits divided by h² is an error that
        ``standard_errors`` takes in.
    classes
        How many of the highest other classes are looked at; None for all of them.
    threshold
        A score above it is called perturbed. Choose it on natural images:
        ``detect(clf, natural).threshold_at(0.05)`` is what 5 % of these exceed. The default 0
        only asks for the sign of the mean curvature.
    seed
        For the probes.

    Returns
    -------
    Detection
        Scores, verdicts and recovered labels, with the baselines beside them.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Notes
    -----
    Source: Fawzi et al., CVPR 2018, section 6 (its second algorithm). An image takes
    2 T + 2 k + 2 forward passes and k + 1 gradients for k other classes.

    Examples
    --------
    >>> from torch import nn
    >>> class Disc(nn.Module):  # class 0 is the ball of radius 2
    ...     def forward(self, x):
    ...         margin = 4 - x.flatten(1).square().sum(1)
    ...         return torch.stack([margin, -margin], dim=1)
    >>> clf = Classifier(Disc().eval(), input_shape=(1, 2, 2), device="cpu", dtype=torch.float64)
    >>> inside, outside = torch.full((2, 1, 2, 2), 0.9), torch.full((1, 1, 2, 2), 1.1)
    >>> verdict = detect(clf, torch.cat([inside, outside]), probes=4)
    >>> verdict.score.round(decimals=3).tolist(), verdict.recovered.tolist()
    ([0.417, 0.417, -0.341], [1, 1, 0])
    """
    return jobs.last(
        detect_steps(clf, x, probes, step, classes=classes, threshold=threshold, seed=seed)
    )


def detect_steps(
    clf: Classifier,
    x: Tensor,
    probes: int = 50,
    step: float | None = None,
    *,
    classes: int | None = None,
    threshold: float = 0.0,
    seed: int = 0,
) -> Iterator[Detection]:
    """Like :func:`detect`, yielding the images done so far; NaN is not known yet."""
    probes, seed = require_whole("probes", probes, 1), require_seed(seed)
    step = default_step(clf) if step is None else require_step(step, clf=clf)
    if classes is not None:
        classes = require_whole("classes", classes, 1, clf.n_classes - 1)
    threshold = _threshold(threshold)
    recorder = Recorder(
        clf, "detect", probes=probes, step=step, classes=classes, threshold=threshold, seed=seed
    )
    images = clf.prepare(x)
    request = _Request(
        clf, probes, step, classes or clf.n_classes - 1, has_kinks(clf), threshold, recorder
    )
    return recorder.watch(request.steps(images, seed))


def _threshold(value: Any) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if isinstance(value, Tensor):
        number = value.numel() == 1 and not value.is_complex()
    if not number or not math.isfinite(value):
        raise ValueError(f"threshold must be a finite number, got {value!r}")
    return float(value)


@dataclass(frozen=True)
class _Request:
    """A checked request to detect."""

    clf: Classifier
    probes: int
    step: float
    classes: int  # other classes looked at
    kinks: bool
    threshold: float
    recorder: Recorder

    def steps(self, images: Tensor, seed: int) -> Iterator[Detection]:
        """Results with more and more of the images."""
        n, news = len(images), News()
        frames: Iterable[Tensor] = _Frames(self.clf, self.probes, seed)
        if self.probes <= room_for(self.clf) // _FRAME_VECTORS:
            frames = list(frames)  # there is one, or those that there are fit into memory together
        found = _Found(self, n)
        for part in slices(n, self._together):
            measured = _Measured(self, images[part])
            for share in measured.sampling(frames):
                fraction = (part.start + share * (part.stop - part.start)) / n
                if fraction < 1.0 and news.due(fraction):
                    yield found.result(Progress(fraction, f"detection, {part.start} of {n} images"))
            found.take(part, measured)
        yield found.result(Progress())

    @property
    def _together(self) -> int:
        """Images whose gradients and second differences fit into memory."""
        clf = self.clf
        numbers = _VECTORS * (self.classes + 1) * clf.dimension + 4 * self.probes * clf.n_classes
        return max(1, min(_IMAGES_TOGETHER, self._numbers // numbers))

    @property
    def classes_together(self) -> int:
        """Other classes whose gradients fit into memory at each of those images: most often all."""
        fitting = self._numbers // (self._together * _VECTORS * self.clf.dimension) - 1
        return max(1, min(self.classes, fitting))

    @property
    def _numbers(self) -> int:
        """That may be held."""
        return self.clf.memory // (4 * (torch.finfo(self.clf.dtype).bits // 8))


class _Measured:
    """Some images, and the second derivatives of their logits in different directions."""

    def __init__(self, request: _Request, images: Tensor) -> None:
        self._request, self._images = request, images
        clf = request.clf
        self.logits: Tensor = clf.forward(images)
        self.labels: Tensor = self.logits.argmax(1)
        others = self.logits.scatter(1, self.labels[:, None], -math.inf)
        self.classes: Tensor = others.topk(request.classes, dim=1).indices  # (n, k)
        parts = list(self._along_normals())
        self.slopes: Tensor = torch.cat([slopes for slopes, _ in parts], dim=1)  # (n, k)
        self.along_normals: Tensor = torch.cat([along for _, along in parts], dim=1)  # (n, k)
        self._sampled: list[Tensor] = []

    def _along_normals(self) -> Iterator[tuple[Tensor, Tensor]]:
        """‖∇F_i‖ and nᵢᵀ H_i nᵢ of as many classes as fit into memory, ``(n, k)`` each."""
        clf, labels = self._request.clf, self.labels[:, None]
        own: Tensor | None = None  # the gradient of f_own, (n, 1, C, H, W)
        for part in slices(self.classes.shape[1], self._request.classes_together):
            classes = self.classes[:, part]
            rows = classes if own is not None else torch.cat([labels, classes], dim=1)
            _, jacobian = clf.forward_jacobian(self._images, rows)
            if own is None:
                own, jacobian = jacobian[:, :1], jacobian[:, 1:]
            gradients = (jacobian - own).flatten(2)  # of F_i, (n, k, d)
            slopes = gradients.norm(dim=2)
            normals = gradients / slopes.clamp_min(_TINY)[:, :, None]
            along = self._second_differences(normals)  # (n, k, L)
            of_own = along.gather(2, labels[:, :, None].expand(-1, classes.shape[1], 1))
            yield slopes, (along.gather(2, classes[:, :, None]) - of_own)[:, :, 0]

    def sampling(self, frames: Iterable[Tensor]) -> Iterator[float]:
        """Measure along unit vectors in frames of ``(t, d)``; yields the share done."""
        clf, n = self._request.clf, len(self._images)
        at_once = max(1, clf.chunk_size * len(clf.devices) // (2 * n))
        done = 0
        for frame in frames:
            for part in slices(len(frame), at_once):
                along = self._second_differences(frame[part].expand(n, -1, -1))
                own = along.gather(2, self.labels[:, None, None].expand(-1, along.shape[1], 1))
                classes = self.classes[:, None].expand(-1, along.shape[1], -1)
                self._sampled.append(along.gather(2, classes) - own)
                yield (done + part.stop) / self._request.probes
            done += len(frame)

    @property
    def terms(self) -> Tensor:
        """Mean of vᵀ G_i v over the sphere for each class looked at, ``(n, k)``."""
        trace = torch.cat(self._sampled, dim=1).mean(1)
        terms = (trace - self.along_normals / self._request.clf.dimension) / self.slopes
        return torch.where(self.slopes > 0, terms, math.nan)

    @property
    def standard_errors(self) -> Tensor:
        """Of the mean of the terms, ``(n,)``.

        Without kinks d vectors of a frame leave no error, and the others deviate as in a sample
        drawn without putting back. With kinks a second difference is no quadratic form, and they
        are taken as independent.
        """
        if sum(sampled.shape[1] for sampled in self._sampled) < 2:
            return torch.full_like(self.slopes[:, 0], math.nan)
        weights = torch.where(self.slopes > 0, 1 / self.slopes, math.nan)
        each = (torch.cat(self._sampled, dim=1) * weights[:, None]).nanmean(2)  # (n, T)
        count, d = each.shape[1], self._request.clf.dimension
        incomplete = count if self._request.kinks else count % d
        left = 1.0 if self._request.kinks else 1 - incomplete / d
        sampling = each.var(1) * left * incomplete / count**2
        rounding = _ROUNDINGS * torch.finfo(each.dtype).eps * self.logits.abs().amax(1)
        return (sampling + (rounding * weights.nanmean(1) / self._request.step**2) ** 2).sqrt()

    def _second_differences(self, vectors: Tensor) -> Tensor:
        """vᵀ H v of every logit, ``(n, m, L)``, along unit vectors ``(n, m, d)``."""
        clf, step = self._request.clf, self._request.step
        n, m, _ = vectors.shape
        offsets = (step * vectors).reshape(n, m, *clf.input_shape)
        places = torch.stack([self._images[:, None] + offsets, self._images[:, None] - offsets])
        ahead, behind = clf.forward(places.flatten(0, 2)).reshape(2, n, m, -1)
        here = self.logits[:, None]
        differences: Tensor = ((ahead - here) + (behind - here)) / step**2
        return differences


class _Found:
    """What is known so far, on the CPU."""

    def __init__(self, request: _Request, n: int) -> None:
        clf = request.clf
        self._request = request
        self._scores = torch.full((n,), math.nan, dtype=clf.dtype)
        self._errors, self._margin = self._scores.clone(), self._scores.clone()
        self._terms = torch.full((n, clf.n_classes), math.nan, dtype=clf.dtype)
        self._recovered = torch.full((n,), -1, dtype=torch.int64)
        self._labels, self._runner_up = self._recovered.clone(), self._recovered.clone()

    def take(self, part: slice, measured: _Measured) -> None:
        terms, logits = measured.terms, measured.logits
        best = terms.nan_to_num(-math.inf).argmax(1, keepdim=True)
        recovered = measured.classes.gather(1, best)[:, 0]
        highest = logits.topk(2, dim=1)
        self._scores[part] = terms.nanmean(1).cpu()
        self._errors[part] = measured.standard_errors.cpu()
        self._terms[part] = (
            torch.full_like(logits, math.nan).scatter(1, measured.classes, terms).cpu()
        )
        self._recovered[part] = torch.where(terms.isnan().all(1), -1, recovered).cpu()
        self._labels[part] = measured.labels.cpu()
        self._margin[part] = (highest.values[:, 0] - highest.values[:, 1]).cpu()
        self._runner_up[part] = highest.indices[:, 1].cpu()

    def result(self, progress: Progress) -> Detection:
        request = self._request
        return Detection(
            score=self._scores.clone(),
            standard_errors=self._errors.clone(),
            perturbed=self._scores > request.threshold,
            recovered=self._recovered.clone(),
            labels=self._labels.clone(),
            terms=self._terms.clone(),
            margin=self._margin.clone(),
            runner_up=self._runner_up.clone(),
            threshold=request.threshold,
            probes=request.probes,
            step=request.step,
            class_names=request.clf.class_names,
            provenance=request.recorder.provenance(),
            progress=progress,
        )


@dataclass(frozen=True)
class _Frames:
    """Random unit vectors in orthonormal frames ``(t, d)``, the same on every device.

    In a frame are d of them, or as many as can be made orthonormal in the memory allowed.
    """

    clf: Classifier
    count: int
    seed: int

    def __iter__(self) -> Iterator[Tensor]:
        clf, generator = self.clf, torch.Generator().manual_seed(self.seed)
        like = torch.empty(0, device=clf.device, dtype=clf.dtype)
        largest = max(1, min(clf.dimension, room_for(clf) // _FRAME_VECTORS))
        for part in slices(self.count, largest):
            drawn = random_block(part.stop - part.start, clf.dimension, generator, like)
            yield orthonormal(drawn)[0]
