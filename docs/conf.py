"""How Sphinx builds these pages; `python docs/build.py` runs it."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import geoexplorer  # noqa: E402

project = "geoexplorer"
author = "geoexplorer developers"
copyright = author  # noqa: A001
release = geoexplorer.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "myst_nb",
    "result_fields",
    "course_notebooks",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
if list((HERE / "course").glob("*.ipynb")):
    tags.add("course")  # type: ignore[name-defined]  # noqa: F821

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_custom_sections = [("Fields", "params_style")]
python_maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "geoexplorer"
html_copy_source = False
html_show_sourcelink = False
templates_path: list[str] = []
