"""Image files that are read when they are needed, for more images than fit into memory.

A study over the 50,000 validation images of ImageNet needs 30 GB for their pixels, but only a few
of them at a time. :class:`ImageFiles` knows where they lie and what they show, and reads those
it is asked for. A damaged file among many stops nothing: reading says which it is, and why.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoexplorer.image_source import checked_labels, checked_names, positions, random_choice
from geoexplorer.jobs import check_cancelled
from geoexplorer.pictures import UnreadableImage, checked_size, files_in, read_picture

__all__ = ["ImageFiles"]


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """Image files, decoded and fitted to one size as :func:`load_images` does, but only when read.

    ``len(files)`` counts them; ``files[i]`` with an integer, a slice, a mask or indices is an
    ImageFiles again. Nothing is opened before :meth:`read`. Equal are two that name the same
    files, labels and options; one that is sent to another process is equal to the one it is
    sent from.

    Parameters
    ----------
    paths
        The files; a relative path is taken from the folder where Python runs now.
    labels
        Integers ``(n,)``, -1 where the label of an image is not known; None without labels.
    class_names
        One name a class in the order of the labels; the numbers as words if left out.
    size
        ``(height, width)`` in pixels, or one number for both: the shorter side is scaled and
        the middle cut out.
    channels
        1 for grey, 3 for colour.
    name
        Shown in figures and tables.

    Raises
    ------
    TypeError
        If paths, labels or class names are not of an accepted type.
    ValueError
        If there are no paths, or an option is not among those accepted.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (40, 30), "red").save(Path(folder) / "a.png")
    ...     _ = (Path(folder) / "b.png").write_text("this is not an image")
    ...     files = ImageFiles.in_folder(folder, size=16)
    ...     images, reasons = files.read([0, 1])
    >>> images.shape
    torch.Size([1, 3, 16, 16])
    >>> reasons
    {1: 'b.png could not be read: it is not an image of a known kind'}
    """

    paths: tuple[Path, ...]  # (n,), absolute
    labels: Tensor | None = None  # (n,) int64
    class_names: tuple[str, ...] = ()  # (L,)
    size: tuple[int, int] = (224, 224)  # height, width
    channels: int = 3
    name: str = "files"

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        labels: Any = None,
        class_names: Sequence[str] = (),
        size: int | tuple[int, int] = 224,
        channels: int = 3,
        name: str = "files",
    ) -> None:
        files = _checked_paths(paths)
        numbers = None if labels is None else checked_labels(labels, len(files))
        pair = checked_size(size)
        if pair is None:
            raise ValueError("size must be a positive int or (height, width), got None")
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels!r}")
        if not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        object.__setattr__(self, "paths", files)
        object.__setattr__(self, "labels", numbers)
        object.__setattr__(self, "class_names", checked_names(class_names, numbers))
        object.__setattr__(self, "size", pair)
        object.__setattr__(self, "channels", int(channels))
        object.__setattr__(self, "name", name)

    @classmethod
    def in_folder(
        cls,
        folder: str | os.PathLike[str],
        *,
        size: int | tuple[int, int] = 224,
        channels: int = 3,
        split: str | None = None,
        n: int | None = None,
        seed: int = 0,
        class_names: Sequence[str] | None = None,
    ) -> ImageFiles:
        """Those of a folder, in the order, with the labels and by the choice of `load_images`.

        Parameters
        ----------
        folder
            It has one subfolder a class, as ImageNet has it, or image files.
        size, channels
            As for :class:`ImageFiles`.
        split
            Take this subfolder instead, for example ``"val"``.
        n, seed
            Take so many images, chosen at random, in their own order; None takes all.
        class_names
            Names in the order of the labels. Subfolders are then matched by name, so that
            labels follow the order of a given network's classes.

        Raises
        ------
        ValueError
            If there is no such folder or no image file in it, or `class_names` lacks a subfolder.
        """
        path = Path(folder) / (split or "")
        if not path.is_dir():
            raise ValueError(f"folder must be a folder of image files, there is none at {path}")
        paths, labels, names = files_in(path, class_names, argument="folder")
        chosen = random_choice(len(paths), n, seed).tolist()
        return cls(
            [paths[i] for i in chosen],
            None if labels is None else [labels[i] for i in chosen],
            tuple(names) if class_names is None else tuple(class_names),
            size=size,
            channels=channels,
            name=path.name,
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.shape))
        known = "no labels" if self.labels is None else f"{len(self.class_names)} classes"
        return f"ImageFiles({self.name!r}: {len(self)} files read as {shape}, {known})"

    def __getitem__(self, index: Any) -> ImageFiles:
        chosen = positions(index, len(self))
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, paths=tuple(self.paths[i] for i in chosen.tolist()), labels=labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageFiles) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of one image as it is read."""
        return self.channels, *self.size

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the files, their labels, size or channels.

        Of a file its path below the folder that all have in common and its length in bytes
        count, so that a copy of the folder elsewhere has the same. Lengths are those when it is
        first asked for.
        """
        digest = hashlib.sha256(repr((self.size, self.channels, self._label_list())).encode())
        for path, name in zip(self.paths, self._short_names, strict=True):
            digest.update(repr((name, _length(path))).encode())
        return digest.hexdigest()[:16]

    def read(self, indices: Any) -> tuple[Tensor, dict[int, str]]:
        """Read the chosen images; one at a time is held beside those already fitted.

        Parameters
        ----------
        indices
            An integer, a slice, a mask or indices of any kind.

        Returns
        -------
        tuple
            The readable ones, ``(m, C, H, W)`` float32 in [0, 1], in the order of the indices;
            and for the index of each other one, counted from the front, a sentence that says
            why it cannot be read: missing, damaged, no image, no permission.

        Raises
        ------
        IndexError, ValueError
            If an index is out of range, or none is given.
        """
        chosen = positions(indices, len(self)).tolist()
        images = torch.empty((len(chosen), *self.shape))
        reasons: dict[int, str] = {}
        count = 0
        for index in chosen:
            check_cancelled()
            try:
                images[count] = read_picture(self.paths[index], self.size, self.channels)
            except UnreadableImage as error:
                reasons[index] = f"{self._short_names[index]} could not be read: {error}"
            else:
                count += 1
        return images[:count], reasons

    @cached_property
    def _short_names(self) -> tuple[str, ...]:
        """Paths below the folder that all files have in common, the same on every system."""
        root = os.path.commonpath([path.parent for path in self.paths])
        return tuple(path.relative_to(root).as_posix() for path in self.paths)

    def _label_list(self) -> tuple[int, ...] | None:
        return None if self.labels is None else tuple(self.labels.tolist())

    def _identity(self) -> tuple[Any, ...]:
        options = (self.class_names, self.size, self.channels, self.name)
        return (self.paths, self._label_list(), *options)


def _checked_paths(given: Any) -> tuple[Path, ...]:
    if isinstance(given, (str, os.PathLike)) or not hasattr(given, "__iter__"):
        raise TypeError(
            f"paths must be a list of files, got {given!r}; ImageFiles.in_folder(folder) takes "
            "those of a folder"
        )
    paths = list(given)
    strange = next((path for path in paths if not isinstance(path, (str, os.PathLike))), None)
    if strange is not None:
        raise TypeError(f"paths must be a list of files, got one of {type(strange).__name__}")
    if not paths:
        raise ValueError("paths must name at least one file, got none")
    return tuple(Path(os.path.abspath(path)) for path in paths)


def _length(path: Path) -> int:
    """Bytes in a file; -1 where it cannot be found out."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
