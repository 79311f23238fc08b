"""What docs/studies.md shows runs as it stands there."""

import re
import textwrap

import pytest

import geoexplorer as gx
from geoexplorer.cli import main
from geoexplorer.study_file import read_study
from tests.jupyter import REPOSITORY

PAGE = (REPOSITORY / "docs" / "studies.md").read_text(encoding="utf-8")


def blocks(kind):
    """Code blocks that are marked so, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_python_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("python"):
        exec(compile(block, "docs/studies.md", "exec"), names)
    assert names["stored"].summary()["images"].tolist() == [12, 12]
    assert names["figure"].data
    assert "gradients a second" in capsys.readouterr().out


@pytest.mark.parametrize("block", [*blocks("python script"), *blocks("python cluster")])
def test_what_needs_a_cluster_is_python(block):
    compile(textwrap.dedent(block), "docs/studies.md", "exec")
    assert "run(client=" in block


def test_the_file_describes_a_study_that_the_command_runs(tmp_path, capsys):
    (text,) = blocks("toml")
    path = tmp_path / "shapes.toml"
    path.write_text(text, encoding="utf-8")
    assert list(read_study(path).description["networks"]) == ["shapes-lenet", "shapes-lenet-smooth"]
    # Two images and no curvature: quickly.
    path.write_text(text.replace("n = 200", "n = 2").split("[quantities.curvature]")[0])
    assert main(["study", str(path), "--quiet"]) == 0
    assert "distance, median" in capsys.readouterr().out
    assert gx.open_study(tmp_path / "shapes.zarr").summary()["images"].tolist() == [2, 2]
