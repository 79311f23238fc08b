"""The classifier: units, checks, chunks, counters, and leaving the caller's things alone."""

import copy
import multiprocessing
import pickle
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import geoexplorer as gx
from geoexplorer import classifier
from geoexplorer.classifier import Classifier, Cost, _Columns
from geoexplorer.geometry.boundary import nearest_boundary

SHAPE = (3, 4, 5)


class Linear(nn.Module):
    """Logits W x + b; whatever else a test needs is set from outside."""

    def __init__(self, n_classes: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(60, n_classes)

    def forward(self, x):
        return self.layer(x.flatten(1))


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Linear().eval()


@pytest.fixture
def images():
    return torch.rand(7, *SHAPE, generator=torch.Generator().manual_seed(1))


def make(module, **options):
    return Classifier(module, **{"input_shape": SHAPE, "device": "cpu"} | options)


def wrapped(function, n_classes=4):
    class Wrapped(Linear):
        def forward(self, x):
            return function(super().forward(x))

    return Wrapped(n_classes).eval()


def test_logits_that_are_views_of_the_images_are_copied():
    clf = gx.Classifier(nn.Flatten().eval(), input_shape=(1, 1, 2), device="cpu")
    x = torch.tensor([0.25, 0.75]).reshape(1, 1, 1, 2)
    clf.logits(x).zero_()
    assert x.flatten().tolist() == [0.25, 0.75]


def test_normalisation_is_inside(module, images):
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    clf = make(module, mean=mean, std=std)
    by_hand = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(clf.logits(images), module(by_hand), atol=1e-5)


def test_gradient_is_with_respect_to_unnormalised_pixels(module, images):
    clf = make(module, std=0.25)
    margins, gradients = clf.margin_gradient(images, own=0, other=torch.full((7,), 2))
    weights = module.layer.weight
    expected = ((weights[0] - weights[2]) / 0.25).reshape(SHAPE)
    assert torch.allclose(gradients, expected.expand_as(gradients), rtol=1e-5)
    assert torch.allclose(margins, clf.margin(images, 0, 2), atol=1e-5)


def test_single_image_is_a_batch_of_one(module, images):
    assert make(module).logits(images[0]).shape == (1, 4)


def test_float64(module, images):
    clf = make(module, dtype=torch.float64)
    assert clf.logits(images).dtype == torch.float64
    assert next(module.parameters()).dtype == torch.float32


def test_the_callers_module_is_left_alone(module, images):
    before = {key: value.clone() for key, value in module.state_dict().items()}
    clf = make(module, dtype=torch.float64)
    fingerprint, logits = clf.fingerprint, clf.logits(images)
    assert all(weight.requires_grad for weight in module.parameters())
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    with torch.no_grad():
        module.layer.weight.mul_(2)
    assert torch.equal(clf.logits(images), logits)
    assert make(module, dtype=torch.float64).fingerprint != fingerprint


@pytest.mark.parametrize("enabled", [True, False])
def test_gradient_mode_is_left_as_found(module, images, enabled):
    clf = make(module)
    with torch.set_grad_enabled(enabled):
        clf.logits(images)
        _, gradients = clf.margin_gradient(images, 0, 1)
        assert torch.is_grad_enabled() is enabled
    assert not gradients.requires_grad


def test_cost_counts_images(module, images):
    clf = make(module, chunk_size=2)
    start = clf.cost
    clf.logits(images)
    clf.margin_gradient(images[:3], 0, 1)
    clf.forward_jacobian(images[:2], torch.tensor([[0, 1, 2], [1, 2, 3]]))
    assert clf.cost - start == Cost(forwards=12, gradients=9)


def test_jacobian_holds_the_gradient_of_each_chosen_logit(module, images):
    clf = make(module, chunk_size=4)
    chosen = torch.tensor([[3, 0]]).expand(7, 2)
    _, jacobian = clf.forward_jacobian(images, chosen)
    expected = module.layer.weight[[3, 0]].reshape(2, *SHAPE)
    assert torch.allclose(jacobian, expected.expand_as(jacobian))


@pytest.mark.parametrize("chunk_size", [1, 3, 100])
def test_chunks_change_nothing(module, images, chunk_size):
    clf = make(module, chunk_size=chunk_size)
    assert torch.allclose(clf.logits(images), module(images), atol=1e-6)


@pytest.mark.parametrize(
    ("chunk_size", "count", "shares"),
    [
        (2, 7, [[2, 1], [2, 2]]),  # the first device is the last to get a chunk
        (100, 7, [[7], []]),  # one part: two would be too small
        (100, 40, [[20], [20]]),  # less than a chunk is shared too
    ],
)
def test_several_devices_share_a_batch(module, chunk_size, count, shares):
    clf = make(module, device=["cpu", "cpu"], chunk_size=chunk_size)
    seen = [[], []]
    for index, network in enumerate(clf._networks):
        network.register_forward_hook(
            lambda _, args, __, index=index: seen[index].append(len(args[0]))
        )
    images = torch.rand(count, *SHAPE)
    assert torch.allclose(clf.logits(images), module(images), atol=1e-6)
    assert seen == shares


def test_an_autocast_around_a_measurement_rounds_nothing(module, images):
    clf = make(module)
    known = clf.margin_gradient(images, 0, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = clf.margin_gradient(images, 0, 1)
        assert torch.is_autocast_enabled("cpu")
    assert all(map(torch.equal, found, known))


@pytest.mark.skipif(
    not hasattr(torch.backends.mkldnn, "matmul"),
    reason="this torch has one switch for all products",
)
def test_products_are_not_rounded_where_torch_was_told_to_hurry(images):
    """Some processors have units for bfloat16 and others not; all have the switches."""
    switches = [torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv]
    seen = []

    class Looks(Linear):
        def forward(self, x):
            seen.append([switch.fp32_precision for switch in switches])
            return super().forward(x)

    clf = make(Looks().eval())
    known = clf.forward(images)
    before = torch.get_float32_matmul_precision()
    seen.clear()
    try:
        torch.set_float32_matmul_precision("medium")
        found = clf.forward(images)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    finally:
        torch.set_float32_matmul_precision(before)
    assert seen == [["ieee", "ieee"]]
    assert torch.equal(found, known)


def test_several_chunks_on_the_first_processor_are_held_once(module, images, monkeypatch):
    """Its tensors call it "cpu", as those on "cuda" call that "cuda:0"."""
    clf = make(module, device="cpu:0", chunk_size=1)
    held = []
    complete = _Columns.complete

    def looked_at(columns):
        held.append(len(columns._elsewhere))
        return complete(columns)

    monkeypatch.setattr(_Columns, "complete", looked_at)
    clf.forward(images)
    assert held == [0]


def test_volumes_have_nothing_to_put_last():
    """The weights of a convolution over three dimensions have no channels-last order here."""
    module = nn.Sequential(
        nn.Unflatten(1, (1, 1)), nn.Conv3d(1, 2, (1, 3, 3)), nn.Flatten(), nn.LazyLinear(3)
    ).eval()
    module(torch.rand(1, 1, 4, 4))
    options = {"input_shape": (1, 4, 4), "device": "cpu"}
    plain, last = (Classifier(module, **options, channels_last=flag) for flag in (False, True))
    x = torch.rand(5, 1, 4, 4)
    assert torch.allclose(plain.forward(x), last.forward(x), atol=1e-6)


@pytest.mark.parametrize("size", [True, 2.0, "4"])
def test_a_chunk_size_is_a_whole_number(module, size):
    with pytest.raises(TypeError, match="chunk_size must be a whole number"):
        make(module, chunk_size=size)


def test_a_chunk_size_may_be_numpys(module):
    assert make(module, chunk_size=np.int64(4)).chunk_size == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_images_give_nothing_and_never_reach_the_network(dtype):
    class Views(Linear):
        def forward(self, x):
            return self.layer(x.view(x.size(0), -1))  # which no empty batch survives

    clf = make(Views().to(dtype).eval())
    none = torch.empty(0, *SHAPE)
    score = clf.forward_gradient(none, lambda logits: logits[:, 0])
    found = [clf.forward(none), *score, *clf.forward_jacobian(none, torch.empty(0, 2).long())]
    shapes = [(0, 4), (0, 4), (0,), (0, *SHAPE), (0, 4), (0, 2, *SHAPE)]
    assert [tuple(each.shape) for each in found] == shapes
    assert {each.dtype for each in found} == {dtype}
    assert clf.cost == Cost(forwards=0, gradients=0)


def test_out_of_memory_halves_the_chunk(images):
    class Small(Linear):
        def forward(self, x):
            if len(x) > 4:
                raise torch.OutOfMemoryError("no room for more than four images")
            return super().forward(x)

    clf = make(Small().eval(), chunk_size=64)
    assert clf.logits(images.repeat(5, 1, 1, 1)).shape == (35, 4)
    assert clf.chunk_size == 4


def test_threads_that_run_out_of_memory_together_halve_once(images):
    barrier = threading.Barrier(2)

    class Small(Linear):
        def forward(self, x):
            if len(x) > 32:
                barrier.wait(10)
                raise torch.OutOfMemoryError("no room")
            return super().forward(x)

    clf = make(Small().eval(), chunk_size=64)
    batch = images.repeat(10, 1, 1, 1)
    threads = [threading.Thread(target=clf.logits, args=(batch,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clf.chunk_size == 32


def test_logits_of_another_type_come_in_the_classifiers(images):
    clf = make(wrapped(lambda out: out.half()))
    assert clf.logits(images).dtype == torch.float32
    assert clf.margin_gradient(images, 0, 1)[0].dtype == torch.float32


def test_a_half_precision_network_is_computed_in_float32(images):
    clf = make(Linear().half().eval())
    assert clf.dtype == torch.float32
    assert clf.logits(images).dtype == torch.float32


def test_the_fingerprint_sees_settings_that_are_no_weights():
    class Scaled(Linear):
        def __init__(self, scale):
            super().__init__()
            torch.nn.init.ones_(self.layer.weight)
            torch.nn.init.ones_(self.layer.bias)
            self.scale = scale
            self.register_buffer("shift", torch.tensor(float(scale)), persistent=False)

        def forward(self, x):
            return self.scale * super().forward(x)

    assert make(Scaled(1.0).eval()).fingerprint != make(Scaled(2.0).eval()).fingerprint


def test_a_score_with_tensors_of_its_own_is_cut_into_the_same_chunks(module, images):
    clf = make(module, chunk_size=4)
    weights = torch.arange(7.0)
    values, _ = clf.gradient(images, lambda logits, w: w * logits[:, 0], weights)
    assert torch.allclose(values, weights * clf.logits(images)[:, 0], atol=1e-5)


def test_out_of_memory_for_one_image_is_reported(module, images):
    clf = make(module, chunk_size=8)

    def explode(logits):
        raise torch.OutOfMemoryError("none at all")

    with pytest.raises(torch.OutOfMemoryError):
        clf.gradient(images, explode)


def test_larger_networks_get_smaller_chunks():
    wide = nn.Sequential(nn.Conv2d(3, 256, 3, padding=1), nn.ReLU(), nn.Flatten()).eval()
    narrow = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten()).eval()
    sizes = [make(net, input_shape=(3, 32, 32)).chunk_size for net in (wide, narrow)]
    assert 1 <= sizes[0] < sizes[1]


def sent(clf):
    return pickle.loads(pickle.dumps(clf))  # noqa: S301


def by_replica(clf):
    return clf.replica("cpu")


class TestCopies:
    """A classifier sent to another process, or put on another device."""

    @pytest.mark.parametrize("copied", [sent, by_replica, copy.deepcopy])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_copy_is_the_same_classifier(self, module, images, copied, dtype):
        options = {"mean": (0.1, 0.2, 0.3), "std": 0.25, "class_names": "abcd", "name": "some"}
        clf = make(module, dtype=dtype, bounds=(-1, 1), memory=2**25, **options)
        logits = clf.logits(images)
        again = copied(clf)
        assert torch.equal(again.logits(images), logits)
        names = ("fingerprint", "name", "class_names", "preprocessing", "dtype", "input_shape")
        for name in (*names, "bounds", "n_classes", "chunk_size", "memory", "device", "devices"):
            assert getattr(again, name) == getattr(clf, name), name
        assert again.module.training is False
        assert not any(weight.requires_grad for weight in again.module.parameters())

    @pytest.mark.parametrize("copied", [sent, by_replica])
    def test_cost_begins_at_zero_and_is_counted_apart(self, module, images, copied):
        clf = make(module)
        clf.logits(images)
        again = copied(clf)
        assert again.cost == again.thread_cost == Cost()
        again.logits(images[:2])
        assert again.cost == again.thread_cost == Cost(2)
        assert clf.cost == clf.thread_cost == Cost(7)

    @pytest.mark.parametrize("copied", [sent, by_replica])
    def test_nothing_is_shared_that_can_change(self, module, images, copied):
        clf = make(module)
        before = clf.logits(images)
        again = copied(clf)
        with torch.no_grad():
            for weight in again.module.parameters():
                weight.add_(1)
        again.chunk_size = 1
        assert torch.equal(clf.logits(images), before)
        assert clf.chunk_size > 1

    def test_the_fingerprint_is_that_of_the_weights_also_of_a_copy(self, module):
        clf = make(module)
        again = sent(clf)
        del again.__dict__["fingerprint"]
        assert again.fingerprint == clf.fingerprint

    def test_another_process_finds_the_same_numbers(self):
        clf, images = gx.load_classifier("digits-cnn", device="cpu"), gx.load_images("digits", n=6)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            logits = pool.apply(clf.logits, (images.images,)).clone()
            points = pool.apply(gx.nearest_boundary, (clf, images.images))
            assert torch.equal(points.points, gx.nearest_boundary(clf, images.images).points)
        assert torch.equal(logits, clf.logits(images.images))
        assert not any(weight.is_shared() for weight in clf.module.parameters())

    def test_cloudpickle_sends_networks_of_a_notebook(self, images):
        cloudpickle = pytest.importorskip("cloudpickle")
        clf = make(wrapped(lambda logits: logits * 2))
        again = cloudpickle.loads(cloudpickle.dumps(clf))
        assert torch.equal(again.logits(images), clf.logits(images))
        assert again.fingerprint == clf.fingerprint

    def test_several_devices(self, module, images):
        clf = make(module, device=["cpu", "cpu"], chunk_size=2)
        again = sent(clf)
        assert len(again._networks) == 2
        assert torch.equal(again.logits(images), clf.logits(images))
        assert len(clf.replica("cpu")._networks) == 1

    @pytest.mark.parametrize(
        ("device", "asked"),
        [
            ("auto", "auto"),
            ("cpu", (torch.device("cpu"),)),
            (["cpu", "cpu"], (torch.device("cpu"),) * 2),
        ],
    )
    def test_devices_are_looked_for_where_it_arrives(self, module, monkeypatch, device, asked):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        clf = make(module, device=device)
        wishes = []

        def found(wish):
            wishes.append(wish)
            return (torch.device("cpu"),)

        monkeypatch.setattr(classifier, "named_devices", found)
        assert sent(sent(clf)).devices == (torch.device("cpu"),)
        assert wishes == [asked, asked]

    def test_a_device_that_is_not_there(self, module):
        clf = make(module)
        with pytest.raises(ValueError, match="device 'cuda:99' was asked for"):
            clf.replica("cuda:99")
        clf._asked = replace(clf._asked, device=(torch.device("cuda:99"),))
        data = pickle.dumps(clf)
        with pytest.raises(ValueError, match="device 'cuda:99' was asked for"):
            pickle.loads(data)  # noqa: S301

    def test_chunks_and_memory_are_fitted_anew_only_to_another_kind_of_device(
        self, module, monkeypatch
    ):
        fitted, given = make(module), make(module, chunk_size=5, memory=2**25)
        fitting = fitted.chunk_size
        fitted.chunk_size = given.chunk_size = 3  # as after running out of memory
        fitted.memory = 2**24
        assert (sent(fitted).chunk_size, sent(fitted).memory) == (3, 2**24)
        assert sent(given).chunk_size == 3
        kinds = iter(range(100))
        monkeypatch.setattr(classifier, "_kind", lambda device: next(kinds))
        assert (sent(fitted).chunk_size, sent(fitted).memory) == (fitting, 2**30)
        assert (sent(given).chunk_size, sent(given).memory) == (3, 2**25)

    def test_what_was_found_out_about_one_is_found_out_again(self):
        clf = gx.load_classifier("digits-cnn", device="cpu")
        x = gx.load_images("digits", n=2).images
        first = gx.mean_curvature(clf, gx.nearest_boundary(clf, x), probes=8)
        again = sent(clf)
        second = gx.mean_curvature(again, gx.nearest_boundary(again, x), probes=8)
        assert torch.equal(first.values, second.values)
        assert gx.prove_segment(again, x[0], x[0] * 0.99).exact


class TestBadNetworks:
    def test_not_a_module(self):
        with pytest.raises(TypeError, match=r"module must be a torch\.nn\.Module, got function"):
            make(lambda x: x)

    @pytest.mark.parametrize("wrap", [lambda net: net, lambda net: nn.Sequential(net).eval()])
    def test_a_scripted_network(self, module, wrap):
        with pytest.raises(TypeError, match=r"torch\.jit.*give the network that was scripted"):
            make(wrap(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval())))

    def test_training_mode(self, module):
        with pytest.raises(ValueError, match=r"evaluation mode.*eval\(\)"):
            make(module.train())

    def test_a_part_in_training_mode(self):
        net = nn.Sequential(Linear(), nn.Dropout()).eval()
        net[1].train()
        with pytest.raises(ValueError, match="'1' \\(Dropout\\) is in training mode"):
            make(net)

    def test_random_output(self):
        with pytest.raises(ValueError, match="two equal calls"):
            make(wrapped(lambda out: nn.functional.dropout(out, training=True)))

    def test_batch_statistics(self):
        with pytest.raises(ValueError, match="other images of its batch"):
            make(wrapped(lambda out: out - out.mean(0)))

    def test_softmax(self):
        with pytest.raises(ValueError, match="softmax is in the way"):
            make(wrapped(lambda out: out.softmax(1)))

    def test_log_softmax_is_accepted(self):
        # Differences of its outputs are those of the logits.
        assert make(wrapped(lambda out: out.log_softmax(1))).n_classes == 4

    def test_one_class(self):
        with pytest.raises(ValueError, match="at least two classes apart, got 1"):
            make(Linear(1).eval())

    def test_wrong_rank(self):
        with pytest.raises(ValueError, match=r"\(n, L\), got \(4, 4, 1, 1\)"):
            make(wrapped(lambda out: out[:, :, None, None]))

    def test_not_a_tensor(self):
        with pytest.raises(TypeError, match="got dict"):
            make(wrapped(lambda out: {"logits": out}))

    def test_no_gradient(self):
        with pytest.raises(ValueError, match="no gradient with respect to the images"):
            make(wrapped(lambda out: out.detach()))

    def test_not_finite(self):
        with pytest.raises(ValueError, match="NaN or infinite logits"):
            make(wrapped(lambda out: out / 0))

    def test_wrong_input_shape(self, module):
        with pytest.raises(ValueError, match="cannot be applied to images of shape"):
            make(module, input_shape=(3, 9, 9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (3, 4)}, "input_shape must be"),
        ({"bounds": (1, 0)}, "bounds must be finite with lowest < highest"),
        ({"bounds": 1}, "bounds must be"),
        ({"mean": (0.1, 0.2)}, "mean must be one finite number or one for each of the 3 channels"),
        ({"std": 0}, "std must be positive"),
        ({"class_names": ["a"]}, "one name for each of the 4 classes"),
        ({"device": "cuda:99"}, "device 'cuda:99' was asked for"),
        ({"device": "vulkan"}, "torch cannot use it on this machine; accepted here: 'auto' or"),
        ({"device": "toaster"}, "device must be 'auto'"),
        ({"device": []}, "at least one device"),
        ({"device": None}, "device must be 'auto'"),
        ({"device": "meta"}, "device must hold numbers"),
        ({"input_shape": 32}, "input_shape must be"),
        ({"mean": "a"}, "mean must hold numbers"),
        ({"chunk_size": 0}, "chunk_size must be at least 1, got 0"),
    ],
)
def test_bad_options(module, options, message):
    with pytest.raises(ValueError, match=message):
        make(module, **options)


@pytest.mark.parametrize("dtype", [torch.int64, torch.float16, "float32"])
def test_bad_dtype(module, dtype):
    with pytest.raises(TypeError, match=r"dtype must be torch\.float32, torch\.float64 or None"):
        make(module, dtype=dtype)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.rand(2, 3, 5, 4), ValueError, r"shape \(n, 3, 4, 5\).*got \(2, 3, 5, 4\)"),
        (torch.rand(4, 5), ValueError, r"got \(4, 5\)"),
        (torch.rand(0, *SHAPE), ValueError, "empty batch"),
        (torch.full(SHAPE, float("nan")), ValueError, "NaN or infinite"),
        (torch.full(SHAPE, float("inf")), ValueError, "NaN or infinite"),
        (torch.rand(SHAPE) * 255, ValueError, "other units"),
        (torch.rand(SHAPE).mul(16).round(), ValueError, "other units"),
        (torch.zeros(SHAPE, dtype=torch.uint8), TypeError, "scale 8-bit images"),
        ([[1.0]], TypeError, "must be a float tensor of images, got list"),
    ],
)
def test_bad_images(module, images, error, message):
    with pytest.raises(error, match=message):
        make(module).logits(images)


def test_unit_images_for_8_bit_bounds(module):
    with pytest.raises(ValueError, match="other units"):
        make(module, bounds=(0, 255)).logits(torch.rand(SHAPE))


def test_points_somewhat_outside_the_bounds_are_welcome(module):
    assert make(module).logits(torch.full(SHAPE, 3.0)).shape == (1, 4)


def test_images_that_would_be_normalised_twice_are_noticed(module):
    images = torch.rand(9, *SHAPE, generator=torch.Generator().manual_seed(0))
    clf = make(module, mean=0.45, std=0.22)
    with pytest.warns(UserWarning, match=r"x: \d+% of the values lie outside .* twice"):
        nearest_boundary(clf, (images - 0.45) / 0.22)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nearest_boundary(clf, images)
        nearest_boundary(clf, images + 0.1 * torch.randn(images.shape))  # perturbed
        clf.labels((images - 0.45) / 0.22)  # any point may be looked at
        # A network without normalisation of its own.
        nearest_boundary(make(module), (images - 0.45) / 0.22)


@pytest.mark.parametrize(
    ("own", "error", "message"),
    [
        (4, ValueError, "own must be between 0 and 3"),
        (-1, ValueError, "own must be between 0 and 3"),
        (torch.zeros(3, dtype=torch.int64), ValueError, "one for each of the 7 images"),
        (0.5, TypeError, "own must hold integers"),
        ("1", TypeError, "own must hold integers"),
        (torch.zeros(7), TypeError, "own must hold integers"),
    ],
)
def test_bad_classes(module, images, own, error, message):
    with pytest.raises(error, match=message):
        make(module).margin(images, own, 1)


def test_channels_last_changes_rounding_only():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.Flatten(),
        nn.Linear(4 * 2 * 2, 5),
    ).eval()  # fmt: skip
    options = {"input_shape": (3, 8, 8), "device": "cpu", "dtype": torch.float64}
    plain, last = (Classifier(module, **options, channels_last=flag) for flag in (False, True))
    assert last.module[1][0].weight.is_contiguous(memory_format=torch.channels_last)
    assert last.fingerprint == plain.fingerprint
    x = torch.rand(6, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(last.logits(x), plain.logits(x), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
        last.margin_gradient(x, 0, 1), plain.margin_gradient(x, 0, 1), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    sent = pickle.loads(pickle.dumps(last))  # noqa: S301
    assert sent.module[1][0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(sent.logits(x), last.logits(x))
    with pytest.raises(TypeError, match="channels_last must be True or False, got 1"):
        Classifier(module, **options, channels_last=1)


def test_chunks_on_a_cpu_grow_with_the_weights_that_they_share():
    def chunk(width):
        module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256 * 256, width), nn.Linear(width, 2))
        return Classifier(module.eval(), input_shape=(3, 256, 256), device="cpu").chunk_size

    assert chunk(1) < chunk(40) <= 256


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"dtype": "float64"}, "torch.float64 or None, got 'float64'$"),
        ({"dtype": torch.float16}, "too coarse to measure"),
        ({"memory": "2GB"}, r"such as 2 \* 2\*\*30 for 2 GiB"),
    ],
)
def test_a_refused_option_comes_with_what_is_accepted(option, said):
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()
    with pytest.raises((TypeError, ValueError), match=said):
        gx.Classifier(net, input_shape=(1, 8, 8), device="cpu", **option)
