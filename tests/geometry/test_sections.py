"""Cross-sections of classifiers whose regions are known in closed form, and of a network."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.sections import CrossSection, cross_section, cross_section_steps
from geoexplorer.jobs import Progress
from geoexplorer.zoo import load_classifier
from tests.analytic import (
    Annulus,
    Ball,
    Bridge,
    Ellipsoid,
    HalfSpace,
    TwoIslands,
    Wedge,
    classifier,
)

SHAPE = (3, 4, 4)


def _draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _directions(count):
    """Orthonormal directions ``(count, C, H, W)``."""
    return torch.linalg.qr(_draw(48, count, seed=1)).Q.T.reshape(-1, *SHAPE)


CENTRE = _draw(*SHAPE, seed=2) / 10
AXIS, SIDE, OUT = _directions(3)
# Through the centre and tilted against the modules' own axes.
PLANE = Plane.spanned(CENTRE + 0.05 * AXIS, 0.8 * AXIS + 0.6 * SIDE, SIDE + 0.3 * OUT)

MODULES = {
    "half-space": HalfSpace(AXIS + 0.4 * OUT, 0.1),
    "ball": Ball(CENTRE, 0.6),
    "annulus": Annulus(CENTRE, 0.3, 0.7),
    "two islands": TwoIslands(CENTRE + 0.5 * AXIS, 0.25, CENTRE - 0.5 * AXIS, 0.35),
    "thin wedge": Wedge(CENTRE - 0.7 * AXIS, AXIS, SIDE, 0.03),
    "thin bridge": Bridge(CENTRE + 0.5 * AXIS, CENTRE - 0.5 * AXIS, 0.02),
    "ellipsoid": Ellipsoid(CENTRE, 0.3 + 0.5 * torch.rand(SHAPE, generator=torch.Generator())),
}


@pytest.fixture(params=MODULES, ids=str)
def clf(request):
    return classifier(MODULES[request.param])


def _images(section):
    """The images at all pixels of a section."""
    y, x = torch.meshgrid(section.y, section.x, indexing="ij")
    return section.plane.points(torch.stack([x.flatten(), y.flatten()], dim=1))


def _dense(clf, section):
    return clf.labels(_images(section)).reshape(section.labels.shape)


def _wrong(clf, section):
    return float((section.labels != _dense(clf, section)).double().mean())


def test_the_map_is_that_of_the_dense_grid(clf):
    section = cross_section(clf, PLANE, extent=1.0, resolution=257)
    assert _wrong(clf, section) <= 1e-4
    assert section.evaluations < 0.03 * section.labels.numel()
    margins = clf.logits(_images(section)).topk(2, dim=1).values.diff(dim=1).neg()
    away = section.margins.double().flatten() - margins[:, 0]
    assert float(away.abs().max()) < 0.05 * float(margins.max())


def test_boundaries_lie_on_the_curve(clf):
    """Closer than a twentieth of a pixel, where the curve is not as fine as the pixels."""
    section = cross_section(clf, PLANE, extent=1.0, resolution=513)
    pixel = float(section.x[1] - section.x[0])
    assert section.boundaries
    points = torch.from_numpy(np.concatenate([b.points for b in section.boundaries]))
    logits, slopes = [], []
    for axis in (None, 0, 1):
        step = torch.zeros(2, dtype=torch.float64)
        if axis is not None:
            step[axis] = 1e-4 * pixel
        ahead, behind = (clf.logits(section.plane.points(points + s)) for s in (step, -step))
        if axis is None:
            logits = ahead.topk(2, dim=1)
        else:
            slopes.append((ahead - behind) / (2e-4 * pixel))
    high, low = logits.indices.T
    rows = torch.arange(len(points))
    gaps = logits.values[:, 0] - logits.values[:, 1]
    slope = torch.stack([s[rows, high] - s[rows, low] for s in slopes]).norm(dim=0)
    distances = gaps / slope / pixel
    if clf.n_classes > 2:
        thirds = clf.logits(section.plane.points(points)).topk(3, dim=1).values
        distances = distances[(thirds[:, 0] - thirds[:, 2]) / slope > 2 * pixel]
    assert float(distances.quantile(0.99)) < 0.05
    assert float(distances.max()) < (0.05 if clf.name in ("Ball", "HalfSpace") else 0.25)


def test_a_linear_classifier_in_many_dimensions():
    w = _draw(3, 32, 32)
    clf = classifier(HalfSpace(w, 0.2))
    plane = Plane.spanned(torch.zeros(3, 32, 32).double(), w + _draw(3, 32, 32, seed=5), w)
    section = cross_section(clf, plane, extent=1.0, resolution=129)
    assert torch.equal(section.labels, _dense(clf, section))
    (boundary,) = section.boundaries
    margins = clf.margin(plane.points(torch.from_numpy(boundary.points)), 0, 1)
    assert float(margins.abs().max() / w.norm()) < 1e-5


def test_a_ball_is_one_closed_boundary():
    section = cross_section(classifier(MODULES["ball"]), PLANE, extent=1.0, resolution=200)
    (boundary,) = section.boundaries
    assert boundary.classes == (0, 1)
    assert np.array_equal(boundary.points[0], boundary.points[-1])
    assert section.own == 0


def test_three_classes_meet_at_the_tip_of_a_wedge():
    module = Wedge(CENTRE, AXIS, SIDE, 0.4)
    plane = Plane.spanned(CENTRE, AXIS, SIDE)
    section = cross_section(classifier(module), plane, extent=1.0, resolution=128)
    assert sorted(b.classes for b in section.boundaries) == [(0, 1), (0, 2), (1, 2)]
    ends = [min(b.points[[0, -1]].tolist(), key=np.linalg.norm) for b in section.boundaries]
    assert ends[0] == ends[1] == ends[2]
    # Nearer to its tip the wedge is thinner than a pixel.
    pixel = float(section.x[1] - section.x[0])
    assert np.linalg.norm(ends[0]) < pixel / 0.4 + pixel


def test_two_islands_and_a_bridge_are_told_apart():
    islands = cross_section(classifier(MODULES["two islands"]), PLANE, extent=1.0)
    bridge = cross_section(classifier(MODULES["thin bridge"]), PLANE, extent=1.0)
    assert [len(section.boundaries) for section in (islands, bridge)] == [2, 1]


def test_an_island_between_the_coarse_nodes_is_found():
    """18 pixels across, where the coarse nodes are 21 apart."""
    plane = Plane.spanned(CENTRE, AXIS, SIDE)
    module = TwoIslands(CENTRE - 0.6 * AXIS, 0.25, CENTRE + 3.5 / 12 * (AXIS + SIDE), 0.035)
    clf = classifier(module)
    coarse = next(cross_section_steps(clf, plane, extent=1.0))
    final = cross_section(clf, plane, extent=1.0)
    assert len(coarse.boundaries) == 1
    assert len(final.boundaries) == 2
    assert _wrong(clf, final) <= 1e-4


@pytest.mark.parametrize("resolution", [2, 3, 16, 33, 64, (33, 100), (100, 33), (2, 300), (300, 3)])
def test_any_resolution(clf, resolution):
    section = cross_section(clf, PLANE, extent=(-0.9, 1.1, -1.0, 0.8), resolution=resolution)
    shape = (resolution, resolution) if isinstance(resolution, int) else resolution
    assert section.labels.shape == section.margins.shape == section.evaluated.shape == shape
    assert (section.labels.dtype, section.margins.dtype) == (torch.int64, torch.float32)
    assert (len(section.y), len(section.x)) == shape
    assert (section.x.dtype, section.y.dtype) == (torch.float64, torch.float64)
    assert [float(section.x[0]), float(section.x[-1])] == [-0.9, 1.1]
    assert [float(section.y[0]), float(section.y[-1])] == [-1.0, 0.8]
    assert bool((section.margins >= 0).all())
    assert int((section.labels != _dense(clf, section)).sum()) <= 1 + 1e-4 * section.labels.numel()


def test_refining_everything_is_the_dense_grid(clf):
    section = cross_section(clf, PLANE, extent=1.0, resolution=(60, 47), refine="everything")
    assert torch.equal(section.labels, _dense(clf, section))
    logits = clf.logits(_images(section)).topk(2, dim=1).values
    margins = (logits[:, 0] - logits[:, 1]).reshape(60, 47)
    assert torch.allclose(section.margins.double(), margins, rtol=1e-4, atol=1e-6)
    assert bool(section.evaluated.all())
    assert section.evaluations == 60 * 47 + 1


@pytest.mark.parametrize("refine", ["boundary", "everything"])
def test_steps_get_better_and_keep_what_was_evaluated(clf, refine):
    options = {"extent": 1.0, "resolution": 150, "refine": refine}
    before = clf.cost
    steps = list(cross_section_steps(clf, PLANE, **options))
    # Where polynomials through the coarse grid leave no doubt, the first map is the final one.
    assert len(steps) >= (2 if clf.name in ("Annulus", "Bridge", "TwoIslands") else 1)
    assert steps[-1].evaluations == (clf.cost - before).forwards
    for step in steps:
        assert step.labels.shape == (150, 150)
        assert step.evaluations == step.cost.forwards == int(step.evaluated.sum()) + 1
        assert step.cost.gradients == 0
    for one, next_one in itertools.pairwise(steps):
        assert one.progress.fraction <= next_one.progress.fraction
        assert not one.progress.complete
        assert bool(next_one.evaluated[one.evaluated].all())
        assert torch.equal(next_one.labels[one.evaluated], one.labels[one.evaluated])
        assert torch.equal(next_one.margins[one.evaluated], one.margins[one.evaluated])
    assert steps[-1].progress == Progress()
    plain = cross_section(clf, PLANE, **options)
    assert torch.equal(plain.labels, steps[-1].labels)
    assert torch.equal(plain.margins, steps[-1].margins)
    _assert_same_boundaries(plain, steps[-1])


def test_the_picture_does_not_depend_on_the_chunk_size(clf):
    small = classifier(clf.module[1], chunk_size=7)
    sections = [cross_section(c, PLANE, extent=1.0, resolution=130) for c in (clf, small)]
    assert torch.equal(sections[0].labels, sections[1].labels)
    assert sections[0].evaluations == sections[1].evaluations


def test_transposing_the_plane_transposes_the_map(clf):
    window = (-0.9, 1.1, -1.0, 0.8)
    section = cross_section(clf, PLANE, extent=window, resolution=(90, 140))
    turned = cross_section(
        clf, PLANE.transposed(), extent=(*window[2:], *window[:2]), resolution=(140, 90)
    )
    assert torch.equal(section.labels, turned.labels.T)
    assert section.evaluations == turned.evaluations
    back = replace(
        turned,
        boundaries=tuple(replace(b, points=b.points[:, ::-1]) for b in turned.boundaries),
    )
    _assert_same_boundaries(section, back, tolerance=1e-3)  # a fourteenth of a pixel


def _assert_same_boundaries(section, other, tolerance=1e-9):
    kinds = [sorted((b.classes, len(b.points)) for b in s.boundaries) for s in (section, other)]
    assert kinds[0] == kinds[1]
    points = [np.concatenate([b.points for b in s.boundaries]) for s in (section, other)]
    apart = torch.cdist(
        *(torch.from_numpy(np.ascontiguousarray(p)) for p in points),
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    assert float(apart.min(dim=0).values.max()) <= tolerance
    assert float(apart.min(dim=1).values.max()) <= tolerance


def test_a_trained_network_within_the_target():
    """At 257 x 257; the benchmark measures 513 x 513 on all networks."""
    clf = load_classifier("digits-cnn", device="cpu")
    images = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    section = cross_section(clf, Plane.through(*images), resolution=257)
    assert len(section.boundaries) > 2
    assert section.evaluations <= 0.02 * section.labels.numel()
    assert _wrong(clf, section) <= 1e-4


def test_a_thousand_classes():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 1000))
    clf = Classifier(module.eval(), input_shape=SHAPE, device="cpu")
    plane = Plane(CENTRE.float(), AXIS.float(), SIDE.float())
    section = cross_section(clf, plane, extent=5.0, resolution=129)
    assert len(section.labels.unique()) > 5
    assert _wrong(clf, section) <= 2e-4


# The window and the class on show.


def test_the_window_covers_all_marks_with_a_quarter_of_their_span():
    plane = replace(PLANE, marks={"a": (0.0, 0.0), "b": (2.0, 0.0), "c": (0.5, 1.0)})
    section = cross_section(classifier(MODULES["ball"]), plane, resolution=5)
    assert section.x.tolist() == [-0.5, 0.25, 1.0, 1.75, 2.5]
    assert section.y.tolist() == [-1.0, -0.25, 0.5, 1.25, 2.0]


@pytest.mark.parametrize("marks", [{}, {"x": (0.2, -0.1)}, {"x": (0.2, -0.1), "z": (0.2, -0.1)}])
def test_without_a_span_the_window_is_scaled_by_the_bounds(marks):
    clf = classifier(MODULES["ball"], bounds=(-1.0, 1.0))
    section = cross_section(clf, replace(PLANE, marks=marks), resolution=5)
    half = 0.1 * 48**0.5 * 2.0
    x, y = marks.get("x", (0.0, 0.0))
    expected = [x - half, x + half, y - half, y + half]
    found = [section.x[0], section.x[-1], section.y[0], section.y[-1]]
    assert np.allclose(found, expected)


def test_half_a_width_is_around_the_origin():
    section = cross_section(classifier(MODULES["ball"]), PLANE, extent=0.5, resolution=3)
    assert section.x.tolist() == section.y.tolist() == [-0.5, 0.0, 0.5]


@pytest.mark.parametrize(("mark", "own"), [((0.0, 0.0), 0), ((0.9, 0.0), 1)])
def test_own_is_the_class_at_the_mark_x(mark, own):
    plane = replace(PLANE, marks={"x": mark, "z": (0.5, 0.0)})
    section = cross_section(classifier(MODULES["ball"]), plane, extent=0.1, resolution=8)
    assert section.own == own


def test_a_section_survives_saving(tmp_path):
    clf = classifier(MODULES["two islands"], class_names=["island", "sea"])
    section = cross_section(clf, PLANE, resolution=(40, 50))
    section.save(tmp_path / "section.npz")
    loaded = CrossSection.load(tmp_path / "section.npz")
    for name in ("labels", "margins", "x", "y", "evaluated"):
        assert torch.equal(getattr(loaded, name), getattr(section, name))
    assert loaded.class_names == ("island", "sea")
    assert (loaded.evaluations, loaded.own) == (section.evaluations, section.own)
    assert torch.equal(loaded.plane.u, section.plane.u)
    _assert_same_boundaries(loaded, section)
    assert loaded.provenance.function == "cross_section"
    assert loaded.provenance.options["resolution"] == (40, 50)


# Bad input is refused before the first evaluation.

BALL = classifier(MODULES["ball"])
BAD = {
    "clf": (TypeError, {"clf": MODULES["ball"]}),
    "plane": (TypeError, {"plane": "plane"}),
    "plane.origin": (ValueError, {"plane": Plane.spanned(*torch.rand(3, 3, 8, 8))}),
    "plane.origin holds": (ValueError, {"plane": replace(PLANE, origin=CENTRE * torch.nan)}),
    "plane.origin holds values": (ValueError, {"plane": replace(PLANE, origin=CENTRE + 128)}),
    "extent must be finite": (ValueError, {"extent": -1.0}),
    "extent must be finite and": (ValueError, {"extent": float("inf")}),
    "extent must be None": (TypeError, {"extent": (0.0, 1.0)}),
    "extent must be None, half": (TypeError, {"extent": "wide"}),
    "extent .* x0 < x1": (ValueError, {"extent": (1.0, 1.0, 0.0, 1.0)}),
    "extent .* y0 < y1": (ValueError, {"extent": (0.0, 1.0, 2.0, 1.0)}),
    "extent .* finite": (ValueError, {"extent": (0.0, 1.0, 0.0, float("nan"))}),
    "resolution must be at least 2": (ValueError, {"resolution": 1}),
    "resolution .* 2 each": (ValueError, {"resolution": (100, 1)}),
    "resolution .* of at least": (ValueError, {"resolution": (5, 5, 5)}),
    "resolution must be an int": (TypeError, {"resolution": 64.0}),
    "resolution must be an int or": (TypeError, {"resolution": "fine"}),
    "refine": (ValueError, {"refine": "all"}),
    "tolerance": (ValueError, {"tolerance": 0.0}),
    "tolerance must": (ValueError, {"tolerance": 0.6}),
    "tolerance must be a number": (ValueError, {"tolerance": None}),
}


@pytest.mark.parametrize(("message", "case"), BAD.items(), ids=BAD)
@pytest.mark.parametrize("function", [cross_section, cross_section_steps])
def test_bad_input_is_named_before_any_work(function, message, case):
    error, change = case
    arguments = {"clf": BALL, "plane": PLANE, **change}
    before = BALL.cost
    with pytest.raises(error, match=message):
        function(arguments.pop("clf"), arguments.pop("plane"), **arguments)
    assert BALL.cost == before


def test_logits_that_are_not_finite_in_the_window_are_reported():
    class Overflowing(nn.Module):
        def forward(self, x):
            total = x.flatten(1).sum(dim=1)
            return torch.stack([torch.exp(200 * total.abs()), total], dim=1)

    clf = Classifier(Overflowing().eval(), input_shape=(1, 1, 2), bounds=(0.0, 0.1), device="cpu")
    plane = Plane.spanned(torch.zeros(1, 1, 2), *torch.eye(2).reshape(2, 1, 1, 2))
    with pytest.raises(ValueError, match="NaN or infinite logits in this window"):
        cross_section(clf, plane, extent=5.0, resolution=8)
