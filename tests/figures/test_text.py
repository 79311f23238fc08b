"""How wide a text is said to be: no narrower than in the widest of the usual fonts."""

import pytest

from geoexplorer.figures.text import text_width

# In DejaVu Sans of size 1, as Pillow measures it.
WIDTHS = {
    "first 10 images: at z, alignment 0.998 (median), 10 images,": 29.91,
    "this image: at z, alignment 0.999, values measured on the": 29.33,
    "positive: the other region bulges into the own region": 26.36,
    "values measured on the other half of the probes": 24.24,
    "smoothed, h = 0.156": 10.60,
    "mean κ63 = −1.21": 9.55,
    "rounding error of 6e−11)": 12.54,
    "(771 affine pieces, least margin 2.3": 17.79,
}


@pytest.mark.parametrize("text", WIDTHS)
def test_a_text_is_no_wider_than_it_is_said_to_be(text):
    said = text_width(text, 1.0)
    assert WIDTHS[text] <= 1.005 * said
    assert said <= 1.06 * WIDTHS[text]


@pytest.mark.parametrize("text", WIDTHS)
def test_there_is_room_for_a_wider_font(text):
    assert text_width(text, 1.0) >= 1.045 * WIDTHS[text]
