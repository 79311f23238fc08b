"""The map's pixels: colours, orientation, readable names, size."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from geoexplorer.figures.colours import blend, class_colour, contrast
from geoexplorer.figures.rasters import image_uri, png_uri, signed_uri
from geoexplorer.figures.shading import map_pixels, map_uri, shades
from geoexplorer.figures.theme import THEMES, theme_named
from tests.figures.maps import cells, halves, quarters

LIGHT = theme_named("light")


def pixels_of(uri):
    """The RGB pixels of a data URI, row 0 on top."""
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def rgb(colour):
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def drawn(section, *, theme=LIGHT, shading="margin"):
    return pixels_of(
        map_uri(section.labels.numpy(), section.margins.numpy(), theme=theme, shading=shading)
    )


@pytest.mark.parametrize("theme", THEMES)
def test_corners_have_the_colours_of_their_classes(theme):
    picture = drawn(quarters(), theme=theme_named(theme), shading="none")
    # Rows of the arrays go upward, rows of the picture downward.
    for row, column, label in ((-1, 0, 0), (-1, -1, 1), (0, 0, 2), (0, -1, 3)):
        assert picture[row, column].tolist() == rgb(shades(label, theme).farthest)


def test_the_shade_goes_from_the_boundary_to_far_from_it():
    section = halves(resolution=1025)
    entries, palette = map_pixels(
        section.labels.numpy(), section.margins.numpy(), theme=LIGHT, shading="margin"
    )
    row = palette[entries[0]].astype(int)
    nearest, farthest = rgb(shades(0, "light").nearest), rgb(shades(0, "light").farthest)
    edge = int((section.labels[0] == 0).sum()) - 1
    assert np.abs(row[edge] - nearest).max() <= 8
    assert row[0].tolist() == farthest
    # The square root of margin over the margin that nine tenths stay below, in between.
    full = float(np.quantile(section.margins.numpy()[::4, ::4], 0.9))
    column = edge // 2
    share = np.sqrt(float(section.margins[0, column]) / full)
    wanted = np.array(nearest) + share * (np.array(farthest) - np.array(nearest))
    assert np.abs(row[column] - wanted).max() <= 2


def test_bands_are_six_shades_a_class():
    section = halves()
    assert len(np.unique(drawn(section, shading="bands").reshape(-1, 3), axis=0)) == 12
    assert len(np.unique(drawn(section, shading="none").reshape(-1, 3), axis=0)) == 2


def test_margins_that_are_all_zero_are_drawn_at_full_strength():
    labels = np.zeros((4, 4), dtype=np.int64)
    picture = pixels_of(map_uri(labels, np.zeros((4, 4)), theme=LIGHT, shading="margin"))
    assert (picture == rgb(shades(0, "light").farthest)).all()


@pytest.mark.parametrize("shading", ["margin", "bands", "none"])
def test_more_classes_than_a_palette_holds(shading):
    labels = np.arange(1000).reshape(25, 40)
    entries, palette = map_pixels(labels, np.ones((25, 40)), theme=LIGHT, shading=shading)
    wanted = [rgb(shades(label, "light").farthest) for label in range(1000)]
    assert palette[entries].reshape(-1, 3).tolist() == wanted
    assert pixels_of(map_uri(labels, np.ones((25, 40)), theme=LIGHT, shading=shading)).shape[2] == 3


@pytest.mark.parametrize("theme", THEMES)
def test_a_name_can_be_read_on_all_shades_of_its_class(theme):
    for label in range(1000):
        near, far, text = shades(label, theme)
        between = [blend(far, near, share) for share in np.linspace(0, 1, 9)]
        assert min(contrast(text, colour) for colour in between) >= 4.45
        assert near != far


def test_shades_lie_between_background_and_class_colour():
    near, far, _ = shades(0, "light")
    paper, colour = np.array(rgb(LIGHT.paper)), np.array(rgb(class_colour(0)))
    shares = [
        (np.array(rgb(shade)) - paper).sum() / (colour - paper).sum() for shade in (near, far)
    ]
    assert shares[0] == pytest.approx(LIGHT.nearest, abs=0.01)
    assert shares[0] < shares[1] <= LIGHT.farthest + 0.01


def test_a_coarse_map_is_enlarged_by_whole_pixels():
    picture = drawn(quarters(), shading="none")
    assert picture.shape == (65 * 8, 65 * 8, 3)
    blocks = picture.reshape(65, 8, 65, 8, 3)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_a_fine_map_has_one_pixel_a_node():
    assert drawn(cells(20)).shape == (513, 513, 3)


def test_images_are_scaled_from_their_bounds_and_clipped():
    image = np.array([[[-1.0, 0.0], [1.0, 3.0]]])
    assert pixels_of(image_uri(image, bounds=(-1, 1), least_side=2))[..., 0].tolist() == [
        [0, 128],
        [255, 255],
    ]


def test_colour_images_keep_their_channels():
    image = np.zeros((3, 2, 2))
    image[1, 0, 1] = 1.0
    picture = pixels_of(image_uri(image, least_side=2))
    assert picture[0, 1].tolist() == [0, 255, 0]
    assert picture.sum() == 255


@pytest.mark.parametrize("paper", ["#ffffff", "#111111"])
def test_zero_is_the_paper_and_signs_are_blue_and_orange(paper):
    row = pixels_of(signed_uri(np.array([[[-0.5, 0.0, 0.5]]]), 0.5, paper=paper, least_side=3))[0]
    assert row[1].tolist() == rgb(paper)
    assert row[0, 2] > row[0, 0]
    assert row[2, 0] > row[2, 2]


def test_a_perturbation_of_zero_can_be_drawn():
    assert (pixels_of(signed_uri(np.zeros((1, 2, 2)), 0.0, least_side=2)) == 255).all()


def test_signed_colours_lie_around_grey():
    row = pixels_of(signed_uri(np.array([[[-1.0]], [[0.0]], [[1.0]]]), 1.0, least_side=1))[0, 0]
    assert row.tolist() == [0, 128, 255]


def test_pixels_are_repeated_to_a_least_side():
    assert pixels_of(png_uri(np.zeros((2, 3), dtype=np.uint8), least_side=10)).shape == (8, 12, 3)
