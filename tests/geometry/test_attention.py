"""Curvature through fused attention, whose kernels cannot be differentiated twice."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import geoexplorer as gx
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.operators import CentralDifferences, ExactHessians, LevelSets

FUSED = "_scaled_dot_product_flash_attention_for_cpu"


class Block(nn.Module):
    """A block of a vision transformer that calls the fused operation itself."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.three, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens):
        n, t, width = tokens.shape
        three = self.three(self.before(tokens)).reshape(n, t, 3, self.heads, -1)
        query, key, value = three.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(n, t, width))
        return tokens + self.mlp(self.after(tokens))


class Module(nn.Module):
    """The same with torch's own module, as torchvision's transformers have it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, tokens):
        given = self.before(tokens)
        return tokens + self.attention(given, given, given, need_weights=False)[0]


class Transformer(nn.Module):
    """Patches of 8 x 8 pixels of a 32 x 32 image, two blocks, and the mean of the tokens."""

    def __init__(self, block: type[nn.Module], width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.place = nn.Parameter(torch.randn(1, 16, width))
        self.blocks = nn.Sequential(block(width, heads), block(width, heads))
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.place
        return self.head(self.blocks(tokens).mean(1))


class Operations(TorchDispatchMode):
    """Names of the operations that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.add(func.__name__.partition(".")[0])
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module", params=[Block, Module])
def clf(request):
    torch.manual_seed(0)
    module = Transformer(request.param).double().eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(1.5)
    return gx.Classifier(module, input_shape=(3, 32, 32), device="cpu")


@pytest.fixture(scope="module")
def sets(clf):
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(2, clf.dimension, generator=generator, dtype=torch.float64)
    own, other = clf.forward(points.reshape(-1, 3, 32, 32)).topk(2, dim=1).indices.unbind(1)
    return LevelSets(clf, points, own, other)


def directions(sets: LevelSets, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randn(len(sets), count, sets.points.shape[1], generator=generator)
    return (drawn / drawn.norm(dim=2, keepdim=True)).double()


def test_it_has_no_kinks(clf):
    assert not has_kinks(clf)


def test_second_derivatives_are_those_of_differences(sets):
    v = directions(sets, 3)
    exact = ExactHessians(sets).products(v)
    near = CentralDifferences(sets, 1e-4).products(v)
    assert exact.norm() > 0
    assert torch.allclose(exact, near, rtol=0, atol=1e-6 * float(exact.abs().max()))


def test_principal_curvatures(clf, sets):
    b = gx.nearest_boundary(clf, sets.images)
    exact = gx.principal_curvatures(clf, b, 2, method="autograd")
    near = gx.principal_curvatures(clf, b, 2, method="central_difference", step=1e-3)
    assert exact.converged.all()
    assert torch.allclose(exact.values, near.values, rtol=1e-3, atol=1e-5)


def test_first_derivatives_keep_the_fused_kernel(clf, sets):
    v = directions(sets, 1)
    with Operations() as before:
        clf.margin_gradient(sets.images, 0, 1)
    ExactHessians(sets).products(v)
    with Operations() as after:
        clf.margin_gradient(sets.images, 0, 1)
    for operations in (before, after):
        assert FUSED in operations.seen
        assert FUSED + "_backward" in operations.seen
