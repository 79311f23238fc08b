"""The Explorer's notebook as a dashboard."""

from tests import jupyter
from tests.browser import harness


def test_the_explorer_lives_under_voila(playwright_browser, tmp_path):
    notebook = jupyter.REPOSITORY / "notebooks" / "explorer.ipynb"
    with jupyter.voila(tmp_path, notebook) as address:
        context = playwright_browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        problems = harness.watch(context, page)
        page.goto(address, timeout=1000 * jupyter.PATIENCE)
        explorer = page.locator(".gx-explorer")
        explorer.locator(".js-plotly-plot .main-svg").first.wait_for(
            timeout=1000 * jupyter.PATIENCE
        )
        told = explorer.get_by_role("status")
        told.filter(has_text="done").wait_for(timeout=1000 * jupyter.PATIENCE)
        explorer.locator(".xtitle", has_text="l2 distance").wait_for()
        before = explorer.locator(".js-plotly-plot").first.inner_text()
        explorer.get_by_role("listbox").get_by_role("option").nth(3).click()
        page.wait_for_function(
            "before => document.querySelector('.js-plotly-plot').innerText !== before",
            arg=before,
            timeout=1000 * jupyter.PATIENCE,
        )
        # Voila's own page asks a content network for icons, with the Explorer or without.
        assert [problem for problem in problems if "fontawesome" not in problem] == []
        context.close()
