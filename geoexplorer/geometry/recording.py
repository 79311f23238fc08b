"""The operations that a network makes on an image, written down.

Whatever an image has touched, as the result of an operation or by lying in the same memory, depends
on it. A tensor that does and whose value is not the result of one known operation (because its
memory was written to, or because it came about unseen) stands for an operation that no rule knows.
So does a constant that neither was there before, in both of two runs, nor was made by an operation
that was seen. A constant that is written to after it was used ends the recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from geoexplorer.classifier import Classifier, FullPrecision
from geoexplorer.jobs import check_cancelled

__all__ = [
    "BATCH",
    "BY_SHAPE",
    "Call",
    "NotPiecewiseLinear",
    "Ref",
    "memory_of",
    "name_of",
    "out_of_place",
    "random_images",
    "recorded_calls",
    "refs",
    "tensors_in",
    "weak_memory",
    "written_by",
]

# Images for which a run is recorded. What differs between the two counts is the size of the batch.
_COUNTS = (2, 3)


class NotPiecewiseLinear(Exception):
    """Why a network cannot be written as a program."""


@dataclass(frozen=True)
class Ref:
    """In place of a tensor that depends on the image: the number of the call that gave it."""

    number: int  # 0 is the image


class _Batch:
    """In place of the number of images."""

    def __repr__(self) -> str:
        return "n"


BATCH = _Batch()


@dataclass(frozen=True)
class Call:
    """An operation with its arguments, results of others among them as :class:`Ref`.

    What is written in place is here the operation that gives a result of its own.
    """

    name: str  # such as aten.relu, or aten.add.Tensor
    func: Any  # None for what was not seen
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    place: int | None = None  # of the result among several
    shape: tuple[int, ...] = ()  # of the result
    taken: tuple[int, ...] = ()  # shape of the first input, without the batch
    dtype: torch.dtype = torch.float64  # of the result


def refs(value: Any) -> tuple[int, ...]:
    """Numbers of the results that arguments hold, in the order in which they stand there."""
    return tuple(item.number for item in _flat(value) if isinstance(item, Ref))


def recorded_calls(clf: Classifier, network: nn.Module) -> tuple[list[Call], int]:
    """The calls that lead to the logits, and the values of the largest result of one image.

    Parameters
    ----------
    clf
        The classifier.
    network
        Its network, in float64.

    Raises
    ------
    NotPiecewiseLinear
        If the network does something else for another number of images, lets its course depend on
        the image, or hides what it does.
    """
    first = _run(clf, network, _COUNTS[0], None)
    second = _run(clf, network, _COUNTS[1], first)
    for call in first.needed:  # their reasons say more than that both differ
        if call.func is None:
            raise NotPiecewiseLinear(call.name)
    if [call.name for call in first.needed] != [call.name for call in second.needed]:
        raise NotPiecewiseLinear(_OTHER_NUMBER)
    calls = [_same(one, other) for one, other in zip(first.needed, second.needed, strict=True)]
    return calls, first.values


def random_images(clf: Classifier, count: int, seed: int) -> Tensor:
    """Noise within the bounds, float64 ``(n, C, H, W)`` on the classifier's device."""
    generator = torch.Generator().manual_seed(seed)
    low, high = clf.bounds
    images = torch.rand((count, *clf.input_shape), generator=generator, dtype=torch.float64)
    return (low + (high - low) * images).to(clf.device)


def _run(clf: Classifier, network: nn.Module, count: int, earlier: _Recording | None) -> _Recording:
    recording = _Recording(random_images(clf, count, seed=count), earlier)
    with torch.no_grad(), FullPrecision(), _NoWayOut(recording), recording:
        logits = network(recording.images)
    number = recording.number_of(logits)
    if not number:
        raise NotPiecewiseLinear("the logits do not come from the image")
    recording.needed = _needed(recording.calls[:number])
    return recording


class _Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation that an image takes part in."""

    def __init__(self, images: Tensor, earlier: _Recording | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.images = images
        self.calls: list[Call] = []
        self.needed: list[Call] = []
        self.values = 0  # of the largest result of one image
        self._earlier = earlier
        # By id, with the number of the call, the place, and the tensor itself as long as the
        # network holds it: an id may be used again.
        self._results: dict[int, tuple[int, Any, ReferenceType[Tensor]]] = {}
        self._constants: dict[int, Tensor] = {}
        # Memory that depends on the image, with all results that lie in it; memory of constants
        # that a call takes.
        self._touched: dict[int, list[int]] = {}
        self._used: set[int] = set()
        # No other memory gets the number of one to which there is a weak reference.
        self._kept: dict[int, StorageWeakRef] = {}
        self._note(images, 0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        with torch._C.DisableTorchFunction():
            return self._watched(func, args, kwargs or {})

    def _watched(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        check_cancelled()
        if name_of(func) == "aten.lift_fresh" and not self.depends(args[0]):
            self._constants[id(args[0])] = args[0]  # made of numbers of Python
        given_args, given_kwargs = self._referred(args), self._referred(kwargs)
        touched = [
            tensor
            for tensor, given in zip(
                _flat((args, kwargs)), _flat((given_args, given_kwargs)), strict=True
            )
            if isinstance(given, Ref)
        ]
        taken = tuple(touched[0].shape[1:]) if touched else ()
        written = written_by(func, args, kwargs)
        shapes = [tensor.shape for tensor in written]
        result = func(*args, **kwargs)
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        name = name_of(func)
        for tensor in written:
            self._overwrite(tensor, bool(touched))
        if not touched or name in BY_SHAPE:
            self._constants.update((id(t), t) for t in outputs if isinstance(t, Tensor))
            return result
        if shapes != [tensor.shape for tensor in written] or _decides(func, outputs, written):
            raise NotPiecewiseLinear(f"the network's course depends on the image ({name})")
        call = Call(name, func, given_args, given_kwargs, taken=taken)
        if written:
            self._add_in_place(call, written, outputs)
            return result
        for place, output in enumerate(outputs):
            if isinstance(output, Tensor):
                which = place if isinstance(result, (tuple, list)) else None
                other = f"{name}, result {place}" if isinstance(result, tuple) and place else name
                self._add(replace(call, name=other, place=which), output)
        return result

    def number_of(self, tensor: Any) -> int | None:
        """Which result a tensor is; None for a constant."""
        if not isinstance(tensor, Tensor):
            raise NotPiecewiseLinear("the network gives something that is no tensor")
        known = self._results.get(id(tensor))
        if known is not None and known[2]() is tensor and known[1] == _place(tensor):
            return known[0]
        if self._is_touched(tensor):
            return self._unknown("a result is used after its memory was written to")
        if self.depends(tensor):
            return self._unknown("the network remembers the image before")
        return None

    def depends(self, tensor: Tensor) -> bool:
        """Whether an image has touched a tensor, in this run or in the earlier one."""
        before = self._earlier is not None and self._earlier.depends(tensor)
        return before or self._is_touched(tensor)

    def _is_touched(self, tensor: Tensor) -> bool:
        known = self._results.get(id(tensor))
        is_result = known is not None and known[2]() is tensor
        return is_result or memory_of(tensor) in self._touched

    def _unknown(self, reason: str) -> int:
        self.calls.append(Call(reason, None))
        return len(self.calls)

    def _note(self, tensor: Tensor, number: int) -> None:
        self._results[id(tensor)] = number, _place(tensor), ref(tensor)
        self._touch(tensor).append(id(tensor))

    def _touch(self, tensor: Tensor) -> list[int]:
        memory = memory_of(tensor)
        self._kept.setdefault(memory, weak_memory(tensor))
        return self._touched.setdefault(memory, [])

    def _add(self, call: Call, output: Tensor) -> None:
        self._used.update(
            memory_of(item) for item in _flat((call.args, call.kwargs)) if isinstance(item, Tensor)
        )
        self.calls.append(replace(call, shape=tuple(output.shape), dtype=output.dtype))
        self._note(output, len(self.calls))
        self.values = max(self.values, math.prod(output.shape[1:]))

    def _add_in_place(self, call: Call, written: Sequence[Tensor], outputs: list[Any]) -> None:
        """The new value of a result that was written to, where one operation gives it."""
        twin = out_of_place(call.func)
        first = call.args[0] if call.args else None
        if twin is not None and isinstance(first, Ref) and outputs[0] is written[0]:
            self._add(replace(call, name=name_of(twin), func=twin), outputs[0])

    def _overwrite(self, tensor: Tensor, touched: bool) -> None:
        memory = memory_of(tensor)
        if memory in self._used or (self._earlier is not None and memory in self._earlier._used):
            raise NotPiecewiseLinear("a constant of the network changes while it runs")
        for index in self._touched.get(memory, []):
            known = self._results.get(index)
            if known is not None and known[1][0] == memory:
                del self._results[index]
        if touched:
            self._touch(tensor)

    def _referred(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            number = self.number_of(value)
            if number is None:
                number = self._constant(value)
            return value if number is None else Ref(number)
        if isinstance(value, (tuple, list)):
            return tuple(self._referred(item) for item in value)
        if isinstance(value, dict):
            return {key: self._referred(item) for key, item in value.items()}
        return value

    def _constant(self, tensor: Tensor) -> int | None:
        """Let a constant in, or say which call stands for it where it came from nowhere."""
        if id(tensor) in self._constants:
            return None
        known = self._earlier
        if known is not None and id(tensor) not in known._constants:
            return self._unknown("a constant in the network came about unseen")
        self._constants[id(tensor)] = tensor
        return None


class _NoWayOut(TorchFunctionMode):
    """Refuses to hand values to what no operation of torch sees, such as NumPy."""

    def __init__(self, recording: _Recording) -> None:
        super().__init__()
        self._recording = recording

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _OUT:
            raise NotPiecewiseLinear(f"the network takes values out of torch ({name})")
        if name in _NUMBERS and args and self._hold(args[0]):
            raise NotPiecewiseLinear(f"the network's course depends on the image ({name})")
        lists = [
            value for value in (*args, *(kwargs or {}).values()) if isinstance(value, (list, tuple))
        ]
        if name in _OF_LISTS and self._hold(lists):
            raise NotPiecewiseLinear(f"the network copies values without a trace ({name})")
        return func(*args, **(kwargs or {}))

    def _hold(self, value: Any) -> bool:
        with torch._C.DisableTorchFunction():
            return any(self._recording.depends(tensor) for tensor in tensors_in(value))


_OUT = {
    "numpy", "__array__", "tolist", "__dlpack__", "to_dlpack", "_to_dlpack", "data_ptr",
    "untyped_storage", "storage", "apply_", "map_", "__cuda_array_interface__",
}  # fmt: skip

# What makes a number of a tensor, and a tensor of a list of them, without an operation.
_NUMBERS = {"__float__", "__int__", "__index__", "__bool__", "__complex__"}
_OF_LISTS = {"tensor", "as_tensor", "asarray", "new_tensor", "new"}

# These read a shape and no values, so that what they give is a constant.
BY_SHAPE = {
    f"aten.{name}"
    for name in ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
}

_OTHER_NUMBER = "the network does something else for another number of images"


def name_of(func: Any) -> str:
    """Name and overload of an operation, such as aten.add.Tensor."""
    overload = func._overloadname
    return str(func.overloadpacket) + ("" if overload == "default" else f".{overload}")


def out_of_place(func: Any) -> Any:
    """The operation that gives as a result what this one writes into its first argument."""
    name = str(func.overloadpacket).removeprefix("aten.")
    if func.namespace != "aten" or not name.endswith("_"):
        return None
    return getattr(getattr(torch.ops.aten, name[:-1], None), func._overloadname, None)


def written_by(func: Any, args: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that an operation writes to."""
    if not hasattr(func, "_schema"):
        raise NotPiecewiseLinear(f"{func} is no operation that is known")
    names = func._schema.arguments
    both = [*zip(names, args, strict=False), *((a, kwargs.get(a.name)) for a in names[len(args) :])]
    return [
        tensor
        for argument, value in both
        if argument.alias_info is not None and argument.alias_info.is_write
        for tensor in tensors_in(value)
    ]


def _decides(func: Any, outputs: list[Any], written: Sequence[Tensor]) -> bool:
    """Whether an operation gives what is no tensor, or tensors whose shapes depend on values."""
    tensors = [isinstance(output, Tensor) for output in outputs if output is not None]
    if written:
        return not all(tensors)
    hidden = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & set(func.tags)
    # Of operations from elsewhere it is not known whether they say so.
    return bool(hidden) or not tensors or not all(tensors) or func.namespace not in _KNOWN


_KNOWN = {"aten", "prims"}


def weak_memory(tensor: Tensor) -> StorageWeakRef:
    """As long as there is this reference no other memory gets the number of the tensor's."""
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


def memory_of(tensor: Tensor) -> int:
    """A number for the memory that a tensor lies in."""
    return int(tensor.untyped_storage()._cdata)


def _place(tensor: Tensor) -> Any:
    where = tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype
    return memory_of(tensor), where


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors among arguments or results."""
    return [item for item in _flat(value) if isinstance(item, Tensor)]


def _same(one: Call, other: Call) -> Call:
    """The call for any number of images, from those for two and for three."""
    if one.shape[:1] != _COUNTS[:1] or one.shape[1:] != other.shape[1:]:
        raise NotPiecewiseLinear(f"{one.name} mixes the images of a batch")
    args, kwargs = _merged(one.args, other.args), _merged(one.kwargs, other.kwargs)
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
        return BATCH
    raise NotPiecewiseLinear(_OTHER_NUMBER)


def _same_constant(one: Tensor, other: Tensor) -> Tensor:
    if one.shape == other.shape and torch.equal(one, other):
        return one
    per_image = one.ndim > 0 and (len(one), len(other)) == _COUNTS
    if per_image and torch.equal(one[:1].expand_as(other), other):
        return one[:1]
    raise NotPiecewiseLinear("a constant in the network depends on the images")


def _needed(calls: Sequence[Call]) -> list[Call]:
    """Those calls that the last one depends on, with the numbers that they have then."""
    needed = {len(calls)}
    for number in range(len(calls), 0, -1):
        if number in needed:
            needed.update(refs((calls[number - 1].args, calls[number - 1].kwargs)))
    kept = sorted(needed - {0})
    renumbered = {0: 0, **{number: place for place, number in enumerate(kept, start=1)}}

    def renamed(value: Any) -> Any:
        if isinstance(value, Ref):
            return Ref(renumbered[value.number])
        if isinstance(value, tuple):
            return tuple(renamed(item) for item in value)
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        return value

    return [
        replace(call, args=renamed(call.args), kwargs=renamed(call.kwargs))
        for call in (calls[number - 1] for number in kept)
    ]
