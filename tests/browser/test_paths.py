"""The paths panel in JupyterLab, as a person uses it."""

from __future__ import annotations

from typing import Any

from tests.browser.harness import Notebook
from tests.browser.test_curvature import LENET
from tests.browser.test_explorer import EXPLORE, SLOW, open_explorer, settle

PANEL = ".gx-panel:has(.gx-path-show)"
FACTS = f"{PANEL} .gx-facts"
WHERE = f"{PANEL} .gx-where"


def open_paths(open_notebook: Any, cell: str = EXPLORE, **options: Any) -> Notebook:
    """A notebook with an Explorer, its paths panel in view and drawn."""
    notebook = open_explorer(open_notebook, cell, **options)
    notebook.page.locator(".lm-TabBar-tabLabel", has_text="Paths").click()
    notebook.page.locator(f"{PANEL} .gx-readout img[src]").first.wait_for()
    notebook.wait_for("explorer.panel._in_page == 1")
    settle(notebook)
    return notebook


def titled(notebook: Notebook, text: str) -> None:
    """Wait until the figure in view says something above the plot."""
    notebook.page.locator(f"{PANEL} .annotation-text:visible", has_text=text).first.wait_for()


def ground(notebook: Notebook, share: float) -> tuple[float, float]:
    """A place in the plot, in pixels of the page."""
    box = notebook.page.locator(f"{PANEL} .nsewdrag:visible").bounding_box()
    assert box is not None
    return box["x"] + share * box["width"], box["y"] + box["height"] / 2


def test_a_newcomer_reads_that_it_is_proven(open_notebook):
    notebook = open_paths(open_notebook)
    page = notebook.page
    titled(notebook, "Path in the region of 8 of digits-cnn")
    titled(notebook, "proven: never leaves 8")
    assert page.locator(FACTS).text_content().startswith("proven: never leaves 8")
    assert page.locator(f"{PANEL} .js-plotly-plot:visible image").count() == 9
    assert page.locator(f"{PANEL} .gx-thumbnail[aria-selected=true]").count() == 1
    assert "least margin" in page.locator(WHERE).text_content()
    page.locator(f"{PANEL} [aria-label='what is straightness?']").click()
    page.locator(".gx-help-text:popover-open", has_text="straightness").wait_for()
    page.keyboard.press("Escape")

    first = notebook.value("explorer.panel.shown.wanted.target")
    page.locator(f"{PANEL} .gx-thumbnail[aria-selected=false]").first.click()
    notebook.wait_for(f"explorer.panel.shown.wanted.target != {first}")
    settle(notebook)
    assert notebook.value("explorer.errors.value") == ""
    assert notebook.value("explorer.panel.result().connected")


def test_pointing_clicking_and_keys_show_the_image_there(open_notebook):
    notebook = open_paths(open_notebook)
    page = notebook.page
    length = notebook.value("explorer.panel.shown.path.length")
    page.mouse.move(*ground(notebook, 0.5))
    page.locator(WHERE, has_text=f"at {length / 2:.2g}").wait_for()
    page.locator(f"{PANEL} .js-plotly-plot:visible .shapelayer path").wait_for(state="attached")
    page.mouse.click(*ground(notebook, 0.25))
    notebook.wait_for("explorer.panel.choice.place is not None")
    page.locator(f"{PANEL} .gx-readout.gx-pinned").wait_for()
    page.locator(f"{PANEL} .gx-plot").focus()
    page.keyboard.press("Escape")
    notebook.wait_for("explorer.panel.choice.place is None")
    page.mouse.move(5, 5)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    notebook.wait_for("explorer.panel.choice.place is not None")
    assert notebook.value("explorer.panel.choice.place") > 0.55 * length


def test_every_view_and_every_end(open_notebook):
    notebook = open_paths(open_notebook)
    page = notebook.page
    page.locator(".gx-path-show button", has_text="images along it").click()
    page.locator(f"{PANEL} .annotation-text:visible", has_text="below each image").wait_for()
    page.locator(".gx-path-show button", has_text="map around it").click()
    titled(notebook, "Cross-section of digits-cnn")
    notebook.wait_for("explorer.panel._in_page == 2")
    settle(notebook)
    assert page.locator(f"{PANEL} .annotation-text:visible", has_text="coarse").count() == 0
    assert page.locator(f"{PANEL} .js-plotly-plot:visible .scatterlayer .js-line").count() > 2
    page.mouse.move(*ground(notebook, 0.6))
    page.locator(WHERE, has_text="in the plane, at").wait_for()

    page.locator(".gx-path-show button", has_text="scores along it").click()
    page.locator(".gx-path-scenario select").select_option("a random point")
    settle(notebook)
    seed = notebook.value("explorer.panel.shown.path.anchors[-1].sum().item()")
    page.locator(f"{PANEL} .gx-axis-reroll").click()
    notebook.wait_for(f"explorer.panel.shown.path.anchors[-1].sum().item() != {seed}")
    page.locator(".gx-path-scenario select").select_option("an image of another class")
    settle(notebook)
    page.locator(".gx-path-pick").click()
    page.locator(".gx-path-pick", has_text="click an image above").wait_for()
    page.locator(".gx-row:not(.gx-path-ends) .gx-thumbnail[aria-selected=false]").first.click()
    notebook.wait_for("explorer.panel.choice.target is not None")
    settle(notebook)
    assert notebook.value("explorer.errors.value") == ""
    assert notebook.value("explorer.selection.image") in (
        None,
        notebook.value("explorer._view.index"),
    )
    page.locator(".gx-path-prove input").uncheck()
    page.locator(FACTS, has_text="not proven").wait_for()


def test_cancel_stops_a_long_proof(open_notebook):
    notebook = open_paths(open_notebook, LENET.replace("lenet", "nin"))
    page = notebook.page
    assert "not proven" in page.locator(FACTS).text_content()
    box = page.locator(".gx-path-prove")
    assert "prove, about" in box.text_content()
    before = notebook.value("explorer.panel.result().anchors.sum().item()")
    box.locator("input").check()
    page.locator(".gx-busy progress").wait_for()
    page.locator(".gx-status", has_text="proving").wait_for()
    page.locator(".gx-bar button", has_text="Cancel").click()
    page.locator(".gx-status", has_text="stopped").wait_for()
    notebook.wait_for("not explorer.worker.busy('view')")
    assert "proven: never leaves" not in page.locator(FACTS).text_content()
    box.locator("input").uncheck()
    settle(notebook)
    assert notebook.value("explorer.panel.result().progress.complete")
    assert notebook.value("explorer.panel.result().anchors.sum().item()") == before


def test_another_tab_goes_on_while_the_map_is_slow(open_notebook):
    notebook = open_paths(open_notebook, SLOW)
    page = notebook.page
    notebook.run("Slow.pause = 0.01")
    page.locator(".gx-path-show button", has_text="map around it").click()
    page.locator(".gx-busy progress").wait_for()
    page.locator(".lm-TabBar-tabLabel", has_text="Cross-section").click()
    notebook.run("Slow.pause = 0.0")
    settle(notebook)
    assert notebook.value("explorer.panel.key") == "cross-section"
    page.locator(".lm-TabBar-tabLabel", has_text="Paths").click()
    titled(notebook, "Cross-section")
