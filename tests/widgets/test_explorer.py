"""The Explorer in the kernel: what is chosen is computed, shown, saved, and freed."""

import gc
import html
import importlib.util
import json
import random
import re
import threading
import time
import weakref
from functools import partial

import ipywidgets
import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.jobs import Progress, Words
from geoexplorer.widgets import explore
from geoexplorer.widgets.axes import KINDS
from geoexplorer.widgets.explorer import Explorer
from geoexplorer.widgets.help import TERMS
from geoexplorer.widgets.worker import Outcome

PATIENCE = 120


class Slow(nn.Module):
    """A linear network that takes its time, image by image."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.pause = 0.0

    def forward(self, images):
        time.sleep(self.pause * len(images))
        return self.linear(images.flatten(1))


@pytest.fixture(scope="module")
def digits():
    return gx.load_images("digits")


def panel_of(explorer):
    return explorer.panels["cross-section"]


def test_it_opens_with_something_to_see(explorer):
    panel = panel_of(explorer)
    section = panel.result()
    assert section.progress.complete
    assert section.own is not None
    assert {"x", "z"} <= set(section.plane.marks)
    # x is in its own region, z across the boundary, and both are in the window.
    left, right, bottom, top = panel.shown.extent
    for x, y in (section.plane.marks["x"], section.plane.marks["z"]):
        assert left < x < right
        assert bottom < y < top
    assert len(section.labels.unique()) > 1
    assert panel.plot.layout.images[0].source.startswith("data:image/png")
    assert panel.readout.reading["image"].startswith("data:image/png")
    assert "nearest boundary" in panel.readout.facts
    assert explorer.header.gallery.sheet.startswith(b"\x89PNG")


def test_both_x_and_z_are_right(explorer):
    view = panel_of(explorer).shown.view
    names = view.clf.class_names
    assert int(view.clf.labels(view.x[None])) == int(view.boundary.own[0])
    facts = panel_of(explorer).readout.facts
    own, other = (names[int(each[0])] for each in (view.boundary.own, view.boundary.other))
    assert re.search(rf"predicted <.*</span> {own}, labelled {view.label}</div>", facts)
    assert f"</span> {other}</div>" in facts
    assert f"</span> {float(view.boundary.distances[0]):.3g}</div>" in facts


def test_a_silent_step_shows_how_many_passes_it_has_made(open_explorer, monkeypatch):
    monkeypatch.setattr("geoexplorer.widgets.footer.Words", partial(Words, silence=0.0))
    explorer = open_explorer()
    said = []
    explorer.footer.status.observe(lambda change: said.append(change["new"]), "value")
    explorer.header.gallery._receive(None, {"kind": "choose", "index": 11}, [])
    passes = [re.search(r"progress> (.+) \(\+([\d,]+) network passes?\)", text) for text in said]
    assert any(found and int(found[2].replace(",", "")) > 0 for found in passes)
    assert said[-1].startswith("<span>done, final after")


def test_what_is_read_out_is_how_work_ended_and_long_waits(explorer, monkeypatch):
    footer, clock = explorer.footer, [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    assert footer.spoken.text.startswith("done, final after")
    footer.begin("Computing the view")
    assert footer.spoken.text == ""
    footer.progress(Progress(0.1), "at 10 %")
    assert footer.spoken.text == ""
    clock[0] += 3.0
    for percent in range(20, 60):
        footer.progress(Progress(percent / 100), f"at {percent} %")
    assert footer.spoken.text == "at 20 %"
    clock[0] += 30.0
    footer.progress(Progress(0.7), "at 70 %")
    assert footer.spoken.text == "at 70 %"
    footer.end(Outcome.STOPPED, None)
    assert footer.spoken.text.startswith("stopped")


def test_choosing_another_image_ends_in_another_map(explorer):
    before = panel_of(explorer).result()
    explorer.header.gallery._receive(None, {"kind": "choose", "index": 11}, [])
    after = panel_of(explorer).result()
    assert after is not before
    assert torch.equal(after.plane.origin, explorer.session.subject.images.images[11])
    assert explorer.header.gallery.selected == 11


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "saved direction"])
@pytest.mark.parametrize("axis", ["across", "up"])
def test_every_axis_gives_a_map(explorer, axis, kind):
    panel = panel_of(explorer)
    before = panel.result()
    other = {"across": "up", "up": "across"}[axis]
    setattr(panel.choice, other, {"kind": "DCT frequency", "row": 2, "column": 3})
    setattr(panel.choice, axis, kind)
    assert explorer.errors.last is None
    section = panel.result()
    assert section is not before
    name = section.plane.u_name if axis == "across" else section.plane.v_name
    assert name.split()[0].lower() == kind.split()[0].lower()
    assert "x" in section.plane.marks


def test_a_direction_that_was_kept_is_an_axis(explorer):
    panel = panel_of(explorer)
    panel.choice.pin = (0.2, 0.3)
    panel.keep.click()
    assert "direction 1" in explorer.session.directions
    panel.up.kind.value = "saved direction"
    assert explorer.errors.last is None
    plane = panel.result().plane
    assert plane.v_name == "direction 1"
    assert plane.distances(explorer.session.directions["direction 1"] + plane.origin) < 1e-5


def test_a_class_to_go_toward_is_chosen(explorer):
    panel = panel_of(explorer)
    panel.across.kind.value = "toward a class"
    assert panel.across.controls["other"].value == ""  # the runner-up
    assert panel.across.controls["other"].label == "runner-up"
    own = panel.result().own
    wanted = next(name for name in reversed(panel.result().class_names) if name != str(own))
    panel.across.controls["other"].value = wanted
    assert panel.choice.across.parameters == {"other": wanted}
    assert f"z toward {wanted}" in panel.result().plane.marks
    panel.across.controls["other"].value = panel.result().class_names[own]
    assert "own class" in explorer.errors.value
    panel.across.controls["other"].value = ""
    assert explorer.errors.last is None


def test_another_random_tangent_is_another_map(explorer):
    panel = panel_of(explorer)
    before = panel.result().plane.v
    panel.up.reroll.click()
    assert panel.choice.up.parameters["seed"] == 1
    assert panel.up.controls["seed"].value == 1
    assert not torch.allclose(panel.result().plane.v, before)


def test_an_image_to_go_toward_is_picked_in_the_gallery(explorer):
    panel, chosen = panel_of(explorer), explorer.header.gallery
    looked_at = panel.shown.view.index
    panel.across.kind.value = "toward an image"
    panel.across.controls["image"].click()
    assert chosen.picking  # arrow keys look around
    chosen._receive(None, {"kind": "choose", "index": 20}, [])
    assert not chosen.picking
    assert panel.choice.across.parameters == {"image": 20}
    assert panel.shown.view.index == looked_at
    marks = panel.result().plane.marks
    assert any(name.startswith("image 20") for name in marks)


def test_picking_an_image_ends_when_another_axis_is_chosen(explorer):
    panel = panel_of(explorer)
    panel.across.kind.value = "toward an image"
    for _ in range(3):  # pick, never mind, pick
        panel.across.controls["image"].click()
    panel.across.kind.value = "normal"
    explorer.header.gallery._receive(None, {"kind": "choose", "index": 20}, [])
    assert panel.choice.across.kind == "normal"
    assert panel.shown.view.index == 20


def test_every_kind_of_axis_has_its_help():
    assert set(KINDS) <= set(TERMS)
    for sentences, formula in TERMS.values():
        assert sentences.count(". ") == 1
        assert sentences.endswith(".")
        assert formula


def test_a_zoom_is_computed_in_the_new_window(explorer):
    panel = panel_of(explorer)
    panel.plot.update_layout(xaxis_range=[0.01, 0.11], yaxis_range=[-0.05, 0.02])
    assert panel.choice.window == pytest.approx((0.01, 0.11, -0.05, 0.02))
    section = panel.result()
    assert float(section.x.min()) == pytest.approx(0.01, abs=1e-3)
    assert float(section.y.max()) == pytest.approx(0.02, abs=1e-3)
    panel._hear({"kind": "reset"})
    assert panel.choice.window is None
    assert float(panel.result().x.min()) < 0


def test_the_map_does_not_take_its_own_axes_for_a_zoom(explorer):
    panel = panel_of(explorer)
    assert panel.choice.window is None
    assert tuple(panel.plot.layout.xaxis.range) == pytest.approx(panel.shown.extent[:2])


def test_the_readout_follows_the_pointer(explorer):
    panel = panel_of(explorer)
    view, plane = panel.shown.view, panel.result().plane
    panel._hear({"kind": "point", "x": 0.3, "y": -0.1})
    image = plane.points(torch.tensor([[0.3, -0.1]]))
    named = view.clf.class_names[int(view.clf.labels(image))]
    reading = panel.readout.reading
    assert reading["image_caption"] == f"called {named}"
    assert [score["name"] for score in reading["scores"] if score["highest"]] == [named]
    assert sum(score["share"] for score in reading["scores"]) == pytest.approx(1)
    panel._hear({"kind": "leave"})
    assert panel.readout.reading["where"].startswith("x")


def test_a_click_pins_and_a_second_one_lets_go(explorer):
    panel = panel_of(explorer)
    panel._hear({"kind": "click", "x": 0.3, "y": -0.1, "reach": 0.02})
    assert panel.readout.reading["pinned"]
    pinned = panel.readout.reading
    assert len(panel.plot.layout.shapes) == 1
    panel._hear({"kind": "point", "x": 0.0, "y": 0.4})
    assert panel.readout.reading == pinned
    panel._hear({"kind": "click", "x": 0.31, "y": -0.1, "reach": 0.02})
    assert panel.choice.pin is None
    assert not panel.plot.layout.shapes
    panel._hear({"kind": "click", "x": 0.3, "y": -0.1, "reach": 0.02})
    panel._hear({"kind": "escape"})
    assert panel.choice.pin is None


def test_the_own_classifier_and_images_are_shown(digits):
    clf = gx.Classifier(Slow().eval(), input_shape=(1, 8, 8), device="cpu", name="mine")
    mine = gx.ImageSet(digits.images[:5], digits.labels[:5], digits.class_names, name="my digits")
    explorer = Explorer(clf, mine, synchronous=True)
    assert explorer.errors.last is None
    assert (explorer.selection.network, explorer.selection.images) == ("mine", "my digits")
    assert panel_of(explorer).shown.view.clf is clf
    assert "load_" not in explorer.code()
    explorer.close()


def test_a_network_of_another_shape_brings_its_images(explorer):
    explorer.header.network.value = next(
        name for name, shape in explorer.selection.networks.items() if shape != (1, 8, 8)
    )
    assert explorer.errors.last is None
    assert explorer.selection.images == "shapes, test"
    assert panel_of(explorer).shown.view.x.shape == (3, 32, 32)
    assert explorer.header.shown_class.options[2:] == explorer.session.subject.images.class_names


def test_with_another_network_the_image_stays(explorer):
    panel = panel_of(explorer)
    index = panel.shown.view.index
    assert explorer.selection.image is None  # nobody has chosen it
    for network in ("digits-cnn-smooth", "digits-cnn"):
        explorer.header.network.value = network
        assert panel.shown.view.index == explorer.selection.image == index
        assert panel.shown.view.subject.network == network
    explorer.header.images.value = "shapes, test"
    assert explorer.selection.image is None


def test_a_class_filters_the_gallery(explorer):
    explorer.header.shown_class.value = "4"
    gallery, labels = explorer.header.gallery, explorer.session.subject.images.labels
    assert gallery.total == int((labels == 4).sum())
    assert all("labelled 4" in item["title"] for item in gallery.items)
    explorer.header.shown_class.value = "misclassified"
    predicted = explorer.session.subject.clf.labels(explorer.session.subject.images.images)
    assert gallery.total == int((predicted != labels).sum()) > 0
    assert all(item["wrong"] for item in gallery.items)


def test_misclassified_ones_of_another_network_are_found(explorer, open_explorer):
    def wrong(opened):
        subject = opened.session.subject
        predicted = subject.clf.labels(subject.images.images)
        return int((predicted != subject.images.labels).sum())

    explorer.header.shown_class.value = "misclassified"
    for _ in range(2):
        explorer.selection.network = "digits-cnn-smooth"
        assert explorer.header.gallery.total == wrong(explorer) > 0
        state = explorer.to_json()
        other = open_explorer(state=state)
        assert other.header.gallery.total == wrong(other) > 0
        explorer.selection.network = "digits-cnn"
    explorer.restore(state)
    assert explorer.header.gallery.total == wrong(explorer)


def test_misclassified_thumbnails_are_marked(explorer):
    gallery, subject = explorer.header.gallery, explorer.session.subject
    predicted = subject.clf.labels(subject.images.images)
    for item in gallery.items:
        index = item["index"]
        assert item["wrong"] == (int(predicted[index]) != int(subject.images.labels[index]))


def test_an_image_of_ones_own_is_fitted_and_looked_at(explorer):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 100, 50)).save(file, "png")
    explorer.header.upload._receive(None, {"name": "cat.PNG"}, [file.getvalue()])
    assert explorer.errors.last is None
    view = panel_of(explorer).shown.view
    assert view.index == 500
    assert view.x.shape == (1, 8, 8)
    assert view.label is None
    assert explorer.header.note.value == "cat.PNG: 40×30 made 8×8, grey"
    assert explorer.header.gallery.selected == 500


def test_what_is_no_image_is_told(explorer):
    before = panel_of(explorer).result()
    explorer.header.upload._receive(None, {"name": "notes.txt"}, [b"nothing to see"])
    assert "'notes.txt' is not an image" in html.unescape(explorer.errors.value)
    assert panel_of(explorer).result() is before


def test_an_error_is_a_sentence_with_its_traceback_folded_and_goes_away(explorer):
    panel = panel_of(explorer)
    panel.choice.up = "nearest boundary"
    value = explorer.errors.value
    assert "choose another direction" in value[: value.index("<details>")]
    assert "Traceback" in value[value.index("<details>") :]
    panel.choice.up = "random tangent"
    assert explorer.errors.value == ""
    assert panel.result().progress.complete


def test_what_saving_needs_is_a_sentence_that_a_later_download_takes_away(explorer, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "kaleido" else found(name, *a)
    )
    sent = []
    monkeypatch.setattr(explorer.page, "download", lambda *file: sent.append(file[0]))
    form = explorer.footer.form
    form.format.value = "PDF"
    form.button.click()
    said = html.unescape(explorer.errors.value.partition("<details>")[0])
    assert "saving a .pdf needs kaleido" in said
    assert "restart" in said
    assert "RuntimeError" not in said
    assert not sent
    form.format.value = "HTML"
    form.button.click()
    assert len(sent) == 1
    assert explorer.errors.value == ""


def test_an_image_whose_boundary_cannot_be_reached_is_told(digits):
    class Constant(nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :1] * 0 + torch.tensor([[3.0, 1.0]])

    clf = gx.Classifier(Constant().eval(), input_shape=(1, 8, 8), device="cpu")
    explorer = Explorer(clf, gx.ImageSet(digits.images[:3]), synchronous=True)
    assert "No boundary was reached" in explorer.errors.value
    panel = panel_of(explorer)
    with panel.choice.hold_trait_notifications():
        panel.choice.across, panel.choice.up = "DCT frequency", {"kind": "DCT frequency", "row": 1}
    assert explorer.errors.last is None
    assert "none was reached" in panel.readout.facts
    explorer.close()


def test_the_whole_state_comes_back(open_explorer, explorer):
    panel = panel_of(explorer)
    explorer.selection.network = "digits-cnn-smooth"
    explorer.selection.image = 33
    panel.choice.up = {"kind": "random tangent", "seed": 4}
    panel.choice.window = (-0.2, 0.3, -0.2, 0.2)
    panel.choice.shading = "none"
    panel.choice.pin = (0.1, 0.1)
    panel.keep.click()
    state = json.loads(json.dumps(explorer.to_json()))

    other = open_explorer(state=state)
    assert other.errors.last is None
    assert other.to_json() == state
    assert torch.equal(panel_of(other).result().labels, panel.result().labels)
    assert panel_of(other).readout.reading == panel.readout.reading

    explorer.selection.image = 1
    explorer.restore(state)
    assert explorer.to_json() == state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"geoexplorer": 99}, "99 is not a format"),
        ({"selection": {"network": "no such net"}}, "no such net"),
        ({"selection": {"image": -1}}, "'image' cannot be -1"),
        ({"panels": {"curvatur": {}}}, "'curvatur' is not known"),
        ({"panels": {"cross-section": {"shading": "x"}}}, "'shading' cannot be 'x'"),
        ({"panel": "detours"}, "panel must be one of cross-section"),
        ({"theme": "pink"}, "theme must be one of"),
        ({"surprise": 1}, "'surprise' is not known"),
        ({"directions": {"d": {"shape": [1], "float32": "?"}}}, "direction 'd' is not an image"),
        ({"added": {"digits, test": [{"shape": [1], "float32": "AAAAAA=="}]}}, "must have shape"),
    ],
)
def test_a_bad_state_is_refused_as_a_whole(explorer, change, said):
    before = explorer.to_json()
    with pytest.raises(ValueError, match=said):
        explorer.restore({**before, **change})
    assert explorer.to_json() == before


def test_an_opened_file_that_is_no_state_is_told(explorer):
    explorer.footer.state_file._receive(None, {"name": "a.json"}, [b"not json"])
    assert "no JSON" in explorer.errors.value


def test_explore_helps_with_a_mistyped_option():
    with pytest.raises(TypeError, match="'them' is not an option; did you mean 'theme'"):
        explore(them="dark")
    with pytest.raises(ValueError, match="theme must be one of auto, light, dark"):
        explore(theme="pink")
    with pytest.raises(ValueError, match="panel 'curvture' is not here; did you mean 'curvature'"):
        explore(panel="curvture")
    with pytest.raises(ValueError, match=r"panel 3 is not here; accepted are .*shared directions"):
        explore(panel=3)


@pytest.mark.parametrize(
    ("panel", "key"),
    [
        ("cross-section", "cross-section"),
        ("Curvature", "curvature"),
        ("paths", "paths"),
        ("SHARED DIRECTIONS", "shared"),
        ("detection", "detection"),
    ],
)
def test_it_opens_at_the_panel_that_is_asked_for(open_explorer, panel, key):
    explorer = open_explorer(panel=panel)
    assert explorer.errors.last is None
    assert explorer.panel.key == key
    assert list(explorer.panels)[explorer.children[2].selected_index] == key
    assert explorer.panel.result() is not None
    explorer.children[2].selected_index = 0  # the other panels open as ever
    assert explorer.errors.last is None
    assert panel_of(explorer).result().progress.complete


def test_the_panel_asked_for_wins_over_that_of_the_state(open_explorer, explorer):
    state = explorer.to_json()
    assert state["panel"] == "cross-section"
    assert open_explorer(state=state, panel="detection").panel.key == "detection"
    with pytest.raises(TypeError, match="state must be a mapping"):
        open_explorer(state=b"[]", panel="detection")


def test_two_random_tangents_are_two_directions(explorer):
    panel = explorer.panel
    panel.across.kind.value = "random tangent"
    explorer.wait()
    assert panel.choice.up.kind == "random tangent"
    assert explorer.errors.last is None
    assert panel.choice.across.parameters["seed"] != panel.choice.up.parameters["seed"]


def test_explore_says_what_it_accepts(digits):
    net = nn.Linear(64, 10)
    with pytest.raises(TypeError, match=r"clf must be .*Classifier\(module"):
        explore(net)
    clf = gx.Classifier(
        nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).eval(), input_shape=(3, 4, 4), device="cpu"
    )
    with pytest.raises(ValueError, match=r"images must be given .*\(3, 4, 4\)"):
        explore(clf)
    with pytest.raises(ValueError, match=r"images must have the shape .*\(3, 4, 4\).*\(1, 8, 8\)"):
        explore(clf, digits)
    with pytest.raises(ValueError, match="clf must be given for these images"):
        explore(images=torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match="images must be labelled with the classifier's 2 classes"):
        explore(clf, gx.ImageSet(torch.rand(2, 3, 4, 4), torch.tensor([0, 7])))
    wide = gx.Classifier(
        clf.module[1], input_shape=(3, 4, 4), bounds=(-1, 1), device="cpu", name="wide"
    )
    with pytest.raises(ValueError, match="clf must have the bounds of the Explorer's images"):
        explore(wide, torch.rand(2, 3, 4, 4))


def test_a_theme_is_that_of_the_page_unless_chosen(explorer):
    panel = panel_of(explorer)
    light = panel.plot.layout.template.layout.paper_bgcolor
    explorer.page.dark = True
    dark = panel.plot.layout.template.layout.paper_bgcolor
    assert dark != light
    explorer.footer.theme.value = "light"
    assert panel.plot.layout.template.layout.paper_bgcolor == light
    assert explorer.figure().layout.template.layout.paper_bgcolor == light


def test_the_figure_is_that_of_the_result(explorer):
    panel = panel_of(explorer)
    panel.choice.shading = "none"
    expected = panel.result().figure(shading="none", theme="light")
    assert explorer.figure().to_json() == expected.to_json()


def test_the_latest_of_many_choices_wins():
    explorer = Explorer(synchronous=False)
    assert explorer.wait(PATIENCE)
    for index in range(40):
        explorer.selection.image = index
    assert explorer.wait(PATIENCE)
    assert explorer.errors.last is None
    assert panel_of(explorer).shown.view.index == 39
    assert panel_of(explorer).result().progress.complete
    explorer.close()


def test_cancel_stops_a_long_job_and_the_app_stays_usable(digits):
    net = Slow().eval()
    clf = gx.Classifier(net, input_shape=(1, 8, 8), device="cpu", chunk_size=16)
    clf.module[1].pause = 0.001
    explorer = Explorer(clf, digits[:3], synchronous=False)
    assert explorer.wait(PATIENCE)
    panel = panel_of(explorer)
    clf.module[1].pause = 0.02
    before = panel.result()
    explorer.selection.image = (panel.shown.view.index + 1) % 3
    explorer.footer.cancel.click()
    assert explorer.wait(PATIENCE)
    assert panel.result() is before or not panel.result().progress.complete
    assert "stopped" in explorer.footer.status.value
    assert explorer.footer.cancel.disabled
    assert explorer.footer.cancel.layout.display == "none"
    clf.module[1].pause = 0.0
    explorer.footer.go_on.click()  # in its place
    assert explorer.wait(PATIENCE)
    assert explorer.footer.go_on.layout.display == "none"
    assert panel.result().progress.complete
    assert panel.shown.view.index == explorer.selection.image
    explorer.close()


def test_close_frees_everything():
    threads = set(threading.enumerate())
    before = set(ipywidgets.widgets.widget._instances)
    explorer = Explorer(synchronous=False)
    assert explorer.wait(PATIENCE)
    known = [weakref.ref(each) for each in (explorer, explorer.worker, panel_of(explorer).plot)]
    known.append(weakref.ref(panel_of(explorer).result()))
    explorer.close()
    del explorer
    deadline = time.monotonic() + PATIENCE
    while set(threading.enumerate()) - threads and time.monotonic() < deadline:
        time.sleep(0.01)
    gc.collect()
    assert not set(threading.enumerate()) - threads
    assert [reference() for reference in known] == [None] * len(known)
    assert set(ipywidgets.widgets.widget._instances) <= before


def test_closing_twice_and_using_it_afterwards_does_no_harm(explorer):
    explorer.close()
    explorer.close()
    explorer.refresh()


def test_two_hundred_random_actions_leave_no_error():
    explorer = Explorer(synchronous=False)
    assert explorer.wait(PATIENCE)
    panel, chance = panel_of(explorer), random.Random(0)
    failures = []
    explorer.errors.observe(lambda change: failures.append(change["new"]), "value")
    kinds = [kind for kind in KINDS if kind not in ("saved direction", "nearest boundary")]
    actions = [
        lambda: setattr(explorer.header.gallery, "selected", 0),
        lambda: explorer._choose_image(chance.randrange(100)),
        lambda: setattr(panel.up.kind, "value", chance.choice(kinds)),
        lambda: setattr(panel.across.kind, "value", "nearest boundary"),
        lambda: panel.up.reroll.click(),
        lambda: panel._hear({"kind": "point", "x": chance.random(), "y": chance.random()}),
        lambda: panel._hear({"kind": "leave"}),
        lambda: panel._hear({"kind": "click", "x": 0.1, "y": chance.random(), "reach": 0.01}),
        lambda: panel._hear({"kind": "escape"}),
        lambda: panel._hear({"kind": "zoom", "x": 0.1, "y": 0.0, "factor": 0.7}),
        lambda: panel._hear({"kind": "reset"}),
        lambda: setattr(panel.shading, "value", chance.choice(panel.shading.options)),
        lambda: explorer.header.gallery.turn(chance.choice((-1, 1))),
        lambda: setattr(
            explorer.header.shown_class, "value", chance.choice(("all", "misclassified", "3"))
        ),
        lambda: setattr(explorer.page, "dark", chance.random() < 0.5),
        lambda: explorer.footer.cancel.click(),
        lambda: setattr(panel.ears, "size", [600, chance.randrange(400, 700)]),
    ]  # fmt: skip
    for _ in range(200):
        chance.choice(actions)()
        time.sleep(chance.choice((0, 0, 0.01, 0.05)))
    explorer.refresh()
    assert explorer.wait(PATIENCE)
    assert [text for text in failures if text] == []
    assert panel.result().progress.complete
    explorer.close()
