"""Making the figures: the page says what results say, nothing is made twice, errors stay put."""

import html
import importlib.util
import json
import re

import pytest

import geoexplorer as gx
from geoexplorer import cli
from geoexplorer.paper import making
from geoexplorer.paper.figure_set import FIGURE_SET
from geoexplorer.paper.request import Request
from geoexplorer.paper.statements import CERTAINTY, FIGURES
from geoexplorer.paper.wording import percent, plain
from geoexplorer.results import Result
from tests.paper.conftest import make_tiny

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
    said = "Only web pages were made, no SVG or PNG: saving a .svg or .png needs kaleido"
    assert said in words_of(page_of(tmp_path))
    assert said in capsys.readouterr().err
    assert (tmp_path / "convex-digits-cnn.html").is_file()
    assert "<iframe" in page_of(tmp_path)


@pytest.mark.browser
def test_pictures_in_three_formats_from_one_chrome(tmp_path, chromium):
    wanted = request(tmp_path, "convex", "shares", formats=("html", "svg", "png"))
    assert making.make_figures(wanted) == 0
    for kind in ("html", "svg", "png"):
        assert (tmp_path / f"shares-digits-cnn.{kind}").stat().st_size > 1_000
    assert '<img src="shares-digits-cnn.svg" alt="' in page_of(tmp_path)


def test_the_command_line_makes_figures(tmp_path, capsys):
    out = tmp_path / "new" / "folder"
    options = ["--networks", "digits-cnn", "--only", "convex", "--formats", "html"]
    assert cli.main(["figures", "--out", str(out), *options]) == 0
    assert (out / "index.html").is_file()
    assert f"The page is {out / 'index.html'}" in capsys.readouterr().err
