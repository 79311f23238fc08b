"""The choice of pixels, without any network."""

import pytest
import torch

from geoexplorer.geometry.refinement import Refinement

SHAPES = [(2, 2), (3, 5), (16, 16), (17, 17), (18, 40), (64, 64), (129, 65), (130, 257), (2, 300)]


def _disc(pixels, shape, classes=2):
    """Logits of a disc that fills half of the grid's shorter side."""
    y, x = pixels.double().T
    radius = min(shape) / 4
    margin = radius**2 - (y - shape[0] / 2.1) ** 2 - (x - shape[1] / 1.9) ** 2
    logits = torch.full((len(pixels), classes), -1e3, dtype=torch.float64)
    logits[:, 0], logits[:, 1] = margin / radius**2, -margin / radius**2
    return logits


def _everything(shape):
    return torch.cartesian_prod(torch.arange(shape[0]), torch.arange(shape[1]))


def _run(shape, logits_of, tolerance=0.03):
    refinement = Refinement(shape, tolerance=tolerance)
    asked = []
    while len(pixels := refinement.ask()):
        asked.append(pixels)
        refinement.tell(pixels, logits_of(pixels))
    return refinement, torch.cat(asked)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_disc_is_found_and_no_pixel_is_asked_for_twice(shape):
    refinement, asked = _run(shape, lambda pixels: _disc(pixels, shape))
    assert len(asked.unique(dim=0)) == len(asked)
    assert int(refinement.evaluated.sum()) == len(asked)
    assert bool(refinement.evaluated[tuple(asked.T)].all())
    logits = _disc(_everything(shape), shape)
    assert torch.equal(refinement.labels, logits.argmax(dim=1).reshape(shape))
    margins = (logits[:, 0] - logits[:, 1]).abs().reshape(shape).float()
    seen = refinement.evaluated
    assert torch.allclose(refinement.margins[seen], margins[seen])
    assert refinement.margins.shape == refinement.labels.shape == shape
    assert torch.allclose(refinement.margins, margins, atol=0.05 * float(margins.max()))


def test_after_the_end_nothing_is_asked_for():
    refinement, _ = _run((40, 40), lambda pixels: _disc(pixels, (40, 40)))
    assert refinement.ask().shape == (0, 2)


def test_many_classes_that_never_win_change_nothing():
    shape = (129, 129)
    few, _ = _run(shape, lambda pixels: _disc(pixels, shape))
    many, _ = _run(shape, lambda pixels: _disc(pixels, shape, classes=400))
    assert torch.equal(few.labels, many.labels)


def test_neither_scale_nor_offset_of_the_logits_matters():
    shape = (129, 97)
    plain, _ = _run(shape, lambda pixels: _disc(pixels, shape))
    other, _ = _run(shape, lambda pixels: 1e3 * _disc(pixels, shape) + 1e6)
    assert torch.equal(plain.labels, other.labels)
    assert torch.equal(plain.evaluated, other.evaluated)


def test_a_smaller_tolerance_asks_for_more():
    shape = (129, 129)

    def rough(pixels):
        y, x = pixels.double().T / 12
        waves = torch.sin(x) * torch.cos(1.3 * y) + (torch.sin(2.1 * x + y) - 0.3).abs()
        return torch.stack([waves, 0.8 - waves], dim=1)

    loose, asked = _run(shape, rough, tolerance=0.2)
    strict, asked_more = _run(shape, rough, tolerance=0.01)
    truth = rough(_everything(shape)).argmax(dim=1).reshape(shape)
    assert len(asked_more) > len(asked)
    wrong, wrong_less = (int((run.labels != truth).sum()) for run in (loose, strict))
    assert wrong_less <= wrong
    assert wrong_less <= 1e-4 * truth.numel()


def test_noise_is_evaluated_nearly_everywhere():
    shape = (65, 65)
    noise = torch.randn(*shape, 3, generator=torch.Generator().manual_seed(0))
    refinement, _ = _run(shape, lambda pixels: noise[tuple(pixels.T)])
    assert float(refinement.evaluated.float().mean()) > 0.8
    assert float((refinement.labels != noise.argmax(dim=2)).float().mean()) < 0.01


def test_a_constant_map_costs_the_coarse_grid_only():
    refinement, asked = _run(
        (513, 513), lambda pixels: torch.tensor([[2.0, 1.0]]).repeat(len(pixels), 1)
    )
    assert len(asked) == 25 * 25
    assert int(refinement.labels.sum()) == 0


def test_settling_changes_the_told_pixels_only():
    shape = (129, 129)
    refinement, _ = _run(shape, lambda pixels: _disc(pixels, shape))
    before = refinement.labels
    pixels = (~refinement.evaluated).nonzero()[::7]
    refinement.settle(pixels, torch.tensor([[0.0, 0.0, 5.0]]).repeat(len(pixels), 1))
    chosen = torch.zeros(shape, dtype=torch.bool)
    chosen[tuple(pixels.T)] = True
    assert bool((refinement.labels[chosen] == 2).all())
    assert torch.equal(refinement.labels[~chosen], before[~chosen])
    assert bool(refinement.evaluated[chosen].all())
