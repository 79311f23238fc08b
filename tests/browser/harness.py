"""JupyterLab in a headless Chromium, for tests of what a person sees.

A test takes the fixture ``open_notebook`` of conftest.py and gets a `Notebook`:

    def test_counts(open_notebook):
        notebook = open_notebook(["import ipywidgets as w; b = w.IntText(3); b"])
        notebook.page.locator("input[type=number]").fill("7")
        notebook.wait_for("b.value == 7")

When the test ends, anything on the browser's console, in the kernel's error output or asked of
another host fails it, unless `Notebook.expect` was told to await it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import nbformat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.jupyter import PATIENCE, Kernel, Server, wait_until

CHROMIUM_FLAGS = [
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@dataclass
class Notebook:
    """A notebook open in a page, its kernel, and whatever went wrong in either."""

    server: Server
    page: Page
    path: Path
    kernel: Kernel
    session: str
    page_problems: list[str]
    _expected: list[str] = field(default_factory=list)

    def run_all(self, patience: float = PATIENCE) -> None:
        """Run all cells and wait until they have run; a cell that fails is a problem."""
        self.page.evaluate(
            "window.ran = false;"
            "void window.jupyterapp.commands.execute('notebook:run-all-cells')"
            ".finally(() => { window.ran = true; })"
        )
        self.page.wait_for_function("window.ran", timeout=1000 * patience)

    def run(self, code: str) -> str:
        """Run code in the kernel, beside the notebook's cells; what it printed."""
        return self.kernel.run(code)

    def value(self, expression: str) -> Any:
        """The value of a Python expression in the kernel, through JSON."""
        return json.loads(self.run(f"import json as _json; print(_json.dumps({expression}))"))

    def wait_for(self, expression: str, patience: float = PATIENCE) -> Any:
        """Wait until a Python expression is true in the kernel."""
        return wait_until(lambda: self.value(expression), expression, patience)

    def wait_for_plot(self, patience: float = PATIENCE) -> None:
        """Wait until a plotly figure is drawn."""
        self.page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=1000 * patience)

    def outputs(self) -> list[Any]:
        """The outputs of all code cells, as the notebook would be saved now."""
        cells = self.page.evaluate(
            "window.jupyterapp.shell.currentWidget.content.model.toJSON().cells"
        )
        return [
            nbformat.from_dict(output)
            for cell in cells
            if cell["cell_type"] == "code"
            for output in cell["outputs"]
        ]

    def expect(self, pattern: str) -> None:
        """Await a problem that the test provokes: a regular expression found in it."""
        self._expected.append(pattern)

    def wait_for_problem(self, pattern: str, patience: float = PATIENCE) -> str:
        """Wait for a problem in which a regular expression is found, and expect it."""
        self.expect(pattern)

        def seen() -> str | None:
            self.page.wait_for_timeout(20)  # lets the page's events in
            found = (text for text in self._found() if re.search(pattern, text))
            return next(found, None)

        return str(wait_until(seen, f"a problem with {pattern!r}", patience))

    def problems(self) -> list[str]:
        """Everything that went wrong so far and was not expected."""
        return [
            text
            for text in self._found()
            if not any(re.search(pattern, text) for pattern in self._expected)
        ]

    def _found(self) -> list[str]:
        cells = [
            f"cell output: {output.ename}: {output.evalue}"
            for output in self.outputs()
            if output.output_type == "error"
        ]
        return [*self.page_problems, *(f"kernel: {text}" for text in self.kernel.errors), *cells]

    def screenshot(self, path: Path) -> Path:
        """Write what is seen now to a PNG file."""
        self.page.screenshot(path=path)
        return path

    def clear(self) -> list[str]:
        """Close the cells' Explorer and forget all, so that they run as if for the first time.

        Gives what went wrong in doing so.
        """
        self.page.keyboard.press("Escape")
        self.page.mouse.move(0, 0)
        self.page.wait_for_timeout(250)  # what the page still has to say, somebody hears
        self.run("explorer.close()")  # of its widgets too, when the page has let go of them
        self.wait_for("__import__('ipywidgets').widgets.widget._instances == {}")
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        self.run("get_ipython().run_line_magic('reset', '-f')")
        problems = self.problems()
        for known in (self._expected, self.page_problems, self.kernel.errors):
            known.clear()
        return problems

    def close(self) -> None:
        """Close the page and shut the kernel down."""
        self.kernel.close()
        self.page.context.close()
        self.server.request(f"api/sessions/{self.session}", method="DELETE")


def open_notebook(
    server: Server,
    browser: Browser,
    cells: Sequence[str] | Path,
    *,
    theme: str = "light",
    size: tuple[int, int] = (1280, 900),
) -> Notebook:
    """Open a notebook in a fresh page, its kernel ready and no cell run.

    Parameters
    ----------
    cells
        The source of its code cells, or a notebook file, which is copied.
    theme
        JupyterLab's: "light" or "dark".
    size
        Width and height of the page in pixels.
    """
    if isinstance(cells, Path):
        document = nbformat.read(cells, as_version=4)
    else:
        document = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
        )
    path = server.root / f"{secrets.token_hex(4)}.ipynb"
    nbformat.write(document, path)
    server.set_theme(theme)
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    problems = watch(context, page)
    try:
        page.goto(f"{server.url}/lab/tree/{quote(path.name)}?reset&token={server.token}")
        page.locator(".jp-Notebook").wait_for(timeout=1000 * PATIENCE)
        page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'",
            timeout=1000 * PATIENCE,
        )
        session, kernel = page.evaluate(
            "(({id, kernel}) => [id, kernel.id])"
            "(window.jupyterapp.shell.currentWidget.sessionContext.session)"
        )
    except Exception as error:
        shot = path.with_suffix(".png")
        page.screenshot(path=shot)
        context.close()
        raise RuntimeError(f"the notebook did not open, see {shot}; {problems}") from error
    connection = Kernel(server.runtime / f"kernel-{kernel}.json")
    return Notebook(server, page, path, connection, session, problems)


def watch(context: BrowserContext, page: Page) -> list[str]:
    """List that fills with a page's errors and its requests to other hosts."""
    problems: list[str] = []

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            place = message.location
            problems.append(f"console: {message.text} ({place['url']}:{place['lineNumber']})")

    def route_elsewhere(route: Any) -> None:
        problems.append(f"request to another host: {route.request.url}")
        route.abort()

    page.on("console", console)
    page.on("pageerror", lambda error: problems.append(f"page: {error.stack or error.message}"))
    context.route(lambda url: not _is_local(url), route_elsewhere)
    return problems


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("data", "blob", "about") or parts.hostname in ("127.0.0.1", "localhost")


PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(17, 17, 17)"}
"""The colour of a figure's paper in each theme."""


def expect_paper(panel: Any, colour: str) -> None:
    """Wait until the first figure that a panel shows has a paper of this colour, ``rgb(...)``.

    The page draws some time after the kernel has told it what.
    """
    from playwright.sync_api import expect

    drawn = panel.locator(".js-plotly-plot:visible .main-svg").first
    expect(drawn).to_have_css("background-color", colour, timeout=1000 * PATIENCE)
