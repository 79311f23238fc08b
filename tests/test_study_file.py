"""Studies from TOML files, and the command that runs them."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from PIL import Image

import geoexplorer as gx
from geoexplorer.cli import main
from geoexplorer.study_file import read_study

DIGITS = """
    store = "found.zarr"
    networks = ["digits-cnn"]
    shard_size = 3
    [images]
    source = "digits"
    n = 6
    [quantities.curvature]
    k = 3
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def test_a_file_says_what_the_arguments_of_a_study_say(written, tmp_path):
    study = read_study(written(DIGITS))
    clf = gx.load_classifier("digits-cnn")
    same = gx.Study(
        clf, gx.load_images("digits", n=6), {"curvature": {"k": 3}},
        store=tmp_path / "other.zarr", shard_size=3,
    )  # fmt: skip
    assert study.description == same.description
    assert study.store == str(tmp_path / "found.zarr")


def test_networks_are_names_or_tables(written):
    study = read_study(
        written(
            DIGITS.replace(
                '["digits-cnn"]',
                '["digits-cnn-smooth", {name = "digits-cnn", dtype = "float64", device = "cpu"}]',
            )
        )
    )
    networks = study.description["networks"]
    assert list(networks) == ["digits-cnn-smooth", "digits-cnn"]
    assert networks["digits-cnn"]["dtype"] == "float64"


def test_a_network_of_ones_own_is_made_by_a_function_beside_the_file(written, tmp_path):
    (tmp_path / "my_own_networks.py").write_text(
        "import geoexplorer as gx\n"
        "from torch.nn import Flatten, Linear, Sequential\n"
        "def linear(classes):\n"
        "    module = Sequential(Flatten(), Linear(64, classes)).eval()\n"
        "    return gx.Classifier(module, input_shape=(1, 8, 8), device='cpu', name='mine')\n"
    )
    text = DIGITS.replace(
        '["digits-cnn"]', '{factory = "my_own_networks:linear", classes = 10}'
    ).replace("shard_size = 3\n", "")
    assert list(read_study(written(text)).description["networks"]) == ["mine"]


def test_files_of_a_folder_are_read_when_needed_in_the_size_of_the_network(written, tmp_path):
    for name in ("0", "3"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        Image.new("RGB", (20, 30)).save(tmp_path / "pictures" / name / "one.png")
    (tmp_path / "pictures" / "3" / "two.png").write_bytes(b"no picture")
    study = read_study(
        written(DIGITS.replace('source = "digits"\n    n = 6', 'source = "pictures"'))
    )
    images = study.description["images"]
    assert images["shape"] == [1, 8, 8]
    assert images["count"] == 3
    assert images["class_names"] == list("0123456789")  # as the network has them
    failures = study.run(show=False).failures()
    assert failures["image"].tolist() == [2]
    assert "two.png" in failures["reason"].item()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('store = "found.zarr"', ""), "must have 'store'"),
        (("networks", "nets"), "got 'nets'"),
        (('"digits-cnn"', '"digits-cn"'), "did you mean"),
        (('["digits-cnn"]', '{factory = "nowhere:make"}'), "'nowhere:make' could not be imported"),
        (('["digits-cnn"]', '{factory = "math"}'), "'module:function'"),
        (('["digits-cnn"]', '{factory = "math:sqrt", x = 1}'), "unexpected keyword|no keyword"),
        (('["digits-cnn"]', '{name = "digits-cnn", colour = 1}'), "got 'colour'"),
        (('["digits-cnn"]', '{name = "digits-cnn", dtype = "half"}'), "got 'half'"),
        (("k = 3", "k = 0"), "curvature.k must be at least 1"),
        (("k = 3", "kk = 3"), "curvature takes .* got 'kk'"),
        (("quantities.curvature", "quantities.curve"), "got 'curve'"),
        (('source = "digits"', 'source = "digit"'), "did you mean 'digits'"),
        (("n = 6", "many = 6"), "got 'many'"),
        (("k = 3", "k = 3\n    shard_size = 3"), "shard_size belongs to the study"),
        (("shard_size = 3", "shard_size = 0"), "shard_size must be at least 1"),
        (("shard_size = 3", "shard_size ="), "not a TOML file"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(written, tmp_path, change, told):
    with pytest.raises((ValueError, TypeError), match=told):
        read_study(written(DIGITS.replace(*change)))
    assert not (tmp_path / "found.zarr").exists()


def test_the_command_runs_it_and_prints_a_table(written, capsys, tmp_path):
    path = written(DIGITS)
    assert main(["study", str(path), "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "largest curvature, median" in told
    assert str(tmp_path / "found.zarr") in told
    stored = gx.open_study(tmp_path / "found.zarr")
    median = stored.dataset()["curvature"].isel(index=0).median().item()
    assert f"{median:.4g}" in told
    # Nothing is left to do: the same table again.
    assert main(["study", str(path), "--quiet"]) == 0
    assert capsys.readouterr().out == told


def test_the_command_says_what_is_wrong_in_one_line(written, capsys):
    assert main(["study", "nowhere.toml"]) == 1
    assert "nowhere.toml" in capsys.readouterr().err
    assert main(["study", str(written(DIGITS.replace("k = 3", "k = 99")))]) == 1
    assert "curvature.k must be between 1 and 31" in capsys.readouterr().err


def test_a_stopped_command_says_how_to_go_on(written, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(gx.Study, "run", stop)
    assert main(["study", str(written(DIGITS))]) == 130
    assert "goes on" in capsys.readouterr().err


def test_without_dask_workers_are_refused_in_words(written, capsys, monkeypatch):
    monkeypatch.setattr("geoexplorer.study_command.find_spec", lambda name: None)
    assert main(["study", str(written(DIGITS)), "--workers", "2"]) == 1
    assert "geoexplorer[cluster]" in capsys.readouterr().err


def test_a_study_that_is_there_is_not_mixed_with_another(written, capsys):
    assert main(["study", str(written(DIGITS)), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["study", str(written(DIGITS.replace("k = 3", "k = 4"))), "--quiet"]) == 1
    assert "quantities.curvature.k is 3 in the store and 4 here" in capsys.readouterr().err
