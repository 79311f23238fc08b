"""The closed forms of the analytic classifiers agree with their own logits."""

import math

import numpy as np
import pytest
import torch

from tests.analytic import (
    Annulus,
    Ball,
    Bridge,
    Crease,
    Ellipsoid,
    HalfSpace,
    Linear,
    Quadric,
    Rotated,
    TwoIslands,
    Wedge,
    boundary_at,
    classifier,
)

SHAPE = (2, 3, 2)


def _draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _unit(index):
    direction = torch.zeros(SHAPE, dtype=torch.float64)
    direction.view(-1)[index] = 1.0
    return direction


MODULES = [
    HalfSpace(_draw(*SHAPE), 0.3),
    Linear(_draw(4, *SHAPE), _draw(4)),
    Wedge(_unit(2), _unit(0), _unit(1), 0.2),
    Ball(_draw(*SHAPE), 2.0),
    Annulus(_draw(*SHAPE), 2.0, 3.0),
    TwoIslands(_unit(0) * 3, 2.0, _unit(0) * -3, 1.5),
    Ellipsoid(_draw(*SHAPE), 1 + _draw(*SHAPE, seed=1).abs()),
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: type(module).__name__)
def test_nearest_points_lie_on_the_boundary_and_none_is_nearer(module):
    clf = classifier(module)
    x = _draw(40, *SHAPE, seed=2)
    z, distances = module.nearest(x), module.distances(x)
    top = clf.logits(z).topk(2, dim=1).values
    assert torch.allclose(top[:, 0], top[:, 1], atol=1e-9)
    own = clf.labels(x)
    directions = _draw(200, *SHAPE, seed=3)
    directions[:40] = -module.normals(x)  # the most dangerous ones
    directions /= directions.flatten(1).norm(dim=1)[:, None, None, None]
    for image, label, distance in zip(x, own, distances, strict=True):
        assert bool((clf.labels(image + 0.999 * distance * directions) == label).all())
    past = x + 1.001 * (z - x)
    assert bool((clf.labels(past) != own).all())


def _symmetric(count, seed=0):
    matrix = _draw(count, count, seed=seed)
    return (matrix + matrix.T) / 2


def _quadric(*diagonal, c):
    repeated = torch.tensor(diagonal, dtype=torch.float64).repeat(12 // len(diagonal))
    return Quadric(repeated, torch.zeros(SHAPE), c)


QUADRATICS = {
    "half-space": HalfSpace(_draw(*SHAPE), 0.3),
    "ball": Ball(_draw(*SHAPE), 2.0),
    "ellipsoid": Ellipsoid(_draw(*SHAPE), 1 + _draw(*SHAPE, seed=1).abs()),
    "hyperboloid": _quadric(1.0, 2.0, -1.5, c=-1.0),
    "cylinder": _quadric(-1.0, -1.0, 0.0, 0.0, c=1.0),
    "general": Quadric(_symmetric(12), _draw(*SHAPE), 0.2),
    "rotated": Rotated(_quadric(-1.0, -2.0, 0.0, 0.5, c=1.0), SHAPE),
}


@pytest.mark.parametrize("name", QUADRATICS)
@pytest.mark.parametrize("own", [0, 1])
def test_curvatures_are_those_of_second_differences_of_the_logits(name, own):
    """A quadratic polynomial's second differences are its Hessian, whatever the step."""
    module = QUADRATICS[name]
    points = _draw(3, *SHAPE, seed=5)

    def margins(x):
        logits = module(x.reshape(-1, *SHAPE)).detach().numpy()
        return logits[:, own] - logits[:, 1 - own]

    units = np.eye(12)
    for index, z in enumerate(points.flatten(1).numpy()):
        pairs = [
            margins(torch.tensor(z + units[i] + a * units)) for i in range(12) for a in (1, -1)
        ]
        hessian = np.array(
            [
                pairs[2 * i]
                - margins(torch.tensor(z + units[i]))
                - margins(torch.tensor(z + units))
                for i in range(12)
            ]
        ) + margins(torch.tensor(z[None]))
        gradient = (margins(torch.tensor(z + units)) - margins(torch.tensor(z - units))) / 2
        length = np.linalg.norm(gradient)
        tangents = np.linalg.svd(gradient[None])[2][1:]
        shape_operator = tangents @ hessian @ tangents.T / length
        expected = np.linalg.eigvalsh(shape_operator)[::-1]
        found = module.principal_curvatures(points, own)[index]
        assert np.allclose(found, expected, rtol=1e-8, atol=1e-10)
        along = torch.tensor(tangents + 0.3 * gradient).reshape(-1, *SHAPE)
        found = module.normal_curvature(points, along, own)[index]
        assert np.allclose(found, np.diag(shape_operator), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", QUADRATICS)
@pytest.mark.parametrize("own", [0, 1])
def test_boundary_points_made_by_hand_are_boundary_points(name, own):
    module = QUADRATICS[name]
    clf = classifier(module)
    surface = module.module if isinstance(module, Rotated) else module
    z = surface.onto(_draw(5, *SHAPE, seed=4))
    z = module.back(z) if isinstance(module, Rotated) else z
    b = boundary_at(clf, module, z, distance=0.01, own=own)
    logits = clf.logits(b.points)
    assert torch.allclose(logits[:, 0], logits[:, 1], atol=1e-9)
    assert torch.equal(clf.labels(b.images), b.own)
    assert torch.equal(clf.labels(b.points + 0.01 * b.perturbations), b.other)
    assert torch.allclose(b.points - b.images, b.perturbations)
    _, gradients = clf.margin_gradient(b.points, b.own, b.other)
    cosines = (gradients * b.normals).flatten(1).sum(1) / gradients.flatten(1).norm(dim=1)
    assert torch.allclose(cosines, torch.ones(5, dtype=torch.float64))


def test_a_quadric_has_the_curvatures_it_was_given():
    given = torch.linspace(-2.0, 3.0, 11).double()
    quadric = Quadric.with_curvatures(given, SHAPE)
    found = quadric.principal_curvatures(torch.zeros(1, *SHAPE))
    assert torch.allclose(found[0], given.flip(0))
    assert torch.allclose(quadric.principal_curvatures(torch.zeros(1, *SHAPE), own=1)[0], -given)


def test_a_ball_as_a_general_quadric():
    ball = Ball(_draw(*SHAPE), 2.0)
    general = Quadric(
        -torch.eye(12) / 2, ball.centre / 2, (4 - float(ball.centre.square().sum())) / 4
    )
    x = _draw(5, *SHAPE, seed=3)
    assert torch.allclose(general(x), ball(x))
    for own in (0, 1):
        expected = ball.principal_curvatures(x, own)
        assert torch.allclose(general.principal_curvatures(x, own), expected)
        assert torch.allclose(super(Ball, ball).principal_curvatures(x, own), expected)


class TestCrease:
    slope = 0.7

    @pytest.fixture
    def crease(self):
        return Crease(_unit(0), _unit(1), self.slope)

    @pytest.mark.parametrize("offset", [-0.4, 0.0, 0.4])
    def test_its_points_lie_on_the_boundary(self, crease, offset):
        logits = crease(crease.at(offset))
        assert torch.allclose(logits[:, 0], logits[:, 1], atol=1e-12)

    def test_its_gradient(self, crease):
        x = torch.cat([crease.at(offset) for offset in (-0.4, 0.4)]).requires_grad_()
        (crease(x)[:, 0] - crease(x)[:, 1]).sum().backward()
        assert torch.allclose(x.grad, crease.gradient(x.detach()))

    def test_the_smoothed_one_against_an_average_over_noise(self, crease):
        """Stein: H_σ = E[∇F(z + σu) uᵀ] / σ, by the midpoint rule along the only bent axis."""
        deviation = 0.05
        u = torch.linspace(-8, 8, 200_000, dtype=torch.float64)
        density = torch.exp(-(u**2) / 2) / math.sqrt(2 * math.pi) * (u[1] - u[0])
        slopes = -self.slope * (u > 0).double()
        bent = float((density * slopes * u).sum() / deviation)
        normal = np.array([1.0, float((density * slopes).sum())])
        length = np.linalg.norm(normal)
        tangent = np.array([-normal[1], normal[0]]) / length
        assert tangent[1] ** 2 * bent / length == pytest.approx(
            crease.smoothed(deviation), rel=1e-4
        )

    def test_the_secant_one_against_the_surface(self, crease):
        step, offset = 0.3, -0.1
        ends = [float((crease.at(offset + s) * _unit(0)).sum()) for s in (step, -step)]
        # z + s v - ½ κ s² n with n along `across`.
        assert -(ends[0] + ends[1]) / step**2 == pytest.approx(crease.secant(offset, step))


def test_two_islands_are_apart_and_a_bridge_joins():
    along = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None, None, None] * 3 * _unit(0)
    islands = TwoIslands(_unit(0) * 3, 2.0, _unit(0) * -3, 1.5)
    assert classifier(islands).labels(along).unique().tolist() == [0, 1]
    bridge = Bridge(_unit(0) * 3, _unit(0) * -3, 0.1)
    assert classifier(bridge).labels(along).unique().tolist() == [0]
    beside = torch.stack([0.099 * _unit(1), 0.101 * _unit(1)])
    assert classifier(bridge).labels(beside).tolist() == [0, 1]
