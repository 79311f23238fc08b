"""What several results have in common, and what each is called where they are compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from geoexplorer.figures.curvature_words import (
    finding_words,
    method_name,
    method_words,
    network_name,
    place_words,
    side_words,
)
from geoexplorer.figures.text import escaped, number
from geoexplorer.geometry.measurement import Curvature

__all__ = [
    "Band",
    "Bound",
    "Spread",
    "bound_of",
    "caption_words",
    "check_band",
    "common_and_own",
    "compared",
    "heading_words",
    "known_rows",
    "spread_words",
    "title_words",
]

C = TypeVar("C", bound=Curvature)
Band = tuple[float, float]


@dataclass(frozen=True)
class Spread:
    """Curvatures of many images in one: the mean and two quantiles, ``(k,)`` each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @staticmethod
    def of(values: np.ndarray, band: Band) -> Spread:
        """Over the rows ``(n, k)``; what is not known is left out, column by column."""
        if np.isnan(values).all():
            unknown = np.full(values.shape[1], math.nan)
            return Spread(unknown, unknown, unknown)
        known = values[~np.isnan(values).all(axis=1)]
        if not np.isnan(known).any():
            low, high = np.quantile(known, band, axis=0)
            return Spread(known.mean(axis=0), low, high)
        columns = [column[~np.isnan(column)] for column in known.T]
        some = [column if len(column) else np.array([math.nan]) for column in columns]
        low, high = (np.array([np.quantile(column, q) for column in some]) for q in band)
        return Spread(np.array([column.mean() for column in some]), low, high)


@dataclass(frozen=True)
class Bound:
    """-1/‖r‖, below which no nearest point has a curvature."""

    value: float
    texts: Sequence[str]  # what it says, the longest first, and its value last
    far: Sequence[str]  # what it says where it is too far below to be drawn


def bound_of(results: Sequence[Curvature]) -> list[Bound | None]:
    """The bound of each result, the median one where it has several points.

    There is none for DeepFool's points, which are not the nearest ones, nor where r was confined:
    on a face of the bounds, and across a subspace, a nearest point may have any curvature.
    """
    bounds: list[Bound | None] = []
    for result in results:
        lengths = result.distances.double().numpy()
        lengths = lengths[np.isfinite(lengths) & (lengths > 0)]
        nearest = result.provenance.options.get("points") != "deepfool"
        if len(lengths) == 0 or result.confined or not nearest:
            bounds.append(None)
            continue
        middle = float(np.median(lengths))
        name = "−1/‖<i>r</i>‖"
        median = "median " if len(lengths) > 1 else ""
        value = f"{median}{name}"
        if len(results) == 1:
            value += f" = {number(-1 / middle)}"
        # At a step, a value is a mean over nearby points: the bound holds in the limit alone.
        limit = " as <i>h</i> → 0" if result.step > 0 else ""
        short = f"{median}{name}"
        if result.at != 1:
            meaning = "bound at nearest points <i>z</i>"
            texts = [f"{value}: {meaning}", f"{short}: {meaning}"]
            far = [f"{value} is far below: {meaning}", f"{value} ↓: {meaning}", f"{value} ↓"]
        else:
            own = " its own" if median else ""
            meaning = f"no κ lies below{own}{limit}"
            # Not of the median: a point whose own bound is lower may lie below it.
            least = f", bound{limit}" if median else f": none lies below{limit}"
            texts = [f"{value}: {meaning}", f"{short}: {meaning}",
                     f"{short}: none lies below{own}{limit}", f"{short}{least}"]  # fmt: skip
            beyond = f"no κ lies beyond{own or ' it'}{limit}"
            far = [f"{value} is far below: {beyond}", f"{value} ↓: none lies below{own}{limit}"]
        bounds.append(Bound(-1 / middle, tuple(dict.fromkeys((*texts, value))), tuple(far)))
    return bounds


def compared(result: C, others: Mapping[str, C] | None, name: str | None) -> dict[str, C]:
    """The result and those it is compared with, by their names.

    Raises
    ------
    TypeError
        If ``others`` is no mapping from names to results of the same kind.
    ValueError
        If there are more than five of them, or two of one name.
    """
    own = name if name is not None else result.provenance.network or "this one"
    if others is None:
        return {own: result}
    if not isinstance(others, Mapping):
        raise TypeError(
            f"compare must be a mapping from names to results, got {type(others).__name__}"
        )
    for key, other in others.items():
        if not isinstance(other, type(result)):
            raise TypeError(
                f"compare[{key!r}] must be {type(result).__name__}, got {type(other).__name__}"
            )
    if len(others) > 5:
        raise ValueError(f"compare must hold at most 5 results, got {len(others)}")
    if own in others:
        raise ValueError(
            f"compare must not hold {own!r}, which the result itself is called; name= gives it "
            "another name"
        )
    return {own: result, **{str(key): other for key, other in others.items()}}


def common_and_own(
    results: Mapping[str, Curvature], *, steps: bool = True
) -> tuple[list[str], dict[str, str]]:
    """How all were measured, and what each has not in common with all.

    Without ``steps`` the step is not said: in κ against h it is the axis.
    """
    facts = [
        (
            method_words(result.method, result.step) if steps else method_name(result.method),
            place_words(result),
            _count(result),
        )
        for result in results.values()
    ]
    common = [kinds[0] for kinds in zip(*facts, strict=True) if len(set(kinds)) == 1]
    own = {
        escaped(name): ", ".join(fact for fact in mine if fact not in ("", name, *common))
        for name, mine in zip(results, facts, strict=True)
    }
    return [fact for fact in common if fact], own


def caption_words(
    results: Mapping[str, Curvature], own: Mapping[str, str], asymmetries: bool = False
) -> list[str]:
    """What has to be said about each result, by its name where there are several."""
    parts = []
    for (name, facts), result in zip(own.items(), results.values(), strict=True):
        asymmetry = getattr(result, "asymmetry", None) if asymmetries else None
        words = [*([facts] if facts else []), *finding_words(result, asymmetry)]
        if len(results) == 1:
            parts += words
        elif words:
            parts.append(f"{name}: {', '.join(words)}")
    return parts


def heading_words(
    what: str,
    results: Mapping[str, Curvature],
    facts: Sequence[str],
    class_names: Sequence[str] | None,
) -> list[str]:
    """The title, the ``facts`` that all have in common, and which class is own of a single one."""
    heading = [title_words(what, results), *facts]
    if len(results) == 1:
        heading += [side_words(result, class_names) for result in results.values()]
    return heading


def spread_words(
    results: Iterable[Curvature], band: Band, *, mean: str = "line", ends: str = "band"
) -> list[str]:
    """What shows the mean of several images and what the ``band`` of them; nothing for one."""
    if not any(len(result) > 1 for result in results):
        return []
    shares = " to ".join(f"{100 * end:.3g}" for end in band)
    return [f"{mean}: mean of the images, {ends}: {shares} % of them"]


def title_words(what: str, results: Mapping[str, Curvature]) -> str:
    """The title: what it is, and of which network if there is one."""
    networks = {network_name(result) for result in results.values()}
    (first, *more) = sorted(networks)
    return f"{what} of {first}" if first and not more else what


def check_band(band: Band) -> None:
    """Refuse a band that is none.

    Raises
    ------
    ValueError
        If the two are no shares in ascending order.
    """
    good = (
        isinstance(band, (tuple, list))
        and len(band) == 2
        and all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in band)
        and 0 <= band[0] < band[1] <= 1
    )
    if not good:
        raise ValueError(f"band must be two ascending shares between 0 and 1, got {band!r}")


def known_rows(result: Curvature) -> torch.Tensor:
    """Rows ``(n,)`` bool in which there is a value."""
    rows = result.values.reshape(len(result.values), -1)
    known: torch.Tensor = rows.isfinite().any(dim=1)
    return known


def _count(result: Curvature) -> str:
    known, count = int(known_rows(result).sum()), len(result.values)
    if count == 1:
        return "" if known else "no value"
    return f"{known:,} images" if known == count else f"{known:,} of {count:,} images"
