"""The same geometry on every device: a CPU, a GPU, two of them; and where results live.

Numbers are compared in float64 with those of one CPU, so that what is left of rounding is small.
Without a GPU one is pretended, in a process of its own.
"""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import backend_registration

import geoexplorer as gx
from geoexplorer.geometry import directions, path_places, path_planes
from geoexplorer.geometry.crossings import Rays
from geoexplorer.geometry.piecewise import why_not

PRETENDED = os.environ.get("GEOEXPLORER_PRETENDED_DEVICE") == "1"
CUDA = torch.cuda.is_available()
NO_GPU = "needs a CUDA device; none was found here"
SECONDS = 240

if PRETENDED:
    from tests import pretended_device

LONG = ("digits-cnn", "digits-cnn-smooth")
SHORT = ("shapes-resnet", "transformer")
SEVERAL = ("digits-cnn", "transformer")  # that are tried on several devices


class Transformer(nn.Module):
    """Of images 1x8x8 in pieces of 2x2, with four classes and random weights."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.pieces = nn.Conv2d(1, 16, 2, 2)
            self.places = nn.Parameter(torch.randn(1, 16, 16) / 10)
            layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0, "gelu", batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.head = nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        pieces = self.pieces(images).flatten(2).transpose(1, 2) + self.places
        return 20 * self.head(self.layers(pieces).mean(1))


@cache
def classifier(name: str, dtype: torch.dtype = torch.float64) -> gx.Classifier:
    if name == "transformer":
        return gx.Classifier(Transformer().eval(), input_shape=(1, 8, 8), device="cpu", dtype=dtype)
    return gx.load_classifier(name, device="cpu", dtype=dtype)


@cache
def images_of(name: str) -> Tensor:
    return gx.load_images("shapes" if name.startswith("shapes") else "digits").images[:120]


@cache
def labels_of(name: str) -> Tensor:
    return classifier(name).labels(images_of(name))


class Place:
    """A network somewhere, and what all measurements on it begin with."""

    def __init__(self, name: str, devices: tuple[str, ...], given: str) -> None:
        self.clf = classifier(name).replica(list(devices))
        self.clf.chunk_size = 64 if len(devices) == 1 else 8
        self.given = given  # the device of the images
        images, labels = images_of(name), labels_of(name)
        self.label = int(labels.bincount().argmax())
        self.other = (labels[:3] + 1) % self.clf.n_classes
        self.pool = images[:20].to(given)
        self.x = self.pool[:3]
        self.same = images[labels == self.label][:4].to(given)
        drawn = torch.randn(2, *self.clf.input_shape, generator=torch.Generator().manual_seed(1))
        self.directions = drawn.to(given)
        self.subspace = gx.Subspace.random(self.clf.input_shape, 20)
        self.plane = gx.Plane.through(*self.x)
        self.b = gx.nearest_boundary(self.clf, self.x[:2])


Work = Callable[[Place], Any]


def _measured(function: Any, method: str, **options: Any) -> Work:
    return lambda p: function(p.clf, p.b, method=method, **options)


def _shared(p: Place) -> Any:
    found = gx.shared_directions(p.clf, p.b, m=2, method="central_difference")
    return found.values, found.share_of(p.x).isfinite(), found.curved(1).project(p.x).isfinite()


def _path(p: Place) -> Any:
    path = gx.connect(p.clf, p.same[0], p.same[1])
    images = path_places.images_at(path, [0.0, 0.5])
    return path, images, path_places.known_logits(path), path_planes.path_plane(path)


BASIC: dict[str, Work] = {
    "logits": lambda p: p.clf.logits(p.pool),
    "margin": lambda p: p.clf.margin(p.x, 0, p.other),
    "margin_gradient": lambda p: p.clf.margin_gradient(p.x, 0, p.other.to(p.given)),
    "gradient": lambda p: p.clf.gradient(p.x, lambda logits: logits[:, 0]),
    "nearest_boundary": lambda p: p.b,
    "cross_section": lambda p: gx.cross_section(p.clf, p.plane, resolution=33),
    "normal_curvature": lambda p: gx.normal_curvature(
        p.clf, p.b, p.directions, method="central_difference"
    ),
    "mean_curvature": _measured(gx.mean_curvature, "central_difference", probes=6),
    "detect": lambda p: gx.detect(p.clf, p.x, probes=4),
    "prove_segment": lambda p: gx.prove_segment(
        p.clf, p.x[:2], p.x[:2] + 0.01 * (p.x[1:] - p.x[:2])
    ),
}

ALL: dict[str, Work] = BASIC | {
    "nearest, deepfool": lambda p: gx.nearest_boundary(p.clf, p.x, effort="deepfool"),
    "nearest, bounded": lambda p: gx.nearest_boundary(p.clf, p.x, bounded=True),
    "nearest, other": lambda p: gx.nearest_boundary(p.clf, p.x[:1], p.other[:1], effort="accurate"),
    "nearest, subspace": lambda p: gx.nearest_boundary(p.clf, p.x, subspace=p.subspace),
    "everything": lambda p: gx.cross_section(p.clf, p.plane, resolution=17, refine="everything"),
    "exact": lambda p: gx.cross_section(
        p.clf, p.plane, extent=0.1, resolution=9, exact=why_not(p.clf) is None
    ),
    "normal": lambda p: directions.normal(p.b[0]),
    "toward_class": lambda p: directions.toward_class(p.clf, p.x[0], int(p.other[0])),
    "toward_image": lambda p: directions.toward_image(p.x[0], p.x[1]),
    "loss_gradient": lambda p: directions.loss_gradient(p.clf, p.x[0]),
    "random_tangent": lambda p: directions.random_tangent(p.b[0]),
    "principal, smoothed": lambda p: (
        gx.principal_curvatures(p.clf, p.b[:1], method="smoothed").values
    ),
    "principal, two": lambda p: (
        gx.principal_curvatures(p.clf, p.b, 2, method="central_difference", directions=True).values
    ),
    "principal, auto": lambda p: gx.principal_curvatures(p.clf, p.b[:1]).values,
    "normal, secant": lambda p: gx.normal_curvature(p.clf, p.b, p.directions, method="secant"),
    "normal, smoothed": lambda p: gx.normal_curvature(
        p.clf, p.b, p.directions, method="smoothed", at=0.9
    ),
    "mean, smoothed": _measured(gx.mean_curvature, "smoothed", probes=4),
    "mean, auto": _measured(gx.mean_curvature, "auto", probes=4),
    "density": lambda p: (
        gx.curvature_density(p.clf, p.b[:1], probes=2, order=8, method="central_difference").noise
    ),
    "by_step": lambda p: gx.curvature_by_step(
        p.clf, p.b, p.directions, method="central_difference", steps=(0.1, 1.0)
    ),
    "relative": lambda p: gx.relative_curvature(
        p.clf, p.b, p.directions, probes=4, method="central_difference"
    ),
    "normal_sections": lambda p: gx.normal_sections(
        p.clf,
        p.b[:1],
        [directions.random_tangent(p.b[0])],
        resolution=17,
        method="central_difference",
    ),
    "shared": _shared,
    "detect_along": lambda p: gx.detect_along(p.clf, p.b[0], [0.5, 1.5], probes=4),
    "detection_roc": lambda p: gx.detection_roc(p.clf, p.b, probes=4),
    "connect": _path,
    "connect, sampled": lambda p: gx.connect(p.clf, p.same[:2], p.same[2:4], prove=False),
    "connectivity": lambda p: gx.connectivity(p.clf, p.pool, pairs=2, prove=False),
    "perturbed": lambda p: gx.connectivity(
        p.clf, p.pool, pairs=1, scenario="perturbed", prove=False
    ),
    "convex": lambda p: gx.convex_combinations(
        p.clf, p.same, largest=3, combinations=8, label=p.label
    ),
    "noise": lambda p: gx.noise_sensitivity(p.clf, p.x, [p.subspace], draws=3),
    "margins": lambda p: gx.subspace_margins(p.clf, p.x, [p.subspace]),
    "shares": lambda p: gx.subspace_shares(p.clf, p.subspace, p.b, vectors={"mine": p.x}),
}

MIXED = ("principal, auto", "normal, secant")  # what passes do besides, on several devices
ON_DEVICE_OF_IMAGES = {"logits", "margin", "margin_gradient", "gradient"}


def _cases() -> Iterator[Any]:
    """Networks, what is measured, and the classifier's devices; fewer on several of them."""
    two = torch.cuda.device_count() > 1
    places: list[tuple[tuple[str, ...], bool, str]] = [
        (("cpu", "cpu"), True, ""),
        (("cuda:0",), CUDA, NO_GPU),
        (("cuda:0", "cpu"), CUDA, NO_GPU),
        (("cuda:0", "cuda:1"), two, "needs two CUDA devices"),
    ]
    if PRETENDED:
        places = [(("gpu:0",), True, ""), (("gpu:0", "cpu"), True, "")]
    for devices, able, why in places:
        label = "+".join(devices)
        if not able:
            mark = pytest.mark.skip(reason=why)
            yield pytest.param("every network", "everything", devices, id=label, marks=mark)
            continue
        for name in (*LONG, *SHORT) if len(devices) == 1 else SEVERAL:
            keys = BASIC if name in SHORT or len(devices) > 1 else ALL
            for key in (*keys, *(MIXED if len(devices) > 1 and name in LONG else ())):
                yield pytest.param(name, key, devices, id=f"{name}-{key}-{label}")


place = cache(Place)


@cache
def expected(name: str, key: str) -> Any:
    return ALL[key](place(name, ("cpu",), "cpu"))


@pytest.mark.parametrize(("name", "key", "devices"), list(_cases()))
def test_every_device_gives_the_same(name, key, devices):
    images = devices[0] if len(devices) == 1 else "cpu"
    found = dict(numbers(ALL[key](place(name, devices, images))))
    known = dict(numbers(expected(name, key)))
    assert found.keys() == known.keys()
    where = torch.device(images if key in ON_DEVICE_OF_IMAGES else "cpu")
    for field, value in found.items():
        if isinstance(value, Tensor):
            assert value.device == where, field
            torch.testing.assert_close(
                value.detach().cpu().double(), known[field].detach().double(),
                rtol=1e-5, atol=1e-6, equal_nan=True, check_stride=False,
            )  # fmt: skip
        elif isinstance(value, float):
            assert math.isclose(value, known[field], rel_tol=1e-5, abs_tol=1e-6) or value != value
        else:
            assert value == known[field], field


def numbers(value: Any, name: str = "result") -> Iterator[tuple[str, Any]]:
    """All that a result holds, but for how it was made."""
    if dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            if item.name not in ("provenance", "progress"):
                yield from numbers(getattr(value, item.name), f"{name}.{item.name}")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from numbers(item, f"{name}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, f"{name}[{key}]")
    elif isinstance(value, (Tensor, float, int, str)):
        yield name, value


@pytest.mark.skipif(not CUDA, reason=NO_GPU)
@pytest.mark.parametrize("name", [*LONG, *SHORT])
def test_single_precision_is_not_rounded_further_on_a_gpu(name):
    clf = classifier(name, torch.float32)
    images = images_of(name)
    known = clf.logits(images)
    found = clf.replica("cuda").logits(images)
    assert float((found - known).abs().max()) < 2e-5 * float(known.abs().max())


@pytest.mark.skipif(not PRETENDED, reason="runs in the process of the pretended device")
def test_a_gpu_is_waited_for_once_in_a_round_of_crossing(monkeypatch):
    rounds, levels = [], Rays.levels
    monkeypatch.setattr(Rays, "levels", lambda *given: rounds.append(0) or levels(*given))
    p = place("digits-cnn", ("gpu:0",), "gpu:0")
    pretended_device.waits.clear()
    rounds.clear()
    gx.nearest_boundary(p.clf, p.x)
    waits = pretended_device.waits.items()
    assert sum(n for line, n in waits if "geometry.crossings:" in line) <= len(rounds) + 5


@pytest.mark.skipif(CUDA or PRETENDED, reason="there is a GPU: it need not be pretended")
@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this release of torch has no devices that are written in Python",
)
def test_on_a_pretended_gpu():
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__]
    run = subprocess.run(
        command,
        env=os.environ | {"GEOEXPLORER_PRETENDED_DEVICE": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:]
