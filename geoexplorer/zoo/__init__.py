"""Networks by name: the bundled ones of the paper's kind, and torchvision's."""

from geoexplorer.zoo.files import NetworkCard
from geoexplorer.zoo.registry import bundled_networks, list_classifiers, load_classifier

__all__ = ["NetworkCard", "bundled_networks", "list_classifiers", "load_classifier"]
