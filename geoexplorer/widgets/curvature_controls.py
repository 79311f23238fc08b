"""What can be chosen in the curvature panel, and its controls."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import traitlets

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.operators import default_step
from geoexplorer.widgets.choice_controls import ChoiceControls
from geoexplorer.widgets.curvatures import (
    METHODS,
    POINTS,
    SPECTRA,
    Measure,
    seconds_needed,
)
from geoexplorer.widgets.direction_readout import METHOD_WORDS
from geoexplorer.widgets.errors import Errors, guarded
from geoexplorer.widgets.fields import field, set_options
from geoexplorer.widgets.following import seconds_words
from geoexplorer.widgets.session import LONG_SECONDS, Subject
from geoexplorer.widgets.state import Choice
from geoexplorer.widgets.step_slider import StepFactor, StepSlider, chosen_step

__all__ = ["SHOWS", "CurvatureChoice", "CurvatureControls"]

# What can be seen, by its name in the state.
SHOWS = {
    "profile": "profile",
    "average": "average over images",
    "step": "κ against h",
    "boundary": "boundary along it",
}
IMAGES = (10, 30, 100)


class Rank(traitlets.TraitType[Any, Any]):
    """1, 2, … from the most positive curvature on; -1, -2, … from the most negative one."""

    info_text = "a whole number other than 0"
    default_value = -1

    def validate(self, obj: Any, value: Any) -> int:
        """A whole number."""
        if not isinstance(value, int) or isinstance(value, bool) or value == 0:
            self.error(obj, value)
        return int(value)


class CurvatureChoice(Choice):
    """What is chosen in the curvature panel."""

    show = traitlets.Enum(tuple(SHOWS), "profile").tag(state=True)
    point = traitlets.Enum(tuple(POINTS), "nearest").tag(state=True)
    method = traitlets.Enum(METHODS, "auto").tag(state=True)
    factor = StepFactor().tag(state=True)
    spectrum = traitlets.Enum(SPECTRA, "auto").tag(state=True)
    rank = Rank().tag(state=True)
    images = traitlets.Enum(IMAGES, 30).tag(state=True)

    def measure(self, clf: Classifier) -> Measure:
        """How curvature is to be measured on a network."""
        measure = Measure(self.method, None, self.spectrum, self.point)
        if self.factor is None or measure.taken(clf) == "autograd":
            return measure
        return Measure(self.method, chosen_step(clf, self.factor), self.spectrum, self.point)


class CurvatureControls(ChoiceControls):
    """Shows a :class:`CurvatureChoice`, and changes it when a person does."""

    choice: CurvatureChoice

    def __init__(self, choice: CurvatureChoice, errors: Errors) -> None:
        super().__init__(choice, errors)
        self._subject: Subject | None = None
        self.views = ipywidgets.ToggleButtons(
            options=[(text, name) for name, text in SHOWS.items()]
        )
        self.views.add_class("gx-views")
        self.point = ipywidgets.Dropdown(options=[(f"{name} point", name) for name in POINTS])
        self.method = ipywidgets.Dropdown(options=_methods(None))
        self.factor = StepSlider()
        self.step = ipywidgets.HTML()
        self.default = ipywidgets.Button(
            description="↺", tooltip="Back to the step that suits the method"
        )
        self.spectrum = ipywidgets.Dropdown(options=[("extreme", "extreme"), ("all", "all")])
        self.images = ipywidgets.Dropdown(options=[(f"first {n}", n) for n in IMAGES])
        self.fields = {
            "images": field("Images", "average", self.images),
            "point": field("At", "point", self.point),
            "method": field("Method", "method", self.method),
            "factor": field("Step", "step h", self.factor, self.step, self.default),
            "spectrum": field("Values", "principal curvature", self.spectrum),
        }
        self.widget = ipywidgets.HBox(list(self.fields.values()))
        self.widget.add_class("gx-controls")
        self.default.add_class("gx-curvature-default")
        self.default.on_click(self._to_default)
        self._connect("curvature")

    def offer(self, subject: Subject) -> None:
        """Say what there is to choose with a network."""
        if subject is not self._subject:
            self._subject = subject
            has_kinks(subject.clf)  # found out here, on the worker's thread, and remembered
        self._show()

    def _controls(self) -> dict[str, Any]:
        return {
            "show": self.views, "point": self.point, "method": self.method,
            "factor": self.factor, "spectrum": self.spectrum, "images": self.images,
        }  # fmt: skip

    @guarded
    def _to_default(self, _button: Any) -> None:
        self.choice.factor = None

    def _show(self, _change: Any = None) -> None:
        choice, subject = self.choice, self._subject
        with self._showing:
            self.views.value = choice.show
            self.point.value = choice.point
            self.images.value = choice.images
            self.fields["images"].layout.display = "" if choice.show == "average" else "none"
            clf = None if subject is None else subject.clf
            set_options(self.method, _methods(clf), choice.method)
            if subject is not None:
                self._show_scale(subject)
                self._show_spectrum(subject)

    def _show_scale(self, subject: Subject) -> None:
        choice, clf = self.choice, subject.clf
        step = choice.measure(clf).step_taken(clf)
        exact = step == 0
        self.factor.disabled = exact
        self.default.disabled = exact or choice.factor is None
        if not exact:
            self.factor.value = step / default_step(clf)
        words = "exact, no step" if exact else f"h = {step:.3g}"
        self.step.value = f'<span class="gx-note gx-step">{escape(words)}</span>'

    def _show_spectrum(self, subject: Subject) -> None:
        choice, d = self.choice, subject.clf.dimension
        options = []
        for name in ("extreme", "all"):
            measure = Measure(choice.method, None, name)
            count = measure.count(d)
            if (count is None) != (name == "all"):
                continue  # too many dimensions for all, or too few for extremes
            text = f"all {d - 1:,}" if count is None else f"extreme {count} + {count}"
            seconds = seconds_needed(subject, measure)
            options.append(
                (f"{text}, {seconds_words(seconds)}" if seconds > LONG_SECONDS else text, name)
            )
        taken = "all" if Measure(spectrum=choice.spectrum).count(d) is None else "extreme"
        set_options(self.spectrum, options, taken)


def _methods(clf: Classifier | None) -> list[tuple[str, str]]:
    """What the methods are called; with a network, which one is taken and which one cannot be."""
    names = {"auto": "auto", **METHOD_WORDS}
    if clf is not None:
        kinks = has_kinks(clf)
        names["auto"] = f"auto: {'smoothed' if kinks else 'autograd'}"
        if kinks:
            names["autograd"] = "autograd (not with kinks)"
    return [(names[name], name) for name in METHODS]
