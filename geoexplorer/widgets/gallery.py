"""The gallery: a row of thumbnails, sent as one picture a page."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from typing import Any

import anywidget
import numpy as np
import torch
import traitlets
from PIL import Image

from geoexplorer.figures.colours import class_colour
from geoexplorer.images import ImageSet
from geoexplorer.widgets.assets import read_module

__all__ = ["Gallery"]

# Longest side of a thumbnail in pixels; smaller images are sent as they are.
_LONGEST_SIDE = 64


class Gallery(anywidget.AnyWidget):
    """Thumbnails of some images of a set, a page at a time.

    A click calls ``chosen`` with the image's index in the whole set, and so does an arrow key,
    unless an image is to be picked for something else; ``turned`` is called when another page is
    shown. The one that is selected has an outline in its class's colour, and
    those whose predicted class is not their label carry a mark.
    """

    _esm = read_module("gallery.js")

    sheet = traitlets.Bytes(b"").tag(sync=True)  # PNG, the thumbnails side by side
    items: Any = traitlets.List().tag(sync=True)  # a mapping a thumbnail, see _item
    start = traitlets.Int(0).tag(sync=True)
    total = traitlets.Int(-1).tag(sync=True)  # -1 before there is something to show
    selected = traitlets.Int(-1).tag(sync=True)
    picking = traitlets.Bool(False).tag(sync=True)  # arrow keys look around, Enter picks
    capacity = traitlets.Int(12, min=1, max=200).tag(sync=True)  # thumbnails with room for them

    def __init__(self, *, chosen: Callable[[int], None], turned: Callable[[], None]) -> None:
        super().__init__()
        self._chosen = chosen
        self._turned = turned
        self._images: ImageSet | None = None
        self._indices = np.zeros(0, dtype=np.int64)
        self._names: Sequence[str] = ()
        self._predicted = torch.zeros(0, dtype=torch.int64)
        self._lock = threading.RLock()  # a page is drawn as a whole, whoever asks for it
        self.on_msg(self._receive)
        self.observe(self._refit, "capacity")

    def show(
        self,
        images: ImageSet,
        indices: Sequence[int],
        predicted: torch.Tensor,
        class_names: Sequence[str],
        selected: int,
    ) -> None:
        """Show some images of a set, at the page with the selected one.

        Parameters
        ----------
        images
            The whole set.
        indices
            Which of its images to show.
        predicted
            ``(n,)`` for the whole set, -1 where it is not known yet.
        class_names
            Names of the predicted classes.
        selected
            Index of the selected image in the whole set.
        """
        with self._lock:
            self._images = images
            self._indices = np.asarray(indices, dtype=np.int64)
            self._names = class_names
            self._predicted = predicted
            self._draw(self._page_of(selected), selected)

    def select(self, index: int) -> None:
        """Select an image; its page is turned up if it is on another one."""
        with self._lock:
            if index in self.page():
                self.selected = index
            else:
                self._draw(self._page_of(index), index)

    def mark(self, predicted: torch.Tensor) -> None:
        """Say which classes are predicted, as far as they are known by now."""
        with self._lock:
            self._predicted = predicted
            self.items = self._described()

    def page(self) -> list[int]:
        """Indices of the images that are shown now."""
        return [int(i) for i in self._indices[self.start : self.start + self.capacity]]

    def turn(self, step: int) -> None:
        """Turn so many pages forward, or back if negative."""
        with self._lock:
            last = max(0, (len(self._indices) - 1) // self.capacity * self.capacity)
            start = min(max(0, self.start + step * self.capacity), last)
            turned = start != self.start
            if turned:
                self._draw(start, self.selected)
        if turned:
            self._turned()

    def _page_of(self, index: int) -> int:
        (places,) = np.nonzero(self._indices == index)
        return int(places[0]) // self.capacity * self.capacity if len(places) else 0

    def _draw(self, start: int, selected: int) -> None:
        with self.hold_sync():
            self.start = start
            self.total = len(self._indices)
            self.selected = selected
            self.sheet = b"" if self._images is None else _sheet(self._images.images[self.page()])
            self.items = self._described()

    def _described(self) -> list[dict[str, Any]]:
        return [] if self._images is None else [self._item(index) for index in self.page()]

    def _item(self, index: int) -> dict[str, Any]:
        images, predicted = self._images, int(self._predicted[index])
        label = -1 if images is None or images.labels is None else int(images.labels[index])
        words = [f"image {index}"]
        if images is not None and 0 <= label < len(images.class_names):
            words.append(f"labelled {images.class_names[label]}")
        if predicted >= 0:
            words.append(f"predicted {self._names[predicted]}")
        colour = class_colour(predicted if predicted >= 0 else max(label, 0))
        return {
            "index": index,
            "title": ", ".join(words),
            "colour": colour,
            "wrong": predicted >= 0 and label >= 0 and predicted != label,
        }

    def _refit(self, _change: Any) -> None:
        if self._images is not None:
            with self._lock:
                self._draw(self._page_of(self.selected), self.selected)
            self._turned()

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") == "choose":
            self._chosen(int(content["index"]))
        elif content.get("kind") == "turn":
            self.turn(int(content["step"]))


def _sheet(images: torch.Tensor) -> bytes:
    """One PNG of all images side by side."""
    if not len(images):
        return b""
    step = -(-max(images.shape[2:]) // _LONGEST_SIDE)
    small = torch.nn.functional.avg_pool2d(images, step) if step > 1 else images
    pixels = (small.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)
    if pixels.shape[1] != 3:
        pixels = pixels.float().mean(dim=1, keepdim=True).to(torch.uint8)
    strip = np.concatenate([image.permute(1, 2, 0).numpy() for image in pixels], axis=1)
    file = io.BytesIO()
    Image.fromarray(strip.squeeze()).save(file, "png")
    return file.getvalue()
