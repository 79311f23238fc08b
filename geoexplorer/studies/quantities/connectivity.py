"""Whether a path joins every image to another one inside the region of its class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from geoexplorer.arguments import require_flag
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.connectivity import SCENARIOS
from geoexplorer.geometry.path_search import EFFORTS
from geoexplorer.geometry.paths import connect_steps, enter_region
from geoexplorer.geometry.region_path import RegionPath
from geoexplorer.jobs import Progress
from geoexplorer.results import Result
from geoexplorer.studies.quantities.base import Batch, Columns, Facts, Quantity, Variable

__all__ = ["Connectivity"]

_DIMS = ("scenario",)


@dataclass(frozen=True, eq=False, repr=False)
class _Paths(Result):
    by_scenario: tuple[Mapping[int, RegionPath], ...] = ()  # by the row of the batch


@dataclass(frozen=True)
class Connectivity(Quantity):
    """The paper's scenarios, one pair for each image; options as of :func:`geoexplorer.connect`.

    ``"images"``: another image of the same predicted class. ``"perturbed"``: one of another class,
    perturbed into the class. ``"random"``: a random point of the images' mean norm, perturbed
    likewise.
    """

    name: ClassVar[str] = "connectivity"

    scenario: tuple[str, ...] = ("images",)
    effort: str = "interactive"
    prove: bool = True

    def __post_init__(self) -> None:
        given = (self.scenario,) if isinstance(self.scenario, str) else self.scenario
        known = isinstance(given, Sequence) and all(name in SCENARIOS for name in given)
        if not known or len(given) == 0:
            raise ValueError(
                f"connectivity.scenario must be one or several of {SCENARIOS}, got "
                f"{self.scenario!r}"
            )
        object.__setattr__(self, "scenario", tuple(dict.fromkeys(given)))
        if self.effort not in EFFORTS:
            raise ValueError(
                f"connectivity.effort must be one of {tuple(EFFORTS)}, got {self.effort!r}"
            )
        require_flag("connectivity.prove", self.prove)

    @property
    def scenarios(self) -> Sequence[str]:
        """Each image gets a partner in each."""
        return self.scenario

    def check(self, networks: Sequence[Classifier]) -> None:
        """Paths can be looked for in any network."""

    def variables(self, facts: Facts) -> Mapping[str, Variable]:
        """What is known of the path to the partner."""
        return {
            "partner": Variable(
                "image at the other end; -1 for a random point, or where there is none",
                _DIMS, "whole",
            ),
            "moved": Variable(
                "whether the other end is in the region, if need be perturbed", _DIMS, "flag"
            ),
            "straight": Variable(
                "whether the straight segment stays inside the region", _DIMS, "flag"
            ),
            "connected": Variable(
                "whether a path inside the region was found", _DIMS, "flag"
            ),
            "proven": Variable(
                "whether the path has an exact proof; if not, it was sampled", _DIMS, "flag"
            ),
            "straightness": Variable(
                "length of the path divided by the distance of its ends",
                _DIMS, "double", nan="anywhere",
            ),
            "path_distance": Variable(
                "l2 distance of its ends", _DIMS, "double", "l2 of pixel values", nan="anywhere"
            ),
            "anchors": Variable("points that the path is made of", _DIMS, "whole"),
            "path_margin": Variable(
                "least f_own - f_other on the path", _DIMS, "double", nan="anywhere"
            ),
        }  # fmt: skip

    def coordinates(self, facts: Facts) -> Mapping[str, Sequence[str]]:
        """By scenario."""
        return {"scenario": list(self.scenario)}

    def steps(self, clf: Classifier, batch: Batch, seed: int) -> Iterator[_Paths]:
        """Connect the images to their partners, scenario by scenario."""
        own = clf.labels(batch.images)
        done: list[Mapping[int, RegionPath]] = []
        for index, scenario in enumerate(self.scenario):
            ends = batch.partners[scenario]
            paths: dict[int, RegionPath] = {}
            rows = torch.arange(len(batch))[ends.isfinite().flatten(1).all(1)]
            if len(rows):
                moved = enter_region(clf, ends[rows], own[rows], effort=self.effort, seed=seed)
                inside = moved.isfinite().flatten(1).all(1)
                rows, moved = rows[inside], moved[inside]
            if len(rows):
                for found in connect_steps(
                    clf, batch.images[rows].to(moved), moved,
                    effort=self.effort, prove=self.prove, seed=seed,
                ):  # fmt: skip
                    fraction = (index + found.progress.fraction) / len(self.scenario)
                    if fraction < 1.0:
                        yield _Paths(progress=Progress(fraction, "paths"))
                assert isinstance(found, list)
                paths = dict(zip(rows.tolist(), found, strict=True))
            done.append(paths)
        yield _Paths(tuple(done))

    def columns(self, result: _Paths, batch: Batch) -> Columns:
        """From the paths."""
        facts = [
            [
                _facts(paths.get(row), bool(batch.partners[scenario][row].isfinite().all()))
                for scenario, paths in zip(self.scenario, result.by_scenario, strict=True)
            ]
            for row in range(len(batch))
        ]
        numbers = [batch.partner_numbers[scenario] for scenario in self.scenario]
        return {
            "partner": torch.stack(numbers, dim=1).numpy(),
            **{
                name: np.array([[cell[name] for cell in row] for row in facts])
                for name in facts[0][0]
            },
        }


def _facts(path: RegionPath | None, has_partner: bool) -> dict[str, float]:
    connected = path is not None and path.connected
    unknown = -1 if not has_partner else 0
    return {
        "moved": unknown if path is None else 1,
        "straight": unknown if path is None else int(path.straight.inside is True),
        "connected": unknown if path is None else int(path.connected),
        "proven": unknown if path is None else int(path.proof == "exact"),
        "straightness": path.straightness if path is not None and connected else math.nan,
        "path_distance": math.nan if path is None else _distance(path),
        "anchors": len(path.anchors) if path is not None and connected else 0,
        "path_margin": path.least_margin if path is not None and connected else math.nan,
    }


def _distance(path: RegionPath) -> float:
    return float((path.anchors[-1] - path.anchors[0]).double().norm())
