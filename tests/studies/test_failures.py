"""What goes wrong with an image costs that image only, and the reason is kept."""

import numpy as np
import pytest
import torch
from PIL import Image

import geoexplorer as gx
from tests.studies import networks
from tests.studies.networks import Faulty, Troubled, classifier, images, with_mark

QUANTITIES = {
    "boundary": {},
    "curvature": {"k": 1},
    "mean_curvature": {"probes": 3},
    "connectivity": {"scenario": ["images", "random"], "prove": False},
    "shared_directions": {"m": 2, "images": 3, "probes": 3},
    "detection": {"probes": 3, "scales": [2.0], "step": 0.001},
}
WITHOUT_PARTNERS = {name: given for name, given in QUANTITIES.items() if name != "connectivity"}
GOOD = 6


def measured(clf, given, store, size=20, quantities=QUANTITIES):
    return gx.Study(clf, given, quantities, store=store, shard_size=size).run(show=False)


def assert_as_if_absent(study, good):
    """The first images have the numbers that they have alone."""
    data, alone = (one.dataset().load() for one in (study, good))
    there = alone.sizes["image"]
    assert (data["status"][:, :there] == 1).all()
    for name, expected in alone.data_vars.items():
        found = data[name]
        found = found[:, :there] if "image" in found.dims else found
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9, err_msg=name)
        else:
            assert (found == expected).all(), name


class TestNetworks:
    @pytest.fixture(scope="class")
    @staticmethod
    def clf():
        return classifier(Troubled())

    @pytest.fixture(scope="class")
    @staticmethod
    def good(clf, tmp_path_factory):
        return measured(clf, with_mark(images(GOOD)), tmp_path_factory.mktemp("good") / "s.zarr")

    @pytest.mark.parametrize(
        ("mark", "reason", "size"),
        [
            (networks.NAN, "prediction: margin is not a number", 4),
            (networks.RAISES, "prediction: RuntimeError: this network does not like an image", 20),
        ],
    )
    def test_images_that_cannot_be_predicted(self, clf, good, tmp_path, mark, reason, size):
        bad = with_mark(images(2, seed=5), mark)
        study = measured(clf, torch.cat([with_mark(images(GOOD)), bad]), tmp_path / "s.zarr", size)
        assert_as_if_absent(study, good)
        data = study.dataset().isel(network=0, image=slice(GOOD, None))
        assert (data["status"] == 2).all()
        assert (data["predicted"] == -1).all()
        assert data["distance"].isnull().all()
        assert (data["reason"] == reason).all()
        failures = study.failures()
        assert failures["image"].tolist() == [GOOD, GOOD + 1]
        assert failures["reason"].tolist() == [reason] * 2
        assert set(failures["network"]) == {"small"}

    def test_nan_for_perturbed_images_only(self, clf, tmp_path):
        """Their classes are known, so that they may be partners of others."""
        bad = with_mark(images(2, seed=5), networks.NAN_BESIDE)
        given = torch.cat([with_mark(images(GOOD)), bad])
        good, study = (
            measured(clf, given[:count], tmp_path / f"{count}.zarr", quantities=WITHOUT_PARTNERS)
            for count in (GOOD, len(given))
        )
        assert_as_if_absent(study, good)
        data = study.dataset().isel(network=0, image=slice(GOOD, None))
        assert (data["predicted"] >= 0).all()
        failed = data["status"] == 2
        assert (failed | (data["reached"] == 0)).all()
        assert (data["distance"].isnull() | np.isinf(data["distance"])).all()

    def test_no_boundary_is_no_failure(self, clf, good, tmp_path):
        certain = with_mark(images(2, seed=5), networks.CERTAIN)
        study = measured(
            clf, torch.cat([with_mark(images(GOOD)), certain]), tmp_path / "s.zarr",
            quantities=WITHOUT_PARTNERS,
        )  # fmt: skip
        data = study.dataset().isel(network=0, image=slice(GOOD, None))
        assert (data["status"] == 1).all(), data["reason"].values
        assert (data["reached"] == 0).all()
        assert np.isinf(data["distance"]).all()
        assert data["curvature"].isnull().all()
        assert (data["score"][:, 0] == data["score"][:, 0]).all()
        assert (data["called"][:, 1] == -1).all()
        assert study.summary().loc["small", "failed"] == 0

    def test_no_boundary_from_any_image(self, clf, tmp_path):
        certain = with_mark(images(4), networks.CERTAIN)
        study = measured(clf, certain, tmp_path / "s.zarr", size=2)
        data = study.dataset().isel(network=0)
        assert (data["reached"] == 0).all()
        assert "no boundary was reached" in data["directions_reason"].item()
        assert (data["status"] == 2).all()
        assert all("no shared directions" in reason for reason in data["reason"].values)
        study.summary()

    def test_no_image_can_be_predicted(self, clf, tmp_path):
        study = measured(clf, with_mark(images(4), networks.RAISES), tmp_path / "s.zarr", size=2)
        assert (study.dataset()["status"] == 2).all()
        assert len(study.failures()) == 4
        study.summary()

    def test_progress_never_falls_although_images_are_begun_again(self, clf, tmp_path):
        bad = with_mark(images(2, seed=5), networks.RAISES)
        given = torch.cat([bad[:1], with_mark(images(GOOD)), bad[1:]])
        study = gx.Study(clf, given, QUANTITIES, store=tmp_path / "s.zarr", shard_size=5)
        fractions = [state.progress.fraction for state in study.run_steps()]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1
        assert all(fraction < 1 for fraction in fractions[:-1])


def test_late_errors_begin_halves_again(tmp_path):
    faulty = Faulty()
    clf = classifier(faulty)
    network = clf.module[1]
    study = gx.Study(clf, images(8), "boundary", store=tmp_path / "s.zarr", shard_size=8)
    network.bad = frozenset({network.passes + 12})
    states = list(study.run_steps())
    fractions = [state.progress.fraction for state in states]
    assert fractions == sorted(fractions)
    assert not len(study.failures())
    plain = gx.nearest_boundary(classifier(), images(8))
    np.testing.assert_allclose(study.dataset()["distance"][0], plain.distances, rtol=1e-6)


class TestFiles:
    @pytest.fixture
    def files(self, tmp_path):
        folder = tmp_path / "images"
        folder.mkdir()
        for number in range(8):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.jpg")
        whole = (folder / "5.jpg").read_bytes()
        (folder / "5.jpg").write_bytes(whole[: len(whole) // 2])
        (folder / "6.jpg").write_text("this is not an image")
        paths = sorted(folder.iterdir())
        (folder / "7.jpg").unlink()
        return gx.ImageFiles(paths, size=4, channels=1)

    def test_unreadable_ones(self, files, tmp_path):
        study = measured(classifier(), files, tmp_path / "s.zarr", 3)
        good = measured(classifier(), files[:5], tmp_path / "good.zarr")
        assert_as_if_absent(study, good)
        failures = study.failures()
        assert failures["image"].tolist() == [5, 6, 7]
        assert failures["file"].tolist() == ["5.jpg", "6.jpg", "7.jpg"]
        for name, reason in zip(failures["file"], failures["reason"], strict=True):
            assert reason.startswith(f"image: {name} could not be read: ")

    def test_tried_again_only_when_asked(self, files, tmp_path):
        study = measured(classifier(), files, tmp_path / "s.zarr", 3, {"boundary": {}})
        clf, before = study._plan.networks["small"], study._plan.networks["small"].cost
        study.run(show=False)
        assert clf.cost == before
        first = study.dataset().load()
        pixels = np.random.default_rng(9).integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(files.paths[7])
        study.run(show=False, retry_failed=True)
        again = study.dataset().load()
        assert study.failures()["image"].tolist() == [5, 6]
        assert again["distance"][0, 7] > 0
        assert again["reason"][0, 7] == ""
        assert again.isel(image=slice(7)).identical(first.isel(image=slice(7)))
        assert clf.cost.forwards - before.forwards < before.forwards

    def test_told_on_standard_error(self, files, tmp_path, capsys):
        store = tmp_path / "s.zarr"
        gx.Study(classifier(), files, store=store).run()
        told = capsys.readouterr().err.strip().split("\n")
        assert told[-1] == ("3 images could not be measured as a whole; failures() has the reasons")
