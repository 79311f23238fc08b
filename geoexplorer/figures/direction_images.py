"""Principal directions as images, the most positive and the most negative ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from geoexplorer.figures.chart import (
    DEFAULT_WIDTH,
    MOST_TILES,
    Axis,
    Canvas,
    Label,
    chart_layers,
)
from geoexplorer.figures.curvature_summary import common_and_own, heading_words, known_rows
from geoexplorer.figures.curvature_words import class_name, finding_words, sign_words
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.signed_tiles import (
    ABOVE,
    BELOW,
    LEAST,
    SPACE,
    SignedTiles,
    fitting,
    scale_words,
)
from geoexplorer.figures.text import text_width
from geoexplorer.figures.theme import pixels, theme_named
from geoexplorer.geometry.curvature import PrincipalCurvatures

__all__ = ["directions_layers"]

_PARTING = 1.6  # lines of text between the two halves
_MOST_ROWS = 4
_LEAST_HEIGHT = 6.0  # lines of text


def directions_layers(
    curvatures: PrincipalCurvatures,
    *,
    sizes: Mapping[str, Any],
    class_names: Sequence[str] | None,
    ends: int | None,
    title: bool,
    caption: bool,
) -> Layers:
    """The view ``"directions"``; for the arguments see ``principal_figure``.

    Raises
    ------
    ValueError
        If the directions were not kept, or there is no room for one at either end.
    """
    if curvatures.directions is None:
        raise ValueError(
            "view='directions' needs the directions, which these curvatures do not have: "
            "measure them with directions=True or with k="
        )
    font = pixels(sizes.get("font_size", 9.0))
    look = theme_named(sizes.get("theme", "light"))
    rows = np.flatnonzero(known_rows(curvatures).numpy())[:_MOST_ROWS].tolist()
    named = 0.0
    if len(rows) > 1:
        sides = [_sides(curvatures, row, class_names) for row in rows]
        named = max(text_width(side, font) for side in sides) + 0.6 * font
    given = sizes.get("width")
    width = DEFAULT_WIDTH if given is None else float(given)
    room = width - 1.4 * font - named - _PARTING * font
    most = max(1, curvatures.values.shape[1] // 2)
    fit = fitting(room, font) // 2
    count = min(most, fit if ends is None else ends, MOST_TILES // (2 * max(1, len(rows))))
    if count < 1 or (ends is not None and min(ends, most) > fit):
        raise ValueError(
            f"width must leave {LEAST * font:.0f} pixels for each direction, got "
            f"{width:.0f} for {count if ends is None else ends} at either end with a font of "
            f"{font:.3g} pixels"
        )
    if ends is None:
        count = min(count, 6)
    shown = SignedTiles(
        curvatures.directions.shape, count=2 * count, room=room + SPACE * font, font=font
    )
    tall = shown.size[1]
    whole = ABOVE * font + len(rows) * (tall + BELOW * font)

    results = {"": curvatures}
    facts, _ = common_and_own(results)
    heading = heading_words("Principal directions", results, facts, class_names)
    unit = curvatures.directions.double().numpy()
    columns = [*range(count), *range(unit.shape[1] - count, unit.shape[1])]
    scale = float(np.nan_to_num(np.abs(unit[np.ix_(rows, columns)])).max()) if rows else 1.0
    reading = scale_words(scale) if rows else []
    reading += sign_words([curvatures], class_names)
    reading += finding_words(curvatures, curvatures.asymmetry)
    if len(rows) < len(curvatures):
        reading.insert(0, f"{len(rows)} of {len(curvatures)} images")
    canvas = Canvas.around(
        heading=heading if title else (),
        caption=reading if caption else (),
        axes=False,
        plot_height=max(whole, _LEAST_HEIGHT * font),
        **sizes,
    )  # fmt: skip

    second = named + count * shown.step + (_PARTING - SPACE) * font
    starts = [start + n * shown.step for start in (named, second) for n in range(count)]
    above = [(named, "most positive"), (second, "most negative")]
    if not rows:
        above = [(0.0, "no curvature is known, and so no direction")]
    labels = [
        Label(max(start - 0.3 * font, 0.01), 0.6 * font, text, "middle right", look.muted)
        for start, text in above
    ]
    for line, row in enumerate(rows):
        top = ABOVE * font + line * (tall + BELOW * font)
        if named:
            side = _sides(curvatures, row, class_names)
            labels.append(Label(0.01, top + tall / 2, side, "middle right", look.ink))
        values = curvatures.values[row, columns].tolist()
        shown.place(unit[row, columns], values, starts, top, scale=scale, canvas=canvas)
    return chart_layers(
        canvas,
        Axis((0.0, canvas.wide), visible=False),
        Axis((canvas.tall, 0.0), visible=False),
        labels=[*labels, *shown.labels],
        tiles=shown.tiles,
    )


def _sides(curvatures: PrincipalCurvatures, row: int, class_names: Sequence[str] | None) -> str:
    own = class_name(int(curvatures.own[row]), class_names)
    return f"{own} | {class_name(int(curvatures.other[row]), class_names)}"
