"""Whether operators are written as matrices, or only applied to vectors in a search."""

from __future__ import annotations

__all__ = ["LARGEST_MATRIX", "by_matrix", "matrix_is_quick"]

LARGEST_MATRIX = 4096
"""Most dimensions of the input space for which a matrix is made."""

_QUICK = 512


def matrix_is_quick(dimension: int) -> bool:
    """Whether a whole matrix takes no longer than a search for its extreme eigenvalues does."""
    return dimension <= _QUICK


def by_matrix(dimension: int, count: int | None, method: str) -> bool:
    """Whether principal curvatures are the eigenvalues of a matrix that is made for them.

    Parameters
    ----------
    dimension
        d, of the input space.
    count
        How many of the extreme ones are asked for, at either end; None for all of them.
    method
        The method that is taken.

    Examples
    --------
    >>> by_matrix(3072, None, "autograd"), by_matrix(3072, 10, "smoothed")
    (True, False)
    >>> by_matrix(64, 10, "smoothed"), by_matrix(64, 10, "autograd")
    (True, False)
    """
    return count is None or (method == "smoothed" and matrix_is_quick(dimension))
