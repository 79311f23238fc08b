"""The class colours: distinct for every kind of sight, readable, and fixed by a rule."""

import re

import numpy as np
import pytest

from geoexplorer.figures.colours import blend, class_colour, contrast, text_colour
from geoexplorer.figures.theme import THEMES

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def cie_lab(colours, sight="normal"):
    """CIE Lab (n, 3) of colours as a viewer of that sight sees them."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.asarray(SIGHT[sight]).T, 0, 1)
    t = seen @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )


def ciede2000(first, second):
    """Colour difference of Lab colours (n, 3)."""
    (L1, a1, b1), (L2, a2, b2) = first.T, second.T
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    G = 0.5 * (1 - np.sqrt(mean**7 / (mean**7 + 25.0**7)))
    a1, a2 = (1 + G) * a1, (1 + G) * a2
    C1, C2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180
    dL, dC = L2 - L1, C2 - C1
    dH = 2 * np.sqrt(C1 * C2) * np.sin(np.radians(turn / 2))
    h, L, C = (h1 + turn / 2) % 360, (L1 + L2) / 2, (C1 + C2) / 2
    T = (
        1
        - 0.17 * np.cos(np.radians(h - 30))
        + 0.24 * np.cos(np.radians(2 * h))
        + 0.32 * np.cos(np.radians(3 * h + 6))
        - 0.20 * np.cos(np.radians(4 * h - 63))
    )
    SL = 1 + 0.015 * (L - 50) ** 2 / np.sqrt(20 + (L - 50) ** 2)
    SC, SH = 1 + 0.045 * C, 1 + 0.015 * C * T
    RT = -np.sin(2 * np.radians(30 * np.exp(-(((h - 275) / 25) ** 2)))) * 2
    RT = RT * np.sqrt(C**7 / (C**7 + 25.0**7))
    return np.sqrt((dL / SL) ** 2 + (dC / SC) ** 2 + (dH / SH) ** 2 + RT * dC / SC * dH / SH)


def least_difference(colours, sight):
    lab = cie_lab(colours, sight)
    first, second = np.triu_indices(len(colours), 1)
    return ciede2000(lab[first], lab[second]).min()


TEN = [class_colour(index) for index in range(10)]


def test_ciede2000_against_published_pairs():
    # Sharma, Wu and Dalal (2005), table 1, pairs 1, 7, 17 and 25.
    first = np.array(
        [[50, 2.6772, -79.7751], [50, 0, 0], [50, 2.5, 0], [60.2574, -34.0099, 36.2677]]
    )
    second = np.array([[50, 0, -82.7485], [50, -1, 2], [73, 25, -18], [60.4626, -34.1751, 39.4387]])
    np.testing.assert_allclose(
        ciede2000(first, second), [2.0425, 2.3669, 27.1492, 1.2644], atol=1e-4
    )


@pytest.mark.parametrize(
    ("sight", "least"),
    [("normal", 20), ("protanopia", 16), ("deuteranopia", 16), ("tritanopia", 16)],
)
def test_ten_classes_are_distinct(sight, least):
    assert least_difference(TEN, sight) >= least


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
@pytest.mark.parametrize("sight", SIGHT)
def test_ten_classes_are_distinct_when_shaded(theme, sight):
    # At seven tenths of the class colour, as the inside of a region usually is.
    assert least_difference([blend(c, theme.paper, 0.7) for c in TEN], sight) >= 12


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_colours_stand_out_from_the_background(theme):
    least = {"light": 1.45, "dark": 2.5}[theme.name]
    assert min(contrast(colour, theme.paper) for colour in TEN) >= least


def test_black_or_white_text_is_readable_on_every_class_colour():
    colours = [class_colour(index) for index in range(1000)]
    assert min(contrast(text_colour(c), c) for c in colours) >= 4.5


def test_a_thousand_classes_have_a_thousand_colours():
    colours = [class_colour(index) for index in range(1000)]
    assert len(set(colours)) == 1000
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_twenty_classes_can_be_told_apart_in_normal_sight():
    assert least_difference([class_colour(index) for index in range(20)], "normal") >= 5


def test_odd_rounds_are_darker_and_even_ones_lighter():
    base, odd, even = (
        cie_lab([class_colour(10 * turn + j) for j in range(10)])[:, 0].mean() for turn in (0, 1, 2)
    )
    assert odd < base < even


def test_numpy_integers_are_indices():
    assert class_colour(np.int64(3)) == class_colour(3)


@pytest.mark.parametrize(("index", "error"), [(-1, ValueError), (1.0, TypeError), ("3", TypeError)])
def test_bad_index(index, error):
    with pytest.raises(error, match="index must be"):
        class_colour(index)


def test_contrast_is_that_of_wcag():
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_text_colour_minds_all_its_backgrounds():
    assert text_colour("#222222", "#333333") == "#ffffff"
    assert text_colour("#dddddd", "#ffffff") == "#000000"
    with pytest.raises(ValueError, match="backgrounds"):
        text_colour()
