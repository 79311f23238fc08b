"""Look at the geometry of an image classifier in its input space."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoexplorer.classifier import Classifier as Classifier
    from geoexplorer.geometry.boundary import BoundaryPoints as BoundaryPoints
    from geoexplorer.geometry.boundary import nearest_boundary as nearest_boundary
    from geoexplorer.geometry.boundary import nearest_boundary_steps as nearest_boundary_steps
    from geoexplorer.geometry.planes import Plane as Plane
    from geoexplorer.geometry.sections import CrossSection as CrossSection
    from geoexplorer.geometry.sections import cross_section as cross_section
    from geoexplorer.geometry.sections import cross_section_steps as cross_section_steps
    from geoexplorer.images import ImageSet as ImageSet
    from geoexplorer.images import load_images as load_images
    from geoexplorer.widgets.explore import explore as explore
    from geoexplorer.zoo import list_classifiers as list_classifiers
    from geoexplorer.zoo import load_classifier as load_classifier

# Loaded when first used: a batch worker has no plotly, and the command line needs no torch.
_HOME = {
    "BoundaryPoints": "geometry.boundary",
    "Classifier": "classifier",
    "CrossSection": "geometry.sections",
    "ImageSet": "images",
    "Plane": "geometry.planes",
    "cross_section": "geometry.sections",
    "cross_section_steps": "geometry.sections",
    "explore": "widgets.explore",
    "list_classifiers": "zoo",
    "load_classifier": "zoo",
    "load_images": "images",
    "nearest_boundary": "geometry.boundary",
    "nearest_boundary_steps": "geometry.boundary",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            value: Any = version("geoexplorer")
        except PackageNotFoundError:  # a checkout that was never installed
            value = "0+unknown"
    elif name in _HOME:
        value = getattr(import_module(f"geoexplorer.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'geoexplorer' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
