"""The search for the nearest boundary: scouting from several classes, then refining.

*Scouting* starts from several classes at once, since a descent from the runner-up class alone
often ends in a far valley of the boundary: the linearised network ranks the classes, and a ray
or a coarse descent toward each of the nearest ones leads to a crossing; a few refining steps
show which of them leads nearest. *Refining* then repeats: linearise F at the boundary point z,
take the shortest offset that satisfies the last few linearisations together, and go back to
the boundary along the ray from x. With one linearisation this is the Hasofer-Lind-
Rackwitz-Fiessler iteration of structural reliability; keeping several settles it on creases,
where the nearest points of networks with kinks lie. A step that does not come nearer is
shortened, and its linearisation serves the next one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from geoexplorer.geometry.crossings import Rays, hidden, level, likely_rivals
from geoexplorer.geometry.deepfool import deepfool_steps
from geoexplorer.geometry.descent import sphere_descent
from geoexplorer.geometry.projection import shortest_offset

__all__ = ["EFFORTS", "Effort", "minimise"]


@dataclass(frozen=True)
class Effort:
    """Where the gradients of a search go.

    One for each of the ``rivals`` and one for the own class rank them, every step of DeepFool but
    the first takes as many, and every point that is returned on the way costs one, for its normal.
    """

    rivals: int  # classes ranked
    rays: int  # toward the nearest of them
    descents: int  # likewise
    descent_steps: int
    scouting: int  # refining steps from each crossing found so
    refining: int  # steps from the best of them
    deepfool: int = 0  # steps of DeepFool toward one more crossing, at most

    @property
    def starts(self) -> int:
        """Crossings that are scouted."""
        return self.rays + self.descents + (self.deepfool > 0)

    @property
    def scouted_share(self) -> float:
        """Share of the search that is done when scouting has ended."""
        scouting = self.starts * self.scouting + self.descents * self.descent_steps
        return scouting / (scouting + self.refining)

    @property
    def vectors(self) -> int:
        """Vectors of the input's size that the search of one image holds at once."""
        linearised = _LINEARISATIONS + _LINEARISATIONS_OF_THIRDS
        return max(self.starts * (2 * linearised + 8), 6 * self.rivals)


EFFORTS = {
    "interactive": Effort(rivals=3, rays=1, descents=2, descent_steps=5, scouting=2, refining=8),
    "accurate": Effort(
        rivals=9, rays=0, descents=4, descent_steps=6, scouting=2, refining=23, deepfool=4
    ),
}

_LINEARISATIONS = 4  # kept for each image
_LINEARISATIONS_OF_THIRDS = 8  # likewise, of third classes that are to be kept down
_MARCH = 20  # steps toward a first crossing where no ray toward a class crosses
_RANDOM_DIRECTIONS = 8  # tried for each image where the march fails too
_LEAST_STEP = 1e-6  # of a ray, root mean square over the pixels
_RANDOM_START = 0.01  # first step along them, root mean square over the pixels
# A ray is followed from well short of the linearised boundary, to find its first crossing.
_SCOUT_FIRST, _SCOUT_GROWTH, _SCOUT_ROUNDS = 0.4, 1.5, 28
_STEP_GROWTH, _STEP_ROUNDS = 1.05, 3
_TOLERANCE = 1e-3  # relative width of a bracket while the search goes on
# Where a step is looked at first: where the network is linear it ends on the boundary itself, and
# rounding would decide on which side.
_BEYOND = 1 + 0.03 * _TOLERANCE
_OVERSHOOT = 1.05  # of a marching step, which otherwise stops short of the boundary
_GIVE_UP = 2e-3  # a search whose step was shortened to this share has ended
_SHORTEN, _LENGTHEN = 0.6, 1.5
_REPORT = 12  # steps between two intermediate results
_CROWDED = 0.75  # share of searches still going under which the ended ones are put aside
_LONGEST = 8.0  # beyond 1 where the boundary curves toward the image, and steps fall short
_LEAST_GAIN = 1e-6  # relative
# A linearisation that a known boundary point violates by this share of the distance no longer
# describes the boundary there, and is dropped.
_VIOLATION = 1e-4
# By this share of the distance a third class is kept below the two whose boundary is looked
# for, so that rounding does not make it the highest.
_CLEARANCE = 1e-3


def minimise(rays: Rays, effort: Effort, *, seed: int) -> Iterator[tuple[float, Tensor]]:
    """Offsets of nearest boundary points ``(n, d)``, after scouting and while refining.

    Yields pairs of the share of the work done, 1.0 with the last of them, and the offsets so
    far. The boundary lies along each offset, within a relative width of 1e-3; an offset is NaN
    where no boundary was found.
    """
    offsets = _scout(rays, effort, seed)
    scouted = effort.scouted_share
    yield scouted, offsets
    found = _rows(_is_found(offsets))
    for share, refined in _refine(rays[found], offsets[found], effort.refining):
        offsets = offsets.clone()
        offsets[found] = refined
        yield 1 - (1 - scouted) * (1 - share), offsets


def _scout(rays: Rays, effort: Effort, seed: int) -> Tensor:
    n, d, starts = len(rays), rays.dimension, effort.starts
    own, rivals = rays.own[:, None], likely_rivals(rays, effort.rivals)
    linearised = rays.jacobian(rays.zeros, torch.cat([own, rivals], dim=1))
    toward = _toward_classes(rays, rivals, *linearised)
    beyond = _deepfool_crossings(rays, rivals, effort.deepfool, linearised)
    del linearised  # it is large
    along = _ray_crossings(rays, _several(rays, toward, effort.rays, seed))
    below = _descent_crossings(
        rays, _several(rays, toward, effort.descents, seed), effort.descent_steps
    )
    offsets = torch.cat([along, below, beyond], dim=1)
    for find in (_march, lambda lost: _at_random(lost, seed)):
        lost = _rows(~_is_found(offsets).any(1))
        if len(lost):
            offsets[lost, 0] = find(rays[lost])
    offsets = offsets.reshape(-1, d)
    found = _rows(_is_found(offsets))
    for _, refined in _refine(_repeated(rays, starts)[found], offsets[found], effort.scouting):
        offsets[found] = refined
    return _shortest(offsets.reshape(n, starts, d))


def _several(rays: Rays, toward: Tensor, count: int, seed: int) -> Tensor:
    """First steps ``(n, count, d)``: toward classes, then away from them, then random."""
    directions = torch.cat([toward, -toward], dim=1)[:, :count]
    random = _random_steps(rays, count - directions.shape[1], seed).expand(len(rays), -1, -1)
    return torch.cat([directions, random], dim=1)


def _ray_crossings(rays: Rays, directions: Tensor) -> Tensor:
    n, count, d = directions.shape
    offsets = _first_crossings(_repeated(rays, count), directions.reshape(-1, d))
    return offsets.reshape(n, count, d)


def _descent_crossings(rays: Rays, directions: Tensor, steps: int) -> Tensor:
    n, count, d = directions.shape
    copies = _repeated(rays, count)
    offsets = sphere_descent(copies, directions.reshape(-1, d), steps)
    return _first_crossings(copies, offsets, first=1.0).reshape(n, count, d)


def _deepfool_crossings(
    rays: Rays, rivals: Tensor, most: int, start: tuple[Tensor, Tensor]
) -> Tensor:
    """The crossing beyond DeepFool's last point, be it across or not; none without steps."""
    if most == 0:
        return rays.images.new_empty(len(rays), 0, rays.dimension)
    offsets, _ = deepfool_steps(rays, rivals, most, start)
    somewhere = (offsets != 0).any(1, keepdim=True)
    return _first_crossings(rays, torch.where(somewhere, offsets, math.nan), first=1.0)[:, None]


def _random_steps(rays: Rays, count: int, seed: int) -> Tensor:
    """Short steps ``(count, d)`` in random directions, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((count, rays.dimension), generator=generator).to(rays.images)
    low, high = rays.clf.bounds
    return drawn * _RANDOM_START * (high - low)


def _toward_classes(rays: Rays, rivals: Tensor, logits: Tensor, jacobian: Tensor) -> Tensor:
    """Newton steps ``(n, k, d)`` onto the linearised boundaries of classes, the shortest first."""
    own = rays.own[:, None]
    levels = (logits.gather(1, own) - logits.gather(1, rivals)).clamp_min(0.0)
    gradients = jacobian[:, :1] - jacobian[:, 1:]
    norms = gradients.norm(dim=2)
    # From an image on the boundary itself a ray needs some length to have a direction.
    low, high = rays.clf.bounds
    least = _LEAST_STEP * (high - low) * math.sqrt(rays.dimension)
    lengths = torch.where(norms > 0, (levels / norms).clamp_min(least), math.inf)
    nearest = lengths.argsort(1)
    steps: Tensor = -gradients * (lengths / norms)[:, :, None]
    return steps.gather(1, nearest[:, :, None].expand(-1, -1, steps.shape[2]))


def _first_crossings(rays: Rays, directions: Tensor, *, first: float = _SCOUT_FIRST) -> Tensor:
    """Offsets of the boundary along rays, NaN where a ray does not cross."""
    offsets = torch.full_like(directions, math.nan)
    usable = _rows(directions.isfinite().all(1))
    crossing = rays[usable].cross(
        directions[usable],
        first=first,
        growth=_SCOUT_GROWTH,
        tolerance=_TOLERANCE,
        rounds=_SCOUT_ROUNDS,
    )
    reached = usable[crossing.found]
    offsets[reached] = crossing.outside[crossing.found, None] * directions[reached]
    return rays.clip(offsets)


def _march(rays: Rays) -> Tensor:
    """Newton steps downhill from point to point until one is across; NaN where none is.

    A step that leads uphill is taken back and halved.
    """
    best, lowest = rays.zeros, torch.full_like(rays.start_levels, math.inf)
    steps = torch.zeros_like(best)
    share = torch.full_like(lowest, _OVERSHOOT)
    crossed = torch.zeros_like(lowest, dtype=torch.bool)
    rows = torch.arange(len(rays), device=best.device)
    for _ in range(_MARCH):
        part = rays[rows]
        tried = part.clip(best[rows] - share[rows, None] * steps[rows])
        logits, distances, normals = part.linearise(tried)
        levels = level(logits, part.own, part.other)
        down = (levels < lowest[rows]) & distances.isfinite()
        improved = rows[down]
        best[improved], lowest[improved] = tried[down], levels[down]
        steps[improved] = distances[down, None] * normals[down]
        share[rows] = torch.where(down, _OVERSHOOT, 0.5 * share[rows])
        crossed[rows] = levels < 0
        rows = rows[levels >= 0]
        if len(rows) == 0:
            break
    return _first_crossings(rays, torch.where(crossed[:, None], best, math.nan), first=1.0)


def _at_random(rays: Rays, seed: int) -> Tensor:
    """The nearest crossing along a few random directions; NaN where there is none."""
    n, d = len(rays), rays.dimension
    directions = _random_steps(rays, _RANDOM_DIRECTIONS, seed)
    offsets = _first_crossings(_repeated(rays, len(directions)), directions.repeat(n, 1))
    return _shortest(offsets.reshape(n, len(directions), d))


def _refine(rays: Rays, offsets: Tensor, steps: int) -> Iterator[tuple[float, Tensor]]:
    """Shorter and shorter offsets to the boundary, from offsets that lead there."""
    best = offsets.clone()
    search = _Search.started(rays, offsets)
    rows = torch.arange(len(rays), device=offsets.device)
    for done in range(1, steps + 1):
        if len(rows) == 0:
            break
        search.step()
        best[rows] = search.anchor
        if done % _REPORT == 0 and done < steps:
            yield done / steps, best
        if int(search.going.sum()) < _CROWDED * len(rows):
            rows, search = rows[search.going], search[search.going]
    yield 1.0, best


@dataclass
class _Search:
    """What refining knows about each image."""

    rays: Rays
    anchor: Tensor  # (n, d): the best offset so far
    feasible: Tensor  # (n,) bool: whether the boundary at the anchor is that of the two classes
    place: Tensor  # (n, d): where F is linearised next
    share: Tensor  # (n,): of the step to the shortest offset that is taken
    normals: Tensor  # (n, m, d): of the linearisations
    levels: Tensor  # (n, m): their values at the image
    multipliers: Tensor  # (n, m)
    kept_down: Tensor  # (n,): linearisations of third classes made so far
    going: Tensor  # (n,) bool; where not, the anchor stays, however long others go on
    steps: int = 0

    @classmethod
    def started(cls, rays: Rays, offsets: Tensor) -> _Search:
        n, d = offsets.shape
        thirds = 0 if rays.to_any_class else _LINEARISATIONS_OF_THIRDS
        m = _LINEARISATIONS + thirds
        return cls(
            rays=rays,
            anchor=offsets,
            feasible=_is_boundary(rays, offsets),
            place=offsets,
            share=offsets.new_ones(n),
            normals=offsets.new_zeros(n, m, d),
            levels=offsets.new_full((n, m), -math.inf),
            multipliers=offsets.new_zeros(n, m),
            kept_down=torch.zeros_like(rays.own),
            going=torch.ones_like(rays.own, dtype=torch.bool),
        )

    def __getitem__(self, rows: Tensor) -> _Search:
        return _Search(
            self.rays[_rows(rows)],
            self.anchor[rows],
            self.feasible[rows],
            self.place[rows],
            self.share[rows],
            self.normals[rows],
            self.levels[rows],
            self.multipliers[rows],
            self.kept_down[rows],
            self.going[rows],
            self.steps,
        )

    def step(self) -> None:
        rays = self.rays
        logits, distances, normals = rays.linearise(self.place)
        self._drop_violated()
        everywhere = torch.arange(len(rays), device=normals.device)
        turn = torch.full_like(everywhere, self.steps % _LINEARISATIONS)
        self._remember(everywhere, turn, distances, normals)
        self._keep_third_class_down(logits)
        self.steps += 1
        shortest, self.multipliers = shortest_offset(
            self.normals, self.levels, self.multipliers, box=rays.box
        )
        share = torch.where(self.feasible, self.share, 1.0)[:, None]
        tried = self.anchor + share * (shortest - self.anchor)
        crossing = rays.cross(
            tried, first=_BEYOND, growth=_STEP_GROWTH, tolerance=_TOLERANCE, rounds=_STEP_ROUNDS
        )
        t = torch.where(crossing.found, crossing.outside, 1.0)[:, None]
        self.place = rays.clip(t * tried)
        usable = crossing.found & _is_boundary(rays, self.place)
        nearer = self.place.norm(dim=1) < (1 - _LEAST_GAIN) * self.anchor.norm(dim=1)
        better = usable & (nearer | ~self.feasible) & self.going
        self.anchor = torch.where((better | ~self.feasible)[:, None], self.place, self.anchor)
        self.share = torch.where(
            better | ~self.feasible,
            (_LENGTHEN * self.share).clamp_max(_LONGEST),
            _SHORTEN * self.share,
        )
        self.feasible = self.feasible | usable
        self.going = self.going & (self.share > _GIVE_UP)

    def _remember(self, rows: Tensor, slots: Tensor, distances: Tensor, normals: Tensor) -> None:
        """Keep half-spaces ``distance + normal (p - place) <= 0`` of some images, one for each."""
        levels = distances - (normals * self.place[rows]).sum(1)
        usable = levels.isfinite()
        self.normals[rows, slots] = torch.where(usable[:, None], normals, 0.0)
        self.levels[rows, slots] = torch.where(usable, levels, -math.inf)
        self.multipliers[rows, slots] = 0.0

    def _drop_violated(self) -> None:
        excess = self.levels + (self.normals * self.anchor[:, None]).sum(2)
        violated = excess > _VIOLATION * self.anchor.norm(dim=1, keepdim=True)
        self.levels[violated & self.feasible[:, None]] = -math.inf

    def _keep_third_class_down(self, logits: Tensor) -> None:
        rays = self.rays
        if not _third_in_the_way(rays):
            return
        rows = _rows(hidden(logits, rays.own, rays.other) > 0)
        if len(rows) == 0:
            return
        place = self.place[rows]
        _, distances, normals = rays[rows].linearise(place, hidden)
        slots = _LINEARISATIONS + self.kept_down[rows] % _LINEARISATIONS_OF_THIRDS
        self._remember(rows, slots, distances + _CLEARANCE * place.norm(dim=1), normals)
        self.kept_down[rows] += 1


def _is_boundary(rays: Rays, offsets: Tensor) -> Tensor:
    """Whether the own class and the rival are the two highest at offsets, ``(n,)``."""
    if not _third_in_the_way(rays):
        return torch.ones(len(rays), dtype=torch.bool, device=offsets.device)
    return hidden(rays.logits(offsets), rays.own, rays.other) <= 0


def _repeated(rays: Rays, times: int) -> Rays:
    """Every image several times, its copies side by side."""
    return rays[torch.arange(len(rays), device=rays.own.device).repeat_interleave(times)]


def _third_in_the_way(rays: Rays) -> bool:
    """Whether a third class may hide the boundary that is looked for."""
    return rays.clf.n_classes > 2 and not rays.to_any_class


def _is_found(offsets: Tensor) -> Tensor:
    return offsets.isfinite().all(-1)


def _shortest(offsets: Tensor) -> Tensor:
    """The shortest of several offsets ``(n, s, d)`` for each image; NaN where all are."""
    lengths = offsets.norm(dim=2).nan_to_num(math.inf)
    return offsets[torch.arange(len(offsets), device=offsets.device), lengths.argmin(1)]


def _rows(mask: Tensor) -> Tensor:
    return mask.nonzero()[:, 0]
