"""The paper's finding on connected regions, counted, and what a path costs.

``python -m tests.benchmarks.paths`` prints two tables. *Time*: the median over pairs of the seconds
for one pair of test images of a predicted class, connected with sampling only and connected with
proofs; then ``--batch`` pairs together against the same pairs one by one, with sampling, and
whether both found the same. *Finding*: for each network and scenario, over ``--pairs`` pairs, how
many straight segments stay inside, how many pairs are connected and how many of these are proven;
straightness, its median over the paths that are not the straight segment and its maximum; anchors,
the mean over those and the maximum; ``--classes`` adds a row a class.

Without a proof a path is checked at samples; ``--prove`` proves every path of the finding where the
network is piecewise linear, which takes minutes to hours.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor

import geoexplorer as gx
from geoexplorer.geometry.connectivity import SCENARIOS, PairCounts
from geoexplorer.geometry.drawing_pairs import draw_pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=gx.list_classifiers(torchvision=False))
    parser.add_argument("--pairs", type=int, default=40, help="of the finding, each scenario")
    parser.add_argument("--timed", type=int, default=10, help="pairs timed one by one")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--prove", action="store_true")
    parser.add_argument("--classes", action="store_true")
    parser.add_argument("--effort", default="interactive")
    parser.add_argument("--scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.device}")
    if arguments.timed:
        _print_times(arguments)
    if arguments.pairs:
        _print_finding(arguments)


def _print_times(arguments: argparse.Namespace) -> None:
    print(
        f"{'network':20} {'sampled':>9} {'proven':>9} {'worst':>9} | {'pairs':>5} {'together':>9} "
        f"{'one by one':>10} {'ratio':>6} {'same':>5}"
    )
    for name in arguments.networks:
        clf, a, b = _pairs(name, arguments)
        few = slice(arguments.timed)
        gx.connect(clf, a[0], b[0])  # everything is loaded and warm
        sampled = _one_by_one(clf, a[few], b[few], prove=False)
        proven = _one_by_one(clf, a[few], b[few], prove=True)
        print(
            f"{name:20} {statistics.median(sampled) * 1e3:6.0f} ms "
            f"{statistics.median(proven):7.2f} s {max(proven):7.2f} s |",
            end="",
            flush=True,
        )
        start = time.perf_counter()
        together = gx.connect(clf, a, b, prove=False)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        alone = [gx.connect(clf, *pair, prove=False) for pair in zip(a, b, strict=True)]
        slow = time.perf_counter() - start
        same = sum(
            one.anchors.shape == other.anchors.shape
            and torch.allclose(one.anchors, other.anchors, atol=1e-3)
            for one, other in zip(together, alone, strict=True)
        )
        print(
            f" {len(a):5} {seconds:7.2f} s {slow:8.2f} s {slow / seconds:6.1f} "
            f"{same / len(a):5.0%}",
            flush=True,
        )


def _pairs(name: str, arguments: argparse.Namespace) -> tuple[gx.Classifier, Tensor, Tensor]:
    """Random pairs of test images of a predicted class."""
    clf = gx.load_classifier(name, device=arguments.device)
    images = gx.load_images(name.split("-")[0], split="test").images
    predicted = clf.labels(images)
    generator = torch.Generator().manual_seed(arguments.seed)
    classes = predicted.unique().tolist()
    _, first, second = draw_pairs(predicted, classes, arguments.batch, generator, among="same")
    return clf, images[first], images[second]


def _one_by_one(clf: gx.Classifier, a: Tensor, b: Tensor, *, prove: bool) -> list[float]:
    seconds = []
    for pair in zip(a, b, strict=True):
        start = time.perf_counter()
        gx.connect(clf, *pair, prove=prove)
        seconds.append(time.perf_counter() - start)
    return seconds


def _print_finding(arguments: argparse.Namespace) -> None:
    print(
        f"{'network':20} {'scenario':9} {'class':12} {'pairs':>5} {'moved':>5} {'straight':>8} "
        f"{'connected':>9} {'proven':>6} {'bent':>10} {'longest':>8} {'anchors':>7} {'most':>4} "
        f"{'time':>8}"
    )
    for name in arguments.networks:
        clf = gx.load_classifier(name, device=arguments.device)
        images = gx.load_images(name.split("-")[0], split="test").images
        for scenario in arguments.scenarios:
            found = gx.connectivity(
                clf,
                images,
                pairs=arguments.pairs,
                scenario=scenario,
                prove=arguments.prove,
                effort=arguments.effort,
                seed=arguments.seed,
            )
            bent = found[found.connected & (found.anchors > 2)]
            _print_counts(name, scenario, found.altogether(), bent, found.provenance.seconds)
            for count in found.by_class() if arguments.classes else ():
                _print_counts("", "", count, bent[bent.labels == count.label], None)


def _print_counts(
    name: str, scenario: str, count: PairCounts, bent: gx.Connectivity, seconds: float | None
) -> None:
    print(
        f"{name:20} {scenario:9} {count.name[:12]:12} {count.pairs:5} {count.moved:5} "
        f"{count.straight:8} {count.connected:9} {count.proven:6} {count.straightness_bent:10.6f} "
        f"{count.straightness_max:8.4f} {float(bent.anchors.double().mean()):7.2f} "
        f"{count.anchors_max:4}" + ("" if seconds is None else f" {seconds:6.0f} s"),
        flush=True,
    )


if __name__ == "__main__":
    main()
