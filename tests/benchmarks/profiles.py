"""The paper's finding on curvature, checked: flat along most directions, one sign dominating?

``python -m tests.benchmarks.profiles`` measures all principal curvatures at boundary points of test
images, by method, step and kind of point. Columns: the median over the images of the largest and
the smallest curvature and of the line -1/‖r‖; the share of curvatures below a twentieth of the
largest in size; the share of images whose most negative curvature is larger in size than their most
positive one; and the median sum of the positive curvatures over that of the negative ones.
"""

from __future__ import annotations

import argparse

import torch

import geoexplorer as gx
from geoexplorer.geometry.kinks import has_kinks
from geoexplorer.geometry.operators import default_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(gx.list_classifiers(torchvision=False)))
    parser.add_argument("--images", type=int, default=30, help="a tenth of it for 32x32x3")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{'network':20} {'point':9} {'method':18} {'h':>6} {'n':>3} {'largest':>8} "
        f"{'smallest':>8} {'-1/r':>7} {'flat':>6} {'negative':>8} {'pos/neg':>7}"
    )
    for name in arguments.networks:
        clf = gx.load_classifier(name, device=arguments.device)
        count = arguments.images if clf.dimension < 1000 else max(1, arguments.images // 10)
        images = gx.load_images(name.split("-")[0], split="test").images[:count]
        if has_kinks(clf):
            ways = [("smoothed", 1.0), ("central_difference", 1.0)]
            if clf.dimension < 1000:
                ways += [("smoothed", 0.25), ("central_difference", 0.25)]
        else:
            ways = [("autograd", 0.0)]
        for effort in ("accurate", "deepfool"):
            boundary = gx.nearest_boundary(clf, images, effort=effort)
            for method, share in ways:
                step = share * default_step(clf) if share else None
                k = gx.principal_curvatures(clf, boundary, method=method, step=step)
                _report(name, "DeepFool" if effort == "deepfool" else "nearest", k)


def _report(name: str, point: str, k: gx.PrincipalCurvatures) -> None:
    values = k.values[torch.isfinite(k.values).all(dim=1)].double()
    largest, smallest = values[:, 0], values[:, -1]
    flat = values.abs() < values.abs().amax(1, keepdim=True) / 20
    balance = values.clamp_min(0).sum(1) / -values.clamp_max(0).sum(1)
    print(
        f"{name:20} {point:9} {k.method:18} {k.step:6.3f} {len(values):3} "
        f"{float(largest.median()):8.2f} {float(smallest.median()):8.2f} "
        f"{float((-1 / k.distances).median()):7.2f} {float(flat.double().mean()):6.1%} "
        f"{float((-smallest > largest).double().mean()):8.0%} {float(balance.median()):7.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
