"""Margins in subspaces: linear classifiers and a ball in closed form, nested blocks, a network."""

import math

import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.boundary import nearest_boundary
from geoexplorer.geometry.linear_subspace import Subspace, dct_block, dct_diagonal
from geoexplorer.geometry.subspace_margins import subspace_margins, subspace_margins_steps
from tests.geometry.test_detection import TwoBalls, classifier, random_images, smooth_network
from tests.steps import assert_round_trip, assert_steps

SHAPE = (1, 4, 4)
EFFORTS = ["interactive", "accurate", "deepfool"]


def linear(classes, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, classes)).double()


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("classes", [2, 3])
def test_linear(classes, effort):
    module = linear(classes)
    clf, x = classifier(module, SHAPE), random_images(20, SHAPE)
    subspace = Subspace.random(SHAPE, 5)
    found = nearest_boundary(clf, x, effort=effort, subspace=subspace)
    weights, logits = module[1].weight.detach(), clf.logits(x)
    rows = subspace.basis.flatten(1).double()
    for row in range(20):
        own = int(logits[row].argmax())
        others = [other for other in range(classes) if other != own]
        slopes = ((weights[own] - weights[others]) @ rows.T).norm(dim=1)
        distances = (logits[row, own] - logits[row, others]) / slopes
        assert float(found.distances[row]) == pytest.approx(float(distances.min()), rel=1e-4)
    assert torch.allclose(subspace.share_of(found.perturbations), torch.ones(20), atol=1e-5)
    assert found.alignment.min() > 0.9999
    normal = (weights[found.own] - weights[found.other]).reshape(-1, *SHAPE)
    normal = normal / normal.flatten(1).norm(dim=1)[:, None, None, None]
    assert torch.allclose(found.normals, normal, atol=1e-6)  # of the whole space


@pytest.mark.parametrize("effort", EFFORTS)
def test_a_ball_from_outside(effort):
    """Along one direction the boundary is where the line meets the ball, or nowhere."""
    clf = classifier(TwoBalls(1.0), (1, 1, 2), bounds=(-3, 3))
    x = torch.tensor([[[[2.0, 0.6]]], [[[2.0, 1.4]]]], dtype=torch.float64)
    across = Subspace(torch.tensor([[[[1.0, 0.0]]]]), "across")
    found = nearest_boundary(clf, x, effort=effort, subspace=across)
    assert found.converged.tolist() == [True, False]
    assert float(found.distances[0]) == pytest.approx(2 - 0.8, rel=1e-4)
    assert found.distances[1] == math.inf


def test_orthogonal_to_the_boundary_it_is_never_reached():
    clf = classifier(linear(2), SHAPE)
    weight = clf.module[1][1].weight
    normal = (weight[0] - weight[1]).detach()
    drawn = torch.randn(3, 16, dtype=torch.float64)
    along = drawn - (drawn @ normal)[:, None] * normal / normal.square().sum()
    subspace = Subspace.spanned(along.reshape(3, *SHAPE), "along")
    found = nearest_boundary(clf, random_images(4, SHAPE), subspace=subspace)
    assert not (found.distances < 1e6).any()


@pytest.fixture(scope="module")
def digits():
    clf, images = gx.load_classifier("digits-cnn", device="cpu"), gx.load_images("digits").images
    return clf, images[:30]


@pytest.mark.parametrize("effort", ["interactive", "accurate"])
def test_larger_subspaces_come_nearer(digits, effort):
    clf, x = digits
    blocks = [dct_block(clf.input_shape, 0, size) for size in (2, 4, 6, 8)]
    found = subspace_margins(clf, x, blocks, effort=effort)
    assert (found.distances[1:] <= 1.02 * found.distances[:-1]).double().mean() > 0.97
    quantiles = [float(row) for row in found.quantile()]
    assert quantiles == sorted(quantiles, reverse=True)
    free = nearest_boundary(clf, x, effort=effort).distances
    assert torch.allclose(found.distances[-1].mean(), free.mean(), rtol=0.01)


def test_perturbations_stay_inside_and_cross(digits):
    clf, x = digits
    for block in dct_diagonal(clf.input_shape):
        found = nearest_boundary(clf, x, subspace=block)
        reached = found[found.converged]
        assert (block.share_of(reached.perturbations) > 1 - 1e-5).all()
        assert torch.equal(clf.labels(reached.points), reached.other)
        assert reached.alignment.median() > 0.98


def test_toward_a_class(digits):
    clf, x = digits
    own = clf.labels(x)
    other = (own + 1) % 10
    subspace = dct_block(clf.input_shape, 0, 5)
    found = nearest_boundary(clf, x, other, subspace=subspace, effort="accurate")
    reached = found[found.converged]
    assert len(reached) > 25
    assert torch.equal(reached.other, other[found.converged])
    anything = nearest_boundary(clf, x, subspace=subspace, effort="accurate")
    assert (anything.distances <= 1.01 * found.distances).all()


def test_quantiles_count_what_was_not_reached():
    clf = classifier(TwoBalls(1.0), (1, 1, 2), bounds=(-3, 3))
    x = torch.tensor([[[[2.0, 0.6]]], [[[2.0, 1.4]]], [[[2.0, 0.0]]]], dtype=torch.float64)
    found = subspace_margins(clf, x, [Subspace(torch.tensor([[[[1.0, 0.0]]]]), "across")])
    assert found.reached.tolist() == pytest.approx([2 / 3])
    assert float(found.quantile()) == pytest.approx(1.2, rel=1e-4)
    assert float(found.quantile(0.9)) == math.inf


def test_steps_and_saving(tmp_path):
    clf, x = classifier(smooth_network()), random_images(4)
    blocks = dct_diagonal((1, 3, 3))
    found = subspace_margins(clf, x, blocks)
    assert_steps(subspace_margins_steps(clf, x, blocks), found)
    assert_round_trip(found, tmp_path / "margins.npz")


@pytest.mark.parametrize(
    ("subspaces", "name"),
    [
        ([], "subspaces"),
        (Subspace.random((1, 3, 3), 2), "subspaces"),
        (None, "subspaces"),
        ("curved", "subspaces"),
        ([None], "subspaces"),
        ([torch.ones(2, 1, 3, 3)], "subspaces"),
        ([Subspace.random((3, 3, 3), 2)], "subspaces"),
    ],
)
def test_bad_subspaces(subspaces, name):
    clf = classifier(smooth_network())
    with pytest.raises((TypeError, ValueError), match=f"^{name} "):
        subspace_margins_steps(clf, random_images(2), subspaces)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, None, "half", True])
def test_bad_quantiles(q):
    clf = classifier(smooth_network())
    found = subspace_margins(clf, random_images(2), [Subspace.random((1, 3, 3), 2)])
    with pytest.raises(ValueError, match=r"^q must be a number from 0 to 1, got "):
        found.quantile(q)


def test_what_was_not_searched_yet_is_not_known():
    clf, x = classifier(smooth_network()), random_images(4)
    blocks = dct_diagonal((1, 3, 3))
    first = next(iter(subspace_margins_steps(clf, x, blocks)))
    assert first.distances[1:].isnan().all()


@pytest.mark.parametrize("effort", EFFORTS)
def test_rounding_is_no_way_to_the_boundary(effort):
    """A subspace that is orthogonal to the boundary's normal up to rounding."""
    clf = classifier(linear(2).float(), SHAPE)
    weight = clf.module[1][1].weight
    normal = (weight[0] - weight[1]).detach().double()
    drawn = torch.randn(6, 16, dtype=torch.float64)
    along = drawn - (drawn @ normal)[:, None] * normal / normal.square().sum()
    subspace = Subspace.spanned(along.reshape(6, *SHAPE).float(), "along")
    found = nearest_boundary(clf, random_images(6, SHAPE).float(), effort=effort, subspace=subspace)
    assert not found.converged.any()


def test_bounds_are_refused():
    with pytest.raises(ValueError, match=r"^bounded must be False"):
        nearest_boundary(
            classifier(smooth_network()), random_images(2), bounded=True,
            subspace=Subspace.random((1, 3, 3), 2),
        )  # fmt: skip
