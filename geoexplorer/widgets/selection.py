"""What there is to look at, and what of it is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import traitlets

from geoexplorer.classifier import Classifier
from geoexplorer.images import ImageSet
from geoexplorer.widgets.state import Choice, nearest_words

__all__ = [
    "ALL",
    "MISTAKES",
    "Selection",
    "available",
    "beginning",
    "bundled_set",
    "bundled_source",
]

ALL, MISTAKES = "all", "misclassified"
# The bundled image sets by the name they are shown under.
_BUNDLED = {"digits, test": ("digits", (1, 8, 8)), "shapes, test": ("shapes", (3, 32, 32))}

Shape = tuple[int, int, int]


class Selection(Choice):
    """What is looked at: a network, an image set that fits it, and an image of the set.

    ``networks`` and ``image_sets`` say what there is, and for images of which shape. Choosing a
    network chooses images that fit it, and the other way round.
    """

    network = traitlets.Unicode().tag(state=True)
    images = traitlets.Unicode().tag(state=True)
    image = traitlets.Int(None, allow_none=True, min=0).tag(state=True)  # None: an interesting one
    shown_class = traitlets.Unicode(ALL).tag(state=True)

    def __init__(
        self, networks: Mapping[str, Shape], image_sets: Mapping[str, Shape], **chosen: Any
    ) -> None:
        self.networks, self.image_sets = networks, image_sets
        super().__init__(**chosen)

    @traitlets.validate("network")
    def _known_network(self, proposal: Any) -> str:
        return _known("network", proposal["value"], self.networks)

    @traitlets.validate("images")
    def _known_images(self, proposal: Any) -> str:
        return _known("images", proposal["value"], self.image_sets)

    @traitlets.observe("network")
    def _fit_images(self, _change: Any) -> None:
        shape = self.networks[self.network]
        if self.image_sets.get(self.images) != shape:
            self.images = next(name for name, s in self.image_sets.items() if s == shape)

    @traitlets.observe("images")
    def _fit_network(self, _change: Any) -> None:
        self.image, self.shown_class = None, ALL
        shape = self.image_sets[self.images]
        if self.networks.get(self.network) != shape:
            self.network = next(name for name, s in self.networks.items() if s == shape)

    def check(self, state: Any) -> dict[str, Any]:
        """The values of a state; ``ValueError`` if one is not accepted or they do not fit."""
        values = self.checked(state, "state: selection")
        network = values.setdefault("network", self.network)
        images = values.setdefault("images", self.images)
        if self.networks[network] != self.image_sets[images]:
            raise ValueError(
                f"state: network {network!r} takes images of shape {self.networks[network]}, "
                f"but those of {images!r} have shape {self.image_sets[images]}"
            )
        return values

    def restore(self, state: Any) -> None:
        """Take over a state as a whole."""
        values = self.check(state)
        # In this order, since a new set of images forgets the chosen image and class.
        for name in ("network", "images", *sorted(set(values) - {"network", "images"})):
            setattr(self, name, values[name])


def bundled_set(source: str) -> str | None:
    """The name under which a bundled set is shown, from what ``load_images`` calls it."""
    return next((name for name, (known, _) in _BUNDLED.items() if known == source), None)


def bundled_source(name: str) -> str:
    """What ``load_images`` calls a bundled set."""
    return _BUNDLED[name][0]


def available(
    clf: Classifier | None, images: ImageSet | None
) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Networks and image sets that fit one of the others, each with the shape of its images."""
    from geoexplorer.zoo import bundled_networks

    networks: dict[str, Shape] = {}
    image_sets: dict[str, Shape] = {}
    if clf is not None:
        networks[clf.name] = clf.input_shape
    if images is not None:
        image_sets[images.name] = _shape_of(images)
    for name, card in bundled_networks().items():
        networks.setdefault(name, card.input_shape)
    for name, (_, shape) in _BUNDLED.items():
        image_sets.setdefault(name, shape)
    return (
        {name: shape for name, shape in networks.items() if shape in image_sets.values()},
        {name: shape for name, shape in image_sets.items() if shape in networks.values()},
    )


def beginning(
    selection: Selection,
    clf: Classifier | None,
    images: ImageSet | None,
    network: str | None,
    image_set: str | None,
) -> dict[str, str]:
    """The network and the images to begin with; what was asked for and does not fit is refused."""
    networks, image_sets = selection.networks, selection.image_sets
    shapes = ", ".join(f"{name!r} {shape}" for name, (_, shape) in _BUNDLED.items())
    if clf is not None and images is not None and _shape_of(images) != clf.input_shape:
        raise ValueError(
            f"images must have the shape that the classifier takes, {clf.input_shape}, "
            f"got {_shape_of(images)}"
        )
    if clf is not None and clf.bounds != (0.0, 1.0):
        raise ValueError(
            f"clf must have the bounds of the Explorer's images, [0, 1], got {clf.bounds}; give "
            "the classifier the mean and std that lead from [0, 1] to what the network takes"
        )
    if clf is not None and images is not None and _highest_label(images) >= clf.n_classes:
        raise ValueError(
            f"images must be labelled with the classifier's {clf.n_classes} classes, 0 to "
            f"{clf.n_classes - 1}, got labels up to {_highest_label(images)}"
        )
    if clf is not None and clf.name not in networks:
        raise ValueError(
            "images must be given for this classifier: it takes images of shape "
            f"{clf.input_shape}, and the bundled ones are {shapes}"
        )
    if images is not None and images.name not in image_sets:
        raise ValueError(
            "clf must be given for these images: no bundled network takes images of shape "
            f"{_shape_of(images)}; they take {shapes}"
        )
    network = clf.name if clf is not None else network
    image_set = images.name if images is not None else image_set
    if network is None:
        shape = None if image_set is None else image_sets.get(image_set)
        network = next(name for name, s in networks.items() if shape in (None, s))
    if image_set is None:
        shape = networks.get(network)
        image_set = next(name for name, s in image_sets.items() if shape in (None, s))
    return {"network": network, "images": image_set}


def _shape_of(images: ImageSet) -> Shape:
    channels, height, width = images.images.shape[1:]
    return channels, height, width


def _known(what: str, name: str, known: Mapping[str, Any]) -> str:
    if name not in known:
        raise traitlets.TraitError(f"{what} {name!r} is not here{nearest_words(name, known)}")
    return name


def _highest_label(images: ImageSet) -> int:
    return -1 if images.labels is None else int(images.labels.max())
