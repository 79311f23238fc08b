"""Where rays from images cross the boundary of the image's region."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier, FullPrecision

__all__ = ["ANY", "Crossing", "Rays", "hidden", "level", "likely_rivals", "rival"]

ANY = -1
"""In place of a class: whichever lies across the boundary."""

# Shortest and longest step into a bracket, as shares of it: pure secant steps stall where the
# network is far from linear along the ray.
_SECANT_LIMITS = (0.02, 0.98)
# A trial lies so much of the tolerance aside of where the secant meets zero, on the side that was
# not met last: where the network is linear, rounding would decide on which side it falls, and with
# it how the search goes on.
_ASIDE = 0.03
_TINY = 1e-30
_ROUNDINGS = 10.0


def rival(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """The class whose boundary with ``own`` is looked for: ``other``, or the highest for ANY."""
    return torch.where(other == ANY, _without(logits, own).argmax(1), other)


def level(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """F = f_own - f_rival ``(n,)``: negative across the boundary."""
    return _pick(logits, own) - _pick(logits, rival(logits, own, other))


def hidden(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """How far a third class is above ``own``, ``(n,)``: where positive, F = 0 is no boundary."""
    thirds = _without(_without(logits, own), rival(logits, own, other))
    return thirds.amax(1) - _pick(logits, own)


def likely_rivals(rays: Rays, count: int) -> Tensor:
    """Classes ``(n, k)`` to look toward: the one asked for, else the ``count`` highest others."""
    if bool((rays.other != ANY).all()):
        return rays.other[:, None]
    logits = _without(rays.start_logits, rays.own)
    return logits.topk(min(count, rays.clf.n_classes - 1), dim=1).indices


@dataclass(frozen=True)
class Crossing:
    """A bracket of the boundary along each ray: still inside at ``inside``, across at ``outside``.

    ``outside`` is infinite where no crossing was found.
    """

    inside: Tensor  # (n,)
    outside: Tensor  # (n,)

    @property
    def found(self) -> Tensor:
        """``(n,)`` bool: whether the ray crosses."""
        return self.outside.isfinite()


@dataclass(frozen=True)
class Rays:
    """Images, the boundaries looked for around them, and the rays that lead there.

    A ray is the curve ``x + clip(t p)`` for t >= 0; the clip keeps it in the box where there is
    one. Offsets p and images are flattened, ``(n, d)``, on the classifier's device. With the basis
    of a subspace the offsets, and the gradients that go with them, are coordinates ``(n, m)``: as
    the basis is orthonormal, all lengths stay what they are.
    """

    clf: Classifier
    images: Tensor  # (n, d)
    own: Tensor  # (n,) int64
    other: Tensor  # (n,) int64, a class or ANY
    start_logits: Tensor  # (n, L), at the images
    box: tuple[Tensor, Tensor] | None = None  # lowest and highest offset, (n, d) each
    basis: Tensor | None = None  # (m, d), orthonormal; never together with a box

    @classmethod
    def around(
        cls,
        clf: Classifier,
        images: Tensor,
        logits: Tensor,
        other: Tensor,
        box: tuple[Tensor, Tensor] | None = None,
        basis: Tensor | None = None,
    ) -> Rays:
        """Rays from flattened images ``(n, d)`` with the given logits there."""
        return cls(clf, images, logits.argmax(1), other, logits, box, basis)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor) -> Rays:
        box = None if self.box is None else (self.box[0][rows], self.box[1][rows])
        return Rays(
            self.clf,
            self.images[rows],
            self.own[rows],
            self.other[rows],
            self.start_logits[rows],
            box,
            self.basis,
        )

    @cached_property
    def to_any_class(self) -> bool:
        """Whether every ray leads to the boundary with whatever class is there."""
        return bool((self.other == ANY).all())

    @property
    def dimension(self) -> int:
        """Numbers in an offset: d, or the dimension of the subspace."""
        return self.images.shape[1] if self.basis is None else len(self.basis)

    @property
    def zeros(self) -> Tensor:
        """Offsets ``(n, d)`` that lead nowhere."""
        return self.images.new_zeros(len(self), self.dimension)

    @cached_property
    def start_levels(self) -> Tensor:
        """F ``(n,)`` at the images."""
        return level(self.start_logits, self.own, self.other)

    def clip(self, offsets: Tensor) -> Tensor:
        """The offsets, moved into the box."""
        return offsets if self.box is None else offsets.clamp(*self.box)

    def logits(self, offsets: Tensor) -> Tensor:
        """Logits ``(n, L)`` at offsets ``(n, d)``."""
        return self.clf.forward(self._at(offsets))

    def levels(self, offsets: Tensor) -> Tensor:
        """F ``(n,)`` at offsets ``(n, d)``."""
        return level(self.logits(offsets), self.own, self.other)

    def linearise(
        self, offsets: Tensor, score: Callable[[Tensor, Tensor, Tensor], Tensor] = level
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, score / ‖gradient‖ and unit gradient ``(n, d)`` of a score at offsets.

        The second is the distance to the score's zero in the linear approximation; zero
        gradients give zero vectors and an infinite distance.
        """
        logits, values, gradients = self.clf.forward_gradient(
            self._at(offsets), score, self.own, self.other
        )
        gradients = self.confined(gradients.flatten(1))
        norms = gradients.norm(dim=1)
        return logits, values / norms, gradients / norms.clamp_min(_TINY)[:, None]

    def jacobian(self, offsets: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits at offsets and the gradients ``(n, k, d)`` of the classes ``(n, k)``."""
        logits, jacobian = self.clf.forward_jacobian(self._at(offsets), classes)
        return logits, self.confined(jacobian.flatten(2))

    def cross(
        self,
        offsets: Tensor,
        *,
        first: float,
        growth: float,
        tolerance: float,
        rounds: int,
    ) -> Crossing:
        """Bracket the boundary along each ray by growing steps, then by Illinois' false position.

        Parameters
        ----------
        offsets
            p, ``(n, d)``.
        first
            The t that is tried first.
        growth
            Factor from one t to the next while the ray is still inside.
        tolerance
            Relative width at which a bracket is good enough.
        rounds
            Most network evaluations a ray.
        """
        inside = offsets.new_zeros(len(self))
        outside = torch.full_like(inside, math.inf)
        level_in, level_out = self.start_levels.clone(), torch.zeros_like(inside)
        last_side = torch.zeros_like(inside)
        t = torch.full_like(inside, first)
        rows = torch.arange(len(self), device=inside.device)
        for _ in range(rounds):
            everything = len(rows) == len(self)
            part, p = (self, offsets) if everything else (self[rows], offsets[rows])
            levels = part.levels(part.clip(t[rows, None] * p))
            within = levels >= 0
            # The side that stays twice in a row counts half, which draws the secant to it.
            side = torch.where(within, 1.0, -1.0).to(inside)
            repeated = side == last_side[rows]
            level_out[rows] *= torch.where(within & repeated, 0.5, 1.0)
            level_in[rows] *= torch.where(~within & repeated, 0.5, 1.0)
            last_side[rows] = side
            # Not by a mask: a GPU would have to finish all that it was given to count it.
            tried = t[rows]
            inside[rows] = torch.where(within, tried, inside[rows])
            level_in[rows] = torch.where(within, levels, level_in[rows])
            outside[rows] = torch.where(within, outside[rows], tried)
            level_out[rows] = torch.where(within, level_out[rows], levels)
            narrow = outside[rows] - inside[rows] <= tolerance * outside[rows]
            rows = rows[~narrow | outside[rows].isinf()]
            if len(rows) == 0:
                break
            secant = level_in[rows] / (level_in[rows] - level_out[rows])
            width = outside[rows] - inside[rows]
            aside = _ASIDE * tolerance * last_side[rows] * outside[rows] / width
            step = (secant + aside).clamp(*_SECANT_LIMITS) * width
            growing = outside[rows].isinf()
            t[rows] = torch.where(growing, t[rows] * growth, inside[rows] + step)
        return Crossing(inside, outside)

    def perturbations(self, offsets: Tensor) -> Tensor:
        """Offsets as vectors ``(n, d)`` of the input space."""
        if self.basis is None:
            return offsets
        with FullPrecision():
            return offsets @ self.basis

    def confined(self, gradients: Tensor) -> Tensor:
        """Gradients ``(n, d)`` or ``(n, k, d)`` with respect to the offsets.

        What is no larger than the rounding of the whole gradient is none.
        """
        if self.basis is None:
            return gradients
        with FullPrecision():
            inside = gradients @ self.basis.T
        rounding = _ROUNDINGS * torch.finfo(inside.dtype).eps * math.sqrt(len(self.basis))
        felt = inside.norm(dim=-1, keepdim=True) > rounding * gradients.norm(dim=-1, keepdim=True)
        return torch.where(felt, inside, 0.0)

    def _at(self, offsets: Tensor) -> Tensor:
        return (self.images + self.perturbations(offsets)).reshape(-1, *self.clf.input_shape)


def _pick(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]


def _without(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.scatter(1, classes[:, None], -math.inf)
