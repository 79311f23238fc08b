"""Blocks of vectors, one block a point: products, and making them orthonormal.

A block is ``(n, m, d)``: m vectors of length d at each of n points. Products keep all their digits,
also on a GPU whose user allows TF32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geoexplorer.classifier import FullPrecision

__all__ = ["combined", "inner", "orthonormal", "random_block", "slices"]

# A vector that loses all but this share of its length was in the span already.
_LOST = 1e-3
_ATTEMPTS = 4


def inner(first: Tensor, second: Tensor) -> Tensor:
    """Inner products ``(n, k, m)`` of blocks ``(n, k, d)`` and ``(n, m, d)``."""
    with FullPrecision():
        return first @ second.transpose(1, 2)


def combined(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Linear combinations ``(n, k, d)`` of a block ``(n, m, d)``, coefficients ``(n, k, m)``."""
    with FullPrecision():
        return coefficients @ vectors


def orthonormal(vectors: Tensor, basis: Tensor | None = None) -> Tensor:
    """An orthonormal block from a block, orthogonal to an orthonormal ``basis`` as well.

    A vector that lies in the span of the others is replaced by a random one, so that the result
    always has as many vectors. All of them together must fit into the space.
    """
    known = 0 if basis is None else basis.shape[1]
    result: Tensor | None = None
    rows = torch.arange(len(vectors), device=vectors.device)
    for attempt in range(_ATTEMPTS):
        vectors = _normalised(vectors)
        left = torch.ones_like(vectors[..., :1])
        for _ in range(2):  # the second pass removes what rounding left of the first
            if basis is not None:
                vectors = vectors - combined(inner(vectors, basis), basis)
            with FullPrecision():
                q, r = torch.linalg.qr(vectors.transpose(1, 2))
            vectors = q.transpose(1, 2)
            left = left * torch.diagonal(r, dim1=1, dim2=2).abs()[..., None]
        result = vectors if result is None else result.index_copy(0, rows, vectors)
        lost = ~(left > _LOST)
        # Only the points that lack a vector go on, and with random ones from a seed of its own:
        # what one point lacks must not change another's numbers, not even a sign.
        lacking = lost.any(1)[:, 0]
        if not bool(lacking.any()):
            break
        rows, vectors, lost = rows[lacking], vectors[lacking], lost[lacking]
        basis = None if basis is None else basis[lacking]
        generator = torch.Generator().manual_seed(_ATTEMPTS * known + attempt)
        random = random_block(vectors.shape[1], vectors.shape[2], generator, vectors)
        vectors = torch.where(lost, random, vectors)
    assert result is not None  # there is at least one attempt
    return result


def random_block(m: int, d: int, generator: torch.Generator, like: Tensor) -> Tensor:
    """Normally distributed vectors ``(1, m, d)``, the same for all points and on every device."""
    # One by one: the numbers must not depend on how many are drawn together.
    drawn = [torch.randn(d, generator=generator, dtype=torch.float32) for _ in range(m)]
    return torch.stack(drawn)[None].to(like)


def slices(count: int, size: int) -> list[slice]:
    """Slices that cut ``count`` into parts of at most ``size``."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def _normalised(vectors: Tensor) -> Tensor:
    lengths: Tensor = vectors.norm(dim=2, keepdim=True)
    return vectors / lengths.clamp_min(torch.finfo(vectors.dtype).tiny)
