"""Sampled segments: closed forms of where they leave a region, then networks."""

import math

import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry import sampling
from geoexplorer.geometry.sampling import sampled_proofs, samples
from tests import analytic
from tests.analytic import classifier

PLANE = (1, 1, 2)


def points(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, *PLANE)


def zeros(n):
    return torch.zeros(n, dtype=torch.int64)


@pytest.fixture(scope="module")
def ball():
    return classifier(analytic.Ball(torch.zeros(PLANE), 1.0))


class Logits(nn.Module):
    """Logits that are given functions of the first pixel."""

    input_shape = PLANE

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions

    def forward(self, x):
        first = x.flatten(1)[:, 0] + 0 * x.flatten(1).sum(1)
        return torch.stack([function(first) for function in self.functions], dim=1)


class TestWhere:
    def test_a_chord_leaves_the_ball_where_it_meets_the_sphere(self, ball):
        a, b = points([0.0, 0.6]), points([3.0, 0.6])
        proof = sampled_proofs(ball, a, b, zeros(1))[0]
        assert proof.inside is False
        assert proof.exact is False
        assert proof.pieces == 0
        assert proof.rounding == 0.0
        assert proof.other == 1
        assert proof.label == 0
        assert proof.length == 3.0
        assert proof.place == pytest.approx(0.8 / 3, abs=1e-8)
        assert proof.place >= 0.8 / 3

    def test_the_place_itself_is_outside(self, ball):
        a, b = points([0.1, 0.2]), points([1.7, -0.3])
        proof = sampled_proofs(ball, a, b, zeros(1))[0]
        assert ball.labels(torch.lerp(a, b, proof.place)).tolist() == [1]
        assert ball.labels(torch.lerp(a, b, float(proof.t[-2]))).tolist() == [0]

    def test_it_ends_there_or_goes_on(self, ball):
        a, b = points([0.0, 0.0]), points([3.0, 0.0])
        short = sampled_proofs(ball, a, b, zeros(1))[0]
        assert float(short.t[-1]) == short.place
        whole = sampled_proofs(ball, a, b, zeros(1), stop=False)[0]
        assert float(whole.t[-1]) == 1.0
        assert whole.place == short.place
        assert whole.inside is False
        assert whole.least_margin == pytest.approx(-4.0 * 2, rel=1)
        assert short.least_margin > -1e-6

    def test_inside(self, ball):
        proof = sampled_proofs(ball, points([-0.6, 0.1]), points([0.7, 0.2]), zeros(1))[0]
        assert proof.inside is True
        assert proof.place is None
        assert proof.other is None
        assert proof.crossings.numel() == 0

    def test_a_start_outside(self, ball):
        proof = sampled_proofs(ball, points([2.0, 0.0]), points([0.0, 0.0]), zeros(1))[0]
        assert proof.inside is False
        assert proof.place == 0.0
        assert proof.t.tolist() == [0.0]
        assert proof.spacing == 0.0

    def test_one_point(self, ball):
        a = points([0.5, 0.0], [1.5, 0.0])
        inside, outside = sampled_proofs(ball, a, a.clone(), zeros(2))
        assert inside.inside is True
        assert inside.spacing == 0.0
        assert inside.length == 0.0
        assert inside.t.tolist() == [0.0]
        assert inside.least_margin == pytest.approx(0.75 / 2)
        assert outside.inside is False

    def test_the_second_of_several_classes(self):
        """f_1 is above f_0 from 0.5, f_2 from 0.3: the exit is to class 2."""
        clf = classifier(Logits(lambda x: 1 - x, lambda x: x, lambda x: x + 0.4))
        proof = sampled_proofs(clf, points([0.0, 0.0]), points([1.0, 0.0]), zeros(1))[0]
        assert proof.other == 2
        assert proof.place == pytest.approx(0.3, abs=1e-8)
        assert proof.logits.shape == (len(proof.t), 3)


class TestBetweenSamples:
    @pytest.mark.parametrize("centre", [0.137, 0.4999, 0.73111])
    @pytest.mark.parametrize("bottom", [-1e-4, 1e-4])
    def test_a_parabola_that_dips_between_the_first_samples(self, centre, bottom):
        """f_0 - f_1 = bottom + (x - centre)²: outside for 0.02 of the segment, or not at all."""
        clf = classifier(Logits(lambda x: bottom + (x - centre) ** 2, torch.zeros_like))
        proof = sampled_proofs(clf, points([0.0, 0.0]), points([1.0, 0.0]), zeros(1), intervals=8)
        assert proof[0].inside is (bottom > 0)
        if bottom < 0:
            assert proof[0].place == pytest.approx(centre - 1e-2, abs=1e-7)
        else:
            assert proof[0].least_margin == pytest.approx(bottom, rel=0.1)

    @pytest.mark.parametrize("bottom", [-1e-3, 1e-3])
    def test_a_kink_that_dips_between_the_first_samples(self, bottom):
        clf = classifier(Logits(lambda x: bottom + (x - 0.4321).abs(), torch.zeros_like))
        proof = sampled_proofs(clf, points([0.0, 0.0]), points([1.0, 0.0]), zeros(1))[0]
        assert proof.inside is (bottom > 0)

    def test_touching_at_a_sample_is_undecided(self):
        clf = classifier(Logits(lambda x: (x - 0.5) ** 2, torch.zeros_like))
        proof = sampled_proofs(clf, points([0.0, 0.0]), points([1.0, 0.0]), zeros(1))[0]
        assert proof.inside is None
        assert proof.place == 0.5
        assert proof.other == 1
        assert proof.least_margin == 0.0

    def test_a_plateau_of_ties_takes_a_limited_number_of_samples(self):
        clf = classifier(Logits(torch.relu, torch.zeros_like))
        proof = sampled_proofs(clf, points([-1.0, 0.0]), points([1.0, 0.0]), zeros(1))[0]
        assert proof.inside is None
        assert len(proof.t) <= 2 * sampling._MOST + 65

    def test_a_sliver_gives_no_sign(self):
        """What no proof can find by sampling: hence the exact ones."""
        clf = classifier(analytic.Sliver(0.3001, 1e-6, None))
        a, b = points([0.0, 0.0]), points([1.0, 0.0])
        assert sampled_proofs(clf, a, b, zeros(1))[0].inside is True
        assert clf.labels(torch.lerp(a, b, 0.3001)).tolist() == [1]

    def test_more_samples_where_the_margin_is_small(self, ball):
        near = sampled_proofs(ball, points([0.0, 0.0]), points([0.999, 0.0]), zeros(1))[0]
        far = sampled_proofs(ball, points([0.0, 0.0]), points([0.3, 0.0]), zeros(1))[0]
        assert len(near.t) > len(far.t) == 65
        assert near.t.diff()[-1] < near.t.diff()[0] / 5


class TestSpacing:
    def test_it_is_the_largest_distance_between_neighbours(self, ball):
        proof = sampled_proofs(ball, points([0.0, 0.0]), points([0.3, 0.4]), zeros(1))[0]
        assert proof.spacing == pytest.approx(0.5 / 64)
        assert proof.spacing == pytest.approx(float(proof.t.diff().max()) * proof.length)

    def test_of_the_part_that_was_looked_at(self, ball):
        proof = sampled_proofs(ball, points([0.0, 0.0]), points([3.0, 0.0]), zeros(1))[0]
        assert proof.spacing == pytest.approx(float(proof.t.diff().max()) * 3.0)

    def test_logits_are_those_at_the_samples(self):
        clf = gx.load_classifier("digits-cnn", device="cpu")
        x = gx.load_images("digits").images
        labels = clf.labels(x)
        proof = sampled_proofs(clf, x[:1], x[1:2], labels[:1])[0]
        assert proof.t.dtype == proof.logits.dtype == torch.float64
        images = torch.lerp(x[:1], x[1:2], proof.t.float()[:, None, None, None])
        assert torch.allclose(clf.logits(images).double(), proof.logits, atol=1e-4)


@pytest.fixture(scope="module")
def pairs():
    """Images of a class with one of the same class and with one of another."""
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)
    x = gx.load_images("digits").images.double()[:60]
    labels = clf.labels(x)
    order = labels.argsort(stable=True)
    a, b = x[order[:-1:2]], x[order[1::2]]
    b[::3] = x[order[::2].flip(0)][::3]
    return clf, a, b, labels[order[:-1:2]]


class TestTogether:
    def test_as_one_by_one(self, pairs):
        clf, a, b, labels = pairs
        together = sampled_proofs(clf, a, b, labels)
        assert {proof.inside for proof in together} == {True, False}
        for row in range(0, 30, 7):
            part = slice(row, row + 1)
            alone = sampled_proofs(clf, a[part], b[part], labels[part])[0]
            assert alone.inside is together[row].inside
            assert torch.equal(alone.t, together[row].t)
            assert torch.allclose(alone.logits, together[row].logits, atol=1e-9)

    def test_dense_sampling_agrees(self, pairs):
        clf, a, b, labels = pairs
        t = torch.linspace(0, 1, 801, dtype=torch.float64)[:, None, None, None]
        for row, proof in enumerate(sampled_proofs(clf, a[:12], b[:12], labels[:12])):
            outside = clf.labels(torch.lerp(a[row], b[row], t)) != labels[row]
            assert bool(outside.any()) is not proof.inside
            if proof.inside is False:
                assert float(t[outside].amin()) == pytest.approx(proof.place, abs=1 / 800)

    def test_a_coarse_grid_finds_the_same(self, pairs):
        clf, a, b, labels = pairs
        fine = [proof.inside for proof in sampled_proofs(clf, a, b, labels)]
        found = samples(clf, a, b, labels, intervals=16, locate=False)
        assert [segment.inside for segment in found] == fine

    def test_chunks_change_nothing(self, pairs, monkeypatch):
        clf, a, b, labels = pairs
        whole = sampled_proofs(clf, a[:5], b[:5], labels[:5])
        monkeypatch.setattr(clf, "chunk_size", 7)
        for one, other in zip(whole, sampled_proofs(clf, a[:5], b[:5], labels[:5]), strict=True):
            assert torch.equal(one.t, other.t)
            assert torch.allclose(one.logits, other.logits, atol=1e-9)

    def test_every_image_is_counted(self, pairs):
        clf, a, b, labels = pairs
        before = clf.cost
        proofs = sampled_proofs(clf, a[:5], b[:5], labels[:5], stop=False)
        assert (clf.cost - before).forwards == sum(len(proof.t) for proof in proofs)


def test_logits_that_are_not_finite_are_named():
    clf = classifier(Logits(lambda x: (2 - x).sqrt(), torch.zeros_like))
    with pytest.raises(ValueError, match="NaN or infinite logits"):
        sampled_proofs(clf, points([0.0, 0.0]), points([3.0, 0.0]), zeros(1))


def test_it_is_saved_and_read_again(ball, tmp_path):
    proof = sampled_proofs(ball, points([0.0, 0.0]), points([3.0, 0.0]), zeros(1))[0]
    proof.save(tmp_path / "proof.npz")
    loaded = gx.SegmentProof.load(tmp_path / "proof.npz")
    assert torch.equal(loaded.t, proof.t)
    assert loaded.place == proof.place
    assert math.isclose(loaded.spacing, proof.spacing)
