"""Names, marks, polylines and texts: where they go and how much is left of them."""

import numpy as np
import pytest

from geoexplorer.figures.frame import Frame
from geoexplorer.figures.marks import place_marks
from geoexplorer.figures.polylines import joined
from geoexplorer.figures.region_names import Box, place_names
from geoexplorer.figures.text import escaped, lines_of, text_width
from geoexplorer.figures.theme import theme_named
from tests.figures.maps import cells, halves, rings

NODE = (4.0, 4.0)
SIZE = (40.0, 16.0)


def box_of(place, size=SIZE):
    return Box(
        place.x - size[0] / 2, place.y - size[1] / 2, place.x + size[0] / 2, place.y + size[1] / 2
    )


def label_below(labels, x, y, node=NODE):
    return int(labels[int(y // node[1]), int(x // node[0])])


def test_the_name_of_a_disc_stands_in_its_middle():
    rows, columns = np.mgrid[:101, :101]
    labels = (np.hypot(rows - 60, columns - 40) < 30).astype(int)
    (disc,) = [p for p in place_names(labels, dict.fromkeys((0, 1), SIZE), NODE) if p.label == 1]
    assert (disc.x, disc.y) == (pytest.approx(40.5 * 4, abs=8), pytest.approx(60.5 * 4, abs=8))


def test_the_name_of_a_ring_stands_in_the_ring():
    section = rings()
    places = place_names(section.labels.numpy(), dict.fromkeys(range(3), (20.0, 10.0)), (1.0, 1.0))
    assert {place.label for place in places} == {0, 1, 2}
    for place in places:
        assert label_below(section.labels.numpy(), place.x, place.y, (1.0, 1.0)) == place.label


def test_names_lie_inside_their_regions_and_never_meet():
    section = cells(40)
    labels = section.labels.numpy()
    taken = [Box(100, 100, 400, 130)]
    sizes = {label: (50.0 + label, 18.0) for label in range(10)}
    places = place_names(labels, sizes, (1.0, 1.0), taken=taken)
    assert len(places) >= 10
    boxes = [box_of(place, sizes[place.label]) for place in places]
    for place, box in zip(places, boxes, strict=True):
        for x in np.linspace(box.left + 3, box.right - 3, 9):
            for y in np.linspace(box.bottom + 3, box.top - 3, 5):
                assert label_below(labels, x, y, (1.0, 1.0)) == place.label
        inner = Box(box.left + 3, box.bottom + 3, box.right - 3, box.top - 3)
        assert not any(inner.overlaps(other) for other in taken)
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_a_region_without_room_has_no_name():
    labels = np.zeros((50, 50), dtype=int)
    labels[:, 20:23] = 1
    assert {p.label for p in place_names(labels, dict.fromkeys((0, 1), SIZE), NODE)} == {0}


def test_every_large_region_of_a_class_is_named():
    labels = np.zeros((50, 90), dtype=int)
    labels[:, 30:60] = 1
    places = place_names(labels, dict.fromkeys((0, 1), SIZE), NODE)
    assert sorted(place.label for place in places) == [0, 0, 1]


def test_the_chosen_region_takes_the_longer_name_where_it_fits():
    labels = np.zeros((40, 40), dtype=int)
    labels[:, 20:] = 1
    wide = {"chosen": (5.0, 5.0), "chosen_size": (70.0, 16.0)}
    places = place_names(labels, dict.fromkeys((0, 1), SIZE), NODE, **wide)
    assert {place.label: place.chosen for place in places} == {0: True, 1: False}
    wide["chosen_size"] = (200.0, 16.0)
    places = place_names(labels, dict.fromkeys((0, 1), SIZE), NODE, **wide)
    assert {place.label: place.chosen for place in places} == {0: False, 1: False}


def frame_of(section, **sizes):
    x, y = section.x, section.y
    window = (float(x[0]), float(x[-1])), (float(y[0]), float(y[-1]))
    return Frame.around(
        window, **{"width": 640, "height": None, "font": 12.0, **sizes},
        heading=["What", "own: 3", "final"], across="normal", up="tangent",
    )  # fmt: skip


def test_marks_outside_the_window_are_left_out():
    section = halves(marks={"x": (0.0, 0.0), "a": (9.0, 0.0)})
    marks = place_marks(section, frame_of(section), theme_named("light"))
    assert marks.points["text"] == ["<i>x</i>"]
    assert marks.line["x"] == []


def test_the_perturbation_is_a_line_from_x_to_z():
    section = halves()
    marks = place_marks(section, frame_of(section), theme_named("light"))
    assert (marks.line["x"], marks.line["y"]) == ([0.0, 0.5], [0.0, 0.0])
    assert marks.points["marker"]["symbol"] == ["circle", "circle"]
    assert len(set(marks.points["marker"]["color"])) == 2


def test_names_of_near_marks_do_not_meet():
    section = halves(marks={"x": (0.0, 0.0), "z": (0.12, 0.02), "mean": (0.05, 0.1)})
    marks = place_marks(section, frame_of(section), theme_named("light"))
    texts = marks.boxes[3:6]
    assert not any(a.overlaps(b) for a in texts for b in texts if a is not b)


def test_a_mark_in_the_corner_keeps_its_name_inside():
    section = halves(marks={"x": (1.95, 1.95)})
    marks = place_marks(section, frame_of(section), theme_named("light"))
    assert marks.points["textposition"] == ["bottom left"]


def test_a_scale_is_the_same_on_both_axes():
    frame = frame_of(halves(half_height=1.0))
    assert frame.screen(2.0, 1.0) == pytest.approx((4 * frame.scale, 2 * frame.scale))
    assert frame.positions([frame.screen(0.3, -0.2)]) == {
        "x": [pytest.approx(0.3)],
        "y": [pytest.approx(-0.2)],
    }


def test_a_height_alone_gives_a_width():
    frame = frame_of(halves(), width=None, height=500)
    assert frame.size[1] == 500
    assert frame.size[0] == pytest.approx(frame.left + 4 * frame.scale + frame.right)


@pytest.mark.parametrize(
    ("sizes", "match"),
    [
        ({"width": 90}, "width and height must leave"),
        ({"height": 100}, "width and height must leave"),
        ({"width": -5}, "width must be a positive number, got -5"),
        ({"font": float("nan")}, "font_size must be a positive number"),
    ],
)
def test_no_room(sizes, match):
    with pytest.raises(ValueError, match=match):
        frame_of(halves(), **sizes)


def test_polylines_are_separated_and_keep_their_ends():
    pieces = [np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]]), np.array([[5.0, 5.0], [6.0, 5.0]])]
    x, y = joined(pieces, tolerance=0.01)
    assert np.isnan(x).tolist() == [False, False, False, True, False, False]
    assert y[[0, 1, 2, 4, 5]].tolist() == [0, 0, 1, 5, 5]


def test_a_thinned_circle_stays_within_the_tolerance():
    angle = np.linspace(0, 2 * np.pi, 5001)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x, y = joined([circle], tolerance=1e-3)
    assert len(x) < 600
    assert (x[0], y[0]) == pytest.approx((x[-1], y[-1]), abs=1e-7)
    halfway = np.hypot((x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2)
    assert np.abs(halfway - 1).max() <= 1e-3
    assert np.abs(np.hypot(x, y) - 1).max() < 1e-6


def test_noise_is_thinned_until_it_can_be_sent():
    noise = np.random.default_rng(0).random((40_000, 2)) * 0.002
    noise[:, 0] += np.linspace(0, 1, len(noise))
    x, _ = joined([noise], tolerance=1e-3)
    assert len(x) <= 9_000


def test_a_deep_zoom_keeps_double_precision():
    line = np.array([[10.0, 10.0], [10.0 + 1e-9, 10.0]])
    assert joined([line], tolerance=1e-12)[0].dtype == np.float64
    assert joined([line * [1, 0] + [0, 1]], tolerance=1e-12)[0][1] == line[1, 0]
    assert joined([np.array([[0.0, 0.0], [1.0, 1.0]])], tolerance=0.1)[0].dtype == np.float32


def test_no_polylines():
    x, y = joined([], tolerance=0.1)
    assert len(x) == len(y) == 0


def test_lines_are_no_wider_than_asked():
    parts = ["one part", "another", "a third one", "x" * 60]
    for line in lines_of(parts, 150, 10, between=", "):
        text = ", ".join(parts[n] for n in line)
        assert text_width(text, 10) <= 150 or len(line) == 1


def test_markup_in_names_is_text():
    assert escaped("<b>cat & dog</b>") == "&lt;b&gt;cat &amp; dog&lt;/b&gt;"
