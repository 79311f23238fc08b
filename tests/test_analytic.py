"""The closed forms of the analytic classifiers agree with their own logits."""

import pytest
import torch

from tests.analytic import (
    Annulus,
    Ball,
    Bridge,
    Ellipsoid,
    HalfSpace,
    Linear,
    TwoIslands,
    Wedge,
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


def test_two_islands_are_apart_and_a_bridge_joins():
    along = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None, None, None] * 3 * _unit(0)
    islands = TwoIslands(_unit(0) * 3, 2.0, _unit(0) * -3, 1.5)
    assert classifier(islands).labels(along).unique().tolist() == [0, 1]
    bridge = Bridge(_unit(0) * 3, _unit(0) * -3, 0.1)
    assert classifier(bridge).labels(along).unique().tolist() == [0]
    beside = torch.stack([0.099 * _unit(1), 0.101 * _unit(1)])
    assert classifier(bridge).labels(beside).tolist() == [0, 1]
