"""The strip of boundary points, and the choice of a drawing for a result."""

import dataclasses
import re

import pytest
import torch

from geoexplorer import figures
from geoexplorer.figures.boundaries import boundary_figure
from geoexplorer.figures.colours import class_colour
from geoexplorer.figures.text import text_width
from geoexplorer.geometry.boundary import BoundaryPoints
from geoexplorer.results import Provenance, Result
from tests.figures.maps import halves
from tests.figures.test_shading import pixels_of


def strip(count=3, channels=1, **fields):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, channels, 8, 8, generator=generator)
    r = 0.1 * torch.randn(x.shape, generator=generator)
    values = {
        "images": x,
        "points": x + r,
        "perturbations": r,
        "distances": r.flatten(1).norm(dim=1),
        "own": torch.arange(count) % 10,
        "other": (torch.arange(count) + 1) % 10,
        "normals": -r,
        "alignment": torch.linspace(0.98, 1.0, count),
        "residual": torch.zeros(count),
        "converged": torch.ones(count, dtype=torch.bool),
        "provenance": Provenance(network="digits-cnn"),
    }
    return BoundaryPoints(**{**values, **fields})


def texts(figure):
    return [note.text for note in figure.layout.annotations]


def test_three_images_a_column_drawn_from_the_data():
    points = strip()
    figure = boundary_figure(points)
    images = figure.layout.images
    assert len(images) == 9
    for column in range(3):
        x, r, z = images[3 * column : 3 * column + 3]
        for image, wanted in ((x, points.images), (z, points.points)):
            # Crisp: every pixel of the image is a block of equal pixels in the picture.
            blocks = pixels_of(image.source)[..., 0].reshape(8, 32, 8, 32)
            assert (blocks == blocks[:, :1, :, :1]).all()
            grey = wanted[column, 0].clamp(0, 1).mul(255).add(0.5).to(torch.uint8)
            assert blocks[:, 0, :, 0].tolist() == grey.tolist()
        assert x.y < r.y < z.y
        assert x.x == r.x == z.x
    # The largest |r| of all is at full colour.
    strongest = points.perturbations.abs().flatten(1).max(dim=1)
    column = int(strongest.values.argmax())
    place = int(points.perturbations[column].abs().argmax())
    drawn = pixels_of(images[3 * column + 1].source)[place // 8 * 32, place % 8 * 32].tolist()
    assert drawn in ([0x21, 0x66, 0xAC], [0xC8, 0x40, 0x1A])


def test_each_column_says_classes_distance_and_alignment():
    points = strip()
    said = texts(boundary_figure(points))
    assert f"{float(points.distances[1]):#.3g}" in said
    assert "0.990" in said
    own, other = (f'<span style="color:{class_colour(label)}">■</span> {label}' for label in (1, 2))
    assert said.count(own) == 2  # the own class of one image, the other of another
    assert said.count(other) == 2
    assert any("Boundary points of digits-cnn" in text for text in said)
    largest = float(points.perturbations.abs().max())
    assert any(f"r drawn from −{largest:.2g} to {largest:.2g}" in text for text in said)


def test_class_names_are_used():
    said = texts(boundary_figure(strip(), class_names=["zero", "one", "two", "<three>"]))
    assert any(text.endswith("> zero") for text in said)
    assert any("&lt;three&gt;" in text for text in said)


def test_long_class_names_are_cut_to_their_column():
    names = [f"{label} is a class with a long name" for label in range(10)]
    figure = boundary_figure(strip(8), class_names=names)
    tile = figure.layout.images[0].sizex
    cut = [re.sub("<.*?>", "", text) for text in texts(figure) if "■" in text]
    assert len(cut) == 16
    for text in cut:
        assert re.match(r"■ \d.*…$", text)
        assert text_width(text, 12) <= tile


def test_an_image_whose_boundary_was_not_reached_says_so():
    points = strip(converged=torch.tensor([True, False, True]))
    whole = boundary_figure(strip()).layout.images
    for values in (points.points, points.perturbations, points.normals):
        values[1] = torch.nan
    figure = boundary_figure(points)
    assert len(figure.layout.images) == 7
    assert pixels_of(figure.layout.images[1].source).std() > 0
    assert figure.layout.images[0].source == whole[0].source
    said = texts(figure)
    assert said.count("not reached") == 1
    assert any(text == "?" for text in said)
    assert f"{float(points.distances[1]):#.3g}" not in said


def test_only_the_first_images_are_drawn():
    figure = boundary_figure(strip(20), images=5)
    assert len(figure.layout.images) == 15
    assert any("5 of 20 images" in text for text in texts(figure))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_lies_on_the_paper(theme):
    for points in (strip(1), strip(8), strip(3, channels=3)):
        figure = boundary_figure(points, theme=theme)
        width, height = figure.layout.width, figure.layout.height
        assert width <= 640
        for image in figure.layout.images:
            assert 0 <= image.x <= image.x + image.sizex <= width
            assert 0 <= image.y <= image.y + image.sizey <= height
        for note in figure.layout.annotations:
            assert 0 < note.x < width
            assert 0 < note.y < height
        assert figure.layout.yaxis.range == (height, 0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"images": 0}, "images must be at least 1, got 0"),
        ({"images": 20, "width": 300}, "images must leave"),
        ({"theme": "sepia"}, "theme must be"),
        ({"font_size": "8"}, "font_size must be a positive number, got '8'"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        boundary_figure(strip(20), **options)


def test_results_draw_themselves():
    assert strip().figure(theme="dark").layout.template.layout.paper_bgcolor == "#111111"
    assert halves().figure(width=400).layout.width == 400


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(TypeError, match=r"CrossSection are theme, shading, .*, got colour"):
        halves().figure(colour="red")
    with pytest.raises(TypeError, match=r"BoundaryPoints are .*class_names.*, got shading"):
        strip().figure(shading="none")


def test_an_unknown_result_is_answered_with_what_can_be_drawn():
    with pytest.raises(TypeError, match=r"one of BoundaryPoints, CrossSection, .*, got Result"):
        figures.draw(Result())


def test_a_result_that_was_saved_is_drawn_the_same(tmp_path):
    section = dataclasses.replace(halves())
    section.save(tmp_path / "section.npz")
    again = type(section).load(tmp_path / "section.npz")
    assert again.figure().to_json() == section.figure().to_json()


def test_classes_are_called_as_the_network_calls_them():
    made = Provenance(network="n", class_names=tuple(f"class {n}" for n in range(10)))
    said = " ".join(texts(figures.draw(strip(provenance=made))))
    assert "class 0" in said
    own_names = [f"kind {n}" for n in range(10)]
    said = " ".join(texts(figures.draw(strip(provenance=made), class_names=own_names)))
    assert "kind 0" in said
    assert "class 0" not in said
