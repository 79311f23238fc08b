"""A plotly figure in a widget, made once, then mutated; and ears for what happens on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import anywidget
import ipywidgets
import plotly
import plotly.graph_objects as go
import traitlets

from geoexplorer.widgets.assets import read_module

__all__ = ["Ears", "Library", "Plot"]


_REPORTS = ("_js2py_traceDeltas", "_js2py_layoutDelta")


class Library(anywidget.AnyWidget):
    """Plotly's JavaScript, megabytes that the figures of an Explorer have in common."""

    _esm = "export default {}"

    version = traitlets.Unicode(plotly.__version__).tag(sync=True)
    source = traitlets.Bytes(str(go.FigureWidget._esm).encode()).tag(sync=True)


class Plot(go.FigureWidget):
    """A figure that the worker thread and the browser may change at the same time."""

    _esm = read_module("figure.js")

    _library = traitlets.Instance(Library).tag(sync=True, **ipywidgets.widget_serialization)

    def __init__(self, figure: go.Figure, library: Library) -> None:
        self._lock = threading.RLock()  # plotly lets a figure have private attributes only
        self._library = library  # before the page hears of the figure
        super().__init__(figure)

    @property
    def lock(self) -> threading.RLock:
        """Held while the figure is changed."""
        return self._lock

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """What the browser builds the figure from; the whole of it is the figure as it is now.

        Plotly keeps that of the moment when the figure was made, and a page that comes later (one
        of Voila, or one that was loaded again) would show it without any change since.
        """
        with self.lock:
            if key is None and hasattr(self, "_layout_obj"):
                now = {"_widget_data": self._data, "_widget_layout": self._layout_obj._props}
                self._trait_values.update(deepcopy(now))
            return super().get_state(key, drop_defaults)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take in what the browser sends, but not in the middle of an update.

        The defaults that it reports back after every change are not wanted here, and plotly
        stumbles over those of arrays (it asks for the truth of one).
        """
        wanted = {name: value for name, value in sync_data.items() if name not in _REPORTS}
        with self.lock:
            super().set_state(wanted)


class Ears(anywidget.AnyWidget):
    """Reports the pointer, clicks, keys and the size of the :class:`Plot` in the same box.

    The box has the class ``gx-plot``: plotly's widgets drop classes of their own.

    ``heard`` gets one mapping an event, with its ``kind``: ``point`` and ``click`` (with x and y
    in data coordinates; a click also has its ``reach``), ``leave``, ``escape``, ``zoom`` (x, y,
    factor), ``reset``, ``drawn`` (plots: so many figures in the box are in the page now and take
    changes). Where there are ``stops`` on a curve, the keys left and right give ``step``
    with ``by`` -1 or 1, ten times that with Shift, and Home and End with ``by`` None and their
    ``end``, in place of all other keys. After a ``point`` or ``leave``, no further one comes before
    :meth:`answer` was called.
    """

    _esm = read_module("plot.js")

    label = traitlets.Unicode().tag(sync=True)
    stops = traitlets.Bool(False).tag(sync=True)  # whether keys go from one to the next
    size = traitlets.List([600, 440]).tag(sync=True)  # CSS pixels that the figure may take

    def __init__(
        self, *, label: str, heard: Callable[[dict[str, Any]], None], stops: bool = False
    ) -> None:
        super().__init__(label=label, stops=stops)
        self._heard = heard
        self.on_msg(self._receive)

    def answer(self) -> None:
        """Let the next place come."""
        self.send({"kind": "answer"})

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        self._heard(content)
