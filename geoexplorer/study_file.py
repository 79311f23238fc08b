"""A study described by a small TOML file.

.. code-block:: toml

    store = "shapes.zarr"
    networks = ["shapes-lenet", "shapes-resnet"]

    [images]
    source = "shapes"
    n = 200

    [quantities.curvature]
    k = 10

    [quantities.detection]

Relative paths start at the folder of the file. A network is a name that
:func:`geoexplorer.load_classifier` knows, a table of its arguments, or, for a network of one's own,
a table with ``factory = "module:function"``: the function is imported, also from the folder of the
file, and returns a Classifier.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from geoexplorer.classifier import Classifier
from geoexplorer.image_files import ImageFiles
from geoexplorer.image_source import ImageSource
from geoexplorer.images import load_images
from geoexplorer.studies import Study
from geoexplorer.zoo import load_classifier

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_study"]

_NEEDED = ("store", "networks", "images", "quantities")
_FURTHER = ("seed", "shard_size", "threads", "storage_options")
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def read_study(path: str | os.PathLike[str]) -> Study:
    """The study that a TOML file describes.

    Parameters
    ----------
    path
        A file with ``store``, ``networks``, ``images`` and ``quantities``, and, where they are to
        differ from the defaults, ``seed``, ``shard_size``, ``threads`` and ``storage_options``:
        arguments of :class:`geoexplorer.Study`. ``images`` is a table of arguments of
        :func:`geoexplorer.load_images`; of a folder the files are read when they are needed, in the
        size that the networks take.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError, ValueError
        If something in it is missing, unknown or not accepted; the message names it.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a TOML file: {error}") from error
    _require_known(content, (*_NEEDED, *_FURTHER), str(file))
    for key in _NEEDED:
        if key not in content:
            raise ValueError(f"{file} must have {key!r}; it has {', '.join(content) or 'nothing'}")
    _require_above_tables(content)
    folder = file.resolve().parent
    networks = [_network(given, folder) for given in _listed(content["networks"])]
    if not isinstance(content["store"], str):
        raise TypeError(f"store must be a path or a URL, got {content['store']!r}")
    return Study(
        networks,
        _images(content["images"], folder, networks),
        content["quantities"],
        store=_place(content["store"], folder),
        **{key: content[key] for key in _FURTHER if key in content},
    )


def _listed(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list) else [given]


def _network(given: Any, folder: Path) -> Classifier:
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping):
        raise TypeError(f"networks must be names or tables, got {given!r}")
    if "factory" in given:
        return _made_by(given, folder)
    options = dict(given)
    accepted = tuple(inspect.signature(load_classifier).parameters)
    _require_known(options, accepted, "networks")
    if "name" not in options:
        raise ValueError(f"networks must have a name or a factory, got {given!r}")
    if options["name"].endswith(".safetensors"):
        options["name"] = str(folder / options["name"])
    if options.get("weights") == "none":
        options["weights"] = None
    if "dtype" in options:
        if options["dtype"] not in _DTYPES:
            raise ValueError(
                f"networks: dtype must be one of {', '.join(_DTYPES)}, got {options['dtype']!r}"
            )
        options["dtype"] = _DTYPES[options["dtype"]]
    return load_classifier(options.pop("name"), **options)


def _made_by(given: Mapping[str, Any], folder: Path) -> Classifier:
    module_name, _, function_name = str(given["factory"]).partition(":")
    if not function_name:
        raise ValueError(f"networks: factory must be 'module:function', got {given['factory']!r}")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"networks: factory {given['factory']!r} could not be imported ({error}); modules are "
            f"looked for in {folder}, and where Python finds others"
        ) from error
    try:
        clf = function(**{key: value for key, value in given.items() if key != "factory"})
    except TypeError as error:
        raise TypeError(f"networks: factory {given['factory']!r}: {error}") from error
    if not isinstance(clf, Classifier):
        raise TypeError(
            f"networks: factory {given['factory']!r} must return a geoexplorer.Classifier, got "
            f"{type(clf).__name__}"
        )
    return clf


def _images(given: Any, folder: Path, networks: Sequence[Classifier]) -> ImageSource:
    if isinstance(given, str):
        given = {"source": given}
    if not isinstance(given, Mapping) or "source" not in given:
        raise ValueError(f"images must be a source or a table with a source, got {given!r}")
    options = dict(given)
    _require_known(options, tuple(inspect.signature(load_images).parameters), "images")
    source = str(options.pop("source"))
    if "root" in options:
        options["root"] = _place(options["root"], folder)
    elif source == "cifar10":
        options["root"] = str(folder / "data")
    place = folder / source
    if not place.is_dir():
        return load_images(source if not place.is_file() else place, **options)
    channels, height, width = networks[0].input_shape
    options = {"size": (height, width), "channels": channels} | options
    parent = place / options.get("split", "")
    folders = {entry.name for entry in parent.iterdir() if entry.is_dir()}
    if folders and folders <= set(networks[0].class_names):
        options.setdefault("class_names", networks[0].class_names)
    return ImageFiles.in_folder(place, **options)


def _place(location: str, folder: Path) -> str:
    return location if "://" in location else str(folder / location)


def _require_above_tables(content: Mapping[str, Any]) -> None:
    """In TOML a line belongs to the table above it, which is easily overlooked."""
    tables = {"images": content["images"], "quantities": content["quantities"]}
    if isinstance(content["quantities"], Mapping):
        tables |= {f"quantities.{name}": table for name, table in content["quantities"].items()}
    for name, table in tables.items():
        if isinstance(table, Mapping):
            # A table of images may have a seed of its own.
            lost = [key for key in (*_NEEDED, *_FURTHER) if key in table and key != "seed"]
            if lost:
                raise ValueError(
                    f"{lost[0]} belongs to the study, but stands in the table [{name}]; in a TOML "
                    "file put it above all tables"
                )


def _require_known(given: Mapping[str, Any], accepted: Sequence[str], where: str) -> None:
    for key in given:
        if key not in accepted:
            raise ValueError(f"{where} takes {', '.join(accepted)}, got {key!r}")
