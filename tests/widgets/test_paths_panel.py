"""The paths panel: from where to where, what is proven, what is shown and taken away."""

import json
import re
import time

import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry import paths as region_paths
from geoexplorer.geometry.path_places import images_at, least_place
from geoexplorer.widgets import paths
from geoexplorer.widgets.explorer import Explorer
from geoexplorer.widgets.path_controls import SHOWS
from geoexplorer.widgets.paths import SCENARIOS
from tests.widgets.test_code import run_script
from tests.widgets.test_curvature_panel import PATIENCE, Constant, Slow, assert_alike, text_of


class Shell(nn.Module):
    """The region between two spheres around the middle of the cube, and all else."""

    def forward(self, images):
        radius = (images.flatten(1) - 0.5).norm(dim=1)
        return torch.stack([1 - 5 * (radius - 0.4).abs(), 0 * radius + 0.4], dim=1)


@pytest.fixture
def opened(open_explorer):
    """An explorer of the digits, its paths panel in view."""
    return in_view(open_explorer)


def in_view(open_explorer, *args, **options):
    explorer = open_explorer(*args, **options)
    explorer._tab_bar.selected_index = 2
    assert explorer.panel.key == "paths"
    return explorer


def facts(panel):
    return text_of(panel.readout.facts)


def test_it_connects_nothing_until_it_is_looked_at(explorer, monkeypatch):
    panel = explorer.panels["paths"]
    explorer.selection.image = 3
    assert panel.shown is None
    assert not panel.widget.children
    explorer._tab_bar.selected_index = 2
    assert explorer.errors.last is None
    assert panel.shown.view.index == 3
    monkeypatch.setattr(region_paths, "connect_steps", None)  # remembered
    explorer._tab_bar.selected_index = 0
    explorer._tab_bar.selected_index = 2
    explorer.refresh()
    assert explorer.errors.last is None


def test_a_newcomer_sees_a_proof_at_once(opened):
    panel = opened.panel
    assert opened.errors.last is None
    shown = panel.shown
    path, clf = shown.path, shown.view.clf
    images = opened.session.subject.images.images
    assert path.connected
    assert path.proof == "exact"
    assert torch.equal(path.anchors[0], shown.view.x)
    assert torch.equal(path.anchors[-1], images[shown.wanted.target])
    name = clf.class_names[path.label]
    assert facts(panel).startswith(f"proven: never leaves {name}")
    pieces = sum(proof.pieces for proof in path.segments)
    assert f"{pieces:,} affine pieces, least margin" in facts(panel)
    assert "straightness 1" in facts(panel)
    # The farthest of those offered, all of which have the same predicted class.
    offered = panel.controls.gallery._indices
    assert len(offered) == 24
    assert set(clf.labels(images[offered]).tolist()) == {path.label}
    distances = (images[offered] - shown.view.x).flatten(1).norm(dim=1)
    assert offered[int(distances.argmax())] == shown.wanted.target
    assert panel.controls.gallery.selected == shown.wanted.target
    reading = panel.readout.reading
    assert "least margin" in reading["where"]
    assert reading["image_caption"] == f"called {name}"


def test_a_path_before_is_not_taken_for_the_one_that_is_looked_for(opened, monkeypatch):
    panel, seen = opened.panel, []
    real = paths.candidates_steps

    def looked_at(*args):
        seen.append((facts(panel), "gx-outdated" in panel.widget._dom_classes))
        return (yield from real(*args))

    monkeypatch.setattr("geoexplorer.widgets.panels.paths.candidates_steps", looked_at)
    panel.choice.scenario = "other class"
    assert "proven" not in seen[-1][0]
    assert seen[-1][0].startswith("Not final")
    assert seen[-1][1]
    assert "gx-outdated" not in panel.widget._dom_classes
    assert facts(panel).startswith("proven: never leaves")
    panel.choice.show = "strip"  # the same path
    assert not seen[-1][1]


def test_clicking_an_image_below_connects_with_it(opened):
    panel = opened.panel
    index = int(panel.controls.gallery._indices[2])
    panel.controls.gallery._receive(None, {"kind": "choose", "index": index}, None)
    assert panel.choice.target == index
    assert panel.shown.wanted.target == index
    assert panel.controls.gallery.selected == index
    assert opened.errors.last is None


def test_picking_in_the_gallery_takes_an_image_of_any_class(opened):
    panel, controls = opened.panel, opened.panel.controls
    own = panel.shown.path.label
    known = opened.session.predict(opened.session.subject, list(range(20)))
    other = next(n for n in range(20) if int(known[n]) != own)
    same = next(n for n in range(20) if int(known[n]) == own and n != panel.shown.view.index)
    index = opened.selection.image
    controls.pick.click()
    assert controls.pick.description == "click an image above"
    opened._choose_image(other)
    assert opened.errors.last is None
    assert opened.selection.image == index  # the click went to the panel
    assert (panel.choice.scenario, panel.choice.target) == ("other class", other)
    assert panel.shown.path.label == own
    assert not torch.equal(
        panel.shown.path.anchors[-1], panel.shown.view.subject.images.images[other]
    )
    controls.pick.click()
    opened._choose_image(same)
    assert (panel.choice.scenario, panel.choice.target) == ("same class", same)
    controls.pick.click()
    controls.pick.click()  # never mind
    opened._choose_image(other)
    assert opened.selection.image == other
    assert panel.choice.target is None  # another image has another path
    assert opened.errors.last is None


def test_an_image_that_does_not_fit_is_a_sentence(opened):
    panel = opened.panel
    subject = opened.session.subject
    known = opened.session.predict(subject, list(range(20)))
    names, own = subject.clf.class_names, panel.shown.path.label
    other = next(n for n in range(20) if int(known[n]) != own)
    before = panel.result()
    panel.choice.target = other
    said = str(opened.errors.last)
    assert f"Image {other} is called {names[int(known[other])]}, not {names[own]}" in said
    assert SCENARIOS["other class"] in said
    panel.choice.target = opened.selection.image or panel.shown.view.index
    assert "begins at" in str(opened.errors.last)
    panel.choice.target = 10**6
    assert "target must be between 0 and 499" in str(opened.errors.last)
    assert panel.result() is before
    panel.choice.target = None
    assert opened.errors.last is None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_of_the_paper(opened, scenario):
    panel = opened.panel
    panel.controls.scenario.value = scenario
    assert opened.errors.last is None
    shown = panel.shown
    assert shown.wanted.scenario == scenario
    assert shown.path.connected
    random = scenario == "random point"
    assert (panel.controls.gallery.layout.display == "none") is random
    assert (panel.controls.point.layout.display == "") is random
    assert (shown.wanted.target is None) is random
    clf = shown.view.clf
    assert set(clf.labels(shown.path.anchors[[0, -1]]).tolist()) == {shown.path.label}


def test_another_random_point(opened):
    panel = opened.panel
    panel.choice.scenario = "random point"
    first = panel.shown.path.anchors[-1]
    panel.controls.reroll.click()
    assert panel.choice.seed == 1
    assert not torch.equal(panel.shown.path.anchors[-1], first)
    panel.controls.seed.value = 0
    assert torch.equal(panel.shown.path.anchors[-1], first)
    images = opened.session.subject.images.images
    norm = float(paths.random_point(images, 0).norm())
    assert norm == pytest.approx(float(images.flatten(1).norm(dim=1).mean()), rel=1e-5)


def test_without_a_proof_it_says_sampled(opened):
    panel = opened.panel
    panel.controls.prove.value = False
    assert opened.errors.last is None
    assert panel.choice.prove is False
    assert panel.shown.path.proof == "sampled"
    assert "not proven" in facts(panel)
    assert "never leaves" not in facts(panel)
    panel.controls.prove.value = True
    assert "never leaves" in facts(panel)


def test_a_network_that_is_not_piecewise_linear_is_only_sampled(open_explorer):
    explorer = in_view(open_explorer, network="digits-cnn-smooth")
    controls = explorer.panel.controls
    assert controls.prove.disabled
    assert not controls.prove.value
    assert "not piecewise linear" in controls.prove.description
    assert explorer.panel.shown.path.proof == "sampled"
    assert "sampled every" in facts(explorer.panel)
    explorer.selection.network = "digits-cnn"
    assert not controls.prove.disabled
    assert controls.prove.value
    assert explorer.panel.shown.path.proof == "exact"


def test_a_proof_that_takes_minutes_has_to_be_asked_for(open_explorer, monkeypatch):
    monkeypatch.setattr("geoexplorer.widgets.proof_cost._AT_ONCE_KINKS", 10)
    monkeypatch.setattr("geoexplorer.widgets.path_controls.LONG_SECONDS", 0.0)
    monkeypatch.setattr("geoexplorer.widgets.following.LONG_SECONDS", 0.0)
    explorer = in_view(open_explorer)
    panel = explorer.panel
    assert panel.shown.path.proof == "sampled"
    assert not panel.controls.prove.value
    assert panel.controls.prove.description.startswith("prove, about")
    said = []
    monkeypatch.setattr(explorer.session, "report", lambda progress, text: said.append(text))
    panel.controls.prove.value = True
    assert panel.shown.path.proof == "exact"
    assert any(text.startswith("connecting: this may take about") for text in said)


def test_a_bent_path_is_proven_too_and_a_lost_one_is_never_called_connected(open_explorer):
    clf = gx.Classifier(
        Shell().eval(), input_shape=(1, 3, 3), device="cpu", class_names=["shell", "else"],
        name="shell",
    )  # fmt: skip
    half = torch.zeros(9)
    half[0] = 0.4
    images = torch.stack([0.5 + half, 0.5 - half, 0.5 + half.roll(1)]).reshape(3, 1, 3, 3)
    explorer = in_view(open_explorer, clf, gx.ImageSet(images, name="some"), image=0)
    panel = explorer.panel
    assert explorer.errors.last is None
    assert len(panel.shown.path.anchors) > 2
    assert "anchors" in facts(panel)
    assert "the straight segment: leaves shell for else" in facts(panel)
    panel.choice.show = "map"
    assert panel.result().plane.v_name.startswith("toward anchor")
    assert "directions" not in explorer.code()


def test_pointing_and_clicking_shows_the_image_there(opened):
    panel = opened.panel
    path, clf = panel.shown.path, panel.shown.view.clf
    panel._hear({"kind": "point", "x": 1.0, "y": 2.0})
    assert "at 1 of" in panel.readout.reading["where"]
    label = int(clf.labels(images_at(path, torch.tensor([1.0])))[0])
    assert panel.readout.reading["image_caption"] == f"called {clf.class_names[label]}"
    assert panel.chart.layout.shapes[0].x0 == 1.0
    assert panel.chart.layout.shapes[0].line.dash == "dot"
    panel._hear({"kind": "click", "x": 1.5, "y": 2.0, "reach": 0.05})
    assert panel.choice.place == 1.5
    assert panel.readout.reading["pinned"]
    assert panel.chart.layout.shapes[0].line.dash == "solid"
    panel._hear({"kind": "point", "x": 0.2, "y": 2.0})
    assert "1.5 of" in panel.readout.reading["where"]  # pinned
    assert panel.figure_options()["place"] == 1.5
    panel._hear({"kind": "click", "x": 1.52, "y": 2.0, "reach": 0.05})
    assert panel.choice.place is None
    panel._hear({"kind": "point", "x": -5.0, "y": 2.0})
    assert panel.readout.reading["where"].startswith("at 0 of")
    panel._hear({"kind": "leave"})
    assert f"at {least_place(path):.3g} of" in panel.readout.reading["where"]
    panel._hear({"kind": "click", "x": 1e9, "y": 2.0, "reach": 0.05})
    assert panel.choice.place == pytest.approx(path.length)
    panel._hear({"kind": "escape"})
    assert panel.choice.place is None
    assert opened.errors.last is None


def test_the_map_shows_the_path_and_the_boundary_nearest_to_it(opened):
    panel = opened.panel
    path = panel.shown.path
    panel.choice.show = "map"
    assert opened.errors.last is None
    section = panel.result()
    assert section.progress.complete
    plane = section.plane
    assert float(plane.distances(path.anchors).max()) < 1e-4
    assert {"a", "b", "z"} <= set(plane.marks)
    assert plane.v_name == "toward the nearest boundary"
    assert panel._map_box.layout.display == ""
    assert panel._chart_box.layout.display == "none"
    assert len(next(item for item in panel.map.data if item.name == "path").x) >= 2
    for x, y in (plane.coordinates(path.anchors)).tolist():
        left, right, bottom, top = panel.shown.extent
        assert left < x < right
        assert bottom < y < top
    panel._hear({"kind": "point", "x": 0.5, "y": 0.2})
    assert "in the plane, at (0.5, 0.2)" in panel.readout.reading["where"]
    panel._hear({"kind": "click", "x": 0.5, "y": 0.2, "reach": 0.1})
    assert panel.choice.place is None
    panel._hear({"kind": "leave"})
    panel.choice.place = 1.0
    ring = panel.map.layout.shapes[0]
    there = plane.coordinates(images_at(path, torch.tensor([1.0])))[0].tolist()
    assert (ring.xanchor, ring.yanchor) == pytest.approx(there, abs=1e-6)
    assert "at 1 of" in panel.readout.reading["where"]
    panel.choice.show = "strip"
    assert panel._chart_box.layout.display == ""
    assert panel.result() is path


def test_the_size_of_the_cell_is_followed(opened):
    panel = opened.panel
    panel.ears.size = [500, 420]
    assert panel.chart.layout.width == 500
    panel.choice.show = "map"
    before = panel.result()
    panel.ears.size = [700, 520]
    assert panel.map.layout.width == 700
    assert panel.result() is not before
    panel.choice.show = "strip"
    panel.ears.size = [420, 400]
    assert opened.errors.last is None


@pytest.mark.parametrize("show", SHOWS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_script_draws_the_same_figure(opened, scenario, show):
    panel = opened.panel
    panel.choice.scenario = scenario
    panel.choice.show = show
    if show == "scores":
        panel.choice.place = 0.5
    assert opened.errors.last is None
    scope = {}
    exec(opened.code().replace("figure.show()", ""), scope)
    ours, theirs = (json.loads(f.to_json()) for f in (opened.figure(), scope["figure"]))
    assert_alike(ours, theirs)


def test_the_script_runs_in_a_python_of_its_own(opened, tmp_path):
    code = opened.code() + "\nclass section: labels = gx.load_images('digits').images[0]\n"
    assert run_script(code, tmp_path) == opened.figure().to_json()


@pytest.mark.parametrize("show", SHOWS)
def test_every_view_is_saved_and_follows_the_theme(opened, show, tmp_path):
    opened.panel.choice.show = show
    path = opened.save(tmp_path / "figure.html", width=321, font_size=8)
    assert "plotly" in path.read_text(encoding="utf-8")
    assert re.fullmatch(r"[\w-]+", opened.panel.file_stem())
    opened.footer.theme.value = "dark"
    assert opened.errors.last is None
    assert opened.figure().layout.template.layout.paper_bgcolor == "#111111"
    live = opened.panel.map if show == "map" else opened.panel.chart
    assert live.layout.template.layout.paper_bgcolor == "#111111"


def test_the_state_comes_back(open_explorer, opened):
    panel = opened.panel
    panel.choice.target = int(panel.controls.gallery._indices[1])
    panel.choice.prove = False
    panel.choice.effort = "accurate"
    panel.choice.place = 0.25
    panel.choice.show = "strip"
    state = json.loads(json.dumps(opened.to_json()))
    other = open_explorer(state=state)
    assert other.errors.last is None
    assert other.panel.key == "paths"
    assert other.to_json() == state
    assert torch.equal(other.panel.result().anchors, panel.result().anchors)
    assert other.panel.controls.views.value == "strip"
    assert not other.panel.controls.prove.value
    assert other.panel.readout.reading == panel.readout.reading


@pytest.mark.parametrize(
    "wrong",
    [
        {"show": "everything"}, {"scenario": "x"}, {"target": -1}, {"target": 1.5}, {"seed": -1},
        {"effort": "none"}, {"prove": "yes"}, {"place": -1.0}, {"place": float("nan")},
        {"place": True},
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_as_a_whole(explorer, wrong):
    panel = explorer.panels["paths"]
    before = panel.choice.to_json()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        explorer.restore({"geoexplorer": 1, "panels": {"paths": {"effort": "accurate", **wrong}}})
    assert panel.choice.to_json() == before


def test_without_another_image_there_is_a_sentence(open_explorer):
    clf = gx.Classifier(Constant().eval(), input_shape=(1, 8, 8), device="cpu", name="constant")
    images = gx.load_images("digits")[:1]
    explorer = in_view(open_explorer, clf, gx.ImageSet(images.images, name="one"))
    assert "No other image was found that is called 0" in str(explorer.errors.last)
    with pytest.raises(ValueError, match="nothing yet"):
        explorer.code()
    explorer.panel.choice.scenario = "other class"
    assert "anything but 0" in str(explorer.errors.last)


def test_a_class_that_cannot_be_entered_is_a_sentence(open_explorer, monkeypatch):
    explorer = in_view(open_explorer)
    nowhere = lambda clf, x, *args, **options: torch.full_like(x, torch.nan)  # noqa: E731
    monkeypatch.setattr(region_paths, "enter_region", nowhere)
    explorer.panel.choice.scenario = "random point"
    assert "could not be perturbed into the region of" in str(explorer.errors.last)


def test_cancel_stops_it_and_the_app_goes_on():
    clf = gx.Classifier(Slow().eval(), input_shape=(1, 8, 8), device="cpu", chunk_size=8)
    explorer = Explorer(clf, gx.load_images("digits"))
    try:
        explorer._tab_bar.selected_index = 2
        assert explorer.wait(PATIENCE)
        assert explorer.errors.last is None
        before = explorer.panel.result()
        clf.module.pause = 0.05
        explorer.panel.choice.show = "map"
        deadline = time.monotonic() + PATIENCE
        while not explorer.worker.busy("view") and time.monotonic() < deadline:
            time.sleep(0.01)
        explorer.footer.cancel.click()
        assert explorer.wait(PATIENCE)
        assert "stopped" in explorer.footer.status.value
        assert explorer.panel.shown.path is before
        clf.module.pause = 0.0
        explorer.panel.choice.show = "strip"
        assert explorer.wait(PATIENCE)
        assert explorer.errors.last is None
        assert explorer.panel.result() is before
    finally:
        explorer.close()


def test_closing_leaves_no_widget(open_explorer):
    import ipywidgets

    before = set(ipywidgets.widgets.widget._instances)
    explorer = in_view(open_explorer)
    explorer.panel.choice.show = "map"
    explorer.close()
    assert set(ipywidgets.widgets.widget._instances) <= before
