"""The curvature panel: what is measured, chosen, shown, taken elsewhere, and made again."""

import json
import math
import re
import time

import numpy as np
import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.figures.curvature_words import value_words
from geoexplorer.widgets import curvatures, following
from geoexplorer.widgets.curvature_controls import SHOWS
from geoexplorer.widgets.explorer import Explorer
from geoexplorer.widgets.ranks import rank_of
from tests.widgets.test_code import run_script

PATIENCE = 120


class Slow(nn.Module):
    """A smooth network that takes its time, image by image."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
        self.pause = 0.0

    def forward(self, images):
        time.sleep(self.pause)
        return self.layers(images)


class Constant(nn.Module):
    """A network without a boundary."""

    def forward(self, images):
        return torch.stack([0 * images.sum((1, 2, 3)) + 3, 0 * images.sum((1, 2, 3))], dim=1)


@pytest.fixture
def curvature(open_explorer):
    """An explorer of the smooth network, its curvature panel in view."""
    return opened(open_explorer)


def opened(open_explorer, **options):
    options.setdefault("network", "digits-cnn-smooth")
    explorer = open_explorer(**options)
    explorer._tab_bar.selected_index = 1
    assert explorer.errors.last is None
    assert explorer.panel.key == "curvature"
    return explorer


def seen_before(monkeypatch, module, steps, look):
    """List that fills with what is seen whenever a generator of a module begins."""
    seen, real = [], getattr(module, steps)

    def looked_at(*args, **options):
        seen.append(look())
        return (yield from real(*args, **options))

    monkeypatch.setattr(module, steps, looked_at)
    return seen


def is_pale(panel):
    return "gx-outdated" in panel.widget._dom_classes


def test_what_is_not_known_to_be_asked_for_pales(curvature, monkeypatch):
    from geoexplorer.widgets.panels import curvature as module

    explorer, panel = curvature, curvature.panel
    seen = seen_before(monkeypatch, module, "point_steps", lambda: is_pale(panel))
    panel.choice.rank = -1
    explorer.refresh()
    panel.choice.show = "step"
    explorer.selection.image = 3
    explorer.selection.network = "digits-cnn"
    panel.choice.point = "DeepFool's"
    assert seen == [True] * 5
    assert not is_pale(panel)


def text_of(html):
    """What a person reads, without the help behind the question marks."""
    html = re.sub(r'<span class="gx-help-text".*?</span></span>', "", html)
    return " ".join(re.sub(r"<[^>]*>", " ", html).replace("?", " ").split())


def test_it_measures_nothing_until_it_is_looked_at(explorer, monkeypatch):
    panel = explorer.panels["curvature"]
    panel.choice.method = "smoothed"
    explorer.selection.image = 3
    assert panel.shown is None
    assert not panel.widget.children
    explorer._tab_bar.selected_index = 1
    assert panel.shown.view.index == 3
    monkeypatch.setattr(curvatures, "principal_curvatures_steps", None)  # remembered
    explorer._tab_bar.selected_index = 0
    explorer._tab_bar.selected_index = 1
    explorer.refresh()
    assert explorer.errors.last is None


def test_it_opens_with_the_most_negative_curvature_of_all(curvature):
    panel = curvature.panel
    shown = panel.shown
    expected = gx.principal_curvatures(shown.view.clf, shown.view.boundary)
    assert torch.allclose(shown.curvatures.values, expected.values, atol=1e-5)
    assert shown.curvatures.method == "autograd"
    assert text_of(panel.readout.head.value) == "most negative (63 of 63)"
    facts = text_of(panel.readout.facts.value)
    value = float(expected.values[0, -1])
    assert value < 0
    assert f"κ = {value:.3g}".replace("-", "−") in facts
    own, other = (shown.view.clf.class_names[int(n)] for n in (expected.own, expected.other))
    assert f"negative: region {own} (own) bulges into {other}’s" in facts
    assert "autograd , no step" in facts
    limit = -1 / float(expected.distances)
    assert f"limit −1/‖r‖ = {limit:.3g}".replace("-", "−") in facts
    assert panel.readout.pictures.value.count("data:image/png") == 2
    assert "principal direction −1, ±" in panel.readout.pictures.value


def test_a_click_and_the_keys_choose_a_value(curvature):
    panel = curvature.panel
    panel._hear({"kind": "click", "x": 2.2, "y": 0.0, "reach": 0.1})
    assert panel.choice.rank == 2
    assert "most positive, number 2" in text_of(panel.readout.head.value)
    assert "positive: region" in text_of(panel.readout.facts.value)
    drawn = panel.chart.data[[trace.name for trace in panel.chart.data].index("selected")]
    assert drawn.x[0] == pytest.approx(2)
    assert drawn.y[0] == pytest.approx(float(panel.shown.curvatures.values[0, 1]))
    for by, rank in ((-1, 1), (-1, 1), (10, 11), (1, 12)):
        panel._hear({"kind": "step", "by": by})
        assert panel.choice.rank == rank
    panel._hear({"kind": "step", "by": None, "end": 1})
    assert panel.choice.rank == -1
    panel._hear({"kind": "step", "by": -10})
    assert panel.choice.rank == -11
    panel._hear({"kind": "step", "by": None, "end": -1})
    assert panel.choice.rank == 1
    assert curvature.errors.last is None


def test_two_clicks_from_a_value_to_the_boundary_along_it(curvature):
    panel = curvature.panel
    panel._hear({"kind": "click", "x": 1, "y": 0.0, "reach": 0.1})
    panel.along.click()
    assert curvature.errors.last is None
    sections = panel.result()
    assert sections.names == ("principal direction 1", "random tangent")
    along = sections.sections[0].plane.v
    assert abs(float((along * panel.shown.curvatures.directions[0, 0]).sum())) > 0.999
    assert sections.curvatures[0] == pytest.approx(float(panel.shown.curvatures.values[0, 0]), 1e-3)
    assert panel._pair_box.layout.display == ""
    assert panel._chart_box.layout.display == "none"
    assert len(panel.pair.layout.images) == 2
    assert panel.controls.views.value == "boundary"
    panel._hear({"kind": "step", "by": 1})  # another one is mapped
    assert panel.result().names[0] == "principal direction 2"


def test_a_direction_becomes_an_axis_of_the_cross_section(curvature):
    panel = curvature.panel
    panel.choice.method = "smoothed"
    panel.choice.factor = 0.5
    panel._hear({"kind": "step", "by": -2})
    wanted = panel.shown.curvatures.direction(-3)
    panel.use.click()
    assert curvature.errors.last is None
    section = curvature.panels["cross-section"]
    assert curvature.panel is section
    assert section.choice.across.kind == "normal"
    assert section.choice.up.parameters["rank"] == -3
    plane = section.result().plane
    assert plane.v_name == wanted.name
    assert float((plane.v * wanted.vector).sum()) > 0.999
    assert "smoothed, h =" in section.up.scale.value
    section.up.controls["rank"].value = 2  # keeps method and step
    assert curvature.errors.last is None
    assert section.choice.up.parameters == {
        **section.choice.up.parameters, "rank": 2, "method": "smoothed",
    }  # fmt: skip
    assert section.result().plane.v_name.startswith("principal direction 2 (")


def test_an_axis_can_be_any_rank_and_nothing_else(explorer):
    section = explorer.panels["cross-section"]
    section.choice.across = "normal"
    section.up.kind.value = "principal direction"
    assert explorer.errors.last is None
    assert section.up.controls["rank"].label == "most negative 1"
    section.choice.up = {"kind": "principal direction", "rank": 30}
    assert section.up.controls["rank"].label == "most positive 30"
    for wrong in ({"rank": 0}, {"rank": True}, {"method": "magic"}, {"step": -1.0}, {"step": "h"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            section.choice.up = {"kind": "principal direction", **wrong}
    section.choice.up = {"kind": "principal direction", "rank": 64}
    assert "rank must be between -63 and 63, got 64" in str(explorer.errors.last)


def test_methods_and_steps_are_what_they_say(open_explorer):
    explorer = opened(open_explorer, network="digits-cnn")
    panel, controls = explorer.panel, explorer.panel.controls
    assert controls.method.label == "auto: smoothed"
    assert "halves of the probes agree" in text_of(panel.readout.facts.value)
    assert not controls.factor.disabled
    assert "h = 0.156" in controls.step.value
    controls.method.value = "central_difference"
    assert panel.result().method == "central_difference"
    assert "no eigenvalues in the strict sense" in text_of(panel.readout.facts.value)
    controls.factor.value = 2.0
    assert panel.result().step == pytest.approx(0.3125)
    assert "h = 0.312" in controls.step.value
    controls.default.click()
    assert panel.choice.factor is None
    assert panel.result().step == pytest.approx(0.15625)
    controls.method.value = "autograd"
    assert "smoothed" in str(explorer.errors.last)
    assert "kinks" in explorer.errors.value
    controls.method.value = "auto"
    assert explorer.errors.last is None
    explorer.selection.network = "digits-cnn-smooth"
    assert controls.method.label == "auto: autograd"
    assert controls.factor.disabled
    assert "exact, no step" in controls.step.value
    controls.method.value = "central_difference"
    assert panel.result().step == pytest.approx(0.015625)
    assert "h = 0.0156" in controls.step.value
    assert "strict sense" not in text_of(panel.readout.facts.value)


def test_the_step_said_is_the_one_that_is_taken(curvature):
    panel, controls = curvature.panel, curvature.panel.controls
    for method in ("smoothed", "central_difference"):
        controls.method.value = method
        controls.default.click()
        assert panel.result().step == pytest.approx(0.015625)
        assert "h = 0.0156" in controls.step.value


def test_a_slider_that_snaps_makes_no_choice(curvature):
    panel, controls = curvature.panel, curvature.panel.controls
    for method in ("central_difference", "smoothed"):
        controls.method.value = method
        placed = controls.factor.value
        # What the page writes back when its handle has snapped to a place: that of a quarter.
        controls.factor.set_state({"value": 2.0 ** (round(4 * math.log2(placed)) / 4)})
        assert panel.choice.factor is None
        assert controls.default.disabled
        assert panel.result().step == pytest.approx(0.015625)
    controls.factor.set_state({"value": 2.0**-2.75})  # a person moves it
    assert panel.choice.factor == pytest.approx(2.0**-2.75)


def test_a_smoothed_value_has_its_error_beside_it(open_explorer):
    explorer = opened(open_explorer, network="digits-cnn")
    panel = explorer.panel
    facts = text_of(panel.readout.facts.value)
    assert re.search(r"κ = −\d+\.\d+ ± 0\.\d+ , radius", facts)
    assert "of the most negative" in facts
    said = [label for trace in panel.chart.data for label in np.atleast_1d(trace.text or "")]
    assert any("±" in str(label) for label in said)
    panel.choice.factor = 2.0**-5.5
    errors = panel.result().standard_errors[0]
    unclear = panel.result().values[0].abs() < 2 * errors
    column = int(unclear.nonzero()[0])
    panel.choice.rank = rank_of(column, panel.result().values.shape[1])
    facts = text_of(panel.readout.facts.value)
    assert "not distinguishable from zero" in facts
    assert "radius" not in facts
    assert "bulges" not in facts
    panel.choice.show = "boundary"
    assert min(panel.result().standard_errors) > 0
    (value, _), (error, _) = panel.result().curvatures, panel.result().standard_errors
    again = f"κ = {value_words(value, error)} in the figure"
    assert again in text_of(panel.readout.facts.value)
    with explorer.panel.choice.hold_trait_notifications():  # those of another direction are old
        panel.choice.rank = 1
        panel._read()
        assert "in the figure" not in text_of(panel.readout.facts.value)
    assert explorer.errors.last is None


def test_kappa_against_h_says_where_the_direction_was_found(open_explorer):
    explorer = opened(open_explorer, network="digits-cnn")
    panel = explorer.panel
    panel.choice.factor = 0.5
    panel.choice.show = "step"
    assert "found_at=0.07812" in explorer.code()
    said = " ".join(str(text) for trace in panel.chart.data for text in np.atleast_1d(trace.text))
    assert "default h = 0.156" in said
    assert "found at h = 0.0781" in said


def test_extreme_values_are_the_ends_of_all(curvature):
    panel = curvature.panel
    everything = panel.result().values
    panel.controls.spectrum.value = "extreme"
    extremes = panel.result().values
    assert extremes.shape == (1, 20)
    ends = torch.cat([everything[:, :10], everything[:, -10:]], dim=1)
    assert torch.allclose(extremes, ends, atol=1e-3)
    assert text_of(panel.readout.head.value) == "most negative (63 of 63)"
    panel.choice.rank = 40  # there is none: the nearest is shown
    assert text_of(panel.readout.head.value) == "most negative (63 of 63)"


def test_deepfools_point_is_another_one(curvature):
    panel = curvature.panel
    nearest = panel.shown.points
    panel.controls.point.value = "DeepFool's"
    assert curvature.errors.last is None
    found = panel.shown.points
    assert float(found.distances) > float(nearest.distances)
    assert torch.equal(panel.result().distances, found.distances)
    assert "of nearest points" in text_of(panel.readout.facts.value)
    assert panel.use.disabled
    panel.along.click()
    assert torch.equal(panel.result().sections[0].plane.origin, found.points[0])
    panel.choice.point = "nearest"
    assert not panel.use.disabled


def test_the_average_grows_image_by_image(open_explorer, monkeypatch):
    explorer = opened(open_explorer)
    panel, seen = explorer.panel, []
    draw = panel._draw
    monkeypatch.setattr(curvatures, "DRAWING_SECONDS", 0.0)
    monkeypatch.setattr(panel, "_draw", lambda: (seen.append(panel.result()), draw()))
    panel.choice.images = 10
    panel.choice.show = "average"
    assert explorer.errors.last is None
    known = [int(result.values.isfinite().any(1).sum()) for result in seen]
    assert known == sorted(known)
    assert known[0] < known[-1] == 10
    clf, images = panel.shown.view.clf, explorer.session.subject.images.images
    expected = gx.principal_curvatures(clf, gx.nearest_boundary(clf, images[:10]))
    assert torch.allclose(panel.result().values, expected.values, atol=1e-5)
    assert panel.result().cost.gradients == pytest.approx(expected.cost.gradients, rel=0.2)
    names = {trace.name for trace in panel.chart.data if trace.showlegend}
    assert names == {"first 10 images", "this image"}
    assert panel.controls.fields["images"].layout.display == ""


def test_curvature_against_the_step(curvature):
    panel = curvature.panel
    panel.choice.show = "step"
    assert curvature.errors.last is None
    result = panel.result()
    assert result.method == "central_difference"
    assert result.direction_names == ("principal direction −1", "random tangent")
    assert panel.chart.layout.xaxis.type == "log"
    assert panel._chart_box.layout.display == ""


@pytest.mark.parametrize("show", SHOWS)
def test_the_script_draws_the_same_figure(curvature, show):
    panel = curvature.panel
    panel.choice.images = 10
    panel.choice.show = show
    panel.choice.rank = 2
    panel.choice.method = "central_difference"
    panel.choice.factor = 0.5
    panel.choice.point = "DeepFool's"
    assert curvature.errors.last is None
    scope = {}
    exec(curvature.code().replace("figure.show()", ""), scope)
    ours, theirs = (json.loads(f.to_json()) for f in (curvature.figure(), scope["figure"]))
    assert_alike(ours, theirs)


def assert_alike(ours, theirs):
    """Equal, but for the last digits of numbers."""
    if isinstance(ours, dict) and set(ours) == {"dtype", "bdata"}:
        assert ours["dtype"] == theirs["dtype"]
        assert len(ours["bdata"]) == len(theirs["bdata"])
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert_alike(value, theirs[key])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            assert_alike(mine, other)
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    else:
        assert ours == theirs


def test_the_script_runs_in_a_python_of_its_own(curvature, tmp_path):
    code = curvature.code() + "\nclass section: labels = gx.load_images('digits').images[0]\n"
    assert run_script(code, tmp_path) == curvature.figure().to_json()


@pytest.mark.parametrize("show", SHOWS)
def test_every_view_is_saved(curvature, show, tmp_path):
    curvature.panel.choice.images = 10
    curvature.panel.choice.show = show
    path = curvature.save(tmp_path / "figure.html", width=420, font_size=8)
    assert "plotly" in path.read_text(encoding="utf-8")
    assert re.fullmatch(r"[\w-]+", curvature.panel.file_stem())
    curvature.footer.theme.value = "dark"
    assert curvature.errors.last is None
    assert curvature.figure().layout.template.layout.paper_bgcolor == "#111111"


def test_the_state_comes_back(open_explorer, curvature):
    panel = curvature.panel
    panel.choice.method = "smoothed"
    panel.choice.factor = 2.0
    panel.choice.rank = 3
    panel.choice.images = 10
    panel.choice.spectrum = "extreme"
    panel.choice.show = "step"
    state = json.loads(json.dumps(curvature.to_json()))
    other = open_explorer(state=state)
    assert other.errors.last is None
    assert other.panel.key == "curvature"
    assert other.to_json() == state
    assert torch.equal(other.panel.result().values, panel.result().values)
    assert other.panel.controls.views.value == "step"
    assert other.panel.controls.method.value == "smoothed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"factor": 0.0}, {"factor": float("nan")}, {"factor": True}, {"factor": 5}, {"rank": 0},
        {"rank": 1.5}, {"show": "everything"}, {"images": 11}, {"method": "secant"},
        {"point": "x"}, {"spectrum": 3},
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_as_a_whole(explorer, wrong):
    panel = explorer.panels["curvature"]
    before = panel.choice.to_json()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        explorer.restore({"geoexplorer": 1, "panels": {"curvature": {"rank": 2, **wrong}}})
    assert panel.choice.to_json() == before


def test_without_a_boundary_there_is_a_sentence(open_explorer):
    clf = gx.Classifier(Constant().eval(), input_shape=(1, 8, 8), device="cpu", name="constant")
    images = gx.load_images("digits")[:12]
    explorer = open_explorer(clf, gx.ImageSet(images.images, name="some"))
    explorer._tab_bar.selected_index = 1
    assert "No boundary was reached from this image" in str(explorer.errors.last)
    with pytest.raises(ValueError, match="nothing yet"):
        explorer.code()


def test_what_takes_long_says_so_before_it_starts(open_explorer, monkeypatch):
    explorer = opened(open_explorer)
    said = []
    monkeypatch.setattr(explorer.session, "report", lambda progress, text: said.append(text))
    monkeypatch.setattr(following, "LONG_SECONDS", 0.0)
    explorer.panel.choice.images = 10
    explorer.panel.choice.show = "average"
    (announcement,) = (text for text in said if "may take" in text)
    assert said.index(announcement) == 0
    assert announcement.startswith("curvatures of 10 images: this may take about")


def test_cancel_stops_it_and_the_app_goes_on():
    clf = gx.Classifier(Slow().eval(), input_shape=(1, 8, 8), device="cpu", chunk_size=8)
    explorer = Explorer(clf, gx.load_images("digits"))
    try:
        explorer._tab_bar.selected_index = 1
        assert explorer.wait(PATIENCE)
        assert explorer.errors.last is None
        before = explorer.panel.result()
        clf.module.pause = 0.05
        explorer.panel.choice.method = "smoothed"
        deadline = time.monotonic() + PATIENCE
        while "curvatures" not in explorer.footer.status.value and time.monotonic() < deadline:
            time.sleep(0.01)
        explorer.footer.cancel.click()
        assert explorer.wait(PATIENCE)
        assert "stopped" in explorer.footer.status.value
        assert explorer.panel.result() is before
        assert is_pale(explorer.panel)
        assert explorer.panel.use.disabled
        clf.module.pause = 0.0
        explorer.panel.choice.method = "central_difference"
        assert explorer.wait(PATIENCE)
        assert explorer.panel.result().method == "central_difference"
        assert not is_pale(explorer.panel)
        clf.module.pause = 0.05
        explorer.selection.image = 7
        while not is_pale(explorer.panel) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert explorer.session.subject is not None
        assert explorer.worker.busy("view")  # it pales while the boundary is looked for
        explorer.footer.cancel.click()
        assert explorer.wait(PATIENCE)
        assert is_pale(explorer.panel)
        assert explorer.errors.last is None
    finally:
        explorer.close()


def test_closing_leaves_no_widget(open_explorer):
    import ipywidgets

    before = set(ipywidgets.widgets.widget._instances)
    explorer = opened(open_explorer)
    explorer.panel.choice.show = "boundary"
    explorer.close()
    assert set(ipywidgets.widgets.widget._instances) <= before
