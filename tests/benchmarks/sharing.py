"""The paper's findings on shared curved directions, counted on the bundled networks.

``python -m tests.benchmarks.sharing`` finds the directions that are curved at the boundary points
of test images, and measures at as many other images. Columns: the number of images; m, the
dimension of the curved subspace; κ and ρ of the two of its m directions that have the largest and
the smallest mean curvature, ρ as medians over the held-out images; the mean share of perturbations,
of gradients and of differences of images in the curved subspace beside that of random vectors,
√(m/d); the rate of changed labels
under noise whose norm is ``--noise`` times the median distance, in the curved subspace, in a flat
one and in the whole space; and the median distance of the boundary, in those distances, when the
perturbation is confined to the curved and to the flat subspace. The flat subspace is spanned by the
flattest directions where all are known (digits), and is a random one orthogonal to the curved
one elsewhere.
"""

from __future__ import annotations

import argparse
import time

import torch

import geoexplorer as gx

_LARGE = 512  # dimensions beyond which only the most curved directions are looked for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(gx.list_classifiers(torchvision=False)))
    parser.add_argument("--images", type=int, default=100, help="a fifth of it for 32x32x3")
    parser.add_argument("--directions", type=int, default=10, help="m; twice of it for 32x32x3")
    parser.add_argument("--effort", nargs="*", default=["interactive", "deepfool"])
    parser.add_argument("--noise", type=float, default=4.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"{'network':18} {'point':11} {'method':9} {'n':>3} {'m':>3} {'κ':>6} {'κ':>6} {'ρ':>6} "
        f"{'ρ':>6} | {'r':>5} {'grad':>5} {'diff':>5} {'random':>6} | {'curved':>6} "
        f"{'flat':>6} {'whole':>6} "
        f"| {'curved':>6} {'flat':>6} {'s':>5}"
    )
    for name in arguments.networks:
        clf = gx.load_classifier(name, device=arguments.device)
        large = clf.dimension > _LARGE
        n, m = arguments.images, arguments.directions
        n, m = (n // 5, 2 * m) if large else (n, m)
        images = gx.load_images(name.split("-")[0], split="test").images[: 2 * n]
        for effort in arguments.effort:
            _report(clf, name, images, n, m, effort, arguments.noise)


def _report(
    clf: gx.Classifier, name: str, images: torch.Tensor, n: int, m: int, effort: str, noise: float
) -> None:
    start = time.perf_counter()
    boundary = gx.nearest_boundary(clf, images, effort=effort)
    seen, held_out = boundary[:n], boundary[n:]
    shared = gx.shared_directions(clf, seen, m if clf.dimension > _LARGE else None)
    curved = shared.curved(m)
    flat = curved.beside("random, orthogonal") if clf.dimension > _LARGE else shared.flat(m)
    kept = shared.values.abs().topk(m).indices.sort().values[[0, -1]]  # of the m most curved
    ends = shared.directions[kept]
    rho = gx.relative_curvature(clf, held_out, ends).values.nanmedian(0).values
    shares = gx.subspace_shares(clf, curved, held_out).mean()
    distance = float(held_out.distances[held_out.converged].median())
    rates = gx.noise_sensitivity(
        clf, held_out.images, [curved, flat], norms=[noise * distance]
    ).rates[:, 0]
    margins = gx.subspace_margins(clf, held_out.images, [curved, flat]).quantile() / distance
    print(
        f"{name:18} {'nearest' if effort != 'deepfool' else 'DeepFool':11} {shared.method:9} "
        f"{n:3} {m:3} {shared.values[kept[0]]:6.2f} {shared.values[kept[1]]:6.2f} "
        f"{rho[0]:6.1f} {rho[1]:6.1f} | {shares[0]:5.2f} {shares[1]:5.2f} "
        f"{shares[2]:5.2f} {(m / clf.dimension) ** 0.5:6.2f} | "
        + " ".join(f"{float(rate):6.1%}" for rate in rates)
        + f" | {margins[0]:6.2f} {margins[1]:6.2f} {time.perf_counter() - start:5.0f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
