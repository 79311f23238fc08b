"""Fixtures for tests that drive JupyterLab in a Chromium; see harness.py."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import jupyter
from tests.browser import harness

_NOTEBOOKS = pytest.StashKey[list[harness.Notebook]]()
_PASSED = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def playwright_browser(chromium: Path) -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=harness.CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[jupyter.Server]:
    """A JupyterLab of its own, for all tests."""
    with jupyter.jupyter_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture(scope="session")
def kept(lab: jupyter.Server, playwright_browser: Any) -> Iterator[dict[Any, harness.Notebook]]:
    """The notebook that the last test left in order, if it did, by what it was opened with."""
    notebooks: dict[Any, harness.Notebook] = {}
    yield notebooks
    for notebook in notebooks.values():
        notebook.close()


@pytest.fixture
def open_notebook(
    request: pytest.FixtureRequest,
    lab: jupyter.Server,
    playwright_browser: Any,
    kept: dict[Any, harness.Notebook],
    tmp_path: Path,
) -> Iterator[Callable[..., harness.Notebook]]:
    """`harness.open_notebook` on this server; problems that were not expected fail the test.

    To open a page and to import takes ten seconds. So with ``shared``, for cells that make an
    ``explorer``, the page and the kernel of the last test serve again, cleared, where it had the
    same cells in a page of the same look, and passed.
    """
    opened = request.node.stash.setdefault(_NOTEBOOKS, [])
    lasting = {}

    def open_one(
        cells: Any, *, run: bool = True, shared: bool = False, **options: Any
    ) -> harness.Notebook:
        made_with = (str(cells), *sorted(options.items()))
        notebook = kept.pop(made_with, None) if shared else None
        while kept:
            kept.popitem()[1].close()
        if notebook is None:
            notebook = harness.open_notebook(lab, playwright_browser, cells, **options)
        opened.append(notebook)  # before it runs, so that a failing run is photographed
        if shared:
            lasting[made_with] = notebook
        if run:
            notebook.run_all()
        return notebook

    yield open_one
    complaints = []
    for number, notebook in enumerate(opened):
        if problems := notebook.problems():
            shot = notebook.screenshot(tmp_path / f"problem-{number}.png")
            complaints += [*problems, f"screenshot: {shot}"]
    if len(opened) == 1 and lasting and not complaints and request.node.stash.get(_PASSED, False):
        complaints = opened[0].clear()
        kept.update(lasting)
    else:
        for notebook in opened:
            notebook.close()
    if complaints:
        pytest.fail("problems in the notebook\n" + "\n".join(complaints), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what its pages looked like and what had gone wrong in them."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    if report.when == "call" and report.failed:
        for number, notebook in enumerate(item.stash.get(_NOTEBOOKS, [])):
            path = item.funcargs["tmp_path"] / f"failed-{number}.png"
            report.sections.append(("screenshot", str(notebook.screenshot(path))))
            report.sections.append(("problems", "\n".join(notebook.problems())))
    return report
