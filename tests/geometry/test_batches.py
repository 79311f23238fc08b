"""What is found for an image does not depend on which other images are measured with it.

In float64, where rounding is far below what is compared here; in float32 a network's logits change
with the size of a batch in their last digits, and so may the turns that a search takes at a kink.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import geoexplorer as gx
from geoexplorer.classifier import Classifier
from geoexplorer.geometry import boundary as boundary_module
from geoexplorer.geometry.blocks import orthonormal
from geoexplorer.geometry.linear_subspace import Subspace
from geoexplorer.geometry.mean_curvature import curvature_density
from geoexplorer.geometry.paths import enter_region
from geoexplorer.geometry.relative_curvature import relative_curvature
from geoexplorer.geometry.spectra import chain_vectors, extreme_steps, quadrature_steps

SMOOTH = "digits-cnn-smooth"
N = 12
PARTS = (slice(0, 1), slice(2, 5), slice(7, N))
FEW = 3
FEW_PARTS = (slice(0, 1), slice(1, FEW))

Measured = Callable[[Classifier, Tensor, Any], Any]


def setting(name: str, **options: Any) -> tuple[Classifier, Tensor]:
    clf = gx.load_classifier(name, dtype=torch.float64)
    for option, value in options.items():
        setattr(clf, option, value)
    return clf, gx.load_images("digits", split="test").images[:N].double()


@pytest.fixture(scope="module", params=["digits-cnn", SMOOTH])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def third(clf: Classifier, x: Tensor) -> Tensor:
    return clf.logits(x).topk(3, dim=1).indices[:, 2]


def subspace(clf: Classifier) -> Subspace:
    return Subspace.random(clf.input_shape, 8, seed=1)


def tangents(clf: Classifier) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn((3, *clf.input_shape), generator=generator, dtype=clf.dtype)


OF_IMAGES: dict[str, Callable[[Classifier, Tensor], Any]] = {
    **{
        f"nearest_boundary, {effort}": lambda clf, x, effort=effort: gx.nearest_boundary(
            clf, x, effort=effort
        )
        for effort in ("interactive", "accurate", "deepfool")
    },
    **{
        f"nearest_boundary, {effort}, other": lambda clf, x, effort=effort: gx.nearest_boundary(
            clf, x, third(clf, x), effort=effort
        )
        for effort in ("interactive", "accurate", "deepfool")
    },
    "nearest_boundary, bounded": lambda clf, x: gx.nearest_boundary(clf, x, bounded=True),
    "nearest_boundary, accurate, bounded": lambda clf, x: gx.nearest_boundary(
        clf, x, effort="accurate", bounded=True
    ),
    "nearest_boundary, subspace": lambda clf, x: gx.nearest_boundary(
        clf, x, subspace=subspace(clf)
    ),
    "detect": lambda clf, x: gx.detect(clf, x),
    "detect, classes": lambda clf, x: gx.detect(clf, x, classes=2),
    "enter_region": lambda clf, x: enter_region(clf, x, third(clf, x)),
    "connect": lambda clf, x: gx.connect(clf, x, enter_region(clf, x.flip(2), clf.labels(x))),
    "prove_segment": lambda clf, x: gx.prove_segment(clf, x, x.flip(2), stop=False),
}

METHODS = ("autograd", "central_difference", "smoothed")
OF_POINTS: dict[str, Callable[[Classifier, Any], Any]] = {
    **{
        f"{name}, {method}": lambda clf, b, call=call, method=method: call(clf, b, method)
        for method in METHODS
        for name, call in {
            "principal_curvatures": lambda clf, b, m: gx.principal_curvatures(clf, b, method=m),
            "principal_curvatures, k": lambda clf, b, m: gx.principal_curvatures(
                clf, b, 3, method=m, at=0.5
            ),
            "mean_curvature": lambda clf, b, m: gx.mean_curvature(clf, b, probes=20, method=m),
            "curvature_density": lambda clf, b, m: curvature_density(
                clf, b, probes=2, order=3, method=m
            ),
            "normal_curvature": lambda clf, b, m: gx.normal_curvature(
                clf, b, tangents(clf), method=m, at=2.0
            ),
            "relative_curvature": lambda clf, b, m: relative_curvature(
                clf, b, tangents(clf), probes=20, method=m
            ),
        }.items()
    },
    "normal_curvature, secant": lambda clf, b: gx.normal_curvature(
        clf, b, tangents(clf), method="secant"
    ),
    "share_of": lambda clf, b: subspace(clf).share_of(b.perturbations),
}


@pytest.mark.parametrize("measure", OF_IMAGES.values(), ids=OF_IMAGES)
def test_an_image_is_measured_as_if_alone(
    network: str, measure: Callable[[Classifier, Tensor], Any]
) -> None:
    clf, x = setting(network)
    together = measure(clf, x)
    for part in PARTS:
        assert_same(together[part], measure(clf, x[part]))


@pytest.mark.parametrize("name", OF_POINTS)
def test_a_boundary_point_is_measured_as_if_alone(name: str) -> None:
    measure = OF_POINTS[name]
    clf, x = setting(SMOOTH if "autograd" in name else "digits-cnn")
    points = gx.nearest_boundary(clf, x[:FEW])
    together = measure(clf, points)
    for part in FEW_PARTS:
        assert_same(together[part], measure(clf, points[part]))


@pytest.mark.parametrize("name", ["nearest_boundary, interactive", "detect", "connect"])
def test_the_chunk_does_not_matter_to_images(network: str, name: str) -> None:
    measure = OF_IMAGES[name]
    assert_same(measure(*setting(network)), measure(*setting(network, chunk_size=7)))


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (SMOOTH, "principal_curvatures, autograd"),
        (SMOOTH, "principal_curvatures, k, autograd"),
        ("digits-cnn", "principal_curvatures, k, central_difference"),
        ("digits-cnn", "mean_curvature, smoothed"),
    ],
)
def test_the_chunk_does_not_matter_to_points(network: str, name: str) -> None:
    clf, x = setting(network)
    points = gx.nearest_boundary(clf, x[:2])
    small, _ = setting(network, chunk_size=7)
    assert_same(OF_POINTS[name](clf, points), OF_POINTS[name](small, points))


def test_rho_of_a_point_is_as_if_alone(network: str) -> None:
    clf, x = setting(network)
    points = gx.nearest_boundary(clf, x)
    shared = gx.shared_directions(clf, points[FEW : 2 * FEW], m=2, method="central_difference")
    together = shared.rho(points[:FEW], probes=20)
    for part in FEW_PARTS:
        assert_same(together[part], shared.rho(points[:FEW][part], probes=20))


def test_equal_images_get_equal_numbers(network: str) -> None:
    """Whatever is drawn is the same for each row."""
    clf, x = setting(network)
    points = gx.nearest_boundary(clf, x[:1].expand(3, -1, -1, -1))
    for measured in (points, gx.mean_curvature(clf, points, probes=5, method="smoothed")):
        assert_same(measured[1:], measured[:2])


def test_what_a_point_lacks_changes_no_sign_of_another() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn((4, 5, 9), generator=generator, dtype=torch.float64)
    alone = orthonormal(vectors)
    vectors[1, 3] = vectors[1, 2]
    vectors[2] = 0.0
    together = orthonormal(vectors)
    # To rounding: how LAPACK rounds depends on where a matrix lies in memory.
    same = partial(torch.testing.assert_close, rtol=0.0, atol=1e-14)
    same(together[[0, 3]], alone[[0, 3]])
    same(together[2:3], orthonormal(vectors[2:3]))
    identity = torch.eye(5, dtype=torch.float64).expand(4, -1, -1)
    torch.testing.assert_close(together @ together.transpose(1, 2), identity)


class Scaled:
    """Multiples of the identity with room for three chains of one of them, noting the blocks."""

    dimension, order, vectors_at_once = 6, 4, 100

    def __init__(self, count: int) -> None:
        self.count = count
        self.memory = 3 * chain_vectors(self.order) * self.dimension * 8
        self.like = torch.zeros(0, dtype=torch.float64)
        self.blocks: list[int] = []

    def apply(self, vectors: Tensor) -> Tensor:
        self.blocks.append(vectors.shape[1])
        return 2 * vectors


def test_as_many_chains_go_together_however_many_operators_there_are() -> None:
    """Noisy products of a vector depend on those beside it."""
    alone, many = Scaled(1), Scaled(7)
    for operators in (alone, many):
        for _ in quadrature_steps(operators, 8, alone.order, torch.Generator().manual_seed(0)):
            pass
    assert alone.blocks == many.blocks
    assert max(alone.blocks) == 3


@pytest.mark.parametrize("count", [1, N])
def test_a_point_that_is_lost_again_does_not_depend_on_the_news(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """With many blocks most stages are not worth an intermediate result."""
    clf, x = setting("digits-cnn")
    known = gx.nearest_boundary(clf, x).perturbations.flatten(1)

    def stages(rays: Any, *_: Any, **__: Any) -> Iterator[tuple[float, Tensor]]:
        (row,) = (rays.images[:, None] == x.flatten(1)).all(2).nonzero()[:, 1].tolist()
        yield 0.5, 1.001 * known[row][None]
        yield 1.0, torch.full_like(rays.images, torch.nan)

    monkeypatch.setattr(boundary_module, "minimise", stages)
    monkeypatch.setattr(boundary_module, "_block_size", lambda *_: 1)
    assert bool(gx.nearest_boundary(clf, x[:count]).converged.all())


class Partly(nn.Module):
    """Class 0 is a ball; logits are NaN where the first pixel is above 0.93."""

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(1)
        margin = 1.5 - pixels[:, 1:].square().sum(1) + 0 * (0.93 - pixels[:, 0]).sqrt()
        return torch.stack([margin, -margin], dim=1)


@pytest.mark.parametrize(
    "measure",
    [
        lambda clf, b: gx.principal_curvatures(clf, b, method="central_difference", step=0.1),
        lambda clf, b: gx.principal_curvatures(clf, b, 1, method="central_difference", step=0.1),
        lambda clf, b: gx.principal_curvatures(clf, b, method="smoothed", step=0.1),
        lambda clf, b: gx.mean_curvature(clf, b, method="central_difference", step=0.1),
        lambda clf, b: curvature_density(clf, b, method="central_difference", step=0.1),
    ],
    ids=["all", "extreme", "smoothed", "mean", "density"],
)
def test_a_network_that_fails_at_one_point_costs_that_point_only(
    measure: Callable[[Classifier, Any], Any],
) -> None:
    clf = Classifier(Partly().eval(), input_shape=(1, 2, 2), device="cpu", dtype=torch.float64)
    x = torch.full((3, 1, 2, 2), 0.5, dtype=torch.float64)
    x[1, 0, 0, 0] = 0.92
    values = measure(clf, gx.nearest_boundary(clf, x)).values
    assert values.reshape(3, -1).isnan().any(1).tolist() == [False, True, False]


class Failing:
    """Diagonal operators of which the second gives NaN, counting the products."""

    count, dimension, memory, vectors_at_once = 2, 60, 2**24, 100
    like = torch.zeros(0, dtype=torch.float64)
    products = 0

    def apply(self, vectors: Tensor) -> Tensor:
        self.products += vectors.shape[1]
        found = torch.arange(60.0, dtype=torch.float64) ** 3 * vectors
        found[1] = torch.nan
        return found


def test_a_search_does_not_go_on_for_an_operator_that_fails() -> None:
    operators = Failing()
    *_, found = extreme_steps(operators, 2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        found.values[0], torch.tensor([59.0**3, 58.0**3, 1.0, 0.0]).double(), rtol=1e-3, atol=70.0
    )
    assert bool(found.values[1].isnan().all())
    assert not bool(found.converged[1].any())
    assert operators.products < 60


def test_another_process_gives_the_same_bits() -> None:
    """Also after other work, which must leave nothing behind."""
    command = [sys.executable, "-c", f"from {__name__} import digest; print(digest())"]
    alone = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    torch.manual_seed(5)
    clf, x = setting(SMOOTH)
    gx.mean_curvature(clf, gx.nearest_boundary(clf, x[3:], effort="accurate"), probes=3, seed=2)
    torch.rand(3)
    assert [digest(), digest()] == [alone, alone]


def digest() -> str:
    """Of several results in float32, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    clf = gx.load_classifier("digits-cnn")
    x = gx.load_images("digits", split="test").images[:4]
    points = gx.nearest_boundary(clf, x)
    found = [
        points.points,
        gx.principal_curvatures(clf, points, 2, method="central_difference").values,
        gx.mean_curvature(clf, points, probes=4, method="smoothed").values,
        gx.detect(clf, x, probes=10).terms,
        *(path.anchors for path in gx.connect(clf, x, enter_region(clf, x.flip(2), points.own))),
    ]
    torch.set_num_threads(before)
    digest = hashlib.sha256()
    for tensor in found:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def assert_same(first: Any, second: Any) -> None:
    """All that is said of each image, to far more digits than a search is accurate to."""
    if isinstance(first, Tensor):
        torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-8, equal_nan=True)
        return
    if isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
        return
    for name, value in vars(first).items():
        other = getattr(second, name)
        if isinstance(value, Tensor):
            assert_same(value, other)
        elif isinstance(value, float):
            assert value == pytest.approx(other, rel=1e-8, abs=1e-8), name
        elif isinstance(value, (bool, int, str)):
            assert value == other, name
