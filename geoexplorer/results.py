"""The base of all results: how a result was made, saving, loading, indexing, drawing.

A result is a frozen dataclass of plain arrays. It never holds a network, so it can be kept
when the network is gone, sent to another machine, and drawn again without computing again.
On disk it is one ``.npz`` file with a JSON description beside the arrays: data, never code.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import geoexplorer
from geoexplorer.classifier import Classifier, Cost
from geoexplorer.jobs import Progress

__all__ = [
    "BatchResult", "Provenance", "Recorder", "Result", "ResultList", "Stored", "joined",
    "versions_in_words",
]  # fmt: skip

_FORMAT = 1
_SHOWN_IN_FULL = 8  # numbers of an array, where a result is printed


class Stored:
    """A dataclass that can be written to a file and read back; subclasses register themselves."""

    known: ClassVar[dict[str, type[Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Stored.known[cls.__name__] = cls

    def __repr__(self) -> str:
        """Shapes and ranges, a line a field: what is printed never grows with the images."""
        shown = {
            item.name: _in_short(getattr(self, item.name))
            for item in dataclasses.fields(self)  # type: ignore[arg-type]
            if item.repr
        }
        width = max(map(len, shown), default=0)
        lines = [f"    {name:{width}}  {text}" for name, text in shown.items()]
        return "\n".join([type(self).__name__, *lines])


Stored.known[Cost.__name__] = Cost
Stored.known[Progress.__name__] = Progress


@dataclass(frozen=True)
class Provenance(Stored):
    """How a result was made, in enough detail to make it again."""

    function: str = ""
    network: str = ""
    fingerprint: str = ""  # changes with any weight of the network
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = ""
    dtype: str = ""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)  # bounds, mean, std
    class_names: tuple[str, ...] = ()
    cost: Cost = field(default_factory=Cost)
    seconds: float = 0.0
    created: str = ""  # ISO 8601, UTC
    versions: Mapping[str, str] = field(default_factory=dict)


R = TypeVar("R")


class Recorder:
    """Takes down how a result is made, from the moment it is created.

    What other threads compute with the same classifier does not count, nor what is done
    between the steps of a generator that :meth:`watch` was given.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> recorder = Recorder(clf, "example", seed=0)
    >>> _ = clf.logits(torch.rand(3, 1, 2, 2))
    >>> recorder.provenance().cost
    Cost(forwards=3, gradients=0)
    """

    def __init__(self, clf: Classifier, function: str, **options: Any) -> None:
        self._clf = clf
        self._function = function
        self._options = {name: _plain(value) for name, value in options.items()}
        self._cost = Cost()
        self._seconds = 0.0
        self._resume()

    def watch(self, steps: Iterator[R]) -> Iterator[R]:
        """The same steps, with the clock stopped in between."""
        self._pause()

        def watched() -> Iterator[R]:
            while True:
                self._resume()
                try:
                    result = next(steps)
                except StopIteration:
                    return
                finally:
                    self._pause()
                yield result
                del result  # which may be large, before the next one is made

        return watched()

    def provenance(self) -> Provenance:
        """What has been spent so far, and on what."""
        clf = self._clf
        return Provenance(
            function=self._function,
            network=clf.name,
            fingerprint=clf.fingerprint,
            options=self._options,
            device=", ".join(map(str, clf.devices)),
            dtype=str(clf.dtype),
            preprocessing=dict(clf.preprocessing),
            class_names=clf.class_names,
            cost=self._cost + (clf.thread_cost - self._resumed_cost),
            seconds=self._seconds + (time.monotonic() - self._resumed),
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            versions=_versions(),
        )

    def _resume(self) -> None:
        self._resumed_cost = self._clf.thread_cost
        self._resumed = time.monotonic()

    def _pause(self) -> None:
        self._cost += self._clf.thread_cost - self._resumed_cost
        self._seconds += time.monotonic() - self._resumed


S = TypeVar("S", bound="Result")
B = TypeVar("B", bound="BatchResult")


@dataclass(frozen=True, eq=False, repr=False)
class Result(Stored):
    """What a computation gives; the base of all results.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "result.npz"
    >>> Result(progress=Progress(0.5, "half")).save(path)
    >>> Result.load(path).progress.message
    'half'
    """

    provenance: Provenance = field(default_factory=Provenance, kw_only=True, repr=False)
    progress: Progress = field(default_factory=Progress, kw_only=True, repr=False)

    def __repr__(self) -> str:
        made, progress = self.provenance, self.progress
        lines = [super().__repr__()]
        if made.function:
            lines.append(f"made by {made.function} with {made.network} in {made.seconds:.3g} s")
        if not progress.complete:
            lines.append(f"not final: {progress.message}")
        return "\n".join(lines)

    @property
    def cost(self) -> Cost:
        """Network passes that went into the whole result, counted in images."""
        return self.provenance.cost

    def save(self, path: str | Path) -> None:
        """Write the result to one ``.npz`` file of arrays and JSON.

        Raises
        ------
        ValueError
            If the path does not end in ``.npz``.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(
                f"path must end in .npz, got {str(path)!r}; geoexplorer.figures.save writes "
                "pictures of a result"
            )
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        tree = {"format": _FORMAT, "content": _encode(self, arrays)}
        text = np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8)
        with open(path, "wb") as file:
            np.savez_compressed(file, description=text, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls: type[S], path: str | Path) -> S:
        """Read a result that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is no saved result, or holds one of another kind.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                tree = json.loads(file["description"].tobytes())
                content = _decode(tree["content"], file) if tree["format"] == _FORMAT else None
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"path {str(path)!r} is not a saved geoexplorer result") from error
        if not isinstance(content, cls):
            kind = "a newer format" if content is None else f"a {type(content).__name__}"
            raise ValueError(f"path {str(path)!r} holds {kind}, not a {cls.__name__}")
        return content

    def figure(self, **options: Any) -> Any:
        """Draw the result as a plotly figure.

        The options are those of the function that draws it: ``help(figures.drawing_of(result))``
        explains them, with ``from geoexplorer import figures``. A figure for paper, of a width and
        with letters of a size, is best written by ``figures.save(result, path, width="84mm")``.
        """
        from geoexplorer import figures

        return figures.draw(self, **options)


class ResultList(list[S]):
    """Results that were computed together, one for each of a batch."""

    def __init__(self, results: Iterable[S], progress: Progress) -> None:
        super().__init__(results)
        self.progress = progress


@dataclass(frozen=True, eq=False, repr=False)
class BatchResult(Result):
    """A result with one row an image. Indexing always gives a batch again."""

    def __len__(self) -> int:
        return next(len(value) for value in self._rows().values())

    def __getitem__(self: B, index: Any) -> B:
        positions = torch.from_numpy(_positions(len(self), index))
        chosen: dict[str, Any] = {name: rows[positions] for name, rows in self._rows().items()}
        return dataclasses.replace(self, **chosen)

    def __iter__(self: B) -> Iterator[B]:
        return (self[index] for index in range(len(self)))

    def _rows(self) -> dict[str, Tensor]:
        return {
            item.name: value
            for item in dataclasses.fields(self)
            if isinstance(value := getattr(self, item.name), Tensor)
        }


def joined(known: S, new: S, dimension: int = 0) -> S:
    """Both, one after the other along a dimension of every tensor."""
    tensors: dict[str, Any] = {
        item.name: torch.cat([value, getattr(new, item.name)], dimension)
        for item in dataclasses.fields(known)
        if isinstance(value := getattr(known, item.name), Tensor)
    }
    provenance = dataclasses.replace(
        new.provenance,
        cost=known.provenance.cost + new.provenance.cost,
        seconds=known.provenance.seconds + new.provenance.seconds,
    )
    return dataclasses.replace(new, **tensors, provenance=provenance)


def _positions(count: int, index: Any) -> NDArray[np.int64]:
    """Row numbers that an index of any usual kind means."""
    if isinstance(index, Tensor):
        index = index.cpu().numpy()
    if index is None or isinstance(index, (bool, np.bool_)):
        raise IndexError(f"a batch of {count} images cannot be indexed with {index!r}")
    try:
        chosen = np.arange(count)[index]
    except IndexError as error:
        raise IndexError(f"index {index!r} is out of range for {count} images") from error
    return np.array(chosen).reshape(-1)


def _plain(value: Any) -> Any:
    """Numbers and tuples in place of arrays and lists, which are the same when read from a file."""
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _in_short(value: Any) -> str:
    """A field of a result in a line: small arrays in full, others by shape and range."""
    if isinstance(value, (Tensor, np.ndarray)):
        array = torch.as_tensor(value)
        shape = f"({', '.join(map(str, array.shape))}{',' * (array.ndim == 1)})"
        if array.numel() <= _SHOWN_IN_FULL:
            return f"{shape}  {', '.join(map(_number, array.flatten().tolist()))}".rstrip()
        if array.dtype == torch.bool:
            return f"{shape}  {int(array.sum())} of {array.numel()} True"
        known = array[array.isfinite()]
        if not known.numel():
            return f"{shape}  none finite"
        return f"{shape}  {_number(known.min().item())} to {_number(known.max().item())}"
    if isinstance(value, (tuple, list, Mapping)) and len(str(value)) > 80:
        return f"{len(value)} of them"
    return type(value).__name__ if isinstance(value, Stored) else repr(value)


@cache
def _versions() -> dict[str, str]:
    return {
        "geoexplorer": geoexplorer.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _number(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def versions_in_words() -> str:
    """Versions of what computes, in one line."""
    return ", ".join(f"{name} {version}" for name, version in _versions().items())


def _encode(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """JSON for ``value``; its arrays go into ``arrays`` under new names."""
    if isinstance(value, (Tensor, np.ndarray)):
        name = f"array{len(arrays)}"
        if isinstance(value, Tensor):
            value = value.detach().cpu()
            arrays[name] = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
            return {"tensor": name}
        arrays[name] = value
        return {"array": name}
    if dataclasses.is_dataclass(value) and type(value).__name__ in Stored.known:
        fields = {
            item.name: _encode(getattr(value, item.name), arrays)
            for item in dataclasses.fields(value)
            if item.metadata.get("stored", True)
        }
        kind = type(value)
        return {"type": kind.__name__, "module": kind.__module__, "fields": fields}
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encode(item, arrays) for key, item in value.items()}}
    if isinstance(value, (tuple, list)):
        return {"tuple": [_encode(item, arrays) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise TypeError(f"cannot save a {type(value).__name__}")


def _decode(tree: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    ((kind, value), *rest) = tree.items()
    if kind == "tensor":
        return torch.from_numpy(np.array(arrays[value]))
    if kind == "array":
        return np.array(arrays[value])
    if kind == "type":
        (_, module), (_, fields) = rest
        if value not in Stored.known and module.startswith("geoexplorer."):
            import_module(module)  # registers the type
        return Stored.known[value](**{name: _decode(item, arrays) for name, item in fields.items()})
    if kind == "mapping":
        return {name: _decode(item, arrays) for name, item in value.items()}
    if kind == "tuple":
        return tuple(_decode(item, arrays) for item in value)
    return value
