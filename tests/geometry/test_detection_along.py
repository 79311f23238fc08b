"""The score on the way across the boundary."""

import math

import pytest
import torch

import geoexplorer as gx
from geoexplorer.geometry.detection import detect
from geoexplorer.geometry.detection_along import detect_along, detect_along_steps
from tests.geometry.test_detection import TwoBalls, classifier, random_images, smooth_network
from tests.steps import assert_cancellable, assert_round_trip, assert_steps


@pytest.fixture(scope="module")
def point():
    clf = classifier(smooth_network())
    gx.detect(clf, random_images(1), 1)  # whether there are kinks is found out once, at a cost
    return clf, gx.nearest_boundary(clf, random_images(1), effort="accurate")


def test_a_ball_from_inside_to_outside():
    clf = classifier(TwoBalls(1.0), (1, 2, 2), bounds=(-2, 2))
    b = gx.nearest_boundary(clf, torch.full((1, 1, 2, 2), 0.3, dtype=torch.float64))
    found = detect_along(clf, b, step=0.01)
    assert len(found) == 61
    radius = 0.6 + 0.4 * found.stops.double()
    side = torch.where(found.stops < 1, 1.0, -1.0)
    beside = (found.stops - 1).abs() > 1e-3
    assert torch.allclose(found.score[beside], (side * 0.75 / radius)[beside], rtol=1e-3)
    assert (found.own, found.other) == (0, 1)
    assert found.distance == pytest.approx(0.4, rel=1e-4)


def test_it_is_detect_at_these_places(point):
    clf, b = point
    found = detect_along(clf, b, [2.0, 0.0, 1.1], probes=4, step=0.1, threshold=0.01, seed=5)
    assert found.stops.tolist() == pytest.approx([0.0, 1.1, 2.0])
    images = b.images + found.stops.double()[:, None, None, None] * b.perturbations
    expected = detect(clf, images, 4, 0.1, threshold=0.01, seed=5)
    assert torch.equal(found.score, expected.score)
    assert torch.equal(found.perturbed, expected.perturbed)
    assert int(found.labels[0]) == found.own == int(b.own)
    assert found[1].score.shape == (1,)
    assert float(found[1].stops) == pytest.approx(1.1)


def test_steps_and_saving(point, tmp_path):
    clf, b = point
    found = detect_along(clf, b, probes=4)
    assert_steps(detect_along_steps(clf, b, probes=4), found)
    assert_round_trip(found, tmp_path / "along.npz")
    assert_cancellable(clf, lambda: detect_along(clf, b, probes=4))


@pytest.mark.parametrize(
    ("stops", "options", "name"),
    [
        ([], {}, "stops"),
        ([math.nan], {}, "stops"),
        ("far", {}, "stops"),
        (1.0, {}, "stops"),
        (None, {"probes": 0}, "probes"),
        (None, {"step": -1.0}, "step"),
        (None, {"threshold": math.nan}, "threshold"),
        (None, {"threshold": torch.zeros(2)}, "threshold"),
        (None, {"classes": 9}, "classes"),
    ],
)
def test_bad_options(point, stops, options, name):
    with pytest.raises((TypeError, ValueError), match=f"^{name} must"):
        detect_along_steps(*point, stops, **options)


def test_one_point_only():
    clf = classifier(smooth_network())
    with pytest.raises(ValueError, match=r"^point must be one boundary point, got 2"):
        detect_along(clf, gx.nearest_boundary(clf, random_images(2)))
