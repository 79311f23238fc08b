"""The top of the Explorer: network, images, class, gallery, an image of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
import torch
from torch import Tensor

from geoexplorer.widgets.errors import Errors, guarded
from geoexplorer.widgets.file_button import FileButton
from geoexplorer.widgets.gallery import Gallery
from geoexplorer.widgets.quiet import Quiet
from geoexplorer.widgets.selection import ALL, MISTAKES, Selection
from geoexplorer.widgets.session import Subject

__all__ = ["Header"]


class Header(ipywidgets.VBox):
    """Shows a :class:`Selection` and changes it.

    Parameters
    ----------
    selection
        What is shown and changed.
    chosen
        Called with the index of an image that was clicked.
    turned
        Called when another page of the gallery is shown.
    uploaded
        Called with the name and the bytes of an image file.
    changing
        Called before a person's choice of a network or an image set changes the selection.
    errors
        Shows what goes wrong.
    """

    def __init__(
        self,
        selection: Selection,
        *,
        chosen: Callable[[int], None],
        turned: Callable[[], None],
        uploaded: Callable[[str, bytes], None],
        changing: Callable[[], None],
        errors: Errors,
    ) -> None:
        self.errors = errors
        self._selection = selection
        self._changing = changing
        self._showing = Quiet()
        self.gallery = Gallery(chosen=chosen, turned=turned)
        self.network = ipywidgets.Dropdown(options=list(selection.networks), description="Network")
        self.images = ipywidgets.Dropdown(options=list(selection.image_sets), description="Images")
        self.shown_class = ipywidgets.Dropdown(options=[ALL], description="Class")
        self.device = ipywidgets.Label()
        self.note = ipywidgets.Label()
        self.upload = FileButton(
            "+ image", tooltip="Add an image of your own", accept="image/*", taken=uploaded
        )
        self.device.add_class("gx-device")
        self.note.add_class("gx-note")
        top = ipywidgets.HBox([self.network, self.images, self.device, self.note])
        row = ipywidgets.HBox([self.shown_class, self.gallery, self.upload])
        top.add_class("gx-top")
        row.add_class("gx-row")
        super().__init__([top, row])
        self.show_selection()
        for name in ("network", "images", "shown_class"):
            getattr(self, name).observe(self._choose, "value")

    def show_selection(self) -> None:
        """Show what is selected."""
        with self._showing:
            self.network.value = self._selection.network
            self.images.value = self._selection.images
            if self._selection.shown_class in self.shown_class.options:
                self.shown_class.value = self._selection.shown_class

    def show_subject(self, subject: Subject, added: Sequence[tuple[str, Tensor]]) -> None:
        """Show what belongs to the loaded network and images."""
        names = [] if subject.images.labels is None else list(subject.images.class_names)
        options = (ALL, *((MISTAKES,) if names else ()), *names)
        with self._showing:
            if self.shown_class.options != options:
                self.shown_class.options = options
        self.show_selection()
        where = ", ".join(map(str, subject.clf.devices))
        if subject.clf.device.type == "cpu":
            count = torch.get_num_threads()
            where += f" · {count} thread{'s' if count > 1 else ''}"
        self.device.value = where
        self.note.value = added[-1][0] if added else ""

    @guarded
    def _choose(self, change: Any) -> None:
        if not self._showing:
            if change["owner"] is not self.shown_class:
                self._changing()
            names = {self.network: "network", self.images: "images"}
            setattr(self._selection, names.get(change["owner"], "shown_class"), change["new"])
