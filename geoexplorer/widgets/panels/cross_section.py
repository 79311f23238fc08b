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

from geoexplorer.figures.frame import Frame
from geoexplorer.figures.sections import apply, blank_section, section_layers
from geoexplorer.figures.shading import SHADINGS
from geoexplorer.figures.theme import pixels, theme_named
from geoexplorer.geometry.directions import Direction
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.sections import CrossSection, cross_section_steps
from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.widgets.axes import KINDS, Axis, AxisTrait
from geoexplorer.widgets.axis_chooser import AxisChooser
from geoexplorer.widgets.code import section_script
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.help import help_button
from geoexplorer.widgets.panel import Host, Panel
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.readout import Place, Readout
from geoexplorer.widgets.session import View
from geoexplorer.widgets.state import Choice, Spot, Window
from geoexplorer.widgets.worker import Delivery, Urgency

__all__ = ["CrossSectionPanel", "Extent", "automatic_window"]

Extent = tuple[float, float, float, float]  # left, right, bottom, top

_PIXELS = 513  # along the longer side
_FONT_POINTS = 9.0
# After the last of a row of pans and zooms, so long until the map is computed there.
_REST_SECONDS = 0.15
# Half the height of the window that is found, in distances of the boundary: room for neighbours.
_CONTEXT = 3.0
# Between the first map and the last, one is drawn every so often; drawing takes time too.
_DRAWING_SECONDS = 0.3
# Two windows whose ends differ by less than this share of their width are the same.
_SAME = 2e-3
# A point is marked where it lies nearer to the plane than this share of the boundary's distance.
_IN_PLANE = 0.02


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
        self.plot = Plot(blank_section(host.theme(), font_size=_FONT_POINTS))
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
        self.across = AxisChooser("Across", host, partial(self._choose_axis, "across"))
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
        yield partial(self._offer, view)
        plane = yield from self._plane_steps(view)
        extent = self.choice.window or automatic_window(plane, view, self._aspect())
        shape = _pixels(extent)
        yield partial(self.host.report, Progress(0.0, "mapping"), "coarse map")
        clock = TimeLeft()
        drawn = -np.inf
        for section in cross_section_steps(view.clf, plane, extent=extent, resolution=shape):
            if section.progress.complete or time.monotonic() - drawn > _DRAWING_SECONDS:
                yield partial(self._show, Shown(view, section, extent))
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
                 self.choice.across.kind, self.choice.up.kind]  # fmt: skip
        return "-".join(words).replace(" ", "-")

    def code(self) -> str:
        """A script that makes the same map and the same figure."""
        shown = self._require_shown()
        return section_script(
            self.host.session, shown.view, shown.section.plane, self.choice.across, self.choice.up,
            extent=shown.extent, resolution=_pixels(shown.extent),
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

    def _plane_steps(self, view: View) -> Generator[Delivery, None, Plane]:
        key = (view.subject, view.index, self.choice.across, self.choice.up)
        if self._plane is None or self._plane[0] != key:
            session = self.host.session
            across, up = KINDS[self.choice.across.kind], KINDS[self.choice.up.kind]
            u = yield from across.find(session, view, self.choice.across.parameters)
            v = yield from up.find(session, view, self.choice.up.parameters)
            at_boundary = across.at_boundary or up.at_boundary
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
        self.host.painted()
        if first:
            view = shown.view
            own, names = int(view.boundary.own[0]), view.clf.class_names
            self.readout.describe(view.boundary, view.label, own, names)
        if first or self._spot is None:
            self._read()

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
        layout = {**layers.layout, "shapes": self._pointer_shapes()}
        layout |= {"width": width, "height": height}
        layout["xaxis"] = {**layout["xaxis"], "range": (left, right)}
        layout["yaxis"] = {**layout["yaxis"], "range": (bottom, top)}
        with self.plot.lock:
            apply(self.plot, dataclasses.replace(layers, layout=layout), move=False)

    def _redraw(self) -> None:
        def steps() -> Generator[Delivery, None, None]:
            yield self._draw
            yield self._read

        self.host.worker.submit("redraw", steps)

    def _aspect(self) -> float:
        """Width over height of the map that fills the room there is."""
        width, height = self.ears.size
        frame = Frame.around(
            ((0.0, 1.0), (0.0, 1.0)), width=width, height=height, font=pixels(_FONT_POINTS),
            heading=["", ""], across="", up="",
        )  # fmt: skip
        return frame.width / max(height - frame.top - frame.bottom - 3 * frame.font, 1.0)

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

    def _point(self, spot: tuple[float, float] | None, *, marked: bool = False) -> None:
        self._spot = spot

        def steps() -> Generator[Delivery, None, None]:
            try:
                if self.choice.pin is None:
                    yield self._read
                    if marked:
                        yield self._mark_pointer
            finally:
                self.ears.answer()

        self.host.worker.submit("pointer", steps, urgency=Urgency.POINTER)

    def _mark_pointer(self) -> None:
        with self.plot.lock, self.plot.batch_update():
            self.plot.layout.shapes = self._pointer_shapes(keyboard=True)

    def _pointer_shapes(self, *, keyboard: bool = False) -> list[dict[str, Any]]:
        """A ring at the pin, or at the place that the keys point to."""
        spot = self.choice.pin or (self._spot if keyboard else None)
        if spot is None:
            return []
        ink = theme_named(self.host.theme()).ink
        ring = {"type": "circle", "xsizemode": "pixel", "ysizemode": "pixel",
                "xanchor": spot[0], "yanchor": spot[1]}  # fmt: skip
        line = {"color": ink, "width": 2, "dash": "dot" if keyboard else "solid"}
        radius = 7
        return [{**ring, "x0": -radius, "x1": radius, "y0": -radius, "y1": radius, "line": line}]

    # What a person does.

    @guarded
    def _hear(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "point":
            self._point((float(event["x"]), float(event["y"])), marked=bool(event.get("shown")))
        elif kind == "leave":
            self._point(None)
        elif kind == "click":
            self._click((float(event["x"]), float(event["y"])), float(event["reach"]))
        elif kind == "escape":
            self._spot = None
            self.choice.pin = None
            self._point(None, marked=True)
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
        if not _same(extent, self.shown.extent):
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
            yield self._mark_pin

        self.host.worker.submit("pin", steps, urgency=Urgency.POINTER)

    def _mark_pin(self) -> None:
        with self.plot.lock, self.plot.batch_update():
            self.plot.layout.shapes = self._pointer_shapes()

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


def automatic_window(plane: Plane, view: View, aspect: float) -> Extent:
    """A window of a shape in which all marks are seen, with room around them.

    Parameters
    ----------
    plane
        Its marks are seen.
    view
        The distance of its boundary point is the least scale.
    aspect
        Width over height.
    """
    points = np.array(list(plane.marks.values()))
    low, high = points.min(axis=0), points.max(axis=0)
    middle, spread = (low + high) / 2, (high - low) / 2
    distance = float(view.boundary.distances[0])
    least = distance if np.isfinite(distance) and distance > 0 else 1.0
    half = max(1.5 * spread[1], 1.5 * spread[0] / aspect, _CONTEXT * least)
    return (
        float(middle[0] - half * aspect), float(middle[0] + half * aspect),
        float(middle[1] - half), float(middle[1] + half),
    )  # fmt: skip


def _pixels(extent: Extent) -> tuple[int, int]:
    """Rows and columns of square pixels."""
    width, height = extent[1] - extent[0], extent[3] - extent[2]
    longer = max(width, height)
    return (
        max(round((_PIXELS - 1) * height / longer) + 1, 2),
        max(round((_PIXELS - 1) * width / longer) + 1, 2),
    )


def _same(first: Extent, second: Extent) -> bool:
    scale = min(second[1] - second[0], second[3] - second[2])
    return all(abs(a - b) <= _SAME * scale for a, b in zip(first, second, strict=True))
