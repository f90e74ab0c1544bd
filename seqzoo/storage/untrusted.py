"""What values of a checkpoint's files may be, so that nothing later stumbles over them.

A sha256 says that a file is what its author wrote, not that the author meant well.
"""

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqzoo.errors import CheckpointError
from seqzoo.storage.integrity import parse_json

BEYOND = 2**63
"""Whole numbers lie between minus this and this, so that every part of a program can hold them."""

_RESTORE = "fetch the checkpoint again or restore the file"
_DEEPEST = 64
_CHUNK = 1 << 16
_CUTOFF = re.compile("[0-9]{1,9}")


class _Short(reprlib.Repr):
    """Shows a value in a few characters, however large it is."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        # Python writes out no number of more than 4300 digits, and refuses with a ValueError.
        return super().repr_int(x, level) if abs(x) < 2**128 else f"<{x.bit_length()} bits>"


def malformed(
    path: Path, what: str, found: object, expected: str, remedy: str = _RESTORE
) -> CheckpointError:
    """The error for a part of a file that is not what seqzoo writes."""
    text = shown(found)
    return CheckpointError(f"{path}: {what} is {text}, expected {expected}; {remedy}")


def shown(value: object) -> str:
    """A value in at most 80 characters."""
    text = _Short().repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def listing(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def one_line(text: object, limit: int | None = None) -> str:
    """A text in one line, at most ``limit`` characters of it."""
    return " ".join(str(text).split())[:limit]


def check_plain(
    path: Path, what: str, value: object, remedy: str = _RESTORE, depth: int = 0
) -> None:
    """See that a value consists of texts, finite numbers, booleans, None, lists and mappings.

    Args:
        path: the file, for messages.
        what: the value's name in it, for messages.
        value: as it was read.
        remedy: the end of the message.
        depth: how deep it lies in the document.

    Raises:
        CheckpointError: something else is in it, a number is NaN, infinite or has more than 63
            bits, or it nests too deeply.
    """
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, int):
        if not -BEYOND < value < BEYOND:
            raise malformed(path, what, value, "a whole number of at most 63 bits", remedy)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise malformed(path, what, value, "a finite number", remedy)
    elif isinstance(value, str):
        if not _is_text(value):
            raise malformed(path, what, value, "text in Unicode without NUL", remedy)
    elif depth > _DEEPEST:
        raise malformed(path, what, value, f"at most {_DEEPEST} levels", remedy)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or not _is_text(key):
                raise malformed(path, f"a key in {what}", key, "text", remedy)
            check_plain(path, _member(what, key), inner, remedy, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            check_plain(path, f"a value in {what}", inner, remedy, depth + 1)
    else:
        kind = type(value).__name__
        expected = f"text, a number, a list or a mapping and no {kind} (text may stand in quotes)"
        raise malformed(path, what, str(value), expected, remedy)


def check_metrics(path: Path, document: object) -> None:
    """See that figures have the form of ``metrics.json``.

    Raises:
        CheckpointError: they have not; names ``path``.
    """
    if not isinstance(document, Mapping):
        raise malformed(path, "the document", document, "an object of protocols")
    for protocol, entry in document.items():
        what = f"protocol {shown(protocol)}"
        figures = entry.get("metrics") if isinstance(entry, Mapping) else None
        if not isinstance(figures, Mapping):
            raise malformed(path, what, entry, "an object with 'metrics'")
        for name, value in figures.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise malformed(path, f"figure {shown(name)} of {what}", value, "a number")
            cutoff = str(name).partition("@")[2]
            # Other scripts have digits too, and int() takes some of them and not others.
            if cutoff.isdigit() and not _CUTOFF.fullmatch(cutoff):
                raise malformed(path, f"a name in the figures of {what}", name, "1 to 9 digits")
        check_plain(path, f"the figures' {shown(protocol)}", entry)
        _check_circumstances(path, what, entry)
    check_plain(path, "the document", dict.fromkeys(document))


def _check_circumstances(path: Path, what: str, entry: Mapping[str, Any]) -> None:
    for key in ("users", "items"):
        count = entry.get(key, 0)
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise malformed(path, f"'{key}' of {what}", count, "a whole number, 0 or more")
    for key, names in (("data", ("name", "fingerprint")), ("versions", None)):
        value = entry.get(key, {})
        if not isinstance(value, Mapping) or not all(
            isinstance(text, str) for name, text in value.items() if names is None or name in names
        ):
            raise malformed(path, f"'{key}' of {what}", value, "an object of texts")


def check_recipe(path: Path, recipe: Mapping[str, Any], remedy: str) -> None:
    """See that a recipe has plain values, sections that are mappings, and a text as its data.

    Raises:
        CheckpointError: it has not; names ``path`` and ends with ``remedy``.
    """
    for key, value in recipe.items():
        check_plain(path, shown(key), value, remedy)
    for section in ("data", "model", "train"):
        settings = recipe.get(section, {})
        if not isinstance(settings, Mapping):
            raise malformed(path, f"'{section}'", settings, "settings by name", remedy)
    source = recipe.get("data", {}).get("source")
    if source is not None and not isinstance(source, str):
        raise malformed(path, "'data.source'", source, "a text", remedy)


def parse_flat_json(path: Path, content: bytes, most: int) -> Any:
    """Read JSON of a kind that has few lists and objects.

    An empty list takes 3 bytes in a file and 80 in memory, so their number is bounded first.

    Args:
        path: the file, for messages.
        content: its bytes.
        most: how many lists and objects it may have.

    Raises:
        CheckpointError: it has more of them, or is not JSON.
    """
    if content.count(b"[") + content.count(b"{") > most and _brackets(content) > most:
        raise CheckpointError(
            f"{path} has more lists and objects than the {most:,} that belong in it; {_RESTORE}"
        )
    return parse_json(path, content)


def _brackets(content: bytes) -> int:
    """How many lists and objects JSON opens: brackets that do not stand in texts."""
    bare = content.replace(rb"\\", b"").replace(rb"\"", b"")
    found, in_text = 0, False
    for start in range(0, len(bare), _CHUNK):
        pieces = bare[start : start + _CHUNK].split(b'"')
        outside = b"".join(pieces[in_text::2])
        found += outside.count(b"[") + outside.count(b"{")
        in_text ^= len(pieces) % 2 == 0
    return found


def _member(what: str, key: str) -> str:
    """The name of a setting of a section, as long as that stays a line."""
    return f"{what[:-1]}.{key}'" if what[-1] == "'" and len(what) + len(key) < 80 else what


def _is_text(text: str) -> bool:
    """Whether text can be written: JSON and YAML can spell halves of characters, files cannot."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
