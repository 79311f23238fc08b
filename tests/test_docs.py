"""What the pages of docs/ and the README show runs as it stands there, and the pages build."""

import contextlib
import doctest
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import nbformat
import plotly.graph_objects as go
import plotly.io
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from torch import nn

import geoexplorer as gx
from geoexplorer.cli import main
from geoexplorer.figures import drawing
from geoexplorer.study_file import read_study
from geoexplorer.widgets import Explorer
from tests.jupyter import LESSONS, REPOSITORY

DOCS = REPOSITORY / "docs"
WIDGET = "application/vnd.jupyter.widget-view+json"
PAGES = sorted(
    page.relative_to(DOCS).as_posix()
    for page in DOCS.rglob("*.md")
    if not {"_build", "course"}.intersection(page.relative_to(DOCS).parts)
)
# Marks of blocks that need more than a test has: another process, a cluster, a GPU, a download, a
# Chrome. They are compiled.
NOT_RUN = ("python script", "python cluster", "python gpu", "python large", "python export")
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(r"^```(?P<mark>[^\n`]*)\n(?P<block>.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A code block of a page."""

    mark: str  # what stands behind the fence
    source: str  # at the line where it stands, after as many empty ones
    printed: str | None  # what the page says that it prints, in a block of text right behind it


def blocks(text, mark):
    """Those that are marked so, in order."""
    fences, found = [*FENCE.finditer(text), None], []
    for fence, following in itertools.pairwise(fences):
        if fence["mark"].strip() == mark:
            lines = text[: fence.start("block")].count("\n")
            behind = following and text[fence.end() : following.start()].strip() == ""
            printed = following["block"] if behind and following["mark"] == "text" else None
            found.append(Block(mark, "\n" * lines + fence["block"], printed))
    return found


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def run(written, name, names):
    """Run blocks one after the other, with names that are there already; what they print."""
    output, everything = doctest.OutputChecker(), ""
    for block in written:
        with contextlib.redirect_stdout(io.StringIO()) as caught:
            exec(compile(block.source, name, "exec"), names)
        everything += caught.getvalue()
        if block.printed is not None:
            same = output.check_output(block.printed, caught.getvalue(), LIKE)
            assert same, f"{name} says\n{block.printed}\nprinted is\n{caught.getvalue()}"
    return everything


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """A folder of its own to run in, and what was to be opened in a browser or as an Explorer."""
    opened, explore = [], gx.explore

    def exploring(*arguments, **options):
        opened.append(explore(*arguments, **options))
        return opened[-1]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plotly.io, "show", lambda figure, *args, **kwargs: opened.append(figure))
    monkeypatch.setattr(gx, "explore", exploring)
    yield opened
    for widget in opened:
        if isinstance(widget, Explorer):
            widget.close()


@pytest.mark.parametrize("name", [name for name in PAGES if blocks(page(name), "python")])
def test_the_python_blocks_of_a_page_run_one_after_the_other(name, shown):
    names = {"__name__": "page"}
    printed = run(blocks(page(name), "python"), f"docs/{name}", names)
    if name == "studies.md":
        assert names["stored"].summary()["images"].tolist() == [12, 12]
        assert names["figure"].data
        assert "gradients a second" in printed


@pytest.mark.parametrize("name", PAGES)
def test_what_needs_more_than_a_test_has_is_python(name):
    marks = {match["mark"].strip() for match in FENCE.finditer(page(name))}
    assert not [mark for mark in marks.difference(NOT_RUN, ["python"]) if mark.startswith("py")]
    for mark in NOT_RUN:
        for block in blocks(page(name), mark):
            compile(block.source, f"docs/{name}", "exec")
            assert mark not in ("python script", "python cluster") or "run(client=" in block.source


def test_the_blocks_of_the_readme_run(shown):
    # The same lines on the digits, and on fewer of them: quickly.
    quicker = {
        '"shapes-lenet': '"digits-cnn', '"shapes"': '"digits"', "n=200": "n=6", "[:100]": "[:30]",
        "[:50]": "[:20]", "[50:]": "[20:]",
    }  # fmt: skip
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for slow, quick in quicker.items():
        text = text.replace(slow, quick)
    written = blocks(text, "python")
    for block in blocks(text, "python cluster"):
        compile(block.source, "README.md", "exec")
    # What a reader has: a network, images and labels.
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))
    own = {"net": net, "x": torch.rand(9, 3, 224, 224), "y": torch.arange(9) % 3}
    names = own | {"__name__": "page"}
    run(written, "README.md", names)
    assert names["path"].connected
    assert names["study"].summary()["images"].tolist() == [6, 6]
    assert any(isinstance(each, Explorer) for each in shown)
    assert any(isinstance(each, go.Figure) for each in shown)


def test_every_public_name_has_its_place_in_the_reference():
    pages = "\n".join(page(name) for name in PAGES if name.startswith("reference/"))
    named = re.findall(r"^\.\. auto(?:class|function):: (\w+)$", pages, re.MULTILINE)
    assert set(gx.__all__) - {"__version__"} <= set(named)
    assert len(named) == len(set(named))


def test_every_kind_of_figure_is_in_the_reference():
    listed = re.findall(
        r"^\.\. autofunction:: .*\.(\w+_figure)$", page("reference/figures.md"), re.M
    )
    drawn = vars(drawing).items()
    assert {name for name, value in drawn if name.endswith("_figure")} == set(listed)


def test_the_options_of_the_command_line_are_all_there(capsys):
    described = page("reference/command_line.md")
    for command in ("lab", "figures", "study", "info"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        section = described.split(f"\n## geoexplorer {command}")[1].split("\n## ")[0]
        options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
        assert options == set(re.findall(r"^\| `(--[a-z-]+)", section, re.MULTILINE))


def build(folder, out):
    """Build the pages in a folder, without running notebooks; fails on any warning."""
    command = [sys.executable, folder / "build.py", "--no-notebooks", "--out", out]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return lambda name: (out / "html" / name).read_text(encoding="utf-8")


def a_lesson():
    """A notebook with a link, a figure in both forms that there are, and a widget."""
    figure = go.Figure(go.Scatter(y=[1.0, 3.0, 2.0])).to_dict()
    title = "# First lesson\n\n[Words](../docs/concepts/boundary.md) for $F = 0$."
    cells = [new_markdown_cell(title), new_code_cell("figure"), new_code_cell("widget")]
    for name in ("plotly_mimetype", "notebook_connected"):
        bundle = plotly.io.renderers[name].to_mimebundle(figure)
        cells[1].outputs.append(new_output("display_data", data=bundle))
    widget = {"text/plain": "Explorer()", WIDGET: {"model_id": "1", "version_major": 2}}
    cells[2].outputs.append(new_output("display_data", data=widget))
    return new_notebook(cells=cells)


def test_the_pages_build_without_warnings_with_notebooks_and_without(tmp_path):
    ignored = shutil.ignore_patterns("_build", "course", "__pycache__")
    pages = Path(shutil.copytree(DOCS, tmp_path / "docs", ignore=ignored))
    built = build(pages, tmp_path / "built")
    assert "l2 norm of r" in built("reference/boundary.html")  # a comment beside a field
    assert "They are not part of this copy" in built("course.html")

    (pages / "course").mkdir()
    nbformat.write(a_lesson(), pages / "course" / "0_first.ipynb")
    for lesson in LESSONS:
        shutil.copy(lesson, pages / "course")
    built = build(pages, tmp_path / "built")
    assert "First lesson" in built("course.html")
    lesson = built("course/0_first.html")
    assert 'href="../concepts/boundary.html"' in lesson
    assert "A live widget stands here when the notebook runs." in lesson
    assert "Explorer()" not in lesson
    assert lesson.count("Plotly.newPlot(") == 2
    assert lesson.count('<script src="../_static/plotly.min.js"></script>') == 1
    assert "cdn.plot.ly" not in lesson
    assert (tmp_path / "built" / "html" / "_static" / "plotly.min.js").stat().st_size > 1_000_000


def test_the_notebooks_are_run_before_the_pages_are_built(monkeypatch, tmp_path):
    found = spec_from_file_location("build_docs", DOCS / "build.py")
    script, asked = module_from_spec(found), []
    found.loader.exec_module(script)
    monkeypatch.setattr(sys, "path", [*sys.path])
    notebooks = ModuleType("execute")
    monkeypatch.setitem(sys.modules, "execute", notebooks)
    monkeypatch.setattr(script, "sphinx", lambda options: asked.append("pages") or 0)
    monkeypatch.setattr(script, "COURSE", tmp_path / "course")
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / "renamed.ipynb").touch()
    notebooks.main = lambda options: asked.append(options) or 0
    assert script.main(["--out", str(tmp_path)]) == 0
    assert asked == [["--out", str(tmp_path / "course")], "pages"]
    assert not list((tmp_path / "course").iterdir())
    notebooks.main = lambda options: 3
    assert script.main(["--out", str(tmp_path)]) == 3
    assert asked[2:] == []


def test_the_file_describes_a_study_that_the_command_runs(tmp_path, capsys):
    ((_, text, _),) = blocks(page("studies.md"), "toml")
    path = tmp_path / "shapes.toml"
    path.write_text(text, encoding="utf-8")
    assert list(read_study(path).description["networks"]) == ["shapes-lenet", "shapes-lenet-smooth"]
    # Two images and no curvature: quickly.
    path.write_text(text.replace("n = 200", "n = 2").split("[quantities.curvature]")[0])
    assert main(["study", str(path), "--quiet"]) == 0
    assert "distance, median" in capsys.readouterr().out
    assert gx.open_study(tmp_path / "shapes.zarr").summary()["images"].tolist() == [2, 2]
