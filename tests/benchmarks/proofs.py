"""What a proof costs, beside as many plain forward passes as it has corners.

``python -m tests.benchmarks.proofs`` prints two tables. *Segments*: straight segments between test
images of one predicted class, split to their end: pieces, seconds, and the seconds as a multiple of
the float64 forward passes of as many images as there are corners (medians); on the two deep
networks a part of a segment only, for each takes a minute. *Maps*: exact cross-sections in the
default window around a nearest boundary point, beside the refined map of the same window.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

import geoexplorer as gx
from geoexplorer.geometry.directions import random_tangent
from geoexplorer.geometry.piecewise import program_of

_NETWORKS = {"digits-cnn": 1.0, "shapes-lenet": 1.0, "shapes-nin": 0.02, "shapes-resnet": 0.02}
_MAPPED = ("digits-cnn", "shapes-lenet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segments", type=int, default=5)
    parser.add_argument("--maps", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads")
    print("\nsegments, medians\nnetwork          share  pieces  seconds  of the forward passes")
    for name, share in _NETWORKS.items():
        rows = [_segment(name, share, seed, options.device) for seed in range(options.segments)]
        pieces, seconds, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name:16s} {share:5.0%} {pieces:7.0f} {seconds:8.2f} {ratio:8.2f}")
    print("\nexact maps, default window, medians\nnetwork          seconds  of the refined map's")
    for name in _MAPPED:
        maps = [_map(name, seed, options.device) for seed in range(options.maps)]
        seconds, ratio = (statistics.median(column) for column in zip(*maps, strict=True))
        print(f"{name:16s} {seconds:7.1f} {ratio:8.0f}")


def _load(name: str, device: str) -> tuple[gx.Classifier, torch.Tensor]:
    images = gx.load_images("digits" if name.startswith("digits") else "shapes", split="test")
    return gx.load_classifier(name, device=device), images.images


def _segment(name: str, share: float, seed: int, device: str) -> tuple[float, float, float]:
    clf, images = _load(name, device)
    labels = clf.labels(images)
    generator = torch.Generator().manual_seed(seed)
    first = int(torch.randint(len(images), (1,), generator=generator))
    others = (labels == labels[first]).nonzero()[:, 0]
    second = int(others[int(torch.randint(len(others), (1,), generator=generator))])
    a, b = images[first], images[second]
    end = torch.lerp(a, b, share)
    gx.prove_segment(clf, a, torch.lerp(a, b, 1e-4))  # the network is looked at once
    proof, seconds = _timed(lambda: gx.prove_segment(clf, a, end, stop=False))
    program, corners = program_of(clf), len(proof.t)
    batch = a.double().expand(min(corners, 64), -1, -1, -1).to(program.device)
    _, forward = _timed(lambda: program.forward(batch))
    return proof.pieces, seconds, seconds / (forward / len(batch) * corners)


def _map(name: str, seed: int, device: str) -> tuple[float, float]:
    clf, images = _load(name, device)
    b = gx.nearest_boundary(clf, images[seed])
    plane = gx.Plane.normal_section(b, random_tangent(b, seed=seed))
    _, refined = _timed(lambda: gx.cross_section(clf, plane))
    _, exact = _timed(lambda: gx.cross_section(clf, plane, exact=True))
    return exact, exact / refined


def _timed(function):
    began = time.perf_counter()
    result = function()
    return result, time.perf_counter() - began


if __name__ == "__main__":
    main()
