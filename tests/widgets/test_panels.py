"""A further panel: a class of its own, and the Explorer does the rest."""

import ipywidgets
import traitlets

from geoexplorer.widgets.panel import Panel
from geoexplorer.widgets.panels import PANELS
from geoexplorer.widgets.panels.cross_section import CrossSectionPanel
from geoexplorer.widgets.state import Choice


class NormChoice(Choice):
    power = traitlets.Int(2, min=1).tag(state=True)


class NormPanel(Panel):
    """The norm of the chosen image's perturbation."""

    key = "norm"
    title = "Norm"

    def __init__(self, host):
        super().__init__(host)
        self.choice = NormChoice()
        self.widget = ipywidgets.FloatText()
        self.computed = []
        self.choice.observe(lambda change: host.refresh(), "power")

    def steps(self, view):
        norm = float(view.boundary.perturbations.flatten().norm(self.choice.power))
        self.computed.append(view.index)
        yield lambda: setattr(self.widget, "value", norm)

    def result(self):
        raise ValueError("nothing to draw")

    def figure_options(self):
        return {}

    def code(self):
        return f"norm of power {self.choice.power}"


def open_both(open_explorer, **options):
    explorer = open_explorer(panels=(CrossSectionPanel, NormPanel), **options)
    return explorer, explorer.panels["norm"]


def test_every_panel_has_a_key_and_a_title_of_its_own():
    assert len({panel.key for panel in PANELS}) == len({panel.title for panel in PANELS})
    assert len({panel.key for panel in PANELS}) == len(PANELS)


def test_one_panel_has_no_bar_of_tabs_and_two_have_one(open_explorer):
    alone = open_explorer(panels=(CrossSectionPanel,))
    assert not any(isinstance(child, ipywidgets.Tab) for child in alone.children)
    explorer, _ = open_both(open_explorer)
    (tabs,) = (child for child in explorer.children if isinstance(child, ipywidgets.Tab))
    assert tabs.titles == ("Cross-section", "Norm")


def test_a_panel_that_is_not_looked_at_computes_nothing_and_catches_up(open_explorer):
    explorer, norm = open_both(open_explorer)
    (tabs,) = (child for child in explorer.children if isinstance(child, ipywidgets.Tab))
    explorer.selection.image = 3
    explorer.selection.image = 4
    assert norm.computed == []
    tabs.selected_index = 1
    assert norm.computed == [4]
    assert explorer.panel is norm
    assert explorer.code() == "norm of power 2"
    view = explorer.panels["cross-section"].shown.view
    assert norm.widget.value == float(view.boundary.distances[0])
    tabs.selected_index = 0
    tabs.selected_index = 1  # nothing has changed
    assert norm.computed == [4]
    norm.choice.power = 1
    assert norm.computed == [4, 4]
    section = explorer.panels["cross-section"].result()
    explorer.selection.image = 5
    assert explorer.panels["cross-section"].result() is section
    tabs.selected_index = 0
    assert explorer.panels["cross-section"].shown.view.index == 5


def test_its_choices_and_the_open_tab_are_in_the_state(open_explorer):
    explorer, norm = open_both(open_explorer)
    norm.choice.power = 3
    (tabs,) = (child for child in explorer.children if isinstance(child, ipywidgets.Tab))
    tabs.selected_index = 1
    state = explorer.to_json()
    assert state["panels"]["norm"] == {"power": 3}
    assert state["panel"] == "norm"
    other, same = open_both(open_explorer, state=state)
    assert same.choice.power == 3
    assert other.panel is same
    assert same.computed == [state["selection"]["image"]]
    assert other.to_json() == state
