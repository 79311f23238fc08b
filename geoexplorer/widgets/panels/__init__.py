"""The panels of the Explorer, in the order of their tabs.

A further panel is one more module here, with a subclass of
:class:`~geoexplorer.widgets.panel.Panel`, and its name in this list.
"""

from geoexplorer.widgets.panel import Panel
from geoexplorer.widgets.panels.cross_section import CrossSectionPanel
from geoexplorer.widgets.panels.curvature import CurvaturePanel
from geoexplorer.widgets.panels.detection import DetectionPanel
from geoexplorer.widgets.panels.paths import PathsPanel
from geoexplorer.widgets.panels.shared import SharedDirectionsPanel

__all__ = ["PANELS"]

PANELS: tuple[type[Panel], ...] = (
    CrossSectionPanel,
    CurvaturePanel,
    PathsPanel,
    SharedDirectionsPanel,
    DetectionPanel,
)
