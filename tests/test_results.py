"""The base of all results: saving, loading, indexing, provenance."""

import re
import subprocess
import sys
import threading
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import geoexplorer as gx
from geoexplorer.classifier import Classifier, Cost
from geoexplorer.geometry.boundary import nearest_boundary
from geoexplorer.jobs import Progress
from geoexplorer.results import BatchResult, Provenance, Recorder, Result, Stored


@dataclass(frozen=True, eq=False)
class Rows(BatchResult):
    values: Tensor
    pixels: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Nested(Result):
    inner: Rows
    curve: np.ndarray
    missing: None = None


@pytest.fixture
def rows():
    return Rows(
        values=torch.arange(4, dtype=torch.float64),
        pixels=torch.rand(4, 1, 2, 2),
        names=("a", "b"),
        provenance=Provenance("rows", options={"seed": 3, "step": None}, cost=Cost(5, 2)),
    )


def test_round_trip(rows, tmp_path):
    original = Nested(rows, np.eye(3), progress=Progress(0.5, "half"))
    original.save(tmp_path / "result.npz")
    loaded = Nested.load(tmp_path / "result.npz")
    assert torch.equal(loaded.inner.values, rows.values)
    assert loaded.inner.values.dtype == torch.float64
    assert np.array_equal(loaded.curve, original.curve)
    assert loaded.inner.provenance == rows.provenance
    assert loaded.inner.cost == Cost(5, 2)
    assert loaded.inner.names == ("a", "b")
    assert loaded.progress == original.progress
    assert loaded.missing is None


def test_the_base_loads_any_result(rows, tmp_path):
    rows.save(tmp_path / "rows.npz")
    assert isinstance(Result.load(tmp_path / "rows.npz"), Rows)


def test_loading_another_kind_is_refused(rows, tmp_path):
    rows.save(tmp_path / "rows.npz")
    with pytest.raises(ValueError, match="holds a Rows, not a Nested"):
        Nested.load(tmp_path / "rows.npz")


def test_loading_a_foreign_file_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("nothing of ours")
    with pytest.raises(ValueError, match="not a saved geoexplorer result"):
        Result.load(tmp_path / "text.npz")


def test_loading_never_runs_code(tmp_path):
    np.savez(tmp_path / "pickled.npz", description=np.array([{"format": 1}], dtype=object))
    with pytest.raises(ValueError, match="not a saved geoexplorer result"):
        Result.load(tmp_path / "pickled.npz")


def test_a_result_is_no_picture(rows, tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.npz.*figures\.save writes pictures"):
        rows.save(tmp_path / "rows.png")


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Result.load(tmp_path / "none.npz")


def test_what_cannot_be_data_is_not_saved(rows, tmp_path):
    with pytest.raises(TypeError, match="cannot save a Linear"):
        Nested(rows, nn.Linear(1, 1)).save(tmp_path / "result.npz")


def test_a_batch_indexes_like_one(rows):
    assert len(rows) == 4
    assert rows[1].values.tolist() == [1.0]
    assert rows[-1].values.tolist() == [3.0]
    assert rows[1:3].pixels.shape == (2, 1, 2, 2)
    assert rows[torch.tensor([True, False, False, True])].values.tolist() == [0.0, 3.0]
    assert [len(row) for row in rows] == [1, 1, 1, 1]
    assert rows[0].names == rows.names
    assert rows[torch.tensor(1)].pixels.shape == (1, 1, 2, 2)
    assert rows[np.array([2, 0])].values.tolist() == [2.0, 0.0]
    assert rows[::-1].values.tolist() == [3.0, 2.0, 1.0, 0.0]
    with pytest.raises(IndexError, match="index 4 is out of range for 4 images"):
        rows[4]
    for wrong in (None, True):
        with pytest.raises(IndexError, match="cannot be indexed with"):
            rows[wrong]


def test_loading_does_not_depend_on_what_was_imported(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    nearest_boundary(clf, torch.rand(2, 1, 2, 2), seed=np.int64(3)).save(tmp_path / "b.npz")
    code = (
        "from geoexplorer.results import Result; import sys;"
        "print(type(Result.load(sys.argv[1])).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "b.npz"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "BoundaryPoints"


def test_only_the_steps_themselves_count():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    clf = Classifier(module, input_shape=(1, 2, 2), device="cpu")
    x = torch.rand(3, 1, 2, 2)
    recorder = Recorder(clf, "f")

    def work():
        for _ in range(2):
            clf.logits(x)
            yield recorder.provenance().cost.forwards

    counted = []
    other = threading.Thread(target=clf.logits, args=(x,))
    for forwards in recorder.watch(work()):
        counted.append(forwards)
        clf.logits(x)
    other.start()
    other.join()
    assert counted == [3, 6]
    assert recorder.provenance().cost.forwards == 6
    assert clf.cost.forwards == 15


def test_provenance_says_how(tmp_path):
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    clf = Classifier(module, input_shape=(1, 2, 2), device="cpu", name="tiny")
    clf.logits(torch.rand(9, 1, 2, 2))
    recorder = Recorder(clf, "f", seed=1)
    clf.logits(torch.rand(2, 1, 2, 2))
    made = recorder.provenance()
    assert (made.function, made.network, made.options) == ("f", "tiny", {"seed": 1})
    assert made.cost == Cost(forwards=2)
    assert made.fingerprint == clf.fingerprint
    assert made.class_names == clf.class_names
    assert set(made.versions) == {"geoexplorer", "torch", "numpy", "python"}


def test_what_is_printed_does_not_grow_with_the_images():
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval(), input_shape=(1, 2, 2))
    few, many = (nearest_boundary(flat, torch.rand(n, 1, 2, 2)) for n in (2, 500))
    assert re.search(r"\n +converged +\(2,\)  True, True\n", repr(few))
    assert re.search(r"\n +points +\(500, 1, 2, 2\)  -?\d.* to \d", repr(many))
    assert "\nmade by nearest_boundary with " in repr(many)
    assert len(repr(many)) < 1000
    partial = replace(few, progress=Progress(0.5, "half"))
    assert repr(partial) == f"{few!r}\nnot final: half"


def test_no_result_prints_its_arrays():
    for name in gx.__all__:
        getattr(gx, name)  # registers what it returns
    kinds = [kind for kind in Stored.known.values() if kind.__module__.startswith("geoexplorer.")]
    arrays = ("Tensor", "Floats", "NDArray")
    with_arrays = [
        kind for kind in kinds
        if any(word in str(item.type) for item in fields(kind) for word in arrays)
    ]  # fmt: skip
    assert len(with_arrays) > 15
    assert all(kind.__repr__ in (Stored.__repr__, Result.__repr__) for kind in with_arrays)
