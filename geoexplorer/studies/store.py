"""The Zarr store of a study: made at once, filled shard by shard, read as an xarray.Dataset.

Every shard has chunks of its own, and its status is written after all of them, so that a shard that
was being written when the process was killed is not taken for a finished one. What depends on the
machine (time, which worker) stands in the group ``log``: two runs of one study give equal datasets.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from geoexplorer.studies.layout import NOT_DONE, Layout

__all__ = ["Store", "differences"]

_FORMAT = 2  # of Zarr: the one that all readers know
_LOG = "log"
_DESCRIPTION = "study"  # the attribute that holds how the study is made
_TRIES, _PAUSE = 20, 0.05  # seconds, to remove what cannot be used


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
        self._folder = None if "://" in text else Path(os.path.realpath(text))
        self.location = text if self._folder is None else str(self._folder)
        if storage_options is not None and not isinstance(storage_options, Mapping):
            raise TypeError(
                f"storage_options must be a mapping or None, got {type(storage_options).__name__}"
            )
        if storage_options and self._folder is not None:
            raise ValueError(
                f"storage_options are for stores with a URL, but store is the folder {text!r}"
            )
        self._options = dict(storage_options) if storage_options else None
        self._arrays: dict[str, Any] = {}  # those that have been written to

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
            attributes = self.read().attrs
        except PermissionError:
            raise
        except (ValueError, KeyError, OSError):
            if self._folder is None and self._is_free_elsewhere():
                return None
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
        try:
            if self._folder is None:
                self._make(self.location, layout, template, log)
            else:
                self._make_folder(self._folder, layout, template, log)
        except OSError as error:
            raise OSError(
                error.errno, f"the store cannot be made ({error.strerror or error})", self.location
            ) from error

    def _make_folder(
        self, folder: Path, layout: Layout, template: xr.Dataset, log: xr.Dataset
    ) -> None:
        # Under another name first: a store that is there is whole.
        beside = folder.with_name(f"{folder.name}.new-{uuid.uuid4().hex[:8]}")
        try:
            self._make(str(beside), layout, template, log)
            if folder.exists():
                folder.rmdir()  # it is empty
            beside.rename(folder)
        except BaseException:
            _remove(beside)
            raise

    def write(
        self,
        network: int,
        images: slice,
        columns: Mapping[str, Any],
        of_network: Mapping[str, Any],
        layout: Layout,
        status: tuple[str, Any],
        entry: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a shard, and after everything else the status that vouches for it.

        Parameters
        ----------
        network, images
            Whose it is.
        columns, of_network
            Values of the images ``(n, ...)``, and of the network.
        layout
            Of the study.
        status
            Its name, and the value of each image, or of the network.
        entry
            What the shard took, or finding the network's directions, for the log.

        Raises
        ------
        OSError
            If it cannot be written. What is there counts as not done, and can be written again.
        """
        name, marks = status
        one = slice(network, network + 1)
        those = (one, images)
        place = those[: 1 + np.ndim(marks)]
        # What is measured again counts as not done until it is whole again.
        self._put(name, place, np.full_like(marks, NOT_DONE))
        for column, values in of_network.items():
            self._put(column, (one,), layout.as_stored(column, values))
        for column, values in columns.items():
            self._put(column, those, layout.as_stored(column, values))
        if entry is not None:
            shard = images.start // layout.shard_size
            where = (one, slice(shard, shard + 1))[: 1 + np.ndim(marks)]
            for column, values in entry.items():
                self._put(f"{_LOG}/{column}", where, values)
        self._put(name, place, marks)

    def marks(self, status: str, layout: Layout) -> NDArray[np.int8]:
        """A status of all images or networks; not done where it cannot be read."""
        stored = self.read()[status]
        try:
            return stored.values
        except Exception:  # whatever the codec says of a damaged chunk
            marks = np.full(stored.shape, NOT_DONE, np.int8)
            whole = slice(None)
            parts = layout.shards if stored.ndim > 1 else (whole,)
            for network in range(len(layout.networks)):
                for part in parts:
                    place = (network, part)[: stored.ndim]
                    with suppress(Exception):
                        marks[place] = stored[place].values
            return marks

    def read(self, group: str | None = None) -> xr.Dataset:
        """Everything that is stored, unfinished shards as they are; values are read when used."""
        opened: xr.Dataset = xr.open_zarr(
            self.location, group=group, consolidated=True, chunks=None,
            storage_options=self._options,
        )  # fmt: skip
        return opened

    def log(self) -> xr.Dataset:
        """What the shards took."""
        return self.read(_LOG)

    def _is_free_elsewhere(self) -> bool:
        """Whether nothing is at the URL, or what was left when it was being made."""
        import fsspec  # type: ignore[import-untyped]

        system, path = fsspec.core.url_to_fs(self.location, **(self._options or {}))
        try:
            entries = system.ls(path, detail=False)
        except FileNotFoundError:
            return True
        names = {entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries}
        if names <= {".zgroup", path.rstrip("/").rsplit("/", 1)[-1]}:  # some list themselves
            return True
        # Its attributes are written first, its consolidated metadata last.
        if ".zattrs" not in names or ".zmetadata" in names:
            return False
        return _DESCRIPTION in json.loads(system.cat_file(f"{path}/.zattrs"))

    def _make(self, place: str, layout: Layout, template: xr.Dataset, log: xr.Dataset) -> None:
        common: dict[str, Any] = {
            "zarr_format": _FORMAT, "write_empty_chunks": False, "storage_options": self._options,
        }  # fmt: skip
        # What is there is nothing, or was left half made.
        template.to_zarr(
            place, mode="w", encoding=layout.encoding(template), consolidated=False, **common
        )
        log.to_zarr(
            place, group=_LOG, mode="a", encoding=layout.encoding(log), consolidated=True, **common
        )
        # Consolidated last: what can be opened is whole.
        xr.Dataset(attrs=template.attrs).to_zarr(place, mode="a", consolidated=True, **common)

    def _put(self, name: str, place: tuple[slice, ...], values: Any) -> None:
        """Write an array; as xarray would do, but without reading the whole store each time."""
        if name not in self._arrays:
            group = zarr.open_group(self.location, mode="r+", storage_options=self._options)
            self._arrays[name] = group[name]
        array = self._arrays[name]
        shape = np.shape(values)
        array[place] = np.asarray(values).reshape((1,) * (array.ndim - len(shape)) + shape)


def _is_free(folder: Path) -> bool:
    """Whether nothing is there, or nothing in it."""
    file = next((place for place in folder.parents if place.is_file()), None)
    if file is not None:
        raise ValueError(f"store must be a folder or a URL, but {str(file)!r} is a file")
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _remove(folder: Path) -> None:
    """Remove a folder into which threads may still be writing."""
    for _ in range(_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_PAUSE)


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
