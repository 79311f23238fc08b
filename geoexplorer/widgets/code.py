"""Scripts that make a figure of the Explorer without the Explorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geoexplorer.geometry.planes import Plane
from geoexplorer.widgets.axes import KINDS, Axis, tensor_code
from geoexplorer.widgets.selection import bundled_source
from geoexplorer.widgets.session import Session, View

__all__ = ["section_script"]


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
        f"figure = section.figure({_arguments(figure_options)})",
        "figure.show()",
    ]
    text = "\n".join([*_subject_lines(session, view), *body])
    imports = ["import geoexplorer as gx", "from geoexplorer.geometry import directions"]
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


def _arguments(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in options.items())
