"""Detection scores of the detection panel: how they are measured, once for all its views.

All are measured some images at a time, and what is known is remembered after every part: it can
be seen as it comes, and what was interrupted goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.detection import Detection, detect_steps
from geoexplorer.geometry.detection_along import STOPS, DetectionAlong, detect_along_steps
from geoexplorer.geometry.detection_roc import DetectionROC, detection_roc_steps
from geoexplorer.results import joined
from geoexplorer.widgets.curvatures import (
    Measure,
    images_averaged,
    points_of_many_steps,
)
from geoexplorer.widgets.following import announced
from geoexplorer.widgets.parts import in_parts
from geoexplorer.widgets.session import Session, Subject, View
from geoexplorer.widgets.worker import Delivery

__all__ = [
    "CLASSES",
    "Probing",
    "along_steps",
    "classes_taken",
    "natural_steps",
    "roc_steps",
    "seconds_an_image",
]

# Every so manieth of them first, so that the whole way is seen early.
_COARSE = 6
# Other classes that are looked at, by their name in the state: how many of the highest ones.
CLASSES = {"all": None, "10 highest": 10, "3 highest": 3, "runner-up": 1}
_ALL_CLASSES = 20  # of a network, up to which all are looked at by default
# Images, or places, that come in at once: small ones on a CPU, elsewhere enough to fill it.
_TOGETHER, _NUMBERS, _FEWEST = 32, 16_384, 4
_SCALES = 3  # perturbed images for each natural one in an ROC
# What a pass among many takes, in passes of a single image; and a gradient, in passes.
_AMONG_MANY, _GRADIENT = 0.4, 3
_SEARCH = 100  # and the search for a boundary point


@dataclass(frozen=True)
class Probing:
    """How detection scores are measured.

    Examples
    --------
    >>> Probing(probes=20, classes=3).options()
    {'probes': 20, 'classes': 3}
    """

    probes: int = 50
    step: float | None = None
    classes: int | None = None  # of the highest other ones; None for all
    point: str = "nearest"

    def options(self) -> dict[str, Any]:
        """What ``detect`` is called with, but for its defaults."""
        given = {"probes": self.probes, "step": self.step, "classes": self.classes}
        usual = Probing()
        return {name: value for name, value in given.items() if value != getattr(usual, name)}

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for what gives equal scores of the same images."""
        return self.probes, self.step, self.classes


def classes_taken(name: str, clf: Classifier) -> int | None:
    """How many of the other classes are looked at, for a name in ``CLASSES`` or ``"auto"``."""
    if name == "auto":
        name = "all" if clf.n_classes <= _ALL_CLASSES else "10 highest"
    count = CLASSES[name]
    return None if count is None or count >= clf.n_classes - 1 else count


def seconds_an_image(subject: Subject, probing: Probing) -> float:
    """About how long the score of an image will take."""
    classes = probing.classes or subject.clf.n_classes - 1
    passes = 2 * probing.probes + 2 * classes + 2 + _GRADIENT * (classes + 1)
    return passes * _AMONG_MANY * subject.seconds


def along_steps(
    session: Session,
    view: View,
    points: BoundaryPoints,
    probing: Probing,
    show: Callable[[DetectionAlong], None],
) -> Generator[Delivery, None, DetectionAlong]:
    """The scores at all stops on the way across the boundary; ``show`` gets those known so far."""
    key = ("detection along", view.subject.key, view.index, probing)

    def measured(part: Tensor) -> Iterator[DetectionAlong]:
        return detect_along_steps(view.clf, points, STOPS[part], **probing.options())

    def in_order(known: DetectionAlong, new: DetectionAlong) -> DetectionAlong:
        both = joined(known, new, 0)
        return both[both.stops.argsort()]

    coarse, rest = STOPS[::_COARSE], len(STOPS)
    fine = torch.tensor([n for n in range(rest) if n % _COARSE])
    parts = [torch.arange(rest)[::_COARSE], *fine.split(max(_FEWEST, len(coarse)))]
    seconds = seconds_an_image(view.subject, probing)
    return (
        yield from in_parts(
            session, key, "scores across the boundary", parts, measured, in_order, show,
            known=lambda found: len(found.stops), seconds=seconds,
        )
    )  # fmt: skip


def natural_steps(
    session: Session,
    view: View,
    probing: Probing,
    count: int,
    show: Callable[[Detection], None],
    *,
    seconds: float,
) -> Generator[Delivery, None, Detection]:
    """The scores of the first images of the set; ``seconds`` is what one of them takes about."""
    clf, images = view.clf, view.subject.images.images
    count = images_averaged(session, view, count)
    key = ("detection natural", view.subject.key, count, probing.key)

    def measured(part: Tensor) -> Iterator[Detection]:
        return detect_steps(clf, images[part], **probing.options())

    parts = torch.arange(count).split(_together(clf))
    return (
        yield from in_parts(
            session, key, f"threshold from {count} natural images", parts, measured,
            lambda known, new: joined(known, new, 0), show,
            known=lambda found: len(found.score), seconds=seconds,
        )
    )  # fmt: skip


def roc_steps(
    session: Session,
    view: View,
    probing: Probing,
    count: int,
    show: Callable[[DetectionROC], None],
    *,
    natural: Detection,
    seconds: float,
) -> Generator[Delivery, None, DetectionROC]:
    """The first images of the set against the same ones perturbed.

    ``natural`` is what :func:`natural_steps` gives of them, which are not scored again.
    """
    clf = view.clf
    count = images_averaged(session, view, count)
    measure = Measure(point=probing.point)
    what = f"ROC over {count} images"
    key = ("detection roc", view.subject.key, count, probing)
    if session.results.get(key) is None:
        each = _SCALES * seconds + _SEARCH * view.subject.seconds
        yield from announced(session, what, count * each)
    points = yield from points_of_many_steps(session, view.subject, measure, count)

    def measured(part: Tensor) -> Iterator[DetectionROC]:
        return detection_roc_steps(clf, points[part], **probing.options(), natural=natural[part])

    parts = points.converged.nonzero()[:, 0].split(_together(clf))
    return (
        yield from in_parts(
            session, key, what, parts, measured,
            lambda known, new: joined(known, new, -1), show,
            known=lambda found: len(found.own), seconds=_SCALES * seconds,
        )
    )  # fmt: skip


def _together(clf: Classifier) -> int:
    if clf.device.type != "cpu":
        return _TOGETHER
    return min(_TOGETHER, max(_FEWEST, _NUMBERS // clf.dimension))
