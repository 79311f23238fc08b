"""ROC, distributions and recovered labels of detection over many images."""

import math

import numpy as np
import pytest

from tests.figures.subspaces import HALF, roc
from tests.figures.test_curvature import caption, heading, trace, words


def test_a_solid_and_a_dashed_curve_of_one_colour_for_each_scale():
    result = roc()
    figure = result.figure()
    for row in range(2):
        solid, dashed = trace(figure, f"curve {2 * row}"), trace(figure, f"curve {2 * row + 1}")
        assert (solid.line.dash, dashed.line.dash) == ("solid", "dash")
        assert solid.line.color == dashed.line.color
        for curve, kind in ((solid, "curvature"), (dashed, "margin")):
            x, y = result.curve(row, kind)
            np.testing.assert_allclose(curve.x, x, rtol=1e-6)
            np.testing.assert_allclose(curve.y, y, rtol=1e-6)
    assert trace(figure, "curve 0").line.color != trace(figure, "curve 2").line.color
    names = [item.name.strip() for item in figure.data if item.showlegend]
    assert names == ["α = 1.02, curvature", "α = 2, curvature", "dashed: logit margin"]
    assert list(trace(figure, "bound 4").x) == list(trace(figure, "bound 4").y) == [0, 1]


def test_areas_with_their_intervals():
    result = roc()
    said = caption(result.figure()).replace("<br>", " ")
    low, high = (float(end[0]) for end in result.auc_interval())
    assert (
        f"AUC at α = 1.02: curvature {float(result.auc()[0]):.3f} ({low:.2f} to {high:.2f}), "
        in said
    )
    assert "AUC at α = 2: " in said
    assert ", margin 1.000 (1.00 to 1.00)" in said
    coming = caption(roc(progress=HALF).figure()).replace("<br>", " ")
    assert "AUC" in coming
    assert "interval" not in coming  # that takes time


def test_the_threshold_is_a_point_on_each_curve():
    result = roc()
    points = trace(result.figure(), "curve 5")
    np.testing.assert_allclose(points.y, result.detected(), rtol=1e-6)
    assert max(points.x) <= 0.05
    assert "at most 5 % false positives" in caption(result.figure())


def test_distributions_of_natural_and_perturbed_scores():
    result = roc()
    figure = result.figure(view="scores")
    for row in range(3):
        heights = np.asarray(trace(figure, f"curve {row}").y, dtype=float)[1:-1:2]
        assert heights.sum() == pytest.approx(1, abs=1e-5)
    low, high = figure.layout.xaxis.range
    assert low < -1
    assert high > 2
    assert trace(figure, "bound 3").x[0] == pytest.approx(result.threshold())
    margin = result.figure(view="scores", score="margin")
    assert "logit margin" in margin.layout.xaxis.title.text


def test_recovered_labels_beside_the_runner_up():
    result = roc()
    figure = result.figure(view="recovery")
    rows = ["α = 1.02, curvature", "α = 1.02, runner-up", "α = 2, curvature", "α = 2, runner-up"]
    assert list(figure.layout.yaxis.ticktext) == rows
    texts = [text.strip() for text in trace(figure, "labels").text]
    assert texts == ["25 % of 40", "50 % of 40"] * 2
    lines = np.asarray(trace(figure, "curve 2").x, dtype=float).reshape(-1, 3)
    low, high = result.recovery_interval("runner-up")
    np.testing.assert_allclose(lines[1::2, 0], low, rtol=1e-5)
    np.testing.assert_allclose(lines[1::2, 1], high, rtol=1e-5)


def test_where_no_class_changed():
    result = roc()
    result.changed[0] = False
    figure = result.figure(view="recovery")
    assert "no class changed" in trace(figure, "labels").text[0]


@pytest.mark.parametrize("view", ["roc", "scores", "recovery"])
@pytest.mark.parametrize("width", [321, 640])
def test_no_scores_yet_one_image_and_many_scales(view, width):
    result = roc()
    result.perturbed[1] = math.nan
    said = heading(result.figure(view=view, width=width, font_size=8)).replace("<br>", " ")
    assert "0 of 40 images" in said
    assert "1 image ·" in heading(roc(1).figure(view=view, width=640))
    many = roc(scales=(0.5, 1, 2, 3, 4, 5, 6))
    said = caption(many.figure(view=view, width=width, font_size=8)).replace("<br>", " ")
    assert "5 of 7 scales" in said


def test_some_images_without_scores_are_left_out():
    result = roc()
    result.natural[0, 0] = math.nan
    assert "39 of 40 images" in words(result.figure())


@pytest.mark.parametrize(
    "options", [{"view": "labels"}, {"score": "x"}, {"font_size": 0}, {"theme": "x"}]
)
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        roc().figure(**options)
