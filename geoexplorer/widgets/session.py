"""What all panels share: the classifier, the images, the chosen one and its boundary point."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints, nearest_boundary_steps
from geoexplorer.images import ImageSet, load_images
from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.widgets.remembered import Remembered
from geoexplorer.widgets.selection import (
    ALL,
    MISTAKES,
    Selection,
    available,
    beginning,
    bundled_source,
)
from geoexplorer.widgets.state import nearest_words
from geoexplorer.widgets.worker import Delivery

__all__ = ["LONG_SECONDS", "Session", "Subject", "View", "label_of"]

# Bytes of the curvatures that are kept: all those of two 32x32x3 images, with their directions.
_MOST_BYTES = 100_000_000
# Boundary points kept for images that were looked at before, so that going back is instant.
_REMEMBERED = 64
# So many images are looked through for one to begin with: those on the gallery's first page.
_LOOKED_THROUGH = 9
# Of the images looked through, sorted from the least sure one, the one after this share. The
# very least sure ones lie so near the boundary that hardly anything else is seen.
_LESS_SURE = 0.3
# What takes longer than this says so before it starts; a boundary point and a map together take
# about so many passes.
LONG_SECONDS, _TYPICAL_PASSES = 5.0, 600
_TIMED_SECONDS = 0.01  # of passes, to know what one takes


@dataclass(frozen=True, eq=False)
class Subject:
    """A loaded classifier with loaded images. It is replaced, never changed."""

    network: str
    images_name: str
    clf: Classifier
    images: ImageSet
    seconds: float  # of the forward pass of one image

    @property
    def key(self) -> tuple[str, str]:
        """What the subject is called in caches."""
        return self.network, self.images_name


@dataclass(frozen=True, eq=False)
class View:
    """The image that is looked at, with its nearest boundary point."""

    subject: Subject
    index: int
    boundary: BoundaryPoints  # of one image; it may not have converged

    @property
    def clf(self) -> Classifier:
        """The classifier."""
        return self.subject.clf

    @property
    def x(self) -> Tensor:
        """The image, ``(C, H, W)``."""
        return self.subject.images.images[self.index]

    @property
    def label(self) -> str | None:
        """What the image is labelled, if it is."""
        return label_of(self.subject.images, self.index)

    def is_of(self, other: View) -> bool:
        """Whether both are of the same network and image."""
        return (self.subject.key, self.index) == (other.subject.key, other.index)

    def require_boundary(self) -> BoundaryPoints:
        """The boundary point.

        Raises
        ------
        ValueError
            If the boundary was not reached from this image.
        """
        if not bool(self.boundary.converged[0]):
            raise ValueError(
                "No boundary was reached from this image, so there is no normal and no tangent; "
                "choose axes that need none, such as two DCT frequencies."
            )
        return self.boundary


class Session:
    """Loads what is chosen and remembers what was found out about it.

    The ``*_steps`` methods are parts of work for the worker: they yield deliveries and return
    what the next part needs.

    Parameters
    ----------
    clf, images
        One's own, or None for the bundled ones.
    network, image_set
        Names of bundled ones to begin with.
    device
        Where bundled networks run.
    report
        Shows progress and a message; called on the worker thread.
    subject_changed
        Called on the worker thread with a new subject.
    """

    def __init__(
        self,
        clf: Classifier | None,
        images: ImageSet | None,
        *,
        network: str | None = None,
        image_set: str | None = None,
        device: Any = "auto",
        report: Callable[[Progress, str], None] = lambda progress, message: None,
        subject_changed: Callable[[Subject], None] = lambda subject: None,
    ) -> None:
        self.own_classifier, self.own_images, self.device = clf, images, device
        networks, image_sets = available(clf, images)
        self.selection = Selection(networks, image_sets)
        self.selection.restore(beginning(self.selection, clf, images, network, image_set))
        self.subject: Subject | None = None
        self.directions: dict[str, Tensor] = {}  # saved ones, (C, H, W)
        self.added: dict[str, list[tuple[str, Tensor]]] = {}  # one's own images, by image set
        self.report = report
        self._subject_changed = subject_changed
        self._bundled: tuple[str, Classifier] | None = None  # the last one that was loaded
        self._boundaries: OrderedDict[tuple[Any, ...], BoundaryPoints] = OrderedDict()
        self._predicted: dict[tuple[str, str], Tensor] = {}
        self.results = Remembered(_MOST_BYTES)  # of curvatures; see curvatures.py

    def is_own_network(self, name: str) -> bool:
        """Whether a network is the caller's own."""
        return self.own_classifier is not None and self.own_classifier.name == name

    def is_own_set(self, name: str) -> bool:
        """Whether an image set is the caller's own."""
        return self.own_images is not None and self.own_images.name == name

    def view_steps(self) -> Generator[Delivery, None, View]:
        """Load what is chosen, find an image if none is chosen, and its nearest boundary."""
        subject = yield from self.subject_steps()
        index = self.selection.image
        if index is None:
            index = self._interesting(subject)
        if index >= len(subject.images):
            raise ValueError(
                f"image must be between 0 and {len(subject.images) - 1} for "
                f"{subject.images_name!r}, got {index}"
            )
        boundary = yield from self.boundary_steps(subject, index)
        return View(subject, index, boundary)

    def subject_steps(self) -> Generator[Delivery, None, Subject]:
        """Load the chosen network and images, unless they are loaded."""
        key = self.selection.network, self.selection.images
        subject = self.subject
        if subject is None or subject.key != key:
            yield partial(self.report, Progress(0.0, "loading"), f"loading {key[0]} and {key[1]}")
            clf, images = self._classifier(key[0]), self._images(key[1])
            subject = Subject(*key, clf, images, _seconds_of_a_pass(clf, images))
            yield partial(self._take, subject)
        return subject

    def boundary_steps(
        self,
        subject: Subject,
        index: int,
        other: int | None = None,
        *,
        effort: str = "interactive",
    ) -> Generator[Delivery, None, BoundaryPoints]:
        """The nearest boundary point of an image, or the nearest toward a class."""
        key = (*subject.key, index, other, effort)
        found = self._boundaries.get(key)
        if found is None:
            seconds = subject.seconds * _TYPICAL_PASSES
            if seconds > LONG_SECONDS:
                message = f"this network may take about {seconds:.0f} s; a coarse map comes first"
                yield partial(self.report, Progress(0.0, message), message)
            clock = TimeLeft()
            for found in nearest_boundary_steps(
                subject.clf, subject.images.images[index : index + 1], other, effort=effort
            ):
                message = f"nearest boundary: {clock.describe(found.progress)}"
                yield partial(self.report, found.progress, message)
            assert found is not None
            self._boundaries[key] = found
            while len(self._boundaries) > _REMEMBERED:
                self._boundaries.popitem(last=False)
        return found

    def add_image(self, note: str, image: Tensor) -> int:
        """Put an image of one's own, ``(C, H, W)``, at the end of the chosen set; its index."""
        if self.subject is None:
            raise ValueError("The images are still being loaded; add yours once they are there.")
        chosen, count = self.selection.images, len(self.subject.images)
        self.added.setdefault(chosen, []).append((note, image))
        self.subject = None
        return count

    def replace_added(self, added: Mapping[str, list[tuple[str, Tensor]]]) -> None:
        """Have these images of one's own in place of those there are."""
        self.added = dict(added)
        self.subject = None
        self._boundaries.clear()
        self._predicted.clear()
        self.results.clear()

    def is_added(self, subject: Subject, index: int) -> bool:
        """Whether an image of a subject is one that was added in the gallery."""
        return index >= len(subject.images) - len(self.added.get(subject.images_name, ()))

    def predicted(self, subject: Subject) -> Tensor:
        """Predicted classes ``(n,)`` of a subject's images, -1 where not known yet."""
        known = self._predicted.get(subject.key)
        count = len(subject.images)
        if known is None or len(known) < count:
            fresh = torch.full((count,), -1, dtype=torch.int64)
            if known is not None:
                fresh[: len(known)] = known
            self._predicted[subject.key] = known = fresh
        return known

    def predict(self, subject: Subject, indices: list[int]) -> Tensor:
        """Find out the predicted classes of some images; all that are known by now."""
        known = self.predicted(subject)
        wanted = [index for index in indices if known[index] < 0]
        if wanted:
            known[wanted] = subject.clf.labels(subject.images.images[wanted]).cpu()
        return known

    def shown(self, subject: Subject) -> list[int]:
        """Indices of the images that the chosen class leaves in the gallery.

        Of the misclassified ones, those whose prediction is known.
        """
        images, chosen = subject.images, self.selection.shown_class
        everything = list(range(len(images)))
        if chosen == ALL or images.labels is None:
            return everything
        if chosen == MISTAKES:
            known = self.predicted(subject)
            wrong = (known != images.labels) & (known >= 0) & (images.labels >= 0)
            return [int(index) for index in torch.nonzero(wrong)]
        if chosen not in images.class_names:
            raise ValueError(
                f"class {chosen!r} is not known{nearest_words(chosen, images.class_names)}"
            )
        label = images.class_names.index(chosen)
        return [int(index) for index in torch.nonzero(images.labels == label)]

    def _take(self, subject: Subject) -> None:
        self.subject = subject
        self._subject_changed(subject)

    def _classifier(self, name: str) -> Classifier:
        if self.is_own_network(name) and self.own_classifier is not None:
            return self.own_classifier
        if self._bundled is None or self._bundled[0] != name:
            from geoexplorer.zoo import load_classifier

            self._bundled = name, load_classifier(name, device=self.device)
        return self._bundled[1]

    def _images(self, name: str) -> ImageSet:
        if self.is_own_set(name) and self.own_images is not None:
            images = self.own_images
        else:
            images = _bundled_images(name)
        for _, image in self.added.get(name, ()):
            images = images.with_image(image)
        return images

    def _interesting(self, subject: Subject) -> int:
        """An image near the boundary: one of the less sure ones that are classified rightly."""
        # As many as the device takes at once; never by the clock, so that a re-run shows the same.
        count = min(len(subject.images), _LOOKED_THROUGH, subject.clf.chunk_size)
        looked = list(range(count))
        logits = subject.clf.logits(subject.images.images[looked])
        highest = logits.topk(2, dim=1)
        self.predicted(subject)[looked] = highest.indices[:, 0]
        gaps = highest.values[:, 0] - highest.values[:, 1]
        labels = subject.images.labels
        if labels is not None:
            gaps = gaps.where(highest.indices[:, 0] == labels[looked], float("inf"))
        ranked = gaps.argsort()
        usable = int(torch.isfinite(gaps).sum())
        return int(ranked[int(_LESS_SURE * usable)])


@lru_cache(maxsize=2)
def _bundled_images(name: str) -> ImageSet:
    """A bundled set, the same for all explorers of a process: the shapes take 24 MB."""
    return load_images(bundled_source(name))


def _seconds_of_a_pass(clf: Classifier, images: ImageSet) -> float:
    """Seconds that a forward pass of one image takes, once all is warm and nothing interrupts."""
    clf.logits(images.images[:1])
    shortest, end = math.inf, time.perf_counter() + _TIMED_SECONDS
    while True:
        started = time.perf_counter()
        clf.logits(images.images[:1])
        now = time.perf_counter()
        shortest = min(shortest, now - started)
        if now > end:
            return shortest


def label_of(images: ImageSet, index: int) -> str | None:
    """The name of an image's label, None where it has none."""
    if images.labels is None or int(images.labels[index]) < 0:
        return None
    return images.class_names[int(images.labels[index])]
