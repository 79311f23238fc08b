"""A Sphinx extension: notebooks with their outputs, on pages that have no kernel.

A widget needs a kernel, so a sentence stands in its place. Figures of plotly can be zoomed and
pointed at: its JavaScript is part of the site, once for all of them. They are read in either form
that notebooks keep them in: as data (the renderer ``plotly_mimetype``), or as a piece of a page
that loads the JavaScript from a network (``notebook_connected``). Links from the folder
``notebooks`` to pages of ``docs`` lead to these pages. Where there are no notebooks, the list of
them is left out: Sphinx would warn of an empty one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import plotly.io
from plotly.offline import get_plotlyjs
from sphinx.application import Sphinx

WIDGET = "application/vnd.jupyter.widget-view+json"
INSTEAD = "*A live widget stands here when the notebook runs.*"
FIGURE = "application/vnd.plotly.v1+json"
LIST = "course"  # the page that lists the notebooks
_TOCTREE = re.compile(r"^```{toctree}\n.*?^```\n", re.DOTALL | re.MULTILINE)
_JAVASCRIPT = "plotly.min.js"
_FROM_NETWORK = re.compile(r'<script[^>]*src="https://cdn\.plot\.ly/plotly[^"]*"[^>]*></script>')
# Plotly brings one of its own to each figure, beside that of the page.
_MATHJAX = re.compile(r'<script[^>]*src="https://[^"]*mathjax[^"]*"[^>]*></script>')


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to the reading of pages and to the end of the build."""
    # Notebooks come and go while the page that lists them stays as it is.
    app.connect(
        "env-get-outdated", lambda app, env, *changes: [LIST] if LIST in env.found_docs else []
    )
    app.connect("source-read", _read)
    app.connect("build-finished", _write_javascript)
    return {"parallel_read_safe": True}


def shown(notebook: dict[str, Any], javascript: str) -> dict[str, Any]:
    """The notebook as it is shown; ``javascript`` is where its page finds that of plotly."""
    notebook["metadata"].pop("widgets", None)
    notebook["metadata"].setdefault("language_info", {"name": "python", "pygments_lexer": "python"})
    loaded = f'<script src="{javascript}"></script>'  # by the first figure, for all
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            cell["source"] = "".join(cell["source"]).replace("](../docs/", "](../")
        if cell["cell_type"] != "code":
            continue
        for place, output in enumerate(cell["outputs"]):
            cell["outputs"][place], drawn = _output(output, f"figure-{number}-{place}", loaded)
            loaded = "" if drawn else loaded
    return notebook


def _output(output: dict[str, Any], name: str, loaded: str) -> tuple[dict[str, Any], bool]:
    """An output as it is shown, and whether it is a figure."""
    data = output.get("data", {})
    if WIDGET in data:
        return _display("text/markdown", INSTEAD), False
    if FIGURE in data:
        return _display("text/html", loaded + _html(data[FIGURE], name)), True
    html = "".join(data.get("text/html", ""))
    if _FROM_NETWORK.search(html):
        return _display("text/html", _FROM_NETWORK.sub(loaded, _MATHJAX.sub("", html))), True
    return output, False


def _html(figure: dict[str, Any], name: str) -> str:
    config = figure.get("config", {}) | {"displaylogo": False, "responsive": True}
    content = {key: figure[key] for key in ("data", "layout", "frames") if key in figure}
    return plotly.io.to_html(
        content, config=config, full_html=False, include_plotlyjs=False, div_id=name, validate=False
    )


def _display(kind: str, content: str) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {kind: content}, "metadata": {}}


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    if Path(app.env.doc2path(name)).suffix == ".ipynb":
        javascript = "../" * name.count("/") + f"_static/{_JAVASCRIPT}"
        source[0] = json.dumps(shown(json.loads(source[0]), javascript))
    elif name == LIST and not app.tags.has("course"):
        source[0] = _TOCTREE.sub("", source[0])


def _write_javascript(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        target = Path(app.outdir, "_static", _JAVASCRIPT)
        target.parent.mkdir(exist_ok=True)
        target.write_text(get_plotlyjs(), encoding="utf-8")
