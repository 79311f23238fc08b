"""The scale of curvatures, the colours of curves, and the words they come from."""

import itertools

import numpy as np
import pytest

from geoexplorer.figures.chart import decades, padded
from geoexplorer.figures.colours import contrast
from geoexplorer.figures.scales import Scale, scale_for
from geoexplorer.figures.series import COLOURS, DASHES, accent, series_colour, series_dash
from geoexplorer.figures.text import round_step, text_width, wrapped
from geoexplorer.figures.theme import THEMES, theme_named
from tests.figures.test_colours import SIGHT, cie_lab, ciede2000


def test_a_symmetric_logarithm_goes_back_and_forth():
    values = np.array([-1e3, -1.0, -1e-4, 0.0, 1e-4, 1.0, 1e3])
    for scale in (Scale(None), Scale(0.01)):
        np.testing.assert_allclose(scale.value(scale.place(values)), values, rtol=1e-9)
        assert (np.diff(scale.place(values)) > 0).all()


@pytest.mark.parametrize(
    ("values", "unit"),
    [([0.02, -0.03, 4.0], 0.01), ([0.0, 0.0, 0.0], 1.0), ([1e-9, 1e-9, 5.0], 1e-4), ([], 1.0)],
)
def test_where_the_axis_is_linear(values, unit):
    assert scale_for("symlog", np.array(values)).unit == pytest.approx(unit)


@pytest.mark.parametrize("top", [1e-3, 0.5, 7.0, 3e4])
@pytest.mark.parametrize("least", [0.1, 1.0, 3.0])
def test_labels_of_a_symmetric_logarithm_keep_apart(top, least):
    scale = Scale(0.01)
    window = float(scale.place(-top)), float(scale.place(top / 2))
    ticks = scale.ticks(window, least)
    places = np.array(ticks["tickvals"])
    assert "0" in ticks["ticktext"]
    assert (np.diff(places) >= least - 1e-9).all()
    assert (places >= window[0]).all()
    assert (places <= window[1]).all()


def test_a_linear_axis_finds_its_own_labels():
    assert Scale(None).ticks((-1, 1), 0.1)["tickmode"] == "auto"


def test_decades():
    assert decades(1e-4, 0.2, percent=True)["ticktext"] == ["0.01 %", "0.1 %", "1 %", "10 %"]
    assert len(decades(1e-9, 1e9)["tickvals"]) <= 6
    assert decades(1.5, 2.5)["tickvals"] == []


def test_padding():
    assert padded(2.0, 2.0) == pytest.approx((1.8, 2.2))
    assert padded(0.0, 0.0) == (-1.0, 1.0)
    assert padded(np.nan, 1.0) == (-1.0, 1.0)


@pytest.mark.parametrize("theme", THEMES)
def test_curves_can_be_told_apart_by_everybody(theme):
    look = theme_named(theme)
    colours = COLOURS[theme]
    assert colours[0] == look.ink
    for colour in (*colours, accent(look)):
        assert contrast(colour, look.paper) >= 2.9
    for sight in SIGHT:
        lab = cie_lab(colours, sight)
        for a, b in itertools.combinations(range(len(colours)), 2):
            assert ciede2000(lab[a : a + 1], lab[b : b + 1])[0] >= 19


def test_the_seventh_curve_begins_again():
    look = theme_named("light")
    assert series_colour(6, look) == series_colour(0, look)
    assert len(set(DASHES)) == len(DASHES) == 6
    assert series_dash(7) == series_dash(1)


def test_lines_of_words_are_no_wider_than_asked():
    parts = ["one and a long part of many words", "two", "<i>three</i>", "four and five"]
    for width in (61, 100, 200, 1000):
        lines = wrapped(parts, width, 10)
        assert all(text_width(line.replace("<i>", "").replace("</i>", ""), 10) <= width
                   for line in lines)  # fmt: skip
        joined = " ".join(lines).replace(" · ", " ")
        assert joined == " ".join(parts)


@pytest.mark.parametrize(("span", "most"), [(0.76, 4.6), (3.0, 3.0), (3071, 5), (1e-6, 2)])
def test_round_steps(span, most):
    step = round_step(span, most)
    assert step * most >= span * (1 - 1e-9)
    assert str(step * 10 ** (9 - round(np.log10(step))))[0] in "125"
