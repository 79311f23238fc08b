"""Proofs of straight segments, against closed forms and against exact rational arithmetic."""

import copy
import itertools
import math
import threading
import time
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer import jobs
from geoexplorer.geometry import certificates
from geoexplorer.geometry.certificates import prove_segment, prove_segment_steps
from geoexplorer.geometry.exact_lines import split_segments
from geoexplorer.geometry.piecewise import program_of
from geoexplorer.geometry.segment_proof import SegmentProof
from tests.analytic import Sliver


def classifier(module, **options):
    shape = getattr(module, "input_shape", (1, 1, 2))
    return gx.Classifier(module.eval(), input_shape=shape, device="cpu", **options)


def at(*pixels):
    return torch.tensor(pixels, dtype=torch.float64).reshape(1, 1, -1)


def mlp(*layers):
    """ReLU between linear layers, given as weights and biases."""
    parts = [nn.Flatten()]
    for weight, bias in layers:
        weight = torch.as_tensor(weight, dtype=torch.float64)
        linear = nn.Linear(weight.shape[1], weight.shape[0]).double()
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(torch.as_tensor(bias, dtype=torch.float64))
        parts += [linear, nn.ReLU()]
    module = nn.Sequential(*parts[:-1])
    module.input_shape = (1, 1, parts[1].in_features)
    return module


def random_mlp(widths, seed, *, scales=None, offset=0.3):
    """Widths from the input to the logits; each layer's weights times its scale."""
    generator = np.random.default_rng(seed)
    scales = [1.0] * (len(widths) - 1) if scales is None else scales
    layers = []
    for inputs, outputs, scale in zip(widths, widths[1:], scales, strict=False):
        weight = generator.normal(size=(outputs, inputs)) / math.sqrt(inputs)
        layers.append((scale * weight, scale * offset * generator.normal(size=outputs)))
    return mlp(*layers)


# A method of its own: rational numbers all the way, layer by layer, nothing rounded.


def rational(values):
    return [Fraction(float(value)) for value in values]


class ExactLine:
    """The logits on a segment as rational numbers: corners, and lines between them.

    ``corners`` are the places from 0 to 1 at which the sign of a unit changes, ``lines`` the
    value at t = 0 and the slope of each logit on each piece.
    """

    def __init__(self, module, a, b):
        start, end = rational(a.flatten()), rational(b.flatten())
        lines = [[(p, q - p) for p, q in zip(start, end, strict=True)]]
        corners = [Fraction(0), Fraction(1)]
        linears = [part for part in module if isinstance(part, nn.Linear)]
        for number, layer in enumerate(linears):
            weights = [rational(row) for row in layer.weight.detach()]
            biases = rational(layer.bias.detach())
            lines = [self._through(weights, biases, line) for line in lines]
            if number < len(linears) - 1:
                corners, lines = self._rectified(corners, lines)
        self.corners, self.lines = corners, lines

    @staticmethod
    def _through(weights, biases, line):
        return [
            (
                bias + sum(w * c for w, (c, _) in zip(row, line, strict=True)),
                sum(w * d for w, (_, d) in zip(row, line, strict=True)),
            )
            for row, bias in zip(weights, biases, strict=True)
        ]

    @staticmethod
    def _rectified(corners, lines):
        new_corners, new_lines = [corners[0]], []
        for low, high, line in zip(corners, corners[1:], lines, strict=False):
            roots = {-c / d for c, d in line if d != 0 and low < -c / d < high}
            places = [low, *sorted(roots), high]
            for first, second in itertools.pairwise(places):
                middle = (first + second) / 2
                new_corners.append(second)
                zero = (Fraction(0), Fraction(0))
                new_lines.append([(c, d) if c + d * middle > 0 else zero for c, d in line])
        return new_corners, new_lines

    def crossings(self):
        return self.corners[1:-1]

    def logits(self, t):
        number = next(i for i, corner in enumerate(self.corners[1:]) if t <= corner)
        return [c + d * t for c, d in self.lines[number]]

    def margins(self, label, t):
        logits = self.logits(t)
        return [logits[label] - value for j, value in enumerate(logits) if j != label]

    def least_margin(self, label):
        return min(min(self.margins(label, corner)) for corner in self.corners)

    def first_exit(self, label):
        """The place beyond which a class is higher, or None."""
        for low, high, line in zip(self.corners, self.corners[1:], self.lines, strict=False):
            exits = []
            for j, (c, d) in enumerate(line):
                value, slope = line[label][0] - c, line[label][1] - d
                if j == label or min(value + slope * low, value + slope * high) >= 0:
                    continue
                exits.append(low if value + slope * low <= 0 else -value / slope)
            if exits:
                return min(exits)
        return None


def assert_agrees(proof, line, *, tight=True):
    """Everything that a whole segment's proof says, against rational numbers."""
    assert proof.exact
    label, slack = proof.label, Fraction(proof.rounding)
    t = [Fraction(float(place)) for place in proof.t]
    assert (t[0], t[-1]) == (0, 1)
    logits = [rational(row) for row in proof.logits]

    def error(computed, place):
        exact = line.margins(label, place)
        found = [computed[label] - value for j, value in enumerate(computed) if j != label]
        return max(abs(e - f) for e, f in zip(exact, found, strict=True))

    assert max(error(*both) for both in zip(logits, t, strict=True)) <= slack
    for first, second in itertools.pairwise(range(len(t))):
        for share in (Fraction(1, 7), Fraction(1, 2), Fraction(9, 10)):
            place = t[first] + share * (t[second] - t[first])
            between = [
                (1 - share) * x + share * y
                for x, y in zip(logits[first], logits[second], strict=True)
            ]
            assert error(between, place) <= slack
    for corner in line.corners:  # where an interpolation that has missed a corner is worst
        upper = next(i for i, place in enumerate(t) if place >= corner)
        lower = max(upper - 1, 0)
        share = (corner - t[lower]) / (t[upper] - t[lower]) if upper > lower else Fraction(0)
        between = [
            (1 - share) * x + share * y for x, y in zip(logits[lower], logits[upper], strict=True)
        ]
        assert error(between, corner) <= slack
    least, leave = line.least_margin(label), line.first_exit(label)
    assert abs(Fraction(proof.least_margin) - least) <= slack
    if proof.inside is True:
        assert least > 0
        assert proof.place is None
        assert proof.other is None
    elif proof.inside is False:
        assert leave is not None
        assert proof.other != label
        assert abs(min(line.margins(label, Fraction(proof.place)))) <= 2 * slack
        assert all(min(line.margins(label, c)) > -2 * slack for c in line.corners
                   if c <= Fraction(proof.place))  # fmt: skip
    else:
        assert -2 * slack <= least <= 2 * slack
        assert min(line.margins(label, Fraction(proof.place))) <= 2 * slack
    if tight:
        size = 1 + max(abs(float(value)) for row in logits for value in row)
        assert proof.rounding < 1e-9 * size


# Closed forms.


def test_crossings_of_one_layer():
    """Each unit switches where its line through both ends is zero."""
    generator = np.random.default_rng(0)
    weight, bias = generator.normal(size=(40, 6)), generator.normal(size=40)
    module = mlp((weight, bias), (generator.normal(size=(3, 40)), generator.normal(size=3)))
    a, b = torch.tensor(generator.normal(size=(2, 1, 1, 6)))
    at_a, at_b = (weight @ point.flatten().numpy() + bias for point in (a, b))
    places = at_a / (at_a - at_b)
    expected = np.sort(places[(places > 0) & (places < 1)])
    assert len(expected) > 10
    proof = prove_segment(classifier(module, bounds=(-4, 4)), a, b, stop=False)
    assert proof.exact
    assert proof.pieces == len(expected) + 1
    assert np.abs(proof.crossings.numpy() - expected).max() < 1e-12
    places = torch.rand(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        truth = module(a + places[:, None, None, None] * (b - a)).numpy()
    for j in range(3):
        found = np.interp(places.numpy(), proof.t.numpy(), proof.logits[:, j].numpy())
        assert np.abs(found - truth[:, j]).max() < 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_deep_networks_against_rational_numbers(seed):
    module = random_mlp([4, 8, 8, 8, 3], seed)
    a, b = 3 * torch.tensor(np.random.default_rng(100 + seed).normal(size=(2, 1, 1, 4)))
    line = ExactLine(module, a, b)
    proof = prove_segment(classifier(module, bounds=(-30, 30)), a, b, stop=False)
    expected = np.array([float(place) for place in line.crossings()])
    assert len(expected) >= 4
    assert proof.pieces == len(expected) + 1
    assert np.abs(proof.crossings.numpy() - expected).max() < 1e-12
    assert_agrees(proof, line)
    leave = line.first_exit(proof.label)
    assert proof.inside is (leave is None)
    if leave is not None:
        assert abs(proof.place - float(leave)) < 1e-12


def test_a_sliver_that_sampling_misses():
    place, width = 0.123456789, 1e-6  # the class itself is half as wide
    module = Sliver(place, width, None)
    clf = classifier(module)
    a, b = at(0.0, 0.0), at(1.0, 0.0)
    t = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:, None, None, None]
    assert (clf.labels(a + t * (b - a)) == 0).all()
    for stop in (True, False):
        proof = prove_segment(clf, a, b, stop=stop)
        assert (proof.inside, proof.exact, proof.label, proof.other) == (False, True, 0, 1)
        assert abs(proof.place - (place - width / 2)) < 1e-14


@pytest.mark.parametrize("width", [1e-3, 1e-5, 1e-7, 1e-9])
def test_slivers_at_random_places(width):
    generator = np.random.default_rng(1)
    for place in generator.random(12):
        low, high = sorted(generator.random(2) * 40)
        module = Sliver(low + place * (high - low), width, 1.0)
        a, b = at(low, 0.9), at(high, -0.9)
        if generator.random() < 0.5:
            a, b = b, a
        proof = prove_segment(classifier(module, bounds=(-40, 40)), a, b)
        share = place if a[0, 0, 0] == low else 1 - place
        assert proof.inside is False
        assert abs(proof.place - share) < width / (high - low) + 1e-12
        assert_agrees(prove_segment(classifier(module, bounds=(-40, 40)), a, b, stop=False),
                      ExactLine(module, a, b), tight=False)  # fmt: skip


@pytest.mark.parametrize("place", [0.5, 0.25, 0.125, 1 / 16, 1 / 32, 0.75, 0.1, 1e-7, 1 - 1e-7])
def test_slivers_where_work_may_be_divided(place):
    """A segment that is gone through in parts has ends of its own."""
    width = 1e-9
    wide = random_mlp([2, 60, 1], 3)  # keeps the parts short: many pieces
    wide[3].weight.data *= 1e-3
    wide[3].bias.data.zero_()

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.sliver, self.wide = Sliver(place, width, None), wide

        def forward(self, x):
            return self.sliver(x) + torch.cat([self.wide(x), self.wide(x)], 1)

    for shift in (-width / 2, -width / 4, 0.0, width / 2):
        proof = prove_segment(classifier(Both()), at(shift, 0.0), at(1 + shift, 0.0))
        assert proof.inside is False
        assert abs(proof.place - place) < 2 * width


def test_a_sliver_beside_the_segment():
    """It ends just before the segment: inside, and the margin says how near it came."""
    module = Sliver(0.5, 1e-3, 0.1)
    clf = classifier(module)
    assert prove_segment(clf, at(0.0, 0.0), at(1.0, 0.0)).inside is False
    assert prove_segment(clf, at(0.0, 0.2), at(1.0, 0.2)).inside is True


@pytest.mark.parametrize("narrow", [1e-16, 1e-18, 1e-25])
def test_slivers_narrower_than_numbers_can_tell(narrow):
    for place in (0.5, 1 / 3, 1e-9):
        module = Sliver(place, narrow, None)
        proof = prove_segment(classifier(module, bounds=(-1, 1)), at(-1.0, 0.0), at(1.0, 0.0))
        assert proof.inside is not True


# Touching.


def touching(place):
    """f_0 - f_1 = |x - place|, x the first pixel."""
    return mlp(([[1.0, 0], [-1, 0]], [-place, place]), ([[1.0, 1], [0, 0]], [0.0, 0.0]))


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("place", [0.5, 0.25, 0.3, 1 / 3, 0.7071, 1e-5])
def test_touching_is_undecided(place, stop):
    proof = prove_segment(classifier(touching(place)), at(0.0, 0.0), at(1.0, 0.0), stop=stop)
    assert (proof.inside, proof.exact, proof.label) == (None, True, 0)
    assert proof.other == 1
    assert abs(proof.place - place) < 1e-12
    assert abs(proof.least_margin) <= proof.rounding


@pytest.mark.parametrize("end", [3.0, 7.0, 0.9])
def test_touching_at_a_place_that_is_no_number(end):
    """At t = 1 / 3 and others, which float64 cannot hold."""
    place = end / 3
    module = touching(1.0 if end == 3.0 else place)
    proof = prove_segment(classifier(module, bounds=(0, 10)), at(0.0, 0.0), at(end, 0.0))
    assert proof.inside is None
    assert abs(proof.place - 1 / 3) < 1e-12


def test_touching_at_many_random_places():
    generator = np.random.default_rng(5)
    for low, share, high in generator.random((30, 3)):
        place = low + share * (1 + high)
        module = touching(place)
        proof = prove_segment(classifier(module), at(low, 0.1), at(low + 1 + high, 0.7))
        exact = ExactLine(module, at(low, 0.1), at(low + 1 + high, 0.7))
        assert proof.inside is None
        assert abs(proof.place - share) < 1e-12
        assert exact.least_margin(0) >= 0


def test_touching_and_leaving_later():
    """min(|x - 1/4|, 3/4 - x): undecided at 1/4, out at 3/4."""
    module = mlp(
        ([[1.0, 0], [-1, 0], [1, 0]], [-0.25, 0.25, -0.5]),
        ([[1.0, 1, -2], [0, 0, 0]], [0.0, 0.0]),
    )
    clf = classifier(module)
    for stop in (True, False):
        proof = prove_segment(clf, at(0.0, 0.0), at(1.0, 0.0), stop=stop)
        assert proof.inside is False
        assert abs(proof.place - 0.75) < 1e-12
    assert prove_segment(clf, at(0.0, 0.0), at(0.7, 0.0)).inside is None


def test_touching_twice_names_the_first():
    module = mlp(
        ([[1.0, 0], [1, 0], [1, 0]], [-0.25, -0.5, -0.75]),
        ([[2.0, -2, 2], [0, 0, 0]], [0.0, 0.0]),
    )
    with torch.no_grad():  # |.| of a zigzag: zero at 1/4 and 3/4
        module[1].weight[0], module[1].bias[0] = torch.tensor([1.0, 0]), 0.0
        module[1].weight[1], module[1].bias[1] = torch.tensor([1.0, 0]), -0.25
        module[3].weight.copy_(torch.tensor([[-1.0, 2, 0], [0, 0, 0]]))
        module[3].bias.copy_(torch.tensor([0.25, 0.0]))
    proof = prove_segment(classifier(module), at(0.0, 0.0), at(1.0, 0.0))
    assert proof.inside is None
    assert abs(proof.place - 0.25) < 1e-12


def test_zero_along_a_stretch_is_undecided():
    module = mlp(([[1.0, 0], [-1, 0]], [-0.6, 0.4]), ([[1.0, 1], [0, 0]], [0.0, 0.0]))
    proof = prove_segment(classifier(module), at(0.0, 0.0), at(1.0, 0.0))
    assert proof.inside is None
    assert 0.4 - 1e-12 < proof.place < 0.6 + 1e-12


# Ends.


def test_a_segment_of_no_length():
    module = random_mlp([2, 8, 3], 0)
    a = at(0.3, 0.4)
    for stop in (True, False):
        proof = prove_segment(classifier(module), a, a, stop=stop)
        assert (proof.inside, proof.exact, proof.length) == (True, True, 0.0)
        assert proof.label == module(a[None])[0].argmax()
        assert_agrees(prove_segment(classifier(module), a, a, stop=False), ExactLine(module, a, a))


def test_a_segment_of_no_length_on_the_boundary():
    proof = prove_segment(classifier(touching(0.3)), at(0.3, 0.0), at(0.3, 0.0))
    assert proof.inside is None


def half_space(offset=0.5):
    """f_0 - f_1 = offset - x."""
    return mlp(([[-1.0, 0], [1, 0]], [offset, -offset]), ([[1.0, -1], [0, 0]], [0.0, 0.0]))


def test_a_start_with_no_margin():
    clf = classifier(half_space())
    inward = prove_segment(clf, at(0.5, 0.0), at(0.0, 0.0))
    assert (inward.inside, inward.label) == (None, 0)
    assert inward.place == pytest.approx(0.0, abs=1e-12)
    outward = prove_segment(clf, at(0.5, 0.0), at(1.0, 0.0))
    assert outward.inside is False
    assert outward.place == pytest.approx(0.0, abs=1e-12)


def test_an_end_with_no_margin():
    proof = prove_segment(classifier(half_space()), at(0.0, 0.0), at(0.5, 0.0))
    assert proof.inside is None
    assert proof.place == pytest.approx(1.0, abs=1e-12)


def test_an_end_in_another_class():
    for a, b, label in ((0.0, 2.0, 0), (2.0, 0.0, 1)):
        proof = prove_segment(classifier(half_space()), at(a, 0.0), at(b, 0.0))
        assert (proof.inside, proof.label, proof.other) == (False, label, 1 - label)
        assert proof.place == pytest.approx(abs(a - 0.5) / 2, abs=1e-12)


@pytest.mark.parametrize("near", [1e-6, 1e-10, 1e-13])
def test_exits_near_the_ends(near):
    clf = classifier(half_space())
    first = prove_segment(clf, at(0.5 - near, 0.0), at(0.5 - near + 1, 0.0))
    assert first.inside is False
    assert abs(first.place - near) < 1e-15
    last = prove_segment(clf, at(-0.5 + near, 0.0), at(0.5 + near, 0.0))
    assert last.inside is False
    assert abs(last.place - (1 - near)) < 1e-15
    whole = prove_segment(clf, at(-0.5, 0.0), at(0.5 - near, 0.0))
    assert whole.inside is True


def test_exits_nearer_than_rounding_are_never_missed():
    clf = classifier(half_space())
    for near in (1e-16, 5e-17, 1e-20, 5e-324):
        assert prove_segment(clf, at(0.0, 0.0), at(0.5 + near, 0.0)).inside is not True
        start = prove_segment(classifier(half_space(0.0), bounds=(-1, 1)), at(-near, 0.0),
                              at(1 - near, 0.0))  # fmt: skip
        assert start.inside is not True


def test_the_third_class_counts():
    """On the way from class 0 to class 0 class 2 is above both for a while."""
    weight = [[1.0, 0], [1, 0], [1, 0]]
    module = mlp((weight, [-0.4, -0.5, -0.6]), ([[0.0, 0, 0], [0, 0, 0], [1, -2, 1]], [0.05, 0, 0]))
    proof = prove_segment(classifier(module), at(0.0, 0.0), at(1.0, 0.0))
    assert (proof.inside, proof.label, proof.other) == (False, 0, 2)
    assert proof.place == pytest.approx(0.45, abs=1e-12)


# Along a kink.


@pytest.mark.parametrize("scale", [1.0, 1 / 3, 1e-8, 1e8])
def test_along_a_kink(scale):
    """A unit that is zero on the whole segment changes nothing on it."""
    module = mlp(([[scale, scale], [1.0, 0]], [-scale, -0.5]), ([[1.0, -0.1], [0, 0]], [0.2, 0.0]))
    for a, b in (((0.0, 1.0), (1.0, 0.0)), ((0.1, 0.9), (0.7, 0.3)), ((1 / 3, 2 / 3), (0.9, 0.1))):
        proof = prove_segment(classifier(module), at(*a), at(*b), stop=False)
        assert proof.inside is True
        assert proof.least_margin == pytest.approx(0.2 - 0.1 * max(b[0] - 0.5, 0), abs=1e-7)
        assert_agrees(proof, ExactLine(module, at(*a), at(*b)), tight=False)


def test_along_a_kink_that_decides():
    """f_0 - f_1 = |x + y - 1|: the segment lies in the boundary."""
    module = mlp(([[1.0, 1], [-1, -1]], [-1.0, 1.0]), ([[1.0, 1], [0, 0]], [0.0, 0.0]))
    proof = prove_segment(classifier(module), at(0.1, 0.9), at(0.8, 0.2))
    assert proof.inside is None


def test_all_units_switch_at_once():
    weight = np.ones((50, 2)) * np.linspace(-2, 2, 50)[:, None]
    module = mlp((weight, -0.75 * weight[:, 0]), (np.ones((2, 50)), [1.0, 0.0]))
    proof = prove_segment(classifier(module), at(0.0, 0.0), at(1.0, 0.0), stop=False)
    assert proof.inside is True
    assert np.abs(proof.crossings.numpy() - 0.75).max() < 1e-12


# Rounding.

SCALES = {
    "even": (1.0, 1.0, 1.0),
    "large": (1e6, 1e6, 1e6),
    "small": (1e-6, 1e-6, 1e-6),
    "up and down": (1e6, 1e-6, 1.0),
    "down and up": (1e-6, 1e6, 1.0),
}


@pytest.mark.parametrize("scales", SCALES.values(), ids=SCALES)
def test_the_bound_of_rounding(scales):
    for seed in range(6):
        module = random_mlp([3, 7, 7, 3], seed, scales=scales)
        generator = np.random.default_rng(50 + seed)
        a, b = torch.tensor(generator.normal(size=(2, 1, 1, 3)))
        proof = prove_segment(classifier(module, bounds=(-9, 9)), a, b, stop=False)
        assert_agrees(proof, ExactLine(module, a, b), tight=False)


@pytest.mark.parametrize("size", [1e3, 1e6, 1e9, 1e12])
def test_the_bound_of_rounding_where_terms_cancel(size):
    """Biases that take away again nearly all that the units give."""
    for seed in range(6):
        module = random_mlp([3, 6, 6, 3], seed)
        generator = np.random.default_rng(90 + seed)
        a, b = torch.tensor(generator.normal(size=(2, 1, 1, 3)))
        with torch.no_grad():
            module[1].bias += size
            module[3].bias -= size * module[3].weight.sum(1)
        proof = prove_segment(classifier(module, bounds=(-9, 9)), a, b, stop=False)
        assert_agrees(proof, ExactLine(module, a, b), tight=False)


def test_small_whole_numbers():
    """Many exact ties: zero margins, units that are zero all along, switches at one place."""
    found = []
    for seed in range(80):
        generator = np.random.default_rng(seed)
        widths = [2, *generator.integers(1, 6, size=2), 3]
        module = mlp(
            *(
                (generator.integers(-2, 3, (after, before)), generator.integers(-2, 3, after))
                for before, after in itertools.pairwise(widths)
            )
        )
        a, b = torch.tensor(generator.integers(-2, 3, (2, 1, 1, 2))).double()
        clf, line = classifier(module, bounds=(-9, 9)), ExactLine(module, a, b)
        proof = prove_segment(clf, a, b, stop=False)
        assert_agrees(proof, line)
        least = line.least_margin(proof.label)  # zero or far from it
        assert proof.inside is (None if least == 0 else bool(least > 0))
        assert prove_segment(clf, a, b).inside is proof.inside
        found.append(proof.inside)
    assert set(found) == {True, False, None}


LOW, HIGH, SLOPE = -0.7, 0.9, -0.3
EXACT_UNITS = {  # in float64, and of a list of rational numbers
    "leaky relu": (
        lambda x: nn.functional.leaky_relu(x, SLOPE),
        lambda v: [max(c, 0) + Fraction(SLOPE) * min(c, 0) for c in v],
    ),
    "hardtanh": (
        lambda x: nn.functional.hardtanh(x, LOW, HIGH),
        lambda v: [min(max(c, Fraction(LOW)), Fraction(HIGH)) for c in v],
    ),
    "hardsigmoid": (
        nn.functional.hardsigmoid,
        lambda v: [min(max(c + 3, Fraction(0)), Fraction(6)) / 6 for c in v],
    ),
    "abs": (torch.abs, lambda v: [abs(c) for c in v]),
    "clamp": (lambda x: x.clamp(max=HIGH), lambda v: [min(c, Fraction(HIGH)) for c in v]),
    "maximum": (
        lambda x: torch.maximum(x[:, :3], x[:, 3:]),
        lambda v: [max(both) for both in zip(v[:3], v[3:], strict=True)],
    ),
    "pooling": (
        lambda x: nn.functional.max_pool1d(x[:, None], 3, 1, 1)[:, 0],
        lambda v: [max(v[max(i - 1, 0) : i + 2]) for i in range(len(v))],
    ),
    "residual": (
        lambda x: x.relu() / 7 + x - x.mean(1, keepdim=True),
        lambda v: [max(c, 0) / 7 + c - sum(v) / len(v) for c in v],
    ),
}


class Mixed(nn.Module):
    """Linear layers, badly scaled row by row, with units of any kind between them."""

    input_shape = (1, 1, 3)

    def __init__(self, names, seed, decades):
        super().__init__()
        generator = np.random.default_rng(seed)
        self.units = [EXACT_UNITS[name] for name in names]
        self.linears = nn.ModuleList()
        widths = [3, *(3 if name == "maximum" else 6 for name in names)]
        for before, after in zip(widths, [6] * len(names) + [3], strict=True):
            linear = nn.Linear(before, after).double()
            for value in (linear.weight, linear.bias):
                scale = 10.0 ** generator.integers(-decades, decades + 1, len(value))
                drawn = (scale * generator.normal(size=tuple(value.shape)[::-1])).T
                value.data.copy_(torch.tensor(drawn))
            self.linears.append(linear)

    def forward(self, x):
        x = x.flatten(1)
        for linear, (unit, _) in zip(self.linears, self.units, strict=False):
            x = unit(linear(x))
        return self.linears[-1](x)

    def exactly(self, values):
        identity = (None, lambda v: v)
        for linear, (_, unit) in zip(self.linears, [*self.units, identity], strict=True):
            weights = [rational(row) for row in linear.weight.detach()]
            biases = rational(linear.bias.detach())
            values = unit(
                [
                    bias + sum(w * v for w, v in zip(row, values, strict=True))
                    for row, bias in zip(weights, biases, strict=True)
                ]
            )
        return values


@pytest.mark.parametrize("decades", [0, 3, 6])
@pytest.mark.parametrize("name", EXACT_UNITS)
def test_the_bound_of_rounding_of_other_units(name, decades):
    """Between the corners the margins are those of rational numbers, up to the bound."""
    names = list(EXACT_UNITS)
    for seed in range(3):
        others = np.random.default_rng(seed).choice(names, 2)
        module = Mixed([others[0], name, others[1]], seed, decades)
        a, b = torch.tensor(np.random.default_rng(seed).normal(size=(2, 1, 1, 3)))
        proof = prove_segment(classifier(module, bounds=(-9, 9)), a, b, stop=False)
        assert proof.exact
        start, end = rational(a.flatten()), rational(b.flatten())
        t = [Fraction(float(place)) for place in proof.t]
        corners = [rational(row) for row in proof.logits]
        margins = []
        for first, second in itertools.pairwise(range(len(t))):
            for share in (Fraction(0), Fraction(1, 9), Fraction(1, 2), Fraction(8, 9), Fraction(1)):
                place = t[first] + share * (t[second] - t[first])
                exact = module.exactly(
                    [p + place * (q - p) for p, q in zip(start, end, strict=True)]
                )
                for j in set(range(3)) - {proof.label}:
                    low, high = (corners[k][proof.label] - corners[k][j] for k in (first, second))
                    margins.append(exact[proof.label] - exact[j])
                    error = (1 - share) * low + share * high - margins[-1]
                    assert abs(error) <= Fraction(proof.rounding)
        assert Fraction(proof.least_margin) <= min(margins) + Fraction(proof.rounding)
        assert not (proof.inside is True and min(margins) <= 0)
        assert not (proof.inside is None and min(margins) < -2 * Fraction(proof.rounding))


@pytest.mark.parametrize("spread", [1e-3, 1e-9, 1e-14, 0.0])
def test_many_units_that_switch_in_one_place(spread):
    """In less memory than all the corners take, however close together they are."""
    generator, count = np.random.default_rng(0), 4000
    bias = -0.5 + spread * generator.normal(size=count)
    layers = ((np.ones((count, 2)), bias), (np.ones((2, count)) / count, [1.0, 0.0]))
    module = mlp(*layers)
    with torch.no_grad():
        module[3].weight[1] = 0.0
    clf = classifier(module, memory=2**24)
    proof = prove_segment(clf, at(0.0, 0.0), at(1.0, 0.0), stop=False)
    assert proof.inside is True
    assert_is_relu_of(bias, proof)


def assert_is_relu_of(bias, proof):
    """The mean of relu(x + bias) is where it should be, at the ends of the pieces and between."""
    t = proof.t.numpy()
    t, values = (t[:-1] + t[1:]) / 2, (proof.logits[:-1] + proof.logits[1:])[:, 0].numpy() / 2
    chosen = np.linspace(0, len(t) - 1, 50).astype(int)
    expected = [1 + np.maximum(place + bias, 0).mean() for place in t[chosen]]
    assert np.abs(values[chosen] - expected).max() <= proof.rounding + 1e-12


def test_least_margin_is_below_every_sample():
    for seed in range(10):
        module = random_mlp([5, 20, 20, 4], seed)
        a, b = torch.tensor(np.random.default_rng(seed).random((2, 1, 1, 5)))
        proof = prove_segment(classifier(module), a, b, stop=False)
        t = torch.rand(3000, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            logits = module(a + t[:, None, None, None] * (b - a))
        own = logits[:, proof.label].clone()
        logits[:, proof.label] = -math.inf
        assert proof.least_margin <= (own - logits.amax(1)).min() + proof.rounding


@pytest.mark.parametrize("size", [1e15, 1e16, 1e17, 1e25, 1e200])
def test_huge_terms_that_cancel(size):
    """relu(size x + plus) - relu(size x) - minus: float64 sees -minus, the truth is the rest."""
    for plus, minus in ((1.0, 0.25), (0.25, 1.0), (1.0, 1.0)):
        module = mlp(
            ([[size, 0.0], [size, 0.0]], [plus, 0.0]), ([[1.0, -1.0], [0, 0]], [-minus, 0.0])
        )
        clf = classifier(module, bounds=(0, 2))
        proof = prove_segment(clf, at(1.0, 0.0), at(2.0, 0.0))
        truth = plus - minus
        label = proof.label  # of a point whose class float64 cannot tell
        margin = truth if label == 0 else -truth
        if margin > 0:
            assert proof.inside is not False
        else:
            assert proof.inside is not True


def test_huge_terms_that_cancel_in_one_sum():
    for order in itertools.permutations([1e17, 1.0, -1e17]):
        module = mlp(([order], [0.0]), ([[1.0], [0.0]], [-0.5, 0.0]))
        a, b = torch.ones(2, 1, 1, 3, dtype=torch.float64)
        proof = prove_segment(classifier(module), a, b)
        assert proof.inside is not (proof.label == 1)  # true margin of class 0: 1/2


class Shifted(nn.Module):
    """The identity, computed badly."""

    def __init__(self, kind, size=1e17):
        super().__init__()
        self.kind, self.size = kind, size
        self.register_buffer("far", torch.tensor(size).double())

    def forward(self, x):
        x = x.flatten(1)
        size = self.size
        if self.kind == "numbers":
            return (x + size) - size
        if self.kind == "buffers":
            return (x + self.far) - self.far
        if self.kind == "a number less":
            return size - (size - x)
        if self.kind == "concatenation and sum":
            far = self.far.expand(len(x), 2)
            both = torch.cat([x, far, -far], 1).view(-1, 3, 2)
            return both.sum(1)
        if self.kind == "mean":
            both = torch.cat([far := self.far.expand(len(x), 2), x, -far], 1).view(-1, 3, 2)
            return 3 * both.mean(1)
        if self.kind == "pooling":
            both = torch.cat([self.far.expand(len(x), 2), x, -self.far.expand(len(x), 2)], 1)
            return 3 * nn.functional.avg_pool2d(both.view(-1, 1, 3, 2), (3, 1)).flatten(1)
        if self.kind == "relu":
            return (x + size).relu() - size
        if self.kind == "maximum":
            return torch.maximum(x + size, 0 * x) - size
        if self.kind == "amax":
            return torch.cat([(x + size)[:, :, None], x[:, :, None]], 2).amax(2) - size
        if self.kind == "hardtanh":
            return nn.functional.hardtanh(x + size, -1, 4 * size) - size
        if self.kind == "abs":
            return (x + size).abs() - size
        if self.kind == "scaled":
            return (x * 1e-3 + size) * 1e3 - size * 1e3
        if self.kind == "divided":
            return (x / 7 + size) * 7 - 7 * size
        raise ValueError(self.kind)


@pytest.mark.parametrize(
    "kind",
    [
        "numbers", "buffers", "a number less", "concatenation and sum", "mean", "pooling", "relu",
        "maximum", "amax", "hardtanh", "abs", "scaled", "divided",
    ],
)  # fmt: skip
def test_huge_shifts_are_undecided(kind):
    """True margins of class 0 are 0.3 at a and 0.3 at b, but float64 loses both."""
    clf = classifier(Shifted(kind))
    proof = prove_segment(clf, at(0.4, 0.1), at(0.9, 0.6))
    assert proof.exact
    assert proof.inside is None
    small = prove_segment(classifier(Shifted(kind, 16.0)), at(0.4, 0.1), at(0.9, 0.6))
    assert small.inside is True
    assert small.least_margin == pytest.approx(0.3, abs=1e-9)


@pytest.mark.parametrize("layer", ["convolution", "batch norm", "upsampling", "transposed"])
def test_cancelling_in_other_layers(layer):
    """Huge terms in a layer, taken away behind it: never surely wrong."""
    size = 1e18
    parts = {
        "convolution": nn.Conv2d(1, 1, 1),
        "batch norm": nn.BatchNorm2d(1),
        "upsampling": nn.Sequential(nn.Conv2d(1, 1, 1), nn.Upsample(size=(1, 2), mode="bilinear")),
        "transposed": nn.ConvTranspose2d(1, 1, 1),
    }
    part = parts[layer].double().eval()
    first = part[0] if isinstance(part, nn.Sequential) else part
    with torch.no_grad():
        first.weight.fill_(1.0)
        first.bias.fill_(size)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = part

        def forward(self, x):
            return self.part(x).flatten(1) - size

    proof = prove_segment(classifier(Whole()), at(0.4, 0.1), at(0.9, 0.6))
    assert proof.exact
    assert proof.inside is None


def test_batch_norm_of_hardly_any_variance():
    norm = nn.BatchNorm2d(1, eps=1e-30, affine=False).double().eval()
    norm.running_var.fill_(1e-24)
    norm.running_mean.fill_(0.3)
    module = nn.Sequential(norm, nn.Flatten(), nn.ReLU())
    clf = classifier(module, dtype=torch.float64)
    proof = prove_segment(clf, at(0.3 + 1e-13, 0.3), at(0.3 + 1e-13, 0.3 - 1e-13))
    gap = Fraction(0.3 + 1e-13) - Fraction(0.3)
    assert proof.exact
    assert abs(proof.least_margin - float(gap) * 1e12) <= proof.rounding


def test_numbers_too_large():
    """Infinity and NaN on the way are no proof of anything."""
    module = mlp(([[1e200, 0.0], [1e200, 0]], [0.0, 0.0]), ([[1e200, -1e200], [0, 0]], [1.0, 0]))
    try:
        clf = classifier(module)
        proof = prove_segment(clf, at(0.0, 0.0), at(1.0, 0.0))
    except ValueError:
        return
    assert proof.inside is None or not proof.exact


# The networks that come with the package.


@pytest.fixture(scope="module")
def digits():
    clf = gx.load_classifier("digits-cnn")
    images = gx.load_images("digits", split="test").images
    labels = clf.labels(images)
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(len(images), (200,), generator=generator)
    ends = torch.randint(len(images), (200,), generator=generator)
    for row in range(0, 200, 2):  # every second pair of one class
        same = (labels == labels[starts[row]]).nonzero()[:, 0]
        ends[row] = same[int(ends[row]) % len(same)]
    a, b = images[starts], images[ends]
    return clf, a, b, prove_segment(clf, a, b, stop=False)


def double_module(clf):
    return copy.deepcopy(clf.module).cpu().double().eval()


def sampled_margins(clf, proof, a, b, t):
    a, b = a.double(), b.double()
    with torch.no_grad():
        logits = double_module(clf)(a + t[:, None, None, None] * (b - a))
    others = logits.clone()
    others[:, proof.label] = -math.inf
    return logits, logits[:, proof.label] - others.amax(1)


def assert_agrees_with_samples(clf, proof, a, b, count):
    t = torch.linspace(0, 1, count, dtype=torch.float64)
    logits, margins = sampled_margins(clf, proof, a, b, t)
    assert proof.exact
    assert proof.label == logits[0].argmax()
    out = t[margins < -proof.rounding]
    if len(out):
        assert proof.inside is False
        assert proof.place <= out[0]
    if proof.inside is False:
        _, around = sampled_margins(
            clf, proof, a, b, torch.tensor([proof.place], dtype=torch.float64)
        )
        assert around.abs() < 1e-7
    assert proof.least_margin <= margins.min() + proof.rounding


def assert_affine_between_crossings(clf, proof, a, b, each=1):
    t = proof.t
    shares = torch.rand(len(t) - 1, each, generator=torch.Generator().manual_seed(2)).double()
    places = (t[:-1, None] + shares * (t[1:] - t[:-1])[:, None]).flatten()
    pieces = torch.arange(len(t) - 1).repeat_interleave(each)
    weights = shares.flatten()[:, None]
    found = (1 - weights) * proof.logits[pieces] + weights * proof.logits[pieces + 1]
    logits, _ = sampled_margins(clf, proof, a, b, places)
    assert (found - logits).abs().max() < 1e-9


def test_digits_agree_with_samples(digits):
    clf, a, b, proofs = digits
    for row, proof in enumerate(proofs):
        assert_agrees_with_samples(clf, proof, a[row], b[row], 200)
    assert {proof.inside for proof in proofs} == {True, False}


def test_digits_are_affine_between_crossings(digits):
    clf, a, b, proofs = digits
    for row in range(0, 200, 10):
        assert_affine_between_crossings(clf, proofs[row], a[row], b[row], 2)


def test_stopping_gives_the_beginning(digits):
    clf, a, b, proofs = digits
    shorter = 0
    for short, whole in zip(prove_segment(clf, a[:60], b[:60]), proofs[:60], strict=True):
        assert short.inside == whole.inside
        assert short.place == pytest.approx(whole.place, abs=1e-12)
        assert (short.label, short.other) == (whole.label, whole.other)
        count = len(short.t) - 1  # its end may be no crossing
        assert count <= len(whole.t)
        assert (short.t[:count] - whole.t[:count]).abs().max() < 1e-12
        assert (short.logits[:count] - whole.logits[:count]).abs().max() < 1e-10
        if whole.inside is False:
            assert short.t[-1] >= whole.place - 1e-12
            shorter += short.pieces < whole.pieces
        else:
            assert short.pieces == whole.pieces
    assert shorter > 10


@pytest.mark.parametrize("stop", [True, False])
def test_a_batch_is_as_one_by_one(digits, stop):
    clf, a, b, _ = digits
    for row, proof in enumerate(prove_segment(clf, a[:12], b[:12], stop=stop)):
        assert_equal_proofs(proof, prove_segment(clf, a[row], b[row], stop=stop))


def assert_equal_proofs(one, other):
    assert one.t.shape == other.t.shape
    assert (one.t - other.t).abs().max() < 1e-12
    assert (one.logits - other.logits).abs().max() < 1e-12
    assert (one.inside, one.label, one.other, one.pieces) == (
        other.inside, other.label, other.other, other.pieces,
    )  # fmt: skip
    assert one.place == pytest.approx(other.place, abs=1e-12)
    assert one.length == other.length


def test_large_weights_leave_room_for_corners():
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, 2000), nn.ReLU(), nn.Linear(2000, 600)).eval()
    clf = classifier(module, memory=2**24)
    program = program_of(clf)
    weights = sum(each.numel() for each in module.parameters())
    assert 2 * 8 * weights > clf.memory
    at_once, allowed = certificates._corners_together(clf, program)
    assert 8 < at_once <= allowed
    assert 12 * 8 * program.largest * allowed <= clf.memory


@pytest.mark.parametrize("options", [{"memory": 2**24}, {"memory": 2**33}, {"chunk_size": 1}])
def test_results_do_not_depend_on_memory(digits, options):
    clf, a, b, proofs = digits
    module = clf.module[-1] if len(clf.module) == 2 else None
    assert module is not None
    means = clf.preprocessing
    other = gx.Classifier(module, input_shape=clf.input_shape, device="cpu", mean=means["mean"],
                          std=means["std"], bounds=means["bounds"], **options)  # fmt: skip
    for row, proof in enumerate(prove_segment(other, a[:3], b[:3], stop=False)):
        assert_equal_proofs(proof, proofs[row])
    for one, two in zip(prove_segment(other, a[:3], b[:3]), prove_segment(clf, a[:3], b[:3]),
                        strict=True):  # fmt: skip
        assert (one.inside, one.other) == (two.inside, two.other)
        assert one.place == pytest.approx(two.place, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "share"), [("shapes-lenet", 0.02), ("shapes-nin", 0.002), ("shapes-resnet", 0.003)]
)
def test_short_segments_of_larger_networks(name, share):
    clf = gx.load_classifier(name)
    images = gx.load_images("shapes", split="test").images
    a, b = images[:2]
    b = a + share * (b - a)
    proof = prove_segment(clf, a, b, stop=False)
    assert proof.pieces > 3
    assert_agrees_with_samples(clf, proof, a, b, 100)
    assert_affine_between_crossings(clf, proof, a, b)


def test_across_a_boundary_of_a_larger_network():
    """Around a crossing that bisection finds."""
    clf = gx.load_classifier("shapes-lenet")
    images = gx.load_images("shapes", split="test").images
    labels = clf.labels(images)
    a = images[0].double()
    b = images[int((labels != labels[0]).nonzero()[0])].double()
    module, low, high = double_module(clf), 0.0, 1.0
    with torch.no_grad():
        for _ in range(50):
            t = (low + high) / 2
            stays = int(module((a + t * (b - a))[None]).argmax()) == int(labels[0])
            low, high = (t, high) if stays else (low, t)
    start, end = a + (low - 0.005) * (b - a), a + (low + 0.005) * (b - a)
    proof = prove_segment(clf, start, end, stop=False)
    assert proof.inside is False
    assert_agrees_with_samples(clf, proof, start, end, 400)
    assert proof.place <= 0.5 + 1e-6


# The result.


def test_the_round_trip(digits, tmp_path):
    proof = digits[3][1]
    proof.save(tmp_path / "proof.npz")
    loaded = SegmentProof.load(tmp_path / "proof.npz")
    for name in ("inside", "exact", "label", "place", "other", "pieces", "least_margin",
                 "rounding", "spacing", "length", "class_names", "provenance"):  # fmt: skip
        assert getattr(loaded, name) == getattr(proof, name)
    assert torch.equal(loaded.t, proof.t)
    assert torch.equal(loaded.logits, proof.logits)
    assert torch.equal(loaded.crossings, proof.crossings)


def test_how_it_was_made(digits):
    clf, a, b, proofs = digits
    before = clf.cost.forwards
    proof = prove_segment(clf, a[0], b[0])
    made = proof.provenance
    assert (made.function, made.network) == ("prove_segment", "digits-cnn")
    assert made.options == {"stop": True}
    assert made.fingerprint == clf.fingerprint
    assert made.cost.gradients == 0
    assert made.cost.forwards == clf.cost.forwards - before
    assert made.cost.forwards >= proof.pieces
    assert proof.class_names == clf.class_names
    assert proof.length == pytest.approx(float((b[0].double() - a[0].double()).norm()))
    assert proofs[0].provenance.options == {"stop": False}
    assert proof.t.dtype == proof.logits.dtype == torch.float64
    assert proof.progress.complete


def test_one_pair_and_lists(digits):
    clf, a, b, _ = digits
    assert isinstance(prove_segment(clf, a[0], b[0]), SegmentProof)
    for count in (1, 2):
        found = prove_segment(clf, a[:count], b[:count])
        assert isinstance(found, list)
        assert len(found) == count


def test_the_steps(digits):
    clf, a, b, proofs = digits
    steps = list(prove_segment_steps(clf, a[:6], b[:6], stop=False))
    fractions = [step.progress.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert steps[-1].progress.complete
    assert not any(step.progress.complete for step in steps[:-1])
    assert len(steps) > 2
    for step in steps:
        assert len(step) == 6
        for known, final in zip(step, proofs[:6], strict=True):
            if len(known.t) == 0 or known.t[-1] < 1:
                assert known.inside is None or known.inside is final.inside
            count = max(0, len(known.t) - 1)
            assert bool(((known.t[:count] - final.t[:count]).abs() < 1e-12).all())
    for known, final in zip(steps[-1], proofs[:6], strict=True):
        assert_equal_proofs(known, final)


def test_cancelling():
    clf = gx.load_classifier("shapes-lenet")
    a, b = gx.load_images("shapes", split="test").images[:2]
    event = threading.Event()
    with jobs.cancellable(event):
        steps = prove_segment_steps(clf, a, b, stop=False)
        first = next(steps)
        assert first.progress.fraction < 1
        event.set()
        with pytest.raises(jobs.Cancelled):
            list(steps)


def test_cancelling_within_a_step():
    """From another thread, as a widget does."""
    clf = gx.load_classifier("shapes-lenet")
    a, b = gx.load_images("shapes", split="test").images[:2]
    event = threading.Event()
    timer = threading.Timer(1.0, event.set)
    began = time.monotonic()
    timer.start()
    many = 50
    with jobs.cancellable(event), pytest.raises(jobs.Cancelled):
        prove_segment(clf, a.repeat(many, 1, 1, 1), b.repeat(many, 1, 1, 1), stop=False)
    assert time.monotonic() - began < 8


def test_bad_input(digits):
    clf, a, b, _ = digits
    a, b = a[:2], b[:2]
    broken = a.clone()
    broken[0, 0, 0, 0] = math.nan
    infinite = b.clone()
    infinite[1, 0, 0, 0] = math.inf
    wrong = [
        (ValueError, r"\ba\b", (a[:, :, :4], b)),
        (ValueError, r"\bb\b", (a, b[:, :, :4])),
        (ValueError, r"\ba\b", (broken, b)),
        (ValueError, r"\bb\b", (a, infinite)),
        (ValueError, r"\ba\b", (255 * a, b)),
        (ValueError, r"\bb\b", (a, 255 * b)),
        (ValueError, r"\ba\b", (a[:0], b[:0])),
        (ValueError, r"\bb\b", (a, b[:1])),
        (ValueError, r"\bb\b", (a[:1], b)),
        (TypeError, r"\ba\b", (a.long(), b)),
        (TypeError, r"\bb\b", (a, (b > 0))),
        (TypeError, r"\ba\b", (None, b)),
        (TypeError, r"\bb\b", (a, "b")),
    ]
    before = clf.cost
    for error, message, arguments in wrong:
        with pytest.raises(error, match=message):
            prove_segment(clf, *arguments)
    with pytest.raises(TypeError):
        prove_segment(clf, a, b, True)
    assert clf.cost == before


def test_one_image_and_a_batch_do_not_go_together(digits):
    clf, a, b, _ = digits
    with pytest.raises(ValueError, match=r"\bb\b"):
        prove_segment(clf, a[0], b[:2])


def test_arrays_are_taken(digits):
    clf, a, b, _ = digits
    found = prove_segment(clf, a[0].numpy(), b[0].numpy())
    assert_equal_proofs(found, prove_segment(clf, a[0], b[0]))


def test_the_name_at_the_top():
    assert gx.prove_segment is prove_segment


def test_a_path_through_another_thread_is_not_proven():
    class Threaded(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(4, 2)

        def forward(self, x):
            seen = []
            hidden = x.detach().flatten(1)
            work = threading.Thread(target=lambda: seen.append(100 * (hidden[:, :1] - 1.2).relu()))
            work.start()
            work.join()
            return self.last(x.flatten(1)) + torch.cat([seen[0], -seen[0]], 1)

    clf = gx.Classifier(Threaded().eval(), input_shape=(1, 2, 2), device="cpu")
    proof = prove_segment(clf, torch.full((1, 2, 2), 0.5), torch.full((1, 2, 2), 1.9))
    assert not proof.exact


def test_a_network_that_has_changed_is_looked_at_anew():
    module = mlp(([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]))
    clf = gx.Classifier(module.eval(), input_shape=(1, 1, 2), device="cpu")
    a, b = at(1.0, 0.5), at(2.0, 0.5)
    assert prove_segment(clf, a, b).label == 0
    with torch.no_grad():
        for parameter in clf.module.parameters():
            if parameter.ndim == 2:
                parameter.copy_(parameter.flip(0))
                break
    proof = prove_segment(clf, a, b)
    assert (proof.exact, proof.inside, proof.label) == (True, True, 1)


def test_a_network_that_casts_is_sampled():
    class Casting(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(4, 2)

        def forward(self, x):
            return self.last(x.float().flatten(1))

    clf = gx.Classifier(Casting().eval(), input_shape=(1, 2, 2), device="cpu")
    proof = prove_segment(clf, torch.rand(1, 2, 2), torch.rand(1, 2, 2))
    assert not proof.exact
    assert proof.reason


def test_what_stopped_a_proof_is_named():
    def clf(unit):
        layers = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), unit, nn.Linear(8, 2))
        return gx.Classifier(layers.eval(), input_shape=(1, 2, 2), device="cpu")

    a, b = torch.rand(2, 1, 2, 2)
    assert "aten.gelu" in prove_segment(clf(nn.GELU()), a, b).reason
    assert prove_segment(clf(nn.ReLU()), a, b).reason is None


def test_maximum_of_results_of_different_shape():
    class Broadcast(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 6).double(), nn.Linear(6, 2).double()

        def forward(self, x):
            hidden = self.first(x.flatten(1))
            return self.last(torch.maximum(hidden, hidden[:, :1]))

    torch.manual_seed(0)
    module = Broadcast().eval()
    clf = gx.Classifier(module, input_shape=(1, 2, 2), device="cpu")
    a, b = -torch.ones(1, 2, 2).double(), 2 * torch.rand(1, 2, 2).double()
    proof = prove_segment(clf, a, b, stop=False)
    assert proof.exact
    middles = (proof.t[1:] + proof.t[:-1]) / 2
    with torch.no_grad():
        logits = module(a + middles[:, None, None, None] * (b - a))
    assert (logits - (proof.logits[1:] + proof.logits[:-1]) / 2).abs().max() < 1e-12


# What is lost where corners lie close together, and where numbers are too large.


class Chain(nn.Module):
    """A margin of ``height`` - bump, the bump bent at very many places, each next to another."""

    rows = 200

    def __init__(self, first, step, height):
        super().__init__()
        count = self.rows**2
        signs = torch.ones(count, dtype=torch.float64)
        signs[count // 4 : 3 * count // 4] = -1
        self.kinks = nn.Parameter(first + step * torch.arange(count, dtype=torch.float64))
        self.signs = nn.Parameter(signs)
        self.height = nn.Parameter(torch.tensor([height, 0.0], dtype=torch.float64))

    def forward(self, x):
        units = (x.flatten(1)[:, :1] - self.kinks).relu() * self.signs
        bump = units.reshape(len(x), self.rows, self.rows).sum(2).sum(1, keepdim=True)
        return self.height + torch.cat([-bump, 0 * bump], 1)

    def bump(self, place):
        """At a place, as a rational number."""
        kinks, signs = rational(self.kinks.detach()), self.signs.tolist()
        return sum((int(s) * max(place - k, 0) for s, k in zip(signs, kinks, strict=True)), 0)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_corners_that_are_near_to_each_other_in_a_row(share):
    """They may not all be taken for one: the last lies far from the first."""
    step = 4e-16 * 0.02 * 31 / 32
    module = Chain(0.0025, step, 0.0)
    top = Fraction(float(module.kinks[len(module.kinks) // 2].detach()))
    height = float(module.bump(top))
    with torch.no_grad():
        module.height[0] = share * height + max(0.0, float(module.bump(Fraction(0.02))))
    assert Fraction(float(module.height[0].detach())) < module.bump(top)
    proof = prove_segment(classifier(module, dtype=torch.float64), at(0.0, 0.0), at(0.02, 0.0))
    assert proof.inside is not True


class Overflowing(nn.Module):
    """Infinite and not a number in the middle of the segment only."""

    def __init__(self, last):
        super().__init__()
        self.last = nn.Parameter(torch.tensor(last, dtype=torch.float64))

    def forward(self, x):
        mean = x.flatten(1).mean(1, keepdim=True)
        bump = (0.1 - (mean - 1.1).abs()).relu() * 1e155
        own = torch.tensor([1.0, 0.0], dtype=x.dtype)
        return mean * own - (1e155 * bump) * self.last


@pytest.mark.parametrize("last", [(1e-308, 1e-309), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_what_is_not_a_number_is_not_inside(last):
    clf = classifier(Overflowing(last), dtype=torch.float64)
    for stop in (True, False):
        proof = prove_segment(clf, at(0.9, 0.9), at(1.3, 1.3), stop=stop)
        assert proof.inside is None
        assert proof.least_margin == -math.inf
        assert 0.0 < proof.place < 1.0


def test_places_of_a_part_are_rounded_like_its_segment():
    program = program_of(classifier(half_space(0.0), bounds=(-1, 1)))
    near = torch.full((1, 1, 1, 2), 1e-12, dtype=torch.float64)
    small = split_segments(program, -near, near, near, 100).errors
    large = split_segments(program, -near, near, torch.ones_like(near), 100).errors
    assert float(small.max()) < 1e-25
    assert float(large.max()) > 2**-53


def test_too_many_units_that_switch_in_one_place(monkeypatch):
    """More than can be split at: their place is passed with a larger bound of the error."""
    monkeypatch.setattr(certificates, "_CPU_BYTES", 0)
    generator, count = np.random.default_rng(0), 1000
    bias = -1 / 3 + 1e-13 * generator.normal(size=count)
    layers = ((np.ones((count, 2)), bias), (np.ones((2, count)) / count, [1.0, 0.0]))
    module = mlp(*layers)
    with torch.no_grad():
        module[3].weight[1] = 0.0
    proof = prove_segment(classifier(module), at(0.0, 0.0), at(1.0, 0.0), stop=False)
    assert (proof.inside, proof.exact) == (True, True)
    assert proof.rounding < 1e-6
    assert_is_relu_of(bias, proof)


@pytest.mark.parametrize("narrow", [1e-16, 1e-18, 1e-25])
def test_corners_that_numbers_cannot_tell_apart_are_one(narrow):
    """In what is said, not in what is judged."""
    for place in (0.5, 1 / 3, 1e-9, 0.0, 1.0):
        clf = classifier(Sliver(place, narrow, None), bounds=(-1, 1))
        for stop in (True, False):
            proof = prove_segment(clf, at(-1.0, 0.0), at(1.0, 0.0), stop=stop)
            assert proof.inside is not True
            assert bool((proof.t.diff() > 0).all())
            assert proof.pieces == len(proof.t) - 1
            assert float(proof.t[0]) == 0.0
            assert stop or float(proof.t[-1]) == 1.0


def test_a_proof_that_would_take_too_long_is_not_made(monkeypatch):
    clf = gx.load_classifier("shapes-lenet", device="cpu")
    a, b = gx.load_images("shapes", split="test").images[:2]
    near = a + 0.01 * (b - a)
    monkeypatch.setattr(certificates, "_MOST_PIECES", 500)
    proof, short = prove_segment(clf, torch.stack([a, a]), torch.stack([b, near]), stop=False)
    assert not proof.exact
    assert "at most 500 are" in proof.reason
    assert proof.spacing > 0
    assert short.exact  # each segment is judged by itself
    assert short.reason is None
    monkeypatch.undo()
    assert prove_segment(clf, a, a + 0.01 * (b - a)).exact  # it is remembered of no network
