"""MkDocs hook: turn the equations of a page into MathML, which browsers show without a script.

Pages write equations as ``$…$`` and ``$$…$$``; the arithmatex extension marks them and this hook
converts what it marked while the site is built.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Replace every marked equation of a rendered page."""
    content = _INLINE.sub(lambda found: convert(html.unescape(found[1])), content)
    # Displayed equations get a box of their own, which scrolls where the screen is narrow.
    return _BLOCK.sub(
        lambda found: (
            f'<div class="equation">{convert(html.unescape(found[1]), display="block")}</div>'
        ),
        content,
    )
