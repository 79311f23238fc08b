"""A classifier whose geometry is measured in the units of its images.

:class:`Classifier` wraps any ``torch.nn.Module`` that maps images to logits. It owns what
has to be right before any geometry makes sense: the normalisation (inside, so that every
distance is an l2 distance of pixel values), the bounds, the class names, the device. And
it owns the one loop that all geometry runs on: network passes in chunks that fit into
memory, counted.
"""

from __future__ import annotations

import copy
import hashlib
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from geoexplorer.arguments import require_flag, require_image_shape, require_whole
from geoexplorer.jobs import check_cancelled, tell_passed

__all__ = [
    "Classifier",
    "Cost",
    "FullPrecision",
    "difference",
    "named_devices",
    "put_channels_last",
]

# Bytes of intermediate values that one chunk may hold. On a CPU a small chunk stays in the
# caches and a long computation can be cancelled between two chunks; on a GPU a large one
# keeps the device busy. The size depends on the network and the device only, never on a
# measured time, so that a second run gives the same numbers.
_CPU_CHUNK_BYTES = 48 * 2**20
_CHUNK_SHARE = 1 / 4  # of the memory allowed
_CPU_MEMORY_BYTES = 2**30
_GPU_MEMORY_SHARE = 1 / 2
_LEAST_MEMORY = 16 * 2**20
_LARGEST_CHUNK = 16_384
_LARGEST_CPU_CHUNK = 256
# Several devices share a batch in parts of no less than this fraction of a chunk: smaller ones
# take as long to launch as to compute.
_LEAST_SHARE = 8

# A graph keeps about as much again as the values of a plain forward pass.
_GRAPH = 2

# An image this many times the bounds' width away from their middle is taken to be in other
# units. Perturbed points outside the bounds are legitimate, so the limit is generous; pixel
# values of 4 or 8 bits in a classifier for [0, 1] are still beyond it.
_FOREIGN_UNITS = 12.0
# Images of which so large a share lies outside the bounds, by so much of their width, are taken to
# be normalised already.
_NORMALISED_SHARE, _NORMALISED_BEYOND = 0.3, 0.1

_DTYPES = (torch.float32, torch.float64)

Score = Callable[..., Tensor]


@dataclass(frozen=True)
class Cost:
    """Network passes, counted in images.

    ``forwards`` counts every image sent through the network, ``gradients`` every image for
    which one scalar was differentiated with respect to the image (its forward pass is
    counted in ``forwards`` too).

    Examples
    --------
    >>> Cost(10, 4) - Cost(3, 1)
    Cost(forwards=7, gradients=3)
    """

    forwards: int = 0
    gradients: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.forwards + other.forwards, self.gradients + other.gradients)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.forwards - other.forwards, self.gradients - other.gradients)


@dataclass(frozen=True)
class _Asked:
    """What a classifier was asked to use, before it was seen what there is."""

    device: str | tuple[torch.device, ...]
    memory: int | None
    chunk_size: int | None


class Classifier:
    """Any image classifier, measured in the l2 units of its images.

    Parameters
    ----------
    module
        A network in evaluation mode that maps images ``(n, C, H, W)`` to logits ``(n, L)``.
        The classifier works on a copy: the module itself is left as it is, and training it
        further does not change the classifier.
    input_shape
        ``(C, H, W)`` of one image.
    mean, std
        Normalisation applied inside, one number or one number a channel: the module sees
        ``(x - mean) / std``. None leaves the images as they are.
    bounds
        Lowest and highest pixel value of an image, before normalisation.
    class_names
        ``L`` names; the class indices when None.
    device
        ``"auto"`` takes a GPU if there is one. A list of devices shares every batch. Sent to
        another process, a classifier looks there for what was asked for here.
    dtype
        ``torch.float32`` or ``torch.float64``, the type of the computation. None takes that of
        the module's parameters, and float32 for anything shorter: geometry is made of small
        differences, which half precision rounds away.
    name
        Shown on figures and written into results; the module's class when None.
    chunk_size
        Images evaluated at once; chosen from the network's memory use when None, and halved
        whenever the device runs out of memory.
    memory
        Bytes that a computation may hold at once: half of them for vectors that it keeps, the rest
        for the passes. On top come the network, its copies in float64 (secants make one, proofs
        hold the weights twice) and the result. By default 1 GiB on a CPU and half of a GPU's
        memory. Less makes for smaller chunks and more restarts; what cannot fit is refused, but
        for proofs and exact maps, which go on with a few images at once.
    channels_last
        Whether the network computes with the channels of a pixel side by side, which changes its
        numbers by rounding only. Many small convolutional networks are up to twice as fast so on a
        CPU, others slower; ``python -m tests.benchmarks`` tells.

    Raises
    ------
    TypeError
        If the module is not an ``nn.Module`` or does not return a tensor.
    ValueError
        If the module is in training mode, its output changes between two equal calls or
        depends on the other images of a batch, is not ``(n, L)`` with at least two finite
        logits, or holds probabilities (a softmax) instead of logits.

    Examples
    --------
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    >>> clf = Classifier(module, input_shape=(3, 2, 2), device="cpu")
    >>> clf.logits(torch.rand(5, 3, 2, 2)).shape
    torch.Size([5, 3])
    >>> clf.cost
    Cost(forwards=5, gradients=0)
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        input_shape: Sequence[int],
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        bounds: tuple[float, float] = (0.0, 1.0),
        class_names: Sequence[str] | None = None,
        device: str | torch.device | Sequence[str | torch.device] = "auto",
        dtype: torch.dtype | None = None,
        name: str | None = None,
        chunk_size: int | None = None,
        memory: int | None = None,
        channels_last: bool = False,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(f"module must be a torch.nn.Module, got {type(module).__name__}")
        _require_no_script(module)
        self.input_shape = require_image_shape("input_shape", input_shape)
        self.bounds = _bounds(bounds)
        self.devices = named_devices(device)
        self.dtype = _dtype(module, dtype)
        self.name = type(module).__name__ if name is None else str(name)
        if chunk_size is not None:
            chunk_size = require_whole("chunk_size", chunk_size, 1)
        self.memory = _memory(memory, self.device)
        _require_evaluation_mode(module)
        normalised = nn.Sequential(
            _Normalise(
                _channel_values("mean", mean, self.input_shape[0], 0.0),
                _channel_values("std", std, self.input_shape[0], 1.0, positive=True),
            ),
            _copy(module),
        ).eval()
        self._asked = _Asked(_lasting(device, self.devices), memory, chunk_size)
        normalised = normalised.to(dtype=self.dtype).requires_grad_(False)
        if require_flag("channels_last", channels_last):
            put_channels_last(normalised)
        self._begin(normalised)
        self.n_classes = _check_behaviour(self)
        self.class_names = _class_names(class_names, self.n_classes)
        self.chunk_size = self._fitting_chunk() if chunk_size is None else chunk_size

    def _begin(self, network: nn.Sequential) -> None:
        """Take a network for one's own, on all devices, and count from zero."""
        copies = [copy.deepcopy(network).to(place) for place in self.devices[1:]]
        self._networks = [network.to(self.device), *copies]
        self._cost = Cost()
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    def replica(
        self, device: str | torch.device | Sequence[str | torch.device] = "auto"
    ) -> Classifier:
        """Return the same classifier on another device, for one worker on each.

        The two share nothing that either could change: weights are copied, and the replica's
        cost begins at zero. Its chunks are as large as these where the device is of the same
        kind, so that it computes the same to the bit.

        Parameters
        ----------
        device
            As for :class:`Classifier`.

        Raises
        ------
        ValueError
            If there is no such device.

        Examples
        --------
        >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
        >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
        >>> twin = clf.replica("cpu")
        >>> twin.fingerprint == clf.fingerprint
        True
        """
        asked = replace(self._asked, device=_lasting(device, named_devices(device)))
        twin = type(self).__new__(type(self))
        twin.__setstate__(self.__getstate__() | {"_asked": asked})
        return twin

    # A pickle sends a classifier to another process of the same user, a worker of a study. It is
    # never a file format: opening one runs whatever code it holds, and what is stored is data.

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {
            "fingerprint": self.fingerprint,
            "_networks": [_copy(self.module).cpu()],
            "_sent_from": _kind(self.device),
        }
        for bound_to_process in ("devices", "_cost", "_lock", "_of_thread"):
            del state[bound_to_process]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.devices = named_devices(self._asked.device)
        self._begin(self._networks[0])
        if self.__dict__.pop("_sent_from") != _kind(self.device):
            self.memory = _memory(self._asked.memory, self.device)
            if self._asked.chunk_size is None:
                self.chunk_size = self._fitting_chunk()

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.input_shape))
        return (
            f"Classifier({self.name!r}, {shape} images in [{self.bounds[0]:g}, "
            f"{self.bounds[1]:g}], {self.n_classes} classes, {self.device}, {self.dtype})"
        )

    @property
    def device(self) -> torch.device:
        """The first device; results of unchecked passes live there."""
        return self.devices[0]

    @property
    def dimension(self) -> int:
        """d = C·H·W, the dimension of the input space."""
        return int(np.prod(self.input_shape))

    @property
    def module(self) -> nn.Sequential:
        """The network with its normalisation inside, as one differentiable module."""
        return self._networks[0]

    @property
    def cost(self) -> Cost:
        """Network passes made so far; the difference of two readings is what lies between."""
        return self._cost

    @property
    def thread_cost(self) -> Cost:
        """Those of them that the calling thread has made."""
        return getattr(self._of_thread, "cost", Cost())

    @cached_property
    def preprocessing(self) -> dict[str, tuple[float, ...]]:
        """The bounds, and the mean and standard deviation of each channel used inside."""
        buffers = dict(self.module[0].named_buffers())
        return {
            "bounds": self.bounds,
            "mean": tuple(buffers["mean"].flatten().tolist()),
            "std": tuple(buffers["std"].flatten().tolist()),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any weight, bound or normalisation."""
        digest = hashlib.sha256(repr((self.input_shape, self.bounds, self.dtype)).encode())
        for key, value in (*self.module.named_parameters(), *self.module.named_buffers()):
            digest.update(key.encode())
            digest.update(_bytes_of(value))
        for key, part in self.module.named_modules():
            digest.update(repr((key, type(part).__name__, _plain_attributes(part))).encode())
        return digest.hexdigest()[:16]

    # Checked passes, for anyone.

    def logits(self, x: Tensor) -> Tensor:
        """Logits ``(n, L)`` of images ``(n, C, H, W)``, on the device of ``x``."""
        images = self.prepare(x)
        return self.forward(images).to(_device_of(x))

    def labels(self, x: Tensor) -> Tensor:
        """Predicted classes ``(n,)``, int64, of images ``(n, C, H, W)``."""
        return self.logits(x).argmax(dim=1)

    def margin(self, x: Tensor, own: int | Tensor, other: int | Tensor) -> Tensor:
        """F = f_own - f_other, ``(n,)``, positive where ``own`` is the higher of the two."""
        images = self.prepare(x)
        own, other = self.classes(own, images, "own"), self.classes(other, images, "other")
        return difference(self.forward(images), own, other).to(_device_of(x))

    def margin_gradient(
        self, x: Tensor, own: int | Tensor, other: int | Tensor
    ) -> tuple[Tensor, Tensor]:
        """F = f_own - f_other ``(n,)`` and its gradient with respect to the images.

        Examples
        --------
        >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
        >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
        >>> margins, gradients = clf.margin_gradient(torch.rand(3, 1, 2, 2), own=0, other=1)
        >>> margins.shape, gradients.shape
        (torch.Size([3]), torch.Size([3, 1, 2, 2]))
        """
        images = self.prepare(x)
        own, other = self.classes(own, images, "own"), self.classes(other, images, "other")
        _, margins, gradients = self.forward_gradient(images, difference, own, other)
        return margins.to(_device_of(x)), gradients.to(_device_of(x))

    def gradient(self, x: Tensor, score: Score, *per_image: Tensor) -> tuple[Tensor, Tensor]:
        """A score of the logits and its gradient with respect to the images.

        ``score(logits, *per_image)`` gives one number an image, ``(n,)``. It is called for a few
        images at a time, so what differs from image to image is given in ``per_image``.
        """
        _, values, gradients = self.forward_gradient(self.prepare(x), score, *per_image)
        return values.to(_device_of(x)), gradients.to(_device_of(x))

    def prepare(self, x: Any, *, argument: str = "x") -> Tensor:
        """Check images and bring them to the classifier's device and dtype.

        Parameters
        ----------
        x
            Float tensor or array ``(n, C, H, W)``, or one image ``(C, H, W)``.
        argument
            What the caller calls ``x``, for the message.

        Returns
        -------
        Tensor
            ``(n, C, H, W)``, detached.

        Raises
        ------
        TypeError
            If ``x`` is not a floating-point tensor or array.
        ValueError
            If its shape does not fit, it is empty, holds NaN or infinity, or is plainly in
            other units than the bounds.
        """
        images = _as_float_tensor(x, argument)
        shape = "(n, " + ", ".join(map(str, self.input_shape)) + ")"
        if images.ndim == 3:
            images = images[None]
        if images.ndim != 4 or tuple(images.shape[1:]) != self.input_shape:
            raise ValueError(
                f"{argument} must have shape {shape}, or {self.input_shape} for one image, "
                f"got {tuple(_shape_of(x))}"
            )
        if len(images) == 0:
            raise ValueError(f"{argument} is an empty batch; at least one image is needed")
        images = images.detach().to(device=self.device, dtype=self.dtype)
        lowest, highest = (float(value) for value in torch.aminmax(images))
        if not np.isfinite([lowest, highest]).all():
            raise ValueError(f"{argument} holds NaN or infinite values; finite images are needed")
        _require_units(argument, lowest, highest, self.bounds)
        return images

    def warn_of_normalised(self, images: Tensor, *, argument: str = "x") -> None:
        """Warn if prepared images seem to be normalised already, where the classifier does that.

        Points far outside the bounds are legitimate, so this is asked only of what must be images.
        """
        low, high = self.bounds
        slack = _NORMALISED_BEYOND * (high - low)
        if not self._normalises:
            return
        outside = (images < low - slack) | (images > high + slack)
        share = float(outside.float().mean())
        if share > _NORMALISED_SHARE:
            warnings.warn(
                f"{argument}: {share:.0%} of the values lie outside the bounds [{low:g}, {high:g}]"
                "; images that were normalised already would be normalised twice, since this "
                "classifier has a mean and std of its own: give it the pixels as they are",
                stacklevel=2,
            )

    @property
    def _normalises(self) -> bool:
        made = self.preprocessing
        return any(made["mean"]) or any(value != 1.0 for value in made["std"])

    def classes(self, value: Any, images: Tensor, argument: str) -> Tensor:
        """Class indices ``(n,)``, int64 on the classifier's device, from an int or a tensor.

        Raises
        ------
        TypeError
            If ``value`` is not an integer or an integer tensor.
        ValueError
            If there is not one class for each image, or a class is out of range.
        """
        try:
            classes = torch.as_tensor(value, device=self.device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"{argument} must hold integers, got {value!r}") from error
        if classes.is_floating_point() or classes.is_complex() or classes.dtype == torch.bool:
            raise TypeError(f"{argument} must hold integers, got {value!r}")
        if classes.numel() == 1:
            classes = classes.reshape(1).expand(len(images))
        if classes.shape != (len(images),):
            raise ValueError(
                f"{argument} must be one class or one for each of the {len(images)} images, "
                f"got shape {tuple(classes.shape)}"
            )
        if bool(((classes < 0) | (classes >= self.n_classes)).any()):
            raise ValueError(
                f"{argument} must be between 0 and {self.n_classes - 1}, got {value!r}"
            )
        return classes.to(torch.int64)

    # Unchecked passes, for the algorithms: images on any device, results on `self.device`. Of no
    # images they give nothing without a call: many networks cannot take an empty batch.

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, L)`` of already prepared images, without a graph."""
        if len(images) == 0:
            return self._nothing(self.n_classes)

        def evaluate(network: nn.Module, chunk: Tensor) -> tuple[Tensor]:
            with torch.no_grad():
                return (network(chunk).to(self.dtype),)

        (logits,) = self.in_chunks(evaluate, images)
        self.count(forwards=len(images))
        return logits

    def forward_gradient(
        self, images: Tensor, score: Score, *per_image: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, a score of them, and the score's gradient with respect to the images.

        ``score(logits, *per_image)`` gives one number an image; the tensors ``per_image``
        have one row an image and are cut into the same chunks.

        Returns
        -------
        tuple of Tensor
            ``(n, L)``, ``(n,)`` and ``(n, C, H, W)``.
        """
        if len(images) == 0:
            none = self._nothing
            return none(self.n_classes), none(), none(*self.input_shape)

        def differentiate(network: nn.Module, chunk: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                chunk = chunk.detach().requires_grad_()
                logits = network(chunk).to(self.dtype)
                values = score(logits, *rows)
                (gradients,) = torch.autograd.grad(values.sum(), chunk)
            return logits.detach(), values.detach(), gradients

        logits, values, gradients = self.in_chunks(differentiate, images, *per_image, load=_GRAPH)
        self.count(forwards=len(images), gradients=len(images))
        return logits, values, gradients

    def forward_jacobian(self, images: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the gradients of several of them, one forward pass for all.

        ``classes`` is ``(n, k)``; the gradients are ``(n, k, C, H, W)`` and count as k each.
        """
        if len(images) == 0:
            return self._nothing(self.n_classes), self._nothing(classes.shape[1], *self.input_shape)

        def differentiate(network: nn.Module, chunk: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            with torch.enable_grad():
                chunk = chunk.detach().requires_grad_()
                logits = network(chunk).to(self.dtype)
                chosen = logits.gather(1, rows).sum(dim=0)
                gradients = chunk.new_empty(*rows.shape, *self.input_shape)
                for k, value in enumerate(chosen):
                    gradients[:, k] = torch.autograd.grad(value, chunk, retain_graph=True)[0]
            return logits.detach(), gradients

        held = self.chunk_size * classes.shape[1] * self.dimension * images.element_size()
        load = _GRAPH + int(held / (self.memory * _CHUNK_SHARE))
        logits, gradients = self.in_chunks(differentiate, images, classes, load=load)
        self.count(forwards=len(images), gradients=classes.numel())
        return logits, gradients

    def in_chunks(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        images: Tensor,
        *per_image: Tensor,
        load: int = 1,
    ) -> tuple[Tensor, ...]:
        """Apply ``function(network, chunk, *rows)`` to the chunks, the networks taking turns.

        The one loop that all passes run in. ``load`` is how many plain forward passes take as
        much memory as the function does for one row. There must be at least one image. Out of
        memory the chunk is halved, also where that of a single row is what raises the error.
        """
        columns = _Columns(len(images), self.device)
        start, share = 0, -(-len(images) // len(self.devices))
        with FullPrecision():
            while start < len(images):
                check_cancelled()
                allowed = self.chunk_size
                size = max(1, allowed // load)
                size = min(size, max(share, size // _LEAST_SHARE))
                part = slice(start, start + size)
                # The first device is the last to get a chunk: it sends the others theirs, and a
                # GPU sends nothing before it has done what it was given.
                turn = (-(-(len(images) - start) // size) - 1) % len(self.devices)
                device = self.devices[turn]
                try:
                    chunk = images[part].to(device=device, dtype=self.dtype)
                    rows = [tensor[part].to(device) for tensor in per_image]
                    values = function(self._networks[turn], chunk, *rows)
                    columns.take(part, tuple(_apart(value, images) for value in values))
                except torch.OutOfMemoryError as error:
                    self._shrink(allowed, error)
                    if size == 1:  # of which there is no half
                        raise
                    continue
                tell_passed(len(chunk))
                start += size
        return columns.complete()

    def _nothing(self, *shape: int) -> Tensor:
        """What passes give for no images, ``(0, *shape)``."""
        return torch.empty(0, *shape, device=self.device, dtype=self.dtype)

    def _shrink(self, failed: int, error: torch.OutOfMemoryError) -> None:
        """Halve the chunk that was too large, unless another thread has done so already."""
        if failed == 1:
            raise error
        with self._lock:
            self.chunk_size = min(self.chunk_size, failed // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _fitting_chunk(self) -> int:
        budget, largest = self.memory * _CHUNK_SHARE, _LARGEST_CHUNK
        if self.device.type != "cuda":
            # Weights are read once a chunk: the more there are, the more images should share it.
            weights = sum(w.numel() * w.element_size() for w in self.module.parameters())
            budget, largest = min(budget, _CPU_CHUNK_BYTES + weights), _LARGEST_CPU_CHUNK
        return int(min(largest, max(1, budget // self.bytes_per_image())))

    def bytes_per_image(self) -> int:
        """Memory that a gradient of one image holds on to, from a pass that records it."""
        weights = {weight.untyped_storage().data_ptr() for weight in self.module.parameters()}
        held: dict[int, int] = {}

        def record(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                held[storage.data_ptr()] = storage.nbytes()
            return tensor

        probe = _probe_images(self, 1).requires_grad_()
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(record, lambda t: t):
            self.module(probe)
        image_bytes = probe.numel() * probe.element_size()
        return max(sum(held.values()), 4 * image_bytes)

    def count(self, *, forwards: int, gradients: int = 0) -> None:
        """Add passes made in :meth:`in_chunks` to the cost."""
        more = Cost(forwards, gradients)
        self._of_thread.cost = self.thread_cost + more
        with self._lock:
            self._cost += more


def put_channels_last(network: nn.Module) -> None:
    """Order the weights of convolutions over two dimensions in memory, in place, by pixel."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def difference(logits: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """F = f_own - f_other for each row of ``logits``."""
    own_logits = logits.gather(1, own[:, None])
    return (own_logits - logits.gather(1, other[:, None]))[:, 0]


class _Columns:
    """What passes give for all rows, on one device; it is held once, not once more in parts."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self._rows, self._device = rows, device
        self._columns: tuple[Tensor, ...] = ()
        self._elsewhere: list[tuple[Tensor, Tensor]] = []  # where to, and what

    def take(self, part: slice, values: tuple[Tensor, ...]) -> None:
        """Some rows of each column."""
        if not self._columns:
            if all(len(v) == self._rows and v.device == self._device for v in values):
                self._columns = values
                return
            self._columns = tuple(
                value.new_empty(self._rows, *value.shape[1:], device=self._device)
                for value in values
            )
        for column, value in zip(self._columns, values, strict=True):
            if value.device == self._device:
                column[part] = value
            else:  # a copy now would have the devices wait for each other
                self._elsewhere.append((column[part], value))

    def complete(self) -> tuple[Tensor, ...]:
        """All rows of each column."""
        for rows, value in self._elsewhere:
            rows.copy_(value)
        return self._columns


def _apart(value: Tensor, images: Tensor) -> Tensor:
    """A value that shares no memory with the images, as that of a network of views would."""
    shares = value.untyped_storage().data_ptr() == images.untyped_storage().data_ptr()
    return value.clone() if shares else value


class _Normalise(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.identity = bool((mean == 0).all() and (std == 1).all())

    def forward(self, images: Tensor) -> Tensor:
        return images if self.identity else (images - self.mean) / self.std


class FullPrecision:
    """Keeps products from being rounded, which would show as noise in the geometry.

    To TF32 on a GPU or bfloat16 on a CPU, which ``torch.set_float32_matmul_precision`` allows, and
    by an autocast around the caller to half precision. The switches for the former belong to the
    whole process: the first thread that enters notes how they stood and the last one that leaves
    puts them back. Those of an autocast belong to the thread.
    """

    _lock = threading.Lock()
    _inside = 0
    _before: ClassVar[list[tuple[Any, str, Any]]] = []  # of whom, which switch, and how it stood

    def __enter__(self) -> None:
        self._casts = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
        for kind in self._casts:
            torch.set_autocast_enabled(kind, False)
        with self._lock:
            if FullPrecision._inside == 0:
                FullPrecision._before = [
                    (owner, name, getattr(owner, name)) for owner, name in _precision_switches()
                ]
                for owner, name, _ in self._before:
                    setattr(owner, name, _EXACT[name])
            FullPrecision._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            FullPrecision._inside -= 1
            if FullPrecision._inside == 0:
                for owner, name, value in self._before:
                    setattr(owner, name, value)
        for kind in self._casts:
            torch.set_autocast_enabled(kind, True)


class _ProductsOfOldTorch:
    """The one switch for products on a CPU in releases that have no switch for each backend."""

    @property
    def precision(self) -> str:
        return torch.get_float32_matmul_precision()

    @precision.setter
    def precision(self, value: str) -> None:
        torch.set_float32_matmul_precision(value)


# Newer releases of torch refuse a mixture of the two kinds of switches.
_EXACT = {"fp32_precision": "ieee", "allow_tf32": False, "precision": "highest"}


def _precision_switches() -> list[tuple[Any, str]]:
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    mkldnn: Any = torch.backends.mkldnn
    switches: list[tuple[Any, str]]
    if hasattr(mkldnn, "matmul"):
        switches = [(mkldnn.matmul, "fp32_precision"), (mkldnn.conv, "fp32_precision")]
    else:
        switches = [(_ProductsOfOldTorch(), "precision")]
    if not torch.cuda.is_available():
        return switches
    if hasattr(cuda, "fp32_precision"):
        return [*switches, (cuda, "fp32_precision"), (cudnn.conv, "fp32_precision")]  # type: ignore[attr-defined]
    return [*switches, (cuda, "allow_tf32"), (cudnn, "allow_tf32")]


def _copy(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise TypeError(
            f"module {type(module).__name__} cannot be copied ({error}); a classifier works on "
            "a copy of the network. Compute nothing with it before, or load it afresh"
        ) from error


def _require_no_script(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            what = f"its part {name!r} is a torch.jit" if name else "it is a torch.jit"
            raise TypeError(
                f"module must be a network in Python, but {what} {type(part).__name__}, whose "
                "copies and operations cannot be followed; give the network that was scripted or "
                "traced"
            )


def _require_evaluation_mode(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if part.training:
            where = f"its part {name!r} ({type(part).__name__}) is" if name else "it is"
            raise ValueError(
                f"module must be in evaluation mode, but {where} in training mode; "
                "call module.eval() first"
            )


def _check_behaviour(clf: Classifier) -> int:
    """Number of classes, after calling the network the way all geometry will call it."""
    images = _probe_images(clf, 4)
    with torch.no_grad(), FullPrecision():
        try:
            logits = clf.module(images)
        except Exception as error:
            raise ValueError(
                f"module cannot be applied to images of shape {tuple(images.shape)} "
                f"(input_shape={clf.input_shape}): {error}"
            ) from error
        again, alone = clf.module(images), clf.module(images[:1])
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"module must return a tensor of logits (n, L), got {type(logits).__name__}; "
            "wrap it in a module that returns the logits"
        )
    if logits.ndim != 2 or len(logits) != len(images):
        raise ValueError(
            f"module must return logits of shape (n, L), got {tuple(logits.shape)} "
            f"for {len(images)} images"
        )
    if logits.shape[1] < 2:
        raise ValueError(f"module must tell at least two classes apart, got {logits.shape[1]}")
    if not torch.is_floating_point(logits):
        raise TypeError(f"module must return floating-point logits, got {logits.dtype}")
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("module returns NaN or infinite logits for random images in its bounds")
    tolerance = 1e-3 * float(logits.abs().max()) + 1e-6
    if float((logits - again).abs().max()) > tolerance:
        raise ValueError(
            "module gives different outputs for two equal calls; switch off what is random "
            "(dropout, sampling) before its geometry is measured"
        )
    if float((logits[:1] - alone).abs().max()) > tolerance:
        raise ValueError(
            "module's output for an image depends on the other images of its batch; batch "
            "statistics must be fixed (batch normalisation with running averages)"
        )
    if float((logits.sum(dim=1) - 1).abs().max()) < 1e-4 and bool((logits >= 0).all()):
        raise ValueError(
            "module returns rows that are non-negative and sum to one: a softmax is in the "
            "way. Geometry is measured on logits; remove the softmax"
        )
    _require_gradient(clf, images)
    return int(logits.shape[1])


def _require_gradient(clf: Classifier, images: Tensor) -> None:
    with torch.enable_grad():
        images = images[:1].clone().requires_grad_()
        logits = clf.module(images)
        if not logits.requires_grad:
            raise ValueError(
                "module's logits carry no gradient with respect to the images; it must not run "
                "under torch.no_grad, nor detach, round or convert what it computes"
            )


def _probe_images(clf: Classifier, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    low, high = clf.bounds
    images = torch.rand((count, *clf.input_shape), generator=generator) * (high - low) + low
    return images.to(device=clf.device, dtype=clf.dtype)


def _bounds(value: tuple[float, float]) -> tuple[float, float]:
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"bounds must be (lowest, highest), two numbers, got {value!r}") from error
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"bounds must be finite with lowest < highest, got {value!r}")
    return low, high


def named_devices(
    value: str | torch.device | Sequence[str | torch.device],
) -> tuple[torch.device, ...]:
    """The devices that an argument names, as tensors on them name theirs."""
    if isinstance(value, str) and value == "auto":
        value = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        named = [value] if isinstance(value, (str, torch.device)) else list(value)
        devices = tuple(torch.device(name) for name in named)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device must be 'auto', a torch device such as 'cpu' or 'cuda:0', or a list of "
            f"them, got {value!r}"
        ) from error
    if not devices:
        raise ValueError("device must name at least one device, got an empty list")
    for device in devices:
        if device.type == "meta":
            raise ValueError("device must hold numbers, got 'meta'")
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ValueError(
                f"device {str(device)!r} was asked for, but {torch.cuda.device_count()} CUDA "
                f"devices are available; {_accepted_devices()}"
            )
        if device.type not in ("cpu", "cuda"):
            try:
                torch.empty(1, device=device)
            except (AssertionError, ImportError, RuntimeError) as error:  # NotImplementedError too
                raise ValueError(
                    f"device {str(device)!r} was asked for, but torch cannot use it on this "
                    f"machine; {_accepted_devices()}"
                ) from error
    return tuple(map(_numbered, devices))


def _accepted_devices() -> str:
    cuda = "".join(f", 'cuda:{index}'" for index in range(torch.cuda.device_count()))
    return f"accepted here: 'auto' or 'cpu'{cuda}"


def _numbered(device: torch.device) -> torch.device:
    """The device as tensors on it name it: "cuda:0" where "cuda" was said, "cpu" for "cpu:0"."""
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def _lasting(
    value: str | torch.device | Sequence[str | torch.device], devices: tuple[torch.device, ...]
) -> str | tuple[torch.device, ...]:
    """A wish for devices that another process can fulfil: "auto" is a choice to be made there."""
    return value if isinstance(value, str) and value == "auto" else devices


def _kind(device: torch.device) -> tuple[str, ...]:
    """What chunks are fitted to: two devices of one kind take chunks of one size."""
    if device.type != "cuda":
        return (device.type,)
    properties = torch.cuda.get_device_properties(device)
    return (device.type, properties.name, str(properties.total_memory))


def _memory(value: int | None, device: torch.device) -> int:
    if value is None:
        if device.type != "cuda":
            return _CPU_MEMORY_BYTES
        return int(torch.cuda.get_device_properties(device).total_memory * _GPU_MEMORY_SHARE)
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < _LEAST_MEMORY:
        raise ValueError(
            f"memory must be a whole number of bytes, at least {_LEAST_MEMORY} (16 MiB), such as "
            f"2 * 2**30 for 2 GiB, or None, got {value!r}"
        )
    return int(value)


def _dtype(module: nn.Module, value: torch.dtype | None) -> torch.dtype:
    if value is None:
        value = next(
            (weight.dtype for weight in module.parameters() if weight.is_floating_point()),
            torch.get_default_dtype(),
        )
        return value if value in _DTYPES else torch.float32
    if value not in _DTYPES:
        short = isinstance(value, torch.dtype) and value.is_floating_point
        why = ": shorter ones are too coarse to measure geometry with" if short else ""
        raise TypeError(f"dtype must be torch.float32, torch.float64 or None, got {value!r}{why}")
    return value


def _channel_values(
    argument: str,
    value: float | Sequence[float] | None,
    channels: int,
    default: float,
    *,
    positive: bool = False,
) -> Tensor:
    try:
        numbers = torch.as_tensor(
            default if value is None else value, dtype=torch.float64
        ).flatten()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{argument} must hold numbers, got {value!r}") from error
    if numbers.numel() not in (1, channels) or not bool(torch.isfinite(numbers).all()):
        raise ValueError(
            f"{argument} must be one finite number or one for each of the {channels} channels, "
            f"got {value!r}"
        )
    if positive and bool((numbers <= 0).any()):
        raise ValueError(f"{argument} must be positive, got {value!r}")
    return numbers.expand(channels).reshape(1, channels, 1, 1).clone()


def _class_names(value: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if value is None:
        return tuple(str(index) for index in range(count))
    names = tuple(str(name) for name in value)
    if len(names) != count:
        raise ValueError(
            f"class_names must hold one name for each of the {count} classes of the network, "
            f"got {len(names)}"
        )
    return names


def _as_float_tensor(x: Any, argument: str) -> Tensor:
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(np.ascontiguousarray(x))
    if not isinstance(x, Tensor):
        raise TypeError(f"{argument} must be a float tensor of images, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(
            f"{argument} must hold floating-point pixel values, got {x.dtype}; "
            "scale 8-bit images with x.float() / 255"
        )
    return x


def _require_units(
    argument: str, lowest: float, highest: float, bounds: tuple[float, float]
) -> None:
    low, high = bounds
    farthest = max(highest - (low + high) / 2, (low + high) / 2 - lowest)
    too_large = farthest > _FOREIGN_UNITS * (high - low)
    too_small = high - low > 100 and 0 <= lowest < highest <= 1
    if too_large or too_small:
        raise ValueError(
            f"{argument} holds values from {lowest:g} to {highest:g}, but the classifier's bounds "
            f"are [{low:g}, {high:g}]: the images are in other units. Rescale them, or make the "
            "classifier with the bounds they have"
        )


def _device_of(x: Any) -> torch.device:
    return x.device if isinstance(x, Tensor) else torch.device("cpu")


def _shape_of(x: Any) -> tuple[int, ...]:
    return tuple(getattr(x, "shape", ()))


def _plain_attributes(part: nn.Module) -> list[tuple[str, Any]]:
    """Settings of a module that are no tensors, such as a stride or a threshold."""
    return sorted(
        (name, value)
        for name, value in vars(part).items()
        if not name.startswith("_") and isinstance(value, (bool, int, float, str, tuple))
    )


def _bytes_of(value: Tensor) -> memoryview:
    return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
