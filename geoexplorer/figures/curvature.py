"""Figures of curvatures: profiles, histograms, directions, densities, and κ against the step.

In a widget one figure can show them all, one after the other and each as one message:

    figure = plotly.graph_objects.FigureWidget(blank_chart("light"))
    apply(figure, curvature_layers(curvatures, width=640, height=360))
    apply(figure, curvature_layers(curvatures, ends=20, selected=0, width=640, height=360))

:func:`curvature_layers` takes a result of any kind with the options of its figure, and
:func:`value_at` says which curvature a click on a profile means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geoexplorer.figures.chart import blank_chart, check_sizes
from geoexplorer.figures.curvature_by_step import by_step_layers
from geoexplorer.figures.curvature_density import density_layers
from geoexplorer.figures.curvature_histogram import histogram_layers
from geoexplorer.figures.curvature_points import mean_layers, normal_layers
from geoexplorer.figures.curvature_profile import profile_layers, value_at
from geoexplorer.figures.curvature_summary import Band, check_band, compared
from geoexplorer.figures.direction_images import directions_layers
from geoexplorer.figures.index_axis import IndexAxis, Spectrum
from geoexplorer.figures.layers import Layers, apply
from geoexplorer.figures.scales import check_scale
from geoexplorer.figures.shown import figure_of, layers_among
from geoexplorer.geometry.curvature import PrincipalCurvatures
from geoexplorer.geometry.curvature_by_step import CurvatureByStep
from geoexplorer.geometry.mean_curvature import CurvatureDensity, MeanCurvature
from geoexplorer.geometry.normal_curvature import NormalCurvature
from geoexplorer.results import Result

__all__ = [
    "VIEWS",
    "apply",
    "blank_chart",
    "by_step_figure",
    "curvature_layers",
    "density_figure",
    "mean_figure",
    "normal_figure",
    "principal_figure",
    "value_at",
]

VIEWS = ("profile", "histogram", "directions")


def principal_layers(
    curvatures: PrincipalCurvatures,
    *,
    view: str = "profile",
    compare: Mapping[str, PrincipalCurvatures] | None = None,
    name: str | None = None,
    band: Band = (0.1, 0.9),
    axis: str = "linear",
    index: str = "linear",
    ends: int | None = None,
    selected: int | None = None,
    class_names: Sequence[str] | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw principal curvatures.

    Parameters
    ----------
    curvatures
        What :func:`geoexplorer.principal_curvatures` gives, of one or more boundary points.
    view
        ``"profile"``: the curvatures in descending order against their index, averaged over the
        points, and the line -1/‖r‖, below which no nearest point has any; it is not drawn for
        DeepFool's points nor for those within bounds or a subspace, which it does not bind.
        ``"histogram"``: how often each value occurs at all points together. ``"directions"``: the
        most positive and the most negative directions as images, a row for each of the first
        points.
    compare
        Further results by their names, at most five, drawn over it. Spectra of different length
        are shown against the share of the spectrum.
    name
        What the result itself is called beside them; the network's name by default.
    band
        The two quantiles over the points that the band of a profile spans.
    axis
        Of the curvatures: ``"linear"``, or ``"symlog"``, which opens up the neighbourhood
        of zero.
    index
        Of a profile: ``"linear"``, or ``"log"``, logarithmic from both ends.
    ends
        So many values at either end only, and a gap between. As images, so many directions; as
        many as there is room for by default.
    selected
        A column of ``curvatures.values`` that is marked in the profile.
    class_names
        Names in the classes' order; their numbers by default.
    theme
        ``"light"`` or ``"dark"``.
    width, height
        CSS pixels; 640 by default, and a height that suits the width.
    font_size
        In points, for all text.
    title
        Whether network, method, step, point and own class stand above.
    caption
        Whether it stands below how the picture is read.

    Raises
    ------
    TypeError
        If ``compare`` is no mapping to results of the same kind.
    ValueError
        For an option that is not as described, directions that were not kept, or a size that
        leaves no room for the plot.

    Examples
    --------
    >>> import torch
    >>> one = torch.ones(1)
    >>> ball = PrincipalCurvatures(
    ...     values=-torch.ones(1, 3), own=0 * one.long(), other=one.long(), distances=one,
    ...     alignment=one, method="autograd", step=0.0, at=1.0, residuals=torch.zeros(1, 3),
    ...     converged=torch.ones(1, 3) > 0, asymmetry=0 * one, directions=None, dimension=4)
    >>> principal_figure(ball).layout.xaxis.title.text
    'index, the most positive curvature first'
    """
    if view not in VIEWS:
        accepted = ", ".join(map(repr, VIEWS))
        raise ValueError(f"view must be one of {accepted}, got {view!r}")
    check_band(band)
    check_scale(axis)
    results = compared(curvatures, compare, name)
    IndexAxis.of([Spectrum.of(each) for each in results.values()], ends, index)
    _check_selected(selected, curvatures.values.shape[1])
    if view == "directions" and compare:
        raise ValueError("compare must be None for view='directions', which shows one result")
    check_sizes(width, height, font_size)
    sizes = {"theme": theme, "width": width, "height": height, "font_size": font_size}
    texts: dict[str, Any] = {"class_names": class_names, "title": title, "caption": caption}
    if view == "histogram":
        return histogram_layers(results, axis=axis, sizes=sizes, **texts)
    if view == "directions":
        return directions_layers(curvatures, ends=ends, sizes=sizes, **texts)
    return profile_layers(
        results, band=band, axis=axis, index=index, ends=ends, selected=selected, sizes=sizes,
        **texts,
    )  # fmt: skip


def _check_selected(selected: int | None, count: int) -> None:
    if selected is None:
        return
    whole = isinstance(selected, int) and not isinstance(selected, bool)
    if not whole or not -count <= selected < count:
        raise ValueError(
            f"selected must be a column of the {count} values, 0 to {count - 1}, got {selected!r}"
        )


by_step_figure = figure_of(by_step_layers)
density_figure = figure_of(density_layers)
mean_figure = figure_of(mean_layers)
normal_figure = figure_of(normal_layers)
principal_figure = figure_of(principal_layers)

_LAYERS: dict[type[Result], Callable[..., Layers]] = {
    CurvatureByStep: by_step_layers,
    CurvatureDensity: density_layers,
    MeanCurvature: mean_layers,
    NormalCurvature: normal_layers,
    PrincipalCurvatures: principal_layers,
}


def curvature_layers(result: Result, **options: Any) -> Layers:
    """What the figure of a result shows, for :func:`apply` on a :func:`blank_chart`.

    Parameters
    ----------
    result
        Curvatures of any kind.
    options
        Those of ``result.figure``.

    Raises
    ------
    TypeError
        For any other result, or an option that its figure does not have.
    ValueError
        For a bad value of an option.

    Examples
    --------
    >>> curvature_layers(Result())
    Traceback (most recent call last):
        ...
    TypeError: result must hold curvatures, got Result
    """
    return layers_among(_LAYERS, "hold curvatures", result, options)
