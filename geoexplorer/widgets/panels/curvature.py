"""The curvature panel: how the boundary bends at the image's boundary point, and along what."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any, TypeVar

import ipywidgets

from geoexplorer.figures.curvature import apply, blank_chart, curvature_layers, value_at
from geoexplorer.geometry import directions
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.curvature import PrincipalCurvatures
from geoexplorer.geometry.curvature_by_step import curvature_by_step_steps
from geoexplorer.geometry.directions import Direction
from geoexplorer.geometry.normal_sections import NormalSections, normal_sections_steps
from geoexplorer.results import Result
from geoexplorer.widgets.code import curvature_script, principal_name
from geoexplorer.widgets.curvature_controls import SHOWS, CurvatureChoice, CurvatureControls
from geoexplorer.widgets.curvature_readout import CurvatureReadout
from geoexplorer.widgets.curvatures import (
    Measure,
    average_steps,
    images_averaged,
    point_steps,
    spectrum_steps,
)
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.figure_panel import FONT_POINTS, REST_SECONDS, FigurePanel, sized
from geoexplorer.widgets.following import announced, followed
from geoexplorer.widgets.panel import Host
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.ranks import column_of, rank_of
from geoexplorer.widgets.section_pair import blank_pair, show_pair
from geoexplorer.widgets.session import View
from geoexplorer.widgets.worker import Delivery

__all__ = ["CurvaturePanel"]

# Up to so many values the index is linear; beyond, the ends could not be told apart.
_FEW = 100
# Pixels of the panel's height for the views to choose from and the controls.
_CONTROLS_HEIGHT = 70
_SHAPE = 0.72  # most height of the chart, over its width
# Network passes that κ against h, and a pair of maps, take about.
_BY_STEP, _PAIR = 5000, 6000

R = TypeVar("R", bound=Result)


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What is on the screen."""

    view: View
    measure: Measure
    points: BoundaryPoints
    curvatures: PrincipalCurvatures  # of the image that is looked at
    show: str
    result: Result
    images: int  # averaged over
    rank: int  # of the direction that the result is about


class CurvaturePanel(FigurePanel[Shown]):
    """Principal curvatures at a boundary point; one of them chosen, and the boundary along it."""

    key = "curvature"
    title = "Curvature"
    until = "the curvatures are drawn"

    choice: CurvatureChoice

    def __init__(self, host: Host) -> None:
        super().__init__(host, CurvatureChoice())
        self.chart: Plot | None = None
        self.pair: Plot | None = None

    def opened(self) -> None:
        """Make the widgets: the first map of the Explorer does not wait for them."""
        if self.widget.children:
            return
        self.ears = Ears(
            label="Principal curvatures. Arrow keys left and right choose a value, Home and End "
            "the most positive and the most negative one.",
            heard=self._hear,
            stops=True,
        )
        self.readout = CurvatureReadout()
        self.controls = CurvatureControls(self.choice, self.errors)
        self.along = ipywidgets.Button(
            description="Show the boundary along it",
            tooltip="Map the boundary along this direction beside a random one",
            disabled=True,
        )
        self.use = ipywidgets.Button(description="Use as axis", disabled=True)
        self.along.on_click(self._show_along)
        self.use.on_click(self._use_as_axis)
        self._buttons = (self.along, self.use)
        self.widget.children = self._layout()
        self.choice.observe(self._computed_anew, ["show", "point", "method", "spectrum", "images"])
        self.choice.observe(self._computed_at_rest, "factor")
        self.choice.observe(self._rank_changed, "rank")
        self.ears.observe(self._drawn_anew, "size")

    # What the Explorer asks for.

    def steps(self, view: View) -> Generator[Delivery, None, None]:
        """Measure the curvatures, then whatever is to be seen."""
        choice, session, clf = self.choice, self.host.session, view.clf
        show, rank = choice.show, choice.rank
        images = images_averaged(session, view, choice.images)
        measure = choice.measure(clf)
        yield partial(self.controls.offer, view.subject)
        points = yield from point_steps(session, view, measure)

        def seen(result: Result, curvatures: PrincipalCurvatures) -> None:
            shown_rank = _rank(curvatures, _column(curvatures, rank))
            self._show(Shown(view, measure, points, curvatures, show, result, images, shown_rank))

        def early(curvatures: PrincipalCurvatures) -> None:
            if show == "profile":
                seen(curvatures, curvatures)

        curvatures = yield from spectrum_steps(session, view, measure, early)
        if show == "profile":
            yield partial(seen, curvatures, curvatures)
        elif show == "average":
            average = yield from average_steps(
                session, view, measure, images, lambda result: seen(result, curvatures)
            )
            yield partial(seen, average, curvatures)
        else:
            tangents = _tangents(points, curvatures, _column(curvatures, rank))
            scale = measure.scale()
            what, passes = SHOWS[show], _BY_STEP if show == "step" else _PAIR
            yield from announced(session, what, passes * view.subject.seconds)
            steps: Iterator[Result]
            if show == "step":
                scale = _scaled(measure)
                steps = curvature_by_step_steps(clf, points, tangents, **scale)
            else:
                steps = normal_sections_steps(clf, points, tangents, **scale)
            result = yield from followed(
                session, steps, what, lambda result: seen(result, curvatures)
            )
            yield partial(seen, result, curvatures)

    def result(self) -> Result:
        """What is drawn."""
        return self._require_shown().result

    def figure_options(self) -> dict[str, Any]:
        """Theme, the chosen value, and what is drawn beside."""
        shown = self._require_shown()
        options: dict[str, Any] = {"theme": self.host.theme()}
        if shown.show == "boundary":
            return options
        options["class_names"] = shown.view.clf.class_names
        if shown.show == "step":
            found_at = shown.curvatures.step
            return {**options, "found_at": found_at} if found_at else options
        options["index"] = self._index(shown.curvatures)
        options["selected"] = _column(shown.curvatures, self.choice.rank)
        if shown.show == "average":
            options["name"] = f"first {shown.images} images"
            options["compare"] = {"this image": shown.curvatures}
        return options

    def file_stem(self) -> str:
        """Network, image and what is shown."""
        shown = self._require_shown()
        words = [shown.view.subject.network, "image", str(shown.view.index), SHOWS[shown.show]]
        return "-".join(words).replace(" ", "-").replace("κ", "curvature")

    def code(self) -> str:
        """A script that measures the same and makes the same figure."""
        shown = self._require_shown()
        return curvature_script(
            self.host.session, shown.view, shown.measure, shown.show, rank=shown.rank,
            images=shown.images, by_step=_scaled(shown.measure),
            figure_options=self.figure_options(),
        )  # fmt: skip

    # Drawing.

    def _draw(self) -> None:
        shown = self.shown
        if shown is None:
            return
        width, height = self.ears.size
        options = self.figure_options()
        mapped = isinstance(shown.result, NormalSections)
        if isinstance(shown.result, NormalSections):
            figure = shown.result.figure(**options, width=width, font_size=FONT_POINTS)
            if self.pair is None:
                blank = blank_pair(self.host.theme(), font_size=FONT_POINTS)
                show_pair(blank, figure)
                self.pair = self._made(blank, self._pair_box)
            elif self._takes_changes():
                with self.pair.lock:
                    show_pair(self.pair, figure)
        else:
            height = min(height - _CONTROLS_HEIGHT, round(_SHAPE * width))
            layers = curvature_layers(
                shown.result, **options, width=width, height=height, font_size=FONT_POINTS
            )
            layers = sized(layers, width, height)
            if self.chart is None:
                blank = blank_chart(self.host.theme(), font_size=FONT_POINTS)
                apply(blank, layers)
                self.chart = self._made(blank, self._chart_box)
            elif self._takes_changes():
                with self.chart.lock:
                    apply(self.chart, layers)
        self._chart_box.layout.display = "none" if mapped else ""
        self._pair_box.layout.display = "" if mapped else "none"

    def _read(self) -> None:
        shown = self.shown
        if shown is None:
            return
        column = _column(shown.curvatures, self.choice.rank)
        self.readout.show(
            shown.view, shown.points, shown.curvatures, column,
            point=shown.measure.point, theme=self.host.theme(),
            averaged=shown.show == "average", again=_again(shown, column),
        )  # fmt: skip
        at_nearest = shown.measure.point == "nearest"
        self.along.disabled = self._outdated
        self.use.disabled = self._outdated or not at_nearest
        self.use.tooltip = (
            "Open the cross-section with the normal across and this direction up"
            if at_nearest
            else "Cross-sections go through the nearest point; choose it to use this direction"
        )

    @staticmethod
    def _index(curvatures: PrincipalCurvatures) -> str:
        return "log" if curvatures.values.shape[1] > _FEW else "linear"

    # What a person does.

    @guarded
    def _hear(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "click":
            self._click(float(event["x"]))
        elif kind == "step":
            self._step(event["by"], event.get("end"))
        elif kind in ("point", "leave"):
            self.ears.answer()
        elif kind == "drawn":
            self._came_into_page(int(event["plots"]))

    def _click(self, x: float) -> None:
        shown = self.shown
        if shown is None or not isinstance(shown.result, PrincipalCurvatures):
            return
        options = self.figure_options()
        column = value_at(shown.result, x, index=options["index"], compare=options.get("compare"))
        if column is not None:
            self.choice.rank = _rank(shown.curvatures, column)

    def _step(self, by: int | None, end: int | None) -> None:
        shown = self.shown
        if shown is None:
            return
        last = shown.curvatures.values.shape[1] - 1
        column = _column(shown.curvatures, self.choice.rank)
        column = column + by if by is not None else (0 if end == -1 else last)
        self.choice.rank = _rank(shown.curvatures, min(max(column, 0), last))

    @guarded
    def _show_along(self, _button: Any) -> None:
        self.choice.show = "boundary"

    @guarded
    def _use_as_axis(self, _button: Any) -> None:
        shown = self._require_shown()
        rank = _rank(shown.curvatures, _column(shown.curvatures, self.choice.rank))
        measure = shown.measure
        up = {"kind": "principal direction", "rank": rank, "method": measure.method,
              "step": measure.step, "spectrum": measure.spectrum}  # fmt: skip
        self.host.open_panel("cross-section", {"across": "normal", "up": up})

    # What follows from it.

    @guarded
    def _rank_changed(self, _change: Any) -> None:
        if self.choice.show in ("step", "boundary"):
            self.host.refresh(delay=REST_SECONDS)
            return
        self._redraw()

    def _layout(self) -> list[ipywidgets.Widget]:
        self._chart_box, self._pair_box = ipywidgets.Box(), ipywidgets.Box()
        self._pair_box.layout.display = "none"
        plot = ipywidgets.VBox([self._chart_box, self._pair_box, self.ears])
        buttons = ipywidgets.HBox([self.along, self.use])
        side = ipywidgets.VBox([self.readout, buttons])
        body = ipywidgets.HBox([plot, side])
        for widget, name in (
            (plot, "plot"), (side, "side"), (body, "body"), (buttons, "buttons"),
        ):  # fmt: skip
            widget.add_class(f"gx-{name}")
        return [self.controls.views, body, self.controls.widget]


def _column(curvatures: PrincipalCurvatures, rank: int) -> int:
    return column_of(rank, curvatures.values.shape[1])


def _rank(curvatures: PrincipalCurvatures, column: int) -> int:
    return rank_of(column, curvatures.values.shape[1])


def _again(shown: Shown, column: int) -> tuple[float, float] | None:
    """The curvature along the direction in a column as it was measured for the pair of maps."""
    result = shown.result
    if not isinstance(result, NormalSections) or not result.curvatures:
        return None
    if _rank(shown.curvatures, column) != shown.rank:  # they are of another direction still
        return None
    return result.curvatures[0], result.standard_errors[0]


def _tangents(
    points: BoundaryPoints, curvatures: PrincipalCurvatures, column: int
) -> list[Direction]:
    """The direction in a column and a random one to compare it with."""
    rank = _rank(curvatures, column)
    along = directions.given(curvatures.direction(rank).vector, principal_name(rank))
    return [along, directions.random_tangent(points)]


def _scaled(measure: Measure) -> dict[str, Any]:
    """The method for κ against h, which autograd knows nothing about."""
    return {} if measure.method in ("auto", "autograd") else {"method": measure.method}
