"""The score and the terms along the way: verdicts, changes of class, ribbons."""

import math

import numpy as np
import pytest
import torch

from geoexplorer.figures.colours import class_colour
from tests.figures.subspaces import along
from tests.figures.test_curvature import caption, heading, trace, words


def known(values):
    values = np.asarray(values, dtype=float)
    return values[np.isfinite(values)]


def areas(figure):
    """Spans of the ribbons by colour: the class called, and the class recovered."""
    found = {}
    for number in range(12):
        area = trace(figure, f"band {number}")
        if area.fill == "toself" and str(area.fillcolor).startswith("#"):
            corners = np.asarray(area.x, dtype=float)
            found[area.fillcolor] = [
                (corners[n], corners[n + 1]) for n in range(0, len(corners), 5)
            ]
    return found


def test_above_and_below_the_threshold_are_told_apart_without_colour():
    figure = along().figure()
    above, below = trace(figure, "curve 0"), trace(figure, "curve 1")
    assert known(above.y).min() == pytest.approx(0.25)  # a point where it is crossed
    assert known(below.y).max() == pytest.approx(0.25)
    assert above.line.dash != below.line.dash
    assert "called perturbed" in above.name
    assert "called natural" in below.name
    assert len(known(above.y)) + len(known(below.y)) == 32
    assert list(trace(figure, "bound 2").y) == [0.25, 0.25]
    assert "threshold 0.25" in words(figure)


def test_without_a_threshold_no_verdict_is_drawn():
    figure = along(threshold=math.nan).figure()
    assert len(known(trace(figure, "curve 0").y)) == 31
    assert trace(figure, "curve 0").name.startswith("score, no threshold yet")
    assert len(known(trace(figure, "curve 1").y)) == 0
    assert "threshold" not in words(figure)
    assert "NaN" not in figure.to_json()


def test_a_band_of_one_standard_error():
    band = trace(along().figure(), "band 1")
    half = len(band.y) // 2
    np.testing.assert_allclose(band.y[:half] - band.y[half:][::-1], 0.02, atol=1e-6)
    figure = along(standard_errors=torch.full((31,), math.nan)).figure()
    assert "standard error" not in caption(figure)
    assert len(known(trace(figure, "curve 0").y)) > 0


def test_where_the_class_changes():
    figure = along().figure()
    assert list(trace(figure, "bound 1").x[:2]) == [1.0, 1.0]
    found = areas(figure)
    assert found[class_colour(0)] == [(0, 1)]
    assert found[class_colour(1)] == [(1, 3)]
    assert found[class_colour(9)] == [(0, 3)]  # recovered
    texts = trace(figure, "labels").text
    assert [text.strip() for text in texts if text.endswith("\u00a0")] == ["called", "recovered"]
    assert {"digit 0", "digit 1", "digit 9"} < set(texts)
    assert "own: digit 0, other: digit 1" in heading(figure)


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ([(11, 1)], [1.0]),  # the boundary point itself is still called own
        ([(10, 1), (20, 2)], [1.0, 1.95]),  # of what comes later no more is known
        ([(5, 1), (6, 0), (10, 1)], [0.45, 0.55, 1.0]),
        ([(15, 1)], [1.45]),  # the class changes elsewhere
    ],
)
def test_the_class_changes_at_the_boundary_point(changes, places):
    labels = torch.zeros(31, dtype=torch.int64)
    for start, label in changes:
        labels[start:] = label
    for view in ("score", "terms"):
        figure = along(labels=labels).figure(view=view)
        lines = next(
            item for item in figure.data
            if item.name and item.name.startswith("bound") and len(item.x) == 3 * len(places)
            and item.x[0] == item.x[1]
        )  # fmt: skip
        assert list(lines.x[::3]) == pytest.approx(places)


def test_stops_on_both_sides_of_the_boundary_far_apart():
    result = along()[[0, 5, 20, 30]]
    found = areas(result.figure())
    assert found[class_colour(0)] == [(0, 1)]


def test_all_is_in_the_window():
    result = along(torch.linspace(-40, 70, 31).double())
    for view in ("score", "terms"):
        low, high = result.figure(view=view).layout.yaxis.range
        assert low < -40
        assert high > 70 + 0.9 * (view == "terms")


def test_the_terms_of_the_classes_that_matter():
    figure = along().figure(view="terms")
    names = [item.name.strip() for item in figure.data if item.showlegend]
    assert len(names) == 6
    assert names[0] == "digit 9"
    assert names[-1] == "score"
    assert trace(figure, "curve 0").line.color == class_colour(9)
    np.testing.assert_allclose(trace(figure, "curve 0").y, along().terms[:, 9], rtol=1e-5)
    assert "5 of 9 classes" in caption(figure)


def test_the_own_class_comes_first():
    result = along()
    result.terms[15:, 0] = -5.0
    names = [item.name.strip() for item in result.figure(view="terms").data if item.showlegend]
    assert names[0] == "digit 0"


@pytest.mark.parametrize("width", [321, 640])
def test_a_thousand_classes_with_long_names(width):
    labels = torch.arange(31) // 5 * 90
    result = along(classes=1000, labels=labels, recovered=labels + 1)
    result = type(result)(
        **{**result.__dict__, "class_names": tuple(f"a very long name {n}" for n in range(1000))}
    )
    for view in ("score", "terms"):
        figure = result.figure(view=view, width=width, font_size=8)
        assert len(areas(figure)) <= 11
        margin, across = figure.layout.margin, figure.layout.xaxis.range
        scale = (width - margin.l - margin.r) / (across[1] - across[0])
        labels_ = trace(figure, "labels")
        for x, text in zip(labels_.x or (), labels_.text or (), strict=True):
            if "…" in text:
                assert (x - across[0]) * scale + 0.4 * 10.7 * len(text) < width - margin.l


def test_what_is_not_known_yet_is_left_out():
    score = torch.linspace(0, 0.5, 31).double()
    score[10:] = math.nan
    labels = torch.where(score.isfinite(), 0, -1)
    result = along(score, labels=labels, recovered=labels)
    for view in ("score", "terms"):
        figure = result.figure(view=view, selected=20)
        assert len(trace(figure, "selected").x) == 0
        assert max(end for spans in areas(figure).values() for _, end in spans) < 1.1
    nothing = along(score * math.nan, labels=labels * 0 - 1, recovered=labels * 0 - 1)
    for view in ("score", "terms"):
        assert areas(nothing.figure(view=view)) == {}


def test_one_stop_alone():
    figure = along(torch.tensor([0.1]), stops=1).figure(selected=0)
    low, high = figure.layout.xaxis.range
    assert low < 0 < high


def test_the_selected_stop_is_marked():
    mark = trace(along().figure(selected=12), "selected")
    assert mark.x[0] == pytest.approx(1.2)
    assert mark.y[0] == pytest.approx(0.2)
    assert "t = 1.2: 0.2" in mark.text[0]
    assert mark.textposition in ("top left", "bottom right")  # beside a line that rises


@pytest.mark.parametrize("options", [{"view": "x"}, {"selected": 31}, {"width": 0}, {"theme": "x"}])
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        along().figure(**options)
