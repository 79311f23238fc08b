"""Classifiers whose geometry is known in closed form.

Each is an ``nn.Module`` on images of any shape, without parameters, with smooth logits
``(n, L)``. Class 0 is the region that gives the module its name. :func:`classifier` wraps
one in float64.

``nearest(x)`` is the closed form: the boundary points nearest to the images ``x`` in l2, and
from it follow ``distances(x)`` and ``normals(x)``. All of them work in float64.

>>> ball = Ball(torch.zeros(3, 2, 2), 2.0)
>>> clf = classifier(ball)
>>> x = torch.full((1, 3, 2, 2), 0.25)  # its norm is sqrt(12) / 4
>>> clf.labels(x).item(), round(ball.distances(x).item(), 6)
(0, 1.133975)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from geoexplorer.classifier import Classifier


def classifier(module: Analytic, **options) -> Classifier:
    """The module as a classifier on the CPU, in float64 unless ``dtype`` says otherwise."""
    options.setdefault("dtype", torch.float64)
    options.setdefault("name", type(module).__name__)
    return Classifier(module.eval(), input_shape=module.input_shape, device="cpu", **options)


class Analytic(nn.Module):
    """Base: logits from ``forward``, geometry from ``nearest``."""

    def __init__(self, input_shape):
        super().__init__()
        self.input_shape = tuple(input_shape)

    def nearest(self, x: Tensor) -> Tensor:
        """The boundary points nearest to ``x``, ``(n, C, H, W)`` float64."""
        raise NotImplementedError(f"{type(self).__name__} has no closed form for it")

    def distances(self, x: Tensor) -> Tensor:
        """l2 distances ``(n,)`` of the images ``x`` to the boundary."""
        return (x.double() - self.nearest(x)).flatten(1).norm(dim=1)

    def normals(self, x: Tensor) -> Tensor:
        """Unit normals at ``nearest(x)``, into the own region of ``x``; x not on the boundary."""
        offsets = x.double() - self.nearest(x)
        return offsets / offsets.flatten(1).norm(dim=1)[:, None, None, None]


class Linear(Analytic):
    """Logits <w_k, x> + b_k: convex regions with flat sides.

    weights (L, C, H, W), bias (L,). The distance is the least over the other classes of
    |f_own - f_other| / ‖w_own - w_other‖.
    """

    def __init__(self, weights: Tensor, bias: Tensor):
        super().__init__(weights.shape[1:])
        self.register_buffer("weights", weights.double())
        self.register_buffer("bias", bias.double())

    def forward(self, x):
        return x.flatten(1) @ self.weights.flatten(1).T.to(x) + self.bias.to(x)

    def nearest(self, x):
        x = x.double()
        logits = self.forward(x)
        own = logits.argmax(dim=1)
        gaps = logits.gather(1, own[:, None]) - logits
        differences = self.weights.double()[own][:, None] - self.weights.double()
        lengths = differences.flatten(2).norm(dim=2)
        ratios = torch.where(lengths > 0, gaps / lengths.clamp_min(1e-300), math.inf)
        distance, other = ratios.min(dim=1)
        rows = torch.arange(len(x))
        steps = differences[rows, other] / lengths[rows, other][:, None, None, None]
        return x - distance[:, None, None, None] * steps


class HalfSpace(Linear):
    """Class 0 where <w, x> > offset; F = <w, x> - offset."""

    def __init__(self, w: Tensor, offset: float = 0.0):
        bias = torch.tensor([-offset / 2, offset / 2])
        super().__init__(torch.stack([w / 2, -w / 2]), bias)


class Wedge(Linear):
    """Class 0 is a wedge of the given full angle; classes 1 and 2 lie beside it.

    Its edge passes through ``apex``; it opens along the unit direction ``axis``, and ``side``
    (a unit direction, orthogonal to axis) points toward class 1. The three classes meet in
    the edge.
    """

    def __init__(self, apex: Tensor, axis: Tensor, side: Tensor, angle: float):
        half = angle / 2
        out1 = -math.sin(half) * axis + math.cos(half) * side
        out2 = -math.sin(half) * axis - math.cos(half) * side
        weights = torch.stack([torch.zeros_like(axis), out1, out2]).double()
        super().__init__(weights, -(weights * apex.double()).flatten(1).sum(dim=1))


class Ball(Analytic):
    """Class 0 is the ball ‖x - centre‖ < radius; ‖∇F‖ = 1 on the boundary."""

    def __init__(self, centre: Tensor, radius: float):
        super().__init__(centre.shape)
        self.register_buffer("centre", centre.double())
        self.radius = radius

    def forward(self, x):
        square = _square(x - self.centre.to(x))
        return _two_logits((self.radius**2 - square) / (2 * self.radius))

    def nearest(self, x):
        return _on_sphere(x.double(), self.centre, self.radius)


class Annulus(Analytic):
    """Class 0 is the shell inner < ‖x - centre‖ < outer; class 1 is in two pieces."""

    def __init__(self, centre: Tensor, inner: float, outer: float):
        super().__init__(centre.shape)
        self.register_buffer("centre", centre.double())
        self.inner, self.outer = inner, outer

    def forward(self, x):
        square = _square(x - self.centre.to(x))
        product = (self.outer**2 - square) * (square - self.inner**2)
        return _two_logits(product / (self.outer**2 - self.inner**2))

    def nearest(self, x):
        x = x.double()
        radius = _square(x - self.centre).sqrt()
        inward = (radius - self.inner).abs() < (radius - self.outer).abs()
        target = torch.where(inward, self.inner, self.outer).double()
        return _on_sphere(x, self.centre, target)


class TwoIslands(Analytic):
    """Class 0 is two balls that do not touch, in a sea of class 1."""

    def __init__(self, first: Tensor, radius: float, second: Tensor, second_radius: float):
        if float((first - second).norm()) <= radius + second_radius:
            raise ValueError("the islands touch")
        super().__init__(first.shape)
        self.register_buffer("first", first.double())
        self.register_buffer("second", second.double())
        self.radii = radius, second_radius

    def forward(self, x):
        # Each factor is negative inside its ball only, and never both are. It is bounded, so
        # that a small island is as plain as a large one.
        factors = [
            (square - radius**2) / (square + radius**2)
            for square, radius in zip(self._squares(x), self.radii, strict=True)
        ]
        return _two_logits(-factors[0] * factors[1])

    def nearest(self, x):
        x = x.double()
        first, second = (
            (square.sqrt() - radius).abs()
            for square, radius in zip(self._squares(x), self.radii, strict=True)
        )
        near = [
            _on_sphere(x, centre, radius)
            for centre, radius in zip((self.first, self.second), self.radii, strict=True)
        ]
        return torch.where((first <= second)[:, None, None, None], near[0], near[1])

    def _squares(self, x):
        return _square(x - self.first.to(x)), _square(x - self.second.to(x))


class Bridge(Analytic):
    """Class 0 is two blobs around ``first`` and ``second``, joined by a thin bridge.

    A Cassini oval turned around its axis: the product of the distances to the two centres is
    below half² + width², where half is half their distance; at the middle the bridge has the
    half-width ``width``. No closed form for the distance.
    """

    def __init__(self, first: Tensor, second: Tensor, width: float):
        super().__init__(first.shape)
        self.register_buffer("first", first.double())
        self.register_buffer("second", second.double())
        self.width = width
        self.half = float((first - second).norm()) / 2

    def forward(self, x):
        limit = self.half**2 + self.width**2
        product = _square(x - self.first.to(x)) * _square(x - self.second.to(x))
        return _two_logits((limit**2 - product) / limit**2)


class Ellipsoid(Analytic):
    """Class 0 is the ellipsoid sum ((x - centre)² / semi_axes²) < 1, axes along the pixels."""

    def __init__(self, centre: Tensor, semi_axes: Tensor):
        super().__init__(centre.shape)
        self.register_buffer("centre", centre.double())
        self.register_buffer("semi_axes", semi_axes.double())

    def forward(self, x):
        return _two_logits((1 - _square((x - self.centre.to(x)) / self.semi_axes.to(x))) / 2)

    def nearest(self, x):
        # The nearest point is a² p / (a² + t) with p = x - centre and t the largest root of
        # sum (a p / (a² + t))² = 1, which decreases in t: bisection. (For an image inside
        # whose offset along the shortest axis is exactly zero there may be no such root.)
        p, a = (x.double() - self.centre).flatten(1), self.semi_axes.flatten()
        low = torch.full((len(p),), -(float(a.min()) ** 2), dtype=torch.float64)
        high = (a * p).norm(dim=1) + 1.0
        for _ in range(200):
            t = (low + high) / 2
            outside = _square(a * p / (a**2 + t[:, None])) > 1
            low, high = torch.where(outside, t, low), torch.where(outside, high, t)
        near = a**2 * p / (a**2 + ((low + high) / 2)[:, None])
        return self.centre + near.reshape(x.shape)


def _two_logits(margin: Tensor) -> Tensor:
    return torch.stack([margin / 2, -margin / 2], dim=1)


def _square(offsets: Tensor) -> Tensor:
    return offsets.flatten(1).square().sum(dim=1)


def _on_sphere(x: Tensor, centre: Tensor, radius: float | Tensor) -> Tensor:
    offsets = (x - centre).flatten(1)
    lengths = offsets.norm(dim=1, keepdim=True)
    # At the centre every direction is as good; the first pixel's is taken.
    pixel = torch.zeros_like(offsets)
    pixel[:, 0] = 1.0
    units = torch.where(lengths > 0, offsets / lengths.clamp_min(1e-300), pixel)
    scaled = units * torch.as_tensor(radius, dtype=torch.float64).reshape(-1, 1)
    return centre + scaled.reshape(x.shape)
