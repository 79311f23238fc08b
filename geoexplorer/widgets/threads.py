"""Leaving a core to the browser.

Torch takes every core, and its threads wait for each other by spinning. Where anything else
wants a core, such as the browser that draws the map on the same laptop, a pass of a small
network then takes ten times as long (measured on two cores: 100 ms became 650 ms, at worst
5 s). In a container torch does not even see how much of the cores it may use.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

__all__ = ["available_cores", "sparing_a_core"]

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "max 100000", or microseconds of every so many


@contextmanager
def sparing_a_core() -> Iterator[None]:
    """Let torch use all cores but one inside the block, and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, available_cores() - 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available_cores(quota: Path = _QUOTA) -> int:
    """How many cores this process may use, by its affinity and its container's quota.

    Examples
    --------
    >>> available_cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        share, period = quota.read_text(encoding="utf-8").split()
        return max(1, min(cores, math.ceil(int(share) / int(period))))
    except (OSError, ValueError):  # no such file, or no limit
        return cores
