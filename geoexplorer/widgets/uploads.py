"""One's own image file, made to fit the network."""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image
from torch import Tensor

from geoexplorer.images import load_images

__all__ = ["fitted_image"]


def fitted_image(name: str, data: bytes, shape: tuple[int, int, int]) -> tuple[Tensor, str]:
    """An image file as an image ``(C, H, W)`` in [0, 1], and a note of what was done to it.

    Parameters
    ----------
    name
        The file's name; its ending says what kind it is.
    data
        What is in the file.
    shape
        ``(C, H, W)`` of the network's images.

    Raises
    ------
    ValueError
        If it is no image, or the network's images are neither grey nor in colour.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(
            f"{name!r} cannot be used: this network takes images of {channels} channels, and a "
            "picture has 1 or 3; give such images to gx.explore(clf, images)"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"image{Path(name).suffix.lower()}"
        path.write_bytes(data)
        try:
            with Image.open(path) as picture:
                size = picture.size
            images = load_images(path, size=(height, width), channels=channels)
        except Exception as error:
            raise ValueError(f"{name!r} is not an image file that can be read") from error
    kind = "grey" if channels == 1 else "colour"
    return images.images[0], f"{name}: {size[0]}×{size[1]} made {width}×{height}, {kind}"
