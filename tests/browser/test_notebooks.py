"""The course's notebooks in JupyterLab: all cells run, and what is live is seen."""

import pytest

from tests.jupyter import LESSONS

# Progress is written where errors are, so that a program's output stays clean.
PROGRESS = r"^kernel: \s*(starting|boundary points|final|1 figure, written|\[1/1\]|The page is)"


@pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])
def test_it_runs_and_shows_what_is_live(path, open_notebook):
    notebook = open_notebook(path)
    notebook.expect(PROGRESS)
    live = notebook.page.locator(
        ".jp-OutputArea-output .jupyter-widgets .js-plotly-plot .main-svg:visible"
    )
    live.first.wait_for()
    if notebook.value("'explorer' in globals()"):
        assert notebook.page.locator(".gx-explorer .js-plotly-plot .main-svg").count()
        assert notebook.value("explorer.wait(120)")
        assert notebook.value("explorer.errors.last is None")
