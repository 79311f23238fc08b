"""What a person has chosen, as typed traits that go to JSON and come back checked.

A state is data, never code: numbers, words, lists of them. What does not fit is refused as a
whole, with the name of what does not fit, before anything has changed.
"""

from __future__ import annotations

import base64
import difflib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import traitlets
from torch import Tensor

__all__ = [
    "Choice",
    "Spot",
    "Window",
    "nearest_words",
    "read_state",
    "require_keys",
    "require_one_of",
    "tensor_from_json",
    "tensor_to_json",
]


class Choice(traitlets.HasTraits):
    """Traits that make up a state: those tagged ``state=True``."""

    def to_json(self) -> dict[str, Any]:
        """The chosen values, as JSON knows them."""
        return {name: _plain(getattr(self, name)) for name in self.trait_names(state=True)}

    def checked(self, state: Any, where: str) -> dict[str, Any]:
        """The values of a state, each checked by its trait; missing ones are left out.

        Parameters
        ----------
        state
            What :meth:`to_json` gave, or somebody else wrote.
        where
            What the state is called, for the message.

        Raises
        ------
        ValueError
            If it is no mapping, or a key or a value is not accepted.
        """
        known = self.trait_names(state=True)
        require_keys(state, known, where)
        values = {}
        for name, value in state.items():
            trait = self.traits()[name]
            try:
                values[name] = trait._validate(self, value)
            except (traitlets.TraitError, ValueError, TypeError) as error:
                raise ValueError(
                    f"{where}: {name!r} cannot be {_short(value)}: {_reason(error, trait)}"
                ) from error
        return values


class _Numbers(traitlets.TraitType[Any, Any]):
    """A tuple of finite numbers, or None."""

    allow_none = True
    default_value = None
    count = 0

    def validate(self, obj: Any, value: Any) -> tuple[float, ...]:
        """Floats from any sequence of as many numbers."""
        try:
            numbers = () if isinstance(value, str) else tuple(float(number) for number in value)
        except (TypeError, ValueError):
            numbers = ()
        if len(numbers) != self.count or not all(map(math.isfinite, numbers)):
            self.error(obj, value)
        return numbers


class Window(_Numbers):
    """What part of a plane is shown: (left, right, bottom, top) in l2 units; None finds it."""

    info_text = "None or four finite numbers: left < right, bottom < top"
    count = 4

    def validate(self, obj: Any, value: Any) -> tuple[float, ...]:
        """Four floats, in order."""
        numbers = super().validate(obj, value)
        if not (numbers[0] < numbers[1] and numbers[2] < numbers[3]):
            self.error(obj, value)
        return numbers


class Spot(_Numbers):
    """A place in a plane, (x, y) in l2 units, or None."""

    info_text = "None or two finite numbers (x, y)"
    count = 2


def require_keys(state: Any, known: Iterable[str], where: str) -> None:
    """Refuse what is no mapping, or has keys that are not known."""
    known = sorted(known)
    if not isinstance(state, Mapping):
        raise ValueError(f"{where} must be a mapping of {', '.join(known)}, got {_short(state)}")
    for name in state:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not known{nearest_words(name, known)}")


def read_state(source: Any) -> Any:
    """The mapping in a state: a mapping itself, the path of a JSON file, or the file's bytes.

    Raises
    ------
    ValueError
        If there is no such file, or it holds no JSON.
    """
    if isinstance(source, Mapping):
        return source
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        if not path.is_file():
            raise ValueError(f"state: there is no file {str(path)!r}")
        source = path.read_bytes()
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise TypeError(f"state must be a mapping or a path, got {type(source).__name__}")
    try:
        return json.loads(bytes(source))
    except ValueError as error:
        raise ValueError("state: this file is not one that the Explorer saved (no JSON)") from error


def tensor_to_json(tensor: Tensor) -> dict[str, Any]:
    """A float32 tensor as its shape and its bytes in base64.

    Examples
    --------
    >>> tensor_from_json(tensor_to_json(torch.ones(2, 1)), "it").tolist()
    [[1.0], [1.0]]
    """
    data = tensor.detach().cpu().float().contiguous().numpy().tobytes()
    return {"shape": list(tensor.shape), "float32": base64.b64encode(data).decode()}


def tensor_from_json(value: Any, where: str) -> Tensor:
    """The tensor that :func:`tensor_to_json` wrote; ``ValueError`` for anything else."""
    require_keys(value, ("shape", "float32"), where)
    try:
        data = bytearray(base64.b64decode(value["float32"], validate=True))
        tensor = torch.frombuffer(data, dtype=torch.float32).reshape(value["shape"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where} is not an image: {error}") from error
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{where} holds NaN or infinite values")
    return tensor


def require_one_of(name: str, value: Any, accepted: Iterable[str]) -> None:
    """Refuse a word that is none of those accepted."""
    accepted = list(accepted)
    if value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}, got {value!r}")


def nearest_words(word: Any, known: Iterable[str]) -> str:
    """The end of a message about a mistyped word: what was meant, or what is accepted."""
    known = sorted(known)
    close = difflib.get_close_matches(str(word), known, n=1)
    meant = f"; did you mean {close[0]!r}?" if close else ""
    return f"{meant or ';'} accepted are {', '.join(known)}"


def _plain(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def _reason(error: Exception, trait: traitlets.TraitType[Any, Any]) -> str:
    if isinstance(error, traitlets.TraitError):
        return f"accepted is {trait.info()}"
    return str(error)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
