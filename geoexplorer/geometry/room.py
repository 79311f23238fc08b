"""What the memory that a classifier may use is spent on.

Half of it goes to vectors of the input's size that an algorithm holds on to. The rest is for the
passes and for the displaced images that they are made at, a quarter each.
"""

from __future__ import annotations

from typing import Any

import torch

from geoexplorer.classifier import Classifier

__all__ = ["require_room", "room_for"]

_HELD = 1 / 2


def room_for(clf: Classifier) -> int:
    """Vectors of the input's size that may be held.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2)).eval()
    >>> clf = Classifier(module, input_shape=(1, 32, 32), device="cpu", memory=2**30)
    >>> room_for(clf)
    131072
    """
    return int(clf.memory * _HELD) // _vector_bytes(clf)


def require_room(clf: Classifier, argument: str, value: Any, vectors: int) -> None:
    """Refuse what has to hold more vectors of the input's size at once than may be held.

    Parameters
    ----------
    clf
        The classifier.
    argument, value
        What takes so many, for the message.
    vectors
        How many.

    Raises
    ------
    ValueError
        If there is no room for them.
    """
    if vectors > room_for(clf):
        needed = vectors * _vector_bytes(clf) / _HELD / 2**20
        raise ValueError(
            f"{argument}={value!r} takes about {needed:.0f} MiB for images of {clf.dimension} "
            f"numbers, but the classifier's memory is {clf.memory / 2**20:.0f} MiB; make it with "
            f"a larger memory=, or choose another {argument}"
        )


def _vector_bytes(clf: Classifier) -> int:
    return clf.dimension * torch.finfo(clf.dtype).bits // 8
