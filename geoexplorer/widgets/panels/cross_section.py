"""The cross-section panel: a plane through the image, mapped live."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
import torch
import traitlets

from geoexplorer.figures.sections import apply, blank_section, section_layers
from geoexplorer.figures.shading import SHADINGS
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.directions import Direction
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.sections import CrossSection, cross_section_steps
from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.widgets.axes import KINDS, Axis, AxisTrait
from geoexplorer.widgets.axis_chooser import AxisChooser
from geoexplorer.widgets.code import section_script
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.extent import (
    Extent,
    automatic_window,
    map_aspect,
    pixel_shape,
    same_extent,
)
from geoexplorer.widgets.help import help_button
from geoexplorer.widgets.panel import Host, Panel
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.readout import Place, Readout
from geoexplorer.widgets.session import View
from geoexplorer.widgets.state import Choice, Spot, Window
from geoexplorer.widgets.worker import Delivery, Urgency

__all__ = ["CrossSectionPanel"]

_FONT_POINTS = 9.0
# After the last of a row of pans and zooms, so long until the map is computed there.
_REST_SECONDS = 0.15
# Between the first map and the last, one is drawn every so often; drawing takes time too.
_DRAWING_SECONDS = 0.3
# A point is marked where it lies nearer to the plane than this share of the boundary's distance.
_IN_PLANE = 0.02
_RING = 7  # radius of the ring at a place, in pixels


class SectionChoice(Choice):
    """What is chosen in the cross-section panel."""

    across = AxisTrait(Axis("nearest boundary")).tag(state=True)
    up = AxisTrait(Axis("random tangent")).tag(state=True)
    window = Window().tag(state=True)
    shading = traitlets.Enum(SHADINGS, "margin").tag(state=True)
    pin = Spot().tag(state=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What is on the screen."""

    view: View
    across: Axis
    up: Axis
    section: CrossSection
    extent: Extent


class CrossSectionPanel(Panel):
    """A map of the classification regions in a plane, and what is at the pointer."""

    key = "cross-section"
    title = "Cross-section"

    choice: SectionChoice

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.choice = SectionChoice()
        self.shown: Shown | None = None
        self._plane: tuple[Any, Plane] | None = None  # the last one, with what it was made for
        self._spot: tuple[float, float] | None = None  # where the pointer was last
        self._by_keys = False  # whether keys moved it there: then it has to be drawn
        self.plot = Plot(blank_section(host.theme(), font_size=_FONT_POINTS), host.library)
        self.plot._config = {
            "scrollZoom": True,
            "doubleClick": False,
            "displayModeBar": False,
        }
        self.ears = Ears(
            label="Map of the regions. Arrow keys point, Enter pins, Escape lets go, plus and "
            "minus zoom, 0 shows the whole.",
            heard=self._hear,
        )
        self.readout = Readout()
        self.across = AxisChooser(
            "Across", host, partial(self._choose_axis, "across"), first_seed=1
        )
        self.up = AxisChooser("Up", host, partial(self._choose_axis, "up"))
        self.whole = ipywidgets.Button(
            description="auto window", tooltip="Back to the window chosen for you (double click)"
        )
        self.shading = ipywidgets.Dropdown(options=SHADINGS, value=self.choice.shading)
        self.keep = ipywidgets.Button(
            description="Keep direction",
            tooltip="Keep the direction from x to the pinned place as an axis",
        )
        self.widget = self._layout()
        self._show_choice()
        self.choice.observe(self._axes_changed, ["across", "up"])
        self.choice.observe(self._window_changed, "window")
        self.choice.observe(self._shading_changed, "shading")
        self.choice.observe(self._pin_changed, "pin")
        self.shading.observe(self._choose_shading, "value")
        self.whole.on_click(self._reset)
        self.keep.on_click(self._keep_direction)
        self.ears.observe(self._resized, "size")
        self.plot.layout.on_change(self._moved, "xaxis.range", "yaxis.range")

    # What the Explorer asks for.

    def steps(self, view: View) -> Generator[Delivery, None, None]:
        """Find the plane, then map it, coarse at first."""
        across, up, window = self.choice.across, self.choice.up, self.choice.window
        yield partial(self._offer, view)
        plane = yield from self._plane_steps(view, across, up)
        width, height = self.ears.size
        aspect = map_aspect(width, height, _FONT_POINTS)
        extent = window or automatic_window(plane, float(view.boundary.distances[0]), aspect)
        yield partial(self.host.report, Progress(0.0, "mapping"), "coarse map")
        clock, drawn = TimeLeft(), -np.inf
        for section in cross_section_steps(
            view.clf, plane, extent=extent, resolution=pixel_shape(extent)
        ):
            if section.progress.complete or time.monotonic() - drawn > _DRAWING_SECONDS:
                yield partial(self._show, Shown(view, across, up, section, extent))
                drawn = time.monotonic()
            yield partial(self.host.report, section.progress, clock.describe(section.progress))

    def result(self) -> CrossSection:
        """The map that is shown."""
        return self._require_shown().section

    def figure_options(self) -> dict[str, Any]:
        """Theme and shading."""
        return {"theme": self.host.theme(), "shading": self.choice.shading}

    def file_stem(self) -> str:
        """Network, image and axes."""
        shown = self._require_shown()
        words = [shown.view.subject.network, "image", str(shown.view.index),
                 shown.across.kind, shown.up.kind]  # fmt: skip
        return "-".join(words).replace(" ", "-")

    def code(self) -> str:
        """A script that makes the same map and the same figure."""
        shown = self._require_shown()
        return section_script(
            self.host.session, shown.view, shown.section.plane, shown.across, shown.up,
            extent=shown.extent, resolution=pixel_shape(shown.extent),
            figure_options=self.figure_options(),
        )  # fmt: skip

    def selection_changed(self) -> None:
        """Another plane has another window, and nothing pinned."""
        self.choice.window = self.choice.pin = self._spot = None

    def theme_changed(self) -> None:
        """Draw in the other theme."""
        self._redraw()

    def close(self) -> None:
        """Stop listening."""
        self.choice.unobserve_all()
        self.shown = self._plane = None

    # The work.

    def _plane_steps(self, view: View, across: Axis, up: Axis) -> Generator[Delivery, None, Plane]:
        key = (view.subject, view.index, across, up)
        if self._plane is None or self._plane[0] != key:
            session, first, second = self.host.session, KINDS[across.kind], KINDS[up.kind]
            u = yield from first.find(session, view, across.parameters)
            v = yield from second.find(session, view, up.parameters)
            at_boundary = first.at_boundary or second.at_boundary
            origin = view.require_boundary().points[0] if at_boundary else view.x
            plane = _spanned(origin, u.direction, v.direction)
            plane = plane.marked(x=view.x, **self._marks(view, plane, at_boundary))
            self._plane = key, plane.marked(**u.marks, **v.marks)
        return self._plane[1]

    @staticmethod
    def _marks(view: View, plane: Plane, at_boundary: bool) -> dict[str, torch.Tensor]:
        z = view.boundary.points
        if not bool(view.boundary.converged[0]):
            return {}
        near = float(plane.distances(z)[0]) <= _IN_PLANE * float(view.boundary.distances[0])
        return {"z": z[0]} if near or at_boundary else {}

    def _offer(self, view: View) -> None:
        for chooser in (self.across, self.up):
            chooser.offer(view.clf.class_names, self.host.session.directions)

    def _show(self, shown: Shown) -> None:
        first = self.shown is None or self.shown.view is not shown.view
        self.shown = shown
        self._draw()
        if first:
            view = shown.view
            own, names = int(view.boundary.own[0]), view.clf.class_names
            self.readout.describe(view.boundary, view.label, own, names)
        if first or self._spot is None:
            self._read()
        self.host.painted()

    def _draw(self) -> None:
        shown = self.shown
        if shown is None:
            return
        width, height = self.ears.size
        layers = section_layers(
            shown.section, theme=self.host.theme(), shading=self.choice.shading,
            width=width, height=height, font_size=_FONT_POINTS,
        )  # fmt: skip
        left, right, bottom, top = shown.extent
        layout = {**layers.layout, "shapes": self._shapes()}
        layout |= {"width": width, "height": height}
        layout["xaxis"] = {**layout["xaxis"], "range": (left, right)}
        layout["yaxis"] = {**layout["yaxis"], "range": (bottom, top)}
        with self.plot.lock:
            apply(self.plot, dataclasses.replace(layers, layout=layout), move=False)

    def _redraw(self) -> None:
        def steps() -> Generator[Delivery, None, None]:
            yield self._draw
            yield self._read

        self.host.worker.submit("redraw", steps, urgency=Urgency.POINTER)

    # What is at a place.

    def _read(self) -> None:
        """Show what is at the pin, else at the pointer, else x itself."""
        shown = self.shown
        if shown is None:
            return
        spot = self.choice.pin or self._spot
        view = shown.view
        if spot is None:
            where, image = "x, the chosen image", view.x
        else:
            coordinates = torch.tensor([spot], dtype=torch.float64)
            image = shown.section.plane.points(coordinates)[0]
            where = f"{'pinned at' if self.choice.pin else 'at'} ({spot[0]:.3g}, {spot[1]:.3g})"
        logits = view.clf.logits(image[None])[0].cpu()
        place = Place(where, image, logits, pinned=self.choice.pin is not None)
        self.readout.show(place, view.x, view.clf, theme=self.host.theme())

    def _point(self, spot: tuple[float, float] | None, *, by_keys: bool = False) -> None:
        marked = by_keys or self._by_keys
        self._spot, self._by_keys = spot, by_keys

        def steps() -> Generator[Delivery, None, None]:
            try:
                if self.choice.pin is None:
                    yield self._read
                    if marked:
                        yield self._mark
            finally:
                self.ears.answer()

        self.host.worker.submit("pointer", steps, urgency=Urgency.POINTER)

    def _mark(self) -> None:
        with self.plot.lock, self.plot.batch_update():
            self.plot.layout.shapes = self._shapes()

    def _shapes(self) -> list[dict[str, Any]]:
        """A ring at the pin, or a dotted one at the place that the keys point to."""
        pin = self.choice.pin
        spot = pin or (self._spot if self._by_keys else None)
        if spot is None:
            return []
        ink = theme_named(self.host.theme()).ink
        line = {"color": ink, "width": 2, "dash": "solid" if pin else "dot"}
        ends = {"x0": -_RING, "x1": _RING, "y0": -_RING, "y1": _RING}
        place = {"xanchor": spot[0], "yanchor": spot[1]}
        sizes = {"xsizemode": "pixel", "ysizemode": "pixel"}
        return [{"type": "circle", **sizes, **place, **ends, "line": line}]

    # What a person does.

    @guarded
    def _hear(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "point":
            self._point((float(event["x"]), float(event["y"])), by_keys=bool(event.get("by_keys")))
        elif kind == "leave":
            self._point(None)
        elif kind == "click":
            self._click((float(event["x"]), float(event["y"])), float(event["reach"]))
        elif kind == "escape":
            self.choice.pin = None
            self._point(None)
        elif kind == "reset":
            self._reset()
        elif kind == "zoom":
            self._zoom(float(event["x"]), float(event["y"]), float(event["factor"]))

    def _click(self, spot: tuple[float, float], reach: float) -> None:
        """Pin a place, or let go of the pin where it is clicked again."""
        pin = self.choice.pin
        again = pin is not None and np.hypot(spot[0] - pin[0], spot[1] - pin[1]) <= reach
        self._spot = spot
        self.choice.pin = None if again else spot

    def _zoom(self, x: float, y: float, factor: float) -> None:
        if self.shown is not None:
            left, right, bottom, top = self.shown.extent
            self.choice.window = (
                x + (left - x) * factor, x + (right - x) * factor,
                y + (bottom - y) * factor, y + (top - y) * factor,
            )  # fmt: skip

    @guarded
    def _moved(self, _layout: Any, across: Any, up: Any) -> None:
        if self.shown is None or not across or not up:
            return
        left, right = sorted(map(float, across))
        bottom, top = sorted(map(float, up))
        extent = left, right, bottom, top
        if not same_extent(extent, self.shown.extent):
            self.choice.window = extent

    @guarded
    def _reset(self, _button: Any = None) -> None:
        if self.choice.window is None:
            self._redraw()  # the axes may have been moved, with the map still to come
        self.choice.window = None

    @guarded
    def _choose_axis(self, name: str, axis: Axis) -> None:
        self.selection_changed()
        setattr(self.choice, name, axis)

    @guarded
    def _choose_shading(self, change: Any) -> None:
        self.choice.shading = change["new"]

    @guarded
    def _keep_direction(self, _button: Any) -> None:
        shown = self._require_shown()
        if self.choice.pin is None:
            raise ValueError("Pin a place first: click into the map, then keep its direction.")
        image = shown.section.plane.points(torch.tensor([self.choice.pin]))[0]
        directions = self.host.session.directions
        name = f"direction {len(directions) + 1}"
        directions[name] = image - shown.view.x
        self._offer(shown.view)

    # What follows from it.

    @guarded
    def _axes_changed(self, _change: Any) -> None:
        self._show_choice()
        self.host.refresh()

    @guarded
    def _window_changed(self, _change: Any) -> None:
        self._show_choice()
        self.host.refresh(delay=_REST_SECONDS)

    @guarded
    def _shading_changed(self, _change: Any) -> None:
        self._show_choice()
        self._redraw()

    @guarded
    def _pin_changed(self, _change: Any) -> None:
        self._show_choice()

        def steps() -> Generator[Delivery, None, None]:
            yield self._read
            yield self._mark

        self.host.worker.submit("pin", steps, urgency=Urgency.POINTER)

    @guarded
    def _resized(self, _change: Any) -> None:
        self.host.refresh(delay=_REST_SECONDS)

    def _show_choice(self) -> None:
        self.across.show(self.choice.across)
        self.up.show(self.choice.up)
        self.shading.value = self.choice.shading
        zoomed = self.choice.window is not None
        self.whole.description = "whole window" if zoomed else "auto window"
        self.whole.disabled = not zoomed
        self.keep.layout.display = "" if self.choice.pin is not None else "none"

    def _require_shown(self) -> Shown:
        if self.shown is None:
            raise ValueError("There is no map yet; wait until the first one is drawn.")
        return self.shown

    def _layout(self) -> ipywidgets.Widget:
        shading = ipywidgets.HTML(f'<span class="gx-label">Shading {help_button("shading")}</span>')
        window = ipywidgets.HTML(help_button("window"))
        fields = [
            self.across.widget,
            self.up.widget,
            ipywidgets.HBox([self.whole, window]),
            ipywidgets.HBox([shading, self.shading]),
        ]
        for field in fields:
            field.add_class("gx-field")
        controls = ipywidgets.HBox(fields)
        plot = ipywidgets.VBox([self.plot, self.ears])
        side = ipywidgets.VBox([self.readout, self.keep])
        body = ipywidgets.HBox([plot, side])
        panel = ipywidgets.VBox([body, controls])
        for widget, name in (
            (controls, "controls"), (plot, "plot"), (side, "side"), (body, "body"),
            (panel, "panel"),
        ):  # fmt: skip
            widget.add_class(f"gx-{name}")
        return panel


def _spanned(origin: torch.Tensor, across: Direction, up: Direction) -> Plane:
    try:
        return Plane.spanned(origin, across, up)
    except ValueError as error:
        raise ValueError(
            f"Across ({across.name}) and Up ({up.name}) do not span a plane; choose another "
            "direction for one of them."
        ) from error
