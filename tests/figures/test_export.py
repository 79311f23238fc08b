"""Saving: formats, sizes, fonts, and what is said where kaleido or Chrome is missing."""

import importlib.util
import re
import zlib

import plotly.graph_objects as go
import pytest
from PIL import Image

from geoexplorer import figures
from geoexplorer.figures import export
from geoexplorer.figures.sections import TRACES
from tests.figures.maps import cells, halves

POINTS = 72 / 25.4  # a millimetre


@pytest.mark.parametrize(
    ("length", "wanted"),
    [(640, 640), ("640", 640), ("640px", 640), ("25.4mm", 96), ("2.54 cm", 96), ("1in", 96),
     ("72pt", 96)],
)  # fmt: skip
def test_lengths(length, wanted):
    assert export._css_pixels(length, "width") == pytest.approx(wanted)


@pytest.mark.parametrize(
    "length", ["85 feet", "wide", "-3mm", 0, float("inf"), True, "1.2.3mm", None]
)
def test_bad_lengths(length):
    with pytest.raises(ValueError, match="width must be a positive number of pixels, or a length"):
        export._css_pixels(length, "width")


def test_a_web_page_needs_no_network_unless_asked(tmp_path):
    inside = figures.save(halves(), tmp_path / "inside.html").read_text()
    outside = figures.save(halves(), str(tmp_path / "outside.html"), offline=False).read_text()
    assert not re.search(r'<script[^>]*src="http', inside)
    assert re.search(r'<script[^>]*src="https://cdn', outside)
    assert len(outside) < 100_000 < len(inside)
    assert re.search(r"data:image(/|\\u002f)png;base64", outside)


def test_a_result_is_drawn_for_the_size_it_is_saved_in(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(go.Figure, "write_html", lambda self, *_, **__: drawn.append(self))
    section = cells(25)
    figures.save(section, tmp_path / "a.html", width="85mm", font_size=8, theme="dark")
    wanted = section.figure(width=85 * 96 / 25.4, font_size=8, theme="dark")
    assert drawn[0].to_json() == wanted.to_json()


def _names(figure):
    return figure.data[list(TRACES).index("names")]


def test_a_figure_is_given_size_and_fonts(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(go.Figure, "write_html", lambda self, *_, **__: drawn.append(self))
    figure = halves().figure(font_size=9)
    figures.save(figure, tmp_path / "a.html", width="85mm", height=300, font_size=6)
    assert drawn[0].layout.width == pytest.approx(321.26, abs=0.01)
    assert drawn[0].layout.height == 300
    assert drawn[0].layout.font.size == 8
    assert _names(drawn[0]).textfont.size == pytest.approx(8)
    assert drawn[0].layout.template.layout.xaxis.tickfont.size == pytest.approx(8)
    assert _names(figure).textfont.size == 12


def test_a_widget_is_saved_as_it_is(tmp_path):
    widget = go.FigureWidget(halves().figure())
    page = figures.save(widget, tmp_path / "a.html", offline=False).read_text()
    assert "random tangent 1" in page


def test_web_pages_may_share_the_javascript_beside_them(tmp_path):
    page = figures.save(halves(), tmp_path / "a.html", offline="beside").read_text()
    assert '<script charset="utf-8" src="plotly.min.js">' in page
    assert (tmp_path / "plotly.min.js").is_file()
    with pytest.raises(ValueError, match="offline must be True, False or 'beside', got 'cdn'"):
        figures.save(halves(), tmp_path / "a.html", offline="cdn")


@pytest.mark.parametrize("path", ["figure", "figure.jpg", "figure.eps"])
def test_unknown_formats(path, tmp_path):
    with pytest.raises(
        ValueError, match=r"path must end in one of \.html, \.svg, \.png, \.pdf, got"
    ):
        figures.save(halves(), tmp_path / path)


def test_bad_arguments(tmp_path):
    path = tmp_path / "a.html"
    with pytest.raises(TypeError, match="figure must be a result or a plotly figure, got str"):
        figures.save("figure", path)
    with pytest.raises(TypeError, match="options belong to a result, got theme for a figure"):
        figures.save(halves().figure(), path, theme="dark")
    with pytest.raises(TypeError, match="got colour"):
        figures.save(halves(), path, colour="red")
    with pytest.raises(ValueError, match="scale must be a positive number, got 0"):
        figures.save(halves(), path, scale=0)
    assert not path.exists()


def test_without_kaleido(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "kaleido" else found(name, *a)
    )
    said = r"saving a \.pdf needs kaleido: pip install 'geoexplorer\[export\]', then restart Python"
    with pytest.raises(RuntimeError, match=said):
        figures.save(halves(), tmp_path / "a.pdf")


def test_kaleido_that_was_installed_too_late(tmp_path, monkeypatch):
    """Plotly looks for it once, when it is loaded or first asked."""
    pytest.importorskip("kaleido")
    late = "Image export requires the Kaleido package, v1.0.0 or greater"

    def refused(*_args, **_options):
        raise RuntimeError(late)

    monkeypatch.setattr(go.Figure, "to_image", refused)
    with pytest.raises(export.MissingProgramError, match=r"saving a \.pdf needs a restart.*kernel"):
        figures.save(halves(), tmp_path / "a.pdf")


def test_without_chrome(tmp_path, monkeypatch):
    pytest.importorskip("kaleido")
    chromium = pytest.importorskip("choreographer.browsers.chromium")
    monkeypatch.setattr(chromium.Chromium, "find_browser", lambda **_: None)
    with pytest.raises(RuntimeError, match=r"needs Google Chrome or Chromium.*plotly_get_chrome"):
        figures.save(halves(), tmp_path / "a.pdf")


def test_one_chrome_is_not_waited_for_where_there_is_none(monkeypatch):
    pytest.importorskip("kaleido")
    chromium = pytest.importorskip("choreographer.browsers.chromium")
    monkeypatch.setattr(chromium.Chromium, "find_browser", lambda **_: None)
    with (
        pytest.raises(export.MissingProgramError, match="needs Google Chrome"),
        export.one_chrome(),
    ):
        raise AssertionError


@pytest.mark.browser
def test_one_chrome_draws_what_others_draw(tmp_path, recwarn):
    kaleido = pytest.importorskip("kaleido")
    alone = figures.save(halves(), tmp_path / "alone.png", scale=1).read_bytes()
    with export.one_chrome():
        assert kaleido._global_server.is_running()
        for name in ("first.png", "second.png"):
            assert figures.save(halves(), tmp_path / name, scale=1).read_bytes() == alone
        with export.one_chrome():
            pass
        assert kaleido._global_server.is_running()
    assert not kaleido._global_server.is_running()
    assert not [warning for warning in recwarn if "kopts" in str(warning.message)]


@pytest.mark.browser
def test_a_pdf_for_a_column(tmp_path):
    """85 mm wide, text in 8 pt as text, lines as lines, and the map the only image."""
    pdf = figures.save(cells(25), tmp_path / "a.pdf", width="85mm", font_size=8).read_bytes()
    (box,) = re.findall(rb"/MediaBox ?\[0 0 ([0-9.]+) ([0-9.]+)\]", pdf)
    assert float(box[0]) == pytest.approx(85 * POINTS, abs=0.5)
    assert len(re.findall(rb"/Subtype ?/Image\b", pdf)) == 1
    assert re.search(rb"/BaseFont ?/\w+\+", pdf)  # embedded, as a journal asks
    page = b"".join(_streams(pdf))
    # No margin that would shrink the figure and its fonts: one CSS pixel is 75 / 24 print units.
    largest = max(float(scale) for scale in re.findall(rb"([0-9.]+) 0 0 \1 [-0-9. ]+ cm", page)[:1])
    assert largest == pytest.approx(3.125, rel=1e-3)
    assert b" Tf" in page
    assert b" l\n" in page  # line segments


@pytest.mark.browser
def test_svg_and_png_in_physical_size(tmp_path):
    section = halves()
    svg = figures.save(section, tmp_path / "a.svg", width="85mm", font_size=8).read_text()
    assert re.search(r'<svg[^>]* width="85mm"', svg)
    sizes = {round(float(size), 2) for size in re.findall(r"font-size: ([0-9.]+)px", svg)}
    assert sizes == {round(8 * 96 / 72, 2)}
    assert "normal · l2 distance in pixel values" in svg
    with Image.open(figures.save(section, tmp_path / "a.png", width="85mm", font_size=8)) as png:
        assert png.width == pytest.approx(85 / 25.4 * 300, abs=2)
        assert png.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        corner, middle = png.convert("RGB").getpixel((2, 2)), (png.width // 3, png.height // 2)
        assert corner == (255, 255, 255)
        assert png.convert("RGB").getpixel(middle)[2] > 200  # class 0 is blue


def _streams(pdf):
    """The contents of a PDF's compressed streams."""
    for start in re.finditer(rb"stream\r?\n", pdf):
        try:
            yield zlib.decompressobj().decompress(pdf[start.end() :])
        except zlib.error:
            continue
