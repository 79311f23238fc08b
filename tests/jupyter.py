"""Jupyter servers and kernels of the tests' own, for tests with and without a browser."""

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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoexplorer.cli import kernel_environment

REPOSITORY = Path(__file__).parents[1]
LESSONS = sorted((REPOSITORY / "notebooks").glob("[1-9]_*.ipynb"))  # the course, in order
PATIENCE = 120.0  # seconds; what takes longer hangs, and slow machines are no failure


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
    """A JupyterLab that knows nothing of its user's settings."""

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
    places, environment = _separate_environment(folder)
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
    server = Server(
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

    def answers() -> bool:
        try:
            server.request("api/status")
        except OSError:
            return False
        return True

    with _running(command, environment, folder, answers):
        yield server


@contextmanager
def voila(folder: Path, notebook: Path) -> Iterator[str]:
    """Serve a notebook as a dashboard; gives its address."""
    _, environment = _separate_environment(folder)
    port = free_port()
    command = [
        *(sys.executable, "-m", "voila", str(notebook), "--no-browser", f"--port={port}"),
        *("--Voila.ip=127.0.0.1", "--show_tracebacks=True"),
    ]

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with _running(command, environment, folder, answers):
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def _running(
    command: list[str], environment: dict[str, str], folder: Path, answers: Callable[[], bool]
) -> Iterator[None]:
    """Run a server from when it answers until the end of the block."""
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, cwd=folder / "root"
        )

    def ready() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(command[:4])} ended at once:\n{log.read_text()}")
        return answers()

    try:
        wait_until(ready, f"{command[2]} answers")
        yield
    finally:
        _end(process)


def _separate_environment(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Folders for all that a server reads and writes, and the environment that names them."""
    names = ("config", "data", "runtime", "settings", "workspaces", "ipython", "kernel", "root")
    places = {name: folder / name for name in names}
    for place in places.values():
        place.mkdir()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON", "PYTEST"))
    }
    return places, {
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


def _end(process: subprocess.Popen[bytes]) -> None:
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


class Kernel:
    """A notebook's running kernel: runs code in it, and hears every error that it reports.

    Both happen in threads of their own, since the page tests keep an event loop in the main one.
    """

    def __init__(self, connection_file: Path) -> None:
        self.errors: list[str] = []
        self._connection_file = str(connection_file)
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kernel")
        self._client = self._thread.submit(self._connect_when_ready).result(PATIENCE)
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

    def _connect_when_ready(self) -> Any:
        """A client that hears what the kernel says from its first request on.

        A kernel that is still starting may answer a request before the channel on which it says
        that it is done is subscribed to, and who waits for that word then waits in vain.
        """
        client = self._connect(hb=False)
        client.wait_for_ready(PATIENCE)
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
            raise RuntimeError(plain_text("\n".join(reply.get("traceback", [reply["status"]]))))
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
                self.errors.append(plain_text("\n".join(content["traceback"])))
            elif message["msg_type"] == "stream" and content["name"] == "stderr":
                self.errors.append(plain_text(content["text"]))
        client.stop_channels()


@contextmanager
def running_kernel(connection_file: Path) -> Iterator[Kernel]:
    """A `Kernel`, let go at the end."""
    kernel = Kernel(connection_file)
    try:
        yield kernel
    finally:
        kernel.close()


def plain_text(text: str) -> str:
    """Text without the colour codes of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
