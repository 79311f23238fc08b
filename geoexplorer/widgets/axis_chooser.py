"""The controls of one axis: its kind, and the parameters that this kind has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import ipywidgets

from geoexplorer.widgets.axes import KINDS, Axis
from geoexplorer.widgets.curvatures import EXTREMES
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.help import help_button
from geoexplorer.widgets.panel import Host
from geoexplorer.widgets.quiet import Quiet

__all__ = ["AxisChooser"]


Option = tuple[str, str]  # what it says, and its value; ipywidgets cannot choose None


class AxisChooser:
    """Shows an axis and calls ``chosen`` with another one when a person changes it.

    A random direction is drawn from ``first_seed`` at first, another one for each axis: two
    equal directions span no plane.
    """

    def __init__(
        self, title: str, host: Host, chosen: Callable[[Axis], None], *, first_seed: int = 0
    ) -> None:
        self._first_seed = first_seed
        self.errors = host.errors
        self._host = host
        self._chosen = chosen
        self._axis = Axis(next(iter(KINDS)))
        self._showing = Quiet()
        self._picking = False
        self.kind = ipywidgets.Dropdown(options=list(KINDS))
        self.controls: dict[str, ipywidgets.Widget] = {
            "other": ipywidgets.Dropdown(options=[("runner-up", "")]),
            "image": ipywidgets.Button(tooltip="Choose the image by clicking it in the gallery"),
            "seed": ipywidgets.BoundedIntText(max=2**31 - 1),
            "row": ipywidgets.BoundedIntText(max=2**15),
            "column": ipywidgets.BoundedIntText(max=2**15),
            "component": ipywidgets.BoundedIntText(min=1, max=2**15),
            "name": ipywidgets.Dropdown(options=[("none yet", "")]),
            "rank": ipywidgets.Dropdown(options=_ranks(EXTREMES)),
        }
        self.scale = ipywidgets.HTML()  # how curvature is measured, if specially
        self.reroll = ipywidgets.Button(description="⟳", tooltip="Draw another random direction")
        self._title = title
        self.label = ipywidgets.HTML()
        for name, control in {"kind": self.kind, **self.controls, "reroll": self.reroll}.items():
            control.add_class(f"gx-axis-{name}")
        self.widget = ipywidgets.HBox(
            [self.label, self.kind, *self.controls.values(), self.scale, self.reroll]
        )
        self.widget.add_class("gx-field")
        self.kind.observe(self._kind_changed, "value")
        for name, control in self.controls.items():
            if name != "image":
                control.observe(self._parameter_changed, "value")
        self.controls["image"].on_click(self._pick)
        self.reroll.on_click(self._draw_another)

    def show(self, axis: Axis) -> None:
        """Show an axis."""
        self._axis = axis
        if self._picking:
            self._picking = False
            self._host.pick(None)
        self.label.value = f'<span class="gx-label">{self._title} {help_button(axis.kind)}</span>'
        with self._showing:
            self.kind.value = axis.kind
            for name, control in self.controls.items():
                there = name in axis.parameters
                control.layout.display = "" if there else "none"
                if there and name == "image":
                    control.description = _image_text(axis.parameters)
                elif name == "rank" and there:
                    _show_rank(control, axis.parameters[name])
                elif there:
                    _set_value(control, axis.parameters[name])
            self.scale.value = (
                f'<span class="gx-note">{escape(_scale_words(axis.parameters))}</span>'
            )
            self.reroll.layout.display = "" if "seed" in axis.parameters else "none"

    def offer(self, class_names: Iterable[str], saved: Iterable[str]) -> None:
        """Say which classes and which saved directions there are."""
        with self._showing:
            classes: list[tuple[str, str | None]] = [
                ("runner-up", ""),
                *((name, name) for name in class_names),
            ]
            directions: list[tuple[str, str | None]] = [(name, name) for name in saved]
            directions = directions or [("none yet", "")]
            for name, options in (("other", classes), ("name", directions)):
                control = self.controls[name]
                if control.options != tuple(options):
                    control.options = options
                    _set_value(control, self._axis.parameters.get(name))

    @guarded
    def _kind_changed(self, change: Any) -> None:
        if not self._showing:
            parameters: dict[str, Any] = {}
            if "seed" in KINDS[change["new"]].parameters:
                parameters["seed"] = self._first_seed
            if "name" in KINDS[change["new"]].parameters:
                parameters["name"] = self.controls["name"].value or None
            self._chosen(Axis(change["new"], parameters))

    @guarded
    def _parameter_changed(self, _change: Any) -> None:
        if not self._showing:
            values = {
                name: None if self.controls[name].value == "" else self.controls[name].value
                for name in self._axis.parameters
                if name in self.controls and name != "image"
            }
            self._chosen(Axis(self._axis.kind, {**self._axis.parameters, **values}))

    @guarded
    def _draw_another(self, _button: Any) -> None:
        if "seed" in self._axis.parameters:
            seed = self._axis.parameters["seed"] + 1
            self._chosen(Axis(self._axis.kind, {**self._axis.parameters, "seed": seed}))

    @guarded
    def _pick(self, button: Any) -> None:
        if self._picking:  # pressed again: never mind
            self.show(self._axis)
            return
        self._picking = True
        button.description = "click an image above"
        self._host.pick(self._picked)

    @guarded
    def _picked(self, index: int) -> None:
        self._picking = False
        self._chosen(Axis(self._axis.kind, {**self._axis.parameters, "image": index}))


def _image_text(parameters: Mapping[str, Any]) -> str:
    index = parameters["image"]
    return "nearest one (pick …)" if index is None else f"image {index} (pick …)"


def _ranks(count: int) -> list[tuple[str, int]]:
    """The most positive curvatures and the most negative ones."""
    positive = [(f"most positive {rank}", rank) for rank in range(1, count + 1)]
    return [*positive, *((f"most negative {rank}", -rank) for rank in range(1, count + 1))]


def _show_rank(control: ipywidgets.Dropdown, rank: int) -> None:
    known = _ranks(EXTREMES)
    if abs(rank) > EXTREMES:  # clicked in a profile of all
        known.append((f"most {'positive' if rank > 0 else 'negative'} {abs(rank)}", rank))
    if control.options != tuple(known):
        control.options = known
    control.value = rank


def _scale_words(parameters: Mapping[str, Any]) -> str:
    words = [] if parameters.get("method", "auto") == "auto" else [parameters["method"]]
    if parameters.get("step") is not None:
        words.append(f"h = {parameters['step']:.3g}")
    if parameters.get("images") is not None:
        words.append(f"over {parameters['images']} images")
    if parameters.get("point", "nearest") != "nearest":
        words.append(f"at {parameters['point']} points")
    return ", ".join(words).replace("_", " ")


def _set_value(control: ipywidgets.Widget, value: Any) -> None:
    """Set a control's value, where it has it among its options."""
    value = "" if value is None else value
    options = getattr(control, "options", None)
    if options is None or value in [each for _, each in options]:
        control.value = value
