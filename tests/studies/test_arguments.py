"""What a study refuses, before any work and before there is a store."""

import re

import numpy as np
import pytest
import torch

import geoexplorer as gx
from tests.studies.networks import Smooth, classifier, images


@pytest.fixture(scope="module")
def clf():
    return classifier()


def study(clf, store, given=None, quantities="boundary", **options):
    return gx.Study(clf, images(6) if given is None else given, quantities, store=store, **options)


class TestArguments:
    @pytest.mark.parametrize(
        ("networks", "error", "message"),
        [
            (None, TypeError, "networks must be a Classifier, several, or a mapping"),
            ("digits-cnn", TypeError, "networks must be a Classifier.*got str"),
            ([], ValueError, "networks must hold at least one"),
            ({}, ValueError, "networks must hold at least one"),
            ([Smooth()], TypeError, "networks must hold Classifiers, got Smooth"),
            ({"a": "digits-cnn"}, TypeError, "networks must hold Classifiers, got str"),
        ],
    )
    def test_networks(self, tmp_path, networks, error, message):
        with pytest.raises(error, match=message):
            study(networks, tmp_path / "s")
        assert not list(tmp_path.iterdir())

    def test_networks_that_do_not_go_together(self, clf, tmp_path):
        with pytest.raises(
            ValueError, match="networks must have different names, got 'small' twice"
        ):
            study([clf, clf], tmp_path / "s")
        digits = gx.load_classifier("digits-cnn", device="cpu")
        with pytest.raises(ValueError, match="networks must take images of one shape"):
            study([clf, digits], tmp_path / "s")

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ("digits", TypeError, "images must be an ImageSet, ImageFiles or an array.*got str"),
            ([1, 2], TypeError, "images must be an ImageSet.*got list"),
            (torch.rand(2, 3, 4, 4), ValueError, r"images must have the shape \(1, 4, 4\)"),
            (torch.rand(0, 1, 4, 4), ValueError, "images must not be empty"),
            (torch.full((2, 1, 4, 4), torch.nan), ValueError, "images must be finite"),
            (np.full((2, 1, 4, 4), 255.0), ValueError, "images must be pixels"),
            (torch.ones(2, 1, 4, 4, dtype=torch.int64), TypeError, "images must be floating point"),
        ],
    )
    def test_images(self, clf, tmp_path, given, error, message):
        with pytest.raises(error, match=message):
            study(clf, tmp_path / "s", given)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"seed": -1}, ValueError, "seed must be"),
            ({"seed": 0.5}, (TypeError, ValueError), "seed must be"),
            ({"seed": None}, (TypeError, ValueError), "seed must be"),
            ({"shard_size": 0}, ValueError, "shard_size must be"),
            ({"shard_size": 2.5}, (TypeError, ValueError), "shard_size must be"),
            ({"threads": 0}, ValueError, "threads must be"),
            ({"threads": "all"}, (TypeError, ValueError), "threads must be"),
            ({"storage_options": ["key"]}, TypeError, "storage_options must be a mapping"),
            ({"storage_options": {"key": 1}}, ValueError, "storage_options are for stores with a"),
            ({"shards": 3}, TypeError, "shards"),
        ],
    )
    def test_options(self, clf, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            study(clf, tmp_path / "s", **options)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("store", "error"), [(None, TypeError), (3, TypeError), ("", ValueError)]
    )
    def test_store(self, clf, store, error):
        with pytest.raises(error, match="store must be a path or a URL"):
            study(clf, store)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"client": "here"}, TypeError, "client must be a dask.distributed.Client or None"),
            ({"retry_failed": "yes"}, TypeError, "retry_failed must be True or False, got 'yes'"),
        ],
    )
    def test_run(self, clf, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            study(clf, tmp_path / "s").run(show=False, **options)
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        (3, "quantities must be a sequence of names or a mapping.*got int"),
        ([], "quantities must name at least one of prediction, boundary"),
        ({}, "quantities must name at least one"),
        (["bondary"], "quantities must be among prediction, boundary.*got 'bondary'"),
        ([["boundary"]], "quantities"),
        ({"boundary": 3}, r"quantities\['boundary'\] must be a mapping of options"),
        ({"boundary": False}, r"quantities\['boundary'\] must be a mapping of options"),
        ({"boundary": {"efort": 1}}, "boundary takes effort, .*, got 'efort'"),
        ({"prediction": {"k": 1}}, "prediction takes no options, got 'k'"),
        ({"boundary": {"effort": "much"}}, "boundary.effort must be one of .*got 'much'"),
        ({"boundary": {"effort": ["accurate"]}}, "boundary.effort must be one of"),
        ({"boundary": {"bounded": 1}}, "boundary.bounded must be True or False, got 1"),
        ({"boundary": {"keep_perturbations": "no"}}, "boundary.keep_perturbations must be True or"),
        ({"boundary": {"bounded": True, "effort": "deepfool"}}, "boundary.effort 'deepfool'"),
        ({"curvature": {"k": 0}}, "curvature.k must be"),
        ({"curvature": {"k": 8}}, "curvature.k must be"),
        ({"curvature": {"k": "some"}}, "curvature.k must be a whole number or 'all', got 'some'"),
        ({"curvature": {"k": None}}, "curvature.k must be"),
        ({"curvature": {"method": "secant"}}, "curvature.method must be one of .*got 'secant'"),
        ({"curvature": {"step": 0}}, "curvature.step must be"),
        ({"curvature": {"step": "wide"}}, "curvature.step must be"),
        ({"curvature": {"step": 1e-30}}, "curvature.step must be"),
        ({"curvature": {"method": "autograd", "step": 0.1}}, "curvature.step must be None for"),
        ({"curvature": {"at": -1}}, "curvature.at must be"),
        ({"curvature": {"at": True}}, "curvature.at must be"),
        ({"mean_curvature": {"probes": 1}}, "mean_curvature.probes must be"),
        ({"mean_curvature": {"method": 1}}, "mean_curvature.method must be one of"),
        ({"mean_curvature": {"step": -1.0}}, "mean_curvature.step must be"),
        ({"mean_curvature": {"at": float("nan")}}, "mean_curvature.at must be"),
        ({"connectivity": {"scenario": "all"}}, "connectivity.scenario must be one or several of"),
        ({"connectivity": {"scenario": []}}, "connectivity.scenario must be one or several of"),
        ({"connectivity": {"scenario": None}}, "connectivity.scenario must be one or several of"),
        ({"connectivity": {"scenario": 3}}, "connectivity.scenario must be one or several of"),
        ({"connectivity": {"effort": "deepfool"}}, "connectivity.effort must be one of"),
        ({"connectivity": {"effort": []}}, "connectivity.effort must be one of"),
        ({"connectivity": {"prove": None}}, "connectivity.prove must be True or False, got None"),
        ({"shared_directions": {"m": 0}}, "shared_directions.m must be"),
        ({"shared_directions": {"m": 17}}, "shared_directions.m must be"),
        ({"shared_directions": {"images": 0}}, "shared_directions.images must be"),
        ({"shared_directions": {"probes": 1}}, "shared_directions.probes must be"),
        ({"shared_directions": {"method": "auto "}}, "shared_directions.method must be one of"),
        ({"shared_directions": {"step": 0.0}}, "shared_directions.step must be"),
        ({"shared_directions": {"at": "z"}}, "shared_directions.at must be"),
        ({"detection": {"probes": 0}}, "detection.probes must be"),
        ({"detection": {"step": -1}}, "detection.step must be"),
        ({"detection": {"classes": 4}}, "detection.classes must be"),
        ({"detection": {"classes": 0}}, "detection.classes must be"),
        ({"detection": {"scales": 0}}, "detection.scales must"),
        ({"detection": {"scales": [0.0]}}, "detection.scales must"),
        ({"detection": {"scales": [2, 2]}}, "detection.scales must differ from each other"),
        ({"detection": {"scales": ["far"]}}, "detection.scales must"),
        ({"detection": {"scales": None}}, "detection.scales must"),
        ({"detection": {"scales": "12"}}, "detection.scales must"),
    ],
)  # fmt: skip
def test_quantities(clf, tmp_path, quantities, message):
    with pytest.raises((TypeError, ValueError), match=message):
        study(clf, tmp_path / "s", quantities=quantities)
    assert not list(tmp_path.iterdir())


def test_a_method_that_the_network_does_not_allow(tmp_path):
    clf = classifier(Smooth(activation=torch.nn.ReLU))
    with pytest.raises(ValueError, match=r"curvature\.method"):
        study(clf, tmp_path / "s", quantities={"curvature": {"method": "autograd", "k": 1}})
    assert not list(tmp_path.iterdir())


class TestStoredOtherwise:
    @pytest.fixture(scope="class")
    @staticmethod
    def store(clf, tmp_path_factory):
        store = tmp_path_factory.mktemp("stored") / "s.zarr"
        study(clf, store, seed=1, shard_size=4, threads=1).run(show=False)
        return store

    @pytest.mark.parametrize(
        ("options", "difference"),
        [
            ({"seed": 2}, "seed is 1 in the store and 2 here"),
            ({"shard_size": 3}, "shard_size is 4 in the store and 3 here"),
            ({"threads": 2}, "threads is 1 in the store and 2 here"),
            ({"given": images(7)}, "images.count is 6 in the store and 7 here"),
            ({"given": images(6, seed=9)}, "images.fingerprint is"),
            ({"quantities": ["boundary", "detection"]}, "quantities.detection is not in the store"),
            ({"quantities": "prediction"}, "quantities.boundary is in the store only"),
            (
                {"quantities": {"boundary": {"effort": "accurate"}}},
                "quantities.boundary.effort is 'interactive' in the store and 'accurate' here",
            ),
        ],
    )
    def test_options(self, clf, store, options, difference):
        with pytest.raises(ValueError, match="made otherwise: .*" + re.escape(difference)):
            study(clf, store, **{"seed": 1, **options})

    @pytest.mark.parametrize(
        ("networks", "difference"),
        [
            (classifier(Smooth(seed=5)), "networks.small.fingerprint is"),
            (classifier(dtype=torch.float32), "networks.small.dtype is 'float64' in the store"),
            (
                classifier(name="other"),
                "networks.small is in the store only; networks.other is not",
            ),
            (classifier(mean=0.5), "networks.small.preprocessing.mean is"),
        ],
    )
    def test_networks(self, store, networks, difference):
        with pytest.raises(ValueError, match=re.escape(difference)):
            study(networks, store, seed=1)

    def test_shard_size_and_threads_are_adopted(self, clf, store):
        again = study(clf, store, seed=1)
        assert again.description["shard_size"] == 4
        assert again.description["threads"] == 1
        before = clf.cost
        again.run(show=False)
        assert clf.cost == before
