"""Who measures the shards: this process, a thread for each of its GPUs, or a Dask cluster.

An engine takes jobs and gives each back with its outcome, in any order; it knows nothing of
stores. It asks for the next job only when somebody is free, so that little is held at once.
"""

from __future__ import annotations

import contextvars
import ctypes
import math
import queue
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch

from geoexplorer import jobs
from geoexplorer.classifier import Classifier
from geoexplorer.jobs import check_cancelled
from geoexplorer.studies.computing import Outcome, Request

__all__ = ["DaskEngine", "Engine", "Job", "ThisProcess", "Threads", "engine_for"]

# measure(clf, request) yields outcomes, the last of which is whole
Measure = Callable[[Classifier, Request], Iterator[Outcome]]

_TRIES = 4  # of one job whose workers are lost
# Of glibc's mallopt, and the highest that it reaches by itself.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 32 * 2**20
_PATIENCE = 10.0  # seconds without any worker until that is told
_WAIT = 0.2  # seconds between two looks at what happens elsewhere
_AHEAD = 2  # jobs of a worker at once: one that is measured, one that is on its way


# What futures of such jobs raise; a job that is cancelled on its worker was given to another one.
_LOST = ("KilledWorker", "FutureCancelledError", "CommClosedError", "Cancelled")


@dataclass(frozen=True)
class Job:
    """One shard of one network."""

    network: int
    shard: int
    measure: Measure
    make: Callable[[], Request]  # when it is about to be measured


class Engine(Protocol):
    """Measures jobs."""

    @property
    def note(self) -> str:
        """What a person should know of how it went, or nothing."""

    def run(self, tasks: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Jobs with their outcomes, those of one that is under way in between."""


def engine_for(networks: Sequence[Classifier], client: Any = None) -> Engine:
    """The engine for a Dask client, or for what there is on this machine."""
    if client is not None:
        return DaskEngine(networks, client)
    devices = dict.fromkeys(device for clf in networks for device in clf.devices)
    gpus = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    if len(gpus) > 1 and all(device.type == "cuda" for device in devices):
        return Threads(networks, gpus)
    return ThisProcess(networks)


class ThisProcess:
    """One shard after the other."""

    note = ""

    def __init__(self, networks: Sequence[Classifier]) -> None:
        self._networks = networks

    def run(self, tasks: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Jobs in order."""
        for job in tasks:
            for outcome in job.measure(self._networks[job.network], job.make()):
                yield job, outcome


class Threads:
    """One thread a device, each with networks of its own."""

    note = ""

    def __init__(self, networks: Sequence[Classifier], devices: Sequence[torch.device]) -> None:
        self._networks, self._devices = networks, devices

    def run(self, tasks: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Jobs in the order in which they are done."""
        waiting = iter(tasks)
        given: queue.Queue[tuple[Job, Request] | None] = queue.Queue()
        done: queue.Queue[tuple[Job, Outcome] | BaseException] = queue.Queue()
        stop = threading.Event()
        open_jobs = 0

        def work(device: torch.device) -> None:
            with jobs.cancellable(stop):
                try:
                    networks = [clf.replica(device) for clf in self._networks]
                    while (task := given.get()) is not None:
                        job, request = task
                        for outcome in job.measure(networks[job.network], request):
                            done.put((job, outcome))
                except BaseException as error:  # it is raised where it is waited for
                    done.put(error)

        threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(work, device))
            for device in self._devices
        ]
        for thread in threads:
            thread.start()
        try:
            while True:
                while open_jobs < _AHEAD * len(threads):
                    job = next(waiting, None)
                    if job is None:
                        break
                    given.put((job, job.make()))
                    open_jobs += 1
                if open_jobs == 0:
                    return
                arrived = _next(done)
                if isinstance(arrived, BaseException):
                    raise arrived
                open_jobs -= arrived[1].progress.complete
                yield arrived
        finally:
            stop.set()
            for _ in threads:
                given.put(None)
            for thread in threads:
                thread.join()


def _next(done: queue.Queue[Any]) -> Any:
    while True:
        check_cancelled()
        try:
            return done.get(timeout=_WAIT)
        except queue.Empty:
            continue


class DaskEngine:
    """The workers of a Dask cluster.

    Parameters
    ----------
    networks
        The classifiers; each is sent to every worker once.
    client
        A ``distributed.Client``.

    Raises
    ------
    TypeError, ValueError
        If the client is none, or an asynchronous one.
    """

    def __init__(self, networks: Sequence[Classifier], client: Any) -> None:
        if not all(hasattr(client, name) for name in ("submit", "scatter", "scheduler_info")):
            raise TypeError(
                f"client must be a dask.distributed.Client or None, got {type(client).__name__}"
            )
        if client.asynchronous:
            raise ValueError("client must be made with asynchronous=False, got an asynchronous one")
        self._networks, self._client = networks, client
        self._sent: dict[int, Any] = {}
        self._seen: set[str] = set()
        self._lost: set[str] = set()

    @property
    def note(self) -> str:
        """How many workers were lost, whose shards others measured."""
        count = len(self._lost)
        if not count:
            return ""
        which = "a worker was lost" if count == 1 else f"{count} workers were lost"
        return f"{which} on the way; what it was measuring was measured again"

    def run(self, tasks: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Jobs in the order in which they are done."""
        waiting = iter(tasks)
        running: dict[Any, tuple[Job, Request, int]] = {}
        try:
            while True:
                self._count_workers()
                while len(running) < _AHEAD * max(1, len(self._workers())):
                    job = next(waiting, None)
                    if job is None:
                        break
                    request = job.make()
                    running[self._submitted(job, request)] = (job, request, 1)
                if not running:
                    return
                check_cancelled()
                for future in _finished(list(running)):
                    job, request, tries = running.pop(future)
                    try:
                        outcome = future.result()
                    except BaseException as error:
                        if type(error).__name__ not in _LOST or tries == _TRIES:
                            raise
                        self._count_workers()
                        self._sent.pop(job.network, None)  # it may have gone with the worker
                        running[self._submitted(job, request)] = (job, request, tries + 1)
                    else:
                        yield job, outcome
        finally:
            if running:
                self._client.cancel(list(running))
            self._sent.clear()

    def _submitted(self, job: Job, request: Request) -> Any:
        warn_at = time.monotonic() + _PATIENCE
        while job.network not in self._sent:
            check_cancelled()
            if not self._workers():  # they are on their way, or restarted
                if time.monotonic() > warn_at:
                    warnings.warn("the Dask cluster has no workers yet; waiting", stacklevel=2)
                    warn_at = math.inf
                time.sleep(_WAIT)
                continue
            with suppress(OSError, TimeoutError):  # the worker that it was sent to is lost
                self._sent[job.network] = self._client.scatter(
                    self._networks[job.network], broadcast=True, hash=False
                )
        return self._client.submit(_last, job.measure, self._sent[job.network], request, pure=False)

    def _workers(self) -> Mapping[str, Any]:
        workers: Mapping[str, Any] | None = self._client.scheduler_info(n_workers=-1).get("workers")
        if workers is None:
            raise ConnectionError("the scheduler of the Dask cluster does not answer any more")
        return workers

    def _count_workers(self) -> None:
        here = set(self._workers())
        self._lost |= self._seen - here
        self._seen |= here


def _finished(futures: Sequence[Any]) -> Iterable[Any]:
    """Those that are done, lost ones among them, after a while at most."""
    from distributed import wait

    # It raises an error where all are lost, of a kind that is not in every version.
    with suppress(Exception):
        wait(futures, timeout=_WAIT, return_when="FIRST_COMPLETED")  # type: ignore[no-untyped-call]
    return [future for future in futures if future.done()]


def _last(measure: Measure, clf: Classifier, request: Request) -> Outcome:
    _keep_freed_memory()
    # Tasks that run side by side in a worker must not put each other's number of threads back.
    torch.set_num_threads(request.threads)
    with jobs.cancellable(_NotWanted()):
        return jobs.last(measure(clf, request))


@cache
def _keep_freed_memory() -> None:
    """Let this worker use the memory that it has freed again.

    Dask has its workers hand it back to the system at once, and by that glibc also stops to learn
    which sizes come again: every tensor of a pass is then mapped anew, which takes 40 % more time.
    """
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # another C library
            allocator = ctypes.CDLL(None)
            allocator.mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)
            allocator.mallopt(_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


class _NotWanted(threading.Event):
    """Set once the scheduler has told the worker to drop the task that runs in this thread.

    Dask itself lets a task that has begun run to its end.
    """

    def __init__(self) -> None:
        from distributed import get_worker

        super().__init__()
        self._worker = get_worker()
        self._key = self._worker.get_current_task()

    def is_set(self) -> bool:
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state == "cancelled"
