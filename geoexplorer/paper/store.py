"""Results on disk, each with what it was made from, so that none is computed twice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

import geoexplorer
from geoexplorer.classifier import Classifier
from geoexplorer.results import Result

__all__ = ["Store"]

_RECORD = "made.json"
_PASSING = ("provenance", "progress", "classifier")  # do not change what follows from a result


class Store:
    """A folder of results and pictures, and a record of what each was made from.

    A result is computed again only if the network, the function or anything that is given to it
    is another than before, or its file is gone. The record is written after the file that it
    speaks of, and in one piece, so that an interruption leaves nothing that is half done.

    Raises
    ------
    OSError
        If the folder cannot be made, or nothing can be written to it.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> store.result("a.npz", {"seed": 0}, Result).progress.complete
    True
    >>> store.result("a.npz", {"seed": 0}, lambda: 1 / 0).progress.complete
    True
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # whether it can be written to
            pass
        self._record: dict[str, Any] = _read(folder / _RECORD)

    def result(self, file: str, key: Mapping[str, Any], make: Callable[[], Result]) -> Result:
        """The result in a file if it has this key, else a new one, which is then saved there."""
        digest = digest_of(key)
        if self.is_made(file, digest):
            try:
                return Result.load(self.folder / file)
            except (OSError, ValueError):
                pass  # damaged: made again
        result = make()
        _whole(self.folder / file, result.save)
        self.note(file, digest)
        return result

    def picture(self, file: str, digest: str, draw: Callable[[Path], Any]) -> None:
        """Draw a picture into a file, which is made from what has this digest."""
        _whole(self.folder / file, draw)
        self.note(file, digest)

    def is_made(self, file: str, digest: str) -> bool:
        """Whether the file is there, made from what has this digest."""
        return self._record.get(file) == digest and (self.folder / file).is_file()

    def note(self, name: str, entry: Any) -> None:
        """Write an entry, which is JSON, into the record."""
        self._record[name] = entry
        write_whole(self.folder / _RECORD, json.dumps(self._record, indent=1, sort_keys=True))

    def noted(self, name: str) -> Any:
        """The entry of a name; None if there is none."""
        return self._record.get(name)


def key_of(
    clf: Classifier,
    steps: Callable[..., Any],
    inputs: tuple[Any, ...],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What a result follows from: the network, the function, and all that is given to it."""
    return {
        "geoexplorer": geoexplorer.__version__,
        "function": f"{steps.__module__}.{steps.__qualname__}",
        "network": clf.fingerprint,
        "dtype": str(clf.dtype),
        "preprocessing": dict(clf.preprocessing),
        "inputs": inputs,
        "options": dict(options),
    }


def digest_of(value: Any) -> str:
    """A short text that differs when the value does, wherever and whenever it is made.

    Of a result it is that of its content: how long it took does not count.

    Examples
    --------
    >>> digest_of({"a": (1, 2.0)}) == digest_of({"a": [1, 2.0]}), digest_of(1) == digest_of(2)
    (True, False)
    """
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:32]


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that nobody ever finds half of it."""
    _whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def _whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file under another name first: what bears the name is complete."""
    part = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.part{path.suffix}")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value).__name__.encode()
        for item in dataclasses.fields(value):
            if item.name not in _PASSING:
                yield item.name.encode()
                yield from _parts(getattr(value, item.name))
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for name in sorted(value):
            yield name.encode()
            yield from _parts(value[name])
    elif isinstance(value, (tuple, list)):
        yield f"list {len(value)}".encode()
        for item in value:
            yield from _parts(item)
    elif value is None or isinstance(value, (bool, int, float, str)):
        yield repr(value).encode()
    else:
        raise TypeError(f"a {type(value).__name__} has no digest")


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
