"""What is known about a path, in words with their question marks."""

from __future__ import annotations

import re

from geoexplorer.figures.path_words import (
    straight_words,
    straightness_words,
    verdict,
)
from geoexplorer.figures.text import escaped, number
from geoexplorer.geometry.paths import RegionPath
from geoexplorer.widgets.help import help_button, term

__all__ = ["path_facts"]


def path_facts(path: RegionPath) -> str:
    """HTML: proven or sampled, straightness, length, anchors."""
    said = verdict(path)
    # The first words stand out, up to what the number behind them rests on.
    head, rest = re.match(r"([^(]*)(.*)", said, re.DOTALL).groups()  # type: ignore[union-attr]
    name = {"exact": "proven", "sampled": "sampled"}.get(path.proof or "", "path")
    lines = [f"<b>{head.strip()}</b> {help_button(name)}"]
    if rest:
        lines.append(f'<span class="gx-note">{rest.strip("()")}</span>')
    proofs = (*path.segments, path.straight)
    reason = next((proof.reason for proof in proofs if proof.reason is not None), None)
    if reason is not None:
        lines.append(f'<span class="gx-note">No proof: {escaped(reason)}</span>')
    distance = float((path.anchors[-1] - path.anchors[0]).double().norm())
    count = len(path.anchors)
    words = "no bend" if count == 2 else f"{count} anchors"
    lines += [
        f"{term('straightness', 'straightness')} {straightness_words(path.straightness)}, "
        f"{words} {help_button('anchors')}",
        f"length {number(path.length, 4)}, from end to end {number(distance, 4)}",
    ]
    lines += straight_words(path)
    return "".join(f"<div>{line}</div>" for line in lines)
