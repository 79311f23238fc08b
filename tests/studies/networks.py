"""Small networks for studies, some of which do strange things with marked images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geoexplorer.classifier import Classifier

SHAPE = (1, 4, 4)

# Values of an image's first pixel, which no perturbation changes: the networks do not look at it.
GOOD, RAISES, NAN, NAN_BESIDE, CERTAIN = 0.1, 0.7, 0.75, 0.65, 0.9
_NEAR = 0.02
_KNOWN = 0.5  # the second pixel of an image that is as it was


class Smooth(nn.Module):
    """A few tanh units; ``seconds`` are slept in every pass."""

    def __init__(self, seed: int = 0, classes: int = 4, activation: type[nn.Module] = nn.Tanh):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(16, 16), activation(), nn.Linear(16, classes)
        ).double()
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator, dtype=weight.dtype) / 2

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Troubled(Smooth):
    """Raises, gives NaN (for some only beside the image itself), or is certain of a class."""

    def forward(self, x: Tensor) -> Tensor:
        mark, known = x[:, 0, 0, 0], x[:, 0, 0, 1] == _KNOWN

        def marked(value: float) -> Tensor:
            return (mark - value).abs() < _NEAR

        if bool((marked(RAISES) & known).any()):
            raise RuntimeError("this network does not like\nan image")
        seen = torch.ones_like(x)
        seen[:, 0, 0, 0] = 0
        logits = self.layers(seen * x)
        first = torch.eye(logits.shape[1], dtype=x.dtype)[0]
        # The rest is a thin slab, which is not hit by chance.
        logits = logits + 100 * first * ~marked(GOOD)[:, None]
        nan = (marked(NAN) & known) | (marked(NAN_BESIDE) & ~known)
        return logits.masked_fill(nan[:, None], torch.nan)


class Faulty(Smooth):
    """Raises in the passes that are named, counted from the one after it is told to count."""

    def __init__(self) -> None:
        super().__init__()
        self.passes, self.bad = 0, frozenset[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes in self.bad:
            raise RuntimeError("once")
        return super().forward(x)


def classifier(module: nn.Module | None = None, name: str = "small", **options) -> Classifier:
    """On the CPU, in float64."""
    module = Smooth() if module is None else module
    return Classifier(module.eval(), input_shape=SHAPE, device="cpu", name=name, **options)


def images(n: int, seed: int = 1) -> Tensor:
    """Random ones ``(n, 1, 4, 4)``, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, *SHAPE, generator=generator, dtype=torch.float64)


def with_mark(image: Tensor, mark: float = GOOD) -> Tensor:
    """The image with its first pixel set, and its second one known."""
    image = image.clone()
    image[..., 0, 0, 0], image[..., 0, 0, 1] = mark, _KNOWN
    return image
