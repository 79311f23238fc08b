"""What to evaluate next, to know the class of every pixel from few evaluations.

Knows nothing of networks: :meth:`Refinement.ask` names pixels, :meth:`Refinement.tell` takes
their logits, and the class of every pixel is estimated from all that was told.

The method (own) is kriging, steered toward the boundary. Every logit is interpolated by
cubic polynomials through a coarse grid, plus what these were seen to miss at all further
evaluated pixels, spread by local Gaussian-process regression. That also gives a standard
deviation, in units read off the errors that the interpolation was seen to make nearby. A
pixel whose two highest logits lie close together in these units is in doubt. Its chance to
carry the wrong class is taken to be exp(-(margin / error)^0.75) / 2, since on networks with
kinks the errors have heavier tails than an exponential.

Summed up, these chances say what an evaluation is worth. In ever smaller blocks of pixels,
one more is evaluated wherever enough of them is gathered; at last every single pixel whose
own chance is above the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from geoexplorer.geometry.interpolation import coarse_nodes, kriging_weights, polynomial_weights
from geoexplorer.jobs import check_cancelled

__all__ = ["Refinement", "two_highest"]

_INTERVALS = 24  # of the coarse grid, along the longer side
_LENGTH = 1.5  # of the correlation, in coarse intervals: beyond, the polynomials serve
_TILE = 8  # pixels along a side of the squares that share their neighbours
_NEIGHBOURS = 16
_GATHERED = 5.0  # tolerances that make one more evaluation in a block worth while
# Expected wrong pixels below which a tile is left as it is.
_NEGLIGIBLE = 1e-3
# What is unknown amid a coarse grid, in units of what is unknown amid one of twice its interval.
_HALVED = 0.25
# How many errors seen nearby count as much as the mean error everywhere.
_PRIOR = 4.0
_ELEMENTS = 2**18  # of the largest temporary array, to stay in the cache


class Refinement:
    """Classes on a grid of pixels, from few evaluations.

    Parameters
    ----------
    shape
        Rows and columns, at least two of each.
    tolerance
        Estimated chance of carrying the wrong class that is left to a pixel.

    Attributes
    ----------
    round, rounds
        The round that the pixels last asked for belong to, counted from 0, and how many there
        are.

    Examples
    --------
    >>> refinement = Refinement((129, 129), tolerance=0.03)
    >>> while len(pixels := refinement.ask()):
    ...     y, x = pixels.T
    ...     margin = 40.3**2 - (x - 60.1) ** 2 - (y - 61.7) ** 2
    ...     refinement.tell(pixels, torch.stack([margin, -margin], dim=1))
    >>> y, x = torch.meshgrid(torch.arange(129), torch.arange(129), indexing="ij")
    >>> truth = (x - 60.1) ** 2 + (y - 61.7) ** 2 > 40.3**2
    >>> int((refinement.labels != truth).sum()), int(refinement.evaluated.sum()) < 800
    (0, True)
    """

    def __init__(self, shape: tuple[int, int], *, tolerance: float) -> None:
        self._shape = shape
        self._tolerance = tolerance
        interval = max(1.0, (max(shape) - 1) / _INTERVALS)
        self._length = _LENGTH * interval
        self._nodes = [coarse_nodes(count, interval) for count in shape]
        largest = max(0, int(math.log2(interval)) - 1)  # half a coarse interval or less
        self._sizes = [2**power for power in range(largest, -1, -1)]
        self.round, self.rounds = 0, 1 + len(self._sizes)
        self._plan = self._rounds()
        # Maps of all pixels, padded to whole blocks and tiles.
        side = max(_TILE, self._sizes[0])
        padded = [-(-count // side) * side for count in shape]
        self._weights = [
            polynomial_weights(torch.arange(count), nodes)
            for count, nodes in zip(padded, self._nodes, strict=True)
        ]
        self._labels = torch.zeros(padded, dtype=torch.int64)
        self._seconds = torch.zeros(padded, dtype=torch.int64)
        self._margins = torch.zeros(padded)
        self._unknown = torch.full(padded, _HALVED)
        self._doubt = torch.zeros(padded)  # chance of a wrong class
        self._evaluated = torch.zeros(padded, dtype=torch.bool)
        # How far the neighbours lie from which a tile was interpolated.
        self._reach = torch.full([count // _TILE for count in padded], torch.inf)
        # What was told, in order.
        self._pixels = torch.empty(0, 2, dtype=torch.int64)  # (n, 2)
        self._coarse = torch.empty(0)  # (my, mx, L): values at the coarse nodes
        self._misses = torch.empty(0)  # (n, L): values minus polynomials
        self._errors = torch.empty(0)  # (n,): in units of what was unknown; NaN if not foretold

    @property
    def labels(self) -> Tensor:
        """The estimated class of every pixel, ``(H, W)`` int64."""
        return self._cropped(self._labels)

    @property
    def margins(self) -> Tensor:
        """Highest minus second highest logit of every pixel, ``(H, W)`` float32."""
        return self._cropped(self._margins)

    @property
    def evaluated(self) -> Tensor:
        """Which pixels were evaluated, ``(H, W)`` bool."""
        return self._cropped(self._evaluated)

    def ask(self) -> Tensor:
        """Rows and columns of pixels to evaluate next, ``(n, 2)`` int64; none at the end."""
        return next(self._plan, self._pixels[:0])

    def tell(self, pixels: Tensor, logits: Tensor) -> None:
        """Take the logits ``(n, L)`` of the pixels that were asked for."""
        # Only differences between classes matter; without their mean they keep more digits.
        logits = logits.detach().cpu().double()
        values = (logits - logits.mean(dim=1, keepdim=True)).float()
        if len(self._pixels) == 0:
            self._begin(pixels, values)
            self.settle(pixels, logits)
        else:
            self._learn(pixels, values)
            self.settle(pixels, logits)
            self._estimate(self._tiles_to_estimate(pixels))

    def settle(self, pixels: Tensor, logits: Tensor) -> None:
        """Take the logits of pixels and draw no conclusion for others."""
        y, x = pixels.T
        labels, seconds, margins = two_highest(logits.detach().cpu())
        self._labels[y, x], self._seconds[y, x] = labels, seconds
        self._margins[y, x] = margins.float()
        self._doubt[y, x] = 0.0
        self._evaluated[y, x] = True

    def _rounds(self) -> Iterator[Tensor]:
        yield torch.cartesian_prod(*self._nodes)
        for size in self._sizes:
            self.round += 1
            pixels = self._one_in_each_block(size)
            while len(pixels):
                yield pixels
                # Single pixels again and again: what they tell may raise new doubts.
                pixels = self._one_in_each_block(size) if size == 1 else pixels[:0]

    def _begin(self, pixels: Tensor, values: Tensor) -> None:
        self._coarse = values.reshape(*(len(nodes) for nodes in self._nodes), -1)
        self._pixels, self._misses = pixels, torch.zeros_like(values)
        self._errors = self._coarse_errors()
        scale = self._error_scale()
        height, width = self._doubt.shape
        rows_at_once = max(1, _ELEMENTS // (width * values.shape[1]))
        for start in range(0, height, rows_at_once):
            check_cancelled()
            part = slice(start, start + rows_at_once)
            up = self._weights[0][part] @ self._coarse.flatten(1)
            up = up.reshape(-1, *self._coarse.shape[1:]).transpose(0, 1)  # (mx, rows, L)
            logits = self._weights[1] @ up.flatten(1)
            labels, seconds, margins = (
                found.T for found in two_highest(logits.reshape(width, *up.shape[1:]))
            )
            self._labels[part], self._seconds[part], self._margins[part] = labels, seconds, margins
            self._doubt[part] = _chance_of_error(margins, _HALVED * scale[part])
        self._doubt[self._shape[0] :] = 0.0
        self._doubt[:, self._shape[1] :] = 0.0

    def _coarse_errors(self) -> Tensor:
        """Errors ``(n,)`` to expect amid the coarse nodes, from those of half as many nodes."""
        rows, columns = (polynomial_weights(nodes, nodes[::2]) for nodes in self._nodes)
        foretold = torch.einsum("iy,yxl,jx->ijl", rows, self._coarse[::2, ::2], columns)
        miss = (self._coarse - foretold).gather(2, self._coarse.topk(2, dim=2).indices)
        errors = (miss[..., 0] - miss[..., 1]).abs()
        errors[::2, ::2] = torch.nan
        return errors.flatten()

    def _error_scale(self) -> Tensor:
        """The largest error seen at the coarse nodes around each pixel, blended over the cells.

        The largest and not the mean, since a small island shows at the nodes beside it only.
        """
        errors = self._errors.nan_to_num().reshape(self._coarse.shape[:2])
        largest = max_pool2d(errors[None], 3, stride=1, padding=1)[0]
        rows, columns = (
            polynomial_weights(torch.arange(count), nodes, degree=1)
            for count, nodes in zip(self._doubt.shape, self._nodes, strict=True)
        )
        return rows @ largest @ columns.T

    def _learn(self, pixels: Tensor, values: Tensor) -> None:
        y, x = pixels.T
        rows = torch.arange(len(pixels))
        found = values[rows, self._labels[y, x]] - values[rows, self._seconds[y, x]]
        errors = (found - self._margins[y, x]).abs() / self._unknown[y, x]
        self._pixels = torch.cat([self._pixels, pixels])
        self._misses = torch.cat([self._misses, values - self._polynomials_at(pixels)])
        self._errors = torch.cat([self._errors, errors])

    def _tiles_to_estimate(self, pixels: Tensor) -> Tensor:
        """Tiles ``(m, 2)`` in doubt that have some of these new pixels among their neighbours."""
        rows, columns = self._reach.shape
        doubt = self._doubt.reshape(rows, _TILE, columns, _TILE).sum(dim=(1, 3))
        tiles = (doubt > _NEGLIGIBLE).nonzero()
        # A tile without doubt stays as it is for good, so that each has seen all earlier pixels.
        parts = torch.split(tiles, max(1, _ELEMENTS // len(pixels)))
        nearest = torch.cat([_from_centres(part, pixels.float()).amin(dim=1) for part in parts])
        return tiles[nearest < self._reach[tuple(tiles.T)]]

    def _estimate(self, every: Tensor) -> None:
        """Interpolate anew in tiles ``(m, 2)``."""
        known = ~self._errors.isnan()
        errors = self._errors.nan_to_num()
        mean = errors.sum() / known.sum()
        places = self._pixels.float()
        count = min(_NEIGHBOURS, len(places))
        side = torch.arange(_TILE)
        at_once = max(1, _ELEMENTS // (_TILE**2 * (self._coarse.shape[2] + count)))
        for tiles in torch.split(every, at_once):
            check_cancelled()
            distances, near = _from_centres(tiles, places).topk(count, largest=False, sorted=False)
            self._reach[tuple(tiles.T)] = distances.amax(dim=1)
            y, x = (tiles[:, :, None] * _TILE + side).unbind(1)  # (m, _TILE)
            weights, unknown = kriging_weights(places[near], y, x, self._length)
            scale = (errors[near].sum(dim=1) + _PRIOR * mean) / (known[near].sum(dim=1) + _PRIOR)
            logits = self._polynomials_in(tiles) + weights @ self._misses[near]
            labels, seconds, margins = two_highest(logits)
            y, x = y[:, None].expand(-1, _TILE, -1).flatten(1), x.repeat_interleave(_TILE, dim=1)
            free = ~self._evaluated[y, x] & (y < self._shape[0]) & (x < self._shape[1])
            y, x = y[free], x[free]
            self._labels[y, x], self._seconds[y, x] = labels[free], seconds[free]
            self._margins[y, x], self._unknown[y, x] = margins[free], unknown[free]
            self._doubt[y, x] = _chance_of_error(margins, scale[:, None] * unknown)[free]

    def _polynomials_at(self, pixels: Tensor) -> Tensor:
        """Cubic interpolation at pixels ``(n, 2)``: ``(n, L)``."""
        _, columns, classes = self._coarse.shape
        at_once = max(1, _ELEMENTS // (columns * classes))
        values = []
        for start in range(0, len(pixels), at_once):
            check_cancelled()
            y, x = pixels[start : start + at_once].T
            up = self._weights[0][y] @ self._coarse.flatten(1)
            across = self._weights[1][x][:, None] @ up.reshape(-1, columns, classes)
            values.append(across[:, 0])
        return torch.cat(values)

    def _polynomials_in(self, tiles: Tensor) -> Tensor:
        """Cubic interpolation in tiles ``(m, 2)``: ``(m, _TILE**2, L)``, column by column."""
        rows, columns = (
            weights.reshape(-1, _TILE, weights.shape[1])[index]
            for weights, index in zip(self._weights, tiles.T, strict=True)
        )
        m, _, count = rows.shape
        across = rows.reshape(m * _TILE, count) @ self._coarse.flatten(1)
        across = across.reshape(m, _TILE, *self._coarse.shape[1:]).transpose(1, 2)
        return (columns @ across.flatten(2)).reshape(m, _TILE**2, self._coarse.shape[2])

    def _one_in_each_block(self, size: int) -> Tensor:
        """One pixel amid the doubt, in every block that gathers enough of it."""
        rows, columns = (count // size for count in self._doubt.shape)
        blocks = self._doubt.reshape(rows, size, columns, size).transpose(1, 2).flatten(2)
        enough = self._tolerance * (_GATHERED if size > 1 else 1.0)
        chosen = (blocks.sum(dim=2) > enough).nonzero()
        doubt = blocks[tuple(chosen.T)]  # (m, size**2)
        within = torch.cartesian_prod(torch.arange(size), torch.arange(size)).float()
        centres = doubt @ within / doubt.sum(dim=1, keepdim=True)
        away = torch.cdist(centres, within) * (4.0 / size)
        best = (doubt / (1.0 + away.square())).argmax(dim=1)
        return chosen * size + torch.stack([best // size, best % size], dim=1)

    def _cropped(self, pixels: Tensor) -> Tensor:
        return pixels[: self._shape[0], : self._shape[1]].clone()


def _from_centres(tiles: Tensor, places: Tensor) -> Tensor:
    """Distances ``(m, n)`` of places from the middle of tiles."""
    return torch.cdist(tiles * _TILE + (_TILE - 1) / 2, places)


def two_highest(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Highest and second highest class along the last axis, and their difference."""
    highest, first = logits.max(dim=-1)
    others = logits.scatter(-1, first[..., None], -torch.inf)
    second_highest, second = others.max(dim=-1)
    return first, second, highest - second_highest


def _chance_of_error(margins: Tensor, errors: Tensor) -> Tensor:
    ratio = (margins / errors.clamp_min(1e-30)).sqrt_()
    return 0.5 * torch.exp(-(ratio * ratio.sqrt()))  # to the power 3/4
