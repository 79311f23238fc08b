"""What can be chosen in the paths panel, and its controls."""

from __future__ import annotations

import math
from typing import Any

import ipywidgets
import traitlets

from geoexplorer.widgets.choice_controls import ChoiceControls
from geoexplorer.widgets.errors import guarded
from geoexplorer.widgets.fields import field
from geoexplorer.widgets.following import seconds_words
from geoexplorer.widgets.gallery import Gallery
from geoexplorer.widgets.help import help_button
from geoexplorer.widgets.panel import Host
from geoexplorer.widgets.paths import EFFORTS, SCENARIOS, Wanted
from geoexplorer.widgets.proof_cost import kinks, proven_at_once, seconds_to_prove
from geoexplorer.widgets.session import LONG_SECONDS, Subject, View
from geoexplorer.widgets.state import Choice

__all__ = ["SHOWS", "PathChoice", "PathControls"]

# What can be seen, by its name in the state.
SHOWS = {"scores": "scores along it", "strip": "images along it", "map": "map around it"}


class Along(traitlets.TraitType[Any, Any]):
    """A distance along the path, or None."""

    info_text = "None or a finite number, 0 or more"
    allow_none = True
    default_value = None

    def validate(self, obj: Any, value: Any) -> float:
        """A float."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0:
            self.error(obj, value)
        return float(value)


class PathChoice(Choice):
    """What is chosen in the paths panel."""

    show = traitlets.Enum(tuple(SHOWS), "scores").tag(state=True)
    scenario = traitlets.Enum(tuple(SCENARIOS), "same class").tag(state=True)
    target = traitlets.Int(None, allow_none=True, min=0).tag(state=True)  # None: found
    seed = traitlets.Int(0, min=0, max=2**31 - 1).tag(state=True)
    effort = traitlets.Enum(EFFORTS, EFFORTS[0]).tag(state=True)
    prove = traitlets.Bool(None, allow_none=True).tag(state=True)  # None: where it is quick
    place = Along().tag(state=True)  # pinned

    def proves(self, subject: Subject) -> bool:
        """Whether a proof is asked for on a network."""
        return proven_at_once(subject) if self.prove is None else self.prove

    def wanted(self, subject: Subject) -> Wanted:
        """The path that is asked for."""
        return Wanted(self.scenario, self.target, self.seed, self.effort, self.proves(subject))


class PathControls(ChoiceControls):
    """Shows a :class:`PathChoice`, and changes it when a person does."""

    choice: PathChoice

    def __init__(self, choice: PathChoice, host: Host) -> None:
        super().__init__(choice, host.errors)
        self._host = host
        self._picking = False
        self._view: View | None = None
        self.views = ipywidgets.ToggleButtons(
            options=[(text, name) for name, text in SHOWS.items()]
        )
        self.effort = ipywidgets.Dropdown(options=EFFORTS)
        self.prove = ipywidgets.Checkbox(indent=False, description="prove")
        self.scenario = ipywidgets.Dropdown(
            options=[(text, name) for name, text in SCENARIOS.items()]
        )
        self.gallery = Gallery(chosen=self._choose, turned=lambda: None)
        self.pick = ipywidgets.Button(
            description="pick above", tooltip="Choose the other image by clicking it in the gallery"
        )
        self.seed = ipywidgets.BoundedIntText(max=2**31 - 1)
        self.reroll = ipywidgets.Button(description="⟳", tooltip="Draw another random point")
        effort = field("Effort", "effort", self.effort)
        prove = ipywidgets.HBox([self.prove, ipywidgets.HTML(help_button("proven"))])
        prove.add_class("gx-field")
        self.first = ipywidgets.HBox([self.views, effort, prove])
        self.point = field("seed", "random point", self.seed, self.reroll)
        self.second = ipywidgets.HBox(
            [field("To", "path", self.scenario), self.gallery, self.pick, self.point]
        )
        self.first.add_class("gx-views")
        self.first.add_class("gx-controls")
        self.second.add_class("gx-row")
        self.second.add_class("gx-controls")
        self.second.add_class("gx-path-ends")
        self.pick.add_class("gx-path-pick")
        self.reroll.add_class("gx-axis-reroll")
        self.pick.on_click(self._pick)
        self.reroll.on_click(self._draw_another)
        self._connect("path")

    def offer(self, view: View) -> None:
        """Say what there is to choose with a network."""
        self._view = view
        kinks(view.subject)  # found out here, on the worker's thread, and remembered
        self._show()

    def show_ends(self, view: View, offered: list[int], wanted: Wanted) -> None:
        """Show the images that a path may lead to, the one it leads to among them."""
        subject, target = view.subject, wanted.target
        there = target is not None and target < len(subject.images)
        chosen = -1 if target is None else target
        indices = [chosen, *offered] if there and target not in offered else offered
        self.gallery.show(
            subject.images, indices, self._host.session.predicted(subject),
            subject.clf.class_names, chosen,
        )  # fmt: skip

    def stop_picking(self) -> None:
        """Wait for no click in the Explorer's gallery any more."""
        if self._picking:
            self._picking = False
            self._host.pick(None)
        self.pick.description = "pick above"

    def _controls(self) -> dict[str, Any]:
        return {
            "show": self.views, "effort": self.effort, "prove": self.prove,
            "scenario": self.scenario, "seed": self.seed,
        }  # fmt: skip

    def _take(self, name: str, value: Any) -> None:
        if name != "scenario":
            super()._take(name, value)
            return
        self.stop_picking()
        with self.choice.hold_trait_notifications():
            self.choice.target = None
            self.choice.scenario = value

    @guarded
    def _choose(self, index: int) -> None:
        self.choice.target = index

    @guarded
    def _pick(self, _button: Any) -> None:
        if self._picking:  # pressed again: never mind
            self.stop_picking()
            return
        self._picking = True
        self.pick.description = "click an image above"
        self._host.pick(self._picked)

    @guarded
    def _picked(self, index: int) -> None:
        self.stop_picking()
        view = self._view
        scenario = self.choice.scenario
        if view is not None:
            called = int(self._host.session.predicted(view.subject)[index])
            if called >= 0:  # which end it can be follows from its class
                same = called == int(view.boundary.own[0])
                scenario = "same class" if same else "other class"
        with self.choice.hold_trait_notifications():
            self.choice.scenario = scenario
            self.choice.target = index

    @guarded
    def _draw_another(self, _button: Any) -> None:
        self.choice.seed = (self.choice.seed + 1) % 2**31

    def _show(self, _change: Any = None) -> None:
        choice, view = self.choice, self._view
        random = choice.scenario == "random point"
        with self._showing:
            subject = None if view is None else view.subject
            provable = subject is None or kinks(subject) is not None
            values = {name: getattr(choice, name) for name in self._controls()}
            values["prove"] = provable and (subject is None or choice.proves(subject))
            for name, control in self._controls().items():
                control.value = values[name]
            for control in (self.gallery, self.pick):
                control.layout.display = "none" if random else ""
            self.point.layout.display = "" if random else "none"
            self.prove.disabled = not provable
            self.prove.description = _proof_words(subject)


def _proof_words(subject: Subject | None) -> str:
    """What the box says: how long it takes, where that is long, or that it cannot be."""
    if subject is None:
        return "prove"
    if kinks(subject) is None:
        return "prove (not piecewise linear)"
    seconds = seconds_to_prove(subject)
    return f"prove, {seconds_words(seconds)}" if seconds > LONG_SECONDS else "prove"
