"""Reading a study: masked data, tables, and results that can be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import geoexplorer as gx
from geoexplorer.studies.as_results import FORMS

COUNT = 8


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu")
    return gx.Study(
        clf, gx.load_images("digits", n=COUNT),
        {
            "boundary": {"effort": "deepfool"},
            "curvature": {"k": 3, "at": 0.9},
            "connectivity": {"scenario": ["images", "perturbed"]},
            "shared_directions": {"m": 4, "images": 3, "probes": 10},
            "detection": {"probes": 5, "scales": [1.5, 3]},
        },
        store=tmp_path_factory.mktemp("study") / "found.zarr",
        shard_size=4,
    ).run(show=False)  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu")
    x = gx.load_images("digits", n=COUNT).images
    return clf, gx.nearest_boundary(clf, x, effort="deepfool")


def test_every_result_can_be_drawn(study):
    names = [name for name in FORMS if name != "connectivity, random"]
    for name in names:
        figure = study.result(name).figure()
        assert "digits-cnn-smooth" in figure.to_json()


def test_curvatures_are_those_of_the_plain_function(study, plain):
    clf, points = plain
    ours, theirs = study.result("curvature"), gx.principal_curvatures(clf, points, 3, at=0.9)
    torch.testing.assert_close(ours.values, theirs.values, rtol=1e-3, atol=1e-4)
    for name in ("method", "step", "at", "dimension"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert torch.equal(ours.own, theirs.own)
    assert torch.equal(ours.other, theirs.other)
    assert torch.equal(ours.converged, theirs.converged)


def test_the_roc_is_that_of_the_plain_function(study, plain):
    clf, points = plain
    ours, theirs = study.result("detection"), gx.detection_roc(clf, points, (1.5, 3), probes=5)
    torch.testing.assert_close(ours.natural.float(), theirs.natural.float(), rtol=1e-3, atol=1e-3)
    for name in ("changed", "recovered", "runner_up", "own"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for name in ("scales", "perturbation", "probes", "step", "class_names"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for score in ("curvature", "margin"):
        torch.testing.assert_close(ours.auc(score), theirs.auc(score))


def test_shared_directions_are_those_of_the_first_images(study, plain):
    clf, points = plain
    ours, theirs = study.result("shared_directions"), gx.shared_directions(clf, points[:3], 4)
    assert ours.points == theirs.points == 3
    torch.testing.assert_close(ours.values, theirs.values, rtol=1e-3, atol=1e-4)
    relative = study.result("relative_curvature")
    assert len(relative) == COUNT - 3
    there = gx.relative_curvature(clf, points[3:], ours.directions, probes=10)
    torch.testing.assert_close(relative.values.float(), there.values, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(relative.along.float(), there.along, rtol=1e-2, atol=1e-3)


def test_pairs_count_as_in_connectivity(study):
    pairs = study.result("connectivity, perturbed")
    data = study.dataset().sel(scenario="perturbed", network="digits-cnn-smooth")
    assert torch.equal(pairs.first, torch.arange(COUNT))
    assert pairs.altogether().connected == int((data["connected"] == 1).sum())
    assert (pairs.distances > 0).all()


def test_summary_agrees_with_the_results(study):
    row = study.summary().loc["digits-cnn-smooth"]
    assert row["images"] == COUNT
    assert row["AUC, scale 1.5"] == pytest.approx(float(study.result("detection").auc()[0]))
    assert row["distance, median"] == pytest.approx(float(study.dataset()["distance"].median()))
    assert row["accuracy"] == 1.0


def test_the_table_has_one_row_an_image_and_short_dimensions_as_columns(study):
    table = study.to_dataframe()
    assert len(table) == COUNT
    assert {"network", "image", "label", "predicted", "distance", "score_0", "score_1.5"} <= set(
        table
    )
    assert "connected_images" in table
    assert table["distance"].dtype == np.float64
    assert table["predicted"].dtype == np.int64


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("curve",), "form must be one of curvature"),
        (("curvature", "resnet"), "network must be one of digits-cnn-smooth, got 'resnet'"),
        (("connectivity, random",), "it has the scenarios images, perturbed"),
    ],
)
def test_what_is_not_there_is_named(study, arguments, told):
    with pytest.raises(ValueError, match=told):
        study.result(*arguments)


def test_what_is_not_done_is_unknown(tmp_path):
    clf = gx.load_classifier("digits-cnn", device="cpu")
    study = gx.Study(clf, gx.load_images("digits", n=4), store=tmp_path / "s.zarr", shard_size=2)
    steps = study.run_steps()
    while next(steps).done < 1:
        pass
    steps.close()
    data = gx.open_study(tmp_path / "s.zarr").dataset().isel(network=0)
    assert data["status"].values.tolist() == [1, 1, 0, 0]
    assert np.isnan(data["distance"].values[2:]).all()
    assert data["predicted"].values[2:].tolist() == [-1, -1]
    assert study.summary().loc["digits-cnn", "images"] == 2
    with pytest.raises(ValueError, match="needs the quantity 'curvature'"):
        study.result("curvature")
    with pytest.raises(ValueError, match="nothing at"):
        gx.open_study(tmp_path / "nowhere.zarr")


def test_where_no_boundary_is_reached_no_curvature_is_missed(tmp_path):
    class Constant(torch.nn.Module):
        def forward(self, x):
            flat = x.flatten(1)
            return torch.stack([2 + 0 * flat[:, 0], 0 * flat[:, 0]], dim=1)

    clf = gx.Classifier(Constant().eval(), input_shape=(1, 2, 2), device="cpu")
    study = gx.Study(
        clf, torch.rand(3, 1, 2, 2), {"curvature": {"k": 1}, "mean_curvature": {"probes": 2}},
        store=tmp_path / "s.zarr",
    )  # fmt: skip
    data = study.run(show=False).dataset().isel(network=0)
    assert data["reached"].values.tolist() == [0, 0, 0]
    assert data["status"].values.tolist() == [1, 1, 1]
    assert np.isnan(data["curvature"].values).all()
    assert np.isnan(data["mean_curvature"].values).all()


def test_the_log_says_what_everything_took(study):
    log = study.log().isel(network=0)
    taken = log[["forwards", "gradients", "seconds"]].sel(quantity="curvature")
    assert (taken.to_array() > 0).all()
    # The mean of the shape operators takes gradients at all of its points, again and again.
    assert log["directions_gradients"] > 3 * 2
    assert log["directions_seconds"] > 0


def test_somebody_must_be_left_to_measure_the_shared_directions_on(tmp_path):
    clf = gx.load_classifier("digits-cnn", device="cpu")
    images = gx.load_images("digits", n=5)
    with pytest.raises(ValueError, match=r"images must be below the number of images, 5.*got 100"):
        gx.Study(clf, images, "shared_directions", store=tmp_path / "s.zarr")


def test_a_stored_study_says_what_it_is(study):
    assert repr(gx.open_study(study.store)).startswith(
        "StoredStudy(digits-cnn-smooth; 8 images of 'digits, test'; prediction, boundary, curvature"
    )
    assert "curvature_-1" in study.to_dataframe()


def test_scores_of_the_images_alone_are_no_roc(tmp_path):
    clf = gx.load_classifier("digits-cnn", device="cpu")
    options = {"detection": {"scales": (), "probes": np.int64(3)}}
    study = gx.Study(clf, gx.load_images("digits", n=2), options, store=tmp_path / "s.zarr")
    assert study.run(show=False).dataset()["score"].shape == (1, 2, 1)
    with pytest.raises(ValueError, match="has no scales"):
        study.result("detection")


def test_what_partners_are_drawn_by_is_kept_apart(tmp_path):
    clf = gx.load_classifier("digits-cnn", device="cpu")
    options = {"connectivity": {"scenario": ["images", "random"], "prove": False}}
    study = gx.Study(
        clf, gx.load_images("digits", n=12), options, store=tmp_path / "s.zarr", shard_size=6
    )
    data = study.run(show=False).dataset().isel(network=0)
    assert np.array_equal(data["partner_class"].values, data["predicted"].values)
    np.testing.assert_allclose(data["partner_norm"].values, data["norm"].values)
    partners = data["partner"].sel(scenario="images").values
    paired = partners >= 0
    assert paired.any()
    assert np.array_equal(
        data["predicted"].values[partners[paired]], data["predicted"].values[paired]
    )
