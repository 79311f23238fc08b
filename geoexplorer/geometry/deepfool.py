"""DeepFool's perturbation, which the paper measured curvature at.

Source: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool
deep neural networks", CVPR 2016, Algorithm 2, with the constants of the authors' code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geoexplorer.geometry.crossings import Rays, likely_rivals

__all__ = ["deepfool_offsets", "deepfool_steps"]

_STEPS = 50
_RIVALS = 9  # with the own class the ten highest, as in the authors' code
_OVERSHOOT = 0.02


def deepfool_offsets(rays: Rays) -> Tensor:
    """Offsets ``(n, d)`` that change the predicted class, NaN where fifty steps do not.

    Toward a given class only that one's boundary is linearised, and the offset ends where it
    is higher than the own class.
    """
    offsets, crossed = deepfool_steps(rays, likely_rivals(rays, _RIVALS), _STEPS)
    return torch.where(crossed[:, None], offsets, math.nan)


def deepfool_steps(
    rays: Rays, rivals: Tensor, most: int, start: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Offsets after so many steps at ``most``, and whether they were seen to change the class.

    Nobody looks after the last step.

    Parameters
    ----------
    rays
        From the images.
    rivals
        Classes ``(n, k)`` whose boundaries are linearised.
    most
        Steps.
    start
        Logits and Jacobian ``(n, 1 + k, d)`` of the own class and the rivals at the images, where
        they are known.

    Returns
    -------
    tuple
        Offsets ``(n, d)`` and ``(n,)`` bool.
    """
    offsets = rays.zeros
    crossed = torch.zeros(len(rays), dtype=torch.bool, device=offsets.device)
    rows = torch.arange(len(rays), device=offsets.device)
    for _ in range(most):
        across = rays[rows].levels((1 + _OVERSHOOT) * offsets[rows]) < 0
        crossed[rows] = across
        rows = rows[~across]
        if len(rows) == 0:
            break
        part = rays[rows]
        classes = torch.cat([part.own[:, None], rivals[rows]], dim=1)
        if start is not None:
            logits, jacobian = (known[rows] for known in start)
            start = None
        else:
            logits, jacobian = part.jacobian((1 + _OVERSHOOT) * offsets[rows], classes)
        chosen = logits.gather(1, classes)
        gradients = jacobian[:, :1] - jacobian[:, 1:]
        norms = gradients.norm(dim=2)
        distances = torch.where(norms > 0, (chosen[:, :1] - chosen[:, 1:]) / norms, math.inf)
        length, nearest = distances.abs().min(1, keepdim=True)
        steep = length[:, 0].isfinite()
        chosen_gradient = gradients.take_along_dim(nearest[:, :, None], 1)[:, 0]
        step = length / norms.gather(1, nearest) * chosen_gradient
        rows = rows[steep]
        offsets[rows] -= step[steep]
    return (1 + _OVERSHOOT) * offsets, crossed
