"""A Dask cluster measures the same, also when workers are lost, and is left idle when cancelled."""

import os
import signal
import threading
import time

import pytest
from distributed import Client, LocalCluster

import geoexplorer as gx
from geoexplorer.jobs import Cancelled, cancellable
from geoexplorer.studies.engines import DaskEngine
from tests.studies.networks import Smooth, classifier, images

QUANTITIES = {
    "boundary": {},
    "mean_curvature": {"probes": 3},
    "connectivity": {"prove": False},
    "shared_directions": {"m": 2, "images": 3, "probes": 3},
}


class Slow(Smooth):
    """Sleeps in every pass, in the workers only."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds, self._home = seconds, os.getpid()  # no part of its fingerprint

    def forward(self, x):
        if os.getpid() != self._home:
            time.sleep(self._seconds)
        return super().forward(x)


@pytest.fixture(scope="module")
def client():
    """Two processes; there are none of them yet when the first study begins."""
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(n_workers=0, **options) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    def make(seconds=0.0, count=12, size=2):
        clf = classifier(Slow(seconds))
        store = tmp_path_factory.mktemp("dask") / "s.zarr"
        return gx.Study(clf, images(count), QUANTITIES, store=store, shard_size=size)

    return make


@pytest.fixture(scope="module")
def plain(made):
    return made().run(show=False).dataset().load()


def test_a_cluster_whose_workers_come_late(client, made, plain):
    timer = threading.Timer(0.5, client.cluster.scale, [2])
    timer.start()
    study = made()
    states = list(study.run_steps(client=client))
    fractions = [state.progress.fraction for state in states]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert states[-1].note == ""
    assert study.dataset().load().identical(plain)
    workers = set(study.log()["worker"].values.ravel().tolist())
    assert workers
    assert not any(f"process {os.getpid()}," in worker for worker in workers)


@pytest.mark.parametrize(("killed", "note"), [(1, "a worker was lost"), (2, "2 workers were lost")])
def test_workers_that_are_killed(client, made, plain, killed, note):
    client.wait_for_workers(killed, timeout=120)  # one that comes later may never be seen alive
    study = made(0.005)
    kills = []

    def kill():
        for process in list(client.run(os.getpid).values())[:killed]:
            os.kill(process, signal.SIGKILL)
            kills.append(process)

    notes = [""]
    for state in study.run_steps(client=client):
        notes.append(state.note)
        if state.done == 1 and not kills:
            kill()
    assert any(note in told for told in notes)
    assert "on the way; what" in notes[-1]
    assert study.dataset().load().identical(plain)


def test_told_on_standard_error(client, made, capsys, monkeypatch):
    client.wait_for_workers(1, timeout=120)
    monkeypatch.setattr(DaskEngine, "note", "a worker was lost")
    made(count=4).run(client=client)
    assert capsys.readouterr().err.split("\n")[-2:] == ["a worker was lost", ""]


def test_cancelled_leaves_the_cluster_idle(client, made):
    client.wait_for_workers(1, timeout=120)
    study, event = made(0.3, count=40, size=20), threading.Event()
    threading.Timer(1.0, event.set).start()
    began = time.monotonic()
    with cancellable(event), pytest.raises(Cancelled):
        study.run(client=client, show=False)
    assert time.monotonic() - began < 20  # the whole takes more than a hundred passes of 0.3 s
    for _ in range(100):
        left = client.run(_under_way)
        if not any(left.values()):
            break
        time.sleep(0.1)
    assert not any(left.values())
    assert not any(client.processing().values())


def _under_way(dask_worker):
    return len(dask_worker.state.executing) + len(dask_worker.active_threads)


def test_an_error_of_a_worker_is_raised_here(client, made, monkeypatch):
    study = made()
    monkeypatch.setattr("geoexplorer.studies.study.compute_steps", _broken)
    with pytest.raises(ZeroDivisionError):
        study.run(client=client, show=False)


def _broken(clf, request):
    raise ZeroDivisionError("of the machine")


def test_a_client_that_is_none():
    with pytest.raises(TypeError, match=r"client must be a .* or None, got str"):
        DaskEngine([], "tcp://localhost")
