"""Shared directions: where each value stands, which are marked, and the directions as images."""

import math

import numpy as np
import pytest
import torch

from geoexplorer.figures.shared_directions import shared_value_at
from tests.figures.subspaces import HALF, shared
from tests.figures.test_curvature import caption, heading, lines_in, trace, words


def known(values):
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values)]


def tiles(figure):
    return [image for image in figure.layout.images if image.visible]


def test_values_stand_at_their_place_in_the_whole_spectrum():
    figure = shared().figure()
    curve = trace(figure, "curve 0")
    assert known(curve.y).tolist() == [6, 5, 4, 3, 2, 1, -1, -2, -3, -4]
    assert list(curve.text[:2]) == ["κ 1 = 6", "κ 2 = 5"]
    assert curve.text[-1] == "κ 64 = −4"
    assert math.isnan(curve.y[6])  # the gap
    assert {"1", "⋯", "64"} <= set(figure.layout.xaxis.ticktext)
    low, high = figure.layout.yaxis.range
    assert low < -4 < 6 < high


def test_values_of_one_sign_have_no_gap():
    figure = shared(8, 0).figure()
    assert "⋯" not in figure.layout.xaxis.ticktext
    assert "the 8 most positive values" in caption(figure)
    low, high = figure.layout.xaxis.range
    assert low < 1 < 8 < high


def test_all_directions_are_all_of_the_axis():
    result = shared(40, 24)
    figure = result.figure()
    assert "all 64 directions" in heading(figure)
    assert len(known(trace(figure, "curve 0").y)) == 64
    assert len(known(trace(result.figure(ends=5), "curve 0").y)) == 10


@pytest.mark.parametrize("options", [{}, {"ends": 3}, {"index": "log"}])
def test_a_click_finds_the_value(options):
    result = shared()
    curve = trace(result.figure(**options), "curve 0")
    for x, y in zip(curve.x, curve.y, strict=True):
        if math.isfinite(y):
            assert float(result.values[shared_value_at(result, float(x), **options)]) == y


def test_it_says_how_it_was_measured():
    said = words(shared().figure())
    for part in ("digits-cnn", "10 of 64 directions", "mean over 60 images", "h = 0.156", "at z"):
        assert part in said
    assert "positive: the other region bulges into the own region" in said
    assert "at x + 0.8 r" in words(shared(at=0.8).figure())
    assert "asymmetry" in words(shared(method="central_difference").figure())
    assert "not final (half done)" in heading(shared(progress=HALF).figure())


def test_what_has_not_converged_is_marked_and_counted():
    converged = torch.arange(10) != 3
    figure = shared(converged=converged).figure()
    crosses = trace(figure, "curve 1")
    assert crosses.marker.symbol == "x"
    assert list(crosses.y) == [3]
    assert "1 of 10 values not converged" in caption(figure)
    assert not shared().figure().layout.showlegend


def test_nothing_known_yet_draws_an_empty_chart():
    result = shared(values=torch.full((10,), math.nan), progress=HALF)
    for view in ("values", "directions"):
        assert "not final" in heading(result.figure(view=view))


@pytest.mark.parametrize(("selected", "value"), [(0, "κ<sub>1</sub> = 6"), (-1, "κ<sub>64</sub>")])
def test_a_selected_value_is_marked(selected, value):
    assert value in trace(shared().figure(selected=selected), "selected").text[0]


def test_directions_are_images_with_their_values():
    figure = shared().figure(view="directions")
    assert len(tiles(figure)) == 10
    texts = trace(figure, "labels").text
    assert "most positive, <i>i</i> = 1 to 6" in texts
    assert "most negative, <i>i</i> = −1 to −4" in texts
    assert texts[2:] == ("6", "5", "4", "3", "2", "1", "−4", "−3", "−2", "−1")
    tops = {image.y for image in tiles(figure)}
    assert len(tops) == 2
    assert len(tiles(shared().figure(view="directions", ends=2))) == 4


def test_directions_of_one_sign_have_two_rows():
    figure = shared(40, 0).figure(view="directions", width=321, font_size=8)
    assert len({image.y for image in tiles(figure)}) == 2
    assert all(image.x + image.sizex < 321 for image in tiles(figure))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["values", "directions"])
def test_a_narrow_column_has_room(theme, view):
    figure = shared().figure(view=view, width=321, font_size=8, theme=theme)
    for note in figure.layout.annotations:
        for line in lines_in(note.text):
            assert 0.45 * 8 * 4 / 3 * len(line) < 321


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"view": "all"}, "view"),
        ({"axis": "log"}, "axis"),
        ({"index": "none"}, "index"),
        ({"ends": 0}, "ends"),
        ({"selected": 10}, "selected"),
        ({"theme": "blue"}, "theme"),
        ({"width": 40, "view": "directions"}, "width"),
    ],
)
def test_wrong_options_are_named(options, name):
    with pytest.raises(ValueError, match=f"{name} must"):
        shared().figure(**options)
