"""What ``geoexplorer study`` does: run a study from a file, and print what was found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from geoexplorer.studies import StoredStudy
from geoexplorer.studies.stored import not_measured
from geoexplorer.study_file import read_study

__all__ = ["run_study"]


def run_study(
    path: Path, *, workers: int, scheduler: str | None, retry_failed: bool, show: bool
) -> int:
    """Run the study of a file as far as it is not done, and print a table.

    Parameters
    ----------
    path
        The TOML file, see :mod:`geoexplorer.study_file`.
    workers
        Processes on this machine; one is this one.
    scheduler
        Address of a Dask scheduler whose workers measure instead.
    retry_failed
        Whether shards in which an image failed are measured again.
    show
        Whether progress is told on standard error.

    Returns
    -------
    int
        The exit status: 0, or 1 where an image could not be measured as a whole.

    Raises
    ------
    OSError, TypeError, ValueError
        If the file is not as described, or the store cannot be used.
    ModuleNotFoundError
        If Dask is needed and not installed.
    """
    study = read_study(path)
    with _client(workers, scheduler) as client:
        study.run(client=client, retry_failed=retry_failed, show=show)
    print(_table(study))
    failures = study.failures()
    if len(failures):
        print(f"\n{not_measured(len(failures))}:")
        print(failures.head(20).to_string(index=False))
    print(f"\nThe results are in {study.store}")
    return int(len(failures) > 0)


def _table(study: StoredStudy) -> str:
    """The summary, one column a network."""
    return str(study.summary().T.to_string(float_format=lambda value: f"{value:.4g}"))


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    if scheduler is None and workers == 1:
        yield None
        return
    if find_spec("distributed") is None:
        raise ModuleNotFoundError(
            "workers and a scheduler need Dask: python -m pip install 'geoexplorer[cluster]'"
        )
    import logging

    from distributed import Client, LocalCluster

    if scheduler is not None:
        with Client(scheduler) as client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.ERROR,  # that it waits for its workers to end is no news
        ) as cluster,
        Client(cluster) as client,
    ):
        print(f"{workers} workers on this machine", file=sys.stderr)
        yield client
