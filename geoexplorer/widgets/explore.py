"""`explore`: the Explorer for whatever a person has at hand."""

from __future__ import annotations

from typing import Any

from geoexplorer.classifier import Classifier
from geoexplorer.images import ImageSet, load_images
from geoexplorer.widgets.explorer import Explorer
from geoexplorer.widgets.selection import bundled_set
from geoexplorer.widgets.state import nearest_words

__all__ = ["explore"]

_OPTIONS = ("image", "panel", "theme", "device", "state")


def explore(clf: Any = None, images: Any = None, **options: Any) -> Explorer:
    """Open the Explorer; as the last expression of a notebook's cell it is shown.

    Parameters
    ----------
    clf
        A :class:`~geoexplorer.Classifier`, or a name that :func:`~geoexplorer.load_classifier`
        knows; by default a small network for the digits.
    images
        An :class:`~geoexplorer.ImageSet`, or whatever :func:`~geoexplorer.load_images` takes:
        float images ``(n, C, H, W)`` in [0, 1], a folder, the name of a bundled set. They may
        be left out where the classifier takes the images of a bundled set.
    image
        Index of the image to begin with; by default one that lies near the boundary.
    panel
        The panel to open first, in capitals or not: ``"cross-section"`` (the default),
        ``"curvature"``, ``"paths"``, ``"shared directions"`` or ``"detection"``. It wins over
        the panel of a ``state``.
    theme
        ``"auto"`` follows the page; or ``"light"`` or ``"dark"``.
    device
        Where bundled networks run; ``"auto"`` takes a GPU if there is one.
    state
        What :meth:`Explorer.to_json` gave, or the path of a file that "Save state" made.

    Returns
    -------
    Explorer
        A widget; its ``close()`` frees all that it holds.

    Raises
    ------
    TypeError
        If an option is not known, or the classifier or the images are of another kind.
    ValueError
        If the classifier does not take these images, or a name is not known.

    Examples
    --------
    >>> explorer = explore("digits-cnn", panel="curvature")
    >>> explorer.selection.images, explorer.panel.title
    ('digits, test', 'Curvature')
    >>> explorer.close()
    """
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(f"explore: {name!r} is not an option{nearest_words(name, _OPTIONS)}")
    if isinstance(clf, str):
        options |= _named_network(clf, options.get("device", "auto"))
    elif clf is None or isinstance(clf, Classifier):
        options["clf"] = clf
    else:
        raise TypeError(
            f"clf must be a geoexplorer.Classifier or a name, got {type(clf).__name__}; wrap a "
            "network: Classifier(module, input_shape=(C, H, W), mean=..., std=...)"
        )
    if isinstance(images, str) and bundled_set(images):
        options["image_set"] = bundled_set(images)
    elif images is not None:
        options["images"] = images if isinstance(images, ImageSet) else load_images(images)
    return Explorer(**options)


def _named_network(name: str, device: Any) -> dict[str, Any]:
    from geoexplorer.zoo import bundled_networks, load_classifier

    if name in bundled_networks():
        return {"network": name}
    return {"clf": load_classifier(name, device=device)}
