"""Shares in a subspace: bars, their lines, and what random vectors have."""

import math

import numpy as np
import pytest
import torch

from tests.figures.subspaces import HALF, shares
from tests.figures.test_curvature import caption, heading, trace, words


def test_bars_lines_and_values():
    figure = shares().figure(band=(0.0, 1.0))
    corners = np.asarray(trace(figure, "band 0").x, dtype=float)
    np.testing.assert_allclose(corners[1::5], [0.25, 0.3, 0.35], rtol=1e-5)
    lines = np.asarray(trace(figure, "curve 0").x, dtype=float).reshape(-1, 3)
    np.testing.assert_allclose(lines[:, 1], [0.5, 0.6, 0.7], rtol=1e-5)
    assert list(figure.layout.yaxis.ticktext) == ["kind 0", "kind 1", "kind 2"]
    said = words(figure)
    for part in ("0.25", "0.3", "0.35", "line: 0 to 100 % of the vectors", "m = 16 of d = 64"):
        assert part in said
    assert "11 vectors of each kind" in said
    assert "perturbations: nearest_boundary, deepfool" in said


def test_a_line_where_random_vectors_are():
    figure = shares().figure()
    assert list(trace(figure, "bound 1").x) == [0.5, 0.5]
    assert "random: √(m/d) = 0.5" in words(figure)


def test_what_is_not_known_is_said():
    rows = (torch.full((4,), math.nan), torch.empty(0), torch.ones(1))
    figure = shares(shares=rows, progress=HALF).figure()
    assert sum("no value" in text for text in trace(figure, "labels").text) == 2
    assert "0 to 1 of each kind" in caption(figure)
    assert "not final (half done)" in heading(figure)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_many_kinds_with_long_names_fit_a_narrow_column(theme):
    names = tuple(f"a rather long name for the vectors {n}" for n in range(30))
    figure = shares(30, names=names).figure(width=321, font_size=8, theme=theme)
    assert len(figure.layout.yaxis.ticktext) == 24
    assert figure.layout.yaxis.ticktext[0].endswith("…")
    assert "24 of 30 kinds" in caption(figure)
    across, margin = figure.layout.xaxis.range, figure.layout.margin
    scale = (321 - margin.l - margin.r) / (across[1] - across[0])
    labels = trace(figure, "labels")
    for x, text in list(zip(labels.x, labels.text, strict=True))[1:]:
        assert x * scale + 0.5 * 10.7 * len(text) < 321 - margin.l


@pytest.mark.parametrize("options", [{"band": 3}, {"width": -1}, {"theme": "x"}])
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        shares().figure(**options)
