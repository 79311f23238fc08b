"""The Explorer, a widget for JupyterLab and Voila."""

from geoexplorer.widgets.explore import explore
from geoexplorer.widgets.explorer import Explorer

__all__ = ["Explorer", "explore"]
