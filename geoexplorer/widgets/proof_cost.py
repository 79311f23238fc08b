"""What it takes to prove a segment on a network, before it is tried."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.piecewise import Program, program_of
from geoexplorer.geometry.programs import Affine, Maximum
from geoexplorer.widgets.session import Subject

__all__ = ["kinks", "proven_at_once", "seconds_to_prove"]

# Units with kinks up to which a proof comes with every path, and the forward passes of one image
# that it takes about for each of them.
_AT_ONCE_KINKS, _PASSES_PER_KINK = 20_000, 1.2
_kinks: WeakKeyDictionary[Classifier, int | None] = WeakKeyDictionary()


def kinks(subject: Subject) -> int | None:
    """How many units of the network have a kink; None where it is not piecewise linear.

    Found out once a network.
    """
    clf = subject.clf
    if clf not in _kinks:
        program = program_of(clf)
        _kinks[clf] = None if isinstance(program, str) else _counted(program, subject)
    return _kinks[clf]


def proven_at_once(subject: Subject) -> bool:
    """Whether a proof takes so short that nobody has to ask for it."""
    count = kinks(subject)
    return count is not None and count <= _AT_ONCE_KINKS


def seconds_to_prove(subject: Subject) -> float:
    """About how long it takes to prove a segment from one image to another, where that is long.

    0 where a proof comes with every path: what the clock says of a small network is noise.
    """
    if proven_at_once(subject):
        return 0.0
    return _PASSES_PER_KINK * (kinks(subject) or 0) * subject.seconds


def _counted(program: Program, subject: Subject) -> int:
    results = {0: subject.images.images[:1].to(program.device, torch.float64)}
    count = 0
    with torch.no_grad():
        for number, node in enumerate(program.nodes, start=1):
            inputs = [results[index] for index in node.inputs]
            if isinstance(node.kind, Maximum):
                results[number], _ = node.kind.highest(inputs)
            else:
                results[number] = node.kind.apply(*inputs)
            if not isinstance(node.kind, Affine):
                count += results[number].numel()
    return count
