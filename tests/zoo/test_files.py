import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from geoexplorer.zoo import NetworkCard, load_classifier
from geoexplorer.zoo.files import read_card, read_network, save_network
from geoexplorer.zoo.networks import build

CARD = NetworkCard(
    name="faces-resnet",
    architecture="resnet",
    data="faces",
    input_shape=(3, 20, 20),
    class_names=("glad", "sad"),
    mean=(0.1, 0.2, 0.3),
    std=(0.5, 0.6, 0.7),
    seed=3,
    made_with="torch",
    test_correct=90,
    test_size=100,
)


@pytest.fixture
def network():
    network = build("resnet", CARD.input_shape, 2)
    network(torch.rand(9, *CARD.input_shape))  # moves the running statistics
    return network.eval()


def test_there_and_back(network, tmp_path):
    path = tmp_path / "a.safetensors"
    save_network(path, network, CARD)
    module, card = read_network(path)
    assert card == read_card(path) == CARD
    assert card.accuracy == 0.9
    assert not module.training
    for name, value in network.state_dict().items():
        assert torch.equal(module.state_dict()[name], value)


def test_as_a_classifier(network, tmp_path):
    save_network(tmp_path / "a.safetensors", network, CARD)
    classifier = load_classifier(tmp_path / "a.safetensors", device="cpu")
    x = torch.rand(4, *CARD.input_shape)
    mean, std = (torch.tensor(v)[:, None, None] for v in (CARD.mean, CARD.std))
    torch.testing.assert_close(classifier.logits(x), network((x - mean) / std).detach())
    assert classifier.class_names == CARD.class_names
    assert classifier.name == "faces-resnet"


def test_weights_without_a_card(network, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(network.state_dict(), path)
    with pytest.raises(ValueError, match=r"has no network card; .*zoo.train.*Classifier"):
        read_network(path)


def test_not_a_safetensors_file(tmp_path):
    path = tmp_path / "a.safetensors"
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="is not a safetensors file"):
        read_network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_names": ("one", "two", "three")}, "do not fit their card"),
        ({"architecture": "lenet"}, "do not fit their card"),
        ({"architecture": "os.system"}, "architecture must be one of"),
    ],
)
def test_weights_that_do_not_fit(network, tmp_path, change, message):
    path = tmp_path / "a.safetensors"
    save_network(path, network, dataclasses.replace(CARD, **change))
    with pytest.raises(ValueError, match=message):
        read_network(path)
