"""Image files: which there are in a folder, and their pixels, fitted to a size.

The one place where a file becomes an image, so that images read all at once and images read
when they are needed are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoexplorer.image_source import listed

__all__ = ["UnreadableImage", "checked_size", "files_in", "fitted", "read_picture"]

_FILE_TYPES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class UnreadableImage(ValueError):
    """Why a file gives no image, in words that do not name it."""


def files_in(
    folder: Path, class_names: Sequence[str] | None, *, argument: str
) -> tuple[list[Path], list[int] | None, Sequence[str]]:
    """Image files of a folder, with labels and class names where each class has a subfolder.

    Raises
    ------
    ValueError
        If there are none, or a subfolder is none of the `class_names`.
    """
    if any(entry.is_dir() for entry in folder.iterdir()):
        return _class_folders(folder, class_names, argument)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _FILE_TYPES)
    if not paths:
        raise ValueError(f"{argument}: {folder} has neither image files nor subfolders")
    return paths, None, ()


def read_picture(path: Path, size: tuple[int, int] | None, channels: int) -> Tensor:
    """One image file ``(C, H, W)``: as uint8, or float32 in [0, 1] where it is fitted to a size.

    It is fitted at once, so that no large images are held.

    Raises
    ------
    UnreadableImage
        If the file is missing, damaged or no image, or may not be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            if file.mode.startswith("I"):  # 16 bits, which convert() would clip to 8
                file = Image.fromarray((np.asarray(file) // 257).astype(np.uint8))
            pixels = np.array(file.convert("L" if channels == 1 else "RGB"))
    except MemoryError:
        raise
    except Exception as error:  # of damaged files Pillow's decoders raise nearly everything
        raise UnreadableImage(_why(error)) from error
    picture = torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)
    if size is None:
        return picture
    return fitted(picture[None].float() / 255, size, channels)[0]


def fitted(images: Tensor, size: tuple[int, int] | None, channels: int | None) -> Tensor:
    """Images ``(n, C, H, W)`` with the shorter side scaled to a size and the middle cut out."""
    if channels == 1 and images.shape[1] == 3:
        # The weights of ITU-R 601 that image programs use, and that Pillow uses for files.
        images = torch.einsum("nchw,c->nhw", images, torch.tensor([0.299, 0.587, 0.114]))[:, None]
    elif channels == 3 and images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1).contiguous()
    elif channels is not None and images.shape[1] != channels:
        raise ValueError(f"channels={channels} cannot be made from {images.shape[1]} channels")
    if size is None or tuple(images.shape[2:]) == size:
        return images
    scale = max(size[0] / images.shape[2], size[1] / images.shape[3])
    scaled = [max(round(scale * old), new) for old, new in zip(images.shape[2:], size, strict=True)]
    images = torch.nn.functional.interpolate(
        images, size=scaled, mode="bilinear", antialias=True, align_corners=False
    )
    top, left = ((old - new) // 2 for old, new in zip(scaled, size, strict=True))
    return images[:, :, top : top + size[0], left : left + size[1]].contiguous()


def checked_size(size: Any) -> tuple[int, int] | None:
    """``(height, width)``, from one number for both or a pair."""
    if size is None:
        return None
    pair = (size, size) if isinstance(size, (int, np.integer)) else size
    if (
        not isinstance(pair, (tuple, list, torch.Size))
        or len(pair) != 2
        or any(not isinstance(side, (int, np.integer)) or side < 1 for side in pair)
    ):
        raise ValueError(f"size must be a positive int or (height, width), got {size!r}")
    return int(pair[0]), int(pair[1])


def _class_folders(
    path: Path, class_names: Sequence[str] | None, argument: str
) -> tuple[list[Path], list[int], Sequence[str]]:
    from torchvision.datasets import ImageFolder

    try:
        data = ImageFolder(path)
    except FileNotFoundError as error:
        raise ValueError(f"{argument}: a subfolder of {path} has no image file ({error})") from None
    names = list(data.classes) if class_names is None else list(class_names)
    strange = [folder for folder in data.classes if folder not in names]
    if strange:
        raise ValueError(
            f"class_names must contain the names of all subfolders of {path}; missing are "
            f"{listed(strange)}"
        )
    number = [names.index(folder) for folder in data.classes]
    return [Path(p) for p, _ in data.samples], [number[c] for _, c in data.samples], names


def _why(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "it is not an image of a known kind"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path
    return str(error) or type(error).__name__
