"""Sensitivity to noise: rates and intervals by subspace."""

import numpy as np
import pytest
import torch

from tests.figures.subspaces import HALF, SUBSPACES, noise
from tests.figures.test_curvature import caption, heading, trace, words


def test_a_curve_with_its_interval_for_each_subspace():
    result = noise()
    figure = result.figure()
    low, high = result.interval()
    for row, name in enumerate(SUBSPACES):
        curve, band = trace(figure, f"curve {row}"), trace(figure, f"band {row}")
        assert curve.name.strip() == name
        np.testing.assert_allclose(curve.y, result.rates[row], rtol=1e-6)
        np.testing.assert_allclose(band.y[:4], high[row], rtol=1e-6)
        np.testing.assert_allclose(band.y[4:][::-1], low[row], rtol=1e-5, atol=1e-7)
    assert figure.layout.yaxis.range[1] > float(high.max())
    assert figure.layout.yaxis.ticktext[0] == "0 %"
    assert "20 images" in heading(figure)
    assert "5 draws for each norm" in words(figure)
    assert "95 % interval" in caption(figure)


def test_one_subspace_is_named_above():
    figure = noise(["whole space"]).figure()
    assert not figure.layout.showlegend
    assert "whole space" in heading(figure)


def test_nothing_tried_yet_has_gaps():
    none = torch.zeros(3, 4, dtype=torch.int64)
    figure = noise(changed=none, tried=none, progress=HALF).figure()
    assert np.isnan(np.asarray(trace(figure, "curve 0").y)).all()
    assert "not final (half done)" in heading(figure)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_many_subspaces_with_long_names(theme):
    figure = noise([f"a very long name for subspace number {n}" * 3 for n in range(15)]).figure(
        width=321, font_size=8, theme=theme
    )
    assert "12 of 15 subspaces" in caption(figure)
    assert all(item.name.strip().endswith("…") for item in figure.data if item.showlegend)


@pytest.mark.parametrize("options", [{"width": 20}, {"font_size": 0}, {"theme": "x"}])
def test_wrong_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        noise().figure(**options)
