"""Write untrusted text into Markdown and into code examples, so that it is never markup."""

import re
import shlex

from seqzoo.errors import one_line

__all__ = ["code_span", "markdown_text", "python_text", "shell_word"]

# Characters that Markdown reads as markup, and those that make a bare address a link.
_MARKUP = re.compile(r"[\\`*_\[\]#|~$!]|^[-+=]")
_ADDRESS = re.compile(r":(?=//)|(?<=\bwww)\.")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_text(value: object, *, links: bool = False) -> str:
    """A value as running text or a cell of a table, on one line.

    Args:
        value: any value, shown as ``str`` does.
        links: whether an address may become a link, for text that a plugin registers.
    """
    text = _MARKUP.sub(r"\\\g<0>", _visible(str(value)))
    if not links:
        text = _ADDRESS.sub(r"\\\g<0>", text)
    return "".join(_ENTITIES.get(character, character) for character in text)


def code_span(text: str, *, cell: bool = False) -> str:
    """A text in code type, on one line.

    Args:
        text: any text.
        cell: whether it is in a table, where a vertical bar needs a backslash even in code.
    """
    text = _visible(text)
    # A comment could end the generated block.
    text = text.replace("<!--", "< !--")
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if "`" in text else ""
    return f"{ticks}{padding}{text.replace('|', chr(92) + '|') if cell else text}{padding}{ticks}"


def python_text(text: str) -> str:
    """A text as a literal of Python, on one line."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(quoted)}"'


def shell_word(text: str) -> str:
    """A text as a word of a shell command, on one line."""
    if text.isprintable() and "<!--" not in text:
        return shlex.quote(text)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_escaped(quoted)}'"


def _visible(text: str) -> str:
    """A text on one line; a sign replaces control, direction and zero-width characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in one_line(text))


def _escaped(text: str) -> str:
    """A text with escapes for control, direction and zero-width characters and for comments."""
    text = text.replace("<!--", "\\x3c!--")
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
