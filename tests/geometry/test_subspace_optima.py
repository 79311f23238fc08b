"""Margins in subspaces against an optimiser in their coordinates, and against the whole space."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import geoexplorer as gx
from geoexplorer.geometry.boundary import nearest_boundary
from geoexplorer.geometry.linear_subspace import Subspace, dct_block
from tests import analytic
from tests.analytic import classifier

SHAPE = (1, 3, 4)


def gaussian(n, seed=0):
    return torch.randn((n, *SHAPE), generator=torch.Generator().manual_seed(seed)).double()


def least_norm(module, x, rows):
    """min ‖y‖ where F(x + Bᵀ y) = 0, the best of many starts of SLSQP."""
    A, b = module.A.double().numpy(), module.b.flatten().numpy()
    x, B = x.flatten().numpy(), rows.numpy()

    def level(y):
        z = x + y @ B
        return z @ A @ z / 2 + b @ z + module.c

    found = []
    generator = np.random.default_rng(0)
    for _ in range(25):
        program = minimize(
            lambda y: y @ y,
            generator.normal(size=len(B)),
            jac=lambda y: 2 * y,
            constraints={
                "type": "eq",
                "fun": level,
                "jac": lambda y: B @ (A @ (x + y @ B) + b),
            },
            options={"ftol": 1e-13, "maxiter": 300},
        )
        if program.success and abs(level(program.x)) < 1e-8:
            found.append(np.linalg.norm(program.x))
    return min(found)


@pytest.fixture(scope="module")
def quadric():
    """Curved both ways; every subspace of some dimensions reaches its surface."""
    drawn = torch.randn(12, 12, generator=torch.Generator().manual_seed(5)).double()
    module = analytic.Quadric(0.3 * (drawn + drawn.T), gaussian(1, seed=6)[0], 0.5)
    return module, classifier(module)


@pytest.mark.parametrize("effort", ["interactive", "accurate"])
@pytest.mark.parametrize("m", [3, 6])
def test_quadratic_against_an_optimiser(quadric, m, effort):
    module, clf = quadric
    subspace = Subspace.spanned(gaussian(m, seed=m))
    x = 0.3 * gaussian(6, seed=1)
    found = nearest_boundary(clf, x, effort=effort, subspace=subspace)
    rows = subspace.basis.flatten(1).double()
    expected = torch.tensor([least_norm(module, image, rows) for image in x])
    assert found.converged.all()
    assert (found.distances >= expected * (1 - 1e-5)).all()
    within = 1.01 if effort == "accurate" else 1.03
    assert (found.distances <= expected * within).all()
    assert subspace.share_of(found.perturbations).min() > 1 - 1e-10
    if effort == "accurate":
        assert found.alignment.min() >= 0.999


def test_all_of_space_is_no_confinement():
    clf = gx.load_classifier("digits-cnn", device="cpu")
    x = gx.load_images("digits").images[:40]
    free = nearest_boundary(clf, x, effort="accurate")
    generator = torch.Generator().manual_seed(0)
    bases = [
        dct_block((1, 8, 8), 0, 8),
        Subspace.spanned(torch.randn(64, 1, 8, 8, generator=generator)),
    ]
    for whole in bases:
        found = nearest_boundary(clf, x, effort="accurate", subspace=whole)
        ratios = found.distances / free.distances
        assert float(ratios.mean()) == pytest.approx(1, abs=0.01)
        assert ratios.median() == pytest.approx(1, abs=0.01)


def test_alignment_in_the_subspace_of_a_smooth_network():
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu")
    x = gx.load_images("digits").images[:40]
    low = dct_block((1, 8, 8), 0, 4)
    found = nearest_boundary(clf, x, effort="accurate", subspace=low)
    reached = found[found.converged]
    assert len(reached) >= 35
    assert reached.alignment.median() >= 0.999
    normal = low.project(reached.normals)
    r = reached.perturbations
    cosines = -(r * normal).flatten(1).sum(1)
    cosines /= r.flatten(1).norm(dim=1) * normal.flatten(1).norm(dim=1)
    assert torch.allclose(reached.alignment, cosines, atol=1e-5)
