"""The panel about shared directions: what is found, shown, chosen, taken elsewhere, made again."""

import json
import math
import re
import time

import pytest
import torch

import geoexplorer as gx
from geoexplorer.geometry.relative_curvature import RelativeCurvature
from geoexplorer.widgets import following, parts, subspaces
from geoexplorer.widgets.explorer import Explorer
from geoexplorer.widgets.shared_controls import SHOWS
from geoexplorer.widgets.subspaces import Basis
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
def shared(open_explorer):
    """An explorer of the digits, its panel about shared directions in view, over 10 images."""
    return in_view(open_explorer)


def in_view(open_explorer, *args, **options):
    explorer = open_explorer(*args, **options)
    explorer.panels["shared"].choice.images = 10
    show(explorer)
    return explorer


def show(explorer):
    explorer._tab_bar.selected_index = list(explorer.panels).index("shared")
    assert explorer.panel.key == "shared"


def found_by_hand(panel, count=10, m=None):
    """Points, directions and held-out points, without the panel."""
    view = panel.shown.view
    points = gx.nearest_boundary(view.clf, view.subject.images.images[: 2 * count])
    return gx.shared_directions(view.clf, points[:count], m), points[count:]


def facts(panel):
    return text_of(panel.readout.facts.value)


def number(value):
    return f"{float(value):.3g}".replace("-", "−")


def test_it_measures_nothing_until_it_is_looked_at(explorer, monkeypatch):
    panel = explorer.panels["shared"]
    panel.choice.images = 10
    explorer.selection.image = 3
    assert panel.shown is None
    assert not panel.widget.children
    show(explorer)
    assert explorer.errors.last is None
    assert panel.shown.view.index == 3
    for view in SHOWS:
        panel.choice.show = view
    for name in ("shared_directions_steps", "relative_curvature_steps", "subspace_shares",
                 "noise_sensitivity_steps", "subspace_margins_steps"):  # fmt: skip
        monkeypatch.setattr(subspaces, name, None)  # remembered
    for view in SHOWS:
        panel.choice.show = view
        assert panel.shown.kind == view
    explorer.selection.image = 5
    assert panel.shown.view.index == 5
    assert explorer.errors.last is None


def test_it_opens_with_rho_at_images_that_had_no_part(shared):
    panel = shared.panel
    assert shared.errors.last is None
    expected, held_out = found_by_hand(panel)
    assert torch.allclose(panel.shown.shared.values, expected.values, atol=1e-5)
    assert panel.shown.shared.points == 10
    rho = panel.result()
    assert isinstance(rho, RelativeCurvature)
    assert rho.progress.complete
    assert torch.allclose(rho.values, expected.rho(held_out), rtol=1e-3, atol=1e-4)
    assert panel.chart.layout.xaxis.title.text.startswith("index")
    text = facts(panel)
    assert f"mean κ = {number(expected.values[0])} over 10 images" in text
    mean, values = rho.values[:, 0].mean(), rho.values[:, 0].double()
    assert f"ρ = {number(mean)} at 10 held-out images" in text
    low, high = (values.quantile(q) for q in (0.1, 0.9))
    assert f"80 % of them {number(low)} to {number(high)}, random 1" in text
    r = panel.shown.view.boundary.perturbations
    along = (r[0] * expected.directions[0]).sum().abs() / r.norm()
    assert f"share along u {number(along)} , random {number(math.sqrt(1 / 64))}" in text
    inside = expected.share_of(r, 10)
    assert f"share in curved {number(inside)} , random {number(math.sqrt(10 / 64))}" in text
    assert "this image is one of those in the mean" in text
    assert "smoothed , h = 0.156" in text
    assert panel.readout.pictures.value.count("data:image/png") == 2
    assert "held out: 10 to 19" in panel.controls.scale.value


def test_what_is_said_of_an_image_is_its_own(shared):
    panel = shared.panel
    before = panel.result()
    shared.selection.image = 15
    assert panel.result() is before
    assert "one of those in the mean" not in facts(panel)
    r = panel.shown.view.boundary.perturbations
    assert f"share in curved {number(panel.shown.shared.share_of(r, 10))}" in facts(panel)


def test_a_click_and_the_keys_choose_a_direction(shared):
    panel = shared.panel
    rho = panel.result()
    panel._hear({"kind": "click", "x": 3.2, "y": 0.0, "reach": 0.1})
    assert panel.choice.rank == 3
    assert text_of(panel.readout.head.value) == "direction (3 of 64)"
    assert f"ρ = {number(rho.values[:, 2].mean())}" in facts(panel)
    assert panel.chart.layout.shapes[0].x0 == 3
    for by, rank in ((-1, 2), (-1, 1), (-1, 1), (10, 11), (1, 12)):
        panel._hear({"kind": "step", "by": by})
        assert panel.choice.rank == rank
    panel._hear({"kind": "step", "by": None, "end": 1})
    assert panel.choice.rank == -1
    assert "64 of 64" in text_of(panel.readout.head.value)
    panel._hear({"kind": "step", "by": None, "end": -1})
    assert panel.choice.rank == 1
    assert text_of(panel.readout.head.value) == "most positive (1 of 64)"
    panel.choice.rank = 100  # there is none: the nearest is shown
    assert "64 of 64" in text_of(panel.readout.head.value)
    assert shared.errors.last is None


def test_a_click_on_an_image_chooses_its_direction(shared):
    panel = shared.panel
    panel.choice.show = "directions"
    values = panel.shown.shared.values
    positive, negative = int((values > 0).sum()), int((values < 0).sum())
    assert positive > 2
    assert negative > 0
    tiles = [tile for tile in panel.chart.layout.images if tile.visible]
    rows = sorted({tile.y for tile in tiles})
    for tile, rank in (
        (next(tile for tile in tiles if tile.y == rows[0] and tile.x > 0), 2),
        (next(tile for tile in tiles if tile.y == rows[1]), -1),
    ):
        x, y = tile.x + tile.sizex / 2, tile.y + tile.sizey / 2
        panel._hear({"kind": "click", "x": x, "y": y, "reach": 0.1})
        assert panel.choice.rank == rank
        frame = panel.chart.layout.shapes[0]
        assert frame.visible
        assert frame.x0 < x < frame.x1
        assert frame.y0 < y < frame.y1
    before = panel.choice.rank
    panel._hear({"kind": "click", "x": -5.0, "y": -5.0, "reach": 0.1})
    assert panel.choice.rank == before
    panel.choice.rank = 30  # not on the screen
    assert not panel.chart.layout.shapes[0].visible


def test_subspaces_of_a_chosen_dimension(shared):
    panel = shared.panel
    assert panel.controls.m.label == "m = 10"
    expected, held_out = found_by_hand(panel)
    clf = panel.shown.view.clf
    panel.controls.m.value = 5
    panel.choice.show = "shares"
    shares = panel.result()
    wanted = gx.subspace_shares(clf, expected.curved(5), held_out)
    assert shares.m == 5
    assert torch.allclose(shares.mean(), wanted.mean(), atol=1e-3)
    panel.choice.show = "noise"
    noise = panel.result()
    assert noise.names == ("curved, 5 dimensions", "flat, 5 dimensions", "whole space")
    assert noise.images == 10
    assert noise.progress.complete
    panel.choice.show = "margins"
    margins = panel.result()
    assert margins.dimensions[:3] == (5, 5, 5)
    assert margins.names[3:] == tuple(block.name for block in gx.dct_diagonal((1, 8, 8)))
    wanted = gx.subspace_margins(clf, held_out.images, [expected.curved(5), expected.flat(5)])
    assert torch.allclose(margins.distances[:2], wanted.distances, rtol=1e-2)
    assert shared.errors.last is None
    panel.choice.m = 200  # at most half
    assert panel.controls.m.label == "m = 32"


def test_where_the_flat_is_not_known_a_random_subspace_stands_for_it(shared):
    expected, held_out = found_by_hand(shared.panel, m=6)
    basis = Basis(expected, held_out, 0, 10, 0.0)
    assert not basis.whole
    beside = basis.beside(4)
    assert beside.dimension == 4
    assert beside.name == "random ⟂ curved, 4 dimensions"
    assert float(basis.curved(4).share_of(beside.basis).max()) < 1e-5


def test_a_search_where_all_would_take_too_long(open_explorer, monkeypatch):
    monkeypatch.setattr(subspaces, "matrix_is_quick", lambda d: d <= 32)
    monkeypatch.setattr(subspaces, "_SEARCHED_FOR", 6)
    explorer = in_view(open_explorer, network="digits-cnn-smooth")
    panel = explorer.panel
    assert explorer.errors.last is None
    assert panel.shown.shared.values.shape == (6,)
    assert panel.result().values.shape == (10, 6)
    assert "(1 of 6 found)" in text_of(panel.readout.head.value)
    assert panel.controls.m.label == "m = 6"
    assert "autograd , no step" in facts(panel)
    for view in ("shares", "noise", "margins"):
        panel.choice.show = view
        said = text_of(panel.controls.about.value)
        assert ("random stands for it" in said) is (view != "shares")
        assert explorer.errors.last is None
        scope = {}
        exec(explorer.code().replace("figure.show()", ""), scope)
        ours, theirs = (json.loads(f.to_json()) for f in (explorer.figure(), scope["figure"]))
        assert_alike(ours, theirs)
    assert panel.result().names[1] == "random ⟂ curved, 6 dimensions"


def test_deepfools_points_are_others(shared):
    panel = shared.panel
    before = panel.shown.shared
    panel.controls.point.value = "DeepFool's"
    assert shared.errors.last is None
    assert not torch.allclose(panel.shown.shared.values, before.values, atol=1e-3)
    assert panel.shown.boundary is not panel.shown.view.boundary
    scope = {}
    exec(shared.code().replace("figure.show()", ""), scope)
    ours, theirs = (json.loads(f.to_json()) for f in (shared.figure(), scope["figure"]))
    assert_alike(ours, theirs)


def test_a_direction_becomes_an_axis_of_the_cross_section(shared, tmp_path):
    panel = shared.panel
    panel._hear({"kind": "step", "by": 2})
    wanted = panel.shown.shared.direction(3)
    panel.use.click()
    assert shared.errors.last is None
    section = shared.panels["cross-section"]
    assert shared.panel is section
    assert section.choice.across.kind == "normal"
    assert section.choice.up.parameters == {"rank": 3, "images": 10, "point": "nearest"}
    plane = section.result().plane
    assert plane.v_name == wanted.name
    inner = float((plane.v * wanted.vector).sum()) / float(
        (wanted.vector - plane.u * (plane.u * wanted.vector).sum()).norm()
    )
    assert inner > 0.999
    assert "over 10 images" in section.up.scale.value
    assert run_script(shared.code(), tmp_path) == shared.figure().to_json()
    section.up.controls["rank"].value = -1
    assert section.choice.up.parameters == {"rank": -1, "images": 10, "point": "nearest"}
    assert shared.errors.last is None


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"images": 0}, {"images": True}, {"point": "x"}])
def test_an_axis_that_is_none_is_refused(explorer, wrong):
    section = explorer.panels["cross-section"]
    with pytest.raises(ValueError, match=next(iter(wrong))):
        section.choice.up = {"kind": "shared direction", **wrong}


def test_what_another_network_had_pales_until_there_is_something_of_this_one(shared, monkeypatch):
    from geoexplorer.widgets.panels import shared as module

    explorer, panel = shared, shared.panels["shared"]
    seen = seen_before(
        monkeypatch, module, "basis_steps", lambda: (is_pale(panel), panel.use.disabled)
    )
    explorer.selection.network = "digits-cnn-smooth"
    assert seen == [(True, True)]
    assert not is_pale(panel)
    assert not panel.use.disabled


def test_a_direction_is_kept_for_other_networks(shared):
    panel = shared.panel
    panel.choice.rank = -2
    panel.keep.click()
    assert shared.errors.last is None
    name = "shared direction −2 of digits-cnn, 10 images"
    assert torch.equal(shared.session.directions[name], panel.shown.shared.directions[-2])
    assert panel.keep.description == "Kept"
    assert panel.keep.disabled
    panel._hear({"kind": "step", "by": 1})
    assert panel.keep.description == "Keep"
    assert not panel.keep.disabled
    shared._tab_bar.selected_index = 0
    shared.selection.network = "digits-cnn-smooth"
    section = shared.panel
    section.choice.up = {"kind": "saved direction", "name": name}
    assert shared.errors.last is None
    assert section.result().plane.v_name == name


def test_rho_grows_image_by_image_and_goes_on_where_it_was(open_explorer, monkeypatch):
    monkeypatch.setattr(parts, "DRAWING_SECONDS", 0.0)
    explorer = open_explorer()
    panel, seen = explorer.panels["shared"], []
    show_ = panel._show
    monkeypatch.setattr(panel, "_show", lambda shown: (seen.append(shown), show_(shown)))
    panel.choice.images = 10
    show(explorer)
    assert explorer.errors.last is None
    known = [len(shown.rho) for shown in seen if shown.rho is not None]
    assert known == sorted(set(known))
    assert known[0] < known[-1] == 10
    whole = panel.result()
    key = next(key for key in explorer.session.results._results if key[0] == "rho")
    early = next(shown.rho for shown in seen if shown.rho is not None)
    explorer.session.results.put(key, early)
    seen.clear()
    explorer.refresh()
    known_again = [len(shown.rho) for shown in seen if shown.rho is not None]
    assert known_again[-1] == 10
    assert known_again[0] > known[0]
    assert torch.equal(panel.result().values, whole.values)


def test_while_it_is_searched_the_mean_curvatures_are_seen(open_explorer, monkeypatch):
    monkeypatch.setattr(following, "DRAWING_SECONDS", 0.0)
    explorer = open_explorer()
    panel, seen = explorer.panels["shared"], []
    draw = panel._draw
    monkeypatch.setattr(panel, "_draw", lambda: (
        seen.append((panel.shown.kind, panel.shown.basis is None, explorer.code())), draw()
    ))  # fmt: skip
    panel.choice.images = 10
    show(explorer)
    assert explorer.errors.last is None
    assert seen[0][:2] == ("values", True)
    assert "shared.figure(" in seen[0][2]
    assert seen[-1][:2] == ("rho", False)


@pytest.mark.parametrize("show_", SHOWS)
def test_the_script_draws_the_same_figure(shared, show_):
    panel = shared.panel
    panel.choice.show = show_
    panel.choice.m = 5
    assert shared.errors.last is None
    scope = {}
    exec(shared.code().replace("figure.show()", ""), scope)
    ours, theirs = (json.loads(f.to_json()) for f in (shared.figure(), scope["figure"]))
    assert_alike(ours, theirs)


def test_the_script_runs_in_a_python_of_its_own(shared, tmp_path):
    code = shared.code() + "\nclass section: labels = gx.load_images('digits').images[0]\n"
    assert run_script(code, tmp_path) == shared.figure().to_json()


@pytest.mark.parametrize("show_", SHOWS)
def test_every_view_is_saved(shared, show_, tmp_path):
    shared.panel.choice.show = show_
    path = shared.save(tmp_path / "figure.html", width=420, font_size=8)
    assert "plotly" in path.read_text(encoding="utf-8")
    assert re.fullmatch(r"[\w-]+", shared.panel.file_stem())
    shared.footer.theme.value = "dark"
    assert shared.errors.last is None
    assert shared.figure().layout.template.layout.paper_bgcolor == "#111111"


def test_the_state_comes_back(open_explorer, shared):
    panel = shared.panel
    panel.choice.m = 2
    panel.choice.rank = 3
    panel.choice.point = "DeepFool's"
    panel.choice.show = "noise"
    panel.keep.click()
    state = json.loads(json.dumps(shared.to_json()))
    other = open_explorer(state=state)
    assert other.errors.last is None
    assert other.panel.key == "shared"
    assert other.to_json() == state
    assert torch.equal(other.panel.result().changed, panel.result().changed)
    assert other.panel.controls.views.value == "noise"
    assert other.panel.controls.m.label == "m = 2"
    assert other.panel.controls.images.label == "first 10"


@pytest.mark.parametrize(
    "wrong",
    [
        {"rank": 1.5}, {"show": "everything"}, {"images": 11}, {"images": None}, {"point": "x"},
        {"m": 0}, {"m": "all"},
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_as_a_whole(explorer, wrong):
    panel = explorer.panels["shared"]
    before = panel.choice.to_json()
    with pytest.raises(ValueError, match=next(iter(wrong))):
        explorer.restore({"geoexplorer": 1, "panels": {"shared": {"rank": 2, **wrong}}})
    assert panel.choice.to_json() == before


def test_a_small_set_is_shared_out(open_explorer):
    images = gx.load_images("digits")
    few = gx.ImageSet(images.images[:7], name="few")
    explorer = in_view(open_explorer, gx.load_classifier("digits-cnn"), few)
    panel = explorer.panel
    assert explorer.errors.last is None
    assert panel.shown.shared.points == 3
    assert len(panel.result()) == 3
    assert panel.controls.images.label == "first 3"
    for view in SHOWS:
        panel.choice.show = view
        assert explorer.errors.last is None
    one = in_view(
        open_explorer, gx.load_classifier("digits-cnn"), gx.ImageSet(images.images[:1], name="one")
    )
    assert "at least two images, this one has 1" in str(one.errors.last)


def test_without_a_boundary_there_is_a_sentence(open_explorer):
    clf = gx.Classifier(Constant().eval(), input_shape=(1, 8, 8), device="cpu", name="constant")
    images = gx.load_images("digits")[:12]
    explorer = in_view(open_explorer, clf, gx.ImageSet(images.images, name="some"))
    assert "No boundary was reached from any" in str(explorer.errors.last)
    with pytest.raises(ValueError, match="nothing yet"):
        explorer.code()


def test_images_without_a_boundary_are_left_out(shared):
    class Half(torch.nn.Module):
        """Flat, without a boundary, for images whose first pixel is bright."""

        def forward(self, images):
            margin = (images[:, 0, 1:] ** 2).sum((1, 2)) - 9
            constant = 5 + 0 * margin
            margin = torch.where(images[:, 0, 0, 0] > 0.9, constant, margin)
            return torch.stack([margin, -margin], dim=1)

    x = gx.load_images("digits").images[:8].clone()
    x[[1, 5], 0, 0, 0] = 1.0
    clf = gx.Classifier(Half().eval(), input_shape=(1, 8, 8), device="cpu", name="half")
    explorer = Explorer(clf, gx.ImageSet(x, name="some"), synchronous=True)
    try:
        show(explorer)
        panel = explorer.panel
        assert explorer.errors.last is None
        dropped = panel.shown.basis.dropped
        assert dropped == int((~gx.nearest_boundary(clf, x).converged[4:]).sum())
        for view in SHOWS:
            panel.choice.show = view
            assert explorer.errors.last is None
            scope = {"clf": clf, "images": explorer.session.subject.images}
            exec(explorer.code().replace("figure.show()", ""), scope)
            ours, theirs = (json.loads(f.to_json()) for f in (explorer.figure(), scope["figure"]))
            assert_alike(ours, theirs)
        explorer.selection.image = 1
        assert explorer.errors.last is None
    finally:
        explorer.close()


def test_what_takes_long_says_so_before_it_starts(open_explorer, monkeypatch):
    explorer = open_explorer()
    said = []
    monkeypatch.setattr(explorer.session, "report", lambda progress, text: said.append(text))
    monkeypatch.setattr(following, "LONG_SECONDS", 0.0)
    explorer.panels["shared"].choice.images = 10
    show(explorer)
    announcements = [text for text in said if "may take" in text]
    assert announcements[0].startswith("shared directions of 10 images: this may take about")
    assert said.index(announcements[0]) < said.index("shared directions")


def test_cancel_stops_it_and_the_app_goes_on():
    clf = gx.Classifier(Slow().eval(), input_shape=(1, 8, 8), device="cpu", chunk_size=8)
    explorer = Explorer(clf, gx.load_images("digits"))
    try:
        explorer.panels["shared"].choice.images = 10
        show(explorer)
        assert explorer.wait(PATIENCE)
        assert explorer.errors.last is None
        before = explorer.panel.result()
        clf.module.pause = 0.05
        explorer.panel.choice.show = "margins"
        deadline = time.monotonic() + PATIENCE
        while "margins" not in explorer.footer.status.value and time.monotonic() < deadline:
            time.sleep(0.01)
        started = time.monotonic()
        explorer.footer.cancel.click()
        assert explorer.wait(PATIENCE)
        assert time.monotonic() - started < 5
        assert "stopped" in explorer.footer.status.value
        clf.module.pause = 0.0
        explorer.panel.choice.show = "rho"
        assert explorer.wait(PATIENCE)
        assert explorer.panel.result() is before
        assert explorer.errors.last is None
    finally:
        explorer.close()


def test_what_was_on_its_way_is_not_after_cancel():
    clf = gx.Classifier(Slow().eval(), input_shape=(1, 8, 8), device="cpu", chunk_size=8)
    explorer = Explorer(clf, gx.load_images("digits"))
    try:
        explorer.panels["shared"].choice.images = 10
        clf.module.pause = 0.0005
        show(explorer)
        deadline = time.monotonic() + PATIENCE
        while explorer.panel.shown is None or "on its way" not in facts(explorer.panel):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        explorer.footer.cancel.click()
        assert explorer.wait(PATIENCE)
        assert "ρ not computed" in facts(explorer.panel)
        assert "stopped before the end" in explorer.footer.status.value
    finally:
        explorer.close()


def test_closing_leaves_no_widget(open_explorer):
    import ipywidgets

    before = set(ipywidgets.widgets.widget._instances)
    explorer = in_view(open_explorer)
    explorer.panel.choice.show = "directions"
    explorer.close()
    assert set(ipywidgets.widgets.widget._instances) <= before
