"""A table of what is typical of the images of a study, one row a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from geoexplorer.studies.as_results import roc
from geoexplorer.studies.layout import FAILED, NOT_DONE, STATUS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["summary"]


def summary(data: xr.Dataset, description: Mapping[str, Any]) -> pd.DataFrame:
    """Counts, shares and medians over the images that are done.

    Parameters
    ----------
    data
        As :meth:`StoredStudy.dataset` gives it.
    description
        How the study was made.

    Returns
    -------
    pandas.DataFrame
        One row a network. Columns of quantities that were not measured are left out.
    """
    import pandas as pd

    rows = {}
    for name in data["network"].values:
        one = data.sel(network=name)
        one = one.isel(image=(one[STATUS] != NOT_DONE).values)
        rows[name] = {
            "images": one.sizes["image"],
            "failed": int((one[STATUS] == FAILED).sum()),
            **_predictions(one, description, str(name)),
            **_boundary(one),
            **_curvature(one),
            **_paths(one),
            **_shared(one),
            **_detection(one, description, str(name)),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("network")


def _predictions(one: xr.Dataset, description: Mapping[str, Any], name: str) -> dict[str, float]:
    names = description["images"]["class_names"]
    # A label is a place in the images' list of classes, a prediction one in the network's.
    same = names == description["networks"][name]["class_names"]
    if "label" not in one or not same:
        return {}
    known = ((one["label"] >= 0) & (one["predicted"] >= 0)).values
    right = (one["predicted"] == one["label"]).values
    return {"accuracy": _mean(right[known])}


def _boundary(one: xr.Dataset) -> dict[str, float]:
    if "distance" not in one:
        return {}
    return {
        "reached": _share(one["reached"]),
        "distance, median": _median(one["distance"]),
        "alignment, median": _median(one["alignment"]),
    }


def _curvature(one: xr.Dataset) -> dict[str, float]:
    found: dict[str, float] = {}
    if "curvature" in one:
        profiles = one["curvature"].values
        found["largest curvature, median"] = _median(profiles[:, 0])
        found["smallest curvature, median"] = _median(profiles[:, -1])
    if "mean_curvature" in one:
        found["mean curvature, median"] = _median(one["mean_curvature"])
    return found


def _paths(one: xr.Dataset) -> dict[str, float]:
    if "connected" not in one:
        return {}
    found = {}
    for scenario in one["scenario"].values:
        pairs = one.sel(scenario=scenario)
        tried = pairs.isel(image=(pairs["moved"] == 1).values)
        found[f"pairs, {scenario}"] = tried.sizes["image"]
        for what in ("straight", "connected", "proven"):
            found[f"{what}, {scenario}"] = _share(tried[what])
        found[f"straightness, median, {scenario}"] = _median(tried["straightness"])
    return found


def _shared(one: xr.Dataset) -> dict[str, float]:
    if "rho" not in one:
        return {}
    rho = one["rho"].values
    return {
        "rho of the first direction, median": _median(rho[:, 0]),
        "rho of the last direction, median": _median(rho[:, -1]),
        "share of perturbations": _mean(one["share_of_perturbation"]),
        "share of gradients": _mean(one["share_of_gradient"]),
    }


def _detection(one: xr.Dataset, description: Mapping[str, Any], name: str) -> dict[str, float]:
    if "score" not in one or one.sizes["scale"] == 1:
        return {}
    found = {}
    detection = roc(one, description, name)
    columns = {
        "AUC": detection.auc(),
        "AUC of the margin": detection.auc("margin"),
        "label back": detection.recovery(),
        "runner-up right": detection.recovery("runner-up"),
    }
    for index, scale in enumerate(detection.scales):
        for what, values in columns.items():
            found[f"{what}, scale {scale:g}"] = float(values[index])
    return found


def _share(flag: xr.DataArray) -> float:
    """Share of yes among those that are known."""
    values = flag.values
    return _mean(values[values >= 0] == 1)


def _mean(values: Any) -> float:
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else np.nan


def _median(values: xr.DataArray | NDArray[Any]) -> float:
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return float(np.median(known)) if len(known) else np.nan
