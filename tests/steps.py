"""What every result, and every generator of results, must do."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.jobs import Cancelled, cancellable
from geoexplorer.results import Result


def assert_same(one: Result, other: Result) -> None:
    """Equal in everything but how they were made."""
    assert type(one) is type(other)
    for item in dataclasses.fields(one):
        if item.name in ("provenance", "progress") or not item.metadata.get("stored", True):
            continue
        _assert_equal(getattr(one, item.name), getattr(other, item.name), item.name)


def assert_steps(steps: Iterable[Result], plain: Result) -> list[Result]:
    """Progress rises to 1, only at the end, where the plain function's result is."""
    parts = list(steps)
    fractions = [part.progress.fraction for part in parts]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert all(fraction < 1.0 for fraction in fractions[:-1])
    assert all(type(part) is type(plain) for part in parts)
    assert_same(parts[-1], plain)
    assert parts[-1].cost == plain.cost
    return parts


def assert_cancellable(clf: Classifier, run: Callable[[], object], *, after: int = 2) -> None:
    """Work stops at the next passes when it is cancelled during some."""
    event, passes, count = threading.Event(), 0, clf.count

    def counting(**counts: int) -> None:
        nonlocal passes
        passes += 1
        if passes == after:
            event.set()
        count(**counts)

    clf.count = counting  # type: ignore[method-assign]
    try:
        with cancellable(event), pytest.raises(Cancelled):
            run()
    finally:
        del clf.count
    assert passes == after


def assert_round_trip(result: Result, path: Path) -> Result:
    """Saved without pickle and read again; gives what was read."""
    result.save(path)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    loaded = type(result).load(path)
    assert_same(loaded, result)
    assert loaded.provenance == result.provenance
    assert loaded.progress == result.progress
    return loaded


def _assert_equal(one: object, other: object, name: str) -> None:
    if isinstance(one, Tensor):
        assert isinstance(other, Tensor), name
        assert one.dtype == other.dtype, name
        assert torch.equal(one.isnan(), other.isnan()), name
        assert torch.equal(one[~one.isnan()], other[~one.isnan()]), name
    elif isinstance(one, tuple):
        assert isinstance(other, tuple), name
        assert len(one) == len(other), name
        for first, second in zip(one, other, strict=True):
            _assert_equal(first, second, name)
    else:
        assert one == other or (one != one and other != other), name
