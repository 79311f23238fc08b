"""Cross-section figures: what they say, where it is, and how they are changed in place."""

import json

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest

from geoexplorer.figures.sections import (
    TRACES,
    apply,
    blank_section,
    section_figure,
    section_layers,
)
from geoexplorer.jobs import Progress
from geoexplorer.results import Provenance
from tests.figures.maps import NAMES, cells, halves, rings


def trace(figure, name):
    return figure.data[list(TRACES).index(name)]


def content(figure):
    return json.loads(figure.to_json())


def heading(figure):
    return figure.layout.annotations[0].text


def footer(figure):
    return figure.layout.annotations[1].text


def test_the_picture_spans_half_a_node_beyond_the_grid():
    figure = section_figure(halves(half_height=1.0))
    (image,) = figure.layout.images
    step = 4.0 / 128
    assert (image.x, image.y) == (pytest.approx(-2 - step / 2), pytest.approx(1 + step / 2))
    assert (image.xanchor, image.yanchor, image.sizing) == ("left", "top", "stretch")
    assert (image.sizex, image.sizey) == (pytest.approx(4 + step), pytest.approx(2 + step))
    assert (image.xref, image.yref, image.layer) == ("x", "y", "below")
    assert figure.layout.xaxis.range == (
        pytest.approx(image.x),
        pytest.approx(image.x + image.sizex),
    )
    assert figure.layout.yaxis.range == (
        pytest.approx(image.y - image.sizey),
        pytest.approx(image.y),
    )


def test_both_axes_have_one_scale():
    figure = section_figure(halves(half_height=1.0))
    assert (figure.layout.yaxis.scaleanchor, figure.layout.yaxis.scaleratio) == ("x", 1)
    margin, step = figure.layout.margin, 4.0 / 128
    across = figure.layout.width - margin.l - margin.r
    up = figure.layout.height - margin.t - margin.b
    assert up / across == pytest.approx((2 + step) / (4 + step), abs=0.005)


def test_boundaries_are_polylines_in_plane_coordinates():
    figure = section_figure(rings())
    own, others = trace(figure, "own boundary"), trace(figure, "other boundaries")
    np.testing.assert_allclose(np.hypot(own.x, own.y), 0.5, atol=1e-6)
    np.testing.assert_allclose(np.hypot(others.x, others.y), 1.5, atol=1e-6)
    assert own.line.width > others.line.width


def test_it_says_what_it_is():
    figure = section_figure(halves(names=("cat", "dog")))
    assert "Cross-section of digits-cnn" in heading(figure)
    assert "own: cat" in heading(figure)
    assert "final · 2,431 evaluations" in heading(figure)
    assert figure.layout.xaxis.title.text == "normal · l2 distance in pixel values"
    assert figure.layout.yaxis.title.text == "random tangent 1"
    assert "margin" in footer(figure)


def test_a_coarse_map_says_so():
    figure = section_figure(halves(progress=Progress(0.4, "refining, 2 of 5")))
    assert "coarse (refining, 2 of 5)" in heading(figure)
    assert "final" not in heading(figure)


def test_without_network_or_own_class():
    figure = section_figure(halves(own=None, provenance=Provenance()))
    assert heading(figure).startswith("<b>Cross-section</b>")
    assert "own" not in heading(figure)
    assert len(trace(figure, "own boundary").x) == 0
    assert len(trace(figure, "other boundaries").x) == 2
    assert set(trace(figure, "names").text) == {"3", "8"}


def test_names_stand_in_their_regions():
    section = cells(25)
    figure = section_figure(section)
    names = trace(figure, "names")
    assert len(names.text) >= 8
    for text, x, y in zip(names.text, names.x, names.y, strict=True):
        row, column = (section.y - y).abs().argmin(), (section.x - x).abs().argmin()
        assert text.removesuffix(" (own)") == NAMES[section.labels[row, column]]


def test_the_own_region_is_named_where_x_is():
    figure = section_figure(halves(marks={"x": (-1.0, 0.0)}))
    assert sorted(trace(figure, "names").text) == ["3 (own)", "8"]


def test_classes_without_room_stand_in_a_key():
    figure = section_figure(cells(400, resolution=257))
    named = {text.removesuffix(" (own)") for text in trace(figure, "names").text}
    missing = set(NAMES) - named
    assert missing
    for name in missing:
        assert name in footer(figure)
    assert footer(figure).count("■") == len(missing)


def test_a_key_of_many_classes_is_cut_and_says_so():
    section = cells(400, resolution=257)
    names = tuple(f"a rather long name of class {label}" for label in range(10))
    figure = section_figure(
        type(section)(**{**section.__dict__, "class_names": names}), width=320, font_size=8
    )
    assert footer(figure).count("■") == 3
    assert "and 7 more" in footer(figure)


def test_marks_are_named_points():
    figure = section_figure(halves(marks={"x": (0, 0), "z": (0.5, 0), "mean": (1, 1)}))
    marks = trace(figure, "marks")
    assert list(marks.text) == ["<i>x</i>", "<i>z</i>", "mean"]
    assert list(marks.x) == [0, 0.5, 1]
    assert list(marks.marker.symbol) == ["circle", "circle", "diamond"]
    assert not trace(section_figure(halves(), markers=False), "marks").x


def test_names_are_not_markup():
    figure = section_figure(halves(names=("<b>3</b>", "8 & 9")))
    assert "8 &amp; 9" in trace(figure, "names").text
    assert "own: &lt;b&gt;3" in heading(figure)


def test_every_apply_leaves_the_same_traces():
    figure = blank_section()
    traces, layout_lists = figure.data, (1, 2)
    for section in (cells(25), halves(), rings(), cells(400, resolution=257), halves(own=None)):
        for theme in ("light", "dark"):
            apply(figure, section_layers(section, theme=theme))
            assert all(a is b for a, b in zip(figure.data, traces, strict=True))
            assert (len(figure.layout.images), len(figure.layout.annotations)) == layout_lists
    # What is left is that of the last map, nothing of those before it.
    fresh = section_figure(halves(own=None), theme="dark")
    shown = [[item for item in content(f)["data"] if len(item["x"])] for f in (figure, fresh)]
    assert shown[0] == shown[1]


def test_the_whole_theme_changes_with_apply():
    figure = blank_section("light")
    apply(figure, section_layers(cells(25), theme="dark"))
    assert figure.layout.template.layout.paper_bgcolor == "#111111"
    fresh = section_figure(cells(25), theme="dark").update_layout(width=None, height=None)
    assert content(figure) == content(fresh)


def test_axes_stay_where_the_user_moved_them():
    figure = blank_section()
    apply(figure, section_layers(halves()))
    figure.layout.xaxis.range = (-1, 1)
    apply(figure, section_layers(halves()), move=False)
    assert figure.layout.xaxis.range == (-1, 1)
    apply(figure, section_layers(halves()))
    assert figure.layout.xaxis.range[1] > 2


@pytest.mark.parametrize("count", [12, 40])
def test_a_map_is_small_enough_to_send(count):
    layers = section_layers(cells(count))
    sent = go.Figure([go.Scatter(values) for values in layers.traces], layers.layout).to_json()
    assert len(sent) < 200_000


class Wire:
    """Counts what a FigureWidget sends."""

    def __init__(self, widget, monkeypatch):
        self.messages = []
        for kind in ("relayout", "restyle", "update", "addTraces", "moveTraces", "deleteTraces"):
            monkeypatch.setattr(
                widget,
                f"_send_{kind}_msg",
                lambda *args, kind=kind, **more: self.messages.append((kind, args, more)),
            )


def test_a_widget_gets_one_message_a_map(monkeypatch):
    widget = go.FigureWidget(blank_section())
    apply(widget, section_layers(halves()))
    wire = Wire(widget, monkeypatch)
    apply(widget, section_layers(cells(25)))
    assert [kind for kind, *_ in wire.messages] == ["update"]
    (_, _, sent) = wire.messages[0]
    assert sent["relayout_data"]["images.0.source"].startswith("data:image/png")
    assert "template" not in sent["relayout_data"]
    changed = [list(TRACES)[index] for index in sent["trace_indexes"]]
    # x and z have not moved
    assert changed == ["other boundaries", "own boundary", "marks", "names"]


def test_a_blank_figure_takes_the_width_it_is_given():
    figure = blank_section("dark")
    assert figure.layout.width is None
    assert figure.layout.height is None
    assert figure.layout.hovermode is False
    assert list(TRACES) == [item.name for item in figure.data]


def test_plotly_own_templates_are_left_alone():
    assert pio.templates.default == "plotly"
    assert not any("geoexplorer" in name for name in pio.templates)


def test_no_figure_changes_the_template_of_another():
    figure, other = halves().figure(), go.FigureWidget(blank_section())
    apply(other, section_layers(halves()))
    for changed in (figure, other):
        changed.layout.template.layout.font.size = 99
    assert halves().figure().layout.template.layout.font.size == pytest.approx(12)


@pytest.mark.parametrize("font_size", [6, 8, 14])
def test_all_text_has_the_font_size(font_size):
    figure = section_figure(halves(), font_size=font_size)
    size = pytest.approx(font_size * 4 / 3)
    assert figure.layout.template.layout.font.size == size
    assert figure.layout.template.layout.xaxis.tickfont.size == size
    assert trace(figure, "names").textfont.size == size
    assert trace(figure, "marks").textfont.size == size


def test_width_and_height_are_kept():
    figure = section_figure(halves(), width=321, height=300)
    assert (figure.layout.width, figure.layout.height) == (321, 300)
    assert section_figure(halves()).layout.width == 640


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"theme": "blue"}, "theme must be one of 'light', 'dark', got 'blue'"),
        ({"shading": "rainbow"}, "shading must be one of 'margin', 'bands', 'none', got 'rainbow'"),
        ({"width": 50}, "width and height must leave"),
        ({"font_size": 0}, "font_size must be a positive number"),
        ({"font_size": "8"}, "font_size must be a positive number, got '8'"),
        ({"width": "x"}, "width must be a positive number, got 'x'"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        section_figure(halves(), **options)


def test_a_curvature_is_drawn_as_its_parabola():
    figure = section_figure(halves(marks={"z": (0.0, 0.0)}), curvature=-0.58)
    parabola, halo = trace(figure, "parabola"), trace(figure, "halo")
    y = np.array(parabola.y)
    np.testing.assert_allclose(parabola.x, -0.29 * y**2)
    assert (y.min(), y.max()) == (pytest.approx(-2, abs=0.02), pytest.approx(2, abs=0.02))
    assert list(halo.y) == list(parabola.y)
    assert halo.line.width > trace(figure, "own boundary").line.width
    assert parabola.line.dash == "dash"
    assert parabola.line.color not in (halo.line.color, trace(figure, "own boundary").line.color)
    assert "½ κ <i>y</i>², κ = −0.58" in footer(figure)


@pytest.mark.parametrize("curvature", [-500.0, -3.0, -1e-9, 0.0, 1e-9, 3.0, 500.0])
def test_a_parabola_stays_in_the_window(curvature):
    section = halves(marks={})
    parabola = trace(section_figure(section, curvature=curvature), "parabola")
    x, y = np.array(parabola.x), np.array(parabola.y)
    assert len(x) > 100
    assert np.abs(x).max() <= 2.02
    assert np.abs(y).max() <= 2.02
    # It ends at the window's edge.
    assert max(np.abs(x).max(), np.abs(y).max()) == pytest.approx(2.0, abs=0.02)


def test_without_a_curvature_there_is_no_parabola_and_a_widget_forgets_it():
    figure = blank_section()
    apply(figure, section_layers(halves(), curvature=1.0))
    apply(figure, section_layers(halves()))
    assert len(trace(figure, "parabola").x) == len(trace(figure, "halo").x) == 0
    assert "κ" not in footer(figure)


def test_names_keep_off_the_parabola():
    section = halves(marks={"x": (-1.0, 0.0)})
    figure = section_figure(section, width=300, curvature=-0.9)
    parabola, names = trace(figure, "parabola"), trace(figure, "names")
    scale = 4 / (300 - figure.layout.margin.l - figure.layout.margin.r)
    for text, x, y in zip(names.text, names.x, names.y, strict=True):
        across, up = abs(np.array(parabola.x) - x), abs(np.array(parabola.y) - y)
        assert not ((across < 0.25 * 12 * len(text) * scale) & (up < 6 * scale)).any()


@pytest.mark.parametrize("curvature", [float("nan"), float("inf"), True, "1"])
def test_a_curvature_that_is_none(curvature):
    with pytest.raises(ValueError, match="curvature must be a finite number or None, got"):
        section_figure(halves(), curvature=curvature)
