"""The Explorer: pick an image, see where the boundary lies."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets
import plotly.graph_objects as go

from geoexplorer import figures
from geoexplorer.classifier import Classifier
from geoexplorer.images import ImageSet
from geoexplorer.jobs import Progress, TimeLeft
from geoexplorer.widgets.closing import close_all, with_descendants
from geoexplorer.widgets.code import saving_script
from geoexplorer.widgets.errors import Errors, guarded
from geoexplorer.widgets.footer import Footer
from geoexplorer.widgets.header import Header
from geoexplorer.widgets.page import Page
from geoexplorer.widgets.panel import Host, Panel
from geoexplorer.widgets.panels import PANELS
from geoexplorer.widgets.plot import Library
from geoexplorer.widgets.quiet import Quiet
from geoexplorer.widgets.saving import FORMATS, FileLook
from geoexplorer.widgets.selection import ALL, MISTAKES
from geoexplorer.widgets.session import Session, Subject, View
from geoexplorer.widgets.state import nearest_words, read_state, require_keys, require_one_of
from geoexplorer.widgets.stored import (
    added_from_json,
    added_to_json,
    directions_from_json,
    directions_to_json,
)
from geoexplorer.widgets.threads import sparing_a_core
from geoexplorer.widgets.uploads import fitted_image
from geoexplorer.widgets.worker import Delivery, Outcome, Task, Urgency, Worker

__all__ = ["THEMES", "Explorer"]

THEMES = ("auto", "light", "dark")
_FORMAT = 1
# The browser takes widgets out of the page after their parent has let go of them; one that is
# closed before that is missed by it.
_FAREWELL_SECONDS = 0.5
# What takes time, by the worker's slot.
_DOING = {
    "view": "Computing the view",
    "save": "Saving the figure",
    "mistakes": "Finding misclassified images",
}
# Images whose class is found out in one go, when nothing else is to be done.
_PREDICTED_AT_ONCE = 8


class Explorer(ipywidgets.VBox):
    """The widget that :func:`geoexplorer.explore` gives; see there for its arguments.

    Attributes
    ----------
    selection
        Traits ``network``, ``images``, ``image`` and ``shown_class``: what is looked at.
    panels
        The panels by key; each has its own traits in ``choice``.
    timings
        Milliseconds from the last choice to the ``first_paint`` and to the ``final`` map.
    """

    _closed = True  # there is nothing to close until all is made

    def __init__(
        self,
        clf: Classifier | None = None,
        images: ImageSet | None = None,
        *,
        network: str | None = None,
        image_set: str | None = None,
        image: int | None = None,
        panel: str | None = None,
        theme: str = "auto",
        device: Any = "auto",
        state: Mapping[str, Any] | str | Path | None = None,
        panels: tuple[type[Panel], ...] = PANELS,
        synchronous: bool | None = None,
    ) -> None:
        require_one_of("theme", theme, THEMES)
        first = None if panel is None else _key_of(panel, panels)
        self._holding = Quiet()
        self._theme = theme
        self._picking: Callable[[int], None] | None = None
        self._chosen_at = time.perf_counter()
        self._view: View | None = None
        self.timings: dict[str, float] = {}
        self.errors = Errors()
        self.worker = Worker(
            failed=self._failed,
            started=self._started,
            ended=self._ended,
            passed=self._passed,
            around=sparing_a_core,
            synchronous=synchronous,
        )
        self.session = Session(
            clf, images, network=network, image_set=image_set, device=device,
            report=self._report, subject_changed=self._subject_changed,
        )  # fmt: skip
        self.selection = self.session.selection
        self.selection.image = image
        self.page = Page(copied=self._copied)
        self.header = Header(
            self.selection, chosen=self._choose_image, turned=self._mark, uploaded=self._uploaded,
            changing=self._changing, errors=self.errors,
        )  # fmt: skip
        self.footer = Footer(
            cancel=self._cancel, go_on=self.refresh, save=self._save, copy=self._copy,
            save_state=self._save_state, open_state=self._open_state, theme=theme,
            set_theme=self._set_theme, errors=self.errors,
        )  # fmt: skip
        self._library = Library()
        host = Host(
            session=self.session, worker=self.worker, errors=self.errors, refresh=self.refresh,
            library=self._library, report=self._report, pick=self._pick, theme=self.theme,
            painted=self._painted, open_panel=self._open_panel,
        )  # fmt: skip
        self.panels: dict[str, Panel] = {panel.key: panel(host) for panel in panels}
        self._stale = set(self.panels)
        self._active = first or next(iter(self.panels))
        self.panel.opened()
        super().__init__([self.page, self.header, self._tabs(), self.footer])
        self._closed = False
        self.add_class("gx-explorer")
        self.page.observe(self._page_theme, "dark")
        self.selection.observe(self._selection_changed, ["network", "images", "image"])
        self.selection.observe(self._class_changed, "shown_class")
        if state is None:
            self.refresh()
        else:
            self.restore(state if first is None else _with_panel(state, first))

    # For programs.

    def refresh(self, *, delay: float = 0.0) -> None:
        """Compute what is looked at anew, unless something newer is chosen within ``delay`` s."""
        self._stale = set(self.panels)
        self._compute(delay)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until everything chosen so far is computed; False if that takes too long."""
        return self.worker.wait(timeout)

    def figure(self, **options: Any) -> go.Figure:
        """What the panel in view shows, as a plotly figure; options as for ``result.figure``."""
        panel = self.panel
        return figures.draw(panel.result(), **{**panel.figure_options(), **options})

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the figure of the panel in view to a file; see :func:`geoexplorer.figures.save`."""
        panel = self.panel
        return figures.save(panel.result(), path, **{**panel.figure_options(), **options})

    def code(
        self,
        path: str | Path | None = None,
        *,
        width: float | str | None = None,
        height: float | str | None = None,
        font_size: float | None = None,
    ) -> str:
        """A script that draws the figure of the panel in view without the Explorer.

        Parameters
        ----------
        path
            Of a file that the script writes. Without one it writes the file that was chosen by
            hand under "Save", if any was.
        width, height, font_size
            Of the file; see :func:`geoexplorer.figures.save`.

        Raises
        ------
        ValueError
            For a size without a path.
        """
        script, look = self.panel.code(), self.footer.form.chosen
        sizes = {"width": width, "height": height, "font_size": font_size}
        given = {name: value for name, value in sizes.items() if value is not None}
        if path is not None:
            return saving_script(script, str(path), given)
        if given:
            raise ValueError(f"{', '.join(given)} needs a path, the file that the script writes")
        if look is None:
            return script
        return saving_script(script, self.panel.file_stem() + look.ending, look.options())

    @property
    def panel(self) -> Panel:
        """The panel in view."""
        return self.panels[self._active]

    def theme(self) -> str:
        """``"light"`` or ``"dark"``: the chosen theme, or the page's."""
        if self._theme != "auto":
            return self._theme
        return "dark" if self.page.dark else "light"

    def to_json(self) -> dict[str, Any]:
        """The whole state as JSON values; :meth:`restore` takes it."""
        selection = self.selection.to_json()
        if selection["image"] is None and self._view is not None:
            selection["image"] = self._view.index
        return {
            "geoexplorer": _FORMAT,
            "selection": selection,
            "panel": self._active,
            "panels": {key: panel.choice.to_json() for key, panel in self.panels.items()},
            "theme": self._theme,
            "directions": directions_to_json(self.session.directions),
            "added": added_to_json(self.session.added),
        }

    def restore(self, state: Mapping[str, Any] | str | Path | bytes) -> None:
        """Take over a state from :meth:`to_json`, or from a file that "Save state" made.

        Raises
        ------
        ValueError
            If something in it is not accepted; then nothing has changed.
        """
        content = read_state(state)
        known = ("geoexplorer", "selection", "panel", "panels", "theme", "directions", "added")
        require_keys(content, known, "state")
        if content.get("geoexplorer") != _FORMAT:
            raise ValueError(
                f"state: {content.get('geoexplorer')!r} is not a format that is known here; "
                f"accepted is {_FORMAT}, under the key 'geoexplorer'"
            )
        selection = content.get("selection", {})
        self.selection.check(selection)
        panels = content.get("panels", {})
        require_keys(panels, self.panels, "state: panels")
        takes = [self.panels[key].restore(value) for key, value in panels.items()]
        active = content.get("panel", self._active)
        require_one_of("state: panel", active, self.panels)
        theme = content.get("theme", self._theme)
        require_one_of("state: theme", theme, THEMES)
        directions = directions_from_json(content.get("directions", {}))
        added = added_from_json(content.get("added", {}), self.selection.image_sets)

        with self._holding:
            self.session.directions.update(directions)
            self.session.replace_added(added)
            self.selection.restore(selection)
            for take in takes:
                take()
            self._show_panel(active)
            self._set_theme(theme)
        self.refresh()

    def close(self) -> None:
        """Stop the work and free everything; the widget disappears."""
        if self._closed:
            return
        self._closed = True
        self.worker.close()
        self.selection.unobserve_all()
        for panel in self.panels.values():
            panel.close()
        figures_first = [each for each in with_descendants(self) if each is not self._library]
        widgets = [*figures_first, self._library]
        self.children = ()
        if self.worker.synchronous:
            close_all(widgets)
        else:
            timer = threading.Timer(_FAREWELL_SECONDS, close_all, [widgets])
            timer.daemon = True
            timer.start()

    # The work.

    def _compute(self, delay: float = 0.0) -> None:
        if not self._holding:
            self._chosen_at = time.perf_counter() + delay
            self.timings = {}
            self.worker.submit("view", self._view_steps, delay=delay)

    def _view_steps(self) -> Generator[Delivery, None, None]:
        key = self._active
        yield self.panels[key].begin
        view = yield from self.session.view_steps()
        yield partial(self._seen, view)
        yield from self.panels[key].steps(view)
        yield partial(self._finished, key)

    def _seen(self, view: View) -> None:
        self._view = view
        if self.selection.image is None:  # a chosen one was selected when it was chosen
            self.header.gallery.select(view.index)

    def _finished(self, key: str) -> None:
        self._stale.discard(key)
        self.timings["final"] = 1000 * (time.perf_counter() - self._chosen_at)
        self.errors.clear()

    def _painted(self) -> None:
        self.worker.shown()
        elapsed = 1000 * (time.perf_counter() - self._chosen_at)
        self.timings.setdefault("first_paint", elapsed)

    def _started(self, task: Task) -> None:
        if task.slot in _DOING:
            self.footer.begin(_DOING[task.slot])

    def _ended(self, task: Task, outcome: Outcome) -> None:
        view, replaced = task.slot == "view", self.worker.replaces(task.slot)
        if task.slot in _DOING and not replaced:
            took = self.timings.get("final") if view else None
            self.footer.end(outcome, took, go_on=view and outcome is not Outcome.DONE)
        if view and outcome is Outcome.DONE:
            self._mark()
        elif view and not replaced:
            self.panel.stopped()

    def _passed(self, task: Task, images: int) -> None:
        if task.slot in _DOING:
            self.footer.passed(images)

    def _failed(self, task: Task, error: Exception) -> None:
        self.errors.show(error, _DOING.get(task.slot, "This"))

    def _report(self, progress: Progress, message: str) -> None:
        self.footer.progress(progress, message)

    def _subject_changed(self, subject: Subject) -> None:
        self.header.show_subject(subject, self.session.added.get(subject.images_name, ()))
        self._show_gallery(subject)
        if self.selection.shown_class == MISTAKES:
            self._find_mistakes(subject)

    def _show_gallery(self, subject: Subject) -> None:
        index = self.selection.image
        self.header.gallery.show(
            subject.images, self.session.shown(subject), self.session.predicted(subject),
            subject.clf.class_names, -1 if index is None else index,
        )  # fmt: skip

    def _mark(self) -> None:
        """Find out, when there is time, which of the thumbnails are misclassified."""
        subject = self.session.subject
        if subject is None:
            return

        def steps() -> Generator[Delivery, None, None]:
            page = self.header.gallery.page()
            for start in range(0, len(page), _PREDICTED_AT_ONCE):
                known = self.session.predict(subject, page[start : start + _PREDICTED_AT_ONCE])
                yield partial(self.header.gallery.mark, known)

        self.worker.submit("marks", steps, urgency=Urgency.IDLE)

    # What a person does.

    @guarded
    def _choose_image(self, index: int) -> None:
        if self._picking is not None:
            picked = self._picking
            self._pick(None)
            picked(index)
            return
        self._forget()
        self.selection.image = index

    def _changing(self) -> None:
        """Another network or set is about to be chosen by hand."""
        self._forget()
        view, chosen = self._view, self.selection
        if view is None or chosen.image is not None:
            return
        if view.subject.key != (chosen.network, chosen.images):
            return
        with self._holding:
            chosen.image = view.index  # with another network it stays, also where nobody chose it

    def _forget(self) -> None:
        """Another image, network or set was chosen by hand: what was zoomed or pinned is over."""
        with self._holding:
            for panel in self.panels.values():
                panel.selection_changed()

    def _pick(self, picked: Callable[[int], None] | None) -> None:
        self._picking = picked
        self.header.gallery.picking = picked is not None

    @guarded
    def _uploaded(self, name: str, data: bytes) -> None:
        shape = self.selection.image_sets[self.selection.images]
        image, note = fitted_image(name, data, shape)
        index = self.session.add_image(note, image)
        self._forget()
        self.selection.shown_class = ALL
        self.selection.image = index
        self.refresh()

    @guarded
    def _cancel(self) -> None:
        view = self.worker.busy("view")
        if self.worker.cancel(*_DOING):
            self.footer.end(Outcome.STOPPED, None, go_on=view)
            self.panel.stopped()

    @guarded
    def _save(self, look: FileLook) -> None:
        panel = self.panel
        result, options, stem = panel.result(), panel.figure_options(), panel.file_stem()

        def steps() -> Generator[Delivery, None, None]:
            yield partial(self._report, Progress(0.0, "saving"), f"making the {look.format} file")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / (stem + look.ending)
                figures.save(result, path, **look.options(), **options)
                media_type = FORMATS[look.format]
                yield partial(self.page.download, path.name, path.read_bytes(), media_type)
            yield self.errors.clear

        self.worker.submit("save", steps)

    @guarded
    def _copy(self) -> None:
        self.page.copy(self.code())

    def _copied(self, done: bool) -> None:
        self.footer.say("code copied" if done else "press Ctrl+C to copy, Escape to close")

    @guarded
    def _save_state(self) -> None:
        data = json.dumps(self.to_json(), indent=1).encode()
        self.page.download("geoexplorer-state.json", data, "application/json")

    @guarded
    def _open_state(self, data: bytes) -> None:
        self.restore(data)

    # What follows from it.

    @guarded
    def _selection_changed(self, _change: Any) -> None:
        self.header.show_selection()
        if self.selection.image is not None and self.session.subject is not None:
            self.header.gallery.select(self.selection.image)
        self.refresh()

    @guarded
    def _class_changed(self, _change: Any) -> None:
        subject = self.session.subject
        self.header.show_selection()
        self.worker.cancel("mistakes")
        if subject is None:
            return
        if self.selection.shown_class == MISTAKES:
            self._find_mistakes(subject)
        else:
            self.worker.submit(
                "class", partial(self._class_steps, subject), urgency=Urgency.POINTER
            )

    def _class_steps(self, subject: Subject) -> Generator[Delivery, None, None]:
        yield partial(self._show_gallery, subject)

    def _find_mistakes(self, subject: Subject) -> None:
        self.worker.submit("mistakes", partial(self._mistakes_steps, subject))

    def _mistakes_steps(self, subject: Subject) -> Generator[Delivery, None, None]:
        count = len(subject.images)
        clock = TimeLeft()
        for start in range(0, count, _PREDICTED_AT_ONCE):
            end = min(start + _PREDICTED_AT_ONCE, count)
            self.session.predict(subject, list(range(start, end)))
            progress = Progress(end / count, f"{end} of {count} images")
            yield partial(self._report, progress, clock.describe(progress))
        yield partial(self._show_gallery, subject)

    @guarded
    def _page_theme(self, _change: Any) -> None:
        self._set_theme(self._theme)

    def _set_theme(self, theme: str) -> None:
        self._theme = theme
        self.footer.show_theme(theme)
        for panel in self.panels.values():
            panel.theme_changed()

    def _open_panel(self, key: str, values: Mapping[str, Any]) -> None:
        panel = self.panels[key]
        take = panel.restore(values)
        with self._holding:
            panel.selection_changed()
            take()
            self._show_panel(key)
        self._compute()

    def _show_panel(self, key: str) -> None:
        if len(self.panels) > 1:
            self._tab_bar.selected_index = list(self.panels).index(key)
        self._active = key
        self.panel.opened()

    @guarded
    def _tab_changed(self, change: Any) -> None:
        self._active = list(self.panels)[change["new"]]
        self.panel.opened()
        if self._active in self._stale:
            self._compute()

    def _tabs(self) -> ipywidgets.Widget:
        """The panels; a bar to choose from appears when there are several."""
        views = [panel.widget for panel in self.panels.values()]
        if len(views) == 1:
            return views[0]
        titles = [panel.title for panel in self.panels.values()]
        index = list(self.panels).index(self._active)
        self._tab_bar = ipywidgets.Tab(views, titles=titles, selected_index=index)
        self._tab_bar.observe(self._tab_changed, "selected_index")
        return self._tab_bar


def _key_of(title: Any, panels: Iterable[type[Panel]]) -> str:
    """The key of the panel with this title, in capitals or not."""
    keys = {panel.title.lower(): panel.key for panel in panels}
    name = str(title).lower()
    if name not in keys:
        raise ValueError(f"panel {title!r} is not here{nearest_words(name, keys)}")
    return keys[name]


def _with_panel(state: Mapping[str, Any] | str | Path, key: str) -> Any:
    """A state with another panel in view; what is no state at all is left to be refused."""
    content = read_state(state)
    return {**content, "panel": key} if isinstance(content, Mapping) else content
