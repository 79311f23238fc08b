"""The panel about shared directions: in which the boundary is curved for many images at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import ipywidgets

from geoexplorer.figures.chart import blank_chart
from geoexplorer.figures.index_axis import IndexAxis, Spectrum
from geoexplorer.figures.layers import Layers, apply
from geoexplorer.figures.noise import noise_layers
from geoexplorer.figures.relative_curvature import relative_curvature_layers
from geoexplorer.figures.series import accent
from geoexplorer.figures.shared_directions import shared_directions_layers, shared_value_at
from geoexplorer.figures.subspace_margins import subspace_margins_layers
from geoexplorer.figures.subspace_shares import subspace_shares_layers
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.relative_curvature import RelativeCurvature
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.results import Result
from geoexplorer.widgets.code import shared_script
from geoexplorer.widgets.curvatures import POINTS
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.figure_panel import FONT_POINTS, FigurePanel, sized
from geoexplorer.widgets.panel import Host
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.ranks import column_of, rank_of
from geoexplorer.widgets.session import View
from geoexplorer.widgets.shared_controls import SharedChoice, SharedControls
from geoexplorer.widgets.shared_readout import SharedReadout
from geoexplorer.widgets.subspaces import (
    Basis,
    Sharing,
    basis_steps,
    known_rho,
    margins_steps,
    noise_steps,
    rho_steps,
    shares_steps,
)
from geoexplorer.widgets.worker import Delivery

__all__ = ["SharedDirectionsPanel"]

# Up to so many directions the index is linear; beyond, the ends could not be told apart.
_FEW = 100
# Pixels of the panel's height for the views to choose from and the controls.
_CONTROLS_HEIGHT = 70
_SHAPE = 0.72  # most height of the chart, over its width

_LAYERS: dict[str, Callable[..., Layers]] = {
    "values": shared_directions_layers,
    "rho": relative_curvature_layers,
    "directions": shared_directions_layers,
    "shares": subspace_shares_layers,
    "noise": noise_layers,
    "margins": subspace_margins_layers,
}
# Those that are as high as is given; the others as high as what they show needs.
_CURVES = ("values", "rho", "noise")
_MEASURED = {"shares": shares_steps, "noise": noise_steps, "margins": margins_steps}


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """What is on the screen."""

    view: View
    sharing: Sharing
    count: int  # of images in the mean
    boundary: BoundaryPoints  # of the image that is looked at; it may not have converged
    show: str
    shared: SharedDirections
    basis: Basis | None = None  # once the directions are final
    rho: RelativeCurvature | None = None
    measured: Result | None = None  # of a view that is about a subspace

    @property
    def m(self) -> int:
        """Dimension of the curved subspace."""
        return self.sharing.dimension(self.shared.dimension)

    @property
    def kind(self) -> str:
        """The view; the mean curvatures themselves while there is nothing else yet."""
        if self.show == "directions" or self.result is not self.shared:
            return self.show
        return "values"

    @property
    def result(self) -> Result:
        """What is drawn."""
        if self.show == "directions":
            return self.shared
        return (self.rho if self.show == "rho" else self.measured) or self.shared


class SharedDirectionsPanel(FigurePanel[Shown]):
    """Directions in which the boundary is curved for many images, and what lies in them."""

    key = "shared"
    title = "Shared directions"
    until = "the directions are drawn"

    choice: SharedChoice

    def __init__(self, host: Host) -> None:
        super().__init__(host, SharedChoice())
        self.chart: Plot | None = None
        self._layers: Layers | None = None  # of what is on the screen

    def opened(self) -> None:
        """Make the widgets: the first map of the Explorer does not wait for them."""
        if self.widget.children:
            return
        self.ears = Ears(
            label="Shared directions. Arrow keys left and right choose a direction, Home and End "
            "the most positive and the most negative one.",
            heard=self._hear,
            stops=True,
        )
        self.readout = SharedReadout()
        self.controls = SharedControls(self.choice, self.host.session, self.errors)
        self.use = ipywidgets.Button(
            description="Use as axis",
            tooltip="Open the cross-section with the normal across and this direction up",
            disabled=True,
        )
        self.keep = ipywidgets.Button(description="Keep", disabled=True)
        self.use.on_click(self._use_as_axis)
        self.keep.on_click(self._keep_direction)
        self._buttons = (self.use, self.keep)
        self.widget.children = self._layout()
        self.choice.observe(self._computed_anew, ["show", "images", "point", "m"])
        self.choice.observe(self._drawn_anew, "rank")
        self.ears.observe(self._drawn_anew, "size")

    # What the Explorer asks for.

    def steps(self, view: View) -> Generator[Delivery, None, None]:
        """Find the directions, then whatever is to be seen of them."""
        choice, session = self.choice, self.host.session
        show, sharing = choice.show, choice.sharing()
        yield partial(self.controls.offer, view.subject)
        count = sharing.count(session, view.subject)
        boundary = view.boundary
        if POINTS[sharing.point] != "interactive":
            boundary = yield from session.boundary_steps(
                view.subject, view.index, effort=POINTS[sharing.point]
            )

        def seen(shared: SharedDirections, **known: Any) -> None:
            self._show(Shown(view, sharing, count, boundary, show, shared, **known))

        def early(shared: SharedDirections) -> None:
            if show not in _MEASURED:
                seen(shared)

        basis = yield from basis_steps(session, view, sharing, early, with_rho=show == "rho")
        rho = known_rho(session, view, sharing, basis)
        known: dict[str, Any] = {"basis": basis, "rho": rho}
        if show in _MEASURED:
            measured = yield from _MEASURED[show](
                session, view, sharing, basis,
                lambda result: seen(basis.shared, **known, measured=result),
            )  # fmt: skip
            yield partial(seen, basis.shared, **known, measured=measured)
            return
        yield partial(seen, basis.shared, **known)
        if rho is None:
            rho = yield from rho_steps(
                session, view, sharing, basis,
                lambda rho: seen(basis.shared, basis=basis, rho=rho),
            )  # fmt: skip
            yield partial(seen, basis.shared, basis=basis, rho=rho)

    def result(self) -> Result:
        """What is drawn."""
        return self._require_shown().result

    def figure_options(self) -> dict[str, Any]:
        """Theme and view, and the chosen direction."""
        shown = self._require_shown()
        options: dict[str, Any] = {"theme": self.host.theme()}
        if shown.kind == "directions":
            options["view"] = "directions"
        elif shown.kind in ("values", "rho"):
            options["index"] = _index(len(shown.shared.values))
        if shown.kind == "values":
            options["selected"] = self._column(shown)
        elif shown.kind == "rho":
            options["class_names"] = shown.view.clf.class_names
        return options

    def file_stem(self) -> str:
        """Network and what is shown."""
        shown = self._require_shown()
        what = {"rho": "relative curvature", "values": "mean curvature"}.get(shown.kind, shown.kind)
        words = f"{shown.view.subject.network} shared directions {what} {shown.count} images"
        return words.replace(" ", "-")

    def code(self) -> str:
        """A script that finds the same directions and makes the same figure."""
        shown = self._require_shown()
        return shared_script(
            self.host.session, shown.view, shown.sharing, shown.kind,
            some_dropped=shown.basis is not None and shown.basis.dropped > 0,
            figure_options=self.figure_options(),
        )  # fmt: skip

    # Drawing.

    def _draw(self) -> None:
        shown = self.shown
        if shown is None:
            return
        layers = self._layers_of(shown)
        if self.chart is None:
            blank = blank_chart(self.host.theme(), font_size=FONT_POINTS)
            apply(blank, layers)
            self.chart = self._made(blank, self._chart_box)
        elif self._takes_changes():
            with self.chart.lock:
                apply(self.chart, layers)

    def _layers_of(self, shown: Shown) -> Layers:
        width, height = self.ears.size
        most = min(height - _CONTROLS_HEIGHT, round(_SHAPE * width))
        layers = _LAYERS[shown.kind](
            shown.result, **self.figure_options(), width=width, font_size=FONT_POINTS,
            height=most if shown.kind in _CURVES else None,
        )  # fmt: skip
        height = most if shown.kind in _CURVES else round(layers.size[1])
        self._layers = sized(layers, width, height, shapes=[self._mark(shown, layers)])
        return self._layers

    def _mark(self, shown: Shown, layers: Layers) -> dict[str, Any]:
        """A line at the chosen direction, or a frame around its image."""
        column, colour = self._column(shown), accent(theme_named(self.host.theme()))
        if shown.kind == "rho":
            x = _axis_of(shown).placed(_spectrum(shown)).x[column]
            return {
                "visible": True, "type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "xref": "x",
                "yref": "paper", "line": {"color": colour, "width": 1.5, "dash": "dot"},
            }  # fmt: skip
        tiles = _tiles(shown, layers) if shown.kind == "directions" else {}
        if column in tiles:
            x0, y0, x1, y1 = tiles[column]
            return {
                "visible": True, "type": "rect", "x0": x0, "x1": x1, "y0": y0, "y1": y1,
                "xref": "x", "yref": "y", "line": {"color": colour, "width": 3, "dash": "solid"},
            }  # fmt: skip
        return {"visible": False}

    def _read(self) -> None:
        shown = self.shown
        if shown is None:
            return
        self.readout.show(
            shown.shared, self._column(shown), shown.boundary, shown.rho, m=shown.m,
            index=shown.view.index, count=shown.count, theme=self.host.theme(),
            to_come=self._to_come if shown.show in ("rho", "directions") else None,
        )  # fmt: skip
        final = shown.basis is not None and not self._outdated
        self.use.disabled = not final
        name = self._kept_name(shown)
        kept = name in self.host.session.directions
        self.keep.disabled = kept or not final
        self.keep.description = "Kept" if kept else "Keep"
        self.keep.tooltip = (
            f"An axis of cross-sections: saved direction, {name}"
            if kept
            else "Keep this direction, to use it as an axis with any image and network"
        )

    def _column(self, shown: Shown) -> int:
        """The column of the chosen rank; of the nearest one there is."""
        return column_of(self.choice.rank, len(shown.shared.values))

    def _rank(self, shown: Shown) -> int:
        """The rank of that column, which may be another name of the chosen one."""
        return rank_of(self._column(shown), len(shown.shared.values))

    # What a person does.

    @guarded
    def _hear(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "click":
            self._click(float(event["x"]), float(event["y"]))
        elif kind == "step":
            self._step(event["by"], event.get("end"))
        elif kind in ("point", "leave"):
            self.ears.answer()
        elif kind == "drawn":
            self._came_into_page(int(event["plots"]))

    def _click(self, x: float, y: float) -> None:
        shown = self.shown
        if shown is None:
            return
        column = None
        if shown.kind == "values":
            options = self.figure_options()
            column = shared_value_at(shown.shared, x, index=options["index"])
        elif shown.kind == "rho":
            column = _axis_of(shown).column_at(_spectrum(shown), x)
        elif shown.kind == "directions" and self._layers is not None:
            tiles = _tiles(shown, self._layers)
            inside = (
                column
                for column, (x0, y0, x1, y1) in tiles.items()
                if x0 <= x <= x1 and y0 <= y <= y1
            )
            column = next(inside, None)
        if column is not None:
            self.choice.rank = rank_of(column, len(shown.shared.values))

    def _step(self, by: int | None, end: int | None) -> None:
        shown = self.shown
        if shown is None:
            return
        last = len(shown.shared.values) - 1
        column = self._column(shown) + by if by is not None else (0 if end == -1 else last)
        self.choice.rank = rank_of(min(max(column, 0), last), last + 1)

    @guarded
    def _use_as_axis(self, _button: Any) -> None:
        shown = self._require_shown()
        up = {"kind": "shared direction", "rank": self._rank(shown),
              "images": shown.count, "point": shown.sharing.point}  # fmt: skip
        self.host.open_panel("cross-section", {"across": "normal", "up": up})

    @guarded
    def _keep_direction(self, _button: Any) -> None:
        shown = self._require_shown()
        vector = shown.shared.directions[self._column(shown)].clone()
        self.host.session.directions[self._kept_name(shown)] = vector
        self._redraw()

    def _kept_name(self, shown: Shown) -> str:
        rank = f"{self._rank(shown)}".replace("-", "−")
        name = f"shared direction {rank} of {shown.view.subject.network}, {shown.count} images"
        return name if shown.sharing.point == "nearest" else f"{name}, {shown.sharing.point} points"

    # What follows from it.

    def _layout(self) -> list[ipywidgets.Widget]:
        self._chart_box = ipywidgets.Box()
        plot = ipywidgets.VBox([self._chart_box, self.ears])
        buttons = ipywidgets.HBox([self.use, self.keep])
        side = ipywidgets.VBox([self.readout, buttons])
        body = ipywidgets.HBox([plot, side])
        for widget, name in (
            (plot, "plot"), (side, "side"), (body, "body"), (buttons, "buttons"),
        ):  # fmt: skip
            widget.add_class(f"gx-{name}")
        return [self.controls.first, body, self.controls.widget]


def _index(count: int) -> str:
    return "log" if count > _FEW else "linear"


def _spectrum(shown: Shown) -> Spectrum:
    count = len(shown.shared.values)
    return Spectrum(count, count, 0)


def _axis_of(shown: Shown) -> IndexAxis:
    """The horizontal axis of ρ."""
    return IndexAxis.of([_spectrum(shown)], None, _index(len(shown.shared.values)))


def _tiles(shown: Shown, layers: Layers) -> dict[int, tuple[float, float, float, float]]:
    """Left, top, right and bottom of the images on the screen, by their columns.

    A row of the most positive ones, and one from the most negative one on; two rows where all
    have one sign.
    """
    images = [image for image in layers.layout["images"] if image["visible"]]
    places = [
        (image["x"], image["y"], image["x"] + image["sizex"], image["y"] + image["sizey"])
        for image in images
    ]
    values = shown.shared.values
    count, lower = len(values), int((values < 0).sum())
    upper = count - lower
    first = sum(place[1] == places[0][1] for place in places) if upper and lower else len(places)
    down = upper == 0
    columns = [count - 1 - n if down else n for n in range(first)]
    columns += [count - 1 - n for n in range(len(places) - first)]
    return dict(zip(columns, places, strict=True))
