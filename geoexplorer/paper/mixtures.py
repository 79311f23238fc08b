"""The figure of convex combinations of images of a class."""

from __future__ import annotations

from geoexplorer.geometry.convex_combinations import convex_combinations_steps
from geoexplorer.paper.wording import between, percent
from geoexplorer.paper.workshop import Finding, Picture, Workshop

__all__ = ["mixtures"]


def mixtures(shop: Workshop) -> Finding:
    """The probability that a mixture of k images stays in their region."""
    sizes, seed = shop.sizes, shop.seed
    x = shop.subject.images[: sizes.mixed]
    mixed = shop.keep(
        "convex", convex_combinations_steps, x, combinations=sizes.combinations, seed=seed
    )
    share, (low, high) = mixed.probability(), mixed.interval()
    known = share.isfinite().nonzero().flatten().tolist()
    ends = list(dict.fromkeys((known[0], known[-1])))
    said = [
        f"{percent(float(share[n]))} for {int(mixed.sizes[n])} images "
        f"(95 % interval {between(100 * float(low[n]), 100 * float(high[n]), 1)} %)"
        for n in ends
    ]
    lowest = min(known, key=lambda n: float(share[n]))
    found = [f"A random convex combination stays in the region with a frequency of {said[0]}"]
    if len(said) > 1:
        found[0] += f", and of {said[1]}"
    found[0] += (
        f"; the lowest is {percent(float(share[lowest]))}, for {int(mixed.sizes[lowest])} images."
    )
    rows = [
        (float(mixed.probability(label)[known[-1]]), mixed.class_names[label])
        for label in mixed.labels.tolist()
        if int(mixed.tried[mixed.labels == label, known[-1]]) > 0
    ]
    worst, best = min(rows), max(rows)
    if worst[0] < best[0]:
        found.append(
            f"For {int(mixed.sizes[known[-1]])} images it lies between {percent(worst[0])} "
            f"(class {worst[1]}) and {percent(best[0])} (class {best[1]})."
        )
    return Finding(
        found=tuple(found),
        sample=f"{len(x):,} images, {sizes.combinations:,} combinations for each k",
        method="weights uniform on the simplex; predicted classes count",
        pictures=(
            Picture(
                "convex",
                "Share of convex combinations of k images that stay in the region of their class, "
                f"for k from {int(mixed.sizes[0])} to {int(mixed.sizes[-1])}.",
                mixed,
            ),
        ),
        code="\n".join(
            (
                shop.subject.code,
                f"mixed = gx.convex_combinations(clf, x[:{len(x)}], "
                f"combinations={sizes.combinations}, seed={seed})",
                "mixed.figure().show()",
            )
        ),
    )
