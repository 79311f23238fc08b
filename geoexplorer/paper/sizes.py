"""How many images, points and directions go into each figure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Sizes", "sizes_for"]

_SMALL = 512  # dimensions up to which every curvature of hundreds of points takes seconds
_WHOLE = 4096  # dimensions up to which all principal curvatures can be had


@dataclass(frozen=True)
class Sizes:
    """Sample sizes of one network."""

    points: int  # images with a boundary point; the first of them serve where fewer are named
    profile: int  # boundary points in a profile of principal curvatures
    extremes: int | None  # so many principal curvatures at either end; None: all
    seen: int  # points in the mean shape operator; as many others are held out
    directions: int | None  # shared directions that are found; None: all
    subspace: int  # m, dimension of the curved subspace
    ends: int  # shared directions at either end at which ρ is measured, where all are known
    mixed: int  # images that convex combinations are made of
    combinations: int  # for each k
    pairs: int  # of images that are joined
    resolution: int  # of maps, in pixels
    effort: str  # of the nearest boundary points, and of the path that is shown
    thorough: bool  # whether long paths are proven


def sizes_for(dimension: int, *, full: bool) -> Sizes:
    """The sample sizes for images of a dimension d = C·H·W.

    Examples
    --------
    >>> sizes_for(64, full=False).directions is None, sizes_for(3072, full=False).directions
    (True, 20)
    """
    small, whole = dimension <= _SMALL, dimension <= _WHOLE
    subspace = 10 if small else 20
    if full:
        return Sizes(
            points=400 if small else 200,
            profile=300 if small else 100,
            extremes=None if whole else 20,
            seen=200 if small else 100,
            directions=None if whole else subspace,
            subspace=subspace,
            ends=50,
            mixed=2000,
            combinations=5000,
            pairs=200,
            resolution=513,
            effort="accurate",
            thorough=True,
        )
    return Sizes(
        points=120 if small else 60,
        profile=30 if small else 2,
        extremes=None if whole else 5,
        seen=60 if small else 20,
        directions=None if small else subspace,
        subspace=subspace,
        ends=50,
        mixed=500,
        combinations=1000,
        pairs=20,
        resolution=257,
        effort="interactive",
        thorough=False,
    )
