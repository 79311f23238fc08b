"""Normal sections side by side: one scale, one window, each with its parabola and title."""

import math

import numpy as np
import pytest
import torch

from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.normal_sections import normal_sections_figure
from geoexplorer.figures.sections import TRACES
from geoexplorer.figures.text import bare, text_width
from geoexplorer.geometry.normal_sections import NormalSections
from geoexplorer.jobs import Progress
from geoexplorer.results import Provenance
from tests.figures.maps import cells, halves

NAMES = ("principal direction 63", "random tangent 1", "DCT (0, 3)", "principal direction 1", "v")
CURVATURES = (-0.58, 0.02, 0.0, 1.5, 4.0)


def sections(count=2, *, half_height=2.0, names=NAMES, **fields):
    section = halves(("cat", "dog"), half_height=half_height, marks={"x": (-0.9, 0), "z": (0, 0)})
    return NormalSections(
        **{
            "sections": (section,) * count,
            "curvatures": CURVATURES[:count],
            "standard_errors": (0.0,) * count,
            "names": names[:count],
            "own": 0,
            "other": 1,
            "method": "smoothed",
            "step": 0.156,
            "provenance": Provenance(network="digits-cnn"),
            **fields,
        }
    )


def notes(figure):
    return [bare(note.text.replace("<b>", "").replace("</b>", "")).replace("<br>", " ")
            for note in figure.layout.annotations]  # fmt: skip


def maps(figure):
    """For each map: left, right, lower and upper edge in pixels."""
    width, height = figure.layout.width, figure.layout.height
    axes = zip(figure.select_xaxes(), figure.select_yaxes(), strict=True)
    return [
        (x.domain[0] * width, x.domain[1] * width, y.domain[0] * height, y.domain[1] * height)
        for x, y in axes
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize(("width", "font_size"), [(321.26, 8), (640, 9), (1000, 12)])
@pytest.mark.parametrize("half_height", [0.7, 2.0, 3.0])
def test_maps_have_one_scale_and_lie_inside(count, width, font_size, half_height):
    figure = sections(count, half_height=half_height).figure(width=width, font_size=font_size)
    assert figure.layout.width == width
    places = maps(figure)
    assert len(places) == count
    windows = {(*x.range, *y.range) for x, y in
               zip(figure.select_xaxes(), figure.select_yaxes(), strict=True)}  # fmt: skip
    assert len(windows) == 1
    x0, x1, y0, y1 = windows.pop()
    for left, right, low, high in places:
        assert (right - left) / (x1 - x0) == pytest.approx((high - low) / (y1 - y0), rel=1e-6)
        assert 0 < left < right < width
        assert 0 < low < high < figure.layout.height
    for first in range(count):
        for second in range(first):
            a, b = places[first], places[second]
            assert a[0] >= b[1] or b[0] >= a[1] or a[2] >= b[3] or b[2] >= a[3]


def test_each_has_its_parabola():
    figure = sections(3).figure()
    for index in range(3):
        parabola = figure.data[index * len(TRACES) + list(TRACES).index("parabola")]
        y = np.array(parabola.y)
        np.testing.assert_allclose(parabola.x, 0.5 * CURVATURES[index] * y**2, atol=1e-12)
        assert parabola.xaxis == f"x{index + 1 if index else ''}"
    assert any("½ κ y²" in text for text in notes(figure))
    without = sections(2).figure(parabola=False)
    assert not any("½ κ y²" in text for text in notes(without))
    assert not len(without.data[list(TRACES).index("parabola")].x)


def test_it_says_what_it_is():
    said = notes(sections(2, progress=Progress(0.5, "map 1 of 2")).figure())
    assert "Normal sections of digits-cnn" in said[0]
    assert "own: cat · other: dog · κ: smoothed, h = 0.156 · coarse (map 1 of 2)" in said[0]
    assert "principal direction 63, κ = −0.58" in said
    assert "random tangent 1, κ = 0.02" in said
    assert "tangent" in said
    assert any("normal, out of the own region · l2 distance in pixel values" in t for t in said)
    assert "coarse" not in notes(sections(2).figure())[0]


@pytest.mark.parametrize("width", [250, 321, 640])
def test_titles_fit_over_their_maps(width):
    figure = sections(2, names=("the most negative principal direction", "x")).figure(width=width)
    left, right, *_ = maps(figure)[0]
    (title,) = (n for n in figure.layout.annotations if "negative" in n.text)
    for line in title.text.split("<br>"):
        assert text_width(line.replace("<b>", "").replace("</b>", ""), 12) <= right - left


def test_ticks_are_shared():
    figure = sections(3).figure()
    assert [axis.showticklabels for axis in figure.select_yaxes()] == [True, False, False]
    assert [axis.showticklabels for axis in figure.select_xaxes()] == [True] * 3
    below = sections(5).figure()  # three above two
    assert [axis.showticklabels for axis in below.select_xaxes()] == [False] * 2 + [True] * 3
    for axis in figure.select_xaxes():
        assert (axis.range[1] - axis.range[0]) / axis.dtick >= 3


def test_axes_move_together():
    figure = sections(3).figure()
    first, *others = figure.select_xaxes()
    assert first.matches is None
    assert {axis.matches for axis in others} == {"x"}
    assert {axis.matches for axis in list(figure.select_yaxes())[1:]} == {"y"}


def test_classes_without_room_stand_in_one_key():
    section = cells(400, resolution=257)
    figure = sections(sections=(section, section), own=section.own).figure(width=321)
    key = figure.layout.annotations[2].text
    named = {text for item in figure.data if item.name == "names" for text in item.text}
    missing = [n for n in section.class_names if n not in named and f"{n} (own)" not in named]
    assert missing
    assert sum(name in key for name in missing) >= min(3, len(missing))
    assert class_colour(section.class_names.index(missing[0])) in key or "more" in key


def test_dark_and_bare():
    figure = sections().figure(theme="dark", title=False, caption=False, markers=False)
    assert figure.layout.template.layout.paper_bgcolor == "#111111"
    said = notes(figure)
    assert said[0] == said[2 if said[2] == "" else 1] == ""
    assert not len(figure.data[list(TRACES).index("marks")].x)
    assert figure.layout.height < sections().figure().layout.height


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"theme": "blue"}, "theme must be"),
        ({"shading": "rainbow"}, "shading must be one of 'margin', 'bands', 'none', got 'rainbow'"),
        ({"width": 100}, "width must leave 114 pixels for a map"),
        ({"width": -1}, "width must be a positive number"),
        ({"width": "x"}, "width must be a positive number, got 'x'"),
        ({"font_size": "8"}, "font_size must be a positive number, got '8'"),
        ({"font_size": float("nan")}, "font_size must be a positive number"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        normal_sections_figure(sections(), **options)


def test_saved_and_drawn_again(tmp_path):
    result = sections()
    result.save(tmp_path / "a.npz")
    again = NormalSections.load(tmp_path / "a.npz")
    assert again.figure().to_json() == result.figure().to_json()
    assert torch.equal(again.sections[0].labels, result.sections[0].labels)


def test_a_curvature_has_its_error_beside_it():
    figure = sections(2, curvatures=(-1.36, 2.0), standard_errors=(0.031, 0.0)).figure()
    said = " ".join(notes(figure))
    assert "κ = −1.36 ± 0.03" in said
    assert "κ = 2" in said
    assert "2 ±" not in said


def test_without_a_curvature_there_is_no_parabola():
    """As of a secant where the boundary is too far from its tangent plane."""
    figure = sections(1, curvatures=(math.nan,), method="secant").figure()
    assert "κ = not known" in " ".join(notes(figure))
    assert all(len(line.x or ()) == 0 for line in figure.data if line.name == "parabola")


def test_the_curvature_of_a_principal_direction_is_said_once():
    figure = sections(1, names=("principal direction −1 (κ = −0.6)",), curvatures=(-0.58,)).figure()
    assert "principal direction −1, κ = −0.58" in notes(figure)
