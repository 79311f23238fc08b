"""Making the figures: the page says what results say, nothing is made twice, errors stay put."""

import html
import importlib.util
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import geoexplorer as gx
from geoexplorer import cli
from geoexplorer.figures.text import number
from geoexplorer.paper import making, subjects
from geoexplorer.paper.cross_sections import _smoothed_words
from geoexplorer.paper.figure_set import FIGURE_SET
from geoexplorer.paper.paths import _pair_words
from geoexplorer.paper.request import Request
from geoexplorer.paper.sizes import sizes_for
from geoexplorer.paper.statements import CERTAINTY, FIGURES
from geoexplorer.paper.wording import percent, plain
from geoexplorer.results import Result
from tests.figures.test_curvature import trace
from tests.paper.conftest import TINY, make_tiny

pytestmark = pytest.mark.usefixtures("tiny")


def request(folder, *only, **options):
    return Request(folder, networks=("digits-cnn",), only=only, **{"formats": ("html",), **options})


def page_of(folder):
    return (folder / "index.html").read_text(encoding="utf-8")


def words_of(page):
    return html.unescape(re.sub(r"<[^>]+>", "", page))


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """All figures of one network, made once."""
    folder = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch)
        assert making.make_figures(request(folder)) == 0
    return folder


def test_every_figure_is_on_the_page_with_what_the_paper_reported(everything):
    words = words_of(page_of(everything))
    assert tuple(FIGURE_SET) == tuple(FIGURES)
    for statement in FIGURES.values():
        assert statement.title in words
        for reported in statement.reported:
            assert f"{reported.sentence} ({CERTAINTY[reported.certainty]})" in words


def test_every_link_leads_to_a_file(everything):
    page = page_of(everything)
    targets = re.findall(r'(?:href|src)="([^"#]+)"', page)
    local = [target for target in targets if not target.startswith("https://doi.org")]
    assert len(local) > 30
    assert all((everything / target).is_file() for target in local)
    assert not re.search(r'<(?:script|link|img|iframe)[^>]*"https?:', page)
    assert not list(everything.glob("*.part*"))


def test_web_pages_share_one_copy_of_plotly(everything):
    assert (everything / "plotly.min.js").stat().st_size > 1_000_000
    pages = [path for path in everything.glob("*.html") if path.name != "index.html"]
    assert all('src="plotly.min.js"' in path.read_text(encoding="utf-8") for path in pages)


def test_the_numbers_of_the_page_are_those_of_the_saved_results(everything):
    words = words_of(page_of(everything))
    roc = gx.DetectionROC.load(everything / "detection-digits-cnn.npz")
    assert f"is {plain(float(roc.auc()[0]))} (" in words
    assert f"where the logit margin has {plain(float(roc.auc('margin')[-1]))}" in words
    shares = gx.SubspaceShares.load(everything / "shares-digits-cnn.npz")
    said = re.search(r"lie on average ([0-9.]+) of perturbations, ([0-9.]+) of gradients", words)
    assert said.groups() == tuple(f"{share:.2f}" for share in shares.mean()[:2].tolist())
    noise = gx.NoiseSensitivity.load(everything / "noise-digits-cnn.npz")
    assert f"changes the predicted class at {percent(float(noise.rates[0, 5]))} of" in words
    assert float(noise.norms[5] / noise.norms[1]) == pytest.approx(4.0)
    mixed = gx.ConvexCombinations.load(everything / "convex-digits-cnn.npz")
    assert f"frequency of {percent(float(mixed.probability()[0]))} for 2 images" in words


def test_the_sentence_on_shared_directions_says_what_the_picture_shows(everything):
    words = words_of(page_of(everything))
    rho = gx.RelativeCurvature.load(everything / "shared-digits-cnn.npz")
    line = trace(rho.figure(), "curve 0")
    assert f"on average curved {number(float(line.y[0]))} times as much" in words
    assert f"and {number(float(line.y[-1]))} times along" in words
    assert "means over the images" in words
    above = int((np.asarray(line.y, dtype=float) > 1).sum())
    assert f"The mean of ρ is above 1 along {above} of the {len(line.y)} directions" in words


def test_a_profile_of_two_images_does_not_say_which_sign_dominates(everything):
    words = words_of(page_of(everything))
    assert "Two images only: a sample this small shows the shape" in words
    assert "the larger one in size" not in words
    page = (everything / "profiles-digits-cnn.html").read_text(encoding="utf-8")
    assert "band: 0 to 100 % of them" in page


def test_a_profile_of_enough_images_says_which_sign_dominates(tmp_path, monkeypatch):
    monkeypatch.setattr(subjects, "sizes_for", lambda d, full: replace(sizes_for(d, full=full),
                        **{**TINY, "profile": 10}))  # fmt: skip
    assert making.make_figures(request(tmp_path, "profiles")) == 0
    words = words_of(page_of(tmp_path))
    assert re.search(r"the negative one is the larger one in size at \d+ of 10", words)
    assert "images only" not in words


def test_a_section_of_a_network_with_kinks_says_what_is_smoothed(everything):
    words = words_of(page_of(everything))
    sections = gx.NormalSections.load(everything / "sections-digits-cnn.npz")
    assert sections.method == "smoothed"
    assert f"those of the network smoothed over h = {number(sections.step)}" in words
    assert "maps: 33 x 33 pixels along the tangents and 65 x 65 through three images" in words
    smooth = replace(sections, method="autograd", step=0.0)
    assert _smoothed_words(smooth) == []
    (wide,) = _smoothed_words(replace(sections, step=100.0))
    (narrow,) = _smoothed_words(replace(sections, step=1e-3))
    assert re.search(r"h = 100, more than the ±[0-9.]+ that is shown", wide)
    assert "more than" not in narrow


def test_what_is_proven_of_paths_is_what_the_results_say(everything):
    words = words_of(page_of(everything))
    pairs = gx.Connectivity.load(everything / "path-pairs-digits-cnn.npz")
    assert "the path: proven in float64, piece by piece" in words
    assert "the pairs: sampled, none of them proven" in words
    assert not pairs.proven.any()
    ten = torch.arange(len(pairs.labels))
    for proven, said in ((ten >= 0, "(all proven)"), (ten < 3, "(3 proven, the others sampled)")):
        assert said in _pair_words(replace(pairs, connected=ten >= 0, proven=proven))[0]


@pytest.mark.parametrize(
    ("bent", "said"),
    [
        ((), None),
        ((1.000041,), "The straightness of the one bent path is 1.00004."),
        ((1.25, 1.35), "The straightness of the 2 bent paths has the median 1.3."),
    ],
)
def test_how_bent_the_bent_paths_are(everything, bent, said):
    pairs = gx.Connectivity.load(everything / "path-pairs-digits-cnn.npz")
    count = len(pairs.labels)
    straightness = torch.tensor([*bent, *[1.0] * (count - len(bent))], dtype=torch.float64)
    inside = straightness == 1.0
    given = replace(
        pairs, connected=torch.ones(count, dtype=torch.bool), straight=inside,
        straightness=straightness, anchors=torch.where(inside, 2, 3),
    )  # fmt: skip
    words = _pair_words(given)[0]
    assert f"{count - len(bent)} of them already by the straight segment" in words
    assert said in words if said else "bent" not in words


def test_a_scale_just_across_the_boundary_is_explained_once(everything):
    said = "α = 1.02 (just across the boundary; the paper's 1 is on it)"
    assert words_of(page_of(everything)).count(said) == 1


def test_the_distance_that_noise_is_measured_in_is_the_middle_one(everything):
    noise = gx.NoiseSensitivity.load(everything / "noise-digits-cnn.npz")
    points = gx.BoundaryPoints.load(everything / "points-nearest-digits-cnn.npz")[10:20]
    distances = np.sort(points.distances[points.converged].numpy())
    assert len(distances) == 10
    middle = (float(distances[4]) + float(distances[5])) / 2
    assert float(noise.norms[1]) == pytest.approx(middle, rel=1e-6)


@pytest.mark.parametrize("figure", FIGURES)
def test_the_python_on_the_page_makes_the_same_result(everything, figure, monkeypatch):
    import plotly.graph_objects as go

    monkeypatch.setattr(go.Figure, "show", lambda self: None)
    entries = json.loads((everything / "made.json").read_text())["entries of the page"]
    known = {}
    exec(entries[f"{figure} digits-cnn"]["code"], known)
    name, file = {
        "sections": ("sections", "sections"),
        "path": ("path", "path"),
        "convex": ("mixed", "convex"),
        "profiles": ("fool", "profiles-deepfool"),
        "shared": ("rho", "shared"),
        "shares": ("found", "shares"),
        "noise": ("tried", "noise"),
        "detection": ("found", "detection"),
    }[figure]
    saved = Result.load(everything / f"{file}-digits-cnn.npz")
    made = known[name]
    assert type(made) is type(saved)
    key = {
        "sections": lambda r: r.curvatures,
        "path": lambda r: (r.length, r.least_margin, len(r.anchors), r.proof == "exact"),
        "convex": lambda r: r.inside.flatten().tolist(),
        "shares": lambda r: r.mean().tolist(),
        "noise": lambda r: r.changed.flatten().tolist(),
        "detection": lambda r: r.perturbed.flatten().tolist(),
    }.get(figure, lambda r: r.values.flatten().tolist())
    assert key(made) == pytest.approx(key(saved), rel=1e-4, abs=1e-5)


def test_a_later_run_computes_and_draws_nothing_again(tmp_path, monkeypatch):
    assert making.make_figures(request(tmp_path, "convex", "shares")) == 0
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    # As if it had been stopped before the second figure was finished.
    (tmp_path / "shares-digits-cnn.npz").unlink()
    assert making.make_figures(request(tmp_path, "convex", "shares")) == 0
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    made = {name for name in after if after[name] != before.get(name)}
    assert made == {"index.html", "made.json", "shares-digits-cnn.npz"}


def test_other_options_are_computed_anew(tmp_path):
    assert making.make_figures(request(tmp_path, "convex")) == 0
    first = (tmp_path / "convex-digits-cnn.npz").stat().st_mtime_ns
    assert making.make_figures(request(tmp_path, "convex", seed=1)) == 0
    assert (tmp_path / "convex-digits-cnn.npz").stat().st_mtime_ns != first
    assert "--seed 1" in page_of(tmp_path)


def test_the_page_and_the_terminal_say_which_seed_figures_were_made_with(tmp_path, capsys):
    assert making.make_figures(request(tmp_path, "convex", "shares")) == 0
    words = words_of(page_of(tmp_path))
    assert words.count("Found here: digits-cnn (seed 0, quick)") == 2
    assert "Not all figures were made with the same seed" not in words
    assert "still shows" not in capsys.readouterr().err
    assert making.make_figures(request(tmp_path, "convex", seed=1)) == 0
    words = words_of(page_of(tmp_path))
    assert words.count("Found here: digits-cnn (seed 0, quick)") == 1
    assert words.count("Found here: digits-cnn (seed 1, quick)") == 1
    assert "Not all figures were made with the same seed" in words
    said = capsys.readouterr().err
    assert "in place of what was made with seed 0, quick" in said
    assert "made otherwise: shares of digits-cnn (seed 0, quick)." in said


def test_the_page_keeps_what_an_earlier_run_made(tmp_path):
    assert making.make_figures(request(tmp_path, "convex")) == 0
    assert making.make_figures(request(tmp_path, "shares")) == 0
    assert 'id="convex"' in page_of(tmp_path)
    assert 'id="shares"' in page_of(tmp_path)


def test_a_figure_that_fails_does_not_take_the_others_with_it(tmp_path, monkeypatch, capsys):
    def failing(_shop):
        raise ValueError("the boundary is <nowhere>")

    monkeypatch.setattr(making, "FIGURE_SET", {**FIGURE_SET, "convex": failing})
    assert making.make_figures(request(tmp_path, "convex", "shares")) == 1
    words = words_of(page_of(tmp_path))
    assert "1 of 2 figures could not be made: convex of digits-cnn." in words
    assert "This figure could not be made: the boundary is <nowhere>" in words
    assert "In the 4 most curved of 64 dimensions" in words
    assert "convex, digits-cnn: not made: the boundary is <nowhere>" in capsys.readouterr().err
    monkeypatch.undo()
    assert making.make_figures(request(tmp_path, "convex")) == 0
    assert "could not be made" not in page_of(tmp_path)


def test_what_is_finished_stays_after_an_interruption(tmp_path, monkeypatch, capsys):
    def stopped(_shop):
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "FIGURE_SET", {**FIGURE_SET, "shares": stopped})
    assert making.make_figures(request(tmp_path, "convex", "shares")) == 130
    assert "was stopped" in page_of(tmp_path)
    assert (tmp_path / "convex-digits-cnn.html").is_file()
    assert "the same command goes on" in capsys.readouterr().err


def test_without_kaleido_there_are_web_pages_and_the_reason(tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "kaleido" else found(name, *a)
    )
    wanted = request(tmp_path, "convex", formats=("svg", "png"))
    assert making.make_figures(wanted) == 0
    said = "Only web pages were made, no SVG, PNG or PDF: saving a .svg, .png or .pdf needs kaleido"
    assert said in words_of(page_of(tmp_path))
    assert said in capsys.readouterr().err
    assert (tmp_path / "convex-digits-cnn.html").is_file()
    assert "<iframe" in page_of(tmp_path)


@pytest.mark.browser
def test_pictures_in_all_formats_from_one_chrome(tmp_path, chromium):
    wanted = request(tmp_path, "convex", "shares", formats=("html", "svg", "png", "pdf"))
    assert making.make_figures(wanted) == 0
    for kind in ("html", "svg", "png", "pdf"):
        assert (tmp_path / f"shares-digits-cnn.{kind}").stat().st_size > 1_000
    assert '<img src="shares-digits-cnn.svg" alt="' in page_of(tmp_path)


def test_the_command_line_makes_figures(tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    options = ["--networks", "digits-cnn", "--only", "convex", "--formats", "html"]
    assert cli.main(["figures", "--out", str(out), *options]) == 0
    assert (out / "index.html").is_file()
    assert f"The page is {out / 'index.html'}" in capsys.readouterr().err
