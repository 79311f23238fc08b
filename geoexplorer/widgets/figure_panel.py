"""A panel whose figures are made when they are drawn first, and changed from then on."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Generator
from typing import Any, ClassVar, Generic, TypeVar

import ipywidgets
import plotly.graph_objects as go

from geoexplorer.figures.layers import Layers
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.panel import Host, Panel
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.state import Choice
from geoexplorer.widgets.worker import Delivery, Urgency

__all__ = ["FONT_POINTS", "REST_SECONDS", "FigurePanel", "sized"]

FONT_POINTS = 9.0
REST_SECONDS = 0.25
"""After the last of a row of moves of a control, so long until it is computed there."""

_OUTDATED = "gx-outdated"

S = TypeVar("S")


class FigurePanel(Panel, Generic[S]):
    """What panels have in common that show one thing ``shown`` in figures of their own.

    A figure costs the page and the wire much, so it is made when it is drawn first. It takes no
    changes before the page says that it is there; what is on the screen is drawn again then.
    """

    until: ClassVar[str]  # there is something: "the path is drawn"

    ears: Ears

    def __init__(self, host: Host, choice: Choice) -> None:
        super().__init__(host)
        self.choice = choice
        self.shown: S | None = None
        self._plots: list[Plot] = []
        self._in_page = 0  # so many of them take changes
        self._buttons: tuple[ipywidgets.Button, ...] = ()  # for what is shown
        self.widget = ipywidgets.VBox()
        self.widget.add_class("gx-panel")

    def begin(self) -> None:
        """Pale what is on the screen until there is something of what is asked for."""
        if self.shown is not None:
            self._set_outdated(True)

    def stopped(self) -> None:
        """Say so where the panel said that something is on its way."""
        if self.shown is not None:
            self._soon("read", self._read)

    def theme_changed(self) -> None:
        """Draw in the other theme."""
        self._redraw()

    def close(self) -> None:
        """Stop listening."""
        self.choice.unobserve_all()
        self.shown = None

    @abstractmethod
    def _draw(self) -> None:
        """Draw what is shown, if there is something."""

    @abstractmethod
    def _read(self) -> None:
        """Say what is shown beside the figure."""

    def _show(self, shown: S) -> None:
        self.shown = shown
        self._set_outdated(False)
        self._draw()
        self._read()
        self.host.painted()

    def _redraw(self) -> None:
        self._soon("redraw", self._draw, self._read)

    def _soon(self, what: str, *deliveries: Delivery) -> None:
        """Do something small on the worker's thread, also in the middle of something long."""

        def steps() -> Generator[Delivery, None, None]:
            yield from deliveries

        if self.widget.children:
            self.host.worker.submit(f"{what} {self.key}", steps, urgency=Urgency.POINTER)

    def _made(self, figure: go.Figure, box: ipywidgets.Box) -> Plot:
        """A figure in its box."""
        plot = Plot(figure, self.host.library)
        plot._config = {"doubleClick": False, "displayModeBar": False}
        box.children = [plot]
        self._plots.append(plot)
        return plot

    def _takes_changes(self) -> bool:
        """Whether the figures are in the page; if not, they are drawn once they are."""
        return self.host.worker.synchronous or self._in_page == len(self._plots)

    def _came_into_page(self, plots: int) -> None:
        """The page has so many of the figures by now."""
        self._in_page = plots
        self._redraw()

    @property
    def _outdated(self) -> bool:
        """Whether nothing of what is asked for is on the screen yet; what there is is pale then."""
        return _OUTDATED in self.widget._dom_classes

    def _set_outdated(self, outdated: bool) -> None:
        (self.widget.add_class if outdated else self.widget.remove_class)(_OUTDATED)
        if outdated:
            for button in self._buttons:
                button.disabled = True

    @guarded
    def _computed_anew(self, _change: Any) -> None:
        self.host.refresh()

    @guarded
    def _computed_at_rest(self, _change: Any) -> None:
        self.host.refresh(delay=REST_SECONDS)

    @guarded
    def _drawn_anew(self, _change: Any) -> None:
        self._redraw()

    @property
    def _to_come(self) -> str:
        """HTML: whether what is not there yet will come."""
        words = "on its way" if self.host.worker.busy("view") else "not computed"
        return f'<span class="gx-note">{words}</span>'

    def _require_shown(self) -> S:
        if self.shown is None:
            raise ValueError(f"There is nothing yet; wait until {self.until}.")
        return self.shown


def sized(layers: Layers, width: float, height: float, **layout: Any) -> Layers:
    """The layers for a figure of that size in a panel, with more of its layout."""
    size = {"width": width, "height": height, "dragmode": False}
    return dataclasses.replace(layers, layout={**layers.layout, **size, **layout})
