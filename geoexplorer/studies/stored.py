"""Reading a study, finished or not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geoexplorer.results import Result
from geoexplorer.studies.as_results import as_result
from geoexplorer.studies.layout import DIRECTIONS_STATUS, FAILED, NOT_DONE, STATUS
from geoexplorer.studies.store import Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["StoredStudy", "not_measured", "open_study"]

_LARGE = 256 * 2**20
_FEW = 24  # values along a further dimension that become columns of a table


def open_study(
    store: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> StoredStudy:
    """Open the results of a study, without its networks and images.

    Parameters
    ----------
    store
        Where :class:`Study` kept it: a folder, or a URL for fsspec.
    storage_options
        For fsspec.

    Raises
    ------
    ValueError
        If there is no study.
    """
    place = Store(store, storage_options)
    if place.description() is None:
        raise ValueError(f"store must be a study's, but there is nothing at {place.location!r}")
    return StoredStudy(place)


class StoredStudy:
    """The results of a study, as far as it has come."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        described = self.description
        return (
            f"{type(self).__name__}({', '.join(described['networks'])}; "
            f"{described['images']['count']} images of {described['images']['name']!r}; "
            f"{', '.join(described['quantities'])}; in {self.store!r})"
        )

    @property
    def store(self) -> str:
        """Where the results are."""
        return self._store.location

    @property
    def description(self) -> dict[str, Any]:
        """How the study was made: networks, images, quantities with their options, seed, shards."""
        return self._store.description() or {}

    def dataset(self) -> xr.Dataset:
        """All results with named dimensions; what is not done is NaN, or -1, or empty.

        Arrays are read when they are used; of a study that is not done all but those above 256 MiB
        are read at once. In these, shards whose ``status`` is 0 mean nothing. ``status`` says for
        every network and image whether it is done, and ``reason`` why something of it failed.
        """
        stored = self._store.read()
        finished: dict[tuple[str, ...], xr.DataArray] = {
            dims: stored[status] != NOT_DONE
            for dims, status in ((("network", "image"), STATUS), (("network",), DIRECTIONS_STATUS))
            if status in stored
        }
        masked = {}
        for name, variable in stored.data_vars.items():
            done = finished.get(_leading(variable))
            if done is None or str(name).endswith("status") or bool(done.all()):
                continue
            if variable.nbytes > _LARGE:
                continue  # it would have to be read as a whole
            masked[name] = variable.where(done, _missing(variable)).astype(variable.dtype)
        data: xr.Dataset = stored.assign(masked)
        return data

    def log(self) -> xr.Dataset:
        """What each shard took: seconds and network passes by quantity, where and when."""
        return self._store.log()

    def to_dataframe(self) -> pd.DataFrame:
        """One row for each network and image, one column for each number known about it.

        Further dimensions of at most 24 values become columns of their own, such as ``score_2`` for
        the scale 2 or ``curvature_-1`` for the most negative curvature.
        """
        data = self.dataset()
        columns: dict[str, xr.DataArray] = {}
        for name, variable in data.data_vars.items():
            further = variable.dims[2:]
            if variable.dims[:2] != ("network", "image"):
                continue
            if not further:
                columns[str(name)] = variable
            elif len(further) == 1 and variable.sizes[further[0]] <= _FEW:
                for place, value in enumerate(data[further[0]].values):
                    columns[f"{name}_{_word(value)}"] = variable.isel(
                        {further[0]: place}
                    ).drop_vars(further[0])
        table = xr.Dataset(columns).to_dataframe(dim_order=["network", "image"])
        return table.reset_index()

    def failures(self) -> pd.DataFrame:
        """Which images could not be measured as a whole under which network, and why."""
        data = self.dataset()
        table = data[["status", "reason"]].to_dataframe(dim_order=["network", "image"])
        failed = table[table["status"] == FAILED].reset_index()
        known = [name for name in ("network", "image", "file", "reason") if name in failed]
        return failed[known]

    def result(self, form: str, network: str | None = None) -> Result:
        """What was found about one network, as the plain function gives it; it can be drawn.

        Parameters
        ----------
        form
            ``"curvature"`` gives :class:`~geoexplorer.PrincipalCurvatures`,
            ``"shared_directions"`` :class:`~geoexplorer.SharedDirections`,
            ``"relative_curvature"`` :class:`~geoexplorer.RelativeCurvature` (rho),
            ``"detection"`` :class:`~geoexplorer.DetectionROC`, and ``"connectivity, images"``,
            ``"... perturbed"`` and ``"... random"`` :class:`~geoexplorer.Connectivity`. They hold
            what the study holds: no points or directions of single images.
        network
            Its name; not needed where there is one.

        Raises
        ------
        ValueError
            If the study has no such result or network, or nothing of it is done.
        """
        networks = list(self.description["networks"])
        if network is None:
            if len(networks) > 1:
                raise ValueError(f"network must be one of {', '.join(networks)}, got None")
            (network,) = networks
        return as_result(form, self.dataset(), self.description, network)

    def summary(self) -> pd.DataFrame:
        """One row a network: how many images are done, and what is typical of them."""
        from geoexplorer.studies.summary import summary

        return summary(self.dataset(), self.description)


def not_measured(count: int) -> str:
    """How many images failed, in words."""
    images = "1 image" if count == 1 else f"{count} images"
    return f"{images} could not be measured as a whole"


def _leading(variable: xr.DataArray) -> tuple[str, ...]:
    return tuple(str(d) for d in variable.dims if d in ("network", "image"))


def _missing(variable: xr.DataArray) -> Any:
    if variable.dtype.kind == "f":
        return np.nan
    return -1 if variable.dtype.kind == "i" else ""


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)
