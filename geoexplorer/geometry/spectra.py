"""Eigen-solvers for many symmetric operators at once; all they see is how to apply them.

:func:`assemble_steps` writes an operator as a matrix, column by column, which takes as many
products as it has dimensions. :func:`extreme_steps` finds the largest and the smallest eigenvalues
from some hundred products: it is block Lanczos with full re-orthogonalisation in the form of
Davidson (1975), which keeps the products and so can do the Rayleigh-Ritz step exactly, restart with
any vectors, and tell the true residuals. It begins with as many random vectors as eigenvalues are
wanted, so that those of any multiplicity up to that are found. :func:`quadrature_steps` estimates
how the eigenvalues are distributed, by Lanczos quadrature from random vectors (Golub & Welsch
1969; Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from geoexplorer.classifier import FullPrecision
from geoexplorer.geometry.blocks import combined, inner, orthonormal, random_block, slices
from geoexplorer.jobs import check_cancelled

__all__ = [
    "Extremes",
    "Operators",
    "assemble_steps",
    "chain_vectors",
    "eigenpairs",
    "eigenvalues",
    "extreme_steps",
    "least_vectors",
    "quadrature_steps",
    "symmetrised",
    "vectors_held",
]

# A value whose residual is below the first share of the largest in size has converged; the search
# goes on until it is below the second.
TOLERANCE, _SEARCHED = 1e-3, 5e-4
_CHAIN_END = 1e-5  # of a product, what is left of it when a Lanczos chain is complete
_ROOM = 150  # vectors that a basis may hold where memory allows
_BESIDE = 20  # vectors held beside the basis and its images, for each one that is wanted
_TILE = 256  # rows and columns of a matrix worked on at once
_BLOCK = 8  # vectors added to the basis at once
# Products after which the search is given up, besides some for each eigenvalue wanted.
_MOST_PRODUCTS, _MOST_PRODUCTS_EACH = 200, 20
# Where products are not quite linear the residuals stay, and the search ends when so many blocks in
# turn have moved the values by less than this share of the largest.
_STILL, _STILL_BLOCKS = 1e-5, 3
# A noisy value stays where it is when one more block moves it by less than this share of the
# largest; and this is the most blocks.
_DRIFT, _MOST_EXPANSIONS = 0.005, 16
# So many are looked for at either end at least: a noisy product of more vectors costs no more.
_LEAST_NOISY = 5


class Operators(Protocol):
    """Symmetric operators, one a point."""

    @property
    def count(self) -> int:
        """Number of operators n."""

    @property
    def dimension(self) -> int:
        """Number of rows D of each."""

    @property
    def memory(self) -> int:
        """Bytes that the vectors of a search may take, beside what products take."""

    @property
    def vectors_at_once(self) -> int:
        """Vectors that are best applied together."""

    @property
    def like(self) -> Tensor:
        """A tensor of the vectors' dtype on their device."""

    def apply(self, vectors: Tensor) -> Tensor:
        """The products ``(n, m, D)`` with m orthonormal vectors each, ``(n, m, D)``."""


@dataclass(frozen=True)
class Extremes:
    """The m largest and the m smallest eigenvalues, as far as they are known, descending."""

    values: Tensor  # (n, 2 m)
    vectors: Tensor  # (n, 2 m, D), unit
    residuals: Tensor  # (n, 2 m): ‖A u - λ u‖
    converged: Tensor  # (n, 2 m) bool
    asymmetry: Tensor  # (n,): ‖A - Aᵀ‖ / ‖A‖ on the basis searched
    fraction: float  # of the work, roughly

    def ends(self, m: int) -> Extremes:
        """Only the m largest and the m smallest ones."""
        values, vectors, residuals, converged = (
            torch.cat([every[:, :m], every[:, -m:]], dim=1)
            for every in (self.values, self.vectors, self.residuals, self.converged)
        )
        return replace(
            self, values=values, vectors=vectors, residuals=residuals, converged=converged
        )

    def improved(self, later: Extremes, done: Tensor) -> Extremes:
        """The later ones, but for the operators that were done, ``(n,)`` bool."""

        def kept(before: Tensor, after: Tensor) -> Tensor:
            return torch.where(done.reshape(-1, *[1] * (after.ndim - 1)), before, after)

        return Extremes(
            kept(self.values, later.values),
            kept(self.vectors, later.vectors),
            kept(self.residuals, later.residuals),
            kept(self.converged, later.converged),
            kept(self.asymmetry, later.asymmetry),
            later.fraction,
        )


def assemble_steps(operators: Operators) -> Iterator[tuple[float, Tensor]]:
    """The operators as matrices ``(n, D, D)``, as they are, not symmetrised.

    Yields the share that is done and the matrices, one row of which is the product with a basis
    vector; what was not computed yet is zero.
    """
    n, dimension, like = operators.count, operators.dimension, operators.like
    matrices = like.new_zeros(n, dimension, dimension)
    for part in slices(dimension, max(1, operators.vectors_at_once // max(n, 1))):
        columns = like.new_zeros(part.stop - part.start, dimension)
        columns[:, part] = torch.eye(len(columns)).to(like)
        matrices[:, part] = operators.apply(columns.expand(n, -1, -1))
        yield part.stop / dimension, matrices


def symmetrised(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """(A + Aᵀ) / 2, and ‖A - Aᵀ‖ / ‖A‖ of each."""
    symmetric = torch.empty_like(matrices)
    unequal = matrices.new_zeros(len(matrices))
    for rows in slices(matrices.shape[1], _TILE):  # whole transposed matrices miss the caches
        for columns in slices(rows.stop, _TILE):
            lower = matrices[:, rows, columns]
            upper = matrices[:, columns, rows].transpose(1, 2)
            share = 1 if rows == columns else 2
            unequal += share * (lower - upper).square().sum((1, 2))
            mean = (lower + upper) / 2
            symmetric[:, rows, columns] = mean
            symmetric[:, columns, rows] = mean.transpose(1, 2)
    asymmetry: Tensor = unequal.sqrt() / matrices.flatten(1).norm(dim=1)
    return symmetric, asymmetry.nan_to_num(0.0)


def eigenpairs(matrices: Tensor, m: int | None = None) -> tuple[Tensor, Tensor]:
    """Eigenvalues of symmetric matrices, descending, and their unit vectors in rows.

    All of them, or the m largest and the m smallest ones; NaN of matrices that are not finite.
    """
    values, vectors = _eigh(matrices)
    values, rows = values.flip(1), vectors.transpose(1, 2).flip(1)
    if m is None:
        return values, rows
    return torch.cat([values[:, :m], values[:, -m:]], 1), torch.cat([rows[:, :m], rows[:, -m:]], 1)


def eigenvalues(matrices: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices, descending; NaN of those that are not finite."""
    matrices, known = _finite(matrices)
    with FullPrecision():
        values = torch.linalg.eigvalsh(matrices).flip(1)
    return torch.where(known[:, None], values, math.nan)


def extreme_steps(
    operators: Operators, m: int, generator: torch.Generator, *, noisy: bool = False
) -> Iterator[Extremes]:
    """The m largest and the m smallest eigenvalues, better at every step.

    What has been found for an operator stays as it is while others are still being improved, so
    that nobody's numbers depend on the company.

    Parameters
    ----------
    operators
        Of dimension at least 2 m.
    m
        How many at either end.
    generator
        For the first vectors.
    noisy
        Whether products are known only up to noise. Residuals never become small then, and the
        search ends when the values stay where they are.
    """
    n, dimension, like = operators.count, operators.dimension, operators.like
    asked, m = m, _looked_for(m, dimension, noisy)
    wanted = 2 * m
    room = _room(operators, wanted)
    added = wanted if noisy else _BLOCK  # a noisy product of many vectors costs one of few
    limit = _MOST_EXPANSIONS * wanted if noisy else _MOST_PRODUCTS + _MOST_PRODUCTS_EACH * wanted
    block = orthonormal(random_block(wanted, dimension, generator, like).expand(n, -1, -1))
    held, images_held = (like.new_empty(n, room, dimension) for _ in range(2))
    size = spent = 0
    settled: Extremes | None = None
    still = torch.zeros(n, dtype=torch.int64, device=like.device)
    done = torch.zeros(n, dtype=torch.bool, device=like.device)
    while True:
        check_cancelled()
        end = size + block.shape[1]
        held[:, size:end], images_held[:, size:end] = block, operators.apply(block)
        spent, size = spent + block.shape[1], end
        basis, products = held[:, :size], images_held[:, :size]
        projected, asymmetry = symmetrised(inner(basis, products))
        values, coefficients = eigenpairs(projected, m)
        vectors, images = combined(coefficients, basis), combined(coefficients, products)
        errors = images - values[..., None] * vectors
        residuals = errors.norm(dim=2)
        smallest = torch.finfo(like.dtype).tiny
        scale = values.abs().amax(1, keepdim=True).clamp_min(smallest)
        converged = residuals <= TOLERANCE * scale + smallest
        enough = (residuals <= _SEARCHED * scale + smallest).all(1)
        if settled is not None:
            drift = (values - settled.values).abs().amax(1, keepdim=True) / scale
            if noisy:
                enough = drift[:, 0] <= _DRIFT
                converged = enough[:, None].expand_as(values)
            still = torch.where(drift[:, 0] <= _STILL, still + 1, 0)
        exhausted = size == dimension
        lost = ~values.isfinite().all(1)  # for good: what was measured there is not finite
        ended = done | enough | lost | (still >= _STILL_BLOCKS)
        complete = exhausted or spent >= limit or bool(ended.all())
        fraction = 1.0 if complete else spent / (limit + 1)
        found = Extremes(values, vectors, residuals, converged, asymmetry, fraction)
        settled = found if settled is None else settled.improved(found, done)
        done = ended
        yield settled.ends(asked)
        if complete:
            return
        if room < dimension and size + added > room:
            size = wanted
            held[:, :size], images_held[:, :size] = vectors, images
        worst = residuals.topk(min(added, wanted, dimension - size), dim=1).indices
        block = errors.gather(1, worst[..., None].expand(-1, -1, dimension))
        block = orthonormal(block, held[:, :size])


def quadrature_steps(
    operators: Operators, probes: int, order: int, generator: torch.Generator
) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Gauss quadratures of the spectra: shares done, nodes and weights ``(n, k)``.

    Each of the ``probes`` random vectors gives ``order`` nodes; the weights of a row sum to 1.
    """
    n, dimension, like = operators.count, operators.dimension, operators.like
    order = min(order, dimension)
    # However many operators there are: noisy products depend on the vectors beside them.
    chain_bytes = chain_vectors(order) * dimension * like.element_size()
    at_once = max(1, min(probes, operators.memory // chain_bytes))
    nodes, weights = like.new_zeros(n, 0), like.new_zeros(n, 0)
    for part in slices(probes, at_once):
        start = random_block(part.stop - part.start, dimension, generator, like)
        jacobi = start[..., None, :0]
        for share, so_far in _lanczos_steps(operators, start.expand(n, -1, -1), order):
            jacobi = so_far
            if share < 1.0:
                yield (part.start + share * (part.stop - part.start)) / probes, nodes, weights
        values, vectors = _eigh(jacobi)
        more = vectors[..., 0, :].square().flatten(1)
        nodes = torch.cat([nodes, values.flatten(1)], dim=1)
        weights = torch.cat([weights * (part.start / part.stop), more / part.stop], dim=1)
        yield part.stop / probes, nodes, weights


def _lanczos_steps(
    operators: Operators, start: Tensor, order: int
) -> Iterator[tuple[float, Tensor]]:
    """The share done, and tridiagonal matrices ``(n, c, order, order)`` of c chains a point."""
    n, chains, dimension = start.shape
    chain = start.new_zeros(n * chains, order, dimension)
    jacobi = start.new_zeros(n, chains, order, order)
    vectors = start / start.norm(dim=2, keepdim=True)
    for index in range(order):
        check_cancelled()
        chain[:, index] = vectors.reshape(n * chains, dimension)
        products = operators.apply(vectors)
        jacobi[..., index, index] = (products * vectors).sum(2)
        if index + 1 < order:
            known = chain[:, : index + 1]
            rest = products.reshape(n * chains, 1, dimension)
            for _ in range(2):
                rest = rest - combined(inner(rest, known), known)
            rest = rest.reshape(n, chains, dimension)
            length = rest.norm(dim=2)
            # A chain that has come to an end goes on with zeros, whose nodes get no weight.
            ended = length <= _CHAIN_END * products.norm(dim=2)
            length = torch.where(ended, 0.0, length)
            vectors = torch.where(ended[..., None], 0.0, rest / length[..., None])
            jacobi[..., index, index + 1] = jacobi[..., index + 1, index] = length
        yield (index + 1) / order, jacobi


def chain_vectors(order: int) -> int:
    """Vectors that :func:`quadrature_steps` holds for each probe of each operator.

    As many probes go together as fit into memory for one operator.
    """
    return 2 * (order + 4)


def vectors_held(dimension: int, m: int, *, noisy: bool = False) -> int:
    """Vectors that :func:`extreme_steps` holds for each operator, those of its products included.

    So many operators as fit into memory with them may be searched together; one always is.
    """
    wanted = 2 * _looked_for(m, dimension, noisy)
    return 2 * _allowed(dimension, wanted, _ROOM) + _BESIDE * wanted


def least_vectors(dimension: int, m: int, *, noisy: bool = False) -> int:
    """Vectors that it holds for an operator in as little memory as it can do with."""
    wanted = 2 * _looked_for(m, dimension, noisy)
    return 2 * _allowed(dimension, wanted, 0) + _BESIDE * wanted


def _eigh(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending, the vectors in columns; NaN for matrices that are not finite."""
    matrices, known = _finite(matrices)
    with FullPrecision():
        values, vectors = torch.linalg.eigh(matrices)
    return (
        torch.where(known[..., None], values, math.nan),
        torch.where(known[..., None, None], vectors, math.nan),
    )


def _finite(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Zeros in place of matrices that are not finite, of which no solver takes one, and which are.

    One among many would be an error for all of them.
    """
    known = matrices.sum((-2, -1)).isfinite()
    if not bool(known.all()):
        matrices = torch.where(known[..., None, None], matrices, 0.0)
    return matrices, known


def _looked_for(m: int, dimension: int, noisy: bool) -> int:
    return max(m, min(_LEAST_NOISY, dimension // 2)) if noisy else m


def _room(operators: Operators, wanted: int) -> int:
    """How many vectors the basis may hold, however many operators there are."""
    vector_bytes = operators.dimension * operators.like.element_size()
    fitting = (operators.memory // vector_bytes - _BESIDE * wanted) // 2
    return _allowed(operators.dimension, wanted, min(_ROOM, fitting))


def _allowed(dimension: int, wanted: int, fitting: int) -> int:
    return min(dimension, max(2 * wanted + max(_BLOCK, wanted), fitting))
