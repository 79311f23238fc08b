"""A study: quantities of many images under several networks, stored as they are measured."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_flag, require_seed, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.image_source import ImageSource
from geoexplorer.jobs import Progress
from geoexplorer.studies.computing import (
    Outcome,
    Partners,
    Request,
    compute_steps,
    directions_steps,
)  # fmt: skip
from geoexplorer.studies.engines import Job, engine_for
from geoexplorer.studies.layout import (
    CLEAN,
    DIRECTIONS_STATUS,
    FAILED,
    NOT_DONE,
    PARTNER_CLASS,
    PARTNER_NORM,
    PREDICTION_STATUS,
    STATUS,
)  # fmt: skip
from geoexplorer.studies.partners import draw_partners
from geoexplorer.studies.plan import Plan, checked_images, checked_networks
from geoexplorer.studies.quantities import Boundary, Prediction, chosen_quantities
from geoexplorer.studies.quantities.connectivity import Connectivity
from geoexplorer.studies.quantities.shared_directions import SharedDirections
from geoexplorer.studies.store import Store, differences
from geoexplorer.studies.stored import StoredStudy, not_measured
from geoexplorer.studies.writing import Finished, Writer

__all__ = ["Study", "StudyProgress"]

_SHARD_SIZE = 50
_THREADS = 1

# How much of a shard's whole work its predictions are, for the time that is left.
_PREDICTION = 0.05


@dataclass(frozen=True)
class StudyProgress:
    """How far a study has come."""

    progress: Progress  # of this run
    done: int  # shards, of all networks
    shards: int
    failed: int  # images of this run that could not be measured as a whole
    note: str = ""  # what a person should know: lost workers, shards that wait for room


class Study(StoredStudy):
    """Quantities of many images under several networks, stored as they are measured.

    Work is cut into shards of images, each of which is stored before the next begins (of several
    workers, as soon as it is measured). A run that was stopped or killed goes on with the shards
    that are missing. The numbers depend neither on the number of workers nor on their order, and on
    the shard size only to rounding.

    Parameters
    ----------
    networks
        A :class:`~geoexplorer.Classifier`, several, or a mapping from names to them.
    images
        :class:`~geoexplorer.ImageSet`, :class:`~geoexplorer.ImageFiles` (read as they are needed)
        or an array ``(n, C, H, W)``.
    quantities
        Names, or a mapping from names to their options (True for the defaults): ``"boundary"``,
        ``"curvature"``, ``"mean_curvature"``, ``"connectivity"``, ``"shared_directions"``,
        ``"detection"``. :data:`geoexplorer.studies.QUANTITIES` has their options.
    store
        Where the results are kept: a folder, or a URL that fsspec knows.
    seed
        For all random numbers.
    shard_size
        Images measured together and stored together; 50, or that of the store.
    threads
        Of a worker on a CPU; 1, or that of the store. More workers are faster than more threads,
        and sums by another number of threads are rounded otherwise.
    storage_options
        For fsspec.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or the store holds a study that was made otherwise;
        the message names the difference.

    Notes
    -----
    Source: the quantities are those of Fawzi et al., "Empirical Study of the Topology and Geometry
    of Deep Networks", CVPR 2018.

    Examples
    --------
    >>> import tempfile, geoexplorer as gx
    >>> clf = gx.load_classifier("digits-cnn", device="cpu")
    >>> study = Study(clf, gx.load_images("digits", n=6), {"curvature": {"k": 3}},
    ...               store=tempfile.mkdtemp() + "/study.zarr", shard_size=3)
    >>> study.run(show=False).dataset()["curvature"].sizes
    Frozen({'network': 1, 'image': 6, 'index': 6})
    """

    def __init__(
        self,
        networks: Classifier | Sequence[Classifier] | Mapping[str, Classifier],
        images: ImageSource | Tensor | NDArray[Any],
        quantities: str | Sequence[str] | Mapping[str, Any] = ("boundary",),
        *,
        store: str | os.PathLike[str],
        seed: int = 0,
        shard_size: int | None = None,
        threads: int | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        by_name = checked_networks(networks)
        chosen = chosen_quantities(quantities)
        seed = require_seed(seed)
        if shard_size is not None:
            shard_size = require_whole("shard_size", shard_size, 1)
        if threads is not None:
            threads = require_whole("threads", threads, 1)
        super().__init__(Store(store, storage_options))
        known = self._store.description()
        kept = known or {"shard_size": _SHARD_SIZE, "threads": _THREADS}
        self._plan = Plan(
            networks=by_name,
            images=checked_images(images, by_name),
            quantities=chosen,
            seed=seed,
            shard_size=shard_size or kept["shard_size"],
            threads=threads or kept["threads"],
        )
        if known is not None:
            self._require_same(known)
        self._writer = Writer(self._store, self._plan.layout)

    @property
    def description(self) -> dict[str, Any]:
        """How the study is made: networks, images, quantities with their options, seed, shards."""
        return self._plan.description

    def run(self, *, client: Any = None, retry_failed: bool = False, show: bool = True) -> Study:
        """Measure whatever is not stored yet.

        Parameters
        ----------
        client
            A ``dask.distributed.Client``, whose workers measure. By default this process does, with
            a thread for each of its GPUs if there are several.
        retry_failed
            Whether shards that hold an image that failed are measured again.
        show
            Whether a line on standard error tells how far it is and how long it will take.

        Returns
        -------
        Study
            Itself, complete.

        Raises
        ------
        OSError
            If the store cannot be written. What waits to be written is kept, and a further run
            writes it first.
        """
        try:
            state = jobs.last(self.run_steps(client=client, retry_failed=retry_failed), show=show)
        except KeyboardInterrupt:
            if show:
                print("\nstopped; another run goes on with what is missing", file=sys.stderr)
            raise
        if show:
            for line in self._told(state):
                print(line, file=sys.stderr)
        return self

    def run_steps(
        self, *, client: Any = None, retry_failed: bool = False
    ) -> Iterator[StudyProgress]:
        """Like :meth:`run`, telling how far it has come."""
        require_flag("retry_failed", retry_failed)
        engine = engine_for(list(self._plan.networks.values()), client)
        return _Run(self._plan, self._store, self._writer, engine, retry_failed).steps()

    def _told(self, state: StudyProgress) -> Iterator[str]:
        if state.note:
            yield state.note
        if state.failed:
            yield f"{not_measured(state.failed)}; failures() has the reasons"

    def _require_same(self, known: Mapping[str, Any]) -> None:
        different = differences(known, self._plan.description)
        if different:
            raise ValueError(
                f"store {self.store!r} holds a study that was made otherwise: "
                f"{'; '.join(different[:5])}. Take another store, or the same options"
            )


class _Run:
    """One run: what is missing is measured and stored, stage by stage."""

    def __init__(
        self, plan: Plan, store: Store, writer: Writer, engine: Any, retry_failed: bool
    ) -> None:
        self.plan, self.store, self.writer, self.engine = plan, store, writer, engine
        self.retry_failed = retry_failed
        self.failed: set[tuple[int, int]] = set()
        self.predictions: dict[int, tuple[NDArray[np.int64], float]] = {}
        self.directions: dict[int, Tensor] = {}

    def steps(self) -> Iterator[StudyProgress]:
        plan, layout = self.plan, self.plan.layout
        if self.store.description() is None:
            self.store.create(layout, plan.image_coordinates, plan.description, plan.attributes)
        self.writer.flush()
        stages = {
            status: [job for job in tasks if not self.writer.holds(status, job.network, job.shard)]
            for status, tasks in self._stages().items()
        }
        weights = {PREDICTION_STATUS: _PREDICTION}
        total = sum(weights.get(s, 1.0) * len(tasks) for s, tasks in stages.items()) or 1.0
        shards = len(plan.networks) * len(layout.shards)
        done = shards - len(stages[STATUS])

        def state(fraction: float) -> StudyProgress:
            progress = Progress(fraction, f"{done} of {shards} shards")
            return StudyProgress(progress, done, shards, len(self.failed), self._note())

        past = 0.0
        for status, tasks in stages.items():
            weight = weights.get(status, 1.0)
            finished, under_way = 0, dict[tuple[int, int], float]()
            for job, outcome in self.engine.run(iter(tasks)):
                if outcome.progress.complete:
                    self._keep(status, job, outcome)
                    done += status == STATUS
                    finished += 1
                    under_way.pop((job.network, job.shard), None)
                else:
                    under_way[job.network, job.shard] = outcome.progress.fraction
                share = finished + sum(under_way.values())
                yield state(min((past + weight * share) / total, 0.999))
            past += weight * len(tasks)
            # The next stage reads what this one has found.
            self.writer.finish()
        yield state(1.0)

    def _note(self) -> str:
        return "; ".join(note for note in (self.engine.note, self.writer.note) if note)

    def _stages(self) -> dict[str, list[Job]]:
        """Jobs that are not done, by the status that vouches for them, in order."""
        layout, read = self.plan.layout, partial(self.store.marks, layout=self.plan.layout)
        networks = range(len(self.plan.networks))
        found: dict[str, list[Job]] = {}
        if layout.has_partners:
            found[PREDICTION_STATUS] = self._shards_left(PREDICTION_STATUS, read(PREDICTION_STATUS))
        if layout.has_directions:
            marks = read(DIRECTIONS_STATUS)
            measure = partial(
                directions_steps,
                boundary=self.plan.quantity(Boundary),
                shared=self.plan.quantity(SharedDirections),
            )
            found[DIRECTIONS_STATUS] = [
                Job(network, 0, measure, self._request_of_directions)
                for network in networks
                if self._is_left(marks[network : network + 1])
            ]
        found[STATUS] = self._shards_left(STATUS, read(STATUS))
        return found

    def _shards_left(self, status: str, marks: NDArray[np.int8]) -> list[Job]:
        make = self._request_of_predictions if status == PREDICTION_STATUS else self._request
        return [
            Job(network, shard, compute_steps, partial(make, network, shard))
            for network in range(len(self.plan.networks))
            for shard, images in enumerate(self.plan.layout.shards)
            if self._is_left(marks[network, images])
        ]

    def _is_left(self, marks: NDArray[np.int8]) -> bool:
        return bool((marks == NOT_DONE).any() or (self.retry_failed and (marks == FAILED).any()))

    # What the workers are given.

    def _request_of_predictions(self, network: int, shard: int) -> Request:
        return self._common((Prediction(),), self._numbers(shard))

    def _request_of_directions(self) -> Request:
        return self._common((), torch.arange(self.plan.quantity(SharedDirections).images))

    def _request(self, network: int, shard: int) -> Request:
        numbers = self._numbers(shard)
        return self._common(
            self.plan.quantities, numbers,
            partners=self._partners(network, numbers), directions=self._directions(network),
        )  # fmt: skip

    def _numbers(self, shard: int) -> Tensor:
        images = self.plan.layout.shards[shard]
        return torch.arange(images.start, images.stop)

    def _common(self, quantities: Any, numbers: Tensor, **more: Any) -> Request:
        plan = self.plan
        return Request(
            layout=plan.layout, quantities=quantities, numbers=numbers,
            source=plan.images[numbers], seed=plan.seed, threads=plan.threads, **more,
        )  # fmt: skip

    def _partners(self, network: int, numbers: Tensor) -> dict[str, Partners]:
        connectivity = self.plan.quantity(Connectivity)
        if connectivity is None:
            return {}
        predicted, radius = self._predictions(network)
        found = {}
        for scenario in connectivity.scenarios:
            chosen = torch.from_numpy(
                draw_partners(predicted, numbers.tolist(), scenario, self.plan.seed)
            )
            there = chosen[chosen >= 0]
            found[scenario] = Partners(
                numbers=chosen,
                source=self.plan.images[there] if len(there) else None,
                radius=radius if scenario == "random" else None,
            )
        return found

    def _predictions(self, network: int) -> tuple[NDArray[np.int64], float]:
        """Predicted class of every image, and the images' mean norm."""
        if network not in self.predictions:
            stored = self.store.read().isel(network=network)
            predicted = stored[PARTNER_CLASS].values
            norms = stored[PARTNER_NORM].values[predicted >= 0]
            radius = float(norms.mean()) if len(norms) else np.nan
            self.predictions[network] = predicted, radius
        return self.predictions[network]

    def _directions(self, network: int) -> Tensor | None:
        if not self.plan.layout.has_directions:
            return None
        if network not in self.directions:
            stored = self.store.read()["shared_direction"].isel(network=network)
            self.directions[network] = torch.from_numpy(stored.values)
        return self.directions[network]

    # What they give back.

    def _keep(self, status: str, job: Job, outcome: Outcome) -> None:
        images = self.plan.layout.shards[job.shard]
        if status == DIRECTIONS_STATUS:
            columns: dict[str, Any] = {}
            marks: Any = FAILED if str(outcome.of_network["directions_reason"]) else CLEAN
        else:
            count = images.stop - images.start
            failed = [row in outcome.reasons for row in range(count)]
            marks = np.where(failed, FAILED, CLEAN).astype(np.int8)
            columns = dict(outcome.columns)
        if status == PREDICTION_STATUS:
            columns = {PARTNER_CLASS: columns["predicted"], PARTNER_NORM: columns["norm"]}
        if status == STATUS:
            reasons = [outcome.reasons.get(row, "") for row in range(count)]
            columns["reason"] = np.array(reasons, dtype=object)
            self.failed |= {(job.network, images.start + row) for row in outcome.reasons}
        self.writer.put(
            Finished(job.network, job.shard, status, columns, outcome.of_network, marks, outcome)
        )
