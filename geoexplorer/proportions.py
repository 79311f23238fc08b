"""How sure a share is that was counted in a sample."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["threshold_at", "wilson"]

_ROUNDING = 1e-9


def threshold_at(scores: Tensor, rate: float) -> float:
    """The lowest of the scores ``(n,)`` that at most a share ``rate`` of them exceeds; NaN of none.

    Examples
    --------
    >>> import torch
    >>> threshold_at(torch.arange(100.0), 0.05)
    94.0
    """
    known = scores[scores.isfinite()].double().sort().values
    if len(known) == 0:
        return math.nan
    above = math.floor(rate * len(known) + _ROUNDING)
    return float(known[max(0, len(known) - 1 - above)])


def wilson(count: Tensor, total: Tensor, *, z: float = 1.96) -> tuple[Tensor, Tensor]:
    """Ends of Wilson's score interval of shares ``count / total``; z = 1.96 covers 95 %.

    Source: Wilson, Journal of the American Statistical Association 22, 1927.

    Examples
    --------
    >>> import torch
    >>> low, high = wilson(torch.tensor([0, 50]), torch.tensor([100, 100]))
    >>> low.round(decimals=3).tolist(), high.round(decimals=3).tolist()
    ([0.0, 0.404], [0.037, 0.596])
    """
    total = total.double()
    p, share = count / total, z**2 / total
    middle = (p + share / 2) / (1 + share)
    half = z * (p * (1 - p) / total + share / (4 * total)).sqrt() / (1 + share)
    return (middle - half).clamp_min(0.0), (middle + half).clamp_max(1.0)
