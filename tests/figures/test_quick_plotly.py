"""Plotly comes without what it does not need."""

import subprocess
import sys

import pytest

from geoexplorer.figures import quick_plotly

SOURCE = """
import sys
{before}
import geoexplorer.widgets
print("jsonschema" in sys.modules, "scipy.stats" in sys.modules)
import plotly.io, plotly.graph_objects
plotly.io.show(plotly.graph_objects.Figure(), renderer="plotly_mimetype")
print("jsonschema" in sys.modules)
"""


def run(before=""):
    command = [sys.executable, "-c", SOURCE.format(before=before)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, shown, last = done.stdout.splitlines()
    assert shown.startswith("{'application/vnd.plotly")
    return first, last


def test_nbformat_is_imported_when_plotly_shows_a_figure_by_itself():
    assert run() == ("False False", "True")


def test_plotly_that_is_there_already_is_left_alone():
    assert run("import plotly.io") == ("True False", "True")


@pytest.mark.parametrize("name", ["_plotly_utils.optional_imports", "plotly.io._renderers"])
def test_names_that_plotly_has_no_more_are_done_without(name, monkeypatch):
    for known in ("plotly.io", "nbformat"):
        monkeypatch.delitem(sys.modules, known, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    quick_plotly._without_nbformat()
