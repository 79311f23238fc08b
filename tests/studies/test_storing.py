"""Stores: where they can be, what is in them, and what happens when they cannot be written."""

import errno
import os
import pathlib
import uuid

import numpy as np
import pytest
import xarray as xr

import geoexplorer as gx
from geoexplorer.studies import writing
from geoexplorer.studies.store import Store
from tests.studies.networks import Smooth, classifier, images

QUANTITIES = {"boundary": {"keep_perturbations": True}, "detection": {"probes": 2, "scales": [2]}}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    study = gx.Study(
        classifier(), images(10), QUANTITIES, store=tmp_path_factory.mktemp("p") / "s", shard_size=4
    )
    return study.run(show=False).dataset().load()


def make(store, **options):
    return gx.Study(classifier(), images(10), QUANTITIES, store=store, shard_size=4, **options)


class TestPlaces:
    def test_memory(self, plain):
        url = f"memory://{uuid.uuid4().hex}/s.zarr"
        assert make(url).run(show=False).dataset().load().identical(plain)
        assert gx.open_study(url).dataset().load().identical(plain)
        assert make(url).run(show=False).dataset().load().identical(plain)

    def test_file_url_path_and_relative_path(self, plain, tmp_path, monkeypatch):
        make(f"file://{tmp_path}/a.zarr").run(show=False)
        make(pathlib.Path(tmp_path / "b.zarr")).run(show=False)
        monkeypatch.chdir(tmp_path)
        study = make("below/c.zarr")
        monkeypatch.chdir("/")
        study.run(show=False)
        for name in ("a.zarr", "b.zarr", "below/c.zarr"):
            assert gx.open_study(tmp_path / name).dataset().load().identical(plain)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "b.zarr", "below"]

    def test_an_empty_folder(self, plain, tmp_path):
        assert make(tmp_path).run(show=False).dataset().load().identical(plain)

    def test_nothing_is_made_before_the_run(self, tmp_path):
        make(tmp_path / "s.zarr")
        assert list(tmp_path.iterdir()) == []

    def test_other_data_are_left_alone(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(ValueError, match="holds something else, which is left as it is"):
            make(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]

    def test_another_zarr_store_is_left_alone(self, tmp_path):
        other = xr.Dataset({"a": ("x", np.arange(3))})
        other.to_zarr(tmp_path / "z", zarr_format=2)
        with pytest.raises(ValueError, match="holds something else"):
            make(tmp_path / "z")
        assert xr.open_zarr(tmp_path / "z").load().identical(other)

    def test_other_data_at_a_url_are_left_alone(self):
        import fsspec

        place = f"memory://{uuid.uuid4().hex}"
        system = fsspec.filesystem("memory")
        system.pipe(f"{place}/log/old.txt", b"years of work")
        with pytest.raises(ValueError, match="holds something else"):
            make(place)
        assert system.cat(f"{place}/log/old.txt") == b"years of work"

    @pytest.mark.parametrize("below", ["", "/s.zarr", "/a/b/s.zarr"])
    def test_a_file_in_the_way(self, tmp_path, below):
        (tmp_path / "file").write_text("years of work")
        with pytest.raises(ValueError, match="store must be"):
            make(f"{tmp_path}/file{below}")
        assert (tmp_path / "file").read_text() == "years of work"

    def test_nothing_to_open(self, tmp_path):
        for place in (tmp_path / "none", tmp_path, "memory://none.zarr"):
            with pytest.raises(ValueError, match="there is nothing at"):
                gx.open_study(place)

    def test_begun_at_a_url_and_killed(self, plain, monkeypatch):
        """A folder is renamed when it is whole; elsewhere what is half made is made again."""
        url = f"memory://{uuid.uuid4().hex}/s.zarr"
        to_zarr = xr.Dataset.to_zarr
        for last in range(3):
            calls = 0

            def stopped(*args, last=last, **options):
                nonlocal calls
                calls += 1
                if calls > last:
                    raise KeyboardInterrupt
                return to_zarr(*args, **options)

            monkeypatch.setattr(xr.Dataset, "to_zarr", stopped)
            with pytest.raises(KeyboardInterrupt):
                make(url).run(show=False)
        monkeypatch.undo()
        assert make(url).run(show=False).dataset().load().identical(plain)


class TestContents:
    def test_opens_with_xarray_alone(self, plain, tmp_path):
        make(tmp_path / "s.zarr").run(show=False)
        data = xr.open_zarr(tmp_path / "s.zarr")
        assert data.load().identical(plain)
        assert data["distance"].dims == ("network", "image")
        assert data["distance"].dtype == np.float64
        assert data["distance"].attrs["units"] == "l2 of pixel values"
        assert data["perturbation"].dims == ("network", "image", "channel", "row", "column")
        assert data["score"].dims == ("network", "image", "scale")
        assert data["scale"].values.tolist() == [0, 2]
        assert data["network"].values.tolist() == ["small"]
        types = {"predicted": "int64", "other": "int64", "reached": "int8", "status": "int8"}
        for name, dtype in types.items():
            assert data[name].dtype == dtype, name
        for name, variable in data.data_vars.items():
            assert variable.attrs.get("long_name") or name == "status", name
        assert set(xr.open_zarr(tmp_path / "s.zarr", group="log")) == {
            "seconds", "forwards", "gradients", "worker", "finished", "versions",
        }  # fmt: skip

    def test_single_precision(self, tmp_path):
        clf = gx.load_classifier("digits-cnn", device="cpu")
        digits = gx.load_images("digits", n=3)
        options = {"boundary": {"keep_perturbations": True}}
        study = gx.Study(clf, digits, options, store=tmp_path / "s.zarr").run(show=False)
        assert study.dataset()["perturbation"].dtype == np.float32
        assert study.dataset()["label"].values.tolist() == digits.labels.tolist()

    def test_unfinished(self, tmp_path):
        study = make(tmp_path / "s.zarr")
        steps = study.run_steps()
        while next(steps).done < 1:
            pass
        steps.close()
        for data in (study.dataset(), gx.open_study(tmp_path / "s.zarr").dataset()):
            assert (data["status"][0] == 0).values.tolist() == [False] * 4 + [True] * 6
            assert data["distance"][0].notnull().values.tolist() == [True] * 4 + [False] * 6
            assert (data["other"][0, 4:] == -1).all()
            assert data["other"].dtype == np.int64
            assert (data["reason"] == "").all()
        assert study.summary().loc["small", "images"] == 4
        assert len(study.to_dataframe()) == 10

    def test_table(self, plain, tmp_path):
        clf = {"a": classifier(), "b": classifier(Smooth(seed=7))}
        study = gx.Study(clf, images(3), QUANTITIES, store=tmp_path / "s").run(show=False)
        table = study.to_dataframe()
        assert len(table) == 6
        table = table.sort_values(["network", "image"])
        assert table["network"].tolist() == ["a"] * 3 + ["b"] * 3
        assert table["image"].tolist() == [0, 1, 2] * 2
        assert {"distance", "score_0", "score_2", "status", "reason"} <= set(table)
        assert table["distance"].tolist() == study.dataset()["distance"].values.ravel().tolist()
        second = study.dataset()["score"].sel(scale=2).values.ravel()
        assert table["score_2"].tolist() == second.tolist()
        assert table["other"].dtype == np.int64

    def test_how_it_was_made(self, tmp_path):
        make(tmp_path / "s.zarr", seed=4).run(show=False)
        described = gx.open_study(tmp_path / "s.zarr").description
        assert described["seed"] == 4
        assert described["networks"]["small"]["fingerprint"] == classifier().fingerprint
        assert described["quantities"]["detection"]["scales"] == [2.0]

    def test_log(self, tmp_path):
        log = make(tmp_path / "s.zarr").run(show=False).log().load()
        assert log["seconds"].notnull().all()
        assert (log["forwards"] > 0).all()
        assert log["first_image"].values.tolist() == [0, 4, 8]
        assert all(f"process {os.getpid()}" in worker for worker in log["worker"].values.ravel())
        assert all("torch" in versions for versions in log["versions"].values.ravel())


class TestNoRoom:
    @pytest.fixture
    def disk(self, monkeypatch):
        """Writing raises while it is full."""

        class Disk:
            full = False

            def fill_after_one_shard(self, study, notes):
                for state in study.run_steps():
                    notes[state.done] = state.note
                    self.full = state.done >= 1

        disk, put = Disk(), Store._put

        def limited(store, name, place, values):
            if disk.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            put(store, name, place, values)

        monkeypatch.setattr(Store, "_put", limited)
        monkeypatch.setattr(writing, "_PATIENCE", 0.0)
        return disk

    def test_the_study_goes_on_and_nothing_is_lost(self, disk, plain, tmp_path):
        study = make(tmp_path / "s.zarr")
        clf = study._plan.networks["small"]
        notes = {}
        with pytest.raises(OSError, match=r"2 shards wait .*No space left.* kept in memory"):
            disk.fill_after_one_shard(study, notes)
        assert notes[1] == ""
        assert notes[3].startswith("2 shards wait to be written ([Errno 28] No space left")
        assert (study.dataset()["status"][0] != 0).values.tolist() == [True] * 4 + [False] * 6
        before = clf.cost
        with pytest.raises(OSError, match="2 shards wait"):
            study.run(show=False)
        disk.full = False
        study.run(show=False)
        assert clf.cost == before
        assert study.dataset().load().identical(plain)

    def test_written_as_soon_as_there_is_room(self, disk, plain, tmp_path):
        study = make(tmp_path / "s.zarr")
        for state in study.run_steps():
            disk.full = state.done == 1
        assert state.note == ""
        assert study.dataset().load().identical(plain)

    def test_in_another_process_they_are_measured_again(self, disk, plain, tmp_path):
        with pytest.raises(OSError, match="shards wait"):
            disk.fill_after_one_shard(make(tmp_path / "s.zarr"), {})
        disk.full = False
        other = make(tmp_path / "s.zarr")
        before = other._plan.networks["small"].cost
        assert other.run(show=False).dataset().load().identical(plain)
        assert other._plan.networks["small"].cost != before

    def test_no_more_than_fits_is_held(self, disk, tmp_path, monkeypatch):
        monkeypatch.setattr(writing, "_HELD_BYTES", 100)
        study = make(tmp_path / "s.zarr")
        notes = {}
        with pytest.raises(OSError, match="1 shards wait"):
            disk.fill_after_one_shard(study, notes)
        assert max(notes) == 1
        disk.full = False
        study.run(show=False)

    def test_none_for_the_store_itself(self, tmp_path, monkeypatch):
        to_zarr, calls = xr.Dataset.to_zarr, 0

        def limited(*args, **options):
            nonlocal calls
            calls += 1
            if calls == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return to_zarr(*args, **options)

        monkeypatch.setattr(xr.Dataset, "to_zarr", limited)
        with pytest.raises(OSError, match=r"store cannot be made .No space left.*s\.zarr"):
            make(tmp_path / "s.zarr").run(show=False)
        assert list(tmp_path.iterdir()) == []

    def test_no_permission(self, tmp_path, monkeypatch):
        make(tmp_path / "s.zarr").run(show=False)
        study = make(tmp_path / "s.zarr")

        def refused(*args, **options):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Store, "read", refused)
        with pytest.raises(PermissionError):
            make(tmp_path / "s.zarr")
        assert study.store == str(tmp_path / "s.zarr")
