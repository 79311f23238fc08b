"""Histograms, directions, densities, κ against h, and single numbers."""

import itertools
import math

import numpy as np
import pytest
import torch

from geoexplorer.figures.rasters import signed_uri
from tests.figures.curvatures import STEPS, by_step, density, mean, normal, principal
from tests.figures.test_curvature import caption, heading, trace, words


def test_a_histogram_counts_all_values():
    result = principal(5, missing=[1])
    figure = result.figure(view="histogram")
    curve = trace(figure, "curve 0")
    x, y = np.asarray(curve.x), np.asarray(curve.y)
    assert figure.layout.yaxis.type == "log"
    heights, widths = y[1:-1:2], np.diff(x[1::2])
    np.testing.assert_allclose(widths, widths[0], rtol=1e-4)
    assert heights[heights > 0.5].sum() == 4 * 63
    zero = np.searchsorted(x[1::2], 0.0) - 1
    assert heights[zero] == heights.max()
    assert figure.layout.yaxis.title.text == "number of values"
    assert "1" in figure.layout.yaxis.ticktext
    assert "1 / l2 unit" in figure.layout.xaxis.title.text


def test_compared_histograms_show_shares():
    figure = principal().figure(view="histogram", compare={"large": principal(dimension=3072)})
    for index in range(2):
        heights = np.asarray(trace(figure, f"curve {index}").y)[1:-1:2]
        floor = heights.min()
        assert heights[heights > floor].sum() == pytest.approx(1.0, abs=0.02)
    assert figure.layout.yaxis.ticktext[-1].endswith(" %")


def test_histograms_have_the_line_and_the_scale():
    figure = principal(distances=torch.tensor([1.0])).figure(view="histogram")
    assert list(trace(figure, "bound 0").x) == [-1.0, -1.0]
    assert "−1/‖r‖ = −1: no κ lies below" in words(figure)
    figure = principal(distances=torch.tensor([1.0])).figure(view="histogram", axis="symlog")
    assert "0" in figure.layout.xaxis.ticktext
    assert "then log" in caption(figure)


def images(figure):
    return [image for image in figure.layout.images if image.visible]


def test_directions_are_drawn_with_their_curvature():
    result = principal(kept=True, extremes=5)
    figure = result.figure(view="directions", ends=3)
    shown = images(figure)
    assert len(shown) == 6
    columns = [0, 1, 2, 7, 8, 9]
    scale = float(result.directions[0, columns].abs().max())
    for image, column in zip(shown, columns, strict=True):
        assert image.source == signed_uri(result.directions[0, column].double().numpy(), scale)
    texts = trace(figure, "labels").text
    for column in (0, 9):
        assert f"{float(result.values[0, column]):.3g}".replace("-", "−") in texts
    assert {"most positive", "most negative"} <= set(texts)
    assert f"from −{scale:.2g} to {scale:.2g}" in caption(figure)
    assert "the sign of a direction is arbitrary" in caption(figure)


def test_directions_of_several_points_have_a_row_each():
    result = principal(6, missing=[1], kept=True, extremes=5, shape=(3, 8, 8))
    figure = result.figure(view="directions", ends=2)
    shown = images(figure)
    assert len(shown) == 16
    assert len({image.y for image in shown}) == 4
    assert "4 of 6 images" in caption(figure)
    texts = trace(figure, "labels").text
    assert [text for text in texts if "|" in text] == ["0 | 1", "2 | 3", "3 | 4", "4 | 5"]


@pytest.mark.parametrize("width", [250, 321, 640, 900])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 20)])
def test_directions_lie_inside_and_beside_each_other(width, count, shape):
    result = principal(count, kept=True, extremes=8, shape=shape)
    figure = result.figure(view="directions", width=width)
    right, bottom = figure.layout.xaxis.range[1], figure.layout.yaxis.range[0]
    shown = images(figure)
    assert len(shown) % (2 * count) == 0
    for image in shown:
        assert 0 <= image.x < image.x + image.sizex <= right + 1e-6
        assert 0 <= image.y < image.y + image.sizey < bottom
        assert image.sizey / image.sizex == pytest.approx(shape[1] / shape[2])
    row = sorted((image.x, image.sizex) for image in shown if image.y == shown[0].y)
    assert all(a + size < b for (a, size), (b, _) in itertools.pairwise(row))
    labels = trace(figure, "labels")
    assert all(0 < x < right for x in labels.x)
    assert all(0 < y < bottom for y in labels.y)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 2, 3)])
def test_directions_that_are_not_known(shape):
    count = math.prod(shape)
    nothing = principal(3, dimension=count, kept=True, shape=shape, missing=[0, 1, 2])
    figure = nothing.figure(view="directions")
    assert not images(figure)
    assert "no curvature is known" in words(figure)
    assert "unit l2 norm" not in words(figure)


def test_directions_have_to_be_there():
    with pytest.raises(ValueError, match="measure them with directions=True or with k="):
        principal().figure(view="directions")
    with pytest.raises(ValueError, match=r"width must leave .* for 20 at either end"):
        principal(kept=True).figure(view="directions", ends=20)
    with pytest.raises(ValueError, match="compare must be None for view='directions'"):
        principal(kept=True).figure(view="directions", compare={"x": principal(kept=True)})


def test_a_density_is_the_mean_of_the_points():
    result = density(2, dimension=101)
    figure = result.figure(smoothing=0.05)
    curve = trace(figure, "curve 0")
    x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)

    def bell(centre):
        return np.exp(-0.5 * ((x - centre) / 0.05) ** 2) / (0.05 * math.sqrt(2 * math.pi))

    wanted = 0.9 * bell(0) + 0.05 * bell(1) + 0.05 * bell(2)
    high = wanted > 1e-2
    np.testing.assert_allclose(y[high], wanted[high], rtol=1e-3)
    assert figure.layout.yaxis.type == "log"
    single = 1 / (100 * 0.05 * math.sqrt(2 * math.pi))
    assert y.min() == pytest.approx(0.1 * single)
    assert f"each curvature a bell of width 0.05, by itself {single:.2g} high" in caption(figure)
    assert trace(figure, "bound 0").x[0] == pytest.approx(-2.0)


def test_densities_are_compared():
    figure = density(3).figure(compare={"other": density(1, dimension=3072)})
    assert [trace(figure, f"curve {n}").name for n in range(2)] == ["digits-cnn", "other"]
    assert len(trace(figure, "band 0").x) > 0
    assert len(trace(figure, "band 1").x) == 0


def test_a_density_tells_of_the_noise_of_the_probes():
    said = caption(density(3, noise=torch.full((3,), 0.123)).figure())
    assert "noise of the probes, 12 % of G v, widens it" in said
    assert "noise" not in caption(density(3).figure())


@pytest.mark.parametrize("smoothing", [0, -1.0, math.nan, math.inf])
def test_a_bell_has_a_width(smoothing):
    with pytest.raises(ValueError, match="smoothing must be a positive number or None"):
        density().figure(smoothing=smoothing)


def test_curvature_against_the_step():
    result = by_step(3, directions=2)
    figure = result.figure()
    assert figure.layout.xaxis.type == "log"
    for row in range(2):
        curve = trace(figure, f"curve {row}")
        np.testing.assert_allclose(curve.x, STEPS, rtol=1e-6)
        np.testing.assert_allclose(curve.y, 2 * (row + 1) / np.array(STEPS), rtol=1e-5)
        assert curve.name == result.direction_names[row]
    first, second = trace(figure, "curve 0").line, trace(figure, "curve 1").line
    assert first.color != second.color
    assert first.dash != second.dash
    assert list(trace(figure, "bound 2").x) == [0.156, 0.156]
    assert "default h = 0.156" in words(figure)
    low, high = figure.layout.xaxis.range
    assert low < math.log10(STEPS[0])
    assert high > math.log10(STEPS[-1])


def test_methods_are_compared_against_the_step():
    others = {
        "secant": by_step(method="secant"),
        "central": by_step(method="central_difference", step=0.0156),
    }
    figure = by_step().figure(compare=others)
    names = [trace(figure, f"curve {index}").name for index in range(3)]
    assert names == ["smoothed", "secant", "central"]
    assert len({trace(figure, f"curve {index}").line.color for index in range(3)}) == 3
    assert "default h = 0.0156 and 0.156" in words(figure)
    assert "central: central differences" in caption(figure)


def test_with_directions_and_methods_dashes_are_methods():
    figure = by_step(directions=2).figure(compare={"secant": by_step(directions=2)})
    lines = [trace(figure, f"curve {index}").line for index in range(4)]
    assert lines[0].color == lines[2].color != lines[1].color == lines[3].color
    assert lines[0].dash == lines[1].dash != lines[2].dash == lines[3].dash
    assert trace(figure, "curve 3").name == "random tangent 1, secant"


@pytest.mark.parametrize(("methods", "wanted"), [(1, 6), (2, 5), (3, 3), (6, 1)])
def test_no_more_directions_than_can_be_told_apart(methods, wanted):
    others = {str(n): by_step(directions=8, step=0.1 * n) for n in range(1, methods)}
    figure = by_step(directions=8).figure(compare=others)
    curves = [item for item in figure.data if item.showlegend]
    assert len(curves) == (0 if wanted * methods == 1 else wanted * methods)
    assert f"{wanted} of 8 directions" in caption(figure)


def test_steps_that_were_not_measured_are_left_out():
    result = by_step(3)
    result.values[1, 0, 4] = math.nan
    result.values[:, 0, 5] = math.nan
    curve = trace(result.figure(), "curve 0")
    assert curve.y[4] == pytest.approx(2 / STEPS[4])
    assert math.isnan(curve.y[5])


def test_normal_curvatures_are_bars():
    result = normal()
    figure = result.figure()
    bars = trace(figure, "band 0")
    corners = np.asarray(bars.x, dtype=float)
    assert corners[1::5].tolist() == [1.5, 0.0, -0.5, 0.25]
    assert list(figure.layout.yaxis.ticktext) == list(result.direction_names)
    assert [text.strip() for text in trace(figure, "labels").text] == ["1.5", "0", "−0.5", "0.25"]


def test_normal_curvatures_of_many_points_have_a_band():
    result = normal(11)
    result.values[3] = math.nan
    figure = result.figure(band=(0.0, 1.0))
    values = np.delete(result.values.numpy(), 3, axis=0)
    lines = np.asarray(trace(figure, "curve 0").x, dtype=float).reshape(-1, 3)
    np.testing.assert_allclose(lines[:, 0], values.min(axis=0))
    np.testing.assert_allclose(lines[:, 1], values.max(axis=0))
    assert "bar: mean of the images, line: 0 to 100 % of them" in caption(figure)
    assert "10 of 11 images" in heading(figure)


def test_a_direction_without_a_value_says_so():
    result = normal()
    result.values[0, 1] = math.nan
    assert "no value" in trace(result.figure(), "labels").text[1]


@pytest.mark.parametrize("width", [250, 640])
def test_values_of_bars_stand_inside(width):
    figure = normal(1, values=(1.234, -1.234, 0.0001, -0.00012)).figure(width=width)
    margin, (low, high) = figure.layout.margin, figure.layout.xaxis.range
    scale = (width - margin.l - margin.r) / (high - low)
    labels = trace(figure, "labels")
    for x, text, side in zip(labels.x, labels.text, labels.textposition, strict=True):
        length = 0.56 * 12 * len(text.strip())
        room = (high - x if side.endswith("right") else x - low) * scale
        assert length < room


def test_many_and_long_names_of_directions_are_cut():
    result = normal(1, values=tuple(np.linspace(1, -1, 30)))
    names = tuple(f"a rather long name for the direction {n}" for n in range(30))
    result = type(result)(**{**result.__dict__, "direction_names": names})
    figure = result.figure(width=400)
    assert len(figure.layout.yaxis.ticktext) == 24
    assert figure.layout.yaxis.ticktext[0].endswith("…")
    assert figure.layout.margin.l < 200
    assert "24 of 30 directions" in caption(figure)


def test_mean_curvatures_have_error_bars():
    figure = mean(5).figure()
    curve = trace(figure, "curve 0")
    np.testing.assert_allclose(curve.y, [0, 0.1, 0.2, 0.3, 0.4], atol=1e-7)
    assert curve.error_y.visible
    np.testing.assert_allclose(curve.error_y.array, 0.01, rtol=1e-6)
    assert curve.mode == "markers"
    assert list(trace(figure, "bound 0").y) == [pytest.approx(0.2)] * 2
    assert "dotted: mean of the images, 0.2" in caption(figure)
    assert "100 probes" in heading(figure)
    assert "one standard error" in caption(figure)


def test_one_mean_curvature_has_no_mean_line():
    figure = mean(1).figure()
    assert len(trace(figure, "bound 0").x) == 0
    assert "dotted" not in caption(figure)


def test_against_h_a_single_point_has_error_bars_and_says_so():
    errors = torch.full((1, 1, len(STEPS)), 0.25)
    figure = by_step(standard_errors=errors).figure()
    assert "bars: one standard error" in words(figure)
    (curve,) = (trace for trace in figure.data if trace.error_y.visible)
    assert np.allclose(curve.error_y.array, 0.25)
    assert any("± 0.2" in text for text in curve.text)
    assert "standard error" not in words(by_step().figure())
    assert "standard error" not in words(
        by_step(3, standard_errors=errors.expand(3, 1, -1)).figure()
    )


def test_against_h_the_step_that_directions_were_found_at():
    figure = by_step(step=0.156).figure(found_at=0.02)
    assert "found at h = 0.02" in words(figure)
    assert "default h = 0.156" in words(figure)
    assert "direction found at h = 0.02; other h have others" in words(figure)
    assert "default h, where it was found = 0.156" in words(
        by_step(step=0.156).figure(found_at=0.156)
    )
    with pytest.raises(ValueError, match="found_at must be a positive step or None, got 0"):
        by_step().figure(found_at=0.0)


def test_a_bar_of_a_single_point_has_its_error():
    figure = normal(standard_errors=torch.full((1, 4), 0.1)).figure()
    assert "line: one standard error" in words(figure)
    assert "1.5 ± 0.1" in words(figure)
    assert "standard error" not in words(normal().figure())
