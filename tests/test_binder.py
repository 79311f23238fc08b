"""What Binder is told agrees with what the package needs."""

import configparser
import os
import re
import subprocess

import pytest
import yaml

from tests.jupyter import REPOSITORY

BINDER = REPOSITORY / "binder"
IN_CONDA = {"torch": "pytorch-cpu"}  # a build without CUDA fits Binder's memory and size


def bounds(requirement):
    """Name and version bound, in conda's name, of a line such as ``torch>=2.5``."""
    name, version = re.fullmatch(r"([\w-]+)\s*(\S*)", requirement).groups()
    return IN_CONDA.get(name, name), version


def required(section, option):
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    lines = config[section][option].split("\n")
    return dict(bounds(line) for line in lines if line and "python_version" not in line)


def test_the_environment_has_what_setup_cfg_requires_and_nothing_else():
    environment = yaml.safe_load((BINDER / "environment.yml").read_text())
    assert environment["channels"][0] == "conda-forge"
    given = dict(bounds(line) for line in environment["dependencies"])
    python = given.pop("python")
    del given["pip"]
    assert tuple(map(int, python[1:].split("."))) >= (3, 11), "tomli is left out"
    build = {"setuptools": given.pop("setuptools")}
    assert build == {"setuptools": ">=64"}
    assert given == required("options", "install_requires") | required(
        "options.extras_require", "voila"
    )


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_are_executable_and_parse(name):
    assert os.access(BINDER / name, os.X_OK)
    subprocess.run(["bash", "-n", BINDER / name], check=True)


def test_what_is_started_has_the_settings():
    shown = subprocess.run(
        [BINDER / "start", "env"], capture_output=True, text=True, check=True, env={"PATH": "/bin"}
    )
    assert {"OMP_NUM_THREADS=2", "MALLOC_ARENA_MAX=2"} <= set(shown.stdout.split())
