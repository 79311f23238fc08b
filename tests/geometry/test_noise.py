"""Misclassification under noise: half-spaces, where a Beta distribution gives the rate."""

import math

import pytest
import torch
from scipy import stats

from geoexplorer.geometry.linear_subspace import Subspace
from geoexplorer.geometry.noise import noise_sensitivity, noise_sensitivity_steps
from tests import analytic
from tests.geometry.test_detection import classifier, random_images, smooth_network
from tests.steps import assert_cancellable, assert_round_trip, assert_same, assert_steps

SHAPE = (1, 4, 4)


def half_space(distance):
    """Class 0 where the first pixel is above 0.5 - distance; images lie at 0.5."""
    normal = torch.zeros(SHAPE, dtype=torch.float64)
    normal[0, 0, 0] = 1.0
    return analytic.classifier(analytic.HalfSpace(normal, 0.5 - distance))


def rate(distance, norm, dimension):
    """Of directions uniform on a sphere whose first component is below -distance/norm."""
    share = distance / norm
    if share >= 1:
        return 0.0
    return 0.5 * (1 - stats.beta.cdf(share**2, 0.5, (dimension - 1) / 2))


def test_half_space_in_several_subspaces():
    clf = half_space(0.2)
    x = torch.full((400, *SHAPE), 0.5, dtype=torch.float64)
    assert clf.labels(x[:1]) == 0
    pixels = torch.eye(16, dtype=torch.float64).reshape(16, *SHAPE)
    subspaces = [Subspace(pixels[:3], "three"), Subspace(pixels[4:9], "along")]
    norms = [0.15, 0.3, 1.0]
    found = noise_sensitivity(clf, x, subspaces, norms=norms, draws=10)
    assert found.names == ("three", "along", "whole space")
    assert found.dimensions == (3, 5, 16)
    assert (found.tried == 4000).all()
    for column, norm in enumerate(norms):
        for row, dimension in ((0, 3), (2, 16)):
            expected = rate(0.2, norm, dimension)
            error = math.sqrt(expected * (1 - expected) / 4000)
            assert abs(float(found.rates[row, column]) - expected) < 4 * error + 1e-9
    assert found.rates[1].max() == 0
    low, high = found.interval()
    assert ((low <= found.rates) & (found.rates <= high)).all()


def test_the_same_noise_whatever_the_chunks():
    x = random_images(23)
    one = noise_sensitivity(classifier(smooth_network()), x, draws=3, seed=4)
    other = noise_sensitivity(classifier(smooth_network(), chunk_size=5), x, draws=3, seed=4)
    assert_same(one, other)
    different = noise_sensitivity(classifier(smooth_network()), x, draws=3, seed=5)
    assert not torch.equal(one.changed, different.changed)


def test_the_norms_by_default():
    found = noise_sensitivity(classifier(smooth_network()), random_images(2), draws=1)
    assert len(found.norms) == 8
    assert float(found.norms[-1]) == pytest.approx(0.15 * 3)


def test_steps_and_saving(tmp_path):
    clf, x = classifier(smooth_network()), random_images(6)
    found = noise_sensitivity(clf, x, [Subspace.random((1, 3, 3), 2)], draws=4)
    assert (
        len(
            assert_steps(
                noise_sensitivity_steps(clf, x, [Subspace.random((1, 3, 3), 2)], draws=4), found
            )
        )
        == 8
    )
    assert_round_trip(found, tmp_path / "noise.npz")
    assert_cancellable(clf, lambda: noise_sensitivity(clf, x))


@pytest.mark.parametrize(
    ("subspaces", "options", "name"),
    [
        ([torch.ones(1, 1, 3, 3)], {}, "subspaces"),
        ([Subspace.random((3, 3, 3), 2)], {}, "subspaces"),
        (None, {}, "subspaces"),
        ([None], {}, "subspaces"),
        ([], {"norms": []}, "norms"),
        ([], {"norms": [0.0]}, "norms"),
        ([], {"norms": [math.inf]}, "norms"),
        ([], {"norms": 1.0}, "norms"),
        ([], {"norms": ["far"]}, "norms"),
        ([], {"draws": 0}, "draws"),
        ([], {"seed": -1}, "seed"),
    ],
)
def test_bad_options(subspaces, options, name):
    clf = classifier(smooth_network())
    before = clf.cost
    with pytest.raises((TypeError, ValueError), match=f"^{name} "):
        noise_sensitivity_steps(clf, random_images(2), subspaces, **options)
    assert clf.cost == before
