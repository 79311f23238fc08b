"""The eigen-solvers, on matrices whose eigenvalues are known."""

import math
import weakref
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geoexplorer.geometry.spectra import (
    assemble_steps,
    extreme_steps,
    quadrature_steps,
    symmetrised,
    vectors_held,
)

MEMORY = 512 * 2**20


class Matrices:
    """Operators that are there as matrices ``(n, D, D)``, and count their products."""

    def __init__(self, matrices, memory):
        self.like, self.memory = matrices, memory
        self.count, self.dimension = matrices.shape[:2]
        self.vectors_at_once = 40
        self.products = 0

    def apply(self, vectors):
        self.products += vectors.shape[1]
        return vectors @ self.like.mT


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_eigenvalues(*spectra, seed=0, dtype=torch.float64):
    """Symmetric matrices ``(n, D, D)`` with given eigenvalues, in random bases."""
    matrices = []
    for index, spectrum in enumerate(spectra):
        drawn = torch.randn(len(spectrum), len(spectrum), generator=generator(seed + index))
        basis = torch.linalg.qr(drawn.double()).Q
        matrices.append(basis @ torch.diag(torch.as_tensor(spectrum).double()) @ basis.T)
    return torch.stack(matrices).to(dtype)


def ends(spectrum, m):
    ordered = torch.as_tensor(spectrum).double().sort(descending=True).values
    return torch.cat([ordered[:m], ordered[-m:]])


SPECTRA = {
    "spread": torch.linspace(-2.0, 3.0, 200),
    "a few far out": torch.cat(
        [torch.linspace(-0.01, 0.01, 190), torch.tensor([-3.0] + [1.0] * 9)]
    ),
    "one value": torch.full((200,), 0.7),
    "zero": torch.zeros(200),
    "two values": torch.tensor([-1.0] * 100 + [2.0] * 100),
    "positive": torch.linspace(1.0, 2.0, 200) ** 8,
    "tiny": 1e-9 * torch.linspace(-1.0, 1.0, 200),
    "huge": 1e9 * torch.linspace(-1.0, 1.0, 200),
}


@pytest.mark.parametrize("m", [1, 4, 10])
@pytest.mark.parametrize("name", SPECTRA)
def test_extremes(name, m):
    matrices = with_eigenvalues(SPECTRA[name])
    *_, found = extreme_steps(Matrices(matrices, MEMORY), m, generator())
    scale = max(float(SPECTRA[name].abs().max()), 1e-300)
    truth = ends(SPECTRA[name], m)
    assert found.values.shape == (1, 2 * m)
    assert ((found.values[0] - truth).abs() <= 1e-3 * scale).all()
    # A dense spectrum's values stand still before their residuals are as small as is asked for.
    assert (found.residuals <= 2e-3 * scale).all()
    assert found.converged.all() or name in ("spread", "positive", "tiny", "huge")
    assert (found.values.diff(dim=1) <= 1e-9 * scale).all()


@pytest.mark.parametrize("dimension", range(2, 26))
def test_extremes_of_small_matrices_are_exact(dimension):
    """Whatever does not fit evenly into blocks."""
    spectrum = torch.linspace(-1.0, 2.0, dimension).double()
    matrices = with_eigenvalues(spectrum)
    for m in {1, dimension // 2, max(1, dimension // 3)}:
        *_, found = extreme_steps(Matrices(matrices, MEMORY), m, generator())
        assert found.converged.all()
        assert torch.allclose(found.values[0], ends(spectrum, m), atol=1e-3)


def test_vectors_residuals_and_convergence():
    """Residuals are true, and no value lies farther from an eigenvalue than they say."""
    spectrum = torch.linspace(-1.0, 1.0, 300)
    matrices = with_eigenvalues(spectrum)
    for found in extreme_steps(Matrices(matrices, MEMORY), 5, generator()):
        u = found.vectors
        assert torch.allclose(u @ u.mT, torch.eye(10).double(), atol=1e-9)
        true = (u @ matrices - found.values[..., None] * u).norm(dim=2)
        assert torch.allclose(true, found.residuals, atol=1e-9)
        nearest = (found.values[0, :, None] - spectrum).abs().amin(1)
        assert (nearest <= found.residuals[0] + 1e-6).all()
        assert (found.residuals[found.converged] <= 1e-3 + 1e-9).all()
        assert found.asymmetry.max() < 1e-12


def test_fractions_rise_to_one():
    matrices = with_eigenvalues(torch.linspace(-1.0, 1.0, 300))
    fractions = [
        found.fraction for found in extreme_steps(Matrices(matrices, MEMORY), 5, generator())
    ]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(fraction < 1.0 for fraction in fractions[:-1])


def test_far_fewer_products_than_dimensions():
    spectrum = torch.cat(
        [
            0.01 * torch.randn(980, generator=generator()),
            torch.linspace(1, 2, 10),
            torch.linspace(-2, -1, 10),
        ]
    )
    operators = Matrices(with_eigenvalues(spectrum), MEMORY)
    *_, found = extreme_steps(operators, 10, generator())
    assert found.converged.all()
    assert operators.products <= 100


def test_agrees_with_arpack():
    drawn = torch.randn(300, 300, generator=generator()).double()
    matrix = drawn + drawn.T
    operator = LinearOperator((300, 300), matvec=lambda v: matrix.numpy() @ v, dtype=np.float64)
    values = eigsh(operator, k=8, which="BE", return_eigenvectors=False)
    *_, found = extreme_steps(Matrices(matrix[None], MEMORY), 4, generator())
    scale = np.abs(values).max()
    assert np.abs(found.values[0].numpy() - np.sort(values)[::-1]).max() <= 1e-3 * scale


def test_nobodys_numbers_depend_on_the_company():
    spectra = [torch.linspace(-1.0, 1.0, 200), torch.full((200,), 0.3), SPECTRA["a few far out"]]
    matrices = with_eigenvalues(*spectra)
    *_, together = extreme_steps(Matrices(matrices, MEMORY), 3, generator())
    for index in range(3):
        *_, alone = extreme_steps(Matrices(matrices[index : index + 1], MEMORY), 3, generator())
        assert torch.allclose(together.values[index], alone.values[0], atol=1e-6)


def test_little_memory_makes_restarts_and_no_other_numbers():
    spectrum = SPECTRA["a few far out"]
    matrices = with_eigenvalues(spectrum)
    *_, found = extreme_steps(Matrices(matrices, 1), 3, generator())
    assert torch.allclose(found.values[0], ends(spectrum, 3), atol=1e-2)


class Held(TorchDispatchMode):
    """The most bytes that tensors made inside hold at once."""

    def __init__(self):
        super().__init__()
        self.sizes, self.users, self.peak = {}, Counter(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage.data_ptr()
                self.sizes[key] = storage.nbytes()
                self.users[key] += 1
                weakref.finalize(tensor, self._released, key)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result

    def _released(self, key):
        self.users[key] -= 1
        if not self.users[key]:
            self.sizes.pop(key, None)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("m", [1, 10, 60])
def test_what_is_held_is_what_is_told(m, noisy):
    """However many are wanted, and however long the search goes on."""
    n, dimension = 2, 3000
    diagonal = torch.linspace(-1.0, 1.0, dimension, dtype=torch.float64)

    class Diagonal(Matrices):
        def __init__(self):
            self.like, self.memory = diagonal[:0], MEMORY
            self.count, self.dimension, self.vectors_at_once = n, dimension, 40

        def apply(self, vectors):
            return vectors * diagonal

    with Held() as held:
        for _ in islice(extreme_steps(Diagonal(), m, generator(), noisy=noisy), 40):
            pass
    vectors = held.peak / (n * dimension * 8)
    assert vectors <= vectors_held(dimension, m, noisy=noisy) <= 3 * vectors


@pytest.mark.parametrize("noisy", [False, True])
def test_operators_that_are_zero_are_settled_at_once(noisy):
    *_, found = steps = list(
        extreme_steps(Matrices(torch.zeros(2, 300, 300), MEMORY), 3, generator(), noisy=noisy)
    )
    assert len(steps) <= 2
    assert found.converged.all()
    assert torch.equal(found.values, torch.zeros(2, 6))


def test_float32():
    matrices = with_eigenvalues(SPECTRA["spread"], dtype=torch.float32)
    *_, found = extreme_steps(Matrices(matrices, MEMORY), 4, generator())
    assert torch.allclose(found.values[0].double(), ends(SPECTRA["spread"], 4), atol=3e-3)


def test_asymmetry_on_the_basis_searched():
    drawn = torch.randn(1, 20, 20, generator=generator()).double()
    *_, found = extreme_steps(Matrices(drawn, MEMORY), 10, generator())
    _, truth = symmetrised(drawn)
    assert float(found.asymmetry) == pytest.approx(float(truth), rel=0.3)
    _, truth = symmetrised(drawn - drawn.mT)
    assert float(truth) == pytest.approx(2.0)
    _, truth = symmetrised(torch.zeros(1, 3, 3))
    assert float(truth) == 0.0


def test_assembled_column_by_column():
    drawn = torch.randn(2, 30, 30, generator=generator()).double()
    fractions = []
    matrices = None
    for fraction, matrices in assemble_steps(Matrices(drawn + drawn.mT, MEMORY)):  # noqa: B007
        fractions.append(fraction)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert torch.allclose(matrices, drawn + drawn.mT)


@pytest.mark.parametrize("name", SPECTRA)
def test_quadrature(name):
    spectrum = SPECTRA[name].double()
    matrices = with_eigenvalues(spectrum)
    probes, dimension = 20, len(spectrum)
    *_, (fraction, nodes, weights) = quadrature_steps(
        Matrices(matrices, MEMORY), probes, 12, generator()
    )
    assert fraction == 1.0
    assert torch.allclose(weights.sum(1), torch.ones(1).double())
    assert (weights >= 0).all()
    scale = max(float(spectrum.abs().max()), 1e-300)
    kept = nodes[weights > 1e-9]
    assert float(kept.max()) <= float(spectrum.max()) + 1e-6 * scale
    assert float(kept.min()) >= float(spectrum.min()) - 1e-6 * scale
    for power in (1, 2, 3):
        powers = (spectrum / scale) ** power
        moment = float((weights * (nodes / scale) ** power).sum())
        deviation = math.sqrt(2 * float(powers.var(unbiased=False)) / (dimension + 2) / probes)
        assert abs(moment - float(powers.mean())) <= 5 * deviation + 1e-9


def test_quadrature_of_one_probe_is_exact_in_its_moments():
    """Gauss: with k nodes the first 2 k - 1 moments of vᵀ Aᵖ v."""
    spectrum = torch.linspace(-1.0, 1.0, 50).double()
    matrix = torch.diag(spectrum)[None]
    *_, (_, nodes, weights) = quadrature_steps(Matrices(matrix, MEMORY), 1, 5, generator())
    moments = torch.stack([(weights * nodes**power).sum() for power in range(10)])
    *_, (_, nodes, weights) = quadrature_steps(Matrices(matrix, MEMORY), 1, 25, generator())
    finer = torch.stack([(weights * nodes**power).sum() for power in range(10)])
    assert torch.allclose(moments, finer, atol=1e-10)


def test_quadrature_of_a_higher_order_than_there_are_dimensions():
    matrices = with_eigenvalues(torch.tensor([-1.0, 0.5, 2.0]))
    *_, (_, nodes, weights) = quadrature_steps(Matrices(matrices, MEMORY), 4, 64, generator())
    assert nodes.shape == weights.shape
    for node in nodes[weights > 1e-9]:
        assert min(abs(float(node) - value) for value in (-1.0, 0.5, 2.0)) < 1e-6
