"""What is asked for is checked before any work, and answered with a sentence."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoexplorer import cli
from geoexplorer.paper.request import Request
from geoexplorer.paper.subjects import load_subject
from geoexplorer.zoo import registry

WEIGHTS = Path(registry.__file__).parent / "weights"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "curves"], "only must be of sections, path, .*, got 'curves'"),
        (["--formats", "html,eps"], "formats must be of html, svg, png, pdf, got 'eps'"),
        (["--networks", "lenet"], "networks must be of digits-cnn, .*, got 'lenet'"),
        (["--networks", "none.safetensors"], "there is no 'none.safetensors'"),
        (
            ["--networks", "resnet18"],
            "images must be a folder for the network 'resnet18'",
        ),
        (["--images", "nowhere"], "images must be a folder, but there is no folder nowhere"),
        (["--seed", "-1"], "seed must be from 0 to .*, got -1"),
        (["--networks", "digits-cnn,"], "networks must be of digits-cnn, .*, got ''"),
    ],
)
def test_bad_input_is_named(tmp_path, capsys, options, said):
    assert cli.main(["figures", "--out", str(tmp_path / "out"), *options]) == 1
    error = capsys.readouterr().err
    assert re.search(said, error)
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder(tmp_path, capsys):
    file = tmp_path / "file"
    file.touch()
    for out in (file, file / "below"):
        assert cli.main(["figures", "--out", str(out)]) == 1
        said = capsys.readouterr().err
        assert f"({file} is a file); name another with --out FOLDER" in said
        assert "out must be a folder" in said


@pytest.mark.parametrize("out", ["/proc/x", "/proc"])
def test_a_folder_that_cannot_be_made_or_written_to_is_one_sentence(capsys, out):
    if not Path("/proc/self").exists():
        pytest.skip("there is no such file system here")
    assert cli.main(["figures", "--out", out, "--only", "convex"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"out must be a folder that can be made and written to, got {out} (" in said
    assert "--out FOLDER" in said


def test_a_folder_without_images_is_named(tmp_path, capsys):
    assert cli.main(["figures", "--out", str(tmp_path / "o"), "--images", str(tmp_path)]) == 1
    assert "has neither image files nor subfolders" in capsys.readouterr().err


def test_quick_takes_networks_that_suit_and_full_all_bundled_ones(tmp_path):
    assert Request(tmp_path).networks_for("sections") == ("shapes-lenet",)
    assert len(Request(tmp_path, full=True).networks_for("sections")) == 6
    chosen = Request(tmp_path, networks=("digits-cnn", "shapes-nin"))
    assert chosen.networks_for("detection") == ("digits-cnn", "shapes-nin")


def test_two_networks_never_share_a_file_name(tmp_path):
    file = tmp_path / "digits-cnn.safetensors"
    file.write_bytes((WEIGHTS / "digits-cnn.safetensors").read_bytes())
    both = Request(tmp_path / "out", networks=("digits-cnn", str(file)))
    assert [both.short_name(name) for name in both.networks] == ["digits-cnn", "digits-cnn-2"]


def test_a_network_of_a_file_finds_the_images_it_was_trained_on(tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes((WEIGHTS / "digits-cnn.safetensors").read_bytes())
    assert load_subject(str(file)).source == "digits, test"


def test_images_of_a_folder_fit_the_network_and_are_mixed(tmp_path):
    for label, value in (("dark", 0), ("light", 255)):
        (tmp_path / label).mkdir()
        for number in range(8):
            pixels = np.full((20, 24, 3), value, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    subject = load_subject("digits-cnn", folder=tmp_path)
    assert tuple(subject.images.shape) == (16, 1, 8, 8)
    assert len(set(subject.images[:8].mean((1, 2, 3)).tolist())) == 2
    known = {}
    exec(subject.code, known)
    assert known["x"].equal(subject.images)


def test_too_few_images_are_said(tmp_path):
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match="images must be at least 12, got 1"):
        load_subject("digits-cnn", folder=tmp_path)
