"""Exact maps of piecewise-linear networks: closed forms, and the refined map of trained ones."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry import exact_slices
from geoexplorer.geometry.exact_regions import Region
from geoexplorer.geometry.exact_triangles import triangles_through
from geoexplorer.geometry.piecewise import program_of


class Polygon(nn.Module):
    """Class 0 inside a convex polygon of the first two pixels: the least of its edges' levels."""

    def __init__(self, corners: Sequence[tuple[float, float]]) -> None:
        super().__init__()
        points = torch.tensor(corners, dtype=torch.float64)
        along = points.roll(-1, 0) - points
        inward = torch.stack([-along[:, 1], along[:, 0]], 1) / along.norm(dim=1, keepdim=True)
        self.edges = nn.Linear(2, len(corners), dtype=torch.float64)
        with torch.no_grad():
            self.edges.weight.copy_(inward)
            self.edges.bias.copy_(-(inward * points).sum(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        level = -torch.amax(-self.edges(x.flatten(1)[:, :2]), dim=1, keepdim=True)
        return torch.cat([level, torch.zeros_like(level)], 1)


def classifier(module: nn.Module, shape: tuple[int, int, int] = (1, 1, 2)) -> gx.Classifier:
    return gx.Classifier(module.eval(), input_shape=shape, dtype=torch.float64, device="cpu")


def flat(shape: tuple[int, int, int] = (1, 1, 2)) -> gx.Plane:
    """The plane of the first two pixels."""
    u, v = torch.zeros(2, math.prod(shape), dtype=torch.float64)
    u[0], v[1] = 1.0, 1.0
    return gx.Plane.spanned(
        torch.zeros(shape, dtype=torch.float64), u.reshape(shape), v.reshape(shape)
    )


def holds(region: Region, place: np.ndarray) -> bool:
    """Whether a place lies in a region: in its outline, and in none of its holes."""
    passed = 0
    for loop in (region.outline, *region.holes):
        start, stop = loop[:-1], loop[1:]
        spans = (start[:, 1] > place[1]) != (stop[:, 1] > place[1])
        start, stop = start[spans], stop[spans]
        share = (place[1] - start[:, 1]) / (stop[:, 1] - start[:, 1])
        passed += int((start[:, 0] + share * (stop[:, 0] - start[:, 0]) > place[0]).sum())
    return passed % 2 == 1


def shoelace(points: np.ndarray) -> float:
    x, y = points[:-1].T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


class TestClosedForms:
    square = ((0.1, 0.2), (0.7, 0.3), (0.6, 0.8), (0.2, 0.9))

    def test_a_polygon_is_found_corner_by_corner(self) -> None:
        section = gx.cross_section(
            classifier(Polygon(self.square)), flat(), extent=(-1, 2, -1, 2), exact=True
        )
        assert section.exact
        (inside,) = [region for region in section.regions if region.label == 0]
        found = {(round(x, 9), round(y, 9)) for x, y in inside.outline.tolist()}
        assert found == set(self.square)
        (boundary,) = section.boundaries
        assert boundary.classes == (0, 1)
        assert (boundary.points[0] == boundary.points[-1]).all()

    def test_the_region_around_it_has_a_hole(self) -> None:
        section = gx.cross_section(
            classifier(Polygon(self.square)), flat(), extent=(-1, 2, -1, 2), exact=True
        )
        (outside,) = [region for region in section.regions if region.label == 1]
        area = shoelace(np.array([*self.square, self.square[0]]))
        assert len(outside.holes) == 1
        assert outside.area == pytest.approx(9 - area, abs=1e-9)

    def test_pixels_are_those_of_the_polygon(self) -> None:
        module = Polygon(self.square)
        section = gx.cross_section(
            classifier(module), flat(), extent=(-1, 2, -1, 2), resolution=(61, 97), exact=True
        )
        y, x = torch.meshgrid(section.y, section.x, indexing="ij")
        levels = module(torch.stack([x, y], -1).reshape(-1, 1, 1, 2))[:, 0].reshape(61, 97)
        clear = levels.abs() > 1e-9
        assert bool((section.labels == (levels <= 0))[clear].all())

    @pytest.mark.parametrize("width", [1e-3, 1e-6])
    def test_an_island_that_no_pixel_sees_is_found(self, width: float) -> None:
        x, y = 0.3123, 0.4456
        corners = [(x, y), (x + width, y), (x + width, y + width), (x, y + width)]
        clf = classifier(Polygon(corners))
        window = (0.0, 1.0, 0.0, 1.0)
        refined = gx.cross_section(clf, flat(), extent=window, resolution=65)
        assert 0 not in refined.labels
        exact = gx.cross_section(clf, flat(), extent=window, resolution=65, exact=True)
        (island,) = [region for region in exact.regions if region.label == 0]
        assert island.area == pytest.approx(width**2, rel=1e-3)

    def test_three_classes_meet_in_one_point(self) -> None:
        module = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, dtype=torch.float64))
        angles = torch.tensor([0.3, 2.4, 4.5], dtype=torch.float64)
        with torch.no_grad():
            module[1].weight.copy_(torch.stack([angles.cos(), angles.sin()], 1))
            module[1].bias.zero_()
        section = gx.cross_section(classifier(module), flat(), extent=1.0, exact=True)
        assert sorted(boundary.classes for boundary in section.boundaries) == [
            (0, 1), (0, 2), (1, 2),
        ]  # fmt: skip
        for boundary in section.boundaries:
            ends = np.hypot(*boundary.points[[0, -1]].T)
            assert ends.min() < 1e-9  # the centre
            assert np.abs(boundary.points).max() == pytest.approx(1.0, abs=1e-9)  # the rim
        assert sum(region.area for region in section.regions) == pytest.approx(4.0, abs=1e-9)

    def test_a_window_within_one_region(self) -> None:
        section = gx.cross_section(
            classifier(Polygon(self.square)), flat(), extent=(5, 6, 5, 6), exact=True
        )
        (region,) = section.regions
        assert (region.label, region.area) == (1, pytest.approx(1.0))
        assert section.boundaries == ()
        assert bool((section.labels == 1).all())

    def test_a_checkerboard_touches_at_its_centre(self) -> None:
        class Saddle(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                a, b = x.flatten(1)[:, :2].unbind(1)
                level = (a + b).abs() - (a - b).abs()  # positive where the signs agree
                return torch.stack([level, -level], 1)

        section = gx.cross_section(classifier(Saddle()), flat(), extent=1.0, exact=True)
        areas = sorted((region.label, region.area) for region in section.regions)
        assert sum(area for label, area in areas if label == 0) == pytest.approx(2.0, abs=1e-6)
        assert sum(area for label, area in areas if label == 1) == pytest.approx(2.0, abs=1e-6)

    def test_results_are_saved_and_read_back(self, tmp_path) -> None:
        section = gx.cross_section(
            classifier(Polygon(self.square)),
            flat(),
            extent=(-1, 2, -1, 2),
            resolution=33,
            exact=True,
        )
        section.save(tmp_path / "section.npz")
        again = gx.CrossSection.load(tmp_path / "section.npz")
        assert again.exact
        assert len(again.regions) == len(section.regions)
        assert (again.regions[0].outline == section.regions[0].outline).all()


class TestTrainedNetworks:
    @pytest.mark.parametrize("seed", range(3))
    def test_pixels_away_from_boundaries_agree_with_the_network(self, seed: int) -> None:
        clf = gx.load_classifier("digits-cnn")
        images = gx.load_images("digits", split="test").images
        b = gx.nearest_boundary(clf, images[seed])
        tangent = gx.geometry.directions.random_tangent(b, seed=seed)
        plane = gx.Plane.normal_section(b, tangent)
        exact = gx.cross_section(clf, plane, resolution=129, exact=True)
        dense = gx.cross_section(clf, plane, resolution=129, refine="everything")
        refined = gx.cross_section(clf, plane, resolution=129)
        away = _uniform(exact.labels)
        assert bool(away.any())
        assert bool((exact.labels == dense.labels)[away].all())
        assert bool((exact.labels == refined.labels)[away].all())
        x0, x1, y0, y1 = (float(v) for v in (exact.x[0], exact.x[-1], exact.y[0], exact.y[-1]))
        area = sum(region.area for region in exact.regions)
        assert area == pytest.approx((x1 - x0) * (y1 - y0), rel=1e-7)

    def test_both_logits_are_equal_on_the_boundary(self) -> None:
        clf = gx.load_classifier("digits-cnn")
        program = program_of(clf)
        b = gx.nearest_boundary(clf, gx.load_images("digits", split="test").images[5])
        tangent = gx.geometry.directions.random_tangent(b, seed=0)
        plane = gx.Plane.normal_section(b, tangent)
        section = gx.cross_section(clf, plane, resolution=65, exact=True)
        for boundary in section.boundaries:
            middles = torch.from_numpy((boundary.points[1:] + boundary.points[:-1]) / 2)
            images = plane.origin.double() + sum(
                middles[:, k, None, None, None] * axis.double()
                for k, axis in enumerate((plane.u, plane.v))
            )
            top = program.forward(images).topk(2, dim=1)
            assert float((top.values[:, 0] - top.values[:, 1]).abs().max()) < 1e-7
            assert {tuple(sorted(pair)) for pair in top.indices.tolist()} == {boundary.classes}

    def test_the_bound_of_a_triangle_holds_everywhere_in_it(self) -> None:
        clf = gx.load_classifier("shapes-lenet")
        program = program_of(clf)
        generator = torch.Generator().manual_seed(0)
        images = gx.load_images("shapes", split="test").images[:3].double()
        for size in (1.0, 0.1, 0.01, 1e-3):
            corners = images[0] + size * (torch.randn(6, 3, *images[0].shape, generator=generator)
                                          .double() / 55)  # fmt: skip
            known = triangles_through(program, corners)
            weights = torch.rand(6, 40, 3, generator=generator, dtype=torch.float64)
            weights /= weights.sum(2, keepdim=True)
            points = torch.einsum("nkc,nc...->nk...", weights, corners)
            logits = program.forward(points.flatten(0, 1)).reshape(6, 40, -1)
            between = torch.einsum("nkc,ncl->nkl", weights, known.logits)
            assert bool(((logits - between).abs() <= known.errors[:, None]).all())


class TestBadInput:
    def test_a_network_that_is_not_piecewise_linear(self) -> None:
        clf = gx.load_classifier("digits-cnn-smooth")
        with pytest.raises(ValueError, match=r"exact must be False.*gelu"):
            gx.cross_section(clf, gx.Plane.through(*torch.rand(3, 1, 8, 8)), exact=True)


def _uniform(labels: torch.Tensor) -> torch.Tensor:
    """Whether all pixels around one are of its class."""
    maps = labels[None, None].float()
    highest = nn.functional.max_pool2d(maps, 3, 1, 1)
    lowest = -nn.functional.max_pool2d(-maps, 3, 1, 1)
    return (highest == lowest)[0, 0]


class Shifted(nn.Module):
    """x - y / 2 - 0.2 against zero, where x is rounded by a shift that is taken away again."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = nn.Parameter(torch.tensor(size, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        level = (x[:, :1] + self.size) - self.size - x[:, 1:2] / 2 - 0.2
        return torch.cat([level, 0 * level], 1)


class Strip(nn.Module):
    """Class 1 on a strip of the plane, so wide, upright or not."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = nn.Parameter(torch.tensor(width, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height = nn.functional.relu(self.width - (x.flatten(1)[:, :1] - 0.30303).abs()) / self.width
        return torch.cat([1.1 - 0 * height, 2 * height], 1)


def whole_numbers(seed: int, *, shift: bool) -> nn.Sequential:
    """Units and classes that are equal along common lines, and where three or more of them meet."""
    layers = [nn.Flatten(), nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)]
    module = nn.Sequential(*layers).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            values = torch.randint(-2, 3, parameter.shape, generator=generator).double()
            parameter.copy_(values if parameter.ndim == 2 or shift else 0 * values)
        module[-1].bias += torch.tensor([0.0, 0.5, -0.5])
    return module


class TestCommonLines:
    @pytest.mark.parametrize("shift", [True, False])
    @pytest.mark.parametrize("seed", range(8))
    def test_regions_fill_the_window_and_every_pixel_is_right(self, seed: int, shift: bool) -> None:
        module = whole_numbers(seed, shift=shift)
        section = gx.cross_section(
            classifier(module), flat(), extent=1.0, resolution=65, exact=True
        )
        assert sum(region.area for region in section.regions) == pytest.approx(4.0, abs=1e-11)
        y, x = torch.meshgrid(section.y, section.x, indexing="ij")
        with torch.no_grad():
            logits = module(torch.stack([x, y], -1).reshape(-1, 1, 1, 2)).reshape(65, 65, 3)
        highest = logits.topk(2, dim=2).values
        clear = highest[..., 0] - highest[..., 1] > 1e-11
        assert bool((section.labels == logits.argmax(2))[clear].all())
        for row, column in [(3, 7), (20, 51), (33, 12), (40, 40), (58, 29), (61, 3)]:
            if clear[row, column]:
                place = np.array([float(section.x[column]), float(section.y[row])])
                around = [region.label for region in section.regions if holds(region, place)]
                assert around == [int(section.labels[row, column])]

    @pytest.mark.parametrize("width", [1e-6, 1e-9, 1e-11])
    def test_a_thin_strip_is_a_region_of_its_own(self, width: float) -> None:
        section = gx.cross_section(
            classifier(Strip(width)), flat(), extent=(0, 1, 0, 1), resolution=51, exact=True
        )
        (strip,) = [region for region in section.regions if region.label == 1]
        assert strip.area == pytest.approx(0.9 * width, rel=1e-3)
        assert bool((section.labels == 0).all())

    def test_so_many_pieces_are_refused_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exact_slices, "_FORETOLD", 20)
        monkeypatch.setattr(exact_slices, "_MOST_TRIANGLES", 200)
        clf = gx.load_classifier("digits-cnn")
        images = gx.load_images("digits", split="test").images
        plane = gx.Plane.through(*images[:3])
        with pytest.raises(ValueError, match=r"extent holds .* pieces.*smaller extent"):
            gx.cross_section(clf, plane, extent=0.6, resolution=33, exact=True)
        assert clf.cost.forwards < 4000


class TestWhatIsKnown:
    window = (0.0031, 0.9971, 0.0017, 0.9983)

    @pytest.mark.parametrize("size", [2e15, 1e18])
    def test_rounding_that_hides_the_boundary_is_refused(self, size: float) -> None:
        with pytest.raises(ValueError, match=r"exact must be False.*rounding"):
            gx.cross_section(
                classifier(Shifted(size)), flat(), extent=self.window, resolution=33, exact=True
            )

    @pytest.mark.parametrize("size", [1.0, 1e6])
    def test_what_rounding_leaves_open_is_said(self, size: float) -> None:
        section = gx.cross_section(
            classifier(Shifted(size)), flat(), extent=self.window, resolution=33, exact=True
        )
        assert section.exact
        assert 1e-17 * size < section.undecided < 1e-13 * size + 1e-14

    def test_a_network_that_is_another_one_is_refused(self) -> None:
        """Bright images go through what the program has not seen."""
        clf = classifier(Strip(0.1))
        program = program_of(clf)
        network = program.network[1]
        network.forward = lambda x: Strip.forward(network, x) + (x.flatten(1)[:, :1] > 0.9)
        with pytest.raises(ValueError, match="exact must be False"):
            gx.cross_section(clf, flat(), extent=(0, 1, 0, 1), resolution=33, exact=True)

    def test_the_upper_rim_is_right_as_well(self) -> None:
        section = gx.cross_section(
            classifier(Strip(0.2)), flat(), extent=(0, 1, 0, 1), resolution=51, exact=True
        )
        assert (section.labels == section.labels[0]).all()
        assert section.labels[0].unique().tolist() == [0, 1]

    @pytest.mark.parametrize("width", [1e-9, 3e-10, 1e-10])
    def test_beside_a_strip_too_thin_for_a_polygon_classes_are_right(self, width: float) -> None:
        section = gx.cross_section(
            classifier(Strip(width)), flat(), extent=(0, 1, 0, 1), resolution=51, exact=True
        )
        assert (section.labels == 0).all()
