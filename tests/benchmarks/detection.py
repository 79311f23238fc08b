"""The paper's findings on detection and label recovery, counted, beside the baselines.

``python -m tests.benchmarks.detection`` scores natural test images and the same ones perturbed by
α r. Columns: the number of images; the area under the ROC curve (with its 95 % interval) of the
mean curvature over all other classes, over the runner-up alone, and of the logit margin; the share
of changed labels that come back, by the class with the largest curvature and by the runner-up.
With ``--cost`` a second table: seconds for ``--images`` images in one call over the seconds of the
forward passes and gradients alone that it needs.
"""

from __future__ import annotations

import argparse
import time

import torch

import geoexplorer as gx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(gx.list_classifiers(torchvision=False)))
    parser.add_argument("--images", type=int, default=300, help="a third of it for 32x32x3")
    parser.add_argument("--scales", type=float, nargs="*", default=[1.02, 2.0, 5.0])
    parser.add_argument("--effort", nargs="*", default=["deepfool", "interactive"])
    parser.add_argument("--step", type=float, default=1.0, help="in the default steps")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{'network':18} {'point':9} {'h':>5} {'n':>4} {'α':>5} {'all classes':>17} "
        f"{'runner-up':>17} {'margin':>17} | {'recovered':>9} {'runner-up':>9}"
    )
    for name in arguments.networks:
        clf = gx.load_classifier(name, device=arguments.device)
        count = arguments.images if clf.dimension < 1000 else arguments.images // 3
        images = gx.load_images(name.split("-")[0], split="test").images[:count]
        for effort in arguments.effort:
            _report(clf, name, images, effort, arguments)
        if arguments.cost:
            _print_cost(clf, name, images)


def _report(
    clf: gx.Classifier, name: str, images: torch.Tensor, effort: str, arguments: argparse.Namespace
) -> None:
    points = gx.nearest_boundary(clf, images, effort=effort)
    step = arguments.step * gx.detect(clf, images[:1], 1).step
    everything = gx.detection_roc(clf, points, arguments.scales, step=step)
    nearest = gx.detection_roc(clf, points, arguments.scales, step=step, classes=1)
    areas = [_areas(everything, "curvature"), _areas(nearest, "curvature")]
    areas.append(_areas(everything, "margin"))
    recovered, runner_up = everything.recovery(), everything.recovery("runner-up")
    for row, scale in enumerate(everything.scales):
        print(
            f"{name:18} {'DeepFool' if effort == 'deepfool' else 'nearest':9} {step:5.2f} "
            f"{len(everything.own):4} {scale:5.2f} "
            + " ".join(f"{column[row]:>17}" for column in areas)
            + f" | {float(recovered[row]):9.0%} {float(runner_up[row]):9.0%}",
            flush=True,
        )


def _areas(found: gx.DetectionROC, score: str) -> list[str]:
    low, high = found.auc_interval(score)
    return [
        f"{float(area):.2f} ({float(a):.2f}-{float(b):.2f})"
        for area, a, b in zip(found.auc(score), low, high, strict=True)
    ]


def _print_cost(clf: gx.Classifier, name: str, images: torch.Tensor) -> None:
    verdict, seconds = None, []
    for _ in range(3):
        start = time.perf_counter()
        verdict = gx.detect(clf, images)
        seconds.append(time.perf_counter() - start)
    cost = verdict.cost
    prepared = clf.prepare(images)
    rows = torch.arange(cost.forwards) % len(prepared)
    classes = torch.arange(clf.n_classes).expand(len(prepared), -1)
    raw = []
    for _ in range(3):
        start = time.perf_counter()
        for part in rows.split(4096):
            clf.forward(prepared[part])
        clf.forward_jacobian(prepared, classes)
        raw.append(time.perf_counter() - start)
    ratio = sorted(seconds)[1] / sorted(raw)[1]
    print(
        f"{name:18} {len(images)} images scored in {sorted(seconds)[1]:.1f} s: {ratio:.2f} x the "
        f"{cost.forwards:,} forward passes and {cost.gradients:,} gradients alone",
        flush=True,
    )


if __name__ == "__main__":
    main()
