"""The Explorer in a page that takes longer than ours to load what it needs."""

from __future__ import annotations

from tests.browser.test_explorer import EXPLORE, another_map, point, settle
from tests.browser.test_shared import open_shared, show, titled

# Anywidget gives up a model whose module takes two seconds.
SLOW_MODULES = """\
from geoexplorer.widgets.file_button import FileButton
from geoexplorer.widgets.gallery import Gallery
from geoexplorer.widgets.page import Page
from geoexplorer.widgets.plot import Ears, Plot
from geoexplorer.widgets.readout import Readout
from geoexplorer.widgets.spoken import Spoken
for kind in (FileButton, Gallery, Page, Ears, Plot, Readout, Spoken):
    kind._esm = "await new Promise((go) => setTimeout(go, 4000));\\n" + kind._esm
"""
GIVEN_UP = "Failed to initialize model"
SLOW_LIBRARY = """\
from geoexplorer.widgets.plot import Library
slowly = b"await new Promise((go) => setTimeout(go, 4000));"
Library.__init__ = lambda self: super(Library, self).__init__(source=slowly + self.source)
"""
SECTION = ".gx-panel:has(.gx-axis-kind)"
# What is in the page of the map: it was drawn while the library was loading.
MAP = "it => [it._fullLayout.images[0].source.slice(-100), it._fullLayout.xaxis.range]"


def test_models_that_were_given_up_hear_again(open_notebook):
    notebook = open_notebook([SLOW_MODULES + EXPLORE])
    page = notebook.page
    notebook.wait_for_plot()
    notebook.expect(GIVEN_UP)
    settle(notebook)
    assert_is_shown(notebook)
    reading = page.locator(".gx-readout .gx-where:visible")
    assert reading.text_content() == "x, the chosen image"
    point(notebook, 0.2, 0.7)
    reading.filter(has_not_text="chosen").wait_for()
    with another_map(notebook):
        page.locator(".gx-thumbnail").nth(5).click()
    assert page.locator(".gx-thumbnail").nth(5).get_attribute("aria-selected") == "true"
    assert_is_shown(notebook)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".gx-bar button", has_text="Copy code").click()
    page.locator(".gx-status", has_text="copied").wait_for()
    assert any(GIVEN_UP in problem for problem in notebook.page_problems)


def test_figures_are_drawn_however_long_their_library_takes_to_load(open_notebook):
    notebook = open_shared(open_notebook, SLOW_LIBRARY + EXPLORE, shared=False)
    assert_is_shown(notebook)
    show(notebook, "shares")
    titled(notebook, "Shares in a subspace")
    settle(notebook)
    assert notebook.value("explorer.errors.value") == ""


def assert_is_shown(notebook):
    """The map of the kernel is the one in the page."""
    drawn = notebook.page.locator(f"{SECTION} .js-plotly-plot").first.evaluate(MAP)
    layout = notebook.value("explorer.panels['cross-section'].plot.layout.to_plotly_json()")
    assert drawn == [layout["images"][0]["source"][-100:], layout["xaxis"]["range"]]
