"""A network and the images that it is looked at with."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.images import load_images
from geoexplorer.paper.sizes import Sizes, sizes_for
from geoexplorer.pictures import files_in
from geoexplorer.zoo import bundled_networks, load_classifier
from geoexplorer.zoo.files import read_card

__all__ = ["Subject", "load_subject"]

_FEWEST = 12  # images below which nothing can be said


@dataclass(frozen=True, eq=False)
class Subject:
    """One network, and images of its size in a random order."""

    name: str  # as it was asked for
    clf: Classifier
    images: Tensor  # (n, C, H, W)
    source: str  # what the images are, for a person
    code: str  # Python that makes clf and x, which are these two
    sizes: Sizes


def load_subject(
    name: str, *, folder: Path | None = None, full: bool = False, seed: int = 0
) -> Subject:
    """Load a network by name, and its images.

    Parameters
    ----------
    name
        A bundled or torchvision network, or a ``.safetensors`` file.
    folder
        Of images; None for the test images of what the network was trained on.
    full, seed
        As for :class:`~geoexplorer.paper.request.Request`.

    Raises
    ------
    ValueError
        If there are too few images, or they cannot be read.
    OSError
        If torchvision's weights cannot be downloaded.

    Examples
    --------
    >>> subject = load_subject("digits-cnn")
    >>> tuple(subject.images.shape), subject.source
    ((500, 1, 8, 8), 'digits, test')
    """
    clf = load_classifier(name)
    sizes = sizes_for(clf.dimension, full=full)
    if folder is None:
        data = _data_of(name)
        images = load_images(data, split="test", seed=seed)
        drawn = "" if seed == 0 else f", seed={seed}"
        loading = f'x = gx.load_images("{data}", split="test"{drawn}).images'
    else:
        channels, *size = clf.input_shape
        most = max(sizes.mixed, sizes.points)
        at_most = min(most, len(files_in(folder, None, argument="images")[0]))
        images = load_images(
            folder, n=at_most, seed=seed, size=(size[0], size[1]), channels=channels
        )
        loading = (
            f"x = gx.load_images(\n    {os.fspath(folder)!r}, n={at_most}, seed={seed}, "
            f"size={tuple(size)}, channels={channels}\n).images"
        )
    if len(images) < _FEWEST:
        raise ValueError(f"images must be at least {_FEWEST}, got {len(images)} of {images.name}")
    # Test sets and folders may be sorted by class, and parts of them are taken.
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    code = "\n".join(
        (
            "import torch",
            "import geoexplorer as gx",
            "",
            f'clf = gx.load_classifier("{name}")',
            loading,
            f"x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed({seed}))]",
        )
    )
    return Subject(
        name=name,
        clf=clf,
        images=images.images[order],
        source=images.name,
        code=code,
        sizes=sizes,
    )


def _data_of(name: str) -> str:
    bundled = bundled_networks()
    return bundled[name].data if name in bundled else read_card(name).data
