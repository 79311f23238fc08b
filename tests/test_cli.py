"""The command line: what `geoexplorer lab` opens and starts, what `geoexplorer info` says."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

import geoexplorer
from geoexplorer import cli
from tests import jupyter


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user with empty Jupyter directories."""
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        monkeypatch.setenv(f"JUPYTER_{name}", str(tmp_path / "home" / name.lower()))
    monkeypatch.setenv("PYTHONPATH", str(jupyter.REPOSITORY))
    return tmp_path / "home"


def test_the_shipped_notebook_is_the_one_that_lab_opens():
    path = jupyter.REPOSITORY / "notebooks" / "explorer.ipynb"
    assert path.read_text(encoding="utf-8") == cli.EXPLORER_NOTEBOOK


def test_the_notebook_is_valid_and_has_no_output():
    notebook = nbformat.reads(cli.EXPLORER_NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    # The first cell is the one that runs: Shift+Enter once shows the Explorer.
    assert [cell.cell_type for cell in notebook.cells] == ["code"]
    assert notebook.cells[0].outputs == []
    assert notebook.cells[0].execution_count is None


def test_the_notebook_is_written_once_and_then_left_to_its_owner(tmp_path):
    path = cli.explorer_notebook(tmp_path)
    assert path == tmp_path / "explorer.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][0]["source"].append("  # My notes")
    path.write_text(json.dumps(notebook))
    assert cli.explorer_notebook(tmp_path) == path
    assert "My notes" in path.read_text()


@pytest.mark.parametrize(
    "other", ["", "not JSON", "[]", '{"cells": [{"cell_type": "markdown", "source": "explore()"}]}']
)
def test_another_file_of_that_name_is_left_alone(tmp_path, other):
    (tmp_path / "explorer.ipynb").write_text(other)
    assert cli.explorer_notebook(tmp_path) == tmp_path / "explorer-1.ipynb"
    assert (tmp_path / "explorer.ipynb").read_text() == other


def test_a_folder_that_cannot_be_written_gives_way_to_the_users_own(tmp_path, home):
    file = tmp_path / "file"
    file.touch()
    path = cli.explorer_notebook(file / "folder")
    assert path == home / "data_dir" / "geoexplorer" / "explorer.ipynb"
    assert path.read_text() == cli.EXPLORER_NOTEBOOK


def test_no_place_to_write_is_said_in_one_sentence(tmp_path, monkeypatch, capsys):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(file / "data"))
    monkeypatch.setattr(Path, "cwd", lambda: file / "folder")
    assert cli.main(["lab"]) == 1
    assert "--notebook" in capsys.readouterr().err


def test_missing_jupyterlab_is_said_with_the_way_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "jupyterlab" else object())
    assert cli.main(["lab"]) == 1
    said = capsys.readouterr().err
    assert "jupyterlab not installed" in said
    assert f"{sys.executable} -m pip install jupyterlab" in said


def test_a_notebook_that_is_not_there_is_named(tmp_path, capsys):
    assert cli.main(["lab", "--notebook", str(tmp_path / "none.ipynb")]) == 1
    assert "none.ipynb" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "eight"])
def test_a_port_is_a_number_from_1_to_65535(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["lab", f"--port={port}"])
    assert "1 to 65535" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"geoexplorer {geoexplorer.__version__}\n"


def test_info_names_versions_devices_and_networks(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(cli, "_SHOWN_VERSIONS", ("torch", "no-such-package"))
    assert cli.main(["info"]) == 0
    said = capsys.readouterr().out
    assert re.search(rf"^torch +{re.escape(torch.__version__.split('+')[0])}", said, re.MULTILINE)
    assert re.search(r"^no-such-package +not installed$", said, re.MULTILINE)
    assert f"{torch.get_num_threads()} threads" in said
    assert re.search(r"digits-cnn +digits, 1x8x8 +9\d\.\d\d%", said)


def test_the_command_line_starts_without_torch():
    code = "import sys, geoexplorer.cli as c; c._parser(); print('torch' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


@contextmanager
def running_lab(folder: Path, *options: str):
    """`geoexplorer lab --no-browser` in a folder: its process and the address that it prints."""
    folder.mkdir()
    main = "import geoexplorer.cli as c; raise SystemExit(c.main())"
    process = subprocess.Popen(
        [sys.executable, "-c", main, "lab", "--no-browser", *options],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        said = next((line for line in process.stdout if "The Explorer is at" in line), "")
        yield process, said.partition(" is at ")[2].strip()
    finally:
        process.terminate()
        process.wait(jupyter.PATIENCE)


def test_lab_serves_the_notebook_with_a_kernel_of_this_python(tmp_path, home, monkeypatch):
    # A python3 of another Python in the user's home, which is to come before this environment's.
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    other = home / "data_dir" / "kernels" / "python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text(
        json.dumps({"argv": ["/nowhere/python"], "display_name": "other", "language": "python"})
    )
    with running_lab(tmp_path / "a folder", f"--port={jupyter.free_port()}") as (_, address):
        match = re.fullmatch(r"(http://[^/]+)/lab/tree/explorer.ipynb\?token=(\w+)", address)
        assert match, address
        url, token = match.groups()
        assert ask(url, token, "api/contents/explorer.ipynb?content=0")["type"] == "notebook"
        kernel = ask(url, token, "api/kernels", b'{"name": "python3"}')["id"]
        connection = home / "runtime_dir" / f"kernel-{kernel}.json"
        jupyter.wait_until(connection.exists, "the kernel starts")
        with jupyter.running_kernel(connection) as running:
            assert running.run("import sys; print(sys.executable)").strip() == sys.executable


def ask(url, token, path, data=None):
    request = urllib.request.Request(
        f"{url}/{path}", data, {"Authorization": f"token {token}", "Content-Type": "text/json"}
    )
    with urllib.request.urlopen(request, timeout=jupyter.PATIENCE) as answer:
        return json.load(answer)


def test_lab_opens_the_notebook_it_is_given(tmp_path, home):
    notebook = tmp_path / "mine and others.ipynb"
    notebook.write_text(cli.EXPLORER_NOTEBOOK)
    with running_lab(tmp_path / "elsewhere", "--notebook", str(notebook)) as (_, address):
        assert "/lab/tree/mine%20and%20others.ipynb?" in address
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_port_that_is_taken_is_not_replaced_by_another(tmp_path, home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with running_lab(tmp_path / "folder", f"--port={port}") as (process, address):
            assert address == ""
            assert process.wait(jupyter.PATIENCE) != 0


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without a signal")
def test_ending_lab_ends_jupyterlab_and_removes_its_kernel_folder(tmp_path, home, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with running_lab(tmp_path / "folder") as (process, address):
        assert list(tmp_path.glob("geoexplorer-*"))
        process.send_signal(signal.SIGTERM)
        process.wait(jupyter.PATIENCE)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(address, timeout=jupyter.PATIENCE)
        assert not list(tmp_path.glob("geoexplorer-*"))
