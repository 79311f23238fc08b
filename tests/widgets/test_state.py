"""Choices go to JSON and come back; what does not fit is refused with its name."""

import json

import pytest
import torch
import traitlets

from geoexplorer.widgets.axes import Axis, AxisTrait
from geoexplorer.widgets.selection import Selection
from geoexplorer.widgets.state import (
    Choice,
    Spot,
    Window,
    read_state,
    tensor_from_json,
    tensor_to_json,
)


class Some(Choice):
    axis = AxisTrait(Axis("random tangent")).tag(state=True)
    window = Window().tag(state=True)
    spot = Spot().tag(state=True)
    shade = traitlets.Enum(("none", "margin"), "none").tag(state=True)
    passing = traitlets.Int(3)


def test_what_is_tagged_is_the_state_and_survives_json():
    some = Some(axis=Axis("random tangent", {"seed": 5}), window=(-1, 2, 0, 0.5), spot=(1, 2))
    state = json.loads(json.dumps(some.to_json()))
    assert state == {
        "axis": {"kind": "random tangent", "seed": 5},
        "window": [-1.0, 2.0, 0.0, 0.5],
        "spot": [1.0, 2.0],
        "shade": "none",
    }
    assert Some(**some.checked(state, "it")).to_json() == state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"windwo": None}, "did you mean 'window'"),
        ({"passing": 4}, "'passing' is not known"),
        ({"window": [0, 1, 2]}, "'window' cannot be .* four finite numbers"),
        ({"window": [1, 0, 0, 1]}, "left < right"),
        ({"window": [0, 1, 0, float("nan")]}, "four finite numbers"),
        ({"window": "1234"}, "four finite"),
        ({"spot": [0, float("inf")]}, "two finite numbers"),
        ({"shade": "dark"}, "'shade' cannot be 'dark'"),
        ({"axis": "randm tangent"}, "did you mean 'random tangent'"),
        ({"axis": {"kind": "random tangent", "sed": 1}}, "did you mean 'seed'"),
        ({"axis": {"kind": "random tangent", "seed": -1}}, "seed must be a whole number"),
        ({"axis": {"kind": "random tangent", "seed": True}}, "seed must be a whole number"),
        ({"axis": {"kind": "toward a class", "other": 3}}, "other must be a name"),
        ({"axis": ["normal"]}, "the name of an axis or a mapping"),
        ([], "must be a mapping"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(state, said):
    with pytest.raises(ValueError, match=said):
        Some().checked(state, "it")


def test_window_and_spot_take_none():
    assert Some().checked({"window": None, "spot": None}, "it") == {"window": None, "spot": None}


def test_tensors_survive_number_for_number():
    tensor = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    stored = json.loads(json.dumps(tensor_to_json(tensor)))
    assert torch.equal(tensor_from_json(stored, "it"), tensor)


@pytest.mark.parametrize(
    "stored",
    [
        {"shape": [2], "float32": "AAAA"},
        {"shape": [1], "float32": "no base64!"},
        {"shape": ["a"], "float32": "AAAAAA=="},
        {"float32": "AAAAAA=="},
        {"shape": [1], "float32": "AADAfw=="},  # NaN
        "AAAA",
    ],
)
def test_what_is_no_tensor_is_refused(stored):
    with pytest.raises(ValueError, match="it"):
        tensor_from_json(stored, "it")


def test_a_state_is_read_from_a_mapping_a_file_or_bytes(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"a": 1}')
    assert read_state({"a": 1}) == read_state(path) == read_state(b'{"a": 1}') == {"a": 1}


def test_what_is_no_state_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        read_state(tmp_path / "missing.json")
    with pytest.raises(ValueError, match="no JSON"):
        read_state(b"import os")
    with pytest.raises(TypeError, match="mapping or a path"):
        read_state(3)


GREY, COLOUR = (1, 8, 8), (3, 32, 32)


@pytest.fixture
def selection():
    return Selection(
        {"grey net": GREY, "colour net": COLOUR, "other grey net": GREY},
        {"greys": GREY, "colours": COLOUR},
        network="grey net",
        images="greys",
    )


def test_a_network_brings_images_that_fit_it(selection):
    selection.image = 7
    selection.network = "other grey net"
    assert (selection.images, selection.image) == ("greys", 7)
    selection.network = "colour net"
    assert (selection.images, selection.image) == ("colours", None)


def test_images_bring_a_network_that_fits_them(selection):
    selection.images = "colours"
    assert selection.network == "colour net"


def test_an_unknown_network_is_refused_with_the_nearest_name(selection):
    with pytest.raises(traitlets.TraitError, match="did you mean 'grey net'"):
        selection.network = "gray net"
    assert selection.network == "grey net"


def test_a_state_whose_network_and_images_do_not_fit_changes_nothing(selection):
    with pytest.raises(ValueError, match="'colour net' takes images of shape"):
        selection.restore({"network": "colour net", "images": "greys", "image": 3})
    assert selection.to_json() == {
        "network": "grey net", "images": "greys", "image": None, "shown_class": "all",
    }  # fmt: skip


def test_a_selection_comes_back_whole(selection):
    state = {"network": "colour net", "images": "colours", "image": 3, "shown_class": "b"}
    selection.restore(state)
    assert selection.to_json() == state
