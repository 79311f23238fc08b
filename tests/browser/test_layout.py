"""Every view of every panel fits its cell and follows JupyterLab's theme."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser import test_curvature, test_detection, test_paths, test_shared
from tests.browser.harness import PAPER, Notebook, expect_paper
from tests.browser.test_curvature import LENET
from tests.browser.test_explorer import EXPLORE, MAP, open_explorer, settle
from tests.jupyter import PATIENCE

HIGHEST = 640  # pixels of a panel, so that it is seen as a whole on a small screen
UNFINISHED = re.compile("coarse|not final")
ENDS = ("another image of the class", "an image of another class", "a random point")


def show_panel(notebook: Notebook, title: str) -> None:
    notebook.page.locator(".lm-TabBar-tabLabel", has_text=title).click()
    notebook.wait_for("explorer.panel._in_page")
    settle(notebook)


def show_view(notebook: Notebook, buttons: str, view: str) -> None:
    notebook.page.locator(f"{buttons} button", has_text=view).click()
    settle(notebook)
    titles = notebook.page.locator(".gx-panel:visible .annotation-text:visible")
    titles.first.wait_for()
    # What the page was late to draw is drawn again.
    expect(titles.filter(has_text=UNFINISHED)).to_have_count(0, timeout=1000 * PATIENCE)


def expect_fits(notebook: Notebook, panel: str, view: str, *parts: str) -> None:
    """That nothing is wider than its place, and the panel no higher than a small screen."""
    page, panel = notebook.page, f"{panel}:visible"
    for name in (".gx-explorer", panel, *(f"{panel} {part}" for part in (".gx-plot", *parts))):
        room, needed = page.locator(name).evaluate("it => [it.clientWidth, it.scrollWidth]")
        assert needed <= room, f"{name} needs {needed} and has {room} pixels in {view}"
    height = page.locator(panel).evaluate("it => it.clientHeight")
    assert height <= HIGHEST, f"{panel} is {height} pixels high in {view}"


# Cells 900 and 1400 pixels wide; the narrow one with the longer names. Colours do not depend on
# the width, nor sizes on the theme.
@pytest.mark.parametrize(
    ("width", "theme", "cell"),
    [(1332, "light", LENET), (1832, "dark", EXPLORE)],
    ids=["narrow, light", "wide, dark"],
)
def test_it_fits_its_cell_and_follows_the_theme(open_notebook, width, theme, cell):
    notebook = open_explorer(open_notebook, cell, size=(width, 768), theme=theme)
    page, paper = notebook.page, PAPER[theme]
    assert notebook.value("explorer.theme()") == theme
    output = page.locator(".jp-OutputArea-output").first
    assert output.evaluate("it => it.scrollWidth <= it.clientWidth")
    section = ".gx-panel:has(.gx-axis-kind)"
    expect_fits(notebook, section, "cross-section")
    expect_paper(page.locator(section), paper)

    show_panel(notebook, "Curvature")
    for view in ("profile", "κ against h", "boundary along it"):
        show_view(notebook, ".gx-views", view)
        expect_fits(notebook, test_curvature.PANEL, view, ".gx-controls")
        expect_paper(page.locator(test_curvature.PANEL), paper)
    assert page.locator(f"{test_curvature.PANEL} {MAP.removeprefix('.gx-plot ')}").count() >= 1

    show_panel(notebook, "Paths")
    for view, end in zip(("scores", "images", "map"), ENDS, strict=True):
        show_view(notebook, ".gx-path-show", f"{view} a")
        page.locator(".gx-path-scenario select").select_option(end)
        settle(notebook)
        expect_fits(notebook, test_paths.PANEL, f"{view} to {end}", ".gx-path-ends")
        expect_paper(page.locator(test_paths.PANEL), paper)

    notebook.run("explorer.panels['detection'].choice.images = 30")
    show_panel(notebook, "Detection")
    for view in ("terms", "ROC", "distributions", "labels", "score"):
        show_view(notebook, ".gx-detection-show", view)
        expect_fits(notebook, test_detection.PANEL, view, ".gx-side")
        cut = page.locator(f"{test_detection.PANEL} .gx-verdicts td").evaluate_all(
            "cells => cells.filter(it => it.scrollWidth > it.clientWidth).map(it => it.textContent)"
        )
        assert not cut
    expect_paper(page.locator(test_detection.PANEL), paper)

    # What is computed over several images, in few dimensions, since many take long.
    for panel in ("curvature", "shared"):
        notebook.run(f"explorer.panels[{panel!r}].choice.images = 10")
    notebook.run("explorer.selection.network = 'digits-cnn'")
    show_panel(notebook, "Curvature")
    show_view(notebook, ".gx-views", "average")
    expect_fits(notebook, test_curvature.PANEL, "average", ".gx-controls")
    show_panel(notebook, "Shared directions")
    for view in test_shared.VIEWS:
        show_view(notebook, ".gx-shared-show", view)
        expect_fits(notebook, test_shared.PANEL, view)
    expect_paper(page.locator(test_shared.PANEL), paper)
