"""A result becomes a plotly figure. Nothing here ever sees a network."""

from importlib.util import find_spec

if find_spec("plotly") is None:
    raise ModuleNotFoundError(
        "figures need plotly, which is not installed: python -m pip install plotly", name="plotly"
    )

from geoexplorer.figures import quick_plotly  # noqa: F401  before plotly
from geoexplorer.figures.colours import class_colour, text_colour
from geoexplorer.figures.drawing import draw, drawing_of
from geoexplorer.figures.export import save

__all__ = ["class_colour", "draw", "drawing_of", "save", "text_colour"]
