"""What is known about one principal curvature: its direction, its value, how far to trust it."""

from __future__ import annotations

from html import escape

from geoexplorer.figures.curvature_words import value_words
from geoexplorer.figures.rasters import image_uri, signed_uri
from geoexplorer.figures.theme import theme_named
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.geometry.curvature import PrincipalCurvatures
from geoexplorer.widgets.code import principal_name
from geoexplorer.widgets.direction_readout import METHOD_WORDS, DirectionReadout
from geoexplorer.widgets.help import help_button, term
from geoexplorer.widgets.ranks import rank_of
from geoexplorer.widgets.session import View

__all__ = ["CurvatureReadout"]

# An asymmetry above this share is more than rounding and the choice of a step make.
_KINKED = 0.05
# A curvature below the limit by more than this share of it is pointed out.
_BEYOND = 1.01
_CLEAR = 2.0  # standard errors, within which a curvature may as well be zero


class CurvatureReadout(DirectionReadout):
    """Shows one value of :class:`PrincipalCurvatures` of one point."""

    def show(
        self,
        view: View,
        points: BoundaryPoints,
        curvatures: PrincipalCurvatures,
        column: int,
        *,
        point: str,
        theme: str,
        averaged: bool = False,
        again: tuple[float, float] | None = None,
    ) -> None:
        """Show the value in a column.

        Parameters
        ----------
        view, points, curvatures, column
            What is measured.
        point
            What the boundary point is called.
        theme
            ``"light"`` or ``"dark"``.
        averaged
            Whether the figure is about many images; the value is of one.
        again
            The curvature along the same direction as the figure has it, and its standard error.
        """
        lines = [
            *_value_lines(view, curvatures, column),
            *_again_lines(curvatures, again),
            *_scale_lines(curvatures, points, point),
            *_trust_lines(curvatures, column),
            _limit_line(curvatures, column, nearest=point == "nearest"),
        ]
        pictures = _pictures(view, points, curvatures, column, theme)
        head = _rank_words(curvatures, column)
        self._fill(f"of this image: {head}" if averaged else head, pictures, lines)


def _rank(curvatures: PrincipalCurvatures, column: int) -> int:
    return rank_of(column, curvatures.values.shape[1])


def _rank_words(curvatures: PrincipalCurvatures, column: int) -> str:
    rank, total = _rank(curvatures, column), curvatures.dimension - 1
    place = rank if rank > 0 else total + 1 + rank
    end, order = "positive" if rank > 0 else "negative", abs(rank)
    name = f"most {end}" if order == 1 else f"most {end}, number {order}"
    return f"{name} <span class='gx-note'>({place:,} of {total:,})</span>"


def _pictures(
    view: View, points: BoundaryPoints, curvatures: PrincipalCurvatures, column: int, theme: str
) -> list[tuple[str, str]]:
    assert curvatures.directions is not None  # the panel asks for them
    direction = curvatures.directions[0, column]
    largest = float(direction.abs().max())
    name = principal_name(_rank(curvatures, column))
    return [
        (
            signed_uri(direction.numpy(), largest, paper=theme_named(theme).paper, least_side=1),
            f"{name}, ±{largest:.2g} a pixel",
        ),
        (
            image_uri(points.points[0].numpy(), bounds=view.clf.bounds, least_side=1),
            f"the boundary point z, {float(points.distances[0]):.3g} from x",
        ),
    ]


def _value_lines(view: View, curvatures: PrincipalCurvatures, column: int) -> list[str]:
    value, error = float(curvatures.values[0, column]), _error(curvatures, column)
    names = view.clf.class_names
    own, other = (escape(names[int(each[0])]) for each in (curvatures.own, curvatures.other))
    unclear = error > 0 and abs(value) < _CLEAR * error
    radius = f", radius {1 / abs(value):.3g}" if value and not unclear else ""
    if unclear:
        side = "not distinguishable from zero"
    elif value > 0:
        side = f"positive: region {other} bulges into the own one, {own}’s"
    elif value < 0:
        side = f"negative: region {own} (own) bulges into {other}’s"
    else:
        side = f"flat between {own} (own) and {other}"
    said = value_words(value, error)
    kappa = f"<b>κ</b> {help_button('principal curvature')}"
    return [f"{kappa} <b>= {said}</b>{radius}", side]


def _again_lines(curvatures: PrincipalCurvatures, again: tuple[float, float] | None) -> list[str]:
    if again is None or curvatures.method != "smoothed":
        return []
    said = f"κ = {value_words(*again)} in the figure: the same direction with other probes"
    return [f'<span class="gx-note">{said}</span>']


def _error(curvatures: PrincipalCurvatures, column: int) -> float:
    errors = curvatures.standard_errors
    return 0.0 if errors is None else float(errors[0, column])


def _scale_lines(curvatures: PrincipalCurvatures, points: BoundaryPoints, point: str) -> list[str]:
    method = term(METHOD_WORDS[curvatures.method], "method")
    step = f", {term('h', 'step h')} = {curvatures.step:.3g}" if curvatures.step else ", no step"
    alignment = f"{term('alignment', 'alignment')} {float(points.alignment[0]):.3f}"
    return [f"{method}{step}", f"at {escape(point)} point, {alignment}"]


def _trust_lines(curvatures: PrincipalCurvatures, column: int) -> list[str]:
    values = curvatures.values[0].abs()
    largest = float(values.max()) or 1.0
    share = float(curvatures.residuals[0, column]) / largest
    good = bool(curvatures.converged[0, column])
    asymmetry = float(curvatures.asymmetry[0])
    if curvatures.method == "smoothed":
        end = values.tensor_split([(len(values) + 1) // 2])[column >= (len(values) + 1) // 2]
        share *= largest / (float(end.max()) or 1.0)
        agreement = (
            f"the two halves of the probes {term('agree', 'agreement')} to {_share(share)} of the "
            f"most {'positive' if _rank(curvatures, column) > 0 else 'negative'}"
        )
        return [agreement] if good else [f"{agreement}: take the value with care"]
    if curvatures.method == "central_difference" and asymmetry > _KINKED:
        return [
            f"{term('asymmetry', 'asymmetry')} {_share(asymmetry)}: with kinks this matrix has no "
            "eigenvalues in the strict sense"
        ]
    words = [f"{term('residual', 'residual')} {_share(share)} of the largest"]
    if not good:
        words.append("not converged: take the last digits with care")
    return words


def _limit_line(curvatures: PrincipalCurvatures, column: int, *, nearest: bool) -> str:
    limit = -1 / float(curvatures.distances[0])
    line = f"{term('limit', 'limit')} −1/‖r‖ = {_number(limit)}"
    if not nearest:
        return f"{line} <span class='gx-note'>(of nearest points)</span>"
    below = float(curvatures.values[0, column]) < _BEYOND * limit
    return f"{line}: κ is below it, at this scale" if below else line


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _share(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 1e-4 else "less than 0.01 %"
