"""Operations that no rule knows, found before a network is written down in float64.

To write a network down takes a copy of it in float64 and several runs. Of most networks that are
not piecewise linear the names of their operations say so in a single run as they are: what such an
operation gives is marked, and all that comes of it, and the logits are looked at. Nothing is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from geoexplorer.classifier import Classifier, FullPrecision
from geoexplorer.geometry.operation_rules import is_known, unknown
from geoexplorer.geometry.recording import (
    BY_SHAPE,
    memory_of,
    name_of,
    out_of_place,
    random_images,
    tensors_in,
    weak_memory,
    written_by,
)
from geoexplorer.jobs import Cancelled, check_cancelled

__all__ = ["unknown_operation"]


def unknown_operation(clf: Classifier) -> str | None:
    """Why the logits are not known to be piecewise linear; None where the names do not tell.

    Examples
    --------
    >>> from torch import nn
    >>> layers = [nn.Flatten(), nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)]
    >>> clf = Classifier(nn.Sequential(*layers).eval(), input_shape=(1, 2, 2), device="cpu")
    >>> unknown_operation(clf)
    'aten.gelu is not piecewise linear, or not known to be'
    """
    images = random_images(clf, 1, seed=1).to(clf.dtype)
    marks = _Marks(images)
    try:
        with torch.no_grad(), FullPrecision(), marks:
            logits = clf.module(images)
        return marks.of(logits)
    except (Cancelled, torch.OutOfMemoryError):
        raise
    except Exception:  # what writes the network down says what is wrong
        return None


class _Marks(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Marks the memory of all that depends on an image with the first unknown operation in it."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._count = 0
        self._memory: dict[int, StorageWeakRef] = {}
        self._marks: dict[int, tuple[int, str] | None] = {}
        self._mark(images, None)

    def of(self, logits: Tensor) -> str | None:
        """The unknown operation that comes first among those that the logits depend on."""
        mark = self._marks.get(memory_of(logits))
        return None if mark is None else mark[1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        check_cancelled()
        with torch._C.DisableTorchFunction():
            result = func(*args, **(kwargs or {}))
            taken = [memory_of(tensor) for tensor in tensors_in((args, kwargs or {}))]
            found = [self._marks[memory] for memory in taken if memory in self._marks]
            if found and name_of(func) not in BY_SHAPE:
                written = written_by(func, args, kwargs or {})
                found.append(self._mark_of(out_of_place(func) if written else func))
                first = min((mark for mark in found if mark is not None), default=None)
                for tensor in (*tensors_in(result), *written):
                    self._mark(tensor, first)
        return result

    def _mark_of(self, func: Any) -> tuple[int, str] | None:
        self._count += 1
        # A view changes no values, and is another one where the channels of a network come last.
        if func is None or func.is_view or is_known(name_of(func)):
            return None
        return self._count, unknown(name_of(func))

    def _mark(self, tensor: Tensor, mark: tuple[int, str] | None) -> None:
        memory = memory_of(tensor)
        self._memory.setdefault(memory, weak_memory(tensor))
        self._marks[memory] = mark
