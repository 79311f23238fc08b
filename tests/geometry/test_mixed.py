"""Mixed precision: against maps known in closed form, and against those of full precision."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from geoexplorer.classifier import Classifier, Cost
from geoexplorer.geometry import mixed
from geoexplorer.geometry.mixed import Mixed, rough_forward
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.refinement import Refinement
from geoexplorer.geometry.sections import cross_section, cross_section_steps
from geoexplorer.images import load_images
from geoexplorer.zoo import load_classifier

SIDE = 129
Y, X = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
MARGINS = (40.3 - torch.hypot(X - 60.1, Y - 61.7)) / 40  # of class 0, a disc
TRUTH = (MARGINS < 0).long()


class Disc:
    """Full values in closed form, rough ones with a given error; notes what it was asked."""

    def __init__(self, error):
        self.error = error
        self.full = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        self.rough = 0

    def logits(self, pixels):
        self.full[tuple(pixels.T)] = True
        return self._both(MARGINS[tuple(pixels.T)])

    def rough_logits(self, pixels):
        self.rough += len(pixels)
        return self._both((MARGINS + self.error)[tuple(pixels.T)])

    def _both(self, margins):
        return torch.stack([margins, -margins], dim=1) / 2


def _mapped(error):
    disc = Disc(error)
    refinement = Refinement((SIDE, SIDE), tolerance=0.03)
    while len(pixels := refinement.ask()):
        refinement.tell(pixels, disc.logits(pixels))
    before = int(disc.full.sum())
    evaluator = Mixed(refinement, disc)
    for pixels in (~refinement.evaluated).nonzero().tensor_split(3):
        evaluator.settle(pixels)
    evaluator.finish()
    return refinement, evaluator, disc, before


def test_errors_are_outgrown_and_few_pixels_are_evaluated_anew():
    error = 0.05 * torch.sin(X / 7.0) * torch.cos(Y / 5.0)
    assert int((((MARGINS + error) < 0).long() != TRUTH).sum()) > 100
    refinement, evaluator, disc, before = _mapped(error)
    assert torch.equal(refinement.labels, TRUTH)
    assert bool(refinement.evaluated.all())
    assert 0.09 < evaluator.bound < 0.101
    assert int(disc.full.sum()) - before < 0.25 * SIDE**2
    assert disc.rough > 0.8 * SIDE**2


def test_values_beside_a_boundary_are_full():
    refinement, _, disc, _ = _mapped(0.01 * torch.cos(X * 1.7 + Y))
    crossing = torch.zeros_like(disc.full)
    for a, b in (((0, 1), (0, 0)), ((0, 0), (0, 1)), ((0, 1), (0, 1))):
        one = (slice(a[0], SIDE - a[1]), slice(b[0], SIDE - b[1]))
        other = (slice(a[1], SIDE), slice(b[1], SIDE))
        differ = TRUTH[one] != TRUTH[other]
        crossing[one] |= differ
        crossing[other] |= differ
    assert int(crossing.sum()) > 200
    assert bool(disc.full[crossing].all())
    assert torch.allclose(refinement.margins[crossing], MARGINS.abs()[crossing], atol=1e-6)
    assert not torch.allclose(refinement.margins, MARGINS.abs(), atol=1e-3)


def test_an_error_that_shows_late_unsettles_what_was_settled():
    # None where the network was compared before, much of it elsewhere.
    seen = _mapped(torch.zeros(SIDE, SIDE))[2].full
    refinement, evaluator, disc, _ = _mapped(torch.where(seen, 0.0, 0.3))
    assert evaluator.bound == pytest.approx(0.6, abs=1e-4)
    assert torch.equal(refinement.labels, TRUTH)
    assert bool(disc.full[(MARGINS.abs() < 0.25)].all())
    assert not bool(disc.full.all())


def test_margins_that_are_right_but_for_their_class_settle_nothing():
    refinement, evaluator, disc, _ = _mapped(-2 * MARGINS)
    assert torch.equal(refinement.labels, TRUTH)
    assert bool(disc.full.all())
    assert evaluator.bound > 2 * float(MARGINS.abs().max())


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_rough_values_that_are_not_finite_settle_nothing(wrong):
    error = torch.zeros(SIDE, SIDE)
    error[20:30, 20:100] = wrong
    refinement, _, disc, _ = _mapped(error)
    assert torch.equal(refinement.labels, TRUTH)
    assert bool(disc.full[20:30, 20:100].all())
    assert torch.allclose(refinement.margins, MARGINS.abs(), atol=1e-6)


@pytest.fixture(scope="module")
def clf():
    return load_classifier("shapes-lenet", device="cpu")


@pytest.fixture(scope="module")
def plane():
    return Plane.through(*load_images("shapes", split="test").images[:3])


def test_the_map_is_that_of_full_precision(clf, plane):
    options = {"resolution": 97, "refine": "everything"}
    full = cross_section(clf, plane, **options)
    before = clf.cost
    found = cross_section(clf, plane, **options, precision="mixed")
    assert torch.equal(found.labels, full.labels)
    assert len(found.boundaries) == len(full.boundaries)
    for one, other in zip(found.boundaries, full.boundaries, strict=True):
        assert one.classes == other.classes
        assert np.allclose(one.points, other.points, atol=1e-4)
    differences = (found.margins - full.margins).abs()
    assert float(differences.max()) < 0.1
    assert float((differences > 1e-5).double().mean()) > 0.5  # or nothing was short
    # Every pass is counted, the short ones as well.
    spent = clf.cost - before
    assert spent == Cost(found.evaluations) == found.cost
    assert 97**2 < found.evaluations < 1.3 * 97**2
    assert found.provenance.options["precision"] == "mixed"
    assert full.provenance.options["precision"] == "full"


def test_steps_end_with_the_same_map(clf, plane):
    options = {"resolution": 60, "refine": "everything", "precision": "mixed"}
    steps = list(cross_section_steps(clf, plane, **options))
    assert len(steps) > 8
    assert torch.equal(steps[-1].labels, cross_section(clf, plane, **options).labels)


def test_where_the_coarse_grid_is_everything_no_pass_is_short(clf, plane):
    found = cross_section(clf, plane, resolution=9, refine="everything", precision="mixed")
    assert found.evaluations == 82


def test_rough_logits_are_those_of_a_network_rounded_to_bfloat16():
    weights = torch.randn(3, 12, generator=torch.Generator().manual_seed(0))
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False)).eval()
    with torch.no_grad():
        module[1].weight.copy_(weights)
    # Normalised before anything is rounded: the images differ in digits that bfloat16 has not.
    clf = Classifier(module, input_shape=(3, 2, 2), mean=0.5, std=1e-4, device="cpu")
    images = 0.5 + 1e-4 * torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    expected = ((images - 0.5) / 1e-4).flatten(
        1
    ).bfloat16().double() @ weights.bfloat16().double().T
    before = clf.cost
    rough = rough_forward(clf, images)
    assert rough.dtype == torch.float32
    assert torch.allclose(rough.double(), expected, rtol=2**-7, atol=2**-7)
    assert not torch.allclose(rough, clf.forward(images), rtol=1e-6)
    assert clf.cost - before == Cost(10)


def test_the_copy_is_made_once_and_goes_with_the_network(plane):
    clf = load_classifier("shapes-lenet", device="cpu")
    fingerprint = clf.fingerprint
    images = torch.rand(2, 3, 32, 32)
    rough = rough_forward(clf, images)
    copied = mixed._in_bfloat16(clf.module)
    assert mixed._in_bfloat16(clf.module) is copied
    assert all(weight.dtype == torch.float32 for weight in clf.module.parameters())
    twin = clf.replica("cpu")
    assert twin.fingerprint == clf.fingerprint == fingerprint
    assert torch.equal(rough_forward(twin, images), rough)
    watched = weakref.ref(copied)
    del copied, clf
    gc.collect()
    assert watched() is None


class OnlyFull(nn.Module):
    """Multiplies by weights of its own making, in float32 whatever it was given."""

    def forward(self, x):
        return x.flatten(1) @ torch.ones(12, 2, dtype=torch.float32)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("precision must be one of 'full', 'mixed', got 'half'", {"precision": "half"}),
        ("precision='mixed' needs refine='everything'", {"refine": "boundary"}),
        ("precision must be 'full' for this network, which cannot compute in bfloat16", {}),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(message, options):
    clf = Classifier(OnlyFull().eval(), input_shape=(3, 2, 2), device="cpu")
    plane = Plane.through(*torch.rand(3, 3, 2, 2, generator=torch.Generator().manual_seed(0)))
    before = clf.cost
    with pytest.raises(ValueError, match=message):
        cross_section_steps(clf, plane, **{"refine": "everything", "precision": "mixed"} | options)
    assert clf.cost == before
    full = cross_section(clf, plane, resolution=9, refine="everything")
    assert full.evaluations == 82
