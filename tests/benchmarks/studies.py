"""What two Dask workers gain over one process in a study, and what storing costs.

``python -m tests.benchmarks.studies`` measures one study (the nearest boundary and the ``--k`` most
positive and most negative curvatures of each image) in this process, then on a cluster of two
worker processes of one thread each, ``--repeats`` times in turn, and prints the wall time of each,
the ratio, and whether all numbers are the same. Starting the cluster is not counted, sending the
network is. A second table shows which share of the time goes into the store where little is
computed: the boundary alone, by images a shard. Other work on the machine spoils the ratio, so the
load average is printed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import geoexplorer as gx
from geoexplorer.studies.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="shapes-lenet")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--shard", type=int, default=4)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--stored", type=int, default=500, help="images of the second table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, one thread a worker")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.images:
            _print_workers(arguments, Path(folder))
        if arguments.stored:
            _print_storing(arguments, Path(folder))


def _print_workers(arguments: argparse.Namespace, folder: Path) -> None:
    from distributed import Client, LocalCluster

    clf = gx.load_classifier(arguments.network, device="cpu")
    name = arguments.network.split("-")[0]
    images = gx.load_images(name, split="test", n=arguments.images)
    quantities = {"boundary": {}, "curvature": {"k": arguments.k}}
    gx.principal_curvatures(clf, gx.nearest_boundary(clf, images.images[:2]), 1)  # all is loaded
    print(
        f"{'network':16} {'images':>6} {'one worker':>11} {'two workers':>11} {'ratio':>6} "
        f"{'storing':>8} {'same':>5} {'load':>5}"
    )
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": None}
    for repeat in range(arguments.repeats):
        made = [
            gx.Study(clf, images, quantities, store=folder / f"{repeat}-{workers}.zarr",
                     shard_size=arguments.shard)
            for workers in (1, 2)
        ]  # fmt: skip
        with _stored() as spent:
            alone = _seconds(made[0])
        with LocalCluster(n_workers=2, **options) as cluster, Client(cluster) as client:
            client.wait_for_workers(2)
            client.run(_warm)
            together = _seconds(made[1], client=client)
        one, two = (study.dataset().load() for study in made)
        print(
            f"{clf.name[:16]:16} {len(images):6} {alone:9.1f} s {together:9.1f} s "
            f"{together / alone:6.2f} {spent[0] / alone:8.1%} {one.identical(two)!s:>5} "
            f"{os.getloadavg()[0]:5.1f}",
            flush=True,
        )


def _print_storing(arguments: argparse.Namespace, folder: Path) -> None:
    clf = gx.load_classifier("digits-cnn", device="cpu")
    images = gx.load_images("digits", split="test", n=arguments.stored)
    print(f"\n{'boundary alone':16} {'images':>6} {'a shard':>7} {'wall':>8} {'storing':>8}")
    for size in (100, 50, 10):
        study = gx.Study(clf, images, store=folder / f"stored-{size}.zarr", shard_size=size)
        with _stored() as spent:
            seconds = _seconds(study)
        print(
            f"{clf.name[:16]:16} {len(images):6} {size:7} {seconds:6.1f} s "
            f"{spent[0] / seconds:8.1%}",
            flush=True,
        )


def _seconds(study: gx.Study, **options: Any) -> float:
    start = time.perf_counter()
    study.run(show=False, **options)
    return time.perf_counter() - start


def _warm() -> None:
    """Import in a worker what the first shard would import."""
    import geoexplorer.studies  # noqa: F401


@contextmanager
def _stored() -> Iterator[list[float]]:
    """Seconds in the store, in a list of one."""
    spent, kept = [0.0], {name: getattr(Store, name) for name in ("create", "write")}

    def timed(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[0] += time.perf_counter() - start

        return call

    for name, function in kept.items():
        setattr(Store, name, timed(function))
    try:
        yield spent
    finally:
        for name, function in kept.items():
            setattr(Store, name, function)


if __name__ == "__main__":
    main()
