"""Curvature along directions at several steps; the crease of known curvature is with the others."""

import pytest
import torch

from geoexplorer import curvature_by_step, normal_curvature
from geoexplorer.geometry.operators import default_step
from tests import analytic
from tests.analytic import boundary_at, classifier
from tests.geometry.test_curvature import SHAPE, D, gaussian, off, unit


class TestCurvatureByStep:
    @pytest.mark.parametrize("method", ["auto", "central_difference", "smoothed", "secant"])
    def test_of_a_quadric_the_step_does_not_matter(self, method):
        module = analytic.Quadric.with_curvatures(torch.linspace(-1.0, 1.5, D - 1), SHAPE)
        clf = classifier(module)
        b = boundary_at(clf, module, torch.zeros(1, *SHAPE))
        # By the normal's part of F along z + s v alone: over the origin every section of this
        # one is a parabola, so that the secant is exact too.
        along = torch.stack([unit(1), unit(D - 1), unit(8) + unit(4)])
        found = curvature_by_step(clf, b, along, steps=[0.01, 0.1, 1.0], method=method)
        truth = module.normal_curvature(b.points, along)
        assert found.method == ("central_difference" if method == "auto" else method)
        assert found.values.shape == (1, 3, 3)
        assert off(found.values, truth[:, :, None].expand(-1, -1, 3)) <= 1e-3

    def test_each_step_is_what_normal_curvature_says(self, smooth, kinked):
        along = gaussian(2, 1, 8, 8)
        for clf, b in (smooth, kinked):
            for method in ("central_difference", "smoothed", "secant"):
                found = curvature_by_step(clf, b[:2], along, steps=[0.1, 0.5], method=method)
                for index, step in enumerate((0.1, 0.5)):
                    expected = normal_curvature(clf, b[:2], along, method=method, step=step)
                    assert off(found.values[:, :, index], expected.double()) <= 1e-4

    def test_steps_of_its_own(self, smooth, kinked):
        for (clf, b), method in ((smooth, "central_difference"), (kinked, "smoothed")):
            found = curvature_by_step(clf, b[:2], gaussian(2, 1, 8, 8))
            assert found.method == method
            assert list(found.steps) == sorted(set(found.steps))
            assert found.steps[0] < default_step(clf) < found.steps[-1]
            assert found.step == pytest.approx(default_step(clf) * (0.1 if clf is smooth[0] else 1))
            assert found.values.shape == (2, 2, len(found.steps))
            assert found.values.isfinite().all()
            assert len(found.direction_names) == 2
            assert len(set(found.direction_names)) == 2

    def test_unsorted_steps_come_back_ascending(self, smooth):
        clf, b = smooth
        along = gaussian(1, 1, 8, 8)
        found = curvature_by_step(clf, b[0], along, steps=[0.5, 0.1])
        assert found.steps == (0.1, 0.5)
        assert torch.equal(
            found.values, curvature_by_step(clf, b[0], along, steps=[0.1, 0.5]).values
        )
