"""The detection panel: what is scored, said, chosen, shown, remembered and made again."""

import html
import json
import math
import re
import time

import pytest
import torch

import geoexplorer as gx
from geoexplorer.geometry.detection_roc import DetectionROC
from geoexplorer.widgets import detections, following, parts
from geoexplorer.widgets.detection_controls import OVER_IMAGES, SHOWS
from geoexplorer.widgets.explorer import Explorer
from tests.widgets.test_code import run_script
from tests.widgets.test_curvature_panel import (
    PATIENCE,
    Constant,
    Slow,
    assert_alike,
    is_pale,
    seen_before,
    text_of,
)


@pytest.fixture
def opened(open_explorer):
    """An explorer of the digits, its detection panel in view."""
    return in_view(open_explorer)


def in_view(open_explorer, *args, **options):
    explorer = open_explorer(*args, **options)
    show(explorer)
    return explorer


def show(explorer):
    explorer._tab_bar.selected_index = list(explorer.panels).index("detection")
    assert explorer.panel.key == "detection"


def facts(panel):
    return text_of(panel.readout.facts)


def number(value):
    return f"{float(value):.3g}".replace("-", "−")


def test_what_is_not_known_to_be_asked_for_pales(opened, monkeypatch):
    from geoexplorer.widgets.panels import detection as module

    panel = opened.panel
    seen = seen_before(monkeypatch, module, "point_steps", lambda: is_pale(panel))
    opened.refresh()
    panel.choice.show = "roc"
    opened.selection.image = 3
    panel.choice.probes = 20
    assert seen == [True] * 4
    assert not is_pale(panel)


def test_it_scores_nothing_until_it_is_looked_at(explorer, monkeypatch):
    panel = explorer.panels["detection"]
    explorer.selection.image = 3
    assert panel.shown is None
    assert not panel.widget.children
    show(explorer)
    assert explorer.errors.last is None
    assert panel.shown.view.index == 3
    panel.choice.show = "roc"
    for name in ("detect_steps", "detect_along_steps", "detection_roc_steps"):
        monkeypatch.setattr(detections, name, None)  # remembered
    explorer.refresh()
    for view in SHOWS:
        panel.choice.show = view
        assert panel.shown.show == view
    panel.choice.rate = 0.1
    assert explorer.errors.last is None


def test_a_newcomer_sees_a_verdict_just_across_the_boundary(opened):
    panel = opened.panel
    assert opened.errors.last is None
    shown = panel.shown
    clf, images = shown.view.clf, opened.session.subject.images.images
    along = gx.detect_along(clf, shown.view.boundary)
    threshold = gx.detect(clf, images[:100]).threshold_at(0.05)
    # In float32 second differences keep about four digits.
    assert torch.allclose(panel.result().score, along.score, atol=1e-3)
    assert panel.result().threshold == pytest.approx(threshold, abs=1e-3)
    along, threshold = panel.shown.along, panel.result().threshold
    row = 21  # t = 1.05
    assert float(along.stops[row]) == pytest.approx(1.05)
    score, margin = float(along.score[row]), float(along.margin[row])
    verdict = "perturbed" if score > threshold else "natural"
    names, called = clf.class_names, int(along.labels[row])
    margin_threshold = panel.shown.thresholds.margin
    text = html.unescape(facts(panel))
    assert text.startswith(f"{verdict}, by its curvature called {names[called]}; x is called")
    assert f"score {number(score)} {number(margin)}" in text
    assert f"threshold > {number(threshold)} < {number(margin_threshold)} verdict" in text
    runner_up, own = int(along.runner_up[row]), along.own
    assert text.endswith(f"{names[runner_up]} {'✓' if runner_up == own else '✗'}")
    reading = panel.readout.reading
    assert reading["where"] == "x + 1.05 r"
    assert reading["image_caption"] == f"called {names[int(along.labels[row])]}"
    assert reading["difference_caption"].startswith(f"{1.05 * along.distance:.3g} from x")
    assert "not a defence" in text_of(panel.controls.first.children[1].value)


def test_both_thresholds_let_the_stated_share_of_natural_images_pass(opened):
    panel, controls = opened.panel, opened.panel.controls
    controls.images.value = 300
    for rate in (0.01, 0.1):
        controls.rate.value = rate
        thresholds, natural = panel.shown.thresholds, panel.shown.natural
        assert len(natural) == 300
        assert int((natural.score > thresholds.score).sum()) <= 300 * rate
        assert int((natural.score >= thresholds.score).sum()) >= 300 * rate
        assert int((natural.margin < thresholds.margin).sum()) <= 300 * rate
        assert int((natural.margin <= thresholds.margin).sum()) >= 300 * rate
        panel.choice.show = "roc"
        assert panel.result().threshold() == pytest.approx(thresholds.score, abs=1e-6)
        panel.choice.show = "score"


def test_the_slider_the_keys_and_a_click_go_along_the_way(opened):
    panel = opened.panel
    along = panel.shown.along
    panel.controls.place.value = 0.0
    assert panel.choice.place == 0.0
    assert panel.readout.reading["difference_caption"] == "no difference: x itself"
    assert panel.readout.reading["where"].endswith("the image x")
    assert "as x is" in facts(panel)
    assert "✓" not in facts(panel)
    for event, place in (
        ({"kind": "step", "by": 1}, 0.05),
        ({"kind": "step", "by": 10}, 0.55),
        ({"kind": "step", "by": -1}, 0.5),
        ({"kind": "step", "by": None, "end": 1}, 3.0),
        ({"kind": "step", "by": 1}, 3.0),
        ({"kind": "step", "by": None, "end": -1}, 0.0),
        ({"kind": "click", "x": 1.512, "y": 0.0, "reach": 0.1}, 1.5),
        ({"kind": "click", "x": -2.0, "y": 0.0, "reach": 0.1}, 0.0),
        ({"kind": "click", "x": 0.99, "y": 0.0, "reach": 0.1}, 1.0),
    ):
        panel._hear(event)
        assert panel.choice.place == pytest.approx(place)
        assert panel.controls.place.value == pytest.approx(place)
        row = round(place / 0.05)
        assert f"score {number(along.score[row])} {number(along.margin[row])}" in facts(panel)
    assert panel.readout.reading["where"].endswith("the boundary point")
    assert panel.shown.along is along
    assert opened.errors.last is None


def test_moving_the_slider_computes_nothing(opened, monkeypatch):
    clf = opened.panel.shown.view.clf
    monkeypatch.setattr(clf, "forward", None)
    for place in (0.3, 2.0, 0.95):
        opened.panel.controls.place.value = place
        assert opened.panel.readout.reading["where"].startswith(f"x + {place:.2f} r")
    assert opened.errors.last is None


def test_the_way_is_seen_coarse_then_fine_and_the_threshold_is_on_its_way(
    open_explorer, monkeypatch
):
    monkeypatch.setattr(parts, "DRAWING_SECONDS", 0.0)
    explorer = open_explorer()
    panel = explorer.panels["detection"]
    seen, draw = [], panel._draw

    def watched():
        draw()
        panel._read()
        seen.append((panel.result(), facts(panel)))

    monkeypatch.setattr(panel, "_draw", watched)
    show(explorer)
    assert explorer.errors.last is None
    counts = [len(result.stops) for result, _ in seen]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (11, 61)
    first = seen[0][0]
    assert first.stops.tolist() == pytest.approx([0.3 * n for n in range(11)])
    waiting = [text for result, text in seen if math.isnan(result.threshold)]
    assert any("threshold on its way 0 of 100 images" in text for text in waiting)
    assert any(re.search(r"threshold on its way [1-9]\d* of 100 images", text) for text in waiting)
    assert math.isfinite(seen[-1][0].threshold)


def test_the_roc_grows_image_by_image(opened, monkeypatch):
    panel, seen = opened.panel, []
    monkeypatch.setattr(parts, "DRAWING_SECONDS", 0.0)
    draw = panel._draw
    monkeypatch.setattr(panel, "_draw", lambda: (seen.append(panel.result()), draw()))
    panel.choice.images = 100
    panel.choice.point = "DeepFool's"
    panel.choice.show = "roc"
    assert opened.errors.last is None
    counts = [len(result.own) for result in seen if isinstance(result, DetectionROC)]
    clf, images = panel.shown.view.clf, opened.session.subject.images.images
    points = gx.nearest_boundary(clf, images[:100], effort="deepfool")
    expected = gx.detection_roc(clf, points, natural=gx.detect(clf, images[:100]))
    assert counts[0] < counts[-1] == len(expected.own)
    result = panel.result()
    assert result.perturbation == "deepfool"
    assert torch.allclose(result.natural, expected.natural, atol=1e-3)
    assert torch.allclose(result.perturbed, expected.perturbed, atol=1e-3)
    assert result.cost == expected.cost  # natural images are scored once
    area = float(result.auc()[0])
    assert f"α = 1.02 {area:.2f} {float(result.auc('margin')[0]):.2f}" in facts(panel)


def test_what_was_interrupted_goes_on_where_it_was(opened, monkeypatch):
    panel = opened.panel
    measure, parts = detections.detect_steps, []

    def interrupted(clf, images, *args, **options):
        parts.append(len(images))
        if len(parts) == 3:
            raise ValueError("enough")
        return measure(clf, images, *args, **options)

    monkeypatch.setattr(detections, "detect_steps", interrupted)
    panel.choice.images = 300
    assert "enough" in str(opened.errors.last)
    assert panel.shown.thresholds is None
    scored = sum(parts[:2])
    opened.refresh()
    assert opened.errors.last is None
    assert sum(parts) - parts[2] == 300
    assert scored > 0
    assert panel.result().threshold == pytest.approx(
        gx.detect(panel.shown.view.clf, opened.session.subject.images.images[:300]).threshold_at(),
        abs=1e-6,
    )


def test_choices_are_what_they_say(opened):
    panel, controls = opened.panel, opened.panel.controls
    default = panel.result().step
    assert controls.classes.options == (
        ("all 9", "all"), ("3 highest", "3 highest"), ("runner-up", "runner-up"),
    )  # fmt: skip
    controls.probes.value = 20
    assert panel.result().probes == 20
    controls.factor.value = 2.0
    assert panel.result().step == pytest.approx(2 * default, rel=1e-3)
    assert f"h = {2 * default:.3g}" in controls.step.value
    controls.default.click()
    assert panel.choice.factor is None
    assert panel.result().step == pytest.approx(default)
    controls.classes.value = "3 highest"
    assert int(panel.result().terms[0].isfinite().sum()) == 3
    controls.classes.value = "runner-up"
    assert torch.equal(panel.result().recovered, panel.result().runner_up)
    nearest = panel.result().distance
    controls.point.value = "DeepFool's"
    assert panel.result().distance > nearest
    assert opened.errors.last is None


def test_many_classes_are_the_ten_highest(open_explorer):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 30), torch.nn.Softplus())
    clf = gx.Classifier(module.eval(), input_shape=(1, 8, 8), device="cpu", name="many")
    images = gx.load_images("digits")[:30]
    explorer = in_view(open_explorer, clf, gx.ImageSet(images.images, name="some"))
    assert explorer.errors.last is None
    controls = explorer.panel.controls
    assert controls.classes.value == "10 highest"
    assert controls.classes.label == "10 highest"
    assert int(explorer.panel.result().terms[0].isfinite().sum()) == 10
    assert explorer.panel.shown.images == 30
    controls.classes.value = "all"
    assert int(explorer.panel.result().terms[0].isfinite().sum()) == 29


def exact():
    """A network in float64, which keeps all digits of second differences, and images."""
    clf = gx.Classifier(
        gx.load_classifier("digits-cnn-smooth", device="cpu").module,
        input_shape=(1, 8, 8), device="cpu", dtype=torch.float64, name="exact",
    )  # fmt: skip
    images = gx.load_images("digits")[:60]
    return clf, gx.ImageSet(images.images, images.labels, images.class_names, name="my digits")


@pytest.mark.parametrize("view", SHOWS)
def test_the_script_draws_the_same_figure(open_explorer, view):
    clf, images = exact()
    explorer = in_view(open_explorer, clf, images)
    panel = explorer.panel
    panel.choice.images = 30
    panel.choice.probes = 20
    panel.choice.factor = 0.5
    panel.choice.classes = "3 highest"
    panel.choice.point = "DeepFool's"
    panel.choice.rate = 0.1
    panel.choice.place = 1.5
    panel.choice.show = view
    assert explorer.errors.last is None
    scope = {"clf": clf, "images": images}
    exec(explorer.code().replace("figure.show()", ""), scope)
    ours, theirs = (json.loads(f.to_json()) for f in (explorer.figure(), scope["figure"]))
    assert_alike(ours, theirs)
    made = scope["roc" if view in OVER_IMAGES else "along"]
    shown = panel.result()
    for name in ("natural", "perturbed") if view in OVER_IMAGES else ("score", "terms", "margin"):
        same = torch.allclose(getattr(made, name), getattr(shown, name), atol=1e-9, equal_nan=True)
        assert same, name
    if view not in OVER_IMAGES:
        assert made.threshold == pytest.approx(shown.threshold, abs=1e-9)


def test_the_script_runs_in_a_python_of_its_own(opened, tmp_path):
    code = opened.code() + "\nclass section: labels = gx.load_images('digits').images[0]\n"
    theirs, ours = json.loads(run_script(code, tmp_path)), json.loads(opened.figure().to_json())
    assert len(theirs["data"]) == len(ours["data"])
    assert theirs["layout"].keys() == ours["layout"].keys()


@pytest.mark.parametrize("view", SHOWS)
def test_every_view_is_drawn_and_saved_in_both_themes(opened, view, tmp_path):
    opened.panel.choice.images = 30
    opened.panel.choice.show = view
    path = opened.save(tmp_path / "figure.html", width=420, font_size=8)
    assert "plotly" in path.read_text(encoding="utf-8")
    assert re.fullmatch(r"[\w-]+", opened.panel.file_stem())
    opened.footer.theme.value = "dark"
    assert opened.errors.last is None
    assert opened.panel.chart.layout.template.layout.paper_bgcolor == "#111111"
    assert opened.figure().layout.template.layout.paper_bgcolor == "#111111"


def test_the_state_comes_back(open_explorer, opened):
    choice = opened.panel.choice
    choice.show, choice.place, choice.point, choice.probes = "terms", 1.5, "DeepFool's", 20
    choice.factor, choice.classes, choice.images, choice.rate = 2.0, "3 highest", 30, 0.1
    state = json.loads(json.dumps(opened.to_json()))
    other = open_explorer(state=state)
    assert other.errors.last is None
    assert other.panel.key == "detection"
    assert other.to_json() == state
    assert torch.equal(other.panel.result().score, opened.panel.result().score)
    controls = other.panel.controls
    assert (controls.views.value, controls.place.value, controls.rate.value) == ("terms", 1.5, 0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"place": 3.1}, {"place": -0.1}, {"place": float("nan")}, {"place": True},
        {"place": "x"}, {"show": "everything"}, {"point": "x"}, {"probes": 51}, {"factor": 0},
        {"classes": "some"}, {"images": 11}, {"rate": 0.5},
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_as_a_whole(explorer, wrong):
    panel = explorer.panels["detection"]
    before = panel.choice.to_json()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        explorer.restore({"geoexplorer": 1, "panels": {"detection": {"place": 2.0, **wrong}}})
    assert panel.choice.to_json() == before


def test_without_a_boundary_there_is_a_sentence(open_explorer):
    clf = gx.Classifier(Constant().eval(), input_shape=(1, 8, 8), device="cpu", name="constant")
    images = gx.load_images("digits")[:12]
    explorer = in_view(open_explorer, clf, gx.ImageSet(images.images, name="some"))
    assert "No boundary was reached from this image" in str(explorer.errors.last)
    with pytest.raises(ValueError, match="nothing yet"):
        explorer.code()


def test_images_added_by_hand_are_no_natural_ones(opened):
    panel = opened.panel
    threshold = panel.result().threshold
    added = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    opened.selection.image = opened.session.add_image("mine", added)
    assert opened.errors.last is None
    assert torch.equal(panel.shown.view.x, added)
    assert panel.result().threshold == threshold


def test_what_takes_long_says_so_before_it_starts(opened, monkeypatch):
    said = []
    monkeypatch.setattr(opened.session, "report", lambda progress, text: said.append(text))
    monkeypatch.setattr(following, "LONG_SECONDS", 0.0)
    opened.panel.choice.images = 30
    assert said[0].startswith("threshold from 30 natural images: this may take about")
    said.clear()
    opened.panel.choice.show = "roc"
    assert said[0].startswith("ROC over 30 images: this may take about")


def test_cancel_stops_it_and_the_app_goes_on():
    clf = gx.Classifier(Slow().eval(), input_shape=(1, 8, 8), device="cpu", chunk_size=8)
    explorer = Explorer(clf, gx.load_images("digits"))
    try:
        show(explorer)
        assert explorer.wait(PATIENCE)
        assert explorer.errors.last is None
        before = explorer.panel.result()
        clf.module.pause = 0.05
        explorer.panel.choice.probes = 200
        deadline = time.monotonic() + PATIENCE
        while "boundary" not in explorer.footer.status.value and time.monotonic() < deadline:
            time.sleep(0.01)
        explorer.panel.choice.place = 2.0  # while it computes
        while "2.00" not in explorer.panel.readout.reading["where"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        explorer.footer.cancel.click()
        assert explorer.wait(PATIENCE)
        assert "stopped" in explorer.footer.status.value
        assert torch.equal(explorer.panel.result().score, before.score)
        clf.module.pause = 0.0
        explorer.panel.choice.probes = 20
        assert explorer.wait(PATIENCE)
        assert explorer.panel.result().probes == 20
        assert explorer.errors.last is None
    finally:
        explorer.close()


def test_closing_leaves_no_widget(open_explorer):
    import ipywidgets

    before = set(ipywidgets.widgets.widget._instances)
    explorer = in_view(open_explorer)
    explorer.panel.choice.images = 30
    explorer.panel.choice.show = "roc"
    explorer.close()
    assert set(ipywidgets.widgets.widget._instances) <= before
