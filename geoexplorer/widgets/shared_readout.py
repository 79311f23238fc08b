"""What is known about one shared direction: how curved, how shared, and what of r lies in it."""

from __future__ import annotations

import math

import torch

from geoexplorer.figures.rasters import signed_uri
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.relative_curvature import RelativeCurvature
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.widgets.direction_readout import METHOD_WORDS, DirectionReadout
from geoexplorer.widgets.help import term

__all__ = ["SharedReadout"]

_BAND = (0.1, 0.9)


class SharedReadout(DirectionReadout):
    """Shows one of :class:`SharedDirections`, and what it has to do with the chosen image."""

    def show(
        self,
        shared: SharedDirections,
        column: int,
        boundary: BoundaryPoints,
        rho: RelativeCurvature | None,
        *,
        m: int,
        index: int,
        count: int,
        to_come: str | None,
        theme: str,
    ) -> None:
        """Show the direction in a column.

        Parameters
        ----------
        shared, column
            The direction.
        boundary
            The chosen image's boundary point; it may not have converged.
        rho
            At the held-out points measured so far.
        m
            Dimension of the curved subspace.
        index, count
            The chosen image, and how many images are in the mean.
        to_come
            HTML that stands for ρ while it is not measured; None where it is not asked for.
        theme
            ``"light"`` or ``"dark"``.
        """
        lines = [
            *_value_lines(shared, column),
            *_rho_lines(rho, column, to_come),
            *_share_lines(shared, column, boundary, m, index, count),
            *_trust_lines(shared, column),
        ]
        pictures = _pictures(shared, column, boundary, theme)
        self._fill(_rank_words(shared, column), pictures, lines)


def _rank_words(shared: SharedDirections, column: int) -> str:
    count = len(shared.values)
    value = float(shared.values[column])
    if column == 0 and value > 0:
        name = "most positive"
    elif column == count - 1 and value < 0:
        name = "most negative"
    else:
        name = "direction"
    of = f"{count:,}" if count == shared.dimension else f"{count} found"
    return f"{name} <span class='gx-note'>({column + 1} of {of})</span>"


def _pictures(
    shared: SharedDirections, column: int, boundary: BoundaryPoints, theme: str
) -> list[tuple[str, str]]:
    images = [(shared.directions[column], "the direction u")]
    if bool(boundary.converged[0]):
        images.append((boundary.perturbations[0], "r of this image"))
    paper = theme_named(theme).paper
    pictures = []
    for image, name in images:
        known = torch.nan_to_num(image)
        source = signed_uri(
            known.numpy(), float(known.abs().max()) or 1.0, paper=paper, least_side=1
        )
        pictures.append((source, f"{name}, ±{float(image.abs().max()):.2g} a pixel"))
    return pictures


def _value_lines(shared: SharedDirections, column: int) -> list[str]:
    value = float(shared.values[column])
    side = "other regions bulge in" if value > 0 else "own regions bulge out"
    mean = term("mean κ", "shared direction")
    return [
        f"<b>{mean} = {_number(value)}</b> "
        f"<span class='gx-note'>over {shared.points} images</span>",
        f"<span class='gx-note'>in the mean {side}</span>",
    ]


def _rho_lines(rho: RelativeCurvature | None, column: int, to_come: str | None) -> list[str]:
    name = term("ρ", "relative curvature")
    if rho is None:
        return [] if to_come is None else [f"{name} {to_come}"]
    values = rho.values[:, column]
    values = values[values.isfinite()].double()
    if len(values) == 0:
        return [f"{name} not known"]
    low, high = (float(torch.quantile(values, q)) for q in _BAND)
    others = f"{len(values)} held-out images" + (" so far" if not rho.progress.complete else "")
    return [
        f"<b>{name} = {_number(float(values.mean()))}</b> <span class='gx-note'>at {others}</span>",
        f"<span class='gx-note'>80 % of them {_number(low)} to {_number(high)}, random 1</span>",
    ]


def _share_lines(
    shared: SharedDirections,
    column: int,
    boundary: BoundaryPoints,
    m: int,
    index: int,
    count: int,
) -> list[str]:
    if not bool(boundary.converged[0]):
        return ["no boundary was reached from this image"]
    r, d = boundary.perturbations, shared.dimension
    lines = []
    direction = shared.directions[column]
    if bool(direction.isfinite().all()):
        along = float((r[0].double() * direction.double()).sum().abs() / r[0].double().norm())
        lines.append(
            f"{term('share along u', 'share')} <b>{_number(along)}</b>"
            f"<span class='gx-note'>, random {_number(math.sqrt(1 / d))}</span>"
        )
    if bool(shared.directions.isfinite().all()):
        inside = float(shared.share_of(r, min(m, len(shared.values)))[0])
        lines.append(
            f"{term('share in curved', 'curved subspace')} <b>{_number(inside)}</b>"
            f"<span class='gx-note'>, random {_number(math.sqrt(m / d))}</span>"
        )
    if index < count:
        lines.append("<span class='gx-note'>this image is one of those in the mean</span>")
    return lines


def _trust_lines(shared: SharedDirections, column: int) -> list[str]:
    method = term(METHOD_WORDS[shared.method], "method")
    step = f", {term('h', 'step h')} = {shared.step:.3g}" if shared.step else ", no step"
    largest = float(shared.values.abs().max()) or 1.0
    share = float(shared.residuals[column]) / largest
    lines = [f"{method}{step}"]
    if not shared.progress.complete:
        return [*lines, "not final"]
    if not math.isfinite(share):
        return lines
    size = f"{100 * share:.2g} %" if share >= 1e-4 else "less than 0.01 %"
    if shared.method == "smoothed":
        trust = f"halves of the probes {term('agree', 'agreement')} to {size}"
    else:
        trust = f"{term('residual', 'residual')} {size} of the largest"
    if not bool(shared.converged[column]):
        trust += ": take with care"
    return [*lines, trust]


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
