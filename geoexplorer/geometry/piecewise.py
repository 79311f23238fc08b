"""Piecewise-linear networks: finding out that a network is one, and running it by its operations.

A network of affine layers, ReLU-like units and max-pooling is affine wherever no unit switches.
:func:`program_of` runs a network once, sees every operation that it makes on the image, and keeps
them as a :class:`Program` of three kinds of nodes: affine ones, elementwise units with kinks, and
maxima. An operation of any other kind means that the network is not piecewise linear, or not in a
way that is known here. Nothing is read from the names of layers. What is kept can be applied to
more than values: an affine node also to bounds of errors, and a unit says where it switches.

The program is the network in float64 on its weights; that both agree is checked on images that the
program was not made from.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from geoexplorer.classifier import Classifier, FullPrecision
from geoexplorer.geometry.rounding import SMALLEST, share_of

__all__ = [
    "Affine",
    "Elementwise",
    "Maximum",
    "Node",
    "Program",
    "distrust",
    "program_of",
]

# Images for which a run is recorded. What differs between the two counts is the size of the batch.
_COUNTS = (2, 3)
_CHECKED = 4
# Of the largest logit, by which program and network may differ on other images.
_AGREEMENT = 1e-9

_Values = Callable[..., Tensor]


@dataclass(frozen=True)
class Affine:
    """y = A x + b of one or several inputs."""

    apply: _Values
    absolute: _Values  # |A| x
    offset: Tensor | float = 0.0  # |b|, of a shape that y can be compared with
    terms: int = 0  # products and sums in each value of y; 0 where nothing is computed

    def errors(self, errors: Sequence[Tensor], largest: Sequence[Tensor]) -> Tensor:
        """Bound of the error of y, from those of the inputs and their largest sizes.

        Where nothing is computed, the sizes are not needed.
        """
        if not self.terms:
            return self.absolute(*errors)
        share = share_of(self.terms)
        sizes = [error + share * size for error, size in zip(errors, largest, strict=True)]
        bound: Tensor = (self.absolute(*sizes) + share * self.offset) * (1 + 2 * share)
        return bound + self.terms * SMALLEST


@dataclass(frozen=True)
class Elementwise:
    """A continuous function of each value that is affine between its kinks."""

    apply: _Values
    kinks: tuple[tuple[Tensor | float, Tensor | float], ...]  # (place, change of slope)
    steepest: Tensor | float = 1.0  # the largest slope in size
    terms: int = 0


@dataclass(frozen=True)
class Maximum:
    """The largest value of each window; windows may lie across several inputs."""

    select: Callable[..., tuple[Tensor, Tensor]]  # the maxima (n, ...), and where they were found
    arrange: _Values  # the inputs as (n, c, v), which "where" and ``members`` count in
    members: Tensor  # (w, k) int64: the values of each window, -1 for none; the same in each of c
    floor: float | None = None  # a constant that is one of the values

    def highest(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The maxima ``(n, ...)``, and which values they are ``(n, c w)``, -1 for the constant."""
        values, where = self.select(*inputs)
        if self.floor is None:
            return values, where.reshape(len(where), -1)
        where = torch.where(values > self.floor, where, -1)
        return values.clamp_min(self.floor), where.reshape(len(where), -1)

    def picked(self, values: Tensor, winners: Tensor) -> Tensor:
        """Those that ``winners`` name ``(n, c w)`` among arranged values ``(n, c, v)``."""
        chosen = winners.clamp_min(0).reshape(*values.shape[:2], -1)
        picked = values.gather(2, chosen).flatten(1)
        return picked if self.floor is None else torch.where(winners < 0, self.floor, picked)

    def entries(self, values: Tensor, rows: Tensor, windows: Tensor) -> Tensor:
        """All values ``(m, k)`` of some windows, minus infinity in place of none."""
        table = self.members.to(windows.device)
        places = table[windows % len(table)]
        channels = (windows // len(table))[:, None]
        entries = values[rows[:, None], channels, places.clamp_min(0)]
        entries = torch.where(places < 0, -torch.inf, entries)
        if self.floor is None:
            return entries
        return torch.cat([entries, torch.full_like(entries[:, :1], self.floor)], dim=1)


@dataclass(frozen=True)
class Node:
    """One operation: what it does, to the results of which nodes, and who needs its result."""

    kind: Affine | Elementwise | Maximum
    inputs: tuple[int, ...]  # 0 is the image, k the result of node k - 1
    last_use: int = 0  # the last node that needs this one's result


@dataclass(frozen=True)
class Program:
    """A piecewise-linear network as a list of operations, in float64."""

    network: nn.Module  # in float64, from which it was made
    nodes: tuple[Node, ...]
    device: torch.device
    largest: int  # values of the largest intermediate result of one image
    image_last_use: int

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, L)`` of images ``(n, C, H, W)``, float64 on the program's device."""
        results: dict[int, Tensor] = {0: images}
        with torch.no_grad(), FullPrecision():
            for number, node in enumerate(self.nodes, start=1):
                inputs = [results[index] for index in node.inputs]
                results[number] = _value(node.kind, inputs)
                self.forget(results, number)
        return results[len(self.nodes)]

    def agrees(self, images: Tensor, rounding: float = 0.0) -> bool:
        """Whether the network itself gives the same logits for images, up to rounding."""
        with torch.no_grad(), FullPrecision():
            expected = self.network(images)
        difference = float((self.forward(images) - expected).abs().max())
        return difference <= rounding + _AGREEMENT * max(1.0, float(expected.abs().max()))

    def forget(self, results: dict[int, Any], number: int) -> None:
        """Drop what no node after ``number`` needs."""
        for index in [index for index in results if index < number]:
            last = self.image_last_use if index == 0 else self.nodes[index - 1].last_use
            if last <= number:
                del results[index]


# Beside each program, the state of the weights that it was made from.
_programs: WeakKeyDictionary[Classifier, tuple[State, Program | str]] = WeakKeyDictionary()


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
    state = _state(clf)
    if clf not in _programs or _programs[clf][0] != state:
        program: Program | str
        try:
            program = _recorded(clf)
        except _NotPiecewiseLinear as reason:
            program = str(reason)
        _programs[clf] = state, program
    return _programs[clf][1]


State = tuple[tuple[int, int], ...]


def _state(clf: Classifier) -> State:
    """What changes when weights are replaced or written to."""
    weights = (*clf.module.parameters(), *clf.module.buffers())
    return tuple((weight.data_ptr(), weight._version) for weight in weights)


def distrust(clf: Classifier) -> None:
    """Take the network for one that is not known to be piecewise linear."""
    reason = "the operations that were seen give other logits than the network"
    _programs[clf] = _state(clf), reason


class _NotPiecewiseLinear(Exception):
    """Why a network cannot be written as a program."""


def _value(kind: Affine | Elementwise | Maximum, inputs: Sequence[Tensor]) -> Tensor:
    return kind.highest(inputs)[0] if isinstance(kind, Maximum) else kind.apply(*inputs)


# Recording.


@dataclass(frozen=True)
class _Ref:
    """In place of a tensor that depends on the image: the number of the call that gave it."""

    number: int


class _Batch:
    """In place of the number of images."""

    def __repr__(self) -> str:
        return "n"


_BATCH = _Batch()


@dataclass(frozen=True)
class _Call:
    """An operation with its arguments, results of others among them as :class:`_Ref`."""

    name: str
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    place: int | None  # of the result in a list of results
    shape: tuple[int, ...]  # of the result
    taken: tuple[int, ...]  # shape of the first input, without the batch


class _Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation that an image takes part in."""

    def __init__(self, images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[_Call] = []
        self.values = 0  # of the largest result of one image
        self._numbers: dict[int, int] = {id(images): 0}
        self._kept: list[Any] = [images]  # so that no id is used twice
        self._stale: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = self._referred((args, kwargs))
        result = func(*args, **kwargs)
        name = str(func.overloadpacket)
        if not _refs(given) or name in _BY_SHAPE:
            return result
        if name in _SHAPED_BY_VALUES:
            raise _NotPiecewiseLinear(f"the network's course depends on the image ({name})")
        taken = tuple(self._kept[_refs(given)[0]].shape[1:])
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        if not outputs or not isinstance(outputs[0], Tensor):
            raise _NotPiecewiseLinear(f"the network's course depends on the image ({name})")
        several = isinstance(result, list)
        for place, output in enumerate(outputs if several else outputs[:1]):
            which = place if several else None
            call = _Call(name, func, given[0], given[1], which, tuple(output.shape), taken)
            self._add(call, output)
        return result

    def number_of(self, tensor: Any) -> int:
        """Which result a tensor is."""
        if id(tensor) not in self._numbers:
            raise _NotPiecewiseLinear("the logits do not come from the image")
        if id(tensor) in self._stale:
            raise _NotPiecewiseLinear("a result is used after its memory was written to")
        return self._numbers[id(tensor)]

    def _add(self, call: _Call, output: Tensor) -> None:
        if id(output) in self._numbers:  # written in place: others that share its memory change
            place = output.untyped_storage().data_ptr()
            for tensor in self._kept:
                if tensor is not output and tensor.untyped_storage().data_ptr() == place:
                    self._stale.add(id(tensor))
        self.calls.append(call)
        self._numbers[id(output)] = len(self.calls)
        self._stale.discard(id(output))
        self._kept.append(output)
        self.values = max(self.values, math.prod(output.shape[1:]))

    def _referred(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return _Ref(self.number_of(value)) if id(value) in self._numbers else value
        if isinstance(value, (tuple, list)):
            return tuple(self._referred(item) for item in value)
        if isinstance(value, dict):
            return {key: self._referred(item) for key, item in value.items()}
        return value


class _NoWayOut(TorchFunctionMode):
    """Refuses to hand values to what no operation of torch sees, such as NumPy."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _OUT:
            raise _NotPiecewiseLinear(f"the network takes values out of torch ({name})")
        return func(*args, **(kwargs or {}))


_OUT = {
    "numpy", "__array__", "tolist", "__dlpack__", "to_dlpack", "_to_dlpack", "data_ptr",
    "untyped_storage", "storage", "apply_", "map_", "__cuda_array_interface__",
}  # fmt: skip


def _refs(value: Any) -> tuple[int, ...]:
    """Numbers of the results that arguments hold, in the order in which they stand there."""
    if isinstance(value, _Ref):
        return (value.number,)
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):
        return tuple(number for item in value for number in _refs(item))
    return ()


def _recorded(clf: Classifier) -> Program:
    if clf.device.type == "mps":
        raise _NotPiecewiseLinear("this device has no float64, which proofs are computed in")
    network = copy.deepcopy(clf.module).to(torch.float64)
    (first, values), (second, _) = (_run(clf, network, count) for count in _COUNTS)
    for call in first:
        _rule(call)
    if [call.name for call in first] != [call.name for call in second]:
        raise _NotPiecewiseLinear("the network does something else for another number of images")
    calls = [_same(one, other) for one, other in zip(first, second, strict=True)]
    nodes = [Node(_rule(call)(call), _refs((call.args, call.kwargs))) for call in calls]
    program = _finished(network, _fused(nodes), clf.device, values)
    if not program.agrees(_images(clf, _CHECKED, seed=_CHECKED)):
        raise _NotPiecewiseLinear("the operations that were seen give other logits")
    return program


def _run(clf: Classifier, network: nn.Module, count: int) -> tuple[list[_Call], int]:
    """The calls that lead to the logits, and the values of the largest result of one image."""
    images = _images(clf, count, seed=count)
    try:
        with torch.no_grad(), FullPrecision(), _NoWayOut(), _Recording(images) as recording:
            logits = network(images)
    except (_NotPiecewiseLinear, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever the network raises: it cannot be looked at
        raise _NotPiecewiseLinear(f"the network cannot be run in float64 ({error})") from error
    return _needed(recording.calls[: recording.number_of(logits)]), recording.values


def _images(clf: Classifier, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low, high = clf.bounds
    images = torch.rand((count, *clf.input_shape), generator=generator, dtype=torch.float64)
    return (low + (high - low) * images).to(clf.device)


def _same(one: _Call, other: _Call) -> _Call:
    """The call for any number of images, from those for two and for three."""
    args = _merged(one.args, other.args)
    kwargs = _merged(one.kwargs, other.kwargs)
    if one.shape[:1] != _COUNTS[:1] or one.shape[1:] != other.shape[1:]:
        raise _NotPiecewiseLinear(f"{one.name} mixes the images of a batch")
    return replace(one, args=args, kwargs=kwargs)


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        return tuple(_merged(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return {key: _merged(one[key], other[key]) for key in one}
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return _same_constant(one, other)
    if type(one) is type(other) and one == other:
        return one
    if (one, other) == _COUNTS:
        return _BATCH
    raise _NotPiecewiseLinear("the network does something else for another number of images")


def _same_constant(one: Tensor, other: Tensor) -> Tensor:
    if one.shape == other.shape and torch.equal(one, other):
        return one
    per_image = one.ndim > 0 and (len(one), len(other)) == _COUNTS
    if per_image and torch.equal(one[:1].expand_as(other), other):
        return one[:1]
    raise _NotPiecewiseLinear("a constant in the network depends on the images")


def _needed(calls: Sequence[_Call]) -> list[_Call]:
    """Those calls that the last one depends on, with the numbers that they have then."""
    needed = {len(calls)}
    for number in range(len(calls), 0, -1):
        if number in needed:
            needed.update(_refs((calls[number - 1].args, calls[number - 1].kwargs)))
    kept = sorted(needed - {0})
    renumbered = {0: 0, **{number: place for place, number in enumerate(kept, start=1)}}

    def renamed(value: Any) -> Any:
        if isinstance(value, _Ref):
            return _Ref(renumbered[value.number])
        if isinstance(value, tuple):
            return tuple(renamed(item) for item in value)
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        return value

    return [
        replace(call, args=renamed(call.args), kwargs=renamed(call.kwargs))
        for call in (calls[number - 1] for number in kept)
    ]


def _fused(nodes: list[Node]) -> list[Node]:
    """max(relu(x)) as the maximum of x and 0: no unit switches where the maximum hides it."""
    users: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for number in node.inputs:
            users.setdefault(number, []).append(index)
    fused = list(nodes)
    for index, node in enumerate(nodes):
        hidden = users.get(index + 1, [])
        if node.kind is not _RELU or len(hidden) != 1:
            continue
        user = nodes[hidden[0]]
        if isinstance(user.kind, Maximum) and len(user.inputs) == 1 and user.kind.floor is None:
            fused[index] = Node(_IDENTITY, node.inputs)
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


# What the operations do.

_RELU = Elementwise(torch.relu, ((0.0, 1.0),))
_IDENTITY = Affine(lambda x: x, lambda x: x)


Rule = Callable[["_Call"], "Affine | Elementwise | Maximum"]


def _rule(call: _Call) -> Rule:
    """What makes a node of the call; what is written in place is the same operation."""
    name = call.name.removesuffix("_")
    rule: Rule | None = _AFFINE.get(name) or _UNITS.get(name)
    if rule is None:
        raise _NotPiecewiseLinear(f"{name} is not piecewise linear, or not known to be")
    return rule


def _filled(call: _Call) -> _Values:
    """The call as a function of the values it takes, with its other arguments as they were."""

    def apply(*values: Tensor) -> Tensor:
        rest = iter(values)
        count = len(values[0])

        def fill(value: Any) -> Any:
            if isinstance(value, _Ref):
                return next(rest)
            if value is _BATCH:
                return count
            if isinstance(value, tuple):
                return [fill(item) for item in value]
            return value

        args = [fill(value) for value in call.args]
        kwargs = {key: fill(value) for key, value in call.kwargs.items()}
        result = call.func(*args, **kwargs)
        chosen: Tensor = result if call.place is None else result[call.place]
        return chosen

    return apply


def _rearranged(call: _Call) -> Affine:
    if len(_refs((call.args, call.kwargs))) != 1 or not isinstance(call.args[0], _Ref):
        raise _NotPiecewiseLinear(f"{call.name} takes places that depend on the image")
    apply = _filled(call)
    return Affine(apply, apply)


def _averaged(call: _Call) -> Affine:
    """Sums and means over axes or windows, and what lies between neighbours."""
    apply = _filled(call)
    values = max(1, math.prod(call.shape[1:]))
    # Windows may overlap, and adaptive ones are larger by one than their share, on each side.
    window = 4 * (-(-math.prod(call.taken) // values) + 2)
    if call.name == "aten.avg_pool2d":
        kernel = call.args[1]
        window = kernel[0] * kernel[-1] + 2
    return Affine(apply, apply, terms=window)


def _joined(call: _Call) -> Affine:
    """Tensors put together; constants among them have to be there for every image."""
    tensors, *more = call.args
    axis = more[0] if more else call.kwargs.get("dim", 0)

    def put(values: tuple[Tensor, ...], constants: bool) -> Tensor:
        rest, count = iter(values), len(values[0])
        parts = []
        for tensor in tensors:
            if isinstance(tensor, _Ref):
                parts.append(next(rest))
            else:
                part = tensor.expand(count, *tensor.shape[1:])
                parts.append(part if constants else torch.zeros_like(part))
        return torch.cat(parts, dim=axis)

    def offset() -> Tensor | float:
        constant = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
        return 0.0 if not constant else max(float(tensor.abs().max()) for tensor in constant)

    if axis == 0:
        raise _NotPiecewiseLinear(f"{call.name} mixes the images of a batch")
    return Affine(lambda *v: put(v, True), lambda *v: put(v, False), offset())


def _stacked(call: _Call) -> Affine:
    axis = call.args[1] if len(call.args) > 1 else call.kwargs.get("dim", 0)
    if axis == 0 or not all(isinstance(tensor, _Ref) for tensor in call.args[0]):
        raise _NotPiecewiseLinear(f"{call.name} mixes the images of a batch, or adds constants")
    return Affine(_filled(call), _filled(call))


def _padded(call: _Call) -> Affine:
    value = float(call.args[2] if len(call.args) > 2 else call.kwargs.get("value", 0.0))
    if not math.isfinite(value):
        raise _NotPiecewiseLinear(f"{call.name} pads with {value}")
    zero = replace(call, args=(*call.args[:2], 0.0), kwargs={})
    return Affine(_filled(call), _filled(zero), abs(value))


def _converted(call: _Call) -> Affine:
    dtype = call.kwargs.get("dtype", torch.float64)
    if dtype not in (None, torch.float64):
        raise _NotPiecewiseLinear(f"the network converts what it computes to {dtype}")
    return _IDENTITY


def _convolution(call: _Call) -> Affine:
    image, weight, bias, *rest = call.args
    if not isinstance(image, _Ref) or not isinstance(weight, Tensor):
        raise _NotPiecewiseLinear("a convolution whose weights depend on the image")
    size = weight.abs()
    none = replace(call, args=(image, size, None, *rest))
    offset: Tensor | float = 0.0
    if isinstance(bias, Tensor):
        offset = bias.abs().reshape(1, -1, *[1] * (weight.ndim - 2))
    transposed = bool(rest[3])
    terms = weight.numel() // weight.shape[1 if transposed else 0] + 2
    return Affine(_filled(call), _filled(none), offset, terms)


def _product(call: _Call) -> Affine:
    """mm and addmm with constant matrices on the right."""
    *bias, image, matrix = call.args
    if not isinstance(image, _Ref) or not isinstance(matrix, Tensor):
        raise _NotPiecewiseLinear(f"{call.name} of two results, or with the image on the right")
    if call.kwargs or (bias and not isinstance(bias[0], Tensor)):
        raise _NotPiecewiseLinear(f"{call.name} adds a result to a product")
    size = matrix.abs()
    offset = bias[0].abs() if bias else 0.0
    return Affine(_filled(call), lambda x: x @ size, offset, len(matrix) + 2)


def _linear(call: _Call) -> Affine:
    image, matrix, *bias = call.args
    if not isinstance(image, _Ref) or not isinstance(matrix, Tensor):
        raise _NotPiecewiseLinear("a linear layer whose weights depend on the image")
    size = matrix.abs()
    known = bool(bias) and isinstance(bias[0], Tensor)
    offset = bias[0].abs() if known else 0.0
    return Affine(_filled(call), lambda x: x @ size.T, offset, matrix.shape[1] + 2)


def _normalised(call: _Call) -> Affine:
    """Batch normalisation with running averages."""
    names = ("input", "weight", "bias", "running_mean", "running_var")
    image, *parameters = call.args[:5]
    epsilon = [value for value in call.args[5:] if isinstance(value, float)][-1]
    training = any(value is True for value in call.args[5:])
    if training or not isinstance(image, _Ref) or len(parameters) != len(names) - 1:
        raise _NotPiecewiseLinear(f"{call.name} with the averages of the batch")
    weight, bias, mean, variance = parameters
    if not (isinstance(mean, Tensor) and isinstance(variance, Tensor)):
        raise _NotPiecewiseLinear(f"{call.name} with the averages of the batch")
    shape = (1, -1, *[1] * (len(call.shape) - 2))
    scale = 1 / (variance + epsilon).sqrt()
    if isinstance(weight, Tensor):
        scale = scale * weight
    shift = -mean * scale
    size = shift.abs()
    if isinstance(bias, Tensor):
        shift, size = shift + bias, size + bias.abs()
    scale, shift, size = (value.reshape(shape) for value in (scale, shift, size))
    return Affine(lambda x: x * scale + shift, lambda x: x * scale.abs(), size, terms=10)


def _summed(call: _Call) -> Affine:
    """Sums and differences of two results, or of one and a constant."""
    first, second = call.args
    if float(call.kwargs.get("alpha", 1)) != 1.0:
        raise _NotPiecewiseLinear(f"{call.name} with a factor is not known")
    apply = _filled(call)
    if isinstance(first, _Ref) and isinstance(second, _Ref):
        return Affine(apply, lambda x, y: x + y, terms=2)
    constant = second if isinstance(first, _Ref) else first
    _require_no_batch(call, constant)
    return Affine(apply, lambda x: x, _size(constant), terms=2)


def _scaled(call: _Call) -> Affine:
    first, second = call.args
    if isinstance(first, _Ref) and isinstance(second, _Ref):
        raise _NotPiecewiseLinear(f"{call.name} of two results that depend on the image")
    constant = second if isinstance(first, _Ref) else first
    _require_no_batch(call, constant)
    size = _size(constant)
    return Affine(_filled(call), lambda x: x * size, terms=2)


def _divided(call: _Call) -> Affine:
    second = call.args[1]
    if isinstance(second, _Ref) or len(call.args) > 2 or call.kwargs.get("rounding_mode"):
        raise _NotPiecewiseLinear(f"{call.name} by something that depends on the image")
    size = _size(second)
    return Affine(_filled(call), lambda x: x / size, terms=2)


def _negated(call: _Call) -> Affine:
    return Affine(_filled(call), lambda x: x)


def _size(value: Any) -> Tensor | float:
    return value.abs() if isinstance(value, Tensor) else abs(float(value))


def _require_no_batch(call: _Call, constant: Any) -> None:
    """A constant must not be what makes the result a batch."""
    if isinstance(constant, Tensor) and constant.ndim > len(call.shape):
        raise _NotPiecewiseLinear(f"{call.name} mixes the images of a batch")


def _leaky(call: _Call) -> Elementwise:
    slope = float(call.args[1] if len(call.args) > 1 else call.kwargs.get("negative_slope", 0.01))
    return Elementwise(_filled(call), ((0.0, 1 - slope),), max(1.0, abs(slope)), terms=1)


def _parametric(call: _Call) -> Elementwise:
    image, slope = call.args
    if not isinstance(image, _Ref) or not isinstance(slope, Tensor):
        raise _NotPiecewiseLinear("a PReLU whose slope depends on the image")
    if slope.ndim <= 1:
        slope = slope.reshape(1, -1, *[1] * (len(call.shape) - 2))
    return Elementwise(_filled(call), ((0.0, 1 - slope),), slope.abs().clamp_min(1.0), terms=1)


def _clamped(*names: str) -> Callable[[_Call], Elementwise]:
    """A lower limit, an upper limit, or both, in the order of the arguments."""

    def rule(call: _Call) -> Elementwise:
        limits = dict(zip(names, call.args[1:], strict=False)) | call.kwargs
        if any(not isinstance(limit, (int, float, type(None))) for limit in limits.values()):
            raise _NotPiecewiseLinear(f"{call.name} with limits that are no numbers")
        kinks = tuple(
            (float(limit), 1.0 if name == "min" else -1.0)
            for name, limit in limits.items()
            if limit is not None
        )
        return Elementwise(_filled(call), kinks)

    return rule


def _hardtanh(call: _Call) -> Elementwise:
    low, high = (*call.args[1:], -1.0, 1.0)[:2] if len(call.args) > 2 else (-1.0, 1.0)
    low = float(call.kwargs.get("min_val", low))
    high = float(call.kwargs.get("max_val", high))
    return Elementwise(_filled(call), ((low, 1.0), (high, -1.0)))


def _threshold(call: _Call) -> Elementwise:
    place, value = (float(number) for number in call.args[1:3])
    if place != value:
        raise _NotPiecewiseLinear("a threshold at which the value jumps")
    return Elementwise(_filled(call), ((place, 1.0),))


def _hardsigmoid(call: _Call) -> Elementwise:
    return Elementwise(_filled(call), ((-3.0, 1 / 6), (3.0, -1 / 6)), 1 / 6, terms=3)


def _absolute_value(call: _Call) -> Elementwise:
    return Elementwise(_filled(call), ((0.0, 2.0),))


def _pooled(call: _Call) -> Maximum:
    """max_pool2d, of a size, stride, padding and dilation for both axes or for each."""
    settings = call.args[1:]
    kernel, stride, padding, dilation = (*settings, *_POOLING[len(settings) :])[:4]
    spans = []
    for axis, (given, pooled) in enumerate(zip(call.taken[1:], call.shape[2:], strict=True)):
        size, step, outside, gap = (
            pair[axis % len(pair)] for pair in (kernel, stride or kernel, padding, dilation)
        )
        first = torch.arange(pooled)[:, None] * step - outside
        spans.append(_within(first + gap * torch.arange(size), given))
    return _windows(call, spans)


_POOLING: tuple[tuple[int, ...], ...] = ((), (), (0,), (1,))


def _adaptively_pooled(call: _Call) -> Maximum:
    spans = []
    for given, pooled in zip(call.taken[1:], call.shape[2:], strict=True):
        start = torch.arange(pooled)[:, None] * given // pooled
        stop = -(-(torch.arange(pooled)[:, None] + 1) * given // pooled)
        places = start + torch.arange(int((stop - start).max()))
        spans.append(torch.where(places < stop, places, -1))
    return _windows(call, spans)


def _within(places: Tensor, count: int) -> Tensor:
    return torch.where((places >= 0) & (places < count), places, -1)


def _windows(call: _Call, spans: list[Tensor]) -> Maximum:
    """Windows made of the rows ``(h, a)`` and the columns ``(w, b)`` of each."""
    if len(call.taken) != 3:
        raise _NotPiecewiseLinear(f"{call.name} of anything but images (n, C, H, W)")
    rows, columns = spans[0][:, None, :, None], spans[1][None, :, None, :]
    places = torch.where((rows < 0) | (columns < 0), -1, rows * call.taken[2] + columns)

    def select(image: Tensor) -> tuple[Tensor, Tensor]:
        args = [list(value) if isinstance(value, tuple) else value for value in call.args[1:]]
        values, where = call.func(image, *args)
        return values, where

    return Maximum(select, lambda image: image.flatten(2), places.flatten(2).flatten(0, 1))


def _larger(call: _Call) -> Maximum | Elementwise:
    first, second = call.args
    if not (isinstance(first, _Ref) and isinstance(second, _Ref)):
        constant = second if isinstance(first, _Ref) else first
        _require_no_batch(call, constant)
        return Elementwise(_filled(call), ((constant, 1.0),))

    def together(*inputs: Tensor) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*inputs), -1)  # type: ignore[no-untyped-call]

    def select(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        values, where = together(*inputs).max(-1)
        return values, where

    def arrange(*inputs: Tensor) -> Tensor:
        return together(*inputs).flatten(1, -2)

    return Maximum(select, arrange, torch.tensor([[0, 1]]))


def _smaller_constant(call: _Call) -> Elementwise:
    first, second = call.args
    if isinstance(first, _Ref) and isinstance(second, _Ref):
        raise _NotPiecewiseLinear("aten.minimum of two results is not known")
    constant = second if isinstance(first, _Ref) else first
    _require_no_batch(call, constant)
    return Elementwise(_filled(call), ((constant, -1.0),))


def _over_axes(call: _Call) -> Maximum:
    axes = call.args[1] if len(call.args) > 1 else ()
    keep = bool(call.args[2]) if len(call.args) > 2 else bool(call.kwargs.get("keepdim", False))
    count = len(call.shape) + (0 if keep else len(axes))
    places = sorted(axis % count for axis in axes)
    if not places or places[0] == 0 or places != list(range(count - len(places), count)):
        raise _NotPiecewiseLinear(f"{call.name} over axes that are not the last ones")

    def arrange(image: Tensor) -> Tensor:
        rows = image.flatten(places[0])
        return rows.reshape(len(rows), -1, rows.shape[-1])

    def select(image: Tensor) -> tuple[Tensor, Tensor]:
        values, where = arrange(image).max(-1)
        shape = (len(values), *call.shape[1:])
        return values.reshape(shape), where.reshape(shape)

    members = torch.arange(math.prod(call.taken[axis - 1] for axis in places))[None]
    return Maximum(select, arrange, members)


# What depends on a result's shape only. That it is the same for other images is checked.
_BY_SHAPE = {
    f"aten.{name}"
    for name in (
        "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "new_tensor",
    )
}  # fmt: skip

# Results whose very shape depends on the values.
_SHAPED_BY_VALUES = {
    f"aten.{name}"
    for name in (
        "nonzero", "masked_select", "index", "_unique2", "unique_dim", "unique_consecutive",
        "bincount",
    )
}  # fmt: skip

_AFFINE: dict[str, Callable[[_Call], Affine]] = {
    **{
        f"aten.{name}": _rearranged
        for name in (
            "view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "squeeze",
            "unsqueeze", "select", "slice", "clone", "detach", "alias", "contiguous", "split",
            "split_with_sizes", "chunk", "unbind", "flip", "pixel_shuffle", "pixel_unshuffle",
            "index_select", "upsample_nearest2d", "reflection_pad2d", "replication_pad2d",
            "channel_shuffle", "lift_fresh", "_reshape_alias",
        )
    },
    **{
        f"aten.{name}": _averaged
        for name in (
            "mean", "sum", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d",
            "upsample_bilinear2d",
        )
    },
    "aten._to_copy": _converted,
    "aten.add": _summed,
    "aten.addmm": _product,
    "aten.cat": _joined,
    "aten.constant_pad_nd": _padded,
    "aten.convolution": _convolution,
    "aten.cudnn_batch_norm": _normalised,
    "aten.div": _divided,
    "aten.linear": _linear,
    "aten.mm": _product,
    "aten.mul": _scaled,
    "aten.native_batch_norm": _normalised,
    "aten._native_batch_norm_legit_no_training": _normalised,
    "aten.neg": _negated,
    "aten.rsub": _summed,
    "aten.stack": _stacked,
    "aten.sub": _summed,
}  # fmt: skip

_UNITS: dict[str, Callable[[_Call], Elementwise | Maximum]] = {
    "aten._prelu_kernel": _parametric,
    "aten.abs": _absolute_value,
    "aten.adaptive_max_pool2d": _adaptively_pooled,
    "aten.amax": _over_axes,
    "aten.clamp": _clamped("min", "max"),
    "aten.clamp_max": _clamped("max"),
    "aten.clamp_min": _clamped("min"),
    "aten.hardsigmoid": _hardsigmoid,
    "aten.hardtanh": _hardtanh,
    "aten.leaky_relu": _leaky,
    "aten.max_pool2d_with_indices": _pooled,
    "aten.maximum": _larger,
    "aten.minimum": _smaller_constant,
    "aten.prelu": _parametric,
    "aten.relu": lambda call: _RELU,
    "aten.threshold": _threshold,
}
