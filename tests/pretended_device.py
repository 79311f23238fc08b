"""A GPU that is only pretended, ``"gpu:0"``, to find on any machine what would fail on a real one.

Its tensors hold CPU tensors that do the computing, so that its numbers are those of the CPU. Like
CUDA it refuses tensors of two devices in one operation (but for single numbers, and indices on the
CPU), generators of the CPU and NumPy; unlike CUDA it refuses random numbers of its own. ``waits``
counts where in the package the CPU would have to wait for the GPU.

What torch is told here holds for the whole process and must come before the first backward pass
in it: import this in a process of its own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "gpu"

waits: Counter[str] = Counter()
"""Module and line in the package -> how often the GPU would have been waited for there."""

_COPIES = {"copy_", "_to_copy"}
_INDEXING = {"index", "_unsafe_index", "index_put", "index_put_", "_index_put_impl_"}
_TAKE_NUMBERS = _INDEXING | {"fill_", "masked_fill", "masked_fill_"}  # and what works pointwise
_WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "repeat_interleave", "equal", "_unique2",
    "unique_dim", "unique_consecutive", "bincount", "histc", "_linalg_eigh", "_linalg_svd",
}  # fmt: skip
# What torch makes of an empty tensor that grows, which a tensor with another inside cannot.
_FACTORIES = (
    "arange", "arange.start", "arange.start_step", "linspace", "eye", "eye.m", "randperm",
    "tril_indices", "triu_indices",
)  # fmt: skip


class OnGPU(Tensor):
    """A tensor that says it lives on the GPU; its numbers are those of ``held``."""

    held: Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGPU:
        self = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        self.held = held
        return self

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"OnGPU({self.held!r})"

    # Memory is that of the tensor inside, which is how it is seen what is a view of what.

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __getitem__(self, index: Any) -> Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(part, list) for part in parts):
            index = tuple(tensor(p, device=NAME) if isinstance(p, list) else p for p in parts)
        return super().__getitem__(index)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            copied = self.detach().clone().requires_grad_(self.requires_grad)
            copied._is_param = isinstance(self, torch.nn.Parameter)
            memo[id(self)] = copied
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("a tensor on a GPU was sent to another process")


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.overloadpacket.__name__
    leaves, structure = pytree.tree_flatten((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    on_gpu = any(isinstance(leaf, OnGPU) for leaf in tensors)
    target = kwargs.get("device")
    to_gpu = on_gpu if target is None else torch.device(target).type == NAME
    if name == "copy_":
        to_gpu = isinstance(args[0], OnGPU)
    if name in _COPIES:
        if on_gpu != to_gpu or not all(isinstance(t, OnGPU) == to_gpu for t in tensors):
            _wait()
    elif on_gpu:
        _require_one_device(func, name, args, tensors)
    if to_gpu:
        _require_no_drawing(func, leaves)
    if name in _WAITING and on_gpu:
        _wait()

    wrappers = {id(leaf.held): leaf for leaf in tensors if isinstance(leaf, OnGPU)}
    args, kwargs = pytree.tree_unflatten([_bare(leaf) for leaf in leaves], structure)
    if to_gpu:
        kwargs.pop("pin_memory", None)
    found = func(*args, **kwargs)
    if name == "_to_copy" and any(found is leaf for leaf in pytree.tree_leaves(args)):
        found = found.clone()
    for wrapper in wrappers.values():
        if wrapper.shape != wrapper.held.shape or wrapper.dtype != wrapper.held.dtype:
            raise NotImplementedError(f"{func} changes a tensor's shape, which is not pretended")

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor) or not to_gpu:
            return value
        if value._is_zerotensor():
            value = torch.zeros(value.shape, dtype=value.dtype)
        return wrappers[id(value)] if id(value) in wrappers else OnGPU(value)

    return pytree.tree_map(wrapped, found)


def _bare(value: Any) -> Any:
    if isinstance(value, OnGPU):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _require_one_device(func: Any, name: str, args: Any, tensors: list[Tensor]) -> None:
    indices = [index for index in args[1] if index is not None] if name in _INDEXING else []
    for index in indices:
        if isinstance(index, OnGPU) and not isinstance(args[0], OnGPU):
            raise RuntimeError(f"{func}: indices on a GPU into a tensor on the CPU")
        number = name not in ("index", "_unsafe_index") and args[2].numel() == 1
        mask = index.dtype in (torch.bool, torch.uint8)
        if not isinstance(index, OnGPU) or (mask and not (number and len(indices) == 1)):
            _wait()  # a mask is counted, but where one number is put
    numbers = torch.Tag.pointwise in func.tags or name in _TAKE_NUMBERS
    for part in tensors:
        allowed = isinstance(part, OnGPU) or any(part is index for index in indices)
        if not allowed and not (numbers and part.ndim == 0):
            raise RuntimeError(f"{func}: expected all tensors to be on the same device")


def _require_no_drawing(func: Any, leaves: list[Any]) -> None:
    if any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{func}: expected a generator of the GPU, but found one of the CPU")
    attention = "attention" in func.overloadpacket.__name__  # could drop values, but does not
    if torch.Tag.nondeterministic_seeded in func.tags and not attention:
        raise RuntimeError(f"{func}: numbers are drawn on the GPU, which the CPU cannot repeat")


def _wait() -> None:
    frame = sys._getframe(1)
    while frame.f_back is not None and not _module(frame).startswith("geoexplorer."):
        frame = frame.f_back
    waits[f"{_module(frame)}:{frame.f_lineno}"] += 1


def _module(frame: Any) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _sent(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Numbers become a tensor on the CPU first; torch's own way there is closed to a subclass."""

    def made(data: Any, *, dtype: Any = None, device: Any = None, **options: Any) -> Tensor:
        if isinstance(data, Tensor) or device is None or torch.device(device).type != NAME:
            return make(data, dtype=dtype, device=device, **options)
        return make(data, dtype=dtype, **options).to(device)

    return made


tensor = torch.tensor = _sent(torch.tensor)
torch.as_tensor = _sent(torch.as_tensor)
torch.__future__.set_overwrite_module_params_on_conversion(True)  # not their insides
_setup_privateuseone_for_python_backend(NAME)
_everything = torch.library.Library("_", "IMPL")
_everything.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
_some = torch.library.Library("aten", "IMPL")
for _name in _FACTORIES:
    _packet, _, _overload = _name.partition(".")
    _func = getattr(getattr(torch.ops.aten, _packet), _overload or "default")
    _some.impl(_name, lambda *a, _func=_func, **k: _run(_func, a, k), "PrivateUse1")
