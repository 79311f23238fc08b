"""The figures by name: what computes each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from geoexplorer.paper.cross_sections import cross_sections
from geoexplorer.paper.detecting import detecting
from geoexplorer.paper.mixtures import mixtures
from geoexplorer.paper.paths import region_path
from geoexplorer.paper.profiles import profiles
from geoexplorer.paper.sharing import noise, shared, shares
from geoexplorer.paper.workshop import Finding, Workshop

__all__ = ["FIGURE_SET"]

FIGURE_SET: Mapping[str, Callable[[Workshop], Finding]] = MappingProxyType(
    {
        "sections": cross_sections,
        "path": region_path,
        "convex": mixtures,
        "profiles": profiles,
        "shared": shared,
        "shares": shares,
        "noise": noise,
        "detection": detecting,
    }
)
"""What is found for each name in :data:`~geoexplorer.paper.statements.FIGURES`."""
