"""A study's numbers are those of the plain functions, whatever the shards and whoever measures."""

import numpy as np
import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry.paths import enter_region
from geoexplorer.jobs import last
from geoexplorer.studies.engines import Threads
from geoexplorer.studies.partners import draw_partners
from tests.studies.networks import Smooth, classifier, images

SEED = 3
CHEAP = {
    "boundary": {"keep_perturbations": True},
    "curvature": {"k": 2},
    "mean_curvature": {"probes": 4},
    "connectivity": {"scenario": ["images", "perturbed", "random"]},
    "shared_directions": {"m": 2, "images": 3, "probes": 4},
    "detection": {"probes": 4, "scales": [1.02, 2.0]},
}


@pytest.fixture(scope="module")
def clf():
    return gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)


@pytest.fixture(scope="module")
def digits():
    return gx.load_images("digits", split="test", n=7)


@pytest.fixture(scope="module")
def study(clf, digits, tmp_path_factory):
    """All quantities of seven digits, measured together."""
    store = tmp_path_factory.mktemp("numbers") / "study.zarr"
    return gx.Study(clf, digits, CHEAP, store=store, seed=SEED, shard_size=7).run(show=False)


@pytest.fixture(scope="module")
def data(study):
    return study.dataset().isel(network=0).load()


@pytest.fixture(scope="module")
def boundary(clf, digits):
    return gx.nearest_boundary(clf, digits.images, seed=SEED)


def same(stored, expected):
    expected = expected.numpy() if isinstance(expected, torch.Tensor) else np.asarray(expected)
    assert np.array_equal(stored.values, expected, equal_nan=True), stored.name


class TestPlainFunctions:
    def test_prediction(self, data, clf, digits):
        logits = clf.logits(digits.images).sort(dim=1, descending=True).values
        same(data["predicted"], clf.labels(digits.images))
        same(data["margin"], logits[:, 0] - logits[:, 1])
        same(data["norm"], digits.images.double().flatten(1).norm(dim=1))
        same(data["label"], digits.labels)

    def test_boundary(self, data, boundary):
        same(data["distance"], boundary.distances)
        same(data["other"], boundary.other)
        same(data["alignment"], boundary.alignment)
        same(data["bracket"], boundary.residual)
        same(data["reached"], boundary.converged)
        same(data["perturbation"], boundary.perturbations)

    def test_curvatures(self, data, clf, boundary):
        found = gx.principal_curvatures(clf, boundary, k=2, seed=SEED)
        same(data["curvature"], found.values)
        same(data["curvature_residual"], found.residuals)
        same(data["curvature_asymmetry"], found.asymmetry)
        assert data["curvature_method"].item() == found.method == "autograd"
        assert data["curvature_step"].item() == found.step
        mean = gx.mean_curvature(clf, boundary, probes=4, seed=SEED)
        same(data["mean_curvature"], mean.values)
        same(data["mean_curvature_error"], mean.standard_errors)

    def test_shared_directions(self, data, clf, boundary):
        first = gx.nearest_boundary(clf, boundary.images[:3], seed=SEED)
        shared = gx.shared_directions(clf, first, m=2, seed=SEED)
        same(data["shared_direction"], shared.directions)
        same(data["shared_value"], shared.values)
        rho = gx.relative_curvature(clf, boundary[3:], shared.directions, probes=4, seed=SEED)
        assert np.isnan(data["rho"].values[:3]).all()
        same(data["rho"][3:], rho.values)
        same(data["share_of_perturbation"][3:], shared.share_of(boundary.perturbations[3:]))
        _, gradients = clf.margin_gradient(
            boundary.images[3:], boundary.own[3:], boundary.other[3:]
        )
        same(data["share_of_gradient"][3:], shared.share_of(gradients))

    def test_detection(self, data, clf, digits, boundary):
        x = digits.images.double()
        for scale in (0.0, 1.02, 2.0):
            verdict = gx.detect(clf, x + scale * boundary.perturbations, 4, seed=SEED)
            stored = data.sel(scale=scale)
            same(stored["score"], verdict.score.double())
            same(stored["recovered"], verdict.recovered)
            same(stored["called"], verdict.labels)
            same(stored["score_margin"], verdict.margin)
            same(stored["runner_up"], verdict.runner_up)

    @pytest.mark.parametrize("scenario", ["images", "perturbed"])
    def test_paths(self, data, clf, digits, scenario):
        stored = data.sel(scenario=scenario)
        x, predicted = digits.images.double(), data["predicted"].values
        partner = stored["partner"].values
        rows = (partner >= 0).nonzero()[0]
        assert len(rows) > 1
        assert ((predicted[rows] == predicted[partner[rows]]) == (scenario == "images")).all()
        ends = enter_region(clf, x[partner[rows]], torch.from_numpy(predicted[rows]), seed=SEED)
        for row, path in zip(rows, gx.connect(clf, x[rows], ends, seed=SEED), strict=True):
            one = stored.isel(image=row)
            assert one["moved"] == 1
            assert one["connected"] == path.connected
            assert one["proven"] == (path.proof == "exact")
            assert one["anchors"] == len(path.anchors)
            assert one["straightness"] == path.straightness
            assert one["path_margin"] == path.least_margin
        alone = stored.isel(image=partner < 0)
        for name in ("moved", "straight", "connected", "proven", "anchors"):
            assert (alone[name] == (0 if name == "anchors" else -1)).all(), name

    def test_a_random_point_has_the_images_mean_norm_and_is_moved_into_the_region(self, data):
        random = data.sel(scenario="random")
        assert (random["partner"] == -1).all()
        assert (random["moved"] == 1).all()
        assert (random["straightness"] >= 1 - 1e-9).all()

    def test_proofs(self, tmp_path):
        clf = classifier(Smooth(activation=nn.ReLU))
        study = gx.Study(clf, images(6), "connectivity", store=tmp_path / "s", shard_size=4)
        data = study.run(show=False).dataset().isel(network=0, scenario=0)
        assert (data["proven"] == 1).any()
        for row, partner in enumerate(data["partner"].values):
            if partner >= 0:
                path = gx.connect(clf, *images(6)[[row, partner]])
                assert data["proven"][row] == (path.proof == "exact")


def test_the_shard_size_changes_rounding_only(data, clf, digits, tmp_path):
    study = gx.Study(clf, digits, CHEAP, store=tmp_path / "s.zarr", seed=SEED, shard_size=2)
    other = study.run(show=False).dataset().isel(network=0).load()
    assert not len(study.failures())
    for name, variable in data.data_vars.items():
        if variable.dtype.kind == "f":
            np.testing.assert_allclose(other[name], variable, rtol=1e-6, atol=1e-9, err_msg=name)
        else:
            assert (other[name] == variable).all(), name


def test_another_seed_gives_other_numbers(study, clf, digits, tmp_path):
    other = gx.Study(clf, digits[:4], {"mean_curvature": {"probes": 4}}, store=tmp_path / "s")
    other.run(show=False)
    assert (other.dataset()["mean_curvature"] != study.dataset()["mean_curvature"][:, :4]).all()


class TestOrder:
    @pytest.fixture(scope="class")
    @staticmethod
    def made(tmp_path_factory):
        """Makes the same study of two networks anew."""

        def make():
            networks = {"one": classifier(), "two": classifier(Smooth(seed=7))}
            store = tmp_path_factory.mktemp("order") / "s.zarr"
            return gx.Study(networks, images(10), CHEAP, store=store, shard_size=4)

        return make

    @pytest.fixture(scope="class")
    @staticmethod
    def plain(made):
        return made().run(show=False).dataset().load()

    def test_backwards(self, made, plain, monkeypatch):
        class Backwards:
            note = ""

            def __init__(self, networks, client):
                self.networks = networks

            def run(self, tasks):
                for job in reversed(list(tasks)):
                    yield job, last(job.measure(self.networks[job.network], job.make()))

        monkeypatch.setattr("geoexplorer.studies.study.engine_for", Backwards)
        assert made().run(show=False).dataset().load().identical(plain)

    def test_two_threads(self, made, plain, monkeypatch):
        devices = [torch.device("cpu")] * 2
        monkeypatch.setattr(
            "geoexplorer.studies.study.engine_for", lambda networks, _: Threads(networks, devices)
        )
        study = made()
        fractions = [state.progress.fraction for state in study.run_steps()]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1
        assert study.dataset().load().identical(plain)

    def test_networks_are_measured_as_if_alone(self, plain, tmp_path):
        two = classifier(Smooth(seed=7))
        alone = gx.Study({"two": two}, images(10), CHEAP, store=tmp_path / "s", shard_size=4)
        alone = alone.run(show=False).dataset().drop_attrs()
        assert alone.identical(plain.sel(network=["two"]).drop_attrs())


class TestPartners:
    PREDICTED = np.array([0, 1, 0, -1, 0, 1, 2])

    def test_none_for_itself_and_none_of_unknown_class(self):
        for seed in range(20):
            same = draw_partners(self.PREDICTED, range(7), "images", seed)
            assert (same != np.arange(7)).all()
            there = same >= 0
            assert there.tolist() == [True, True, True, False, True, True, False]
            assert (self.PREDICTED[same[there]] == self.PREDICTED[there]).all()
            other = draw_partners(self.PREDICTED, range(7), "perturbed", seed)
            assert other[3] == -1
            there = other >= 0
            assert (self.PREDICTED[other[there]] >= 0).all()
            assert (self.PREDICTED[other[there]] != self.PREDICTED[there]).all()

    def test_by_image_and_not_by_shard(self):
        whole = draw_partners(self.PREDICTED, range(7), "images", 5)
        parts = [draw_partners(self.PREDICTED, [number], "images", 5)[0] for number in range(7)]
        assert whole.tolist() == parts

    def test_all_that_fit_are_drawn(self):
        drawn = [draw_partners(self.PREDICTED, [0], "images", seed)[0] for seed in range(40)]
        assert set(drawn) == {2, 4}
