"""Copies of networks in another precision, which are made once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from weakref import WeakKeyDictionary

from torch import nn

__all__ = ["made_once"]


def made_once(copied: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    """Remember the copy that a function makes of a network, as long as the network lives.

    Several threads may ask for it; one of them makes it.

    Examples
    --------
    >>> import copy
    >>> in_float64 = made_once(lambda network: copy.deepcopy(network).double())
    >>> network = nn.Linear(2, 3)
    >>> in_float64(network).weight.dtype, in_float64(network) is in_float64(network)
    (torch.float64, True)
    """
    copies: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
    lock = threading.Lock()

    @functools.wraps(copied)
    def copy_of(network: nn.Module) -> nn.Module:
        with lock:
            if network not in copies:
                copies[network] = copied(network)
            return copies[network]

    return copy_of
