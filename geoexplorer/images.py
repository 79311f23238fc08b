"""Images, and where they come from.

An :class:`ImageSet` holds what every computation starts from: pixels in [0, 1], never
normalised (that is the classifier's part), with labels and class names where there are any.
:func:`load_images` fills one from scikit-learn's digits, the drawn shapes, CIFAR-10, folders,
files or arrays.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoexplorer.image_source import (
    checked_labels,
    checked_names,
    listed,
    positions,
    random_choice,
)
from geoexplorer.pictures import UnreadableImage, checked_size, files_in, fitted, read_picture

__all__ = ["ImageSet", "load_images"]

# Perturbed images leave [0, 1] a little; normalised ones and 8-bit values leave it by far.
_SLACK = 0.5


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images, with labels and class names where they are known.

    ``len(images)`` counts them; ``images[i]`` with an integer, a slice, a mask or indices is
    an ImageSet again, with an integer one of a single image.

    Parameters
    ----------
    images
        Array or tensor ``(n, C, H, W)``: floating point in [0, 1], or uint8 in 0..255, which
        is divided by 255. One image ``(C, H, W)`` is a set of one. Values a little outside
        [0, 1], as perturbed images have them, are accepted. Kept as float32 on the CPU; a
        tensor that is so already is not copied.
    labels
        Integers ``(n,)``, -1 where the label of an image is not known; None without labels.
    class_names
        One name a class in the order of the labels; the numbers as words if left out.
    name
        Shown in figures and in the Explorer.

    Raises
    ------
    TypeError
        If images or labels are not of an accepted type.
    ValueError
        If there are no images, they are channels-last, in other units, normalised, or not
        finite, or if labels or class names do not fit.

    Examples
    --------
    >>> images = ImageSet(np.zeros((5, 1, 8, 8)), [0, 1, 2, 1, 0], class_names=["a", "b", "c"])
    >>> images
    ImageSet('images': 5 images of 1x8x8, 3 classes)
    >>> len(images.of_class("b"))
    2
    """

    images: Tensor  # (n, C, H, W) float32
    labels: Tensor | None = None  # (n,) int64
    class_names: tuple[str, ...] = ()  # (L,)
    name: str = "images"

    def __post_init__(self) -> None:
        images = _checked_images(self.images, "images")
        labels = None if self.labels is None else checked_labels(self.labels, len(images))
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a str, got {type(self.name).__name__}")
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "class_names", checked_names(self.class_names, labels))

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        known = "no labels" if self.labels is None else f"{len(self.class_names)} classes"
        return f"ImageSet({self.name!r}: {len(self)} images of {shape}, {known})"

    def __getitem__(self, index: Any) -> ImageSet:
        chosen = positions(index, len(self))
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, images=self.images[chosen], labels=labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any pixel or label."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        for part in self.images:  # one at a time: the bytes of all would take their memory again
            digest.update(part.contiguous().numpy())
        digest.update(b"" if self.labels is None else self.labels.numpy().tobytes())
        return digest.hexdigest()[:16]

    def read(self, indices: Any) -> tuple[Tensor, dict[int, str]]:
        """The chosen images ``(m, C, H, W)``, and no reasons: those in memory can all be read.

        With :class:`~geoexplorer.image_files.ImageFiles` some may not be.

        Examples
        --------
        >>> pixels, reasons = ImageSet(torch.zeros(5, 1, 8, 8)).read([0, 3])
        >>> pixels.shape, reasons
        (torch.Size([2, 1, 8, 8]), {})
        """
        return self.images[positions(indices, len(self))], {}

    def of_class(self, which: str | int) -> ImageSet:
        """All images with one label, given by its class name or its number.

        Raises
        ------
        ValueError
            If the class is unknown, has no image, or the set has no labels.
        """
        if self.labels is None:
            raise ValueError(f"which is {which!r}, but {self!r} has no labels to choose by")
        label = self._label(which, "which")
        chosen = self.labels == label
        if not chosen.any():
            raise ValueError(f"which is {which!r}, but {self!r} has no image of that class")
        return self[chosen]

    def with_image(self, image: Any, *, label: str | int | None = None) -> ImageSet:
        """Return the set with one image ``(C, H, W)``, or several ``(n, C, H, W)``, at its end.

        Parameters
        ----------
        image
            As for :class:`ImageSet`, of the same size as the others.
        label
            Its class name or number; None if it is not known.

        Raises
        ------
        ValueError
            If the size differs from the others', or the label is unknown.
        """
        added = _checked_images(image, "image")
        if added.shape[1:] != self.images.shape[1:]:
            raise ValueError(
                f"image must have the shape {tuple(self.images.shape[1:])} of the others, got "
                f"{tuple(added.shape[1:])}; load_images(..., size=, channels=) makes it fit"
            )
        labels = self.labels
        if labels is None and label is not None:
            labels = torch.full((len(self),), -1)
        if labels is not None:
            number = -1 if label is None else self._label(label, "label")
            labels = torch.cat([labels, torch.full((len(added),), number)])
        return replace(self, images=torch.cat([self.images, added]), labels=labels)

    def _label(self, which: str | int, argument: str) -> int:
        names = self.class_names
        if isinstance(which, str) and which in names:
            return names.index(which)
        if isinstance(which, (int, np.integer)) and 0 <= which < len(names):
            return int(which)
        raise ValueError(
            f"{argument} must be one of {listed(names)}, or a number from 0 to "
            f"{len(names) - 1}, got {which!r}"
        )


def load_images(
    source: Any,
    *,
    split: str | None = None,
    seed: int = 0,
    n: int | None = None,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    class_names: Sequence[str] | None = None,
    root: str | os.PathLike[str] = "data",
    download: bool = False,
) -> ImageSet:
    """Load images from wherever they are.

    Parameters
    ----------
    source
        ``"digits"``: scikit-learn's handwritten digits, 1x8x8, 1,297 to train and 500 to test.
        ``"shapes"``: ten classes drawn by a program, 3x32x32, 16,000 to train and 2,000 to test.
        ``"cifar10"``: torchvision's copy under `root`.
        A folder with one subfolder a class, as ImageNet has it, or with image files.
        An image file, or a list of them.
        An array or tensor as for :class:`ImageSet`, or a pair of it and its labels.
    split
        ``"train"`` or ``"test"`` of a named set, None for test; of a folder, a subfolder.
    seed
        Another seed draws other shapes; with `n`, it also chooses the images.
    n
        Take so many images, chosen at random, in their own order; None takes all.
    size
        ``(height, width)`` in pixels, or one number for both: the shorter side is scaled and
        the middle cut out. None leaves images as they are.
    channels
        1 for grey, 3 for colour. None leaves images as they are; files are then read in colour.
    class_names
        Names in the order of the labels. A folder's subfolders are then matched by name, so
        that labels follow the order of a given network's classes.
    root, download
        Where CIFAR-10 lies, and whether to fetch it if it does not.

    Returns
    -------
    ImageSet

    Raises
    ------
    TypeError, ValueError
        If the source is unknown or its images cannot form one set; the message says what is
        accepted.

    Examples
    --------
    >>> load_images("digits")
    ImageSet('digits, test': 500 images of 1x8x8, 10 classes)
    >>> load_images("shapes", n=20, size=16, channels=1)
    ImageSet('shapes, test': 20 images of 1x16x16, 10 classes)
    """
    size = checked_size(size)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1, 3 or None, got {channels!r}")
    if isinstance(source, str) and source in _NAMED:
        if split not in (None, "train", "test"):
            raise ValueError(f"split must be 'train' or 'test', got {split!r}")
        split = split or "test"
        pixels, labels, names = _NAMED[source](split, seed, Path(root), download)
        chosen = random_choice(len(pixels), n, seed).numpy()
        images = ImageSet(pixels[chosen], labels[chosen], tuple(names), f"{source}, {split}")
    elif isinstance(source, (str, os.PathLike)) or _is_list_of_paths(source):
        images = _from_files(source, split, n, seed, size, channels, class_names)
    else:
        images = ImageSet(*source) if isinstance(source, tuple) else ImageSet(source)
        images = images[random_choice(len(images), n, seed)]
    return replace(
        images,
        images=fitted(images.images, size, channels),
        class_names=images.class_names if class_names is None else tuple(class_names),
    )


# Named sets: pixels (n, C, H, W), labels (n,) and class names of a split.


def _digits(split: str, seed: int, root: Path, download: bool) -> tuple[Any, Any, Sequence[str]]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    # One split for good: with another one, images would be tested that networks were trained on.
    parts = train_test_split(
        np.arange(len(digits.target)), test_size=500, random_state=0, stratify=digits.target
    )
    chosen = parts[("train", "test").index(split)]
    return digits.images[chosen, None] / 16, digits.target[chosen], [str(i) for i in range(10)]


def _shapes(split: str, seed: int, root: Path, download: bool) -> tuple[Any, Any, Sequence[str]]:
    from geoexplorer.shapes import CLASS_NAMES, draw_shapes

    return *draw_shapes(split, seed), CLASS_NAMES


def _cifar10(split: str, seed: int, root: Path, download: bool) -> tuple[Any, Any, Sequence[str]]:
    from torchvision.datasets import CIFAR10

    try:
        data = CIFAR10(root, train=split == "train", download=download)
    except RuntimeError as error:
        raise ValueError(
            f"source is 'cifar10', but it could not be loaded from root={str(root)!r} ({error}); "
            "download=True fetches it (170 MB)"
        ) from error
    return data.data.transpose(0, 3, 1, 2), np.array(data.targets), data.classes


_NAMED: dict[str, Callable[[str, int, Path, bool], tuple[Any, Any, Sequence[str]]]] = {
    "digits": _digits,
    "shapes": _shapes,
    "cifar10": _cifar10,
}


# Files and folders.


def _from_files(
    source: Any,
    split: str | None,
    n: int | None,
    seed: int,
    size: tuple[int, int] | None,
    channels: int | None,
    class_names: Sequence[str] | None,
) -> ImageSet:
    labels: list[int] | None = None
    names: Sequence[str] = ()
    name = "files"
    if isinstance(source, (str, os.PathLike)):
        path = Path(source) / (split or "")
        if not path.exists():
            raise ValueError(_unknown(source, path))
        name = path.name
        if path.is_file():
            paths = [path]
        else:
            paths, labels, names = files_in(path, class_names, argument="source")
    else:
        paths = [Path(p) for p in source]
    chosen = random_choice(len(paths), n, seed).tolist()
    pictures = [_read(paths[i], size, channels) for i in chosen]
    odd = next((k for k, p in enumerate(pictures) if p.shape != pictures[0].shape), None)
    if odd is not None:
        first, other = (f"{paths[chosen[k]].name} {_by(pictures[k])}" for k in (0, odd))
        raise ValueError(
            f"source must hold images of one size unless size is given, got {first} and {other} "
            "(height x width)"
        )
    return ImageSet(
        torch.stack(pictures),
        None if labels is None else torch.tensor([labels[i] for i in chosen]),
        tuple(names),
        name,
    )


def _read(path: Path, size: tuple[int, int] | None, channels: int | None) -> Tensor:
    try:
        return read_picture(path, size, channels or 3)
    except UnreadableImage as error:
        raise ValueError(f"source: {path} could not be read as an image ({error})") from None


def _is_list_of_paths(source: Any) -> bool:
    return (
        isinstance(source, (list, tuple))
        and len(source) > 0
        and all(isinstance(entry, (str, os.PathLike)) for entry in source)
    )


def _unknown(source: Any, path: Path) -> str:
    close = difflib.get_close_matches(str(source), _NAMED, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return (
        f"source must be {listed(tuple(_NAMED))}, a folder, an image file, a list of files or an "
        f"array, got {str(source)!r}{hint}; there is no file or folder {path}"
    )


# Checks.


def _checked_images(given: Any, argument: str) -> Tensor:
    if not isinstance(given, (Tensor, np.ndarray)):
        raise TypeError(
            f"{argument} must be a tensor or numpy array (n, C, H, W), got {type(given).__name__}"
        )
    if isinstance(given, np.ndarray) and given.dtype.kind not in "fu":
        raise TypeError(
            f"{argument} must be floating point or uint8, got an array of {given.dtype}"
        )
    images = torch.as_tensor(np.array(given) if isinstance(given, np.ndarray) else given.detach())
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"{argument} must be floating point or uint8, got {images.dtype}")
    shape = tuple(images.shape)
    if images.ndim == 3 and shape[0] in (1, 3, 4):
        images = images[None]
    elif images.ndim == 4 and shape[3] in (1, 3, 4) and shape[1] > 4:
        raise ValueError(
            f"{argument} must have the shape (n, C, H, W), got {shape}, which looks like channels "
            "last; x.transpose(0, 3, 1, 2) (numpy) or x.permute(0, 3, 1, 2) (torch) turns it"
        )
    elif images.ndim != 4:
        hint = "; grey images need a channel axis: x[:, None]" if images.ndim == 3 else ""
        raise ValueError(f"{argument} must have the shape (n, C, H, W), got {shape}{hint}")
    if 0 in images.shape:
        raise ValueError(f"{argument} must not be empty, got the shape {shape}")
    if images.dtype == torch.uint8:
        return images.cpu().to(torch.float32) / 255
    images = images.to("cpu", torch.float32)
    if not bool(torch.isfinite(images).all()):
        raise ValueError(f"{argument} must be finite, got NaN or infinity")
    low, high = float(images.min()), float(images.max())
    if low < -_SLACK or high > 1 + _SLACK:
        hint = (
            "these look normalised: give the pixels here, and mean and std to Classifier"
            if low < -_SLACK
            else "divide 8-bit pixels by 255, or give them as uint8"
        )
        raise ValueError(
            f"{argument} must be pixels in [0, 1], got values from {low:.4g} to {high:.4g}; {hint}"
        )
    return images


def _by(picture: Tensor) -> str:
    return "x".join(map(str, picture.shape[1:]))
