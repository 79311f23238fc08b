"""The figure of curvature profiles."""

from __future__ import annotations

from geoexplorer.geometry.curvature import PrincipalCurvatures, principal_curvatures_steps
from geoexplorer.paper.wording import method_words, number, percent
from geoexplorer.paper.workshop import Finding, Picture, Workshop

__all__ = ["profiles"]

_FLAT = 0.05  # of the largest curvature in size
_FEW = 10  # images below which nothing is said about which sign dominates


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
    least = min(len(fool), len(nearest))
    # Of so few images quantiles say nothing: the band spans them all.
    band = {"band": (0.0, 1.0)} if least < _FEW else {}
    said = ", band=(0.0, 1.0)" if band else ""
    code.append(
        f'fool.figure(\n    name="{names[0]}", compare={{"{names[1]}": nearest}}, width=760{said}\n'
        ").show()"
    )
    which = "All" if sizes.extremes is None else "The extreme"
    images = "1 image" if len(fool) == 1 else f"{len(fool)} images"
    return Finding(
        found=(
            _words(fool, "At DeepFool's points"),
            _words(nearest, "At the nearest points"),
            *_few_words(least),
        ),
        sample=f"{len(fool)} boundary points of DeepFool and {len(nearest)} nearest ones, "
        f"d = {fool.dimension:,}",
        method=method_words(fool.method, fool.step),
        pictures=(
            Picture(
                "profiles",
                f"{which} principal curvatures in descending order, averaged over {images}, at "
                "the points that DeepFool finds and at the nearest ones.",
                fool,
                {"name": names[0], "compare": {names[1]: nearest}, "width": 760, **band},
            ),
        ),
        code="\n".join(code),
    )


def _words(measured: PrincipalCurvatures, where: str) -> str:
    values = measured.values
    largest, smallest = values[:, 0], values[:, -1]
    count = len(values)
    words = (
        f"{where} the largest curvature is {number(float(largest.mean()))} and the smallest "
        f"{number(float(smallest.mean()))}"
    )
    if count > 1:
        words += f" (means over {count})"
    if count >= _FEW:
        negative = int((-smallest > largest).sum())
        words += f"; the negative one is the larger one in size at {negative} of {count}"
    words += "."
    if values.shape[1] == measured.dimension - 1:
        size = values.abs()
        flat = (size < _FLAT * size.amax(1, keepdim=True)).double().mean()
        words += (
            f" {percent(float(flat))} of all curvatures are below a twentieth of the largest in "
            "size."
        )
    return words


def _few_words(count: int) -> tuple[str, ...]:
    """What a small sample cannot show; nothing of one that is large enough.

    Examples
    --------
    >>> _few_words(30)
    ()
    >>> _few_words(2)[0]
    'Two images only: a sample this small shows the shape of the profile, not which sign dominates.'
    """
    if count >= _FEW:
        return ()
    names = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
    return (
        f"{names[count]} {'image' if count == 1 else 'images'} only: a sample this small shows the "
        "shape of the profile, not which sign dominates.",
    )
