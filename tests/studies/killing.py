"""Runs of a study in processes of their own, to be killed.

They are forked from a server that has imported everything, so that a new life takes no time.
"""

from __future__ import annotations

import multiprocessing
import os
from functools import partial
from pathlib import Path
from typing import Any

import geoexplorer as gx
from geoexplorer.studies import computing
from geoexplorer.studies.store import Store
from tests.studies.networks import classifier, images

QUANTITIES = {
    "boundary": {"keep_perturbations": True},
    "mean_curvature": {"probes": 3},
    "connectivity": {"prove": False},
    "shared_directions": {"m": 2, "images": 6, "probes": 3},
}

_lives = multiprocessing.get_context("forkserver")
_lives.set_forkserver_preload(["geoexplorer.studies", "tests.studies.killing"])


def study(store: Path) -> gx.Study:
    """The study that is killed."""
    return gx.Study(classifier(), images(36), QUANTITIES, store=store, shard_size=3)


def begun(store: Path, record: Path) -> Any:
    """A process that runs the study and records what it begins: a line for each shard."""
    process = _lives.Process(target=_run, args=(store, record))
    process.start()
    return process


def lines(record: Path) -> list[str]:
    """What all lives have begun: ``create``, ``directions`` or the number of a shard."""
    return record.read_text().split("\n")[:-1] if record.exists() else []


def _run(store: Path, record: Path) -> None:
    import geoexplorer.studies.study as module

    def told(function, clf_or_store, *args, **options):
        what = function.__name__
        if what == "compute_steps":
            request = args[0]
            stage = "predict" if len(request.quantities) == 1 else "shard"
            what = f"{stage} {int(request.numbers[0]) // 3}"
        file = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, f"{what}\n".encode())
        os.close(file)
        return function(clf_or_store, *args, **options)

    module.compute_steps = partial(told, computing.compute_steps)
    module.directions_steps = partial(told, computing.directions_steps)
    create = Store.create
    Store.create = lambda *args: told(create, *args)
    study(store).run(show=False)
