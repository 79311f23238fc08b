"""What share of a network's own speed the functions reach: one table for a machine.

``python -m tests.benchmarks`` first measures how many images a second the bare network takes
forward, and forward and back, at the batch size that is best for it. Then it runs each function
and divides the seconds that its passes would take at that speed by the seconds that it took:
100 % is a function that does nothing but passes, each at its best batch size. A shared machine is
not always equally fast, so that the speed is measured again before and after every run. It runs
with torch and numpy alone, on any device. With one thread on a CPU its seconds are those of the
processor.
``--profile boundary`` prints, under the row of each network, the functions of that column in which
the time is spent, by their own time: those of torch too. The profiler slows down what is in Python.

Networks are bundled ones, or torchvision's with random weights (``resnet18@32`` for 32 x 32
images, ``resnet50``, ``vit_b_16`` for their own size).
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

import geoexplorer as gx
from geoexplorer.classifier import Cost, FullPrecision, difference
from geoexplorer.geometry.directions import random_tangent

_LARGEST_BATCH = 4096
_LEAST_SECONDS = 0.2  # of one measurement of raw speed
_REPEATS = 3
_PROFILED = 25  # functions that a profile shows
_BUNDLED = ("digits-cnn", "shapes-lenet", "shapes-nin", "shapes-resnet")


@dataclass(frozen=True)
class Raw:
    """Images a second at the best batch size."""

    forwards: float
    gradients: float  # forward and back
    forward_batch: int
    gradient_batch: int

    def seconds(self, cost: Cost) -> float:
        """What passes take at that speed; a gradient's forward pass is counted in forwards."""
        return (cost.forwards - cost.gradients) / self.forwards + cost.gradients / self.gradients


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(_BUNDLED))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=20, help="points, pairs and scored images")
    parser.add_argument("--repeats", type=int, default=_REPEATS)
    parser.add_argument("--only", nargs="*", default=[], choices=FUNCTIONS, help="of the columns")
    parser.add_argument("--profile", choices=FUNCTIONS, help="show where this column's time goes")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    place = (
        torch.cuda.get_device_name(arguments.device)
        if arguments.device.startswith("cuda")
        else f"{arguments.threads} threads"
    )
    print(f"torch {torch.__version__}, {place}; {arguments.images} images; medians")
    columns = [name for name in FUNCTIONS if not arguments.only or name in arguments.only]
    print(f"{'network':20} {'forwards/s':>16} {'gradients/s':>16}", end="")
    print("".join(f"{name:>12}" for name in columns))
    for name in arguments.networks:
        clf = classifier(name, arguments.device)
        raw = raw_speed(clf, arguments.repeats)
        print(
            f"{name:20} {raw.forwards:9,.0f} at {raw.forward_batch:<4} "
            f"{raw.gradients:8,.0f} at {raw.gradient_batch:<4}",
            end="", flush=True,
        )  # fmt: skip
        images = images_of(clf, name, arguments.images)
        for column in columns:
            shares = _shares(clf, images, FUNCTIONS[column], raw, arguments.repeats)
            print(f"{statistics.median(shares):12.0%}", end="", flush=True)
        print()
        if arguments.profile is not None:
            _print_profile(clf, partial(FUNCTIONS[arguments.profile], clf, images))


def classifier(name: str, device: str) -> gx.Classifier:
    """A bundled network, or torchvision's with random weights for images of a size."""
    if "@" not in name:
        bundled = name in gx.list_classifiers(torchvision=False)
        return gx.load_classifier(name, weights="default" if bundled else None, device=device)
    from torchvision import models

    architecture, _, side = name.partition("@")
    torch.manual_seed(0)
    module = models.get_model(architecture, weights=None, num_classes=10).eval()
    return gx.Classifier(
        module, input_shape=(3, int(side), int(side)), mean=0.5, std=0.25, device=device, name=name
    )


def raw_speed(clf: gx.Classifier, repeats: int, largest: int = _LARGEST_BATCH) -> Raw:
    """Images a second forward, and forward and back, of the bare network."""
    forwards, forward_batch = _best(clf, partial(_forward, clf), repeats, largest)
    gradients, gradient_batch = _best(clf, partial(_gradient, clf), repeats, largest)
    return Raw(forwards, gradients, forward_batch, gradient_batch)


def _forward(clf: gx.Classifier, images: Tensor) -> None:
    with torch.inference_mode():
        clf.module(images)


def _gradient(clf: gx.Classifier, images: Tensor) -> None:
    with torch.enable_grad():
        leaf = images.clone().requires_grad_()
        logits = clf.module(leaf)
        own = logits.detach().argmax(1)
        torch.autograd.grad(difference(logits, own, (own + 1) % clf.n_classes).sum(), leaf)


def _best(
    clf: gx.Classifier, passes: Callable[[Tensor], None], repeats: int, largest: int
) -> tuple[float, int]:
    """Highest speed over batch sizes, and the batch size; it stops where more gains nothing."""
    best, size_of_best, size = 0.0, 1, 1
    while size <= largest and size <= 8 * size_of_best:
        try:
            speed = _speed(clf, passes, size, repeats)
        except torch.OutOfMemoryError:
            break
        if speed > best:
            best, size_of_best = speed, size
        size *= 2
    return best, size_of_best


def _speed(clf: gx.Classifier, passes: Callable[[Tensor], None], size: int, repeats: int) -> float:
    images = torch.rand(size, *clf.input_shape, generator=torch.Generator().manual_seed(0))
    images = images.to(clf.device, clf.dtype)
    with FullPrecision():
        passes(images)
        speeds = []
        for _ in range(repeats):
            done = 0
            start = now(clf)
            while (elapsed := now(clf) - start) < _LEAST_SECONDS:
                passes(images)
                done += size
            speeds.append(done / elapsed)
    return statistics.median(speeds)


def now(clf: gx.Classifier) -> float:
    """Seconds on the clock that counts."""
    if clf.device.type == "cuda":
        torch.cuda.synchronize(clf.device)
        return time.perf_counter()
    # What else runs on the machine does not count; of several threads only the clock tells.
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def images_of(clf: gx.Classifier, name: str, count: int) -> Tensor:
    """The test images of a bundled network, or blurred noise."""
    data = name.split("-")[0]
    if data in ("digits", "shapes"):
        return gx.load_images(data, split="test").images[:count]
    noise = torch.rand(count, *clf.input_shape, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.avg_pool2d(noise, 3, 1, 1)


def _map(clf: gx.Classifier, images: Tensor) -> None:
    gx.cross_section(clf, gx.Plane.through(*images[:3]))


def _boundary(clf: gx.Classifier, images: Tensor) -> None:
    gx.nearest_boundary(clf, images)


def _extreme_curvatures(clf: gx.Classifier, images: Tensor) -> None:
    gx.principal_curvatures(clf, _points(clf, images[:1]), 10)


def _mean_curvature(clf: gx.Classifier, images: Tensor) -> None:
    gx.mean_curvature(clf, _points(clf, images))


def _secants(clf: gx.Classifier, images: Tensor) -> None:
    point = _points(clf, images[:1])
    tangents = torch.stack([random_tangent(point, seed=seed).vector for seed in range(20)])
    gx.normal_curvature(clf, point, tangents, method="secant")


def _proof(clf: gx.Classifier, images: Tensor) -> None:
    own = clf.labels(images)
    same = images[own == own.mode().values]
    gx.prove_segment(clf, same[:1], same[1:2])


def _detection(clf: gx.Classifier, images: Tensor) -> None:
    gx.detect(clf, images, classes=min(10, clf.n_classes - 1))


_known_points: WeakKeyDictionary[gx.Classifier, dict[int, gx.BoundaryPoints]] = WeakKeyDictionary()


def _points(clf: gx.Classifier, images: Tensor) -> gx.BoundaryPoints:
    """Boundary points, searched before the clock runs."""
    known = _known_points.setdefault(clf, {})
    if len(images) not in known:
        known[len(images)] = gx.nearest_boundary(clf, images)
    return known[len(images)]


FUNCTIONS: dict[str, Callable[[gx.Classifier, Tensor], None]] = {
    "map": _map,
    "boundary": _boundary,
    "extremes": _extreme_curvatures,
    "mean κ": _mean_curvature,
    "secants": _secants,
    "proof": _proof,
    "detection": _detection,
}


def _as_fast_as_now(clf: gx.Classifier, raw: Raw) -> Raw:
    """The same batch sizes at the speed of this moment."""
    return replace(
        raw,
        forwards=_speed(clf, partial(_forward, clf), raw.forward_batch, 1),
        gradients=_speed(clf, partial(_gradient, clf), raw.gradient_batch, 1),
    )


def _shares(
    clf: gx.Classifier,
    images: Tensor,
    function: Callable[[gx.Classifier, Tensor], None],
    raw: Raw,
    repeats: int,
) -> list[float]:
    """One a repeat, against the mean of the speeds just before and just after it."""
    function(clf, images)  # so that nothing is done for the first time
    shares = []
    speed = _as_fast_as_now(clf, raw)
    for _ in range(repeats):
        before, start = clf.cost, now(clf)
        function(clf, images)
        seconds, passes = now(clf) - start, clf.cost - before
        earlier, speed = speed, _as_fast_as_now(clf, raw)
        shares.append((earlier.seconds(passes) + speed.seconds(passes)) / (2 * seconds))
    return shares


def _print_profile(clf: gx.Classifier, function: Callable[[], None]) -> None:
    """Where the time of a call is spent; on a GPU, where the processor waits for it."""
    function()  # so that nothing is done for the first time
    on_gpu = clf.device.type == "cuda"  # which now() would wait for at every call
    profiler = cProfile.Profile(time.perf_counter if on_gpu else partial(now, clf))
    profiler.runcall(function)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(_PROFILED)


if __name__ == "__main__":
    main()
