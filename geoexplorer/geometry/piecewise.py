"""Piecewise-linear networks: finding out that a network is one, and running it by its operations.

A network of affine layers, ReLU-like units and max-pooling is affine wherever no unit switches.
:func:`program_of` runs a network, sees every operation that it makes on the image
(:mod:`geoexplorer.geometry.recording`), and keeps them as a program
(:mod:`geoexplorer.geometry.programs`), if each of them is one of those that are known
(:mod:`geoexplorer.geometry.operation_rules`). If not, the network is not piecewise linear, or not
in a way that is known here. Nothing is read from the names of layers.

The program is the network in float64 on its weights. :func:`agrees` compares both with each other
and with the classifier itself, on images that the program was not made from.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.operation_rules import IDENTITY, RELU, kind_of
from geoexplorer.geometry.programs import Maximum, Node, Program
from geoexplorer.geometry.recording import (
    NotPiecewiseLinear,
    random_images,
    recorded_calls,
    refs,
)
from geoexplorer.geometry.unknown_operations import unknown_operation
from geoexplorer.jobs import Cancelled

__all__ = ["Program", "agrees", "distrust", "program_of", "why_not"]

_CHECKED = 4
# Of the largest logit, by which program and network may differ on other images, beside rounding:
# in float64, and in the classifier's own dtype.
_AGREEMENT = {torch.float64: 1e-9, torch.float32: 1e-3}
_PASSES = 4  # as much memory as so many passes of an image take to compare them

# Beside each program, the state of the network that it was made from.
_programs: WeakKeyDictionary[Classifier, tuple[_State, Program | str]] = WeakKeyDictionary()


def program_of(clf: Classifier) -> Program | str:
    """The classifier's network as a program, or the reason why it is not known to be one.

    Examples
    --------
    >>> def network(unit):
    ...     layers = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), unit, nn.Linear(8, 2))
    ...     return Classifier(layers.eval(), input_shape=(1, 2, 2), device="cpu")
    >>> len(program_of(network(nn.ReLU())).nodes)
    4
    >>> program_of(network(nn.GELU()))
    'aten.gelu is not piecewise linear, or not known to be'
    """
    state = _State(clf)
    if clf not in _programs or _programs[clf][0].facts != state.facts:
        program: Program | str
        try:
            program = _recorded(clf)
        except (Cancelled, torch.OutOfMemoryError):
            raise
        except NotPiecewiseLinear as reason:
            program = str(reason)
        except Exception as error:  # whatever the network raises: it cannot be looked at
            program = f"the network cannot be run in float64 ({error})"
        _programs[clf] = state, program
    return _programs[clf][1]


def why_not(clf: Classifier) -> str | None:
    """Why the classifier's network is not known to be piecewise linear; None where it is."""
    program = program_of(clf)
    return program if isinstance(program, str) else None


class _State:
    """What changes when weights are replaced or written to, and parts or their settings changed."""

    def __init__(self, clf: Classifier) -> None:
        weights = (*clf.module.parameters(), *clf.module.buffers())
        parts = list(clf.module.modules())
        self.facts: list[Any] = [(weight.data_ptr(), weight._version) for weight in weights]
        self._kept: list[Any] = [parts]  # so that no id is used twice
        for part in parts:
            hooks = (*part._forward_hooks.values(), *part._forward_pre_hooks.values())
            settings = {name: v for name, v in vars(part).items() if not name.startswith("_")}
            self._kept += [hooks, settings]
            self.facts.append((id(part), type(part), *map(id, hooks)))
            self.facts += [(name, _fact(value)) for name, value in settings.items()]


def _fact(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str)) else id(value)


def distrust(clf: Classifier) -> None:
    """Take the network for one that is not known to be piecewise linear."""
    reason = "the operations that were seen give other logits than the network"
    _programs[clf] = _State(clf), reason


def agrees(clf: Classifier, program: Program, images: Tensor, rounding: Tensor) -> bool:
    """Whether the network gives the program's logits for images, in float64 and as it is.

    Parameters
    ----------
    clf, program
        The classifier, and its network as a program.
    images
        Float64 ``(n, C, H, W)``.
    rounding
        ``(n,)``, bounds of the rounding errors of the program's logits.
    """

    def all_three(network: nn.Module, chunk: Tensor, exact: Tensor) -> tuple[Tensor, ...]:
        exact = exact.to(program.device)
        with torch.no_grad():
            return program.forward(exact), program.network(exact), network(chunk).double()

    try:
        known, *others = clf.in_chunks(all_three, images, images, load=_PASSES)
    except (Cancelled, torch.OutOfMemoryError):
        raise
    except Exception:  # whatever the network raises
        return False
    clf.count(forwards=3 * len(images))
    # The bounds are shares of what is added up: in a coarser dtype they are so much larger.
    coarser = torch.finfo(clf.dtype).eps / torch.finfo(torch.float64).eps
    rounding = rounding.to(known.device)
    return all(
        _near(known, other, scale * rounding, _AGREEMENT[dtype])
        for other, dtype, scale in zip(
            others, (torch.float64, clf.dtype), (1.0, coarser), strict=True
        )
    )


def _near(known: Tensor, other: Tensor, rounding: Tensor, share: float) -> bool:
    """Whether logits ``(n, L)`` are the same up to rounding ``(n,)``, and to what share of them."""
    if known.shape != other.shape:
        return False
    largest = known.nan_to_num(0.0, 0.0, 0.0).abs().amax(1)
    allowed = rounding.nan_to_num(torch.inf) + share * largest.clamp_min(1.0)
    differences = torch.where(known.isfinite() | other.isfinite(), (known - other).abs(), 0.0)
    return bool((differences.amax(1) <= allowed).all())


def _recorded(clf: Classifier) -> Program:
    if clf.device.type == "mps":
        raise NotPiecewiseLinear("this device has no float64, which proofs are computed in")
    if (reason := unknown_operation(clf)) is not None:
        raise NotPiecewiseLinear(reason)
    network = copy.deepcopy(clf.module).to(torch.float64)
    # With the channels last some operations become others, and more of them views of their input.
    network = network.to(memory_format=torch.contiguous_format)
    calls, values = recorded_calls(clf, network)
    nodes = [Node(kind_of(call), refs((call.args, call.kwargs))) for call in calls]
    program = _finished(network, _fused(nodes), clf.device, values)
    images = random_images(clf, _CHECKED, seed=_CHECKED)
    with torch.no_grad():
        expected = network(images)
    if not _near(program.forward(images), expected, torch.zeros(()), _AGREEMENT[torch.float64]):
        raise NotPiecewiseLinear("the operations that were seen give other logits")
    return program


def _fused(nodes: list[Node]) -> list[Node]:
    """max(relu(x)) as the maximum of x and 0: no unit switches where the maximum hides it."""
    users: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for number in node.inputs:
            users.setdefault(number, []).append(index)
    fused = list(nodes)
    for index, node in enumerate(nodes):
        hidden = users.get(index + 1, [])
        if node.kind is not RELU or len(hidden) != 1:
            continue
        user = nodes[hidden[0]]
        if isinstance(user.kind, Maximum) and len(user.inputs) == 1 and user.kind.floor is None:
            fused[index] = Node(IDENTITY, node.inputs)
            fused[hidden[0]] = Node(replace(user.kind, floor=0.0), user.inputs)
    return fused


def _finished(network: nn.Module, nodes: list[Node], device: torch.device, values: int) -> Program:
    last_use = [0] * (len(nodes) + 1)
    for number, node in enumerate(nodes, start=1):
        for index in node.inputs:
            last_use[index] = number
    last_use[-1] = len(nodes) + 1
    finished = tuple(
        replace(node, last_use=last) for node, last in zip(nodes, last_use[1:], strict=True)
    )
    return Program(network, finished, device, values, last_use[0])
