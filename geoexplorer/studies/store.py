"""The Zarr store of a study: made at once, filled shard by shard, read as an xarray.Dataset.

Every shard has chunks of its own, and its status is written after all of them, so that a shard that
was being written when the power went is not taken for a finished one. What depends on the machine
(time, which worker) stands in the group ``log``: two runs of one study give equal datasets.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from geoexplorer.studies.layout import Layout

__all__ = ["Store", "differences"]

_FORMAT = 2  # of Zarr: the one that all readers know
_LOG = "log"
_DESCRIPTION = "study"  # the attribute that holds how the study is made


class Store:
    """A place where results are kept.

    Parameters
    ----------
    location
        A folder on this machine, or a URL that fsspec knows, such as ``"s3://bucket/study.zarr"``.
    storage_options
        For fsspec: credentials and the like.
    """

    def __init__(
        self,
        location: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(location, (str, os.PathLike)):
            raise TypeError(f"store must be a path or a URL, got {type(location).__name__}")
        text = os.fspath(location)
        if not text:
            raise ValueError("store must be a path or a URL, got ''")
        text = text.removeprefix("file://")
        self._folder = None if "://" in text else Path(text)
        self.location = text
        self._options = None if storage_options is None else dict(storage_options)

    def __repr__(self) -> str:
        return f"Store({self.location!r})"

    def description(self) -> dict[str, Any] | None:
        """How the stored study is made; None where nothing is stored.

        Raises
        ------
        ValueError
            If something else is stored there.
        """
        if self._folder is not None and _is_free(self._folder):
            return None
        try:
            attributes = self._opened().attrs
        except FileNotFoundError:
            if self._folder is None:
                return None
            attributes = {}
        except (ValueError, KeyError, OSError):
            attributes = {}
        if _DESCRIPTION not in attributes:
            raise ValueError(
                f"store must be a new place or a study's, but {self.location!r} holds something "
                "else, which is left as it is"
            )
        described = json.loads(attributes[_DESCRIPTION])
        assert isinstance(described, dict)
        return described

    def create(
        self,
        layout: Layout,
        image_coordinates: Mapping[str, Any],
        description: Mapping[str, Any],
        attributes: Mapping[str, Any],
    ) -> None:
        """Make the store of a study in which nothing is known yet."""
        told = {_DESCRIPTION: json.dumps(description), **attributes}
        template = layout.template(image_coordinates, told)
        log = layout.log_template()
        if self._folder is None:
            self._make(self.location, layout, template, log)
            return
        # Under another name first: a store that is there is whole.
        beside = self._folder.with_name(f"{self._folder.name}.new-{uuid.uuid4().hex[:8]}")
        try:
            self._make(str(beside), layout, template, log)
            if self._folder.exists():
                self._folder.rmdir()  # it is empty
            beside.rename(self._folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise

    def write(
        self,
        network: int,
        images: slice,
        columns: Mapping[str, Any],
        of_network: Mapping[str, Any],
        layout: Layout,
        status: Mapping[str, Any],
    ) -> None:
        """Write a shard, then the status that vouches for it.

        Raises
        ------
        OSError
            If it cannot be written. What is there counts as not done, and can be written again.
        """
        one = slice(network, network + 1)
        filled = {name: np.asarray(values)[None] for name, values in columns.items()}
        whole = {name: np.asarray(values)[None] for name, values in of_network.items()}
        self._put(layout.dataset(whole), {"network": one})
        self._put(layout.dataset(filled), {"network": one, "image": images})
        for name, values in status.items():
            by_image = np.ndim(values) > 0
            where = {"network": one, **({"image": images} if by_image else {})}
            dims = ("network", "image") if by_image else ("network",)
            self._put(xr.Dataset({name: (dims, np.asarray(values, np.int8)[None])}), where)

    def note(self, network: int, shard: int, entry: Mapping[str, Any]) -> None:
        """Write down what a shard took."""
        where = {"network": slice(network, network + 1), "shard": slice(shard, shard + 1)}
        dims = ("network", "shard", "quantity")
        self._put(
            xr.Dataset(
                {
                    name: (dims[: 2 + np.ndim(value)], np.asarray(value)[None, None])
                    for name, value in entry.items()
                }
            ),
            where,
            group=_LOG,
        )

    def read(self) -> xr.Dataset:
        """Everything that is stored, unfinished shards as they are; values are read when used."""
        return self._opened()

    def log(self) -> xr.Dataset:
        """What the shards took."""
        return self._opened(_LOG)

    def _opened(self, group: str | None = None) -> xr.Dataset:
        opened: xr.Dataset = xr.open_zarr(
            self.location, group=group, consolidated=True, chunks=None,
            storage_options=self._options,
        )  # fmt: skip
        return opened

    def _make(self, place: str, layout: Layout, template: xr.Dataset, log: xr.Dataset) -> None:
        common: dict[str, Any] = {
            "zarr_format": _FORMAT, "consolidated": True, "write_empty_chunks": False,
            "storage_options": self._options,
        }  # fmt: skip
        log.to_zarr(place, group=_LOG, mode="w", encoding=layout.encoding(log), **common)
        template.to_zarr(place, mode="a", encoding=layout.encoding(template), **common)

    def _put(
        self, part: xr.Dataset, where: Mapping[str, slice], *, group: str | None = None
    ) -> None:
        if not part.data_vars:
            return
        part.to_zarr(
            self.location, region=dict(where), mode="r+", group=group, consolidated=True,
            storage_options=self._options,
        )  # fmt: skip


def _is_free(folder: Path) -> bool:
    """Whether nothing is there, or nothing in it."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def differences(stored: Any, wanted: Any, where: str = "") -> list[str]:
    """Sentences that name where two descriptions differ.

    Examples
    --------
    >>> differences({"seed": 0, "curvature": {"k": 10}}, {"seed": 0, "curvature": {"k": 20}})
    ['curvature.k is 10 in the store and 20 here']
    """
    if isinstance(stored, Mapping) and isinstance(wanted, Mapping):
        found: list[str] = []
        for key in dict.fromkeys([*stored, *wanted]):
            path = f"{where}.{key}" if where else str(key)
            if key not in wanted:
                found.append(f"{path} is in the store only")
            elif key not in stored:
                found.append(f"{path} is not in the store")
            else:
                found += differences(stored[key], wanted[key], path)
        return found
    return [] if stored == wanted else [f"{where} is {stored!r} in the store and {wanted!r} here"]
