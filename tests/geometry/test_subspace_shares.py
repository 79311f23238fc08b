"""Shares of vectors in a subspace: exact ones, and random vectors within their sampling error."""

import dataclasses
import math

import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.linear_subspace import Subspace
from geoexplorer.geometry.subspace_shares import subspace_shares
from tests.geometry.test_detection import classifier, random_images
from tests.steps import assert_round_trip, assert_same

SHAPE = (1, 4, 4)


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    clf = classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double(), SHAPE)
    return clf, gx.nearest_boundary(clf, random_images(400, SHAPE))


def test_perturbations_and_gradients_of_a_linear_classifier(linear):
    clf, b = linear
    weight = clf.module[1][1].weight
    normal = (weight[0] - weight[1]).detach().reshape(1, *SHAPE)
    along = Subspace.spanned(normal, "normal")
    found = subspace_shares(clf, along, b, vectors={"twice": 2 * normal})
    assert found.names == (
        "perturbations", "gradients", "differences of images", "random vectors", "twice",
    )  # fmt: skip
    mean = found.mean()
    assert mean[[0, 1, 4]].tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert mean[2] < 0.5
    drawn = torch.randn(4, *SHAPE, dtype=torch.float64)
    across = Subspace.spanned(drawn - along.project(drawn), "across")
    assert subspace_shares(clf, across, b).mean()[:2].max() < 1e-4


@pytest.mark.parametrize("m", [1, 4, 9])
def test_random_vectors(linear, m):
    clf, b = linear
    found = subspace_shares(clf, Subspace.random(SHAPE, m), b)
    shares = found.shares[found.names.index("random vectors")].double()
    assert found.expected == pytest.approx(math.sqrt(m / 16))
    # The mean square is m/d exactly; the mean lies a little below its root.
    error = float(shares.square().std()) / math.sqrt(len(shares))
    assert float(shares.square().mean()) == pytest.approx(m / 16, abs=4 * error)
    low, high = found.quantiles(0.25, 0.75)
    assert (low <= high).all()


def test_points_that_were_not_reached_are_left_out(linear):
    clf, b = linear
    part = dataclasses.replace(b[:10], converged=torch.arange(10) < 7)
    found = subspace_shares(clf, Subspace.random(SHAPE, 3), part)
    assert all(len(share) == 7 for share in found.shares)
    assert all(share.isfinite().all() for share in found.shares)


def test_random_vectors_are_none_of_a_random_subspace(linear):
    clf, b = linear
    for seed in (0, 1):
        found = subspace_shares(clf, Subspace.random(SHAPE, 4, seed=seed), b[:17], seed=seed)
        assert float(found.mean()[3]) < 0.65


def test_names_are_taken_once(linear):
    clf, b = linear
    with pytest.raises(ValueError, match=r"^vectors must have other names"):
        subspace_shares(
            clf, Subspace.random(SHAPE, 4), b, vectors={"gradients": torch.ones(1, *SHAPE)}
        )


def test_seeds_and_saving(linear, tmp_path):
    clf, b = linear
    subspace = Subspace.random(SHAPE, 3)
    found = subspace_shares(clf, subspace, b[:9], seed=2)
    assert_same(found, subspace_shares(clf, subspace, b[:9], seed=2))
    assert not torch.equal(found.shares[3], subspace_shares(clf, subspace, b[:9], seed=3).shares[3])
    assert found.cost.gradients == 9
    assert_round_trip(found, tmp_path / "shares.npz")


def test_bad_input(linear):
    clf, b = linear
    subspace = Subspace.random(SHAPE, 3)
    with pytest.raises(TypeError, match=r"^subspace must be"):
        subspace_shares(clf, torch.ones(3, *SHAPE), b)
    with pytest.raises(ValueError, match=r"^subspace holds directions of shape"):
        subspace_shares(clf, Subspace.random((1, 2, 2), 1), b)
    with pytest.raises(ValueError, match=r"^seed must be"):
        subspace_shares(clf, subspace, b, seed=-1)
    with pytest.raises(TypeError, match=r"^points must be|^boundary must be"):
        subspace_shares(clf, subspace, b.perturbations)
    before = clf.cost
    for vectors in ([b.perturbations], b.perturbations, {0: b.perturbations}, {"other": None}):
        with pytest.raises(TypeError, match=r"^vectors must "):
            subspace_shares(clf, subspace, b, vectors=vectors)
    assert clf.cost == before
    with pytest.raises(ValueError, match=r"^high must be a number from 0 to 1, got 90"):
        subspace_shares(clf, subspace, b).quantiles(0.1, 90)
    with pytest.raises(ValueError, match=r"^vectors must have shape"):
        subspace_shares(clf, subspace, b, vectors={"other": torch.ones(2, 1, 2, 2)})
