"""Paths and segments with scores made up, so that what a figure shows is known."""

from __future__ import annotations

import numpy as np
import torch

from geoexplorer.geometry.certificates import SegmentProof
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.results import Provenance

DIGITS = tuple("0123456789")
LABEL = 7


def scores(t, *, dip=None, classes=10, start=6.0, least=1.5):
    """Logits ``(p, classes)``: class 7 ahead of class j by a parabola of its own, least at 1/2.

    ``dip`` is a place, a half width and a depth: class 9 is ahead there by up to the depth.
    """
    t = torch.as_tensor(t, dtype=torch.float64)
    logits = torch.zeros(len(t), classes, dtype=torch.float64)
    for label in range(classes):
        lowest = least + (label - 9) % classes * 0.4
        logits[:, label] = -(lowest + (start - lowest) * (2 * t - 1) ** 2)
    if dip:
        place, half, depth = dip
        tent = (1 - (t - place).abs() / half).clamp(min=0.0)
        above = tent > 0
        wedge = (logits[:, 9] * (1 - tent) + depth * tent)[above]
        logits[above, 9] = wedge
    logits[:, LABEL] = 0.0
    return logits


def segment(length=4.2, *, pieces=60, exact=True, dip=None, stop=True, classes=10, **fields):
    """A segment of the scores above, cut in even pieces and at the corners of a dip."""
    t = np.linspace(0.0, 1.0, pieces + 1)
    if dip:
        corners = [dip[0] - dip[1], dip[0], dip[0] + dip[1]]
        t = np.unique(np.concatenate([t, corners]))
    logits = scores(t, dip=dip, classes=classes)
    margins = -logits.clone()
    margins[:, LABEL] = float("inf")
    least = margins.min(dim=1).values
    place = other = None
    inside = bool((least > 0).all())
    if not inside:
        first = int((least <= 0).nonzero()[0])
        other = int(margins[first].argmin())
        before, after = float(margins[first - 1, other]), float(margins[first, other])
        share = before / (before - after)
        place = float(t[first - 1] + share * (t[first] - t[first - 1]))
        if stop:
            t, logits, least = t[: first + 1], logits[: first + 1], least[: first + 1]
    return SegmentProof(
        **{
            "inside": inside,
            "exact": exact,
            "label": LABEL,
            "place": place,
            "other": other,
            "t": torch.as_tensor(t, dtype=torch.float64),
            "logits": logits,
            "pieces": len(t) - 1 if exact else 0,
            "least_margin": float(least.min()),
            "rounding": 1.2e-11 if exact else 0.0,
            "spacing": None if exact else length / (len(t) - 1),
            "length": length,
            "class_names": DIGITS if classes == 10 else tuple(map(str, range(classes))),
            "provenance": Provenance(network="digits-cnn"),
            **fields,
        }
    )


def corners(count, *, bend=0.3, shape=(1, 8, 8), seed=0):
    """Anchors from one random image to another one, those in between off the straight line."""
    generator = torch.Generator().manual_seed(seed)
    a, b, c = torch.rand(3, *shape, generator=generator, dtype=torch.float64)
    t = torch.linspace(0.0, 1.0, count, dtype=torch.float64).reshape(-1, 1, 1, 1)
    aside = (c - c.mean()) * bend * 4 * t * (1 - t)
    return (a + t * (b - a) + aside).float()


def path(count=2, *, exact=True, dip=None, at=0, bend=0.3, shape=(1, 8, 8), pieces=60, **fields):
    """A path with so many anchors; segment ``at`` has the dip, and then it is not connected."""
    anchors = fields.pop("anchors", corners(count, bend=bend, shape=shape))
    lengths = anchors.double().diff(dim=0).flatten(1).norm(dim=1).tolist()
    segments = tuple(
        segment(length, exact=exact, dip=dip if n == at else None, pieces=pieces)
        for n, length in enumerate(lengths)
    )
    distance = float((anchors[-1] - anchors[0]).double().norm())
    connected = all(each.inside for each in segments)
    straight = segments[0] if count == 2 else segment(distance, dip=(0.4, 0.1, 1.0), exact=exact)
    failed = None
    if not connected:
        place = segments[at].place
        failed = anchors[at] + place * (anchors[at + 1] - anchors[at])
    return RegionPath(
        **{
            "anchors": anchors,
            "label": LABEL,
            "connected": connected,
            "proof": ("exact" if exact else "sampled") if connected else None,
            "spacing": None if exact else max(each.spacing for each in segments),
            "length": sum(lengths),
            "straightness": sum(lengths) / distance if distance else 1.0,
            "least_margin": min(each.least_margin for each in segments),
            "segments": segments,
            "straight": straight,
            "failed": failed,
            "class_names": DIGITS,
            "provenance": Provenance(network="digits-cnn"),
            **fields,
        }
    )
