"""What all figures of curvature share: their words, their options, and one live figure for all."""

import json
import math
import re

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from geoexplorer import figures
from geoexplorer.figures.chart import TRACES
from geoexplorer.figures.curvature import apply, blank_chart, curvature_layers
from geoexplorer.figures.text import bare, text_width
from geoexplorer.results import Provenance, Result
from tests.figures.curvatures import by_step, density, mean, normal, principal
from tests.figures.maps import halves
from tests.figures.test_sections import Wire

RESULTS = {
    "profile": (lambda **f: principal(5, **f), {}),
    "ends": (lambda **f: principal(5, **f), {"ends": 4, "selected": 0, "axis": "symlog"}),
    "log": (lambda **f: principal(5, **f), {"index": "log"}),
    "histogram": (lambda **f: principal(5, **f), {"view": "histogram"}),
    "directions": (lambda **f: principal(3, kept=True, extremes=4, **f), {"view": "directions"}),
    "density": (lambda **f: density(5, **f), {}),
    "by step": (lambda **f: by_step(5, directions=3, **f), {}),
    "normal": (lambda **f: normal(5, **f), {}),
    "mean": (lambda **f: mean(5, **f), {}),
}
EVERY = pytest.mark.parametrize("kind", RESULTS)


def drawn(kind, *, fields=None, **options):
    make, given = RESULTS[kind]
    return make(**(fields or {})).figure(**given, **options)


def trace(figure, name):
    return figure.data[TRACES.index(name)]


def heading(figure):
    return bare(figure.layout.annotations[0].text)


def caption(figure):
    return bare(figure.layout.annotations[1].text)


def words(figure):
    """All that it says, on one line."""
    labels = [text for name in ("labels", "selected") for text in trace(figure, name).text or ()]
    parts = [heading(figure), caption(figure), *labels]
    return bare(" ".join(parts)).replace("<br>", " ")


def lines_in(note):
    """The lines of an annotation without their markup."""
    plain = re.sub("</?b>|<span[^>]*>|</span>", "", note)
    return [bare(line) for line in plain.split("<br>")]


@EVERY
def test_it_says_network_method_step_point_and_number_of_images(kind):
    figure = drawn(kind)
    said = heading(figure)
    assert "digits-cnn" in said
    assert "smoothed" in said
    assert "at z, alignment 0.984 (median)" in said
    assert ("3 images" if kind == "directions" else "5 images") in said
    assert "h = 0.156" in words(figure)
    assert "own: each image's predicted class" in said


@EVERY
def test_it_says_what_the_signs_mean(kind):
    said = words(drawn(kind))
    assert "positive: the other region bulges into the own region" in said
    assert "negative: the own region bulges out" in said


def test_one_point_has_its_classes_named():
    names = [f"class {label}" for label in range(10)]
    said = words(principal().figure(class_names=names))
    assert "own: class 3, other: class 8" in said
    assert "positive: class 8 bulges into class 3 (own)" in said
    assert "negative: class 3 (own) bulges out" in said
    assert "own: 3, other: 8" in words(principal().figure())


def test_class_names_are_not_markup():
    assert "&lt;b&gt;" in words(principal().figure(class_names=["<b>x</b>"] * 10))


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"method": "autograd", "step": 0.0}, "autograd, exact"),
        ({"method": "central_difference", "step": 1.0825}, "central differences, h = 1.08"),
        ({"at": 0.8}, "at x + 0.8 r, alignment at z 0.984"),
        ({"at": 1.0}, "at z, alignment 0.984"),
        ({}, "found with half of the probes, measured with the other half"),
        (
            {"method": "central_difference", "asymmetry": torch.full((5,), 0.734)},
            "median asymmetry ‖G − Gᵀ‖ / ‖G‖ = 0.73",
        ),
    ],
)
def test_how_it_was_measured(fields, wanted):
    assert wanted in words(drawn("profile", fields=fields))


def test_only_central_differences_report_an_asymmetry():
    asymmetry = torch.full((5,), 0.7)
    assert "asymmetry" not in words(drawn("profile", fields={"asymmetry": asymmetry}))
    assert "half of the probes" not in words(drawn("profile", fields={"method": "autograd"}))


def test_points_without_values_are_counted():
    assert "4 of 5 images" in heading(principal(5, missing=[2]).figure())


def test_values_that_did_not_converge_are_counted():
    converged = torch.ones(1, 63, dtype=torch.bool)
    converged[0, :4] = False
    said = words(principal(converged=converged).figure())
    assert "4 of 63 values not converged" in said
    assert "converged" not in words(principal().figure())


@EVERY
def test_a_coarse_result_says_so(kind):
    from geoexplorer.jobs import Progress

    said = words(drawn(kind, fields={"progress": Progress(0.4, "2 of 5 points")}))
    assert "coarse (2 of 5 points)" in said
    assert "coarse" not in words(drawn(kind))


@EVERY
def test_nothing_known_yet_is_drawn_too(kind):
    make, options = RESULTS[kind]
    result = make()
    empty = type(result)(**{**result.__dict__, "values": torch.full_like(result.values, math.nan)})
    figure = empty.figure(**options)
    assert f"0 of {len(result)} images" in heading(figure)
    assert figure.to_json()
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert np.isfinite(axis.range).all()
        assert axis.range[0] != axis.range[1]


@EVERY
def test_without_a_network_name(kind):
    assert (
        " of <" not in drawn(kind, fields={"provenance": Provenance()}).layout.annotations[0].text
    )


@EVERY
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes(kind, theme):
    figure = drawn(kind, theme=theme)
    paper = {"light": "#ffffff", "dark": "#111111"}[theme]
    assert figure.layout.template.layout.paper_bgcolor == paper


@EVERY
@pytest.mark.parametrize(("width", "font_size"), [(640, 9), (321.26, 8), (900, 14)])
def test_texts_fit_into_the_width(kind, width, font_size):
    figure = drawn(kind, width=width, font_size=font_size)
    assert figure.layout.width == width
    font = font_size * 4 / 3
    assert figure.layout.template.layout.font.size == pytest.approx(font)
    for note in figure.layout.annotations:
        for line in lines_in(note.text):
            assert text_width(line, font) <= width
    margin = figure.layout.margin
    wide, tall = width - margin.l - margin.r, figure.layout.height - margin.t - margin.b
    assert text_width(bare(figure.layout.xaxis.title.text or ""), font) <= wide
    assert text_width(bare(figure.layout.yaxis.title.text or ""), font) <= tall


@EVERY
def test_title_and_caption_can_be_left_out(kind):
    bareness = drawn(kind, title=False, caption=False)
    assert heading(bareness) == caption(bareness) == ""
    assert bareness.layout.height < drawn(kind).layout.height


@EVERY
def test_the_unit_is_on_the_axis(kind):
    if kind == "directions":
        assert "unit l2 norm" in caption(drawn(kind))
        return
    titles = [axis.title.text or "" for axis in drawn(kind).select_xaxes()]
    titles += [axis.title.text or "" for axis in drawn(kind).select_yaxes()]
    assert any("1 / l2 unit" in title for title in titles)


def test_one_live_figure_shows_them_all():
    figure = blank_chart()
    traces = figure.data
    for theme in ("light", "dark"):
        for make, options in RESULTS.values():
            layers = curvature_layers(make(), theme=theme, **options)
            apply(figure, layers)
            assert all(a is b for a, b in zip(figure.data, traces, strict=True))
            # Nothing is left of what it showed before.
            shown, fresh = content(figure), content(make().figure(theme=theme, **options))
            assert [points(t) for t in shown["data"]] == [points(t) for t in fresh["data"]]
            for part in ("annotations", "margin", "showlegend"):
                assert shown["layout"][part] == fresh["layout"][part]
            for axis in ("xaxis", "yaxis"):
                assert clean(shown["layout"][axis]) == clean(fresh["layout"][axis])
            assert visible(shown) == visible(fresh)


def content(figure):
    return json.loads(figure.to_json())


def points(values):
    """What can be seen of a trace."""
    if not len(values["x"]):
        return None
    hidden = set() if values["showlegend"] else {"name"}
    hidden |= set() if values["error_y"]["visible"] else {"error_y"}
    return {name: value for name, value in values.items() if name not in hidden}


def clean(axis):
    """Without settings that say nothing, or nothing any more."""
    stale = () if axis.get("tickmode") == "linear" else ("tick0",)
    return {name: value for name, value in axis.items() if value is not None and name not in stale}


def visible(shown):
    return [image for image in shown["layout"]["images"] if image["visible"]]


def test_a_widget_gets_one_message_a_result(monkeypatch):
    widget = go.FigureWidget(blank_chart())
    apply(widget, curvature_layers(principal(5)))
    wire = Wire(widget, monkeypatch)
    for count, (make, options) in enumerate(RESULTS.values(), start=1):
        apply(widget, curvature_layers(make(), theme="dark", **options))
        assert [kind for kind, *_ in wire.messages] == ["update"] * count


def test_a_selection_is_a_small_message(monkeypatch):
    widget = go.FigureWidget(blank_chart())
    result = principal(5, dimension=3072)
    apply(widget, curvature_layers(result))
    wire = Wire(widget, monkeypatch)
    apply(widget, curvature_layers(result, selected=2))
    ((kind, _, sent),) = wire.messages
    assert kind == "update"
    assert sent["trace_indexes"] == [TRACES.index("selected")]


def test_a_large_spectrum_is_small_enough_to_send():
    layers = curvature_layers(principal(5, dimension=3072))
    sent = go.Figure([go.Scatter(values) for values in layers.traces], layers.layout).to_json()
    assert len(sent) < 200_000


def test_layers_know_only_curvatures():
    with pytest.raises(TypeError, match="result must hold curvatures, got CrossSection"):
        curvature_layers(halves())
    with pytest.raises(TypeError, match="got Result"):
        curvature_layers(Result())


@EVERY
def test_a_result_that_was_saved_is_drawn_the_same(kind, tmp_path):
    make, options = RESULTS[kind]
    result = make()
    result.save(tmp_path / "result.npz")
    again = type(result).load(tmp_path / "result.npz")
    assert again.figure(**options).to_json() == result.figure(**options).to_json()


@EVERY
def test_it_is_drawn_for_the_size_it_is_saved_in(kind, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(go.Figure, "write_html", lambda self, *_, **__: saved.append(self))
    make, options = RESULTS[kind]
    figures.save(make(), tmp_path / "a.html", width="85mm", font_size=8, **options)
    wanted = make().figure(width=85 * 96 / 25.4, font_size=8, **options)
    assert saved[0].to_json() == wanted.to_json()


@EVERY
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"theme": "sepia"}, "theme must be one of 'light', 'dark', got 'sepia'"),
        ({"width": 100}, "width"),
        ({"width": -5.0}, "width must"),
        ({"height": 60}, "width and height must leave"),
        ({"font_size": 0}, "font_size must be a positive number"),
        ({"font_size": "8"}, "font_size must be a positive number, got '8'"),
        ({"width": "x"}, "width must be a positive number, got 'x'"),
        ({"font_size": math.nan}, "font_size must be a positive number"),
        ({"class_names": []}, "class_names must name class"),
    ],
)
def test_bad_options(kind, options, match):
    make, given = RESULTS[kind]
    result = make()[0] if "class_names" in options else make()
    with pytest.raises(ValueError, match=match):
        result.figure(**given, **options)


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(TypeError, match=r"PrincipalCurvatures are view, compare, .*, got colour"):
        principal().figure(colour="red")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"view": "pie"}, "view must be one of 'profile', 'histogram', 'directions', got 'pie'"),
        ({"axis": "log"}, "axis must be one of 'linear', 'symlog', got 'log'"),
        ({"index": "sqrt"}, "index must be one of 'linear', 'log', got 'sqrt'"),
        ({"ends": 0}, "ends must be a positive integer or None, got 0"),
        ({"ends": 2.5}, "ends must be a positive integer or None, got 2.5"),
        ({"ends": True}, "ends must be a positive integer or None, got True"),
        ({"selected": 63}, "selected must be a column of the 63 values, 0 to 62, got 63"),
        ({"selected": -64}, "selected must be a column"),
        ({"selected": 1.0}, "selected must be a column"),
        ({"band": (0.9, 0.1)}, "band must be two ascending shares between 0 and 1"),
        ({"band": (0.1, 1.1)}, "band must be two ascending shares"),
        ({"band": 0.1}, "band must be two ascending shares"),
        ({"compare": {str(n): principal() for n in range(6)}}, "at most 5 results, got 6"),
        ({"compare": {"digits-cnn": principal()}}, "compare must not hold 'digits-cnn'"),
    ],
)
@pytest.mark.parametrize("view", ["profile", "histogram", "directions"])
def test_bad_options_of_principal_curvatures(options, match, view):
    with pytest.raises(ValueError, match=match):
        principal(kept=True).figure(**{"view": view, **options})


@pytest.mark.parametrize("make", [principal, density, by_step])
def test_what_is_compared_is_of_one_kind(make):
    with pytest.raises(TypeError, match=r"compare\['x'\] must be .*, got CrossSection"):
        make().figure(compare={"x": halves()})
    with pytest.raises(TypeError, match=r"compare must be a mapping from .*, got list"):
        make().figure(compare=[make()])
