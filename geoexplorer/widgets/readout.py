"""The readout: the image at a place of the map, its difference from x, its class scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import anywidget
import torch
import traitlets
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.rasters import image_uri, signed_uri
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.widgets.assets import read_module
from geoexplorer.widgets.help import term

__all__ = ["Place", "Readout"]

# More classes than these would not fit beside the map; then the highest ones are listed.
_MOST_ROWS = 10


@dataclass(frozen=True, eq=False)
class Place:
    """A place in input space that the readout shows."""

    where: str  # "x", or where the pointer is
    image: Tensor  # (C, H, W)
    logits: Tensor  # (L,)
    pinned: bool = False


class Readout(anywidget.AnyWidget):
    """Shows a :class:`Place` beside what is known about x."""

    _esm = read_module("readout.js")

    reading = traitlets.Dict({}).tag(sync=True)
    facts = traitlets.Unicode("").tag(sync=True)  # HTML

    def show(self, place: Place, x: Tensor, clf: Classifier, *, theme: str) -> None:
        """Show a place: its image, the signed difference from ``x``, and its class scores."""
        change = place.image - x
        largest = float(change.abs().max())
        distance = float(change.double().norm())
        named = clf.class_names[int(place.logits.argmax())]
        self.reading = {
            "where": place.where,
            "pinned": place.pinned,
            "image": image_uri(place.image.numpy(), bounds=clf.bounds, least_side=1),
            "image_caption": f"called {named}",
            "difference": signed_uri(
                change.numpy(), largest, paper=theme_named(theme).paper, least_side=1
            ),
            "difference_caption": (
                f"{distance:.3g} from x, ±{largest:.2g} a pixel"
                if distance > 1e-6
                else "no difference: x itself"
            ),
            "scores": _rows(place.logits, clf.class_names),
        }

    def describe(
        self, boundary: BoundaryPoints | None, label: str | None, own: int, names: Sequence[str]
    ) -> None:
        """Say what is known about x: its classes and its nearest boundary."""
        # The scores above are those of the place under the pointer; this is not.
        predicted = f"<i>x</i>: {term('predicted', 'own')} {escape(names[own])}"
        if label is not None:
            predicted += f", labelled {escape(label)}"
            predicted += " <b>(misclassified)</b>" if label != names[own] else ""
        lines = [predicted]
        if boundary is not None and bool(boundary.converged[0]):
            other = escape(names[int(boundary.other[0])])
            distance, alignment = float(boundary.distances[0]), float(boundary.alignment[0])
            lines.append(f"{term('nearest boundary', 'boundary')} {other}")
            lines.append(f"{term('at distance', 'distance')} {distance:.3g}")
            lines.append(f"{term('alignment', 'alignment')} {alignment:.3f}")
        else:
            lines.append(f"{term('nearest boundary', 'boundary')} none was reached from here")
        lines.append(f"{term('scores', 'scores')} softmax of the logits")
        self.facts = "".join(f"<div>{line}</div>" for line in lines)


def _rows(logits: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    shares = torch.softmax(logits.double(), dim=0)
    if len(names) <= _MOST_ROWS:
        order = list(range(len(names)))
    else:
        order = shares.topk(_MOST_ROWS).indices.tolist()
    highest = int(shares.argmax())
    return [
        {
            "name": names[index],
            "share": float(shares[index]),
            "text": f"{float(shares[index]):.2f}",
            "colour": class_colour(index),
            "highest": index == highest,
        }
        for index in order
    ]
