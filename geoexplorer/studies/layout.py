"""How the variables of a study are laid out: dimensions, chunks, and what is not known yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from geoexplorer.studies.quantities import Facts, Quantity, Variable

__all__ = [
    "CLEAN", "DIRECTIONS_STATUS", "FAILED", "NOT_DONE", "PARTNER_CLASS", "PARTNER_NORM",
    "PREDICTION_STATUS", "STATUS", "Layout",
]  # fmt: skip

NOT_DONE, CLEAN, FAILED = 0, 1, 2

# They tell how far the study has come; each is written after everything that it vouches for.
STATUS = "status"
PREDICTION_STATUS = "prediction_status"
DIRECTIONS_STATUS = "directions_status"

# What partners are drawn by.
PARTNER_CLASS, PARTNER_NORM = "partner_class", "partner_norm"

_STATES = {"flag_values": [NOT_DONE, CLEAN, FAILED], "flag_meanings": "not_done done failed"}
_LEADING = {"image": ("network", "image"), "network": ("network",)}


@dataclass(frozen=True)
class Layout:
    """The variables of the quantities, for some networks and images."""

    quantities: tuple[Quantity, ...]
    facts: Facts
    networks: tuple[str, ...]
    count: int  # images
    shard_size: int

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """All variables that quantities fill."""
        found: dict[str, Variable] = {}
        for quantity in self.quantities:
            found.update(quantity.variables(self.facts))
        if self.has_partners:
            # Kept apart from what is measured later, so that partners are always drawn by the same.
            found[PARTNER_CLASS] = Variable(
                "predicted class by which partners are drawn", kind="whole"
            )
            found[PARTNER_NORM] = Variable(
                "l2 norm of the image, for random partners", kind="double", nan="anywhere"
            )
        found["reason"] = Variable("why something could not be measured", kind="text")
        if self.has_directions:
            found["directions_reason"] = Variable(
                "why no shared directions were found", kind="text", by="network"
            )
        return found

    @property
    def has_partners(self) -> bool:
        """Whether images are paired, for which their predicted classes are needed first."""
        return any(quantity.scenarios for quantity in self.quantities)

    @property
    def has_directions(self) -> bool:
        """Whether directions are shared, which are found first."""
        return any(quantity.needs_directions for quantity in self.quantities)

    @cached_property
    def coordinates(self) -> dict[str, Sequence[Any]]:
        """Coordinates of the dimensions besides network and image."""
        found: dict[str, Sequence[Any]] = {}
        for quantity in self.quantities:
            found.update(quantity.coordinates(self.facts))
        return found

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension besides network and image."""
        image = zip(("channel", "row", "column"), self.facts.shape, strict=True)
        return dict(image) | {name: len(values) for name, values in self.coordinates.items()}

    def empty(self, names: Iterable[str], rows: int) -> dict[str, NDArray[Any]]:
        """Variables of one network ``(rows, ...)``, or ``(...)`` if it has one for all images."""
        return {name: self._filled(self.variables[name], rows) for name in names}

    def template(
        self, image_coordinates: Mapping[str, Any], attributes: Mapping[str, Any]
    ) -> xr.Dataset:
        """The dataset before anything is known; ``image_coordinates`` have one value an image."""
        networks = len(self.networks)
        variables: dict[str, Any] = {}
        for name, variable in self.variables.items():
            one = self._filled(variable, self.count)
            # A view: nothing of its size is held.
            values = np.broadcast_to(one, (networks, *one.shape))
            dims = (*_LEADING[variable.by], *variable.dims)
            variables[name] = (dims, values, variable.attributes)
        states = {STATUS: "image"}
        if self.has_partners:
            states[PREDICTION_STATUS] = "image"
        if self.has_directions:
            states[DIRECTIONS_STATUS] = "network"
        for name, by in states.items():
            shape = (networks, self.count)[: len(_LEADING[by])]
            variables[name] = (_LEADING[by], np.full(shape, NOT_DONE, np.int8), _STATES)
        coordinates = {
            "network": np.array(self.networks, dtype=object),
            **{name: np.asarray(values) for name, values in self.coordinates.items()},
            **{name: ("image", values) for name, values in image_coordinates.items()},
        }
        return xr.Dataset(variables, coordinates, dict(attributes))

    def log_template(self) -> xr.Dataset:
        """What the shards took, before anything is known; by quantity, and of the whole shard."""
        networks, shards = len(self.networks), len(self.shards)
        dims, names = ("network", "shard", "quantity"), [q.name for q in self.quantities]
        shape = (networks, shards, len(names))
        unknown = np.full(shape, np.nan)
        directions = {
            f"directions_{what}": (("network",), np.full(networks, np.nan))
            for what in ("seconds", "forwards", "gradients")
            if self.has_directions
        }
        return xr.Dataset(
            {
                **directions,
                "seconds": (dims, unknown, {"units": "s"}),
                "forwards": (dims, unknown, {"long_name": "images sent through the network"}),
                "gradients": (dims, unknown, {"long_name": "gradients taken"}),
                "worker": (dims[:2], np.full(shape[:2], "", dtype=object)),
                "finished": (dims[:2], np.full(shape[:2], "", dtype=object)),
                "versions": (dims[:2], np.full(shape[:2], "", dtype=object)),
            },
            {
                "network": np.array(self.networks, dtype=object),
                "first_image": ("shard", [part.start for part in self.shards]),
                "quantity": np.array(names, dtype=object),
            },
        )

    @cached_property
    def shards(self) -> tuple[slice, ...]:
        """The images of every shard."""
        starts = range(0, self.count, self.shard_size)
        return tuple(slice(start, min(start + self.shard_size, self.count)) for start in starts)

    def as_stored(self, name: str, values: Any) -> NDArray[Any]:
        """Values of a variable in the type that it is stored in."""
        return np.asarray(values).astype(self.variables[name].dtype(self.facts))

    def encoding(self, template: xr.Dataset) -> dict[str, dict[str, Any]]:
        """One chunk a shard, so that none is written by two."""
        chunk = {"network": 1, "image": self.shard_size, "shard": 1}
        found: dict[str, dict[str, Any]] = {}
        for name, variable in template.data_vars.items():
            sizes = zip(variable.dims, variable.shape, strict=True)
            found[str(name)] = {"chunks": tuple(chunk.get(str(d), max(1, n)) for d, n in sizes)}
            if variable.dtype.kind != "f":
                # Numbers as they are: no whole number stands for a missing one.
                found[str(name)]["_FillValue"] = None
        return found

    def _filled(self, variable: Variable, rows: int) -> NDArray[Any]:
        shape = tuple(self.sizes[name] for name in variable.dims)
        if variable.by == "image":
            shape = (rows, *shape)
        return np.full(shape, variable.missing, variable.dtype(self.facts))
