"""What the quantities of a study cost: network passes, seconds and bytes, an image.

``python -m tests.benchmarks.study_costs`` measures a few test images under each bundled network and
prints a row a quantity: forwards and gradients an image as the study's log has them, its seconds of
CPU time with one thread, fair on a busy machine, and the bytes of the compressed chunks in the
store, all images being one shard. Shared directions are found once a network: that row is a point
of the mean. Where ``~`` stands, the passes are those measured on shapes-lenet (of as many
dimensions, and with kinks), and the seconds follow from what a gradient takes.

``--imagenet`` prints the same for images of 3 x 224 x 224 and 1,000 classes under a small network
of convolutions and ReLUs with random weights, whose passes take little. How many there are depends
on the dimension, the classes and the kinks, hardly on the network; ``--imagenet resnet18`` and
other names of torchvision's put that to the test (with ``--random``, on random weights).
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

import geoexplorer as gx
from geoexplorer.studies.quantities import Facts, chosen_quantities

_FEW = {"digits": 20, "lenet": 4, "nin": 2, "resnet": 2}  # images, by a word in the name
_LARGE = 1000  # dimensions beyond which curvatures are measured at one image


@dataclass(frozen=True)
class _Row:
    """What one quantity took, an image."""

    name: str
    images: int
    forwards: float
    gradients: float
    seconds: float
    stored: float | None
    computed: bool = False

    def __str__(self) -> str:
        stored = "" if self.stored is None else f"{self.stored:10,.0f}"
        mark = "~" if self.computed else " "
        return (
            f"  {self.name:36} {self.images:3} {mark}{self.forwards:9,.0f} "
            f"{mark}{self.gradients:9,.0f} {mark}{self.seconds:8.3f} {stored}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=gx.list_classifiers(torchvision=False))
    parser.add_argument("--imagenet", nargs="?", const="small", metavar="NAME")
    parser.add_argument("--random", action="store_true", help="random weights, no download")
    parser.add_argument("--images", type=int, help="in place of the usual few")
    parser.add_argument("--only", nargs="*", help="rows that begin with one of these words")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, one thread; an image:\n"
        f"  {'':36} {'n':>3} {'forwards':>10} {'gradients':>10} {'CPU s':>9} {'bytes':>10}"
    )
    if arguments.imagenet:
        clf = _for_imagenet(arguments.imagenet, arguments.random)
        images = _large_images(arguments.images or 2)
        _print(clf, images, _imagenet_cases(), arguments.only)
    else:
        all_curvatures: _Row | None = None
        for name in arguments.networks:
            count = arguments.images or next(n for word, n in _FEW.items() if word in name)
            clf = gx.load_classifier(name, device="cpu")
            images = gx.load_images(name.split("-")[0], split="test").images[:count]
            rows = _print(clf, images, _cases(clf, count), arguments.only)
            found = [row for row in rows if row.name == "curvature, k='all'"]
            if name == "shapes-lenet" and found:
                (all_curvatures,) = found
            if not found and all_curvatures is not None:
                print(_computed(all_curvatures, rows))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.1f} GiB")


def _cases(clf: gx.Classifier, count: int) -> list[Mapping[str, Any]]:
    """Studies that have every row between them."""
    cases: list[Mapping[str, Any]] = [
        {"boundary": {"effort": "interactive"}, "mean_curvature": {}, "detection": {}},
        {"boundary": {"effort": "accurate"}},
        {"boundary": {"effort": "deepfool"}},
        {"curvature": {"k": 10}},
        {"shared_directions": {"images": count // 2}},
        {"connectivity": {"prove": False}},
    ]
    if "digits" in clf.name or "lenet" in clf.name:  # proofs about the others take minutes
        cases.append({"curvature": {"k": "all"}})
        if not clf.name.endswith("smooth"):
            cases.append({"connectivity": {"prove": True}})
    return cases


def _imagenet_cases() -> list[Mapping[str, Any]]:
    central = {"method": "central_difference"}
    return [
        {"boundary": {"effort": "interactive"}},
        {"boundary": {"effort": "accurate"}},
        {"boundary": {"effort": "deepfool"}},
        {"detection": {"classes": 10}},
        {"detection": {"classes": 10, "scales": []}},
        {"mean_curvature": {}},
        {"mean_curvature": {"probes": 10}},
        {"mean_curvature": central},
        {"curvature": {"k": 10}},
        {"curvature": {"k": 3}},
        {"curvature": {"k": 10} | central},
        {"detection": {"scales": []}},
    ]


def _print(
    clf: gx.Classifier, images: Tensor, cases: list[Mapping[str, Any]], only: list[str] | None
) -> list[_Row]:
    d = clf.dimension
    print(f"{clf.name}: d = {d:,}, {clf.n_classes} classes", flush=True)
    printed: dict[str, _Row] = {}
    for case in cases:
        if only and not any(_name(name, case).startswith(word) for name in case for word in only):
            continue
        few = images
        if "curvature" in case and d > _LARGE:
            few = images[:1]
        if "connectivity" in case:
            few = _of_one_class(clf, len(images))
        for row in _measured(clf, few, case):
            if row.name not in printed:
                print(row, flush=True)
                printed[row.name] = row
    return list(printed.values())


def _measured(clf: gx.Classifier, images: Tensor, case: Mapping[str, Any]) -> list[_Row]:
    """Rows of one study."""
    with tempfile.TemporaryDirectory() as folder:
        study = gx.Study(
            clf, images, case, store=Path(folder) / "study.zarr", shard_size=len(images), threads=1
        )
        before, began = clf.cost, time.process_time()
        # The log's seconds are those of this clock.
        cpu = SimpleNamespace(monotonic=time.process_time)
        with patch("geoexplorer.studies.computing.time", cpu):
            study.run(show=False)
        seconds, cost = time.process_time() - began, clf.cost - before
        failures = study.failures()
        if len(failures):
            print(failures.to_string())
        log = study.log().isel(network=0, shard=0)
        rows = []
        for quantity in chosen_quantities(case):
            options = study.description["quantities"]
            one, count = log.sel(quantity=quantity.name), len(images)
            seen = options.get("shared_directions", {}).get("images", 0)
            if quantity.name == "shared_directions":
                count -= seen  # it is measured at the others
            rows.append(
                _Row(
                    _name(quantity.name, options),
                    count,
                    float(one["forwards"]) / count,
                    float(one["gradients"]) / count,
                    float(one["seconds"]) / count,
                    _bytes_of(study, quantity) / count,
                )
            )
        if "shared_directions" in case:
            # It is not in the log: what was done besides what is there.
            rest = [
                whole - float(log[name].sum())
                for name, whole in (
                    ("forwards", cost.forwards), ("gradients", cost.gradients), ("seconds", seconds)
                )
            ]  # fmt: skip
            rows.append(
                _Row("shared_directions, finding them", seen, *(x / seen for x in rest), None)
            )
    return rows


def _name(quantity: str, options: Mapping[str, Any]) -> str:
    """With the options that matter for the cost."""
    given = options.get(quantity, {})
    if quantity == "boundary":
        return f"boundary, {given.get('effort', 'interactive')}"
    if quantity == "connectivity":
        return f"connectivity, {'proven' if given.get('prove', True) else 'sampled'}"
    if quantity == "detection":
        classes = given.get("classes")
        scales = len(given.get("scales", (1.02, 2.0, 5.0)))
        return f"detection, {classes or 'all'} classes, {scales} scales"
    words = [quantity]
    if "k" in given:
        words.append(f"k={given['k']!r}")
    if given.get("probes", 100) != 100:
        words.append(f"probes={given['probes']}")
    if given.get("method", "auto") != "auto":
        words.append(given["method"])
    return ", ".join(words)


def _bytes_of(study: gx.Study, quantity: Any) -> int:
    """Length of the chunks that hold a quantity of each image."""
    shape = tuple(study.description["images"]["shape"])
    variables = quantity.variables(Facts(shape, "float32"))
    return sum(
        chunk.stat().st_size
        for name, variable in variables.items()
        if variable.by == "image"
        for chunk in (Path(study.store) / name).rglob("*")
        if chunk.is_file() and not chunk.name.startswith(".z")
    )


def _computed(measured: _Row, rows: list[_Row]) -> _Row:
    """All curvatures of another network, from what a gradient takes it."""
    known = next(row for row in rows if row.name == "curvature, k=10")
    seconds = measured.gradients * known.seconds / known.gradients
    return _Row(
        measured.name, 0, measured.forwards, measured.gradients, seconds, measured.stored, True
    )


def _for_imagenet(name: str, random: bool) -> gx.Classifier:
    torch.manual_seed(0)
    if name != "small":
        weights = {"weights": None} if random else {}
        return gx.load_classifier(name, device="cpu", **weights)
    module = nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=4, padding=3), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(1024, 1000),
    ).eval()  # fmt: skip
    return gx.Classifier(
        module, input_shape=(3, 224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
        device="cpu", name="small",
    )  # fmt: skip


def _of_one_class(clf: gx.Classifier, count: int) -> Tensor:
    """Test images that can be joined to each other."""
    images = gx.load_images(clf.name.split("-")[0], split="test").images[: 20 * count]
    labels = clf.labels(images)
    return images[labels == labels.mode().values][:count]


def _large_images(count: int) -> Tensor:
    """Drawn shapes in the size of ImageNet's."""
    images = gx.load_images("shapes", split="test").images[:count]
    return nn.functional.interpolate(images, size=(224, 224), mode="bilinear").clamp(0, 1)


if __name__ == "__main__":
    main()
