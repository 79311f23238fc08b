"""What can be chosen in the panel about shared directions, and its controls."""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import traitlets

from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.operators import default_step
from geoexplorer.widgets.choice_controls import ChoiceControls
from geoexplorer.widgets.curvature_controls import Rank
from geoexplorer.widgets.curvatures import POINTS
from geoexplorer.widgets.errors import Errors
from geoexplorer.widgets.fields import field, set_options
from geoexplorer.widgets.help import help_button
from geoexplorer.widgets.session import Session, Subject
from geoexplorer.widgets.state import Choice
from geoexplorer.widgets.subspaces import Sharing

__all__ = ["SHOWS", "SharedChoice", "SharedControls"]

# What can be seen, by its name in the state.
SHOWS = {
    "rho": "ρ",
    "directions": "directions",
    "shares": "shares",
    "noise": "noise",
    "margins": "margins",
}
IMAGES = (10, 30, 100)
DIMENSIONS = (1, 2, 5, 10, 20, 50, 100, 200)
# What each view is about, and the term behind its question mark.
_ABOUT = {
    "rho": ("curvature along each direction, over that along random ones", "relative curvature"),
    "directions": ("the most curved ones as images", "shared direction"),
    "shares": ("how much of a vector lies in the curved subspace", "share"),
    "noise": ("how often noise of equal norm changes the class", "noise in a subspace"),
    "margins": ("how far the boundary is inside a subspace", "margin in a subspace"),
}


class SharedChoice(Choice):
    """What is chosen in the panel about shared directions."""

    show = traitlets.Enum(tuple(SHOWS), "rho").tag(state=True)
    images = traitlets.Enum(("auto", *IMAGES), "auto").tag(state=True)
    point = traitlets.Enum(tuple(POINTS), "nearest").tag(state=True)
    m = traitlets.Enum(("auto", *DIMENSIONS), "auto").tag(state=True)
    rank = Rank(1).tag(state=True)

    def sharing(self) -> Sharing:
        """Over which points directions are to be shared."""
        images: Any = self.images
        m: Any = self.m
        return Sharing(None if images == "auto" else images, self.point, None if m == "auto" else m)


class SharedControls(ChoiceControls):
    """Shows a :class:`SharedChoice`, and changes it when a person does."""

    choice: SharedChoice

    def __init__(self, choice: SharedChoice, session: Session, errors: Errors) -> None:
        super().__init__(choice, errors)
        self._session = session
        self._subject: Subject | None = None
        self.views = ipywidgets.ToggleButtons(
            options=[(text, name) for name, text in SHOWS.items()]
        )
        self.about = ipywidgets.HTML()
        self.first = ipywidgets.HBox([self.views, self.about])
        self.images = ipywidgets.Dropdown(options=[("auto", "auto")])
        self.point = ipywidgets.Dropdown(options=[(f"{name} point", name) for name in POINTS])
        self.m = ipywidgets.Dropdown(options=[("auto", "auto")])
        self.scale = ipywidgets.HTML()
        self.widget = ipywidgets.HBox(
            [
                field("Images", "held-out images", self.images),
                field("At", "point", self.point),
                field("Curved", "curved subspace", self.m),
                self.scale,
            ]
        )
        for widget, name in (
            (self.first, "views"), (self.first, "controls"), (self.widget, "controls"),
            (self.scale, "field"),
        ):  # fmt: skip
            widget.add_class(f"gx-{name}")
        self._connect("shared")

    def offer(self, subject: Subject) -> None:
        """Say what there is to choose with a network and its images."""
        if subject is not self._subject:
            self._subject = subject
            has_kinks(subject.clf)  # found out here, on the worker's thread, and remembered
        self._show()

    def _controls(self) -> dict[str, Any]:
        return {"show": self.views, "images": self.images, "point": self.point, "m": self.m}

    def _show(self, _change: Any = None) -> None:
        choice, subject = self.choice, self._subject
        with self._showing:
            self.views.value = choice.show
            self.point.value = choice.point
            if subject is not None:
                self._show_counts(subject)
            self.about.value = self._about(subject)

    def _show_counts(self, subject: Subject) -> None:
        sharing, clf = self.choice.sharing(), subject.clf
        d = clf.dimension
        count, auto = (each.count(self._session, subject) for each in (sharing, Sharing()))
        counts = sorted({count, auto, *(n for n in IMAGES if n <= self._most(subject))})
        options = [(f"first {n}", "auto" if n == auto else n) for n in counts]
        set_options(self.images, options, "auto" if count == auto else count)
        m, usual = sharing.dimension(d), Sharing().dimension(d)
        most = Sharing(m=d).dimension(d)
        sizes = sorted({m, usual, *(n for n in DIMENSIONS if n <= most)})
        options = [(f"m = {n}", "auto" if n == usual else n) for n in sizes]
        set_options(self.m, options, "auto" if m == usual else m)
        method = f"smoothed, h = {default_step(clf):.3g}" if has_kinks(clf) else "autograd"
        words = f"{method} · held out: {count} to {2 * count - 1}"
        self.scale.value = f'<span class="gx-note">{escape(words)}</span>'

    def _most(self, subject: Subject) -> int:
        return Sharing(len(subject.images)).count(self._session, subject)

    def _about(self, subject: Subject | None) -> str:
        words, name = _ABOUT[self.choice.show]
        searched = subject is not None and Sharing().found(subject.clf.dimension) is not None
        if searched and self.choice.show in ("noise", "margins"):
            words += "; flat is not known here, random stands for it"
        return f'<span class="gx-note">{escape(words)} {help_button(name)}</span>'
