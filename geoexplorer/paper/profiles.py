"""The figure of curvature profiles."""

from __future__ import annotations

from geoexplorer.geometry.curvature import PrincipalCurvatures, principal_curvatures_steps
from geoexplorer.paper.wording import method_words, number, percent
from geoexplorer.paper.workshop import Finding, Picture, Workshop

__all__ = ["profiles"]

_FLAT = 0.05  # of the largest curvature in size


def profiles(shop: Workshop) -> Finding:
    """All principal curvatures, sorted, at DeepFool's points and at the nearest ones."""
    sizes, seed = shop.sizes, shop.seed
    measured = {}
    for name, effort in (("deepfool", "deepfool"), ("nearest", sizes.effort)):
        points = shop.points(effort)
        points = points[points.converged][: sizes.profile]
        measured[name] = shop.keep(
            f"profiles-{name}", principal_curvatures_steps, points, sizes.extremes, seed=seed
        )
    fool, nearest = measured["deepfool"], measured["nearest"]
    chosen = "" if sizes.extremes is None else f", {sizes.extremes}"
    code = [shop.subject.code]
    for name, effort in (("fool", "deepfool"), ("nearest", sizes.effort)):
        code += [
            f"points = {shop.points_code(effort)}",
            f"{name} = gx.principal_curvatures(\n    clf, "
            f"points[points.converged][:{sizes.profile}]{chosen}, seed={seed}\n)",
        ]
    names = ("DeepFool's points", "nearest points")
    code.append(
        f'fool.figure(name="{names[0]}", compare={{"{names[1]}": nearest}}, width=760).show()'
    )
    which = "All" if sizes.extremes is None else "The extreme"
    images = "1 image" if len(fool) == 1 else f"{len(fool)} images"
    return Finding(
        found=(*_words(fool, "At DeepFool's points"), *_words(nearest, "At the nearest points")),
        sample=f"{len(fool)} boundary points of DeepFool and {len(nearest)} nearest ones, "
        f"d = {fool.dimension:,}",
        method=method_words(fool.method, fool.step),
        pictures=(
            Picture(
                "profiles",
                f"{which} principal curvatures in descending order, averaged over {images}, at "
                "the points that DeepFool finds and at the nearest ones.",
                fool,
                {"name": names[0], "compare": {names[1]: nearest}, "width": 760},
            ),
        ),
        code="\n".join(code),
    )


def _words(measured: PrincipalCurvatures, where: str) -> tuple[str, ...]:
    values = measured.values
    largest, smallest = values[:, 0], values[:, -1]
    negative = int((-smallest > largest).sum())
    count = len(values)
    words = (
        f"{where} the largest curvature is {number(float(largest.mean()))} and the smallest "
        f"{number(float(smallest.mean()))} (means over {count}); the negative one is the larger "
        f"one in size at {negative} of {count}."
    )
    if values.shape[1] == measured.dimension - 1:
        size = values.abs()
        flat = (size < _FLAT * size.amax(1, keepdim=True)).double().mean()
        words += (
            f" {percent(float(flat))} of all curvatures are below a twentieth of the largest in "
            "size."
        )
    return (words,)
