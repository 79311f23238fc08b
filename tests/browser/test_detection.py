"""The detection panel in JupyterLab, as a person uses it."""

from __future__ import annotations

from typing import Any

from tests.browser.harness import Notebook
from tests.browser.test_explorer import EXPLORE, SLOW, open_explorer, settle

PANEL = ".gx-panel:has(.gx-detection-show)"
FACTS = f"{PANEL} .gx-facts"
WHERE = f"{PANEL} .gx-where"
SLIDER = f"{PANEL} .gx-detection-place"


def open_detection(open_notebook: Any, cell: str = EXPLORE, **options: Any) -> Notebook:
    """A notebook with an Explorer, its detection panel in view and drawn."""
    notebook = open_explorer(open_notebook, cell, **options)
    notebook.page.locator(".lm-TabBar-tabLabel", has_text="Detection").click()
    notebook.page.locator(f"{PANEL} .gx-readout img[src]").first.wait_for()
    notebook.wait_for("explorer.panel._in_page")
    settle(notebook)
    return notebook


def show(notebook: Notebook, view: str) -> None:
    """Choose what is to be seen, and wait for it."""
    notebook.page.locator(".gx-detection-show button", has_text=view).click()
    settle(notebook)


def test_dragging_the_slider_follows_the_image_across_the_boundary(open_notebook):
    notebook = open_detection(open_notebook)
    page = notebook.page
    assert page.locator(WHERE).text_content() == "x + 1.05 r"
    assert "by its curvature" in page.locator(FACTS).text_content()
    assert "not a defence" in page.locator(f"{PANEL} .gx-caution").text_content()
    line = page.locator(f"{PANEL} .js-plotly-plot .shapelayer path").first
    before = line.get_attribute("d")

    handle = page.locator(f"{SLIDER} .noUi-handle").bounding_box()
    track = page.locator(f"{SLIDER} .noUi-base").bounding_box()
    notebook.run(
        "seen = []\n"
        "explorer.panel.readout.observe(lambda change: seen.append(change['new']['where']), "
        "'reading')"
    )
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    page.mouse.down()
    for share in range(35, 101, 2):
        page.mouse.move(track["x"] + track["width"] * share / 100, track["y"] + 3)
    page.mouse.move(track["x"] + track["width"] * 2 / 3, track["y"] + 3)
    page.locator(WHERE, has_text="x + 2.00 r").wait_for()
    page.mouse.up()
    settle(notebook)
    assert len(notebook.value("seen")) > 3  # and not only once the button is up
    assert notebook.value("seen[-1]") == "x + 2.00 r"
    assert line.get_attribute("d") != before

    page.locator(f"{SLIDER} .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.locator(WHERE, has_text="x + 2.05 r").wait_for()
    page.locator(f"{PANEL} .gx-plot").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.locator(WHERE, has_text="x + 0.05 r").wait_for()
    ground = page.locator(f"{PANEL} .nsewdrag").first.bounding_box()
    page.mouse.click(ground["x"] + 0.8 * ground["width"], ground["y"] + ground["height"] / 2)
    notebook.wait_for("explorer.panel.choice.place > 2")
    page.locator(f"{PANEL} [aria-label='what is recovered label?']").click()
    page.locator(".gx-help-text:popover-open", has_text="recovered label").wait_for()
    page.keyboard.press("Escape")


def test_every_view_and_every_choice(open_notebook):
    notebook = open_detection(open_notebook)
    page = notebook.page
    for view in ("terms", "ROC", "distributions", "labels", "score"):
        show(notebook, view)
        assert notebook.value("explorer.errors.value") == ""
        assert page.locator(f"{PANEL} .js-plotly-plot .scatterlayer .trace").count() > 0
    for control, choice in (
        ("point", "DeepFool's point"), ("probes", "20"), ("classes", "3 highest"),
        ("images", "first 30"), ("rate", "10%"),
    ):  # fmt: skip
        page.locator(f".gx-detection-{control} select").select_option(choice)
        settle(notebook)
        assert notebook.value("explorer.errors.value") == ""
    assert notebook.value("explorer.panel.result().probes") == 20
    page.locator(".gx-thumbnail[aria-selected=false]").first.click()
    page.locator(".gx-thumbnail[aria-selected=false]").nth(3).click()
    settle(notebook)
    index = notebook.value("explorer.selection.image")
    assert notebook.value("explorer.panel.shown.view.index") == index
    assert notebook.value("explorer.panel.choice.place") == 1.05


def test_cancel_stops_a_long_roc_and_the_slider_goes_on(open_notebook):
    notebook = open_detection(open_notebook, SLOW)
    page = notebook.page
    notebook.run("Slow.pause = 0.002")
    page.locator(".gx-detection-show button", has_text="ROC").click()
    page.locator(".gx-busy progress").wait_for()
    page.locator(f"{SLIDER} .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.locator(WHERE, has_text="x + 1.10 r").wait_for()
    assert notebook.value("explorer.worker.busy('view')")
    page.locator(".gx-bar button", has_text="Cancel").click()
    page.locator(".gx-status", has_text="stopped").wait_for()
    notebook.wait_for("not explorer.worker.busy('view')")
    notebook.run("Slow.pause = 0.0")
    show(notebook, "score")
    show(notebook, "ROC")
    assert notebook.value("explorer.panel.result().progress.complete")
