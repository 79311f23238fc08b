"""Named directions: unit length, the right place, the right name."""

import math

import pytest
import torch

from geoexplorer.geometry import directions
from geoexplorer.geometry.boundary import nearest_boundary
from geoexplorer.images import ImageSet
from tests import analytic

SHAPE = (2, 4, 4)


def images(n, seed=0):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture(scope="module")
def linear():
    weights = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(2)).double()
    return analytic.classifier(analytic.Linear(weights, torch.zeros(4)))


@pytest.fixture(scope="module")
def boundary(linear):
    return nearest_boundary(linear, images(1))


def test_all_have_unit_length(linear, boundary):
    x, y = images(2)
    other = int((boundary.own[0] + 1) % 4)
    found = [
        directions.normal(boundary),
        directions.to_boundary(boundary),
        directions.toward_class(linear, x, other),
        directions.toward_image(x, y),
        directions.random_tangent(boundary),
        directions.loss_gradient(linear, x),
        directions.dct_frequency(SHAPE, 1, 2),
        *directions.principal_components(images(9), 3),
        directions.given(3 * x),
    ]
    for direction in found:
        assert direction.vector.shape == SHAPE
        assert float(direction.vector.double().norm()) == pytest.approx(1.0, abs=1e-6)
    assert len({direction.name for direction in found}) == len(found)


def test_normal_leads_out_of_the_own_region(linear, boundary):
    direction = directions.normal(boundary)
    beyond = boundary.points[0] + 0.1 * direction.vector
    assert linear.margin(beyond, boundary.own, boundary.other) < 0
    assert torch.allclose(direction.vector, directions.to_boundary(boundary).vector, atol=1e-3)


def test_tangents_are_tangent_and_random(boundary):
    first, again, second = (directions.random_tangent(boundary, seed=s) for s in (0, 0, 1))
    assert float((first.vector * boundary.normals[0]).sum()) == pytest.approx(0.0, abs=1e-9)
    assert torch.equal(first.vector, again.vector)
    assert float((first.vector * second.vector).sum().abs()) < 0.9


def test_toward_a_class(linear):
    x = images(1, seed=5)[0]
    own = int(linear.labels(x))
    for other in set(range(4)) - {own}:
        direction = directions.toward_class(linear, x, other)
        b = nearest_boundary(linear, x, other)
        assert direction.name == f"toward class {other}"
        assert torch.allclose(direction.vector, b.perturbations[0] / b.distances, atol=1e-6)


def test_loss_gradient_of_a_linear_classifier(linear):
    """Cross-entropy's gradient is the mean of the weights under the softmax, minus the own."""
    x = images(1, seed=3)
    weights = linear.module[1].weights
    p = linear.logits(x).softmax(1)[0]
    expected = (p[:, None, None, None] * weights).sum(0) - weights[int(linear.labels(x))]
    found = directions.loss_gradient(linear, x[0]).vector
    assert torch.allclose(found, expected / expected.norm(), atol=1e-9)


def test_loss_gradient_of_a_network_that_is_sure_of_itself(linear):
    """Where the softmax is one to rounding, cross-entropy itself has no gradient left."""
    weights = 1e3 * linear.module[1].weights
    sure = analytic.classifier(analytic.Linear(weights, torch.zeros(4)), dtype=torch.float32)
    x = images(1, seed=3)
    own, other = sure.logits(x).topk(2).indices[0].tolist()
    assert float(sure.logits(x).softmax(1).max()) == 1.0
    expected = (weights[other] - weights[own]).float()
    found = directions.loss_gradient(sure, x[0]).vector
    assert torch.allclose(found, expected / expected.norm(), atol=1e-5)


def test_dct_directions_are_orthonormal():
    basis = torch.stack(
        [directions.dct_frequency((1, 4, 6), i, j).vector for i in range(4) for j in range(6)]
    ).flatten(1)
    assert torch.allclose(basis @ basis.T, torch.eye(24), atol=1e-5)


def test_dct_in_one_channel():
    direction = directions.dct_frequency(SHAPE, 0, 0, channel=1)
    assert float(direction.vector[0].norm()) == 0.0
    assert float(direction.vector[1, 0, 0]) == pytest.approx(1 / math.sqrt(16))


def test_principal_components_find_the_direction_of_variation():
    axis = directions.given(images(1, seed=8)[0]).vector
    spread = torch.linspace(-3, 3, 12).double()[:, None, None, None]
    noisy = spread * axis + 1e-3 * images(12, seed=9)
    first, _ = directions.principal_components(ImageSet(noisy.float().clamp(-0.5, 1.5)), 2)
    assert float((first.vector * axis).sum().abs()) > 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: directions.given(torch.zeros(SHAPE)), "finite vector other than zero"),
        (lambda: directions.dct_frequency(SHAPE, 4, 0), "row must be between 0 and 3, got 4"),
        (lambda: directions.dct_frequency(SHAPE, 0, -1), "column must be between 0 and 3"),
        (lambda: directions.dct_frequency(SHAPE, 0, 0, 2), "channel must be between 0 and 1"),
        (
            lambda: directions.principal_components(images(3), 3),
            "have 2 principal components, got 3",
        ),
        (lambda: directions.principal_components(images(99), 40), "have 32 principal comp"),
        (lambda: directions.toward_image(images(1)[0], images(1)[0]), "other than zero"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_boundary_that_was_not_reached():
    class Constant(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2] * 0 + torch.tensor([2.0, 0.0])

    from geoexplorer.classifier import Classifier

    clf = Classifier(Constant().eval(), input_shape=SHAPE, device="cpu")
    found = nearest_boundary(clf, images(1).float())
    with pytest.raises(ValueError, match="was not reached from this image"):
        directions.normal(found)
