"""Nearest boundary points: closed forms first, then an independent method, then networks."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.boundary import BoundaryPoints, nearest_boundary, nearest_boundary_steps
from tests import analytic
from tests.analytic import classifier


def uniform(n, shape, seed=0, dtype=torch.float64):
    return torch.rand((n, *shape), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian(n, shape, seed=0):
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture(scope="module")
def ten_classes():
    """A linear classifier with ten classes in 3,072 dimensions."""
    module = analytic.Linear(gaussian(10, (3, 32, 32)) / 50, torch.zeros(10))
    return module, classifier(module)


@pytest.fixture(scope="module")
def images():
    return uniform(12, (3, 32, 32), dtype=torch.float32)


@pytest.fixture(scope="module", params=["digits-cnn", "digits-cnn-smooth"])
def digits(request):
    return gx.load_classifier(request.param, device="cpu"), gx.load_images("digits").images[:60]


class TestLinear:
    @pytest.mark.parametrize("effort", ["interactive", "accurate", "deepfool"])
    def test_distance_over_all_classes(self, ten_classes, images, effort):
        module, clf = ten_classes
        found = nearest_boundary(clf, images, effort=effort)
        assert found.converged.all()
        assert torch.allclose(found.distances.double(), module.distances(images), rtol=1e-4)
        assert found.alignment.min() > 0.9999

    def test_distance_in_float32(self, images):
        torch.manual_seed(0)
        layer = nn.Linear(3072, 10)
        clf = gx.Classifier(
            nn.Sequential(nn.Flatten(), layer).eval(), input_shape=(3, 32, 32), device="cpu"
        )
        found = nearest_boundary(clf, images)
        module = analytic.Linear(layer.weight.detach().reshape(10, 3, 32, 32), layer.bias.detach())
        # Where the logits nearly tie, their rounding is as large as their difference.
        rounding = 8 * torch.finfo(torch.float32).eps * float(clf.logits(images).abs().max())
        slope = float((layer.weight[0] - layer.weight[1]).detach().norm())
        expected = module.distances(images)
        assert torch.allclose(found.distances.double(), expected, rtol=1e-4, atol=rounding / slope)

    def test_distance_toward_every_class(self, ten_classes, images):
        """|F| / ‖w‖ where no third class is higher there, else that of a quadratic program."""
        module, clf = ten_classes
        images = images[:4]
        own = clf.labels(images)
        checked = 0
        for other in range(10):
            rows = own != other
            found = nearest_boundary(clf, images[rows], other, effort="accurate")
            assert found.converged.all()
            expected = torch.stack(
                [distance_toward(module, x, other) for x in images[rows].double()]
            )
            assert torch.allclose(found.distances.double(), expected, rtol=3e-3)
            gaps = clf.margin(images[rows], own[rows], other).double()
            plain = gaps / (module.weights[own[rows]] - module.weights[other]).flatten(1).norm(
                dim=1
            )
            open_ = torch.isclose(plain, expected, rtol=1e-9)
            assert torch.allclose(found.distances.double()[open_], plain[open_], rtol=1e-4)
            checked += int(open_.sum())
        assert checked >= len(images)

    def test_bounded_agrees_with_a_quadratic_program(self):
        module = analytic.HalfSpace(gaussian(1, (1, 3, 3), seed=3)[0], 2.0)
        clf = classifier(module)
        x = uniform(8, (1, 3, 3), seed=1)
        found = nearest_boundary(clf, x, effort="accurate", bounded=True)
        w = (module.weights[0] - module.weights[1]).flatten().numpy()
        for image, distance, converged in zip(x, found.distances, found.converged, strict=True):
            start = w @ image.flatten().numpy()
            program = minimize(
                lambda p: p @ p,
                np.zeros(9),
                jac=lambda p: 2 * p,
                bounds=[(-v, 1 - v) for v in image.flatten().tolist()],
                constraints={
                    "type": "eq",
                    "fun": lambda p, start=start: start + w @ p - 2.0,
                    "jac": lambda p: w,
                },
                options={"ftol": 1e-14, "maxiter": 500},
            )
            assert bool(converged) == program.success
            if program.success:
                assert float(distance) == pytest.approx(math.sqrt(program.fun), rel=1e-3)


def distance_toward(module, x, other):
    """The shortest step to f_own = f_other with no third class higher, by a quadratic program.

    Its solution lies in the span of the weights' differences, ten coordinates.
    """
    logits = module(x[None])[0]
    own = int(logits.argmax())
    weights = (module.weights - module.weights[own]).flatten(1)
    basis, triangle = torch.linalg.qr(weights.T)
    reduced, gaps = triangle.numpy(), (logits - logits[own]).numpy()
    thirds = [k for k in range(len(gaps)) if k not in (own, other)]
    program = minimize(
        lambda p: p @ p,
        np.zeros(basis.shape[1]),
        jac=lambda p: 2 * p,
        constraints=[
            {
                "type": "eq",
                "fun": lambda p: reduced[:, other] @ p + gaps[other],
                "jac": lambda p: reduced[:, other],
            },
            {
                "type": "ineq",
                "fun": lambda p: -(reduced[:, thirds].T @ p + gaps[thirds]),
                "jac": lambda p: -reduced[:, thirds].T,
            },
        ],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert program.success, program.message
    return torch.tensor(math.sqrt(program.fun), dtype=torch.float64)


SHAPE = (1, 4, 4)
SURFACES = {
    "half-space": (analytic.HalfSpace(gaussian(1, SHAPE)[0], 0.3), uniform(20, SHAPE)),
    "ball, inside": (analytic.Ball(torch.full(SHAPE, 0.5), 3.0), uniform(20, SHAPE)),
    "ball, outside": (analytic.Ball(torch.full(SHAPE, 0.5), 0.5), uniform(20, SHAPE, 1) * 4),
    "annulus": (analytic.Annulus(torch.zeros(SHAPE), 1.0, 3.0), uniform(20, SHAPE)),
    "wedge": (
        analytic.Wedge(
            torch.zeros(SHAPE),
            torch.eye(16)[0].reshape(SHAPE),
            torch.eye(16)[1].reshape(SHAPE),
            0.3,
        ),
        uniform(20, SHAPE),
    ),
    "two islands": (
        analytic.TwoIslands(torch.zeros(SHAPE), 1.0, torch.full(SHAPE, 1.0), 1.5),
        # Nearer to the first island than to the second by far: between them are two answers.
        uniform(20, SHAPE, 2) * 0.6 - 0.3,
    ),
    "ellipsoid": (
        analytic.Ellipsoid(torch.full(SHAPE, 0.5), torch.linspace(1.0, 3.0, 16).reshape(SHAPE)),
        # Off the symmetry planes of the short axes, on both sides of which lie two answers.
        uniform(20, SHAPE, 3) * 0.4 + 0.6,
    ),
}


@pytest.mark.parametrize("name", SURFACES)
def test_closed_forms(name):
    module, x = SURFACES[name]
    clf = classifier(module)
    found = nearest_boundary(clf, x, effort="accurate")
    expected = module.distances(x)
    assert found.converged.all()
    assert torch.allclose(found.distances, expected, rtol=1e-3)
    assert torch.allclose(found.normals, module.normals(x), atol=0.05)
    assert found.alignment.min() > 0.999
    assert found.residual.max() <= 1e-4 * found.distances.max()
    assert torch.equal(clf.labels(found.points), found.other)


def test_the_two_sides_of_z_are_the_two_classes(digits):
    clf, x = digits
    found = nearest_boundary(clf, x)
    short = 1 - 2 * (found.residual / found.distances)[:, None, None, None]
    assert torch.equal(clf.labels(found.images + short * found.perturbations), found.own)
    assert torch.equal(clf.labels(found.points), found.other)
    assert torch.equal(found.own, clf.labels(x))


def test_toward_a_class_the_two_sides_are_own_and_that_class(digits):
    clf, x = digits
    other = (clf.labels(x) + 3) % 10
    found = nearest_boundary(clf, x, other)
    assert found.converged.float().mean() > 0.75
    reached = found[found.converged]
    assert torch.equal(clf.labels(reached.points), reached.other)
    assert torch.equal(reached.other, other[found.converged])
    short = 1 - 2 * (reached.residual / reached.distances)[:, None, None, None]
    before = clf.labels(reached.images + short * reached.perturbations)
    assert torch.equal(before, reached.own)
    nearest = nearest_boundary(clf, x).distances[found.converged]
    assert (reached.distances >= 0.98 * nearest).all()


@pytest.mark.parametrize(("effort", "most"), [("interactive", 30), ("accurate", 100)])
@pytest.mark.parametrize("bounded", [False, True])
def test_gradients_stay_within_the_budget(digits, effort, most, bounded):
    clf, x = digits
    found = nearest_boundary(clf, x, effort=effort, bounded=bounded)
    assert found.cost.gradients <= most * len(x)
    assert found.converged.all()
    if bounded:
        assert found.points.min() >= 0
        assert found.points.max() <= 1


def test_deepfool_steps_do_not_go_beyond_the_budget():
    clf, x = gx.load_classifier("shapes-lenet", device="cpu"), gx.load_images("shapes").images
    assert nearest_boundary(clf, x[3], effort="deepfool").cost.gradients > 30
    found = nearest_boundary(clf, x[3], effort="accurate")
    assert 90 < found.cost.gradients <= 100


def test_toward_a_class_takes_more_effort_where_a_third_is_in_the_way(digits):
    clf, x = digits
    other = (clf.labels(x) + 3) % 10
    converged = nearest_boundary(clf, x, other, effort="accurate").converged
    assert converged.float().mean() >= 0.9
    assert converged.sum() >= nearest_boundary(clf, x, other).converged.sum()


def test_accurate_is_never_farther_than_deepfool(digits):
    clf, x = digits
    deepfool = nearest_boundary(clf, x, effort="deepfool").distances
    assert (nearest_boundary(clf, x, effort="accurate").distances <= 1.0001 * deepfool).all()
    interactive = nearest_boundary(clf, x).distances
    assert (interactive / deepfool).mean() < 1.0


def test_alignment_without_kinks():
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu")
    found = nearest_boundary(clf, gx.load_images("digits").images[:60], effort="accurate")
    assert found.alignment.min() >= 0.999


def test_alignment_with_kinks():
    clf = gx.load_classifier("digits-cnn", device="cpu")
    found = nearest_boundary(clf, gx.load_images("digits").images[:60], effort="accurate")
    assert found.alignment.median() >= 0.98


def test_misclassified_images_start_from_the_predicted_class():
    clf, images = gx.load_classifier("digits-cnn", device="cpu"), gx.load_images("digits")
    wrong = (clf.labels(images.images) != images.labels).nonzero()[:, 0]
    assert len(wrong) > 0
    found = nearest_boundary(clf, images.images[wrong])
    assert torch.equal(found.own, clf.labels(images.images[wrong]))
    assert (found.distances > 0).all()


def test_an_image_alone_and_in_a_batch(digits):
    clf, x = digits
    together = nearest_boundary(clf, x[:8])
    for index in range(0, 8, 3):
        alone = nearest_boundary(clf, x[index])
        assert len(alone) == 1
        assert torch.allclose(alone.distances, together.distances[index], rtol=1e-3)
        assert torch.equal(clf.labels(together.points[index]), together.other[index : index + 1])


def test_chunks_and_blocks_change_nothing(monkeypatch):
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)
    x = gx.load_images("digits").images[:10]
    whole = nearest_boundary(clf, x)
    clf.chunk_size = 3
    monkeypatch.setattr("geoexplorer.geometry.boundary._BLOCK_BYTES", 1)
    parts = list(nearest_boundary_steps(clf, x))
    assert torch.allclose(parts[-1].distances, whole.distances, rtol=1e-6)
    fractions = [part.progress.fraction for part in parts]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert [int(part.converged.sum()) for part in parts] == sorted(
        int(part.converged.sum()) for part in parts
    )


def test_steps_get_better_and_end_like_the_plain_call(digits):
    clf, x = digits
    parts = list(nearest_boundary_steps(clf, x[:5], effort="accurate"))
    assert len(parts) >= 3
    for before, after in pairwise(parts):
        assert (after.distances <= before.distances * (1 + 1e-4)).all()
    assert torch.equal(parts[-1].points, nearest_boundary(clf, x[:5], effort="accurate").points)


def test_a_result_that_was_given_does_not_change_any_more(digits):
    clf, x = digits
    x = x[:4].clone()
    parts = list(nearest_boundary_steps(clf, x, effort="accurate"))
    assert len(parts) > 1
    for part in parts:
        assert torch.equal(part.points - part.images, part.perturbations)
        assert torch.allclose(part.perturbations.flatten(1).norm(dim=1), part.distances)
    before = parts[-1].images.clone()
    x.zero_()
    assert torch.equal(parts[-1].images, before)


def test_an_image_on_the_boundary_itself():
    module = analytic.HalfSpace(gaussian(1, SHAPE)[0], 0.0)
    found = nearest_boundary(classifier(module), torch.zeros(SHAPE).double())
    assert found.converged.all()
    assert float(found.distances) < 1e-3


def test_toward_a_class_of_a_thousand():
    module = analytic.Linear(gaussian(1000, SHAPE, seed=4), torch.zeros(1000))
    clf = classifier(module)
    x = uniform(1, SHAPE, seed=2)
    runner_up = int(clf.logits(x).topk(2).indices[0, 1])
    found = nearest_boundary(clf, x, runner_up)
    assert found.converged.all()
    assert int(clf.labels(found.points)) == runner_up


def test_bounds_that_float32_cannot_hold():
    clf = gx.Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval(),
        input_shape=SHAPE,
        bounds=(-2.1179, 2.64),
        device="cpu",
    )
    x = (uniform(5, SHAPE, dtype=torch.float32) * 6 - 3).clamp(-2.1179, 2.64)
    found = nearest_boundary(clf, x, bounded=True)
    reached = found.points[found.converged]
    assert torch.equal(reached, reached.clamp(-2.1179, 2.64))


class Plateau(nn.Module):
    """Logits that are constant near the image, and cross at a radius from the origin."""

    def __init__(self, radius):
        super().__init__()
        self.radius = radius

    def forward(self, x):
        outside = nn.functional.relu(x.flatten(1).norm(dim=1) - self.radius + 1.0)
        return torch.stack([torch.ones_like(outside), outside], dim=1)


def test_a_boundary_behind_a_plateau_is_found_from_random_directions():
    clf = classifier_of(Plateau(3.0))
    found = nearest_boundary(clf, torch.zeros(2, *SHAPE))
    assert found.converged.all()
    assert torch.allclose(found.distances, torch.tensor(3.0), rtol=1e-3)


class Views(nn.Module):
    """A ReLU network of the kind that cannot take an empty batch."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, x):
        return self.layers(x.view(x.size(0), -1))


@pytest.mark.parametrize("effort", ["interactive", "accurate", "deepfool"])
def test_networks_that_cannot_take_an_empty_batch(effort):
    torch.manual_seed(0)
    clf = gx.Classifier(Views().eval(), input_shape=(1, 8, 8), device="cpu")
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert nearest_boundary(clf, x, effort=effort).converged.all()


def test_a_boundary_that_does_not_exist_is_reported():
    class Constant(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2] * 0 + torch.tensor([2.0, 0.0])

    found = nearest_boundary(classifier_of(Constant()), uniform(3, SHAPE, dtype=torch.float32))
    assert not found.converged.any()
    assert found.distances.isinf().all()
    assert found.points.isnan().all()
    assert (found.other == -1).all()


def test_a_class_that_never_wins_is_reported():
    class Never(nn.Module):
        def forward(self, x):
            first = x.flatten(1).sum(1)
            return torch.stack([first, 8 - first, first.clamp_max(0) - 100], dim=1)

    found = nearest_boundary(classifier_of(Never()), uniform(3, SHAPE, dtype=torch.float32), 2)
    assert not found.converged.any()
    assert (found.other == 2).all()


def classifier_of(module):
    return gx.Classifier(module.eval(), input_shape=SHAPE, device="cpu")


def test_the_result_says_how_it_was_made(digits, tmp_path):
    clf, x = digits
    found = nearest_boundary(clf, x[:2], seed=5)
    assert found.provenance.function == "nearest_boundary"
    assert found.provenance.options["seed"] == 5
    assert found.provenance.fingerprint == clf.fingerprint
    found.save(tmp_path / "points.npz")
    loaded = BoundaryPoints.load(tmp_path / "points.npz")
    assert torch.equal(loaded.points, found.points)
    assert torch.equal(loaded[1].distances, found.distances[1:])


class TestBadInput:
    @pytest.fixture
    def clf(self):
        return classifier(analytic.Linear(gaussian(3, SHAPE), torch.zeros(3)))

    def test_effort(self, clf):
        with pytest.raises(ValueError, match=r"effort must be one of \('interactive', 'accurate'"):
            nearest_boundary(clf, uniform(1, SHAPE), effort="hard")

    def test_deepfool_knows_no_bounds(self, clf):
        with pytest.raises(ValueError, match="deepfool' knows no bounds"):
            nearest_boundary(clf, uniform(1, SHAPE), effort="deepfool", bounded=True)

    def test_outside_the_bounds_when_bounded(self, clf):
        with pytest.raises(ValueError, match=r"within the bounds \[0, 1\] when bounded=True"):
            nearest_boundary(clf, uniform(1, SHAPE) + 1, bounded=True)

    def test_own_class_as_other(self, clf):
        x = uniform(2, SHAPE)
        own = int(clf.labels(x)[0])
        with pytest.raises(ValueError, match=f"image 0 is predicted as '{own}' itself"):
            nearest_boundary(clf, x, own)

    def test_unknown_class(self, clf):
        with pytest.raises(ValueError, match="other must be between 0 and 2"):
            nearest_boundary(clf, uniform(1, SHAPE), 3)

    def test_checks_come_before_any_work(self, clf):
        before = clf.cost
        with pytest.raises(ValueError, match="empty batch"):
            nearest_boundary_steps(clf, uniform(0, SHAPE))
        assert clf.cost == before
