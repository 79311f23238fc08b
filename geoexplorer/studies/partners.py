"""Which image each image of a study is to be joined to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["draw_partners"]


def draw_partners(
    predicted: NDArray[np.int64], numbers: Sequence[int], scenario: str, seed: int
) -> NDArray[np.int64]:
    """The number of the image at the other end ``(n,)``, -1 where there is none.

    Parameters
    ----------
    predicted
        ``(all,)``, the predicted class of every image of the study; -1 where it is not known.
    numbers
        Which of them need a partner.
    scenario
        ``"images"`` draws from the same predicted class, ``"perturbed"`` from all others;
        ``"random"`` has points for partners.
    seed
        Every image has random numbers of its own, so that its partner does not depend on where
        and when it is measured.

    Examples
    --------
    >>> draw_partners(np.array([3, 5, 3, -1]), [0, 1, 3], "images", seed=0).tolist()
    [2, -1, -1]
    """
    chosen = np.full(len(numbers), -1)
    if scenario == "random":
        return chosen
    everyone = np.arange(len(predicted))
    for row, number in enumerate(numbers):
        own = predicted[number]
        if own < 0:
            continue
        same = predicted == own
        fitting = same & (everyone != number) if scenario == "images" else ~same & (predicted >= 0)
        (candidates,) = fitting.nonzero()
        if len(candidates):
            drawn = np.random.default_rng([seed, number]).integers(len(candidates))
            chosen[row] = candidates[drawn]
    return chosen
