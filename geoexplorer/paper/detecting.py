"""The figure of detection and label recovery."""

from __future__ import annotations

from geoexplorer.geometry.detection_along import detect_along_steps
from geoexplorer.geometry.detection_roc import DetectionROC, detection_roc_steps
from geoexplorer.paper.wording import between, number, percent, plain
from geoexplorer.paper.workshop import Finding, Picture, Workshop

__all__ = ["detecting"]

_PROBES = 50
_BARELY = 1.1  # α below which x + α r is just across the boundary


def detecting(shop: Workshop) -> Finding:
    """ROC of DeepFool's and of minimal perturbations, and the way across the boundary."""
    clf, seed = shop.subject.clf, shop.seed
    fool = shop.keep(
        "detection", detection_roc_steps, shop.points("deepfool"), probes=_PROBES, seed=seed
    )
    points = shop.points()
    minimal = shop.keep("detection-minimal", detection_roc_steps, points, probes=_PROBES, seed=seed)
    reached = points.converged.nonzero().flatten().tolist()
    along = shop.keep(
        "detection-along", detect_along_steps, points[reached[0]], probes=_PROBES, seed=seed
    )
    own, other = clf.class_names[along.own], clf.class_names[along.other]
    return Finding(
        found=(*_words(fool, "DeepFool's", explained=True), *_words(minimal, "minimal")),
        sample=f"{len(fool.own)} natural images, each perturbed by α r for "
        f"α = {', '.join(map(number, fool.scales))}; {fool.probes} random directions each",
        method=f"second differences of the logits, h = {number(fool.step)}, "
        "all other classes; intervals by drawing images again",
        pictures=(
            Picture("detection", _roc_alt("DeepFool's"), fool, {"view": "roc"}),
            Picture("detection-minimal", _roc_alt("minimal"), minimal, {"view": "roc"}),
            Picture(
                "detection-recovery",
                "How often the natural label comes back, by curvature and as the runner-up class, "
                "for DeepFool's perturbations.",
                fool,
                {"view": "recovery"},
            ),
            Picture(
                "detection-along",
                f"The detection score on the way from an image of {own} across the boundary to "
                f"{other}.",
                along,
                {"width": 760},
            ),
        ),
        code="\n".join(
            (
                shop.subject.code,
                f"fool = {shop.points_code('deepfool')}",
                f"found = gx.detection_roc(clf, fool, probes={_PROBES}, seed={seed})",
                'found.figure(view="roc").show()',
                'found.figure(view="recovery").show()',
                f"nearest = {shop.points_code()}",
                f"gx.detection_roc(clf, nearest, probes={_PROBES}, seed={seed}).figure().show()",
                f"along = gx.detect_along(clf, nearest[{reached[0]}], probes={_PROBES}, "
                f"seed={seed})",
                "along.figure(width=760).show()",
            )
        ),
    )


def _roc_alt(what: str) -> str:
    return (
        f"ROC curves for {what} perturbations at each scale, by curvature and, dashed, by the "
        "logit margin."
    )


def _scale_words(scale: float, explained: bool) -> str:
    """α, and what one that is barely more than 1 stands for."""
    words = f"α = {number(scale)}"
    if explained and 1 < scale < _BARELY:
        words += " (just across the boundary; the paper's 1 is on it)"
    return words


def _words(roc: DetectionROC, what: str, *, explained: bool = False) -> tuple[str, ...]:
    areas, (low, high), margins = roc.auc(), roc.auc_interval(), roc.auc("margin")
    recovery, runner_up = roc.recovery(), roc.recovery("runner-up")
    scores = [
        f"{plain(float(areas[n]))} ({between(float(low[n]), float(high[n]))}) at "
        f"{_scale_words(scale, explained)}, where the logit margin has {plain(float(margins[n]))}"
        for n, scale in enumerate(roc.scales)
    ]
    labels = [
        f"{percent(float(recovery[n]))} by curvature and {percent(float(runner_up[n]))} as the "
        f"runner-up at α = {number(scale)}"
        for n, scale in enumerate(roc.scales)
    ]
    return (
        f"For {what} perturbations the area under the curve by curvature, with its 95 % interval, "
        f"is {'; '.join(scores)}.",
        f"The natural label comes back for {'; '.join(labels)}.",
    )
