"""Order of the tests, the processes that share them, and the browser that some of them need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

# The tensors here are small: a second thread gains nothing, and on a machine that is busy with
# something else threads that wait for each other take ten times as long. Set before torch is
# imported, and for the kernels and servers that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

INSTALL_SECONDS = 300
# Two leave a quarter of two cores idle, since page tests wait much; a third takes that up.
WORKERS = 3
# Three of them took 9.5 GB at the most, with their browsers and servers.
GIB_OF_A_WORKER = 4
# Of the page tests, so that no process is left alone with a long file at the end.
LONGEST_FIRST = ("test_explorer", "test_layout", "test_notebooks", "test_paths")
HOW_TO_GET_A_BROWSER = (
    "Install one with `apt-get install chromium` (Debian, Ubuntu) or "
    "`python -m playwright install --with-deps chromium`, then run the tests again."
)

_MISSING = pytest.StashKey[str]()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """As many processes as memory allows for whole folders; none, at once, for single files."""
    if any(Path(argument.split("::")[0]).is_file() for argument in config.args):
        return 0
    fitting = int(_free_gib() / GIB_OF_A_WORKER)
    return max(1, min(WORKERS, (os.cpu_count() or 1) + 1, fitting))


def _free_gib() -> float:
    """Memory that is free, within the limit of a container."""
    free = psutil.virtual_memory().available
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (most := limit.read_text().strip()).isdigit():
        free = min(free, int(most))
    return free / 2**30


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first, and those that drive a page last.

    The page tests leave an event loop running in this thread until the session ends, in which
    nobody else can start one, so whoever needs a Chromium of his own (kaleido) comes before them.
    The tests of a file run in one process, one after the other, and share what they make: loadfile
    in setup.cfg. Marks of groups do not: pytest-xdist 3.8 names them in ids that pytest 9.2 keeps.
    """
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, int]:
    if item.get_closest_marker("browser") is None:
        return 0, 0
    if "playwright_browser" not in getattr(item, "fixturenames", ()):
        return 1, 0
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    return 2, order.get(item.path.stem, len(order))


@pytest.fixture(scope="session")
def chromium(pytestconfig: pytest.Config) -> Path:
    """Path of a Chromium; without one the test is skipped and the summary says so.

    With GEOEXPLORER_REQUIRE_BROWSER=1 it fails instead.
    """
    found, reason = find_or_install_chromium()
    if found is not None:
        return found
    pytestconfig.stash[_MISSING] = reason
    if os.environ.get("GEOEXPLORER_REQUIRE_BROWSER") == "1":
        pytest.fail(f"GEOEXPLORER_REQUIRE_BROWSER=1, but {reason}. {HOW_TO_GET_A_BROWSER}")
    pytest.skip(reason)


def find_or_install_chromium() -> tuple[Path | None, str]:
    """A Chromium's path, or why there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if (found := shutil.which(name)) and _starts(Path(found)):
            return Path(found), ""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None, "no Chromium was found, and the package playwright is not installed"
    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    if not path.exists():
        try:
            subprocess.run(
                [sys.executable, "-m", "playwright", "install", "chromium"],
                capture_output=True,
                timeout=INSTALL_SECONDS,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            return None, "no Chromium was found, and playwright could not install its own"
    if not _starts(path):
        return None, f"no Chromium was found but {path}, which does not start"
    return path, ""


def _starts(path: Path) -> bool:
    """Whether a program runs at all: Ubuntu has a stand-in, and system libraries may be missing."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (subprocess.SubprocessError, OSError):
        return False


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that sums up what this one missed."""
    reason = session.config.stash.get(_MISSING, None)
    if reason is not None and hasattr(session.config, "workeroutput"):
        session.config.workeroutput["missing"] = reason


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what one of the processes missed."""
    reason = getattr(node, "workeroutput", {}).get("missing")
    if reason is not None:
        node.config.stash[_MISSING] = reason


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what notebooks took, and in words what was not tested for want of a browser."""
    took = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "took" and report.when == "call"
    ]
    if took:
        terminalreporter.section("notebooks: seconds and largest memory")
        for line in sorted(took):
            terminalreporter.line(line)
    reason = config.stash.get(_MISSING, None)
    if reason is None:
        return
    names = sorted(
        report.nodeid
        for outcome in ("skipped", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if reason in str(report.longrepr)
    )
    terminalreporter.section("not tested: no browser")
    terminalreporter.line(f"{len(names)} tests did not run, because {reason}:")
    for name in names:
        terminalreporter.line(f"  {name}")
    terminalreporter.line(HOW_TO_GET_A_BROWSER)
