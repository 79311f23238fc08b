"""Scripts that make a figure of the Explorer without the Explorer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from geoexplorer.geometry.planes import Plane
from geoexplorer.widgets.axes import KINDS, Axis, tensor_code
from geoexplorer.widgets.curvatures import Measure, effort_code
from geoexplorer.widgets.detections import Probing
from geoexplorer.widgets.paths import NEAREST, Wanted, start_of
from geoexplorer.widgets.selection import bundled_source
from geoexplorer.widgets.session import Session, View
from geoexplorer.widgets.subspaces import RHO_SEED, Sharing, beside_name, shared_code

__all__ = [
    "curvature_script",
    "detection_script",
    "path_script",
    "principal_name",
    "saving_script",
    "section_script",
    "shared_script",
]


_IMPORT = "import geoexplorer as gx\n"
# The line of a script that draws the figure: of which result, and with which options.
_DRAWN = re.compile(r"^figure = (\w+)\.figure\((.*)\)$", re.MULTILINE)


def section_script(
    session: Session,
    view: View,
    plane: Plane,
    across: Axis,
    up: Axis,
    *,
    extent: tuple[float, float, float, float],
    resolution: tuple[int, int],
    figure_options: Mapping[str, Any],
) -> str:
    """A script that maps a plane and draws the map.

    One's own classifier and images are taken from the variables ``clf`` and ``images``.
    """
    written = {
        name: KINDS[axis.kind].code(session, view, axis.parameters, name)
        for name, axis in (("across", across), ("up", up))
    }
    at_boundary = KINDS[across.kind].at_boundary or KINDS[up.kind].at_boundary
    origin = "boundary.points[0]" if at_boundary else "x[0]"
    marks = {"x": "x[0]"}
    if "z" in plane.marks:
        marks["z"] = "boundary.points[0]"
    for each in written.values():
        marks.update(each.marks)
    body = [
        "boundary = gx.nearest_boundary(clf, x)",
        *written["across"].lines,
        *written["up"].lines,
        f"plane = gx.Plane.spanned({origin}, across, up)",
        "plane = plane.marked(",
        *(f"    {_argument(name, value)}," for name, value in marks.items()),
        ")",
        f"section = gx.cross_section(clf, plane, extent={extent}, resolution={resolution})",
        *_drawn("section", _expressions(figure_options)),
    ]
    return _script(session, view, body)


def curvature_script(
    session: Session,
    view: View,
    measure: Measure,
    show: str,
    *,
    rank: int,
    images: int,
    by_step: Mapping[str, Any],
    figure_options: Mapping[str, Any],
) -> str:
    """A script that measures curvature and draws one of the curvature panel's views.

    Parameters
    ----------
    session, view, measure
        What is measured, and how.
    show
        ``"profile"``, ``"average"``, ``"step"`` or ``"boundary"``.
    rank
        Of the direction that it is about.
    images
        Averaged over.
    by_step
        Options of ``curvature_by_step``.
    figure_options
        Of the figure.
    """
    found = effort_code(measure.point)
    dimension = view.clf.dimension
    arguments = _call("clf, boundary", measure.options(dimension))
    options = _expressions(figure_options)
    body = [
        f"boundary = gx.nearest_boundary(clf, x{found})",
        f"curvatures = gx.principal_curvatures({arguments})",
    ]
    shown = "curvatures"
    if show == "average":
        shown = "average"
        options["compare"] = "{'this image': curvatures}"
        arguments = _call("clf, several", measure.options(dimension, directions=False))
        body += [
            f"several = gx.nearest_boundary(clf, images.images[:{images}]{found})",
            f"average = gx.principal_curvatures({arguments})",
        ]
    elif show in ("step", "boundary"):
        name = repr(principal_name(rank))
        body += [
            f"along = directions.given(curvatures.direction({rank}).vector, {name})",
            "tangents = [along, directions.random_tangent(boundary)]",
        ]
        if show == "step":
            shown = "by_step"
            arguments = _call("clf, boundary, tangents", by_step)
            body.append(f"by_step = gx.curvature_by_step({arguments})")
        else:
            shown = "sections"
            arguments = _call("clf, boundary, tangents", measure.scale())
            body.append(f"sections = gx.normal_sections({arguments})")
    return _script(session, view, [*body, *_drawn(shown, options)])


def path_script(
    session: Session,
    view: View,
    wanted: Wanted,
    *,
    toward: bool,
    extent: tuple[float, float, float, float] | None,
    resolution: tuple[int, int] | None,
    figure_options: Mapping[str, Any],
) -> str:
    """A script that connects two images and draws the path.

    Parameters
    ----------
    session, view, wanted
        What is connected with what, and how.
    toward
        Whether the plane of a straight path goes through the boundary nearest to it.
    extent, resolution
        Of the map around it; None where the path itself is drawn.
    figure_options
        Of the figure.
    """
    label = int(view.boundary.own[0])
    search = {"effort": wanted.effort, "seed": wanted.seed}
    start = _end_code(session, view, wanted)
    if wanted.scenario != "same class":
        start = _call(f"enter_region(clf, {start}, {label}", search) + ")"
    connect = {"effort": wanted.effort, "prove": wanted.prove, "seed": wanted.seed}
    body = [f"b = {start}", f"path = gx.connect({_call('clf, x[0], b', connect)})"]
    options = _expressions(figure_options)
    shown = "path"
    if extent is not None:
        shown = "section"
        options["region_path"] = "path"
        if toward:
            body += [
                "boundary = gx.nearest_boundary(clf, images_at(path, [least_place(path)]))",
                f"toward = directions.given(boundary.points[0] - x[0], {NEAREST!r})",
                "plane = path_plane(path, toward=toward).marked(z=boundary.points[0])",
            ]
        else:
            body.append("plane = path_plane(path)")
        body += [
            f"section = gx.cross_section(clf, plane, extent={extent}, resolution={resolution})",
        ]
    return _script(session, view, [*body, *_drawn(shown, options)])


def detection_script(
    session: Session,
    view: View,
    probing: Probing,
    *,
    over_images: bool,
    images: int,
    rate: float,
    figure_options: Mapping[str, Any],
) -> str:
    """A script that scores images and draws one of the detection panel's views.

    Parameters
    ----------
    session, view, probing
        What is scored, and how.
    over_images
        Whether it is about many images, or about the way across one's boundary.
    images
        So many give the threshold, or are told from their perturbed ones.
    rate
        The share of natural images above the threshold.
    figure_options
        Of the figure.
    """
    found = effort_code(probing.point)
    options = probing.options()
    if over_images:
        shown = "roc"
        arguments = _call("clf, several", {**options, "false_positive_rate": rate})
        body = [
            f"several = gx.nearest_boundary(clf, images.images[:{images}]{found})",
            f"roc = gx.detection_roc({arguments})",
        ]
    else:
        shown = "along"
        body = [
            f"boundary = gx.nearest_boundary(clf, x{found})",
            f"along = gx.detect_along({_call('clf, boundary', options)})",
            f"natural = gx.detect({_call(f'clf, images.images[:{images}]', options)})",
            f"along = along.judged(natural.threshold_at({rate}))",
        ]
    return _script(session, view, [*body, *_drawn(shown, _expressions(figure_options))])


def shared_script(
    session: Session,
    view: View,
    sharing: Sharing,
    kind: str,
    *,
    some_dropped: bool,
    figure_options: Mapping[str, Any],
) -> str:
    """A script that finds shared directions and draws a view of them.

    Parameters
    ----------
    session, view, sharing
        Over which images, and how.
    kind
        ``"values"``, ``"rho"``, ``"directions"``, ``"shares"``, ``"noise"`` or ``"margins"``.
    some_dropped
        Whether the boundary was not reached from some of the held-out images.
    figure_options
        Of the figure.
    """
    d, count = view.clf.dimension, sharing.count(session, view.subject)
    m, whole = sharing.dimension(d), sharing.found(d) is None
    body = shared_code(session, view.subject, sharing, points="several", shared="shared")
    shown = "shared"
    if kind not in ("values", "directions"):
        body.append(f"held_out = several[{count}:]")
        body += ["held_out = held_out[held_out.converged]"] if some_dropped else []
        shown = "found"
    if kind in ("noise", "margins"):
        beside = f"shared.flat({m})" if whole else f"curved.beside({beside_name(m)!r})"
        subspaces = ["curved", beside]
        body.append(f"curved = shared.curved({m})")
        if kind == "margins":
            subspaces += [f"gx.Subspace.random(clf.input_shape, {m})"] if whole else []
            subspaces.append("*gx.dct_diagonal(clf.input_shape)")
        body.append(f"subspaces = [{', '.join(subspaces)}]")
    body += {
        "rho": [
            f"found = gx.relative_curvature(clf, held_out, shared.directions, seed={RHO_SEED})"
        ],
        "shares": [f"found = gx.subspace_shares(clf, shared.curved({m}), held_out)"],
        "noise": ["found = gx.noise_sensitivity(clf, held_out.images, subspaces)"],
        "margins": ["found = gx.subspace_margins(clf, held_out.images, subspaces)"],
    }.get(kind, [])
    options = _expressions(figure_options)
    return _script(session, view, [*body, *_drawn(shown, options)])


def _end_code(session: Session, view: View, wanted: Wanted) -> str:
    """An expression for the image that a path leads to, before it is moved into the region."""
    if wanted.target is None:
        return tensor_code(start_of(view, wanted))
    if session.is_added(view.subject, wanted.target):
        return tensor_code(view.subject.images.images[wanted.target])
    return f"images.images[{wanted.target}]"


def principal_name(rank: int) -> str:
    """What a principal direction is called where its curvature stands beside it.

    Examples
    --------
    >>> principal_name(-1)
    'principal direction −1'
    """
    return f"principal direction {rank}".replace("-", "−")


def saving_script(script: str, path: str, options: Mapping[str, Any]) -> str:
    r"""A script that draws a figure, with a last line that writes it to a file.

    Examples
    --------
    >>> script = "import geoexplorer as gx\nfigure = path.figure(theme='light')\n"
    >>> saving_script(script, "path.pdf", {"width": "84mm", "font_size": 8}).splitlines()[-1]
    "figures.save(path, 'path.pdf', width='84mm', font_size=8, theme='light')"
    """
    result, written = _DRAWN.findall(script)[-1]
    arguments = _call(f"{result}, {path!r}", options)
    script = script.replace(_IMPORT, f"{_IMPORT}from geoexplorer import figures\n", 1)
    return f"{script}figures.save({arguments}{', ' if written else ''}{written})\n"


def _script(session: Session, view: View, body: list[str]) -> str:
    text = "\n".join([*_subject_lines(session, view), *body])
    imports = ["import geoexplorer as gx"]
    if "directions." in text:
        imports.append("from geoexplorer.geometry import directions")
    if "path_plane(" in text:
        imports.append("from geoexplorer.geometry.path_planes import path_plane")
    if "images_at(" in text:
        imports.append("from geoexplorer.geometry.path_places import images_at, least_place")
    if "enter_region(" in text:
        imports.append("from geoexplorer.geometry.paths import enter_region")
    if "torch." in text:
        imports = ["import base64", "", "import torch", "", *imports]
    return "\n".join([*imports, "", text, ""])


def _subject_lines(session: Session, view: View) -> list[str]:
    """Lines that give ``clf``, ``images`` and ``x``."""
    subject = view.subject
    lines = []
    if session.is_own_network(subject.network):
        lines.append(f"# clf: your classifier {subject.network!r}")
    else:
        device = "" if session.device == "auto" else f", device={session.device!r}"
        lines.append(f"clf = gx.load_classifier({subject.network!r}{device})")
    if session.is_own_set(subject.images_name):
        lines.append(f"# images: your images {subject.images_name!r}")
    else:
        lines.append(f"images = gx.load_images({bundled_source(subject.images_name)!r})")
    if session.is_added(subject, view.index):
        lines.append(f"x = {tensor_code(view.x[None])}")
    else:
        lines.append(f"x = images[{view.index}].images")
    return lines


def _argument(name: str, expression: str) -> str:
    return f"{name}={expression}" if name.isidentifier() else f"**{{{name!r}: {expression}}}"


def _call(first: str, options: Mapping[str, Any]) -> str:
    return ", ".join([first, *(f"{name}={value!r}" for name, value in options.items())])


def _expressions(options: Mapping[str, Any]) -> dict[str, str]:
    """Expressions for the options of a figure."""
    written = {name: repr(value) for name, value in options.items()}
    return {**written, "class_names": "clf.class_names"} if "class_names" in written else written


def _drawn(result: str, options: Mapping[str, str]) -> list[str]:
    """Lines that draw a result, with expressions for the options of its figure."""
    arguments = ", ".join(f"{name}={expression}" for name, expression in options.items())
    return [f"figure = {result}.figure({arguments})", "figure.show()"]
