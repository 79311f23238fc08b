"""Every function on large networks: seconds, passes and peak memory, each in a process of its own.

``python -m tests.benchmarks.large`` takes torchvision's ResNet-50 and ViT-B/16 for 3 x 224 x 224
images with random weights, and runs every public function on a few images within the memory that
the classifier is given. Columns: seconds of the processor (with several threads those of the
clock) and network passes; the highest resident size of the whole process, and how far that is above
the size before the call, both in MiB; the longest time without a word of progress; and the share of
the speed that the bare network has on the best batch size. A function that takes longer than
``--seconds`` is stopped and its seconds are those that its own progress foretells, marked with ~.

It runs with torch, torchvision and numpy alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import geoexplorer as gx
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.directions import random_tangent
from geoexplorer.jobs import Progress
from geoexplorer.results import Result
from tests.benchmarks.throughput import Raw, images_of, now, raw_speed

_MIB = 2**20
_NETWORKS = ("resnet50", "vit_b_16")
_LARGEST_BATCH = 4  # at which raw speed is measured
_PATIENCE = 20  # times the limit by the clock, after which a function that gives no word is ended


@dataclass(frozen=True)
class Given:
    """What the functions are called with."""

    clf: gx.Classifier
    x: Tensor  # (4, C, H, W)
    points: Path  # boundary points of the first two images, found before

    @property
    def b(self) -> BoundaryPoints:
        """Boundary points of the first two images."""
        return BoundaryPoints.load(self.points)

    @property
    def tangents(self) -> Tensor:
        """Two tangents at the first of them."""
        return torch.stack([random_tangent(self.b[:1], seed=seed).vector for seed in (0, 1)])

    @property
    def plane(self) -> gx.Plane:
        """Through three of the images."""
        return gx.Plane.through(*self.x[:3])


def _kinks(given: Given) -> Iterator[Result]:
    from geoexplorer.geometry.kinks import has_kinks

    has_kinks(given.clf)
    yield Result()


def _program(given: Given) -> Iterator[Result]:
    from geoexplorer.geometry.piecewise import why_not

    why_not(given.clf)
    yield Result()


def _nearest(given: Given, effort: str) -> Iterator[Result]:
    for found in gx.nearest_boundary_steps(given.clf, given.x[:2], effort=effort):
        if effort == "interactive" and found.progress.complete:
            found.save(given.points)
        yield found


def _enter(given: Given) -> Iterator[Result]:
    clf, x = given.clf, given.x
    gx.enter_region(clf, x[:1], int(clf.logits(x[:1])[0].argsort()[-2]))
    yield Result()


def _shares(given: Given) -> Iterator[Result]:
    yield gx.subspace_shares(given.clf, gx.dct_block(given.clf.input_shape, 0, 8), given.b)


def _subspaces(given: Given) -> list[gx.Subspace]:
    return [gx.dct_block(given.clf.input_shape, first, 4) for first in (0, 32)]


FUNCTIONS: dict[str, Callable[[Given], Iterator[Any]]] = {
    "nearest_boundary": lambda g: _nearest(g, "interactive"),
    "nearest_boundary, accurate": lambda g: _nearest(g, "accurate"),
    "nearest_boundary, deepfool": lambda g: _nearest(g, "deepfool"),
    "whether there are kinks": _kinks,
    "whether it can be proven": _program,
    "cross_section": lambda g: gx.cross_section_steps(g.clf, g.plane, resolution=129),
    "principal_curvatures, k=10": lambda g: gx.principal_curvatures_steps(g.clf, g.b[:1], 10),
    "principal_curvatures, k=1": lambda g: gx.principal_curvatures_steps(g.clf, g.b[:1], 1),
    "differences, k=10": lambda g: gx.principal_curvatures_steps(
        g.clf, g.b[:1], 10, method="central_difference"
    ),
    "normal_curvature": lambda g: gx.normal_curvature_steps(g.clf, g.b[:1], g.tangents),
    "normal_curvature, secant": lambda g: gx.normal_curvature_steps(
        g.clf, g.b[:1], g.tangents, method="secant"
    ),
    "mean_curvature": lambda g: gx.mean_curvature_steps(g.clf, g.b[:1], probes=20),
    "curvature_by_step": lambda g: gx.curvature_by_step_steps(
        g.clf, g.b[:1], g.tangents, steps=[3.0, 7.0]
    ),
    "curvature_density": lambda g: gx.curvature_density_steps(g.clf, g.b[:1], probes=1, order=16),
    "normal_sections": lambda g: gx.normal_sections_steps(
        g.clf, g.b[:1], [random_tangent(g.b[:1], seed=seed) for seed in (0, 1)], resolution=65
    ),
    "relative_curvature": lambda g: gx.relative_curvature_steps(
        g.clf, g.b[:1], g.tangents, probes=4
    ),
    "shared_directions, m=2": lambda g: gx.shared_directions_steps(g.clf, g.b, m=2),
    "connect": lambda g: gx.connect_steps(g.clf, g.x[0], g.x[1]),
    "prove_segment": lambda g: gx.prove_segment_steps(g.clf, g.x[0], g.x[1]),
    "enter_region": _enter,
    "connectivity": lambda g: gx.connectivity_steps(g.clf, g.x, pairs=1),
    "convex_combinations": lambda g: gx.convex_combinations_steps(
        g.clf, g.x, largest=3, combinations=20
    ),
    "noise_sensitivity": lambda g: gx.noise_sensitivity_steps(
        g.clf, g.x, _subspaces(g), draws=1
    ),
    "subspace_margins": lambda g: gx.subspace_margins_steps(g.clf, g.x[:2], _subspaces(g)),
    "subspace_shares": _shares,
    "detect, 10 classes": lambda g: gx.detect_steps(g.clf, g.x[:2], 20, classes=10),
    "detect, all classes": lambda g: gx.detect_steps(g.clf, g.x[:1], 20),
    "detect_along": lambda g: gx.detect_along_steps(
        g.clf, g.b[:1], [0.0, 1.1], probes=10, classes=10
    ),
    "detection_roc": lambda g: gx.detection_roc_steps(
        g.clf, g.b, [1.1], probes=10, classes=10
    ),
}  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(_NETWORKS))
    parser.add_argument("--memory", type=int, default=512, help="MiB of the classifier")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=300, help="a function, at most")
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of functions")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--points", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(_alone(arguments)))
        return
    names = [
        name
        for name in FUNCTIONS
        if not arguments.only or any(word in name for word in arguments.only)
    ]
    with tempfile.TemporaryDirectory() as folder:
        for network in arguments.networks:
            _table(network, names, arguments, Path(folder) / f"{network}.npz")


def _table(network: str, names: list[str], arguments: argparse.Namespace, points: Path) -> None:
    measured = _run(network, "raw", arguments, points)
    raw = Raw(**measured["raw"])
    print(
        f"{network}, memory of {arguments.memory} MiB, {arguments.threads} threads, torch "
        f"{torch.__version__}: {raw.forwards:.2f} forwards/s at {raw.forward_batch}, "
        f"{raw.gradients:.2f} gradients/s at {raw.gradient_batch}; loaded "
        f"{measured['peak']:.0f} MiB at most, {measured['before']:.0f} then"
    )
    print(
        f"{'function':28} {'seconds':>8} {'forwards':>9} {'gradients':>9} {'peak':>6} {'above':>6} "
        f"{'silent':>7} {'share':>6}"
    )
    first = next(iter(FUNCTIONS))
    for name in [first, *(name for name in names if name != first)]:
        row = _run(network, name, arguments, points)
        if "error" in row:
            print(f"{name:28} {row['error']}", flush=True)
            continue
        passes = gx.classifier.Cost(**row["cost"])
        whole = row["seconds"] / row["fraction"] if row["fraction"] else float("inf")
        mark = " " if row["fraction"] == 1 else "~"
        print(
            f"{name:28} {mark}{whole:7.1f} {passes.forwards:9} {passes.gradients:9} "
            f"{row['peak']:6.0f} {row['above']:6.0f} {row['silent']:7.1f} "
            f"{raw.seconds(passes) / row['seconds']:6.0%}",
            flush=True,
        )


def _run(network: str, name: str, arguments: argparse.Namespace, points: Path) -> dict[str, Any]:
    """What one function measured in a process of its own."""
    command = [
        sys.executable, "-m", "tests.benchmarks.large", network, "--one", name,
        "--points", str(points), "--memory", str(arguments.memory),
        "--threads", str(arguments.threads), "--seconds", str(arguments.seconds),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False,
            timeout=_PATIENCE * arguments.seconds + 60,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"no word for {_PATIENCE * arguments.seconds:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["ended"])[-1]}
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _alone(arguments: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(arguments.threads)
    (network,) = arguments.networks
    clf = gx.load_classifier(
        network, weights=None, device="cpu", memory=arguments.memory * _MIB
    )  # fmt: skip
    loaded, before = _peak(), _size("VmRSS")
    if arguments.one == "raw":
        raw = raw_speed(clf, 1, largest=_LARGEST_BATCH)
        return {"raw": asdict(raw), "peak": loaded, "before": before}
    given = Given(clf, images_of(clf, network, 4), arguments.points)
    if os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")  # sets the highest size back
    cost, start = clf.cost, now(clf)
    progress, said, silent = Progress(0.0), start, 0.0
    for result in FUNCTIONS[arguments.one](given):
        progress = getattr(result, "progress", progress)
        silent, said = max(silent, now(clf) - said), now(clf)
        if said - start > arguments.seconds and arguments.one != next(iter(FUNCTIONS)):
            break  # but for the first one, whose points the others need
    return {
        "seconds": now(clf) - start,
        "fraction": progress.fraction,
        "cost": asdict(clf.cost - cost),
        "peak": max(loaded, _peak()),
        "above": (_size("VmHWM") or _peak()) - before,
        "silent": silent,
    }


def _peak() -> float:
    """The highest resident size of this process in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


def _size(name: str) -> float:
    """A size that Linux keeps of this process in MiB; 0 elsewhere."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
