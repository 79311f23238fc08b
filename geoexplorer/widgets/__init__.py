"""The Explorer, a widget for JupyterLab and Voila."""

import geoexplorer.figures  # noqa: F401  before plotly, see figures.quick_plotly
from geoexplorer.widgets.explore import explore
from geoexplorer.widgets.explorer import Explorer

__all__ = ["Explorer", "explore"]
