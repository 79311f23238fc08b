"""Linear subspaces of the input space, to which perturbations and noise can be confined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoexplorer.arguments import require_image_shape, require_seed, require_whole
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.blocks import slices
from geoexplorer.results import Stored

__all__ = ["Subspace", "dct_block", "dct_diagonal", "require_subspaces"]

_ORTHONORMAL = 1e-3  # largest deviation of an inner product
# A vector of which the others leave less than this share lies in their span.
_DEPENDENT = 1e-5
_NUMBERS = 2**20  # of a basis, looked at together
_BLOCKS, _LARGEST_BLOCK = 4, 8  # of cosines by default, and the frequencies of one


@dataclass(frozen=True, eq=False, repr=False)
class Subspace(Stored):
    """The span of m orthonormal directions, and what it is called.

    Raises
    ------
    ValueError
        If the directions are not orthonormal; :meth:`spanned` makes them so.

    Examples
    --------
    >>> plane = Subspace.spanned(torch.eye(4).reshape(4, 1, 2, 2)[:2], "upper row")
    >>> plane.share_of(torch.ones(1, 2, 2))
    tensor([0.7071])
    """

    basis: Tensor  # (m, C, H, W), orthonormal
    name: str

    def __post_init__(self) -> None:
        rows = _vectors(self.basis, "basis").flatten(1)
        unit = torch.eye(len(rows), dtype=torch.float64)
        deviation = float((_products(rows, rows) - unit).abs().max())
        if not deviation <= _ORTHONORMAL:
            raise ValueError(
                "basis must be orthonormal, got inner products that are off by up to "
                f"{deviation:.3g}; Subspace.spanned takes any independent directions"
            )

    @staticmethod
    def spanned(directions: Tensor, name: str = "given subspace") -> Subspace:
        """The span of independent directions ``(m, C, H, W)`` of any length.

        Raises
        ------
        TypeError, ValueError
            If they are no directions, or not independent.
        """
        vectors = _vectors(directions, "directions")
        rows = vectors.flatten(1).double()
        lengths = rows.norm(dim=1, keepdim=True)
        count, dimension = rows.shape
        independent = count <= dimension and bool((lengths > 0).all())
        if independent:
            q, r = torch.linalg.qr((rows / lengths).T)
            independent = bool((r.diagonal().abs() > _DEPENDENT).all())
        if not independent:
            raise ValueError(
                f"directions must be independent and not zero, got {count} in {dimension} "
                "dimensions of which some lie in the span of others"
            )
        return Subspace(q.T.reshape(vectors.shape).to(vectors.dtype), name)

    @staticmethod
    def random(shape: Sequence[int], m: int, *, seed: int = 0) -> Subspace:
        """A uniformly random subspace of dimension m among images of shape ``(C, H, W)``."""
        shape = require_image_shape("shape", shape)
        m = require_whole("m", m, 1, math.prod(shape))
        generator = torch.Generator().manual_seed(require_seed(seed))
        drawn = torch.randn((m, *shape), generator=generator)
        return Subspace.spanned(drawn, f"random, {m} dimensions")

    def beside(self, name: str, *, seed: int = 0) -> Subspace:
        """A random subspace of the same dimension at right angles to this one.

        Raises
        ------
        ValueError
            If there is not so much room.
        """
        drawn = Subspace.random(self.basis.shape[1:], self.dimension, seed=seed).basis
        return Subspace.spanned(drawn - self.project(drawn), name)

    @property
    def dimension(self) -> int:
        """m."""
        return len(self.basis)

    def project(self, vectors: Tensor) -> Tensor:
        """P_S v ``(n, C, H, W)``: the parts of vectors that lie in the subspace."""
        batch = self._batch(vectors)
        rows = self.basis.flatten(1)
        parts = _combined(_products(batch.flatten(1), rows), rows, batch.dtype)
        return parts.reshape(batch.shape)

    def share_of(self, vectors: Tensor) -> Tensor:
        """‖P_S v‖ / ‖v‖ ``(n,)``, between 0 and 1.

        For random vectors the root mean square is √(m/d), and the mean a little below.

        NaN for a vector that is zero or not finite, such as the perturbation of an image whose
        boundary was not reached.
        """
        batch = self._batch(vectors).flatten(1)
        lengths = torch.linalg.vector_norm(batch, dim=1, dtype=torch.float64)
        shares: Tensor = _products(batch, self.basis.flatten(1)).norm(dim=1) / lengths
        return shares.clamp_max(1.0).to(self.basis.dtype)

    def drawn(self, count: int, generator: torch.Generator) -> Tensor:
        """Uniformly random unit vectors ``(count, C, H, W)`` of the subspace."""
        coordinates = torch.randn(count, self.dimension, generator=generator, dtype=torch.float64)
        coordinates /= coordinates.norm(dim=1, keepdim=True)
        vectors = _combined(coordinates, self.basis.flatten(1), self.basis.dtype)
        return vectors.reshape(count, *self.basis.shape[1:])

    def rows_for(self, clf: Classifier, argument: str = "subspace") -> Tensor:
        """The basis ``(m, d)`` on a classifier's device, orthonormal to its rounding.

        Raises
        ------
        ValueError
            If the subspace is of images of another shape.
        """
        self.require_shape_of(clf, argument)
        rows = self.basis.flatten(1)
        # The basis is nearly orthonormal, so that this is as exact as a QR decomposition, which
        # would take several times its memory.
        lower = torch.linalg.cholesky(_products(rows, rows))
        inverse = torch.linalg.solve_triangular(lower, torch.eye(len(rows)).double(), upper=False)
        return _combined(inverse, rows, clf.dtype).to(clf.device)

    def require_shape_of(self, clf: Classifier, argument: str = "subspace") -> None:
        """Check that the subspace is of images as a classifier takes them."""
        if tuple(self.basis.shape[1:]) != clf.input_shape:
            raise ValueError(
                f"{argument} holds directions of shape {tuple(self.basis.shape[1:])}, but the "
                f"classifier takes images of shape {clf.input_shape}"
            )

    def _batch(self, vectors: Tensor) -> Tensor:
        shape = tuple(self.basis.shape[1:])
        given = _vectors(vectors[None] if getattr(vectors, "ndim", 0) == 3 else vectors, "vectors",
                         finite=False)  # fmt: skip
        if tuple(given.shape[1:]) != shape:
            raise ValueError(
                f"vectors must have shape (n, {', '.join(map(str, shape))}), "
                f"got {tuple(vectors.shape)}"
            )
        return given


def require_subspaces(clf: Classifier, value: Any) -> tuple[Subspace, ...]:
    """A sequence of subspaces of a classifier's input space, the argument ``subspaces``.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    accepted = "subspaces must be a sequence of objects of type Subspace, got"
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{accepted} {type(value).__name__}")
    for each in value:
        if not isinstance(each, Subspace):
            raise TypeError(f"{accepted} one with an object of type {type(each).__name__}")
        each.require_shape_of(clf, "subspaces")
    return tuple(value)


def dct_block(shape: Sequence[int], first: int, size: int) -> Subspace:
    """The span of a block of two-dimensional cosines, in all channels.

    Row and column frequencies both go from ``first`` to ``first + size - 1``, in half periods an
    image, so that the dimension is C·size².

    Parameters
    ----------
    shape
        ``(C, H, W)``.
    first, size
        Of the block.

    Raises
    ------
    TypeError, ValueError
        If the block reaches beyond the frequencies that there are.

    Notes
    -----
    Source: Ortiz-Jiménez, Modas, Moosavi-Dezfooli & Frossard, "Hold me tight! Influence of
    discriminative features on deep network boundaries", NeurIPS 2020, which measures margins in
    such blocks along the diagonal of the spectrum.

    Examples
    --------
    >>> dct_block((3, 32, 32), 0, 8).dimension
    192
    """
    channels, height, width = require_image_shape("shape", shape)
    least = min(height, width)
    size = require_whole("size", size, 1, least)
    first = require_whole("first", first, 0, least - size)
    rows = _cosines(height)[first : first + size]
    columns = _cosines(width)[first : first + size]
    basis = torch.zeros(channels, size, size, channels, height, width)
    for index, row in enumerate(rows):
        images = row[:, None] * columns[:, None]  # (size, H, W)
        for channel in range(channels):
            basis[channel, index, :, channel] = images
    name = f"DCT {first} to {first + size - 1}" if size > 1 else f"DCT {first}"
    return Subspace(basis.flatten(0, 2), name)


def dct_diagonal(
    shape: Sequence[int], size: int | None = None, step: int | None = None
) -> tuple[Subspace, ...]:
    """Blocks of cosines along the diagonal of the spectrum, from low to high frequencies.

    Parameters
    ----------
    shape
        ``(C, H, W)``.
    size
        Of a block; by default a quarter of the image's smaller side, and 8 at most: a block has
        C·size² directions, each as large as an image.
    step
        From one block to the next; by default ``size``, so that they do not overlap, and more
        where without a ``size`` about four blocks reach along the whole diagonal.

    Examples
    --------
    >>> [block.name for block in dct_diagonal((1, 8, 8))]
    ['DCT 0 to 1', 'DCT 2 to 3', 'DCT 4 to 5', 'DCT 6 to 7']
    """
    least = min(require_image_shape("shape", shape)[1:])
    apart = 1
    if size is None:
        size = min(max(1, least // _BLOCKS), _LARGEST_BLOCK)
        apart = (least - size) // (_BLOCKS - 1)
    else:
        size = require_whole("size", size, 1, least)
    step = max(size, apart) if step is None else require_whole("step", step, 1)
    return tuple(dct_block(shape, first, size) for first in range(0, least - size + 1, step))


def _cosines(length: int) -> Tensor:
    """The orthonormal DCT-II basis, one frequency a row."""
    place = torch.arange(length, dtype=torch.float64) + 0.5
    frequency = torch.arange(length, dtype=torch.float64)[:, None]
    rows = torch.cos(math.pi * frequency * place / length)
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True)
    return unit


def _products(first: Tensor, second: Tensor) -> Tensor:
    """Inner products ``(n, m)`` in float64 of rows ``(n, d)`` and ``(m, d)``.

    Some pixels at a time: all of them in float64 would be twice the rows.
    """
    total = torch.zeros(len(first), len(second), dtype=torch.float64)
    for part in slices(first.shape[1], max(1, _NUMBERS // (len(first) + len(second)))):
        total += first[:, part].double() @ second[:, part].double().T
    return total


def _combined(coefficients: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """Combinations ``(n, d)`` of rows ``(m, d)``, computed in float64 some pixels at a time."""
    result = torch.empty(len(coefficients), rows.shape[1], dtype=dtype)
    for part in slices(rows.shape[1], max(1, _NUMBERS // (len(coefficients) + len(rows)))):
        result[:, part] = coefficients @ rows[:, part].double()
    return result


def _vectors(value: Any, argument: str, *, finite: bool = True) -> Tensor:
    """``(m, C, H, W)`` on the CPU."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{argument} must be a float tensor (m, C, H, W), got {kind}")
    if value.ndim != 4 or len(value) == 0:
        raise ValueError(
            f"{argument} must have shape (m, C, H, W) with m at least 1, got {tuple(value.shape)}"
        )
    # By the ends of the range, which are NaN where one number is: a mask would be as large.
    if finite and not all(math.isfinite(end) for end in value.aminmax()):
        raise ValueError(f"{argument} holds NaN or infinite values")
    return value.detach().cpu()
