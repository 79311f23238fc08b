"""Ranks of values that are sorted from the largest one down, as a person and a state name them."""

from __future__ import annotations

__all__ = ["column_of", "rank_of"]


def rank_of(column: int, count: int) -> int:
    """1 for the largest of so many values, 2 for the next; -1 for the smallest one.

    Examples
    --------
    >>> [rank_of(column, 4) for column in range(4)]
    [1, 2, -2, -1]
    """
    return column + 1 if column < count / 2 else column - count


def column_of(rank: int, count: int) -> int:
    """The column of a rank; of the nearest one there is, where there are fewer values.

    Examples
    --------
    >>> [column_of(rank, 4) for rank in (1, -1, 9, -9)]
    [0, 3, 3, 0]
    """
    column = rank - 1 if rank > 0 else count + rank
    return min(max(column, 0), count - 1)
