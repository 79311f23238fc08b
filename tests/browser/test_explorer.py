"""The Explorer in JupyterLab, as a person uses it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.browser.harness import Notebook

EXPLORE = "import geoexplorer as gx\nexplorer = gx.explore()\nexplorer"
SLOW = """
import time
import torch
import geoexplorer as gx

class Slow(torch.nn.Module):
    pause = 0.0  # seconds an image

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 10)

    def forward(self, images):
        time.sleep(Slow.pause * len(images))
        return self.linear(images.flatten(1))

torch.manual_seed(0)
clf = gx.Classifier(Slow().eval(), input_shape=(1, 8, 8), device="cpu", chunk_size=8)
explorer = gx.explore(clf, gx.load_images("digits"))
explorer
"""
MAP = ".gx-plot .nsewdrag"
IN_SIGHT = """it => {
    const {left, right, top, bottom} = it.getBoundingClientRect();
    const seen = document.elementFromPoint((left + right) / 2, bottom - 2);
    return bottom <= window.innerHeight && (it.contains(seen) || seen.contains(it));
}"""


def open_explorer(
    open_notebook: Any, cell: str = EXPLORE, *, shared: bool = True, **options: Any
) -> Notebook:
    """A notebook with an Explorer, its first map drawn; ``shared`` with other tests."""
    notebook = open_notebook([cell], shared=shared, **options)
    notebook.wait_for_plot()
    settle(notebook)
    notebook.page.locator(".gx-plot image").first.wait_for(state="attached")
    notebook.page.locator(".gx-explorer").evaluate("it => it.scrollIntoView({block: 'start'})")
    return notebook


def settle(notebook: Notebook) -> None:
    """Wait until everything that was asked for is computed and has arrived in the page."""
    for _ in range(2):  # what the page answers to the first may ask for more
        notebook.page.wait_for_timeout(250)
        notebook.wait_for("explorer.wait(0.1)")


@contextmanager
def another_map(notebook: Notebook) -> Iterator[None]:
    """What is done inside must end in another, final map, in the kernel and in the page."""
    notebook.run("before = explorer.panel.result()")
    image = notebook.page.locator(".gx-plot image").first
    drawn = image.get_attribute("href") or image.get_attribute("xlink:href")
    yield
    notebook.wait_for(
        "explorer.panel.result() is not before and explorer.panel.result().progress.complete"
    )
    settle(notebook)
    assert (image.get_attribute("href") or image.get_attribute("xlink:href")) != drawn


def place(notebook: Notebook, across: float, up: float) -> tuple[float, float]:
    """A place in the map, in shares of its size, in pixels of the page."""
    box = notebook.page.locator(MAP).bounding_box()
    return box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"]


def drag(notebook: Notebook, start: tuple[float, float], end: tuple[float, float]) -> None:
    mouse = notebook.page.mouse
    mouse.move(*place(notebook, *start))
    mouse.down()
    mouse.move(*place(notebook, *end), steps=6)
    mouse.up()


def point(notebook: Notebook, across: float, up: float) -> None:
    notebook.page.mouse.move(*place(notebook, across, up))


def test_a_walk_through_the_cross_section(open_notebook):
    notebook = open_explorer(open_notebook)
    page = notebook.page

    index = int(page.locator(".gx-thumbnail").nth(5).get_attribute("data-index"))
    with another_map(notebook):
        page.locator(".gx-thumbnail").nth(5).click()
    assert page.locator(".gx-thumbnail").nth(5).get_attribute("aria-selected") == "true"
    assert notebook.value("explorer.panel.shown.view.index") == index

    with another_map(notebook):
        page.locator(".gx-axis-kind select").nth(1).select_option("loss gradient")
    with another_map(notebook):
        page.locator(".gx-axis-kind select").nth(0).select_option("toward a class")
    assert "toward class" in page.locator(".gx-plot .xtitle").text_content()

    extent = notebook.value("list(explorer.panel.shown.extent)")
    with another_map(notebook):
        drag(notebook, (0.5, 0.5), (0.3, 0.5))
    panned = notebook.value("list(explorer.panel.shown.extent)")
    shift = 0.2 * (extent[1] - extent[0])
    assert panned == pytest.approx([extent[0] + shift, extent[1] + shift, *extent[2:]], abs=0.05)

    with another_map(notebook):
        page.keyboard.down("Shift")
        drag(notebook, (0.25, 0.25), (0.75, 0.75))
        page.keyboard.up("Shift")
    zoomed = notebook.value("list(explorer.panel.shown.extent)")
    assert zoomed[1] - zoomed[0] == pytest.approx((panned[1] - panned[0]) / 2, rel=0.05)

    page.wait_for_timeout(500)  # a gesture of the wheel begins on the map
    with another_map(notebook):
        page.mouse.wheel(0, 400)
    wheeled = notebook.value("list(explorer.panel.shown.extent)")
    assert wheeled[1] - wheeled[0] > zoomed[1] - zoomed[0]

    with another_map(notebook):
        page.mouse.dblclick(*place(notebook, 0.6, 0.6))
    assert notebook.value("explorer.panel.choice.window") is None
    assert notebook.value("explorer.panel.choice.pin") is None
    assert notebook.value("list(explorer.panel.shown.extent)") == pytest.approx(extent)

    with another_map(notebook):
        page.locator(".gx-top select").first.select_option("shapes-lenet")
    assert notebook.value("explorer.selection.images") == "shapes, test"
    assert notebook.value("explorer.errors.value") == ""


def test_the_readout_follows_the_pointer_and_a_click_pins(open_notebook):
    notebook = open_explorer(open_notebook)
    page = notebook.page
    where, highest = page.locator(".gx-where"), page.locator(".gx-highest td").first
    assert where.text_content().startswith("x")
    own = highest.text_content()
    image = page.locator(".gx-image").get_attribute("src")

    point(notebook, 0.97, 0.5)  # beyond z
    page.wait_for_function("document.querySelector('.gx-where').textContent.startsWith('at')")
    other = notebook.value(
        "explorer.session.subject.clf.class_names[int(explorer.panel.shown.view.boundary.other[0])]"
    )
    assert highest.text_content() == other != own
    assert page.locator(".gx-image").get_attribute("src") != image

    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("document.querySelector('.gx-where').textContent.startsWith('pinned')")
    page.locator(".gx-plot .shapelayer path").wait_for()
    point(notebook, 0.1, 0.2)
    settle(notebook)
    assert highest.text_content() == other
    page.keyboard.press("Escape")
    page.locator(".gx-plot .shapelayer path").wait_for(state="detached")
    point(notebook, 0.15, 0.2)
    page.wait_for_function("document.querySelector('.gx-where').textContent.startsWith('at')")
    page.locator(".gx-thumbnail").first.hover()
    page.wait_for_function("document.querySelector('.gx-where').textContent.startsWith('x')")
    assert highest.text_content() == own


def test_everything_can_be_done_with_the_keys(open_notebook):
    notebook = open_explorer(open_notebook)
    page = notebook.page
    page.locator(".gx-thumbnail[aria-selected=true]").focus()
    index = notebook.value("explorer.panel.shown.view.index")
    with another_map(notebook):
        page.keyboard.press("ArrowRight")
    assert notebook.value("explorer.panel.shown.view.index") == index + 1
    page.locator(".gx-thumbnail").nth(3).click()  # the other one that is looked at has the focus
    settle(notebook)
    selected = page.locator(".gx-thumbnail[aria-selected=true]")
    assert selected.evaluate("it => it === document.activeElement")

    page.locator(".gx-plot").first.focus()
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function("document.querySelector('.gx-where').textContent.startsWith('at')")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.gx-where').textContent.startsWith('pinned')")
    page.keyboard.press("Escape")
    with another_map(notebook):
        page.keyboard.press("+")
    with another_map(notebook):
        page.keyboard.press("0")

    reached = set()
    page.locator(".gx-top select").first.focus()
    for _ in range(40):
        reached.add(
            page.evaluate("document.activeElement.className + document.activeElement.title")
        )
        page.keyboard.press("Tab")
    for wanted in ("gx-thumbnail", "gx-plot", "gx-help", "Draw another", "Save the figure", "Copy"):
        assert any(wanted in each for each in reached), f"{wanted} is not reached by Tab: {reached}"


def test_a_key_that_is_held_goes_through_the_pages_of_the_gallery(open_notebook):
    notebook = open_explorer(open_notebook)
    page = notebook.page
    shown = page.locator(".gx-thumbnail").count()
    page.locator(".gx-thumbnail").first.click()
    settle(notebook)
    index = 0
    while index < shown + 3:
        page.keyboard.down("ArrowRight")  # again and again, as of a key that is held
        page.wait_for_timeout(30)
        focused = page.evaluate("document.activeElement.dataset.index")
        chosen = page.locator(".gx-thumbnail[aria-selected=true]").get_attribute("data-index")
        assert chosen == focused
        assert int(focused) >= index, "an older choice came back"
        index = int(focused)
    page.keyboard.up("ArrowRight")
    settle(notebook)
    notebook.wait_for(f"explorer.panel.shown.view.index == {index}")
    assert notebook.value("explorer.header.gallery.start") == shown
    assert page.evaluate("document.activeElement.dataset.index") == str(index)


def test_while_an_image_is_picked_the_arrow_keys_only_look_around(open_notebook):
    notebook = open_explorer(open_notebook)
    page = notebook.page
    page.locator(".gx-axis-kind select").nth(0).select_option("toward an image")
    settle(notebook)
    page.locator("button.gx-axis-image:visible").first.click()
    notebook.wait_for("explorer.header.gallery.picking")
    settle(notebook)  # until the page knows of it
    selected = page.locator(".gx-thumbnail[aria-selected=true]")
    selected.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    focused = page.locator(".gx-thumbnail:focus-visible")
    assert focused.get_attribute("aria-selected") == "false"
    rings = [it.evaluate("it => getComputedStyle(it).outlineStyle") for it in (focused, selected)]
    assert rings == ["dashed", "solid"]
    index = int(focused.get_attribute("data-index"))
    with another_map(notebook):
        page.keyboard.press("Enter")
    assert notebook.value("explorer.panel.choice.across.parameters") == {"image": index}
    assert notebook.value("explorer.panel.shown.view.index") != index


@pytest.mark.parametrize("size", [(1366, 768), (1280, 720)])
def test_the_status_and_cancel_are_always_in_sight(open_notebook, size):
    notebook = open_notebook([EXPLORE], size=size)
    page = notebook.page
    notebook.wait_for_plot()
    for panel in ("Cross-section", "Curvature", "Paths", "Shared directions", "Detection"):
        page.locator(".gx-explorer .lm-TabBar-tab", has_text=panel).click()
        page.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTo(0, 0)")
        for part in (".gx-status", ".gx-bar button:has-text('Cancel')"):
            assert page.locator(part).evaluate(IN_SIGHT), f"{part} at {panel}"
    settle(notebook)
    heard = page.locator(".gx-spoken [role=status]")
    heard.evaluate("it => { window.region = it; }")
    page.locator(".gx-thumbnail[aria-selected=false]").nth(3).click()
    settle(notebook)
    page.locator(".gx-spoken [role=status]", has_text="final").wait_for(state="attached")
    assert heard.evaluate("it => it === window.region"), "a new live region is not heard"


def test_cancel_stops_a_long_job_and_the_app_goes_on(open_notebook):
    notebook = open_explorer(open_notebook, SLOW)
    page = notebook.page
    notebook.run("Slow.pause = 0.02\nbefore = explorer.panel.result()")
    page.locator(".gx-thumbnail").nth(7).click()
    cancel = page.locator(".gx-bar button", has_text="Cancel")
    page.locator(".gx-busy progress").wait_for()
    assert cancel.is_enabled()
    cancel.click()
    page.locator(".gx-status", has_text="stopped").wait_for()
    assert cancel.is_disabled()
    assert not notebook.value("explorer.worker.busy('view')")
    assert notebook.value(
        "explorer.panel.result() is before or not explorer.panel.result().progress.complete"
    )
    notebook.run("Slow.pause = 0.0")
    with another_map(notebook):
        page.locator(".gx-thumbnail").nth(8).click()


def test_an_error_is_shown_and_goes_away(open_notebook):
    notebook = open_explorer(open_notebook)
    page = notebook.page
    page.locator(".gx-axis-kind select").nth(1).select_option("nearest boundary")
    alert = page.locator(".gx-errors [role=alert]")
    alert.wait_for()
    assert "choose another direction" in alert.text_content()
    assert alert.evaluate(IN_SIGHT)
    assert not alert.locator("pre").is_visible()
    alert.locator("summary").click()
    assert "Traceback" in alert.locator("pre").text_content()
    with another_map(notebook):
        page.locator(".gx-axis-kind select").nth(1).select_option("normal")
        page.locator(".gx-axis-kind select").nth(0).select_option("random tangent")
    alert.wait_for(state="detached")


def test_help_code_state_and_figure_can_be_had(open_notebook, tmp_path):
    notebook = open_explorer(open_notebook, shared=False)
    page = notebook.page
    page.locator(".gx-help[aria-label*=alignment]").click()
    assert "right angles" in page.locator(".gx-help-text:popover-open").text_content()
    page.keyboard.press("Escape")
    assert page.locator(".gx-help-text:popover-open").count() == 0

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".gx-bar button", has_text="Copy code").click()
    page.locator(".gx-status", has_text="copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == notebook.value("explorer.code()")

    page.locator(".gx-bar button", has_text="Save").click()
    page.locator(".gx-form select").first.select_option("HTML")
    with page.expect_download() as download:
        page.locator("button", has_text="Download").click()
    download.value.save_as(tmp_path / "figure.html")
    assert "plotly" in (tmp_path / "figure.html").read_text(encoding="utf-8")

    page.locator(".gx-bar button", has_text="⋯").click()
    with page.expect_download() as download:
        page.locator("button", has_text="Save state").click()
    download.value.save_as(tmp_path / "state.json")
    index = notebook.value("explorer.panel.shown.view.index")
    with another_map(notebook):
        page.locator(".gx-thumbnail").nth(7).click()
    with another_map(notebook), page.expect_file_chooser() as chooser:
        page.locator("button", has_text="Open state").click()
        chooser.value.set_files(tmp_path / "state.json")
    assert notebook.value("explorer.panel.shown.view.index") == index


def test_without_the_clipboard_the_code_stands_there_selected(open_notebook):
    notebook = open_explorer(open_notebook, shared=False)
    page = notebook.page
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject(new Error('no')))")
    page.locator(".gx-bar button", has_text="Copy code").click()
    page.locator(".gx-status", has_text="Ctrl+C").wait_for()
    area = page.locator("textarea.gx-code")
    assert area.input_value() == notebook.value("explorer.code()")
    assert area.evaluate("it => it === document.activeElement && it.selectionEnd > 100")
    page.keyboard.press("Escape")
    area.wait_for(state="detached")


def test_close_takes_it_away_and_leaves_nothing_behind(open_notebook):
    notebook = open_explorer(open_notebook, shared=False)
    notebook.run("explorer.close()")
    notebook.page.locator(".gx-plot").wait_for(state="detached")
    notebook.wait_for(
        "not any('geoexplorer' in t.name for t in __import__('threading').enumerate())"
    )
    notebook.page.wait_for_timeout(1000)
    alive = "[type(w).__name__ for w in ipywidgets.widgets.widget._instances.values()]"
    notebook.run("import ipywidgets")
    assert notebook.value(alive) == []


def test_two_hundred_random_actions(open_notebook):
    notebook = open_explorer(open_notebook, shared=False)
    page, mouse, chance = notebook.page, notebook.page.mouse, random.Random(0)
    inspector = page.context.new_cdp_session(page)
    inspector.send("Performance.enable")
    axes = ["random tangent", "loss gradient", "DCT frequency", "toward an image", "normal"]

    def memory() -> tuple[float, float, float]:
        """MiB of the kernel, MiB of the page's JavaScript, and its thousands of nodes."""
        settle(notebook)
        inspector.send("HeapProfiler.collectGarbage")
        got = {m["name"]: m["value"] for m in inspector.send("Performance.getMetrics")["metrics"]}
        kernel = notebook.value(
            "(__import__('gc').collect(), __import__('psutil').Process().memory_info().rss)[1]"
        )
        return kernel / 2**20, got["JSHeapUsedSize"] / 2**20, got["Nodes"] / 1000

    def anywhere() -> tuple[float, float]:
        return chance.uniform(0.05, 0.95), chance.uniform(0.05, 0.95)

    def press(key: str) -> None:
        page.locator(".gx-plot").first.focus()
        page.keyboard.press(key)

    def press_any(selector: str) -> None:
        # At once, since the gallery may turn its page between looking and clicking.
        page.locator(selector).evaluate_all(
            "(all, share) => all[Math.floor(share * all.length)]?.click()", chance.random()
        )

    actions = [
        lambda: press_any(".gx-thumbnail"),
        lambda: press_any(".gx-thumbnail"),
        lambda: press_any(".gx-gallery .gx-button"),
        lambda: point(notebook, *anywhere()),
        lambda: point(notebook, *anywhere()),
        lambda: mouse.click(*place(notebook, *anywhere())),
        lambda: mouse.dblclick(*place(notebook, *anywhere())),
        lambda: drag(notebook, anywhere(), anywhere()),
        lambda: (point(notebook, *anywhere()), mouse.wheel(0, chance.choice((-200, 200)))),
        lambda: page.locator(".gx-axis-kind select").nth(1).select_option(chance.choice(axes)),
        lambda: page.locator(".gx-controls select").last.select_option(index=chance.randrange(3)),
        lambda: press(chance.choice(("ArrowLeft", "ArrowUp", "Enter", "Escape", "+", "-", "0"))),
        lambda: page.locator(".gx-row select").select_option(index=chance.randrange(12)),
        lambda: page.locator(".gx-help").nth(1).click(),
        lambda: page.locator(".gx-bar button", has_text="Copy code").click(),
    ]  # fmt: skip
    notebook.run("said = []\nexplorer.errors.observe(lambda it: said.append(it.new), 'value')")
    measured = []
    for count in range(200):
        page.keyboard.press("Escape")  # closes whatever help is open
        chance.choice(actions)()
        page.wait_for_timeout(chance.choice((0, 0, 30, 200)))
        if count % 50 == 49:
            measured.append(memory())
    notebook.run("explorer.refresh()")
    settle(notebook)
    assert notebook.value("explorer.panel.result().progress.complete")
    assert notebook.value("said") == []
    # The first fifty still load code and fill caches of a bounded size.
    for name, most, *values in zip(
        ("MiB of the kernel", "MiB of JavaScript", "thousand nodes"), (40, 20, 5), *measured,
        strict=True,
    ):  # fmt: skip
        assert values[-1] - values[0] <= most, f"{name}: {values}"
