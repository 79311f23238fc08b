"""Classifiers by name."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from geoexplorer.classifier import Classifier, named_devices
from geoexplorer.zoo.files import NetworkCard, read_card, read_network
from geoexplorer.zoo.networks import build

_WEIGHTS = Path(__file__).parent / "weights"


def load_classifier(
    name: str | os.PathLike[str],
    *,
    weights: str | None = "default",
    seed: int = 0,
    device: str | torch.device | Sequence[str | torch.device] = "auto",
    dtype: torch.dtype | None = None,
    chunk_size: int | None = None,
    memory: int | None = None,
) -> Classifier:
    """Load a trained network as a classifier, with its own normalisation and class names.

    Parameters
    ----------
    name
        A bundled network, a torchvision classification network (see :func:`list_classifiers`),
        or a ``.safetensors`` file written by ``python -m geoexplorer.zoo.train``.
    weights
        ``"default"`` for the trained weights; torchvision downloads its own once. The name of
        another of torchvision's weights, such as ``"IMAGENET1K_V1"``. None for random weights,
        with the same normalisation and class names, without a download.
    seed
        Chooses the random weights.
    device, dtype, chunk_size, memory
        As for :class:`~geoexplorer.Classifier`.

    Returns
    -------
    Classifier
        For images in [0, 1] of the size that the network was trained for.

    Raises
    ------
    ValueError
        If the name is unknown (the message has the closest ones), there are no such weights,
        or the file is not one of ours.
    OSError
        If torchvision's weights cannot be downloaded.

    Examples
    --------
    >>> clf = load_classifier("digits-cnn", device="cpu")
    >>> clf
    Classifier('digits-cnn', 1x8x8 images in [0, 1], 10 classes, cpu, torch.float32)
    """
    name = os.fspath(name)
    ours = name in _bundled_names() or name.endswith(".safetensors")
    module, options = (_from_file if ours else _from_torchvision)(name, weights, seed)
    return Classifier(
        module,
        **options,
        bounds=(0.0, 1.0),
        device=device,
        dtype=dtype,
        chunk_size=chunk_size,
        memory=memory,
        # Measured to be faster for our networks on a CPU, and slower for some of torchvision's.
        channels_last=ours and all(place.type == "cpu" for place in named_devices(device)),
    )


def list_classifiers(*, torchvision: bool = True) -> list[str]:
    """Return the names that :func:`load_classifier` knows, the bundled ones first.

    Parameters
    ----------
    torchvision
        Whether torchvision's networks follow. False spares its import.

    Examples
    --------
    >>> list_classifiers(torchvision=False)[:2]
    ['digits-cnn', 'digits-cnn-smooth']
    """
    return [*_bundled_names(), *(_torchvision_names() if torchvision else [])]


def bundled_networks() -> dict[str, NetworkCard]:
    """Return what is known about every bundled network, above all its test accuracy.

    Examples
    --------
    >>> card = bundled_networks()["digits-cnn"]
    >>> card.data, card.input_shape, card.test_size
    ('digits', (1, 8, 8), 500)
    """
    return {name: read_card(_bundled_path(name)) for name in _bundled_names()}


def _draw_zero_layers(module: nn.Module) -> None:
    """Random weights for linear layers that begin at zero: with them all logits would be equal."""
    for part in module.modules():
        if isinstance(part, nn.Linear) and not bool(part.weight.any()):
            nn.init.normal_(part.weight, std=part.in_features**-0.5)


def _bundled_names() -> list[str]:
    return sorted(path.stem for path in _WEIGHTS.glob("*.safetensors"))


def _bundled_path(name: str) -> Path:
    return _WEIGHTS / f"{name}.safetensors"


def _torchvision_names() -> list[str]:
    import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def _from_file(name: str, weights: str | None, seed: int) -> tuple[nn.Module, dict[str, Any]]:
    if weights not in ("default", None):
        raise ValueError(f"weights must be 'default' or None for {name!r}, got {weights!r}")
    path = _bundled_path(name) if name in _bundled_names() else Path(name)
    if not path.is_file():
        raise ValueError(f"name is a file of weights, but there is no file {name!r}")
    module, card = read_network(path)
    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build(card.architecture, card.input_shape, len(card.class_names)).eval()
    return module, {
        "name": card.name if weights else f"{card.name}, untrained",
        "input_shape": card.input_shape,
        "mean": card.mean,
        "std": card.std,
        "class_names": card.class_names,
    }


def _from_torchvision(
    name: str, weights: str | None, seed: int
) -> tuple[nn.Module, dict[str, Any]]:
    from torchvision import models

    if name not in _torchvision_names():
        close = [ours for ours in _bundled_names() if name and name in ours]
        close = close or difflib.get_close_matches(name, list_classifiers(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ValueError(
            f"name must be one of {', '.join(map(repr, _bundled_names()))}, a torchvision "
            f"classification network or a .safetensors file, got {name!r}{hint}"
        )
    known = models.get_model_weights(name)
    if weights in ("default", None):
        entry = known.DEFAULT
    elif weights in known.__members__:
        entry = known[weights]
    else:
        raise ValueError(
            f"weights of {name!r} must be 'default', None or one of "
            f"{', '.join(map(repr, known.__members__))}, got {weights!r}"
        )
    if weights is not None:
        # torchvision unpickles this file without restriction; here it is shown to be plain data.
        try:
            entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except OSError as error:
            raise OSError(
                f"the weights of {name!r} could not be downloaded from {entry.url} ({error}); put "
                f"the file into {torch.hub.get_dir()}/checkpoints, or take weights=None"
            ) from error
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # GoogLeNet and Inception announce that their way of drawing weights will change.
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(seed)
        module = models.get_model(name, weights=None if weights is None else entry)
        if weights is None:
            _draw_zero_layers(module)
    preprocessing = entry.transforms()
    (side,) = preprocessing.crop_size
    return module.eval(), {
        "name": name if weights else f"{name}, untrained",
        "input_shape": (3, side, side),
        "mean": preprocessing.mean,
        "std": preprocessing.std,
        "class_names": entry.meta["categories"],
    }
