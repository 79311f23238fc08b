"""A trained network as one safetensors file: its weights, and a card that says what they are.

The card stands in the file's metadata as JSON. It is data and never code: the architecture is
named and built by `geoexplorer.zoo.networks`, whatever else the file may claim.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields

import torch
from torch import nn

from geoexplorer.zoo.networks import build


@dataclass(frozen=True)
class NetworkCard:
    """What is known about a trained network."""

    name: str
    architecture: str  # a key of networks.ARCHITECTURES
    data: str  # what it was trained on: "digits", "shapes" or "cifar10"
    input_shape: tuple[int, int, int]  # (C, H, W)
    class_names: tuple[str, ...]  # (L,)
    mean: tuple[float, ...]  # (C,) of the training images
    std: tuple[float, ...]  # (C,)
    seed: int
    made_with: str  # the same weights come out only with the same versions and threads
    test_correct: int  # so many of the test images are classified right
    test_size: int

    @property
    def accuracy(self) -> float:
        """The share of test images that is classified right."""
        return self.test_correct / self.test_size


def save_network(path: str | os.PathLike[str], module: nn.Module, card: NetworkCard) -> None:
    """Write a network's weights and card to a safetensors file."""
    from safetensors.torch import save_file

    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    save_file(state, path, metadata={"card": json.dumps(asdict(card))})


def read_card(path: str | os.PathLike[str]) -> NetworkCard:
    """Read what a file says about its network, without its weights.

    Raises
    ------
    ValueError
        If the file is not a safetensors file written by `save_network`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"path: {os.fspath(path)!r} is not a safetensors file ({error})") from None
    try:
        entries = json.loads(metadata["card"])
        lists = {key: tuple(value) for key, value in entries.items() if isinstance(value, list)}
        return NetworkCard(
            **{field.name: (entries | lists)[field.name] for field in fields(NetworkCard)}
        )
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
        raise ValueError(
            f"path: {os.fspath(path)!r} has no network card; accepted are files written by "
            "`python -m geoexplorer.zoo.train`. Load other weights into your own module and give "
            "that to Classifier"
        ) from None


def read_network(path: str | os.PathLike[str]) -> tuple[nn.Module, NetworkCard]:
    """Read a trained network, in evaluation mode, and its card.

    Raises
    ------
    ValueError
        If the file was not written by `save_network`, or its weights do not fit its card.
    """
    from safetensors.torch import load_file

    card = read_card(path)
    with torch.device("meta"):  # leaves the global random generator alone
        module = build(card.architecture, card.input_shape, len(card.class_names))
    try:
        module.load_state_dict(load_file(path), assign=True)
    except RuntimeError as error:
        raise ValueError(
            f"path: the weights in {os.fspath(path)!r} do not fit their card ({error})"
        ) from None
    return module.eval(), card
