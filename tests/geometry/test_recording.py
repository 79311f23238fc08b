"""Networks that do, out of sight of noise, what their operations on noise do not show.

Every network here is affine on dim images. On bright ones it adds, by a way that is easily
overlooked, what leads into another class; and the segment leads from a dim image over bright ones.
"""

import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import geoexplorer as gx
from geoexplorer.geometry.certificates import prove_segment
from geoexplorer.geometry.piecewise import Program, program_of

SHAPE = (1, 8, 8)  # noise has means near 1/2


class Apply(nn.Module):
    """A function of the images as a module, with a weight so that it has a dtype."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.register_buffer("scratch", torch.zeros(1, 1))

    def forward(self, x):
        return self.function(self, x)


def brightness(x):
    return x.flatten(1).mean(1, keepdim=True)


def bump(x):
    """(n, 1), positive between brightness 0.75 and 0.85 only."""
    return 50 * F.relu(0.05 - (brightness(x) - 0.8).abs())


def logits(self, x, more=0.0):
    return brightness(x) * self.weight + more * self.weight.flip(0)


def into_new_zeros(self, x):
    out = x.new_zeros(len(x), 2)
    out[:, 1:] = bump(x)
    return logits(self, x) + out


def into_zeros_like(self, x):
    out = torch.zeros_like(brightness(x))
    out += bump(x)
    return logits(self, x, out)


def into_zeros(self, x):
    out = torch.zeros(len(x), 2, dtype=x.dtype)
    out[:, 1] = bump(x)[:, 0]
    return logits(self, x) + out


def by_out(self, x):
    out = torch.zeros(len(x), 1, dtype=x.dtype)
    if not torch.is_grad_enabled():
        torch.mul(bump(x), 1.0, out=out)
    return logits(self, x, out)


def into_a_buffer(self, x):
    self.scratch = torch.zeros(len(x), 1, dtype=x.dtype)
    self.scratch.copy_(bump(x).detach())
    return logits(self, x, self.scratch)


def through_data(self, x):
    hidden = brightness(x) * 0
    hidden.data = bump(x).detach()
    return logits(self, x, hidden)


def beneath_a_view(self, x):
    base = x.new_zeros(len(x), 4)
    view = base[:, :1]
    base.view(-1, 2, 2)[:, 0, 0] = bump(x)[:, 0]
    return logits(self, x, view)


def remembered(self, x):
    before = getattr(self, "before", None)
    self.before = bump(x).detach().amax()
    return logits(self, x, 0.0 if before is None else before)


def gate(x):
    return torch.cat([10 * bump(x), 0 * bump(x) + 0.3], 1)


def chosen(self, x, index):
    return logits(self, x, 2.0 * (1 - index.to(x.dtype)).reshape(-1, 1))


def as_lists(self, x):
    bright = bump(x).detach()
    return logits(self, x, torch.tensor([*bright[:, 0]], dtype=x.dtype)[:, None])


def in_another_thread(self, x):
    found, hidden = [], x.detach()
    work = threading.Thread(target=lambda: found.append(bump(hidden)))
    work.start()
    work.join()
    return logits(self, x, found[0])


def by_its_size(self, x):
    bright = brightness(x)
    return logits(self, x, 2.0 * len(bright[bright > 0.75]) / len(x))


HIDDEN = {
    "into new zeros": into_new_zeros,
    "into zeros of its kind": into_zeros_like,
    "into zeros": into_zeros,
    "by out": by_out,
    "into a buffer": into_a_buffer,
    "through data": through_data,
    "beneath a view": beneath_a_view,
    "remembered": remembered,
    "place of the largest": lambda self, x: chosen(self, x, gate(x).max(1).indices),
    "place of the top": lambda self, x: chosen(self, x, gate(x).topk(1, 1)[1]),
    "place in an order": lambda self, x: chosen(self, x, gate(x).sort(1)[1][:, 1]),
    "running place": lambda self, x: chosen(self, x, gate(x).cummax(1)[1][:, 1]),
    "place of the smallest": lambda self, x: chosen(self, x, (-gate(x)).min(1).indices),
    "place of the median": lambda self, x: chosen(self, x, 1 - gate(x).median(1).indices),
    "place in pooling": lambda self, x: chosen(
        self, x, F.max_pool1d(gate(x)[:, None], 2, return_indices=True)[1]
    ),
    "numbers in lists": as_lists,
    "in another thread": in_another_thread,
    "its size": by_its_size,
}


def bright_segment(clf):
    a, b = torch.full(SHAPE, 0.7), torch.full(SHAPE, 0.9)
    t = torch.linspace(0, 1, 101).reshape(-1, 1, 1, 1)
    return a, b, clf.labels(a + t * (b - a))


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.parametrize("name", HIDDEN)
def test_what_happens_out_of_sight_is_never_proven(name):
    module = Apply(HIDDEN[name]).eval()
    try:
        clf = gx.Classifier(module, input_shape=SHAPE, device="cpu")
    except ValueError:  # it does not even pass for a classifier
        return
    a, b, _ = bright_segment(clf)
    assert isinstance(program_of(clf), str)
    proof = prove_segment(clf, a, b)
    assert not proof.exact
    with pytest.raises(ValueError, match="exact"):
        gx.cross_section(clf, gx.Plane.through(a, b, torch.rand(SHAPE)), exact=True)


def test_networks_in_sight_are_proven():
    """The same network, written so that all of it is seen."""
    clf = gx.Classifier(
        Apply(lambda self, x: logits(self, x, bump(x))).eval(), input_shape=SHAPE, device="cpu"
    )
    a, b, labels = bright_segment(clf)
    assert set(labels.tolist()) == {0, 1}
    proof = prove_segment(clf, a, b)
    assert (proof.exact, proof.inside) == (True, False)


ROUNDED = {
    "sum": lambda self, x: x.flatten(1).sum(1, keepdim=True, dtype=torch.float32) * self.weight,
    "mean": lambda self, x: F.linear(
        x.flatten(1).mean(1, keepdim=True, dtype=torch.float32).to(x.dtype), self.weight[:, None]
    ),
    "bits": lambda self, x: (
        logits(self, x) + 1e-30 * x.flatten(1).detach().view(torch.int32)[:, :1]
    ),
    "negative divisor": lambda self, x: (
        1 + F.avg_pool2d(x, 8, divisor_override=-64).flatten(1) * self.weight
    ),
    "larger constants": lambda self, x: torch.maximum(brightness(x), self.weight / 2),
    "smaller constants": lambda self, x: torch.minimum(brightness(x), self.weight / 2),
    "images in another order": lambda self, x: logits(self, x, bump(x).flip(0)),
    "images moved": lambda self, x: logits(self, x, F.pad(bump(x), (0, 0, 1, -1))),
}


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ROUNDED)
def test_what_the_rules_do_not_cover_is_refused(name, dtype):
    module = Apply(ROUNDED[name]).eval()
    clf = gx.Classifier(module, input_shape=SHAPE, device="cpu", dtype=dtype)
    assert isinstance(program_of(clf), str)
    a, b, _ = bright_segment(clf)
    assert not prove_segment(clf, a, b).exact


class RoundsInSinglePrecision(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.linear = kind, nn.Linear(64, 3)

    def forward(self, x):
        if self.kind == "autocast":
            with torch.autocast("cpu", torch.bfloat16):
                return self.linear(x.flatten(1)).to(x.dtype)
        hidden = self.linear(x.flatten(1))
        return 10 * (hidden.bfloat16().float() if hidden.dtype == torch.float32 else hidden)


@pytest.mark.parametrize("kind", ["autocast", "by the dtype"])
def test_the_classifier_itself_is_asked(kind):
    """What only single precision shows."""
    torch.manual_seed(0)
    module = RoundsInSinglePrecision(kind).eval()
    with torch.no_grad():
        module.linear.weight *= 10
    clf = gx.Classifier(module, input_shape=SHAPE, device="cpu")
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 20, *SHAPE, generator=generator)
    assert not any(proof.exact for proof in prove_segment(clf, a, b))


def test_corners_in_between_are_compared():
    """Both ends of the segment are as the program has them."""
    clf = gx.Classifier(
        Apply(lambda self, x: logits(self, x, -F.relu(brightness(x) - 0.8))).eval(),
        input_shape=SHAPE, device="cpu",
    )  # fmt: skip
    program = program_of(clf)
    assert isinstance(program, Program)
    program.network[1].function = lambda self, x: logits(
        self, x, -F.relu(brightness(x) - 0.8) + bump(x)
    )
    a, b, _ = bright_segment(clf)
    assert not prove_segment(clf, a, b).exact


@pytest.mark.parametrize("change", ["a part", "a setting", "a hook", "a function"])
def test_a_network_whose_parts_have_changed_is_looked_at_anew(change):
    layers = [nn.Flatten(), nn.Linear(64, 9), nn.LeakyReLU(0.5), nn.Linear(9, 2)]
    clf = gx.Classifier(nn.Sequential(*layers).eval(), input_shape=SHAPE, device="cpu")
    a, b = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    before = prove_segment(clf, a, b, stop=False)
    assert before.exact
    network = clf.module[1]
    if change == "a part":
        network[2] = nn.Tanh()
    elif change == "a setting":
        network[2].negative_slope = -1.0
    elif change == "a hook":
        network[2].register_forward_hook(lambda module, given, result: 2 * result)
    else:
        network[2].forward = torch.abs
    proof = prove_segment(clf, a, b, stop=False)
    assert proof.exact is (change != "a part")
    assert torch.allclose(proof.logits[0].float(), clf.logits(a[None])[0], atol=1e-5)


def test_a_network_that_breaks_when_it_is_looked_at_is_sampled():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

        def forward(self, x):
            pooled = F.relu(self.first(x)).mean((2, 3), dtype=torch.float32)
            return self.last(pooled)  # in double precision the dtypes do not fit

    clf = gx.Classifier(Mixed().eval(), input_shape=SHAPE, device="cpu")
    a, b = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert not prove_segment(clf, a, b).exact
    assert gx.connect(clf, a, a).proof == "sampled"


def test_comparing_is_done_in_chunks():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 2)).eval()
    clf = gx.Classifier(module, input_shape=SHAPE, device="cpu", chunk_size=8)
    program, sizes = program_of(clf), []
    program.network.register_forward_hook(lambda module, given, result: sizes.append(len(result)))
    a, b = torch.rand(2, 50, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert all(proof.exact for proof in prove_segment(clf, a, b))
    assert 0 < max(sizes) <= 8


def test_residual_networks_of_torchvision_are_proven():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    module = models.resnet18(num_classes=5).eval()
    clf = gx.Classifier(module, input_shape=(3, 32, 32), device="cpu")
    assert isinstance(program_of(clf), Program)
    a, b = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert prove_segment(clf, a, a + 1e-4 * (b - a)).exact
