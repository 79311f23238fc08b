"""Results of shared directions, subspaces and detection with values made up."""

from __future__ import annotations

import math

import torch

from geoexplorer.geometry.detection import Detection
from geoexplorer.geometry.detection_along import DetectionAlong
from geoexplorer.geometry.detection_roc import DetectionROC
from geoexplorer.geometry.noise import NoiseSensitivity
from geoexplorer.geometry.relative_curvature import RelativeCurvature
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.geometry.subspace_margins import SubspaceMargins
from geoexplorer.geometry.subspace_shares import SubspaceShares
from geoexplorer.jobs import Progress
from geoexplorer.results import Provenance
from tests.figures.curvatures import facts

HALF = Progress(0.5, "half done")
MADE = Provenance(network="digits-cnn", options={"points": "deepfool"})
TEN = tuple(f"digit {label}" for label in range(10))
SUBSPACES = ("curved, 10 dimensions", "flat, 10 dimensions", "whole space")


def shared(upper=6, lower=4, *, dimension=64, **fields):
    """Values upper, …, 1 and then -1, …, -lower, of so many dimensions."""
    values = torch.tensor([*range(upper, 0, -1), *range(-1, -lower - 1, -1)]).double()
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(len(values), 1, 8, 8, generator=generator)
    return SharedDirections(
        **{
            "directions": directions / directions.flatten(1).norm(dim=1)[:, None, None, None],
            "values": values,
            "residuals": torch.zeros(len(values)),
            "converged": torch.ones(len(values), dtype=torch.bool),
            "asymmetry": 0.3,
            "points": 60,
            "dimension": dimension,
            "method": "smoothed",
            "step": 0.156,
            "at": 1.0,
            "provenance": MADE,
            **fields,
        }
    )


def relative(count=5, m=12, **fields):
    """10 / (1 + j) along direction j, (1 + i) times as large at point i."""
    values = 10.0 / (1 + torch.arange(m)) * (1.0 + torch.arange(count))[:, None]
    typical = torch.ones(count)
    known = {
        "values": values,
        "along": values,
        "typical": typical,
        "typical_errors": 0.05 * typical,
    }
    return RelativeCurvature(**{**facts(count), **known, "probes": 100, **fields})


def shares(kinds=3, each=11, **fields):
    """Evenly from 0 to 0.5 + k / 10 for kind k, m = 16 of 64."""
    known = {
        "names": tuple(f"kind {kind}" for kind in range(kinds)),
        "shares": tuple(torch.linspace(0, min(0.5 + 0.1 * kind, 1), each) for kind in range(kinds)),
        "subspace": "curved, 16 dimensions",
        "m": 16,
        "dimension": 64,
        "provenance": MADE,
    }
    return SubspaceShares(**{**known, **fields})


def noise(names=SUBSPACES, **fields):
    """10 (k + 1) of 100 change in the first subspace at norm k + 1, half as many in the second…"""
    rows = torch.arange(1, 5) * 10 // (1 + torch.arange(len(names)))[:, None]
    known = {
        "norms": torch.arange(1.0, 5.0),
        "changed": rows,
        "tried": torch.full_like(rows, 100),
        "names": tuple(names),
        "dimensions": (10,) * len(names),
        "images": 20,
        "draws": 5,
        "provenance": MADE,
    }
    return NoiseSensitivity(**{**known, **fields})


def margins(names=SUBSPACES, n=20, **fields):
    """1, 2, …, n hundredths, times the number of the subspace."""
    distances = torch.arange(1.0, n + 1) / 100 * (1 + torch.arange(len(names)))[:, None]
    known = {
        "names": tuple(names),
        "dimensions": (10,) * len(names),
        "distances": distances,
        "own": torch.zeros(n).long(),
        "class_names": TEN,
        "provenance": MADE,
    }
    return SubspaceMargins(**{**known, **fields})


def verdicts(score, *, classes=10, **fields):
    """Scores as given, the term of class c c / 10 above them, class 0 called."""
    score = torch.as_tensor(score, dtype=torch.float64)
    n = len(score)
    terms = score[:, None] + torch.arange(classes) / 10
    terms[:, 0] = math.nan
    return {
        "score": score,
        "standard_errors": torch.full((n,), 0.01),
        "perturbed": score > 0.25,
        "recovered": torch.full((n,), classes - 1),
        "labels": torch.zeros(n).long(),
        "terms": terms,
        "margin": torch.ones(n),
        "runner_up": torch.ones(n).long(),
        "threshold": 0.25,
        "probes": 50,
        "step": 0.156,
        "class_names": tuple(f"digit {label}" for label in range(classes)),
        "provenance": MADE,
        **fields,
    }


def detection(score=(0.0, 0.1, 0.2, 0.5, 0.6), **fields):
    """Two of five scores above the threshold 0.25."""
    return Detection(**verdicts(score, **fields))


def along(score=None, *, stops=31, **fields):
    """A score that rises from 0 to 0.5 at t from 0 to 3; class 1 from t = 1 on."""
    places = torch.linspace(0, 3, stops)
    score = places / 6 if score is None else score
    known = {"stops": places, "own": 0, "other": 1, "distance": 0.5}
    return DetectionAlong(**verdicts(score, **{"labels": (places >= 1).long(), **known, **fields}))


def roc(n=40, scales=(1.02, 2.0), **fields):
    """Natural scores around 0 and perturbed ones around α; margins as far apart as can be."""
    spread = torch.linspace(-1, 1, n).double()
    natural = torch.stack([spread, spread - 9])
    perturbed = torch.stack([torch.stack([spread + a / 2, spread + 9]) for a in scales])
    hits = torch.arange(n).expand(len(scales), n)
    known = {
        "scales": tuple(scales),
        "natural": natural,
        "perturbed": perturbed,
        "changed": torch.ones(len(scales), n, dtype=torch.bool),
        "recovered": hits < n // 4,
        "runner_up": hits < n // 2,
        "own": torch.zeros(n).long(),
        "distances": torch.ones(n),
        "false_positive_rate": 0.05,
        "perturbation": "deepfool",
        "probes": 50,
        "step": 0.156,
        "seed": 0,
        "class_names": TEN,
        "provenance": MADE,
    }
    return DetectionROC(**{**known, **fields})
