"""The protocol for long work."""

import threading
import weakref

import pytest
import torch
from torch import nn

from geoexplorer.classifier import Classifier
from geoexplorer.jobs import (
    Cancelled,
    Progress,
    TimeLeft,
    cancellable,
    check_cancelled,
    hearing_passes,
    last,
)
from geoexplorer.results import Recorder, Result


@pytest.fixture
def in_fives():
    """A classifier that takes five images at a time."""
    return Classifier(nn.Flatten().eval(), input_shape=(1, 2, 2), device="cpu", chunk_size=5)


def test_last_gives_the_final_result(capsys):
    steps = [Result(progress=Progress(0.5, "half")), Result()]
    assert last(steps, show=True) is steps[1]
    assert "half" in capsys.readouterr().err


def test_no_result_is_an_error():
    for steps in ([], [Result(progress=Progress(0.5, "half"))]):
        with pytest.raises(ValueError, match="yielded no result that is final"):
            last(steps)


def test_no_result_is_kept_while_the_next_is_made():
    clf = Classifier(nn.Flatten().eval(), input_shape=(1, 2, 2), device="cpu")
    before = []

    def steps():
        for fraction in (0.3, 0.6, 1.0):
            assert not before or before[-1]() is None
            result = Result(progress=Progress(fraction, "some"))
            before.append(weakref.ref(result))
            yield result
            del result

    assert last(Recorder(clf, "example").watch(steps())).progress.complete


def test_a_long_step_says_how_many_passes_it_has_made(in_fives, capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("geoexplorer.jobs.time.monotonic", lambda: now[0])

    def steps():
        yield Result(progress=Progress(0.5, "half"))
        now[0] = 60.0
        in_fives.logits(torch.rand(8, 1, 2, 2))  # a chunk of 5, of which it is time to speak, and 3
        yield Result()

    last(steps(), show=True)
    written = capsys.readouterr().err.splitlines()
    assert written == ["half", "half (+5 network passes)", "final"]


def test_quick_work_counts_no_passes(in_fives, capsys):
    def steps():
        in_fives.logits(torch.rand(8, 1, 2, 2))
        yield Result()

    last(steps(), show=True)
    assert capsys.readouterr().err == "final\n"


def test_only_the_passes_inside_the_block_are_heard(in_fives):
    heard = []
    with hearing_passes(heard.append):
        in_fives.logits(torch.rand(8, 1, 2, 2))
    in_fives.logits(torch.rand(8, 1, 2, 2))
    assert heard == [5, 3]


def test_passes_of_a_plain_function_are_heard_by_whoever_called_it(in_fives):
    def steps():
        in_fives.logits(torch.rand(8, 1, 2, 2))
        yield Result()

    heard = []
    with hearing_passes(heard.append):
        last(steps())
    assert heard == [5, 3]


def test_time_left_follows_from_progress(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("geoexplorer.jobs.time.monotonic", lambda: now[0])
    clock = TimeLeft()
    assert clock.seconds(Progress(0.0, "starting")) is None
    now[0] = 3.0
    assert clock.seconds(Progress(0.25, "refining")) == pytest.approx(9.0)
    assert clock.describe(Progress(0.25, "refining")) == "refining, 9 s left"
    assert clock.seconds(Progress()) == 0.0


def test_outside_a_cancellable_block_nothing_is_cancelled():
    check_cancelled()


def test_network_passes_stop_between_chunks():
    event = threading.Event()

    class Counting(nn.Module):
        seen = 0

        def forward(self, x):
            Counting.seen += 1
            if Counting.seen > 10:
                event.set()
            return x.flatten(1)

    clf = Classifier(Counting().eval(), input_shape=(1, 2, 2), device="cpu", chunk_size=1)
    Counting.seen = 0
    with cancellable(event), pytest.raises(Cancelled):
        clf.logits(torch.rand(100, 1, 2, 2))
    assert Counting.seen == 11
