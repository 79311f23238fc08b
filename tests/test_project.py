"""The project keeps its own rules: imports, public names, what is shipped, what README says."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml

import geoexplorer
from tests.jupyter import REPOSITORY

HEAVY = ("IPython", "anywidget", "dask", "ipywidgets", "matplotlib", "plotly", "sklearn")


def test_imports_run_one_way():
    from importlinter.cli import lint_imports

    config = REPOSITORY / "setup.cfg"
    assert lint_imports(config_filename=str(config), no_cache=True, no_logo=True) == 0


def loaded_by(code):
    """Names of the packages that some code brings into a fresh Python."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    return set(answer.stdout.split())


def test_the_package_imports_nothing_heavy():
    assert not loaded_by("import geoexplorer").intersection((*HEAVY, "torch", "torchvision"))


def test_the_compute_core_loads_nothing_that_draws():
    core = [name for name in geoexplorer.__all__ if name != "explore"]
    loaded = loaded_by(f"from geoexplorer import {', '.join(core)}")
    assert "torch" in loaded
    assert not loaded.intersection((*HEAVY, "torchvision"))


@pytest.mark.parametrize("name", geoexplorer.__all__)
def test_public_names_exist_and_are_documented(name):
    value = getattr(geoexplorer, name)
    assert name in dir(geoexplorer)
    assert isinstance(value, str) or value.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nearest'"):
        geoexplorer.nearest  # noqa: B018


def test_figures_are_imported_when_they_are_asked_for():
    code = "import sys, geoexplorer as gx; assert 'plotly' not in sys.modules; gx.figures.save"
    assert "plotly" in loaded_by(code)


def test_jobs_are_imported_when_they_are_asked_for():
    assert "geoexplorer" in loaded_by("import geoexplorer as gx; gx.jobs.last")


def test_the_command_that_makes_figures_says_that_it_needs_plotly(tmp_path):
    code = "import sys; sys.modules['plotly'] = None; from geoexplorer.cli import main\n"
    code += f"sys.exit(main(['figures', '--out', {str(tmp_path / 'out')!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "plotly" in done.stderr
    assert "Traceback" not in done.stderr


def test_figures_say_that_they_need_plotly():
    code = "import sys; sys.modules['plotly'] = None; import geoexplorer as gx\n"
    code += (
        "try: gx.figures\nexcept ModuleNotFoundError as error: assert 'pip install' in str(error)"
    )
    loaded_by(code + "\nelse: raise AssertionError")


def test_type_checkers_and_python_see_the_same_public_names():
    tree = ast.parse((REPOSITORY / "geoexplorer" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module.removeprefix("geoexplorer.")
        for node in block.body
        for alias in node.names
    }
    assert seen == geoexplorer._HOME


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from the files of the project, without isolation and so without a network."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(
        REPOSITORY / "geoexplorer",
        source / "geoexplorer",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    build = "from setuptools.build_meta import build_wheel; build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (path,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_a_wheel_holds_the_whole_package(wheel):
    files = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "geoexplorer").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files
    assert files == {name for name in wheel.namelist() if ".dist-info/" not in name}


def test_a_wheel_says_its_licence_and_needs(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = wheel.read(metadata).decode()
    assert "BSD-3-Clause" in text
    assert any(name.endswith("LICENSE") for name in wheel.namelist())
    needs = set(re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", text, re.MULTILINE))
    assert {"jupyterlab", "plotly", "ipywidgets", "torch", "torchvision"} <= needs


def test_readme_has_the_two_commands_and_ci_runs_the_one_for_tests():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    lines = [line.strip() for line in readme.splitlines()]
    assert "python -m pip install -e . && geoexplorer lab" in lines
    tests = 'python -m pip install -e ".[test]" && python -m pytest'
    assert tests in lines
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"grep -m 1 -oE '(.+)' README.md", script).group(1)
    assert re.search(pattern, readme).group() == tests
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


def test_the_citation_is_that_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    assert citation["version"] == config["metadata"]["version"] == geoexplorer.__version__
    assert citation["license"] == config["metadata"]["license"]
    paper = citation["preferred-citation"]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert paper["doi"] in readme
    assert paper["title"] in readme
