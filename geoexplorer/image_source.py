"""What images need to be for a study: a source that is asked for some of them at a time.

:class:`ImageSource` is the interface; :class:`~geoexplorer.images.ImageSet` holds its images in
memory and :class:`~geoexplorer.image_files.ImageFiles` reads them when they are asked for. What
both check about labels, class names and indices stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["ImageSource", "checked_labels", "checked_names", "listed", "positions", "random_choice"]


class ImageSource(Protocol):
    """Images that are read some at a time, with labels and class names where they are known.

    ``source[index]`` with an integer, a slice, a mask or indices is a source again.
    """

    @property
    def name(self) -> str:
        """Shown in figures and tables."""

    @property
    def labels(self) -> Tensor | None:
        """``(n,)`` int64, -1 where a label is not known; None without labels."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """``(L,)``, in the order of the labels."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that other images or labels change."""

    def __len__(self) -> int:
        """How many images there are, readable or not."""

    def __getitem__(self, index: Any) -> ImageSource:
        """Return the images that an index of any kind chooses."""

    def read(self, indices: Any) -> tuple[Tensor, dict[int, str]]:
        """Those of the chosen images that can be read, and why the others cannot.

        Returns
        -------
        tuple
            ``(m, C, H, W)`` float32 in the order of the indices, and for each unreadable index
            one sentence.
        """


def random_choice(available: int, n: int | None, seed: int) -> Tensor:
    """Positions of n images chosen at random, in their own order; of all when None."""
    if n is None:
        return torch.arange(available)
    if not isinstance(n, (int, np.integer)) or not 1 <= n <= available:
        raise ValueError(f"n must be an int from 1 to {available}, the images there are, got {n!r}")
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(available, generator=generator)[: int(n)].sort().values


def checked_labels(given: Any, n: int) -> Tensor:
    """Labels of n images, ``(n,)`` int64 on the CPU."""
    if not isinstance(given, Tensor):
        given = np.array(given)
        if given.dtype.kind not in "iufb":
            raise TypeError(
                f"labels must be integers, got {given.dtype}; names go into class_names"
            )
    labels = torch.as_tensor(given)
    if labels.ndim == 2 and labels.shape[0] == n and labels.shape[1] > 1:
        raise ValueError(
            f"labels must be one integer an image, got the shape {tuple(labels.shape)}; "
            "labels.argmax(1) turns one-hot rows into it"
        )
    if tuple(labels.shape) != (n,):
        raise ValueError(
            f"labels must have the shape ({n},), one an image, got {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    labels = labels.to("cpu", torch.int64)
    if int(labels.min()) < -1:
        raise ValueError(f"labels must be 0 or more, or -1 for unknown, got {int(labels.min())}")
    return labels


def checked_names(given: Any, labels: Tensor | None) -> tuple[str, ...]:
    """One name a class that the labels name; the numbers as words when none are given."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"class_names must be a list of str, got {type(given).__name__}")
    needed = 0 if labels is None else int(labels.max()) + 1
    names = tuple(given) or tuple(str(label) for label in range(needed))
    strange = next((name for name in names if not isinstance(name, str)), None)
    if strange is not None:
        raise TypeError(f"class_names must be a list of str, got one of {type(strange).__name__}")
    if len(names) < needed:
        raise ValueError(
            f"class_names must name all classes; labels go up to {needed - 1}, got {len(names)} "
            "names"
        )
    return names


def positions(index: Any, n: int) -> Tensor:
    """Index tensor of the images that an index of any kind chooses; never empty."""
    if isinstance(index, (int, np.integer)):
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of range for {n} images")
        return torch.tensor([int(index) % n])
    if not isinstance(index, slice):
        index = torch.as_tensor(index)
    positions = torch.arange(n)[index].reshape(-1)
    if len(positions) == 0:
        raise ValueError("index chooses no image; at least one is needed")
    return positions


def listed(names: Sequence[str]) -> str:
    """The first names, for a message."""
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
