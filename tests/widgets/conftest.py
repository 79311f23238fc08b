"""An Explorer that computes in the calling thread, closed when the test is over."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from geoexplorer.widgets.explorer import Explorer


@pytest.fixture
def open_explorer() -> Iterator[Callable[..., Explorer]]:
    """Make explorers: synchronous ones, unless asked otherwise."""
    opened = []

    def open_one(*args: Any, **options: Any) -> Explorer:
        options.setdefault("synchronous", True)
        explorer = Explorer(*args, **options)
        opened.append(explorer)
        return explorer

    yield open_one
    for explorer in opened:
        explorer.close()


@pytest.fixture
def explorer(open_explorer) -> Explorer:
    """The Explorer as `explore()` opens it, computed to the end."""
    explorer = open_explorer()
    assert explorer.errors.last is None
    return explorer
