"""Build the documentation: run the course's notebooks, then Sphinx with warnings as errors.

``python docs/build.py`` writes ``docs/_build/html/index.html``. It needs the extra ``docs``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from sphinx.cmd.build import main as sphinx

HERE = Path(__file__).resolve().parent
COURSE = HERE / "course"


def main(argv: Sequence[str] | None = None) -> int:
    """Build what the arguments ask for; 0 if there was nothing to warn of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--no-notebooks",
        action="store_true",
        help="do not run the notebooks; those that were run before are shown",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=HERE / "_build",
        metavar="DIR",
        help="folder to write to (docs/_build by default); the pages are in html",
    )
    arguments = parser.parse_args(argv)
    if not arguments.no_notebooks and (failed := run_notebooks()):
        return failed
    html, kept = arguments.out / "html", arguments.out / "doctrees"
    options = ["-b", "html", "--fail-on-warning", "--keep-going", "--quiet", "-d", str(kept)]
    failed = sphinx([*options, str(HERE), str(html)])
    if not failed:
        print(f"The pages are in {html / 'index.html'}")
    return failed


def run_notebooks() -> int:
    """Run the notebooks of the course, which are then in ``docs/course`` with their outputs."""
    sys.path.insert(0, str(HERE))
    import execute

    for path in COURSE.glob("*.ipynb"):  # of another time, perhaps of notebooks that are no more
        path.unlink()
    return execute.main(["--out", str(COURSE)])


if __name__ == "__main__":
    sys.exit(main())
