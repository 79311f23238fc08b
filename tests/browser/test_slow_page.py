"""The Explorer in a page that takes longer than ours to load what it needs."""

from __future__ import annotations

from tests.browser.test_explorer import EXPLORE, settle
from tests.browser.test_shared import open_shared, show, titled

# Anywidget gives up a model whose module takes two seconds.
SLOW_LIBRARY = """\
from geoexplorer.widgets.plot import Library
slowly = b"await new Promise((go) => setTimeout(go, 4000));"
Library.__init__ = lambda self: super(Library, self).__init__(source=slowly + self.source)
"""
SECTION = ".gx-panel:has(.gx-axis-kind)"
# What is in the page of the map: it was drawn while the library was loading.
MAP = "it => [it._fullLayout.images[0].source.slice(-100), it._fullLayout.xaxis.range]"


def test_figures_are_drawn_however_long_their_library_takes_to_load(open_notebook):
    notebook = open_shared(open_notebook, SLOW_LIBRARY + EXPLORE, shared=False)
    drawn = notebook.page.locator(f"{SECTION} .js-plotly-plot").first.evaluate(MAP)
    layout = notebook.value("explorer.panels['cross-section'].plot.layout.to_plotly_json()")
    assert drawn == [layout["images"][0]["source"][-100:], layout["xaxis"]["range"]]
    show(notebook, "shares")
    titled(notebook, "Shares in a subspace")
    settle(notebook)
    assert notebook.value("explorer.errors.value") == ""
