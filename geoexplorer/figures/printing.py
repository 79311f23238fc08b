"""A drawing as a PDF page of exactly its size.

kaleido prints PDFs with a margin of a tenth of an inch and shrinks the figure by it, which makes
the fonts smaller than asked for. So its SVG is printed here, by the same Chrome.
"""

from __future__ import annotations

import asyncio
import base64
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["pdf_page"]

_PAGE = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>@page {{ size: {width} {height}; margin: 0 }} body {{ margin: 0 }} svg {{ display: block }}
</style>{svg}"""
_NO_MARGINS = {f"margin{side}": 0 for side in ("Top", "Bottom", "Left", "Right")}


def pdf_page(svg: bytes, title: str) -> bytes:
    """Print an SVG that states its width and height, text as text and lines as lines."""
    text = svg.decode()
    size = dict(re.findall(r'\b(width|height)="([0-9.]+[a-z]*)"', text.split(">", 1)[0]))
    page = _PAGE.format(svg=text, title=escape(title), **size)
    # In a thread of its own: a notebook's thread has an event loop already.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(lambda: asyncio.run(_printed(page))).result()


async def _printed(page: str) -> bytes:
    import choreographer

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(page, encoding="utf-8")
        async with choreographer.Browser(headless=True) as browser:
            tab = await browser.create_tab(file.as_uri())
            while not await _is_loaded(tab):
                await asyncio.sleep(0.05)
            reply = await tab.send_command(
                "Page.printToPDF",
                params={
                    "printBackground": True,
                    "preferCSSPageSize": True,
                    "pageRanges": "1",
                    **_NO_MARGINS,
                },
            )
    return base64.b64decode(reply["result"]["data"])


async def _is_loaded(tab: Any) -> bool:
    reply = await tab.send_command(
        "Runtime.evaluate",
        params={
            "expression": "document.readyState === 'complete' && !!document.querySelector('svg')"
        },
    )
    return reply["result"]["result"]["value"] is True
