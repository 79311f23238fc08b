"""What a panel is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import ipywidgets

from geoexplorer.jobs import Progress
from geoexplorer.results import Result
from geoexplorer.widgets.errors import Errors
from geoexplorer.widgets.plot import Library
from geoexplorer.widgets.session import Session, View
from geoexplorer.widgets.state import Choice
from geoexplorer.widgets.worker import Delivery, Worker

__all__ = ["Host", "Panel"]


@dataclass(frozen=True)
class Host:
    """What the Explorer gives a panel."""

    session: Session
    worker: Worker
    errors: Errors
    library: Library  # of the panel's figures
    refresh: Callable[..., None]  # compute anew; delay=seconds waits for a newer choice
    report: Callable[[Progress, str], None]  # show progress; on the worker thread
    pick: Callable[[Callable[[int], None] | None], None]  # gets the next image clicked
    theme: Callable[[], str]  # "light" or "dark"
    painted: Callable[[], None]  # something new is on the screen; for the timings
    # Brings another panel into view, by its key, with some of its choices.
    open_panel: Callable[[str, Mapping[str, Any]], None]


class Panel(ABC):
    """One way to look at what is selected.

    The Explorer makes a panel once, shows its ``widget``, and runs :meth:`steps` on the worker
    thread whenever the selection or the panel's ``choice`` has changed; only while the panel is
    in view.
    """

    key: ClassVar[str]  # in the state, for good
    title: ClassVar[str]  # on the tab

    choice: Choice
    widget: ipywidgets.Widget

    def __init__(self, host: Host) -> None:
        self.host = host
        self.errors = host.errors

    @abstractmethod
    def steps(self, view: View) -> Generator[Delivery, None, None]:
        """Compute, and yield functions that show what there is so far."""

    @abstractmethod
    def result(self) -> Result:
        """What the panel shows; ``ValueError`` if there is nothing yet."""

    @abstractmethod
    def figure_options(self) -> dict[str, Any]:
        """How the panel draws it."""

    @abstractmethod
    def code(self) -> str:
        """A script that draws the result with the same options, without the widget."""

    def file_stem(self) -> str:
        """What a file with the figure is called, without its ending."""
        return self.key

    def opened(self) -> None:  # noqa: B027
        """It comes into view; what takes time to make may have waited for this."""

    def begin(self) -> None:  # noqa: B027
        """Something is asked for: before :meth:`steps`, and before its view is known."""

    def stopped(self) -> None:  # noqa: B027
        """The steps ended before they were through: what was still to come is not on its way."""

    def selection_changed(self) -> None:  # noqa: B027  (a panel may have nothing to forget)
        """Forget what belongs to the image that was looked at before."""

    def theme_changed(self) -> None:  # noqa: B027
        """Show the same in ``host.theme()``."""

    def restore(self, state: Any) -> Callable[[], None]:
        """Check a state of the panel; the function that is returned takes it over."""
        values = self.choice.checked(state, f"the panel {self.key!r}")

        def take() -> None:
            with self.choice.hold_trait_notifications():
                for name, value in values.items():
                    setattr(self.choice, name, value)

        return take

    def close(self) -> None:  # noqa: B027
        """Let go of everything; widgets in ``widget`` are closed by the Explorer."""
