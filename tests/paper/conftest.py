"""The quick set at sizes that take moments."""

from dataclasses import replace

import pytest

from geoexplorer.paper import subjects
from geoexplorer.paper.sizes import sizes_for

TINY = {
    "points": 24,
    "profile": 2,
    "seen": 10,
    "subspace": 4,
    "mixed": 100,
    "combinations": 50,
    "pairs": 10,
    "resolution": 33,
}


@pytest.fixture
def tiny(monkeypatch):
    """Every network is looked at with few images."""
    make_tiny(monkeypatch)


def make_tiny(patch):
    """The same for fixtures of another scope."""

    def sizes(d, full):
        return replace(sizes_for(d, full=full), **TINY)

    patch.setattr(subjects, "sizes_for", sizes)
