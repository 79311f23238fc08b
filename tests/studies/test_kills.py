"""A study that is killed goes on with what is missing, and ends with the same numbers."""

import json
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

import geoexplorer as gx
from geoexplorer.studies.layout import NOT_DONE
from tests.studies import killing

SHARDS = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Never killed."""
    return killing.study(tmp_path_factory.mktemp("whole") / "s.zarr").run(show=False)


def files(store):
    """The chunks' bytes and the metadata, without the log and what was not yet renamed."""
    found = {}
    for path in store.rglob("*"):
        name = path.relative_to(store).as_posix()
        if not path.is_file() or path.suffix == ".partial" or name.startswith("log/"):
            continue
        # The metadata have no order.
        found[name] = (json.loads if path.name.startswith(".z") else bytes)(path.read_bytes())
    return found


def test_killed_ten_times_at_random_moments(whole, tmp_path):
    store, record = tmp_path / "s.zarr", tmp_path / "record"
    chance, kills, more = random.Random(0), 0, 0
    while True:
        known = len(killing.lines(record))
        done = finished(store)
        process = killing.begun(store, record)
        # Three lives end while the store is made, the others after some shards.
        more = known + (1 if kills < 3 else chance.randint(1, 4))
        while process.is_alive() and len(killing.lines(record)) < more:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        killed = process.is_alive()
        process.kill()
        process.join()
        begun = killing.lines(record)[known:]
        assert not done & set(begun), "what was stored was measured again"
        if not killed:
            assert process.exitcode == 0
            break
        kills += 1
    assert kills >= 10
    begun = killing.lines(record)
    assert len(begun) - len(set(begun)) <= kills  # one was in flight each time
    assert {line for line in begun if line.startswith("shard")} == {
        f"shard {shard}" for shard in range(SHARDS)
    }
    opened = gx.open_study(store)
    assert opened.dataset().load().identical(whole.dataset().load())
    assert files(store) == files(Path(whole.store))
    assert (opened.log()["worker"] != "").all()
    assert opened.log()["seconds"].notnull().all()


def finished(store):
    """The stored parts, as the record calls them."""
    if not store.exists():
        return set()
    data = gx.open_study(store)._store.read()
    parts = {"create"}
    for word, status in (("predict", "prediction_status"), ("shard", "status")):
        marks = data[status].values[0].reshape(SHARDS, -1)
        parts |= {f"{word} {shard}" for shard in np.flatnonzero(marks.all(1))}
    if data["directions_status"].values[0] != NOT_DONE:
        parts.add("directions_steps")
    return parts


class TestHalfWritten:
    @pytest.fixture
    def study(self, tmp_path, whole):
        shutil.copytree(whole.store, tmp_path / "s.zarr")
        return killing.study(tmp_path / "s.zarr")

    @pytest.mark.parametrize("shard", [4, SHARDS - 1])
    @pytest.mark.parametrize("damage", ["cut", "emptied", "garbled", "missing"])
    def test_a_shard_without_its_status(self, study, whole, tmp_path, shard, damage):
        store = tmp_path / "s.zarr"
        (store / "status" / f"0.{shard}").unlink()
        for name in ("distance", "other", "perturbation"):
            (chunk,) = (store / name).glob(f"0.{shard}*")
            harm(chunk, damage)
        if damage == "missing":
            assert study.dataset()["distance"][0, 3 * shard : 3 * shard + 3].isnull().all()
        before = study._plan.networks["small"].cost
        study.run(show=False)
        spent = study._plan.networks["small"].cost - before
        assert study.dataset().load().identical(whole.dataset().load())
        one = whole.log()["forwards"].isel(shard=shard).sum()
        assert 0 < spent.forwards <= one * 1.5

    @pytest.mark.parametrize("damage", ["cut", "emptied", "garbled"])
    @pytest.mark.parametrize("status", ["status", "prediction_status", "directions_status"])
    def test_a_status_that_cannot_be_read(self, study, whole, tmp_path, status, damage):
        name = "0" if status == "directions_status" else "0.2"
        harm(tmp_path / "s.zarr" / status / name, damage)
        study.run(show=False)
        assert study.dataset().load().identical(whole.dataset().load())

    def test_nothing_is_done_twice(self, study):
        before = study._plan.networks["small"].cost
        study.run(show=False)
        assert study._plan.networks["small"].cost == before

    def test_measured_again_counts_as_not_done_until_it_is_whole(self, study, monkeypatch):
        store = study._store
        put, count = store._put, 0

        def stopped(name, place, values):
            nonlocal count
            count += 1
            if count == 3:
                raise KeyboardInterrupt
            put(name, place, values)

        monkeypatch.setattr(store, "_put", stopped)
        monkeypatch.setattr("geoexplorer.studies.study.NOT_DONE", 1)  # everything is to do
        with pytest.raises(KeyboardInterrupt):
            study.run(show=False)
        assert (
            study._store.marks("prediction_status", study._plan.layout)[0, :3] == NOT_DONE
        ).all()


def harm(file, damage):
    raw = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "garbled":
        file.write_bytes(bytes(255 - byte for byte in raw))
    else:
        file.write_bytes(raw[: len(raw) // 2 if damage == "cut" else 0])
