"""Run the course's notebooks, each in a fresh kernel that is held to a small machine's memory.

``python docs/execute.py`` runs them one after the other and prints what each took; ``--out`` keeps
them with their outputs.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

LESSONS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("[1-9]_*.ipynb"))
MEMORY = 2 * 2**30  # bytes: what Binder gives at most
_CELL_SECONDS = 300
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "2",
    "MALLOC_ARENA_MAX": "2",  # glibc reserves addresses for every thread
    "PLOTLY_RENDERER": "plotly_mimetype",
}

# Libraries reserve addresses that they never fill, a torch that can use GPUs more than 2 GB. So the
# limit is set on top of them, and such that all that is resident may be MEMORY bytes.
_HOLD = f"""
def _hold():
    import geoexplorer, geoexplorer.widgets, sklearn.datasets, torch, torchvision
    def size(name):
        with open("/proc/self/status") as status:
            (line,) = [line for line in status if line.startswith(name)]
        return 1024 * int(line.split()[1])
    try:
        import resource
        limit = size("VmSize") + {MEMORY} - size("VmRSS")
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    except (ImportError, OSError):
        pass  # not on Linux: memory is measured where it can be, but not held
_hold()
del _hold
"""
# Widgets compute in a thread of their own, and what they still do counts. The highest size comes
# from /proc: that of getrusage is the size of the parent, where that was larger.
_SETTLE = f"""
def _settle():
    import gc, sys
    from geoexplorer.widgets import Explorer
    for explorer in [each for each in gc.get_objects() if type(each) is Explorer]:
        assert explorer.wait({_CELL_SECONDS}), "an Explorer does not come to an end"
        if explorer.errors.last is not None:
            raise explorer.errors.last
    try:
        with open("/proc/self/status") as status:
            print(*[1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM")])
    except OSError:
        print("nan")
_settle()
del _settle
"""


@dataclass(frozen=True)
class Run:
    """A notebook that was run; its kernel is still there."""

    notebook: nbformat.NotebookNode  # with its outputs
    seconds: float  # of the wall, the start of the kernel included
    peak: float  # MiB of the kernel, at most; NaN where it is not known
    ask: Callable[[str], str]  # runs a further cell that the notebook does not keep: what it prints

    def __str__(self) -> str:
        return f"{self.seconds:5.1f} s, {self.peak:5.0f} MiB"


@contextmanager
def running(path: Path) -> Iterator[Run]:
    """Run a notebook in a fresh kernel, in an empty folder.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises something, or an Explorer shows an error.
    nbclient.exceptions.DeadKernelError, nbclient.exceptions.CellTimeoutError
        If the kernel ends amid a cell, or a cell does not.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=_CELL_SECONDS, store_widget_state=False)
    started = time.perf_counter()

    def ask(source: str) -> str:
        cell = nbformat.v4.new_code_cell(source)
        notebook.cells.append(cell)  # where nbclient looks for it
        client.execute_cell(cell, len(notebook.cells) - 1)
        notebook.cells.pop()
        return "".join(each.text for each in cell.outputs if each.get("name") == "stdout")

    with (
        tempfile.TemporaryDirectory() as folder,
        client.setup_kernel(env=os.environ | _ENVIRONMENT, cwd=folder),
    ):
        ask(_HOLD)
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        peak = float(ask(_SETTLE)) / 2**20
        yield Run(notebook, time.perf_counter() - started, peak, ask)


def main(argv: Sequence[str] | None = None) -> int:
    """Run notebooks; the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="by default the whole course")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for them and their outputs")
    arguments = parser.parse_args(argv)
    failed = 0
    for path in arguments.notebooks or LESSONS:
        try:
            with running(path) as run:
                print(f"{path.name:36} {run}", flush=True)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            print(f"{path.name:36} {error}", file=sys.stderr, flush=True)
            failed += 1
            continue
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
            nbformat.write(run.notebook, arguments.out / path.name)
    return failed


if __name__ == "__main__":
    sys.exit(main())
