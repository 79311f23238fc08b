import numpy as np
import pytest
import torch

from geoexplorer.geometry.interpolation import coarse_nodes, kriging_weights, polynomial_weights


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 17, 100, 513, 514])
@pytest.mark.parametrize("interval", [1.0, 1.2, 4.0, 32.0])
def test_coarse_nodes_reach_both_ends_evenly(count, interval):
    nodes = coarse_nodes(count, interval)
    assert nodes[0] == 0
    assert nodes[-1] == count - 1
    steps = nodes.diff()
    assert int(steps.min()) >= 1
    assert int(steps.max()) <= np.ceil(interval)
    assert int(steps.max() - steps.min()) <= 1
    assert len(nodes) % 2 == 1 or int(steps.min()) == 1


@pytest.mark.parametrize("nodes", [[0, 7, 15, 22, 30], [0, 10, 20, 30], [0, 15, 30], [0, 30], [0]])
def test_polynomials_are_reproduced_up_to_the_number_of_nodes(nodes):
    nodes = torch.tensor(nodes)
    positions = torch.linspace(0, 30, 61)
    weights = polynomial_weights(positions, nodes)
    assert weights.shape == (61, len(nodes))
    for power in range(min(4, len(nodes))):
        found = weights.double() @ (nodes.double() / 30) ** power
        assert torch.allclose(found, (positions.double() / 30) ** power, atol=2e-6)


def test_kriging_is_the_conditional_mean_and_deviation_of_a_gaussian_process():
    random = np.random.default_rng(0)
    known = random.choice(400, 9, replace=False)
    known = np.stack([known // 20, known % 20], axis=1)
    rows, columns = random.choice(20, 3, replace=False), random.choice(20, 2, replace=False)
    wanted = np.array([(y, x) for x in columns for y in rows])

    def covariance(a, b):
        r = np.linalg.norm(a[:, None] - b[None], axis=2) * np.sqrt(3) / 7.0
        return (1 + r) * np.exp(-r)

    inverse = np.linalg.inv(covariance(known, known))
    expected = covariance(wanted, known) @ inverse
    variance = 1 - np.einsum("qk,qk->q", expected, covariance(wanted, known))
    weights, unknown = kriging_weights(
        torch.tensor(known)[None],
        torch.tensor(rows)[None],
        torch.tensor(columns)[None],
        length=7.0,
    )
    assert np.allclose(weights[0], expected, atol=1e-5)
    assert np.allclose(unknown[0], np.sqrt(variance.clip(0)), atol=1e-3)


def test_kriging_gives_back_what_is_known_however_close_the_pixels():
    side = torch.arange(4)[None]
    known = torch.cartesian_prod(side[0], side[0]).flip(1)[None]
    weights, unknown = kriging_weights(known, side, side, length=400.0)
    assert torch.allclose(weights[0], torch.eye(16), atol=0.05)
    assert float(unknown.max()) < 1e-3
