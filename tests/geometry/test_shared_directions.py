"""What follows from shared directions: subspaces, shares, axes, ρ at held-out points."""

import gc
import pickle

import pytest
import torch

import geoexplorer as gx
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.geometry.subspaces import shared_directions
from tests.analytic import SMALL, classifier
from tests.geometry.test_subspaces import angle
from tests.steps import assert_round_trip


class TestSubspaces:
    def test_curved_and_flat(self, small, everything):
        module = small[0]
        curved, flat = everything.curved(4), everything.flat(44)
        assert angle(curved.basis, module.shared) < 1e-6
        assert curved.share_of(flat.basis).max() < 1e-6
        assert "4" in curved.name
        sizes = everything.values.abs().sort().values
        chosen = everything.flat(7).basis.flatten(1) @ everything.directions.flatten(1).T
        kept = chosen.abs().argmax(1)
        assert everything.values[kept].abs().max() <= sizes[6] + 1e-12
        assert everything.curved().dimension == 48

    def test_one_sign_at_a_time(self, small, everything):
        """The most curved of all is the fourth, of curvature -8."""
        module = small[0]
        assert angle(everything.curved(1).basis, module.shared[3:]) < 1e-6
        assert angle(everything.curved(2).basis, module.shared[[0, 3]]) < 1e-6

    def test_shares(self, small, everything):
        module = small[0]
        inside = (torch.randn(5, 4).double() @ module.shared).reshape(5, *SMALL)
        outside = torch.randn(5, 48).double()
        outside = (outside - outside @ module.shared.T @ module.shared).reshape(5, *SMALL)
        assert torch.allclose(everything.share_of(inside, 4), torch.ones(5).double(), atol=1e-9)
        assert everything.share_of(outside, 4).max() < 1e-6
        assert torch.allclose(everything.share_of(outside), torch.ones(5).double(), atol=1e-9)

    def test_directions_by_rank(self, small, everything):
        module, _clf, b = small
        for rank, index in ((1, 0), (2, 1), (-1, 3), (-2, 2)):
            direction = everything.direction(rank)
            plane = gx.Plane.normal_section(b[0], direction)
            cosine = float(plane.v.flatten().double() @ module.shared[index])
            assert abs(cosine) == pytest.approx(1, abs=1e-6)
        assert "1" in everything.direction(1).name


class TestRho:
    def test_far_above_one_on_held_out_points(self, small, everything):
        module, clf, _ = small
        held_out = module.boundary(clf, 12, seed=5)
        rho = everything.rho(held_out, probes=400)
        assert rho.shape == (12, 48)
        shared = everything.values.abs() > 1
        assert int(shared.sum()) == 4
        assert (rho[:, shared] > 3).all()
        assert float(rho[:, ~shared].mean()) < 0.5
        # The closed form, with random vectors of our own.
        G = module.shape_operators(held_out)
        u = everything.directions.flatten(1)
        v = torch.randn(20_000, 48, generator=torch.Generator().manual_seed(9)).double()
        v /= v.norm(dim=1, keepdim=True)
        typical = torch.einsum("vi,nij,vj->nv", v, G, v).abs().mean(1)
        expected = torch.einsum("ui,nij,uj->nu", u, G, u).abs() / typical[:, None]
        assert torch.allclose(rho[:, shared], expected[:, shared], rtol=0.25)

    def test_it_is_measured_like_the_directions(self, small):
        _module, clf, b = small
        found = shared_directions(clf, b, 2, method="central_difference", step=0.05)
        counted = clf.cost
        found.rho(b[:2], probes=7)
        assert (clf.cost - counted).gradients >= 2 * 2 * (7 + 2)

    def test_a_classifier_that_is_gone(self, small):
        module, _, _ = small
        clf = classifier(module)
        found = shared_directions(clf, module.boundary(clf, 6), 2)
        del clf
        gc.collect()
        other = classifier(module)
        with pytest.raises(ValueError, match=r"^clf must be given"):
            found.rho(module.boundary(other, 2))
        assert found.rho(module.boundary(other, 2), clf=other).shape == (2, 2)


class TestKept:
    def test_saved_and_read_again(self, small, everything, tmp_path):
        _, clf, b = small
        loaded = assert_round_trip(everything, tmp_path / "shared.npz")
        assert isinstance(loaded, SharedDirections)
        assert torch.equal(loaded.curved(3).basis, everything.curved(3).basis)
        with pytest.raises(ValueError, match=r"^clf must be given"):
            loaded.rho(b)
        assert torch.equal(loaded.rho(b[:2], clf=clf), everything.rho(b[:2]))

    def test_it_can_be_sent_to_another_process(self, everything):
        sent = pickle.loads(pickle.dumps(everything))  # noqa: S301
        assert sent.classifier is None
        assert torch.equal(sent.directions, everything.directions)


class TestBadInput:
    @pytest.mark.parametrize("use", ["curved", "flat"])
    @pytest.mark.parametrize("m", [0, 49, 2.5])
    def test_m_of_a_subspace(self, everything, use, m):
        with pytest.raises((TypeError, ValueError), match=r"^m must be"):
            getattr(everything, use)(m)

    def test_m_of_shares(self, everything):
        with pytest.raises(ValueError, match=r"^m must be"):
            everything.share_of(torch.ones(SMALL), 49)

    def test_flat_without_all_directions(self, small):
        _, clf, b = small
        with pytest.raises(ValueError, match=r"where all 48 are; measure them with m=None"):
            shared_directions(clf, b, 4).flat(2)

    @pytest.mark.parametrize("rank", [0, 49, -49, 1.5])
    def test_rank(self, everything, rank):
        with pytest.raises((TypeError, ValueError), match=r"^rank must be"):
            everything.direction(rank)

    @pytest.mark.parametrize(
        ("options", "name"), [({"probes": 1}, "probes"), ({"seed": -1}, "seed")]
    )
    def test_rho(self, small, everything, options, name):
        with pytest.raises(ValueError, match=f"^{name} must be"):
            everything.rho(small[2], **options)
