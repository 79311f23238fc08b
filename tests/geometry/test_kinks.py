"""Kinks are found where there are some, whatever the layer is called, and nowhere else."""

import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.kinks import has_kinks
from tests import analytic

SHAPE = (1, 4, 4)


class Applied(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def network(*layers, seed=0, **options):
    """The layers after a convolution and before a linear one, with random weights."""
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), *layers, nn.Flatten())
    features = body(torch.zeros(1, *SHAPE)).shape[1]
    module = nn.Sequential(body, nn.Linear(features, 5)).eval()
    return gx.Classifier(module, input_shape=SHAPE, device="cpu", **options)


WITH = {
    "ReLU": [nn.ReLU()],
    "leaky ReLU": [nn.LeakyReLU(0.1)],
    "nearly linear leaky ReLU": [nn.LeakyReLU(0.9)],
    "PReLU": [nn.PReLU()],
    "ReLU6": [nn.ReLU6()],
    "hard tanh": [nn.Hardtanh(-0.3, 0.3)],
    "hard swish": [nn.Conv2d(8, 8, 3, padding=1), Applied(lambda x: 10 * x), nn.Hardswish()],
    "SELU": [nn.SELU()],
    "softshrink": [nn.Softshrink(0.1)],
    "abs": [Applied(torch.abs)],
    "clamp": [Applied(lambda x: x.clamp(-0.2, 0.2))],
    "where": [Applied(lambda x: torch.where(x > 0.1, 2 * x, x + 0.1))],
    "sorted": [Applied(lambda x: x.sort(dim=1).values)],
    "GELU and max-pool": [nn.GELU(), nn.MaxPool2d(2)],
    "max-pool alone": [nn.MaxPool2d(2)],
    "one ReLU among tanh": [
        nn.Tanh(),
        Applied(lambda x: torch.cat([x[:, :7], x[:, 7:].relu()], 1)),
        nn.Tanh(),
    ],
    "ReLU with batch normalisation": [nn.BatchNorm2d(8), nn.ReLU()],
}

WITHOUT = {
    "linear": [],
    "GELU": [nn.GELU()],
    "GELU, by tanh": [nn.GELU("tanh")],
    "GELU and average pool": [nn.GELU(), nn.AvgPool2d(2)],
    "softplus": [nn.Softplus()],
    "softplus, sharp": [nn.Softplus(beta=20.0)],
    "SiLU": [nn.SiLU()],
    "Mish": [nn.Mish()],
    "tanh": [nn.Tanh()],
    "tanh of large values": [Applied(lambda x: 20 * x), nn.Tanh()],
    "ELU": [nn.ELU()],
    "CELU": [nn.CELU(0.5)],
    "sigmoid": [nn.Sigmoid()],
    "layer normalisation": [nn.LayerNorm([8, 4, 4]), nn.GELU()],
    "group normalisation": [nn.GroupNorm(2, 8), nn.SiLU()],
    "squares": [Applied(torch.square)],
    "ReLU squared, whose gradient does not jump": [Applied(lambda x: x.relu().square())],
    "maxima by log-sum-exp": [Applied(lambda x: torch.logsumexp(10 * x, 1) / 10)],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", WITH)
def test_with(name, dtype):
    assert has_kinks(network(*WITH[name], dtype=dtype)) is True


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", WITHOUT)
def test_without(name, dtype):
    assert has_kinks(network(*WITHOUT[name], dtype=dtype)) is False


@pytest.mark.parametrize("seed", range(5))
def test_other_weights(seed):
    assert has_kinks(network(nn.ReLU(), seed=seed))
    assert has_kinks(network(nn.GELU(), nn.MaxPool2d(2), seed=seed))
    assert not has_kinks(network(nn.GELU(), nn.AvgPool2d(2), seed=seed))


@pytest.mark.parametrize("name", gx.list_classifiers(torchvision=False))
def test_bundled_networks(name):
    clf = gx.load_classifier(name, device="cpu")
    assert has_kinks(clf) is not name.endswith("-smooth")


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 255.0), (-2.5, 2.6)])
def test_other_units(bounds):
    width = (bounds[1] - bounds[0]) / 4
    middle = sum(bounds) / 2
    normalised = {"mean": middle, "std": width, "bounds": bounds}
    assert has_kinks(network(nn.ReLU(), **normalised))
    assert not has_kinks(network(nn.GELU(), **normalised))


@pytest.mark.parametrize("factor", [1e-4, 1e4])
def test_scaled_logits(factor):
    assert has_kinks(network(nn.ReLU(), Applied(lambda x: factor * x)))
    assert not has_kinks(network(nn.GELU(), Applied(lambda x: factor * x)))


def test_polynomials_have_none():
    surfaces = [
        analytic.HalfSpace(torch.ones(SHAPE), 0.3),
        analytic.Ball(torch.full(SHAPE, 0.5), 1.0),
        analytic.Ellipsoid(torch.full(SHAPE, 0.5), torch.linspace(1.0, 3.0, 16).reshape(SHAPE)),
        analytic.Annulus(torch.zeros(SHAPE), 1.0, 3.0),
    ]
    for module in surfaces:
        for dtype in (torch.float32, torch.float64):
            assert not has_kinks(analytic.classifier(module, dtype=dtype))


def test_a_single_crease_through_the_images():
    along = torch.ones(SHAPE) / 4
    across = torch.cat([torch.ones(1, 2, 4), -torch.ones(1, 2, 4)], dim=1) / 4
    middle = analytic.Crease(across, along, 0.5)
    shifted = nn.Sequential(Applied(lambda x: x - 0.5), middle).eval()
    for dtype in (torch.float32, torch.float64):
        assert has_kinks(gx.Classifier(shifted, input_shape=SHAPE, device="cpu", dtype=dtype))


def large_network(*layers, dtype):
    """Some million units, and few gradients to spend on them."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 128, 3, padding=1), *layers, nn.AvgPool2d(16), nn.Flatten()]
    module = nn.Sequential(*body, nn.LazyLinear(5)).eval()
    module(torch.zeros(1, 3, 192, 192))
    return gx.Classifier(module, input_shape=(3, 192, 192), device="cpu", dtype=dtype)


LARGE = {
    "ReLU": ([nn.ReLU()], True),
    "hard swish": ([Applied(lambda x: 10 * x), nn.Hardswish()], True),
    "GELU and max-pool": ([nn.GELU(), nn.MaxPool2d(2)], True),
    "ReLU in one channel": (
        [nn.Tanh(), Applied(lambda x: torch.cat([x[:, :127], x[:, 127:].relu()], 1)), nn.Tanh()],
        True,
    ),
    "clamping, hardly ever": ([nn.GELU(), Applied(lambda x: x.clamp(max=1.2))], True),
    "GELU": ([nn.GELU()], False),
    "softplus, sharp": ([nn.Softplus(beta=20.0)], False),
    "group normalisation": ([nn.GroupNorm(2, 128), nn.SiLU()], False),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LARGE)
def test_few_gradients_of_a_large_network(name, dtype):
    layers, with_kinks = LARGE[name]
    clf = large_network(*layers, dtype=dtype)
    before = clf.cost
    assert has_kinks(clf) is with_kinks
    assert (clf.cost - before).gradients <= (28 if dtype == torch.float32 else 34)


def test_fewest_where_kinks_are_everywhere():
    clf = large_network(nn.ReLU(), dtype=torch.float32)
    before = clf.cost
    assert has_kinks(clf)
    assert (clf.cost - before).gradients == 8


def test_found_once_and_remembered():
    clf = network(nn.ReLU())
    has_kinks(clf)
    before = clf.cost
    assert has_kinks(clf)
    assert clf.cost == before


def test_the_answer_does_not_depend_on_global_randomness_nor_touch_it():
    clf = network(nn.GELU())
    state = torch.get_rng_state()
    has_kinks(clf)
    assert torch.equal(torch.get_rng_state(), state)
