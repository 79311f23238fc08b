"""What figures of paths say: what is proven or sampled, how straight it is, where it fails."""

from __future__ import annotations

from collections.abc import Sequence

from geoexplorer.figures.path_course import Outside
from geoexplorer.figures.text import escaped, number
from geoexplorer.geometry.certificates import SegmentProof
from geoexplorer.geometry.path_places import anchor_distances
from geoexplorer.geometry.paths import RegionPath

__all__ = [
    "outside_words",
    "place_words",
    "size_words",
    "straight_words",
    "straightness_words",
    "title_words",
    "verdict",
]

_NAMED = 3  # stretches outside the region that are listed
_MINUTE = 1e-4  # a straightness nearer to 1 than this is given as its distance from 1
_ROUNDED = 1e-9  # and one nearer than this is rounding


def verdict(path: RegionPath | SegmentProof) -> str:
    """Whether it stays inside, and how surely that is known."""
    if not path.progress.complete:
        return f"not final ({escaped(path.progress.message)})"
    if isinstance(path, SegmentProof):
        return _verdict_of_segment(path)
    name = escaped(path.class_names[path.label])
    if path.connected and path.proof == "exact":
        pieces = sum(proof.pieces for proof in path.segments)
        rounding = max((proof.rounding for proof in path.segments), default=0.0)
        return _proven(name, pieces, path.least_margin, rounding)
    if path.connected:
        return _sampled(name, path.spacing, path.least_margin)
    starts = anchor_distances(path).tolist()
    for start, proof in zip(starts, path.segments, strict=False):
        if proof.inside is not True:
            return f"not connected: {_stopped(proof, start)}"
    return "not connected: no path was found"


def title_words(path: RegionPath | SegmentProof) -> str:
    """What it is, of which class, of which network."""
    name, network = escaped(path.class_names[path.label]), escaped(path.provenance.network)
    of = f" of {network}" if network else ""
    if isinstance(path, SegmentProof):
        return f"Segment {'in' if path.inside else 'from'} the region of {name}{of}"
    return f"Path in the region of {name}{of}"


def size_words(path: RegionPath | SegmentProof) -> list[str]:
    """Straightness, length and number of anchors."""
    if isinstance(path, SegmentProof):
        return [f"length {number(path.length, 4)}"]
    count = len(path.anchors)
    words = "the straight segment" if count <= 2 else f"{count} anchors"
    return [
        f"straightness {straightness_words(path.straightness)}",
        f"length {number(path.length, 4)}",
        words,
    ]


def straightness_words(straightness: float) -> str:
    """Length over distance, so that paths that are nearly straight can be told apart.

    Examples
    --------
    >>> straightness_words(1.0), straightness_words(1.00041), straightness_words(1.0000012)
    ('1', '1.0004', '1 + 1e−06')
    """
    beyond = straightness - 1.0
    if abs(beyond) < _ROUNDED:
        return "1"
    return f"1 + {number(beyond, 1)}" if 0.0 < beyond < _MINUTE else f"{straightness:.4f}"


def straight_words(path: RegionPath) -> list[str]:
    """How the straight segment does, where the path is another one."""
    if len(path.anchors) <= 2 or path.straight.inside is True:
        return []
    return [f"the straight segment: {_stopped(path.straight, 0.0)}"]


def outside_words(
    outside: Sequence[Outside], label: int, names: Sequence[str], *, exact: bool
) -> list[str]:
    """Where another class is ahead, and for how long."""
    own = escaped(names[label])
    words = []
    for stretch in outside[:_NAMED]:
        other = escaped(names[stretch.label])
        about = "" if exact else "about "
        text = f"leaves {own} for {other} at {about}{place_words(stretch.start)}"
        if stretch.end is not None:
            text += f", for a length of {about}{number(stretch.end - stretch.start, 2)}"
        words.append(text)
    left = len(outside) - _NAMED
    return [*words, f"and {left} more times"] if left > 0 else words


def place_words(distance: float) -> str:
    """An l2 distance from a.

    Examples
    --------
    >>> place_words(2.31042)
    '2.31'
    """
    return number(distance, 4)


def _verdict_of_segment(proof: SegmentProof) -> str:
    name = escaped(proof.class_names[proof.label])
    if proof.inside and proof.exact:
        return _proven(name, proof.pieces, proof.least_margin, proof.rounding)
    if proof.inside:
        return _sampled(name, proof.spacing, proof.least_margin)
    return _stopped(proof, 0.0)


def _proven(name: str, pieces: int, margin: float, rounding: float) -> str:
    affine = f"{pieces:,} affine piece{'s' if pieces != 1 else ''}"
    return (
        f"proven: never leaves {name} ({affine}, least margin {number(margin, 2)} against a "
        f"rounding error of {number(rounding, 1)})"
    )


def _sampled(name: str, spacing: float | None, margin: float) -> str:
    every = "" if spacing is None else f" every {number(spacing, 2)}"
    return f"sampled{every}, not proven: no sample leaves {name} (least margin {number(margin, 2)})"


def _stopped(proof: SegmentProof, start: float) -> str:
    """Where a segment is left, or where it cannot be told."""
    names = proof.class_names
    own = escaped(names[proof.label])
    other = "another class" if proof.other is None else escaped(names[proof.other])
    at = ""
    if proof.place is not None:
        at = f" at {place_words(start + proof.place * proof.length)} from <i>a</i>"
    if proof.inside is None and not proof.exact:
        return f"undecided{at}: the margin over {other} is too small there for samples to tell"
    if proof.inside is None:
        rounding = number(proof.rounding, 1)
        return f"undecided{at}: the margin over {other} is within the rounding error of {rounding}"
    return f"leaves {own} for {other}{at}"
