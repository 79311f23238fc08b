"""Shared directions, where they are shared by construction, and where dense algebra finds them."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian

import geoexplorer as gx
from geoexplorer.geometry.boundary import nearest_boundary
from geoexplorer.geometry.subspaces import shared_directions, shared_directions_steps
from tests import analytic
from tests.analytic import CURVATURES, SMALL, classifier
from tests.steps import assert_cancellable, assert_steps

LARGE = (3, 16, 16)
METHODS = ["autograd", "central_difference", "smoothed"]


def angle(directions, truth):
    """The largest principal angle between the spans of orthonormal ``(m, d)`` and ``(m, d)``."""
    rows = directions.flatten(1).double()
    return float(torch.linalg.matrix_norm(rows - rows @ truth.T @ truth, 2))


@pytest.fixture(scope="module")
def large():
    module = analytic.SharedQuadrics(LARGE, CURVATURES, rank=6)
    clf = classifier(module)
    return module, clf, module.boundary(clf, 8)


@pytest.fixture(scope="module")
def slanted():
    """Normals that lie partly along the shared directions, so that G bends them."""
    module = analytic.SharedQuadrics(SMALL, CURVATURES, slant=0.3, others=9)
    clf = classifier(module)
    return module, clf, module.boundary(clf, 27)


class TestAnalytic:
    """What the tests rest on: closed forms against automatic derivatives."""

    @pytest.mark.parametrize("slant", [0.0, 0.3])
    def test_shape_operators(self, slant):
        module = analytic.SharedQuadrics((1, 3, 3), CURVATURES, slant=slant, rank=3)
        clf = classifier(module)
        b = module.boundary(clf, 7)
        expected = module.shape_operators(b)
        assert clf.margin(b.points, b.own, b.other).abs().max() < 1e-12
        for z, k, G in zip(b.points, b.other, expected, strict=True):
            assert torch.allclose(G, dense_shape_operator(module, z, 0, int(k)), atol=1e-12)
        shared = expected @ module.shared.T
        invariant = (shared - module.shared.T @ (module.shared @ shared)).abs().max() < 1e-12
        assert bool(invariant) == (slant == 0)


def dense_shape_operator(module, z, own, other):
    """P H P / ‖∇F‖ by differentiating twice."""

    def level(flat):
        logits = module(flat.reshape(1, *z.shape))[0]
        return logits[own] - logits[other]

    flat = z.double().flatten()
    H = hessian(level, flat)
    (gradient,) = torch.autograd.functional.jacobian(level, (flat,))
    n = gradient / gradient.norm()
    P = torch.eye(len(n)).double() - n[:, None] * n
    return P @ H @ P / gradient.norm()


class TestByMatrix:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("m", [None, 4])
    def test_the_subspace_is_found(self, small, method, m):
        module, clf, b = small
        found = shared_directions(clf, b, m, method=method)
        assert found.directions.shape == (48 if m is None else 4, *SMALL)
        assert (found.method, found.points, found.dimension) == (method, 24, 48)
        curved = found.curved(4)
        assert angle(curved.basis, module.shared) <= 0.01
        signs = [value > 0 for value in found.values.tolist()]
        if m is not None:
            assert signs == [True, True, False, False]
        assert (found.values.diff() <= 0).all()
        rows = found.directions.flatten(1).double()
        assert torch.allclose(rows @ rows.T, torch.eye(len(rows)).double(), atol=1e-6)
        # Each shared direction alone, since their values are apart; the mean of λ / ‖∇F‖.
        lengths = module.shape_operators(b) @ module.shared.T
        expected = torch.einsum("id,ndi->ni", module.shared, lengths).mean(0)
        best = torch.cat([found.values[:2], found.values[-2:]]).double()
        assert torch.allclose(best, expected, rtol=0.01)
        if method != "smoothed":
            assert found.converged.all()
            assert found.asymmetry < 1e-6

    def test_everything_against_numpy(self, slanted):
        module, clf, b = slanted
        mean = module.shape_operators(b).mean(0).numpy()
        values, vectors = np.linalg.eigh(mean)
        found = shared_directions(clf, b)
        assert found.method == "autograd"
        assert found.step == 0
        assert np.allclose(found.values.numpy(), values[::-1], atol=1e-10)
        for index in (0, 1, -2, -1):
            cosine = found.directions[index].flatten().numpy() @ vectors[:, ::-1][:, index]
            assert abs(cosine) == pytest.approx(1, abs=1e-9)
        assert found.converged.all()

    @pytest.mark.parametrize("method", METHODS)
    def test_slanted_normals(self, slanted, method):
        module, clf, b = slanted
        values, vectors = torch.linalg.eigh(module.shape_operators(b).mean(0))
        kept = values.abs().argsort(descending=True)[:4]
        found = shared_directions(clf, b, 4, method=method)
        assert angle(found.directions, vectors[:, kept].T) <= 0.01
        expected = values[kept].sort(descending=True).values
        assert torch.allclose(found.values.double(), expected, rtol=0.01)

    def test_float32(self, small):
        module, _, _ = small
        clf = classifier(module, dtype=torch.float32)
        found = shared_directions(clf, module.boundary(clf, 24), 4)
        assert found.directions.dtype == torch.float32
        assert angle(found.directions, module.shared) <= 0.001

    def test_points_without_a_boundary_do_not_count(self, small):
        _module, clf, b = small
        converged = torch.arange(24) % 3 != 0
        points = torch.where(converged[:, None, None, None], b.points, torch.nan)
        holes = gx.BoundaryPoints(
            **{
                name: getattr(b, name)
                for name in ("images", "distances", "own", "other", "normals", "alignment")
            },
            points=points,
            perturbations=points - b.images,
            residual=b.residual,
            converged=converged,
        )
        found = shared_directions(clf, holes)
        alone = shared_directions(clf, b[converged])
        assert found.points == alone.points == 16
        assert torch.allclose(found.values, alone.values)

    def test_nobody_gains_from_the_order_of_the_points(self, slanted):
        _, clf, b = slanted
        found, turned = shared_directions(clf, b, 4), shared_directions(clf, b[::-1], 4)
        assert torch.allclose(found.values, turned.values, atol=1e-10)


class TestByProducts:
    @pytest.mark.parametrize("method", METHODS)
    def test_the_subspace_is_found(self, large, method):
        module, clf, b = large
        found = shared_directions(clf, b, 4, method=method)
        assert found.directions.shape == (4, *LARGE)
        assert angle(found.directions, module.shared) <= 0.01
        lengths = module.shape_operators(b) @ module.shared.T
        expected = torch.einsum("id,ndi->ni", module.shared, lengths).mean(0)
        assert torch.allclose(found.values.double(), expected, rtol=0.01)
        assert found.converged.all()
        assert found.points == 8

    def test_both_ways_agree(self, large):
        """From m = d / 32 on a matrix is made."""
        module, clf, b = large
        few = shared_directions(clf, b[:3], 4)
        assert few.cost.gradients < 2 * 768 * 3
        many = shared_directions(clf, b[:3], 32)
        assert torch.allclose(few.values, torch.cat([many.values[:2], many.values[-2:]]), rtol=1e-3)
        assert angle(few.directions, module.shared) <= 0.001

    def test_only_one_sign(self):
        """m of the largest in size, all of them positive."""
        module = analytic.SharedQuadrics(LARGE, torch.tensor([9.0, 7.0, 5.0, 3.0]), size=0.1)
        clf = classifier(module)
        found = shared_directions(clf, module.boundary(clf, 6), 4)
        assert (found.values > 0).all()
        assert angle(found.directions, module.shared) <= 0.01


class TestNetworks:
    @pytest.mark.parametrize("method", METHODS)
    def test_a_network_against_autograd(self, method):
        """Mean, directions and ρ of a random GELU network, all from dense Hessians."""
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 3))
        network = network.double().eval()
        for parameter in network.parameters():
            parameter.data *= 2
        clf = gx.Classifier(network, input_shape=(3, 2, 2), device="cpu")
        x = torch.randn(40, 3, 2, 2, generator=torch.Generator().manual_seed(1)).double()
        b = nearest_boundary(clf, x, effort="accurate")
        b = b[b.converged]
        assert len(b) >= 20
        G = torch.stack(
            [
                dense_shape_operator(network, z, int(own), int(other))
                for z, own, other in zip(b.points, b.own, b.other, strict=True)
            ]
        ).numpy()
        mean, held_out = G[:-5].mean(0), G[-5:]
        values, _vectors = np.linalg.eigh(mean)
        step = None if method == "autograd" else 0.003
        found = shared_directions(clf, b[:-5], method=method, step=step)
        scale = np.abs(values).max()
        tolerance = {"autograd": 1e-9, "central_difference": 1e-3, "smoothed": 0.03}[method]
        assert np.abs(found.values.numpy() - values[::-1]).max() <= tolerance * scale
        rho = found.rho(b[-5:], probes=2000).numpy()
        u = found.directions.flatten(1).numpy()
        v = np.random.default_rng(0).normal(size=(50_000, 12))
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        typical = np.abs(np.einsum("vi,nij,vj->nv", v, held_out, v)).mean(1)
        expected = np.abs(np.einsum("ui,nij,uj->nu", u, held_out, u)) / typical[:, None]
        assert np.abs(rho - expected).max() <= 0.1 * expected.max()


class TestSteps:
    @pytest.mark.parametrize("method", ["autograd", "smoothed"])
    @pytest.mark.parametrize("case", ["small", "large"])
    def test_they_end_like_the_plain_call(self, case, method, request):
        _, clf, b = request.getfixturevalue(case)
        plain = shared_directions(clf, b[:6], 2, method=method, seed=4)
        parts = assert_steps(shared_directions_steps(clf, b[:6], 2, method=method, seed=4), plain)
        assert len(parts) > 1 or case == "small"  # where all that there is is done at once
        for part in parts:
            assert part.directions.shape == plain.directions.shape
            known = part.values.isfinite()
            assert (part.values[known].diff() <= 0).all()

    def test_seeds(self, large):
        _, clf, b = large
        one, same, other = (
            shared_directions(clf, b[:3], 2, method="smoothed", seed=seed) for seed in (1, 1, 2)
        )
        assert torch.equal(one.values, same.values)
        assert not torch.equal(one.values, other.values)

    @pytest.mark.parametrize("case", ["small", "large"])
    def test_cancelled(self, case, request):
        _, clf, b = request.getfixturevalue(case)
        assert_cancellable(clf, lambda: shared_directions(clf, b, 2, method="central_difference"),
                           after=2)  # fmt: skip

    def test_how_it_was_made(self, small, everything):
        made = everything.provenance
        assert made.function == "shared_directions"
        assert made.options["m"] is None
        assert made.fingerprint == small[1].fingerprint
        assert everything.cost.gradients >= 24 * 48


class TestBadInput:
    @pytest.mark.parametrize(
        ("m", "error"),
        [(0, ValueError), (49, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)],
    )
    def test_m(self, small, m, error):
        _, clf, b = small
        with pytest.raises(error, match=r"^m must be"):
            shared_directions(clf, b, m)

    def test_too_many_dimensions_for_a_matrix(self):
        shape = (1, 65, 64)
        clf = classifier(analytic.HalfSpace(torch.ones(shape)))
        b = nearest_boundary(clf, torch.full((1, *shape), 0.01).double())
        with pytest.raises(ValueError, match=r"^m must be a number .* above 4096, here 4160"):
            shared_directions(clf, b)

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            ({"method": "secant"}, "method"),
            ({"method": None}, "method"),
            ({"step": 0.0, "method": "smoothed"}, "step"),
            ({"step": -1.0, "method": "smoothed"}, "step"),
            ({"step": math.nan, "method": "smoothed"}, "step"),
            ({"step": 0.1, "method": "autograd"}, "step"),
            ({"at": math.inf}, "at"),
            ({"at": "there"}, "at"),
            ({"seed": -1}, "seed"),
            ({"seed": 0.5}, "seed"),
        ],
    )
    def test_options(self, small, options, name):
        _, clf, b = small
        before = clf.cost
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            shared_directions_steps(clf, b, 2, **options)
        assert clf.cost == before

    @pytest.mark.parametrize("points", [None, torch.ones(2, *SMALL)])
    def test_points_that_are_none(self, small, points):
        with pytest.raises(TypeError, match=r"^points must be BoundaryPoints"):
            shared_directions(small[1], points)

    def test_points_of_nothing_or_of_another_classifier(self, small, large):
        _, clf, b = small
        with pytest.raises(ValueError, match=r"^points .*empty"):
            shared_directions(clf, b[:0])
        with pytest.raises(ValueError, match=r"^points .*shape \(3, 16, 16\)"):
            shared_directions(clf, large[2])

    def test_no_classifier(self, small):
        with pytest.raises(TypeError, match=r"^clf must be a Classifier"):
            shared_directions(None, small[2])

    def test_kinks_and_autograd(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 3))
        clf = gx.Classifier(network.eval(), input_shape=(3, 2, 2), device="cpu")
        b = nearest_boundary(clf, torch.rand(5, 3, 2, 2))
        with pytest.raises(ValueError, match="autograd"):
            shared_directions(clf, b, method="autograd")
        assert shared_directions(clf, b).method == "smoothed"
