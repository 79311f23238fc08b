"""Measuring the images of one shard with one network, wherever the worker is.

What goes wrong with an image costs that image only: a batch that raises an error is halved until
the images are found that do, and those are reported with the reason.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoexplorer.classifier import Classifier, Cost
from geoexplorer.image_source import ImageSource
from geoexplorer.jobs import Cancelled, Progress
from geoexplorer.results import joined
from geoexplorer.studies.layout import Layout
from geoexplorer.studies.quantities import Batch, Boundary, Columns, Prediction, Quantity
from geoexplorer.studies.quantities.curvature import AtPoints
from geoexplorer.studies.quantities.shared_directions import SharedDirections

__all__ = [
    "Outcome",
    "Partners",
    "Request",
    "Spent",
    "compute_steps",
    "directions_steps",
]


@dataclass(frozen=True)
class Partners:
    """The other ends of the pairs of some images, in one scenario."""

    numbers: Tensor  # (n,) int64: which image of the study each has; -1 for none
    source: ImageSource | None = None  # those that there are, in order
    radius: float | None = None  # of the sphere on which random points are drawn instead


@dataclass(frozen=True)
class Request:
    """Everything a worker needs besides the network."""

    layout: Layout
    quantities: tuple[Quantity, ...]  # to be measured here, in order
    numbers: Tensor  # (n,) int64: which images of the study they are
    source: ImageSource  # these n images
    seed: int
    threads: int
    partners: Mapping[str, Partners] = field(default_factory=dict)
    directions: Tensor | None = None  # (m, C, H, W)


@dataclass(frozen=True)
class Spent:
    """What one quantity took."""

    cost: Cost
    seconds: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is known of the images; on the way there, only how far it has come."""

    columns: Columns = field(default_factory=dict)  # (n, ...) each
    of_network: Columns = field(default_factory=dict)
    reasons: Mapping[int, str] = field(default_factory=dict)  # by row
    spent: Mapping[str, Spent] = field(default_factory=dict)  # by quantity
    worker: str = ""
    progress: Progress = field(default_factory=Progress)


def compute_steps(clf: Classifier, request: Request) -> Iterator[Outcome]:
    """Measure all quantities of a request, telling how far it has come."""
    with _threads(request.threads):
        shard = _Shard(clf, request)
        yield from shard.steps()


def directions_steps(
    clf: Classifier, request: Request, boundary: Boundary, shared: SharedDirections
) -> Iterator[Outcome]:
    """The shared directions of a network, from the images of a request."""
    with _threads(request.threads):
        shard = _Shard(clf, request)
        yield from shard.directions_steps(boundary, shared)


class _Shard:
    """Fills columns, one quantity after the other."""

    def __init__(self, clf: Classifier, request: Request) -> None:
        self.clf, self.request = clf, request
        self.reasons: dict[int, str] = {}
        self.spent: dict[str, Spent] = {}
        self.columns: dict[str, Any] = {}
        self.of_network: dict[str, Any] = {}
        self.stages = 1  # of about equal length, as far as is known
        self.measured = 0
        self.fraction = 0.0

    def steps(self) -> Iterator[Outcome]:
        self.stages = max(1, len(self.request.quantities))
        batch = self._readable()
        for quantity in self.request.quantities:
            batch = yield from self._quantity(quantity, batch)
            self.measured += 1
        yield self._outcome()

    def directions_steps(self, boundary: Boundary, shared: SharedDirections) -> Iterator[Outcome]:
        self.stages = 3
        began, before = time.monotonic(), self.clf.thread_cost
        batch = self._readable()
        for quantity in (Prediction(), boundary):
            batch = yield from self._quantity(quantity, batch)
            self.measured += 1
        points = batch.points
        reason = ""
        if points is None or not bool(points.converged.any()):
            reason = "no boundary was reached from any of the images"
        else:
            try:
                for found in shared.find_steps(self.clf, points, self.request.seed):
                    yield self._on_the_way(found.progress)
                self.of_network.update(shared.found(found))
            except (Cancelled, KeyboardInterrupt):
                raise
            except Exception as error:
                _raise_if_broken(error)
                reason = _sentence(error)
        self.of_network["directions_reason"] = np.array(reason, dtype=object)
        self.columns.clear()  # they are measured in their own shards
        cost = self.clf.thread_cost - before
        self.spent = {shared.name: Spent(cost, time.monotonic() - began)}
        yield self._outcome()

    def _readable(self) -> Batch:
        request = self.request
        images, unreadable = request.source.read(torch.arange(len(request.numbers)))
        self.reasons.update({row: f"image: {why}" for row, why in unreadable.items()})
        rows = torch.tensor([r for r in range(len(request.numbers)) if r not in unreadable])
        rows = rows.to(torch.int64)
        shared = next((q for q in request.quantities if isinstance(q, SharedDirections)), None)
        in_mean = None if shared is None else request.numbers[rows] < shared.images
        return Batch(
            rows=rows,
            images=images,
            partners={name: self._ends(one)[rows] for name, one in request.partners.items()},
            partner_numbers={name: one.numbers[rows] for name, one in request.partners.items()},
            directions=request.directions,
            in_mean=in_mean,
        )

    def _ends(self, partners: Partners) -> Tensor:
        """The other ends ``(n, C, H, W)``; NaN where there is none."""
        request = self.request
        ends = torch.full((len(request.numbers), *self.clf.input_shape), torch.nan)
        if partners.radius is not None:
            for row, number in enumerate(request.numbers.tolist()):
                # Numbers of its own for each image, wherever it is measured.
                drawn = np.random.default_rng([request.seed, number]).standard_normal(
                    self.clf.input_shape
                )
                point = torch.from_numpy(drawn * (partners.radius / np.linalg.norm(drawn)))
                ends[row] = point.float()
        elif partners.source is not None:
            (rows,) = (partners.numbers >= 0).nonzero(as_tuple=True)
            images, unreadable = partners.source.read(torch.arange(len(rows)))
            ends[[r for k, r in enumerate(rows.tolist()) if k not in unreadable]] = images
        return ends

    def _quantity(self, quantity: Quantity, batch: Batch) -> Generator[Outcome, None, Batch]:
        """Measure one quantity; the batch of those images that the others can be measured for."""
        variables = quantity.variables(self.request.layout.facts)
        by_image = [name for name, variable in variables.items() if variable.by == "image"]
        empty = self.request.layout.empty(by_image, len(self.request.numbers))
        self.columns.update(empty)
        if quantity.needs_directions and not _known(batch.directions):
            for row in batch.rows.tolist():
                self._blame(row, quantity, "no shared directions were found")
            return batch
        began, before = time.monotonic(), self.clf.thread_cost
        chosen = batch
        if isinstance(quantity, AtPoints) and batch.points is not None:
            chosen = batch[batch.points.converged]  # elsewhere there is nothing to measure
        pieces = yield from self._pieces(quantity, chosen)
        for part, result in pieces:
            for name, values in quantity.columns(result, part).items():
                if name in by_image:
                    self.columns[name][part.rows.numpy()] = values
                else:
                    self.of_network[name] = values
        self.spent[quantity.name] = Spent(self.clf.thread_cost - before, time.monotonic() - began)
        self._look_for_nan(quantity, batch)
        if isinstance(quantity, Prediction):
            return batch[torch.from_numpy(self.columns["predicted"] >= 0)[batch.rows]]
        if isinstance(quantity, Boundary):
            searched = torch.cat([part.rows for part, _ in pieces]) if pieces else batch.rows[:0]
            points = reduce(joined, (result for _, result in pieces)) if pieces else None
            return replace(batch[torch.isin(batch.rows, searched)], points=points)
        return batch

    def _pieces(
        self, quantity: Quantity, batch: Batch
    ) -> Generator[Outcome, None, list[tuple[Batch, Any]]]:
        """Results of consecutive images, together wherever no image among them raises an error."""
        waiting, done = [(0, len(batch))] if len(batch) else [], []
        while waiting:
            start, stop = waiting.pop()
            part, past = batch[start:stop], start / len(batch)
            result: Any = None
            try:
                for result in quantity.steps(self.clf, part, self.request.seed):
                    yield self._on_the_way(result.progress, past, (stop - start) / len(batch))
            except (Cancelled, KeyboardInterrupt):
                raise
            except Exception as error:
                _raise_if_broken(error)
                if stop - start == 1:
                    self._blame(int(batch.rows[start]), quantity, _sentence(error))
                else:
                    middle = (start + stop) // 2
                    waiting += [(middle, stop), (start, middle)]
                continue
            done.append((part, result))
        return done

    def _look_for_nan(self, quantity: Quantity, batch: Batch) -> None:
        rows = [row for row in batch.rows.tolist() if row not in self.reasons]
        reached = self.columns.get("reached")
        for name, variable in quantity.variables(self.request.layout.facts).items():
            if variable.by != "image" or variable.kind not in ("real", "double"):
                continue
            for row in rows:
                fine = variable.nan == "anywhere" or (
                    variable.nan == "unreached" and reached is not None and reached[row] == 0
                )
                if not fine and np.isnan(self.columns[name][row]).any():
                    self._blame(row, quantity, f"{name} is not a number")

    def _blame(self, row: int, quantity: Quantity, why: str) -> None:
        known = self.reasons.get(row)
        told = f"{quantity.name}: {why}"
        self.reasons[row] = told if known is None else f"{known}; {told}"

    def _on_the_way(self, progress: Progress, past: float = 0.0, share: float = 1.0) -> Outcome:
        """With so much of a stage behind, and the progress made in a share of it."""
        fraction = (self.measured + past + share * progress.fraction) / self.stages
        # Images that raise an error late are begun again, in halves.
        self.fraction = max(self.fraction, min(fraction, 0.999))
        return Outcome(progress=Progress(self.fraction, progress.message))

    def _outcome(self) -> Outcome:
        return Outcome(
            columns=self.columns,
            of_network=self.of_network,
            reasons=self.reasons,
            spent=self.spent,
            worker=f"{socket.gethostname()}, process {os.getpid()}, {self.clf.device}",
        )


def _known(directions: Tensor | None) -> bool:
    return directions is not None and bool(directions.isfinite().all())


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _raise_if_broken(error: Exception) -> None:
    """Errors of the machine rather than of an image; going on would blame every image."""
    if "CUDA error" in str(error):
        raise error


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """As many threads on every machine: sums in another order are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
