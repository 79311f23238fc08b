"""A Sphinx extension: fields of results with the comments that stand beside them in the source.

A result is a dataclass whose fields carry their shape in a comment. Autodoc knows nothing of
comments, and shows the arguments of classes that nobody makes by hand, results and widgets.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
from typing import Any

import ipywidgets
from sphinx.application import Sphinx

from geoexplorer.results import Provenance, Result


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to autodoc; the fields are written before napoleon reads them."""
    app.connect("autodoc-process-docstring", _add_fields, priority=400)
    app.connect("autodoc-process-signature", _leave_out_arguments)
    return {"parallel_read_safe": True}


def fields_of(kind: type) -> dict[str, tuple[str, str]]:
    """Type and comment of each field of a dataclass, those of its bases too."""
    found: dict[str, tuple[str, str]] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base) and base.__module__.startswith("geoexplorer."):
            found |= _own_fields(base)
    names = {field.name for field in dataclasses.fields(kind) if field.repr}
    return {name: text for name, text in found.items() if name in names}


def _own_fields(kind: type) -> dict[str, tuple[str, str]]:
    source = textwrap.dedent(inspect.getsource(kind))
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    comments = {
        token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines, above = [], node.lineno - 1
            while above in comments and comments[above][1]:
                lines.insert(0, comments[above][0])
                above -= 1
            beside = comments.get(node.end_lineno or node.lineno)
            if beside is not None:
                lines.append(beside[0])
            found[node.target.id] = ast.unparse(node.annotation), " ".join(lines)
    return found


def _add_fields(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    if what != "class" or not dataclasses.is_dataclass(obj) or "Parameters" in lines:
        return
    fields = fields_of(obj)  # type: ignore[arg-type]
    if not fields:
        return
    section = ["", "Fields", "------"]
    for field, (kind, comment) in fields.items():
        section += [f"{field} : {kind}", f"    {_escaped(comment)}"]
    ends = [i for i, line in enumerate(lines) if re.fullmatch("-{3,}", line)]
    place = ends[0] - 1 if ends else len(lines)
    lines[place:place] = [*section, ""]


def _leave_out_arguments(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: Any, returned: Any
) -> tuple[str, None] | None:
    made_for_us = (Result, Provenance, ipywidgets.Widget)
    return ("", None) if isinstance(obj, type) and issubclass(obj, made_for_us) else None


def _escaped(text: str) -> str:
    return re.sub(r"([*|`\\])|_(?=\W|$)", lambda match: "\\" + match[0], text)
