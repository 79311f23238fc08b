"""Which networks are taken as piecewise linear, and whether they then really are it.

Networks are looked at from outside: the logits between two crossings of a proven segment must lie
on a straight line, and they must be those of the network itself in float64.
"""

import copy
import gc
import math
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from geoexplorer.classifier import Classifier
from geoexplorer.geometry.certificates import prove_segment
from geoexplorer.geometry.piecewise import Program, program_of
from geoexplorer.geometry.recording import recorded_calls

SHAPE = (2, 6, 6)


class Apply(nn.Module):
    """A function of the image as a module, with modules and buffers that it may use."""

    def __init__(self, function, *modules, **buffers):
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(modules)
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x):
        return self.function(self, x)


class Watched(nn.Module):
    """Doubles three times, and counts the results before that are still in memory."""

    def __init__(self):
        super().__init__()
        self.weight, self.alive = nn.Parameter(torch.ones(1, 4, 2)), []

    def forward(self, x):
        gone = []
        for _ in range(3):
            x = x.flatten(1).relu()
            gone.append(weakref.ref(x))
            x = x * 2
        self.alive.append(sum(before() is not None for before in gone))
        return x[:, :8] @ self.weight[0].repeat(2, 1)


def test_writing_down_holds_no_results_that_the_network_does_not():
    clf = Classifier(Watched().eval(), input_shape=SHAPE, device="cpu")
    network = copy.deepcopy(clf.module).double()
    network[1].alive.clear()
    recorded_calls(clf, network)
    assert network[1].alive == [0, 0]


def test_nothing_that_an_operation_took_is_held():
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)).eval()
    program = program_of(Classifier(module, input_shape=SHAPE, device="cpu"))
    images = torch.rand(2, *SHAPE, dtype=torch.float64)
    gc.disable()
    try:
        program.nodes[0].kind.apply(images)
        images = weakref.ref(images)
        assert images() is None
    finally:
        gc.enable()


def test_no_copy_is_made_of_a_network_with_an_unknown_operation(monkeypatch):
    module = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.GELU(), nn.Linear(8, 2)).eval()
    clf = Classifier(module, input_shape=SHAPE, device="cpu")
    monkeypatch.setattr("geoexplorer.geometry.piecewise.copy.deepcopy", None)
    assert program_of(clf) == "aten.gelu is not piecewise linear, or not known to be"


def test_an_unknown_operation_of_no_use_to_the_logits():
    module = nn.Sequential(nn.Flatten(), nn.Linear(72, 2)).eval()

    def forward(self, x):
        logits = self.parts[0](x)
        logits.softmax(1), logits.clone().tanh_()
        return logits

    clf = Classifier(Apply(forward, module).eval(), input_shape=SHAPE, device="cpu")
    assert isinstance(program_of(clf), Program)


def on(function):
    """A function of the image alone as a module."""
    return Apply(lambda _, x: function(x))


def conv(outputs=4, inputs=2, size=3, **options):
    options.setdefault("padding", 1)
    return nn.Conv2d(inputs, outputs, size, **options)


def randomised(module, seed=0):
    """The module in float64 and evaluation mode, every weight and running statistic drawn."""
    generator = torch.Generator().manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for value in module.parameters():
            scale = 1 / math.sqrt(max(value[0].numel(), 1)) if value.ndim > 1 else 0.5
            value.copy_(scale * torch.randn(value.shape, generator=generator).double())
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
                size = part.running_mean.shape
                part.running_mean.copy_(0.3 * torch.randn(size, generator=generator))
                part.running_var.copy_(0.2 + torch.rand(size, generator=generator))
    return module


def with_head(*layers, seed=0, shape=SHAPE):
    """The layers, then two linear ones that end in three classes."""
    features = nn.Sequential(*layers).double().eval()
    size = features(torch.zeros(2, *shape).double()).flatten(1).shape[1]
    head = (nn.Flatten(), nn.Linear(size, 6), nn.ReLU(), nn.Linear(6, 3))
    return randomised(nn.Sequential(*features, *head), seed)


def images(count, seed=0, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *shape, generator=generator, dtype=torch.float64)


def classifier(module, shape=SHAPE, **options):
    return Classifier(module, input_shape=shape, device="cpu", **options)


def logits_along(module, a, b, t):
    with torch.no_grad():
        return module(a + t[:, None, None, None] * (b - a))


def inside_pieces(t, each):
    """Random places inside the pieces between ``t``, so many for each, and their pieces."""
    generator = torch.Generator().manual_seed(1)
    shares = torch.rand(len(t) - 1, each, generator=generator, dtype=torch.float64)
    places = t[:-1, None] + shares * (t[1:] - t[:-1])[:, None]
    return places.flatten(), torch.arange(len(t) - 1).repeat_interleave(each)


def interpolated(proof, places, pieces):
    t, logits = proof.t, proof.logits
    weights = ((places - t[pieces]) / (t[pieces + 1] - t[pieces]))[:, None]
    return (1 - weights) * logits[pieces] + weights * logits[pieces + 1]


def assert_is_right(proof, module, a, b):
    """A whole segment's proof against the float64 module: corners, pieces, and the verdict."""
    t, logits = proof.t, proof.logits
    assert (t[0], t[-1]) == (0.0, 1.0)
    assert (t[1:] > t[:-1]).all()
    assert proof.pieces == len(t) - 1 == len(proof.crossings) + 1
    truth = logits_along(module, a, b, t)
    size = 1 + truth.abs().max()
    assert (logits - truth).abs().max() < 1e-9 * size
    assert proof.rounding < 1e-7 * size
    places, pieces = inside_pieces(t, 3)
    between = logits_along(module, a, b, places)
    assert (interpolated(proof, places, pieces) - between).abs().max() < 1e-9 * size

    others = between.clone()
    others[:, proof.label] = -math.inf
    margins = between[:, proof.label] - others.amax(1)
    assert proof.label == truth[0].argmax()
    assert proof.least_margin <= margins.min() + proof.rounding
    out = places[margins < -proof.rounding]
    if len(out):
        assert proof.inside is False
        assert proof.place <= out.min()
    if proof.inside:
        assert proof.least_margin > proof.rounding
    if proof.inside is False:
        around = logits_along(module, a, b, torch.tensor([proof.place], dtype=torch.float64))[0]
        assert (around[proof.label] - around[proof.other]).abs() < 1e-7 * size


def assert_exact(module, shape=SHAPE, *, least=3, **options):
    """Three segments proven, at least so many pieces in all, each one as the module has it."""
    module = module.double().eval()
    clf = classifier(module, shape, **options)
    a, b = images(6, 3, shape).chunk(2)
    a, b = 2 * a - 0.5, 2 * b - 0.5
    proofs = prove_segment(clf, a, b, stop=False)
    assert isinstance(program_of(clf), Program)
    assert all(proof.exact and proof.spacing is None for proof in proofs)
    for proof, start, end in zip(proofs, a, b, strict=True):
        assert_is_right(proof, module, start, end)
    assert sum(proof.pieces for proof in proofs) >= least


def assert_sampled(module, shape=SHAPE, **options):
    """Never called proven."""
    clf = classifier(module, shape, **options)
    a, b = images(2, 3, shape)
    proof = prove_segment(clf, a.to(clf.dtype), b.to(clf.dtype))
    assert isinstance(program_of(clf), str)
    assert not proof.exact
    assert proof.pieces == 0
    assert len(proof.crossings) == 0
    assert proof.spacing > 0


def assert_right_or_sampled(module, shape=SHAPE):
    """What may be beyond the method, but must not be wrong."""
    clf = classifier(module.double().eval(), shape)
    if isinstance(program_of(clf), str):
        assert_sampled(module, shape)
    else:
        assert_exact(module, shape, least=1)


UNITS = {
    "relu": nn.ReLU(),
    "relu in place": nn.ReLU(inplace=True),
    "leaky relu": nn.LeakyReLU(0.1),
    "leaky relu, falling": nn.LeakyReLU(-0.5),
    "leaky relu, steeper below": nn.LeakyReLU(3.0),
    "leaky relu in place": nn.LeakyReLU(0.2, inplace=True),
    "prelu": nn.PReLU(),
    "prelu of channels": nn.PReLU(4),
    "relu6": nn.ReLU6(),
    "relu6 in place": nn.ReLU6(inplace=True),
    "hardtanh": nn.Hardtanh(-0.2, 0.3),
    "hardsigmoid that saturates": on(lambda x: F.hardsigmoid(8 * x)),
    "threshold": nn.Threshold(0.1, 0.1),
    "threshold at zero": nn.Threshold(0.0, 0.0),
    "abs": on(torch.abs),
    "abs in place": on(lambda x: (x + 0).abs_()),
    "clamp": on(lambda x: x.clamp(-0.1, 0.4)),
    "clamp below": on(lambda x: x.clamp(min=0.1)),
    "clamp above": on(lambda x: x.clamp(max=0.1)),
    "clamp in place": on(lambda x: (2 * x).clamp_(-0.1, 0.4)),
    "clamp to one value": on(lambda x: x + x.clamp(0.1, 0.1)),
    "clamp with crossed limits": on(lambda x: x + x.clamp(0.4, -0.1)),
    "maximum with a constant": on(lambda x: torch.maximum(x, torch.tensor(0.1).double())),
    "minimum with a constant": on(lambda x: torch.minimum(x, torch.tensor(0.1).double())),
    "maximum with a constant on the left": on(lambda x: torch.maximum(torch.ones(4, 1, 1) / 9, x)),
    "maximum of two": on(lambda x: torch.maximum(x[:, :2], x[:, 2:])),
    "largest pixel": on(lambda x: x.amax((2, 3))),
    "largest pixel, kept": on(lambda x: x.amax((2, 3), keepdim=True)),
    "largest of a row": on(lambda x: x.amax(-1)),
    "relu of relu": nn.Sequential(nn.ReLU(), nn.ReLU()),
    "relu of abs of relu": nn.Sequential(nn.ReLU(), on(torch.abs), nn.ReLU()),
    "both signs": on(lambda x: torch.cat([F.relu(x), F.relu(-x)], 1)),
    "pooled relu": nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)),
    "relu of pooled": nn.Sequential(nn.MaxPool2d(2), nn.ReLU()),
    "pooled relu6": nn.Sequential(nn.ReLU6(), nn.MaxPool2d(2)),
    "pooled leaky relu": nn.Sequential(nn.LeakyReLU(-0.3), nn.MaxPool2d(2)),
    "relu used twice and pooled": on(
        lambda x: F.max_pool2d(x.relu(), 2) - F.avg_pool2d(x.relu(), 2)
    ),
}


@pytest.mark.parametrize("name", UNITS)
def test_units(name):
    assert_exact(with_head(conv(), UNITS[name]), least=10)


class Residual(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.first, self.second, self.kind = conv(2), conv(2), kind

    def forward(self, x):
        y = self.second(F.relu(self.first(x)))
        if self.kind == "in place":
            y += x
            return F.relu(y, inplace=True)
        return F.relu(x - y)


class Shortcut(nn.Module):
    """Strided, with zeros for the channels that are new."""

    def __init__(self, kind):
        super().__init__()
        self.conv, self.kind = conv(4, stride=2), kind

    def forward(self, x):
        y = x[:, :, ::2, ::2]
        if self.kind == "padded":
            y = F.pad(y, (0, 0, 0, 0, 1, 1))
        elif self.kind == "zeros":
            zeros = torch.zeros(len(x), 2, *y.shape[2:], dtype=x.dtype, device=x.device)
            y = torch.cat([y, zeros], 1)
        elif self.kind == "new zeros":
            y = torch.cat([y, y.new_zeros(y.shape)], 1)
        else:
            y = torch.cat([y, torch.zeros_like(y)], 1)
        return F.relu(self.conv(x) + y)


def shuffled(x):
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


LAYERS = {
    "maxpool with stride": nn.MaxPool2d(3, 2),
    "maxpool with padding": nn.MaxPool2d(3, 1, 1),
    "maxpool with dilation": nn.MaxPool2d(2, 1, dilation=2),
    "maxpool with all": nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2), ceil_mode=True),
    "maxpool with a last window that is cut": nn.MaxPool2d(4, 3, ceil_mode=True),
    "maxpool of one": nn.MaxPool2d(1),
    "adaptive maxpool": nn.AdaptiveMaxPool2d(3),
    "adaptive maxpool, uneven": nn.AdaptiveMaxPool2d((4, 5)),
    "avgpool": nn.AvgPool2d(2),
    "avgpool with padding": nn.AvgPool2d(3, 2, 1),
    "avgpool without the padding counted": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "avgpool in ceiling mode": nn.AvgPool2d(4, 3, 1, ceil_mode=True),
    "avgpool in ceiling mode, uncounted": nn.AvgPool2d(4, 3, 1, True, False),
    "avgpool by a divisor": nn.AvgPool2d(2, divisor_override=3),
    "adaptive avgpool": nn.AdaptiveAvgPool2d((4, 5)),
    "adaptive avgpool to one": nn.AdaptiveAvgPool2d(1),
    "batchnorm": nn.BatchNorm2d(4),
    "batchnorm without weights": nn.BatchNorm2d(4, affine=False),
    "groups": conv(6, 4, groups=2),
    "depthwise": conv(8, 4, groups=4),
    "dilation": conv(4, 4, dilation=2, padding=2),
    "stride": conv(4, 4, 2, stride=2, padding=0, bias=False),
    "same padding": conv(4, 4, 4, padding="same"),
    "reflected padding": conv(4, 4, padding_mode="reflect"),
    "replicated padding": conv(4, 4, padding_mode="replicate"),
    "padding layers": nn.Sequential(
        nn.ZeroPad2d((1, 0, 2, 1)), nn.ReflectionPad2d(1), nn.ReplicationPad2d((0, 2, 1, 0)),
        nn.ConstantPad2d(1, 0.7),
    ),
    "cropped by padding": nn.ZeroPad2d(-1),
    "transposed": nn.ConvTranspose2d(4, 3, 3, 2, 1, output_padding=1),
    "transposed in groups": nn.ConvTranspose2d(4, 4, 2, 2, groups=2, bias=False),
    "residual": nn.Sequential(conv(2, 4), Residual("plain")),
    "residual in place": nn.Sequential(conv(2, 4), Residual("in place")),
    "shortcut, padded": nn.Sequential(conv(2, 4), Shortcut("padded")),
    "shortcut with zeros": nn.Sequential(conv(2, 4), Shortcut("zeros")),
    "shortcut with new zeros": nn.Sequential(conv(2, 4), Shortcut("new zeros")),
    "shortcut with zeros of its kind": nn.Sequential(conv(2, 4), Shortcut("zeros like")),
    "concatenation with ones": on(lambda x: torch.cat([x, torch.ones_like(x[:, :1])], 1)),
    "stacked": on(lambda x: torch.stack([x, 2 * x], 1).sum(1)),
    "weights by a norm": nn.utils.parametrizations.weight_norm(conv(4, 4)),
    "one-dimensional pooling": nn.Sequential(nn.Flatten(2), nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(2)),
    "recomputed": on(lambda x: checkpoint(F.relu, x - 0.1, use_reentrant=False)),
    "mapped over rows": on(torch.vmap(lambda row: row.relu().sum(0))),
    "concatenation": on(lambda x: torch.cat([x, x.flip(3), -x], 1)),
    "concatenation with a token": Apply(
        lambda self, x: torch.cat([self.token.expand(len(x), -1, -1), x.flatten(2)], 1),
        token=torch.linspace(-1, 1, 36).double()[None, None],
    ),
    "mean": on(lambda x: x.mean((2, 3))),
    "mean of channels": on(lambda x: x - x.mean(1, keepdim=True)),
    "sum": on(lambda x: x.sum(dim=(1,))),
    "views": on(lambda x: x.view(len(x), -1).reshape(-1, 4, 36).permute(0, 2, 1).contiguous()),
    "chunks": on(lambda x: sum(part.relu() for part in x.chunk(2, 1))),
    "splits": on(lambda x: torch.cat(x.split([1, 3], 1)[::-1], 1)),
    "unbound": on(lambda x: x.unbind(1)[0] - x.unbind(1)[2]),
    "shuffled channels": on(shuffled),
    "channel shuffle": nn.ChannelShuffle(2),
    "pixel shuffle": nn.PixelShuffle(2),
    "pixel unshuffle": nn.PixelUnshuffle(2),
    "upsampling, nearest": nn.Upsample(scale_factor=2),
    "upsampling, nearest to a size": nn.Upsample(size=(7, 5)),
    "upsampling, bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "upsampling, corners aligned": nn.Upsample(size=(7, 9), mode="bilinear", align_corners=True),
    "dropout": nn.Sequential(nn.Dropout(0.5), nn.Dropout2d(0.5), nn.Identity()),
    "times a number": on(lambda x: -2.5 * x),
    "times a number in place": on(lambda x: (x + 0).mul_(3)),
    "over a number": on(lambda x: x / 7),
    "a number less": on(lambda x: 1 - x),
    "a number more in place": on(lambda x: x.relu().add_(0.3)),
    "times a buffer": Apply(
        lambda self, x: x * self.scale - self.shift,
        scale=torch.tensor([-1.0, 0.5, 3, 0])[:, None, None].double(),
        shift=torch.rand(4, 6, 6).double(),
    ),
    "over a buffer": Apply(
        lambda self, x: (x + self.shift) / self.scale,
        scale=torch.tensor([-1.0, 0.5, 3, 9])[:, None, None].double(),
        shift=torch.rand(1, 4, 1, 6).double(),
    ),
    "twice the same": on(lambda x: x + x),
    "narrowed": on(lambda x: x.narrow(2, 1, 3)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    assert_exact(with_head(conv(), nn.LeakyReLU(0.2), LAYERS[name]), least=10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_normalisation_of_the_classifier(dtype):
    """What is proven is the network on its weights and its normalisation, in exact arithmetic."""
    module = with_head(conv(), nn.ReLU(), nn.MaxPool2d(2)).to(dtype)
    clf = classifier(module, mean=(0.25, 0.5), std=(0.5, 0.25), dtype=dtype)
    a, b = images(2, 5).to(dtype)
    proof = prove_segment(clf, a, b, stop=False)
    assert proof.exact
    whole = copy.deepcopy(clf.module).double()
    assert_is_right(proof, whole, a.double(), b.double())


def test_bad_scales_of_the_normalisation():
    module = with_head(conv(), nn.ReLU())
    clf = classifier(module, mean=(0.4851, 1 / 3), std=(0.2291, 0.0007))
    a, b = images(2, 5)
    proof = prove_segment(clf, a, a + 0.01 * (b - a), stop=False)
    assert proof.exact
    assert_is_right(proof, copy.deepcopy(clf.module).double(), a, a + 0.01 * (b - a))


def test_a_deep_mixture():
    """Everything one after the other, so that splits happen on top of splits."""
    assert_exact(
        with_head(
            conv(6), nn.BatchNorm2d(6), nn.ReLU6(inplace=True), nn.MaxPool2d(3, 2, 1),
            conv(4, 6, padding_mode="reflect"), nn.Hardtanh(-0.4, 0.4), nn.AvgPool2d(2, 1),
            conv(2, 4), Residual("in place"), nn.Upsample(scale_factor=2),
            conv(4), nn.PReLU(4), on(shuffled), nn.AdaptiveMaxPool2d((2, 3)),
        ),
        least=40,
    )  # fmt: skip


def test_a_unit_that_is_used_many_times():
    relu, shared = nn.ReLU(), conv(2)
    assert_exact(with_head(shared, relu, shared, relu, shared, relu), least=20)


def test_ties_of_a_maximum_that_last():
    """Equal members of a window, on the whole segment or on a stretch, are no crossings."""
    tied = on(lambda x: torch.maximum(x, x.clone()))
    stretch = on(lambda x: torch.maximum(x.relu(), 2 * x.relu()))
    for layer in (tied, stretch, on(lambda x: torch.cat([x.relu()] * 3, 3).amax(3))):
        assert_exact(with_head(conv(), layer), least=3)


def test_an_auxiliary_branch_does_not_count():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = with_head(conv(), nn.ReLU()), nn.Linear(72, 5)

        def forward(self, x):
            self.seen = torch.softmax(self.head(x.flatten(1)).sigmoid(), 1).detach()
            return self.body(x)

    assert_exact(randomised(Auxiliary()), least=5)


# Not piecewise linear, or not to be known as such.


class Attention(nn.Module):
    def forward(self, x):
        tokens = x.flatten(2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens)


class ExplicitAttention(nn.Module):
    def forward(self, x):
        tokens = x.flatten(2)
        return torch.softmax(tokens @ tokens.mT, -1) @ tokens


class SqueezeAndExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))


def row_wise(function):
    """Python for each image, so that the classifier sees nothing wrong with batches."""
    return on(lambda x: torch.stack([function(row) for row in x]))


SMOOTH = {
    "gelu": nn.GELU(),
    "gelu by tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(),
    "silu in place": nn.SiLU(inplace=True),
    "mish": nn.Mish(),
    "elu": nn.ELU(),
    "celu": nn.CELU(),
    "selu": nn.SELU(),
    "softplus": nn.Softplus(),
    "softsign": nn.Softsign(),
    "tanh": nn.Tanh(),
    "hardswish": nn.Hardswish(),
    "log": on(lambda x: torch.log1p(x.abs())),
    "sigmoid gate": SqueezeAndExcite(),
    "hardsigmoid gate": on(lambda x: x * F.hardsigmoid(x.mean((2, 3), keepdim=True))),
    "fused attention": Attention(),
    "attention": ExplicitAttention(),
    "square": on(lambda x: x * x),
    "square, in place": on(lambda x: (x + 0).mul_(x)),
    "square as a power": on(lambda x: x**2),
    "over its length": on(lambda x: x / x.flatten(1).norm(dim=1)[:, None, None, None]),
    "normalised": on(lambda x: F.normalize(x, dim=1)),
    "one over it": on(lambda x: 1 / (1 + x.abs())),
    "layer norm": nn.LayerNorm([4, 6, 6]),
    "group norm": nn.GroupNorm(2, 4),
    "instance norm": nn.InstanceNorm2d(4, affine=True),
    "local response norm": nn.LocalResponseNorm(3),
    "softmax": nn.Softmax2d(),
    "log of sums": on(lambda x: torch.logsumexp(x, 1)),
    "lp pooling": nn.LPPool2d(2, 2),
    "products of positions": on(lambda x: x[:, :2] * x[:, 2:]),
    "gated linear unit": nn.GLU(1),
    "bilinear": on(lambda x: torch.einsum("nchw,ndhw->ncd", x, x)),
    "interpolated kernel": on(lambda x: F.grid_sample(x, x[:, :2].permute(0, 2, 3, 1).clamp(-1, 1),
                                                      align_corners=False)),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_what_is_curved_is_sampled(name):
    assert_sampled(with_head(conv(), SMOOTH[name]))


JUMPS = {
    "threshold to another value": nn.Threshold(0.1, 0.0),
    "hardshrink": nn.Hardshrink(0.2),
    "sign": on(torch.sign),
    "round": on(lambda x: x + (8 * x).round() / 8),
    "floor": on(lambda x: x + x.floor()),
    "comparison": on(lambda x: (x > 0.1).to(x) + x),
    "where": on(lambda x: torch.where(x > 0.1, x, 0.5)),
    "masked": on(lambda x: x.masked_fill(x < 0, -1.0)),
    "sorted by another": on(lambda x: x.gather(1, x.flip(3).argsort(1))),
    "largest place": on(lambda x: F.one_hot(x.argmax(1), 4).to(x) + x.permute(0, 2, 3, 1)),
    "unpooled": on(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)),
    "as integers": on(lambda x: x + (10 * x).long()),
}


@pytest.mark.parametrize("name", JUMPS)
def test_what_jumps_is_sampled(name):
    assert_sampled(with_head(conv(), JUMPS[name]))


SORTS = {
    "sort": on(lambda x: x.sort(1).values),
    "top": on(lambda x: x.topk(2, 1).values),
    "median": on(lambda x: x.median(1).values),
    "max with place": on(lambda x: x.max(1).values),
    "where at zero": on(lambda x: torch.where(x > 0, x, 2 * x)),
    "running largest": on(lambda x: x.cummax(3).values),
    "softshrink": nn.Softshrink(0.2),
    "masked product": on(lambda x: x * (x > 0)),
    "running sum": on(lambda x: x.cumsum(3)),
    "constant matrix on the left": Apply(lambda self, x: self.left @ x.flatten(2),
                                         left=torch.rand(3, 4).double()),
    "batched product": Apply(lambda self, x: torch.bmm(x.flatten(2), self.right.expand(len(x), -1,
                                                                                       -1)),
                             right=torch.rand(36, 3).double()),
    "einsum": Apply(lambda self, x: torch.einsum("nchw,cd->ndhw", x, self.right),
                    right=torch.rand(4, 3).double()),
    "averaged with its mirror image": on(
        lambda x: torch.cat([x, x.flip(3)]).relu().view(2, len(x), -1).mean(0)
    ),
    "dot product": Apply(
        lambda self, x: torch.stack([row.flatten() @ self.w for row in x])[:, None],
        w=torch.rand(144).double(),
    ),
    "rolled": on(lambda x: x.roll(1, 3)),
    "smallest": on(lambda x: x.amin(1)),
    "unfolded": on(lambda x: F.unfold(x, 2)),
    "three axes of upsampling": nn.Sequential(nn.Flatten(2), nn.Upsample(scale_factor=2)),
    "one-dimensional convolution": nn.Sequential(nn.Flatten(2), nn.Conv1d(4, 3, 3)),
    "bicubic": nn.Upsample(scale_factor=2, mode="bicubic"),
    "strided": on(lambda x: x.as_strided((len(x), 4, 6), (144, 36, 1))),
    "multiplied by zero and more": on(lambda x: 0 * x * x + x),
    "rows by python": row_wise(lambda row: row.relu()),
    "tensor limits": Apply(lambda self, x: x.clamp(self.low, self.low + 0.5),
                           low=torch.linspace(-0.5, 0.5, 4)[:, None, None].double()),
    "absolute value as a root": on(lambda x: (x * x).sqrt()),
    "in place through a view": on(lambda x: _written_through_a_view(x.clone())),
    "in place beneath a view": on(lambda x: _written_beneath_a_view(x.clone())),
    "in place into channels": on(lambda x: _channels_written(x.clone())),
    "filled in": on(lambda x: _filled_in(x)),
    "scattered": on(lambda x: torch.zeros_like(x).index_add(1, torch.tensor([1, 0, 0, 3]), x)),
}  # fmt: skip


def _written_through_a_view(x):
    x[:, 0].relu_()
    return x


def _written_beneath_a_view(x):
    view = x[:, 1:]
    x.add_(0.3).relu_()
    return view - x[:, :1]


def _channels_written(x):
    x[:, :2] += x[:, 2:].relu()
    x[:, 3] = -x[:, 0]
    return x


def _filled_in(x):
    result = torch.zeros(len(x), 4, 8, 8, dtype=x.dtype)
    result[:, :, 1:7, 1:7] = x
    return result


@pytest.mark.parametrize("name", SORTS)
def test_what_is_less_usual_is_right_or_sampled(name):
    assert_right_or_sampled(with_head(conv(), SORTS[name]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_casts_round(dtype):
    for cast in (lambda x: x.to(dtype).double(), lambda x: x.to(dtype).to(torch.float64).relu()):
        assert_sampled(with_head(conv(), on(cast), nn.ReLU()))


def test_a_part_in_lower_precision():
    half = conv(4, 4).to(torch.bfloat16)

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = with_head(conv(), nn.ReLU())
            self.half = conv(4, 4)

        def forward(self, x):
            y = self.body[:2](x)
            y = half(y.to(torch.bfloat16)).to(x.dtype)
            return self.body[2:](y)

    assert_sampled(randomised(Mixed()))


def test_autocast():
    body = with_head(conv(), nn.ReLU()).float()

    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = body

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.body(x).float()

    assert_sampled(Cast().eval())


CONTROL = {
    "a sum that decides": row_wise(lambda row: row.relu() if row.mean() > 0 else -row),
    "a sum that decides rarely": row_wise(lambda row: row.relu() if row.mean() < 50 else -row),
    "a number taken out": row_wise(lambda row: row * float(row.max() > 50)),
    "a number taken out, 2": row_wise(lambda row: row + (0.0 if row.sum().item() < 1e4 else 1.0)),
    "lists": row_wise(lambda row: row.relu() + row.new_tensor(row.tolist()).relu()),
    "a batch that decides": on(lambda x: x.relu() if bool((x < 50).all()) else -x),
    "chosen places": on(lambda x: x.relu() + torch.zeros(len(x[x < 50])).sum()),
    "places of what is not zero": on(lambda x: x + (x > 50).nonzero().sum()),
    "comparison of all": on(lambda x: x.relu() if not torch.equal(x, -x) else -x),
    "close enough": on(lambda x: x.relu() if not torch.allclose(x, -x) else -x),
}


@pytest.mark.parametrize("name", CONTROL)
def test_what_the_image_decides_is_sampled(name):
    assert_sampled(with_head(conv(), CONTROL[name]))


def through_numpy(x):
    return torch.from_numpy(np.maximum(x.detach().numpy(), 0.1) ** 2)


HIDDEN = {
    "beside numpy": on(lambda x: x.relu() + through_numpy(x)),
    "rarely through numpy": on(lambda x: x.relu() + np.maximum(x.detach().numpy() - 50, 0).sum()),
    "rarely through numpy, as tensor": on(
        lambda x: x.relu() + torch.from_numpy(np.maximum(x.detach().numpy() - 50, 0))
    ),
    "through an array": on(
        lambda x: x.relu() + torch.as_tensor(np.maximum(np.asarray(x.detach()) - 50, 0))
    ),
    "through dlpack": on(
        lambda x: x.relu() + torch.from_numpy(np.maximum(np.from_dlpack(x.detach()) - 50, 0))
    ),
    "a custom function": on(lambda x: Squared.apply(x)),
    "a custom function in numpy": on(lambda x: SquaredByNumpy.apply(x)),
}


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class SquaredByNumpy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.detach().numpy() ** 2)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_paths_are_sampled(name):
    assert_sampled(with_head(conv(), HIDDEN[name]))


def test_through_numpy_there_is_no_gradient():
    with pytest.raises(ValueError, match="no gradient"):
        classifier(with_head(conv(), on(through_numpy)))


class Grown(nn.Module):
    """Does something else for larger batches, though the same for each image."""

    def __init__(self, function):
        super().__init__()
        self.body, self.function = with_head(conv(), nn.ReLU()), function

    def forward(self, x):
        return self.function(self.body, x)


SIZES = {
    "another network for more than two": lambda body, x: body(x) if len(x) < 3 else body(x).tanh(),
    "larger by the number of images": lambda body, x: body(x) + len(x),
    "scaled by the number of images": lambda body, x: body(x) * len(x),
    "less the mean of the others": lambda body, x: body(x - x.mean(0)),
    "batch statistics": lambda body, x: body(F.batch_norm(x, None, None, training=True)),
    "shifted rows": lambda body, x: body(x.roll(1, 0)),
    "mixed rows": lambda body, x: body(x.view(len(x), -1).t().t().reshape(x.shape).flip(0)),
    "cumulated": lambda body, x: body(x).cumsum(0),
}


@pytest.mark.parametrize("name", SIZES)
def test_what_depends_on_the_batch_is_refused_or_sampled(name):
    try:
        classifier(Grown(SIZES[name]).eval())
    except ValueError:
        return
    assert_sampled(Grown(SIZES[name]).eval())


def test_a_network_that_remembers():
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.calls = with_head(conv(), nn.ReLU()), []

        def forward(self, x):
            y = self.body(x)
            self.calls.append(y.detach())
            return y + 0 * self.calls[0][:1].square() if len(self.calls) > 1 else y

    assert_right_or_sampled(Remembering().eval())


def test_random_constants():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = with_head(conv(), nn.ReLU())

        def forward(self, x):
            return self.body(x + 1e-9 * torch.rand(x.shape[1:], dtype=x.dtype))

    try:
        classifier(Noisy().eval())
    except ValueError:
        return
    assert_sampled(Noisy().eval())


def test_the_image_itself_is_left_as_it_is():
    module = with_head(on(lambda x: x.view(-1, *SHAPE).add(0).relu_()), conv(), nn.ReLU())
    clf = classifier(module)
    a, b = images(2) - 0.5
    before = a.clone(), b.clone()
    prove_segment(clf, a, b)
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])


def test_the_reason_is_said():
    reason = program_of(classifier(with_head(conv(), nn.Tanh())))
    assert "tanh" in reason
    assert "not piecewise linear" in reason
