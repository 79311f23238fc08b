"""rho: isotropic curvature, a cylinder, and dense matrices of a network."""

import dataclasses
import math

import pytest
import torch
from torch.autograd.functional import hessian

import geoexplorer as gx
from geoexplorer.geometry.relative_curvature import relative_curvature, relative_curvature_steps
from tests.geometry.test_detection import TwoBalls, classifier, random_images, smooth_network
from tests.steps import assert_cancellable, assert_round_trip, assert_steps

METHODS = ["autograd", "central_difference", "smoothed"]


def dense_shape_operator(clf, point, own, other, d):
    """P H P / ‖∇F‖ by automatic differentiation."""

    def level(image):
        logits = clf.module(image[None])[0]
        return logits[own] - logits[other]

    H = hessian(level, point).reshape(d, d)
    image = point.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(level(image), image)
    n = gradient.flatten() / gradient.norm()
    P = torch.eye(d, dtype=torch.float64) - n[:, None] * n
    return P @ H @ P / gradient.norm()


@pytest.fixture(scope="module")
def network():
    clf = classifier(smooth_network())
    return clf, gx.nearest_boundary(clf, random_images(8), effort="accurate")


@pytest.mark.parametrize("method", METHODS)
def test_a_ball_is_as_curved_in_all_directions(method):
    shape, d, radius = (1, 4, 4), 16, 1.5
    clf = classifier(TwoBalls(radius), shape, bounds=(-2, 2))
    x = random_images(3, shape) - 0.5
    b = gx.nearest_boundary(clf, x)
    u = torch.randn(6, *shape, dtype=torch.float64)
    found = relative_curvature(clf, b, u, probes=400, method=method)
    n = b.normals.flatten(1)
    unit = u.flatten(1) / u.flatten(1).norm(dim=1, keepdim=True)
    tangent = 1 - (n @ unit.T).square()  # G has a zero along the normal
    assert torch.allclose(found.along, -tangent / radius, rtol=2e-2)
    assert torch.allclose(found.typical, torch.full((3,), (d - 1) / d / radius).double(), rtol=2e-2)
    assert torch.allclose(found.values, tangent * d / (d - 1), rtol=4e-2)


def test_dense_matrices(network):
    clf, b = network
    u = torch.randn(5, 1, 3, 3, dtype=torch.float64)
    found = relative_curvature(clf, b, u, probes=4000, method="autograd")
    unit = u.flatten(1) / u.flatten(1).norm(dim=1, keepdim=True)
    generator = torch.Generator().manual_seed(3)
    v = torch.randn(20_000, 9, generator=generator, dtype=torch.float64)
    v = v / v.norm(dim=1, keepdim=True)
    for row in range(len(b)):
        G = dense_shape_operator(clf, b.points[row], int(b.own[row]), int(b.other[row]), 9)
        assert torch.allclose(found.along[row], ((unit @ G) * unit).sum(1), rtol=1e-6, atol=1e-9)
        sizes = ((v @ G) * v).sum(1).abs()
        assert abs(float(found.typical[row] - sizes.mean())) < 5 * float(found.typical_errors[row])
        assert torch.allclose(found.values[row], found.along[row].abs() / found.typical[row])


def test_the_error_of_the_typical_curvature(network):
    clf, b = network
    u = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    seeds = [relative_curvature(clf, b, u, probes=25, seed=seed) for seed in range(60)]
    spread = torch.stack([found.typical for found in seeds]).std(0)
    said = torch.stack([found.typical_errors for found in seeds]).mean(0)
    assert 0.75 < float((said / spread).median()) < 1.3


def test_unconverged_rows_are_unknown(network):
    clf, b = network
    holed = dataclasses.replace(b, converged=b.converged & (torch.arange(8) != 2))
    found = relative_curvature(clf, holed, torch.randn(2, 1, 3, 3), probes=5)
    assert found.values[2].isnan().all()
    assert found.values[3].isfinite().all()


def test_steps_saving_and_indexing(network, tmp_path):
    clf, b = network
    u = torch.randn(3, 1, 3, 3, dtype=torch.float64)
    found = relative_curvature(clf, b, u, probes=6)
    assert_steps(relative_curvature_steps(clf, b, u, probes=6), found)
    assert_round_trip(found, tmp_path / "rho.npz")
    assert found[1:3].along.shape == (2, 3)
    assert_cancellable(clf, lambda: relative_curvature(clf, b, u, probes=6))


def test_progress_moves_within_a_point(network):
    clf, b = network
    u = torch.randn(40, 1, 3, 3, dtype=torch.float64)
    parts = list(relative_curvature_steps(clf, b[:1], u, probes=80))
    known = [int(part.along.isfinite().sum()) for part in parts]
    assert known == [0, 0, 0, 32, 40, 40]
    fractions = [part.progress.fraction for part in parts]
    assert fractions[:4] == pytest.approx([32 / 120, 64 / 120, 80 / 120, 112 / 120])
    assert fractions[4] < fractions[5] == 1.0


@pytest.mark.parametrize(
    ("directions", "options", "name"),
    [
        (None, {}, "directions"),
        (torch.ones(1, 1, 3, 3, dtype=torch.int64), {}, "directions"),
        (torch.ones(2, 1, 2, 2), {}, "directions"),
        (torch.zeros(1, 1, 3, 3), {}, "directions"),
        (torch.full((1, 1, 3, 3), math.nan), {}, "directions"),
        (torch.ones(0, 1, 3, 3), {}, "directions"),
        (torch.ones(1, 3, 3), {"probes": 1}, "probes"),
        (torch.ones(1, 3, 3), {"method": "secant"}, "method"),
        (torch.ones(1, 3, 3), {"step": 0.0, "method": "smoothed"}, "step"),
        (torch.ones(1, 3, 3), {"seed": -1}, "seed"),
    ],
)
def test_bad_options(network, directions, options, name):
    clf, b = network
    before = clf.cost
    with pytest.raises((TypeError, ValueError), match=f"^{name} must"):
        relative_curvature_steps(clf, b, directions, **options)
    assert clf.cost == before
