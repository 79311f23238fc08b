"""What all measurements of curvature refuse, and what they leave unsaid."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.directions import given, random_tangent
from geoexplorer.geometry.measurement import Measurement


class Ball(nn.Module):
    """Class 0 is the ball of radius 0.7."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        margin = 0.49 - x.flatten(1).square().sum(1)
        return torch.stack([margin, -margin], dim=1)


@pytest.fixture
def ball():
    return gx.Classifier(Ball().eval(), input_shape=(1, 4, 4), device="cpu")


@pytest.fixture
def point(ball):
    return gx.nearest_boundary(ball, torch.full((1, 4, 4), 0.1))


def test_points_of_another_network_are_refused():
    images = gx.load_images("digits", split="test").images[:2]
    b = gx.nearest_boundary(gx.load_classifier("digits-cnn"), images)
    with pytest.raises(ValueError, match="boundary was found for another classifier"):
        gx.mean_curvature(gx.load_classifier("digits-cnn-smooth"), b, probes=2)


def test_points_of_the_same_network_in_float64_are_taken(point):
    double = gx.Classifier(Ball().eval(), input_shape=(1, 4, 4), device="cpu", dtype=torch.float64)
    assert float(gx.mean_curvature(double, point).values) == pytest.approx(-1 / 0.7, abs=1e-3)


class Single(nn.Module):
    """The same, computed in float32 whatever the images are."""

    def __init__(self, back: bool):
        super().__init__()
        self.back = back

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = Ball()(x.float())
        return logits.to(x.dtype) if self.back else logits


@pytest.mark.parametrize("step", [6e-5, 1e-4])
@pytest.mark.parametrize("back", [False, True])
def test_a_secant_that_rounding_hides_is_not_told(point, step, back):
    clf = gx.Classifier(Single(back).eval(), input_shape=(1, 4, 4), device="cpu")
    tangent = random_tangent(point, seed=0)
    kappa = gx.normal_curvature(clf, point, tangent, method="secant", step=step)
    assert bool(kappa.isnan().all())


@pytest.mark.parametrize("step", [6e-5, 1e-4])
def test_the_rounding_of_a_float32_network_does_not_hide_a_secant(ball, point, step):
    tangent = random_tangent(point, seed=0)
    kappa = gx.normal_curvature(ball, point, tangent, method="secant", step=step)
    assert float(kappa) == pytest.approx(-1 / 0.7, rel=0.01)


def test_a_network_for_float32_alone_has_secants_too(point):
    class Alone(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.dtype != torch.float32:
                raise RuntimeError("expected scalar type Float")
            return Ball()(x)

    clf = gx.Classifier(Alone().eval(), input_shape=(1, 4, 4), device="cpu")
    tangent = random_tangent(point, seed=0)
    kappa = gx.normal_curvature(clf, point, tangent, method="secant", step=0.1)
    assert float(kappa) == pytest.approx(-1 / 0.7, rel=0.02)
    kappa = gx.normal_curvature(clf, point, tangent, method="secant", step=1e-4)
    assert bool(kappa.isnan().all())


@pytest.mark.parametrize("step", [0.003, None])
def test_a_secant_is_told_exactly_where_the_boundary_is_far_and_flat(step):
    clf = gx.load_classifier("shapes-lenet-smooth", device="cpu")
    b = gx.nearest_boundary(clf, gx.load_images("shapes", split="test").images[:1])
    along = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    exact = gx.normal_curvature(clf, b, along, method="autograd")
    found = gx.normal_curvature(clf, b, along, method="secant", step=step)
    assert float((found - exact).abs().max()) <= 0.01 * float(exact.abs().max())


@pytest.mark.parametrize("step", [0.1, 0.4, 0.6, 0.69])
def test_a_secant_is_the_parabola_through_the_boundary_beside_it(ball, point, step):
    """On a ball of radius 0.7, which is nowhere farther from its tangent plane than from z."""
    tangent = random_tangent(point, seed=0)
    kappa = float(gx.normal_curvature(ball, point, tangent, method="secant", step=step))
    sagitta = 0.7 - math.sqrt(0.49 - step**2)
    assert kappa == pytest.approx(-2 * sagitta / step**2, rel=1e-3)
    beyond = gx.normal_curvature(ball, point, tangent, method="secant", step=0.71)
    assert bool(beyond.isnan().all())


def test_secants_where_no_point_has_a_normal():
    """A network that cannot take an empty batch is not given one."""

    class Plateau(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            margin = torch.relu(x.view(x.size(0), -1).sum(1) - 1)
            return torch.stack([margin, -margin], dim=1)

    clf = gx.Classifier(Plateau().eval(), input_shape=(1, 2, 2), device="cpu")
    b = gx.nearest_boundary(clf, torch.full((1, 2, 2), 0.4))
    along = torch.tensor([[[1.0, -1.0], [0.0, 0.0]]])
    one = torch.ones(1)
    flat = replace(b, points=torch.zeros(1, 1, 2, 2), converged=one > 0, other=1 - b.own)
    kappa = gx.normal_curvature(clf, flat, along, method="secant", step=0.1)
    assert bool(kappa.isnan().all())


def test_a_secant_that_can_be_told_is_right(ball, point):
    tangent = random_tangent(point, seed=0)
    kappa = gx.normal_curvature(ball, point, tangent, method="secant", step=0.05)
    assert float(kappa) == pytest.approx(-1 / 0.7, rel=0.02)


@pytest.mark.parametrize("method", ["central_difference", "smoothed", "secant"])
def test_a_step_that_rounding_swallows_is_refused(ball, point, method):
    tangent = random_tangent(point, seed=0)
    with pytest.raises(ValueError, match=r"step must be at least .*float32"):
        gx.normal_curvature(ball, point, tangent, method=method, step=1e-7)


@pytest.mark.parametrize("seed", ["a", 1.5, None, True])
def test_seeds_that_are_no_whole_numbers(ball, point, seed):
    for function in (gx.principal_curvatures, gx.mean_curvature, gx.curvature_density):
        with pytest.raises(TypeError, match="seed must be a whole number"):
            function(ball, point, seed=seed)
    with pytest.raises(TypeError, match="seed must be a whole number"):
        random_tangent(point, seed=seed)
    with pytest.raises(TypeError, match="seed must be a whole number"):
        gx.nearest_boundary(ball, torch.full((1, 4, 4), 0.1), seed=seed)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**70])
def test_seeds_that_are_too_large(ball, point, seed):
    with pytest.raises(ValueError, match="seed must be between 0 and"):
        gx.principal_curvatures(ball, point, seed=seed)


def test_the_largest_seed_is_taken(ball, point):
    assert float(gx.curvature_density(ball, point, seed=2**63 - 1).weights.sum()) > 0


def test_a_network_in_place_of_a_classifier(point):
    with pytest.raises(TypeError, match="clf must be a Classifier, got Ball"):
        gx.principal_curvatures(Ball(), point)


def test_directions_is_yes_or_no(ball, point):
    with pytest.raises(TypeError, match="directions must be True or False, got 'no'"):
        gx.principal_curvatures(ball, point, directions="no")


class Corner(nn.Module):
    """The own region is a small ball beside a corner of the bounds."""

    def forward(self, x):
        margin = 0.04 - (x.flatten(1) - 0.1).square().sum(1)
        return torch.stack([margin, -margin], dim=1)


class Tip(nn.Module):
    """The own region is a thin parabola along the first pixel, with its tip at 0.8."""

    def forward(self, x):
        first, second = x.flatten(1).T
        margin = 0.8 - first - 50 * second**2
        return torch.stack([margin, -margin], dim=1)


ACROSS = gx.Subspace(torch.tensor([[[[1.0, 0.0]]]]), "first pixel")


@pytest.mark.parametrize(
    ("module", "options", "confined"),
    [
        (Corner(), {}, ""),
        (Corner(), {"bounded": True}, "the bounds"),
        (Tip(), {"subspace": ACROSS}, "the subspace first pixel"),
    ],
)
def test_what_the_perturbation_was_confined_to_is_kept(module, options, confined, tmp_path):
    """On the bounds, and across a subspace, a nearest point may be bent more than -1/‖r‖."""
    clf = gx.Classifier(module.eval(), input_shape=(1, 1, 2), device="cpu")
    b = gx.nearest_boundary(clf, torch.zeros(1, 1, 1, 2), effort="accurate", **options)
    found = gx.principal_curvatures(clf, b)
    assert found.confined == confined
    found.save(tmp_path / "found.npz")
    assert type(found).load(tmp_path / "found.npz").confined == confined
    assert bool(found.values < -1.01 / found.distances) == bool(confined)


def test_random_vectors_are_none_of_the_probes(ball, point):
    measurement = Measurement.begin(
        "any", ball, point, method="smoothed", step=None, at=1.0, seed=3
    )
    vectors = torch.randn(16, generator=measurement.vectors())
    for stream in range(100):
        probes = torch.randn(16, generator=measurement.generator(stream))
        assert float((vectors - probes).abs().max()) > 0.1


def test_too_few_dimensions():
    one = gx.Classifier(Ball().eval(), input_shape=(1, 1, 1), device="cpu")
    b = gx.nearest_boundary(one, torch.full((1, 1, 1), 0.1))
    with pytest.raises(ValueError, match="images of one number"):
        gx.mean_curvature(one, b)
    two = gx.Classifier(Ball().eval(), input_shape=(1, 1, 2), device="cpu")
    b = gx.nearest_boundary(two, torch.full((1, 1, 2), 0.1))
    with pytest.raises(ValueError, match="k must be None where the input space has 2 dimensions"):
        gx.principal_curvatures(two, b, k=1)


def test_steps_are_no_text(ball, point):
    direction = given(torch.rand(1, 4, 4), "any")
    with pytest.raises(TypeError, match="steps must be a sequence of lengths"):
        gx.curvature_by_step(ball, point, direction, steps="0.1")


def test_steps_as_a_tensor_or_an_array(ball, point):
    direction = random_tangent(point, seed=0)
    listed = gx.curvature_by_step(ball, point, direction, steps=[0.25, 0.5])
    for steps in (torch.tensor([0.5, 0.25]), np.array([0.25, 0.5])):
        found = gx.curvature_by_step(ball, point, direction, steps=steps)
        assert found.steps == (0.25, 0.5)
        assert torch.equal(found.values, listed.values)


def test_a_step_given_twice(ball, point):
    direction = random_tangent(point, seed=0)
    with pytest.raises(ValueError, match=r"steps must differ from each other, got \[0.25, 0.25\]"):
        gx.curvature_by_step(ball, point, direction, steps=[0.25, 0.25])


def test_sections_along_nothing(ball, point):
    with pytest.raises(ValueError, match="directions must hold at least one direction"):
        gx.normal_sections(ball, point, [])
