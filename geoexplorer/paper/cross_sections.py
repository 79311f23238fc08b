"""The figure of cross-sections: curved along principal directions, flat along random ones."""

from __future__ import annotations

from geoexplorer.geometry.curvature import principal_curvatures_steps
from geoexplorer.geometry.directions import given, random_tangent
from geoexplorer.geometry.normal_sections import NormalSections, normal_sections_steps
from geoexplorer.geometry.planes import Plane
from geoexplorer.geometry.sections import CrossSection, cross_section_steps
from geoexplorer.paper.wording import method_words, number
from geoexplorer.paper.workshop import Finding, Picture, Workshop

__all__ = ["cross_sections"]

_NAMES = ("most positive direction", "most negative direction")


def cross_sections(shop: Workshop) -> Finding:
    """Normal sections at one boundary point, and the plane through three images."""
    clf, x, seed = shop.subject.clf, shop.subject.images, shop.seed
    points = shop.points()
    reached = points.converged.nonzero().flatten().tolist()
    if not reached:
        raise ValueError(f"no boundary was reached from any of {len(points)} images")
    index = reached[0]
    point = points[index]
    k = shop.keep("sections-curvatures", principal_curvatures_steps, point, 1, seed=seed)
    assert k.directions is not None  # of extreme curvatures they are kept
    principal = [
        given(k.directions[0, column], name) for column, name in zip((0, -1), _NAMES, strict=True)
    ]
    random = [random_tangent(point, seed=seed + draw) for draw in (1, 2)]
    sections = shop.keep(
        "sections",
        normal_sections_steps,
        point,
        [*principal, *random],
        resolution=shop.sizes.resolution,
        seed=seed,
    )
    others = [n for n in range(len(x)) if n != index][:2]
    plane = Plane.through(x[index], x[others[0]], x[others[1]])
    section = shop.keep(
        "sections-map", cross_section_steps, plane, resolution=2 * shop.sizes.resolution - 1
    )
    own, other = clf.class_names[sections.own], clf.class_names[sections.other]
    most, least, *tangents = sections.curvatures
    typical = sum(map(abs, tangents)) / len(tangents)
    bent = max(abs(most), abs(least))
    found = [
        f"At the boundary between {own}, the own side, and {other}, at a distance of "
        f"{number(float(point.distances))} from the image, the curvature is {number(most)} along "
        f"the most positive principal direction and {number(least)} along the most negative one, "
        f"but {' and '.join(map(number, tangents))} along two random tangents."
    ]
    if typical > 0:
        found.append(
            f"The larger one in size is {number(bent / typical)} times as large as the mean size "
            "along the random tangents."
        )
    found += _smoothed_words(sections)
    labels = section.labels.unique().tolist()
    classes = "one class" if len(labels) == 1 else f"{len(labels)} classes"
    found.append(f"The plane through three images shows the regions of {classes}.")
    code = "\n".join(
        (
            "from geoexplorer.geometry.directions import given, random_tangent",
            shop.subject.code,
            f"point = {shop.points_code()}[{index}]",
            f"k = gx.principal_curvatures(clf, point, 1, seed={seed})",
            f"random = [random_tangent(point, seed=s) for s in ({seed + 1}, {seed + 2})]",
            "principal = [",
            f'    given(k.directions[0, 0], "{_NAMES[0]}"),',
            f'    given(k.directions[0, -1], "{_NAMES[1]}"),',
            "]",
            "sections = gx.normal_sections(",
            "    clf, point, [*principal, *random], "
            f"resolution={shop.sizes.resolution}, seed={seed}",
            ")",
            "sections.figure(width=860).show()",
            f"plane = gx.Plane.through(x[{index}], x[{others[0]}], x[{others[1]}])",
            f"gx.cross_section(clf, plane, resolution={2 * shop.sizes.resolution - 1})"
            ".figure().show()",
        )
    )
    return Finding(
        found=tuple(found),
        sample="1 boundary point, the nearest one of one image; 2 random tangents; 3 images",
        method=f"curvature: {method_words(sections.method, sections.step)}; "
        f"maps: {_pixels(sections.sections[0])} pixels along the tangents and {_pixels(section)} "
        "through three images, refined where the class changes",
        pictures=(
            Picture(
                "sections",
                f"Four maps of the boundary between {own} and {other} around one of its points: "
                "along two principal directions, and along two random tangents.",
                sections,
                {"width": 860},
            ),
            Picture(
                "sections-map",
                f"Map of the plane through three images, with the regions of {classes}.",
                section,
            ),
        ),
        code=code,
    )


def _smoothed_words(sections: NormalSections) -> list[str]:
    """Why parabola and boundary may differ to the eye; nothing where κ is that of the network."""
    if sections.method != "smoothed":
        return []
    reach, step = float(sections.sections[0].y.abs().max()), number(sections.step)
    wide = f", more than the ±{number(reach)} that is shown" if sections.step > reach else ""
    return [
        "This network has kinks, and so no curvature at a point: κ and the dashed parabola are "
        f"those of the network smoothed over h = {step}{wide}. The boundary that is shown is that "
        "of the network itself, not smoothed, so the two need not agree to the eye."
    ]


def _pixels(section: CrossSection) -> str:
    rows, columns = section.labels.shape
    return f"{columns} x {rows}"
