"""What the operations of networks do: the rules that make nodes of a program of recorded calls.

An operation is known by its name and overload. A rule takes every argument of the call into
account, or refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geoexplorer.geometry.programs import Affine, Elementwise, Kind, Maximum
from geoexplorer.geometry.recording import BATCH, Call, NotPiecewiseLinear, Ref, refs

__all__ = ["IDENTITY", "RELU", "is_known", "kind_of", "unknown"]

RELU = Elementwise(torch.relu, ((0.0, 1.0),))
IDENTITY = Affine(lambda x: x, lambda x: x)

_Values = Callable[..., Tensor]
_Rule = Callable[[Call], Kind]


def kind_of(call: Call) -> Kind:
    """What a call does.

    Raises
    ------
    NotPiecewiseLinear
        If it is not piecewise linear, or not known to be.
    """
    if call.func is None:
        raise NotPiecewiseLinear(call.name)
    rule: _Rule | None = _AFFINE.get(call.name) or _UNITS.get(call.name)
    if rule is None:
        raise NotPiecewiseLinear(unknown(call.name))
    kind = rule(call)
    if call.dtype != torch.float64:
        raise NotPiecewiseLinear(f"{call.name} gives {call.dtype}")
    return kind


def is_known(name: str) -> bool:
    """Whether there is a rule for an operation of that name, though not for all its arguments."""
    return name in _AFFINE or name in _UNITS


def unknown(name: str) -> str:
    """What is said of an operation that there is no rule for."""
    return f"{name} is not piecewise linear, or not known to be"


def _filled(call: Call) -> _Values:
    """The call as a function of the values it takes, with its other arguments as they were."""

    def apply(*values: Tensor) -> Tensor:
        rest, count = iter(values), len(values[0])
        args = [_with(value, rest, count) for value in call.args]
        kwargs = {key: _with(value, rest, count) for key, value in call.kwargs.items()}
        result = call.func(*args, **kwargs)
        chosen: Tensor = result if call.place is None else result[call.place]
        return chosen

    return apply


# No function within another that calls itself: it would keep the values until garbage is collected.
def _with(value: Any, rest: Iterator[Tensor], count: int) -> Any:
    """An argument with the next values in place of results, and the number of images."""
    if isinstance(value, Ref):
        return next(rest)
    if value is BATCH:
        return count
    if isinstance(value, tuple):
        return [_with(item, rest, count) for item in value]
    return value


def _argument(call: Call, place: int, name: str, default: Any) -> Any:
    return call.args[place] if len(call.args) > place else call.kwargs.get(name, default)


def _only_the_first(call: Call) -> None:
    """Only what an operation is applied to may depend on the image."""
    if len(refs((call.args, call.kwargs))) != 1 or not isinstance(call.args[0], Ref):
        raise NotPiecewiseLinear(f"{call.name} of something else that depends on the image")


def _rearranged(call: Call) -> Affine:
    _only_the_first(call)
    apply = _filled(call)
    given = [value.device for value in call.args if isinstance(value, Tensor)]
    rows = torch.arange(2.0, dtype=torch.float64, device=given[0] if given else None)
    rows = rows.reshape(2, *[1] * len(call.taken))
    moved = apply(rows.expand(2, *call.taken).contiguous())
    if not torch.equal(moved, rows.reshape(2, *[1] * (moved.ndim - 1)).expand_as(moved)):
        raise NotPiecewiseLinear(f"{call.name} mixes the images of a batch")
    return Affine(apply, apply)


def _averaged(call: Call) -> Affine:
    """Sums and means over axes or windows, and what lies between neighbours."""
    _only_the_first(call)
    apply = _filled(call)
    values = max(1, math.prod(call.shape[1:]))
    # Windows may overlap, and adaptive ones are larger by one than their share, on each side.
    window = 4 * (-(-math.prod(call.taken) // values) + 2)
    if call.name == "aten.avg_pool2d":
        kernel = call.args[1]
        window = kernel[0] * kernel[-1] + 2
        if (_argument(call, 6, "divisor_override", None) or 1) < 0:
            raise NotPiecewiseLinear(f"{call.name} by a negative divisor is not known")
    if call.name.startswith("aten.upsample"):
        window += sum(call.taken[1:])  # places between neighbours are rounded
    return Affine(apply, apply, terms=window)


def _joined(call: Call) -> Affine:
    """Tensors put together; constants among them have to be there for every image."""
    tensors = call.args[0]
    axis = _argument(call, 1, "dim", 0)

    def put(values: tuple[Tensor, ...], constants: bool) -> Tensor:
        rest, count = iter(values), len(values[0])
        parts = []
        for tensor in tensors:
            if isinstance(tensor, Ref):
                parts.append(next(rest))
            else:
                part = tensor.expand(count, *tensor.shape[1:])
                parts.append(part if constants else torch.zeros_like(part))
        return torch.cat(parts, dim=axis)

    def offset() -> Tensor | float:
        constant = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
        return 0.0 if not constant else max(float(tensor.abs().max()) for tensor in constant)

    if axis == 0:
        raise NotPiecewiseLinear(f"{call.name} mixes the images of a batch")
    return Affine(lambda *v: put(v, True), lambda *v: put(v, False), offset())


def _stacked(call: Call) -> Affine:
    axis = _argument(call, 1, "dim", 0)
    if axis == 0 or not all(isinstance(tensor, Ref) for tensor in call.args[0]):
        raise NotPiecewiseLinear(f"{call.name} mixes the images of a batch, or adds constants")
    return Affine(_filled(call), _filled(call))


def _padded(call: Call) -> Affine:
    value = float(_argument(call, 2, "value", 0.0))
    if not math.isfinite(value):
        raise NotPiecewiseLinear(f"{call.name} pads with {value}")
    if len(call.args[1]) > 2 * len(call.taken):
        raise NotPiecewiseLinear(f"{call.name} mixes the images of a batch")
    zero = replace(call, args=(*call.args[:2], 0.0), kwargs={})
    return Affine(_filled(call), _filled(zero), abs(value))


def _converted(call: Call) -> Affine:
    if call.dtype != torch.float64:
        raise NotPiecewiseLinear(f"the network converts what it computes to {call.dtype}")
    return IDENTITY


def _convolution(call: Call) -> Affine:
    image, weight, bias, *rest = call.args
    if not isinstance(image, Ref) or not isinstance(weight, Tensor):
        raise NotPiecewiseLinear("a convolution whose weights depend on the image")
    _only_the_first(call)
    size = weight.abs()
    none = replace(call, args=(image, size, None, *rest))
    offset: Tensor | float = 0.0
    if isinstance(bias, Tensor):
        offset = bias.abs().reshape(1, -1, *[1] * (weight.ndim - 2))
    transposed = bool(rest[3])
    terms = weight.numel() // weight.shape[1 if transposed else 0] + 2
    return Affine(_filled(call), _filled(none), offset, terms)


def _product(call: Call) -> Affine:
    """mm and addmm with constant matrices on the right."""
    *bias, image, matrix = call.args
    if not isinstance(image, Ref) or not isinstance(matrix, Tensor):
        raise NotPiecewiseLinear(f"{call.name} of two results, or with the image on the right")
    if call.kwargs or (bias and not isinstance(bias[0], Tensor)):
        raise NotPiecewiseLinear(f"{call.name} adds a result to a product")
    size = matrix.abs()
    offset = bias[0].abs() if bias else 0.0
    return Affine(_filled(call), lambda x: x @ size, offset, len(matrix) + 2)


def _linear(call: Call) -> Affine:
    image, matrix, *bias = call.args
    if not isinstance(image, Ref) or not isinstance(matrix, Tensor):
        raise NotPiecewiseLinear("a linear layer whose weights depend on the image")
    _only_the_first(call)
    size = matrix.abs()
    known = bool(bias) and isinstance(bias[0], Tensor)
    offset = bias[0].abs() if known else 0.0
    return Affine(_filled(call), lambda x: x @ size.T, offset, matrix.shape[1] + 2)


def _normalised(call: Call) -> Affine:
    """Batch normalisation with running averages."""
    names = ("input", "weight", "bias", "running_mean", "running_var")
    _only_the_first(call)
    image, *parameters = call.args[:5]
    epsilon = [value for value in call.args[5:] if isinstance(value, float)][-1]
    training = any(value is True for value in call.args[5:])
    if training or not isinstance(image, Ref) or len(parameters) != len(names) - 1:
        raise NotPiecewiseLinear(f"{call.name} with the averages of the batch")
    weight, bias, mean, variance = parameters
    if not (isinstance(mean, Tensor) and isinstance(variance, Tensor)):
        raise NotPiecewiseLinear(f"{call.name} with the averages of the batch")
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


def _summed(call: Call) -> Affine:
    """Sums and differences of two results, or of one and a constant."""
    first, second = call.args[:2]
    if float(_argument(call, 2, "alpha", 1)) != 1.0:
        raise NotPiecewiseLinear(f"{call.name} with a factor is not known")
    apply = _filled(call)
    if isinstance(first, Ref) and isinstance(second, Ref):
        return Affine(apply, lambda x, y: x + y, terms=2)
    constant = second if isinstance(first, Ref) else first
    _require_no_batch(call, constant)
    return Affine(apply, lambda x: x, _size(constant), terms=2)


def _scaled(call: Call) -> Affine:
    first, second = call.args
    if isinstance(first, Ref) and isinstance(second, Ref):
        raise NotPiecewiseLinear(f"{call.name} of two results that depend on the image")
    constant = second if isinstance(first, Ref) else first
    _require_no_batch(call, constant)
    size = _size(constant)
    return Affine(_filled(call), lambda x: x * size, terms=2)


def _divided(call: Call) -> Affine:
    second = call.args[1]
    if isinstance(second, Ref):
        raise NotPiecewiseLinear(f"{call.name} by something that depends on the image")
    size = _size(second)
    return Affine(_filled(call), lambda x: x / size, terms=2)


def _negated(call: Call) -> Affine:
    return Affine(_filled(call), lambda x: x)


def _size(value: Any) -> Tensor | float:
    return value.abs() if isinstance(value, Tensor) else abs(float(value))


def _require_no_batch(call: Call, constant: Any) -> None:
    """A constant must not be what makes the result a batch."""
    if isinstance(constant, Tensor) and constant.ndim > len(call.shape):
        raise NotPiecewiseLinear(f"{call.name} mixes the images of a batch")


def _leaky(call: Call) -> Elementwise:
    slope = float(_argument(call, 1, "negative_slope", 0.01))
    return Elementwise(_filled(call), ((0.0, 1 - slope),), max(1.0, abs(slope)), terms=1)


def _parametric(call: Call) -> Elementwise:
    image, slope = call.args
    if not isinstance(image, Ref) or not isinstance(slope, Tensor):
        raise NotPiecewiseLinear("a PReLU whose slope depends on the image")
    if slope.ndim <= 1:
        slope = slope.reshape(1, -1, *[1] * (len(call.shape) - 2))
    return Elementwise(_filled(call), ((0.0, 1 - slope),), slope.abs().clamp_min(1.0), terms=1)


def _clamped(*names: str) -> Callable[[Call], Elementwise]:
    """A lower limit, an upper limit, or both, in the order of the arguments."""

    def rule(call: Call) -> Elementwise:
        limits = dict(zip(names, call.args[1:], strict=False)) | call.kwargs
        if any(not isinstance(limit, (int, float, type(None))) for limit in limits.values()):
            raise NotPiecewiseLinear(f"{call.name} with limits that are no numbers")
        kinks = tuple(
            (float(limit), 1.0 if name == "min" else -1.0)
            for name, limit in limits.items()
            if limit is not None
        )
        return Elementwise(_filled(call), kinks)

    return rule


def _hardtanh(call: Call) -> Elementwise:
    low = float(_argument(call, 1, "min_val", -1.0))
    high = float(_argument(call, 2, "max_val", 1.0))
    return Elementwise(_filled(call), ((low, 1.0), (high, -1.0)))


def _threshold(call: Call) -> Elementwise:
    place, value = (float(number) for number in call.args[1:3])
    if place != value:
        raise NotPiecewiseLinear("a threshold at which the value jumps")
    return Elementwise(_filled(call), ((place, 1.0),))


def _hardsigmoid(call: Call) -> Elementwise:
    return Elementwise(_filled(call), ((-3.0, 1 / 6), (3.0, -1 / 6)), 1 / 6, terms=3)


def _absolute_value(call: Call) -> Elementwise:
    return Elementwise(_filled(call), ((0.0, 2.0),))


def _pooled(call: Call) -> Maximum:
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


def _adaptively_pooled(call: Call) -> Maximum:
    spans = []
    for given, pooled in zip(call.taken[1:], call.shape[2:], strict=True):
        start = torch.arange(pooled)[:, None] * given // pooled
        stop = -(-(torch.arange(pooled)[:, None] + 1) * given // pooled)
        places = start + torch.arange(int((stop - start).max()))
        spans.append(torch.where(places < stop, places, -1))
    return _windows(call, spans)


def _within(places: Tensor, count: int) -> Tensor:
    return torch.where((places >= 0) & (places < count), places, -1)


def _windows(call: Call, spans: list[Tensor]) -> Maximum:
    """Windows made of the rows ``(h, a)`` and the columns ``(w, b)`` of each."""
    if len(call.taken) != 3:
        raise NotPiecewiseLinear(f"{call.name} of anything but images (n, C, H, W)")
    rows, columns = spans[0][:, None, :, None], spans[1][None, :, None, :]
    places = torch.where((rows < 0) | (columns < 0), -1, rows * call.taken[2] + columns)

    def select(image: Tensor) -> tuple[Tensor, Tensor]:
        args = [list(value) if isinstance(value, tuple) else value for value in call.args[1:]]
        values, where = call.func(image, *args)
        return values, where

    return Maximum(select, lambda image: image.flatten(2), places.flatten(2).flatten(0, 1))


def _larger(call: Call) -> Maximum | Elementwise:
    first, second = call.args
    if not (isinstance(first, Ref) and isinstance(second, Ref)):
        return _limited(call, 1.0)

    def together(*inputs: Tensor) -> Tensor:
        return torch.stack(torch.broadcast_tensors(*inputs), -1)  # type: ignore[no-untyped-call]

    def select(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        values, where = together(*inputs).max(-1)
        return values, where

    def arrange(*inputs: Tensor) -> Tensor:
        return together(*inputs).flatten(1, -2)

    return Maximum(select, arrange, torch.tensor([[0, 1]]))


def _smaller_constant(call: Call) -> Elementwise:
    if len(refs(call.args)) > 1:
        raise NotPiecewiseLinear("aten.minimum of two results is not known")
    return _limited(call, -1.0)


def _limited(call: Call, jump: float) -> Elementwise:
    """The larger or the smaller of each value and a constant."""
    first, second = call.args
    constant = second if isinstance(first, Ref) else first
    if call.shape[1:] != call.taken:
        raise NotPiecewiseLinear(f"{call.name} with a constant of a larger shape is not known")
    return Elementwise(_filled(call), ((constant, jump),))


def _over_axes(call: Call) -> Maximum:
    axes = _argument(call, 1, "dim", ())
    keep = bool(_argument(call, 2, "keepdim", False))
    count = len(call.shape) + (0 if keep else len(axes))
    places = sorted(axis % count for axis in axes)
    if not places or places[0] == 0 or places != list(range(count - len(places), count)):
        raise NotPiecewiseLinear(f"{call.name} over axes that are not the last ones")

    def arrange(image: Tensor) -> Tensor:
        rows = image.flatten(places[0])
        return rows.reshape(len(rows), -1, rows.shape[-1])

    def select(image: Tensor) -> tuple[Tensor, Tensor]:
        values, where = arrange(image).max(-1)
        shape = (len(values), *call.shape[1:])
        return values.reshape(shape), where.reshape(shape)

    members = torch.arange(math.prod(call.taken[axis - 1] for axis in places))[None]
    return Maximum(select, arrange, members)


_AFFINE: dict[str, Callable[[Call], Affine]] = {
    **{
        f"aten.{name}": _rearranged
        for name in (
            "view", "_unsafe_view", "reshape", "expand", "permute", "transpose.int", "t", "squeeze",
            "squeeze.dim", "squeeze.dims", "unsqueeze", "select.int", "slice.Tensor", "clone",
            "detach", "alias", "contiguous", "split.Tensor", "split_with_sizes", "chunk",
            "unbind.int", "flip", "pixel_shuffle", "pixel_unshuffle", "index_select",
            "upsample_nearest2d", "upsample_nearest2d.vec", "reflection_pad2d", "replication_pad2d",
            "channel_shuffle", "lift_fresh", "_reshape_alias",
        )
    },
    **{
        f"aten.{name}": _averaged
        for name in (
            "mean.dim", "sum.dim_IntList", "avg_pool2d", "_adaptive_avg_pool2d",
            "adaptive_avg_pool2d", "upsample_bilinear2d", "upsample_bilinear2d.vec",
        )
    },
    "aten._to_copy": _converted,
    "aten.add.Scalar": _summed,
    "aten.add.Tensor": _summed,
    "aten.addmm": _product,
    "aten.cat": _joined,
    "aten.constant_pad_nd": _padded,
    "aten.convolution": _convolution,
    "aten.cudnn_batch_norm": _normalised,
    "aten.div.Scalar": _divided,
    "aten.div.Tensor": _divided,
    "aten.linear": _linear,
    "aten.mm": _product,
    "aten.mul.Scalar": _scaled,
    "aten.mul.Tensor": _scaled,
    "aten.native_batch_norm": _normalised,
    "aten._native_batch_norm_legit_no_training": _normalised,
    "aten.neg": _negated,
    "aten.rsub.Scalar": _summed,
    "aten.rsub.Tensor": _summed,
    "aten.stack": _stacked,
    "aten.sub.Scalar": _summed,
    "aten.sub.Tensor": _summed,
}  # fmt: skip

_UNITS: dict[str, Callable[[Call], Elementwise | Maximum]] = {
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
    "aten.relu": lambda call: RELU,
    "aten.threshold": _threshold,
}
