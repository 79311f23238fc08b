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
import os
import queue
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import nbformat
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from geoexplorer.cli import kernel_environment

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 120.0  # seconds; what takes longer hangs, and slow machines are no failure

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

# What a clean JupyterLab says by itself; each line with its reason.
HARMLESS: tuple[str, ...] = ()


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Return the first true value of a condition that is asked again and again."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not so after {patience:g} s")
        time.sleep(0.05)
    return value


@dataclass
class Server:
    """A Jupyter server (JupyterLab or Voila) that knows nothing of its user's settings."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    root: Path  # notebooks stand here
    runtime: Path  # the kernels' connection files
    settings: Path  # JupyterLab's user settings

    def request(self, path: str, method: str = "GET") -> Any:
        """Ask the server's REST interface."""
        request = urllib.request.Request(
            f"{self.url}/{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def set_theme(self, theme: str) -> None:
        """Let pages opened from now on have the "light" or "dark" theme."""
        names = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
        self._setting("apputils-extension", "themes", theme=names[theme])

    def _setting(self, extension: str, plugin: str, **values: Any) -> None:
        path = self.settings / "@jupyterlab" / extension / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[Server]:
    """Run JupyterLab, with everything it reads and writes inside a folder."""
    names = ("config", "data", "runtime", "settings", "workspaces", "ipython", "kernel", "root")
    places = {name: folder / name for name in names}
    for place in places.values():
        place.mkdir()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON", "PYTEST"))
    }
    environment = {
        **inherited,
        "IPYTHONDIR": str(places["ipython"]),
        "JUPYTERLAB_SETTINGS_DIR": str(places["settings"]),
        "JUPYTERLAB_WORKSPACES_DIR": str(places["workspaces"]),
        "JUPYTER_CONFIG_DIR": str(places["config"]),
        "JUPYTER_DATA_DIR": str(places["data"]),
        "JUPYTER_PATH": kernel_environment(places["kernel"])["JUPYTER_PATH"],
        "JUPYTER_RUNTIME_DIR": str(places["runtime"]),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), inherited.get("PYTHONPATH", "")]),
    }
    port, token = free_port(), secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={places['root']}",
        "--ServerApp.terminals_enabled=False",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",  # commands are called by name, not by menu
        "--LabApp.extension_manager=readonly",  # the other one asks PyPI
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    server = Server(
        process,
        f"http://127.0.0.1:{port}",
        token,
        root=places["root"],
        runtime=places["runtime"],
        settings=places["settings"],
    )
    server._setting(
        "apputils-extension",
        "notification",
        fetchNews="false",
        checkForUpdates=False,
        doNotDisturbMode=True,
    )
    # Every cell stands in the document, also those far below.
    server._setting("notebook-extension", "tracker", windowingMode="none")
    try:
        wait_until(lambda: _answers(server, log.name), "JupyterLab answers")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port of the loopback address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(server: Server, log: str) -> bool:
    if server.process.poll() is not None:
        raise RuntimeError(f"JupyterLab ended at once:\n{Path(log).read_text()}")
    try:
        server.request("api/status")
    except OSError:
        return False
    return True


class Kernel:
    """A notebook's running kernel: runs code in it, and hears every error that it reports.

    Both happen in threads of their own, since the page tests keep an event loop in the main one.
    """

    def __init__(self, connection_file: Path) -> None:
        self.errors: list[str] = []
        self._connection_file = str(connection_file)
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kernel")
        self._client = self._thread.submit(self._connect, hb=False).result()
        ready = threading.Event()
        self._listener = threading.Thread(target=self._listen, args=(ready,), daemon=True)
        self._listener.start()
        ready.wait(PATIENCE)

    def run(self, code: str) -> str:
        """Run code in the notebook's namespace and return what it printed."""
        return self._thread.submit(self._run, code).result(PATIENCE)

    def close(self) -> None:
        """Let go of the kernel, which stays as it is."""
        self._closing.set()
        self._listener.join(PATIENCE)
        self._thread.submit(self._client.stop_channels).result(PATIENCE)
        self._thread.shutdown()

    def _connect(self, **channels: bool) -> Any:
        from jupyter_client.blocking import BlockingKernelClient

        client = BlockingKernelClient(connection_file=self._connection_file)
        client.load_connection_file()
        client.start_channels(**channels)
        return client

    def _run(self, code: str) -> str:
        printed: list[str] = []

        def collect(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = self._client.execute_interactive(
            code, store_history=False, allow_stdin=False, output_hook=collect, timeout=PATIENCE
        )["content"]
        if reply["status"] != "ok":
            raise RuntimeError(_plain("\n".join(reply.get("traceback", [reply["status"]]))))
        return "".join(printed)

    def _listen(self, ready: threading.Event) -> None:
        client = self._connect(shell=False, stdin=False, control=False, hb=False)
        ready.set()
        while not self._closing.is_set():
            try:
                message = client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            content = message["content"]
            if message["msg_type"] == "error":
                self.errors.append(_plain("\n".join(content["traceback"])))
            elif message["msg_type"] == "stream" and content["name"] == "stderr":
                self.errors.append(_plain(content["text"]))
        client.stop_channels()


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
        known = (*HARMLESS, *self._expected)
        return [text for text in self._found() if not any(re.search(rule, text) for rule in known)]

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


def _plain(text: str) -> str:
    """Text without the colour codes of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
