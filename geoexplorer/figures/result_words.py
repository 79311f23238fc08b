"""What the figure of any result says: of which network, and whether it is final."""

from __future__ import annotations

from geoexplorer.figures.text import escaped
from geoexplorer.results import Result

__all__ = ["counted", "progress_words", "title_of"]


def title_of(what: str, result: Result) -> str:
    """What it is, and of which network if that is known."""
    network = escaped(result.provenance.network)
    return f"{what} of {network}" if network else what


def progress_words(result: Result) -> list[str]:
    """That a result is not final, and how far it is; nothing of a final one."""
    if result.progress.complete:
        return []
    return [f"not final ({escaped(result.progress.message)})"]


def counted(number: int, what: str) -> str:
    """So many of something.

    Examples
    --------
    >>> counted(1, "image"), counted(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
