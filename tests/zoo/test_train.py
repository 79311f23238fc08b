import dataclasses

import numpy as np
import pytest
import torch

from geoexplorer.images import ImageSet, load_images
from geoexplorer.zoo import load_classifier, train
from geoexplorer.zoo.files import read_card


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def short(name, epochs=2):
    return dataclasses.replace(train.RECIPES[name], epochs=epochs)


def test_a_seed_is_one_network():
    images = load_images("digits", split="train", n=200)

    def weights(seed):
        recipe = short("digits-cnn")
        module, _ = train.train("digits-cnn", images, images, recipe=recipe, seed=seed)
        return torch.cat([value.flatten() for value in module.state_dict().values()])

    first = weights(0)
    torch.rand(7)
    assert torch.equal(first, weights(0))
    assert not torch.equal(first, weights(1))


def test_digits_are_learned(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(train.RECIPES, "digits-cnn", short("digits-cnn", epochs=4))
    train.main(["digits-cnn", "--out", str(tmp_path)])
    card = read_card(tmp_path / "digits-cnn.safetensors")
    assert card.accuracy > 0.8
    assert (card.data, card.architecture, card.test_size) == ("digits", "cnn", 500)
    printed = capsys.readouterr().out
    assert "epoch 4 of 4" in printed
    assert "s left" in printed
    assert f"{card.test_correct} of 500 test images right" in printed


def test_all_cifar10_networks_by_one_command(tmp_path, monkeypatch):
    """On stand-in images: what is tested is the way from the command to a classifier."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.random((64, 3, 32, 32)), np.arange(64) % 10
    asked = []

    def stand_in(source, **options):
        asked.append((source, options["split"], options["root"], options["download"]))
        return ImageSet(pixels, labels, name=source)

    monkeypatch.setattr(train, "load_images", stand_in)
    names = [name for name in train.RECIPES if name.startswith("cifar10-")]
    for name in names:
        monkeypatch.setitem(train.RECIPES, name, short(name, epochs=1))
    command = ["--data", "cifar10", "--root", "here", "--download", "--out", str(tmp_path)]
    train.main(command)
    assert {(source, str(root), download) for source, _, root, download in asked} == {
        ("cifar10", "here", True)
    }
    assert names == ["cifar10-lenet", "cifar10-lenet-smooth", "cifar10-nin", "cifar10-resnet"]
    for name in names:
        classifier = load_classifier(tmp_path / f"{name}.safetensors", device="cpu")
        assert classifier.name == name
        assert classifier.labels(torch.rand(2, 3, 32, 32)).shape == (2,)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["digits-lenet"], "digits-lenet: not known; accepted are digits-cnn, "),
        (["digits-cnn", "--data", "cifar10"], "digits-cnn: not known; accepted are cifar10-lenet"),
    ],
)
def test_unknown_names(command, message, capsys):
    with pytest.raises(SystemExit):
        train.main(command)
    assert message in capsys.readouterr().err


def test_batches_are_shifted_and_mirrored_images():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    images = image.expand(64, -1, -1, -1)
    recipe = train.Recipe(epochs=1, rate=1, shift=1, mirror=True)
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
    possible = {
        tuple(side[0, 0, i : i + 4, j : j + 4].flatten().tolist())
        for side in (padded, padded.flip(3))
        for i in range(3)
        for j in range(3)
    }
    torch.manual_seed(0)
    seen = set()
    for _ in range(10):
        for x, _ in train._batches(images, torch.zeros(64), recipe):
            seen |= set(map(tuple, x.flatten(1).tolist()))
    assert seen == possible
