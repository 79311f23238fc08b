"""A plane to look at a path in."""

from __future__ import annotations

import torch
from torch import Tensor

from geoexplorer.geometry.directions import Direction, given
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.geometry.planes import Plane

__all__ = ["path_plane"]

# An anchor nearer to the straight line than this share of its length gives no second direction.
_BENT = 1e-4


def path_plane(
    path: RegionPath, *, toward: Tensor | Direction | None = None, seed: int = 0
) -> Plane:
    """The plane through both ends of a path and the anchor farthest from the line between them.

    Where no anchor lies off that line, the second direction is one of your own, or a random one.

    Parameters
    ----------
    path
        With two different ends a and b. They are marked; a is the origin, and u points to b.
    toward
        For a straight path: an image ``(C, H, W)`` that the plane goes through, or a direction.
    seed
        Of the random direction.

    Raises
    ------
    ValueError
        If both ends are the same image, or ``toward`` lies on the line through them.

    Examples
    --------
    >>> from geoexplorer.geometry.paths import RegionPath
    >>> anchors = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0], [2.0, 0.0, 0.0]])
    >>> path = RegionPath(
    ...     anchors=anchors.reshape(3, 1, 1, 3), label=0, connected=True, proof="sampled",
    ...     spacing=0.1, length=2.236, straightness=1.118, least_margin=1.0, segments=(),
    ...     straight=None, failed=None, class_names=("in", "out"))
    >>> plane = path_plane(path)
    >>> plane.v.flatten().tolist(), plane.marks["b"]
    ([0.0, 1.0, 0.0], (2.0, 0.0))
    """
    a, b = path.anchors[0], path.anchors[-1]
    line = (b - a).double()
    length = float(line.norm())
    if length == 0.0:
        raise ValueError("path must have two different ends, but a and b are the same image")
    offsets = (path.anchors - a).double()
    shares = (offsets * line).flatten(1).sum(dim=1) / length**2
    away = offsets - shares.reshape(-1, 1, 1, 1) * line
    lengths = away.flatten(1).norm(dim=1)
    farthest = int(lengths.argmax())
    marks = {"a": a, "b": b}
    if float(lengths[farthest]) > _BENT * length:
        up = given(away[farthest].to(a), f"toward anchor {farthest + 1}")
    elif isinstance(toward, Direction):
        up = toward
    elif toward is not None:
        up = given(toward - a, "toward the third image")
    else:
        generator = torch.Generator().manual_seed(seed)
        up = given(torch.randn(a.shape, generator=generator), f"random direction {seed}")
    return Plane.spanned(a, given(b - a, "from a to b"), up).marked(**marks)
