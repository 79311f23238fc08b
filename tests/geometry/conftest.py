"""Networks on whose boundary curvature is measured."""

import pytest
import torch

import geoexplorer as gx


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
