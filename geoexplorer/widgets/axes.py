"""The axes that a cross-section can have: what each is called, needs, finds, and its code."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import traitlets
from torch import Tensor

from geoexplorer.geometry import directions
from geoexplorer.geometry.directions import Direction
from geoexplorer.widgets.curvatures import METHODS, POINTS, SPECTRA, Measure, spectrum_steps
from geoexplorer.widgets.session import Session, View, label_of
from geoexplorer.widgets.state import nearest_words, require_keys, require_one_of
from geoexplorer.widgets.subspaces import Sharing, basis_steps, shared_code
from geoexplorer.widgets.worker import Delivery

__all__ = ["KINDS", "Axis", "AxisTrait", "Found", "Kind", "tensor_code"]

# Pixels that go into a principal component analysis: 500 images of 32x32x3 take a second.
_MOST_PIXELS = 2_000_000
# Images among which the nearest one of a class is looked for.
_LOOKED_THROUGH = 500


@dataclass(frozen=True)
class Axis:
    """A chosen axis: its kind, and the parameters that this kind has.

    Examples
    --------
    >>> Axis("random tangent", {"seed": 3}).to_json()
    {'kind': 'random tangent', 'seed': 3}
    >>> Axis("DCT frequency").parameters
    {'row': 0, 'column': 1}
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"the axis {self.kind!r} is not known{nearest_words(self.kind, KINDS)}"
            )
        defaults = KINDS[self.kind].parameters
        require_keys(self.parameters, defaults, f"the axis {self.kind!r}")
        for name, value in self.parameters.items():
            _require_like(name, defaults[name], value, f"the axis {self.kind!r}: {name}")
        object.__setattr__(self, "parameters", {**defaults, **self.parameters})

    def __hash__(self) -> int:
        return hash((self.kind, tuple(sorted(self.parameters.items()))))

    def to_json(self) -> dict[str, Any]:
        """The kind and its parameters in one mapping."""
        return {"kind": self.kind, **self.parameters}

    @staticmethod
    def from_json(value: Any) -> Axis:
        """An axis from what :meth:`to_json` gave, or from the name of a kind alone."""
        if isinstance(value, Axis):
            return value
        if isinstance(value, str):
            return Axis(value)
        if not isinstance(value, Mapping) or "kind" not in value:
            raise ValueError(
                f"accepted is the name of an axis or a mapping with 'kind', got {value!r}"
            )
        return Axis(value["kind"], {key: value[key] for key in value if key != "kind"})


class AxisTrait(traitlets.TraitType[Any, Any]):
    """An :class:`Axis`; a mapping or the name of a kind becomes one."""

    def info(self) -> str:
        """What is accepted."""
        return "an axis: " + ", ".join(KINDS)

    def validate(self, obj: Any, value: Any) -> Axis:
        """The axis; ``ValueError`` says what is wrong with it."""
        return Axis.from_json(value)


@dataclass(frozen=True, eq=False)
class Found:
    """A direction that was found, and the images on its axis that are worth a mark."""

    direction: Direction
    marks: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """Lines of a script that define a direction, and the expressions of its marks."""

    lines: tuple[str, ...]
    marks: Mapping[str, str] = field(default_factory=dict)


FindSteps = Callable[[Session, View, Mapping[str, Any]], Generator[Delivery, None, Found]]
# With the name of the variable to define; x, boundary, clf, images, gx and directions are there.
WriteCode = Callable[[Session, View, Mapping[str, Any], str], Written]


@dataclass(frozen=True)
class Kind:
    """One kind of axis."""

    find: FindSteps
    code: WriteCode
    parameters: Mapping[str, Any] = field(default_factory=dict)  # defaults; None is found out
    at_boundary: bool = False  # whether the plane goes through z and need not hold x


def tensor_code(tensor: Tensor) -> str:
    """An expression that makes a float32 tensor again, number for number."""
    data = base64.b64encode(tensor.float().contiguous().numpy().tobytes()).decode()
    return (
        f'torch.frombuffer(bytearray(base64.b64decode("{data}")), dtype=torch.float32)'
        f".reshape({tuple(tensor.shape)})"
    )


def _at_once(find: Callable[[Session, View, Mapping[str, Any]], Direction]) -> FindSteps:
    """A direction that is found without a stop on the way."""

    def steps(
        session: Session, view: View, p: Mapping[str, Any]
    ) -> Generator[Delivery, None, Found]:
        return Found(find(session, view, p))
        yield  # a generator all the same

    return steps


def _line(expression: Callable[[Session, View, Mapping[str, Any]], str]) -> WriteCode:
    """The code of a direction that is one expression."""
    return lambda session, view, p, name: Written((f"{name} = {expression(session, view, p)}",))


def _toward_class(
    session: Session, view: View, p: Mapping[str, Any]
) -> Generator[Delivery, None, Found]:
    other = _class_of(view, p)
    points = yield from session.boundary_steps(view.subject, view.index, other)
    name = view.clf.class_names[other]
    if not bool(points.converged[0]):
        raise ValueError(f"No boundary toward class {name} was found from this image.")
    direction = directions.given(points.perturbations, f"toward class {name}")
    return Found(direction, {f"z toward {name}": points.points[0]})


def _toward_class_code(_session: Session, view: View, p: Mapping[str, Any], name: str) -> Written:
    other = _class_of(view, p)
    called = view.clf.class_names[other]
    title = repr(f"toward class {called}")
    return Written(
        (
            f"{name}_boundary = gx.nearest_boundary(clf, x, {other})",
            f"{name} = directions.given({name}_boundary.perturbations, {title})",
        ),
        {f"z toward {called}": f"{name}_boundary.points[0]"},
    )


def _class_of(view: View, p: Mapping[str, Any]) -> int:
    names, own = view.clf.class_names, int(view.boundary.own[0])
    if p["other"] is None:  # the one that comes next in the scores, after the nearest
        ranked = view.clf.logits(view.x[None])[0].argsort(descending=True).tolist()
        nearest = int(view.boundary.other[0])
        return next(index for index in ranked if index not in (own, nearest) or len(names) == 2)
    if p["other"] not in names:
        raise ValueError(f"class {p['other']!r} is not known{nearest_words(p['other'], names)}")
    other = names.index(p["other"])
    if other == own:
        raise ValueError(
            f"{names[own]!r} is the image's own class; choose another one to go toward"
        )
    return other


def _toward_image(
    session: Session, view: View, p: Mapping[str, Any]
) -> Generator[Delivery, None, Found]:
    index = _target(view, p)
    target, name = view.subject.images.images[index], _image_name(view, index)
    direction = directions.toward_image(view.x, target, name)
    return Found(direction, {name.removeprefix("toward "): target})
    yield  # a generator all the same


def _toward_image_code(session: Session, view: View, p: Mapping[str, Any], name: str) -> Written:
    index = _target(view, p)
    if session.is_added(view.subject, index):
        target = tensor_code(view.subject.images.images[index])
    else:
        target = f"images.images[{index}]"
    called = _image_name(view, index)
    return Written(
        (
            f"{name}_image = {target}",
            f"{name} = directions.toward_image(x[0], {name}_image, {called!r})",
        ),
        {called.removeprefix("toward "): f"{name}_image"},
    )


def _target(view: View, p: Mapping[str, Any]) -> int:
    """Index of the image to go toward: by default the nearest of the class across the boundary."""
    images, index = view.subject.images, p["image"]
    if index is None:
        others = [n for n in range(min(len(images), _LOOKED_THROUGH)) if n != view.index]
        across = int(view.boundary.other[0])  # -1 where no boundary was reached
        name = view.clf.class_names[across] if across >= 0 else None
        wanted = [n for n in others if label_of(images, n) == name] or others
        if not wanted:
            raise ValueError("there is no other image to go toward; add one to the gallery")
        return min(wanted, key=lambda n: float((images.images[n] - view.x).norm()))
    if not 0 <= index < len(images):
        raise ValueError(f"image must be between 0 and {len(images) - 1}, got {index}")
    if index == view.index:
        raise ValueError(f"image {index} is the one that is looked at; choose another to go toward")
    return int(index)


def _image_name(view: View, index: int) -> str:
    label = label_of(view.subject.images, index)
    return f"toward image {index}" + (f" ({label})" if label else "")


def _component(session: Session, view: View, p: Mapping[str, Any]) -> Direction:
    number = p["component"]
    if number < 1:
        raise ValueError(f"component must be 1 or more, got {number}")
    images = view.subject.images.images[: _enough(session, view, number)]
    return directions.principal_components(images, number)[number - 1]


def _component_code(session: Session, view: View, p: Mapping[str, Any]) -> str:
    images, number = f"images.images[:{_enough(session, view, p['component'])}]", p["component"]
    return f"directions.principal_components({images}, {number})[{number - 1}]"


def _enough(session: Session, view: View, number: int) -> int:
    """How many images the analysis takes: the first ones, and none of those added by hand."""
    count = len(view.subject.images) - len(session.added.get(view.subject.images_name, ()))
    return min(count, max(number + 1, _MOST_PIXELS // view.x.numel()))


def _principal(
    session: Session, view: View, p: Mapping[str, Any]
) -> Generator[Delivery, None, Found]:
    view.require_boundary()
    curvatures = yield from spectrum_steps(session, view, _measure(p))
    return Found(curvatures.direction(p["rank"]))


def _principal_code(_session: Session, view: View, p: Mapping[str, Any], name: str) -> Written:
    options = _measure(p).options(view.clf.dimension)
    arguments = ", ".join(f"{key}={value!r}" for key, value in options.items())
    return Written(
        (
            f"{name}_curvatures = gx.principal_curvatures(clf, boundary, {arguments})",
            f"{name} = {name}_curvatures.direction({p['rank']})",
        )
    )


def _measure(p: Mapping[str, Any]) -> Measure:
    return Measure(p["method"], p["step"], p["spectrum"])


def _shared(session: Session, view: View, p: Mapping[str, Any]) -> Generator[Delivery, None, Found]:
    basis = yield from basis_steps(session, view, _sharing(p))
    return Found(basis.shared.direction(p["rank"]))


def _shared_code(session: Session, view: View, p: Mapping[str, Any], name: str) -> Written:
    lines = shared_code(session, view.subject, _sharing(p), points=f"{name}_points",
                        shared=f"{name}_shared")  # fmt: skip
    return Written((*lines, f"{name} = {name}_shared.direction({p['rank']})"))


def _sharing(p: Mapping[str, Any]) -> Sharing:
    return Sharing(p["images"], p["point"])


def _saved(session: Session, _view: View, p: Mapping[str, Any]) -> Direction:
    return directions.given(_saved_vector(session, p), p["name"])


def _saved_vector(session: Session, p: Mapping[str, Any]) -> Tensor:
    if p["name"] not in session.directions:
        there = ", ".join(map(repr, session.directions)) or "none yet: pin a place and keep it"
        raise ValueError(f"no direction is saved as {p['name']!r}; there are {there}")
    return session.directions[p["name"]]


def _require_like(name: str, default: Any, value: Any, where: str) -> None:
    if value is None and default is None:
        return
    if name in ("other", "name"):
        if not isinstance(value, str):
            raise ValueError(f"{where} must be a name, got {value!r}")
    elif name in _WORDS:
        require_one_of(where, value, _WORDS[name])
    elif name == "step":
        if not _is_number(value) or not math.isfinite(value) or value <= 0:
            raise ValueError(f"{where} must be a positive number, got {value!r}")
    elif name == "rank":
        if not isinstance(value, int) or isinstance(value, bool) or value == 0:
            raise ValueError(
                f"{where} must be a whole number: 1 is the most positive, -1 the most negative "
                f"curvature; got {value!r}"
            )
    else:
        least = 1 if name == "images" else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{where} must be a whole number, {least} or more, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_WORDS = {"method": METHODS, "spectrum": SPECTRA, "point": tuple(POINTS)}

KINDS: dict[str, Kind] = {
    "nearest boundary": Kind(
        _at_once(lambda s, view, p: directions.to_boundary(view.require_boundary())),
        _line(lambda s, view, p: "directions.to_boundary(boundary)"),
    ),
    "normal": Kind(
        _at_once(lambda s, view, p: directions.normal(view.require_boundary())),
        _line(lambda s, view, p: "directions.normal(boundary)"),
        at_boundary=True,
    ),
    "toward a class": Kind(_toward_class, _toward_class_code, {"other": None}),
    "toward an image": Kind(_toward_image, _toward_image_code, {"image": None}),
    "random tangent": Kind(
        _at_once(
            lambda s, view, p: directions.random_tangent(view.require_boundary(), seed=p["seed"])
        ),
        _line(lambda s, view, p: f"directions.random_tangent(boundary, seed={p['seed']})"),
        {"seed": 0},
    ),
    "principal direction": Kind(
        _principal,
        _principal_code,
        {"rank": -1, "method": "auto", "step": None, "spectrum": "auto"},
        at_boundary=True,
    ),
    "shared direction": Kind(
        _shared,
        _shared_code,
        {"rank": 1, "images": None, "point": "nearest"},
    ),
    "loss gradient": Kind(
        _at_once(lambda s, view, p: directions.loss_gradient(view.clf, view.x)),
        _line(lambda s, view, p: "directions.loss_gradient(clf, x)"),
    ),
    "DCT frequency": Kind(
        _at_once(
            lambda s, view, p: directions.dct_frequency(view.clf.input_shape, p["row"], p["column"])
        ),
        _line(
            lambda s, view, p: (
                f"directions.dct_frequency(clf.input_shape, {p['row']}, {p['column']})"
            )
        ),
        {"row": 0, "column": 1},
    ),
    "principal component": Kind(
        _at_once(_component),
        _line(_component_code),
        {"component": 1},
    ),
    "saved direction": Kind(
        _at_once(_saved),
        _line(
            lambda s, view, p: (
                f"directions.given({tensor_code(_saved_vector(s, p))}, {p['name']!r})"
            )
        ),
        {"name": None},
    ),
}
