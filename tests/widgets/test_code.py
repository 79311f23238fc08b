"""A copied script draws exactly the figure that is on the screen, in a Python of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import geoexplorer as gx
from geoexplorer import figures
from geoexplorer.widgets.axes import KINDS

REPOSITORY = Path(__file__).parents[2]


def run_script(code, folder, before=""):
    """Run a script without a display; the figure's JSON and the map's labels it ends with."""
    script = before + code.replace("figure.show()", "") + (
        "\nimport pathlib, numpy"
        "\npathlib.Path('figure.json').write_text(figure.to_json())"
        "\nnumpy.save('labels.npy', section.labels.numpy())\n"
    )  # fmt: skip
    (folder / "script.py").write_text(script)
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=True,
        timeout=300,
    )
    return (folder / "figure.json").read_text()


def test_the_script_draws_the_same_figure(explorer, tmp_path):
    explorer.selection.image = 7
    assert run_script(explorer.code(), tmp_path) == explorer.figure().to_json()


def test_the_script_of_a_zoomed_map_with_other_axes_and_looks(explorer, tmp_path):
    choice = explorer.panel.choice
    explorer.selection.network = "digits-cnn-smooth"
    choice.across = {"kind": "toward a class", "other": "2"}
    choice.up = {"kind": "toward an image", "image": 5}
    choice.window = (-0.3, 0.9, -0.2, 0.7)
    choice.shading = "none"
    explorer.footer.theme.value = "dark"
    assert explorer.errors.last is None
    assert run_script(explorer.code(), tmp_path) == explorer.figure().to_json()


def test_the_script_of_a_saved_direction_and_an_added_image(explorer, tmp_path):
    choice = explorer.panel.choice
    added = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    explorer.selection.image = explorer.session.add_image("mine", added)
    choice.pin = (0.1, 0.3)
    explorer.panel.keep.click()
    choice.across = {"kind": "saved direction", "name": "direction 1"}
    assert explorer.errors.last is None
    assert run_script(explorer.code(), tmp_path) == explorer.figure().to_json()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "saved direction"])
def test_the_script_of_every_axis_gives_the_same_map(explorer, kind):
    explorer.panel.choice.across = {"kind": "DCT frequency", "row": 3, "column": 2}
    explorer.panel.choice.up = kind
    assert explorer.errors.last is None
    scope = {}
    exec(explorer.code().replace("figure.show()", ""), scope)
    shown = explorer.panel.result()
    assert torch.equal(scope["section"].labels, shown.labels)
    assert scope["plane"].marks == shown.plane.marks
    assert (scope["plane"].u_name, scope["plane"].v_name) == (
        shown.plane.u_name, shown.plane.v_name,
    )  # fmt: skip


def test_ones_own_classifier_and_images_are_variables(open_explorer):
    bundled = gx.load_classifier("digits-cnn", device="cpu")
    module = bundled.module
    clf = gx.Classifier(module, input_shape=(1, 8, 8), device="cpu", name="mine")
    images = gx.load_images("digits")[:20]
    images = gx.ImageSet(images.images, images.labels, images.class_names, name="my images")
    explorer = open_explorer(clf, images, image=3)
    code = explorer.code()
    assert "load_" not in code
    scope = {"clf": clf, "images": images}
    exec(code.replace("figure.show()", ""), scope)
    assert scope["figure"].to_json() == explorer.figure().to_json()


def test_the_script_writes_the_file_that_was_saved(explorer, monkeypatch, tmp_path):
    """Of every panel, once a kind of file is chosen; before, the script only draws."""
    monkeypatch.chdir(tmp_path)
    written, sent = [], []

    def write(result, path, **options):
        written.append((type(result), Path(path).name, options))
        Path(path).write_bytes(b"")

    monkeypatch.setattr(figures, "save", write)
    monkeypatch.setattr(explorer.page, "download", lambda *file: sent.append(file[0]))
    assert "save" not in explorer.code()
    form = explorer.footer.form
    form.format.value, form.width.value, form.points.value = "SVG", 85.0, 7.5
    for index, panel in enumerate(explorer.panels.values()):
        explorer._tab_bar.selected_index = index
        assert explorer.panel is panel
        form.button.click()
        code = explorer.code()
        last = code.strip().splitlines()[-1]
        result = re.match(r"figures\.save\((\w+), ", last)[1]
        assert "width='85mm', font_size=7.5" in last
        if panel.key in ("curvature", "detection"):  # the others' options name further variables
            clf = explorer.session.subject.clf
            exec(last, {result: panel.result(), "figures": figures, "clf": clf})
            assert written[-1] == written[-2]
    assert explorer.errors.last is None
    assert len(sent) == len(explorer.panels)
    assert all(name.endswith(".svg") for name in sent)


def test_the_script_of_a_file_runs(explorer, tmp_path):
    explorer.footer.form.format.value = "PDF"
    explorer.footer.form.format.value = "HTML"
    run_script(explorer.code(), tmp_path)
    assert (tmp_path / f"{explorer.panel.file_stem()}.html").stat().st_size > 10_000


def test_the_script_of_a_file_that_a_program_names(explorer, tmp_path):
    code = explorer.code(tmp_path / "map.html", width="84mm", font_size=8)
    assert "width='84mm', font_size=8, " in code.splitlines()[-1]
    run_script(code, tmp_path)
    assert (tmp_path / "map.html").stat().st_size > 10_000
    with pytest.raises(ValueError, match="width needs a path"):
        explorer.code(width="84mm")
