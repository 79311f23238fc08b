"""The networks of the paper, in sizes that train in minutes on a laptop.

Each is a plain function of the input's shape (C, H, W) and the number of classes, so that the same
architecture serves the drawn shapes, CIFAR-10 and one's own images. The ``smooth`` ones have no
kink anywhere: GELU in place of ReLU, and average pooling in place of max-pooling, so that their
decision boundary has a curvature in the classical sense.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Architecture = Callable[[tuple[int, int, int], int], nn.Module]


def build(architecture: str, input_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Build a network with untrained weights, drawn from torch's global generator.

    Raises
    ------
    ValueError
        If the architecture is unknown.

    Examples
    --------
    >>> network = build("lenet", (3, 32, 32), 10)
    >>> sum(p.numel() for p in network.parameters())
    146938
    """
    if architecture not in ARCHITECTURES:
        known = ", ".join(map(repr, ARCHITECTURES))
        raise ValueError(f"architecture must be one of {known}, got {architecture!r}")
    return ARCHITECTURES[architecture](input_shape, n_classes)


def cnn(input_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Two 3x3 convolutions and one hidden layer, for small grey images."""
    return _small_cnn(input_shape, n_classes, nn.ReLU, nn.MaxPool2d)


def cnn_smooth(input_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """The same as `cnn` without kinks."""
    return _small_cnn(input_shape, n_classes, nn.GELU, nn.AvgPool2d)


def lenet(input_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Two 5x5 convolutions with max-pooling and one hidden layer (LeCun et al. 1998, with ReLU)."""
    return _lenet(input_shape, n_classes, nn.ReLU, nn.MaxPool2d)


def lenet_smooth(input_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """The same as `lenet` without kinks."""
    return _lenet(input_shape, n_classes, nn.GELU, nn.AvgPool2d)


def nin(input_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """Network in network: each convolution is followed by 1x1 ones (Lin et al. 2014).

    Batch normalisation, younger than the paper, is what lets it train within minutes.
    """

    def mlpconv(width_in: int, width: int, width_out: int, kernel: int) -> list[nn.Module]:
        return [
            nn.Conv2d(width_in, width, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width_out, 1),
        ]

    return nn.Sequential(
        *mlpconv(input_shape[0], 32, 24, kernel=5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        *mlpconv(24, 64, 48, kernel=3),
        nn.ReLU(),
        nn.AvgPool2d(2),
        *mlpconv(48, 96, n_classes, kernel=3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def resnet(input_shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """ResNet-8: three stages of one residual block, 16, 32 and 64 channels (He et al. 2016)."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        ResidualBlock(16, 16, stride=1),
        ResidualBlock(16, 32, stride=2),
        ResidualBlock(32, 64, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, n_classes),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, beside a shortcut."""

    def __init__(self, width_in: int, width_out: int, *, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(),
            nn.Conv2d(width_out, width_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width_out, 1, stride=stride, bias=False),
                nn.BatchNorm2d(width_out),
            )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width_in, H, W) to (n, width_out, H / stride, W / stride)."""
        out: Tensor = self.relu(self.residual(x) + self.shortcut(x))
        return out


ARCHITECTURES: dict[str, Architecture] = {
    "cnn": cnn,
    "cnn-smooth": cnn_smooth,
    "lenet": lenet,
    "lenet-smooth": lenet_smooth,
    "nin": nin,
    "resnet": resnet,
}


def _small_cnn(
    input_shape: tuple[int, int, int],
    n_classes: int,
    unit: Callable[[], nn.Module],
    pool: Callable[[int], nn.Module],
) -> nn.Module:
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        unit(),
        nn.Conv2d(16, 32, 3, padding=1),
        unit(),
        pool(2),
        nn.Flatten(),
        nn.Linear(32 * (height // 2) * (width // 2), 64),
        unit(),
        nn.Linear(64, n_classes),
    )


def _lenet(
    input_shape: tuple[int, int, int],
    n_classes: int,
    unit: Callable[[], nn.Module],
    pool: Callable[[int], nn.Module],
) -> nn.Module:
    channels, height, width = input_shape
    height, width = ((height - 4) // 2 - 4) // 2, ((width - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 24, 5),
        unit(),
        pool(2),
        nn.Conv2d(24, 48, 5),
        unit(),
        pool(2),
        nn.Flatten(),
        nn.Linear(48 * height * width, 96),
        unit(),
        nn.Linear(96, n_classes),
    )
