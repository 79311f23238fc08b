"""The figure of a path inside one region, and of how many pairs are joined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.connectivity import Connectivity, connectivity_steps
from geoexplorer.geometry.paths import connect_steps
from geoexplorer.geometry.region_path import RegionPath
from geoexplorer.paper.wording import number, straightness_words
from geoexplorer.paper.workshop import Finding, Picture, Workshop

__all__ = ["layer_outputs", "region_path", "soon_proven"]

# Outputs of a network's layers for one image up to which a proof takes seconds, not minutes.
_SOON_PROVEN = 60_000


def region_path(shop: Workshop) -> Finding:
    """A path between two images of one class that a straight segment does not join."""
    clf, sizes, seed = shop.subject.clf, shop.sizes, shop.seed
    x = shop.subject.images[: sizes.mixed]
    pairs = shop.keep(
        "path-pairs", connectivity_steps, x, pairs=sizes.pairs, prove=False, seed=seed
    )
    row = _shown(pairs)
    first, second = int(pairs.first[row]), int(pairs.second[row])
    prove = sizes.thorough or soon_proven(clf)
    path = shop.keep(
        "path", _one_path, x[first], x[second], effort=sizes.effort, prove=prove, seed=seed
    )
    bounds = (float(clf.bounds[0]), float(clf.bounds[1]))
    own = clf.class_names[path.label]
    code = "\n".join(
        (
            shop.subject.code,
            f"path = gx.connect(clf, x[{first}], x[{second}], "
            f'effort="{sizes.effort}", prove={prove}, seed={seed})',
            "path.figure(width=760).show()",
            f"pairs = gx.connectivity(clf, x[:{len(x)}], pairs={sizes.pairs}, prove=False, "
            f"seed={seed})",
            "pairs.figure().show()",
        )
    )
    return Finding(
        found=(*_path_words(path, own), *_pair_words(pairs)),
        sample=f"1 path; {len(pairs)} random pairs of two images of one predicted class, "
        f"of {len(x):,} images",
        method=f"the path: {_path_method(path, tried=prove)}; the pairs: {_pair_method(pairs)}",
        pictures=(
            Picture(
                "path",
                f"Images along a path in the region of {own}, and below how far this class is "
                "ahead of the others along it.",
                path,
                {"width": 760, "bounds": bounds},
            ),
            Picture(
                "path-pairs",
                "Of random pairs of images, how many are joined by a straight segment and how "
                "many by a path.",
                pairs,
            ),
        ),
        code=code,
    )


def _one_path(clf: Classifier, a: Tensor, b: Tensor, **options: Any) -> Iterator[RegionPath]:
    """The steps of one pair, each of which is one path."""
    for path in connect_steps(clf, a, b, **options):
        assert isinstance(path, RegionPath)
        yield path


def _shown(pairs: Connectivity) -> int:
    """The row of the pair that is shown: the path that is bent most, else the longest one."""
    worth = pairs.straightness.nan_to_num(0.0) + (pairs.connected & ~pairs.straight)
    if not bool(pairs.connected.any()):
        return 0
    best = worth == worth.amax()
    return int(torch.where(best, pairs.distances.nan_to_num(0.0), -1.0).argmax())


def soon_proven(clf: Classifier) -> bool:
    """Whether a proof on a network of this size takes seconds, not minutes."""
    return layer_outputs(clf) <= _SOON_PROVEN


def layer_outputs(clf: Classifier) -> int:
    """How many numbers the layers of the network give for one image."""
    count = 0

    def add(_module: object, _given: object, result: object) -> None:
        nonlocal count
        count += result.numel() if isinstance(result, torch.Tensor) else 0

    layers = [module for module in clf.module.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    try:
        clf.logits(torch.zeros(1, *clf.input_shape))
    finally:
        for hook in hooks:
            hook.remove()
    return count


def _path_words(path: RegionPath, own: str) -> tuple[str, ...]:
    if not path.connected:
        return (f"For the pair that is shown no path was found in the region of {own}.",)
    straight = (
        "The straight segment stays inside as well"
        if path.straight.inside
        else "The straight segment does not stay inside"
    )
    sure = (
        "this is proven"
        if path.proof == "exact"
        else f"this was sampled, at most {number(path.spacing or 0.0)} apart"
    )
    return (
        f"The two images shown are joined by a path of {len(path.anchors) - 1} straight "
        f"{'piece' if len(path.anchors) == 2 else 'pieces'} that never leaves the region of {own}: "
        f"{sure}. {straight}. The straightness of the path, its length over the distance of its "
        f"ends, is {straightness_words(path.straightness)}.",
    )


def _pair_words(pairs: Connectivity) -> tuple[str, ...]:
    whole = pairs.altogether()
    words = (
        f"Of {whole.pairs} random pairs {whole.connected} are joined, {whole.straight} of them "
        f"already by the straight segment ({_pair_method(pairs)})."
    )
    bent = int((pairs.connected & (pairs.anchors > 2)).sum())
    straightness = straightness_words(whole.straightness_bent)
    if bent == 1:
        words += f" The straightness of the one bent path is {straightness}."
    elif bent:
        words += f" The straightness of the {bent} bent paths has the median {straightness}."
    return (words,)


def _path_method(path: RegionPath, *, tried: bool) -> str:
    if path.proof == "exact":
        return "proven in float64, piece by piece"
    if not path.connected:
        return "none found"
    return "sampled" if tried else "sampled (a proof takes minutes here; --full tries it)"


def _pair_method(pairs: Connectivity) -> str:
    """Which of the pairs that are joined are proven to be."""
    whole = pairs.altogether()
    if not whole.proven:
        return "sampled, none of them proven"
    if whole.proven == whole.connected:
        return "all proven"
    return f"{whole.proven} proven, the others sampled"
