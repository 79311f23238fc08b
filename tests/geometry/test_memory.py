"""Peak memory beside the limit that a classifier was given, for images of 224 x 224 pixels.

The functions run in a process of their own, in which Linux itself keeps the highest size that was
reached (VmHWM, set back before each call), so that nothing has to be caught while it lasts. All
tensors of such images are handed back to the system when they are freed: the peak is theirs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer.geometry import kinks
from geoexplorer.geometry.linear_subspace import dct_block
from geoexplorer.geometry.nearest import EFFORTS
from geoexplorer.geometry.room import require_room, room_for

MB = 2**20
# What is measured, with the memory in MiB that the classifier may use, and what runs it.
CASES = {
    "nearest_boundary": (128, "gx.nearest_boundary(clf, x[:4])"),
    "deepfool": (64, "gx.nearest_boundary(clf, x[:4], effort='deepfool')"),
    "principal_curvatures": (192, "gx.principal_curvatures(clf, b[:1], 1)"),
    "differences": (192, "gx.principal_curvatures(clf, b[:1], 1, method='central_difference')"),
    "shared_directions": (192, "gx.shared_directions(clf, b[:2], m=1)"),
    "mean_curvature": (64, "gx.mean_curvature(clf, b[:3], probes=16)"),
    "smoothed": (64, "gx.mean_curvature(clf, b[:1], probes=6, method='smoothed')"),
    "curvature_density": (64, "gx.curvature_density(clf, b[:3], probes=4, order=6)"),
    "normal_curvature": (64, "gx.normal_curvature(clf, b[:2], x[:6] - 0.5)"),
    "many directions": (64, "gx.normal_curvature(clf, b[:1], torch.rand(100, *x[0].shape) - 0.5)"),
    "gradients": (16, "clf.forward_gradient(x.repeat(20, 1, 1, 1), difference, own, own + 1)"),
    "jacobian": (64, "clf.forward_jacobian(x, torch.arange(40).expand(6, -1))"),
    "secant": (96, "gx.normal_curvature(clf, b[:2], x[:2] - 0.5, method='secant')"),
    "relative_curvature": (64, "gx.relative_curvature(clf, b[:3], x[:5] - 0.5, probes=20)"),
    "detect": (64, "gx.detect(clf, x[:3], probes=30, classes=10)"),
    "detect, all classes": (64, "gx.detect(clf, x[:2], probes=4)"),
    "noise_sensitivity": (64, "gx.noise_sensitivity(clf, x, draws=2)"),
    "cross_section": (64, "gx.cross_section(clf, plane, resolution=65)"),
    "prove_segment": (64, "gx.prove_segment(clf, x[:2], x[2:4])"),
    "a proof": (384, "proof(x[0], 384)"),
}

SCRIPT = """
import ctypes, gc, json, sys
import torch
from torch import nn
import geoexplorer as gx
from geoexplorer.classifier import difference
from geoexplorer.geometry import kinks
from geoexplorer.geometry.noise import noise_sensitivity
from geoexplorer.geometry.relative_curvature import relative_curvature

torch.set_num_threads(1)
gx.noise_sensitivity, gx.relative_curvature = noise_sensitivity, relative_curvature
LIBC = ctypes.CDLL("libc.so.6")


def size(name):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024


def network(size):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, size // 7, stride=size // 7), nn.GELU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8 * 49, 200)).eval()


def proof(x, memory):
    size = x.shape[1]
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 3, padding=1), nn.ReLU()]
    module = nn.Sequential(*layers, nn.AvgPool2d(size // 7), nn.Flatten(), nn.Linear(196, 4)).eval()
    clf = gx.Classifier(module, input_shape=x.shape, device="cpu", memory=memory * 2**20)
    assert gx.prove_segment(clf, x, 0.9999 * x).exact


def run(size_of_image, cases):
    images = torch.rand(6, 3, size_of_image, size_of_image)
    module, peaks, b = network(size_of_image), {}, None
    for name, (memory, code) in cases.items():
        clf = gx.Classifier(
            module, input_shape=images.shape[1:], device="cpu", memory=memory * 2**20
        )
        kinks._known[clf] = False  # which takes more passes than some of the cases
        if b is None:
            b = gx.nearest_boundary(clf, images, effort="deepfool")
            assert bool(b.converged.all())
        plane = gx.Plane.through(*images[:3])
        given = {"gx": gx, "clf": clf, "x": images, "b": b, "plane": plane, "torch": torch}
        given["proof"] = proof
        given |= {"difference": difference, "own": torch.zeros(120, dtype=torch.int64)}
        gc.collect(), LIBC.malloc_trim(0)
        before = size("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        eval(code, given)
        peaks[name] = size("VmHWM") - before
    return peaks


cases = json.loads(sys.argv[1])
run(21, cases)  # what is loaded and kept on a first call
print(json.dumps(run(224, cases)))
"""


@pytest.fixture(scope="module")
def peaks() -> dict[str, float]:
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("the highest size of a process can be set back on Linux alone")
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), json.dumps(CASES)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert found.returncode == 0, found.stderr
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("case", CASES)
def test_peak_is_below_the_limit_and_the_result(peaks, case):
    memory, _ = CASES[case]
    image = 3 * 224 * 224 * 4 / MB
    result = {"nearest_boundary": 16, "deepfool": 16, "normal_curvature": 12, "secant": 4}
    # What is given too, but for the jacobian.
    result |= {"many directions": 204, "gradients": 240, "jacobian": 240}
    assert peaks[case] < memory + image * result.get(case, 4)


def small_classifier(size: int = 64, memory: int = 16 * MB) -> gx.Classifier:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, 8), nn.GELU(), nn.Linear(8, 4))
    return gx.Classifier(layers.eval(), input_shape=(3, size, size), device="cpu", memory=memory)


@pytest.fixture(scope="module")
def clf() -> gx.Classifier:
    clf = small_classifier()
    assert not kinks.has_kinks(clf)  # found out once, before any passes are counted
    return clf


@pytest.fixture(scope="module")
def boundary(clf):
    return gx.nearest_boundary(clf, torch.rand(1, *clf.input_shape))


class TestRefusals:
    @pytest.mark.parametrize(
        ("message", "call"),
        [
            ("k=40 takes about 195 MiB", lambda clf, b: gx.principal_curvatures(clf, b, 40)),
            (
                "order=300 takes",
                lambda clf, b: gx.curvature_density(clf, b, order=300),
            ),
            ("m=100 takes", lambda clf, b: gx.shared_directions(clf, b, m=100)),
        ],
    )
    def test_searches_that_do_not_fit(self, clf, boundary, message, call):
        before = clf.cost
        with pytest.raises(ValueError, match=message + ".*memory is 16 MiB"):
            call(clf, boundary)
        assert clf.cost == before

    def test_a_search_that_fits_with_more(self, boundary):
        clf = small_classifier(memory=256 * MB)
        assert gx.principal_curvatures(clf, boundary, 40).values.shape == (1, 80)

    def test_one_image_that_does_not_fit(self):
        clf = small_classifier(224)
        with pytest.raises(ValueError, match="effort='accurate' takes about 184 MiB"):
            gx.nearest_boundary(clf, torch.rand(1, 3, 224, 224), effort="accurate")

    @pytest.mark.parametrize("effort", EFFORTS)
    def test_as_many_as_there_is_room_for(self, clf, effort):
        require_room(clf, "effort", effort, room_for(clf))
        with pytest.raises(ValueError, match="effort"):
            require_room(clf, "effort", effort, room_for(clf) + 1)


class TestManyProbes:
    """More probes than can be made orthonormal together are several frames."""

    def test_mean_curvature_is_as_good(self):
        b = gx.nearest_boundary(small_classifier(), torch.rand(2, 3, 64, 64))
        few, all_together = (
            gx.mean_curvature(small_classifier(memory=memory), b, probes=150)
            for memory in (16 * MB, 256 * MB)
        )
        errors = few.standard_errors.hypot(all_together.standard_errors)
        assert ((few.values - all_together.values).abs() < 4 * errors).all()
        assert (few.standard_errors / all_together.standard_errors - 1).abs().max() < 0.3

    def test_detection_is_as_good(self):
        x = torch.rand(2, 3, 64, 64)
        few, all_together = (
            gx.detect(small_classifier(memory=memory), x, probes=150)
            for memory in (16 * MB, 256 * MB)
        )
        errors = few.standard_errors.hypot(all_together.standard_errors)
        assert ((few.score - all_together.score).abs() < 4 * errors).all()
        assert torch.equal(few.labels, all_together.labels)


def test_a_basis_for_a_classifier_is_orthonormal_to_rounding():
    clf = small_classifier()
    block = dct_block(clf.input_shape, 0, 4)
    rows = block.rows_for(clf)
    assert rows.dtype == torch.float32
    assert torch.allclose(rows.double() @ rows.double().T, torch.eye(48).double(), atol=2e-7)
    assert torch.allclose(rows, block.basis.flatten(1), atol=1e-6)


def test_a_secant_does_not_hide_that_memory_ran_out():
    """In float32 it would say something else, or nothing, where there was less memory free."""

    class LargeInDouble(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(48, 3)

        def forward(self, x):
            if x.dtype == torch.float64:
                raise torch.OutOfMemoryError("no room for float64")
            return self.linear(x.flatten(1))

    torch.manual_seed(0)
    clf = gx.Classifier(LargeInDouble().eval(), input_shape=(3, 4, 4), device="cpu")
    b = gx.nearest_boundary(clf, torch.rand(1, 3, 4, 4))
    with pytest.raises(torch.OutOfMemoryError, match="no room for float64"):
        gx.normal_curvature(clf, b, torch.rand(2, 3, 4, 4) - 0.5, method="secant")
