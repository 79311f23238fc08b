"""Random choices among images of the same predicted class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["draw_pairs", "draw_sets", "populated_classes"]

_FEW = 4  # a draw of k among fewer than so many times k² is made by sorting
_RARE = 2  # likewise for pairs, where there are fewer than so many times the pairs wanted


def populated_classes(predicted: Tensor, label: int | None, least: int) -> list[int]:
    """Classes ``label``, or all, that at least so many images are predicted as.

    Raises
    ------
    ValueError
        If there is none.
    """
    counts = predicted.bincount(minlength=0 if label is None else label + 1).tolist()
    classes = [index for index, count in enumerate(counts) if count >= least]
    if label is not None:
        classes = [label] if label in classes else []
    if not classes:
        which = "any class" if label is None else f"class {label}"
        most = max(counts) if label is None else counts[label]
        raise ValueError(
            f"images must hold at least {least} that are predicted as {which}, got {most}"
        )
    return classes


def draw_pairs(
    predicted: Tensor,
    classes: Sequence[int],
    count: int,
    generator: torch.Generator,
    *,
    among: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Classes and indices ``(n,)`` of pairs, shared evenly among the classes and in turn.

    Parameters
    ----------
    predicted
        Class of every image.
    classes
        Which to draw from.
    count
        Pairs altogether; fewer where classes have not so many.
    generator
        A CPU generator.
    among
        Whose the second image is: the ``"same"`` class's, an ``"other"`` one's, or ``"any"``.

    Raises
    ------
    ValueError
        If all images are of the class and the second one is to be of another.
    """
    drawn = []
    for turn, label in enumerate(classes):
        share = (count + len(classes) - 1 - turn) // len(classes)
        own = (predicted == label).nonzero()[:, 0]
        usable = {
            "same": predicted == label,
            "other": predicted != label,
            "any": torch.ones_like(predicted, dtype=torch.bool),
        }[among]
        others = usable.nonzero()[:, 0]
        if len(others) == 0:
            raise ValueError(f"images must hold some that are not predicted as class {label}")
        within = among == "same"
        chosen = _distinct_pairs(len(own), len(others), share, generator, within=within)
        drawn.append([(label, int(own[i]), int(others[j])) for i, j in chosen])
    rounds = max(map(len, drawn))
    in_turn = [pairs[turn] for turn in range(rounds) for pairs in drawn if turn < len(pairs)]
    labels, first, second = torch.tensor(in_turn).unbind(1)
    return labels, first, second


def draw_sets(count: int, size: int, among: int, generator: torch.Generator) -> Tensor:
    """``(count, size)`` indices below ``among``, distinct in every row."""
    if among < _FEW * size**2:
        return torch.rand((count, among), generator=generator).topk(size, dim=1).indices
    sets = torch.randint(among, (count, size), generator=generator)
    while len(again := _with_repetition(sets)):
        sets[again] = torch.randint(among, (len(again), size), generator=generator)
    return sets


def _distinct_pairs(
    own: int, others: int, count: int, generator: torch.Generator, *, within: bool
) -> list[tuple[int, int]]:
    """Pairs that differ from each other; unordered ones of two different images where within."""
    possible = own * (own - 1) // 2 if within else own * others
    if possible <= _RARE * count:
        every = [(i, j) for i in range(own) for j in range(i + 1 if within else 0, others)]
        order = torch.randperm(len(every), generator=generator)[:count].tolist()
        return [every[index] for index in order]
    chosen: dict[tuple[int, int], None] = {}
    while len(chosen) < count:
        i = int(torch.randint(own, (1,), generator=generator))
        j = int(torch.randint(others, (1,), generator=generator))
        if not within:
            chosen[i, j] = None
        elif i != j:
            chosen[min(i, j), max(i, j)] = None
    return list(chosen)


def _with_repetition(sets: Tensor) -> Tensor:
    ordered = sets.sort(dim=1).values
    return (ordered[:, 1:] == ordered[:, :-1]).any(1).nonzero()[:, 0]
