"""Images evenly spread along a path: above its scores, or alone with their classes and margins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from geoexplorer.figures.chart import MOST_TILES, Axis, Canvas, Curve, Label, Tile, chart_layers
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.layers import Layers
from geoexplorer.figures.path_course import Course
from geoexplorer.figures.path_words import size_words, title_words, verdict
from geoexplorer.figures.rasters import image_uri
from geoexplorer.figures.text import escaped, number, text_width
from geoexplorer.figures.theme import pixels, theme_named
from geoexplorer.geometry.path_places import images_at
from geoexplorer.geometry.paths import RegionPath

__all__ = ["Strip", "strip_layers"]

_USUAL = 9  # images
_LARGEST, _LEAST = 9.0, 2.6  # a tile, in lines of text; the least one above the scores
_LEAST_ALONE = 4.0  # with texts below it
_SPACE = 0.35  # between tiles
_LINE = 1.3
_DEFAULT_WIDTH = 640.0
_SIDE = 128  # pixels that an image is sent with
_LEAST_PLOT = 60.0


@dataclass(frozen=True)
class Strip:
    """Images along a path, in the room that there is for them."""

    path: RegionPath
    distances: tuple[float, ...]
    tile: float  # width in pixels
    tall: float  # height
    bounds: tuple[float, float]

    @staticmethod
    def fitting(
        path: RegionPath,
        images: int | None,
        *,
        room: float,
        font: float,
        bounds: tuple[float, float],
        least: float = _LEAST,
    ) -> Strip:
        """As many images as were asked for, or as fit.

        Raises
        ------
        ValueError
            If there is no room for as many as were asked for.
        """
        fit = int((room / font + _SPACE) / (least + _SPACE))
        count = min(_USUAL, fit) if images is None else images
        if not 2 <= count <= MOST_TILES:
            raise ValueError(f"images must be between 2 and {MOST_TILES}, got {images}")
        if count > fit:
            raise ValueError(
                f"width must leave {least * font:.0f} pixels for each of {count} images, got "
                f"{room:.0f} with a font of {font:.3g} pixels"
            )
        tile = min(_LARGEST * font, (room - (count - 1) * _SPACE * font) / count)
        height, width = path.anchors.shape[-2:]
        places = tuple(np.linspace(0.0, path.length, count).tolist())
        return Strip(path, places, tile, tile * height / width, bounds)

    @property
    def aside(self) -> float:
        """Pixels from the first image's middle to the plot's edge."""
        return self.tile / 2

    def above(self, canvas: Canvas, *, free: bool) -> tuple[Canvas, Strip | None]:
        """The canvas with room for the strip above the plot; no strip where there is none.

        ``free`` says that the figure may grow.
        """
        more = self.tall + 0.5 * canvas.font
        width, height = canvas.size
        if free:
            height = round(height + more)
        elif canvas.tall - more < max(_LEAST_PLOT, 2 * more):
            return canvas, None
        return dataclasses.replace(canvas, top=canvas.top + more, size=(width, height)), self

    def onto(self, layers: Layers, canvas: Canvas, unit: float) -> Layers:
        """The images above the plot of ``layers``; ``unit`` of the x axis is a pixel."""
        images = list(layers.layout["images"])
        bottom = 0.3 * canvas.font
        for place, (distance, source) in enumerate(
            zip(self.distances, self.sources(), strict=True)
        ):
            images[place] = {
                "visible": True, "source": source, "yref": "paper",
                "x": distance - self.aside * unit, "sizex": self.tile * unit,
                "y": 1 + (bottom + self.tall) / canvas.tall, "sizey": self.tall / canvas.tall,
            }  # fmt: skip
        return dataclasses.replace(layers, layout={**layers.layout, "images": images})

    def sources(self) -> list[str]:
        """The images as PNG data URIs."""
        images = images_at(self.path, self.distances).double().numpy()
        return [image_uri(image, bounds=self.bounds, least_side=_SIDE) for image in images]


def strip_layers(
    path: RegionPath,
    *,
    sizes: Mapping[str, Any],
    images: int | None,
    bounds: tuple[float, float],
    title: bool,
    caption: bool,
) -> Layers:
    """The view ``"strip"``; for the arguments see ``path_figure``."""
    font = pixels(sizes.get("font_size", 9.0))
    look = theme_named(sizes.get("theme", "light"))
    given = sizes.get("width")
    room = (_DEFAULT_WIDTH if given is None else float(given)) - 1.4 * font
    strip = Strip.fitting(
        path, images, room=room, font=font, bounds=bounds, least=_LEAST_ALONE
    )  # fmt: skip
    course = Course.of(path)
    logits = course.at(np.array(strip.distances))
    own = escaped(course.names[course.label])
    reading = [
        "below each image: its class",
        f"how far {own} is ahead of the next class (logits)",
        "l2 distance from <i>a</i>",
    ]
    if len(course.anchors) > 2:
        reading.append("ticks: anchors")
    ruler, text = strip.tall + 0.9 * font, strip.tall + 1.5 * font
    canvas = Canvas.around(
        heading=[title_words(path), verdict(path), *size_words(path)] if title else (),
        caption=reading if caption else (),
        axes=False,
        plot_height=max(text + 3 * _LINE * font + 0.4 * font, 5 * font),
        **sizes,
    )
    # The x axis is the distance from a, so that a place pointed at is known.
    length = course.length or 1.0
    unit = length / (canvas.wide - strip.tile)
    half, step = strip.aside * unit, (canvas.wide - strip.tile) / (len(strip.distances) - 1)
    tiles, labels = [], []
    for index, source in enumerate(strip.sources()):
        at = index * step * unit
        tiles.append(Tile(source, at - half, 0.0, 2 * half, strip.tall))
        name, ahead = _score(course, logits[index], min(step, strip.tile + _SPACE * font), font)
        for line, words in enumerate((name, ahead, number(strip.distances[index], 3))):
            colour = look.muted if line == 2 else look.ink
            down = text + (line + 0.5) * _LINE * font
            labels.append(Label(at, down, words, "middle center", colour))
    ticks = [value for place in course.anchors.tolist() for value in (place, place, np.nan)]
    ends = [ruler - 0.35 * font, ruler + 0.35 * font, np.nan] * len(course.anchors)
    curves = [
        Curve(np.array([0.0, length]), np.array([ruler, ruler]), look.line),
        Curve(np.array(ticks), np.array(ends), look.ink),
    ]
    layers = chart_layers(
        canvas,
        Axis((-half, length + half), visible=False),
        Axis((canvas.tall, 0.0), visible=False),
        curves=curves,
        labels=labels,
        tiles=tiles,
    )
    drawn = [{**image, "yref": "y"} for image in layers.layout["images"]]
    return dataclasses.replace(layers, layout={**layers.layout, "images": drawn})


def _score(course: Course, logits: np.ndarray, room: float, font: float) -> tuple[str, str]:
    """The class at a place, in its colour, and the margin there."""
    if not np.isfinite(logits).all():
        return "?", "not known" if text_width("not known", font) <= room else "–"
    label = int(logits.argmax())
    name = course.names[label]
    while name and text_width(f"■ {name}…", font) > room and text_width(f"■ {name}", font) > room:
        name = name[:-1].rstrip()
    name += "" if name == course.names[label] else "…"
    margin = logits[course.label] - np.delete(logits, course.label).max()
    colour = class_colour(label)
    return f'<span style="color:{colour}">■</span> {escaped(name)}', number(float(margin), 3)
