import pytest
import torch

from geoexplorer.zoo.networks import ARCHITECTURES, build


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("shape", "n_classes"), [((3, 32, 32), 10), ((1, 28, 28), 4)])
def test_shapes(architecture, shape, n_classes):
    network = build(architecture, shape, n_classes).eval()
    assert network(torch.zeros(2, *shape)).shape == (2, n_classes)


def test_unknown_architecture():
    with pytest.raises(ValueError, match=r"architecture must be one of 'cnn', .* got 'vgg'"):
        build("vgg", (3, 32, 32), 10)


def second_derivatives(architecture):
    """Of a margin along a line, twice: by autograd, and from gradients a small step apart."""
    torch.manual_seed(0)
    network = build(architecture, (1, 20, 20), 5).double().eval()
    x, v = torch.rand(8, 1, 20, 20, dtype=torch.float64), torch.randn(1, 20, 20).double()

    def slope(t):
        t = torch.full((8,), t, dtype=torch.float64, requires_grad=True)
        logits = network(x + t[:, None, None, None] * v)
        (first,) = torch.autograd.grad((logits[:, 0] - logits[:, 1]).sum(), t, create_graph=True)
        return first, t

    first, t = slope(0.0)
    (exact,) = torch.autograd.grad(first.sum(), t)
    step = 1e-4
    return exact, (slope(step)[0] - slope(-step)[0]).detach() / (2 * step)


@pytest.mark.parametrize("architecture", ["cnn-smooth", "lenet-smooth"])
def test_smooth_networks_have_no_kink(architecture):
    exact, measured = second_derivatives(architecture)
    assert exact.abs().min() > 1e-6
    torch.testing.assert_close(measured, exact, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("architecture", ["cnn", "lenet", "nin", "resnet"])
def test_the_others_are_piecewise_linear(architecture):
    """Logits along a line are straight over a short way, and bend over a long one."""
    torch.manual_seed(0)
    network = build(architecture, (1, 20, 20), 5).double().eval()
    x, v = torch.rand(1, 1, 20, 20).double(), torch.randn(1, 20, 20).double()
    near = network(x + torch.linspace(0, 1e-6, 5).double()[:, None, None, None] * v)[:, 0]
    far = network(x + torch.linspace(0, 2, 5).double()[:, None, None, None] * v)[:, 0]
    assert near.diff(n=2).abs().max() < 1e-12
    assert far.diff(n=2).abs().max() > 1e-5
