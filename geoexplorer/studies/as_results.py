"""Stored numbers as the results that the plain functions give, which can be drawn.

They hold what the study holds: no images, boundary points or principal directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from geoexplorer.geometry.connectivity import SCENARIOS, Connectivity
from geoexplorer.geometry.curvature import PrincipalCurvatures
from geoexplorer.geometry.detection_roc import DetectionROC
from geoexplorer.geometry.relative_curvature import RelativeCurvature
from geoexplorer.geometry.shared_directions import SharedDirections
from geoexplorer.results import Provenance, Result
from geoexplorer.studies.layout import NOT_DONE, STATUS

__all__ = ["FORMS", "as_result", "roc"]

_Form = Callable[[xr.Dataset, Mapping[str, Any], str], Result]


def as_result(form: str, data: xr.Dataset, description: Mapping[str, Any], network: str) -> Result:
    """What a study found about one network, over the images that are done.

    Parameters
    ----------
    form
        A key of :data:`FORMS`.
    data
        As :meth:`StoredStudy.dataset` gives it.
    description
        How the study was made.
    network
        Its name.

    Raises
    ------
    ValueError
        If the study has no such result or no such network, or nothing of it is done.
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    needed, made = FORMS[form]
    if needed not in description["quantities"]:
        raise ValueError(
            f"form {form!r} needs the quantity {needed!r}; the study has "
            f"{', '.join(description['quantities'])}"
        )
    if network not in description["networks"]:
        raise ValueError(
            f"network must be one of {', '.join(description['networks'])}, got {network!r}"
        )
    one = data.sel(network=network)
    known = ((one[STATUS] != NOT_DONE) & (one["predicted"] >= 0)).values
    if not known.any():
        raise ValueError(f"nothing of {network!r} is done yet; run() measures it")
    return made(one.isel(image=known), description, network)


def _curvature(one: xr.Dataset, description: Mapping[str, Any], network: str) -> Result:
    return PrincipalCurvatures(
        values=_tensor(one["curvature"]),
        residuals=_tensor(one["curvature_residual"]),
        converged=_tensor(one["curvature_converged"]) == 1,
        asymmetry=_tensor(one["curvature_asymmetry"]),
        standard_errors=_tensor(one["curvature_error"]),
        directions=None,
        dimension=_dimension(description),
        **_at_points(one, "curvature", description, network),
    )


def _shared(one: xr.Dataset, description: Mapping[str, Any], network: str) -> Result:
    options = description["quantities"]["shared_directions"]
    return SharedDirections(
        directions=_tensor(one["shared_direction"]),
        values=_tensor(one["shared_value"]),
        residuals=_tensor(one["shared_residual"]),
        converged=_tensor(one["shared_converged"]) == 1,
        asymmetry=float(one["shared_asymmetry"]),
        points=int(one["shared_points"]),
        dimension=_dimension(description),
        method=str(one["shared_directions_method"].values),
        step=float(one["shared_directions_step"]),
        at=options["at"],
        provenance=_provenance("shared_directions", description, network),
    )


def _relative(one: xr.Dataset, description: Mapping[str, Any], network: str) -> Result:
    unseen = one.isel(image=np.isfinite(one["typical_curvature"].values))
    return RelativeCurvature(
        values=_tensor(unseen["rho"]),
        along=_tensor(unseen["curvature_along"]),
        typical=_tensor(unseen["typical_curvature"]),
        typical_errors=_tensor(unseen["typical_curvature_error"]),
        probes=description["quantities"]["shared_directions"]["probes"],
        **_at_points(unseen, "shared_directions", description, network),
    )


def roc(one: xr.Dataset, description: Mapping[str, Any], network: str) -> DetectionROC:
    """The ROC of detection, of one network's images whose boundary was reached."""
    options = description["quantities"]["detection"]
    if not options["scales"]:
        raise ValueError(
            "form 'detection' compares images with perturbed ones; the study's detection has no "
            "scales, its scores stand in dataset()['score']"
        )
    reached = one.isel(image=(one["reached"] == 1).values)
    natural, perturbed = reached.isel(scale=0), reached.isel(scale=slice(1, None))
    own, called = _tensor(natural["called"]), _by_scale(perturbed["called"])
    scores = torch.stack([_by_scale(perturbed["score"]), -_by_scale(perturbed["score_margin"])], 1)
    return DetectionROC(
        scales=tuple(options["scales"]),
        natural=torch.stack([_tensor(natural["score"]), -_tensor(natural["score_margin"])]),
        perturbed=scores,
        changed=(called != own) & (called >= 0),
        recovered=(_by_scale(perturbed["recovered"]) == own) & (own >= 0),
        runner_up=(_by_scale(perturbed["runner_up"]) == own) & (own >= 0),
        own=own,
        distances=_tensor(reached["distance"]),
        false_positive_rate=0.05,
        perturbation=description["quantities"]["boundary"]["effort"],
        probes=options["probes"],
        step=float(one["detection_step"]),
        seed=description["seed"],
        class_names=_class_names(description, network),
        provenance=_provenance("detection_roc", description, network),
    )


def _connectivity(
    scenario: str, one: xr.Dataset, description: Mapping[str, Any], network: str
) -> Result:
    if scenario not in one["scenario"].values:
        raise ValueError(
            f"form 'connectivity, {scenario}' is not in the study; it has the scenarios "
            f"{', '.join(one['scenario'].values)}"
        )
    pairs = one.sel(scenario=scenario)
    pairs = pairs.isel(image=(pairs["moved"] >= 0).values)
    return Connectivity(
        labels=_tensor(pairs["predicted"]),
        first=_tensor(pairs["image"]),
        second=_tensor(pairs["partner"]),
        moved=_tensor(pairs["moved"]) == 1,
        straight=_tensor(pairs["straight"]) == 1,
        connected=_tensor(pairs["connected"]) == 1,
        proven=_tensor(pairs["proven"]) == 1,
        straightness=_tensor(pairs["straightness"]),
        anchors=_tensor(pairs["anchors"]),
        distances=_tensor(pairs["path_distance"]),
        least_margins=_tensor(pairs["path_margin"]),
        scenario=scenario,
        class_names=_class_names(description, network),
        provenance=_provenance("connectivity", description, network),
    )


FORMS: Mapping[str, tuple[str, _Form]] = {
    "curvature": ("curvature", _curvature),
    "shared_directions": ("shared_directions", _shared),
    "relative_curvature": ("shared_directions", _relative),
    "detection": ("detection", roc),
    **{
        f"connectivity, {scenario}": ("connectivity", partial(_connectivity, scenario))
        for scenario in SCENARIOS
    },
}
"""What can be had, the quantity that it needs, and how it is made."""


def _at_points(
    one: xr.Dataset, quantity: str, description: Mapping[str, Any], network: str
) -> dict[str, Any]:
    """What all curvatures say about themselves."""
    return {
        "own": _tensor(one["predicted"]),
        "other": _tensor(one["other"]),
        "distances": _tensor(one["distance"]),
        "alignment": _tensor(one["alignment"]),
        "method": str(one[f"{quantity}_method"].values),
        "step": float(one[f"{quantity}_step"]),
        "at": description["quantities"][quantity]["at"],
        "provenance": _provenance(quantity, description, network),
    }


def _provenance(function: str, description: Mapping[str, Any], network: str) -> Provenance:
    facts = description["networks"][network]
    quantities = description["quantities"]
    return Provenance(
        function=function,
        network=network,
        fingerprint=facts["fingerprint"],
        options={
            **quantities.get("boundary", {}),
            **quantities.get(function, {}),
            "seed": description["seed"],
        },
        dtype=f"torch.{facts['dtype']}",
        preprocessing=facts["preprocessing"],
        class_names=_class_names(description, network),
    )


def _class_names(description: Mapping[str, Any], network: str) -> tuple[str, ...]:
    return tuple(description["networks"][network]["class_names"])


def _dimension(description: Mapping[str, Any]) -> int:
    return math.prod(description["images"]["shape"])


def _tensor(values: xr.DataArray) -> Tensor:
    return torch.from_numpy(np.array(values.values))


def _by_scale(values: xr.DataArray) -> Tensor:
    return _tensor(values.transpose("scale", "image"))
