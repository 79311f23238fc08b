"""The Hessian of F = f_own - f_other and the shape operator at many points, matrix-free.

What measures a Hessian-vector product is one class each, for images and directions at once:
:class:`ExactHessians` differentiates twice, :class:`CentralDifferences` takes the difference of
two gradients, and :class:`~geoexplorer.geometry.smoothing.SmoothedHessians` those of F convolved
with a Gaussian. An eigen-solver sees none of them, only the :class:`ShapeOperators` made from one.

A product counts as two gradients in the cost, which is about what each of them takes.
"""

from __future__ import annotations

import math
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from geoexplorer.classifier import Classifier, difference
from geoexplorer.geometry.blocks import slices

__all__ = [
    "CentralDifferences",
    "ExactHessians",
    "Hessians",
    "LevelSets",
    "ShapeOperators",
    "default_step",
]

# The authors' step: ten grey levels of 512, times the square root of d.
_STEP_LEVELS, _LEVELS = 10, 512
# Memory that a Hessian-vector product takes, in that of a plain forward pass.
_PRODUCT_LOAD = 4
# Products between two looks at the progress, where the network is small.
_PRODUCTS_AT_ONCE = 512
# A batch of this fraction of a chunk is as quick, image by image, as a larger one.
_FULL = 8
# Vectors of the input's size that finite differences hold for each direction.
_VECTORS = 6


def default_step(clf: Classifier) -> float:
    """The step h that the authors' own research code takes, 10 √d (hi - lo) / 512.

    As an l2 length: 1.08 for 32x32x3 images in [0, 1].
    """
    low, high = clf.bounds
    return _STEP_LEVELS * math.sqrt(clf.dimension) * (high - low) / _LEVELS


@dataclass(frozen=True)
class LevelSets:
    """Points, and for each of them the function F = f_own - f_other whose level set is meant."""

    clf: Classifier
    points: Tensor  # (n, d), on the classifier's device
    own: Tensor  # (n,) int64
    other: Tensor  # (n,) int64

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: slice | Tensor) -> LevelSets:
        return replace(self, points=self.points[rows], own=self.own[rows], other=self.other[rows])

    @property
    def images(self) -> Tensor:
        """The points as images, ``(n, C, H, W)``."""
        return self.points.reshape(-1, *self.clf.input_shape)

    def gradients(self, offsets: Tensor) -> Tensor:
        """∇F ``(n, m, d)`` at the points displaced by ``(n, m, d)``."""
        n, m, d = offsets.shape
        displaced = (self.points[:, None] + offsets).reshape(n * m, *self.clf.input_shape)
        own, other = self.own.repeat_interleave(m), self.other.repeat_interleave(m)
        _, _, gradients = self.clf.forward_gradient(displaced, difference, own, other)
        return gradients.reshape(n, m, d)

    def changes(self, offsets: Tensor) -> Tensor:
        """∇F(z + p) - ∇F(z - p), ``(n, m, d)``, for offsets p ``(n, m, d)``."""
        if offsets.shape[:2].numel() > self.clf.chunk_size // _FULL:
            return self.gradients(offsets) - self.gradients(-offsets)
        ahead, behind = self.gradients(torch.cat([offsets, -offsets], dim=1)).chunk(2, dim=1)
        return ahead - behind

    @property
    def directions_at_once(self) -> int:
        """Directions for which finite differences fit into the memory allowed."""
        vector = self.points.shape[1] * self.points.element_size()
        return max(1, self.clf.memory // (4 * _VECTORS * vector))

    @property
    def vectors_at_once(self) -> int:
        """Vectors whose products with the Hessians are best found together, at all points."""
        clf = self.clf
        fitting = clf.memory // (8 * self.points.shape[1] * self.points.element_size())
        quick = max(clf.chunk_size, min(_PRODUCTS_AT_ONCE, 4 * clf.chunk_size))
        return max(1, min(quick, fitting))


class Hessians(ABC):
    """The Hessians H of F at several points."""

    def __init__(self, sets: LevelSets) -> None:
        self.sets = sets

    def gradients(self) -> Tensor:
        """∇F ``(n, d)``, which gives the normals."""
        return self.sets.gradients(torch.zeros_like(self.sets.points)[:, None])[:, 0]

    @abstractmethod
    def products(self, vectors: Tensor) -> Tensor:
        """H v, ``(n, m, d)``, for m vectors at each point, ``(n, m, d)``, of unit length."""

    def along(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """vᵀ H v, ``(n, m)``, and the standard error of each, 0 where nothing is drawn."""
        values = (vectors * self.products(vectors)).sum(2)
        return values, torch.zeros_like(values)


class ExactHessians(Hessians):
    """By differentiating twice; the smooth pieces are all that it sees of a network with kinks."""

    def products(self, vectors: Tensor) -> Tensor:
        """H v, ``(n, m, d)``."""
        sets, (n, m, d) = self.sets, vectors.shape
        clf, rule = sets.clf, _product_rule(sets.clf)
        columns = vectors.transpose(0, 1).reshape(m, n, *clf.input_shape)
        products: list[Tensor] = []
        start = 0
        while start < n:
            # As many points as take all directions at once, and then directions in chunks.
            part = slice(start, start + max(1, clf.chunk_size // (_PRODUCT_LOAD * m)))
            rows = sets[part]
            try:
                (found,) = clf.in_chunks(
                    lambda network, chunk, rows=rows: (_one_at_a_time(rule, network, rows, chunk),),
                    columns[:, part],
                    load=_PRODUCT_LOAD * len(rows),
                )
            except torch.OutOfMemoryError:
                if len(rows) == 1:
                    raise
                continue  # with fewer points: the chunk was halved
            products.append(found)
            start += len(rows)
        clf.count(forwards=2 * n * m, gradients=2 * n * m)
        return torch.cat(products, dim=1).reshape(m, n, d).transpose(0, 1)


class CentralDifferences(Hessians):
    """(∇F(z + h v) - ∇F(z - h v)) / 2h; with kinks neither linear in v nor symmetric."""

    def __init__(self, sets: LevelSets, step: float) -> None:
        super().__init__(sets)
        self.step = step

    def products(self, vectors: Tensor) -> Tensor:
        """H v, ``(n, m, d)``."""
        at_once = max(1, self.sets.directions_at_once // len(self.sets))
        return torch.cat(
            [self._differences(vectors[:, part]) for part in slices(vectors.shape[1], at_once)],
            dim=1,
        )

    def _differences(self, vectors: Tensor) -> Tensor:
        offsets = self.step * vectors
        return self.sets.changes(offsets) / (2 * self.step)


class ShapeOperators:
    """The shape operators G = P H P / ‖∇F‖ of the level sets of F, in tangent coordinates.

    P takes away the part along the unit normal n = ∇F/‖∇F‖. In coordinates of an orthonormal basis
    of the tangent space the operator is (d - 1) x (d - 1), and the normal's own zero is not in it.
    The basis is that of a Householder reflection, which costs nothing to apply.

    Parameters
    ----------
    hessians
        What gives the products H v.
    gradients
        ∇F, ``(n, d)``, of the same method, without a zero.
    """

    def __init__(self, hessians: Hessians, gradients: Tensor) -> None:
        self._hessians = hessians
        self.norms: Tensor = gradients.norm(dim=1)
        self.normals: Tensor = gradients / self.norms[:, None]
        self._mirror = _mirror(self.normals)

    def measured_by(self, hessians: Hessians) -> ShapeOperators:
        """The same operators with the same normals, by other products H v."""
        return ShapeOperators(hessians, self.normals * self.norms[:, None])

    @property
    def count(self) -> int:
        """Number of points n."""
        return len(self.normals)

    @property
    def dimension(self) -> int:
        """d - 1, of the tangent space."""
        return self.normals.shape[1] - 1

    @property
    def memory(self) -> int:
        """Bytes that the vectors of a search may take."""
        return self._hessians.sets.clf.memory // 2

    @property
    def vectors_at_once(self) -> int:
        """Vectors that are best applied together, at all points."""
        return self._hessians.sets.vectors_at_once

    @property
    def like(self) -> Tensor:
        """A tensor of the dtype and on the device of the coordinates."""
        return self.normals

    def apply(self, coordinates: Tensor) -> Tensor:
        """G, applied to m unit tangents at each point: ``(n, m, d - 1)`` to the same."""
        if self.count == 0:
            return coordinates
        products = self._hessians.products(self.lift(coordinates))
        return _scaled(self.coordinates(products), self.norms)

    def along(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """κ = uᵀ G u along m unit tangents at each point, ``(n, m)``, and their standard errors."""
        if self.count == 0:
            return coordinates[..., 0], coordinates[..., 0]
        values, errors = self._hessians.along(self.lift(coordinates))
        return values / self.norms[:, None], errors / self.norms[:, None]

    def lift(self, coordinates: Tensor) -> Tensor:
        """Tangent vectors ``(n, m, d)`` with coordinates ``(n, m, d - 1)``."""
        padded = torch.nn.functional.pad(coordinates, (1, 0))
        return self._reflected(padded)

    def coordinates(self, vectors: Tensor) -> Tensor:
        """Coordinates ``(n, m, d - 1)`` of the tangent parts of vectors ``(n, m, d)``."""
        return self._reflected(vectors)[..., 1:]

    def restricted(self, hessians: Tensor) -> Tensor:
        """G ``(n, d - 1, d - 1)`` in coordinates, from matrices H ``(n, d, d)``."""
        rows = self.coordinates(hessians)
        restricted = self.coordinates(rows.transpose(1, 2)).transpose(1, 2)
        return _scaled(restricted, self.norms)

    def _reflected(self, vectors: Tensor) -> Tensor:
        mirror = self._mirror[:, None]
        return vectors - 2 * (vectors * mirror).sum(-1, keepdim=True) * mirror


def _mirror(normals: Tensor) -> Tensor:
    """Unit w ``(n, d)`` such that I - 2 w wᵀ takes each normal to a multiple of the first axis."""
    w = normals.clone()
    w[:, 0] += torch.where(normals[:, 0] < 0, -1.0, 1.0)
    lengths: Tensor = w.norm(dim=1, keepdim=True)
    return w / lengths


def _scaled(blocks: Tensor, norms: Tensor) -> Tensor:
    return blocks / norms[:, None, None]


# How to differentiate twice. Each takes the network, n points and directions (m, n, C, H, W).

ProductRule = Callable[[nn.Module, LevelSets, Tensor], Tensor]


def _forward_over_reverse(network: nn.Module, sets: LevelSets, directions: Tensor) -> Tensor:
    """All directions share one pass at the points."""
    return vmap(partial(_directional, network, sets))(directions)


def _forward_over_reverse_alone(network: nn.Module, sets: LevelSets, directions: Tensor) -> Tensor:
    """For what cannot be vectorised, such as units that work in place: one direction at a time."""
    return torch.stack([_directional(network, sets, direction) for direction in directions])


def _reverse_over_reverse(network: nn.Module, sets: LevelSets, directions: Tensor) -> Tensor:
    """For layers without a forward rule."""
    gradient = _gradient_function(network, sets, directions.device)

    def along(images: Tensor, direction: Tensor) -> Tensor:
        return (gradient(images) * direction).sum()

    images = sets.images.to(directions)
    with sdpa_kernel(SDPBackend.MATH):
        return torch.stack([grad(along)(images, direction) for direction in directions])


def _directional(network: nn.Module, sets: LevelSets, direction: Tensor) -> Tensor:
    gradient = _gradient_function(network, sets, direction.device)
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward rule
        product: Tensor = jvp(gradient, (sets.images.to(direction),), (direction,))[1]
    return product


def _gradient_function(
    network: nn.Module, sets: LevelSets, device: torch.device
) -> Callable[[Tensor], Tensor]:
    own, other = sets.own.to(device), sets.other.to(device)

    def total(images: Tensor) -> Tensor:
        return difference(network(images).to(images.dtype), own, other).sum()

    gradient: Callable[[Tensor], Tensor] = grad(total)
    return gradient


_RULES: tuple[ProductRule, ...] = (
    _forward_over_reverse,
    _forward_over_reverse_alone,
    _reverse_over_reverse,
)
_rules: WeakKeyDictionary[Classifier, ProductRule] = WeakKeyDictionary()


def _product_rule(clf: Classifier) -> ProductRule:
    """The first rule that the network's layers support."""
    if clf not in _rules:
        _rules[clf] = _first_working(clf)
    return _rules[clf]


# Forward-mode differentiation and the choice of attention kernels are states of the whole process.
_forward_mode = threading.Lock()


def _one_at_a_time(
    rule: ProductRule, network: nn.Module, sets: LevelSets, directions: Tensor
) -> Tensor:
    with _forward_mode:
        return rule(network, sets, directions)


def _first_working(clf: Classifier) -> ProductRule:
    points = torch.zeros(1, clf.dimension, device=clf.device, dtype=clf.dtype)
    classes = torch.tensor([0, 1], device=clf.device)
    sets = LevelSets(clf, points, classes[:1], classes[1:])
    directions = torch.ones((2, 1, *clf.input_shape), device=clf.device, dtype=clf.dtype)
    for rule in _RULES:
        try:
            with warnings.catch_warnings():  # torch warns of parts of its own when it loads them
                warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
                _one_at_a_time(rule, clf.module, sets, directions)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as error:
            failure = error
        else:
            return rule
    raise ValueError(
        "method 'autograd' needs second derivatives, which a layer of the network does not have "
        f"({failure}); 'central_difference' and 'smoothed' need first ones only"
    ) from failure
