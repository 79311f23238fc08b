"""Curvature of the boundary: closed forms first, then independent computations on networks."""

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

import geoexplorer as gx
from geoexplorer import (
    CurvatureByStep,
    CurvatureDensity,
    MeanCurvature,
    NormalCurvature,
    PrincipalCurvatures,
    curvature_by_step,
    curvature_by_step_steps,
    curvature_density,
    curvature_density_steps,
    jobs,
    mean_curvature,
    mean_curvature_steps,
    normal_curvature,
    normal_curvature_steps,
    principal_curvatures,
    principal_curvatures_steps,
)
from geoexplorer.geometry import directions as named
from geoexplorer.geometry import extreme_curvatures
from geoexplorer.geometry.operators import default_step
from geoexplorer.geometry.spectra import TOLERANCE, vectors_held
from geoexplorer.results import Recorder
from tests import analytic
from tests.analytic import boundary_at, classifier

SHAPE = (1, 4, 4)
D = 16
METHODS = ("autograd", "central_difference", "smoothed")
LARGE = (3, 32, 32)


def gaussian(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def unit(index, shape=SHAPE):
    image = torch.zeros(shape, dtype=torch.float64)
    image.view(-1)[index] = 1.0
    return image


def diagonal(*values, c):
    """A quadric in 16 dimensions whose diagonal repeats the values."""
    repeated = torch.tensor(values, dtype=torch.float64).repeat(D // len(values))
    return analytic.Quadric(repeated, torch.zeros(SHAPE), c)


def symmetric(seed):
    matrix = gaussian(D, D, seed=seed) / 4
    return matrix + matrix.T


BALL = analytic.Ball(torch.full(SHAPE, 0.5), 2.0)
GENERAL = analytic.Quadric(symmetric(1), gaussian(*SHAPE, seed=2), 0.3)
QUADRATICS = {
    "plane": (analytic.HalfSpace(gaussian(*SHAPE), 0.3), 0),
    "ball, from inside": (BALL, 0),
    "ball, from outside": (BALL, 1),
    "ellipsoid": (
        analytic.Ellipsoid(torch.full(SHAPE, 0.5), torch.linspace(1.0, 3.0, D).reshape(SHAPE)),
        0,
    ),
    "hyperboloid": (diagonal(1.0, 2.0, -1.5, 0.7, c=-1.0), 0),
    "hyperboloid, from the other side": (diagonal(1.0, 2.0, -1.5, 0.7, c=-1.0), 1),
    "cylinder": (diagonal(-1.0, 0.0, c=1.0), 0),
    "saddle": (analytic.Quadric.with_curvatures(torch.linspace(-2.0, 3.0, D - 1), SHAPE), 0),
    "general": (GENERAL, 0),
}


def on_surface(module, own=0, count=3, seed=5, dtype=torch.float64, distance=0.1):
    """A classifier and points on its boundary."""
    clf = classifier(module, dtype=dtype)
    turned = isinstance(module, analytic.Rotated)
    z = (module.module if turned else module).onto(gaussian(count, *module.input_shape, seed=seed))
    z = module.back(z) if turned else z
    return clf, boundary_at(clf, module, z, distance=distance, own=own)


def off(found, truth):
    """The largest error, relative to the largest curvature of its point."""
    scale = truth.abs().flatten(1).amax(1)
    errors = (found.double() - truth).abs().flatten(1).amax(1)
    return float((errors / torch.where(scale > 0, scale, 1.0)).max())


def shape_operator(module, z):
    """G = P H P / ‖∇F‖ in closed form, ``(n, d, d)``."""
    gradient = module.gradient(z.double()).flatten(1)
    length = gradient.norm(dim=1)[:, None, None]
    n = gradient / length[:, 0]
    projection = torch.eye(n.shape[1]) - n[:, :, None] * n[:, None]
    basis = torch.eye(n.shape[1]).double() if module.basis is None else module.basis
    hessian = basis @ torch.diag(module.eigenvalues) @ basis.T
    return projection @ hessian @ projection / length


def without_boundary(b, row):
    """The same points with one that was not reached."""
    parts = {"images": b.images}
    for name in ("points", "perturbations", "normals", "alignment"):
        parts[name] = getattr(b, name).clone()
        parts[name][row] = math.nan
    for name, value in (("distances", math.inf), ("residual", math.inf), ("other", -1)):
        parts[name] = getattr(b, name).clone()
        parts[name][row] = value
    converged = b.converged.clone()
    converged[row] = False
    return replace(b, **parts, converged=converged)


class Scored(nn.Module):
    """Another module's logits, changed by a function."""

    def __init__(self, module, function):
        super().__init__()
        self.module, self.function = module, function

    def forward(self, x):
        return self.function(self.module(x))


@pytest.fixture(scope="module")
def smooth_large():
    """A network without kinks in 3,072 dimensions, and nearest points of three images."""
    clf = gx.load_classifier("shapes-lenet-smooth", device="cpu")
    return clf, gx.nearest_boundary(clf, gx.load_images("shapes").images[:3], effort="accurate")


@pytest.fixture(scope="module")
def given_spectrum():
    """A quadric in 3,072 dimensions, rotated, whose curvatures are like a network's."""
    curvatures = 0.01 * gaussian(3071, seed=3)
    curvatures[:15] = torch.linspace(0.2, 1.0, 15)
    curvatures[-15:] = torch.linspace(-2.0, -0.3, 15)
    quadric = analytic.Quadric.with_curvatures(curvatures, LARGE)
    module = analytic.Rotated(quadric, LARGE)
    clf = classifier(module, dtype=torch.float32)
    origin = torch.zeros(2, *LARGE)
    return clf, boundary_at(clf, module, origin), curvatures.sort(descending=True).values


class TestPrincipalCurvaturesInClosedForm:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("name", QUADRATICS)
    def test_all_of_a_quadratic_surface(self, name, method):
        module, own = QUADRATICS[name]
        clf, b = on_surface(module, own)
        found = principal_curvatures(clf, b, method=method)
        truth = module.principal_curvatures(b.points, own)
        assert found.values.shape == (3, D - 1)
        assert off(found.values, truth) <= (1e-8 if method == "autograd" else 1e-5)
        assert found.converged.all()

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("name", QUADRATICS)
    def test_extremes_of_a_quadratic_surface(self, name, method):
        """Also where many directions share one curvature, as on the ball and the cylinder."""
        module, own = QUADRATICS[name]
        clf, b = on_surface(module, own)
        found = principal_curvatures(clf, b, k=3, method=method)
        truth = module.principal_curvatures(b.points, own)
        assert found.values.shape == (3, 6)
        assert off(found.values, torch.cat([truth[:, :3], truth[:, -3:]], 1)) <= 1e-3
        assert found.converged.all()

    @pytest.mark.parametrize(("own", "sign"), [(0, -1), (1, 1)])
    def test_sign(self, own, sign):
        """-1/R where the own region is a ball of radius R, 1/R where the other one is."""
        clf, b = on_surface(BALL, own)
        values = principal_curvatures(clf, b).values
        assert torch.allclose(values, torch.full((3, D - 1), sign / 2.0).double(), rtol=1e-8)

    @pytest.mark.parametrize("own", [0, 1])
    def test_sign_from_the_search_for_the_boundary(self, own):
        """Nothing by hand: images inside and outside of a ball, and their nearest points."""
        clf = classifier(BALL)
        offsets = gaussian(4, *SHAPE)
        offsets *= (3.0 if own else 1.0) / offsets.flatten(1).norm(dim=1)[:, None, None, None]
        b = gx.nearest_boundary(clf, BALL.centre + offsets, effort="accurate")
        assert b.own.tolist() == [own] * 4
        truth = torch.full((4, D - 1), -0.5 + own).double()
        for method in METHODS:
            assert off(principal_curvatures(clf, b, method=method).values, truth) <= 1e-3

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize(("radius", "own"), [(3.0, 0), (1.5, 0), (3.5, 1), (0.5, 1)])
    def test_a_surface_that_is_not_quadratic(self, radius, own, method):
        """Both spheres of an annulus, and the level sets of F near them, which are spheres too."""
        inner, outer = 1.0, 3.0
        module = analytic.Annulus(torch.zeros(SHAPE), inner, outer)
        clf = classifier(module)
        towards = outer if radius > 2 else inner
        pixels = gaussian(3, *SHAPE)
        pixels /= pixels.flatten(1).norm(dim=1)[:, None, None, None]
        gap = abs(radius - towards)
        inward = torch.ones(3) if radius < towards else -torch.ones(3)
        b = on_sphere(radius * pixels, towards * pixels, own, inward[:, None, None, None])
        step = None if method == "autograd" else 0.02
        for at in (1.0, 0.0):
            if gap == 0 and at != 1.0:
                continue
            length = towards + (radius - towards) * (1 - at)
            # Of F: positive in the shell, so that the own side is below the outer radius.
            sign = (-1 if towards == outer else 1) * (1 if own == 0 else -1)
            found = principal_curvatures(clf, b, method=method, step=step, at=at)
            truth = torch.full((3, D - 1), sign / length, dtype=torch.float64)
            assert off(found.values, truth) <= (1e-8 if method == "autograd" else 1e-2)

    def test_a_given_spectrum_in_3072_dimensions(self, given_spectrum):
        clf, b, truth = given_spectrum
        found = principal_curvatures(clf, b[0])
        assert found.method == "autograd"
        assert found.values.shape == (1, 3071)
        assert off(found.values, truth[None]) <= 1e-3

    @pytest.mark.parametrize("method", METHODS)
    def test_extremes_of_a_given_spectrum_in_3072_dimensions(self, given_spectrum, method):
        clf, b, truth = given_spectrum
        found = principal_curvatures(clf, b[0], k=10, method=method)
        extremes = torch.cat([truth[:10], truth[-10:]])[None]
        relative = ((found.values.double() - extremes) / extremes).abs().max()
        assert float(relative) <= (1e-3 if method == "autograd" else 1e-2)
        assert found.converged.all()

    def test_a_dense_spectrum_is_no_better_than_its_residuals_say(self):
        """Within ‖G u - κ u‖ of a reported value lies an eigenvalue, whether converged or not."""
        curvatures = torch.linspace(-1.0, 2.0, 767).double()
        module = analytic.Quadric.with_curvatures(curvatures, (3, 16, 16))
        clf = classifier(module)
        b = boundary_at(clf, module, torch.zeros(1, 3, 16, 16))
        found = principal_curvatures(clf, b, k=10)
        nearest = (found.values[0, :, None] - curvatures).abs().amin(1)
        assert (nearest <= found.residuals[0] + 1e-9).all()
        truth = torch.cat([curvatures.flip(0)[:10], curvatures.flip(0)[-10:]])
        assert off(found.values, truth[None]) <= 1e-3

    def test_level_sets_at_other_points(self):
        """The ball's level sets are spheres around the same centre."""
        clf, b = on_surface(BALL, distance=0.5)
        for at in (-0.5, 0.5, 1.5):
            radius = 2.0 + 0.5 * (at - 1)
            for method in METHODS:
                found = principal_curvatures(clf, b, at=at, method=method)
                assert off(found.values, torch.full((3, D - 1), -1 / radius).double()) <= 1e-6
                assert found.at == at
        module, own = QUADRATICS["general"]
        clf, b = on_surface(module, own, distance=0.5)
        found = principal_curvatures(clf, b, at=0.4)
        points = b.images + 0.4 * b.perturbations
        assert off(found.values, module.principal_curvatures(points, own)) <= 1e-8


def on_sphere(images, points, own, inward):
    """Boundary points on a sphere around the origin; inward is 1 where n points to the origin."""
    perturbations = points - images
    lengths = points.flatten(1).norm(dim=1)[:, None, None, None]
    distances = perturbations.flatten(1).norm(dim=1)
    ones = torch.ones(len(points), dtype=torch.float64)
    return gx.BoundaryPoints(
        images=images,
        points=points,
        perturbations=perturbations,
        distances=distances,
        own=(own * ones).long(),
        other=1 - (own * ones).long(),
        normals=-inward * points / lengths,
        alignment=ones,
        residual=0 * ones,
        converged=ones.bool(),
    )


class TestDirectionsAndResiduals:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("k", [None, 3])
    def test_they_are_unit_tangent_eigenvectors(self, method, k):
        clf, b = on_surface(GENERAL)
        found = principal_curvatures(clf, b, k=k, method=method, directions=True)
        count = D - 1 if k is None else 2 * k
        assert found.directions.shape == (3, count, *SHAPE)
        u = found.directions.flatten(2)
        assert torch.allclose(u @ u.mT, torch.eye(count).double(), atol=1e-6)
        assert (u @ b.normals.flatten(1)[:, :, None]).abs().max() < 1e-6
        residuals = u @ shape_operator(GENERAL, b.points) - found.values[:, :, None] * u
        lengths = residuals.norm(dim=2)
        limit = (1e-5 if k is None else 1e-3) * found.values.abs().amax(1, keepdim=True)
        assert (lengths <= limit).all()
        assert (lengths <= found.residuals + 1e-8).all()

    def test_without_being_asked_for(self):
        clf, b = on_surface(GENERAL)
        assert principal_curvatures(clf, b).directions is None
        assert principal_curvatures(clf, b, k=2).directions.shape == (3, 4, *SHAPE)

    def test_asking_for_them_changes_no_value(self):
        clf, b = on_surface(GENERAL)
        plain = principal_curvatures(clf, b)
        found = principal_curvatures(clf, b, directions=True)
        assert torch.allclose(found.values, plain.values, atol=1e-12)
        assert found.residuals.shape == plain.residuals.shape == (3, D - 1)

    def test_of_a_network(self, smooth):
        """Against a dense Hessian by reverse-mode differentiation, twice."""
        clf, b = smooth
        b = b[:3]
        found = principal_curvatures(clf, b, directions=True)
        truth, operators = dense_curvatures(clf, b)
        assert off(found.values, truth) <= 1e-6
        u = found.directions.flatten(2)
        residuals = (u @ operators - found.values[:, :, None] * u).norm(dim=2)
        assert (residuals <= 1e-6 * truth.abs().amax(1, keepdim=True)).all()


def dense_curvatures(clf, b):
    """All curvatures ``(n, d - 1)`` and G ``(n, d, d)`` from torch's own dense Hessian."""
    values, operators = [], []
    for z, own, other in zip(b.points, b.own, b.other, strict=True):

        def level(x, own=own, other=other):
            logits = clf.module(x.reshape(1, *clf.input_shape))[0]
            return logits[own] - logits[other]

        x = z.to(clf.dtype).flatten()
        hessian = torch.autograd.functional.hessian(level, x)
        gradient = torch.autograd.functional.jacobian(level, x)
        n = gradient / gradient.norm()
        tangents = torch.linalg.svd(n[None])[2][1:]
        G = tangents @ hessian @ tangents.T / gradient.norm()
        values.append(torch.linalg.eigvalsh(G).flip(0))
        operators.append(tangents.T @ G @ tangents)
    return torch.stack(values), torch.stack(operators)


class TestLayout:
    @pytest.mark.parametrize("k", [1, 4, 7])
    def test_the_extremes_are_the_ends_of_all(self, k):
        clf, b = on_surface(GENERAL)
        every = principal_curvatures(clf, b)
        assert (every.values.diff(dim=1) <= 0).all()
        found = principal_curvatures(clf, b, k=k)
        ends = torch.cat([every.values[:, :k], every.values[:, -k:]], 1)
        assert off(found.values, ends) <= 1e-3
        assert (found.values.diff(dim=1) <= 1e-12).all()

    def test_shapes(self):
        clf, b = on_surface(GENERAL)
        for k, count in ((None, D - 1), (2, 4)):
            found = principal_curvatures(clf, b, k=k)
            assert found.values.shape == found.residuals.shape == found.converged.shape
            assert found.values.shape == (3, count)
            assert found.asymmetry.shape == found.distances.shape == found.alignment.shape == (3,)
            assert found.dimension == D
            assert torch.equal(found.own, b.own)
            assert torch.equal(found.other, b.other)
            assert torch.equal(found.distances, b.distances)
            assert torch.equal(found.alignment, b.alignment)

    def test_points_of_one_image(self):
        clf, b = on_surface(GENERAL)
        found = principal_curvatures(clf, b[1])
        assert found.values.shape == (1, D - 1)
        assert torch.allclose(found.values, principal_curvatures(clf, b).values[1:2], rtol=1e-9)

    def test_a_point_that_was_not_reached_is_a_row_of_nan(self):
        clf, b = on_surface(GENERAL)
        holes = without_boundary(b, 1)
        along = gaussian(2, *SHAPE)
        for function in (
            lambda b: principal_curvatures(clf, b),
            lambda b: principal_curvatures(clf, b, k=2),
            lambda b: principal_curvatures(clf, b, method="smoothed"),
            lambda b: normal_curvature_result(clf, b, along),
            lambda b: normal_curvature_result(clf, b, along, method="secant"),
            lambda b: mean_curvature(clf, b),
            lambda b: curvature_by_step(clf, b, along, steps=[0.1, 0.2]),
            lambda b: curvature_density(clf, b),
        ):
            found, whole = function(holes), function(b)
            assert found.values[1].isnan().all()
            assert found.values[[0, 2]].isfinite().all()
            assert torch.allclose(found.values[[0, 2]], whole.values[[0, 2]], rtol=1e-6)
            assert found.values.shape == whole.values.shape
            assert len(found) == 3
        assert not principal_curvatures(clf, holes).converged[1].any()

    def test_a_search_that_reached_nothing_for_one_image(self):
        """By the search and not by hand: toward a class that never wins."""

        class Never(nn.Module):
            def forward(self, x):
                margin = 1 - x.flatten(1).square().sum(1)
                return torch.stack([margin, -margin, -(margin**2) - 2], 1)

        clf = gx.Classifier(Never().eval(), input_shape=SHAPE, device="cpu", dtype=torch.float64)
        b = gx.nearest_boundary(clf, torch.full((2, *SHAPE), 0.1), torch.tensor([1, 2]))
        assert b.converged.tolist() == [True, False]
        found = principal_curvatures(clf, b)
        assert found.values[1].isnan().all()
        assert torch.allclose(found.values[0], torch.full((D - 1,), -1.0).double(), atol=1e-3)


def normal_curvature_result(clf, b, directions, **options):
    return jobs.last(normal_curvature_steps(clf, b, directions, **options))


class TestInvariance:
    @pytest.mark.parametrize("method", METHODS)
    def test_scaled_logits(self, smooth, method):
        clf, b = smooth
        b = b[:2]
        scaled = gx.Classifier(
            Scored(clf.module, lambda logits: 7 * logits + 3).eval(),
            input_shape=clf.input_shape,
            device="cpu",
            dtype=torch.float64,
        )
        expected = principal_curvatures(clf, b, method=method).values
        assert off(principal_curvatures(scaled, b, method=method).values, expected) <= 1e-7
        along = gaussian(2, 1, 8, 8)
        for way in (method, "secant"):
            expected = normal_curvature(clf, b, along, method=way)
            assert off(normal_curvature(scaled, b, along, method=way), expected) <= 1e-4

    @pytest.mark.parametrize("method", METHODS)
    def test_the_two_classes_exchanged(self, smooth, kinked, method):
        clf, b = smooth if method == "autograd" else kinked
        b = b[:3]
        swapped = replace(b, own=b.other, other=b.own, normals=-b.normals)
        found = principal_curvatures(clf, swapped, method=method).values
        assert off(found, -principal_curvatures(clf, b, method=method).values.flip(1)) <= 1e-4
        along = gaussian(2, 1, 8, 8)
        for way in (method, "secant"):
            expected = -normal_curvature(clf, b, along, method=way)
            assert off(normal_curvature(clf, swapped, along, method=way), expected) <= 1e-3
        expected = -mean_curvature(clf, b, method=method).values
        assert (
            off(mean_curvature(clf, swapped, method=method).values[:, None], expected[:, None])
            <= 1e-4
        )

    def test_classes_in_another_order(self, smooth):
        clf, b = smooth
        order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
        places = order.argsort()
        permuted = gx.Classifier(
            Scored(clf.module, lambda logits: logits[:, order]).eval(),
            input_shape=clf.input_shape,
            device="cpu",
            dtype=torch.float64,
        )
        renamed = replace(b, own=places[b.own], other=places[b.other])
        expected = principal_curvatures(clf, b).values
        assert off(principal_curvatures(permuted, renamed).values, expected) <= 1e-9

    @pytest.mark.parametrize("method", ["autograd", "central_difference"])
    def test_a_rotated_input_space(self, smooth, method):
        clf, b = smooth
        b = b[:3]
        rotation = analytic.Rotated(clf.module, clf.input_shape).eval()
        rotated = gx.Classifier(
            rotation, input_shape=clf.input_shape, device="cpu", dtype=torch.float64
        )
        back = {
            name: rotation.back(getattr(b, name))
            for name in ("images", "points", "perturbations", "normals")
        }
        expected = principal_curvatures(clf, b, method=method, directions=True)
        found = principal_curvatures(rotated, replace(b, **back), method=method, directions=True)
        tolerance = 1e-8 if method == "autograd" else 1e-2
        assert off(found.values, expected.values) <= tolerance
        turned = rotation.turn(found.directions[:, 0]).flatten(1)
        cosines = (turned * expected.directions[:, 0].flatten(1)).sum(1).abs()
        assert (cosines > 1 - 10 * tolerance).all()

    @pytest.mark.parametrize("method", METHODS)
    def test_a_batch_equals_one_by_one(self, smooth, method):
        clf, b = smooth
        b = b[:2]
        along = gaussian(3, 1, 8, 8)
        for function in (
            lambda b: principal_curvatures(clf, b, method=method).values,
            lambda b: principal_curvatures(clf, b, k=3, method=method).values,
            lambda b: normal_curvature(clf, b, along, method=method),
            lambda b: normal_curvature(clf, b, along, method="secant"),
            lambda b: mean_curvature(clf, b, method=method).values,
            lambda b: mean_curvature(clf, b, method=method).standard_errors,
        ):
            together = function(b)
            for index in range(len(b)):
                alone = function(b[index])
                assert torch.allclose(alone[0], together[index], rtol=1e-5, atol=1e-8)

    @pytest.mark.parametrize("method", METHODS)
    def test_the_same_seed_gives_the_same_numbers_in_chunks_of_any_size(self, smooth, method):
        clf, b = smooth
        b = b[0]
        small = gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)
        small.chunk_size = 11
        along = gaussian(3, 1, 8, 8)
        for function in (
            lambda clf: principal_curvatures(clf, b, method=method).values,
            lambda clf: principal_curvatures(clf, b, k=3, method=method).values,
            lambda clf: normal_curvature(clf, b, along, method=method),
            lambda clf: mean_curvature(clf, b, method=method).values,
            lambda clf: curvature_density(clf, b, method=method, probes=2, order=8).on_grid(
                torch.linspace(-2, 2, 9).double(), 0.5
            ),
        ):
            first = function(clf)
            assert torch.equal(function(clf), first)
            assert torch.allclose(function(small), first, rtol=1e-5, atol=1e-7)

    def test_little_memory_changes_nothing(self, smooth):
        _, b = smooth
        clf = gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)
        expected = principal_curvatures(clf, b, k=3)
        clf.memory = 16 * 2**20
        found = principal_curvatures(clf, b, k=3)
        assert torch.allclose(found.values, expected.values, rtol=1e-3, atol=1e-5)

    def test_another_seed_draws_other_probes(self, smooth):
        clf, b = smooth
        first = mean_curvature(clf, b[0], probes=10, seed=0).values
        assert not torch.equal(mean_curvature(clf, b[0], probes=10, seed=1).values, first)

    def test_global_randomness_is_not_touched(self, kinked):
        clf, b = kinked
        state = torch.get_rng_state()
        mean_curvature(clf, b[0])
        principal_curvatures(clf, b[0], k=1)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("method", METHODS)
    def test_float32(self, method):
        module, own = QUADRATICS["general"]
        clf, b = on_surface(module, own, dtype=torch.float32)
        truth = module.principal_curvatures(b.points, own)
        found = principal_curvatures(clf, b, method=method)
        assert off(found.values, truth) <= 1e-3
        assert (
            off(principal_curvatures(clf, b, k=3, method=method).values[:, :3], truth[:, :3])
            <= 1e-3
        )
        along = gaussian(4, *SHAPE)
        expected = module.normal_curvature(b.points, along, own)
        assert off(normal_curvature(clf, b, along, method=method), expected) <= 1e-3
        assert off(normal_curvature(clf, b, along, method="secant"), expected) <= 1e-2

    def test_points_in_another_precision_than_the_classifier(self, smooth):
        clf, b = smooth
        single = {
            name: getattr(b, name).float()
            for name in ("images", "points", "perturbations", "normals", "distances", "alignment")
        }
        expected = principal_curvatures(clf, b).values
        assert off(principal_curvatures(clf, replace(b, **single)).values, expected) <= 1e-4


class TestNormalCurvature:
    @pytest.mark.parametrize("method", [*METHODS, "secant"])
    @pytest.mark.parametrize("name", QUADRATICS)
    def test_quadratic_surfaces(self, name, method):
        """Any directions: their normal parts are taken away, and their lengths do not matter."""
        module, own = QUADRATICS[name]
        clf, b = on_surface(module, own)
        along = 3 * gaussian(5, *SHAPE, seed=7)
        step = 0.01 if method == "secant" else None
        found = normal_curvature(clf, b, along, method=method, step=step)
        truth = module.normal_curvature(b.points, along, own)
        assert found.shape == (3, 5)
        assert off(found, truth) <= (1e-3 if method == "secant" else 1e-5)

    def test_secant_in_3072_dimensions(self, given_spectrum):
        clf, b, truth = given_spectrum
        found = principal_curvatures(clf, b[0], k=2)
        values = normal_curvature(clf, b[0], found.directions[0], method="secant", step=0.2)
        assert off(values, torch.cat([truth[:2], truth[-2:]])[None]) <= 1e-2

    @pytest.mark.parametrize("at", [0.0, 0.5, 1.5])
    @pytest.mark.parametrize("method", [*METHODS, "secant"])
    def test_level_sets(self, method, at):
        module, own = QUADRATICS["general"]
        clf, b = on_surface(module, own, distance=0.5)
        along = gaussian(3, *SHAPE)
        step = 0.01 if method == "secant" else None
        found = normal_curvature(clf, b, along, method=method, at=at, step=step)
        truth = module.normal_curvature(b.images + at * b.perturbations, along, own)
        assert off(found, truth) <= 1e-3

    def test_forms_of_directions(self):
        clf, b = on_surface(GENERAL)
        along = gaussian(2, *SHAPE)
        expected = GENERAL.normal_curvature(b.points, along)
        names = [named.given(vector, f"number {i}") for i, vector in enumerate(along)]
        for given in (along, names, tuple(names), along.float()):
            assert torch.allclose(normal_curvature(clf, b, given), expected, rtol=1e-4)
        for given in (along[0], names[0]):
            found = normal_curvature(clf, b, given)
            assert found.shape == (3, 1)
            assert torch.allclose(found, expected[:, :1], rtol=1e-6)

    def test_other_directions_for_every_point(self):
        clf, b = on_surface(GENERAL)
        along = gaussian(3, 4, *SHAPE)
        found = normal_curvature(clf, b, along)
        assert torch.allclose(found, GENERAL.normal_curvature(b.points, along), rtol=1e-7)
        for index in range(3):
            alone = normal_curvature(clf, b[index], along[index])
            assert torch.allclose(alone[0], found[index], rtol=1e-7)

    def test_along_principal_directions_it_is_the_principal_curvature(self, smooth):
        clf, b = smooth
        found = principal_curvatures(clf, b, k=2)
        assert off(normal_curvature(clf, b, found.directions), found.values.double()) <= 1e-6

    def test_the_full_result(self):
        clf, b = on_surface(GENERAL)
        along = gaussian(2, *SHAPE)
        result = normal_curvature_result(clf, b, along, method="central_difference", step=0.2)
        assert isinstance(result, NormalCurvature)
        assert result.directions.shape == (3, 2, *SHAPE)
        u = result.directions.double().flatten(2)
        assert torch.allclose(u.norm(dim=2), torch.ones(3, 2).double())
        assert (u @ b.normals.flatten(1)[:, :, None]).abs().max() < 1e-9
        assert (result.method, result.step, result.at) == ("central_difference", 0.2, 1.0)

    def test_secant_is_the_parabola_through_three_points_of_the_boundary(self):
        """On a ball, from closed form: κ of a chord of half-length h is exact to (h/R)²/4."""
        clf, b = on_surface(BALL)
        along = gaussian(2, *SHAPE)
        for step in (0.01, 0.1, 0.5):
            sagitta = 2.0 - math.sqrt(4.0 - step**2)
            found = normal_curvature(clf, b, along, method="secant", step=step)
            expected = torch.full((3, 2), -2 * sagitta / step**2).double()
            assert off(found, expected) <= 1e-4


class TestMeanCurvature:
    @pytest.mark.parametrize("probes", [10, 100])
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("name", QUADRATICS)
    def test_quadratic_surfaces(self, name, method, probes):
        """Fewer probes than there are tangents, and more."""
        module, own = QUADRATICS[name]
        clf, b = on_surface(module, own)
        found = mean_curvature(clf, b, method=method, probes=probes)
        assert isinstance(found, MeanCurvature)
        truth = module.principal_curvatures(b.points, own)
        assert found.values.shape == found.standard_errors.shape == (3,)
        error = (found.values - truth.mean(1)).abs()
        assert (error <= 5 * found.standard_errors + 1e-6).all()
        # No worse than independent probes would be.
        deviation = (2 * truth.var(1, unbiased=False) / (D + 1) / probes).sqrt()
        assert (error <= 5 * deviation + 1e-6).all()
        assert (found.standard_errors <= 2 * deviation + 1e-6).all()

    @pytest.mark.parametrize("probes", [D - 1, 3 * (D - 1)])
    def test_along_as_many_directions_as_there_are_it_is_exact(self, probes):
        clf, b = on_surface(GENERAL)
        found = mean_curvature(clf, b, probes=probes)
        truth = GENERAL.principal_curvatures(b.points).mean(1)
        assert torch.allclose(found.values, truth, rtol=1e-8)
        assert found.standard_errors.max() <= 1e-6

    def test_one_tangent_in_two_dimensions_is_all_there_is(self):
        module = analytic.Ball(torch.zeros(1, 1, 2), 2.0)
        clf, b = on_surface(module)
        found = mean_curvature(clf, b)
        assert torch.allclose(found.values, torch.full((3,), -0.5).double())
        assert torch.equal(found.standard_errors, torch.zeros(3).double())

    def test_where_all_directions_bend_alike_there_is_no_noise(self):
        clf, b = on_surface(BALL)
        found = mean_curvature(clf, b, probes=2)
        assert torch.allclose(found.values, torch.full((3,), -0.5).double(), rtol=1e-6)
        assert found.standard_errors.max() <= 1e-6

    @pytest.mark.parametrize("probes", [4, 10])
    def test_standard_errors_are_those_of_repeated_measurements(self, probes):
        clf, b = on_surface(GENERAL, count=1)
        truth = GENERAL.principal_curvatures(b.points).mean(1)
        runs = [mean_curvature(clf, b, probes=probes, seed=seed) for seed in range(80)]
        errors = torch.cat([run.values for run in runs]) - truth
        told = torch.cat([run.standard_errors for run in runs])
        assert abs(float(errors.mean())) < 5 * float(errors.std()) / math.sqrt(80)
        ratio = float(errors.square().mean().sqrt() / told.square().mean().sqrt())
        assert 0.7 < ratio < 1.4

    def test_in_3072_dimensions(self, given_spectrum):
        clf, b, truth = given_spectrum
        for probes in (25, 200):
            found = mean_curvature(clf, b, probes=probes)
            assert found.probes == probes
            # Var vᵀGv of a unit tangent v is 2 (E κ² - (E κ)²) / (D + 2).
            deviation = float((2 * truth.var(unbiased=False) / 3073 / probes).sqrt())
            assert ((found.values.double() - truth.mean()).abs() <= 5 * deviation).all()
            told = found.standard_errors.double()
            assert torch.allclose(told, torch.full((2,), deviation).double(), rtol=0.5)

    def test_of_a_network(self, smooth):
        clf, b = smooth
        truth = principal_curvatures(clf, b).values.mean(1)
        for probes in (40, 100):
            found = mean_curvature(clf, b, probes=probes)
            assert ((found.values - truth).abs() <= 5 * found.standard_errors + 1e-9).all()


class TestCurvatureDensity:
    def test_where_all_directions_bend_alike(self):
        clf, b = on_surface(BALL)
        found = curvature_density(clf, b, probes=2)
        assert isinstance(found, CurvatureDensity)
        assert found.values.shape == found.weights.shape
        assert torch.allclose(found.weights.sum(1), torch.ones(3).double())
        assert (found.weights * (found.values + 0.5).abs()).sum(1).max() <= 1e-6

    def test_moments_of_a_given_spectrum(self, given_spectrum):
        """Within five standard deviations of what probes can tell: 2 Var / (D + 2) each."""
        clf, b, truth = given_spectrum
        probes = 8
        found = curvature_density(clf, b, probes=probes)
        assert found.dimension == 3072
        assert torch.allclose(found.weights.sum(1).double(), torch.ones(2).double(), atol=1e-5)
        assert (found.weights >= 0).all()
        for power in (1, 2, 3):
            moment = (found.weights * found.values**power).double().sum(1)
            powers = truth**power
            deviation = (2 * powers.var(unbiased=False) / 3073 / probes).sqrt()
            assert ((moment - powers.mean()).abs() <= 5 * deviation).all()
        width = truth[0] - truth[-1]
        assert found.values.max() <= truth[0] + 1e-3 * width
        assert found.values.min() >= truth[-1] - 1e-3 * width
        # The extremes are seen, as with any Lanczos process of this order.
        assert float(found.values.max()) >= 0.95 * float(truth[0])
        assert float(found.values.min()) <= 0.95 * float(truth[-1])

    @pytest.mark.parametrize("method", METHODS)
    def test_shares_of_two_groups(self, method):
        shape = (3, 16, 16)
        curvatures = torch.cat([torch.linspace(1.9, 2.1, 153), torch.linspace(-0.6, -0.4, 614)])
        module = analytic.Quadric.with_curvatures(curvatures.double(), shape)
        clf = classifier(module)
        b = boundary_at(clf, module, torch.zeros(1, *shape))
        found = curvature_density(clf, b, method=method)
        share = float(found.weights[found.values < 1.0].sum())
        # The share of a random unit vector in 614 of 767 dimensions, 8 probes, five deviations.
        p = 614 / 767
        assert abs(share - p) <= 5 * math.sqrt(2 * p * (1 - p) / 769 / 8)
        grid = torch.linspace(-2, 4, 601).double()
        density = found.on_grid(grid, 0.1)
        assert density.shape == (1, 601)
        assert float(torch.trapezoid(density, grid)) == pytest.approx(1.0, abs=1e-4)
        assert float(torch.trapezoid(density[0, grid < 1], grid[grid < 1])) == pytest.approx(
            share, abs=1e-4
        )

    @pytest.mark.parametrize("width", [0.0, -1.0, math.nan])
    def test_width(self, width):
        clf, b = on_surface(BALL)
        with pytest.raises(ValueError, match="width must be positive"):
            curvature_density(clf, b, probes=2).on_grid(torch.zeros(1), width)

    def test_of_a_network(self, smooth):
        clf, b = smooth
        b = b[:4]
        every = principal_curvatures(clf, b).values
        found = curvature_density(clf, b, probes=30)
        for power in (1, 2):
            moment = (found.weights * found.values**power).sum(1)
            powers = every**power
            deviation = (2 * powers.var(1, unbiased=False) / 65 / 30).sqrt()
            assert ((moment - powers.mean(1)).abs() <= 5 * deviation).all()


class TestOneCrease:
    """Two flat sides that meet: the methods differ, and all is known in closed form."""

    shape = (1, 16, 16)
    slope = 0.4

    @pytest.fixture
    def along(self):
        pixels = torch.ones(self.shape, dtype=torch.float64) / 16
        pixels[:, ::2] *= -1
        return pixels

    @pytest.fixture
    def crease(self, along):
        return analytic.Crease(torch.ones(self.shape).double() / 16, along, self.slope)

    @pytest.mark.parametrize("own", [0, 1])
    def test_smoothed_on_the_crease(self, crease, along, own):
        clf = classifier(crease)
        b = boundary_at(clf, crease, crease.at(0.0), own=own)
        for step in (0.1, 1.0):
            truth = crease.smoothed(step / 16) * (1 if own == 0 else -1)
            found = principal_curvatures(clf, b, k=1, method="smoothed", step=step)
            extreme = found.values[0, -1 if own == 0 else 0]
            assert float(extreme) == pytest.approx(truth, rel=0.06)
            flat = found.values[0, 0 if own == 0 else -1]
            assert abs(float(flat)) <= 0.1 * abs(truth)
            value = normal_curvature(clf, b, along, method="smoothed", step=step)
            assert float(value) == pytest.approx(truth, rel=0.06)

    def test_central_difference_beside_the_crease(self, along):
        crease = analytic.Crease(torch.ones(self.shape).double() / 16, along, 0.05)
        clf = classifier(crease)
        b = boundary_at(clf, crease, crease.at(-0.2))
        for step in (0.1, 0.3, 1.0):
            truth = crease.central_difference(-0.2, step)
            found = normal_curvature(clf, b, along, method="central_difference", step=step)
            assert float(found) == pytest.approx(truth, rel=0.05, abs=1e-9)

    @pytest.mark.parametrize("own", [0, 1])
    def test_secant_beside_the_crease(self, crease, along, own):
        clf = classifier(crease)
        b = boundary_at(clf, crease, crease.at(-0.2), own=own)
        for step in (0.3, 1.0):
            truth = crease.secant(-0.2, step) * (1 if own == 0 else -1)
            found = normal_curvature(clf, b, along, method="secant", step=step)
            assert float(found) == pytest.approx(truth, rel=1e-3)

    def test_by_step(self, crease, along):
        clf = classifier(crease)
        b = boundary_at(clf, crease, crease.at(0.0))
        steps = [0.1, 0.3, 1.0]
        across = gaussian(*self.shape) * 0 + unit(3, self.shape) - unit(5, self.shape)
        found = curvature_by_step(
            clf,
            b,
            [named.given(along, "over the crease"), named.given(across, "another")],
            steps=steps,
        )
        assert isinstance(found, CurvatureByStep)
        assert found.method == "smoothed"
        assert found.values.shape == (1, 2, 3)
        assert found.steps == tuple(steps)
        assert found.direction_names == ("over the crease", "another")
        truth = torch.tensor([crease.smoothed(step / 16) for step in steps])
        assert torch.allclose(found.values[0, 0].double(), truth.double(), rtol=0.06)


class TestSmoothedEstimates:
    """What the probes of "smoothed" leave open, and what is said about it."""

    @pytest.mark.parametrize("seed", [0, 1])
    def test_some_are_the_ends_of_all(self, seed):
        clf, b = untrained(10, seed)
        everything = principal_curvatures(clf, b)
        for k in (1, 5, 20):
            found = principal_curvatures(clf, b, k)
            for name in ("values", "residuals", "standard_errors"):
                whole = getattr(everything, name)
                ends = torch.cat([whole[:, :k], whole[:, -k:]], dim=1)
                assert torch.equal(getattr(found, name), ends)

    @pytest.mark.parametrize("shape", [(1, 10, 30), (1, 24, 24)])
    def test_values_on_the_wrong_side_of_zero_have_not_converged(self, shape):
        """Two slight creases outward among forty inward: what there is below zero drowns."""
        clf, b = folded(shape, [1.0] * 40 + [-0.1] * 2)
        found = principal_curvatures(clf, b, 5, method="smoothed", step=1.0)
        smallest = found.values[0, -5:]
        assert (smallest.diff() <= 0).all()
        assert not (found.converged[0, -5:] & (smallest > 0.02)).any()

    def test_agreement_is_judged_at_each_end_by_itself(self):
        clf = gx.load_classifier("digits-cnn", device="cpu")
        b = gx.nearest_boundary(clf, gx.load_images("digits", split="test").images[:4])
        found = principal_curvatures(clf, b, step=0.00345)
        top, bottom = found.values[:, :32], found.values[:, 32:]
        sizes = torch.cat(
            [end.abs().amax(1, keepdim=True).expand_as(end) for end in (top, bottom)], dim=1
        )
        # What is nothing beside the largest of all has no digits to agree in.
        digits = found.residuals > TOLERANCE * found.values.abs().amax(1, keepdim=True)
        assert (digits & (found.residuals > 0.11 * sizes)).any()
        assert not found.converged[digits & (found.residuals > 0.11 * sizes)].any()
        assert found.converged[found.residuals < 0.09 * sizes].all()

    @pytest.mark.parametrize(("side", "k"), [(10, None), (24, 3)])
    def test_errors_are_about_as_large_as_they_are_said_to_be(self, side, k):
        """Against the same directions' curvatures by forty times as many probes."""
        clf, b = untrained(side, 0)
        found = principal_curvatures(clf, b, k, method="smoothed", directions=True)
        ends = [0, 1, 2, -3, -2, -1]
        runs = [
            normal_curvature(clf, b, found.directions[:, ends], method="smoothed", seed=seed)
            for seed in range(1, 41)
        ]
        errors = found.values[:, ends] - torch.stack(runs).mean(0)
        share = (errors / found.standard_errors[:, ends]).square().mean().sqrt()
        assert 0.3 < share < 2.0

    def test_errors_of_curvatures_along_directions(self):
        clf, b = untrained(10, 0)
        runs = [
            normal_curvature_result(clf, b, gaussian(4, 3, 10, 10), method="smoothed", seed=seed)
            for seed in range(20)
        ]
        scatter = torch.stack([run.values for run in runs]).var(0).mean().sqrt()
        said = torch.stack([run.standard_errors for run in runs]).square().mean().sqrt()
        assert 0.6 < float(scatter / said) < 1.5

    def test_there_is_no_error_where_nothing_is_left_open(self, smooth):
        module, own = QUADRATICS["general"]
        clf, b = on_surface(module, own)
        along = gaussian(4, *SHAPE)
        largest = principal_curvatures(clf, b).values.abs().max()
        for method in METHODS:
            found = principal_curvatures(clf, b, method=method)
            assert found.standard_errors.max() <= 1e-9 * largest
            found = normal_curvature_result(clf, b, along, method=method)
            assert found.standard_errors.max() <= 1e-9 * largest
        found = normal_curvature_result(clf, b, along, method="secant", step=0.01)
        assert (found.standard_errors == 0).all()
        by_step = curvature_by_step(clf, b, along, steps=[0.1, 0.2], method="smoothed")
        assert by_step.standard_errors.shape == by_step.values.shape
        assert by_step.standard_errors.max() <= 1e-9 * largest


def untrained(side, seed):
    """An untrained network with kinks, at the boundary points of two random images."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8 * (side // 2) ** 2, 10),
    ).eval()  # fmt: skip
    clf = gx.Classifier(module, input_shape=(3, side, side), device="cpu")
    generator = torch.Generator().manual_seed(0)
    return clf, gx.nearest_boundary(clf, torch.rand(2, 3, side, side, generator=generator))


class Folded(nn.Module):
    """F = <n, x> + sum of slopes_i max(<w_i, x>, 0): creases that all meet in the origin."""

    def __init__(self, shape, slopes):
        super().__init__()
        columns = torch.linalg.qr(gaussian(math.prod(shape), len(slopes) + 1)).Q
        self.normal, self.folds = columns[:, :1], columns[:, 1:]
        self.slopes = torch.tensor(slopes, dtype=torch.float64)

    def forward(self, images):
        x = images.flatten(1).double()
        margin = (x @ self.normal)[:, 0] + torch.relu(x @ self.folds) @ self.slopes
        return torch.stack([margin / 2, -margin / 2], dim=1)


def folded(shape, slopes):
    module = Folded(shape, slopes)
    clf = gx.Classifier(module.eval(), input_shape=shape, device="cpu", dtype=torch.float64)
    normal = (module.normal[:, 0] + module.folds @ module.slopes / 2).reshape(1, *shape)
    normal = normal / normal.norm()
    ones = torch.ones(1, dtype=torch.float64)
    return clf, gx.BoundaryPoints(
        images=normal, points=0 * normal, perturbations=-normal, distances=ones,
        own=torch.tensor([0]), other=torch.tensor([1]), normals=normal, alignment=ones,
        residual=0 * ones, converged=torch.tensor([True]),
    )  # fmt: skip


class TestNetworks:
    def test_all_methods_agree_without_kinks(self, smooth):
        """At a step of 0.03. How far they drift with a longer one is the network's own affair."""
        clf, b = smooth
        b = b[:4]
        exact = principal_curvatures(clf, b)
        assert exact.method == "autograd"
        for method in ("central_difference", "smoothed"):
            found = principal_curvatures(clf, b, method=method, step=0.03)
            assert off(found.values, exact.values) <= 1e-2
        u = torch.cat([exact_directions(clf, b), gaussian(len(b), 3, 1, 8, 8)], 1)
        expected = normal_curvature(clf, b, u, method="autograd")
        scale = exact.values.abs().amax(1, keepdim=True)
        for method in ("central_difference", "smoothed", "secant"):
            found = normal_curvature(clf, b, u, method=method, step=0.03)
            assert float(((found - expected).abs() / scale).max()) <= 1e-2

    def test_their_own_steps(self, smooth, kinked):
        """The authors', and a tenth of it where there is a limit to come near to."""
        clf, b = smooth
        exact = principal_curvatures(clf, b[:3]).values
        for method in ("central_difference", "smoothed"):
            found = principal_curvatures(clf, b[:3], method=method)
            assert found.step == pytest.approx(0.1 * default_step(clf))
            assert off(found.values, exact) <= 1e-2
        clf, b = kinked
        for method in ("central_difference", "smoothed"):
            found = principal_curvatures(clf, b[0], k=1, method=method)
            assert found.step == pytest.approx(default_step(clf))

    def test_all_methods_agree_without_kinks_in_3072_dimensions(self, smooth_large):
        """At a step of 0.03: over one of 0.1 this network's curvature changes by 5 % already."""
        clf, b = smooth_large
        extremes = principal_curvatures(clf, b, k=1)
        scale = extremes.values.double().abs().amax(1, keepdim=True)
        u = torch.cat([extremes.directions, gaussian(3, 2, *LARGE).float()], 1)
        expected = normal_curvature(clf, b, u, method="autograd").double()
        assert off(expected[:, :2], extremes.values.double()) <= 1e-3
        for method in ("central_difference", "smoothed", "secant"):
            found = normal_curvature(clf, b, u, method=method, step=0.03).double()
            assert float(((found - expected).abs() / scale).max()) <= 1e-2

    def test_extremes_agree_with_arpack(self, smooth_large):
        """Hessian-vector products by reverse mode twice, eigenvalues by SciPy."""
        clf, b = smooth_large
        found = principal_curvatures(clf, b[0], k=5)
        z = b.points[:1].clone().requires_grad_()
        logits = clf.module(z)[0]
        level = logits[b.own[0]] - logits[b.other[0]]
        (gradient,) = torch.autograd.grad(level, z, create_graph=True)
        length = float(gradient.detach().norm())
        n = gradient.detach().flatten() / length

        def product(v):
            v = torch.from_numpy(np.ascontiguousarray(v)).float().flatten()
            v = v - (v @ n) * n
            (image,) = torch.autograd.grad(gradient, z, v.reshape(z.shape), retain_graph=True)
            image = image.flatten()
            return ((image - (image @ n) * n) / length).double().numpy()

        operator = LinearOperator((3072, 3072), matvec=product, dtype=np.float64)
        values = eigsh(operator, k=10, which="BE", tol=1e-5, return_eigenvectors=False)
        truth = torch.from_numpy(np.sort(values)[::-1].copy())[None]
        assert off(found.values, truth) <= 1e-3
        assert found.converged.all()

    def test_methods_by_themselves(self, smooth, kinked):
        clf, b = smooth
        found = principal_curvatures(clf, b[0], k=1)
        assert (found.method, found.step) == ("autograd", 0.0)
        assert found.asymmetry.max() < 1e-6
        clf, b = kinked
        found = principal_curvatures(clf, b[0], k=1)
        assert (found.method, found.step) == ("smoothed", pytest.approx(default_step(clf)))
        assert mean_curvature(clf, b[0]).method == "smoothed"
        assert curvature_density(clf, b[0], probes=2).method == "smoothed"
        assert normal_curvature_result(clf, b[0], unit(0, (1, 8, 8))).method == "smoothed"

    def test_autograd_is_refused_with_kinks(self, kinked):
        clf, b = kinked
        for function in (
            lambda: principal_curvatures(clf, b, method="autograd"),
            lambda: normal_curvature(clf, b, unit(0, (1, 8, 8)), method="autograd"),
            lambda: mean_curvature(clf, b, method="autograd"),
            lambda: curvature_density(clf, b, method="autograd"),
        ):
            with pytest.raises(ValueError, match=r"(?s)autograd.*kinks.*smoothed"):
                function()

    def test_the_default_step(self):
        clf = classifier(BALL)
        assert default_step(clf) == pytest.approx(10 * 4 / 512)
        wide = classifier(BALL, bounds=(-1.0, 3.0))
        assert default_step(wide) == pytest.approx(4 * 10 * 4 / 512)

    def test_central_differences_say_how_asymmetric_they_are(self, smooth, kinked):
        clf, b = smooth
        found = principal_curvatures(clf, b, method="central_difference", step=0.05)
        assert found.asymmetry.max() < 0.01
        clf, b = kinked
        for step in (None, 0.02):
            found = principal_curvatures(clf, b, method="central_difference", step=step)
            assert found.asymmetry.min() > 0.1

    def test_the_smoothed_extremes_do_not_depend_on_the_seed(self, kinked):
        clf, b = kinked
        runs = [principal_curvatures(clf, b, k=1, seed=seed).values.double() for seed in range(3)]
        for run in runs[1:]:
            assert off(run, runs[0]) <= 0.1

    def test_the_smoothed_extremes_do_not_depend_on_the_seed_in_3072_dimensions(self):
        clf = gx.load_classifier("shapes-lenet", device="cpu")
        b = gx.nearest_boundary(clf, gx.load_images("shapes").images[:1], effort="accurate")
        first, second = (
            principal_curvatures(clf, b, k=1, seed=seed).values.double() for seed in (0, 1)
        )
        assert off(second, first) <= 0.1

    def test_no_nearest_point_is_bent_toward_its_image_more_than_a_sphere_around_it(self):
        clf = gx.load_classifier("digits-cnn-smooth", device="cpu")
        b = gx.nearest_boundary(clf, gx.load_images("digits").images[:100], effort="accurate")
        assert b.converged.all()
        found = principal_curvatures(clf, b)
        assert float((found.values[:, -1] * b.distances).min()) >= -1.01

    def test_nor_in_3072_dimensions(self):
        """Twenty images: a hundred take longer than is good for a test."""
        clf = gx.load_classifier("shapes-lenet-smooth", device="cpu")
        b = gx.nearest_boundary(clf, gx.load_images("shapes").images[:20], effort="accurate")
        assert b.converged.all()
        found = principal_curvatures(clf, b, k=1)
        assert float((found.values[:, -1] * b.distances).min()) >= -1.01


def exact_directions(clf, b):
    return principal_curvatures(clf, b, k=1).directions.double()


class TestRecords:
    def results(self, clf, b):
        along = gaussian(2, *clf.input_shape)
        return {
            "principal_curvatures": principal_curvatures(clf, b, k=2, seed=4),
            "normal_curvature": normal_curvature_result(clf, b, along, seed=4),
            "mean_curvature": mean_curvature(clf, b, probes=10, seed=4),
            "curvature_by_step": curvature_by_step(clf, b, along, steps=[0.1, 0.2], seed=4),
            "curvature_density": curvature_density(clf, b, probes=2, order=5, seed=4),
        }

    def test_provenance(self, smooth):
        clf, b = smooth
        for name, result in self.results(clf, b[:2]).items():
            provenance = result.provenance
            assert provenance.function == name
            assert provenance.fingerprint == clf.fingerprint
            assert provenance.network == clf.name
            assert provenance.options["seed"] == 4
            assert result.cost.forwards + result.cost.gradients > 0
            assert result.progress.complete
            assert torch.equal(result.own, b.own[:2])
            assert torch.equal(result.other, b.other[:2])
            assert torch.equal(result.distances, b.distances[:2])

    def test_the_cost_is_what_the_network_was_used_for(self, smooth):
        clf, b = smooth
        for function in (principal_curvatures, mean_curvature, curvature_density):
            before = clf.cost
            result = function(clf, b[:2])
            assert result.cost == clf.cost - before

    def test_saved_and_loaded(self, smooth, tmp_path):
        clf, b = smooth
        results = self.results(clf, b[:2])
        results["without directions"] = principal_curvatures(clf, b[:2])
        for name, result in results.items():
            path = tmp_path / f"{name}.npz"
            result.save(path)
            loaded = type(result).load(path)
            assert torch.equal(loaded.values, result.values)
            assert (loaded.method, loaded.step, loaded.at) == (
                result.method,
                result.step,
                result.at,
            )
            assert loaded.provenance == result.provenance
            assert torch.equal(loaded[1].values, result.values[1:])
        assert PrincipalCurvatures.load(tmp_path / "without directions.npz").directions is None

    def test_rows(self, smooth):
        clf, b = smooth
        for result in self.results(clf, b[:3]).values():
            assert len(result) == 3
            assert torch.equal(result[[2, 0]].values, result.values[[2, 0]])
            assert torch.equal(result[2].own, result.own[2:])


STEPS = {
    "principal curvatures": (
        principal_curvatures_steps,
        principal_curvatures,
        lambda b: ((), {"method": "smoothed"}),
    ),
    "principal curvatures by autograd": (
        principal_curvatures_steps,
        principal_curvatures,
        lambda b: ((), {}),
    ),
    "extreme ones": (
        principal_curvatures_steps,
        principal_curvatures,
        lambda b: ((), {"k": 3}),
    ),
    "normal curvature": (
        normal_curvature_steps,
        None,
        lambda b: ((gaussian(40, *b.points.shape[1:]),), {}),
    ),
    "mean curvature": (mean_curvature_steps, mean_curvature, lambda b: ((), {"probes": 60})),
    "by step": (
        curvature_by_step_steps,
        curvature_by_step,
        lambda b: ((gaussian(4, *b.points.shape[1:]),), {}),
    ),
    "density": (
        curvature_density_steps,
        curvature_density,
        lambda b: ((), {"probes": 2, "order": 8}),
    ),
}


@pytest.mark.parametrize(
    ("method", "k", "memory", "together"),
    [("autograd", 1, 2**25, 3), ("autograd", 1, 2**24, 1), ("smoothed", 4, 2**26, 3)],
)
def test_points_are_searched_together_as_far_as_memory_allows(
    method, k, memory, together, monkeypatch
):
    shape = (1, 64, 64)
    module = nn.Sequential(nn.Flatten(), nn.Linear(4096, 8), nn.GELU(), nn.Linear(8, 2)).eval()
    clf = gx.Classifier(module, input_shape=shape, device="cpu", memory=memory)
    b = gx.nearest_boundary(clf, torch.rand(5, *shape))
    seen = []

    class Enough(Exception):
        pass

    def searched(operators, m, generator, *, noisy):
        seen.append(operators.count)
        vectors = vectors_held(operators.dimension, m, noisy=noisy)
        assert operators.count * vectors * 4 * 4096 <= memory / 2
        raise Enough

    monkeypatch.setattr(extreme_curvatures, "extreme_steps", searched)
    with pytest.raises(Enough):
        principal_curvatures(clf, b, k, method=method)
    assert seen[0] == together


class TestSteps:
    @pytest.fixture
    def slow(self, smooth):
        """The network in small chunks, so that there is something to report and to cancel."""
        b = smooth[1][:2]
        clf = gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)
        clf.chunk_size = 16
        return clf, b

    @pytest.mark.parametrize("name", STEPS)
    def test_they_end_like_the_plain_call(self, slow, name):
        steps, plain, arguments = STEPS[name]
        clf, b = slow
        positional, options = arguments(b)
        parts, kept = [], []
        for part in steps(clf, b, *positional, **options):
            parts.append(part)
            kept.append(
                {k: v.clone() for k, v in vars(part).items() if isinstance(v, torch.Tensor)}
            )
        fractions = [part.progress.fraction for part in parts]
        assert fractions == sorted(fractions)
        assert parts[-1].progress.complete
        assert not any(part.progress.complete for part in parts[:-1])
        assert all(part.progress.message for part in parts)
        assert len({type(part) for part in parts}) == 1
        for part, tensors in zip(parts, kept, strict=True):
            for field, value in tensors.items():
                assert torch.equal(getattr(part, field).nan_to_num(), value.nan_to_num()), field
        if plain is not None:
            expected = plain(clf, b, *positional, **options).values
            assert torch.equal(parts[-1].values, expected)

    @pytest.mark.parametrize("name", STEPS)
    def test_a_computation_in_many_parts_shows_its_progress(self, slow, name):
        steps, _, arguments = STEPS[name]
        clf, b = slow
        positional, options = arguments(b)
        assert len(list(steps(clf, b, *positional, **options))) >= 2

    @pytest.mark.parametrize("name", STEPS)
    def test_no_result_is_made_that_is_not_shown(self, slow, name, monkeypatch):
        """It is as large as all points together, and steps get more with every point."""
        steps, _, arguments = STEPS[name]
        clf, b = slow
        positional, options = arguments(b)
        monkeypatch.setattr(jobs, "_LEAST_NEWS", 0.4)
        made = []
        provenance = Recorder.provenance
        monkeypatch.setattr(Recorder, "provenance", lambda self: made.append(1) or provenance(self))
        assert len(list(steps(clf, b, *positional, **options))) == len(made)

    @pytest.mark.parametrize("name", STEPS)
    def test_cancel(self, slow, name):
        steps, _, arguments = STEPS[name]
        clf, b = slow
        positional, options = arguments(b)
        clf.logits(b.images)  # whatever is found out once for a classifier may be known
        event = threading.Event()
        event.set()
        before = clf.cost
        with jobs.cancellable(event), pytest.raises(jobs.Cancelled):
            jobs.last(steps(clf, b, *positional, **options))
        assert clf.cost == before

    @pytest.mark.parametrize("name", STEPS)
    def test_cancel_on_the_way(self, slow, name):
        steps, _, arguments = STEPS[name]
        clf, b = slow
        positional, options = arguments(b)
        event = threading.Event()
        with jobs.cancellable(event):
            running = steps(clf, b, *positional, **options)
            assert not next(running).progress.complete
            event.set()
            with pytest.raises(jobs.Cancelled):
                jobs.last(running)


class TestBadInput:
    @pytest.fixture(scope="class")
    def given(self):
        return on_surface(GENERAL)

    def calls(self, clf, b, **options):
        """Every function, with options that all of them take."""
        along = unit(0)
        return [
            lambda: principal_curvatures(clf, b, **options),
            lambda: principal_curvatures_steps(clf, b, **options),
            lambda: normal_curvature(clf, b, along, **options),
            lambda: normal_curvature_steps(clf, b, along, **options),
            lambda: mean_curvature(clf, b, **options),
            lambda: mean_curvature_steps(clf, b, **options),
            lambda: curvature_density(clf, b, **options),
            lambda: curvature_density_steps(clf, b, **options),
        ]

    def by_step(self, clf, b, **options):
        return [
            lambda: curvature_by_step(clf, b, unit(0), **options),
            lambda: curvature_by_step_steps(clf, b, unit(0), **options),
        ]

    def test_b_is_no_boundary_points(self, given):
        clf, b = given
        for wrong in (b.points, None, "b"):
            for call in self.calls(clf, wrong) + self.by_step(clf, wrong):
                with pytest.raises(TypeError, match=r"boundary must be .*BoundaryPoints.*got \w+"):
                    call()

    def test_b_of_another_shape(self, given):
        clf, _ = given
        other = analytic.Ball(torch.full((1, 3, 3), 0.5), 2.0)
        _, b = on_surface(other)
        for call in self.calls(clf, b) + self.by_step(clf, b):
            with pytest.raises(ValueError, match=r"boundary .*\(1, 3, 3\).*\(1, 4, 4\)"):
                call()

    def test_b_of_classes_that_the_classifier_does_not_have(self, given):
        clf, b = given
        for call in self.calls(clf, replace(b, other=b.other + 5)):
            with pytest.raises(ValueError, match=r"boundary .*6.*\b2\b"):
                call()

    def test_no_point_was_reached(self, given):
        clf, b = given
        nothing = without_boundary(b, slice(None))
        for call in self.calls(clf, nothing) + self.by_step(clf, nothing):
            with pytest.raises(ValueError, match=r"boundary .*converged"):
                call()

    @pytest.mark.parametrize("k", [0, -1, 16, 1000])
    def test_k_out_of_range(self, given, k):
        with pytest.raises(ValueError, match=rf"k must be .*7.*got {k}"):
            principal_curvatures(*given, k=k)

    @pytest.mark.parametrize("k", [2.0, "3", True, [1]])
    def test_k_of_another_type(self, given, k):
        with pytest.raises(TypeError, match="k must be"):
            principal_curvatures(*given, k=k)

    def test_all_of_very_many(self):
        shape = (3, 38, 38)
        module = analytic.Quadric.with_curvatures(torch.ones(3 * 38 * 38 - 1), shape)
        clf = classifier(module, dtype=torch.float32)
        b = boundary_at(clf, module, torch.zeros(1, *shape))
        with pytest.raises(ValueError, match=r"(?s)4096.*4332|4332.*4096") as error:
            principal_curvatures(clf, b)
        assert str(error.value).startswith("k must be")
        assert "curvature_density" in str(error.value)
        assert principal_curvatures(clf, b, k=1).values.shape == (1, 2)

    @pytest.mark.parametrize("method", ["hessian", "", None, 3])
    def test_method(self, given, method):
        for call in self.calls(*given, method=method) + self.by_step(*given, method=method):
            with pytest.raises((ValueError, TypeError), match=r"method must be .*smoothed"):
                call()

    def test_secant_has_no_eigenvalues(self, given):
        clf, b = given
        for function in (principal_curvatures, curvature_density):
            with pytest.raises(ValueError, match=r"secant.*normal_curvature|method must be"):
                function(clf, b, method="secant")

    @pytest.mark.parametrize("step", [0.0, -0.1, math.nan, math.inf])
    def test_step_out_of_range(self, given, step):
        for call in self.calls(*given, method="central_difference", step=step):
            with pytest.raises(ValueError, match=r"step must be .*got"):
                call()

    @pytest.mark.parametrize("step", [True, "0.1", [0.1]])
    def test_step_of_another_type(self, given, step):
        for call in self.calls(*given, method="smoothed", step=step):
            with pytest.raises((TypeError, ValueError), match=r"step must be .*got"):
                call()

    def test_autograd_has_no_step(self, given):
        for call in self.calls(*given, method="autograd", step=0.1):
            with pytest.raises(ValueError, match=r"(?s)step.*autograd|autograd.*step"):
                call()

    @pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
    def test_at_not_finite(self, given, at):
        for call in self.calls(*given, at=at) + self.by_step(*given, at=at):
            with pytest.raises(ValueError, match=r"at must be .*finite.*got"):
                call()

    @pytest.mark.parametrize("at", ["1", None, True])
    def test_at_of_another_type(self, given, at):
        for call in self.calls(*given, at=at):
            with pytest.raises((TypeError, ValueError), match=r"at must be .*got"):
                call()

    @pytest.mark.parametrize("seed", ["a", 0.5, None])
    def test_seed(self, given, seed):
        for call in self.calls(*given, seed=seed) + self.by_step(*given, seed=seed):
            with pytest.raises(TypeError, match=r"seed|integer"):
                call()

    @pytest.mark.parametrize("probes", [1, 0, -5])
    def test_too_few_probes(self, given, probes):
        with pytest.raises(ValueError, match=rf"probes must be .*got {probes}"):
            mean_curvature(*given, probes=probes)

    @pytest.mark.parametrize("probes", [2.5, "10", True])
    def test_probes_of_another_type(self, given, probes):
        for function in (mean_curvature, curvature_density):
            with pytest.raises(TypeError, match="probes"):
                function(*given, probes=probes)

    def test_probes_and_order_of_a_density(self, given):
        with pytest.raises(ValueError, match=r"probes must be .*got 0"):
            curvature_density(*given, probes=0)
        with pytest.raises(ValueError, match=r"order must be .*got 0"):
            curvature_density(*given, order=0)
        with pytest.raises(TypeError, match="order"):
            curvature_density(*given, order=2.5)

    def along(self, given, directions):
        clf, b = given
        return [
            lambda: normal_curvature(clf, b, directions),
            lambda: normal_curvature(clf, b, directions, method="secant"),
            lambda: curvature_by_step(clf, b, directions),
        ]

    def test_zero_directions(self, given):
        for wrong in (torch.zeros(SHAPE), torch.stack([unit(0), 0 * unit(0)])):
            for call in self.along(given, wrong):
                with pytest.raises(ValueError, match=r"direction.*zero|zero.*direction"):
                    call()

    def test_directions_along_the_normal(self, given):
        _, b = given
        for wrong in (b.normals[0], torch.stack([unit(0), -2 * b.normals[1]]), b.normals[:, None]):
            for call in self.along(given, wrong):
                with pytest.raises(ValueError, match=r"direction.*normal"):
                    call()

    def test_directions_not_finite(self, given):
        for value in (math.nan, math.inf):
            for call in self.along(given, unit(0) * value):
                with pytest.raises(ValueError, match=r"direction.*(finite|NaN)"):
                    call()

    @pytest.mark.parametrize(
        "shape", [(4, 4), (1, 4, 5), (2, 1, 4, 5), (2, 2, 1, 4, 4), (0, 1, 4, 4)]
    )
    def test_directions_of_another_shape(self, given, shape):
        for call in self.along(given, torch.ones(shape)):
            with pytest.raises(
                ValueError, match=r"directions must have shape \(m, 1, 4, 4\).*got \("
            ):
                call()

    def test_directions_of_another_type(self, given):
        for wrong in (torch.ones(SHAPE, dtype=torch.int64), "normal", None, [1.0, 2.0], []):
            for call in self.along(given, wrong):
                with pytest.raises((TypeError, ValueError), match="directions"):
                    call()

    @pytest.mark.parametrize("steps", [[], [0.1, 0.0], [-1.0], [math.nan], [0.1, math.inf]])
    def test_steps(self, given, steps):
        clf, b = given
        with pytest.raises(ValueError, match=r"steps must"):
            curvature_by_step(clf, b, unit(0), steps=steps)

    def test_by_step_has_no_autograd(self, given):
        clf, b = given
        with pytest.raises(ValueError, match=r"method must be .*|autograd.*step"):
            curvature_by_step(clf, b, unit(0), method="autograd")

    def test_checks_come_before_any_work(self, given):
        clf, b = given
        before = clf.cost
        for call in [
            *self.calls(clf, b, method="hessian"),
            *self.calls(clf, b, at=math.nan),
            *self.along(given, torch.zeros(SHAPE)),
            lambda: principal_curvatures_steps(clf, b, k=0),
            lambda: mean_curvature_steps(clf, b, probes=1),
        ]:
            with pytest.raises(ValueError):
                call()
        assert clf.cost == before
