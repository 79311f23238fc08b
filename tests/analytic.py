"""Classifiers whose geometry is known in closed form.

Each is an ``nn.Module`` on images of any shape, without parameters, with smooth logits
``(n, L)``. Class 0 is the region that gives the module its name. :func:`classifier` wraps
one in float64.

``nearest(x)`` is the closed form: the boundary points nearest to the images ``x`` in l2, and
from it follow ``distances(x)`` and ``normals(x)``. All of them work in float64.

The :class:`Quadratic` ones, whose F = f_0 - f_1 is a quadratic polynomial, also know the curvature
of the level set of F through any point, by formulas that differentiate nothing:
``principal_curvatures(z)`` and ``normal_curvature(z, directions)``. :func:`boundary_at` makes
:class:`BoundaryPoints` of points on them without a search.

>>> ball = Ball(torch.zeros(3, 2, 2), 2.0)
>>> clf = classifier(ball)
>>> x = torch.full((1, 3, 2, 2), 0.25)  # its norm is sqrt(12) / 4
>>> clf.labels(x).item(), round(ball.distances(x).item(), 6)
(0, 1.133975)
>>> b = boundary_at(clf, ball, ball.nearest(x))
>>> ball.principal_curvatures(b.points)[0, :2].tolist()
[-0.5, -0.5]
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.boundary import BoundaryPoints


def classifier(module: Analytic, **options) -> Classifier:
    """The module as a classifier on the CPU, in float64 unless ``dtype`` says otherwise."""
    options.setdefault("dtype", torch.float64)
    options.setdefault("name", type(module).__name__)
    return Classifier(module.eval(), input_shape=module.input_shape, device="cpu", **options)


def boundary_at(
    clf: Classifier, module: Quadratic | Rotated, z: Tensor, *, distance: float = 0.1, own: int = 0
) -> BoundaryPoints:
    """Boundary points at ``z`` on the surface, of images at ``distance`` on the side of ``own``."""
    z = z.double()
    gradients = module.gradient(z) if own == 0 else -module.gradient(z)
    normals = gradients / _lengths(gradients)
    ones, classes = torch.ones(len(z)), torch.full((len(z),), own)
    return BoundaryPoints(
        images=(z + distance * normals).to(clf.dtype),
        points=z.to(clf.dtype),
        perturbations=(-distance * normals).to(clf.dtype),
        distances=(distance * ones).to(clf.dtype),
        own=classes,
        other=1 - classes,
        normals=normals.to(clf.dtype),
        alignment=ones.to(clf.dtype),
        residual=(0 * ones).to(clf.dtype),
        converged=ones.bool(),
    )


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


class Quadratic(Analytic):
    """Base: F = f_0 - f_1 a quadratic polynomial, given by its gradient and its Hessian.

    The Hessian is Q diag(λ) Qᵀ: ``eigenvalues`` λ (d,), ``basis`` Q (d, d), or None for I.
    """

    def __init__(self, input_shape):
        super().__init__(input_shape)
        self.register_buffer("basis", None)

    def gradient(self, x: Tensor) -> Tensor:
        """∇F at ``x``, ``(n, C, H, W)`` float64."""
        raise NotImplementedError

    def onto(self, x: Tensor) -> Tensor:
        """Points of the surface near ``x``, by Newton's steps along the gradient."""
        x = x.double()
        for _ in range(60):
            logits, gradient = self.forward(x), self.gradient(x)
            steps = (logits[:, 0] - logits[:, 1]) / _square(gradient)
            x = x - steps[:, None, None, None] * gradient
        return x

    def principal_curvatures(self, z: Tensor, own: int = 0) -> Tensor:
        """All d - 1 of them at ``z``, ``(n, d - 1)`` float64, descending.

        The eigenvalues of the Hessian on the tangents at the unit normal n are the roots μ of
        sum (Qᵀn)_i² / (λ_i - μ) = 0, one between any two neighbouring λ (Golub 1973, eq. 4.1),
        where the left side increases: bisection.
        """
        gradient = self.gradient(z.double()).flatten(1)
        length = gradient.norm(dim=1, keepdim=True)
        components = gradient / length if self.basis is None else gradient / length @ self.basis
        poles, order = self.eigenvalues.sort()
        weights = components[:, order].square()
        roots = torch.stack([_roots(poles, weight) for weight in weights])
        curvatures = (roots / length).flip(1)
        return curvatures if own == 0 else -curvatures.flip(1)

    def normal_curvature(self, z: Tensor, directions: Tensor, own: int = 0) -> Tensor:
        """κ ``(n, m)`` along ``(m, C, H, W)`` or ``(n, m, C, H, W)``, made tangent and unit."""
        gradient = self.gradient(z.double()).flatten(1)
        normal = gradient / gradient.norm(dim=1, keepdim=True)
        v = directions.double().flatten(-3).expand(len(z), -1, -1)
        v = v - (v @ normal[:, :, None]) * normal[:, None]
        v = v / v.norm(dim=2, keepdim=True)
        components = v if self.basis is None else v @ self.basis
        curvatures = (components.square() @ self.eigenvalues) / gradient.norm(dim=1, keepdim=True)
        return curvatures if own == 0 else -curvatures


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


class HalfSpace(Linear, Quadratic):
    """Class 0 where <w, x> > offset; F = <w, x> - offset."""

    def __init__(self, w: Tensor, offset: float = 0.0):
        bias = torch.tensor([-offset / 2, offset / 2])
        super().__init__(torch.stack([w / 2, -w / 2]), bias)
        self.register_buffer("eigenvalues", torch.zeros(w.numel(), dtype=torch.float64))

    def gradient(self, x):
        return (2 * self.weights[0]).expand(len(x), *self.input_shape)


class Crease(Analytic):
    """F = <across, x> - slope max(<along, x>, 0): two flat sides that meet in a crease.

    ``across`` and ``along`` are orthonormal directions (C, H, W). With slope > 0 class 0 is a
    wedge of less than π, with slope < 0 of more.
    """

    def __init__(self, across: Tensor, along: Tensor, slope: float):
        super().__init__(across.shape)
        self.register_buffer("across", across.double())
        self.register_buffer("along", along.double())
        self.slope = slope

    def forward(self, x):
        across, along = (x.flatten(1) @ axis.flatten().to(x) for axis in (self.across, self.along))
        return _two_logits(across - self.slope * torch.relu(along))

    def gradient(self, x):
        beyond = (x.double().flatten(1) @ self.along.flatten() > 0).double()
        return self.across - self.slope * beyond[:, None, None, None] * self.along

    def at(self, offset: float) -> Tensor:
        """The surface's point ``(1, C, H, W)`` so far from the crease, measured along ``along``."""
        return (self.slope * max(offset, 0.0) * self.across + offset * self.along)[None]

    def central_difference(self, offset: float, step: float) -> float:
        """vᵀ H v for v = ``along``, H the central difference of ∇F with step h at ``at(offset)``.

        ∇F changes by -slope v across the crease.
        """
        return -self.slope / (2 * step) if abs(offset) < step else 0.0

    def smoothed(self, deviation: float) -> float:
        """κ on the crease itself, along its only curved tangent, of F convolved with a Gaussian.

        There ∇F is across - slope/2 along, and H is -slope φ(0) / σ along alongᵀ.
        """
        tilt = 1 + self.slope**2 / 4  # ‖∇F‖²
        return -self.slope / (math.sqrt(2 * math.pi) * deviation) / tilt**1.5

    def secant(self, offset: float, step: float) -> float:
        """κ along ``along`` of the parabola through the surface at ``at(offset)`` ± step.

        For an offset below 0 and above -step: one end is flat, the other rises by the slope.
        """
        return -self.slope * (step + offset) / step**2


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


class Quadric(Quadratic):
    """F = ½ <x, A x> + <b, x> + c: hyperboloids, cylinders, saddles and all the others.

    A is symmetric, (d, d), or (d,) for a diagonal one; b is an image (C, H, W).
    """

    def __init__(self, A: Tensor, b: Tensor, c: float = 0.0):
        super().__init__(b.shape)
        self.register_buffer("A", A.double())
        self.register_buffer("b", b.double())
        self.c = c
        if A.ndim == 2:
            eigenvalues, basis = torch.linalg.eigh(self.A)
            self.basis = basis
        else:
            eigenvalues = self.A.clone()
        self.register_buffer("eigenvalues", eigenvalues)

    @staticmethod
    def with_curvatures(curvatures: Tensor, shape: tuple[int, int, int]) -> Quadric:
        """F = x_0 + ½ sum κ_i x_i²: principal curvatures κ (d - 1,) at the origin."""
        b = torch.zeros(shape, dtype=torch.float64)
        b.view(-1)[0] = 1.0
        return Quadric(torch.cat([torch.zeros(1), curvatures]), b)

    def forward(self, x):
        bent = self._bent(x)
        quadratic = (bent * x).flatten(1).sum(dim=1) / 2
        return _two_logits(quadratic + x.flatten(1) @ self.b.flatten().to(x) + self.c)

    def gradient(self, x):
        return self._bent(x.double()) + self.b

    def _bent(self, x):
        A, flat = self.A.to(x), x.flatten(1)
        return (flat * A if A.ndim == 1 else flat @ A).reshape(x.shape)


# Of the quadrics that several tests share: the images' shape, and the shared curvatures.
SMALL = (3, 4, 4)
CURVATURES = torch.tensor([6.0, 4.0, -5.0, -8.0])


class SharedQuadrics(Analytic):
    """Class 0 beside K others, whose boundaries with it are all curved along the same directions.

    f_0 = 0 and f_k = -q_k, so that F = q_k between 0 and k: q_k = <b_k, x> + ½ <x, A_k x>, where
    A_k = Uᵀ diag(λ) U + V_kᵀ diag(μ_k) V_k. The directions U (s, d) are shared, V_k (K, r, d) and
    the b_k (K, d) are random, and orthogonal to U unless the b_k have a ``slant``: so large a part
    of each b_k lies along U. Without slant the rows of U are principal directions of every
    boundary wherever x is orthogonal to U.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        curvatures: Tensor,
        *,
        others: int = 6,
        rank: int = 4,
        size: float = 0.5,
        slant: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(input_shape)
        generator = torch.Generator().manual_seed(seed)
        d, shared = math.prod(input_shape), len(curvatures)
        drawn = torch.randn(d, d, generator=generator, dtype=torch.float64)
        axes = torch.linalg.qr(drawn).Q.T
        within, rest = axes[:shared], axes[shared:]
        coordinates = torch.randn(others, d - shared, rank, generator=generator).double()
        own = torch.linalg.qr(coordinates).Q.transpose(1, 2) @ rest
        bends = size * (2 * torch.rand(others, rank, generator=generator).double() - 1)
        normals = torch.randn(others, d - shared, generator=generator).double() @ rest
        normals = normals / normals.norm(dim=1, keepdim=True)
        tilts = torch.randn(others, shared, generator=generator).double() @ within
        self.slant = slant
        self.register_buffer("shared", within)
        self.register_buffer("eigenvalues", curvatures.double())
        self.register_buffer("own", own)
        self.register_buffer("bends", bends)
        lengths = 0.5 + torch.rand(others, 1, generator=generator).double()
        self.register_buffer("b", lengths * (normals + slant * tilts))

    def forward(self, x):
        flat = x.flatten(1)
        bent = (flat @ self.shared.T.to(x)).square() @ self.eigenvalues.to(x)
        own = torch.einsum("nd,krd->nkr", flat, self.own.to(x)).square() * self.bends.to(x)
        q = flat @ self.b.T.to(x) + (bent[:, None] + own.sum(2)) / 2
        return torch.cat([torch.zeros_like(q[:, :1]), -q], dim=1)

    def hessians(self) -> Tensor:
        """A_k ``(K, d, d)``."""
        shared = self.shared.T @ torch.diag(self.eigenvalues) @ self.shared
        return shared + self.own.transpose(1, 2) @ (self.bends[:, :, None] * self.own)

    def boundary(self, clf: Classifier, count: int, seed: int = 0) -> BoundaryPoints:
        """Points of the boundaries between 0 and all the others in turn, and images beside them."""
        generator = torch.Generator().manual_seed(seed)
        k = torch.arange(count) % len(self.b)
        z = 0.5 * torch.randn(count, clf.dimension, generator=generator, dtype=torch.float64)
        if self.slant == 0:
            z = z - z @ self.shared.T @ self.shared
        A = self.hessians()[k]
        for _ in range(60):
            bent = (A @ z[:, :, None])[:, :, 0]
            gradients = self.b[k] + bent
            levels = (z * (self.b[k] + bent / 2)).sum(1)
            z = z - (levels / gradients.square().sum(1))[:, None] * gradients
        gradients = self.b[k] + (A @ z[:, :, None])[:, :, 0]
        normals = (gradients / gradients.norm(dim=1, keepdim=True)).reshape(
            count, *self.input_shape
        )
        ones, z = torch.ones(count), z.reshape(normals.shape)
        return BoundaryPoints(
            images=(z + 0.1 * normals).to(clf.dtype),
            points=z.to(clf.dtype),
            perturbations=(-0.1 * normals).to(clf.dtype),
            distances=(0.1 * ones).to(clf.dtype),
            own=torch.zeros(count, dtype=torch.int64),
            other=1 + k,
            normals=normals.to(clf.dtype),
            alignment=ones.to(clf.dtype),
            residual=(0 * ones).to(clf.dtype),
            converged=ones.bool(),
        )

    def shape_operators(self, boundary: BoundaryPoints) -> Tensor:
        """G = P A P / ‖∇F‖ ``(n, d, d)``."""
        k, z = boundary.other - 1, boundary.points.flatten(1).double()
        A = self.hessians()[k]
        gradients = self.b[k] + (A @ z[:, :, None])[:, :, 0]
        lengths = gradients.norm(dim=1)
        n = gradients / lengths[:, None]
        P = torch.eye(z.shape[1], dtype=torch.float64) - n[:, :, None] * n[:, None]
        return P @ A @ P / lengths[:, None, None]


class Rotated(Analytic):
    """Another module in rotated coordinates: logits of R x, R a product of two reflections."""

    def __init__(self, module: nn.Module, input_shape: tuple[int, int, int], seed: int = 0):
        super().__init__(input_shape)
        self.module = module
        generator = torch.Generator().manual_seed(seed)
        axes = torch.randn(2, math.prod(input_shape), generator=generator, dtype=torch.float64)
        self.register_buffer("axes", axes / axes.norm(dim=1, keepdim=True))

    def forward(self, x):
        return self.module(self.turn(x))

    def turn(self, x: Tensor) -> Tensor:
        """R x, of images ``(..., C, H, W)``."""
        return self._reflected(x, (0, 1))

    def back(self, x: Tensor) -> Tensor:
        """Rᵀ x."""
        return self._reflected(x, (1, 0))

    def gradient(self, x):
        return self.back(self.module.gradient(self.turn(x.double())))

    def principal_curvatures(self, z: Tensor, own: int = 0) -> Tensor:
        return self.module.principal_curvatures(self.turn(z.double()), own)

    def normal_curvature(self, z: Tensor, directions: Tensor, own: int = 0) -> Tensor:
        turned = self.turn(directions.double())
        return self.module.normal_curvature(self.turn(z.double()), turned, own)

    def _reflected(self, x, order):
        flat = x.flatten(-3)
        for index in order:
            axis = self.axes[index].to(x)
            flat = flat - 2 * (flat @ axis)[..., None] * axis
        return flat.reshape(x.shape)


class Ball(Quadratic):
    """Class 0 is the ball ‖x - centre‖ < radius; ‖∇F‖ = 1 on the boundary."""

    def __init__(self, centre: Tensor, radius: float):
        super().__init__(centre.shape)
        self.register_buffer("centre", centre.double())
        self.radius = radius
        self.register_buffer("eigenvalues", torch.full((centre.numel(),), -1 / radius).double())

    def forward(self, x):
        square = _square(x - self.centre.to(x))
        return _two_logits((self.radius**2 - square) / (2 * self.radius))

    def gradient(self, x):
        return (self.centre - x.double()) / self.radius

    def nearest(self, x):
        return _on_sphere(x.double(), self.centre, self.radius)

    def principal_curvatures(self, z, own=0):
        distances = (z.double() - self.centre).flatten(1).norm(dim=1, keepdim=True)
        curvatures = (-1 if own == 0 else 1) / distances
        return curvatures.expand(-1, self.centre.numel() - 1)


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


class C(Analytic):
    """Class 0 is a C around the middle, in the first two pixels; the others do not count.

    A ring from ``inner`` to ``outer`` that is open for angles below ``gap`` (at most π/2) to both
    sides of the first axis. No closed form for the distance.
    """

    def __init__(self, input_shape, inner: float, outer: float, gap: float):
        super().__init__(input_shape)
        self.inner, self.outer, self.gap = inner, outer, gap

    def forward(self, x):
        first, second = x.flatten(1)[:, 0], x.flatten(1)[:, 1]
        radius = torch.sqrt(first**2 + second**2)
        beside = math.cos(self.gap) * second.abs() - math.sin(self.gap) * first
        ring = torch.minimum(self.outer - radius, radius - self.inner)
        return _two_logits(torch.minimum(ring, beside))

    def at(self, angle: float, radius: float | None = None) -> Tensor:
        """The image ``(C, H, W)`` at an angle, by default in the middle of the ring."""
        radius = (self.inner + self.outer) / 2 if radius is None else radius
        image = torch.zeros(self.input_shape, dtype=torch.float64)
        image.view(-1)[0], image.view(-1)[1] = radius * math.cos(angle), radius * math.sin(angle)
        return image


class TouchingBalls(Analytic):
    """Class 0 is two unit balls that touch at the middle; their centres lie on the first axis."""

    def forward(self, x):
        first, rest = x.flatten(1)[:, :1], x.flatten(1)[:, 1:]
        return _two_logits(1 - (first.abs() - 1).square()[:, 0] - rest.square().sum(1))


class Sliver(nn.Sequential):
    """A ReLU network on two pixels: class 1 is a sliver across the first axis in class 0.

    It is so thin in the first pixel, around ``place``, and so long in the second to both sides of
    zero; infinitely long if ``half_length`` is None.
    """

    def __init__(self, place: float, width: float, half_length: float | None):
        first, second = nn.Linear(2, 5).double(), nn.Linear(5, 1).double()
        with torch.no_grad():
            first.weight.copy_(torch.tensor([[1.0, 0], [1, 0], [1, 0], [0, 1], [0, -1]]))
            long = 1e9 if half_length is None else half_length
            biases = [width - place, -place, -width - place, -long, -long]
            first.bias.copy_(torch.tensor(biases, dtype=torch.float64))
            slope = 2 / width
            slopes = [slope, -2 * slope, slope, -1e3, -1e3]
            second.weight.copy_(torch.tensor([slopes], dtype=torch.float64))
            second.bias.zero_()
        last = nn.Linear(1, 2).double()
        with torch.no_grad():
            last.weight.copy_(torch.tensor([[-2.0], [0.0]]))
            last.bias.copy_(torch.tensor([2.0, 0.0]))
        super().__init__(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), last)
        self.input_shape = (1, 1, 2)


class Ellipsoid(Quadratic):
    """Class 0 is the ellipsoid sum ((x - centre)² / semi_axes²) < 1, axes along the pixels."""

    def __init__(self, centre: Tensor, semi_axes: Tensor):
        super().__init__(centre.shape)
        self.register_buffer("centre", centre.double())
        self.register_buffer("semi_axes", semi_axes.double())
        self.register_buffer("eigenvalues", -(semi_axes.double().flatten() ** -2))

    def forward(self, x):
        return _two_logits((1 - _square((x - self.centre.to(x)) / self.semi_axes.to(x))) / 2)

    def gradient(self, x):
        return (self.centre - x.double()) / self.semi_axes**2

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


def _lengths(images: Tensor) -> Tensor:
    return images.flatten(1).norm(dim=1)[:, None, None, None]


def _roots(poles: Tensor, weights: Tensor) -> Tensor:
    """The roots of sum weights / (poles - μ), ascending, one in each gap of ascending poles."""
    low, high = poles[:-1].clone(), poles[1:].clone()
    for _ in range(100):
        middle = (low + high) / 2
        short = (weights / (poles - middle[:, None])).nansum(dim=1) < 0
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (low + high) / 2


def _on_sphere(x: Tensor, centre: Tensor, radius: float | Tensor) -> Tensor:
    offsets = (x - centre).flatten(1)
    lengths = offsets.norm(dim=1, keepdim=True)
    # At the centre every direction is as good; the first pixel's is taken.
    pixel = torch.zeros_like(offsets)
    pixel[:, 0] = 1.0
    units = torch.where(lengths > 0, offsets / lengths.clamp_min(1e-300), pixel)
    scaled = units * torch.as_tensor(radius, dtype=torch.float64).reshape(-1, 1)
    return centre + scaled.reshape(x.shape)
