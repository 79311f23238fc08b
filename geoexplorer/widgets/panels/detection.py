"""The detection panel: what curvature says of an image that is carried across its boundary."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator
from functools import partial
from typing import Any

import ipywidgets

from geoexplorer.figures.detection import apply, blank_chart, detection_layers
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.detection import Detection
from geoexplorer.geometry.detection_along import STOPS, DetectionAlong
from geoexplorer.geometry.detection_roc import DetectionROC
from geoexplorer.results import Result
from geoexplorer.widgets.code import detection_script
from geoexplorer.widgets.curvatures import Measure, images_averaged, point_steps
from geoexplorer.widgets.detection_controls import (
    OVER_IMAGES,
    DetectionChoice,
    DetectionControls,
)
from geoexplorer.widgets.detection_readout import (
    Thresholds,
    detection_facts,
    detection_reading,
    roc_facts,
    row_of,
)
from geoexplorer.widgets.detections import (
    Probing,
    along_steps,
    natural_steps,
    roc_steps,
    seconds_an_image,
)
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.figure_panel import FONT_POINTS, FigurePanel, sized
from geoexplorer.widgets.panel import Host
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.readout import Readout
from geoexplorer.widgets.session import View
from geoexplorer.widgets.worker import Delivery

__all__ = ["DetectionPanel"]

# Pixels of the panel's height for the views to choose from, the slider and the controls.
_CONTROLS_HEIGHT = 110
_DOT = 5  # radius of the dot on the curve, in pixels
_SHAPE = 0.72  # most height of the chart, over its width


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What is on the screen."""

    view: View
    probing: Probing
    points: BoundaryPoints  # of the image that is looked at
    show: str
    images: int
    rate: float
    along: DetectionAlong | None = None
    natural: Detection | None = None  # of the first images; the threshold is chosen on them
    roc: DetectionROC | None = None

    @property
    def thresholds(self) -> Thresholds | None:
        """Once all natural images have been scored."""
        natural = self.natural
        if natural is None or not natural.progress.complete or not natural.score.isfinite().any():
            return None
        return Thresholds.of(natural, self.rate)

    @property
    def result(self) -> DetectionAlong | DetectionROC | None:
        """What is drawn, None while there is nothing yet."""
        if self.show in OVER_IMAGES:
            return self.roc and dataclasses.replace(self.roc, false_positive_rate=self.rate)
        if self.along is None:
            return None
        thresholds = self.thresholds
        level = math.nan if thresholds is None else thresholds.score
        perturbed = self.along.score > level
        return dataclasses.replace(self.along, threshold=level, perturbed=perturbed)


class DetectionPanel(FigurePanel[Shown]):
    """The score on the way from the image across its boundary, and over many images."""

    key = "detection"
    title = "Detection"
    until = "the scores are drawn"

    choice: DetectionChoice

    def __init__(self, host: Host) -> None:
        super().__init__(host, DetectionChoice())
        self.chart: Plot | None = None

    def opened(self) -> None:
        """Make the widgets: the first map of the Explorer does not wait for them."""
        if self.widget.children:
            return
        self.ears = Ears(
            label="The detection score from the image across its boundary. Arrow keys left and "
            "right go along the way, Home and End to its ends.",
            heard=self._hear,
            stops=True,
        )
        self.readout = Readout()
        self.controls = DetectionControls(self.choice, self.errors)
        self.widget.children = self._layout()
        self.choice.observe(
            self._computed_anew, ["show", "point", "probes", "classes", "images", "rate"]
        )
        self.choice.observe(self._computed_at_rest, "factor")
        self.choice.observe(self._place_changed, "place")
        self.ears.observe(self._drawn_anew, "size")

    # What the Explorer asks for.

    def steps(self, view: View) -> Generator[Delivery, None, None]:
        """Score what is to be seen first, then what is said beside it."""
        choice, session = self.choice, self.host.session
        show, probing = choice.show, choice.probing(view.clf)
        count = images_averaged(session, view, choice.images)
        yield partial(self.controls.offer, view.subject)
        points = yield from point_steps(session, view, Measure(point=probing.point))
        shown = Shown(view, probing, points, show, count, choice.rate)

        def seen(**known: Result) -> None:
            nonlocal shown
            shown = dataclasses.replace(shown, **known)  # type: ignore[arg-type]
            if shown.result is not None:
                self._show(shown)

        def scored(seconds: float) -> Generator[Delivery, None, Detection]:
            natural = yield from natural_steps(
                session, view, probing, count, lambda natural: seen(natural=natural),
                seconds=seconds,
            )  # fmt: skip
            yield partial(seen, natural=natural)
            return natural

        seconds = seconds_an_image(view.subject, probing)
        if show in OVER_IMAGES:
            natural = yield from scored(seconds)
            roc = yield from roc_steps(
                session, view, probing, count, lambda roc: seen(roc=roc), natural=natural,
                seconds=seconds,
            )  # fmt: skip
            yield partial(seen, roc=roc)
        along = yield from along_steps(
            session, view, points, probing, lambda along: seen(along=along)
        )
        yield partial(seen, along=along)
        yield from scored(along.provenance.seconds / len(along))

    def result(self) -> Result:
        """What is drawn."""
        result = self._require_shown().result
        assert result is not None  # what is shown has something drawn
        return result

    def figure_options(self) -> dict[str, Any]:
        """Theme and view; on the way across the boundary, where it is looked at."""
        shown = self._require_shown()
        options: dict[str, Any] = {"theme": self.host.theme(), "view": shown.show}
        if shown.show in OVER_IMAGES:
            return options
        row = None if shown.along is None else row_of(shown.along, self.choice.place)
        return options if row is None else {**options, "selected": row}

    def file_stem(self) -> str:
        """Network, image and what is shown."""
        shown = self._require_shown()
        subject = shown.view.subject
        many = f"first {shown.images} images"
        about = many if shown.show in OVER_IMAGES else f"image {shown.view.index}"
        return f"{subject.network} detection {shown.show} {about}".replace(" ", "-")

    def code(self) -> str:
        """A script that scores the same and makes the same figure."""
        shown = self._require_shown()
        return detection_script(
            self.host.session, shown.view, shown.probing, over_images=shown.show in OVER_IMAGES,
            images=shown.images, rate=shown.rate, figure_options=self.figure_options(),
        )  # fmt: skip

    # Drawing.

    def _draw(self) -> None:
        shown = self.shown
        if shown is None or shown.result is None:
            return
        layers = self._layers(shown.result)
        if self.chart is None:
            blank = blank_chart(self.host.theme(), font_size=FONT_POINTS)
            apply(blank, layers)
            blank.layout.shapes = self._shapes()
            self.chart = self._made(blank, self._chart_box)
        elif self._takes_changes():
            with self.chart.lock, self.chart.batch_update():
                apply(self.chart, layers)
                self.chart.layout.shapes = self._shapes()  # an update would not take them away

    def _layers(self, result: Result) -> Layers:
        width, height = self.ears.size
        height = min(height - _CONTROLS_HEIGHT, round(_SHAPE * width))
        options = self.figure_options()
        options.pop("selected", None)  # that mark is moved on its own
        layers = detection_layers(
            result, **options, width=width, height=height, font_size=FONT_POINTS
        )
        return sized(layers, width, height)

    def _read(self) -> None:
        """Show the image at t, and what is said of it."""
        shown, place = self.shown, self.choice.place
        if shown is None:
            return
        natural = shown.natural
        scored = 0 if natural is None else len(natural)
        facts = detection_facts(
            shown.along, place, shown.thresholds, scored=f"{scored} of {shown.images} images",
            to_come=self._to_come,
        )  # fmt: skip
        if shown.show in OVER_IMAGES and shown.roc is not None:
            facts += roc_facts(shown.roc)
        reading = detection_reading(
            shown.view.clf, shown.points, shown.along, place, theme=self.host.theme()
        )
        with self.readout.hold_sync():  # one message
            self.readout.reading, self.readout.facts = reading, facts

    def _look(self) -> None:
        """Show what is at t, many times a second while the slider is dragged."""
        self._soon("place on the way of", self._read, self._mark)

    def _mark(self) -> None:
        """Move the line at t: one small message, since it comes with every move of the slider."""
        if self.chart is not None and self._takes_changes():
            with self.chart.lock, self.chart.batch_update():
                self.chart.layout.shapes = self._shapes()

    def _shapes(self) -> list[dict[str, Any]]:
        if self.shown is None or self.shown.show in OVER_IMAGES:
            return []
        along, place = self.shown.along, self.choice.place
        colour = theme_named(self.host.theme()).ink
        shapes: list[dict[str, Any]] = [
            {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "xref": "x",
             "yref": "paper", "line": {"color": colour, "width": 1.5}}
        ]  # fmt: skip
        row = None if along is None else row_of(along, place)
        if along is not None and row is not None and bool(along.score[row].isfinite()):
            ends = {"x0": -_DOT, "x1": _DOT, "y0": -_DOT, "y1": _DOT}
            spot = {"xanchor": place, "yanchor": float(along.score[row])}
            modes = {"xsizemode": "pixel", "ysizemode": "pixel", "line": {"width": 0}}
            shapes.append({"type": "circle", **ends, **spot, **modes, "fillcolor": colour})
        return shapes

    # What a person does.

    @guarded
    def _hear(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "click":
            if self.shown is not None and self.shown.show not in OVER_IMAGES:
                self._go(float(event["x"]))
        elif kind == "step":
            by, end = event["by"], event.get("end")
            if by is not None:
                self._go(self.choice.place + by * float(STOPS[1]))
            else:
                self._go(float(STOPS[0 if end == -1 else -1]))
        elif kind in ("point", "leave"):
            self.ears.answer()
        elif kind == "drawn":
            self._came_into_page(int(event["plots"]))

    def _go(self, place: float) -> None:
        self.choice.place = min(max(place, float(STOPS[0])), float(STOPS[-1]))

    # What follows from it.

    @guarded
    def _place_changed(self, _change: Any) -> None:
        self._look()

    def _layout(self) -> list[ipywidgets.Widget]:
        self._chart_box = ipywidgets.Box()
        plot = ipywidgets.VBox([self._chart_box, self.ears])
        left = ipywidgets.VBox([plot, self.controls.way])
        side = ipywidgets.VBox([self.readout])
        body = ipywidgets.HBox([left, side])
        for widget, name in ((plot, "plot"), (side, "side"), (body, "body")):
            widget.add_class(f"gx-{name}")
        self.readout.add_class("gx-detection-readout")
        return [self.controls.first, body, self.controls.widget]
