"""What a study computes, checked before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.image_files import ImageFiles
from geoexplorer.image_source import ImageSource
from geoexplorer.images import ImageSet
from geoexplorer.results import versions_in_words
from geoexplorer.studies.layout import Layout
from geoexplorer.studies.quantities import Facts, Quantity
from geoexplorer.studies.quantities.shared_directions import SharedDirections

__all__ = ["Plan", "checked_images", "checked_networks"]


@dataclass(frozen=True, eq=False)
class Plan:
    """Which quantities, of which images, under which networks, and how."""

    networks: Mapping[str, Classifier]
    images: ImageSource
    quantities: tuple[Quantity, ...]
    seed: int
    shard_size: int
    threads: int

    def __post_init__(self) -> None:
        for quantity in self.quantities:
            quantity.check(tuple(self.networks.values()))
        shared, count = self.quantity(SharedDirections), len(self.images)
        if shared is not None and shared.images >= count:
            raise ValueError(
                f"shared_directions.images must be below the number of images, {count}: the first "
                f"ones make the directions, the others are measured; got {shared.images}"
            )

    @cached_property
    def layout(self) -> Layout:
        """How the results are stored."""
        double = any(clf.dtype == torch.float64 for clf in self.networks.values())
        return Layout(
            quantities=self.quantities,
            facts=Facts(self.images.shape, "float64" if double else "float32"),
            networks=tuple(self.networks),
            count=len(self.images),
            shard_size=self.shard_size,
        )

    def quantity(self, kind: type[Quantity]) -> Any:
        """The quantity of a kind, or None where it is not measured."""
        return next((q for q in self.quantities if isinstance(q, kind)), None)

    @cached_property
    def description(self) -> dict[str, Any]:
        """Everything that the numbers depend on, as JSON knows it."""
        return {
            "networks": {
                name: {
                    "fingerprint": clf.fingerprint,
                    "dtype": str(clf.dtype).removeprefix("torch."),
                    "preprocessing": {k: list(v) for k, v in clf.preprocessing.items()},
                    "class_names": list(clf.class_names),
                }
                for name, clf in self.networks.items()
            },
            "images": {
                "name": self.images.name,
                "count": len(self.images),
                "shape": list(self.images.shape),
                "fingerprint": self.images.fingerprint,
                "class_names": list(self.images.class_names),
            },
            "quantities": {quantity.name: quantity.options() for quantity in self.quantities},
            "seed": self.seed,
            "shard_size": self.shard_size,
            "threads": self.threads,
        }

    @cached_property
    def image_coordinates(self) -> dict[str, Any]:
        """What is known about each image."""
        count = len(self.images)
        labels = self.images.labels
        found: dict[str, Any] = {"image": np.arange(count)}
        if labels is not None:
            found["label"] = labels.numpy()
        if isinstance(self.images, ImageFiles):
            found["file"] = np.array([path.name for path in self.images.paths], dtype=object)
        return found

    @property
    def attributes(self) -> dict[str, Any]:
        """What stands in the store for those who open it."""
        return {
            "title": f"geoexplorer study of {self.images.name}",
            "seed": self.seed,
            "source": versions_in_words(),
            "orientation": "own = predicted class; own region a ball of radius R: curvature -1/R",
        }


def checked_networks(given: Any) -> dict[str, Classifier]:
    """Classifiers by name, all for images of one shape.

    Raises
    ------
    TypeError, ValueError
        If there is none, two have one name, or their images differ.
    """
    if isinstance(given, Classifier):
        given = [given]
    if isinstance(given, Mapping):
        pairs = [(str(name), clf) for name, clf in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        pairs = [(getattr(clf, "name", ""), clf) for clf in given]
    else:
        raise TypeError(
            "networks must be a Classifier, several, or a mapping from names to them, got "
            f"{type(given).__name__}"
        )
    if not pairs:
        raise ValueError("networks must hold at least one Classifier, got none")
    for _, clf in pairs:
        if not isinstance(clf, Classifier):
            raise TypeError(f"networks must hold Classifiers, got {type(clf).__name__}")
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(
            f"networks must have different names, got {twice!r} twice; give a mapping from names "
            "to classifiers"
        )
    shapes = {clf.input_shape for _, clf in pairs}
    if len(shapes) > 1:
        raise ValueError(
            f"networks must take images of one shape, got {', '.join(map(str, sorted(shapes)))}; "
            "make a study for each"
        )
    return dict(pairs)


def checked_images(given: Any, networks: Mapping[str, Classifier]) -> ImageSource:
    """The images of a study.

    Raises
    ------
    TypeError, ValueError
        If they are no images, or not of the shape or the units that the networks take.
    """
    images: ImageSource
    if isinstance(given, (ImageSet, ImageFiles)):
        images = given
    elif isinstance(given, (Tensor, np.ndarray)):
        images = ImageSet(torch.as_tensor(given))
    else:
        raise TypeError(
            "images must be an ImageSet, ImageFiles or an array (n, C, H, W), got "
            f"{type(given).__name__}"
        )
    for name, clf in networks.items():
        if images.shape != clf.input_shape:
            raise ValueError(
                f"images must have the shape {clf.input_shape} that {name!r} takes, got "
                f"{images.shape}"
            )
        first, _ = images.read(torch.arange(min(4, len(images))))
        if len(first):
            clf.prepare(first, argument="images")
    return images
