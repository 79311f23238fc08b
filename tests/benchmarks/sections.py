"""Cross-sections beside the dense grid and beside splitting cells by the labels of their corners.

``python -m tests.benchmarks.sections`` maps planes through three test images each, in their
default window, and compares every pixel with the network's own class there. The dense grid
takes one to ten minutes a plane on one core; ``--resolution 257`` takes a quarter of that.

Columns: the mean share of the dense grid's evaluations; the mean share of wrong pixels, and
the worst; the median time in multiples of the dense grid's, and the median seconds until the
first map and the last one; then evaluations and wrong pixels of splitting cells, from 33 x 33
nodes, wherever the four corners are not of one class.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from dataclasses import dataclass

import torch
from torch import Tensor

import geoexplorer as gx
from geoexplorer.geometry.sections import cross_section_steps
from geoexplorer.jobs import last


@dataclass(frozen=True)
class Measured:
    """One plane: shares of all pixels, and seconds."""

    evaluations: float
    wrong: float
    first: float
    seconds: float
    dense_seconds: float
    split_evaluations: float
    split_wrong: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=gx.list_classifiers(torchvision=False))
    parser.add_argument("--planes", type=int, default=6)
    parser.add_argument("--resolution", type=int, default=513)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"torch {torch.__version__}, {arguments.threads} threads, {arguments.device}, "
        f"{arguments.resolution} x {arguments.resolution}, {arguments.planes} planes"
    )
    print(
        f"{'network':20} {'evaluated':>9} {'wrong':>8} {'worst':>8} {'of dense':>8} "
        f"{'first map':>9} {'final':>8} | {'splitting':>9} {'wrong':>8}"
    )
    for name in arguments.networks:
        clf = gx.load_classifier(name, device=arguments.device)
        images = gx.load_images(name.split("-")[0], split="test").images
        generator = torch.Generator().manual_seed(0)
        planes = [
            gx.Plane.through(*images[torch.randperm(len(images), generator=generator)[:3]])
            for _ in range(arguments.planes)
        ]
        gx.cross_section(
            clf, planes[0], resolution=65
        )  # so that nothing is done for the first time
        _report(name, [_measure(clf, plane, arguments.resolution) for plane in planes])


def _measure(clf: gx.Classifier, plane: gx.Plane, resolution: int) -> Measured:
    start = time.perf_counter()
    steps = cross_section_steps(clf, plane, resolution=resolution)
    section = next(steps)
    first = time.perf_counter() - start
    section = last(itertools.chain([section], steps))
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    dense = _dense(clf, section)
    dense_seconds = time.perf_counter() - start
    split, split_evaluations = _corner_splitting(dense)
    return Measured(
        evaluations=section.evaluations / dense.numel(),
        wrong=_share(section.labels != dense),
        first=first,
        seconds=seconds,
        dense_seconds=dense_seconds,
        split_evaluations=split_evaluations,
        split_wrong=_share(split != dense),
    )


def _dense(clf: gx.Classifier, section: gx.CrossSection) -> Tensor:
    rows = []
    for y in section.y:
        coordinates = torch.stack([section.x, y.expand(len(section.x))], dim=1)
        rows.append(clf.forward(section.plane.points(coordinates.to(clf.device))).argmax(dim=1))
    return torch.stack(rows).cpu()


def _corner_splitting(dense: Tensor, nodes: int = 33) -> tuple[Tensor, float]:
    """Labels, and the share of pixels evaluated, of splitting until corners agree."""
    size = (len(dense) - 1) // (nodes - 1)
    if (nodes - 1) * size != len(dense) - 1 or size & (size - 1):
        raise ValueError("resolution must be 32 times a power of two, plus one")
    labels = torch.zeros_like(dense)
    evaluated = torch.zeros(dense.shape, dtype=torch.bool)
    evaluated[::size, ::size] = True
    y, x = torch.cartesian_prod(*2 * [torch.arange(0, len(dense) - 1, size)]).T
    while size > 0:
        corners = torch.stack([dense[y + a, x + b] for a in (0, size) for b in (0, size)])
        agree = (corners == corners[0]).all(dim=0)
        inside = torch.arange(size + 1)
        rows = (y[agree][:, None] + inside)[:, :, None]
        columns = (x[agree][:, None] + inside)[:, None, :]
        labels[rows, columns] = corners[0][agree][:, None, None]
        y, x, size = y[~agree], x[~agree], size // 2
        if size > 0:
            for a in (0, size, 2 * size):
                for b in (0, size, 2 * size):
                    evaluated[y + a, x + b] = True
            y, x = (
                torch.cat([y, y, y + size, y + size]),
                torch.cat([x, x + size, x, x + size]),
            )
    return torch.where(evaluated, dense, labels), _share(evaluated)


def _share(pixels: Tensor) -> float:
    return float(pixels.double().mean())


def _report(name: str, measured: list[Measured]) -> None:
    mean, median = statistics.mean, statistics.median
    print(
        f"{name:20} {mean(m.evaluations for m in measured):9.3%} "
        f"{mean(m.wrong for m in measured):8.4%} {max(m.wrong for m in measured):8.4%} "
        f"{median(m.seconds / m.dense_seconds for m in measured):8.2%} "
        f"{median(m.first for m in measured):7.3f} s {median(m.seconds for m in measured):6.2f} s "
        f"| {mean(m.split_evaluations for m in measured):9.3%} "
        f"{mean(m.split_wrong for m in measured):8.4%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
