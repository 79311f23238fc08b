"""What can be chosen in the detection panel, and its controls."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import traitlets

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.detection_along import STOPS
from geoexplorer.geometry.operators import default_step
from geoexplorer.widgets.choice_controls import ChoiceControls
from geoexplorer.widgets.curvatures import POINTS
from geoexplorer.widgets.detections import CLASSES, Probing, classes_taken
from geoexplorer.widgets.errors import Errors, guarded
from geoexplorer.widgets.fields import field, set_options
from geoexplorer.widgets.help import help_button
from geoexplorer.widgets.session import Subject
from geoexplorer.widgets.state import Choice
from geoexplorer.widgets.step_slider import StepFactor, StepSlider, chosen_step

__all__ = ["OVER_IMAGES", "SHOWS", "DetectionChoice", "DetectionControls"]

# What can be seen, by its name in the state.
SHOWS = {
    "score": "score",
    "terms": "terms",
    "roc": "ROC",
    "scores": "distributions",
    "recovery": "labels",
}
OVER_IMAGES = ("roc", "scores", "recovery")  # of them, those about many images
IMAGES = (30, 100, 300)
PROBES = (10, 20, 50, 100, 200)
RATES = (0.01, 0.05, 0.1)
_FARTHEST, _STOP = float(STOPS[-1]), float(STOPS[1])
_ACROSS = 1.05  # at first: just across the boundary
_CAUTION = "An observation about geometry, not a defence: attacks that know of it break it."


class Place(traitlets.TraitType[Any, Any]):
    """A place t on the way x + t r, at one of the stops."""

    info_text = f"a number from 0 to {_FARTHEST:g}"
    default_value = _ACROSS

    def validate(self, obj: Any, value: Any) -> float:
        """The nearest stop."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0.0 <= value <= _FARTHEST:
            self.error(obj, value)
        return round(round(value / _STOP) * _STOP, 6)


class DetectionChoice(Choice):
    """What is chosen in the detection panel."""

    show = traitlets.Enum(tuple(SHOWS), "score").tag(state=True)
    place = Place().tag(state=True)  # t
    point = traitlets.Enum(tuple(POINTS), "nearest").tag(state=True)
    probes = traitlets.Enum(PROBES, 50).tag(state=True)
    factor = StepFactor().tag(state=True)
    classes = traitlets.Enum(("auto", *CLASSES), "auto").tag(state=True)
    images = traitlets.Enum(IMAGES, 100).tag(state=True)
    rate = traitlets.Enum(RATES, 0.05).tag(state=True)

    def probing(self, clf: Classifier) -> Probing:
        """How scores are to be measured on a network."""
        step = None if self.factor is None else chosen_step(clf, self.factor)
        return Probing(self.probes, step, classes_taken(self.classes, clf), self.point)


class DetectionControls(ChoiceControls):
    """Shows a :class:`DetectionChoice`, and changes it when a person does."""

    choice: DetectionChoice

    def __init__(self, choice: DetectionChoice, errors: Errors) -> None:
        super().__init__(choice, errors)
        self._subject: Subject | None = None
        self.views = ipywidgets.ToggleButtons(
            options=[(text, name) for name, text in SHOWS.items()]
        )
        self.place = ipywidgets.FloatSlider(
            value=_ACROSS, min=0.0, max=_FARTHEST, step=_STOP, readout=False,
            tooltip="t: 0 is the image x, 1 its boundary point",
        )  # fmt: skip
        self.point = ipywidgets.Dropdown(options=[(f"{name} point", name) for name in POINTS])
        self.probes = ipywidgets.Dropdown(options=PROBES)
        self.factor = StepSlider()
        self.step = ipywidgets.HTML()
        self.default = ipywidgets.Button(description="↺", tooltip="Back to the authors' step")
        self.classes = ipywidgets.Dropdown(options=["all"])
        self.images = ipywidgets.Dropdown(options=[(f"first {n}", n) for n in IMAGES])
        self.rate = ipywidgets.Dropdown(options=[(f"{rate:.0%}", rate) for rate in RATES])
        caution = ipywidgets.HTML(
            f'<span class="gx-note">{escape(_CAUTION)} {help_button("not a defence")}</span>'
        )
        self.first = ipywidgets.HBox([self.views, caution])
        self.way = ipywidgets.HBox(
            [
                ipywidgets.HTML(f'<span class="gx-label">t {help_button("x + t r")}</span>'),
                self.place,
            ]
        )
        self.widget = ipywidgets.HBox(
            [
                field("At", "point", self.point),
                field("Probes", "probes", self.probes),
                field("Step", "step h", self.factor, self.step, self.default),
                field("Classes", "classes", self.classes),
                field("Threshold from", "natural images", self.images),
                field("at", "false-positive rate", self.rate),
            ]
        )
        for widget, name in (
            (self.first, "views"), (self.first, "controls"), (self.way, "detection-way"),
            (self.widget, "controls"), (caution, "caution"), (self.default, "curvature-default"),
            (self.factor, "curvature-factor"),
        ):  # fmt: skip
            widget.add_class(f"gx-{name}")
        self.default.on_click(self._to_default)
        self._connect("detection")

    def offer(self, subject: Subject) -> None:
        """Say what there is to choose with a network."""
        self._subject = subject
        self._show()

    def _controls(self) -> dict[str, Any]:
        return {
            "show": self.views, "place": self.place, "point": self.point, "probes": self.probes,
            "factor": self.factor, "classes": self.classes, "images": self.images,
            "rate": self.rate,
        }  # fmt: skip

    @guarded
    def _to_default(self, _button: Any) -> None:
        self.choice.factor = None

    def _show(self, change: Any = None) -> None:
        choice = self.choice
        if change is not None and change["name"] == "place":
            self._show_place()  # many times a second
            return
        self._show_place()
        with self._showing:
            self.views.value = choice.show
            self.point.value = choice.point
            self.probes.value = choice.probes
            self.images.value = choice.images
            self.rate.value = choice.rate
            factor = 1.0 if choice.factor is None else choice.factor
            self.factor.value = factor
            self.default.disabled = choice.factor is None
            if self._subject is not None:
                clf = self._subject.clf
                step = factor * default_step(clf)
                self.step.value = f'<span class="gx-note gx-step">h = {step:.3g}</span>'
                self._show_classes(clf)

    def _show_place(self) -> None:
        """Move the slider, unless it stands there: in the last digit what it says differs.

        What is written back to a slider that is being dragged comes late, and moves it back.
        """
        with self._showing:
            if abs(self.place.value - self.choice.place) > _STOP / 2:
                self.place.value = self.choice.place

    def _show_classes(self, clf: Classifier) -> None:
        others = clf.n_classes - 1
        options = [(f"all {others}", "all")] + [
            (name, name) for name, count in CLASSES.items() if count is not None and count < others
        ]
        taken = classes_taken(self.choice.classes, clf)
        name = next(name for name, count in CLASSES.items() if count == taken)
        set_options(self.classes, options, name)
