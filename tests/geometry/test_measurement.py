"""What all measurements of curvature refuse, and what they leave unsaid."""

import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.directions import given, random_tangent


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


@pytest.mark.parametrize("step", [6e-5, 1e-4])
def test_a_secant_that_rounding_hides_is_not_told(ball, point, step):
    tangent = random_tangent(point, seed=0)
    kappa = gx.normal_curvature(ball, point, tangent, method="secant", step=step)
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
