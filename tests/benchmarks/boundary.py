"""Nearest boundary points beside the minimum-norm attacks of adv-lib.

``python -m tests.benchmarks.boundary`` measures our three efforts; where adv-lib can be
imported, DDN, FMN and SuperDeepFool stand beside them. adv-lib asks for packages that do not
go together with JupyterLab, so give it an environment of its own::

    python -m venv --system-site-packages peers
    peers/bin/python -m pip install adv-lib
    peers/bin/python -m tests.benchmarks.boundary

Everything is boxed to the images' bounds, since the peers are. Distances are compared image by
image with the least that DDN and FMN reach with ``--steps`` steps; a ratio below one is nearer
than both. Times are given as multiples of one gradient of the whole batch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import geoexplorer as gx


@dataclass(frozen=True)
class Row:
    """What one method reached on one network."""

    method: str
    distances: Tensor  # (n,), infinite where it failed
    gradients: float  # an image
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=gx.list_classifiers(torchvision=False))
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--steps", type=int, default=1000, help="of the reference DDN and FMN")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {arguments.device}")
    print(
        f"{'network':20} {'method':20} {'median':>8} {'mean ratio':>10} {'worst':>7} "
        f"{'failed':>6} {'gradients':>9} {'time':>7}"
    )
    for name in arguments.networks:
        _report(name, *_measure(name, arguments))


def _measure(name: str, arguments: argparse.Namespace) -> tuple[list[Row], Tensor, float]:
    clf = gx.load_classifier(name, device=arguments.device)
    images = gx.load_images(name.split("-")[0]).images[: arguments.images]
    rows = [
        _ours(clf, images, "accurate", bounded=True),
        _ours(clf, images, "interactive", bounded=True),
        _ours(clf, images, "deepfool", bounded=False),
    ]
    rows += _peers(clf, images, arguments.steps)
    references = [row.distances for row in rows if row.method.endswith(f" {arguments.steps}")]
    reference = torch.stack(references or [rows[0].distances]).amin(0)
    return rows, reference, _gradient_seconds(clf, images)


def _ours(clf: gx.Classifier, images: Tensor, effort: str, *, bounded: bool) -> Row:
    start = time.perf_counter()
    found = gx.nearest_boundary(clf, images, effort=effort, bounded=bounded)
    seconds = time.perf_counter() - start
    label = effort if bounded else f"{effort}, unbounded"
    return Row(label, found.distances, found.cost.gradients / len(images), seconds)


def _peers(clf: gx.Classifier, images: Tensor, steps: int) -> list[Row]:
    try:
        from adv_lib.attacks import ddn, fmn, sdf
    except ImportError:
        print("adv-lib is not installed; ratios are to effort='accurate'")
        return []
    images = images.to(clf.device)
    own = clf.labels(images)
    attacks: dict[str, Callable[[nn.Module], Tensor]] = {
        f"DDN {steps}": lambda net: ddn(net, images, own, steps=steps, levels=None),
        f"FMN {steps}": lambda net: fmn(net, images, own, norm=2, steps=steps),
        "DDN 100": lambda net: ddn(net, images, own, steps=100, levels=None),
        "FMN 100": lambda net: fmn(net, images, own, norm=2, steps=100),
        "SuperDeepFool": lambda net: sdf(net, images, own),
    }
    return [_peer(label, attack, clf, images, own) for label, attack in attacks.items()]


def _peer(
    label: str,
    attack: Callable[[nn.Module], Tensor],
    clf: gx.Classifier,
    images: Tensor,
    own: Tensor,
) -> Row:
    network = _Counting(clf.module)
    start = time.perf_counter()
    adversarial = attack(network)
    seconds = time.perf_counter() - start
    distances = (adversarial - images).flatten(1).norm(dim=1)
    failed = clf.labels(adversarial) == own
    distances = torch.where(failed, torch.inf, distances).cpu()
    return Row(label, distances, network.gradients / len(images), seconds)


class _Counting(nn.Module):
    """A network that counts the images whose output is differentiated."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.gradients = 0

    def forward(self, x: Tensor) -> Tensor:
        logits = self.module(x)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.gradients += len(gradient)


def _gradient_seconds(clf: gx.Classifier, images: Tensor, repeats: int = 5) -> float:
    own = clf.labels(images)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        clf.margin_gradient(images, own, (own + 1) % clf.n_classes)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _report(name: str, rows: list[Row], reference: Tensor, gradient: float) -> None:
    for row in rows:
        reached = row.distances.isfinite() & reference.isfinite()
        ratios = (row.distances / reference)[reached]
        print(
            f"{name:20} {row.method:20} {row.distances.median():8.4f} {ratios.mean():10.4f} "
            f"{ratios.max():7.3f} {int(row.distances.isinf().sum()):6d} {row.gradients:9.1f} "
            f"{row.seconds / gradient:7.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
