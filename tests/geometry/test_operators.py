"""Hessian-vector products and shape operators, against closed forms and dense matrices."""

import threading

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import geoexplorer as gx
from geoexplorer.geometry.operators import (
    CentralDifferences,
    ExactHessians,
    LevelSets,
    ShapeOperators,
    default_step,
)
from geoexplorer.geometry.smoothing import SmoothedHessians
from tests import analytic
from tests.analytic import classifier

SHAPE = (1, 4, 4)
D = 16


def gaussian(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def symmetric():
    matrix = gaussian(D, D, seed=1) / 4
    return matrix + matrix.T


QUADRIC = analytic.Quadric(symmetric(), gaussian(*SHAPE, seed=2), 0.3)


def level_sets(clf, points, own=0):
    classes = torch.full((len(points),), own)
    return LevelSets(clf, points.flatten(1).to(clf.dtype), classes, 1 - classes)


def unit_block(n, m, d, dtype=torch.float64):
    drawn = gaussian(n, m, d, seed=3, dtype=dtype)
    return drawn / drawn.norm(dim=2, keepdim=True)


def hessians(sets, kind):
    if kind == "exact":
        return ExactHessians(sets)
    if kind == "central":
        return CentralDifferences(sets, 0.1)
    return SmoothedHessians(sets, 0.1, torch.Generator().manual_seed(0))


KINDS = ("exact", "central", "smoothed")


@pytest.mark.parametrize("own", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_products_with_a_known_hessian(kind, own):
    sets = level_sets(classifier(QUADRIC), gaussian(3, *SHAPE), own)
    v = unit_block(3, 5, D)
    truth = v @ QUADRIC.A * (1 if own == 0 else -1)
    assert torch.allclose(hessians(sets, kind).products(v), truth, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind):
    points = gaussian(3, *SHAPE)
    sets = level_sets(classifier(QUADRIC), points)
    found = hessians(sets, kind).gradients()
    assert torch.allclose(found, QUADRIC.gradient(points).flatten(1), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_shape_operators(kind):
    """In tangent coordinates, lifted, they are P H P / ‖∇F‖."""
    points = gaussian(3, *SHAPE)
    sets = level_sets(classifier(QUADRIC), points)
    measured = hessians(sets, kind)
    operators = ShapeOperators(measured, measured.gradients())
    assert (operators.count, operators.dimension) == (3, D - 1)
    gradient = QUADRIC.gradient(points).flatten(1)
    n = gradient / gradient.norm(dim=1, keepdim=True)
    P = torch.eye(D) - n[:, :, None] * n[:, None]
    G = P @ QUADRIC.A @ P / gradient.norm(dim=1)[:, None, None]
    basis = operators.lift(torch.eye(D - 1).double().expand(3, -1, -1))
    assert torch.allclose(basis @ basis.mT, torch.eye(D - 1).double(), atol=1e-12)
    assert (basis @ n[:, :, None]).abs().max() < 1e-12
    truth = basis @ G @ basis.mT
    applied = operators.apply(torch.eye(D - 1).double().expand(3, -1, -1))
    assert torch.allclose(applied, truth, atol=1e-8)
    assert torch.allclose(operators.restricted(QUADRIC.A.expand(3, -1, -1)), truth, atol=1e-8)
    assert torch.allclose(
        operators.coordinates(basis), torch.eye(D - 1).double().expand(3, -1, -1), atol=1e-12
    )


def test_a_normal_along_either_end_of_the_first_axis():
    """Where a Householder reflection is easily done wrong."""
    for sign in (1.0, -1.0):
        b = torch.zeros(SHAPE).double()
        b.view(-1)[0] = sign
        sets = level_sets(classifier(analytic.Quadric(symmetric(), b)), torch.zeros(1, *SHAPE))
        measured = ExactHessians(sets)
        operators = ShapeOperators(measured, measured.gradients())
        applied = operators.apply(torch.eye(D - 1).double()[None])
        truth = torch.linalg.eigvalsh(symmetric()[1:, 1:])
        assert torch.allclose(torch.linalg.eigvalsh(applied[0]), truth, atol=1e-9)


class Attention(nn.Module):
    """Fused attention, of which forward-mode differentiation knows nothing."""

    def forward(self, x):
        tokens = x.flatten(2)
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return torch.stack([mixed.flatten(1).sum(1), x.flatten(1).square().sum(1)], dim=1)


class Squares(torch.autograd.Function):
    """x², differentiable by reverse mode alone."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class Custom(nn.Module):
    """Written with an autograd function of one's own."""

    def forward(self, x):
        squares = Squares.apply(x).flatten(1)
        return torch.stack([squares[:, :8].sum(1), squares[:, 8:].prod(1) + x.flatten(1)[:, 0]], 1)


NETWORKS = {
    "convolutional": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(16, 3)
    ),
    "normalised": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.SiLU(),
        nn.Flatten(),
        nn.LayerNorm(16),
        nn.Linear(16, 3),
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(D, 3)),
    "attention": Attention,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_products_against_a_dense_hessian(name, dtype):
    torch.manual_seed(0)
    module = NETWORKS[name]().eval()
    clf = gx.Classifier(module, input_shape=SHAPE, device="cpu", dtype=dtype)
    points = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)).to(dtype)
    sets = level_sets(clf, points)
    v = unit_block(2, 5, D, dtype)
    found = ExactHessians(sets).products(v)
    for index in range(2):

        def level(x):
            logits = clf.module(x.reshape(1, *SHAPE))[0]
            return logits[0] - logits[1]

        with sdpa_kernel(SDPBackend.MATH):  # the fused one cannot be differentiated twice
            dense = torch.autograd.functional.hessian(level, points[index].flatten())
        scale = float(dense.norm()) + 1e-3
        assert torch.allclose(found[index], v[index] @ dense, atol=1e-5 * scale)


def test_a_layer_that_cannot_be_differentiated_twice_is_refused_in_words():
    """torch.func takes no autograd function of the old kind; differences need none of it."""
    clf = gx.Classifier(Custom().eval(), input_shape=SHAPE, device="cpu", dtype=torch.float64)
    sets = level_sets(clf, torch.rand(2, *SHAPE))
    v = torch.eye(D).double()[None, :3].expand(2, -1, -1)
    with pytest.raises(ValueError, match=r"method 'autograd' needs second derivatives"):
        ExactHessians(sets).products(v)
    found = CentralDifferences(sets, 0.01).products(v)
    assert torch.allclose(found, 2 * v, atol=1e-6)  # of the first eight pixels, by squares alone


def test_chunks_change_nothing():
    torch.manual_seed(0)
    clf = gx.Classifier(NETWORKS["convolutional"]().eval(), input_shape=SHAPE, device="cpu")
    points = torch.rand(3, *SHAPE)
    v = unit_block(3, 40, D, torch.float32)
    whole = ExactHessians(level_sets(clf, points)).products(v)
    for chunk in (1, 7, 64):
        clf.chunk_size = chunk
        assert torch.allclose(ExactHessians(level_sets(clf, points)).products(v), whole, atol=1e-6)


class Cramped(nn.Module):
    """Takes four images at once where it is differentiated twice, and any number elsewhere."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 2))
        self.most = 4

    def forward(self, x):
        if len(x) > self.most and torch._C._functorch.maybe_current_level() is not None:
            raise torch.OutOfMemoryError("no room")
        return self.layers(x)


def test_out_of_memory_takes_fewer_points():
    torch.manual_seed(0)
    options = {"input_shape": (1, 2, 3), "device": "cpu", "dtype": torch.float64}
    clf = gx.Classifier(Cramped().eval(), chunk_size=256, **options)
    sets, vectors = level_sets(clf, gaussian(16, 6)), unit_block(16, 3, 6)
    found = ExactHessians(sets).products(vectors)
    assert clf.chunk_size < 256
    clf.module[1].most = 16
    clf.chunk_size = 256
    assert torch.allclose(found, ExactHessians(sets).products(vectors))
    clf.module[1].most = 0
    with pytest.raises(torch.OutOfMemoryError):
        ExactHessians(sets).products(vectors)


def test_a_product_costs_two_gradients():
    clf = classifier(QUADRIC)
    sets = level_sets(clf, gaussian(3, *SHAPE))
    v = unit_block(3, 5, D)
    ExactHessians(sets).products(v)  # what is tried out once
    for kind in ("exact", "central"):
        before = clf.cost
        hessians(sets, kind).products(v)
        assert clf.cost - before == gx.classifier.Cost(2 * 15, 2 * 15)


def test_default_step():
    assert default_step(classifier(analytic.Ball(torch.zeros(3, 32, 32), 1.0))) == pytest.approx(
        1.0825, abs=1e-4
    )


def test_several_threads_differentiate_at_once():
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu")
    b = gx.nearest_boundary(clf, gx.load_images("digits").images[:4])
    expected = gx.principal_curvatures(clf, b).values
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(gx.principal_curvatures(clf, b).values))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(torch.allclose(values, expected) for values in found)


class FlatOutside(nn.Module):
    """The ball of radius √3.5 in a plain where the logits do not change at all."""

    def forward(self, x):
        margin = (4 - x.flatten(1).square().sum(1)).clamp_min(0) - 0.5
        return torch.stack([margin, -margin], dim=1)


@pytest.mark.parametrize("method", ["central_difference", "smoothed"])
def test_where_the_gradient_vanishes_there_is_no_curvature(method):
    clf = gx.Classifier(FlatOutside().eval(), input_shape=(1, 2, 2), device="cpu")
    b = gx.nearest_boundary(clf, torch.full((1, 2, 2), 0.4))
    options = {"at": 20.0, "method": method, "step": 0.01}
    along = torch.rand(1, 1, 2, 2)
    assert gx.principal_curvatures(clf, b, **options).values.isnan().all()
    assert gx.mean_curvature(clf, b, **options).values.isnan().all()
    assert gx.normal_curvature(clf, b, along, **options).isnan().all()
    assert gx.curvature_density(clf, b, **options).values.isnan().all()
