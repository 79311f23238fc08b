"""Relative curvature: means on a logarithmic axis, the line at 1, and several results."""

import math

import numpy as np
import pytest

from tests.figures.subspaces import HALF, relative
from tests.figures.test_curvature import caption, heading, trace, words


def test_the_mean_over_the_points_and_a_band():
    result = relative()
    result.values[1] = math.nan
    figure = result.figure(band=(0.0, 1.0))
    values = np.delete(result.values.numpy(), 1, axis=0)
    np.testing.assert_allclose(trace(figure, "curve 0").y, values.mean(0), rtol=1e-5)
    band = trace(figure, "band 0")
    np.testing.assert_allclose(band.y[:12], values.max(0), rtol=1e-5)
    assert figure.layout.yaxis.type == "log"
    low, high = figure.layout.yaxis.range
    assert low < math.log10(values.min()) < math.log10(values.max()) < high
    assert "4 of 5 images" in heading(figure)
    assert "100 probes at each point, median standard error 5 %" in words(figure)


def test_a_line_at_one():
    figure = relative().figure()
    assert list(trace(figure, "bound 1").y) == [1.0, 1.0]
    assert "dotted, at 1: along a random direction" in caption(figure)


def test_one_point_has_no_band_and_zeros_are_drawn_at_the_floor():
    result = relative(1)
    result.values[0, 3] = 0.0
    figure = result.figure()
    assert len(trace(figure, "band 0").x) == 0
    assert min(trace(figure, "curve 0").y) > 0
    assert "is drawn there" in caption(figure)


def test_several_results_are_named_and_different_numbers_share_the_axis():
    figure = relative().figure(compare={"random": relative(m=30)}, name="shared")
    assert [item.name.strip() for item in figure.data if item.showlegend] == ["shared", "random"]
    assert figure.layout.xaxis.title.text.startswith("share of the directions")
    with pytest.raises(TypeError, match="compare"):
        relative().figure(compare=[relative()])


def test_the_ends_alone_have_a_gap():
    figure = relative(m=100).figure(ends=5)
    y = np.asarray(trace(figure, "curve 0").y, dtype=float)
    assert np.isnan(y).sum() == 1
    assert len(y) == 11
    assert "the 5 directions at either end" in caption(figure)


def test_what_is_not_final_says_so():
    result = relative(progress=HALF)
    result.values[:] = math.nan
    figure = result.figure(width=321, font_size=8, theme="dark")
    assert "not final (half done)" in heading(figure).replace("<br>", " ")


@pytest.mark.parametrize("options", [{"band": (1, 0)}, {"index": "x"}, {"ends": 0}, {"theme": "x"}])
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        relative().figure(**options)
