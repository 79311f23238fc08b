"""One background thread that does the newest work and drops the rest.

Work is a generator of deliveries: it computes, yields a function that shows what it has, and
goes on. The thread calls that function unless the work has been stopped meanwhile. A slot
holds one piece of work; submitting to it again replaces what waits there and stops what runs,
so that the last choice always wins and nothing piles up. What has only just begun may first show
something, so that a row of quick choices is seen to have an effect.

Work stops where the geometry asks :func:`geoexplorer.jobs.check_cancelled`: before every chunk
of network passes. The same place lets urgent work in: what is under the pointer is answered
between two chunks of a long map, on the same thread.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from functools import partial

from geoexplorer.jobs import Cancelled, cancellable, hearing_passes

__all__ = ["Delivery", "Outcome", "Task", "Urgency", "Worker"]

Delivery = Callable[[], None]
Work = Callable[[], Generator[Delivery, None, None]]

# A thread that has nothing to do for so long ends; the next work starts another.
_IDLE_SECONDS = 20.0
# Work that has shown nothing yet goes on for so long when newer work replaces it. Without this,
# choices that come faster than a first map takes would show none until they pause.
_PATIENCE_SECONDS = 0.18


class Urgency(IntEnum):
    """What goes first."""

    POINTER = 0  # answered between two chunks of other work
    CHOICE = 1
    IDLE = 2  # gives way to a choice and starts again after it


class Outcome(Enum):
    """How a task ended."""

    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class _Stop(threading.Event):
    """An event that lets urgent work in whenever somebody asks whether it is set."""

    def __init__(self, let_in: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._let_in = let_in
        self._patience_ends = -math.inf  # on the monotonic clock
        self._replaced = False

    def be_patient(self) -> None:
        """The work begins: it may show something before newer work stops it."""
        self._patience_ends = time.monotonic() + _PATIENCE_SECONDS

    def shown(self) -> None:
        """Something has been shown: there is nothing to wait for any more."""
        self._patience_ends = -math.inf

    def replace(self) -> None:
        """There is newer work: be set as soon as patience ends."""
        self._replaced = True

    def is_set(self) -> bool:
        if self._replaced and time.monotonic() >= self._patience_ends:
            self.set()
        if not super().is_set():
            self._let_in()
        return super().is_set()


@dataclass(eq=False)
class Task:
    """One piece of work in a slot."""

    slot: str
    work: Work
    urgency: Urgency
    due: float  # on the monotonic clock
    order: int
    stop: _Stop = field(repr=False)
    again: bool = False  # interrupted by something more urgent


class Worker:
    """Runs tasks one after the other, the most urgent first.

    Parameters
    ----------
    failed
        Called on the worker thread with what a task raised.
    started, ended
        Called on the worker thread around every task, ``ended`` with its outcome.
    passed
        Called on the worker thread with the number of images that a task has sent through a
        network, after every chunk.
    around
        Makes a context that every task runs in.
    synchronous
        Run every task inside :meth:`submit`, in the calling thread: for tests, and where there
        are no threads. By default only where there are none.

    Examples
    --------
    >>> shown = []
    >>> def work():
    ...     yield lambda: shown.append("coarse")
    ...     yield lambda: shown.append("fine")
    >>> worker = Worker(failed=print, synchronous=True)
    >>> worker.submit("map", work)
    >>> shown
    ['coarse', 'fine']
    """

    def __init__(
        self,
        *,
        failed: Callable[[Task, Exception], None],
        started: Callable[[Task], None] = lambda task: None,
        ended: Callable[[Task, Outcome], None] = lambda task, outcome: None,
        passed: Callable[[Task, int], None] = lambda task, images: None,
        around: Callable[[], AbstractContextManager[None]] = nullcontext,
        synchronous: bool | None = None,
    ) -> None:
        self._failed = failed
        self._started = started
        self._ended = ended
        self._passed = passed
        self._around = around
        self.synchronous = sys.platform == "emscripten" if synchronous is None else synchronous
        self._changed = threading.Condition()
        self._waiting: dict[str, Task] = {}
        self._running: list[Task] = []  # the second one was let in between chunks of the first
        self._thread: threading.Thread | None = None
        self._orders = 0
        self._closed = False

    def submit(
        self,
        slot: str,
        work: Work,
        *,
        urgency: Urgency = Urgency.CHOICE,
        delay: float = 0.0,
    ) -> None:
        """Do ``work`` soon, in place of whatever is in the slot.

        Parameters
        ----------
        slot
            What kind of work it is; there is at most one of a kind.
        work
            A generator function; it and what it yields are called on the worker thread.
        urgency
            The lower goes first.
        delay
            Seconds to wait before it starts: a further submission within them replaces it.
        """
        with self._changed:
            if self._closed:
                return
            self._orders += 1
            due = time.monotonic() + (0.0 if self.synchronous else delay)
            stop = _Stop(self._let_in) if urgency > Urgency.POINTER else _Stop()
            task = Task(slot, work, urgency, due, self._orders, stop)
            self._waiting[slot] = task
            for running in self._running:
                if running.slot == slot:
                    running.stop.replace()
                elif running.urgency > urgency > Urgency.POINTER:
                    running.again = True
                    running.stop.set()
            self._changed.notify_all()
            if not self.synchronous and self._thread is None:
                self._thread = threading.Thread(
                    target=self._run_all, name="geoexplorer worker", daemon=True
                )
                self._thread.start()
        if self.synchronous and not self._running:
            self._drain()

    def shown(self) -> None:
        """Say that the running work has shown something: newer work now stops it at once.

        Work that never says so is left :data:`_PATIENCE_SECONDS` from its start when newer work
        replaces it.
        """
        with self._changed:
            for task in self._running:
                task.stop.shown()

    def cancel(self, *slots: str) -> bool:
        """Stop what runs or waits in these slots, or in all; whether there was anything."""
        with self._changed:
            found = False
            for slot in slots or (*self._waiting, *(task.slot for task in self._running)):
                found |= self._waiting.pop(slot, None) is not None
                for task in self._running:
                    if task.slot == slot:
                        task.again = False
                        task.stop.set()
                        found = True
            return found

    def busy(self, *slots: str) -> bool:
        """Whether something runs or waits in these slots, or in any."""
        with self._changed:
            active = {*self._waiting, *(task.slot for task in self._running)}
            return bool(active.intersection(slots) if slots else active)

    def replaces(self, slot: str) -> bool:
        """Whether something waits in the slot, to run after what runs there."""
        with self._changed:
            return slot in self._waiting

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs or waits; False if that takes longer than ``timeout``."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._running, timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Stop everything and end the thread; what is submitted later is not done."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            for task in self._running:
                task.again = False
                task.stop.set()
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run_all(self) -> None:
        try:
            while (task := self._take()) is not None:
                self._run(task)
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _take(self) -> Task | None:
        """Wait for a task; None when there will be none."""
        with self._changed:
            while not self._closed:
                if not self._waiting:
                    if not self._changed.wait(_IDLE_SECONDS) and not self._waiting:
                        self._thread = None  # still under the lock: no task can slip in between
                        return None
                elif (task := self._next()) is not None:
                    self._running.append(task)
                    return task
                else:
                    soonest = min(waiting.due for waiting in self._waiting.values())
                    self._changed.wait(max(0.0, soonest - time.monotonic()))
        return None

    def _drain(self) -> None:
        while (task := self._next()) is not None:
            self._running.append(task)
            self._run(task)

    def _next(self, least: Urgency = Urgency.IDLE) -> Task | None:
        """Take the task that is due and most urgent out of those that wait."""
        now = time.monotonic()
        due = [t for t in self._waiting.values() if t.due <= now and t.urgency <= least]
        if not due:
            return None
        task = min(due, key=lambda waiting: (waiting.urgency, waiting.order))
        return self._waiting.pop(task.slot)

    def _let_in(self) -> None:
        """Do what is urgent now, in the middle of something else."""
        with self._changed:
            if self._closed or len(self._running) != 1:
                return
            task = self._next(Urgency.POINTER)
            if task is None:
                return
            self._running.append(task)
        self._run(task)

    def _run(self, task: Task) -> None:
        outcome = Outcome.FAILED
        if task.urgency > Urgency.POINTER and not self.synchronous:
            task.stop.be_patient()
        try:
            self._started(task)
            outcome = self._perform(task)
        except Exception as error:
            if not self._closed:
                self._failed(task, error)
        finally:
            try:
                if not self._closed:
                    self._ended(task, outcome)
            finally:
                self._leave(task, outcome)

    def _leave(self, task: Task, outcome: Outcome) -> None:
        with self._changed:
            self._running.remove(task)
            if task.again and outcome is Outcome.STOPPED and task.slot not in self._waiting:
                stop = _Stop(self._let_in)
                self._waiting[task.slot] = replace(task, stop=stop, again=False)
            self._changed.notify_all()

    def _perform(self, task: Task) -> Outcome:
        heard = hearing_passes(partial(self._passed, task))
        with self._around(), cancellable(task.stop), heard:
            deliveries = task.work()
            try:
                for deliver in deliveries:
                    if task.stop.is_set():
                        return Outcome.STOPPED
                    deliver()
            except Cancelled:
                return Outcome.STOPPED
            finally:
                deliveries.close()
        return Outcome.DONE
