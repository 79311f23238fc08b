"""ROC of detection: against scikit-learn, and where the answer is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve

import geoexplorer as gx
from geoexplorer.geometry.detection import detect
from geoexplorer.geometry.detection_roc import DetectionROC, detection_roc, detection_roc_steps
from geoexplorer.jobs import Progress
from tests.geometry.test_detection import TwoBalls, classifier, random_images, smooth_network
from tests.steps import assert_cancellable, assert_round_trip, assert_same, assert_steps

OPTIONS = {"probes": 5, "step": 0.1, "seed": 2}


def made(natural, perturbed, changed=None, recovered=None, seed=0):
    """A result of given scores: ``(n,)`` and ``(a, n)``; both kinds of score alike."""
    natural, perturbed = torch.as_tensor(natural).double(), torch.as_tensor(perturbed).double()
    count, n = perturbed.shape
    yes = torch.ones(count, n, dtype=torch.bool)
    return DetectionROC(
        scales=tuple(float(index + 1) for index in range(count)),
        natural=torch.stack([natural, -natural]),
        perturbed=torch.stack([perturbed, -perturbed], dim=1),
        changed=yes if changed is None else changed,
        recovered=yes if recovered is None else recovered,
        runner_up=~yes,
        own=torch.zeros(n, dtype=torch.int64),
        distances=torch.ones(n),
        false_positive_rate=0.1,
        perturbation="interactive",
        probes=1,
        step=1.0,
        seed=seed,
        class_names=("0", "1"),
    )


@pytest.mark.parametrize("decimals", [8, 1])  # without and with ties
def test_areas_and_curves_are_those_of_scikit_learn(decimals):
    generator = np.random.default_rng(0)
    natural = generator.normal(size=70).round(decimals)
    perturbed = generator.normal(0.7, 1.0, (3, 70)).round(decimals)
    found = made(natural, perturbed)
    for row, scores in enumerate(perturbed):
        truth = np.r_[np.zeros(70), np.ones(70)]
        both = np.r_[natural, scores]
        assert float(found.auc()[row]) == pytest.approx(roc_auc_score(truth, both))
        assert float(found.auc("margin")[row]) == pytest.approx(roc_auc_score(truth, -both))
        false, true = found.curve(row)
        expected = roc_curve(truth, both, drop_intermediate=False)
        assert np.allclose(false, expected[0])
        assert np.allclose(true, expected[1])


@pytest.mark.parametrize("score", ["curvature", "margin"])
def test_scores_of_one_distribution_are_not_told_apart(score):
    """The area is one half, and its interval covers that 95 times in 100."""
    areas, covered = [], 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        found = made(generator.normal(size=100), generator.normal(size=(1, 100)), seed=seed)
        low, high = (float(end) for end in found.auc_interval(score))
        covered += low <= 0.5 <= high
        areas.append(float(found.auc(score)))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.015)
    assert np.max(np.abs(np.array(areas) - 0.5)) <= 0.17  # a deviation is 0.041
    assert covered >= 88


def test_equal_scores_are_a_half_and_separated_ones_all_or_nothing():
    natural = np.random.default_rng(0).normal(size=50)
    same, above = made(natural, natural[None]), made(natural, natural[None] + 10)
    assert float(same.auc()) == 0.5
    low, high = (float(end) for end in same.auc_interval())
    assert low <= 0.5 <= high
    for found, area in ((above, 1.0), (made(natural, natural[None] - 10), 0.0)):
        assert found.auc().tolist() == [area]
        assert [end.tolist() for end in found.auc_interval()] == [[area], [area]]
        assert found.auc("margin").tolist() == [1.0 - area]
    false, true = above.curve(0)
    assert float(true[false == 0].max()) == 1.0


def test_intervals_cover_and_shrink():
    generator = np.random.default_rng(1)
    truth = 0.5 * (1 + math.erf(0.8 / 2))  # of two normals 0.8 apart
    covered, widths = 0, []
    for n in (40, 400):
        for seed in range(40):
            natural = generator.normal(size=n)
            found = made(natural, generator.normal(0.8, 1.0, (1, n)), seed=seed)
            low, high = (float(end) for end in found.auc_interval())
            assert low <= float(found.auc()) <= high
            covered += low <= truth <= high
            widths.append(high - low)
    assert covered >= 70  # of 80; 95 % would be 76
    assert np.mean(widths[40:]) < 0.45 * np.mean(widths[:40])


def test_pairs_are_drawn_together():
    """Scores that rise for every image by the same little tell more than independent ones."""
    natural = np.random.default_rng(2).normal(size=200)
    low, high = made(natural, natural[None] + 0.1).auc_interval()
    other = np.random.default_rng(3).normal(size=(1, 200)) + 0.1
    wide_low, wide_high = made(natural, other).auc_interval()
    assert float(high - low) < 0.5 * float(wide_high - wide_low)


def test_threshold_and_detected():
    natural = np.arange(100.0)
    found = made(natural, np.stack([natural, natural + 50, natural + 200]))
    assert float((natural > found.threshold()).mean()) <= 0.1
    assert found.detected().tolist() == pytest.approx([0.09, 0.59, 1.0], abs=0.011)


def test_labels_that_did_not_change_are_not_to_be_recovered():
    changed = torch.tensor([[True, True, False, False]])
    recovered = torch.tensor([[True, False, True, True]])
    found = made(torch.zeros(4), torch.ones(1, 4), changed, recovered)
    assert found.recovery().tolist() == [0.5]
    assert found.recovery("runner-up").tolist() == [0.0]
    low, high = found.recovery_interval()
    assert 0 < float(low) < 0.5 < float(high) < 1


def test_images_without_a_score_are_left_out():
    natural = torch.tensor([0.0, 1.0, math.nan, 2.0])
    perturbed = torch.tensor([[3.0, math.nan, 3.0, -1.0]])
    found = made(natural, perturbed)
    assert float(found.auc()) == 0.5
    assert found.detected().shape == (1,)


def test_nothing_is_known_yet():
    found = made(torch.full((3,), math.nan), torch.full((2, 3), math.nan))
    assert found.auc().isnan().all()
    assert all(end.isnan().all() for end in found.auc_interval())
    assert math.isnan(found.threshold())
    assert found.detected().isnan().all()
    for rates in found.curve(1):
        assert rates.tolist() == pytest.approx([math.nan], nan_ok=True)


def test_a_ball_betrays_every_image():
    clf = classifier(TwoBalls(1.0), (1, 2, 2), bounds=(-2, 2))
    x = 1.5 * torch.nn.functional.normalize(random_images(30, (1, 2, 2)).flatten(1), dim=1)
    points = gx.nearest_boundary(clf, x.reshape(-1, 1, 2, 2))
    found = detection_roc(clf, points, [1.02, 1.5], step=0.05)
    assert found.auc().tolist() == [1.0, 1.0]
    assert found.recovery().tolist() == [1.0, 1.0]
    assert found.recovery("runner-up").tolist() == [1.0, 1.0]
    assert found.changed.all()


@pytest.fixture(scope="module")
def points():
    clf = classifier(smooth_network())
    gx.detect(clf, random_images(1), 1)  # whether there are kinks is found out once, at a cost
    return clf, gx.nearest_boundary(clf, random_images(30), effort="accurate")


def test_scores_are_those_of_detect(points):
    clf, b = points
    b = b[b.converged]
    found = detection_roc(clf, b, [1.02, 3.0], probes=5, step=0.1, seed=2)
    assert torch.equal(found.natural[0], detect(clf, b.images, 5, 0.1, seed=2).score)
    verdict = detect(clf, b.images + 3 * b.perturbations, 5, 0.1, seed=2)
    assert torch.equal(found.perturbed[1], torch.stack([verdict.score, -verdict.margin]))
    assert torch.equal(found.changed[1], verdict.labels != b.own)
    assert torch.equal(found.recovered[1], verdict.recovered == b.own)
    assert found.perturbation == "accurate"


def test_points_that_were_not_reached_are_left_out():
    clf = classifier(smooth_network())
    b = gx.nearest_boundary(clf, random_images(5))
    lost = torch.tensor([True, False, True, True, True])
    holed = dataclasses.replace(
        b,
        converged=b.converged & lost,
        perturbations=torch.where(lost[:, None, None, None], b.perturbations, math.nan),
        points=torch.where(lost[:, None, None, None], b.points, math.nan),
    )
    found = detection_roc(clf, holed, [1.02], probes=3)
    assert len(found.own) == int((b.converged & lost).sum())
    assert found.natural.isfinite().all()


def test_steps_and_saving(points, tmp_path):
    clf, b = points
    found = detection_roc(clf, b, [1.02], probes=3)
    parts = assert_steps(detection_roc_steps(clf, b, [1.02], probes=3), found)
    assert len(parts) > 1
    loaded = assert_round_trip(found, tmp_path / "roc.npz")
    assert loaded.auc().tolist() == found.auc().tolist()
    assert_cancellable(clf, lambda: detection_roc(clf, b, [1.02], probes=3), after=4)


def test_an_unfinished_result_has_the_curves_of_the_images_known():
    clf = classifier(smooth_network())
    b = gx.nearest_boundary(clf, random_images(150))
    assert int(b.converged.sum()) > 128
    whole = detection_roc(clf, b, probes=3)
    known = []
    for found in detection_roc_steps(clf, b, probes=3):
        scored = found.natural[0].isfinite() & found.perturbed[:, 0].isfinite().all(0)
        known.append(int(scored.sum()))
        for row in range(3):
            false, true = found.curve(row)
            if not known[-1]:
                assert false.isnan().all()
                assert true.isnan().all()
                continue
            natural, perturbed = whole.natural[0][scored], whole.perturbed[row, 0][scored]
            assert (false[-1], true[-1]) == (1, 1)
            expected = (perturbed[:, None] > natural).double().mean()
            assert float(found.auc()[row]) == pytest.approx(float(expected))
            assert float(torch.trapezoid(true, false)) == pytest.approx(float(expected))
    assert known == sorted(known)
    assert len(set(known)) >= 3


class TestNaturalImagesThatWereScored:
    def test_it_is_the_same_and_costs_as_much_less(self, points):
        clf, b = points
        natural = detect(clf, b.images, **OPTIONS)
        plain = detection_roc(clf, b, **OPTIONS)
        found = detection_roc(clf, b, **OPTIONS, natural=natural)
        assert_same(found, plain)
        scored = detect(clf, b[b.converged].images, **OPTIONS).cost
        assert plain.cost.forwards == found.cost.forwards + scored.forwards
        assert plain.cost.gradients == found.cost.gradients + scored.gradients
        parts = detection_roc_steps(clf, b, **OPTIONS, natural=natural)
        assert len(assert_steps(parts, found)) > 1

    def test_by_default_options_and_after_loading(self, points, tmp_path):
        clf, b = points
        natural = detect(clf, b.images).judged(0.3)
        natural.save(tmp_path / "natural.npz")
        loaded = type(natural).load(tmp_path / "natural.npz")
        assert_same(detection_roc(clf, b, [2.0], natural=loaded), detection_roc(clf, b, [2.0]))

    def test_points_that_were_not_reached_are_left_out(self, points):
        clf, b = points
        converged = b.converged.clone()
        converged[3] = False
        holed = dataclasses.replace(b, converged=converged)
        natural = detect(clf, b.images, **OPTIONS)
        found = detection_roc(clf, holed, natural=natural, **OPTIONS)
        assert torch.equal(found.natural[0], natural.score[converged])

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda clf, b: b, "a Detection, or None, got BoundaryPoints"),
            (lambda clf, b: detect(clf, b.images[1:], 5, 0.1, seed=2), "one row for each of 30"),
            (lambda clf, b: detect(clf, b.images, 6, 0.1, seed=2), "probes=5, got one with 6"),
            (lambda clf, b: detect(clf, b.images, 5, 0.2, seed=2), "step=0.1, got one with 0.2"),
            (lambda clf, b: detect(clf, b.images, 5, 0.1, seed=3), "seed=2, got one with 3"),
            (
                lambda clf, b: detect(clf, b.images, 5, 0.1, classes=1, seed=2),
                "classes=None, got one with 1",
            ),
            (
                lambda clf, b: detect(clf, b.points + b.perturbations, 5, 0.1, seed=2),
                "called by other classes",
            ),
            (
                lambda clf, b: detect(classifier(smooth_network(seed=1)), b.images, 5, 0.1, seed=2),
                "another network",
            ),
            (
                lambda clf, b: dataclasses.replace(
                    detect(clf, b.images, 5, 0.1, seed=2), progress=Progress(0.5, "half")
                ),
                "not complete",
            ),
        ],
    )
    def test_others_are_refused(self, points, change, said):
        clf, b = points
        natural = change(clf, b)
        before = clf.cost
        with pytest.raises((TypeError, ValueError), match=f"^natural must be .*{said}"):
            detection_roc_steps(clf, b, **OPTIONS, natural=natural)
        assert clf.cost == before


@pytest.mark.parametrize(
    ("scales", "options", "name"),
    [
        ([], {}, "scales"),
        ([0.0], {}, "scales"),
        ([1.0, -1.0], {}, "scales"),
        ([math.nan], {}, "scales"),
        ("1.02", {}, "scales"),
        (1.02, {}, "scales"),
        ([1.02], {"probes": 0}, "probes"),
        ([1.02], {"step": 0.0}, "step"),
        ([1.02], {"classes": 4}, "classes"),
        ([1.02], {"false_positive_rate": 2}, "false_positive_rate"),
        ([1.02], {"seed": -1}, "seed"),
    ],
)
def test_bad_options(points, scales, options, name):
    clf, b = points
    before = clf.cost
    with pytest.raises((TypeError, ValueError), match=f"^{name} must"):
        detection_roc_steps(clf, b, scales, **options)
    assert clf.cost == before


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda found: found.auc("luck"), "score"),
        (lambda found: found.recovery("luck"), "by"),
        (lambda found: found.curve(0, "luck"), "score"),
    ],
)
def test_bad_words(call, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        call(made(torch.zeros(3), torch.ones(1, 3)))
