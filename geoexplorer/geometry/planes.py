"""A plane in the input space: an origin and two orthonormal directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.directions import Direction, given, normal, one_image
from geoexplorer.results import Stored

__all__ = ["Plane"]

# Two unit directions whose difference is shorter than this span a line, not a plane.
_PARALLEL = 1e-4


@dataclass(frozen=True, eq=False, repr=False)
class Plane(Stored):
    """The points ``origin + x u + y v``, with x and y in l2 units of pixel values.

    Examples
    --------
    >>> a, b, c = torch.rand(3, 1, 4, 4)
    >>> plane = Plane.through(a, b, c)
    >>> coordinates = plane.coordinates(torch.stack([a, b]))
    >>> torch.allclose(plane.points(coordinates)[1], b, atol=1e-5)
    True
    """

    origin: Tensor  # (C, H, W)
    u: Tensor  # (C, H, W), unit
    v: Tensor  # (C, H, W), unit, orthogonal to u
    u_name: str = "u"
    v_name: str = "v"
    marks: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # name -> (x, y)

    def __post_init__(self) -> None:
        _require_same_shape(origin=self.origin, u=self.u, v=self.v)
        axes = torch.stack([self.u, self.v]).flatten(1).double()
        if not torch.allclose(axes @ axes.T, torch.eye(2).to(axes), atol=1e-4):
            raise ValueError(
                "u and v must be orthonormal; Plane.spanned makes a plane of any two directions"
            )

    @staticmethod
    def through(a: Tensor, b: Tensor, c: Tensor) -> Plane:
        """The plane through three images ``(C, H, W)``: origin a, u along b - a, v toward c.

        Raises
        ------
        ValueError
            If the three lie on one line, or differ in shape.
        """
        a, b, c = one_image(a, "a"), one_image(b, "b"), one_image(c, "c")
        _require_same_shape(a=a, b=b, c=c)
        plane = Plane.spanned(a, given(b - a, "b - a"), given(c - a, "c - a"))
        return plane.marked(a=a, b=b, c=c)

    @staticmethod
    def spanned(origin: Tensor, u: Tensor | Direction, v: Tensor | Direction) -> Plane:
        """The plane at ``origin`` spanned by two directions; v is made orthogonal to u.

        Raises
        ------
        ValueError
            If a direction is zero, the two are parallel, or the shapes differ.
        """
        origin = one_image(origin, "origin")
        across = u if isinstance(u, Direction) else given(u, "direction u")
        up = v if isinstance(v, Direction) else given(v, "direction v")
        _require_same_shape(origin=origin, u=across.vector, v=up.vector)
        first = across.vector.double() / across.vector.double().norm()
        second = up.vector.double()
        for _ in range(2):  # the second pass removes what rounding left of the first
            second = second - (second * first).sum() * first
            length = second.norm()
            if float(length) < _PARALLEL:
                raise ValueError(
                    f"u and v must span a plane, but {across.name!r} and {up.name!r} are parallel"
                )
            second = second / length
        return Plane(origin, first.to(origin), second.to(origin), across.name, up.name)

    @staticmethod
    def normal_section(boundary: BoundaryPoints, direction: Tensor | Direction) -> Plane:
        """The plane at a boundary point z spanned by the normal and a tangent direction.

        u is -n, out of the own region, so that the own region lies on the left; v is the
        direction without its share along the normal. The image x is marked where it projects.

        Parameters
        ----------
        boundary
            One point: ``b[i]``.
        direction
            ``(C, H, W)``, not parallel to the normal.
        """
        plane = Plane.spanned(boundary.points, normal(boundary), direction)
        return plane.marked(x=boundary.images, z=boundary.points)

    def marked(self, **images: Tensor) -> Plane:
        """The same plane with named images marked where they project onto it."""
        marks = dict(self.marks)
        for name, image in images.items():
            x, y = self.coordinates(one_image(image, name))[0].tolist()
            marks[name] = (x, y)
        return Plane(self.origin, self.u, self.v, self.u_name, self.v_name, marks)

    def transposed(self) -> Plane:
        """The same plane with its two axes exchanged."""
        marks = {name: (y, x) for name, (x, y) in self.marks.items()}
        return Plane(self.origin, self.v, self.u, self.v_name, self.u_name, marks)

    def points(self, coordinates: Tensor) -> Tensor:
        """Images ``(n, C, H, W)`` at plane coordinates ``(n, 2)``, on the coordinates' device."""
        x, y = coordinates.to(self.u.dtype).reshape(-1, 2, 1, 1, 1).unbind(1)
        origin, u, v = (part.to(coordinates.device) for part in (self.origin, self.u, self.v))
        # Not a matrix product: on a GPU that may be rounded to far fewer digits.
        return torch.addcmul(origin, x, u).addcmul_(y, v)

    def coordinates(self, images: Tensor) -> Tensor:
        """Plane coordinates ``(n, 2)``, float64, of the projections of images ``(n, C, H, W)``."""
        axes = torch.stack([self.u, self.v]).flatten(1).double()
        offsets = _batch(images) - self.origin
        coordinates: Tensor = offsets.flatten(1).double() @ axes.T
        return coordinates

    def distances(self, images: Tensor) -> Tensor:
        """How far images ``(n, C, H, W)`` lie from the plane, ``(n,)``, in l2 units."""
        batch = _batch(images)
        lengths: Tensor = (batch - self.points(self.coordinates(batch))).flatten(1).norm(dim=1)
        return lengths


def _batch(images: Tensor) -> Tensor:
    return (images if images.ndim == 4 else images[None]).detach().cpu()


def _require_same_shape(**images: Tensor) -> None:
    shapes = {name: tuple(image.shape) for name, image in images.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"all of a plane's images must have the same shape, got {shapes}")
