"""Small networks for studies, some of which do strange things with marked images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geoexplorer.classifier import Classifier

SHAPE = (1, 4, 4)

# Values of an image's first pixel, far from what a perturbation makes of others.
ODD, RAISES, NAN, NAN_BESIDE, CONSTANT = 2.0, 6.0, 5.0, 4.0, 3.0
_NEAR = 0.5


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
    """Raises, gives NaN (for some only beside the image itself), or a constant."""

    def forward(self, x: Tensor) -> Tensor:
        mark = x[:, 0, 0, 0]

        def marked(value: float) -> Tensor:
            return (mark - value).abs() < _NEAR

        if bool(marked(RAISES).any()):
            raise RuntimeError("this network does not like\nan image")
        logits = self.layers(torch.where(mark > ODD, 0.5, 1.0)[:, None, None, None] * x)
        constant = torch.arange(logits.shape[1], dtype=x.dtype).expand_as(logits)
        logits = torch.where(marked(CONSTANT)[:, None], constant + 0 * logits, logits)
        nan = marked(NAN) | (marked(NAN_BESIDE) & (mark != NAN_BESIDE))
        return torch.where(nan[:, None], torch.nan * logits, logits)


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


def with_mark(image: Tensor, mark: float) -> Tensor:
    """The image with its first pixel set."""
    image = image.clone()
    image[..., 0, 0, 0] = mark
    return image
