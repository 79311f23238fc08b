"""Paths that connect two images inside one region, and the way into a region.

How paths are looked for stands in :mod:`geoexplorer.geometry.path_search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from geoexplorer import jobs
from geoexplorer.arguments import require_flag, require_seed
from geoexplorer.classifier import Classifier
from geoexplorer.geometry.entering import clearly_inside, least_margins
from geoexplorer.geometry.path_search import EFFORTS, Effort, PathSearch
from geoexplorer.geometry.region_path import RegionPath
from geoexplorer.results import Recorder, ResultList

__all__ = ["RegionPath", "connect", "connect_steps", "enter_region"]


def connect(
    clf: Classifier,
    a: Tensor,
    b: Tensor,
    *,
    effort: str = "interactive",
    prove: bool = True,
    seed: int = 0,
) -> RegionPath | list[RegionPath]:
    """Connect two images of one predicted class by a path inside the class's region.

    Parameters
    ----------
    clf
        The classifier.
    a, b
        Two images ``(C, H, W)``, or as many pairs of them, ``(n, C, H, W)`` each. The images of a
        pair must have the same predicted class; :func:`enter_region` moves one into the other's.
    effort
        ``"interactive"``, or ``"accurate"``: halves segments more often, tries more ways round,
        and makes paths shorter.
    prove
        Whether the segments are proven where the network is piecewise linear, see
        :func:`geoexplorer.prove_segment`. Without a proof they are sampled.
    seed
        For random directions, where the gradient shows none and for ways round.

    Returns
    -------
    RegionPath or list of RegionPath
        One for a pair of images, a list for batches. A path that was not found is reported as not
        ``connected``, with a place where the last attempt failed: it may exist all the same.

    Raises
    ------
    TypeError, ValueError
        For images that are not the classifier's (see :meth:`Classifier.prepare`), batches of
        different lengths, a pair of two predicted classes, or an unknown effort.

    Notes
    -----
    Source: Fawzi et al., "Empirical Study of the Topology and Geometry of Deep Networks", CVPR
    2018, section 3; ways round and shortening are our own.

    Examples
    --------
    >>> from torch import nn
    >>> class Shell(nn.Module):  # its hole is not convex
    ...     def forward(self, x):
    ...         square = x.flatten(1).square().sum(1)
    ...         return torch.stack([(4 - square) * (square - 1), 0 * square], dim=1)
    >>> clf = Classifier(Shell().eval(), input_shape=(1, 1, 3), device="cpu")
    >>> a = torch.tensor([[[1.5, 0.0, 0.1]]])
    >>> path = connect(clf, a, -a)
    >>> path.connected, path.proof, path.straight.inside, bool(path.straightness < 1.57)
    (True, 'sampled', False, True)
    """
    result = jobs.last(connect_steps(clf, a, b, effort=effort, prove=prove, seed=seed))
    return list(result) if isinstance(result, ResultList) else result


def connect_steps(
    clf: Classifier,
    a: Tensor,
    b: Tensor,
    *,
    effort: str = "interactive",
    prove: bool = True,
    seed: int = 0,
) -> Iterator[RegionPath | ResultList[RegionPath]]:
    """Like :func:`connect`, yielding the paths as far as they are known.

    Each is a :class:`RegionPath` for a pair of images and a list of them for batches.
    Before the last one a path may be called sampled that is then proven.
    """
    chosen = _effort(effort)
    require_flag("prove", prove)
    seed = require_seed(seed)
    if not isinstance(clf, Classifier):
        raise TypeError(f"clf must be a Classifier, got {type(clf).__name__}")
    recorder = Recorder(clf, "connect", effort=effort, prove=prove, seed=seed)
    pairs = _checked_pairs(clf, a, b)
    given = _in_more_digits(clf, a, b)
    search = PathSearch(clf, *pairs, chosen, prove, seed, recorder, given)
    steps = search.steps()
    if a.ndim == 3:
        return recorder.watch(paths[0] for paths in steps)
    return recorder.watch(steps)


def enter_region(
    clf: Classifier,
    x: Tensor,
    label: int | Tensor,
    *,
    effort: str = "interactive",
    seed: int = 0,
) -> Tensor:
    """Perturb images into the region of a class, clearly beyond its boundary.

    Parameters
    ----------
    clf
        The classifier.
    x
        Images ``(n, C, H, W)``, or one ``(C, H, W)``.
    label
        The class, one or one for each image ``(n,)``. Images predicted as it stay as they are.
    effort
        ``"interactive"`` or ``"accurate"``: how many steps are tried.
    seed
        For a direction where the gradient vanishes.

    Returns
    -------
    Tensor
        Of the shape of ``x``, on its device, in the classifier's dtype: x + t r, where r is a small
        perturbation that reaches the region and t, between 1 and 2, is the depth of the largest
        margin. NaN for an image that could not be moved.

    Raises
    ------
    TypeError, ValueError
        For images or classes that are not the classifier's, or an unknown effort.

    Notes
    -----
    Source: DeepFool toward a fixed class, as the paper's authors use it; the depth is our own.

    Examples
    --------
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    >>> moved = enter_region(clf, torch.rand(5, 1, 2, 2), 2)
    >>> clf.labels(moved).tolist()
    [2, 2, 2, 2, 2]
    """
    chosen, seed = _effort(effort), require_seed(seed)
    images = clf.prepare(x)
    labels = clf.classes(label, images, "label")
    moved = clearly_inside(clf, images.flatten(1), labels, steps=chosen.steps, seed=seed)
    device = x.device if isinstance(x, Tensor) else "cpu"
    return moved.reshape(x.shape).to(device)


def _effort(value: Any) -> Effort:
    if not isinstance(value, str) or value not in EFFORTS:
        raise ValueError(f"effort must be one of {tuple(EFFORTS)}, got {value!r}")
    return EFFORTS[value]


def _in_more_digits(clf: Classifier, a: Any, b: Any) -> tuple[Tensor, Tensor] | None:
    """Images in double precision of a classifier that computes in single precision, flattened."""
    first, second = (
        torch.as_tensor(images).detach().to(clf.device).reshape(-1, clf.dimension)
        for images in (a, b)
    )
    if torch.float64 not in (first.dtype, second.dtype) or clf.dtype == torch.float64:
        return None
    return first.double(), second.double()


def _checked_pairs(clf: Classifier, a: Any, b: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Flattened images ``(n, d)``, their classes, and the larger margin of each pair."""
    first, second = clf.prepare(a, argument="a"), clf.prepare(b, argument="b")
    if a.ndim != b.ndim or len(first) != len(second):
        raise ValueError(
            "a and b must be one image (C, H, W) each or batches (n, C, H, W) of one length, got "
            f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    logits = clf.forward(torch.cat([first, second]))
    labels, others = logits.argmax(1).chunk(2)
    apart = (labels != others).nonzero()[:, 0]
    if len(apart):
        row = int(apart[0])
        names = [clf.class_names[int(classes[row])] for classes in (labels, others)]
        where = "" if a.ndim == 3 else f" (pair {row})"
        raise ValueError(
            f"a and b must have the same predicted class, got {names[0]!r} and {names[1]!r}{where};"
            " enter_region(clf, b, label) perturbs an image into the region of a class"
        )
    margins = least_margins(logits, torch.cat([labels, labels])).reshape(2, -1).amax(0)
    return first.flatten(1), second.flatten(1), labels, margins
