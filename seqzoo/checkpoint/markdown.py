"""Text from outside in Markdown and in the code of a card: shown as it is, never as markup."""

import re
import shlex

from seqzoo.storage.messages import one_line

# Backslashes for what Markdown reads as markup; an address would become a link by itself.
_MARKUP = re.compile(r"[\\`*_\[\]#|~$!]|^[-+=]|:(?=//)|(?<=\bwww)\.")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_text(value: object) -> str:
    """A value as running text or a cell of a table, on one line."""
    text = _visible(str(value))
    text = _MARKUP.sub(lambda found: "\\" + found[0], text)
    return "".join(_ENTITIES.get(character, character) for character in text)


def code_span(text: str, *, cell: bool = False) -> str:
    """A text in code type, on one line.

    Args:
        text: any text.
        cell: whether it stands in a table, where a vertical bar needs a backslash even in code.
    """
    text = _visible(text)
    # A comment could end the generated block that it stands in.
    text = text.replace("<!--", "< !--")
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    padding = " " if "`" in text else ""
    return f"{ticks}{padding}{text.replace('|', chr(92) + '|') if cell else text}{padding}{ticks}"


def python_text(text: str) -> str:
    """A text as a literal of Python, on one line."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_escaped(quoted)}"'


def shell_word(text: str) -> str:
    """A text as a word of a shell's command, on one line."""
    if text.isprintable() and "<!--" not in text:
        return shlex.quote(text)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_escaped(quoted)}'"


def _visible(text: str) -> str:
    """A text on one line, with a sign in place of control, direction and zero-width characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in one_line(text))


def _escaped(text: str) -> str:
    """A text whose control, direction and zero-width characters are escaped, as is a comment."""
    text = text.replace("<!--", "\\x3c!--")
    return "".join(c if c.isprintable() else _escape(ord(c)) for c in text)


def _escape(code: int) -> str:
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
