"""The course's notebooks in JupyterLab: all cells run, and what is live is seen."""

import pytest

from tests.jupyter import REPOSITORY

COURSE = sorted((REPOSITORY / "notebooks").glob("[1-9]_*.ipynb"))


@pytest.mark.parametrize("path", COURSE, ids=[path.stem for path in COURSE])
def test_it_runs_and_shows_its_explorer(path, open_notebook):
    notebook = open_notebook(path)
    explorer = notebook.page.locator(".gx-explorer").first
    explorer.scroll_into_view_if_needed()
    explorer.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert notebook.value("explorer.wait(120)")
    assert notebook.value("explorer.errors.last is None")
