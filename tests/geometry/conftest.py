"""Networks on whose boundary curvature is measured, and what several tests share of them."""

import pytest
import torch

import geoexplorer as gx
from geoexplorer.geometry.subspaces import shared_directions
from tests import analytic
from tests.analytic import CURVATURES, SMALL, classifier


@pytest.fixture(scope="session")
def smooth():
    """A network without kinks in 64 dimensions, and nearest points of ten images."""
    clf = gx.load_classifier("digits-cnn-smooth", device="cpu", dtype=torch.float64)
    return clf, gx.nearest_boundary(clf, gx.load_images("digits").images[:10], effort="accurate")


@pytest.fixture(scope="session")
def kinked():
    """A network with kinks in 64 dimensions, and nearest points of six images."""
    clf = gx.load_classifier("digits-cnn", device="cpu")
    return clf, gx.nearest_boundary(clf, gx.load_images("digits").images[:6], effort="accurate")


@pytest.fixture(scope="module")
def small():
    """Quadrics that share four curved directions, their classifier, and 24 boundary points."""
    module = analytic.SharedQuadrics(SMALL, CURVATURES)
    clf = classifier(module)
    return module, clf, module.boundary(clf, 24)


@pytest.fixture(scope="module")
def everything(small):
    """All shared directions of these points."""
    return shared_directions(small[1], small[2])
