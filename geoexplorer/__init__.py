"""Look at the geometry of an image classifier in its input space."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_HOME: dict[str, str] = {}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("geoexplorer")
        except PackageNotFoundError:
            return "0+unknown"
    if name in _HOME:
        return getattr(import_module(f"geoexplorer.{_HOME[name]}"), name)
    raise AttributeError(f"module 'geoexplorer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
