"""Train the zoo's networks: ``python -m geoexplorer.zoo.train [names]``.

Without names, all bundled networks are trained as they were for the package; one takes two to
five minutes on one core. ``--data cifar10 --root DIR [--download]`` trains the 32x32x3 ones on
CIFAR-10, the paper's own setting; ``load_classifier("weights/cifar10-lenet.safetensors")`` then
loads one.

On the same machine with the same versions and number of threads, the same seed gives the same
weights, bit for bit: every random number comes from torch's CPU generator, and nothing here
depends on time. Other machines add in another order; their networks come out slightly different
and about as accurate.

The recipe is the usual one: AdamW with a one-cycle learning rate, random shifts and mirror
images, a little noise. Label smoothing keeps the logits small, so that margins of different
networks can be compared by eye.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geoexplorer.images import ImageSet, load_images
from geoexplorer.zoo.files import NetworkCard, save_network
from geoexplorer.zoo.networks import build

BATCH = 32
LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Recipe:
    """What differs from network to network."""

    epochs: int
    rate: float  # highest learning rate of the cycle
    shift: int  # largest random shift, in pixels
    mirror: bool = False
    noise: float = 0.0  # standard deviation, in pixel values


RECIPES = {
    "digits-cnn": Recipe(epochs=40, rate=1e-3, shift=1, noise=0.1),
    "digits-cnn-smooth": Recipe(epochs=40, rate=1e-3, shift=1, noise=0.1),
    "shapes-lenet": Recipe(epochs=16, rate=1.5e-3, shift=1, mirror=True),
    "shapes-lenet-smooth": Recipe(epochs=16, rate=1.5e-3, shift=1, mirror=True),
    "shapes-nin": Recipe(epochs=4, rate=1.5e-3, shift=1, mirror=True),
    "shapes-resnet": Recipe(epochs=6, rate=3e-3, shift=1, mirror=True),
    "cifar10-lenet": Recipe(epochs=30, rate=1.5e-3, shift=4, mirror=True),
    "cifar10-lenet-smooth": Recipe(epochs=30, rate=1.5e-3, shift=4, mirror=True),
    "cifar10-nin": Recipe(epochs=40, rate=1.5e-3, shift=4, mirror=True),
    "cifar10-resnet": Recipe(epochs=40, rate=3e-3, shift=4, mirror=True),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the networks that the command line names and write them to files."""
    options = _parse(arguments)
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        train_set, test_set = (
            load_images(_data(name), split=split, root=options.root, download=options.download)
            for split in ("train", "test")
        )
        recipe = RECIPES[name]
        module, card = train(name, train_set, test_set, recipe=recipe, seed=options.seed)
        path = options.out / f"{name}.safetensors"
        save_network(path, module, card)
        print(f"{path}: {card.test_correct} of {card.test_size} test images right", flush=True)


def train(
    name: str, train_set: ImageSet, test_set: ImageSet, *, recipe: Recipe, seed: int = 0
) -> tuple[nn.Module, NetworkCard]:
    """Train a network, named "data-architecture"; print the time left after every epoch."""
    architecture = name.split("-", 1)[1]
    images, labels = train_set.images, train_set.labels
    if labels is None or test_set.labels is None:
        raise ValueError("train_set, test_set: images with labels are needed")
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    channels, height, width = images.shape[1:]
    torch.manual_seed(seed)
    module = build(architecture, (channels, height, width), len(train_set.class_names))
    module = module.to(memory_format=torch.channels_last)

    def logits(x: Tensor) -> Tensor:
        x = (x - mean[:, None, None]) / std[:, None, None]
        out: Tensor = module(x.contiguous(memory_format=torch.channels_last))
        return out

    steps = len(images) // BATCH
    optimizer = torch.optim.AdamW(module.parameters(), lr=recipe.rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.epochs * steps, pct_start=0.2
    )
    started = time.monotonic()
    for epoch in range(1, recipe.epochs + 1):
        total = 0.0
        for x, y in _batches(images, labels, recipe):
            loss = F.cross_entropy(logits(x), y, label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        left = (time.monotonic() - started) * (recipe.epochs / epoch - 1)
        state = f"epoch {epoch} of {recipe.epochs}, loss {total / steps:.3f}, {left:.0f} s left"
        print(f"{name}: {state}", flush=True)

    module = module.to(memory_format=torch.contiguous_format).eval()
    with torch.no_grad():
        predicted = torch.cat([logits(x).argmax(1) for x in test_set.images.split(500)])
    card = NetworkCard(
        name=name,
        architecture=architecture,
        data=_data(name),
        input_shape=(channels, height, width),
        class_names=train_set.class_names,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        seed=seed,
        made_with=f"torch {torch.__version__}, threads: {torch.get_num_threads()}",
        test_correct=int((predicted == test_set.labels).sum()),
        test_size=len(test_set),
    )
    return module, card


def _data(name: str) -> str:
    return name.split("-")[0]


def _batches(images: Tensor, labels: Tensor, recipe: Recipe) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch in random order; every image shifted, mirrored and made noisy at random."""
    s = recipe.shift
    padded = F.pad(images, (s, s, s, s), mode="replicate")
    height, width = images.shape[2:]
    order = torch.randperm(len(images))
    for start in range(0, len(images) - BATCH + 1, BATCH):
        chosen = order[start : start + BATCH]
        rows = torch.randint(2 * s + 1, (BATCH, 1, 1)) + torch.arange(height)[:, None]
        columns = torch.randint(2 * s + 1, (BATCH, 1, 1)) + torch.arange(width)
        if recipe.mirror:
            columns = torch.where(torch.rand(BATCH, 1, 1) < 0.5, columns.flip(2), columns)
        x = padded[chosen[:, None, None], :, rows, columns].permute(0, 3, 1, 2)
        if recipe.noise:
            x = x + recipe.noise * torch.randn(x.shape)
        yield x, labels[chosen]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m geoexplorer.zoo.train",
        description="Train the networks of geoexplorer's zoo.",
    )
    parser.add_argument("names", nargs="*", help="networks to train; all of the data's if none")
    parser.add_argument("--data", choices=["bundled", "cifar10"], default="bundled")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of CIFAR-10")
    parser.add_argument("--download", action="store_true", help="fetch CIFAR-10 into the folder")
    parser.add_argument("--out", type=Path, default=Path("weights"), help="folder for the files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    known = [name for name in RECIPES if name.startswith("cifar10-") == (options.data == "cifar10")]
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"{', '.join(unknown)}: not known; accepted are {', '.join(known)}")
    options.names = options.names or known
    return options


if __name__ == "__main__":
    main()
