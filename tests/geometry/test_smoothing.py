"""The Hessian of a Gaussian-smoothed F: closed forms, and plain Monte Carlo of its definition."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from geoexplorer import principal_curvatures
from geoexplorer.geometry.smoothing import smoothed_halves_steps
from tests import analytic
from tests.analytic import boundary_at, classifier

SIGMA = 0.5


@dataclass
class Surface:
    """Level sets of one F whose gradient is given, at points ``(n, d)``."""

    points: torch.Tensor
    gradient: object
    directions_at_once: int = 4096

    def gradients(self, offsets):
        return self.gradient(self.points[:, None] + offsets)


def smoothed(gradient, z, *, seed=0, sigma=SIGMA, **options):
    """H_σ at z ``(d,)``: the mean of both halves, and the gradient."""
    surface = Surface(z[None], gradient)
    halves = None
    for _, halves in smoothed_halves_steps(surface, sigma * math.sqrt(len(z)), seed, **options):  # noqa: B007
        pass
    return (halves.first[0] + halves.second[0]) / 2, halves.gradients[0]


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def off(found, truth):
    return float((found - truth).norm() / truth.norm())


DIMENSIONS = (2, 3, 5, 10, 100, 400)


class TestClosedForms:
    @pytest.mark.parametrize("d", DIMENSIONS)
    def test_quadratic(self, d):
        """F = xᵀ A x / 2 + bᵀ x: exactly A, and the gradient at z."""
        a, b, z = gaussian(d, d), gaussian(d, seed=1), gaussian(d, seed=2)
        a = a + a.T
        hessian, gradient = smoothed(lambda x: x @ a + b, z)
        assert off(hessian, a) <= 1e-10
        assert off(gradient, a @ z + b) <= 1e-10

    @pytest.mark.parametrize("d", DIMENSIONS)
    def test_quartic(self, d):
        """F = ‖x‖⁴ / 4: H_σ = (‖z‖² + (d + 2) σ²) I + 2 z zᵀ."""
        z = 0.3 * gaussian(d) / math.sqrt(d)
        hessian, gradient = smoothed(lambda x: x.square().sum(-1, keepdim=True) * x, z)
        size = float(z @ z) + (d + 2) * SIGMA**2
        truth = size * torch.eye(d, dtype=torch.float64) + 2 * torch.outer(z, z)
        assert off(hessian, truth) <= 0.01
        assert off(gradient, size * z) <= 0.05

    @pytest.mark.parametrize("d", DIMENSIONS[:-1])
    def test_crease(self, d):
        """F = |aᵀ x|, ‖a‖ = 1: H_σ = 2 φ(aᵀ z / σ) / σ a aᵀ."""
        a = gaussian(d)
        a = a / a.norm()
        z = 0.2 * a + (gaussian(d, seed=1) - (gaussian(d, seed=1) @ a) * a) / math.sqrt(d)
        found = [
            smoothed(lambda x: torch.sign(x @ a)[..., None] * a, z, seed=seed)[0]
            for seed in range(10)
        ]
        height = 2 * math.exp(-((0.2 / SIGMA) ** 2) / 2) / math.sqrt(2 * math.pi) / SIGMA
        along = torch.stack([a @ hessian @ a for hessian in found])
        # A fixed length of the probes would be off by 15 % in two dimensions.
        assert float(along.mean()) == pytest.approx(height, rel=0.02)
        assert off(torch.stack(found).mean(0), height * torch.outer(a, a)) <= 0.02 + 0.008 * d**0.5

    @pytest.mark.parametrize("width", [2, 4])
    def test_principal_curvature_on_a_crease(self, width):
        """From a classifier, in so few dimensions."""
        shape = (1, 1, width)
        across, along = (gaussian(width, seed=seed) for seed in (0, 1))
        across = across / across.norm()
        along = along - (along @ across) * across
        along = along / along.norm()
        crease = analytic.Crease(across.reshape(shape), along.reshape(shape), 0.4)
        clf = classifier(crease)
        b = boundary_at(clf, crease, crease.at(0.0))
        for step in (0.1, 1.0):
            found = principal_curvatures(clf, b, method="smoothed", step=step).values[0, -1]
            truth = crease.smoothed(step / math.sqrt(width))
            assert float(found) == pytest.approx(truth, rel=0.05)


@pytest.mark.parametrize("d", [2, 3, 5, 10])
def test_agrees_with_monte_carlo(d):
    """On a random ReLU network, by independent normal probes: E[∇F(z + σu) uᵀ] / σ."""
    torch.manual_seed(d)
    first, last = nn.Linear(d, 24).double(), gaussian(24, seed=d)
    weight, bias = first.weight.detach(), first.bias.detach()

    def gradient(x):
        return ((x @ weight.T + bias > 0).double() * last) @ weight

    z = 0.3 * gaussian(d, seed=1)
    u = gaussian(400_000, d, seed=2)
    changes = gradient(z + SIGMA * u) - gradient(z - SIGMA * u)
    truth = changes.T @ u / (2 * SIGMA * len(u))
    found = torch.stack([smoothed(gradient, z, seed=seed)[0] for seed in range(4)]).mean(0)
    assert off(found, truth) <= 0.04


def test_halves_are_independent():
    """The errors of both halves have nothing in common beside what their probes leave out."""
    a = torch.tensor([0.6, 0.8, 0.0], dtype=torch.float64)

    def gradient(x):
        return torch.sign(x @ a)[..., None] * a

    height = 2 / math.sqrt(2 * math.pi) / SIGMA
    errors = []
    for seed in range(200):
        surface = Surface(torch.zeros(1, 3, dtype=torch.float64), gradient)
        halves = None
        steps = smoothed_halves_steps(surface, SIGMA * math.sqrt(3), seed, least=48)
        for _, halves in steps:  # noqa: B007
            pass
        errors.append([float(a @ half[0] @ a) - height for half in (halves.first, halves.second)])
    first, second = torch.tensor(errors).T
    correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
    assert abs(float(correlation)) <= 0.25
