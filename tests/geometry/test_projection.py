"""The shortest offset under linear conditions, against SciPy's quadratic programming."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from geoexplorer.geometry.projection import shortest_offset


def program(seed, conditions=3, d=6):
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randn(4, conditions, d, generator=generator, dtype=torch.float64)
    normals /= normals.norm(dim=2, keepdim=True)
    levels = torch.rand(4, conditions, generator=generator, dtype=torch.float64) - 0.3
    return normals, levels


def reference(normals, levels, low=None, high=None):
    bounds = None if low is None else list(zip(low.tolist(), high.tolist(), strict=True))
    solved = minimize(
        lambda p: p @ p,
        np.zeros(normals.shape[1]),
        jac=lambda p: 2 * p,
        bounds=bounds,
        constraints={
            "type": "ineq",
            "fun": lambda p: -(levels.numpy() + normals.numpy() @ p),
            "jac": lambda p: -normals.numpy(),
        },
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    return torch.from_numpy(solved.x) if solved.success else None


@pytest.mark.parametrize("seed", range(5))
def test_against_quadratic_programming(seed):
    normals, levels = program(seed)
    offsets, multipliers = shortest_offset(normals, levels, torch.zeros(4, 3).double(), sweeps=400)
    assert (multipliers >= 0).all()
    for index in range(4):
        expected = reference(normals[index], levels[index])
        assert torch.allclose(offsets[index], expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_in_a_box(seed):
    normals, levels = program(seed)
    low, high = -torch.full((4, 6), 0.6).double(), torch.full((4, 6), 0.7).double()
    offsets, _ = shortest_offset(
        normals, levels, torch.zeros(4, 3).double(), box=(low, high), sweeps=400
    )
    compared = 0
    for index in range(4):
        expected = reference(normals[index], levels[index], low[index], high[index])
        if expected is not None:
            assert torch.allclose(offsets[index], expected, atol=1e-4)
            compared += 1
    assert compared >= 2


def test_one_condition_is_the_projection():
    normal = torch.tensor([[[0.6, 0.8]]])
    offset, _ = shortest_offset(normal, torch.tensor([[2.0]]), torch.zeros(1, 1))
    assert torch.allclose(offset, torch.tensor([[-1.2, -1.6]]))


def test_conditions_at_minus_infinity_do_not_count():
    normals = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    levels = torch.tensor([[1.0, -torch.inf]])
    for box in (None, (torch.full((1, 2), -5.0), torch.full((1, 2), 5.0))):
        offset, _ = shortest_offset(normals, levels, torch.tensor([[0.0, 3.0]]), box=box)
        assert torch.allclose(offset, torch.tensor([[-1.0, 0.0]]))
