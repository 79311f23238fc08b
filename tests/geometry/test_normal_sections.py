"""Normal sections: planes, one window, and the parabola that the boundary follows."""

import math
import threading

import numpy as np
import pytest
import torch

import geoexplorer as gx
from geoexplorer import NormalSections, jobs, normal_sections, normal_sections_steps
from geoexplorer.geometry import directions as named
from tests import analytic
from tests.analytic import boundary_at, classifier

SHAPE = (1, 4, 4)
RADIUS = 2.0


def unit(index):
    image = torch.zeros(SHAPE, dtype=torch.float64)
    image.view(-1)[index] = 1.0
    return image


@pytest.fixture(scope="module")
def ball():
    """A point of a sphere, seen from inside."""
    module = analytic.Ball(torch.full(SHAPE, 0.5), RADIUS)
    z = module.centre[None] + RADIUS * unit(0)
    return classifier(module), boundary_at(classifier(module), module, z, distance=0.4)


@pytest.fixture(scope="module")
def saddle():
    """At the origin bent by -1 along the second pixel, by 2 along the third, flat elsewhere."""
    curvatures = torch.zeros(15)
    curvatures[0], curvatures[1] = -1.0, 2.0
    module = analytic.Quadric.with_curvatures(curvatures, SHAPE)
    clf = classifier(module)
    return clf, boundary_at(clf, module, torch.zeros(1, *SHAPE), distance=0.2)


ALONG = [named.given(unit(1), "out"), named.given(unit(2), "in"), named.given(unit(3), "flat")]


def test_curvatures_are_those_along_the_directions(saddle):
    found = normal_sections(*saddle, ALONG, resolution=65)
    assert isinstance(found, NormalSections)
    assert found.curvatures == pytest.approx((-1.0, 2.0, 0.0), abs=1e-8)
    assert found.names == ("out", "in", "flat")
    assert (found.own, found.other) == (0, 1)
    assert (found.method, found.step) == ("autograd", 0.0)


@pytest.mark.parametrize("method", ["central_difference", "smoothed", "secant"])
def test_by_other_methods(saddle, method):
    found = normal_sections(*saddle, ALONG, resolution=33, method=method, step=0.1)
    assert found.curvatures == pytest.approx((-1.0, 2.0, 0.0), abs=1e-3)
    assert (found.method, found.step) == (method, 0.1)


def test_planes(saddle):
    """z at the origin, u = -n out of the own region, v the tangent."""
    _, b = saddle
    found = normal_sections(*saddle, ALONG, resolution=33)
    for section, direction in zip(found.sections, ALONG, strict=True):
        assert torch.allclose(section.plane.origin, b.points[0])
        assert torch.allclose(section.plane.u, -b.normals[0])
        assert torch.allclose(section.plane.v, direction.vector)
        assert section.plane.v_name == direction.name
        assert section.plane.marks["z"] == pytest.approx((0.0, 0.0), abs=1e-12)
        assert section.plane.marks["x"] == pytest.approx((-0.2, 0.0), abs=1e-12)
        # The own region lies on the left.
        middle = len(section.y) // 2
        assert int(section.labels[middle, 0]) == found.own
        assert int(section.labels[middle, -1]) == found.other


def test_a_direction_loses_its_part_along_the_normal(saddle):
    _, b = saddle
    tilted = named.given(unit(1) + 2 * b.normals[0], "tilted")
    found = normal_sections(*saddle, [tilted], resolution=33)
    assert torch.allclose(found.sections[0].plane.v, unit(1), atol=1e-12)
    assert found.curvatures == pytest.approx((-1.0,))


def test_one_window_for_all(saddle):
    for extent in (None, 0.7):
        found = normal_sections(*saddle, ALONG, resolution=33, extent=extent)
        for section in found.sections:
            assert torch.equal(section.x, found.sections[0].x)
            assert torch.equal(section.y, found.sections[0].y)
            assert section.labels.shape == (33, 33)
            assert section.x[0] < 0 < section.x[-1]
            assert float(section.x[-1] - section.x[0]) == pytest.approx(
                float(section.y[-1] - section.y[0])
            )
    assert float(found.sections[0].x[-1]) == pytest.approx(0.7)


def test_the_window_holds_the_image(saddle):
    found = normal_sections(*saddle, ALONG[:1], resolution=33)
    x, _ = found.sections[0].plane.marks["x"]
    assert float(found.sections[0].x[0]) < x < float(found.sections[0].x[-1])


def test_the_boundary_of_a_quadric_is_the_parabola(saddle):
    """Over the origin x = ½ κ y² is this surface's own equation, to a pixel's width."""
    found = normal_sections(*saddle, ALONG, resolution=129, extent=0.5)
    pixel = float(found.sections[0].x[1] - found.sections[0].x[0])
    for section, curvature in zip(found.sections, found.curvatures, strict=True):
        (line,) = [boundary.points for boundary in section.boundaries]
        assert np.abs(line[:, 0] - 0.5 * curvature * line[:, 1] ** 2).max() < 0.5 * pixel
        assert np.ptp(line[:, 1]) > 0.9


def test_the_boundary_of_a_ball_is_the_circle_that_the_parabola_touches(ball):
    found = normal_sections(*ball, ALONG[:1], resolution=129, extent=0.5)
    assert found.curvatures == pytest.approx((-1 / RADIUS,))
    (line,) = [boundary.points for boundary in found.sections[0].boundaries]
    circle = np.sqrt(RADIUS**2 - line[:, 1] ** 2) - RADIUS
    pixel = 1 / 128
    assert np.abs(line[:, 0] - circle).max() < 0.5 * pixel
    gap = RADIUS - math.sqrt(RADIUS**2 - 0.25) - 0.25 / (2 * RADIUS)
    assert np.abs(0.5 * -(line[:, 1] ** 2) / RADIUS - line[:, 0]).max() < 0.5 * pixel + gap


def test_seen_from_the_other_side_it_bends_the_other_way():
    module = analytic.Ball(torch.full(SHAPE, 0.5), RADIUS)
    clf = classifier(module)
    z = module.centre[None] + RADIUS * unit(0)
    b = boundary_at(clf, module, z, distance=0.4, own=1)
    found = normal_sections(clf, b, ALONG[:1], resolution=33)
    assert found.curvatures == pytest.approx((1 / RADIUS,))
    assert (found.own, found.other) == (1, 0)


def test_of_a_network():
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)
    b = gx.nearest_boundary(clf, gx.load_images("digits").images[:1], effort="accurate")
    extremes = gx.principal_curvatures(clf, b, k=1)
    along = [
        named.given(extremes.directions[0, 0], "most positive"),
        named.given(extremes.directions[0, 1], "most negative"),
        named.random_tangent(b),
    ]
    found = normal_sections(clf, b, along, resolution=65)
    assert found.curvatures[:2] == pytest.approx(extremes.values[0].tolist(), rel=1e-3)
    # The boundary, looked for along the normal in the network itself, near z.
    for curvature, direction in zip(found.curvatures, along, strict=True):
        reach = 0.02
        for side in (-reach, reach):
            foot = b.points + side * direction.vector
            offset = crossing(clf, foot, -b.normals, b, reach)
            assert offset == pytest.approx(
                0.5 * curvature * reach**2, abs=0.1 * reach**2 * max(map(abs, found.curvatures))
            )


def crossing(clf, foot, along, b, reach):
    """The x between ± reach at which F changes sign, by bisection."""
    low, high = -reach, reach
    for _ in range(50):
        middle = (low + high) / 2
        own = float(clf.margin(foot + middle * along, b.own, b.other)) > 0
        low, high = (middle, high) if own else (low, middle)
    return (low + high) / 2


def test_steps_end_like_the_plain_call_and_parts_do_not_change(saddle):
    parts, labels = [], []
    for part in normal_sections_steps(*saddle, ALONG):
        parts.append(part)
        labels.append([section.labels.clone() for section in part.sections])
    fractions = [part.progress.fraction for part in parts]
    assert fractions == sorted(fractions)
    assert len(parts) > 1
    assert [part.progress.complete for part in parts] == [False] * (len(parts) - 1) + [True]
    for part, before in zip(parts, labels, strict=True):
        assert len(part.sections) == 3
        for section, known in zip(part.sections, before, strict=True):
            assert torch.equal(section.labels, known)
    assert len(parts[0].figure().layout.images) == 3
    whole = normal_sections(*saddle, ALONG)
    for section, last in zip(whole.sections, parts[-1].sections, strict=True):
        assert torch.equal(section.labels, last.labels)


def test_cancel(saddle):
    event = threading.Event()
    with jobs.cancellable(event):
        running = normal_sections_steps(*saddle, ALONG)
        next(running)
        event.set()
        with pytest.raises(jobs.Cancelled):
            jobs.last(running)


def test_records(saddle, tmp_path):
    clf, _ = saddle
    clf.logits(torch.zeros(1, *SHAPE))
    before = clf.cost
    found = normal_sections(*saddle, ALONG, resolution=33)
    assert found.cost == clf.cost - before
    assert found.provenance.function == "normal_sections"
    assert found.provenance.fingerprint == clf.fingerprint
    found.save(tmp_path / "sections.npz")
    loaded = NormalSections.load(tmp_path / "sections.npz")
    assert loaded.curvatures == found.curvatures
    assert loaded.names == found.names
    assert torch.equal(loaded.sections[1].labels, found.sections[1].labels)


class TestBadInput:
    def test_more_than_one_point(self, ball):
        clf, b = ball
        with pytest.raises(ValueError, match=r"boundary must hold one point, got 2"):
            normal_sections(clf, b[[0, 0]], ALONG)

    def test_no_boundary_points(self, ball):
        clf, b = ball
        for function in (normal_sections, normal_sections_steps):
            with pytest.raises(TypeError, match=r"boundary must be BoundaryPoints.*got Tensor"):
                function(clf, b.points, ALONG)

    def test_directions(self, ball):
        clf, b = ball
        for wrong in (None, [], "out", [1.0], [unit(1).tolist()]):
            with pytest.raises((TypeError, ValueError), match="directions"):
                normal_sections(clf, b, wrong)
        with pytest.raises(ValueError, match=r"direction.*normal"):
            normal_sections(clf, b, [named.normal(b)])

    @pytest.mark.parametrize("extent", [0.0, -1.0, math.nan, "1"])
    def test_extent(self, ball, extent):
        with pytest.raises((TypeError, ValueError), match="extent"):
            normal_sections(*ball, ALONG, extent=extent)

    @pytest.mark.parametrize("resolution", [1, 0, 2.5])
    def test_resolution(self, ball, resolution):
        with pytest.raises((TypeError, ValueError), match="resolution"):
            normal_sections(*ball, ALONG, resolution=resolution)

    def test_method_and_step(self, ball):
        with pytest.raises(ValueError, match="method must be"):
            normal_sections(*ball, ALONG, method="hessian")
        with pytest.raises(ValueError, match="step must be"):
            normal_sections(*ball, ALONG, method="smoothed", step=0.0)
