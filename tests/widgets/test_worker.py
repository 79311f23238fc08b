"""The worker: the last choice wins, nothing piles up, and it stops when asked."""

import gc
import threading
import time
import weakref

import pytest

from geoexplorer.jobs import check_cancelled, tell_passed
from geoexplorer.widgets.worker import Outcome, Urgency, Worker

PATIENCE = 30


@pytest.fixture
def log():
    return []


@pytest.fixture
def worker(log):
    worker = Worker(
        failed=lambda task, error: log.append(("failed", task.slot, str(error))),
        ended=lambda task, outcome: log.append(("ended", task.slot, outcome)),
        synchronous=False,
    )
    yield worker
    worker.close()


def until_stopped(entered):
    """Work that goes on in chunks until it is told to stop."""

    def work():
        entered.set()
        while True:
            check_cancelled()
            time.sleep(0.001)
        yield

    return work


def test_deliveries_arrive_in_order_on_one_other_thread(worker, log):
    threads = set()

    def work():
        for number in range(3):
            threads.add(threading.current_thread())
            yield lambda number=number: log.append(number)

    worker.submit("map", work)
    assert worker.wait(PATIENCE)
    assert log == [0, 1, 2, ("ended", "map", Outcome.DONE)]
    assert len(threads) == 1
    assert threads != {threading.current_thread()}


def test_passes_are_told_with_the_task_that_made_them():
    heard = []
    worker = Worker(
        failed=print,
        passed=lambda task, images: heard.append((task.slot, images)),
        synchronous=True,
    )

    def work():
        tell_passed(64)
        yield lambda: None

    worker.submit("map", work)
    tell_passed(32)  # outside
    assert heard == [("map", 64)]


def test_a_newer_choice_stops_the_older_one(worker, log):
    entered = threading.Event()
    worker.submit("map", until_stopped(entered))
    assert entered.wait(PATIENCE)
    worker.submit("map", lambda: iter_of(log, "newer"))
    assert worker.wait(PATIENCE)
    assert log == [
        ("ended", "map", Outcome.STOPPED), "newer", ("ended", "map", Outcome.DONE),
    ]  # fmt: skip


def test_quick_choices_are_seen_to_have_an_effect(worker, log):
    """Each takes longer to show something than the next one takes to come."""

    def work():
        for _ in range(8):
            check_cancelled()
            time.sleep(0.005)

        def show():
            worker.shown()
            log.append("shown")

        yield show
        until_cancelled = time.monotonic() + PATIENCE
        while time.monotonic() < until_cancelled:
            check_cancelled()
            time.sleep(0.001)

    for _ in range(60):
        worker.submit("map", work)
        time.sleep(0.01)
    assert log.count("shown") >= 3
    assert worker.cancel("map")
    assert worker.wait(PATIENCE)


def test_what_has_shown_something_is_stopped_at_once_by_a_newer_choice(worker, log):
    entered, go_on = threading.Event(), threading.Event()

    def work():
        yield worker.shown
        entered.set()
        go_on.wait(PATIENCE)
        check_cancelled()
        log.append("went on")

    worker.submit("map", work)
    assert entered.wait(PATIENCE)
    worker.submit("map", lambda: iter_of(log, "newer"))
    go_on.set()
    assert worker.wait(PATIENCE)
    assert log == [
        ("ended", "map", Outcome.STOPPED), "newer", ("ended", "map", Outcome.DONE),
    ]  # fmt: skip


def test_of_many_choices_only_the_last_is_computed(worker, log):
    entered = threading.Event()
    worker.submit("first", until_stopped(entered))
    assert entered.wait(PATIENCE)
    for number in range(50):
        worker.submit("map", lambda number=number: iter_of(log, number))
    worker.cancel("first")
    assert worker.wait(PATIENCE)
    assert [entry for entry in log if isinstance(entry, int)] == [49]


def test_a_stopped_task_delivers_nothing_more(worker, log):
    entered, go_on = threading.Event(), threading.Event()

    def work():
        entered.set()
        go_on.wait(PATIENCE)
        yield lambda: log.append("late")

    worker.submit("map", work)
    assert entered.wait(PATIENCE)
    assert worker.cancel("map")
    go_on.set()
    assert worker.wait(PATIENCE)
    assert log == [("ended", "map", Outcome.STOPPED)]


def test_a_generator_is_closed_when_it_is_dropped(worker, log):
    entered, go_on = threading.Event(), threading.Event()

    def work():
        try:
            entered.set()
            go_on.wait(PATIENCE)
            yield lambda: log.append("late")
        finally:
            log.append("closed")

    worker.submit("map", work)
    assert entered.wait(PATIENCE)
    worker.cancel()
    go_on.set()
    assert worker.wait(PATIENCE)
    assert log[0] == "closed"


def test_urgent_work_is_let_in_between_two_chunks(worker, log):
    entered = threading.Event()
    worker.submit("map", until_stopped(entered))
    assert entered.wait(PATIENCE)
    answered = threading.Event()

    def point():
        check_cancelled()  # its own, not that of the map
        yield answered.set

    worker.submit("pointer", point, urgency=Urgency.POINTER)
    assert answered.wait(PATIENCE)
    assert worker.busy("map")
    worker.cancel("map")
    assert worker.wait(PATIENCE)
    assert log == [("ended", "pointer", Outcome.DONE), ("ended", "map", Outcome.STOPPED)]


def test_idle_work_gives_way_and_starts_again(worker, log):
    entered, free = threading.Event(), threading.Event()

    def idle():
        entered.set()
        while not free.is_set():
            check_cancelled()
            time.sleep(0.001)
        yield lambda: log.append("idle")

    worker.submit("marks", idle, urgency=Urgency.IDLE)
    assert entered.wait(PATIENCE)
    worker.submit("map", lambda: iter_of(log, "map"))
    while "map" not in log:
        time.sleep(0.001)
    free.set()
    assert worker.wait(PATIENCE)
    assert [entry for entry in log if isinstance(entry, str)] == ["map", "idle"]


def test_an_error_is_told_and_the_worker_goes_on(worker, log):
    def broken():
        yield lambda: log.append("before")
        raise ValueError("no such plane")

    worker.submit("map", broken)
    worker.wait(PATIENCE)
    worker.submit("map", lambda: iter_of(log, "after"))
    assert worker.wait(PATIENCE)
    assert log == [
        "before", ("failed", "map", "no such plane"), ("ended", "map", Outcome.FAILED),
        "after", ("ended", "map", Outcome.DONE),
    ]  # fmt: skip


def test_an_error_in_a_delivery_is_told_too(worker, log):
    worker.submit("map", lambda: (call for call in [lambda: 1 / 0]))
    assert worker.wait(PATIENCE)
    assert ("failed", "map", "division by zero") in log


def test_a_delayed_task_waits_for_a_newer_one(worker, log):
    worker.submit("map", lambda: iter_of(log, "older"), delay=PATIENCE)
    worker.submit("map", lambda: iter_of(log, "newer"), delay=0.01)
    assert worker.wait(PATIENCE)
    assert log == ["newer", ("ended", "map", Outcome.DONE)]


def test_a_delay_does_not_hold_up_other_slots(worker, log):
    worker.submit("map", lambda: iter_of(log, "delayed"), delay=PATIENCE)
    done = threading.Event()

    def other():
        yield done.set

    worker.submit("other", other)
    assert done.wait(PATIENCE)


def test_close_ends_the_thread_and_frees_the_work(log):
    class Held:
        pass

    before = threading.active_count()
    worker = Worker(failed=lambda task, error: None, synchronous=False)
    held, entered = Held(), threading.Event()
    known = weakref.ref(held)

    def work(held=held):
        entered.set()
        while True:
            check_cancelled()
            time.sleep(0.001)
        yield

    worker.submit("map", work)
    assert entered.wait(PATIENCE)
    worker.close()
    assert threading.active_count() == before
    del held, work
    gc.collect()
    assert known() is None
    worker.submit("map", lambda: iter_of(log, "too late"))
    assert worker.wait(PATIENCE)
    assert log == []


def test_synchronously_the_last_of_nested_choices_wins(log):
    worker = Worker(failed=lambda task, error: log.append(error), synchronous=True)

    def outer():
        def choose_anew():
            worker.submit("map", lambda: iter_of(log, "inner"))

        yield choose_anew
        yield lambda: log.append("outer")

    worker.submit("map", outer)
    assert log == ["inner"]


def iter_of(log, entry):
    yield lambda: log.append(entry)
