"""Planes: orthonormal axes, coordinates there and back, marks, and what cannot span one."""

import pytest
import torch

from geoexplorer.geometry.boundary import nearest_boundary
from geoexplorer.geometry.directions import given, normal, random_tangent
from geoexplorer.geometry.planes import Plane
from geoexplorer.results import Result
from tests import analytic

SHAPE = (3, 5, 4)


@pytest.fixture
def abc():
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def boundary():
    ball = analytic.Ball(torch.full(SHAPE, 0.5), 3.0)
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(1)).double()
    return nearest_boundary(analytic.classifier(ball), x, effort="accurate")


def require_orthonormal(plane):
    axes = torch.stack([plane.u, plane.v]).flatten(1).double()
    assert torch.allclose(axes @ axes.T, torch.eye(2).double(), atol=1e-6)


def test_through_three_images(abc):
    a, b, c = abc
    plane = Plane.through(a, b, c)
    require_orthonormal(plane)
    assert torch.equal(plane.origin, a)
    assert plane.marks["a"] == (0.0, 0.0)
    assert plane.marks["b"] == pytest.approx((float((b - a).norm()), 0.0), abs=1e-5)
    assert plane.marks["c"][1] > 0
    assert torch.allclose(plane.points(torch.tensor(list(plane.marks.values()))), abc, atol=1e-5)
    assert float(plane.distances(abc).max()) < 1e-5


def test_spanned_keeps_u_and_straightens_v(abc):
    origin, u, v = abc
    plane = Plane.spanned(origin, u, v)
    require_orthonormal(plane)
    assert torch.allclose(plane.u, u / u.norm(), atol=1e-6)
    assert float((plane.v * v).sum()) > 0


def test_nearly_parallel_directions_still_give_an_orthonormal_plane(abc):
    origin, u, v = abc
    plane = Plane.spanned(origin, u, u + 1e-3 * v)
    require_orthonormal(plane)


def test_coordinates_there_and_back(abc):
    plane = Plane.through(*abc)
    coordinates = torch.tensor([[0.3, -2.0], [5.0, 0.25]])
    assert torch.allclose(
        plane.coordinates(plane.points(coordinates)), coordinates.double(), atol=1e-5
    )


def test_normal_section_has_the_own_region_on_the_left(boundary):
    point = boundary[1]
    plane = Plane.normal_section(point, random_tangent(point, seed=3))
    require_orthonormal(plane)
    assert torch.allclose(plane.u, -point.normals[0], atol=1e-6)
    assert plane.marks["z"] == pytest.approx((0.0, 0.0), abs=1e-6)
    assert plane.marks["x"] == pytest.approx((-float(point.distances), 0.0), abs=1e-3)


def test_normal_section_takes_a_plain_tensor(boundary, abc):
    plane = Plane.normal_section(boundary[0], abc[0].double())
    assert float((plane.v * normal(boundary[0]).vector).sum().abs()) < 1e-6


def test_transposed_exchanges_the_axes(abc):
    plane = Plane.through(*abc)
    turned = plane.transposed()
    assert torch.equal(turned.u, plane.v)
    assert torch.equal(turned.v, plane.u)
    assert turned.marks["b"] == plane.marks["b"][::-1]
    assert (turned.u_name, turned.v_name) == (plane.v_name, plane.u_name)


def test_saved_inside_a_result(abc, tmp_path):
    from dataclasses import dataclass

    @dataclass(frozen=True, eq=False)
    class Holder(Result):
        plane: Plane

    Holder(Plane.through(*abc)).save(tmp_path / "plane.npz")
    loaded = Holder.load(tmp_path / "plane.npz").plane
    assert torch.equal(loaded.v, Plane.through(*abc).v)
    assert loaded.marks == Plane.through(*abc).marks


@pytest.mark.parametrize("factor", [2.0, -1.0])
def test_parallel_directions(abc, factor):
    with pytest.raises(ValueError, match="'direction u' and 'direction v' are parallel"):
        Plane.spanned(abc[0], abc[1], factor * abc[1])


def test_a_plane_of_axes_that_are_not_orthonormal(abc):
    with pytest.raises(ValueError, match="u and v must be orthonormal"):
        Plane(*abc)


def test_zero_direction(abc):
    with pytest.raises(ValueError, match="direction u must be a finite vector other than zero"):
        Plane.spanned(abc[0], torch.zeros(SHAPE), abc[1])


def test_three_images_on_a_line(abc):
    with pytest.raises(ValueError, match="are parallel"):
        Plane.through(abc[0], abc[1], (abc[0] + abc[1]) / 2)


def test_equal_images(abc):
    with pytest.raises(ValueError, match=r"^b - a must be a finite vector other than zero"):
        Plane.through(abc[0], abc[0], abc[1])


def test_different_shapes(abc):
    with pytest.raises(ValueError, match="must have the same shape"):
        Plane.through(abc[0], abc[1], torch.rand(3, 4, 4))


def test_not_an_image(abc):
    with pytest.raises(ValueError, match=r"a must be one image \(C, H, W\)"):
        Plane.through(abc, abc[0], abc[1])
    with pytest.raises(TypeError, match="origin must be a float tensor"):
        Plane.spanned(abc[0].to(torch.uint8), abc[1], abc[2])


def test_a_normal_section_needs_one_point(boundary):
    with pytest.raises(ValueError, match=r"one point, got 2; index it: boundary\[i\]"):
        Plane.normal_section(boundary, given(torch.ones(SHAPE)))
