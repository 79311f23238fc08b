"""The panel about shared directions in JupyterLab, as a person uses it."""

from __future__ import annotations

from typing import Any

from tests.browser.harness import Notebook
from tests.browser.test_explorer import EXPLORE, SLOW, open_explorer, settle

PANEL = ".gx-panel:has(.gx-shared-show)"
FACTS = f"{PANEL} .gx-facts"
WHERE = f"{PANEL} .gx-where"
VIEWS = ("ρ", "directions", "shares", "noise", "margins")


def open_shared(open_notebook: Any, cell: str = EXPLORE, **options: Any) -> Notebook:
    """A notebook with an Explorer, its panel about shared directions in view and drawn."""
    notebook = open_explorer(open_notebook, cell, **options)
    notebook.run("explorer.panels['shared'].choice.images = 10")
    notebook.page.locator(".lm-TabBar-tabLabel", has_text="Shared directions").click()
    notebook.page.locator(f"{PANEL} .gx-pictures img").first.wait_for()
    notebook.wait_for("explorer.panel._in_page")
    settle(notebook)
    return notebook


def show(notebook: Notebook, view: str) -> None:
    """Choose what is to be seen, and wait for it."""
    notebook.page.locator(".gx-shared-show button", has_text=view).click()
    settle(notebook)


def titled(notebook: Notebook, text: str) -> None:
    """Wait until the figure says something above the plot."""
    notebook.page.locator(f"{PANEL} .annotation-text:visible", has_text=text).first.wait_for()


def test_from_rho_to_the_cross_section_along_a_direction(open_notebook):
    notebook = open_shared(open_notebook)
    page = notebook.page
    titled(notebook, "Relative curvature of digits-cnn")
    assert "at 10 held-out images" in page.locator(FACTS).text_content()
    ground = page.locator(f"{PANEL} .nsewdrag").first.bounding_box()
    page.mouse.click(ground["x"] + 0.5 * ground["width"], ground["y"] + ground["height"] / 2)
    notebook.wait_for("10 < abs(explorer.panel.choice.rank)")
    page.locator(f"{PANEL} .gx-plot").focus()
    page.keyboard.press("End")
    page.locator(WHERE, has_text="64 of 64").wait_for()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.locator(WHERE, has_text="direction (2 of 64)").wait_for()
    page.locator(f"{PANEL} [aria-label='what is relative curvature?']").first.click()
    page.locator(".gx-help-text:popover-open", has_text="random ones").wait_for()
    page.keyboard.press("Escape")

    page.locator(f"{PANEL} button", has_text="Keep").click()
    page.locator(f"{PANEL} button:disabled", has_text="Kept").wait_for()
    page.locator(f"{PANEL} button", has_text="Use as axis").click()
    notebook.wait_for("explorer.panel.key == 'cross-section'")
    settle(notebook)
    assert notebook.value("explorer.errors.value") == ""
    assert notebook.value("explorer.panel.choice.up.kind") == "shared direction"
    assert notebook.value("explorer.panel.result().plane.v_name").startswith("shared direction 2")
    assert page.locator(".gx-axis-kind:visible select").nth(1).input_value() == "shared direction"


def test_every_view_and_a_click_on_an_image(open_notebook):
    notebook = open_shared(open_notebook)
    page = notebook.page
    for view, title in (
        ("shares", "Shares in a subspace"),
        ("noise", "Sensitivity to noise"),
        ("margins", "Margins in subspaces"),
        ("directions", "Shared directions of digits-cnn"),
    ):
        show(notebook, view)
        titled(notebook, title)
        assert notebook.value("explorer.errors.value") == ""
    images = page.locator(f"{PANEL} .js-plotly-plot image")
    third = images.nth(2).bounding_box()
    page.mouse.click(third["x"] + third["width"] / 2, third["y"] + third["height"] / 2)
    notebook.wait_for("explorer.panel.choice.rank == 3")
    page.locator(WHERE, has_text="direction (3 of 64)").wait_for()
    page.locator(f"{PANEL} .shapelayer path").first.wait_for(state="attached")
    page.locator(".gx-shared-m select").select_option("m = 5")
    show(notebook, "shares")
    titled(notebook, "curved, 5 dimensions")
    page.locator(".gx-shared-point select").select_option("DeepFool's point")
    settle(notebook)
    assert notebook.value("explorer.panel.shown.sharing.point") == "DeepFool's"
    assert notebook.value("explorer.errors.value") == ""


def test_quick_changes_and_cancel(open_notebook):
    notebook = open_shared(open_notebook, SLOW)
    page = notebook.page
    for view in (*VIEWS, "noise", "ρ"):
        page.locator(".gx-shared-show button", has_text=view).click()
    page.locator(".gx-thumbnail[aria-selected=false]").first.click()
    page.locator(".gx-shared-m select").select_option("m = 2")
    settle(notebook)
    assert notebook.value("explorer.panel.shown.kind") == "rho"
    assert notebook.value("explorer.errors.value") == ""

    notebook.run("Slow.pause = 0.01")
    page.locator(".gx-shared-images select").select_option("first 30")
    page.locator(".gx-busy progress").wait_for()
    page.locator(".gx-bar button", has_text="Cancel").click()
    page.locator(".gx-status", has_text="stopped").wait_for()
    notebook.wait_for("not explorer.worker.busy('view')", 2)
    notebook.run("Slow.pause = 0.0")
    show(notebook, "margins")
    titled(notebook, "30 images")
