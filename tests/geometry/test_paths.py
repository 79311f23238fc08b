"""Paths inside a region: closed forms of where a path can lead first, then networks."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import geoexplorer as gx
from geoexplorer import jobs
from geoexplorer.geometry import path_search
from geoexplorer.geometry.certificates import proofs_steps
from geoexplorer.geometry.detours import shortest_way
from geoexplorer.geometry.entering import least_margins, toward_margin
from geoexplorer.geometry.paths import connect, connect_steps, enter_region
from geoexplorer.geometry.piecewise import distrust
from geoexplorer.geometry.sampling import sampled_proofs
from tests import analytic
from tests.analytic import classifier

# Two to four dimensions, and embedded in more.
SHAPES = [(1, 1, 2), (1, 1, 3), (1, 2, 2), (3, 4, 4)]


def image(shape, *first):
    x = torch.zeros(shape, dtype=torch.float64)
    x.view(-1)[: len(first)] = torch.tensor(first, dtype=torch.float64)
    return x


def on_circle(shape, angle, radius=1.5):
    return image(shape, radius * math.cos(angle), radius * math.sin(angle))


def labels_along(clf, path, count=400):
    """Classes at many points of a path."""
    t = torch.linspace(0, 1, count, dtype=path.anchors.dtype)[:, None, None, None]
    return torch.cat([clf.labels(torch.lerp(p, q, t)) for p, q in pairwise(path.anchors)])


def require_connected(clf, path, a, b):
    assert path.connected
    assert path.failed is None
    assert torch.equal(path.anchors[0], a.to(clf.dtype))
    assert torch.equal(path.anchors[-1], b.to(clf.dtype))
    assert path.anchors.dtype == clf.dtype
    assert (labels_along(clf, path) == path.label).all()
    assert len(path.segments) == len(path.anchors) - 1
    assert all(segment.inside is True for segment in path.segments)
    lengths = path.anchors.double().diff(dim=0).flatten(1).norm(dim=1)
    assert path.length == pytest.approx(float(lengths.sum()))
    assert [segment.length for segment in path.segments] == pytest.approx(lengths.tolist())
    assert path.straightness == pytest.approx(path.length / float((b - a).norm()))
    assert path.least_margin == min(segment.least_margin for segment in path.segments)
    assert path.least_margin > 0


def require_not_connected(clf, path):
    assert not path.connected
    assert path.proof is None
    assert clf.labels(path.failed[None]).item() != path.label
    assert any(segment.inside is not True for segment in path.segments)


@pytest.mark.parametrize("shape", SHAPES)
class TestRound:
    def test_a_ball_needs_no_way_round(self, shape):
        clf = classifier(analytic.Ball(torch.zeros(shape), 1.0))
        a, b = image(shape, 0.9), image(shape, -0.2, 0.7)
        path = connect(clf, a, b)
        require_connected(clf, path, a, b)
        assert len(path.anchors) == 2
        assert path.straightness == 1.0
        assert path.proof == "sampled"
        assert path.spacing == path.segments[0].spacing
        assert path.straight.inside is True
        assert path.cost.gradients == 0

    @pytest.mark.parametrize("turn", [2.3, math.pi])
    def test_round_the_hole_of_an_annulus(self, shape, turn):
        """Never shorter than the tangents to the hole and the arc between them."""
        clf = classifier(analytic.Annulus(torch.zeros(shape), 1.0, 2.0))
        a, b = on_circle(shape, 0.3), on_circle(shape, 0.3 + turn)
        path = connect(clf, a, b)
        require_connected(clf, path, a, b)
        assert path.straight.inside is False
        tangent, arc = math.sqrt(1.5**2 - 1), turn - 2 * math.acos(1 / 1.5)
        shortest = (2 * tangent + arc) if arc > 0 else float((a - b).norm())
        assert shortest <= path.length < 1.06 * shortest

    def test_round_a_thin_annulus(self, shape):
        clf = classifier(analytic.Annulus(torch.zeros(shape), 1.0, 1.1))
        a, b = on_circle(shape, 0.3, 1.05), on_circle(shape, 2.5, 1.05)
        path = connect(clf, a, b)
        require_connected(clf, path, a, b)
        assert path.length > 2.2

    def test_round_a_c(self, shape):
        """The midpoint lies in the gap, and the nearest of the region are the tips."""
        module = analytic.C(shape, 1.0, 2.0, gap=1.0)
        clf = classifier(module)
        a, b = module.at(1.2), module.at(-1.2)
        path = connect(clf, a, b)
        require_connected(clf, path, a, b)
        assert 1.5 < path.straightness < 2.5

    def test_from_tip_to_tip_with_more_effort(self, shape):
        module = analytic.C(shape, 1.0, 2.0, gap=0.3)
        clf = classifier(module)
        a, b = module.at(0.5), module.at(-0.5)
        path = connect(clf, a, b, effort="accurate")
        require_connected(clf, path, a, b)
        assert path.straightness > 3.5

    def test_over_a_bridge(self, shape):
        clf = classifier(analytic.Bridge(image(shape, -1.0), image(shape, 1.0), 0.05))
        a, b = image(shape, -1.1, 0.3), image(shape, 1.2, 0.2)
        require_connected(clf, connect(clf, a, b), a, b)


@pytest.mark.parametrize("effort", ["interactive", "accurate"])
class TestNotConnected:
    def test_islands(self, effort):
        for shape in SHAPES[3:] if effort == "accurate" else SHAPES:
            islands = analytic.TwoIslands(image(shape, -1.5), 1.0, image(shape, 1.5), 1.0)
            clf = classifier(islands)
            path = connect(clf, image(shape, -1.2, 0.3), image(shape, 1.7, 0.1), effort=effort)
            require_not_connected(clf, path)

    def test_islands_a_hair_apart(self, effort):
        shape = SHAPES[1]
        clf = classifier(analytic.TwoIslands(image(shape, -1.0005), 1.0, image(shape, 1.0005), 1.0))
        require_not_connected(
            clf, connect(clf, image(shape, -0.7), image(shape, 0.8), effort=effort)
        )

    @pytest.mark.parametrize("offset", [0.0, 0.2])
    def test_touching_balls(self, effort, offset):
        """There is one way, through a point whose margin is zero: never called connected."""
        for shape in SHAPES[:1] if effort == "accurate" else SHAPES[:2]:
            clf = classifier(analytic.TouchingBalls(shape))
            path = connect(clf, image(shape, -0.75, offset), image(shape, 0.75), effort=effort)
            require_not_connected(clf, path)

    def test_touching_at_a_point_of_a_line_that_cannot_be_left(self, effort):
        shape = SHAPES[0]
        clf = classifier(analytic.TouchingBalls(shape))
        path = connect(clf, image(shape, -0.5), image(shape, 0.5), effort=effort)
        assert path.straight.inside is None
        assert path.straight.place == 0.5
        require_not_connected(clf, path)


class TestTheSameImage:
    @pytest.mark.parametrize("prove", [True, False])
    def test_a_path_of_length_zero(self, prove):
        clf = gx.load_classifier("digits-cnn", device="cpu")
        a = gx.load_images("digits").images[0]
        path = connect(clf, a, a.clone(), prove=prove)
        assert path.connected
        assert path.length == 0.0
        assert path.straightness == 1.0
        assert torch.equal(path.anchors, torch.stack([a, a]))
        assert path.least_margin > 0

    def test_in_a_closed_form(self):
        clf = classifier(analytic.Ball(torch.zeros(1, 1, 2), 1.0))
        path = connect(clf, image((1, 1, 2), 0.5), image((1, 1, 2), 0.5))
        assert path.connected
        assert path.spacing == 0.0


class TestProofs:
    A, B = image((1, 1, 2), 0.0), image((1, 1, 2), 1.0)

    def test_a_sliver_that_samples_miss_is_gone_round(self):
        clf = classifier(analytic.Sliver(0.3001, 1e-6, 0.05))
        sampled = connect(clf, self.A, self.B, prove=False)
        assert sampled.connected
        assert sampled.proof == "sampled"
        assert len(sampled.anchors) == 2
        path = connect(clf, self.A, self.B)
        require_connected(clf, path, self.A, self.B)
        assert path.proof == "exact"
        assert path.spacing is None
        assert path.straight.inside is False
        assert path.straight.place == pytest.approx(0.3001, abs=1e-6)
        assert 1 < path.straightness < 1.1

    def test_a_sliver_without_end_is_not_connected(self):
        clf = classifier(analytic.Sliver(0.3001, 1e-6, None))
        path = connect(clf, self.A, self.B)
        require_not_connected(clf, path)
        assert float(path.failed.flatten()[0]) == pytest.approx(0.3001, abs=1e-6)

    def test_every_segment_of_a_path_round_is_proven(self):
        clf, a, b, _ = bent_pairs("digits-cnn")
        for path in connect(clf, a[:3], b[:3]):
            assert path.connected
            assert path.proof == "exact"
            assert path.spacing is None
            assert all(segment.exact for segment in path.segments)
            assert path.straight.exact
            assert path.straight.inside is False

    def test_without_kinks_it_is_never_called_proven(self):
        clf, a, b, _ = bent_pairs("digits-cnn-smooth")
        path = connect(clf, a[0], b[0])
        assert path.connected
        assert path.proof == "sampled"
        assert path.spacing == max(segment.spacing for segment in path.segments)


def bent_pairs(name, dtype=None):
    """Pairs of a predicted class whose straight segment leaves the region, and their classes."""
    clf = gx.load_classifier(name, device="cpu", dtype=dtype)
    x = gx.load_images(name.split("-")[0]).images[:160].to(clf.dtype)
    labels = clf.labels(x)
    seconds = x.flip(0)
    moved = enter_region(clf, seconds, labels)
    straight = sampled_proofs(clf, x, moved, labels)
    rows = [row for row, proof in enumerate(straight) if proof.inside is False][:8]
    assert len(rows) >= 4
    return clf, x[rows], moved[rows], labels[rows]


@pytest.fixture(scope="module", params=["digits-cnn", "digits-cnn-smooth"])
def bent(request):
    return bent_pairs(request.param)


class TestNetworks:
    def test_dense_sampling_agrees(self, bent):
        clf, a, b, labels = bent
        paths = connect(clf, a, b, prove=False)
        assert isinstance(paths, list)
        for path, start, end, label in zip(paths, a, b, labels, strict=True):
            require_connected(clf, path, start, end)
            assert path.label == int(label)
            assert path.straight.inside is False
            assert path.straightness < 1.5

    def test_pairs_of_images_of_the_drawn_shapes(self):
        clf = gx.load_classifier("shapes-lenet", device="cpu")
        x = gx.load_images("shapes").images[:120]
        labels = clf.labels(x)
        order = labels.argsort(stable=True)
        a, b = x[order[:-1]], x[order[1:]]
        rows = (clf.labels(a) == clf.labels(b)).nonzero()[:16, 0]
        for path, start, end in zip(
            connect(clf, a[rows], b[rows], prove=False), a[rows], b[rows], strict=True
        ):
            require_connected(clf, path, start, end)
            assert path.straightness < 1.02

    def test_together_as_one_by_one(self):
        clf, a, b, _ = bent_pairs("digits-cnn-smooth", torch.float64)
        together = connect(clf, a, b)
        for row in range(0, len(a), 3):
            alone = connect(clf, a[row], b[row])
            assert alone.anchors.shape == together[row].anchors.shape
            assert torch.allclose(alone.anchors, together[row].anchors, atol=1e-6)
            assert alone.length == pytest.approx(together[row].length, rel=1e-6)

    def test_the_same_again(self, bent):
        clf, a, b, _ = bent
        once, again = (connect(clf, a[:2], b[:2], prove=False, seed=3) for _ in range(2))
        for one, other in zip(once, again, strict=True):
            assert torch.equal(one.anchors, other.anchors)

    def test_accurate_is_not_longer(self, bent):
        clf, a, b, _ = bent
        quick = connect(clf, a, b, prove=False)
        long = connect(clf, a, b, prove=False, effort="accurate")
        for one, other in zip(quick, long, strict=True):
            assert other.connected
            assert other.length <= one.length * (1 + 1e-4)

    def test_images_are_left_as_they_are(self, bent):
        clf, a, b, _ = bent
        before = a.clone(), b.clone()
        connect(clf, a, b, prove=False)
        assert torch.equal(a, before[0])
        assert torch.equal(b, before[1])

    def test_arrays(self, bent):
        clf, a, b, _ = bent
        paths = connect(clf, a[:1].numpy(), b[:1].numpy(), prove=False)
        assert paths[0].connected


class TestSteps:
    def test_one_pair_gives_paths(self, bent):
        clf, a, b, _ = bent
        found = list(connect_steps(clf, a[0], b[0]))
        assert all(isinstance(path, gx.RegionPath) for path in found)
        fractions = [path.progress.fraction for path in found]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert len(found) >= 3
        assert not found[0].connected
        assert found[-1].connected
        assert jobs.last(iter(found)) is found[-1]
        for path in found:
            assert path.connected is (path.failed is None)
            assert path.connected is (path.proof is not None)

    def test_a_batch_gives_lists(self, bent):
        clf, a, b, _ = bent
        *_, final = connect_steps(clf, a[:2], b[:2], prove=False)
        assert len(final) == 2
        assert final.progress.complete
        assert all(path.progress.complete for path in final)

    def test_a_cancelled_search_stops(self, bent):
        clf, a, b, _ = bent
        steps = connect_steps(clf, a, b)
        next(steps)
        event = jobs.threading.Event()
        event.set()
        with jobs.cancellable(event), pytest.raises(jobs.Cancelled):
            next(steps)

    def test_it_says_how_it_was_made(self, bent, tmp_path):
        clf, a, b, _ = bent
        before = clf.cost
        path = connect(clf, a[0], b[0], prove=False, seed=5)
        assert path.provenance.function == "connect"
        assert path.provenance.options == {"effort": "interactive", "prove": False, "seed": 5}
        assert path.cost.forwards <= (clf.cost - before).forwards
        assert path.cost.gradients == (clf.cost - before).gradients
        path.save(tmp_path / "path.npz")
        loaded = gx.RegionPath.load(tmp_path / "path.npz")
        assert torch.equal(loaded.anchors, path.anchors)
        assert loaded.straight.place == path.straight.place
        assert len(loaded.segments) == len(path.segments)
        assert loaded.failed is None


class TestEntering:
    def test_into_a_half_space(self):
        """The perturbation is along the normal; twice the distance lies deepest."""
        w = torch.tensor([[[3.0, 4.0]]])
        module = analytic.HalfSpace(w, 1.0)
        x = image((1, 1, 2), -2.0, 0.5)
        moved = enter_region(classifier(module), x, 0)
        distance = float(module.distances(x[None]))
        assert moved.shape == x.shape
        r = (moved - x).flatten()
        assert float(r.norm()) == pytest.approx(2 * distance, rel=0.05)
        assert torch.allclose(r / r.norm(), w.flatten().double() / 5)

    def test_into_a_ball_and_no_farther(self):
        clf = classifier(analytic.Ball(torch.zeros(1, 1, 2), 1.0))
        x = torch.stack([image((1, 1, 2), 3.0), image((1, 1, 2), -2.0, 2.0)])
        moved = enter_region(clf, x, 0)
        assert clf.labels(moved).tolist() == [0, 0]
        assert (moved.flatten(1).norm(dim=1) < 0.9).all()

    def test_images_of_the_class_stay(self, bent):
        clf, a, _, labels = bent
        assert torch.equal(enter_region(clf, a, labels), a)
        assert torch.equal(enter_region(clf, a[0], labels[0]), a[0])

    @pytest.mark.parametrize("name", ["digits-cnn", "digits-cnn-smooth", "shapes-lenet"])
    def test_every_class_is_reached_clearly(self, name):
        clf = gx.load_classifier(name, device="cpu")
        x = gx.load_images(name.split("-")[0]).images[:60]
        label = (clf.labels(x) + torch.arange(60) % 9 + 1) % 10
        moved = enter_region(clf, x, label)
        assert moved.dtype == clf.dtype
        assert torch.equal(clf.labels(moved), label)
        margins = least_margins(clf.logits(moved), label)
        assert margins.median() > 0.1
        distances = (moved - x).flatten(1).norm(dim=1)
        nearest = gx.nearest_boundary(clf, x, label)
        reached = nearest.converged
        assert reached.float().mean() > 0.7
        assert (distances[reached] / nearest.distances[reached]).median() < 3

    def test_a_class_that_does_not_exist_anywhere_is_nan(self):
        weights = torch.tensor([[1.0, 0], [-1, 0], [0, 0]]).reshape(3, 1, 1, 2)
        clf = classifier(analytic.Linear(weights, torch.tensor([1.0, 1.0, 0.0])))
        x = torch.stack([image((1, 1, 2), 0.4), image((1, 1, 2), -0.3)])
        moved = enter_region(clf, x, torch.tensor([2, 0]))
        assert moved[0].isnan().all()
        assert clf.labels(moved[1:]).tolist() == [0]

    def test_a_margin_is_aimed_at(self):
        clf = gx.load_classifier("digits-cnn", device="cpu")
        x = gx.load_images("digits").images[:20]
        label = (clf.labels(x) + 1) % 10
        moved = toward_margin(clf, x.flatten(1), label, torch.full((20,), 1.0), steps=50, seed=0)
        margins = least_margins(clf.logits(moved.reshape(x.shape)), label)
        assert (margins > 0).all()
        assert margins.median() == pytest.approx(1.0, abs=0.2)

    def test_from_where_the_gradient_vanishes(self):
        clf = classifier(analytic.Annulus(torch.zeros(1, 1, 3), 1.0, 2.0))
        moved = enter_region(clf, torch.zeros(1, 1, 3).double(), 0)
        assert 1 < float(moved.norm()) < 2


def test_the_shortest_way():
    far = np.inf
    weights = np.array(
        [[far, 1, 5, far], [1, far, 1, 5], [5, 1, far, 1], [far, 5, 1, far]], dtype=float
    )
    assert shortest_way(weights) == [0, 1, 2, 3]
    assert shortest_way(np.array([[0.0, 2.0], [2.0, 0.0]])) == [0, 1]


class TestBadInput:
    @pytest.fixture
    def clf(self):
        return classifier(analytic.Ball(torch.zeros(1, 1, 2), 1.0))

    def refused(self, clf, a, b, message, **options):
        before = clf.cost
        with pytest.raises((ValueError, TypeError), match=message):
            connect(clf, a, b, **options)
        return (clf.cost - before).forwards

    def test_two_classes(self, clf):
        a, b = image((1, 1, 2), 0.5), image((1, 1, 2), 1.5)
        message = r"a and b must have the same predicted class, got '0' and '1'; enter_region"
        assert self.refused(clf, a, b, message) == 2
        pairs = torch.stack([a, a]), torch.stack([a, b])
        assert self.refused(clf, *pairs, r"got '0' and '1' \(pair 1\)") == 4

    def test_shapes(self, clf):
        a = image((1, 1, 2), 0.5)
        assert self.refused(clf, a, image((1, 2, 2), 0.5), "b must have shape") == 0
        assert self.refused(clf, a[None, None], a, "a must have shape") == 0

    def test_lengths(self, clf):
        a = torch.stack([image((1, 1, 2), 0.5)] * 3)
        assert self.refused(clf, a, a[:2], r"a and b must be one image .* got shapes \(3, 1") == 0
        assert self.refused(clf, a[:1], a[0], r"a and b must be one image") == 0

    def test_numbers(self, clf):
        a = image((1, 1, 2), 0.5)
        assert self.refused(clf, a, a * math.nan, "b holds NaN") == 0
        assert self.refused(clf, 255 * a, a, "a holds values from 0 to 127") == 0
        assert self.refused(clf, a, (a * 255).byte(), "b must hold floating-point") == 0
        assert self.refused(clf, a[None][:0], a[None][:0], "a is an empty batch") == 0

    def test_options(self, clf):
        a = image((1, 1, 2), 0.5)
        message = r"effort must be one of \('interactive', 'accurate'\), got 'deepfool'"
        assert self.refused(clf, a, a, message, effort="deepfool") == 0
        assert (
            self.refused(clf, a, a, "prove must be True or False, got 'exact'", prove="exact") == 0
        )
        assert self.refused(clf, a, a, "seed must be a whole number", seed=0.5) == 0
        with pytest.raises(TypeError, match="clf must be a Classifier"):
            connect(analytic.Ball(torch.zeros(1, 1, 2), 1.0), a, a)

    def test_classes_to_enter(self, clf):
        a = image((1, 1, 2), 0.5)
        with pytest.raises(ValueError, match="label must be between 0 and 1, got 2"):
            enter_region(clf, a, 2)
        with pytest.raises(TypeError, match="label must hold integers"):
            enter_region(clf, a, 0.5)
        with pytest.raises(ValueError, match="one for each of the 2 images"):
            enter_region(clf, torch.stack([a, a]), torch.tensor([0, 1, 0]))
        with pytest.raises(ValueError, match="effort must be one of"):
            enter_region(clf, a, 1, effort="much")


class TestWhatIsGiven:
    def test_ends_in_double_precision_are_those_of_the_path(self):
        """Though the classifier computes in single precision."""
        torch.manual_seed(0)
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
        clf = gx.Classifier(module, input_shape=(1, 4, 4), device="cpu")
        a = torch.rand(1, 4, 4, dtype=torch.float64)
        b = a + 1e-3 * torch.rand(1, 4, 4, dtype=torch.float64)
        for prove in (True, False):
            path = connect(clf, a, b, prove=prove)
            assert path.connected
            assert torch.equal(path.anchors[0], a)
            assert torch.equal(path.anchors[-1], b)
            assert path.length == pytest.approx(float((b - a).norm()), rel=1e-12)
        assert connect(clf, a.float(), b.float()).anchors.dtype == torch.float32

    def test_no_leg_stays_proven_of_a_network_that_is_another_one(self, monkeypatch):
        """Nor those that were proven before that turned out."""
        clf, a, b, _ = bent_pairs("digits-cnn")
        asked = []

        def proofs(clf, *segments):
            asked.append(segments)
            yield from proofs_steps(clf, *segments)
            distrust(clf)

        monkeypatch.setattr(path_search, "proofs_steps", proofs)
        for path in connect(clf, a, b):
            assert not path.straight.exact
            assert not any(segment.exact for segment in path.segments)
            assert path.proof in ("sampled", None)
        assert asked
