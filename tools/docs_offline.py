"""A hook of mkdocs: pages ask no other address, not even the repository's for its stars."""

from typing import Any

_SOURCE = ' data-md-component="source"'
"""What the theme's script looks for before it asks GitHub about the repository."""


def on_post_page(output: str, **_: Any) -> str:
    """The page without the mark; the link to the repository stays."""
    return output.replace(_SOURCE, "")


def on_post_template(output_content: str, **_: Any) -> str:
    """The same for pages of the theme, such as that for an unknown address."""
    return output_content.replace(_SOURCE, "")
