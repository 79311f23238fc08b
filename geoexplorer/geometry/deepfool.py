"""DeepFool's perturbation, which the paper measured curvature at.

Source: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool
deep neural networks", CVPR 2016, Algorithm 2, with the constants of the authors' code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geoexplorer.geometry.crossings import Rays, likely_rivals

__all__ = ["deepfool_offsets"]

_STEPS = 50
_OVERSHOOT = 0.02


def deepfool_offsets(rays: Rays) -> Tensor:
    """Offsets ``(n, d)`` that change the predicted class, NaN where fifty steps do not.

    Toward a given class only that one's boundary is linearised, and the offset ends where it
    is higher than the own class.
    """
    offsets = torch.zeros_like(rays.images)
    crossed = torch.zeros(len(rays), dtype=torch.bool, device=offsets.device)
    rows = torch.arange(len(rays), device=offsets.device)
    rivals = likely_rivals(rays)
    for _ in range(_STEPS):
        part = rays[rows]
        classes = torch.cat([part.own[:, None], rivals[rows]], dim=1)
        logits, jacobian = part.jacobian((1 + _OVERSHOOT) * offsets[rows], classes)
        chosen = logits.gather(1, classes)
        levels = chosen[:, :1] - chosen[:, 1:]
        across = (levels <= 0).any(1)
        crossed[rows[across]] = True
        gradients = jacobian[:, :1] - jacobian[:, 1:]
        norms = gradients.norm(dim=2)
        distances = torch.where(norms > 0, levels / norms, math.inf)
        nearest = distances.argmin(1, keepdim=True)
        going = ~across & distances.gather(1, nearest)[:, 0].isfinite()
        rows, nearest = rows[going], nearest[going]
        if len(rows) == 0:
            break
        length = (distances[going] / norms[going]).gather(1, nearest)
        chosen_gradient = gradients[going].take_along_dim(nearest[:, :, None], 1)[:, 0]
        offsets[rows] -= length * chosen_gradient
    return torch.where(crossed[:, None], (1 + _OVERSHOOT) * offsets, math.nan)

