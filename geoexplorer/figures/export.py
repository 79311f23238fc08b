"""Saving figures: a web page that needs nothing, or SVG, PNG and PDF in physical sizes."""

from __future__ import annotations

import importlib.util
import io
import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
from PIL import Image

from geoexplorer.figures.drawing import draw
from geoexplorer.figures.printing import pdf_page
from geoexplorer.figures.theme import pixels
from geoexplorer.results import Result

__all__ = ["MissingProgramError", "one_chrome", "save"]

_FORMATS = (".html", ".svg", ".png", ".pdf")
_PER_INCH = {"px": 96.0, "pt": 72.0, "mm": 25.4, "cm": 2.54, "in": 1.0}
_CSS_DPI = 96
_PRINT_DPI = 300


class MissingProgramError(RuntimeError):
    """What a format needs is not installed; the message says what to install."""


def save(
    figure: go.Figure | Result,
    path: str | Path,
    *,
    width: float | str | None = None,
    height: float | str | None = None,
    font_size: float | None = None,
    scale: float | None = None,
    offline: bool | str = True,
    **options: Any,
) -> Path:
    """Write a figure to a file; the ending says which kind.

    Give the result itself rather than its figure where you can: it is then drawn for the size
    it is saved in, so that no text overlaps.

    Parameters
    ----------
    figure
        A result, or a plotly ``Figure`` or ``FigureWidget``.
    path
        Ends in ``.html``, ``.svg``, ``.png`` or ``.pdf``. All but the first need kaleido
        (``pip install "geoexplorer[export]"``) and a Chrome or Chromium.
    width, height
        A number of CSS pixels (96 to the inch), or a length such as ``"85mm"``, ``"3.3in"``,
        ``"12cm"``, ``"241pt"``. By default those of the figure.
    font_size
        In points, of all text.
    scale
        PNG only: image pixels to a CSS pixel. By default 300 dots an inch.
    offline
        HTML only: whether plotly's JavaScript is part of the file (5 MB), so that it opens
        without a network; ``"beside"`` puts it into the same folder, once for all files there.
    options
        Of :func:`~geoexplorer.figures.draw`, where a result is given.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        For an ending that is none of these, or a size that is no length.
    TypeError
        For something that is neither a result nor a figure, or options beside a figure.
    RuntimeError
        If kaleido or Chrome is missing; the message says what to install.

    Examples
    --------
    >>> import tempfile
    >>> save(go.Figure(), tempfile.mkdtemp() + "/figure.html", offline=False).name
    'figure.html'
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        raise ValueError(f"path must end in one of {', '.join(_FORMATS)}, got {str(path)!r}")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be a positive number, got {scale!r}")
    if not isinstance(offline, bool) and offline != "beside":
        raise ValueError(f"offline must be True, False or 'beside', got {offline!r}")
    size = {
        name: _css_pixels(value, name)
        for name, value in (("width", width), ("height", height))
        if value is not None
    }
    if isinstance(figure, Result):
        fonts = {} if font_size is None else {"font_size": font_size}
        drawn = draw(figure, **size, **fonts, **options)
    elif isinstance(figure, go.Figure) or hasattr(figure, "to_plotly_json"):
        if options:
            raise TypeError(f"options belong to a result, got {', '.join(options)} for a figure")
        drawn = _resized(figure, size, font_size)
    else:
        raise TypeError(f"figure must be a result or a plotly figure, got {type(figure).__name__}")

    if ending == ".html":
        drawn.write_html(
            path,
            include_plotlyjs={True: True, False: "cdn", "beside": "directory"}[offline],
            config={"displaylogo": False, "scrollZoom": True},
        )
    elif ending == ".png":
        dots = _CSS_DPI * scale if scale is not None else _PRINT_DPI
        path.write_bytes(_with_dots(_rendered(drawn, "png", dots / _CSS_DPI, ending), dots))
    else:
        svg = _with_physical_size(_rendered(drawn, "svg", 1, ending))
        path.write_bytes(svg if ending == ".svg" else pdf_page(svg, path.stem))
    return path


@contextmanager
def one_chrome() -> Iterator[None]:
    """Keep one Chrome open for all that is saved inside the block.

    Starting one takes seconds, drawing with it much less. Where kaleido keeps one already, that
    one serves, and stays.

    Raises
    ------
    RuntimeError
        If kaleido or Chrome is missing; the message says what to install.
    """
    # Kaleido's own server would wait for ever for a Chrome that is not there.
    _rendered(go.Figure(), "svg", 1, ".svg, .png or .pdf")
    import kaleido

    kept = kaleido._global_server.is_running()
    if not kept:
        kaleido.start_sync_server(headers=dict(plotly.io.defaults.headers or {}) or None)
    try:
        with warnings.catch_warnings():
            # Plotly gives its headers with every figure, though they were given at the start.
            warnings.filterwarnings("ignore", message="The kopts argument is ignored")
            yield
    finally:
        if not kept:
            kaleido.stop_sync_server()


def _css_pixels(length: float | str, name: str) -> float:
    """A length in CSS pixels."""
    unit, number = "px", math.nan
    if isinstance(length, (int, float)) and not isinstance(length, bool):
        number = float(length)
    elif isinstance(length, str):
        match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", length)
        if match:
            number, unit = float(match[1]), match[2] or "px"
    if unit not in _PER_INCH or not (math.isfinite(number) and number > 0):
        raise ValueError(
            f"{name} must be a positive number of pixels, or a length with one of the units "
            f"{', '.join(_PER_INCH)} such as '85mm', got {length!r}"
        )
    return number * _CSS_DPI / _PER_INCH[unit]


def _resized(figure: go.Figure, size: dict[str, float], font_size: float | None) -> go.Figure:
    """A copy of another size, all its fonts in proportion to the base font."""
    content = figure.to_dict()
    if font_size is not None:
        base = figure.layout.font.size or figure.layout.template.layout.font.size or 12
        _scale_fonts(content, pixels(font_size) / base)
        content["layout"].setdefault("font", {})["size"] = pixels(font_size)
    return go.Figure(content).update_layout(**size)


def _scale_fonts(node: Any, factor: float) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            if name.endswith("font") and isinstance(value, dict):
                if isinstance(value.get("size"), (int, float)):
                    value["size"] *= factor
            else:
                _scale_fonts(value, factor)
    elif isinstance(node, (list, tuple)):
        for item in node:
            _scale_fonts(item, factor)


def _rendered(figure: go.Figure, kind: str, scale: float, ending: str) -> bytes:
    """The figure drawn by kaleido's Chrome; ``ending`` is that of the file it is for."""
    if importlib.util.find_spec("kaleido") is None:
        raise MissingProgramError(
            f"saving a {ending} needs kaleido: pip install 'geoexplorer[export]', then restart "
            "Python (in a notebook, its kernel); saving a .html needs nothing more"
        )
    try:
        return figure.to_image(kind, scale=scale)
    except (RuntimeError, ValueError) as error:
        if "requires the Kaleido" in str(error):
            raise MissingProgramError(
                f"saving a {ending} needs a restart: kaleido was installed after this Python had "
                "begun and looked for it; restart Python (in a notebook, its kernel)"
            ) from error
        if "plotly_get_chrome" not in str(error):
            raise
        raise MissingProgramError(
            f"saving a {ending} needs Google Chrome or Chromium, and none was found: install one "
            "(apt install chromium, or run plotly_get_chrome), or name it in the environment "
            "variable BROWSER_PATH; saving a .html needs nothing more"
        ) from error


def _with_dots(png: bytes, per_inch: float) -> bytes:
    """The same PNG with its physical size written into it."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.save(file, "png", dpi=(per_inch, per_inch))
    return file.getvalue()


def _with_physical_size(svg: bytes) -> bytes:
    """The same SVG with its size in millimetres: some programs take 72 pixels for an inch."""
    head, rest = svg.decode().split(">", 1)
    head = re.sub(
        r'\b(width|height)="([0-9.]+)"',
        lambda match: f'{match[1]}="{float(match[2]) * 25.4 / _CSS_DPI:.4g}mm"',
        head,
        count=2,
    )
    return f"{head}>{rest}".encode()
