"""What a study can measure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from geoexplorer.studies.quantities.base import Batch, Columns, Facts, Quantity, Variable
from geoexplorer.studies.quantities.boundary import Boundary
from geoexplorer.studies.quantities.connectivity import Connectivity
from geoexplorer.studies.quantities.curvature import Curvature, MeanOfCurvatures
from geoexplorer.studies.quantities.detection import Detection
from geoexplorer.studies.quantities.prediction import Prediction
from geoexplorer.studies.quantities.shared_directions import SharedDirections

__all__ = [
    "QUANTITIES", "Batch", "Boundary", "Columns", "Facts", "Prediction", "Quantity", "Variable",
    "chosen_quantities",
]  # fmt: skip

# In the order in which they are measured.
QUANTITIES: Mapping[str, type[Quantity]] = {
    kind.name: kind
    for kind in (
        Prediction, Boundary, Curvature, MeanOfCurvatures, Connectivity, SharedDirections, Detection
    )
}  # fmt: skip


def chosen_quantities(given: Any) -> tuple[Quantity, ...]:
    """Quantities by names, or by names and options.

    Parameters
    ----------
    given
        A name, a sequence of names, or a mapping from names to mappings of options. ``prediction``
        is always measured, ``boundary`` where another quantity needs it.

    Raises
    ------
    TypeError, ValueError
        If a name or an option is unknown, or its value is not accepted.

    Examples
    --------
    >>> [quantity.name for quantity in chosen_quantities({"curvature": {"k": 5}})]
    ['prediction', 'boundary', 'curvature']
    """
    by_name = _by_name(given)
    made = {name: _made(name, options) for name, options in by_name.items()}
    made.setdefault("prediction", Prediction())
    if any(quantity.needs_points for quantity in made.values()):
        made.setdefault("boundary", Boundary())
    return tuple(made[name] for name in QUANTITIES if name in made)


def _by_name(given: Any) -> dict[str, Mapping[str, Any]]:
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Mapping):
        by_name = {name: {} if options is True else options for name, options in given.items()}
    elif isinstance(given, Sequence) and all(isinstance(name, str) for name in given):
        by_name = {name: {} for name in given}
    elif isinstance(given, Sequence):
        raise TypeError(f"quantities must be a sequence of names, got {given!r}")
    else:
        raise TypeError(
            "quantities must be a sequence of names or a mapping from names to options, got "
            f"{type(given).__name__}"
        )
    for name, options in by_name.items():
        if name not in QUANTITIES:
            raise ValueError(f"quantities must be among {', '.join(QUANTITIES)}, got {name!r}")
        if not isinstance(options, Mapping):
            raise TypeError(
                f"quantities[{name!r}] must be a mapping of options, or True for the defaults, "
                f"got {options!r}"
            )
    if not by_name:
        raise ValueError(f"quantities must name at least one of {', '.join(QUANTITIES)}, got none")
    return by_name


def _made(name: str, options: Mapping[str, Any]) -> Quantity:
    kind = QUANTITIES[name]
    accepted = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for option in options:
        if option not in accepted:
            raise TypeError(
                f"{name} takes {', '.join(accepted) if accepted else 'no options'}, got {option!r}"
            )
    return kind(**{key: _as_given(value) for key, value in options.items()})


def _as_given(value: Any) -> Any:
    """Options as JSON knows them: numbers of numpy and torch as Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return tuple(map(_as_given, value)) if isinstance(value, (list, tuple)) else value
