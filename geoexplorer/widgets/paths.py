"""Paths of the paths panel: from where to where, how they are found, once for all their views."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from geoexplorer.geometry import paths
from geoexplorer.geometry.boundary import nearest_boundary_steps
from geoexplorer.geometry.directions import given
from geoexplorer.geometry.path_places import images_at, least_place
from geoexplorer.geometry.path_planes import path_plane
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.geometry.planes import Plane
from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.widgets.following import DRAWING_SECONDS, announced
from geoexplorer.widgets.proof_cost import seconds_to_prove
from geoexplorer.widgets.session import Session, Subject, View
from geoexplorer.widgets.worker import Delivery

__all__ = [
    "EFFORTS",
    "NEAREST",
    "SCENARIOS",
    "Wanted",
    "candidates_steps",
    "path_steps",
    "plane_steps",
    "random_point",
    "settled_steps",
    "start_of",
]

# What the path leads to, as in the paper.
SCENARIOS = {
    "same class": "another image of the class",
    "other class": "an image of another class",
    "random point": "a random point",
}
EFFORTS = ("interactive", "accurate")
NEAREST = "toward the nearest boundary"
# So many images to choose from are looked for, among so many at most.
_OFFERED, _LOOKED_THROUGH, _AT_ONCE = 24, 400, 24
_TYPICAL = 100  # images whose mean norm a random point has


@dataclass(frozen=True)
class Wanted:
    """A path that is asked for, from the image that is looked at."""

    scenario: str = "same class"
    target: int | None = None  # index of the other image; None: the farthest of those offered
    seed: int = 0  # of the random point
    effort: str = "interactive"
    prove: bool = True


def candidates_steps(
    session: Session, view: View, scenario: str
) -> Generator[Delivery, None, list[int]]:
    """Images to choose the other end from: the first ones called, or not called, as this one."""
    if scenario == "random point":
        return []
    subject, own = view.subject, _own(view)
    same = scenario == "same class"
    known = session.predicted(subject)
    found: list[int] = []
    looked = _in_order(subject, own, first=same)
    for start in range(0, len(looked), _AT_ONCE):
        part = looked[start : start + _AT_ONCE]
        known = session.predict(subject, part)
        found += [n for n in part if n != view.index and (int(known[n]) == own) is same]
        if len(found) >= _OFFERED:
            break
        message = "looking for images to connect with"
        yield partial(session.report, Progress(start / len(looked), message), message)
    return found[:_OFFERED]


def settled_steps(
    session: Session, view: View, wanted: Wanted, offered: list[int]
) -> Generator[Delivery, None, Wanted]:
    """The same with its target: one that fits, or the farthest of those offered.

    Raises
    ------
    ValueError
        If there is none, or the one that was chosen does not fit.
    """
    if wanted.scenario == "random point":
        return replace(wanted, target=None)
    images, names = view.subject.images, view.clf.class_names
    own, same = _own(view), wanted.scenario == "same class"
    index = wanted.target
    if index is None:
        if not offered:
            called = "" if same else "anything but "
            raise ValueError(
                f"No other image was found that is called {called}{names[own]}; choose something "
                "else to connect with, or add an image."
            )
        index = max(offered, key=lambda n: float((images.images[n] - view.x).norm()))
        return replace(wanted, target=index)
    if not 0 <= index < len(images):
        raise ValueError(f"target must be between 0 and {len(images) - 1}, got {index}")
    if index == view.index:
        raise ValueError(f"Image {index} is the one the path begins at; choose another one.")
    label = int(session.predict(view.subject, [index])[index])
    if same and label != own:
        raise ValueError(
            f"Image {index} is called {names[label]}, not {names[own]}: choose “"
            f"{SCENARIOS['other class']}” to perturb it into the region of {names[own]}."
        )
    if not same and label == own:
        raise ValueError(
            f"Image {index} is called {names[own]} already: choose “{SCENARIOS['same class']}”."
        )
    return replace(wanted, target=index)
    yield  # a generator all the same


def path_steps(
    session: Session, view: View, wanted: Wanted, show: Callable[[RegionPath], None]
) -> Generator[Delivery, None, RegionPath]:
    """The path, remembered; ``show`` gets what there is on the way."""
    clf, label = view.clf, _own(view)
    key = ("path", view.subject.key, view.index, wanted)
    found = session.results.get(key)
    if found is None:
        seconds = seconds_to_prove(view.subject) if wanted.prove else 0.0
        yield from announced(session, "connecting", seconds)
        end = _end(view, wanted, label)
        clock, drawn = TimeLeft(), -math.inf
        for found in paths.connect_steps(
            clf, view.x, end, effort=wanted.effort, prove=wanted.prove, seed=wanted.seed
        ):
            assert isinstance(found, RegionPath)  # of one pair
            if not found.progress.complete and time.monotonic() - drawn > DRAWING_SECONDS:
                yield partial(show, found)
                drawn = time.monotonic()
            yield partial(session.report, found.progress, clock.describe(found.progress))
        assert found is not None  # there is at least one step
        session.results.put(key, found)
    return found


def plane_steps(
    session: Session, view: View, wanted: Wanted, path: RegionPath
) -> Generator[Delivery, None, tuple[Plane, bool]]:
    """A plane that holds the path, and whether it goes through the boundary nearest to it.

    A straight path leaves one direction free: it leads from the place with the least margin to
    the nearest boundary point there, so that what comes nearest to the path is seen.
    """
    if len(path.anchors) > 2:
        return path_plane(path), False
    key = ("path boundary", view.subject.key, view.index, wanted)
    points = session.results.get(key)
    if points is None:
        images = images_at(path, [least_place(path)])
        clock = TimeLeft()
        for points in nearest_boundary_steps(view.clf, images):
            message = f"boundary nearest to the path: {clock.describe(points.progress)}"
            yield partial(session.report, points.progress, message)
        assert points is not None  # there is at least one step
        session.results.put(key, points)
    if not bool(points.converged[0]):
        return path_plane(path), False
    toward = given(points.points[0] - path.anchors[0], NEAREST)
    return path_plane(path, toward=toward).marked(z=points.points[0]), True


def random_point(images: Tensor, seed: int) -> Tensor:
    """A random point ``(C, H, W)`` on the sphere of the mean norm of images ``(n, C, H, W)``."""
    generator = torch.Generator().manual_seed(seed)
    point = torch.randn(images.shape[1:], generator=generator)
    return point * images.flatten(1).norm(dim=1).mean() / point.norm()


def start_of(view: View, wanted: Wanted) -> Tensor:
    """The image ``(C, H, W)`` or point that the path leads to, before it is moved."""
    images = view.subject.images.images
    if wanted.target is None:
        return random_point(images[:_TYPICAL], wanted.seed)
    return images[wanted.target]


def _end(view: View, wanted: Wanted, label: int) -> Tensor:
    """The other end ``(C, H, W)``, inside the region."""
    start = start_of(view, wanted)
    if wanted.scenario == "same class":
        return start
    end = paths.enter_region(view.clf, start, label, effort=wanted.effort, seed=wanted.seed)
    if not bool(torch.isfinite(end).all()):
        name = view.clf.class_names[label]
        raise ValueError(
            f"It could not be perturbed into the region of {name}; choose another end, or the "
            "effort “accurate”."
        )
    return end


def _own(view: View) -> int:
    return int(view.boundary.own[0])


def _in_order(subject: Subject, own: int, *, first: bool) -> list[int]:
    """Images to look through; ``first`` those that are labelled as is looked for."""
    images = subject.images
    everything = list(range(len(images)))
    if images.labels is None:
        return everything[:_LOOKED_THROUGH]
    name = subject.clf.class_names[own]
    labels = images.labels.tolist()
    names = images.class_names

    def fits(index: int) -> bool:
        label = labels[index]
        return (0 <= label < len(names) and names[label] == name) is first

    return sorted(everything, key=lambda index: not fits(index))[:_LOOKED_THROUGH]
