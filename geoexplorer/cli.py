"""The command line.

``geoexplorer lab`` opens the Explorer, ``geoexplorer figures`` makes the paper's figures,
``geoexplorer study`` measures many images and stores what it finds, and
``geoexplorer info`` says what is here. Opening JupyterLab needs none of the compute core, so torch
is imported by the commands that compute alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import geoexplorer

_PATIENCE = 10.0  # seconds for a server that said where it is to listen there
_STOPPED = 130  # the exit status of a program that was interrupted
_NEEDED_BY_LAB = ("jupyterlab", "ipykernel", "ipywidgets", "anywidget", "plotly")
_SHOWN_VERSIONS = (
    *("torch", "torchvision", "numpy", "scikit-learn", "safetensors", "pillow"),
    *("plotly", "ipywidgets", "anywidget", "jupyterlab", "ipykernel", "voila", "kaleido"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "lab":
            return lab(
                notebook=arguments.notebook, port=arguments.port, browser=not arguments.no_browser
            )
        if arguments.command == "figures":
            return figures(arguments)
        if arguments.command == "study":
            return study(arguments)
        print("\n".join(info()))
    except CommandError as error:
        print(f"geoexplorer: {error}", file=sys.stderr)
        return 1
    return 0


class CommandError(Exception):
    """One sentence for the person at the terminal; no traceback is shown."""


def lab(*, notebook: Path | None = None, port: int | None = None, browser: bool = True) -> int:
    """Start JupyterLab with this Python as its kernel, open a notebook and wait for the end.

    Parameters
    ----------
    notebook
        A notebook of one's own. By default the Explorer's, which is written to ``explorer.ipynb``
        in the current directory (or, where that cannot be written, in the user's data directory)
        unless it is there already.
    port
        The port to listen on, or the first free one from 8888.
    browser
        Whether a browser is opened; the address is printed in any case.

    Returns
    -------
    int
        JupyterLab's exit status.
    """
    missing = [name for name in _NEEDED_BY_LAB if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"{', '.join(missing)} not installed for {sys.executable}; install with: "
            f"{sys.executable} -m pip install {' '.join(missing)}"
        )
    if notebook is None:
        notebook = explorer_notebook(Path.cwd())
    elif not notebook.is_file():
        raise CommandError(f"--notebook: there is no file {notebook}")
    notebook = notebook.resolve()
    command = [sys.executable, "-m", "jupyterlab", str(notebook)]
    command.append(f"--ServerApp.root_dir={notebook.parent}")
    if port is not None:
        # Asked for by number, so that no neighbouring port will do.
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # containers; it listens on the loopback address alone
    with tempfile.TemporaryDirectory(prefix="geoexplorer-") as folder:
        return _serve(command, kernel_environment(Path(folder)), notebook)


def figures(arguments: argparse.Namespace) -> int:
    """Make the paper's figures in a folder, and return the exit status."""
    try:
        from geoexplorer.paper.making import make_figures
        from geoexplorer.paper.request import Request

        request = Request(
            out=arguments.out,
            networks=_listed(arguments.networks),
            images=arguments.images,
            full=arguments.full,
            seed=arguments.seed,
            only=_listed(arguments.only),
            formats=_listed(arguments.formats),
        )
    except (ModuleNotFoundError, OSError, TypeError, ValueError) as error:
        raise CommandError(str(error)) from error
    return make_figures(request)


def study(arguments: argparse.Namespace) -> int:
    """Run the study of a file, print its table, and return the exit status."""
    from geoexplorer.study_command import run_study

    try:
        return run_study(
            arguments.file,
            workers=arguments.workers,
            scheduler=arguments.scheduler,
            retry_failed=arguments.retry_failed,
            show=not arguments.quiet,
        )
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return _STOPPED
    except (ModuleNotFoundError, OSError, TypeError, ValueError) as error:
        raise CommandError(str(error)) from error


def info() -> Iterator[str]:
    """Lines that say what is installed, where networks can run, and which are bundled."""
    yield f"geoexplorer  {geoexplorer.__version__}"
    yield f"python       {sys.version.split()[0]}  ({sys.executable})"
    for name in _SHOWN_VERSIONS:
        yield f"{name:<12} {_version_of(name)}"
    yield ""
    if find_spec("torch") is None:
        yield "Devices and networks are not shown: torch is not installed."
        return
    yield from _devices()
    yield ""
    yield from _networks()


def explorer_notebook(folder: Path) -> Path:
    """Path of an Explorer notebook in a folder, written there if there is none.

    No file is ever overwritten. An ``explorer.ipynb`` that calls ``explore`` is taken as it is,
    with whatever its owner added; beside any other a new name is chosen.
    """
    for place in (folder, _user_folder()):
        try:
            place.mkdir(parents=True, exist_ok=True)
            return _written_or_found(place)
        except OSError:
            continue  # not writable: the next place
    raise CommandError(
        f"no notebook can be written to {folder} nor to {_user_folder()}; "
        "start in another directory, or name a notebook with --notebook"
    )


def _cell(kind: str, name: str, source: str, **rest: object) -> dict[str, object]:
    return {
        "cell_type": kind,
        "id": name,
        "metadata": {},
        **rest,
        "source": source.splitlines(keepends=True),
    }


EXPLORER_NOTEBOOK = (
    json.dumps(
        {
            "cells": [
                _cell(
                    "code",
                    "explore",
                    "import geoexplorer as gx  # Shift+Enter runs this cell\n\ngx.explore()",
                    execution_count=None,
                    outputs=[],
                ),
            ],
            "metadata": {
                "kernelspec": {
                    "display_name": "Python 3 (ipykernel)",
                    "language": "python",
                    "name": "python3",
                },
                "language_info": {"name": "python"},
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
        sort_keys=True,
    )
    + "\n"
)
"""The notebook that ``geoexplorer lab`` opens; notebooks/explorer.ipynb is the same."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="geoexplorer", description=geoexplorer.__doc__)
    parser.add_argument(
        "--version", action="version", version=f"geoexplorer {geoexplorer.__version__}"
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="lab | figures | study | info"
    )
    opened = commands.add_parser(
        "lab",
        help="open the Explorer in JupyterLab",
        description="Open the Explorer in JupyterLab, in the current directory. Its notebook, "
        "explorer.ipynb, is written there unless it is there already; no file is overwritten.",
    )
    opened.add_argument("--no-browser", action="store_true", help="only print the address")
    opened.add_argument("--port", type=_port, metavar="N", help="port to listen on")
    opened.add_argument("--notebook", type=Path, metavar="FILE", help="open this notebook instead")
    _add_figures(commands)
    _add_study(commands)
    commands.add_parser("info", help="print versions, devices and bundled networks")
    return parser


def _add_figures(commands: Any) -> None:
    made = commands.add_parser(
        "figures",
        help="make the paper's figures, and a page that says what was found",
        description="Make the paper's whole set of figures, and index.html, which says beside each "
        "what the paper reported and what was found here. What is finished is kept: the same "
        "command goes on where it was stopped.",
    )
    made.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    made.add_argument(
        "--networks",
        action="append",
        metavar="NAMES",
        help="bundled or torchvision networks, or .safetensors files, separated by commas "
        "(by default bundled ones that suit each figure; with --full all bundled ones)",
    )
    made.add_argument(
        "--images", type=Path, metavar="FOLDER", help="images, for networks that are not bundled"
    )
    made.add_argument(
        "--full",
        action="store_true",
        help="hundreds of images, all bundled networks; this takes long, and says how long",
    )
    made.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, 0 by default")
    made.add_argument(
        "--only",
        action="append",
        metavar="NAMES",
        help="make these figures alone: sections, path, convex, profiles, shared, shares, noise, "
        "detection",
    )
    made.add_argument(
        "--formats",
        action="append",
        metavar="NAMES",
        help="of html,svg,png,pdf (html,svg,png by default)",
    )


def _add_study(commands: Any) -> None:
    run = commands.add_parser(
        "study",
        help="measure many images under several networks, and store what is found",
        description="Run the study that a TOML file describes, as far as it is not done, and print "
        "a table. Every shard of images is stored when it is done: the same command goes on where "
        "it was stopped.",
    )
    run.add_argument(
        "file", type=Path, metavar="FILE", help="TOML file: store, networks, images, ..."
    )
    where = run.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="processes on this machine (Dask)"
    )
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a running Dask cluster")
    run.add_argument(
        "--retry-failed", action="store_true", help="measure shards with failed images again"
    )
    run.add_argument("--quiet", action="store_true", help="tell no progress")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 is needed, got {text!r}")
    return int(text)


def _listed(values: Sequence[str] | None) -> tuple[str, ...]:
    """The names of an option that may be repeated and holds names separated by commas."""
    return tuple(name.strip() for value in values or () for name in value.split(","))


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, got {text!r}")
    return int(text)


def _written_or_found(folder: Path) -> Path:
    path, number = folder / "explorer.ipynb", 0
    while True:
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(EXPLORER_NOTEBOOK)
            return path
        except FileExistsError:
            if _calls_explore(path):
                return path
        number += 1
        path = folder / f"explorer-{number}.ipynb"


def _calls_explore(path: Path) -> bool:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return any(
            cell["cell_type"] == "code" and "explore(" in "".join(cell["source"]) for cell in cells
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _user_folder() -> Path:
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "geoexplorer"


def kernel_environment(folder: Path) -> dict[str, str]:
    """Environment in which the kernel named python3 is this very Python.

    A kernel of that name in the user's home would win over the one of this environment, and
    belong to a Python without geoexplorer; what JUPYTER_PATH names wins over both.
    """
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    specification = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3 (geoexplorer)",
        "language": "python",
        "metadata": {"debugger": True},
    }
    (kernel / "kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    others = os.environ.get("JUPYTER_PATH")
    path = str(folder) if not others else os.pathsep.join([str(folder), others])
    return {**os.environ, "JUPYTER_PATH": path}


def _serve(command: Sequence[str], environment: Mapping[str, str], notebook: Path) -> int:
    """Run JupyterLab to its end, and print the notebook's address once it listens."""
    started = time.time()
    process = subprocess.Popen(command, env=environment)
    # Ctrl-C reaches both processes; JupyterLab asks what is meant, and its answer counts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    server, deadline = None, math.inf
    while process.poll() is None:
        server = server or _started(notebook.parent, started)
        if server is not None:
            deadline = min(deadline, time.monotonic() + _PATIENCE)
        if server is not None and (_answers(server["url"]) or time.monotonic() > deadline):
            token = f"?token={server['token']}" if server["token"] else ""
            address = f"{server['url']}lab/tree/{quote(notebook.name)}{token}"
            print(f"\nThe Explorer is at {address}\n", flush=True)
            break
        time.sleep(0.1)
    return process.wait()


def _answers(url: str) -> bool:
    """Whether somebody listens there: a server writes where it will be before it is."""
    address = urlsplit(url)
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname or "", port), timeout=1.0).close()
    except (OSError, ValueError):  # a host name that is none is a ValueError
        return False
    return True


def _started(root: Path, since: float) -> dict[str, str] | None:
    """What a Jupyter server started after ``since`` in ``root`` wrote about itself."""
    from jupyter_core.paths import jupyter_runtime_dir

    for path in Path(jupyter_runtime_dir()).glob("jpserver-*.json"):
        try:
            if path.stat().st_mtime >= since - 1.0:
                server = json.loads(path.read_text(encoding="utf-8"))
                if Path(server["root_dir"]) == root:
                    return dict(server)
        except (OSError, ValueError, KeyError):
            continue  # half written, or gone again
    return None


def _version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> Iterator[str]:
    import torch

    yield "Devices"
    yield f"  cpu      {torch.get_num_threads()} threads"
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield f"  cuda:{index}   {properties.name}, {properties.total_memory / 2**30:.0f} GiB"


def _networks() -> Iterator[str]:
    from geoexplorer.zoo import bundled_networks

    yield "Bundled networks, and how many test images they get right"
    for name, card in bundled_networks().items():
        size = "x".join(map(str, card.input_shape))
        yield f"  {name:<22} {card.data}, {size:<8}  {card.accuracy:.2%}"
