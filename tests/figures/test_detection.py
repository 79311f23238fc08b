"""Detection scores of images: a histogram that the threshold parts; one function for all kinds."""

import math

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from geoexplorer.figures.chart import TRACES
from geoexplorer.figures.detection import apply, blank_chart, detection_layers
from geoexplorer.results import Result
from tests.figures.subspaces import (
    HALF,
    along,
    detection,
    margins,
    noise,
    relative,
    roc,
    shared,
    shares,
)
from tests.figures.test_curvature import caption, heading, trace, words

EVERY = {
    "histogram": (detection, {}),
    "score": (along, {}),
    "terms": (along, {"view": "terms", "selected": 3}),
    "roc": (roc, {}),
    "scores": (roc, {"view": "scores"}),
    "recovery": (roc, {"view": "recovery"}),
}


def counted(figure, name):
    """Heights of the bins of a stair."""
    return np.asarray(trace(figure, name).y, dtype=float)[1:-1:2]


def test_every_bin_has_one_verdict():
    figure = detection().figure()
    above, below = (counted(figure, f"curve {number}") for number in (0, 1))
    assert (above.sum(), below.sum()) == (2, 3)
    assert min(trace(figure, "curve 0").x) == pytest.approx(0.25)
    assert max(trace(figure, "curve 1").x) == pytest.approx(0.25)
    assert list(trace(figure, "bound 2").x) == [0.25, 0.25]
    names = [item.name.strip() for item in figure.data if item.showlegend]
    assert names == ["called perturbed: 2", "called natural: 3"]
    assert "threshold 0.25" in words(figure)
    assert "5 images" in heading(figure)


def test_a_score_at_the_threshold_is_not_above_it():
    figure = detection((0.25, 0.25, 0.5)).figure()
    assert counted(figure, "curve 0").sum() == 1
    assert counted(figure, "curve 1").sum() == 2


@pytest.mark.parametrize("score", [(0.1,), (0.25,), (0.9,), (math.nan,), (math.nan, -3.0)])
def test_few_scores_and_unknown_ones(score):
    figure = detection(score, progress=HALF).figure()
    total = counted(figure, "curve 0").sum() + counted(figure, "curve 1").sum()
    assert total == np.isfinite(score).sum()
    assert "not final (half done)" in heading(figure)


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize(("theme", "width", "font_size"), [("light", 321, 8), ("dark", 640, 9)])
def test_it_is_never_called_a_defence(kind, theme, width, font_size):
    make, options = EVERY[kind]
    figure = make().figure(theme=theme, width=width, font_size=font_size, **options)
    assert figure.layout.width == width
    said = words(figure)
    assert "an observation about geometry, not a defence" in said
    for part in ("digits-cnn", "50 probes", "h = 0.156"):
        assert part in said


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_not_final_says_so(kind):
    make, options = EVERY[kind]
    assert "not final (half done)" in heading(make(progress=HALF).figure(**options))


def test_one_live_figure_shows_all_kinds_one_after_the_other():
    figure = go.FigureWidget(blank_chart())
    for make, options in EVERY.values():
        apply(figure, detection_layers(make(), width=500, height=400, **options))
        fresh = make().figure(width=500, height=400, **options)
        for name in TRACES:
            assert len(trace(figure, name).x) == len(trace(fresh, name).x)
            if name.startswith("curve") and len(trace(fresh, name).x):
                assert trace(figure, name).marker.symbol == trace(fresh, name).marker.symbol


def test_results_come_back_from_a_file_and_draw_the_same(tmp_path):
    made = (detection, along, roc, shared, relative, shares, noise, margins)
    for number, make in enumerate(made):
        file = tmp_path / f"{number}.npz"
        make().save(file)
        assert Result.load(file).figure().to_json() == make().figure().to_json()


def test_other_results_and_options_are_refused():
    with pytest.raises(TypeError, match="result must be one of detection"):
        detection_layers(Result())
    with pytest.raises(TypeError, match="options of a figure of Detection "):
        detection().figure(view="score")
    with pytest.raises(ValueError, match="theme must"):
        detection().figure(theme="x")


def test_the_caption_says_what_is_dotted():
    assert "dotted: the threshold" in caption(detection(torch.rand(200)).figure())
