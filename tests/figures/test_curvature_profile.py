"""Profiles: which values stand where, what is averaged, and the line that none lies below."""

import math

import numpy as np
import pytest
import torch

from geoexplorer.figures.curvature import value_at
from geoexplorer.figures.curvature_summary import bound_of
from geoexplorer.figures.text import bare
from geoexplorer.results import Provenance
from tests.figures.curvatures import principal, spectrum
from tests.figures.test_curvature import caption, heading, trace, words


def known(values):
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values)]


def test_one_point_shows_its_own_curve():
    figure = principal().figure()
    curve = trace(figure, "curve 0")
    np.testing.assert_allclose(curve.x, np.arange(1, 64))
    np.testing.assert_allclose(curve.y, spectrum(64), atol=1e-7)
    assert len(trace(figure, "band 0").x) == 0
    assert "mean" not in words(figure)


def test_many_points_show_their_mean_and_a_band():
    result = principal(11, missing=[3])
    figure = result.figure(band=(0.25, 0.75))
    values = result.values.numpy()[[row for row in range(11) if row != 3]]
    np.testing.assert_allclose(
        trace(figure, "curve 0").y, values.mean(axis=0), rtol=1e-5, atol=1e-9
    )
    band = trace(figure, "band 0")
    assert band.fill == "toself"
    half = len(band.y) // 2
    np.testing.assert_allclose(
        band.y[:half], np.quantile(values, 0.75, axis=0), rtol=1e-5, atol=1e-9
    )
    np.testing.assert_allclose(
        band.y[half:][::-1], np.quantile(values, 0.25, axis=0), rtol=1e-5, atol=1e-9
    )
    assert "line: mean of the images, band: 25 to 75 % of them" in caption(figure)


def test_only_the_ends_with_a_gap_between():
    figure = principal(dimension=3072).figure(ends=20)
    curve = trace(figure, "curve 0")
    assert len(known(curve.y)) == 40
    assert math.isnan(curve.y[20])  # the line is broken
    np.testing.assert_allclose(known(curve.y)[:20], spectrum(3072)[:20], rtol=1e-5)
    np.testing.assert_allclose(known(curve.y)[20:], spectrum(3072)[-20:], rtol=1e-5)
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert {"1", "20", "⋯", "3,052", "3,071"} <= set(ticks)
    assert ticks["20"] < ticks["⋯"] < ticks["3,052"]
    x = known(curve.x)
    assert (ticks["1"], ticks["20"]) == (x[0], x[19])
    assert (ticks["3,052"], ticks["3,071"]) == (x[20], x[39])
    assert "the 20 values at either end" in caption(figure)


def test_a_band_has_the_same_gap():
    band = trace(principal(5, dimension=3072).figure(ends=10), "band 0")
    breaks = np.flatnonzero(np.isnan(np.asarray(band.x, dtype=float)))
    assert breaks.tolist() == [20]
    assert max(band.x[:20]) < min(band.x[21:])


def test_extreme_values_alone_are_shown_with_their_indices():
    figure = principal(dimension=3072, extremes=10).figure()
    assert len(known(trace(figure, "curve 0").y)) == 20
    texts = figure.layout.xaxis.ticktext
    assert texts[0] == "1"
    assert texts[-1] == "3,071"
    assert "⋯" in texts
    fewer = principal(dimension=3072, extremes=10).figure(ends=4)
    assert len(known(trace(fewer, "curve 0").y)) == 8
    more = principal(dimension=3072, extremes=10).figure(ends=50)
    assert len(known(trace(more, "curve 0").y)) == 20


def test_more_ends_than_values_show_all():
    figure = principal().figure(ends=40)
    assert len(known(trace(figure, "curve 0").y)) == 63
    assert "either end" not in caption(figure)


@pytest.mark.parametrize("width", [320, 640, 1000])
@pytest.mark.parametrize("options", [{"ends": 1}, {"ends": 7}, {"ends": 20}, {"index": "log"}])
def test_index_labels_do_not_run_into_each_other(width, options):
    figure = principal(dimension=3072).figure(width=width, **options)
    axis, margin = figure.layout.xaxis, figure.layout.margin
    scale = (width - margin.l - margin.r) / (axis.range[1] - axis.range[0])
    places = np.array(axis.tickvals) * scale
    assert len(places) >= 3
    widths = np.array([0.5 * 12 * len(text) for text in axis.ticktext])
    order = places.argsort()
    gaps = np.diff(places[order]) - (widths[order][1:] + widths[order][:-1]) / 2
    assert gaps.min() > 0


def test_a_logarithmic_index_opens_both_ends():
    figure = principal(dimension=3072).figure(index="log")
    x = np.asarray(trace(figure, "curve 0").x)
    np.testing.assert_allclose(x, -x[::-1], atol=1e-4)  # both ends alike
    assert x[9] - x[0] == pytest.approx(x[99] - x[9], rel=0.3)  # decades
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert ticks["10"] == pytest.approx(x[9], abs=1e-4)
    assert ticks["3,071"] == pytest.approx(x[-1], abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"ends": 20}, {"index": "log"}])
@pytest.mark.parametrize("extremes", [None, 30])
def test_a_click_finds_the_value(options, extremes):
    result = principal(dimension=3072, extremes=extremes)
    curve = trace(result.figure(**options), "curve 0")
    shown = np.isfinite(np.asarray(curve.y, dtype=float))
    for x, y in list(zip(curve.x, curve.y, strict=True))[:: max(1, len(curve.x) // 60)]:
        if math.isfinite(y):
            column = value_at(result, float(x), **options)
            assert float(result.values[0, column]) == pytest.approx(y, abs=1e-6)
    assert value_at(result, -100.0, **options) == 0
    assert value_at(result, 1e5, **options) == result.values.shape[1] - 1
    if "ends" in options or (extremes and not options):
        gap = int(np.flatnonzero(~shown)[0])
        middle = float(curve.x[gap - 1] + curve.x[gap + 1]) / 2
        assert value_at(result, middle, **options) is None


@pytest.mark.parametrize("selected", [0, 5, 62, -1])
def test_a_selected_value_is_marked(selected):
    result = principal()
    mark = trace(result.figure(selected=selected), "selected")
    column = selected % 63
    assert list(mark.x) == [column + 1]
    assert mark.y[0] == pytest.approx(float(result.values[0, column]))
    assert f"κ<sub>{column + 1}</sub> = " in mark.text[0]
    # Away from a curve that descends.
    assert mark.textposition == ("bottom left" if column == 62 else "top right")


@pytest.mark.parametrize("width", [321, 640])
def test_the_text_of_the_selected_value_is_not_struck_through(width):
    result = principal(distances=torch.tensor([1 / 0.56]))
    figure = result.figure(selected=62, width=width, height=380)
    line, mark = trace(figure, "bound 0"), trace(figure, "selected")
    margin, across = figure.layout.margin, figure.layout.xaxis.range
    unit = (across[1] - across[0]) / (width - margin.l - margin.r)
    assert line.x[0] == across[0]
    gaps = np.flatnonzero(np.isnan(line.x))
    assert gaps.tolist() == [2]
    assert line.x[1] < mark.x[0] - 0.4 * 12 * len("κ63 = −0.5") * unit
    assert line.x[3] >= mark.x[0]
    far = principal(distances=torch.tensor([0.5])).figure(selected=62, width=width, height=380)
    assert not np.isnan(trace(far, "bound 0").x).any()


@pytest.mark.parametrize("height", [310, 340, 380])
def test_a_long_caption_leaves_room_for_the_plot(height):
    figure = principal(5).figure(compare={"other": principal(4)}, width=464, height=height)
    margin = figure.layout.margin
    assert height - margin.t - margin.b >= 180
    assert "line: mean of the images" in caption(figure)


def test_a_selected_value_between_the_ends_stands_in_the_gap():
    figure = principal(3, dimension=3072).figure(ends=20, selected=100)
    mark = trace(figure, "selected")
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert mark.x[0] == ticks["⋯"]
    assert "mean κ<sub>101</sub>" in mark.text[0]
    assert mark.y[0] == pytest.approx(2 * float(spectrum(3072)[100]))


def test_the_line_that_no_nearest_point_lies_below():
    figure = principal(distances=torch.tensor([1.25])).figure()
    bound = trace(figure, "bound 0")
    assert list(bound.y) == [pytest.approx(-0.8)] * 2
    assert list(bound.x) == list(figure.layout.xaxis.range)
    assert "−1/‖r‖ = −0.8: no κ lies below" in words(figure)
    low, high = figure.layout.yaxis.range
    assert low < -0.8 < high


def test_the_line_of_many_points_is_the_median():
    distances = torch.tensor([0.5, 1.0, 0.8, math.inf])
    figure = principal(4, missing=[3], distances=distances).figure()
    assert trace(figure, "bound 0").y[0] == pytest.approx(-1 / 0.8)
    assert "median −1/‖r‖ = −1.25: no κ lies below its own" in words(figure)


@pytest.mark.parametrize("step", [0.0, 0.156])
@pytest.mark.parametrize("count", [1, 4])
def test_what_the_line_claims_at_a_step_and_of_many_points(step, count):
    result = principal(count, step=step, distances=torch.linspace(0.7, 0.9, count))
    (bound,) = bound_of([result])
    *claims, value = (bare(text) for text in bound.texts)
    assert len(claims) >= 3
    assert "lies" not in value
    for claim in claims:
        assert ("as h → 0" in claim) == (step > 0)
        assert count == 1 or "below" not in claim or "its own" in claim


def test_elsewhere_than_at_z_the_line_claims_less():
    said = words(principal(at=0.8).figure())
    assert "bound at nearest points z" in said
    assert "lies below" not in said


def test_a_line_far_below_does_not_squeeze_the_curve():
    figure = principal(distances=torch.tensor([0.01])).figure()
    assert len(trace(figure, "bound 0").x) == 0
    assert "−1/‖r‖ = −100 is far below: no κ lies beyond it" in words(figure)
    assert figure.layout.yaxis.range[0] > -1
    narrow = words(principal(distances=torch.tensor([0.01])).figure(width=300))
    assert "none lies below" in narrow


def test_a_line_far_below_claims_no_more_than_one_that_is_drawn():
    many = words(principal(3, distances=torch.full((3,), 0.01)).figure())
    assert "lies beyond its own" in many
    elsewhere = words(principal(distances=torch.tensor([0.01]), at=0.8).figure())
    assert "−1/‖r‖ = −100 is far below: bound at nearest points z" in elsewhere
    assert "no κ lies" not in elsewhere


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"bounded": True, "subspace": None}, "z found within the bounds"),
        ({"bounded": False, "subspace": "DCT 4 x 4"}, "z found within the subspace DCT 4 x 4"),
    ],
)
@pytest.mark.parametrize("view", ["profile", "histogram"])
def test_points_whose_perturbation_was_confined_have_no_such_line(options, where, view):
    made = Provenance(network="digits-cnn", options=options)
    for distance in (1.25, 0.01):
        result = principal(distances=torch.tensor([distance]), provenance=made)
        assert bound_of([result]) == [None]
        said = words(result.figure(view=view))
        assert where in said
        assert "lies" not in said
        assert "−1/‖r‖" not in said


@pytest.mark.parametrize("view", ["profile", "histogram"])
def test_points_of_deepfool_which_are_not_nearest_have_no_such_line(view):
    fool = principal(
        distances=torch.tensor([1.25]),
        provenance=Provenance(network="digits-cnn", options={"points": "deepfool"}),
    )
    nearest = principal(
        distances=torch.tensor([1.0]),
        provenance=Provenance(network="digits-cnn", options={"points": "interactive"}),
    )
    assert bound_of([fool]) == [None]
    assert "−1/‖r‖" not in words(fool.figure(view=view))
    none, bound = bound_of([fool, nearest])
    assert none is None
    assert bound.value == pytest.approx(-1.0)
    if view == "profile":
        figure = fool.figure(compare={"nearest": nearest})
        assert len(trace(figure, "bound 0").x) == 0
        assert list(trace(figure, "bound 1").y) == [pytest.approx(-1.0)] * 2


@pytest.mark.parametrize("width", [290, 321, 640])
@pytest.mark.parametrize(
    "options",
    [{}, {"ends": 20}, {"index": "log"}, {"axis": "symlog"}, {"index": "log", "axis": "symlog"}],
)
@pytest.mark.parametrize("count", [1, 4])
def test_every_profile_says_what_the_line_means_where_no_curve_is(width, options, count):
    result = principal(count, dimension=3072, distances=torch.linspace(0.7, 0.9, count))
    figure = result.figure(width=width, **options)
    (text,) = trace(figure, "labels").text
    assert "<i>h</i> → 0" in text
    assert ("lies below" in text and (count == 1 or "its own" in text)) or "bound" in text
    (x,), (y,) = trace(figure, "labels").x, trace(figure, "labels").y
    margin, across, up = figure.layout.margin, figure.layout.xaxis.range, figure.layout.yaxis.range
    unit = (across[1] - across[0]) / (width - margin.l - margin.r)
    line = (up[1] - up[0]) / (figure.layout.height - margin.t - margin.b) * 12
    end = x + 0.5 * 12 * len(bare(text)) * unit
    assert end < across[1] + 12 * unit
    curve = trace(figure, "curve 0")
    if trace(figure, "labels").textposition[0] == "top right":
        below = np.asarray(curve.x)[np.asarray(curve.y) < y + line]
        assert len(known(below)) == 0 or known(below).min() > end - 24 * unit
    else:
        assert y - 1.2 * line > up[0]
        assert y <= np.nanmin(curve.y)


def test_a_symmetric_logarithmic_axis():
    figure = principal().figure(axis="symlog")
    axis = figure.layout.yaxis
    curve = np.asarray(trace(figure, "curve 0").y)
    ticks = dict(zip(axis.ticktext, axis.tickvals, strict=True))
    assert {"0", "0.1", "−0.1"} <= set(ticks)
    unit = 1 / np.sinh(ticks["1"])
    np.testing.assert_allclose(np.sinh(curve) * unit, spectrum(64), atol=1e-5)
    assert "κ axis linear up to ±" in caption(figure)


def test_networks_are_compared():
    other = principal(
        4, method="autograd", step=0.0, provenance=Provenance(network="digits-cnn-smooth")
    )
    figure = principal(2).figure(compare={"smooth": other})
    curves = [trace(figure, f"curve {index}") for index in range(2)]
    assert [curve.name for curve in curves] == ["digits-cnn", "smooth"]
    assert all(curve.showlegend for curve in curves)
    assert curves[0].line.color != curves[1].line.color
    assert curves[0].line.dash != curves[1].line.dash
    np.testing.assert_allclose(curves[1].y, other.values.mean(dim=0), rtol=1e-5, atol=1e-9)
    assert len(trace(figure, "bound 1").x) == 2
    assert figure.layout.showlegend
    said = words(figure)
    assert "digits-cnn: smoothed, h = 0.156, 2 images" in said
    assert "smooth: autograd, exact, 4 images" in said
    assert "at z, alignment 0.984 (median)" in heading(figure)  # which they share
    assert "index" in figure.layout.xaxis.title.text


def test_the_result_can_be_given_a_name():
    figure = principal().figure(name="here", compare={"there": principal()})
    assert trace(figure, "curve 0").name == "here"


def test_spectra_of_different_length_are_compared_by_their_shares():
    large = principal(dimension=3072)
    figure = principal().figure(compare={"large": large})
    small, long = (np.asarray(trace(figure, f"curve {index}").x) for index in range(2))
    assert (small[0], long[0]) == (pytest.approx(50 / 63), pytest.approx(50 / 3071))
    assert small[31] == long[1535] == pytest.approx(50)
    assert "share of the spectrum" in figure.layout.xaxis.title.text
    assert figure.layout.xaxis.ticksuffix == " %"
    assert value_at(principal(), 50.0, compare={"large": large}) == 31


def test_the_ends_of_spectra_of_different_length_stand_below_each_other():
    figure = principal().figure(compare={"large": principal(dimension=3072)}, ends=10)
    first, second = (known(trace(figure, f"curve {index}").x) for index in range(2))
    np.testing.assert_array_equal(first, second)
    assert figure.layout.xaxis.ticktext[-1] == "<i>d</i>−1"


def test_a_dense_curve_has_no_markers_and_a_sparse_one_has():
    assert trace(principal().figure(), "curve 0").mode == "lines+markers"
    assert trace(principal(dimension=3072).figure(), "curve 0").mode == "lines"


@pytest.mark.parametrize("options", [{"ends": 20}, {"axis": "symlog"}, {"index": "log"}])
def test_pointing_at_a_value_tells_index_and_curvature(options):
    curve = trace(principal().figure(**options), "curve 0")
    assert curve.hovertemplate == "%{text}<extra></extra>"
    assert curve.text[1] == "κ 2 = 0.8488"
    assert len(curve.text) == len(curve.y)
    assert float(spectrum(64)[1]) == pytest.approx(0.8488, abs=5e-5)
