"""What a state holds beside choices: directions and images of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from geoexplorer.widgets.state import require_keys, tensor_from_json, tensor_to_json

__all__ = ["added_from_json", "added_to_json", "directions_from_json", "directions_to_json"]

Added = Mapping[str, list[tuple[str, Tensor]]]  # by image set: notes and images (C, H, W)


def directions_to_json(directions: Mapping[str, Tensor]) -> dict[str, Any]:
    """Named vectors as JSON values."""
    return {name: tensor_to_json(vector) for name, vector in directions.items()}


def added_to_json(added: Added) -> dict[str, Any]:
    """Added images as JSON values."""
    return {
        name: [{"name": note, **tensor_to_json(image)} for note, image in images]
        for name, images in added.items()
    }


def directions_from_json(value: Any) -> dict[str, Tensor]:
    """What :func:`directions_to_json` gave; ``ValueError`` for anything else."""
    if not isinstance(value, Mapping):
        raise ValueError("state: directions must be a mapping of names to directions")
    return {
        str(name): tensor_from_json(vector, f"state: the direction {name!r}")
        for name, vector in value.items()
    }


def added_from_json(
    value: Any, image_sets: Mapping[str, tuple[int, int, int]]
) -> dict[str, list[tuple[str, Tensor]]]:
    """What :func:`added_to_json` gave, for these image sets; ``ValueError`` for anything else."""
    require_keys(value, image_sets, "state: added")
    added: dict[str, list[tuple[str, Tensor]]] = {}
    for name, images in value.items():
        where = f"state: an image added to {name!r}"
        if not isinstance(images, list):
            raise ValueError(f"{where} must stand in a list")
        added[name] = []
        for image in images:
            require_keys(image, ("name", "shape", "float32"), where)
            stored = {key: image[key] for key in image if key != "name"}
            tensor = tensor_from_json(stored, where)
            if tuple(tensor.shape) != image_sets[name]:
                raise ValueError(
                    f"{where} must have shape {image_sets[name]}, got {tuple(tensor.shape)}"
                )
            added[name].append((str(image.get("name", "")), tensor))
    return added
