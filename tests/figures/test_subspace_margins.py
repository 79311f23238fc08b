"""Margins by subspace: medians, lines, and what was not reached."""

import math

import numpy as np
import pytest
import torch

from tests.figures.subspaces import HALF, SUBSPACES, margins
from tests.figures.test_curvature import caption, heading, trace, words


def test_medians_and_lines():
    result = margins()
    figure = result.figure()
    np.testing.assert_allclose(trace(figure, "curve 1").x, result.quantile(), rtol=1e-6)
    lines = np.asarray(trace(figure, "curve 0").x, dtype=float).reshape(-1, 3)
    np.testing.assert_allclose(lines[:, 0], result.quantile(0.25), rtol=1e-6)
    np.testing.assert_allclose(lines[:, 1], result.quantile(0.75), rtol=1e-6)
    assert list(figure.layout.yaxis.ticktext) == [*SUBSPACES[:2], f"{SUBSPACES[2]}, 10 dimensions"]
    assert figure.layout.xaxis.type == "linear"
    assert "20 images" in heading(figure)
    assert "line: 25 to 75 % of them" in caption(figure)
    assert "reached" not in words(figure)


def test_what_was_not_reached_is_counted_and_goes_on_to_the_right():
    result = margins()
    result.distances[1, 12:] = math.inf
    result.distances[2, 5:] = math.inf
    figure = result.figure()
    texts = trace(figure, "labels").text
    assert "reached in 12 of 20" in texts[1]
    assert "→" in texts[1]
    assert "∞" in texts[2]
    assert "not reached counts as infinitely far" in caption(figure)
    lines = np.asarray(trace(figure, "curve 0").x, dtype=float).reshape(-1, 3)
    assert np.isfinite(lines[:, :2]).all()
    assert lines[1, 1] < figure.layout.xaxis.range[1]


def test_a_large_range_is_logarithmic():
    result = margins()
    result.distances[2] *= 1000
    figure = result.figure()
    assert figure.layout.xaxis.type == "log"
    low, high = figure.layout.xaxis.range
    assert low < math.log10(float(result.quantile(0.25).min()))
    assert high > math.log10(float(result.quantile(0.75).max()))
    assert result.figure(axis="linear").layout.xaxis.type == "linear"


def test_one_image_nothing_reached_and_nothing_known():
    assert "dot" not in caption(margins(n=1).figure())
    nowhere = margins(distances=torch.full((3, 4), math.inf)).figure()
    assert "∞, reached in 0 of 4" in words(nowhere)
    coming = margins(distances=torch.full((3, 4), math.nan), progress=HALF).figure()
    assert "not yet" in words(coming)
    assert "not final (half done)" in heading(coming)


def test_every_label_says_the_dimension():
    result = margins(["DCT 0 to 1", "DCT 2"], dimensions=(4, 1))
    figure = result.figure()
    assert list(figure.layout.yaxis.ticktext) == ["DCT 0 to 1, 4 dimensions", "DCT 2, 1 dimension"]
    assert "brackets" not in caption(figure)
    long = [f"directions <of> the {kind} subspace" for kind in ("first", "second")]
    narrow = margins(long, dimensions=(192, 10)).figure(width=321, font_size=8)
    for text, m in zip(narrow.layout.yaxis.ticktext, (192, 10), strict=True):
        assert text.startswith("directions")
        assert text.strip().endswith(f"… ({m})")
    assert "in brackets: the dimension" in caption(narrow)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_many_subspaces_in_a_narrow_column(theme):
    figure = margins([f"subspace with a long name {n}" for n in range(30)]).figure(
        width=321, font_size=8, theme=theme
    )
    assert len(figure.layout.yaxis.ticktext) == 24
    assert "24 of 30 subspaces" in caption(figure)


def test_one_subspace_in_small_letters():
    """The height that is chosen is enough for the plot."""
    assert margins(["curved, 10 dimensions"]).figure(font_size=6).layout.height >= 60


@pytest.mark.parametrize("options", [{"axis": "symlog"}, {"band": (0.5,)}, {"theme": "x"}])
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        margins().figure(**options)
