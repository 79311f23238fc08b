"""Detection: balls in closed form, dense second derivatives, and what must not change a score."""

import math

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian

import geoexplorer as gx
from geoexplorer.geometry.detection import detect, detect_steps
from tests.steps import assert_cancellable, assert_round_trip, assert_same, assert_steps


class TwoBalls(nn.Module):
    """Class 0 is a ball around zero, class 1 all around it."""

    def __init__(self, radius):
        super().__init__()
        self.radius = radius
        self.own = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        margin = self.radius**2 - x.flatten(1).square().sum(1) + 0 * self.own
        return torch.stack([margin, -margin], dim=1)


class Changed(nn.Module):
    """The logits of a network, scaled and shifted."""

    def __init__(self, network, scale=1.0, shift=0.0):
        super().__init__()
        self.network, self.scale, self.shift = network, scale, shift

    def forward(self, x):
        return self.scale * self.network(x) + self.shift


def smooth_network(shape=(1, 3, 3), classes=4, seed=0):
    torch.manual_seed(seed)
    size = math.prod(shape)
    layers = [nn.Flatten(), nn.Linear(size, 20), nn.GELU(), nn.Linear(20, classes)]
    return nn.Sequential(*layers).double().eval()


def classifier(module, shape=(1, 3, 3), **options):
    return gx.Classifier(module.eval(), input_shape=shape, device="cpu", **options)


def random_images(n, shape=(1, 3, 3), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, *shape), generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def clf():
    return classifier(smooth_network())


def dense_terms(network, x, d):
    """E[vᵀ G_i v] for each class from Hessians by automatic differentiation; NaN for the own."""
    logits = network(x[None])[0]
    own = int(logits.argmax())
    terms = torch.full_like(logits, math.nan)
    for index in range(len(logits)):
        if index == own:
            continue

        def level(image, index=index):
            values = network(image[None])[0]
            return values[index] - values[own]

        H = hessian(level, x).reshape(d, d)
        image = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(level(image), image)
        slope = gradient.norm()
        n = gradient.flatten() / slope
        P = torch.eye(d, dtype=torch.float64) - n[:, None] * n
        terms[index] = torch.trace(P @ H @ P) / (d * slope)
    return terms.detach()


class TestClosedForms:
    @pytest.mark.parametrize("shape", [(1, 1, 2), (1, 2, 2), (3, 5, 4)])
    @pytest.mark.parametrize("radius", [0.7, 2.0])
    @pytest.mark.parametrize("share", [0.5, 1.0, 2.5])  # of the probes in a frame
    def test_ball_from_both_sides(self, shape, radius, share):
        d = math.prod(shape)
        clf = classifier(TwoBalls(radius), shape, bounds=(-2, 2))
        direction = random_images(1, shape)
        direction = direction / direction.norm()
        distances = torch.tensor([0.8, 1.3], dtype=torch.float64) * radius
        x = distances[:, None, None, None] * direction
        found = detect(clf, x, max(1, round(share * d)), step=0.01)
        expected = torch.tensor([1.0, -1.0]) * (d - 1) / (d * distances)
        assert torch.allclose(found.score, expected, rtol=1e-4, atol=1e-6)
        assert found.labels.tolist() == [0, 1]
        assert found.recovered.tolist() == [1, 0]
        assert found.perturbed.tolist() == [True, False]

    def test_half_space_is_flat(self):
        torch.manual_seed(0)
        clf = classifier(nn.Sequential(nn.Flatten(), nn.Linear(9, 5)).double())
        found = detect(clf, random_images(20))
        assert found.score.abs().max() < 1e-9


def test_dense_second_derivatives(clf):
    x = random_images(6)
    found = detect(clf, x, 9, step=1e-3)
    expected = torch.stack([dense_terms(clf.module, image, 9) for image in x])
    assert torch.equal(found.terms.isnan(), expected.isnan())
    known = ~expected.isnan()
    assert torch.allclose(found.terms[known], expected[known], rtol=1e-3, atol=1e-6)
    assert torch.allclose(found.score, expected.nanmean(1), rtol=1e-3, atol=1e-6)
    assert found.recovered.tolist() == expected.nan_to_num(-math.inf).argmax(1).tolist()


def test_few_probes_are_as_uncertain_as_they_say(clf):
    x = random_images(20)
    exact = detect(clf, x, 9, step=1e-3).score
    seeds = [detect(clf, x, 4, step=1e-3, seed=seed) for seed in range(60)]
    scores = torch.stack([found.score for found in seeds])
    errors = torch.stack([found.standard_errors for found in seeds])
    assert ((scores.mean(0) - exact).abs() < 4 * scores.std(0) / 60**0.5).all()
    ratio = errors.square().mean(0).sqrt() / (scores - exact).square().mean(0).sqrt()
    assert 0.8 < float(ratio.median()) < 1.25
    assert detect(clf, x, 9, step=1e-3).standard_errors.max() < 1e-5  # rounding is left
    assert detect(clf, x, 1, step=1e-3).standard_errors.isnan().all()


class TestInvariance:
    @pytest.mark.parametrize(("scale", "shift"), [(7.0, 0.0), (0.01, 0.0), (1.0, 30.0)])
    def test_logits_scaled_or_shifted(self, clf, scale, shift):
        x = random_images(5)
        other = classifier(Changed(smooth_network(), scale, shift))
        one, two = detect(clf, x, step=0.05), detect(other, x, step=0.05)
        assert torch.allclose(one.score, two.score, rtol=1e-6)
        assert torch.equal(one.recovered, two.recovered)
        assert torch.allclose(scale * one.margin, two.margin)

    def test_a_thousand_images_together_and_one_by_one(self, clf):
        x = random_images(1000)
        together = detect(clf, x, 20)
        assert len(together) == 1000
        for index in (0, 255, 256, 999):
            assert torch.allclose(detect(clf, x[index], 20).score, together[index].score)

    def test_chunks_and_devices(self):
        x = random_images(7)
        plain = detect(classifier(smooth_network()), x, 12)
        small = detect(classifier(smooth_network(), chunk_size=3), x, 12)
        assert torch.allclose(plain.score, small.score)
        options = {"input_shape": (1, 3, 3), "device": ["cpu", "cpu"]}
        assert torch.allclose(
            detect(gx.Classifier(smooth_network(), **options), x, 12).score, plain.score
        )

    def test_seeds(self, clf):
        x = random_images(5)
        assert_same(detect(clf, x, 5, seed=3), detect(clf, x, 5, seed=3))
        assert not torch.equal(detect(clf, x, 5, seed=3).score, detect(clf, x, 5, seed=4).score)

    def test_float32_follows_float64(self):
        x = random_images(5)
        single = classifier(smooth_network(), dtype=torch.float32)
        found = detect(single, x, 9, step=0.3)
        assert found.score.dtype == torch.float32
        exact = detect(classifier(smooth_network()), x, 9, step=0.3)
        assert torch.allclose(found.score.double(), exact.score, atol=1e-3)


class TestClasses:
    def test_the_highest_others(self, clf):
        x = random_images(8)
        everything, two = detect(clf, x, 9), detect(clf, x, 9, classes=2)
        logits = clf.logits(x)
        for row in range(8):
            others = logits[row].argsort(descending=True)[1:]
            assert two.terms[row, others[:2]].isfinite().all()
            assert two.terms[row, others[2:]].isnan().all()
            assert torch.allclose(two.terms[row, others[:2]], everything.terms[row, others[:2]])
            assert torch.allclose(two.score[row], everything.terms[row, others[:2]].mean())

    def test_baselines(self, clf):
        x = random_images(8)
        found = detect(clf, x, 2)
        highest = clf.logits(x).topk(2, dim=1)
        assert torch.equal(found.baselines.runner_up, highest.indices[:, 1])
        assert torch.allclose(found.baselines.margin, highest.values[:, 0] - highest.values[:, 1])

    def test_a_class_without_gradient(self):
        """Two logits that differ by a constant have no level sets."""

        class Twins(nn.Module):
            def forward(self, x):
                f = x.flatten(1).square().sum(1)
                return torch.stack([f, f - 1, -f], dim=1)

        clf = classifier(Twins(), dtype=torch.float64)
        found = detect(clf, random_images(3), 9, step=0.1)
        assert found.terms[:, :2].isnan().all()
        assert found.score.isfinite().all()
        assert found.recovered.tolist() == [2, 2, 2]
        only = detect(clf, random_images(3), 9, step=0.1, classes=1)
        assert only.score.isnan().all()
        assert not only.perturbed.any()


def test_probes_beyond_a_frame_and_kinks_are_no_exact_mean():
    torch.manual_seed(0)
    relu = nn.Sequential(nn.Flatten(), nn.Linear(9, 40), nn.ReLU(), nn.Linear(40, 4)).double()
    x = random_images(30)
    for clf, probes in ((classifier(smooth_network()), 13), (classifier(relu), 9)):
        seeds = [detect(clf, x, probes, step=0.3, seed=seed) for seed in range(30)]
        spread = torch.stack([found.score for found in seeds]).std(0)
        said = torch.stack([found.standard_errors for found in seeds]).mean(0)
        felt = spread > 1e-6
        assert 0.7 < float((said / spread)[felt].median()) < 4


def test_rounding_is_part_of_the_error():
    x = random_images(30).float()
    exact = detect(classifier(smooth_network()), x.double(), 9, step=2e-3).score
    single = classifier(smooth_network(), dtype=torch.float32)
    for step in (2e-3, 0.01):
        found = detect(single, x, 9, step=step)
        deviation = (found.score.double() - exact).abs()
        assert (deviation < 4 * found.standard_errors.double() + 1e-3).double().mean() > 0.95


def test_no_gradient_anywhere():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.stack([0 * x.flatten(1).sum(1) + k for k in (0.0, 2.0)], dim=1)

    found = detect(classifier(Constant(), dtype=torch.float64), random_images(2), 4)
    assert found.score.isnan().all()
    assert found.recovered.tolist() == [-1, -1]


def test_cost(clf):
    detect(clf, random_images(1), 2)  # whether there are kinks is known from now on
    before = clf.cost
    found = detect(clf, random_images(10), 7, classes=2)
    assert found.cost == clf.cost - before
    assert (found.cost.forwards, found.cost.gradients) == (10 * (2 * 7 + 2 * 2 + 2), 10 * 3)


def test_thresholds(clf):
    natural = detect(clf, random_images(200), 5)
    for rate in (0.0, 0.05, 0.5, 1.0):
        threshold = natural.threshold_at(rate)
        judged = natural.judged(threshold)
        assert judged.threshold == threshold
        assert torch.equal(judged.perturbed, natural.score > threshold)
        assert int(judged.perturbed.sum()) == min(round(200 * rate), 199)
    assert torch.equal(
        detect(clf, random_images(200), 5, threshold=threshold).perturbed, judged.perturbed
    )


def test_steps_saving_and_indexing(clf, tmp_path):
    x = random_images(300)
    found = detect(clf, x, 5)
    assert len(assert_steps(detect_steps(clf, x, 5), found)) > 1
    assert_round_trip(found, tmp_path / "found.npz")
    assert torch.equal(found[3:5].score, found.score[3:5])
    assert found[2].terms.shape == (1, 4)
    assert_cancellable(clf, lambda: detect(clf, x, 5), after=3)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"probes": 0}, "probes"),
        ({"probes": 2.5}, "probes"),
        ({"step": 0.0}, "step"),
        ({"step": math.nan}, "step"),
        ({"step": "far"}, "step"),
        ({"classes": 0}, "classes"),
        ({"classes": 4}, "classes"),
        ({"threshold": math.inf}, "threshold"),
        ({"threshold": "high"}, "threshold"),
        ({"threshold": torch.zeros(2)}, "threshold"),
        ({"threshold": torch.zeros(0)}, "threshold"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options(clf, options, name):
    before = clf.cost
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
        detect_steps(clf, random_images(2), **options)
    assert clf.cost == before


@pytest.mark.parametrize(
    "x", [None, torch.zeros(0, 1, 3, 3), torch.zeros(2, 3, 3, 3), torch.full((1, 3, 3), math.nan)]
)
def test_bad_images(clf, x):
    with pytest.raises((TypeError, ValueError), match=r"^x "):
        detect(clf, x)


@pytest.mark.parametrize("rate", [-0.1, 1.1, "some", True])
def test_bad_rates(clf, rate):
    with pytest.raises(ValueError, match=r"^false_positive_rate must be"):
        detect(clf, random_images(2), 2).threshold_at(rate)


def test_many_classes_are_measured_some_at_a_time(monkeypatch):
    """As many as fit into memory beside one image; the numbers stay, the passes nearly."""
    module, x = smooth_network((1, 8, 8), classes=41), random_images(3, (1, 8, 8))
    plain = detect(classifier(module, (1, 8, 8)), x, 5, 0.1)
    clf = classifier(module, (1, 8, 8))
    clf.memory = 4 * 8 * 6 * 64 * 11  # less than may be asked for
    rows, jacobian = [], clf.forward_jacobian

    def watched(images, classes):
        rows.append(len(images) * classes.shape[1])
        return jacobian(images, classes)

    monkeypatch.setattr(clf, "forward_jacobian", watched)
    found = detect(clf, x, 5, 0.1)
    assert max(rows) == 11
    assert len(rows) == 3 * 4
    for name in ("score", "terms", "margin", "standard_errors"):
        ours, theirs = getattr(found, name), getattr(plain, name)
        assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True), name
    assert torch.equal(found.recovered, plain.recovered)
    assert found.cost.gradients == plain.cost.gradients
    assert found.cost.forwards <= plain.cost.forwards + 3 * 3
