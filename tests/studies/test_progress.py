"""How far a study says that it is, and stopping it."""

import threading
import time

import pytest
import torch

import geoexplorer as gx
from geoexplorer.jobs import Cancelled, cancellable
from geoexplorer.studies.engines import Job, Threads
from tests.steps import assert_cancellable
from tests.studies.networks import Smooth, classifier, images

QUANTITIES = {
    "boundary": {},
    "curvature": {"k": 1},
    "connectivity": {"prove": False},
    "shared_directions": {"m": 2, "images": 3, "probes": 3},
    "detection": {"probes": 3, "scales": [2.0]},
}


@pytest.fixture
def study(tmp_path):
    return gx.Study(classifier(), images(8), QUANTITIES, store=tmp_path / "s.zarr", shard_size=3)


def test_rises_to_one(study):
    states = list(study.run_steps())
    fractions = [state.progress.fraction for state in states]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(fraction < 1 for fraction in fractions[:-1])
    assert len(set(fractions)) > 10
    done = [state.done for state in states]
    assert done == sorted(done)
    assert (done[0], done[-1], states[-1].shards, states[-1].failed) == (0, 3, 3, 0)
    assert states[-1].progress.message == "3 of 3 shards"


def test_of_a_complete_study(study):
    study.run(show=False)
    (state,) = study.run_steps()
    assert state.progress.complete
    assert (state.done, state.shards) == (3, 3)


def test_taken_up_again(study):
    steps = study.run_steps()
    while next(steps).done < 1:
        pass
    steps.close()
    states = list(study.run_steps())
    assert states[0].done == 1
    assert states[0].progress.fraction < 0.5


@pytest.mark.parametrize("after", [2, 40, 150])
def test_cancelled_at_the_next_passes(study, after):
    assert_cancellable(study._plan.networks["small"], lambda: study.run(show=False), after=after)
    study.run(show=False)
    assert (study.dataset()["status"] == 1).all()


def test_cancelled_promptly_with_threads(tmp_path, monkeypatch):
    import torch

    from geoexplorer.studies.engines import Threads

    class Slow(Smooth):
        def forward(self, x):
            time.sleep(0.01)
            return super().forward(x)

    devices = [torch.device("cpu")] * 2
    monkeypatch.setattr(
        "geoexplorer.studies.study.engine_for", lambda networks, _: Threads(networks, devices)
    )
    study = gx.Study(classifier(Slow()), images(8), store=tmp_path / "s", shard_size=4)
    event = threading.Event()
    threading.Timer(0.2, event.set).start()
    before = threading.active_count()
    with cancellable(event), pytest.raises(Cancelled):
        study.run(show=False)
    assert threading.active_count() <= before


def test_shown_in_a_file(study, capsys):
    study.run()
    captured = capsys.readouterr()
    lines = captured.err.split("\n")
    assert captured.out == ""
    assert "\r" not in captured.err
    assert lines[0].startswith("0 of 3 shards")
    assert lines[-2:] == ["3 of 3 shards", ""]
    assert len(lines) <= 5


def test_not_shown(study, capsys):
    study.run(show=False)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""


def test_a_device_that_cannot_be_used_stops_a_run_in_threads():
    clf = classifier()
    engine = Threads([clf], [torch.device("cuda", 7), torch.device("cuda", 8)])
    job = Job(0, 0, lambda *_: iter(()), lambda: None)
    with pytest.raises(ValueError, match="cuda"):
        list(engine.run([job]))
