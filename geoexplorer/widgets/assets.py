"""The JavaScript and CSS that stand beside the modules."""

from pathlib import Path

__all__ = ["read_asset", "read_module"]


def read_asset(name: str) -> str:
    """The text of a file in this folder.

    An anywidget that is given the path watches the file for as long as its class lives, and
    with it keeps every instance that was ever made; text it just sends.
    """
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def read_module(name: str) -> str:
    """The text of an anywidget's module, with what lets its model hear however late it loads."""
    return read_asset("hearing.js") + read_asset(name)
