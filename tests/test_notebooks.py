"""The course's notebooks run from top to bottom on a small machine; their exercises are fair."""

import re
import sys
from pathlib import Path

import nbformat
import pytest

from tests.jupyter import LESSONS, REPOSITORY

sys.path.insert(0, str(REPOSITORY / "docs"))
import execute

MOST_MIB = 1536
# Right and wrong sources of the cell that the reader changes.
ANSWERS = {
    "1_explorer": (
        "explorer.selection.image = 18\nchosen = explorer.to_json()['selection']['image']",
        "explorer.selection.image = 10\nchosen = explorer.to_json()['selection']['image']",
    ),
    "2_decision_boundary": (
        "found = gx.nearest_boundary(clf, x[8], 0)\nanswer = x[8] + 1.02 * found.perturbations[0]",
        "answer = x[8] + 1.02 * gx.nearest_boundary(clf, x[8]).perturbations[0]",
    ),
    "3_cross_sections": (
        "slider.value = 51\nanswer = slider.value",
        "slider.value = 15\nanswer = slider.value",
    ),
    "4_curvature": (
        "answer = (7, -2.5)",
        "answer = (7, 2.5)",
    ),
    "5_connected_regions": (
        "n = max(k for k in range(2, 61) if bool((clf.labels(points(k)) == 1).all()))",
        "n = 30",
    ),
    "6_adversarial_directions": (
        "shares = [shared.share_of(unseen.perturbations, k).mean() for k in range(1, 65)]\n"
        "m = next(k for k, share in enumerate(shares, start=1) if share >= 0.9)",
        "m = 52",
    ),
    "7_detection": (
        "t = 2.5",
        "t = 1.05",
    ),
    "8_your_own_network": (
        "mine = gx.Classifier(normalised, input_shape=(1, 8, 8), mean=0.3, std=0.4)",
        "mine = gx.Classifier(normalised, input_shape=(1, 8, 8), mean=0.3)",
    ),
    "9_paper_figures": (
        "slide = sections.figure(width=680, font_size=14, theme='dark')",
        "slide = sections.figure(width=680, font_size=14)",
    ),
}
# Other answers that are right, or wrong in a way of their own.
MORE = {
    "1_explorer": [("chosen = len(x)", "Not yet")],
    "7_detection": [("import numpy\nt = numpy.float32(2.5)", "Right"), ("t = 'two'", "Not yet")],
    "8_your_own_network": [
        (
            "mine = gx.Classifier(normalised, input_shape=(1, 8, 8), mean=0.3, std=0.4,"
            " dtype=torch.float64)",
            "Right",
        ),
        ("mine = gx.load_classifier('shapes-lenet')", "Not yet"),
    ],
}


def named(paths):
    return {"argvalues": paths, "ids": [path.stem for path in paths]}


def cells(path, kind="code"):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def with_tag(notebook, tag):
    (cell,) = [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    return cell


def test_the_course_has_nine_notebooks_in_order():
    assert [int(path.stem.split("_")[0]) for path in LESSONS] == list(range(1, 10))
    assert set(ANSWERS) == {path.stem for path in LESSONS}


@pytest.mark.parametrize("path", **named(LESSONS))
def test_it_runs_within_a_small_machine_and_its_check_is_fair(path, record_property):
    right, wrong = ANSWERS[path.stem]
    with execute.running(path) as run:
        record_property("took", f"{path.name:36} {run}")
        assert not run.peak >= MOST_MIB  # not known where there is no /proc
        check = with_tag(run.notebook, "check")
        assert not check.outputs[0].text.startswith("Right"), "answered beforehand"
        for source, verdict in ((wrong, "Not yet"), (right, "Right"), *MORE.get(path.stem, ())):
            run.ask(source)
            assert run.ask(check.source).startswith(verdict), source


def failing(folder, source, capfd):
    """What is said of a notebook with this cell, which does not run to its end."""
    path = folder / "failing.ipynb"
    cell = nbformat.v4.new_code_cell(source)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    assert execute.main([str(path), "--out", str(folder / "out")]) == 1
    assert not (folder / "out").exists()
    return capfd.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is held on Linux only")
def test_a_notebook_that_takes_more_memory_fails(tmp_path, capfd):
    source = "import torch\ntorch.ones(3, 2**28).sum()"  # 3 GB
    assert "allocate memory" in failing(tmp_path, source, capfd)


@pytest.mark.parametrize(
    ("source", "said"),
    [("import os\nos._exit(3)", "died"), ("torch", "name 'torch' is not defined")],
    ids=["a kernel that ends", "a name that was not imported"],
)
def test_what_else_does_not_run_fails(tmp_path, capfd, source, said):
    assert said in failing(tmp_path, source, capfd)


@pytest.mark.parametrize("path", **named(sorted((REPOSITORY / "notebooks").glob("*.ipynb"))))
def test_it_is_kept_without_outputs(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 25, "longer than a screen"


@pytest.mark.parametrize("path", **named(LESSONS))
def test_it_has_what_each_lesson_has(path):
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert re.match(rf"# {path.stem[0]}\. ", text)
    assert "> " in text, "no sentence of the paper"
    assert "**Guess before you run the next cell.**" in text
    assert "**To remember.**" in text
    live = re.compile(r"gx\.explore\(|FigureWidget\(")
    assert any(live.search(cell.source) for cell in cells(path))
    notebook = nbformat.read(path, 4)
    assert with_tag(notebook, "exercise")
    assert with_tag(notebook, "check").metadata.jupyter.source_hidden
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert link.startswith("http") or (path.parent / link).exists(), link
