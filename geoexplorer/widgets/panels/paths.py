"""The paths panel: two images of one region, the path between them, and what is proven of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
import torch

from geoexplorer.figures.layers import Layers
from geoexplorer.figures.paths import apply, blank_chart, path_layers
from geoexplorer.figures.sections import blank_section, section_layers
from geoexplorer.figures.series import accent
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.path_places import images_at, least_place
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.sections import CrossSection, cross_section_steps
from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.results import Result
from geoexplorer.widgets.code import path_script
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.extent import Extent, automatic_window, map_aspect, pixel_shape
from geoexplorer.widgets.figure_panel import FONT_POINTS, REST_SECONDS, FigurePanel, sized
from geoexplorer.widgets.panel import Host
from geoexplorer.widgets.path_controls import PathChoice, PathControls
from geoexplorer.widgets.path_facts import path_facts
from geoexplorer.widgets.paths import (
    Wanted,
    candidates_steps,
    path_steps,
    plane_steps,
    settled_steps,
)
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.readout import Place, Readout
from geoexplorer.widgets.session import View
from geoexplorer.widgets.worker import Delivery, Urgency

__all__ = ["PathsPanel"]

_DRAWING_SECONDS = 0.3
# Pixels of the height that a figure may take that go to the images to choose from.
_ENDS_HEIGHT = 40
_RING = 7  # radius of the ring at a place, in pixels
_SHAPE = 0.8  # most height of a figure, over its width


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What is on the screen."""

    view: View
    wanted: Wanted  # with its target
    path: RegionPath
    show: str
    section: CrossSection | None = None  # of a map
    extent: Extent | None = None
    toward: bool = False  # whether its plane goes through the boundary nearest to the path


class PathsPanel(FigurePanel[Shown]):
    """A path from the image to another one inside its region."""

    key = "paths"
    title = "Paths"
    until = "the path is drawn"

    choice: PathChoice

    def __init__(self, host: Host) -> None:
        super().__init__(host, PathChoice())
        self.chart: Plot | None = None
        self.map: Plot | None = None
        self._spot: tuple[float, float] | None = None  # where the pointer was last

    def opened(self) -> None:
        """Make the widgets: the first map of the Explorer does not wait for them."""
        if self.widget.children:
            return
        self.ears = Ears(
            label="The path from a to b. Arrow keys left and right point along it, Enter pins, "
            "Escape lets go.",
            heard=self._hear,
        )
        self.readout = Readout()
        self.controls = PathControls(self.choice, self.host)
        self.widget.children = self._layout()
        self.choice.observe(
            self._computed_anew, ["show", "scenario", "target", "effort", "prove"]
        )  # fmt: skip
        self.choice.observe(self._seed_changed, "seed")
        self.choice.observe(self._drawn_anew, "place")
        self.ears.observe(self._resized, "size")

    # What the Explorer asks for.

    def steps(self, view: View) -> Generator[Delivery, None, None]:
        """Find the other end, then the path, then map what is around it."""
        session, show = self.host.session, self.choice.show
        wanted = self.choice.wanted(view.subject)
        if self._is_another(view, wanted):
            yield partial(self._set_outdated, True)
        yield partial(self.controls.offer, view)
        offered = yield from candidates_steps(session, view, wanted.scenario)
        try:
            wanted = yield from settled_steps(session, view, wanted, offered)
        finally:
            self.controls.show_ends(view, offered, wanted)

        def seen(path: RegionPath) -> None:
            self._show(Shown(view, wanted, path, "scores" if show == "map" else show))

        path = yield from path_steps(session, view, wanted, seen)
        if show != "map":
            yield partial(seen, path)
            return
        plane, toward = yield from plane_steps(session, view, wanted, path)
        width, height = self._size()
        aspect = map_aspect(width, height, FONT_POINTS)
        extent = _window(path, plane, float(view.boundary.distances[0]), aspect)
        yield partial(self.host.report, Progress(0.0, "mapping"), "coarse map")
        clock, drawn = TimeLeft(), -np.inf
        for section in cross_section_steps(
            view.clf, plane, extent=extent, resolution=pixel_shape(extent)
        ):
            if section.progress.complete or time.monotonic() - drawn > _DRAWING_SECONDS:
                shown = Shown(view, wanted, path, show, section, extent, toward)
                yield partial(self._show, shown)
                drawn = time.monotonic()
            yield partial(self.host.report, section.progress, clock.describe(section.progress))

    def result(self) -> Result:
        """The path, or the map around it."""
        shown = self._require_shown()
        return shown.path if shown.section is None else shown.section

    def figure_options(self) -> dict[str, Any]:
        """Theme and view; the path over its map."""
        shown = self._require_shown()
        options: dict[str, Any] = {"theme": self.host.theme()}
        if shown.section is not None:
            return {**options, "region_path": shown.path}
        if shown.show != "scores":
            options["view"] = shown.show
        elif self.choice.place is not None:
            options["place"] = self.choice.place
        return options

    def file_stem(self) -> str:
        """Network, image, and where the path leads."""
        shown = self._require_shown()
        wanted = shown.wanted
        to = f"image {wanted.target}" if wanted.target is not None else f"point {wanted.seed}"
        words = [shown.view.subject.network, "path from image", str(shown.view.index), "to", to]
        return "-".join([*words, shown.show]).replace(" ", "-")

    def code(self) -> str:
        """A script that finds the same path and makes the same figure."""
        shown = self._require_shown()
        extent = shown.extent
        return path_script(
            self.host.session, shown.view, shown.wanted, toward=shown.toward, extent=extent,
            resolution=None if extent is None else pixel_shape(extent),
            figure_options=self.figure_options(),
        )  # fmt: skip

    def begin(self) -> None:
        """What is shown stays as it is unless another path is asked for, see :meth:`steps`."""

    def selection_changed(self) -> None:
        """Another image has another path, and nothing pinned."""
        if self.shown is not None:
            self._set_outdated(True)
        self.choice.place = self.choice.target = self._spot = None

    # Drawing.

    def _is_another(self, view: View, wanted: Wanted) -> bool:
        """Whether what is on the screen is another path than the one that is asked for."""
        shown = self.shown
        if shown is None:
            return False
        target = shown.wanted.target if wanted.target is None else wanted.target
        return (
            not shown.view.is_of(view) or dataclasses.replace(wanted, target=target) != shown.wanted
        )

    def _set_outdated(self, outdated: bool) -> None:
        """Pale what is shown, and say so, until there is something of what is asked for."""
        super()._set_outdated(outdated)
        if outdated:
            self._say_outdated(coming=True)

    def _say_outdated(self, *, coming: bool) -> None:
        until = ", until there is a new one" if coming else "; the new one was not computed"
        self.readout.facts = f"<div><b>Not final</b>: the path before{until}</div>"

    def _show(self, shown: Shown) -> None:
        other = self.shown is None or self.shown.path is not shown.path
        self.shown = shown
        self._draw()
        if other:
            self._spot = None
        if other or self._outdated:
            self._set_outdated(False)
            self.readout.facts = path_facts(shown.path)
        self._read()
        self.host.painted()

    def _draw(self) -> None:
        shown = self.shown
        if shown is None:
            return
        mapped = shown.section is not None
        layers = self._layers(shown)
        plot = self.map if mapped else self.chart
        if plot is None:
            make = blank_section if mapped else blank_chart
            blank = make(self.host.theme(), font_size=FONT_POINTS)
            apply(blank, layers)
            if mapped:
                self.map = self._made(blank, self._map_box)
            else:
                self.chart = self._made(blank, self._chart_box)
        elif self._takes_changes():
            with plot.lock:
                apply(plot, layers)
        self._chart_box.layout.display = "none" if mapped else ""
        self._map_box.layout.display = "" if mapped else "none"

    def _layers(self, shown: Shown) -> Layers:
        width, height = self._size()
        options = {**self.figure_options(), "width": width, "font_size": FONT_POINTS}
        if shown.section is not None:
            layers = section_layers(shown.section, **options, height=height)
        else:
            fixed = height if shown.show == "scores" else None  # a strip is as high as it needs
            layers = path_layers(shown.path, **options, height=fixed)
            height = round(layers.size[1])
        return sized(layers, width, height, shapes=self._shapes())

    def _size(self) -> tuple[int, int]:
        width, height = self.ears.size
        return width, min(height - _ENDS_HEIGHT, round(_SHAPE * width))

    # What is at a place.

    def _read(self) -> None:
        """Show what is at the pin, else at the pointer, else where the margin is least."""
        shown = self.shown
        if shown is None:
            return
        if self._outdated:
            self._say_outdated(coming=self.host.worker.busy("view"))
        path, spot, pin = shown.path, self._spot, self.choice.place
        if shown.section is not None and spot is not None:
            image = shown.section.plane.points(torch.tensor([spot], dtype=torch.float64))[0]
            where = f"in the plane, at ({spot[0]:.3g}, {spot[1]:.3g})"
        else:
            along = self._along()
            least = along is None
            along = least_place(path) if along is None else along
            image = images_at(path, [along])[0]
            where = f"at {along:.3g} of {path.length:.3g}"
            where += ", least margin" if least else ""
        logits = shown.view.clf.logits(image[None])[0].cpu()
        pinned = pin is not None and (shown.section is None or spot is None)
        place = Place(where, image, logits, pinned=pinned)
        self.readout.show(place, path.anchors[0], shown.view.clf, theme=self.host.theme())

    def _point(self, spot: tuple[float, float] | None) -> None:
        self._spot = spot

        def steps() -> Generator[Delivery, None, None]:
            try:
                if self.choice.place is None or self._mapped():
                    yield self._read
                    yield self._mark
            finally:
                self.ears.answer()

        self.host.worker.submit("pointer on path", steps, urgency=Urgency.POINTER)

    def _mapped(self) -> bool:
        return self.shown is not None and self.shown.section is not None

    def _mark(self) -> None:
        plot = self.map if self._mapped() else self.chart
        if plot is not None and self._takes_changes():
            with plot.lock, plot.batch_update():
                plot.layout.shapes = self._shapes()

    def _along(self) -> float | None:
        """Where along the path the pin is, or else the pointer."""
        shown, along = self.shown, self.choice.place
        if along is None and self._spot is not None and not self._mapped():
            along = self._spot[0]
        return None if shown is None or along is None else min(max(along, 0.0), shown.path.length)

    def _shapes(self) -> list[dict[str, Any]]:
        """A line where the chart is read; on the map a ring at what is pinned."""
        shown, along = self.shown, self._along()
        if shown is None or along is None:
            return []
        look = theme_named(self.host.theme())
        if shown.section is not None:
            image = images_at(shown.path, [along])
            x, y = shown.section.plane.coordinates(image)[0].tolist()
            ends = {"x0": -_RING, "x1": _RING, "y0": -_RING, "y1": _RING}
            place = {"xsizemode": "pixel", "ysizemode": "pixel", "xanchor": x, "yanchor": y}
            return [{"type": "circle", **ends, **place, "line": {"color": look.ink, "width": 2}}]
        dash = "dot" if self.choice.place is None else "solid"
        line = {"color": accent(look), "width": 1.5, "dash": dash}
        return [{"type": "line", "x0": along, "x1": along, "y0": 0, "y1": 1, "xref": "x",
                 "yref": "paper", "line": line}]  # fmt: skip

    # What a person does.

    @guarded
    def _hear(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "point":
            self._point((float(event["x"]), float(event["y"])))
        elif kind == "leave":
            self._point(None)
        elif kind == "click":
            self._click(float(event["x"]), float(event["reach"]))
        elif kind in ("escape", "reset"):
            self.choice.place = None
            self._point(None)
        elif kind == "drawn":
            self._came_into_page(int(event["plots"]))

    def _click(self, along: float, reach: float) -> None:
        """Pin a place, or let go of the pin where it is clicked again."""
        shown = self.shown
        if shown is None or shown.section is not None:
            return
        along = min(max(along, 0.0), shown.path.length)
        pin = self.choice.place
        self.choice.place = None if pin is not None and abs(along - pin) <= reach else along

    # What follows from it.

    @guarded
    def _computed_anew(self, change: Any) -> None:
        if change["name"] in ("scenario", "target"):
            self.choice.place = None
        self.host.refresh()

    @guarded
    def _seed_changed(self, _change: Any) -> None:
        self.choice.place = None
        self.host.refresh(delay=REST_SECONDS)

    @guarded
    def _resized(self, _change: Any) -> None:
        if self._mapped():
            self.host.refresh(delay=REST_SECONDS)
        else:
            self._redraw()

    def _layout(self) -> list[ipywidgets.Widget]:
        self._chart_box, self._map_box = ipywidgets.Box(), ipywidgets.Box()
        self._map_box.layout.display = "none"
        plot = ipywidgets.VBox([self._chart_box, self._map_box, self.ears])
        side = ipywidgets.VBox([self.readout])
        body = ipywidgets.HBox([plot, side])
        for widget, name in ((plot, "plot"), (side, "side"), (body, "body")):
            widget.add_class(f"gx-{name}")
        return [self.controls.first, self.controls.second, body]


def _window(path: RegionPath, plane: Plane, distance: float, aspect: float) -> Extent:
    """A window in which all anchors are seen."""
    corners = {f"anchor {n}": anchor for n, anchor in enumerate(path.anchors)}
    return automatic_window(plane.marked(**corners), distance, aspect)
