"""Shared directions: the mean curvature along each, and the directions as images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from geoexplorer.figures.chart import (
    DEFAULT_WIDTH,
    MOST_TILES,
    Axis,
    Canvas,
    Curve,
    Label,
    chart_layers,
    check_sizes,
    padded,
)
from geoexplorer.figures.curvature_words import AXIS_TITLES, at_words, method_words, sign_words
from geoexplorer.figures.index_axis import IndexAxis, Placed, Spectrum
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.result_words import counted, progress_words, title_of
from geoexplorer.figures.scales import check_scale, scale_for
from geoexplorer.figures.series import accent, series_colour
from geoexplorer.figures.shown import figure_of
from geoexplorer.figures.signed_tiles import (
    ABOVE,
    BELOW,
    LEAST,
    SignedTiles,
    fitting,
    scale_words,
)
from geoexplorer.figures.text import number, text_width
from geoexplorer.figures.theme import pixels
from geoexplorer.geometry.shared_directions import SharedDirections

__all__ = [
    "VIEWS",
    "check_column",
    "shared_directions_figure",
    "shared_directions_layers",
    "shared_value_at",
]

VIEWS = ("values", "directions")
_UNSURE = "not converged"
_SPARSE = 0.5  # lines of text between two points that are marked one by one
_ROWS = 2  # of images, where all values have one sign


def shared_directions_layers(
    shared: SharedDirections,
    *,
    view: str = "values",
    axis: str = "linear",
    index: str = "linear",
    ends: int | None = None,
    selected: int | None = None,
    theme: str = "light",
    width: float | None = None,
    height: float | None = None,
    font_size: float = 9.0,
    title: bool = True,
    caption: bool = True,
) -> Layers:
    """Draw the directions in which the boundary is curved for many images at once.

    Parameters
    ----------
    shared
        What :func:`geoexplorer.shared_directions` gives.
    view
        ``"values"``: the mean curvature along each direction against its index, the most positive
        first. ``"directions"``: the most positive and the most negative directions as images.
    axis
        Of the curvatures: ``"linear"``, or ``"symlog"``, which opens up the neighbourhood of zero.
    index
        ``"linear"``, or ``"log"``, logarithmic from both ends.
    ends
        So many values at either end only, and a gap between. As images, so many directions of
        either sign; as many as there is room for by default.
    selected
        A position in ``shared.values`` that is marked.
    theme
        ``"light"`` or ``"dark"``.
    width, height
        CSS pixels; 640 by default, and a height that suits the width.
    font_size
        In points, for all text.
    title
        Whether network, method, step, place and number of images stand above.
    caption
        Whether it stands below how the picture is read.

    Raises
    ------
    ValueError
        For an option that is not as described, or a size that leaves no room for the plot.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {', '.join(map(repr, VIEWS))}, got {view!r}")
    check_scale(axis)
    indices = IndexAxis.of([_spectrum(shared)], ends, index)
    check_column(selected, len(shared.values))
    check_sizes(width, height, font_size)
    sizes = {"theme": theme, "width": width, "height": height, "font_size": font_size}
    texts = {"title": title, "caption": caption}
    if view == "directions":
        return _images(shared, ends=ends, sizes=sizes, **texts)
    return _values(shared, indices=indices, axis=axis, selected=selected, sizes=sizes, **texts)


shared_directions_figure = figure_of(shared_directions_layers)


def shared_value_at(
    shared: SharedDirections, x: float, *, index: str = "linear", ends: int | None = None
) -> int | None:
    """The position in ``shared.values`` that is nearest to a place on the horizontal axis.

    None in the gap between the ends. The options are those that the values were drawn with.
    """
    spectrum = _spectrum(shared)
    return IndexAxis.of([spectrum], ends, index).column_at(spectrum, x)


def check_column(selected: int | None, count: int, *, of: str = "values") -> None:
    """Refuse what is no position among ``count`` values.

    Raises
    ------
    ValueError
        If it is not a whole number in their range.
    """
    if selected is None:
        return
    whole = isinstance(selected, int) and not isinstance(selected, bool)
    if not whole or not -count <= selected < count:
        raise ValueError(
            f"selected must be one of the {count} {of}, 0 to {count - 1}, got {selected!r}"
        )


def _values(
    shared: SharedDirections,
    *,
    indices: IndexAxis,
    axis: str,
    selected: int | None,
    sizes: Mapping[str, Any],
    title: bool,
    caption: bool,
) -> Layers:
    place = indices.placed(_spectrum(shared))
    values = shared.values.double().numpy()[place.columns]
    measure = scale_for(axis, values)
    unsure = np.isfinite(values) & ~shared.converged.numpy()[place.columns]
    several = bool(unsure.any())
    reading = ["mean over the images of <i>u</i>ᵀ G <i>u</i> along each direction <i>u</i>"]
    if indices.ends is not None and len(values) < shared.dimension:
        reading.append(_ends_words(*indices.ends))
    reading += sign_words([], None)
    if several:
        count = int(unsure.sum())
        reading.append(f"crosses: {count:,} of {len(values):,} values not converged")
    reading += [*_trust(shared), *measure.words]
    canvas = Canvas.around(
        heading=_heading("Shared directions", shared) if title else (),
        caption=reading if caption else (),
        key=("mean curvature  ", f"{_UNSURE}  ") if several else (),
        **sizes,
    )
    places = measure.place(values)
    known = places[np.isfinite(places)]
    margin = max(0.06, 1.2 * canvas.font / canvas.tall)
    low, high = padded(min([0.0, *known]), max([0.0, *known]), margin)
    dense = len(values) * _SPARSE * canvas.font > canvas.wide
    texts = [
        f"κ {at:,} = {number(value, 4)}"
        for at, value in zip(place.indices.tolist(), values.tolist(), strict=True)
    ]
    curve = Curve(
        np.insert(place.x.astype(np.float64), place.cut, math.nan),
        np.insert(places, place.cut, math.nan),
        series_colour(0, canvas.look),
        mode="lines" if dense else "lines+markers",
        name="mean curvature" if several else "",
        hover="%{text}",
        texts=[*texts[: place.cut], "", *texts[place.cut :]],
    )
    curves = [curve]
    if several:
        curves.append(
            Curve(
                place.x[unsure], places[unsure], accent(canvas.look), mode="markers", symbol="x",
                name=_UNSURE, hover=f"%{{text}}, {_UNSURE}",
                texts=[text for text, shown in zip(texts, unsure, strict=True) if shown],
            )
        )  # fmt: skip
    return chart_layers(
        canvas,
        Axis(indices.window, indices.titles, ticks=indices.ticks(canvas.wide, canvas.font)),
        Axis(
            (low, high),
            ("mean curvature · 1 / l2 unit of pixel values", "mean κ · 1 / l2 unit", *AXIS_TITLES),
            ticks=measure.ticks((low, high), 1.5 * canvas.font * (high - low) / canvas.tall),
            zero=True,
        ),
        curves=curves,
        selected=_mark(shared, selected, indices, place, places, canvas),
    )


def _mark(
    shared: SharedDirections,
    selected: int | None,
    axis: IndexAxis,
    place: Placed,
    places: np.ndarray,
    canvas: Canvas,
) -> Label | None:
    """The selected value, unless it is not known or between the ends."""
    if selected is None:
        return None
    column = selected % len(shared.values)
    (at,) = np.flatnonzero(place.columns == column)[:1].tolist() or (None,)
    if at is None or not math.isfinite(places[at]):
        return None
    low, high = axis.window
    text = f"κ<sub>{place.indices[at]}</sub> = {number(float(shared.values[column]))}"
    # A curve that descends leaves room above it to the right, and below it to the left.
    room = canvas.wide * (high - place.x[at]) / (high - low) - canvas.font
    wide = 1.08 * text_width(text.replace("<sub>", "").replace("</sub>", ""), canvas.font)
    side = "top right" if room > wide else "top left"
    return Label(float(place.x[at]), float(places[at]), text, side, accent(canvas.look))


def _images(
    shared: SharedDirections,
    *,
    ends: int | None,
    sizes: Mapping[str, Any],
    title: bool,
    caption: bool,
) -> Layers:
    font = pixels(sizes["font_size"])
    width = DEFAULT_WIDTH if sizes["width"] is None else float(sizes["width"])
    room = width - 1.4 * font
    spectrum = _spectrum(shared)
    most = max(spectrum.upper, spectrum.lower) if ends is None else ends
    across = min(fitting(room, font), MOST_TILES // _ROWS, most)
    if across < 1:
        raise ValueError(
            f"width must leave {LEAST * font:.0f} pixels for a direction, got {width:.0f}"
        )
    lines = _lines(spectrum, across, ends)
    count = max(len(columns) for _, columns in lines)
    shown = SignedTiles(shared.directions.shape, count=count, room=room, font=font)
    titled = sum(bool(words) for words, _ in lines)
    whole = titled * ABOVE * font + len(lines) * (shown.size[1] + BELOW * font)
    unit = shared.directions.double().numpy()
    drawn = [column for _, columns in lines for column in columns]
    scale = float(np.nan_to_num(np.abs(unit[drawn])).max()) or 1.0
    reading = [*scale_words(scale), "below each: mean of <i>u</i>ᵀ G <i>u</i> over the images"]
    unsure = int((~shared.converged[drawn] & shared.values[drawn].isfinite()).sum())
    if unsure:
        reading.append(f"{unsure} of {len(drawn)} {_UNSURE}")
    canvas = Canvas.around(
        heading=_heading("Shared directions", shared) if title else (),
        caption=[*reading, *sign_words([], None), *_trust(shared)] if caption else (),
        axes=False,
        plot_height=max(whole, 5 * font),
        **sizes,
    )
    labels, top = [], 0.0
    for words, columns in lines:
        if words:
            at = top + 0.6 * font
            labels.append(Label(0.01, at, words, "middle right", canvas.look.muted))
            top += ABOVE * font
        starts = [position * shown.step for position in range(len(columns))]
        values = shared.values[columns].tolist()
        shown.place(unit[columns], values, starts, top, scale=scale, canvas=canvas)
        top += shown.size[1] + BELOW * font
    return chart_layers(
        canvas,
        Axis((0.0, canvas.wide), visible=False),
        Axis((canvas.tall, 0.0), visible=False),
        labels=[*labels, *shown.labels],
        tiles=shown.tiles,
    )


def _lines(spectrum: Spectrum, across: int, ends: int | None) -> list[tuple[str, list[int]]]:
    """Rows of positions with a title each: the positive ones, and the negative ones from the end.

    Where there is one sign alone it has a second row, without a title.
    """
    upper, lower = list(range(spectrum.upper)), list(range(-1, -spectrum.lower - 1, -1))
    if ends is not None:
        upper, lower = upper[:ends], lower[:ends]
    lines = []
    for what, sign, columns in (("positive", "", upper), ("negative", "−", lower)):
        rows = 1 if upper and lower else _ROWS
        columns = columns[: rows * across]
        if columns:
            span = f"{sign}1" if len(columns) == 1 else f"{sign}1 to {sign}{len(columns)}"
            lines.append((f"most {what}, <i>i</i> = {span}", columns[:across]))
        if columns[across:]:
            lines.append(("", columns[across:]))
    return lines


def _spectrum(shared: SharedDirections) -> Spectrum:
    """The values that are largest in size: the first positive and the last negative ones."""
    values = shared.values
    known = bool(values.isfinite().all())
    lower = int((values < 0).sum()) if known else len(values) // 2
    return Spectrum(shared.dimension, len(values) - lower, lower)


def _ends_words(upper: int, lower: int) -> str:
    if upper and lower and upper != lower:
        return f"the {upper} most positive and the {lower} most negative values"
    if upper and lower:
        return f"the {upper} values at either end"
    return f"the {upper or lower} most {'positive' if upper else 'negative'} values"


def _heading(what: str, shared: SharedDirections) -> list[str]:
    """Title, how many directions of how many, the images, and how it was measured."""
    count = len(shared.values)
    directions = f"{count:,} of {shared.dimension:,} directions"
    if count == shared.dimension:
        directions = f"all {count:,} directions"
    return [
        title_of(what, shared),
        directions,
        f"mean over {counted(shared.points, 'image')}",
        method_words(shared.method, shared.step),
        at_words(shared.at),
        "own: the predicted class",
        *progress_words(shared),
    ]


def _trust(shared: SharedDirections) -> list[str]:
    """How far the numbers can be trusted."""
    if shared.method == "smoothed":
        return ["found with half of the probes, measured with the other half"]
    if shared.method == "central_difference" and math.isfinite(shared.asymmetry):
        return [f"asymmetry ‖G − Gᵀ‖ / ‖G‖ = {number(shared.asymmetry, 2)}"]
    return []
