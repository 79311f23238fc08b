"""The curvature panel in JupyterLab, as a person uses it."""

from __future__ import annotations

from typing import Any

from tests.browser.harness import Notebook
from tests.browser.test_explorer import EXPLORE, SLOW, open_explorer, settle

LENET = EXPLORE.replace("explore()", "explore('shapes-lenet')")
PANEL = ".gx-panel:has(.gx-views)"


def open_curvature(open_notebook: Any, cell: str = EXPLORE, **options: Any) -> Notebook:
    """A notebook with an Explorer, its curvature panel in view and drawn."""
    notebook = open_explorer(open_notebook, cell, **options)
    notebook.page.locator(".lm-TabBar-tabLabel", has_text="Curvature").click()
    notebook.page.locator(f"{PANEL} .gx-curvature-readout img").first.wait_for()
    notebook.wait_for("explorer.panel._in_page == 1")
    settle(notebook)
    return notebook


def titled(notebook: Notebook, text: str) -> None:
    """Wait until the figure in view says something above the plot."""
    notebook.page.locator(f"{PANEL} .annotation-text:visible", has_text=text).first.wait_for()


def click_value(notebook: Notebook, column: int) -> None:
    """Click the point of a value in the profile."""
    x, y = notebook.page.evaluate(
        """([panel, column]) => {
          const plot = document.querySelector(panel + ' .js-plotly-plot');
          const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
          const curve = plot._fullData.find((trace) => trace.x?.length > 20);
          const { xaxis, yaxis } = plot._fullLayout;
          return [box.x + xaxis.d2p(curve.x[column]), box.y + yaxis.d2p(curve.y[column])];
        }""",
        [PANEL, column],
    )
    notebook.page.mouse.click(x, y)


def test_two_clicks_from_a_value_to_the_boundary(open_notebook):
    notebook = open_curvature(open_notebook)
    page = notebook.page
    where = page.locator(".gx-curvature-readout .gx-where")
    assert where.text_content() == "most negative (63 of 63)"
    titled(notebook, "Principal curvatures of digits-cnn")

    click_value(notebook, 1)
    page.wait_for_function(
        "document.querySelector('.gx-curvature-readout .gx-where').textContent"
        ".startsWith('most positive, number 2')"
    )
    assert "bulges into" in page.locator(".gx-curvature-readout .gx-facts").text_content()
    page.locator("button", has_text="Show the boundary along it").click()
    titled(notebook, "principal direction 2")
    titled(notebook, "random tangent")
    notebook.wait_for("explorer.panel._in_page == 2")
    settle(notebook)
    assert page.locator(f"{PANEL} .annotation-text:visible", has_text="coarse").count() == 0
    assert page.locator(f"{PANEL} .js-plotly-plot:visible image").count() == 2
    asked = notebook.value("list(explorer.panel.pair.layout.yaxis.domain)")
    page.wait_for_function(
        """([panel, asked]) => [...document.querySelectorAll(panel + ' .js-plotly-plot')]
          .filter((plot) => plot.offsetParent)
          .every((plot) => ['yaxis', 'yaxis2'].every((axis) => plot._fullLayout[axis].domain
            .every((end, index) => Math.abs(end - asked[index]) < 1e-6)))""",
        arg=[PANEL, asked],
    )
    assert notebook.value("explorer.errors.value") == ""

    page.locator("button", has_text="Use as axis").click()
    page.locator(".gx-axis-rank select:visible").wait_for()
    settle(notebook)
    assert notebook.value("explorer.panel.key") == "cross-section"
    assert notebook.value("explorer.panel.choice.up.parameters['rank']") == 2
    title = page.locator(".ytitle:visible").text_content()
    assert title.startswith("principal direction 2 (κ = ")
    assert page.locator(".gx-axis-kind select:visible").first.input_value() == "normal"


def test_the_keys_choose_a_value(open_notebook):
    notebook = open_curvature(open_notebook)
    page = notebook.page
    page.locator(f"{PANEL} .gx-plot").focus()
    for key, rank in (("Home", 1), ("ArrowRight", 2), ("Shift+ArrowRight", 12), ("End", -1)):
        page.keyboard.press(key)
        notebook.wait_for(f"explorer.panel.choice.rank == {rank}")
    page.keyboard.press("ArrowLeft")
    notebook.wait_for("explorer.panel.choice.rank == -2")
    page.locator(".gx-where", has_text="most negative, number 2").wait_for()


def test_every_view_method_and_step(open_notebook):
    notebook = open_curvature(open_notebook)
    page = notebook.page

    page.locator(".gx-curvature-method select").select_option("central differences")
    titled(notebook, "central differences, h = 0.156")
    facts = page.locator(".gx-curvature-readout .gx-facts")
    assert "no eigenvalues in the strict sense" in facts.text_content()
    slider = page.locator(".gx-curvature-factor .noUi-handle")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    titled(notebook, "h = 0.312")
    assert "h = 0.312" in page.locator(".gx-step").text_content()
    page.locator(".gx-curvature-default").click()
    titled(notebook, "central differences, h = 0.156")

    page.locator(".gx-curvature-method select").select_option("autograd (not with kinks)")
    alert = page.locator(".gx-errors [role=alert]")
    alert.wait_for()
    assert "kinks" in alert.text_content()
    page.locator(".gx-curvature-method select").select_option("auto: smoothed")
    alert.wait_for(state="detached")

    page.locator(".gx-views button", has_text="κ against h").click()
    titled(notebook, "against the step")
    page.locator(".gx-views button", has_text="average").click()
    page.locator(".gx-curvature-images select").select_option("first 10")
    page.locator(f"{PANEL} .legendtext", has_text="first 10 images").wait_for()
    settle(notebook)
    page.locator(".gx-views button", has_text="boundary along it").click()
    titled(notebook, "random tangent")
    page.locator(".gx-views button", has_text="profile").click()
    titled(notebook, "Principal curvatures")
    assert notebook.value("explorer.errors.value") == ""


def test_cancel_stops_a_long_measurement(open_notebook):
    notebook = open_curvature(open_notebook, LENET)
    page = notebook.page
    before = notebook.value("explorer.panel.result().values[0, 0].item()")
    choice = page.locator(".gx-curvature-spectrum select")
    everything = choice.locator("option").nth(1).text_content().replace("\xa0", " ")
    assert everything.startswith("all 3,071")
    choice.select_option(index=1)
    page.locator(".gx-busy progress").wait_for()
    page.locator(".gx-status", has_text="principal curvatures").wait_for()
    page.locator(".gx-bar button", has_text="Cancel").click()
    page.locator(".gx-status", has_text="stopped").wait_for()
    notebook.wait_for("not explorer.worker.busy('view')")
    assert notebook.value("explorer.panel.result().values[0, 0].item()") == before
    choice.select_option(index=0)
    settle(notebook)
    assert notebook.value("explorer.panel.result().progress.complete")


def test_another_tab_goes_on_while_the_measurement_is_slow(open_notebook):
    notebook = open_curvature(open_notebook, SLOW)
    notebook.expect("torch.jit.script")  # torch's own, when it first differentiates forward
    page = notebook.page
    notebook.run("Slow.pause = 0.01")
    page.locator(".gx-curvature-method select").select_option("smoothed")
    page.locator(".gx-status", has_text="principal curvatures").wait_for()
    page.locator(".lm-TabBar-tabLabel", has_text="Cross-section").click()
    notebook.run("Slow.pause = 0.0")
    settle(notebook)
    assert notebook.value("explorer.panel.key") == "cross-section"
    assert notebook.value("explorer.panel.result().progress.complete")
    page.locator(".lm-TabBar-tabLabel", has_text="Curvature").click()
    titled(notebook, "smoothed")
