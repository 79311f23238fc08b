"""The bottom of the Explorer, always in sight: errors, progress, Cancel, Save, Copy code, state."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from geoexplorer.jobs import Progress, Words
from geoexplorer.widgets.errors import Errors, guarded
from geoexplorer.widgets.file_button import FileButton
from geoexplorer.widgets.saving import FileLook, SaveForm
from geoexplorer.widgets.spoken import Spoken
from geoexplorer.widgets.worker import Outcome

__all__ = ["Footer"]


class Footer(ipywidgets.VBox):
    """Shows what is being done and offers what can be taken away.

    Parameters
    ----------
    cancel, go_on, copy, save_state
        Called when the button is pressed. "Go on" takes the place of Cancel after it.
    save
        Called with a format, a width such as ``"84mm"``, and a font size in points.
    open_state
        Called with the bytes of a file.
    theme, set_theme
        The chosen theme, and what is called with another one.
    errors
        Shows what goes wrong; above the rest.
    """

    def __init__(
        self,
        *,
        cancel: Callable[[], None],
        go_on: Callable[[], None],
        save: Callable[[FileLook], None],
        copy: Callable[[], None],
        save_state: Callable[[], None],
        open_state: Callable[[bytes], None],
        theme: str,
        set_theme: Callable[[str], None],
        errors: Errors,
    ) -> None:
        self.errors = errors
        self._set_theme = set_theme
        self._words, self._doing = Words(seconds=0.0), Progress(0.0)
        self.status, self.spoken = ipywidgets.HTML(), Spoken()
        self.busy = ipywidgets.HBox([self.status])
        self.cancel = _button("Cancel", "Stop what is being computed", cancel)
        self.go_on = _button("Go on", "Compute what was stopped", go_on)
        self.form = SaveForm(save)
        self.saves = ipywidgets.ToggleButton(description="Save …", tooltip="Save the figure")
        self.copy = _button(
            "Copy code", "Copy a script that draws this figure without the widget", copy
        )
        self.more = ipywidgets.ToggleButton(description="⋯", tooltip="State and theme")
        self.save_state = _button("Save state", "Download all choices as a JSON file", save_state)
        self.state_file = FileButton(
            "Open state",
            tooltip="Open a file made by Save state",
            accept=".json",
            taken=lambda name, data: open_state(data),
        )
        self.theme = ipywidgets.Dropdown(
            options=["auto", "light", "dark"], value=theme, description="Theme"
        )
        bar = ipywidgets.HBox(
            [self.busy, self.cancel, self.go_on, self.saves, self.copy, self.more]
        )
        extra = ipywidgets.HBox([self.save_state, self.state_file, self.theme])
        for widget, name in (
            (self.busy, "status"), (bar, "bar"), (extra, "form"), (self.more, "more"),
        ):  # fmt: skip
            widget.add_class(f"gx-{name}")
        # What unfolds is seen above its button.
        super().__init__([errors, self.form, extra, bar, self.spoken])
        self.add_class("gx-footer")
        self._folds = {self.saves: self.form, self.more: extra}
        self.cancel.disabled = True
        self._offer_to_go_on(False)
        for toggle, fold in self._folds.items():
            fold.layout.display = "none"
            toggle.observe(self._unfold, "value")
        self.theme.observe(self._choose_theme, "value")

    def begin(self, message: str) -> None:
        """Say that something has begun; what is over in 300 ms is not shown (see style.css)."""
        self.spoken.begin()
        self.progress(Progress(0.0), message)
        self.busy.add_class("gx-busy")
        self.cancel.disabled = False
        self._offer_to_go_on(False)

    def progress(self, progress: Progress, message: str) -> None:
        """Say how far it has come."""
        self._doing = progress
        self._words.news(message, now=True)
        self._show_progress(message)

    def passed(self, images: int) -> None:
        """So many more images went through the network: say so where there is no other news."""
        message = self._words.passed(images)
        if message is not None:
            self._show_progress(message)

    def end(self, outcome: Outcome, milliseconds: float | None, *, go_on: bool = False) -> None:
        """Say how it ended, and whether one can go on with it."""
        took = "" if milliseconds is None else f", final after {milliseconds / 1000:.2f} s"
        words = {
            Outcome.DONE: f"done{took}",
            Outcome.STOPPED: "stopped before the end",
            Outcome.FAILED: "not done, see above",
        }
        self.say(words[outcome])
        self.busy.remove_class("gx-busy")
        self.cancel.disabled = True
        self._offer_to_go_on(go_on)

    def _offer_to_go_on(self, offered: bool) -> None:
        self.cancel.layout.display = "none" if offered else ""
        self.go_on.layout.display = "" if offered else "none"

    def _show_progress(self, message: str) -> None:
        fraction = self._doing.fraction
        value = f' value="{fraction:.3f}"' if fraction > 0 else ""
        self.status.value = f'<progress aria-label="progress"{value}></progress> {escape(message)}'
        self.spoken.progress(message)

    def say(self, text: str) -> None:
        """Say something short."""
        self.status.value = f"<span>{escape(text)}</span>"
        self.spoken.say(text)

    def show_theme(self, theme: str) -> None:
        """Show the chosen theme."""
        self.theme.value = theme

    def _unfold(self, change: Any) -> None:
        self._folds[change["owner"]].layout.display = "" if change["new"] else "none"

    @guarded
    def _choose_theme(self, change: Any) -> None:
        self._set_theme(change["new"])


def _button(text: str, tooltip: str, clicked: Callable[[], None]) -> ipywidgets.Button:
    button = ipywidgets.Button(description=text, tooltip=tooltip)
    button.on_click(lambda _: clicked())
    return button
