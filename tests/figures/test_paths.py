"""Figures of paths: what they say is proven, where the scores cross, the strip, the map."""

import dataclasses
import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from geoexplorer.figures import save
from geoexplorer.figures.path_course import Course
from geoexplorer.figures.path_words import straightness_words, verdict
from geoexplorer.figures.paths import apply, blank_chart, path_layers
from geoexplorer.figures.sections import TRACES as MAP_TRACES
from geoexplorer.figures.sections import section_layers
from geoexplorer.figures.text import bare
from geoexplorer.geometry.path_places import (
    anchor_distances,
    images_at,
    known_logits,
    least_place,
    margins_of,
)
from geoexplorer.geometry.path_planes import path_plane
from geoexplorer.geometry.planes import Plane
from geoexplorer.jobs import Progress
from geoexplorer.results import Result
from tests.figures.maps import halves
from tests.figures.paths import DIGITS, LABEL, corners, path, segment
from tests.figures.test_curvature import caption, heading, lines_in, trace, words

SLIVER = (0.5, 1e-6, 0.5)
DIP = (0.5, 0.1, 2.0)


def known(values):
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values)]


# What is said.


def test_a_proof_says_what_it_rests_on():
    said = heading(path(3).figure())
    assert "Path in the region of 7 of digits-cnn" in said
    assert "proven: never leaves 7 (120 affine pieces, least margin 1.5" in said
    assert "against a rounding error of 1e−11)" in words(path(3).figure())
    assert "3 anchors" in said
    assert "straightness 1.1" in said


def test_what_is_sampled_is_never_called_proven():
    said = words(path(2, exact=False).figure())
    assert "sampled every 0.048, not proven: no sample leaves 7" in said
    assert "proven:" not in said.replace("not proven:", "")
    assert "about" in words(path(2, exact=False, dip=DIP).figure())


def test_what_is_not_connected_says_where_it_failed():
    result = path(3, dip=DIP, at=1)
    first, second = result.segments
    place = first.length + second.place * second.length
    said = words(result.figure())
    assert f"not connected: leaves 7 for 9 at {place:.4g} from a" in said
    assert "proven" not in said
    assert "not final (segments of level 2)" in heading(
        dataclasses.replace(result, progress=Progress(0.5, "segments of level 2")).figure()
    )


def test_what_cannot_be_told_is_called_undecided():
    proof = segment(inside=None, place=0.25, other=9, least_margin=1e-13)
    said = words(proof.figure())
    assert "undecided at 1.05 from a: the margin over 9 is within the rounding error" in said
    assert "never leaves" not in said
    through = path(2, segments=(proof,), connected=False, proof=None)
    assert verdict(through).startswith("not connected: undecided at")
    sampled = dataclasses.replace(proof, exact=False, pieces=0, rounding=0.0, spacing=0.1)
    assert "the margin over 9 is too small there for samples to tell" in words(sampled.figure())
    assert "rounding" not in words(sampled.figure())


def test_a_bent_path_says_how_the_straight_segment_does():
    assert "the straight segment: leaves 7 for 9 at" in words(path(4).figure())
    assert "the straight segment: " not in words(path(2).figure())


def test_straightness_near_one_is_told_apart():
    assert straightness_words(1.0 + 3e-16) == "1"
    assert straightness_words(1.0 + 2e-6) == "1 + 2e−06"
    assert straightness_words(1.0007) == "1.0007"


def test_class_names_may_hold_markup():
    names = ("<b>", *DIGITS[1:7], "<a href='x'>seven</a>", *DIGITS[8:])
    segments = tuple(dataclasses.replace(each, class_names=names) for each in path().segments)
    result = path(class_names=names, segments=segments)
    assert "&lt;a href=" in path_layers(result).layout["annotations"][0]["text"]
    assert "&lt;b&gt;" in [item.name for item in result.figure().data]


# The scores.


def test_the_nearest_five_classes_have_curves_and_names_and_the_others_one_together():
    figure = segment().figure()
    shown = [item for item in figure.data if item.showlegend]
    assert [item.name for item in shown] == ["9", "0", "1", "2", "3", "4 others"]
    assert len({item.line.color for item in shown}) == 6
    for item, least in zip(shown, (1.5, 1.9, 2.3, 2.7, 3.1, 3.5), strict=True):
        assert min(item.y) == pytest.approx(least, abs=0.02)
        assert (item.x[0], item.x[-1]) == (0, pytest.approx(4.2))
        assert item.y[0] == pytest.approx(6)
    assert "dotted curve: the nearest of the 4 others" in caption(figure)


@pytest.mark.parametrize("classes", [2, 3, 7, 1000])
def test_any_number_of_classes(classes, monkeypatch):
    monkeypatch.setattr("tests.figures.paths.LABEL", 1)
    result = segment(classes=classes, label=1)
    figure = result.figure()
    shown = [item for item in figure.data if item.line.width and item.mode == "lines"]
    shown = [item for item in shown if len(item.x) and not item.name.startswith("band")]
    assert len(shown) == min(classes - 1, 6)
    if classes == 2:  # one curve has no key
        assert figure.layout.yaxis.title.text == "how far 1 is ahead of 0 · logits"
    assert len(figure.to_json()) < 200_000


def test_the_zero_line_and_the_ground_below_are_seen():
    for result in (segment(), segment(dip=DIP)):
        figure = result.figure()
        low, high = figure.layout.yaxis.range
        assert low < 0 < high
        assert figure.layout.yaxis.zeroline
        tall = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
        assert -low / (high - low) * tall > 1.5 * 12
        assert "outside 7" in words(figure)


def test_a_crossing_is_marked_with_class_and_exact_place():
    result = segment(dip=DIP, stop=False)
    (stretch,) = Course.of(result).outside
    assert stretch.label == 9
    assert stretch.start == pytest.approx(result.place * result.length, abs=1e-9)
    figure = result.figure()
    marks = next(item for item in figure.data if item.mode == "markers" and len(item.x))
    assert list(marks.x) == [pytest.approx(stretch.start, rel=1e-6)]
    assert list(marks.y) == [0]
    assert f"9 from {stretch.start:.4g}" in words(figure)
    length = stretch.end - stretch.start
    assert f"leaves 7 for 9 at {stretch.start:.4g}, for a length of {length:.2g}" in words(figure)


def test_a_sliver_is_marked_though_nobody_could_see_it():
    result = segment(dip=SLIVER, stop=False, pieces=3000)
    (stretch,) = Course.of(result).outside
    assert 0 < stretch.end - stretch.start < 4.2 * 2e-6
    figure = result.figure()
    assert "leaves 7 for 9 at 2.1, for a length of 2.1e−06" in words(figure)
    curve = trace(figure, "curve 0")
    assert curve.name == "9"
    assert min(known(curve.y)) == pytest.approx(-0.5)  # its lowest point is kept


def test_several_exits_are_found_in_order():
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    logits = torch.zeros(9, 3, dtype=torch.float64)
    logits[:, 0] = torch.tensor([1.0, -1, 1, 1, -1, -3, -1, 1, -1])
    logits[4:7, 2] = 1.0
    proof = dataclasses.replace(
        segment(), label=0, t=t, logits=logits, length=8.0, class_names=("a", "b", "c")
    )
    found = Course.of(proof).outside
    assert [stretch.label for stretch in found] == [1, 2, 1]
    assert [stretch.start for stretch in found] == pytest.approx([0.5, 3 + 1 / 3, 7.5])
    assert [stretch.end for stretch in found[:2]] == pytest.approx([1.5, 6 + 2 / 3])
    assert found[2].end is None
    said = words(proof.figure())
    assert "leaves a for c at 3.333" in said


def test_a_return_inside_one_piece_is_not_overlooked():
    """One class is ahead at its beginning, another at its end, and the own one in between."""
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    logits = torch.tensor([[0.0, 1.0, -3.0], [0.0, -3.0, 1.0]], dtype=torch.float64)
    proof = dataclasses.replace(
        segment(), label=0, t=t, logits=logits, length=4.0, class_names=("a", "b", "c")
    )
    first, second = Course.of(proof).outside
    assert (first.start, first.end, first.label) == (0.0, pytest.approx(1.0), 1)
    assert (second.start, second.end, second.label) == (pytest.approx(3.0), None, 2)


def test_touching_the_boundary_is_no_exit():
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    logits = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    proof = dataclasses.replace(segment(), label=0, t=t, logits=logits, class_names=("a", "b"))
    assert Course.of(proof).outside == []


def test_a_long_proof_is_thinned_and_nothing_moves():
    result = segment(pieces=30_000)
    figure = result.figure()
    curve = trace(figure, "curve 0")
    assert len(curve.x) < 6000
    exact = -result.logits[:, 9].numpy()
    there = np.interp(result.t.numpy() * result.length, np.asarray(curve.x, float), curve.y)
    assert abs(there - exact).max() < 0.3 * 6 / 200  # a third of a pixel
    assert len(figure.to_json()) < 1_000_000


def test_where_nothing_is_known_the_curves_are_broken():
    result = path(4, dip=DIP, at=1)
    curve = trace(result.figure(), "curve 0")
    gap = np.flatnonzero(np.isnan(np.asarray(curve.y, dtype=float)))
    assert len(gap) == 1
    second = float(anchor_distances(result)[2])
    assert curve.x[gap[0] + 1] == pytest.approx(second, rel=1e-6)


def test_anchors_are_lines_with_numbers():
    result = path(5)
    figure = result.figure()
    ends = anchor_distances(result)[1:-1].tolist()
    ticks = next(item for item in figure.data if item.line.dash == "dot" and not item.showlegend)
    assert sorted({round(float(x), 4) for x in known(ticks.x)}) == [round(x, 4) for x in ends]
    texts = trace(figure, "labels").text
    assert {"anchor 2", "3", "4"} <= set(texts)
    assert "anchors" in caption(figure)
    many = path(40, pieces=3).figure()
    assert "2" not in trace(many, "labels").text


def test_a_place_is_pointed_out_with_the_margin_there():
    figure = segment().figure(place=2.1)
    mark = trace(figure, "selected")
    assert (mark.x[0], mark.y[0]) == (pytest.approx(2.1), pytest.approx(1.5))
    assert mark.text[0] == "<b>1.5</b>"
    beyond = path(4, dip=DIP, at=1).figure(place=float(anchor_distances(path(4))[2]) - 1e-3)
    assert len(trace(beyond, "selected").x) == 0  # nothing is known there


def test_axes_say_unit_and_direction():
    figure = path(3).figure()
    assert "l2 distance along the path, from <i>a</i> to <i>b</i>" in figure.layout.xaxis.title.text
    assert "logits" in figure.layout.yaxis.title.text


# Images.


def test_images_along_the_path_stand_above_their_distances():
    result = path(3)
    figure = result.figure()
    shown = [image for image in figure.layout.images if image.visible]
    assert len(shown) == 9
    middles = [image.x + image.sizex / 2 for image in shown]
    np.testing.assert_allclose(middles, np.linspace(0, result.length, 9), atol=1e-5)
    assert all(image.y > 1 and image.yref == "paper" for image in shown)
    low, high = figure.layout.xaxis.range
    assert low <= shown[0].x + 1e-9
    assert shown[-1].x + shown[-1].sizex <= high + 1e-9
    assert len([i for i in result.figure(images=3).layout.images if i.visible]) == 3
    assert not [i for i in result.figure(images=0).layout.images if i.visible]
    tiny = result.figure(width=640, height=240)
    assert not [i for i in tiny.layout.images if i.visible]


def test_the_strip_tells_class_margin_and_distance():
    figure = path(3, dip=DIP).figure(view="strip", images=5)
    texts = trace(figure, "labels").text
    assert len(texts) == 15
    assert "7" in texts[0]
    assert texts[1] == "6"
    assert texts[2] == "0"
    assert "?" in texts[3:9]  # nothing is known beyond the first exit
    assert len([image for image in figure.layout.images if image.visible]) == 5
    assert "ticks: anchors" in caption(figure)


def test_too_many_images_are_refused():
    with pytest.raises(ValueError, match="width must leave"):
        path().figure(view="strip", images=9, width=300)
    with pytest.raises(ValueError, match="images must be between 2 and 24"):
        path().figure(images=1)


def test_colour_images_and_long_names():
    names = ("airplane", "automobile") * 5
    result = path(shape=(3, 32, 32), class_names=names)
    figure = result.figure(view="strip", width=340)
    assert any("…" in text for text in trace(figure, "labels").text)


# Sizes, themes, options, a live figure.


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["scores", "strip"])
@pytest.mark.parametrize(("width", "font_size"), [(300, 8), (321, 8), (640, 9), (1000, 11)])
def test_every_width_has_room_for_its_texts(width, font_size, view, theme):
    for result in (path(2), path(6), path(3, dip=DIP), path(2, exact=False)):
        figure = result.figure(view=view, width=width, font_size=font_size, theme=theme)
        assert figure.layout.width == width
        font = font_size * 96 / 72
        for note in figure.layout.annotations:
            for line in lines_in(note.text):
                assert 0.45 * font * len(line) < width
        top, bottom = (bare(note.text).count("<br>") + 1 for note in figure.layout.annotations)
        assert figure.layout.margin.t > 1.2 * font * top
        assert figure.layout.margin.b > 1.2 * font * bottom


def test_a_path_of_no_length_is_drawn():
    same = corners(1).expand(2, 1, 8, 8)
    figure = path(2, anchors=same, length=0.0, straightness=1.0).figure()
    assert "straightness 1" in heading(figure)
    path(2, anchors=same, length=0.0, straightness=1.0).figure(view="strip")


def test_a_path_without_any_scores_is_drawn():
    figure = path(2, segments=(), connected=False, proof=None).figure()
    assert "not connected: no path was found" in heading(figure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "map"}, r"region_path=path"),
        ({"theme": "blue"}, "theme must be one of"),
        ({"width": 0}, "width must be a positive"),
        ({"width": 60}, "width"),
        ({"font_size": math.nan}, "font_size must be"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        path().figure(**options)
    with pytest.raises(TypeError, match="options of a figure of RegionPath"):
        path().figure(shading="margin")


def test_one_live_figure_shows_every_view_one_after_the_other():
    figure = go.FigureWidget(blank_chart())
    results = [path(2), path(5), path(3, dip=DIP), path(2, exact=False)]
    for result in results:
        for options in ({"theme": "dark", "place": 1.0}, {"view": "strip"}, {"images": 0}):
            apply(figure, path_layers(result, width=500, height=420, **options))
            fresh = result.figure(width=500, height=420, **options)
            shown, wanted = (json.loads(each.to_json()) for each in (figure, fresh))
            for mine, other in zip(shown["data"], wanted["data"], strict=True):
                assert mine.get("x") == other.get("x")
                assert mine.get("y") == other.get("y")
            for mine, other in zip(
                shown["layout"]["images"], wanted["layout"]["images"], strict=True
            ):
                if other["visible"]:
                    assert mine == other
                else:
                    assert not mine["visible"]


def test_no_trace_holds_a_nan_outside_an_array():
    """In a list it would be sent as JSON, which knows none."""
    section = halves()
    for layers in (
        path_layers(path(5)),
        path_layers(path(5), view="strip"),
        path_layers(path(3, dip=DIP)),
        section_layers(section, region_path=path(4, anchors=torch.rand(4, 1, 1, 3))),
    ):
        for values in layers.traces:
            for axis in ("x", "y"):
                if not isinstance(values[axis], np.ndarray):
                    assert all(math.isfinite(value) for value in values[axis])


def test_results_come_back_from_a_file_and_draw_the_same(tmp_path):
    for number, result in enumerate((path(3), segment(dip=DIP), path(3, dip=DIP))):
        file = tmp_path / f"{number}.npz"
        result.save(file)
        assert Result.load(file).figure().to_json() == result.figure().to_json()


def test_it_saves_as_a_page(tmp_path):
    page = save(path(3), tmp_path / "path.html", width="85mm", font_size=8)
    assert "never leaves 7" in page.read_text(encoding="utf-8")


# Places along a path.


def test_images_and_logits_at_a_distance():
    result = path(4)
    ends = anchor_distances(result)
    assert float(ends[-1]) == pytest.approx(result.length)
    assert torch.allclose(images_at(result, ends), result.anchors, atol=1e-6)
    middle = images_at(result, (ends[:1] + ends[1:2]) / 2)[0]
    assert torch.allclose(middle, result.anchors[:2].mean(dim=0), atol=1e-6)
    assert torch.equal(images_at(result, torch.tensor([-1.0, 99.0])), result.anchors[[0, -1]])
    distances, logits = known_logits(result)
    course = Course.of(result)
    np.testing.assert_allclose(course.at(distances.numpy()), logits.numpy(), atol=1e-9)
    between = (distances[3] + distances[4]) / 2
    np.testing.assert_allclose(course.at(np.array([between]))[0], logits[3:5].mean(dim=0))
    place = least_place(result)
    there = margins_of(torch.from_numpy(course.at(np.array([place]))), LABEL)
    assert float(there) == pytest.approx(result.least_margin)


# The plane and the map.


def over(result, plane, **options):
    e = torch.linspace(-1, 5, 65, dtype=torch.float64)
    section = dataclasses.replace(
        halves(DIGITS[:2]), plane=plane, x=e, y=e - 2, labels=torch.zeros(65, 65).long(),
        margins=torch.ones(65, 65), boundaries=(), own=0,
    )  # fmt: skip
    return section.figure(region_path=result, **options)


def map_trace(figure, name):
    return figure.data[list(MAP_TRACES).index(name)]


def test_the_plane_of_a_bent_path_goes_through_its_farthest_anchor():
    result = path(5)
    plane = path_plane(result)
    a, b = result.anchors[0], result.anchors[-1]
    assert plane.marks["a"] == pytest.approx((0, 0), abs=1e-6)
    assert plane.marks["b"] == pytest.approx((float((b - a).norm()), 0), abs=1e-5)
    line = (b - a).double()
    away = (result.anchors - a).double()
    away -= (away * line).flatten(1).sum(1).reshape(-1, 1, 1, 1) / (line**2).sum() * line
    farthest = int(away.flatten(1).norm(dim=1).argmax())
    assert float(plane.distances(result.anchors[farthest])[0]) < 1e-5
    assert plane.v_name == f"toward anchor {farthest + 1}"


def test_the_plane_of_a_straight_path_goes_where_it_is_told_or_anywhere():
    result = path(2)
    third = torch.rand(1, 8, 8)
    assert float(path_plane(result, toward=third).distances(third)[0]) < 1e-5
    first, same, other = (path_plane(result, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.v, same.v)
    assert not torch.allclose(first.v, other.v, atol=0.1)
    with pytest.raises(ValueError, match="a and b are the same image"):
        path_plane(path(2, anchors=corners(1).expand(2, 1, 8, 8), length=0.0))
    with pytest.raises(ValueError, match="parallel"):
        path_plane(result, toward=2 * result.anchors[1] - result.anchors[0])


def test_a_path_in_the_plane_is_drawn_with_its_anchors_and_the_straight_segment():
    result = path(3)
    plane = path_plane(result)
    figure = over(result, plane)
    drawn = map_trace(figure, "path")
    corners_there = plane.coordinates(result.anchors).numpy()
    for x, y in corners_there:
        assert min(np.hypot(known(drawn.x) - x, known(drawn.y) - y)) < 1e-6
    assert len(map_trace(figure, "path elsewhere").x) == 0
    assert list(map_trace(figure, "straight segment").x) == pytest.approx(
        [0, corners_there[-1, 0]], abs=1e-6
    )
    anchors = map_trace(figure, "anchors")
    assert (anchors.x[0], anchors.y[0]) == pytest.approx(tuple(corners_there[1]))
    note = figure.layout.annotations[1].text
    assert "path" in note
    assert "straight segment" in note
    assert "away from this plane" not in note


def test_where_the_path_leaves_the_plane_it_is_dotted():
    result = path(5)
    a, b = result.anchors[0], result.anchors[-1]
    plane = Plane.through(a, b, torch.rand(1, 8, 8))
    figure = over(result, plane)
    away = map_trace(figure, "path elsewhere")
    assert away.line.dash == "dot"
    distance = float((b - a).norm())
    assert (
        f"more than {0.01 * distance:.2g} away from this plane" in figure.layout.annotations[1].text
    )
    # Near both ends it is in the plane, up to exactly that distance.
    near = np.stack([map_trace(figure, "path").x, map_trace(figure, "path").y], axis=1)
    first = near[1] - near[0]
    share = np.hypot(*first) / np.hypot(*(plane.coordinates(result.anchors[1])[0].numpy()))
    there = a + share * (result.anchors[1] - a)
    assert float(plane.distances(there)[0]) == pytest.approx(0.01 * distance, rel=1e-3)


def test_what_failed_is_marked_on_the_map():
    result = path(3, dip=DIP, at=1)
    figure = over(result, path_plane(result))
    marks = map_trace(figure, "anchors")
    assert list(marks.marker.symbol) == ["circle", "x"]
    note = figure.layout.annotations[1].text
    assert "last attempt at a path" in note
    assert "not inside" in note


def test_a_map_without_a_path_shows_none_of_it():
    figure = halves().figure()
    for name in ("path halo", "straight segment", "path", "path elsewhere", "anchors"):
        assert len(map_trace(figure, name).x) == 0


def test_a_path_of_other_images_is_refused():
    with pytest.raises(ValueError, match="region_path must be of images of the plane's shape"):
        section_layers(halves(), region_path=path())
