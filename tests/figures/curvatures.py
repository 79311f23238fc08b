"""Results of curvature with values made up, so that what a figure shows is known."""

from __future__ import annotations

import math

import torch

from geoexplorer.geometry.curvature import PrincipalCurvatures
from geoexplorer.geometry.curvature_by_step import CurvatureByStep
from geoexplorer.geometry.mean_curvature import CurvatureDensity, MeanCurvature
from geoexplorer.geometry.normal_curvature import NormalCurvature
from geoexplorer.results import Provenance

STEPS = tuple(0.156 * 2.0**power for power in range(-6, 3))
DIRECTIONS = ("principal direction 1", "random tangent 1", "principal direction 63", "DCT (0, 3)")


def facts(count, **fields):
    """What all curvatures have; one pair of classes for one point, several for many."""
    alone = count == 1
    return {
        "own": torch.tensor([3]) if alone else torch.arange(count) % 10,
        "other": torch.tensor([8]) if alone else (torch.arange(count) + 1) % 10,
        "distances": torch.full((count,), 0.5),
        "alignment": torch.full((count,), 0.984),
        "method": "smoothed",
        "step": 0.156,
        "at": 1.0,
        "provenance": Provenance(network="digits-cnn"),
        **fields,
    }


def spectrum(dimension):
    """d - 1 curvatures from 1 down to -0.5, most of them near zero."""
    x = torch.linspace(-1, 1, dimension - 1, dtype=torch.float64)
    return torch.where(x < 0, -(x**5), -0.5 * x**5)


def principal(
    count=1, *, dimension=64, extremes=None, shape=(1, 8, 8), kept=False, missing=(), **fields
):
    """The spectrum, (1 + i) times as large for point i; NaN for the points ``missing``."""
    values = spectrum(dimension) * (1 + torch.arange(count))[:, None]
    for row in missing:
        values[row] = math.nan
    if extremes:
        values = torch.cat([values[:, :extremes], values[:, -extremes:]], dim=1)
    directions = None
    if kept:
        generator = torch.Generator().manual_seed(0)
        directions = torch.randn(*values.shape, *shape, generator=generator)
        directions /= directions.flatten(2).norm(dim=2)[..., None, None, None]
    return PrincipalCurvatures(
        **{
            **facts(count),
            "values": values,
            "residuals": torch.zeros_like(values),
            "converged": values.isfinite(),
            "asymmetry": torch.zeros(count),
            "directions": directions,
            "dimension": dimension,
            **fields,
        }
    )


def density(count=1, *, dimension=101, **fields):
    """Nine tenths of the curvatures at 0, a tenth at 1 + i for point i."""
    values = torch.zeros(count, 2, dtype=torch.float64)
    values[:, 1] = 1 + torch.arange(count)
    weights = torch.tensor([0.9, 0.1], dtype=torch.float64).expand(count, 2)
    known = {"values": values, "weights": weights, "noise": torch.zeros(count)}
    return CurvatureDensity(**{**facts(count), **known, "dimension": dimension, **fields})


def by_step(count=1, *, directions=1, **fields):
    """Along direction j, (1 + i) (j + 1) / h for point i."""
    scale = (1.0 + torch.arange(count))[:, None, None] * (1.0 + torch.arange(directions))[:, None]
    names = tuple(DIRECTIONS[index % 4] + "'" * (index // 4) for index in range(directions))
    known = {
        "values": scale / torch.tensor(STEPS),
        "steps": STEPS,
        "directions": torch.zeros(count, directions, 1, 8, 8),
        "direction_names": names,
        "standard_errors": torch.zeros(count, directions, len(STEPS)),
    }
    return CurvatureByStep(**{**facts(count), **known, **fields})


def normal(count=1, *, values=(1.5, 0.0, -0.5, 0.25), **fields):
    """The given curvatures, (1 + i) times as large for point i."""
    known = torch.tensor(values) * (1.0 + torch.arange(count))[:, None]
    names = tuple(DIRECTIONS[index % 4] + "'" * (index // 4) for index in range(len(values)))
    directions = torch.zeros(count, len(values), 1, 8, 8)
    own = {"values": known, "directions": directions, "direction_names": names,
           "standard_errors": torch.zeros_like(known)}  # fmt: skip
    return NormalCurvature(**{**facts(count), **own, **fields})


def mean(count=3, **fields):
    """i / 10 for point i, with a standard error of 0.01."""
    values = torch.arange(count) / 10.0
    own = {"values": values, "standard_errors": torch.full((count,), 0.01), "probes": 100}
    return MeanCurvature(**{**facts(count), **own, **fields})
