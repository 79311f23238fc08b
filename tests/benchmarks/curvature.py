"""Principal curvatures beside the gradients they need, and beside a loop of double backwards.

``python -m tests.benchmarks.curvature`` measures at nearest boundary points of test images. Every
time is a multiple of that of 2 (d - 1) gradients, evaluated in batches in the same run, which is
what central differences along all d - 1 tangents need.

Columns: all d - 1 curvatures; what that is in multiples of the gradients that the method itself
takes ("smoothed" takes two independent halves of 2 d each); the 10 most positive and 10 most
negative ones; how many times faster these are than all; the largest difference between the two, and
the largest residual, as shares of the largest curvature; and the loop that one would write first,
one double backward a direction (extrapolated from a few of them; it sees no kinks). Medians over
the images.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

import torch

import geoexplorer as gx
from geoexplorer.classifier import difference
from geoexplorer.geometry.kinks import has_kinks

_EXTREMES = 10
_LOOPED = 32  # double backwards that are timed


@dataclass(frozen=True)
class Measured:
    """One boundary point; seconds."""

    gradients: float  # 2 (d - 1) of them
    every: float
    needed: float  # gradients that all curvatures took, over 2 (d - 1)
    extreme: float
    difference: float
    residual: float
    loop: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(gx.list_classifiers(torchvision=False)))
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.device}")
    print(
        f"{'network':20} {'method':18} {'all':>6} {'of its need':>11} {'20 extreme':>10} "
        f"{'faster':>6} {'differ':>8} {'residual':>8} {'loop':>6}"
    )
    for name in arguments.networks:
        clf = gx.load_classifier(name, device=arguments.device)
        images = gx.load_images(name.split("-")[0], split="test").images[: arguments.images]
        boundary = gx.nearest_boundary(clf, images, effort="accurate")
        smooth = not has_kinks(clf)
        for method in ("autograd", "central_difference") if smooth else ("smoothed",):
            gx.principal_curvatures(clf, boundary[0], k=1, method=method)  # not for the first time
            _report(name, method, [_measure(clf, point, method) for point in boundary])


def _measure(clf: gx.Classifier, point: gx.BoundaryPoints, method: str) -> Measured:
    gradients = _gradient_seconds(clf, point)
    start = time.perf_counter()
    every = gx.principal_curvatures(clf, point, method=method)
    all_seconds = time.perf_counter() - start
    start = time.perf_counter()
    extreme = gx.principal_curvatures(clf, point, k=_EXTREMES, method=method)
    extreme_seconds = time.perf_counter() - start
    ends = torch.cat([every.values[:, :_EXTREMES], every.values[:, -_EXTREMES:]], dim=1)
    largest = float(ends.abs().max())
    return Measured(
        gradients=gradients,
        every=all_seconds,
        needed=every.cost.gradients / (2 * (clf.dimension - 1)),
        extreme=extreme_seconds,
        difference=float((extreme.values - ends).abs().max()) / largest,
        residual=float(extreme.residuals.max()) / largest,
        loop=_loop_seconds(clf, point),
    )


def _gradient_seconds(clf: gx.Classifier, point: gx.BoundaryPoints) -> float:
    """Of 2 (d - 1) gradients at points near z."""
    count, batch = 2 * (clf.dimension - 1), 1024
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((min(count, batch), *clf.input_shape), generator=generator)
    images = (point.points + 0.01 * noise).to(clf.device)
    start = time.perf_counter()
    for first in range(0, count, batch):
        some = images[: min(batch, count - first)]
        own = point.own.to(clf.device).expand(len(some))
        clf.forward_gradient(some, difference, own, point.other.to(clf.device).expand(len(some)))
    _wait(clf)
    return time.perf_counter() - start


def _loop_seconds(clf: gx.Classifier, point: gx.BoundaryPoints) -> float:
    """Of d - 1 Hessian-vector products as one would write them."""
    z = point.points.to(clf.device).requires_grad_()
    logits = clf.module(z)
    margin = logits[0, int(point.own[0])] - logits[0, int(point.other[0])]
    (gradient,) = torch.autograd.grad(margin, z, create_graph=True)
    if not gradient.requires_grad:  # a network of affine pieces
        return float("nan")
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn((_LOOPED, *z.shape), generator=generator).to(clf.device)
    start = time.perf_counter()
    for direction in directions:
        torch.autograd.grad(gradient, z, direction, retain_graph=True, allow_unused=True)
    _wait(clf)
    return (time.perf_counter() - start) * (clf.dimension - 1) / _LOOPED


def _wait(clf: gx.Classifier) -> None:
    if clf.device.type == "cuda":
        torch.cuda.synchronize()


def _report(name: str, method: str, measured: list[Measured]) -> None:
    median = statistics.median
    print(
        f"{name:20} {method:18} {median(m.every / m.gradients for m in measured):6.2f} "
        f"{median(m.every / m.gradients / m.needed for m in measured):11.2f} "
        f"{median(m.extreme / m.gradients for m in measured):10.3f} "
        f"{median(m.every / m.extreme for m in measured):6.1f} "
        f"{max(m.difference for m in measured):8.1e} {max(m.residual for m in measured):8.1e} "
        f"{median(m.loop / m.gradients for m in measured):6.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
