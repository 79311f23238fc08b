"""Results of what was looked at before, so that going back is instant."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from torch import Tensor

from geoexplorer.results import Result

__all__ = ["Remembered"]


class Remembered:
    """Keeps results until they take too much memory together; the least recent go first.

    Parameters
    ----------
    most
        Bytes of all tensors that are kept. The last result stays, however large it is.

    Examples
    --------
    >>> remembered = Remembered(10**6)
    >>> remembered.put("first", Result())
    >>> remembered.get("first") is None, remembered.get("second") is None
    (False, True)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, Result] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """The result under a key, None if there is none."""
        if key in self._results:
            self._results.move_to_end(key)
        return self._results.get(key)

    def put(self, key: Hashable, result: Result) -> None:
        """Keep a result."""
        self._results[key] = result
        self._results.move_to_end(key)
        while len(self._results) > 1 and sum(map(_size, self._results.values())) > self._most:
            self._results.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._results.clear()


def _size(result: Result) -> int:
    values = (getattr(result, item.name) for item in dataclasses.fields(result))
    return sum(value.nbytes for value in values if isinstance(value, Tensor))
