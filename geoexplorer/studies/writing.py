"""Writing shards to the store, and holding on to those that cannot be written now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from geoexplorer.jobs import check_cancelled
from geoexplorer.results import versions_in_words
from geoexplorer.studies.computing import Outcome
from geoexplorer.studies.layout import DIRECTIONS_STATUS, STATUS, Layout
from geoexplorer.studies.store import Store

__all__ = ["Finished", "Writer"]

_HELD_BYTES = 256 * 2**20  # of results that wait for room in the store
_PATIENCE = 10.0  # seconds at the end of a run
_PAUSE = 1.0


@dataclass(frozen=True)
class Finished:
    """A shard to be written."""

    network: int
    shard: int
    status: str  # which one vouches for it
    columns: Mapping[str, Any]
    of_network: Mapping[str, Any]
    marks: Any  # the status of its images, (n,), or of the network
    outcome: Outcome

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        values = (*self.columns.values(), *self.of_network.values())
        return sum(np.asarray(value).nbytes for value in values)


class Writer:
    """Writes shards in the order in which they come."""

    def __init__(self, store: Store, layout: Layout) -> None:
        self._store, self._layout = store, layout
        self.waiting: list[Finished] = []
        self._problem: OSError | None = None

    @property
    def note(self) -> str:
        """What cannot be written and why, or nothing."""
        if not self.waiting:
            return ""
        return f"{len(self.waiting)} shards wait to be written ({self._problem})"

    def holds(self, status: str, network: int, shard: int) -> bool:
        """Whether a shard is measured and waits to be written."""
        wanted = (status, network, shard)
        return any((one.status, one.network, one.shard) == wanted for one in self.waiting)

    def put(self, finished: Finished) -> None:
        """Write a shard, or keep it until there is room.

        Raises
        ------
        OSError
            If more waits than should be held.
        """
        self.waiting.append(finished)
        self.flush()
        if sum(one.nbytes for one in self.waiting) > _HELD_BYTES:
            self._give_up()

    def flush(self) -> None:
        """Write what waits, as far as it goes."""
        while self.waiting:
            try:
                self._write(self.waiting[0])
            except OSError as error:
                self._problem = error
                return
            self.waiting.pop(0)
            self._problem = None

    def finish(self) -> None:
        """Write what waits, trying for some seconds.

        Raises
        ------
        OSError
            If it still cannot be written.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            self.flush()
            if not self.waiting:
                return
            if time.monotonic() > end:
                self._give_up()
            check_cancelled()
            time.sleep(_PAUSE)

    def _give_up(self) -> None:
        raise OSError(
            f"{self.note} to {self._store.location}; they are kept in memory, and run() of the "
            "same Study writes them once there is room"
        ) from self._problem

    def _write(self, one: Finished) -> None:
        self._store.write(
            one.network, self._layout.shards[one.shard], one.columns, one.of_network, self._layout,
            (one.status, one.marks), self._entry(one.status, one.outcome),
        )  # fmt: skip

    def _entry(self, status: str, outcome: Outcome) -> dict[str, Any] | None:
        if status == DIRECTIONS_STATUS:
            (took,) = outcome.spent.values()
            return {
                "directions_seconds": took.seconds,
                "directions_forwards": float(took.cost.forwards),
                "directions_gradients": float(took.cost.gradients),
            }
        if status != STATUS:  # predictions, which are made again with the rest
            return None
        spent = [outcome.spent.get(q.name) for q in self._layout.quantities]
        return {
            "seconds": [np.nan if s is None else s.seconds for s in spent],
            "forwards": [np.nan if s is None else float(s.cost.forwards) for s in spent],
            "gradients": [np.nan if s is None else float(s.cost.gradients) for s in spent],
            "worker": np.array(outcome.worker, dtype=object),
            "finished": np.array(
                datetime.now(timezone.utc).isoformat(timespec="seconds"), dtype=object
            ),
            "versions": np.array(versions_in_words(), dtype=object),
        }
