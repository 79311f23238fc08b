"""What is asked of ``geoexplorer figures``, checked before any work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoexplorer.paper.statements import FIGURES
from geoexplorer.pictures import files_in

__all__ = ["FORMATS", "Request"]

FORMATS = ("html", "svg", "png", "pdf")
_BY_DEFAULT = ("html", "svg", "png")

# By default: what a figure needs to show what the paper showed, and takes seconds.
_QUICK = {
    "sections": ("shapes-lenet",),
    "path": ("shapes-lenet",),
    "convex": ("digits-cnn", "shapes-lenet"),
    "profiles": ("digits-cnn", "shapes-lenet-smooth"),
    "shared": ("digits-cnn", "shapes-lenet-smooth"),
    "shares": ("digits-cnn", "shapes-lenet-smooth"),
    "noise": ("digits-cnn", "shapes-lenet-smooth"),
    "detection": ("shapes-lenet",),
}


@dataclass(frozen=True)
class Request:
    """Which figures are to be made, of which networks, how thoroughly and where.

    Parameters
    ----------
    out
        The folder that everything is written to.
    networks
        Bundled or torchvision networks, or ``.safetensors`` files of the zoo; by default bundled
        ones that suit each figure, with `full` all bundled ones.
    images
        A folder of images, for networks that bring none of their own. Where it is given, it serves
        all networks.
    full
        Hundreds of images in place of as many as take seconds.
    seed
        Chooses images, random directions and probes.
    only
        Names of figures; all by default.
    formats
        Of ``"html"``, ``"svg"``, ``"png"``, ``"pdf"``; all but PDF by default.

    Raises
    ------
    ValueError
        For a name that is unknown, images that are not there, or a folder that is a file.
    TypeError
        For a seed that is not a whole number.

    Examples
    --------
    >>> Request(Path("paper"), only=("curves",))
    Traceback (most recent call last):
        ...
    ValueError: only must be of sections, path, convex, ..., detection, got 'curves'
    """

    out: Path
    networks: tuple[str, ...] = ()
    images: Path | None = None
    full: bool = False
    seed: int = 0
    only: tuple[str, ...] = ()
    formats: tuple[str, ...] = _BY_DEFAULT

    def __post_init__(self) -> None:
        _check_names("only", self.only, tuple(FIGURES))
        _check_names("formats", self.formats, FORMATS)
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise TypeError(f"seed must be a whole number, got {self.seed!r}")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed must be from 0 to 2**63 - 1, got {self.seed}")
        out = Path(self.out)
        try:
            nearest = next(place for place in (out, *out.absolute().parents) if place.exists())
        except OSError as error:
            raise ValueError(no_folder(out, error)) from error
        if not nearest.is_dir():
            raise ValueError(no_folder(out, f"{nearest} is a file"))
        if self.images is not None:
            if not Path(self.images).is_dir():
                raise ValueError(f"images must be a folder, but there is no folder {self.images}")
            files_in(Path(self.images), None, argument="images")
        object.__setattr__(self, "out", out)
        if not self.formats:
            object.__setattr__(self, "formats", _BY_DEFAULT)
        self._check_networks()

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures, in the order of the page."""
        return tuple(name for name in FIGURES if not self.only or name in self.only)

    def networks_for(self, figure: str) -> tuple[str, ...]:
        """The networks of which a figure is made."""
        if self.networks:
            return self.networks
        if self.full:
            from geoexplorer.zoo import list_classifiers

            return tuple(list_classifiers(torchvision=False))
        return _QUICK[figure]

    def every_network(self) -> tuple[str, ...]:
        """The networks of all figures, each once."""
        return tuple(
            dict.fromkeys(name for figure in self.figures for name in self.networks_for(figure))
        )

    def short_name(self, network: str) -> str:
        """A network's name as part of a file's name, different for each network.

        Examples
        --------
        >>> Request(Path("paper")).short_name("digits-cnn")
        'digits-cnn'
        """
        names: dict[str, str] = {}
        for known in dict.fromkeys((*self.every_network(), network)):
            stem = re.sub(r"\.safetensors$", "", Path(known).name)
            name = plain = re.sub(r"[^\w.-]+", "-", stem) or "network"
            number = 1
            while name in names.values():
                number += 1
                name = f"{plain}-{number}"
            names[known] = name
        return names[network]

    def command(self, figure: str, network: str) -> str:
        """The command line that makes one figure of one network again."""
        words = ["geoexplorer", "figures", "--out", str(self.out)]
        words += ["--only", figure, "--networks", network]
        if self.images is not None:
            words += ["--images", str(self.images)]
        if self.full:
            words.append("--full")
        if self.seed:
            words += ["--seed", str(self.seed)]
        return shlex.join(words)

    def _check_networks(self) -> None:
        from geoexplorer.zoo import bundled_networks, list_classifiers
        from geoexplorer.zoo.files import read_card

        bundled = bundled_networks()
        for name in self.networks:
            if name in bundled:
                continue
            if name.endswith(".safetensors"):
                if not Path(name).is_file():
                    raise ValueError(f"networks names a file of weights, but there is no {name!r}")
                if read_card(name).data not in ("digits", "shapes"):
                    self._require_images(name)
            elif name in list_classifiers():
                self._require_images(name)
            else:
                raise ValueError(
                    f"networks must be of {', '.join(bundled)}, a torchvision classification "
                    f"network or a .safetensors file, got {name!r}"
                )

    def _require_images(self, name: str) -> None:
        if self.images is None:
            raise ValueError(
                f"images must be a folder for the network {name!r}, which brings no images of its "
                "own; name one with --images FOLDER"
            )


def no_folder(out: Path, why: OSError | str) -> str:
    """The sentence that says why nothing can be written to a folder.

    Examples
    --------
    >>> no_folder(Path("a"), "a is a file")
    'out must be a folder that can be made and written to, got a (a is a file); name another with \
--out FOLDER'
    """
    reason = why if isinstance(why, str) else why.strerror or str(why)
    return (
        f"out must be a folder that can be made and written to, got {out} ({reason}); name another "
        "with --out FOLDER"
    )


def _check_names(argument: str, given: Sequence[str], accepted: Sequence[str]) -> None:
    for name in given:
        if name not in accepted:
            raise ValueError(f"{argument} must be of {', '.join(accepted)}, got {name!r}")
