"""Subspaces: projections and shares by plain linear algebra, cosines by scipy."""

import math
import subprocess
import sys

import pytest
import torch
from scipy.fft import dctn
from scipy.special import gammaln

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.linear_subspace import Subspace, dct_block, dct_diagonal
from tests import analytic

SHAPE = (2, 3, 4)


def gaussian(n, shape=SHAPE, seed=0, dtype=torch.float64):
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed), dtype=dtype)


def expected_share(m, d):
    """E ‖P v‖ / ‖v‖, whose square is Beta(m/2, (d-m)/2) distributed."""
    logs = gammaln((m + 1) / 2) - gammaln(m / 2) + gammaln(d / 2) - gammaln((d + 1) / 2)
    return math.exp(logs)


class TestSpanned:
    def test_orthonormal_and_the_same_span(self):
        directions = gaussian(5) * 10.0 ** torch.arange(-2, 3)[:, None, None, None]
        found = Subspace.spanned(directions, "mine")
        rows = found.basis.flatten(1)
        assert (found.name, found.dimension) == ("mine", 5)
        assert torch.allclose(rows @ rows.T, torch.eye(5).double(), atol=1e-12)
        assert torch.allclose(found.project(directions), directions, atol=1e-10)

    def test_all_of_space(self):
        found = Subspace.spanned(gaussian(24))
        v = gaussian(7, seed=1)
        assert torch.allclose(found.project(v), v, atol=1e-10)

    @pytest.mark.parametrize(
        "directions",
        [
            torch.zeros(1, *SHAPE),
            torch.cat([gaussian(2), torch.zeros(1, *SHAPE)]),
            torch.cat([gaussian(2), gaussian(2).sum(0, keepdim=True)]),
            torch.cat([gaussian(1), -3 * gaussian(1)]),
            gaussian(25),
        ],
        ids=["zero", "one zero", "a sum", "parallel", "too many"],
    )
    def test_dependent_directions(self, directions):
        with pytest.raises(ValueError, match="directions must be independent and not zero"):
            Subspace.spanned(directions)


class TestProjection:
    def test_against_the_normal_equations(self):
        directions, v = gaussian(4), gaussian(9, seed=1)
        A = directions.flatten(1).T
        P = A @ torch.linalg.inv(A.T @ A) @ A.T
        found = Subspace.spanned(directions)
        assert torch.allclose(found.project(v).flatten(1), v.flatten(1) @ P, atol=1e-12)
        shares = (v.flatten(1) @ P).norm(dim=1) / v.flatten(1).norm(dim=1)
        assert torch.allclose(found.share_of(v), shares, atol=1e-12)
        assert torch.allclose(found.project(found.project(v)), found.project(v), atol=1e-12)

    def test_inside_outside_and_between(self):
        axes = torch.eye(24).reshape(24, *SHAPE)
        found = Subspace(axes[:3], "first three")
        vectors = torch.stack([axes[1], 5 * axes[0] - axes[2], axes[3], axes[0] + axes[3]])
        assert found.share_of(vectors)[:3].tolist() == [1.0, 1.0, 0.0]
        assert float(found.share_of(vectors)[3]) == pytest.approx(0.5**0.5)

    def test_a_share_is_never_above_one(self):
        found = Subspace.spanned(gaussian(6, dtype=torch.float32))
        inside = found.drawn(1000, torch.Generator().manual_seed(0))
        assert found.share_of(inside).max() <= 1.0
        assert found.share_of(inside).min() >= 1 - 1e-6

    @pytest.mark.parametrize("bad", [0.0, math.nan, math.inf])
    def test_no_share_of_what_is_no_vector(self, bad):
        v = gaussian(3)
        v[1] = bad
        assert Subspace.spanned(gaussian(2)).share_of(v).isnan().tolist() == [False, True, False]

    def test_one_vector(self):
        assert Subspace.spanned(gaussian(2)).share_of(gaussian(1)[0]).shape == (1,)
        assert Subspace.spanned(gaussian(2)).project(gaussian(1)[0]).shape == (1, *SHAPE)

    @pytest.mark.parametrize("m", [1, 2, 12, 24])
    def test_random_vectors(self, m):
        shares = Subspace.random(SHAPE, m, seed=3).share_of(gaussian(4000, seed=1)).double()
        error = float(shares.std()) / 4000**0.5
        assert abs(float(shares.mean()) - expected_share(m, 24)) <= 4 * error + 1e-6
        squares = shares.square()
        error = float(squares.std()) / 4000**0.5
        assert abs(float(squares.mean()) - m / 24) <= 4 * error + 1e-6


class TestDrawn:
    def test_unit_uniform_and_inside(self):
        found = Subspace.spanned(gaussian(3))
        drawn = found.drawn(5000, torch.Generator().manual_seed(1))
        assert drawn.shape == (5000, *SHAPE)
        assert torch.allclose(drawn.flatten(1).norm(dim=1), torch.ones(5000).double())
        assert found.share_of(drawn).min() > 1 - 1e-12
        coordinates = drawn.flatten(1) @ found.basis.flatten(1).T
        second = coordinates.T @ coordinates / 5000  # I / m, with 2 (m-1) / (m² (m+2)) a square
        assert (second - torch.eye(3) / 3).abs().max() < 4 * (4 / 45 / 5000) ** 0.5
        assert coordinates.mean(0).abs().max() < 4 * (1 / 3 / 5000) ** 0.5

    def test_seeds(self):
        assert torch.equal(Subspace.random(SHAPE, 2, seed=1).basis,
                           Subspace.random(SHAPE, 2, seed=1).basis)  # fmt: skip
        one, other = Subspace.random(SHAPE, 2, seed=1), Subspace.random(SHAPE, 2, seed=2)
        assert one.share_of(other.basis).max() < 0.99


class TestCosines:
    @pytest.mark.parametrize(
        ("shape", "first", "size"), [((3, 8, 8), 0, 3), ((1, 8, 12), 5, 3), ((2, 9, 7), 6, 1)]
    )
    def test_energy_only_in_the_block(self, shape, first, size):
        block = dct_block(shape, first, size)
        assert block.dimension == shape[0] * size**2
        rows = block.basis.flatten(1).double()
        assert torch.allclose(rows @ rows.T, torch.eye(len(rows)).double(), atol=1e-6)
        drawn = block.drawn(20, torch.Generator().manual_seed(0)).double().numpy()
        spectrum = torch.from_numpy(dctn(drawn, axes=(2, 3), norm="ortho"))
        inside = spectrum[:, :, first : first + size, first : first + size]
        assert torch.allclose(inside.square().sum((1, 2, 3)), torch.ones(20).double(), atol=1e-5)
        assert float(spectrum.square().sum()) == pytest.approx(20, abs=1e-4)

    def test_the_projection_is_a_mask_on_the_spectrum(self):
        images = gaussian(5, (2, 8, 8))
        spectrum = torch.from_numpy(dctn(images.numpy(), axes=(2, 3), norm="ortho"))
        shares = spectrum[:, :, 2:5, 2:5].flatten(1).norm(dim=1) / images.flatten(1).norm(dim=1)
        assert torch.allclose(dct_block((2, 8, 8), 2, 3).share_of(images).double(), shares,
                              atol=1e-6)  # fmt: skip

    def test_blocks_that_do_not_overlap_are_orthogonal(self):
        blocks = dct_diagonal((3, 8, 8))
        assert [block.dimension for block in blocks] == [12] * 4
        assert len({block.name for block in blocks}) == 4
        for one in blocks:
            for other in blocks:
                shares = one.share_of(other.basis)
                assert torch.allclose(shares, torch.full((12,), float(one is other)), atol=1e-6)

    def test_blocks_in_steps(self):
        blocks = dct_diagonal((1, 8, 10), size=4, step=2)
        assert [block.name for block in blocks] == ["DCT 0 to 3", "DCT 2 to 5", "DCT 4 to 7"]
        assert dct_block((1, 8, 8), 3, 1).name == "DCT 3"
        assert [block.dimension for block in dct_diagonal((2, 3, 3))] == [2, 2, 2]

    @pytest.mark.parametrize("least", [1, 2, 3, 8, 10, 28, 32])
    def test_by_default_small_images_are_cut_into_quarters(self, least):
        size = max(1, least // 4)
        blocks = dct_diagonal((1, least, least + 1))
        expected = [dct_block((1, least, least), first, size).name
                    for first in range(0, least - size + 1, size)]  # fmt: skip
        assert [block.name for block in blocks] == expected

    def test_by_default_large_images_have_four_small_blocks(self):
        blocks = dct_diagonal((3, 128, 128))
        assert [block.name for block in blocks] == [
            "DCT 0 to 7", "DCT 40 to 47", "DCT 80 to 87", "DCT 120 to 127",
        ]  # fmt: skip
        assert [block.dimension for block in blocks] == [192] * 4

    @pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
    def test_a_block_takes_no_more_memory_than_it_holds(self):
        """Of 151 MB; a basis in float64, or its products in one go, would be twice that."""
        script = (
            "from pathlib import Path\n"
            "from geoexplorer.geometry.linear_subspace import dct_block\n"
            "dct_block((3, 16, 16), 0, 2)\n"
            "status = Path('/proc/self/status')\n"
            "most = lambda: int(status.read_text().split('VmHWM:')[1].split()[0]) * 1024\n"
            "before = most()\n"
            "block = dct_block((3, 128, 128), 0, 16)\n"
            "print((most() - before) / block.basis.nbytes)\n"
        )
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert float(ran.stdout) <= 1.5, ran.stderr

    def test_the_whole_spectrum_is_the_whole_space(self):
        v = gaussian(3, (3, 6, 6))
        assert torch.allclose(dct_block((3, 6, 6), 0, 6).project(v), v, atol=1e-5)


class TestOnAClassifier:
    def test_rows(self):
        clf = analytic.classifier(analytic.HalfSpace(torch.ones(SHAPE)))
        found = Subspace.spanned(gaussian(4, dtype=torch.float32))
        rows = found.rows_for(clf)
        assert (rows.shape, rows.dtype) == ((4, 24), torch.float64)
        assert torch.allclose(rows @ rows.T, torch.eye(4).double(), atol=1e-14)
        assert found.share_of(rows.reshape(4, *SHAPE)).min() > 1 - 1e-6


class TestBadInput:
    @pytest.mark.parametrize(
        ("make", "name"),
        [(Subspace.spanned, "directions"), (lambda given: Subspace(given, "mine"), "basis")],
    )
    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            (None, TypeError, "must be a float tensor"),
            ([[1.0]], TypeError, "must be a float tensor"),
            (torch.ones(1, *SHAPE, dtype=torch.int64), TypeError, "must be a float tensor"),
            (torch.ones(SHAPE), ValueError, "must have shape"),
            (torch.ones(3, 4), ValueError, "must have shape"),
            (torch.ones(0, *SHAPE), ValueError, "must have shape"),
            (torch.full((1, *SHAPE), math.nan), ValueError, "NaN or infinite"),
            (torch.full((1, *SHAPE), math.inf), ValueError, "NaN or infinite"),
        ],
    )
    def test_directions(self, make, name, given, error, message):
        with pytest.raises(error, match=rf"^{name} .*{message}"):
            make(given)

    def test_a_basis_that_is_not_orthonormal(self):
        with pytest.raises(ValueError, match="basis must be orthonormal"):
            Subspace(gaussian(2), "mine")

    @pytest.mark.parametrize("m", [0, 25, -1])
    def test_random_dimension(self, m):
        with pytest.raises(ValueError, match="m must be between 1 and 24"):
            Subspace.random(SHAPE, m)

    @pytest.mark.parametrize("m", [1.5, "2", None, True])
    def test_random_dimension_that_is_no_number(self, m):
        with pytest.raises(TypeError, match="m must be a whole number"):
            Subspace.random(SHAPE, m)

    @pytest.mark.parametrize(
        ("vectors", "error"),
        [
            (None, TypeError),
            (torch.ones(1, *SHAPE, dtype=torch.int64), TypeError),
            (torch.ones(1, 3, 2, 4), ValueError),
            (torch.ones(2, 24), ValueError),
            (torch.ones(0, *SHAPE), ValueError),
        ],
    )
    @pytest.mark.parametrize("use", ["project", "share_of"])
    def test_vectors(self, vectors, error, use):
        with pytest.raises(error, match="vectors must"):
            getattr(Subspace.spanned(gaussian(2)), use)(vectors)

    @pytest.mark.parametrize(
        ("first", "size", "message"),
        [(0, 0, "size"), (0, 9, "size"), (-1, 2, "first"), (7, 2, "first"), (0, 1.5, "size")],
    )
    def test_blocks(self, first, size, message):
        with pytest.raises((TypeError, ValueError), match=f"{message} must be"):
            dct_block((1, 8, 8), first, size)

    @pytest.mark.parametrize(("options", "name"), [({"size": 0}, "size"), ({"step": 0}, "step")])
    def test_diagonals(self, options, name):
        with pytest.raises(ValueError, match=f"{name} must be"):
            dct_diagonal((1, 8, 8), **options)

    @pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8, 8), 8, (1, 0, 8)])
    @pytest.mark.parametrize("make", [lambda shape: dct_block(shape, 0, 1), dct_diagonal])
    def test_shapes(self, make, shape):
        with pytest.raises((TypeError, ValueError), match="shape"):
            make(shape)

    def test_a_classifier_of_another_shape(self):
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
        clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
        with pytest.raises(ValueError, match=r"mine holds directions of shape \(2, 3, 4\)"):
            Subspace.spanned(gaussian(2)).rows_for(clf, "mine")
