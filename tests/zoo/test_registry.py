import urllib.error

import pytest
import torch

from geoexplorer.images import load_images
from geoexplorer.zoo import bundled_networks, list_classifiers, load_classifier, registry

BUNDLED = [
    "digits-cnn",
    "digits-cnn-smooth",
    "shapes-lenet",
    "shapes-lenet-smooth",
    "shapes-nin",
    "shapes-resnet",
]


class TestBundled:
    def test_names(self):
        assert list_classifiers(torchvision=False) == BUNDLED
        assert list(bundled_networks()) == BUNDLED

    @pytest.mark.parametrize("name", BUNDLED)
    def test_accuracy_is_what_its_card_says(self, name):
        card, images = bundled_networks()[name], load_images(name.split("-")[0])
        classifier = load_classifier(name, device="cpu")
        correct = int((classifier.labels(images.images) == images.labels).sum())
        # Another processor rounds differently, so one image in a thousand may change sides.
        assert abs(correct - card.test_correct) <= card.test_size / 1000
        assert card.test_size == len(images)
        assert card.class_names == images.class_names == classifier.class_names

    @pytest.mark.parametrize("name", BUNDLED)
    def test_good_and_not_perfect(self, name):
        card = bundled_networks()[name]
        low, high = (0.97, 1) if card.data == "digits" else (0.9, 0.995)
        assert low <= card.accuracy < high

    @pytest.mark.parametrize("name", BUNDLED)
    def test_logits_are_of_moderate_size(self, name):
        images = load_images(name.split("-")[0], n=100)
        logits = load_classifier(name, device="cpu").logits(images.images)
        assert 1 < logits.std() < 5

    def test_together_they_are_small(self):
        assert sum(path.stat().st_size for path in registry._WEIGHTS.iterdir()) < 6_000_000

    def test_random_weights(self):
        trained = load_classifier("digits-cnn", device="cpu")
        first, again, other = (
            load_classifier("digits-cnn", weights=None, seed=seed, device="cpu")
            for seed in (0, 0, 1)
        )
        assert first.fingerprint == again.fingerprint
        assert len({c.fingerprint for c in (trained, first, other)}) == 3
        assert first.name == "digits-cnn, untrained"

    def test_the_global_generator_is_left_alone(self):
        state = torch.get_rng_state()
        load_classifier("digits-cnn", device="cpu")
        load_classifier("digits-cnn", weights=None, device="cpu")
        assert torch.equal(torch.get_rng_state(), state)

    def test_dtype(self):
        classifier = load_classifier("digits-cnn", device="cpu", dtype=torch.float64)
        assert classifier.logits(torch.zeros(1, 1, 8, 8).double()).dtype == torch.float64

    def test_only_one_set_of_weights(self):
        with pytest.raises(ValueError, match=r"weights must be 'default' or None for 'digits-cnn'"):
            load_classifier("digits-cnn", weights="IMAGENET1K_V1")


class TestTorchvision:
    def test_names_follow_the_bundled_ones(self):
        names = list_classifiers()
        assert names[: len(BUNDLED)] == BUNDLED
        assert {"resnet18", "vit_b_16", "inception_v3"} <= set(names)
        assert "fasterrcnn_resnet50_fpn" not in names

    @pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
    def test_random_weights(self, name):
        state = torch.get_rng_state()
        classifier = load_classifier(name, weights=None, device="cpu")
        assert classifier.input_shape == (3, 224, 224)
        assert classifier.n_classes == 1000
        assert classifier.class_names[0] == "tench"
        assert classifier.name == f"{name}, untrained"
        assert torch.equal(torch.get_rng_state(), state)

    def test_a_seed_is_one_network(self):
        name = "shufflenet_v2_x0_5"
        first, again, other = (
            load_classifier(name, weights=None, seed=seed, device="cpu").fingerprint
            for seed in (0, 0, 1)
        )
        assert first == again != other

    def test_trained_weights_and_preprocessing(self, tmp_path, monkeypatch):
        from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

        entry = SqueezeNet1_1_Weights.IMAGENET1K_V1
        torch.manual_seed(1)
        network = squeezenet1_1().eval()
        put_in_cache(entry, network.state_dict(), tmp_path, monkeypatch)
        classifier = load_classifier("squeezenet1_1", device="cpu")
        x = torch.rand(2, 3, 224, 224)
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        with torch.no_grad():
            expected = network((x - mean[:, None, None]) / std[:, None, None])
        torch.testing.assert_close(classifier.logits(x), expected)
        assert classifier.name == "squeezenet1_1"

    def test_a_file_with_code_is_refused(self, tmp_path, monkeypatch):
        import pickle

        from torchvision.models import SqueezeNet1_1_Weights

        touched = tmp_path / "touched"
        content = {"classifier.1.bias": Trap(str(touched))}
        put_in_cache(SqueezeNet1_1_Weights.IMAGENET1K_V1, content, tmp_path, monkeypatch)
        with pytest.raises(pickle.UnpicklingError):
            load_classifier("squeezenet1_1", device="cpu")
        assert not touched.exists()

    def test_no_network(self, tmp_path, monkeypatch):
        def fail(*args, **kwargs):
            raise urllib.error.URLError("no route")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
        with pytest.raises(OSError, match=r"'resnet18' could not be downloaded.*weights=None"):
            load_classifier("resnet18")

    def test_unknown_weights(self):
        with pytest.raises(ValueError, match=r"'default', None or one of 'IMAGENET1K_V1'.*'V9'"):
            load_classifier("squeezenet1_1", weights="V9")


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("name", "closest"),
        [("digits_cnn", "'digits-cnn'"), ("resnet-18", "'resnet18'"), ("lenet", "'shapes-lenet'")],
    )
    def test_the_closest_are_named(self, name, closest):
        with pytest.raises(ValueError, match=f"got '{name}'; did you mean .*{closest}"):
            load_classifier(name)

    def test_nothing_is_close(self):
        with pytest.raises(ValueError, match=r"name must be one of 'digits-cnn'.*got 'qqqq'$"):
            load_classifier("qqqq")

    def test_missing_file(self):
        with pytest.raises(ValueError, match=r"there is no file 'nowhere.safetensors'"):
            load_classifier("nowhere.safetensors")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def put_in_cache(entry, content, folder, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(folder))
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(content, folder / "hub" / "checkpoints" / entry.url.split("/")[-1])


def test_random_weights_of_a_vision_transformer_tell_images_apart():
    clf = load_classifier("vit_b_32", weights=None, device="cpu", memory=2**28, chunk_size=2)
    assert (clf.memory, clf.chunk_size) == (2**28, 2)
    logits = clf.logits(torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    assert float(logits.std(1).min()) > 0.1
    assert float((logits[0] - logits[1]).abs().max()) > 0.01


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu"), ["cpu", "cpu"]])
def test_a_bundled_network_on_a_cpu_has_its_channels_last(device):
    weights = (
        parameter
        for parameter in load_classifier("shapes-lenet", device=device).module.parameters()
        if parameter.ndim == 4 and parameter.shape[1] > 1
    )
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
