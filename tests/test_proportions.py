"""Wilson's interval, against scipy and against the equation that it solves."""

import math

import pytest
import torch
from scipy.stats import binomtest, norm

from geoexplorer.proportions import wilson

CASES = [(0, 10), (1, 10), (5, 10), (10, 10), (3, 1000), (999, 1000), (0, 1), (1, 1)]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_agrees_with_scipy(level):
    count, total = torch.tensor(CASES).T
    low, high = wilson(count, total, z=norm.ppf((1 + level) / 2))
    for index, (k, n) in enumerate(CASES):
        truth = binomtest(k, n).proportion_ci(level, method="wilson")
        assert float(low[index]) == pytest.approx(truth.low, abs=1e-12)
        assert float(high[index]) == pytest.approx(truth.high, abs=1e-12)


def test_the_ends_are_z_standard_errors_from_the_share():
    """Each end p solves (k/n - p)² = z² p (1 - p) / n."""
    count, total = torch.tensor([[2, 7], [40, 99]]), torch.tensor([[9, 9], [100, 100]])
    for end in wilson(count, total):
        left = (count / total - end).square()
        assert torch.allclose(left, 1.96**2 * end * (1 - end) / total, atol=1e-7)


def test_within_zero_and_one_around_the_share():
    count = torch.arange(21)
    low, high = wilson(count, torch.tensor(20))
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (low <= count / 20 + 1e-12).all()
    assert (high >= count / 20 - 1e-12).all()


def test_nothing_tried_says_nothing():
    low, high = wilson(torch.tensor([0]), torch.tensor([0]))
    assert math.isnan(low)
    assert math.isnan(high)
