"""Controls that show a choice, and change it when a person does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from geoexplorer.widgets.errors import Errors, guarded
from geoexplorer.widgets.quiet import Quiet
from geoexplorer.widgets.state import Choice

__all__ = ["ChoiceControls"]


class ChoiceControls(ABC):
    """What the controls of all panels have in common.

    A subclass makes its controls and then calls :meth:`_connect`.
    """

    choice: Choice

    def __init__(self, choice: Choice, errors: Errors) -> None:
        self.choice, self.errors = choice, errors
        self._showing = Quiet()

    @abstractmethod
    def _controls(self) -> dict[str, Any]:
        """The controls by the traits of the choice."""

    @abstractmethod
    def _show(self, change: Any = None) -> None:
        """Let the controls show the choice; ``change`` is what changed, if it is one thing."""

    def _connect(self, panel: str) -> None:
        """Listen to the controls and to the choice."""
        for name, control in self._controls().items():
            control.add_class(f"gx-{panel}-{name}")
            control.observe(self._chosen, "value")
        self.choice.observe(self._show, list(self._controls()))
        self._show()

    @guarded
    def _chosen(self, change: Any) -> None:
        if self._showing:
            return
        name = next(n for n, control in self._controls().items() if control is change["owner"])
        self._take(name, change["new"])

    def _take(self, name: str, value: Any) -> None:
        """Make what a person has chosen the choice."""
        setattr(self.choice, name, value)
