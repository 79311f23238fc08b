"""Connectivity of regions: what is counted where the answer is known, then networks."""

import math

import pytest
import torch
from scipy import stats
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.connectivity import connectivity, connectivity_steps
from geoexplorer.geometry.convex_combinations import (
    convex_combinations,
    convex_combinations_steps,
)
from geoexplorer.geometry.drawing_pairs import draw_pairs, draw_sets
from tests import analytic
from tests.analytic import classifier

SHAPE = (1, 1, 3)


def image(*first):
    x = torch.zeros(SHAPE, dtype=torch.float64)
    x.view(-1)[: len(first)] = torch.tensor(first, dtype=torch.float64)
    return x


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def islands():
    """Two balls, and images in the first, the second, and in the sea."""
    clf = classifier(analytic.TwoIslands(image(-1.5), 1.0, image(1.5), 1.0))
    offsets = 0.5 * torch.randn((10, *SHAPE), generator=generator()).clamp(-1, 1).double()
    images = torch.cat(
        [offsets[:4] + image(-1.5), offsets[4:8] + image(1.5), image(0.0, 3.0)[None]]
    )
    return clf, images


@pytest.fixture(scope="module")
def digits():
    clf = gx.load_classifier("digits-cnn", device="cpu")
    return clf, gx.load_images("digits").images[:200]


class TestIslands:
    def test_pairs_of_one_island_are_connected_and_no_others(self, islands):
        clf, images = islands
        found = connectivity(clf, images, pairs=12, label=0)
        assert len(found) == 12
        same = (found.first < 4) == (found.second < 4)
        assert same.any()
        assert not same.all()
        assert torch.equal(found.connected, same)
        assert torch.equal(found.straight, same)
        assert not found.proven.any()
        assert (found.straightness[same] == 1).all()
        assert found.straightness[~same].isnan().all()
        assert (found.anchors[same] == 2).all()
        assert (found.anchors[~same] == 0).all()
        a, b = images[found.first], images[found.second]
        assert torch.allclose(found.distances, (a - b).flatten(1).norm(dim=1))

    def test_they_are_counted(self, islands):
        clf, images = islands
        found = connectivity(clf, images, pairs=12, label=0)
        count = found.altogether()
        assert (count.label, count.name, count.pairs, count.moved) == (None, "all classes", 12, 12)
        assert count.connected == count.straight == int(found.connected.sum())
        assert count.straightness == count.straightness_max == 1.0
        assert math.isnan(count.straightness_bent)
        assert count.anchors == count.anchors_max == 2
        (by_class,) = found.by_class()
        assert by_class.label == 0
        assert by_class.connected == count.connected

    def test_a_class_with_one_image_has_no_pairs(self, islands):
        clf, images = islands
        found = connectivity(clf, images, pairs=6)
        assert set(found.labels.tolist()) == {0}
        with pytest.raises(ValueError, match="at least 2 that are predicted as class 1, got 1"):
            connectivity(clf, images, label=1)

    def test_no_more_pairs_than_there_are(self, islands):
        clf, images = islands
        found = connectivity(clf, images[:4], pairs=40)
        assert len(found) == 6
        assert len(set(zip(found.first.tolist(), found.second.tolist(), strict=True))) == 6


class TestRing:
    def test_bent_paths_are_counted(self):
        angles = torch.linspace(0, 2 * math.pi, 9)[:-1].tolist()
        images = torch.stack([image(1.4 * math.cos(t), 1.4 * math.sin(t)) for t in angles])
        clf = classifier(analytic.Annulus(torch.zeros(SHAPE), 1.0, 2.0))
        count = connectivity(clf, images, pairs=28).altogether()
        assert count.pairs == 28
        assert count.connected == 28
        assert count.straight == 8  # neighbours on the octagon; sides of the square go through
        assert 1 < count.straightness_bent <= count.straightness_max < 1.4
        assert count.anchors_max > 2


class Plateau(nn.Module):
    """Class 0 inside a ball, and nothing outside shows where it is."""

    def forward(self, x):
        inside = torch.relu(1 - x.flatten(1).norm(dim=1))
        return torch.stack([5 * inside - 0.1, 0 * inside], dim=1)


def test_a_second_image_that_cannot_be_moved():
    clf = gx.Classifier(Plateau().eval(), input_shape=SHAPE, device="cpu", bounds=(-10, 10))
    images = torch.stack([image(0.2), image(0.0, 0.3), image(50.0), image(0.0, 60.0)]).float()
    found = connectivity(clf, images, pairs=4, scenario="perturbed", label=0)
    assert len(found) == 4
    assert not found.moved.any()
    assert not found.connected.any()
    assert found.distances.isnan().all()
    count = found.altogether()
    assert (count.pairs, count.moved, count.connected) == (4, 0, 0)
    assert math.isnan(count.anchors)


class TestNetworks:
    @pytest.mark.parametrize("scenario", ["images", "perturbed", "random"])
    def test_all_pairs_are_connected_and_proven(self, digits, scenario):
        clf, images = digits
        found = connectivity(clf, images, pairs=10, scenario=scenario)
        count = found.altogether()
        assert count.moved == count.connected == count.proven == 10
        assert count.straight >= 5
        assert (found.least_margins > 0).all()
        predicted = clf.labels(images)
        assert torch.equal(predicted[found.first], found.labels)
        assert len(found.by_class()) == 10
        if scenario == "random":
            assert (found.second == -1).all()
        else:
            same = predicted[found.second] == found.labels
            assert same.all() if scenario == "images" else not same.any()
        if scenario == "images":
            distances = (images[found.first] - images[found.second]).flatten(1).norm(dim=1)
            assert torch.allclose(found.distances.float(), distances)

    def test_sampled_where_nothing_is_to_be_proven(self, digits):
        count = connectivity(*digits, pairs=5, prove=False).altogether()
        assert count.connected == 5
        assert count.proven == 0

    def test_one_class(self, digits):
        found = connectivity(*digits, pairs=6, label=3, prove=False)
        assert set(found.labels.tolist()) == {3}
        assert [count.label for count in found.by_class()] == [3]

    def test_the_seed_draws_the_pairs(self, digits):
        def pairs(seed):
            found = connectivity(*digits, pairs=20, prove=False, seed=seed)
            return found.first.tolist(), found.second.tolist()

        assert pairs(1) == pairs(1)
        assert pairs(1) != pairs(2)

    def test_steps(self, digits):
        parts = list(connectivity_steps(*digits, pairs=45, prove=False))
        lengths = [len(part) for part in parts]
        assert lengths == sorted(lengths)
        assert lengths[-1] == 45
        assert 20 in lengths
        fractions = [part.progress.fraction for part in parts]
        assert fractions == sorted(fractions)
        assert parts[-1].progress.complete
        assert parts[0].altogether().pairs == lengths[0]

    def test_saved_and_read_again(self, digits, tmp_path):
        found = connectivity(*digits, pairs=5, prove=False)
        found.save(tmp_path / "connectivity.npz")
        loaded = gx.Connectivity.load(tmp_path / "connectivity.npz")
        assert loaded.altogether() == found.altogether() or math.isnan(
            found.altogether().straightness_bent
        )
        assert torch.equal(loaded.first, found.first)
        assert loaded.provenance.options["scenario"] == "images"
        assert loaded[loaded.connected].altogether().pairs == 5


class TestConvexCombinations:
    def test_a_convex_region_holds_them_all(self):
        clf = classifier(analytic.Ball(torch.zeros(SHAPE), 1.0))
        images = 0.5 * torch.randn((30, *SHAPE), generator=generator()).double()
        found = convex_combinations(clf, images, label=0, largest=6, combinations=200)
        assert found.sizes.tolist() == [2, 3, 4, 5, 6]
        assert (found.probability() == 1).all()
        assert (found.standard_error() == 0).all()
        low, high = found.interval()
        assert torch.allclose(low, torch.tensor(200 / (200 + 1.96**2)).double())
        assert torch.allclose(high, torch.ones(5).double())

    def test_between_two_islands_the_probability_is_known(self):
        """n images at each of two centres ±c: the combination is at c (2 B - 1), B a beta."""
        radius, centre, n = 1.0, 1.6, 30
        clf = classifier(analytic.TwoIslands(image(-centre), radius, image(centre), radius))
        images = torch.stack([image(-centre)] * n + [image(centre)] * n)
        found = convex_combinations(clf, images, largest=4, combinations=4000)
        low, high = found.interval(0, z=4.0)
        for column, k in enumerate([2, 3, 4]):
            expected = 0.0
            for first in range(k + 1):
                chance = stats.hypergeom(2 * n, n, k).pmf(first)
                if first in (0, k):
                    expected += chance
                else:
                    share = stats.beta(first, k - first)
                    edge = radius / (2 * centre)
                    expected += chance * (share.cdf(edge) + share.sf(1 - edge))
            assert low[column] < expected < high[column]
        p, error = found.probability(), found.standard_error()
        assert torch.allclose(error, (p * (1 - p) / 4000).sqrt())

    def test_the_interval_against_known_numbers(self):
        """25 of 100 at 95 %: 0.1755 to 0.3430 (Wilson 1927)."""
        found = gx.ConvexCombinations(
            sizes=torch.tensor([2]),
            labels=torch.tensor([0]),
            tried=torch.tensor([[100]]),
            inside=torch.tensor([[25]]),
            class_names=("0", "1"),
        )
        low, high = found.interval()
        assert float(low) == pytest.approx(0.1755, abs=1e-4)
        assert float(high) == pytest.approx(0.3430, abs=1e-4)

    def test_by_class_and_altogether(self, digits):
        clf, images = digits
        found = convex_combinations(clf, images, largest=3, combinations=105)
        assert found.tried.sum(0).tolist() == [105, 105]
        assert found.tried.max() - found.tried.min() <= 1
        assert found.probability().min() > 0.9
        one = found.probability(int(found.labels[4]))
        assert torch.equal(one, found.inside[4].double() / found.tried[4])
        with pytest.raises(ValueError, match="label must be one of"):
            found.probability(17)

    def test_a_class_with_fewer_images_than_k(self, digits):
        clf, images = digits
        rows = (clf.labels(images) == 2).nonzero()[:3, 0]
        found = convex_combinations(clf, images[rows], largest=5, combinations=20)
        assert found.tried.tolist() == [[20, 20, 0, 0]]
        assert found.probability()[2:].isnan().all()

    def test_seed_and_chunks(self, digits, monkeypatch):
        clf, images = digits
        once = convex_combinations(clf, images, largest=4, combinations=50, seed=3)
        monkeypatch.setattr(clf, "chunk_size", 7)
        again = convex_combinations(clf, images, largest=4, combinations=50, seed=3)
        assert torch.equal(once.inside, again.inside)

    def test_steps_and_files(self, digits, tmp_path):
        parts = list(convex_combinations_steps(*digits, largest=4, combinations=20))
        assert [int((part.tried.sum(0) > 0).sum()) for part in parts] == [1, 2, 3]
        assert parts[-1].progress.complete
        assert not parts[0].progress.complete
        parts[-1].save(tmp_path / "combinations.npz")
        loaded = gx.ConvexCombinations.load(tmp_path / "combinations.npz")
        assert torch.equal(loaded.inside, parts[-1].inside)


class TestDrawing:
    def test_pairs_are_distinct_and_in_turn(self):
        predicted = torch.randint(0, 3, (300,), generator=generator())
        labels, first, second = draw_pairs(predicted, [0, 1, 2], 61, generator(), among="same")
        assert labels[:6].tolist() == [0, 1, 2, 0, 1, 2]
        assert labels.bincount().tolist() == [21, 20, 20]
        assert torch.equal(predicted[first], labels)
        assert torch.equal(predicted[second], labels)
        pairs = {tuple(sorted(pair)) for pair in zip(first.tolist(), second.tolist(), strict=True)}
        assert len(pairs) == 61
        assert (first != second).all()

    def test_of_another_class(self):
        predicted = torch.tensor([0, 0, 1, 1, 2])
        labels, first, second = draw_pairs(predicted, [0, 1], 100, generator(), among="other")
        assert len(labels) == 12
        assert (predicted[first] == labels).all()
        assert (predicted[second] != labels).all()
        with pytest.raises(ValueError, match="not predicted as class 0"):
            draw_pairs(torch.zeros(4).long(), [0], 3, generator(), among="other")

    @pytest.mark.parametrize(("size", "among"), [(2, 2), (3, 10), (5, 1000)])
    def test_sets(self, size, among):
        sets = draw_sets(2000, size, among, generator())
        assert sets.shape == (2000, size)
        assert all(len(set(row)) == size for row in sets.tolist())
        counts = sets.flatten().bincount(minlength=among).double()
        assert counts.mean() == 2000 * size / among
        assert (counts - counts.mean()).abs().max() < 6 * counts.mean().sqrt()


class TestBadInput:
    def test_connectivity(self, digits):
        clf, images = digits
        for options, message in [
            ({"pairs": 0}, "pairs must be at least 1, got 0"),
            ({"pairs": 2.0}, "pairs must be a whole number"),
            ({"scenario": "all"}, r"scenario must be one of \('images', 'perturbed', 'random'\)"),
            ({"label": 10}, "label must be between 0 and 9, got 10"),
            ({"effort": "much"}, "effort must be one of"),
            ({"prove": 1}, "prove must be True or False, got 1"),
            ({"seed": None}, "whole number"),
        ]:
            before = clf.cost
            with pytest.raises((ValueError, TypeError), match=message):
                connectivity(clf, images, **options)
            assert clf.cost == before
        with pytest.raises(ValueError, match="images must have shape"):
            connectivity(clf, images[:, :, 1:])

    def test_convex_combinations(self, digits):
        clf, images = digits
        for options, message in [
            ({"largest": 1}, "largest must be at least 2, got 1"),
            ({"combinations": 0}, "combinations must be at least 1"),
            ({"label": -1}, "label must be between 0 and 9, got -1"),
        ]:
            with pytest.raises(ValueError, match=message):
                convex_combinations(clf, images, **options)
        with pytest.raises(ValueError, match="images must hold at least 2"):
            convex_combinations(clf, images[:1])
