"""Moving images into the region of a given class.

Each step goes onto the linearised boundary between the target class and the highest other one, as
in the paper's own projection (DeepFool toward a fixed class). Where several other classes are in
the way such steps go to and fro between them; so after the first few a step is the shortest that
satisfies the last linearisations together. It may aim beyond the boundary, at a margin
f_label - f_j above zero: a path whose corners lie just behind the boundary leads along it, and no
segment of it stays inside.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.projection import shortest_offset

__all__ = ["clearly_inside", "least_margins", "toward_margin"]

_OVERSHOOT = 1.05  # of a step, as in the authors' code
# Depths that are tried beyond the boundary, in lengths of the perturbation that reaches it.
_DEPTHS = (1.0, 1.05, 1.25, 1.5, 2.0)
_LEAST_GAIN = 1e-6  # asked of a step, in units of the largest logit: a tie is no place to stay
_PLAIN = 4  # steps that take the last linearisation alone
_LINEARISATIONS = 3  # that the steps after them take together
_SWEEPS = 16  # over these, to find the shortest step
_LONGER = 3.0  # than the plain step, at most
# Steps without a larger margin after which an image that is inside stays there, and one that is not
# is kicked.
_STALLED = 10
# A kick, which also helps where the gradient vanishes, and the longest step: root mean square over
# the pixels, in bounds' widths.
_KICK, _LONGEST = 0.01, 0.25


def least_margins(logits: Tensor, labels: Tensor) -> Tensor:
    """f_label - f_j ``(n,)`` to the highest other class: positive inside the label's region."""
    own = labels[:, None]
    highest = logits.scatter(1, own, -math.inf).amax(1)
    return logits.gather(1, own)[:, 0] - highest


def toward_margin(
    clf: Classifier, images: Tensor, labels: Tensor, margins: Tensor, *, steps: int, seed: int
) -> Tensor:
    """Images ``(n, d)`` moved until their margins are reached, or as far as they come.

    NaN where no image inside the region was met.

    Parameters
    ----------
    clf
        The classifier.
    images
        Flattened, ``(n, d)``.
    labels
        ``(n,)``, the classes whose regions they are to be in.
    margins
        ``(n,)``, at least 0.
    steps
        Most gradients an image.
    seed
        For the direction of a step where the gradient vanishes.
    """
    place = images.clone()
    best, highest = torch.full_like(place, math.nan), torch.zeros_like(margins)
    improved = torch.zeros_like(labels)
    descent = _Steps(clf, place, seed)
    rows = torch.arange(len(images), device=images.device)
    for step in range(steps + 1):
        if len(rows) == 0:
            break
        logits, values, gradients = clf.forward_gradient(
            place[rows].reshape(-1, *clf.input_shape), least_margins, labels[rows]
        )
        deeper = values > highest[rows]
        better = rows[deeper]
        best[better], highest[better], improved[better] = place[better], values[deeper], step
        inside = highest[rows] > 0
        ended = inside & ((values >= margins[rows]) | (step - improved[rows] >= _STALLED))
        rows, going = rows[~ended], ~ended
        wanted = (margins[rows] - values[going]).clamp_min(
            _LEAST_GAIN * logits[going].abs().amax(1)
        )
        place[rows] += descent.next(rows, place[rows], wanted, gradients[going].flatten(1))
        if step % _STALLED == _STALLED - 1:
            place[rows[highest[rows] <= 0]] += descent.kick
    return best


def clearly_inside(
    clf: Classifier, images: Tensor, labels: Tensor, *, steps: int, seed: int
) -> Tensor:
    """Images ``(n, d)`` perturbed into their label's region and on, to the best depth up to twice.

    Those inside already stay as they are; NaN where the region was not reached.
    """
    moved = images.clone()
    values = least_margins(clf.forward(images.reshape(-1, *clf.input_shape)), labels)
    rows = (values <= 0).nonzero()[:, 0]
    if len(rows) == 0:
        return moved
    start = images[rows]
    reached = toward_margin(
        clf, start, labels[rows], torch.zeros_like(values[rows]), steps=steps, seed=seed
    )
    depths = torch.tensor(_DEPTHS).to(images)
    tried = start[:, None] + depths[:, None] * (reached - start)[:, None]
    tried[:, 0] = reached  # not rounded again
    found = reached.isfinite().all(1)
    logits = clf.forward(tried[found].reshape(-1, *clf.input_shape))
    margins = least_margins(logits, labels[rows][found].repeat_interleave(len(depths)))
    deepest = margins.reshape(-1, len(depths)).argmax(1)
    moved[rows] = reached
    moved[rows[found]] = tried[found].take_along_dim(deepest[:, None, None], 1)[:, 0]
    return moved


class _Steps:
    """The steps of several images, and their last linearisations."""

    def __init__(self, clf: Classifier, images: Tensor, seed: int) -> None:
        n, d = images.shape
        self.kick, self.longest = _kick(clf, images, seed), _LONGEST * _scale(clf)
        self.normals = images.new_zeros(n, _LINEARISATIONS, d)
        self.levels = images.new_full((n, _LINEARISATIONS), -math.inf)
        self.taken = 0

    def next(self, rows: Tensor, place: Tensor, wanted: Tensor, gradients: Tensor) -> Tensor:
        """Steps ``(k, d)`` of some images that raise their linearised margins by what is wanted."""
        norms = gradients.norm(dim=1)
        lengths = _OVERSHOOT * wanted / norms
        steep = lengths.isfinite() & (norms > 0)
        lengths = torch.where(steep, lengths, 0.0).clamp_max(self.longest)
        units = torch.where(steep, 1 / norms, 0.0)[:, None] * gradients
        slot = self.taken % _LINEARISATIONS
        self.normals[rows, slot] = -units
        self.levels[rows, slot] = torch.where(steep, lengths + (units * place).sum(1), -math.inf)
        moves = lengths[:, None] * units
        if self.taken >= _PLAIN:
            moves = self._together(rows, place, lengths)
        self.taken += 1
        return torch.where(steep[:, None], moves, self.kick)

    def _together(self, rows: Tensor, place: Tensor, lengths: Tensor) -> Tensor:
        normals = self.normals[rows]
        levels = self.levels[rows] + (normals * place[:, None]).sum(2)
        moves, _ = shortest_offset(normals, levels, torch.zeros_like(levels), sweeps=_SWEEPS)
        too_long = (_LONGER * lengths / moves.norm(dim=1).clamp_min(1e-30)).clamp_max(1.0)
        shortened: Tensor = too_long[:, None] * moves
        return shortened


def _kick(clf: Classifier, images: Tensor, seed: int) -> Tensor:
    """A step ``(d,)`` in a random direction, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    direction = torch.randn(images.shape[1], generator=generator, dtype=torch.float64)
    kick: Tensor = (_KICK * _scale(clf) * direction / direction.norm()).to(images)
    return kick


def _scale(clf: Classifier) -> float:
    low, high = clf.bounds
    return (high - low) * math.sqrt(clf.dimension)
