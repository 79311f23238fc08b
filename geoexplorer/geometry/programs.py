"""Piecewise-linear networks as programs: operations that more than values can be sent through.

A program is a list of three kinds of nodes: affine ones, elementwise units with kinks, and maxima.
An affine node can also be applied to bounds of errors, and a unit says where it switches.
:mod:`geoexplorer.geometry.piecewise` makes programs of networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geoexplorer.classifier import FullPrecision
from geoexplorer.geometry.rounding import SMALLEST, share_of
from geoexplorer.jobs import check_cancelled, tell_passed

__all__ = ["Affine", "Elementwise", "Kind", "Maximum", "Node", "Program"]

# Of an input, so many times its largest result: what an operation takes and gives, and on a CPU the
# nine shifted copies of it that torch makes for a convolution of 3 x 3 in float64.
_HELD = 12
_BESIDE = 1 / 4  # of the memory, beside the program at the least

_Values = Callable[..., Tensor]


@dataclass(frozen=True)
class Affine:
    """y = A x + b of one or several inputs."""

    apply: _Values
    absolute: _Values  # |A| x
    offset: Tensor | float = 0.0  # |b|, of a shape that y can be compared with
    terms: int = 0  # products and sums in each value of y; 0 where nothing is computed

    def errors(self, errors: Sequence[Tensor], largest: Sequence[Tensor]) -> Tensor:
        """Bound of the error of y, from those of the inputs and their largest sizes.

        Where nothing is computed, the sizes are not needed.
        """
        if not self.terms:
            return self.absolute(*errors)
        share = share_of(self.terms)
        sizes = [error + share * size for error, size in zip(errors, largest, strict=True)]
        bound: Tensor = (self.absolute(*sizes) + share * self.offset) * (1 + 2 * share)
        return bound + self.terms * SMALLEST


@dataclass(frozen=True)
class Elementwise:
    """A continuous function of each value that is affine between its kinks."""

    apply: _Values
    kinks: tuple[tuple[Tensor | float, Tensor | float], ...]  # (place, change of slope)
    steepest: Tensor | float = 1.0  # the largest slope in size
    terms: int = 0


@dataclass(frozen=True)
class Maximum:
    """The largest value of each window; windows may lie across several inputs."""

    select: Callable[..., tuple[Tensor, Tensor]]  # the maxima (n, ...), and where they were found
    arrange: _Values  # the inputs as (n, c, v), which "where" and ``members`` count in
    members: Tensor  # (w, k) int64: the values of each window, -1 for none; the same in each of c
    floor: float | None = None  # a constant that is one of the values

    def highest(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The maxima ``(n, ...)``, and which values they are ``(n, c w)``, -1 for the constant."""
        values, where = self.select(*inputs)
        if self.floor is None:
            return values, where.reshape(len(where), -1)
        where = torch.where(values > self.floor, where, -1)
        return values.clamp_min(self.floor), where.reshape(len(where), -1)

    def picked(self, values: Tensor, winners: Tensor) -> Tensor:
        """Those that ``winners`` name ``(n, c w)`` among arranged values ``(n, c, v)``."""
        chosen = winners.clamp_min(0).reshape(*values.shape[:2], -1)
        picked = values.gather(2, chosen).flatten(1)
        return picked if self.floor is None else torch.where(winners < 0, self.floor, picked)

    def entries(self, values: Tensor, rows: Tensor, windows: Tensor) -> Tensor:
        """All values ``(m, k)`` of some windows, minus infinity in place of none."""
        table = self.members.to(windows.device)
        places = table[windows % len(table)]
        channels = (windows // len(table))[:, None]
        entries = values[rows[:, None], channels, places.clamp_min(0)]
        entries = torch.where(places < 0, -torch.inf, entries)
        if self.floor is None:
            return entries
        return torch.cat([entries, torch.full_like(entries[:, :1], self.floor)], dim=1)


Kind = Affine | Elementwise | Maximum


@dataclass(frozen=True)
class Node:
    """One operation: what it does, to the results of which nodes, and who needs its result."""

    kind: Kind
    inputs: tuple[int, ...]  # 0 is the image, k the result of node k - 1
    last_use: int = 0  # the last node that needs this one's result


@dataclass(frozen=True)
class Program:
    """A piecewise-linear network as a list of operations, in float64."""

    network: nn.Module  # in float64, from which it was made
    nodes: tuple[Node, ...]
    device: torch.device
    largest: int  # values of the largest intermediate result of one image
    image_last_use: int

    def fitting(self, memory: int, rows: int = 1) -> int:
        """Inputs of so many ``rows`` that fit into so many bytes at once, beside the program.

        The program holds the network's weights and their sizes, from which errors are found. Where
        these leave little, a share of the memory counts beside them.
        """
        numbers: int = sum(values.numel() for values in self.network.state_dict().values())
        beside = max(memory - 2 * 8 * numbers, int(memory * _BESIDE))
        return beside // (_HELD * 8 * rows * self.largest)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, L)`` of images ``(n, C, H, W)``, float64 on the program's device."""
        results: dict[int, Tensor] = {0: images}
        with torch.no_grad(), FullPrecision():
            for number, node in enumerate(self.nodes, start=1):
                check_cancelled()
                inputs = [results[index] for index in node.inputs]
                results[number] = _value(node.kind, inputs)
                self.forget(results, number)
        tell_passed(len(images))
        return results[len(self.nodes)]

    def forget(self, results: dict[int, Any], number: int) -> None:
        """Drop what no node after ``number`` needs."""
        for index in [index for index in results if index < number]:
            last = self.image_last_use if index == 0 else self.nodes[index - 1].last_use
            if last <= number:
                del results[index]


def _value(kind: Kind, inputs: Sequence[Tensor]) -> Tensor:
    return kind.highest(inputs)[0] if isinstance(kind, Maximum) else kind.apply(*inputs)
