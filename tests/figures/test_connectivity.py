"""Figures of connectivity: what was counted by class, and convex combinations against k."""

import math

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from geoexplorer.figures.chart import TRACES, blank_chart
from geoexplorer.figures.connectivity import combinations_layers, connectivity_layers
from geoexplorer.figures.layers import apply
from geoexplorer.geometry.connectivity import Connectivity
from geoexplorer.geometry.convex_combinations import ConvexCombinations
from geoexplorer.jobs import Progress
from geoexplorer.results import Provenance, Result
from tests.figures.paths import DIGITS
from tests.figures.test_curvature import caption, heading, lines_in, trace, words


def pairs(each=8, *, classes=10, straight=5, bent=2, lost=1, **fields):
    """So many pairs a class: joined straight, by a bent path, not joined, not perturbed."""
    kinds = [0] * straight + [1] * bent + [2] * lost
    kinds = torch.tensor((kinds + [3] * each)[:each]).repeat(classes)
    count, connected = len(kinds), kinds < 2
    bends = torch.where(kinds == 1, 1.002, 1.0).double()
    return Connectivity(
        **{
            "labels": torch.arange(classes).repeat_interleave(each),
            "first": torch.arange(count),
            "second": torch.arange(count) + 1,
            "moved": kinds < 3,
            "straight": kinds == 0,
            "connected": connected,
            "proven": connected,
            "straightness": torch.where(connected, bends, math.nan),
            "anchors": torch.tensor([2, 4, 0, 0])[kinds],
            "distances": torch.ones(count).double(),
            "least_margins": torch.where(connected, 1.0, math.nan).double(),
            "scenario": "perturbed",
            "class_names": DIGITS if classes <= 10 else tuple(map(str, range(classes))),
            "provenance": Provenance(network="digits-cnn"),
            **fields,
        }
    )


def combinations(classes=3, *, tried=100, **fields):
    """Of class i at k = 2, 3, 4, …: i + k fail."""
    sizes = torch.arange(2, 8)
    labels = torch.arange(classes)
    return ConvexCombinations(
        **{
            "sizes": sizes,
            "labels": labels,
            "tried": torch.full((classes, len(sizes)), tried),
            "inside": (tried - labels[:, None] - sizes).clamp(min=0),
            "class_names": tuple(map(str, range(max(classes, 10)))),
            "provenance": Provenance(network="digits-cnn"),
            **fields,
        }
    )


def bars(figure):
    """Widths of the bars by the name of their part, the first row first."""
    found = {}
    for number in range(12):
        name = trace(figure, f"curve {number}").name
        area = trace(figure, f"band {number}")
        if area.fill == "toself" and len(area.x):
            x = np.asarray(area.x, dtype=float)
            y = np.asarray(area.y, dtype=float)
            corners = [x[n : n + 4] for n in range(0, len(x), 5)]
            rows = [round(float(y[n : n + 4].mean())) for n in range(0, len(y), 5)]
            found[name] = {row: np.ptp(c) for row, c in zip(rows, corners, strict=True)}
    return found


def test_every_class_has_a_bar_of_its_shares():
    figure = pairs().figure()
    found = bars(figure)
    assert set(found) == {"straight segment", "bent path", "not connected"}
    assert found["straight segment"] == {row: pytest.approx(5 / 8) for row in range(11)}
    assert found["bent path"][3] == pytest.approx(2 / 8)
    assert found["not connected"][10] == pytest.approx(1 / 8)
    assert list(figure.layout.yaxis.ticktext) == ["all classes", *DIGITS]
    low, high = figure.layout.yaxis.range
    assert low > high  # the first one on top
    texts = trace(figure, "labels").text
    assert texts[0] == "70 of 80, 70 proven, 1.0020"
    assert texts[4] == "7 of 8, 7 proven, 1.0020"


def test_it_says_network_scenario_and_counts():
    said = words(pairs().figure())
    assert "Connected pairs in the regions of digits-cnn" in said
    assert "an image, and one of another class perturbed into it" in said
    assert "70 of 80 pairs connected" in said
    assert "all of these proven" in said
    assert "straightness at most 1.0020" in said
    sampled = pairs(proven=torch.zeros(80, dtype=torch.bool))
    assert "0 of these proven, 70 sampled" in words(sampled.figure())
    running = pairs(progress=Progress(0.5, "40 of 80 pairs"))
    assert "not final (40 of 80 pairs)" in heading(running.figure())


def test_what_could_not_be_perturbed_is_a_part_of_its_own():
    found = bars(pairs(straight=2, bent=0, lost=0).figure())
    assert found["not perturbed into it"][0] == pytest.approx(6 / 8)
    assert "bent path" not in found
    nothing = pairs(straight=0, bent=0, lost=8).figure()
    assert "0 of 80 pairs connected" in words(nothing)
    assert "proven" not in heading(nothing)


def test_one_class_has_one_bar():
    figure = pairs(classes=1).figure()
    assert list(figure.layout.yaxis.ticktext) == ["0"]
    assert "classes" not in caption(figure)


def test_many_classes_are_cut_and_said_so():
    figure = pairs(2, classes=100).figure()
    assert len(figure.layout.yaxis.ticktext) == 25
    assert "24 of 100 classes" in caption(figure)


def test_a_narrow_figure_says_less_beside_its_bars():
    narrow = pairs().figure(width=300, font_size=8)
    assert trace(narrow, "labels").text[0] in ("70 of 80", "70 of 80, 70 proven")
    assert "straightness of bent" not in caption(narrow).replace("<br>", " ")
    assert narrow.layout.xaxis.range[1] > 1


def test_the_share_of_combinations_against_k():
    found = combinations()
    figure = found.figure()
    shown = {item.name: item for item in figure.data if item.showlegend}
    assert list(shown) == ["0", "1", "2", "all classes"]
    np.testing.assert_allclose(shown["all classes"].y, found.probability(), rtol=1e-6)
    np.testing.assert_allclose(shown["1"].y, found.probability(1), rtol=1e-6)
    np.testing.assert_allclose(shown["1"].x, found.sizes)
    band = trace(figure, "band 3")
    low, high = found.interval()
    np.testing.assert_allclose(band.y[:6], high, rtol=1e-6)
    np.testing.assert_allclose(band.y[6:][::-1], low, rtol=1e-6)
    low, high = figure.layout.yaxis.range
    assert low < float(found.interval()[0].min())
    assert high > 1
    assert "95 % interval" in caption(figure)
    assert "300 for each k" in words(figure)
    assert len([item for item in found.figure(by_class=False).data if len(item.x)]) == 2


def test_one_class_or_very_many_have_one_curve():
    one = combinations(1).figure()
    assert not one.layout.showlegend
    assert "0 · 100 for each k" in heading(one)
    many = combinations(40, class_names=tuple(map(str, range(40)))).figure()
    assert not many.layout.showlegend
    assert "all classes" in heading(many)


def test_a_class_with_too_few_images_has_a_gap():
    tried = torch.full((2, 6), 100)
    tried[1, 3:] = 0
    found = combinations(2, tried=100)
    found = ConvexCombinations(
        sizes=found.sizes, labels=found.labels, tried=tried, inside=found.inside.minimum(tried),
        class_names=found.class_names,
    )  # fmt: skip
    curve = trace(found.figure(), "curve 1")
    assert np.isnan(np.asarray(curve.y, dtype=float)).tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "font_size"), [(300, 8), (640, 9), (1000, 11)])
def test_every_width_has_room_for_its_texts(width, font_size, theme):
    for result in (pairs(), pairs(classes=2), combinations(), combinations(10)):
        figure = result.figure(width=width, font_size=font_size, theme=theme)
        assert figure.layout.width == width
        font = font_size * 96 / 72
        for note in figure.layout.annotations:
            for line in lines_in(note.text):
                assert 0.45 * font * len(line) < width


def test_one_live_figure_shows_both_one_after_the_other():
    figure = go.FigureWidget(blank_chart())
    for make, result in (
        (connectivity_layers, pairs()),
        (combinations_layers, combinations()),
        (connectivity_layers, pairs(classes=2)),
    ):
        apply(figure, make(result, width=500, height=400))
        fresh = result.figure(width=500, height=400)
        for name in TRACES:
            assert len(trace(figure, name).x) == len(trace(fresh, name).x)


def test_results_come_back_from_a_file_and_draw_the_same(tmp_path):
    for number, result in enumerate((pairs(), combinations())):
        file = tmp_path / f"{number}.npz"
        result.save(file)
        assert Result.load(file).figure().to_json() == result.figure().to_json()


def test_wrong_options_are_named():
    with pytest.raises(ValueError, match="theme must be one of"):
        pairs().figure(theme="blue")
    with pytest.raises(TypeError, match="options of a figure of Connectivity"):
        pairs().figure(by_class=True)
    with pytest.raises(ValueError, match="width"):
        combinations().figure(width=50)
