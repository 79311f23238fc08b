"""The figures of shared directions: ρ at unseen points, shares of vectors, and noise."""

from __future__ import annotations

import torch
from torch import Tensor

from geoexplorer.geometry.noise import noise_sensitivity_steps
from geoexplorer.geometry.relative_curvature import relative_curvature_steps
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.geometry.subspace_shares import subspace_shares
from geoexplorer.paper.wording import between, method_words, number, percent, plain
from geoexplorer.paper.workshop import Finding, Picture, Workshop, once

__all__ = ["noise", "shared", "shares"]

_NORMS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)  # in median distances of the boundary
_NAMED_NORM = 4.0
_PROBES = 100


def shared(shop: Workshop) -> Finding:
    """ρ of shared directions at boundary points that had no part in finding them."""
    directions, held_out, seed = shop.shared(), shop.held_out(), shop.seed
    columns = _both_ends(directions, shop.sizes.ends)
    rho = shop.keep(
        "shared",
        relative_curvature_steps,
        held_out,
        directions.directions[columns],
        probes=_PROBES,
        seed=seed + 1,
    )
    means = rho.values.double().nanmean(0)  # the line of the picture
    known = int(rho.values.isfinite().any(1).sum())
    values = directions.values[columns]
    upper, lower = float(means[0]), float(means[-1])
    low = "most negative" if float(values[-1]) < 0 else "smallest (it is positive all the same)"
    found = (
        f"At {known} images that had no part in the directions, the boundary is on average curved "
        f"{number(upper)} times as much as along random directions along the one with the largest "
        f"mean curvature ({number(float(values[0]))}), and {number(lower)} times along the one "
        f"with the {low} ({number(float(values[-1]))}); means over the images, as the line shows.",
        f"The mean of ρ is above 1 along {int((means > 1).sum())} of the {len(means)} directions "
        "measured.",
    )
    chosen = "" if len(columns) == len(directions.values) else f"[{_columns_code(columns)}]"
    many = "all" if shop.sizes.directions is None else "the most curved"
    return Finding(
        found=found,
        sample=f"{directions.points} boundary points give the directions, {len(held_out)} others "
        f"are measured; d = {directions.dimension:,}, {len(columns)} directions of {many}",
        method=f"{method_words(rho.method, rho.step)}; E|vᵀGv| from {rho.probes} random directions "
        "at each point",
        pictures=(
            Picture(
                "shared",
                "How much more curved the boundary is along each shared direction than along "
                "random ones, at unseen points, on a logarithmic axis.",
                rho,
                {"width": 760},
            ),
            Picture(
                "shared-images",
                "The most curved shared directions as images.",
                directions,
                {"view": "directions", "width": 760},
            ),
        ),
        code="\n".join(
            (
                shop.shared_code(),
                "rho = gx.relative_curvature(",
                f"    clf, held_out, shared.directions{chosen}, probes={_PROBES}, seed={seed + 1}",
                ")",
                "rho.figure(width=760).show()",
                'shared.figure(view="directions", width=760).show()',
            )
        ),
    )


def shares(shop: Workshop) -> Finding:
    """How much of perturbations, gradients, differences and random vectors is in the subspace."""
    directions, held_out, m = shop.shared(), shop.held_out(), shop.sizes.subspace
    found = shop.keep(
        "shares", once(subspace_shares), directions.curved(m), held_out, seed=shop.seed
    )
    means = dict(zip(found.names, found.mean().tolist(), strict=True))
    said = ", ".join(f"{plain(share)} of {name}" for name, share in means.items())
    return Finding(
        found=(
            f"In the {m} most curved of {directions.dimension:,} dimensions lie on average {said}; "
            f"√(m/d) is {plain(found.expected)}.",
        ),
        sample=f"{directions.points} boundary points give the subspace; {len(held_out)} others "
        "give the vectors",
        method=f"subspace: {method_words(directions.method, directions.step)}",
        pictures=(
            Picture(
                "shares",
                "The mean share in the curved subspace of each kind of vector, as bars.",
                found,
            ),
        ),
        code="\n".join(
            (
                shop.shared_code(),
                f"found = gx.subspace_shares(clf, shared.curved({m}), held_out, seed={shop.seed})",
                "found.figure().show()",
            )
        ),
    )


def noise(shop: Workshop) -> Finding:
    """How often noise changes the class, in the curved and in the flat subspace."""
    directions, held_out, m = shop.shared(), shop.held_out(), shop.sizes.subspace
    curved = directions.curved(m)
    whole = shop.sizes.directions is None
    flat = directions.flat(m) if whole else curved.beside("random, orthogonal", seed=shop.seed)
    distance = float(held_out.distances[held_out.converged].quantile(0.5))
    tried = shop.keep(
        "noise",
        noise_sensitivity_steps,
        held_out.images,
        [curved, flat],
        norms=[factor * distance for factor in _NORMS],
        seed=shop.seed,
    )
    column = _NORMS.index(_NAMED_NORM)
    rates, (low, high) = tried.rates[:, column], tried.interval()
    ends = [between(100 * float(low[n, column]), 100 * float(high[n, column]), 0) for n in (0, 1)]
    flat_words = "the flattest ones" if whole else "a random subspace at right angles to it"
    code = "\n".join(
        (
            shop.shared_code(),
            f"curved = shared.curved({m})",
            f"flat = shared.flat({m})"
            if whole
            else f'flat = curved.beside("random, orthogonal", seed={shop.seed})',
            "distance = float(held_out.distances[held_out.converged].quantile(0.5))",
            f"norms = [factor * distance for factor in {_NORMS}]",
            "tried = gx.noise_sensitivity(",
            f"    clf, held_out.images, [curved, flat], norms=norms, seed={shop.seed}",
            ")",
            "tried.figure().show()",
        )
    )
    return Finding(
        found=(
            f"Noise of {number(_NAMED_NORM)} times the median distance of the boundary "
            f"({number(distance)}) changes the predicted class at {percent(float(rates[0]))} of "
            f"the tries in the {m} most curved dimensions (95 % interval {ends[0]} %), at "
            f"{percent(float(rates[1]))} in {flat_words} ({ends[1]} %), and at "
            f"{percent(float(rates[2]))} in the whole space.",
        ),
        sample=f"{tried.images} images that had no part in the subspace, {tried.draws} draws of "
        f"noise each; {directions.points} boundary points give the subspace",
        method=f"subspace: {method_words(directions.method, directions.step)}; "
        f"flat: {flat_words}; noise uniform on the sphere of each",
        pictures=(
            Picture(
                "noise",
                "Rate of changed classes against the norm of the noise, for the curved subspace, "
                "the flat one and the whole space.",
                tried,
            ),
        ),
        code=code,
    )


def _both_ends(directions: SharedDirections, ends: int) -> Tensor:
    """Columns of the most positive and the most negative values, in their order."""
    count = len(directions.values)
    if count <= 2 * ends:
        return torch.arange(count)
    return torch.cat([torch.arange(ends), torch.arange(count - ends, count)])


def _columns_code(columns: Tensor) -> str:
    ends = len(columns) // 2
    return f"[*range({ends}), *range(-{ends}, 0)]"
