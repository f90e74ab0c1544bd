"""Untrusted documents: read within limits, then checked against a declared schema.

A sha256 proves that a file is unchanged, not that its author is harmless. So every document must
keep the limits of this module (no repeated keys, at most 64 levels, finite numbers of at most 63
bits, Unicode without NUL, a bounded number of lists and objects) and match a ``msgspec`` type that
declares its content. Every violation raises a ``CheckpointError`` of one line: the file, the key,
the value found, the value expected, and the remedy.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import inspect

from seqzoo.errors import CheckpointError, nearest, one_line
from seqzoo.storage.messages import RESTORE, malformed, shown

__all__ = [
    "BEYOND",
    "MOST_CONTAINERS",
    "Key",
    "SchemaT",
    "check",
    "first_repeated",
    "match",
    "parse_json",
    "plain",
    "read_json",
]

BEYOND = 2**63
"""Integers must be smaller than this in magnitude, so that 64 bits hold them everywhere."""
MOST_CONTAINERS = 100_000
"""Lists and objects of a JSON document, unless its reader names another number."""

_STRING = "a string in Unicode without NUL"
_DEEPEST = 64
_CHUNK = 1 << 16
_AT = re.compile(r"(.*) - at (`key` in )?`\$([^`]*)`", re.DOTALL)
_FIELD = re.compile(r"Object (missing required|contains unknown) field `(.*)`", re.DOTALL)

SchemaT = TypeVar("SchemaT")
Key = str | int


def read_json(
    where: object,
    content: bytes,
    schema: type,
    *,
    most: int = MOST_CONTAINERS,
    remedy: str = RESTORE,
) -> Any:
    """The plain document in the bytes of a JSON file: ``parse_json``, then ``check``."""
    document = parse_json(where, content, most=most, remedy=remedy)
    check(where, document, schema, remedy)
    return document


def parse_json(
    where: object, content: bytes, *, most: int = MOST_CONTAINERS, remedy: str = RESTORE
) -> Any:
    """Parse JSON without NaN, infinities or repeated keys.

    An empty list takes 3 bytes in a file and 80 in memory, so their number is bounded first.

    Args:
        where: the file or the source, for messages.
        content: its bytes.
        most: how many lists and objects it may have.
        remedy: the end of the message.

    Raises:
        CheckpointError: it is not such JSON, or has more lists and objects.
    """
    if content.count(b"[") + content.count(b"{") > most and _containers(content) > most:
        raise CheckpointError(
            f"{where} has more lists and objects than the {most:,} that belong in it; {remedy}"
        )
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_distinct
        )
    # RecursionError comes from the parser itself, ValueError from it and from decoding.
    except (ValueError, RecursionError) as error:
        reason = one_line(error, 120)
        raise CheckpointError(
            f"{where} is not the JSON that seqzoo writes ({reason}); {remedy}"
        ) from error


def plain(what: str, value: object) -> Any:
    """A document of plain values as JSON would give it back: tuples are lists, keys are strings.

    Raises:
        CheckpointError: it holds a value that JSON has no form for; names ``what``.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{what} cannot be saved: {one_line(error, 120)}; use strings, finite numbers, lists "
            "and dicts"
        ) from error


def check(where: object, document: object, schema: type[SchemaT], remedy: str = RESTORE) -> SchemaT:
    """Check a plain document against the limits and a schema.

    Args:
        where: the file or the source, for messages.
        document: as it was parsed, or as it is to be written.
        schema: a ``msgspec`` type; error messages quote its ``Meta(description=…)``.
        remedy: the end of the message.

    Returns:
        The document as an instance of the schema.

    Raises:
        CheckpointError: a value is beyond the limits or does not match the schema.
    """
    _check_limits(where, document, (), remedy)
    return match(where, document, schema, remedy)


def match(where: object, document: object, schema: type[SchemaT], remedy: str = RESTORE) -> SchemaT:
    """``check`` without the limits, for values of this process that are not read from a file.

    Values that the schema declares as ``Any`` may be of any type.

    Raises:
        CheckpointError: a value does not match the schema.
    """
    try:
        return msgspec.convert(document, schema)
    except msgspec.ValidationError as error:
        _refuse(where, document, schema, str(error), remedy)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        (repeated,) = first_repeated(key for key, _ in pairs)
        raise ValueError(f"the key {shown(repeated)} occurs more than once")
    return document


def first_repeated(names: Iterable[str]) -> list[str]:
    """The first name that occurs a second time, in a list; an empty list if there is none."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return [name]
        seen.add(name)
    return []


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"it holds {text}")


def _containers(content: bytes) -> int:
    """Number of lists and objects that JSON opens: the brackets outside of strings."""
    bare = content.replace(rb"\\", b"").replace(rb"\"", b"")
    found, in_text = 0, False
    for start in range(0, len(bare), _CHUNK):
        pieces = bare[start : start + _CHUNK].split(b'"')
        outside = b"".join(pieces[in_text::2])
        found += outside.count(b"[") + outside.count(b"{")
        in_text ^= len(pieces) % 2 == 0
    return found


def _check_limits(where: object, value: object, keys: tuple[Key, ...], remedy: str) -> None:
    expected = None
    if isinstance(value, str):
        expected = None if _is_text(value) else _STRING
    elif value is None or isinstance(value, bool):
        pass
    elif isinstance(value, int):
        expected = None if -BEYOND < value < BEYOND else "a whole number of at most 63 bits"
    elif isinstance(value, float):
        expected = None if math.isfinite(value) else "a finite number"
    elif len(keys) > _DEEPEST:
        expected = f"at most {_DEEPEST} levels"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or not _is_text(key):
                raise malformed(where, f"a key in {_named(keys)}", key, _STRING, remedy)
            _check_limits(where, inner, (*keys, key), remedy)
    elif isinstance(value, list | tuple):
        for start in range(0, len(value), _CHUNK):
            chunk = value[start : start + _CHUNK]
            # Fast path for the ids and the counts of a large vocabulary.
            kinds: set[type] = set(map(type, chunk))
            if kinds == {str} and _is_text("".join(chunk)):
                continue
            if kinds == {int} and min(chunk) > -BEYOND and max(chunk) < BEYOND:
                continue
            for index, inner in enumerate(chunk, start):
                _check_limits(where, inner, (*keys, index), remedy)
    else:
        kind = type(value).__name__
        expected = f"a string, a number, a list or a mapping and no {kind} (a string may be quoted)"
        value = str(value)
    if expected is not None:
        raise malformed(where, _named(keys), value, expected, remedy)


def _is_text(text: str) -> bool:
    """Whether a string can be written: JSON and YAML can escape surrogates, UTF-8 files cannot."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _named(keys: Iterable[Key]) -> str:
    """The path of a value in a document, for messages: ``'train.lr'``, ``'items[3]'``."""
    name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return shown(name.removeprefix(".")) if name else "the document"


def _refuse(where: object, document: Any, schema: type, message: str, remedy: str) -> NoReturn:
    """Raise the error for a message of ``msgspec``, which lacks the keys of mappings and the value.

    The expected value is the description of the innermost type that has one.
    """
    found = _AT.fullmatch(message)
    what, in_key, rest = found.groups() if found else (message, None, "")
    kind, value = inspect.type_info(schema), document
    expected = _description(kind)
    keys: list[Key] = []
    while rest or in_key:
        if rest and not rest.startswith("[...]"):
            key, rest = _next_key(kind, rest)
        else:
            key = _culprit(document, keys, schema, message)
            if not rest:
                expected = _description(_plain(kind).key_type) or "a name"
                raise malformed(where, f"a key in {_named(keys)}", key, expected, remedy)
            rest = rest[len("[...]") :]
        kind, value = _inner(kind, key), value[key]
        keys.append(key)
        expected = _description(kind) or expected
    if field := _FIELD.fullmatch(what):
        known = [each.encode_name for each in _plain(kind).fields]
        if field[1] == "missing required":
            problem = f"lacks '{field[2]}'"
        else:
            problem = f"has the unknown key {shown(field[2])}{nearest(field[2][:100], known)}"
        raise CheckpointError(f"{where}: {_named(keys)} {problem}; {remedy}")
    if expected is None:
        expected = what.removeprefix("Expected ").partition(", got")[0].replace("`", "")
    raise malformed(where, _named(keys), value, expected, remedy)


def _next_key(kind: Any, rest: str) -> tuple[Key, str]:
    """The first step of a path that is an index or a field, and the path behind it."""
    if index := re.match(r"\[(\d+)\]", rest):
        return int(index[1]), rest[index.end() :]
    # Names of fields may have dots, as those of files do.
    fields = sorted((field.encode_name for field in _plain(kind).fields), key=len, reverse=True)
    name = next(name for name in fields if re.match(re.escape(f".{name}") + r"(?![^.[])", rest))
    return name, rest[len(name) + 1 :]


def _inner(kind: Any, key: Key) -> Any:
    """The declared type of a field, of the values of a mapping, or of the items of a list."""
    kind = _plain(kind)
    if isinstance(kind, inspect.StructType):
        return next(field.type for field in kind.fields if field.encode_name == key)
    return kind.value_type if isinstance(kind, inspect.DictType) else kind.item_type


def _plain(kind: Any) -> Any:
    """A type without its description; for a union, its member with inner values."""
    if isinstance(kind, inspect.Metadata):
        return _plain(kind.type)
    if isinstance(kind, inspect.UnionType):
        nested = (inspect.StructType, inspect.DictType, inspect.ListType)
        return next((each for each in map(_plain, kind.types) if isinstance(each, nested)), kind)
    return kind


def _description(kind: Any) -> str | None:
    return (getattr(kind, "extra_json_schema", None) or {}).get("description")


def _culprit(document: Any, keys: list[Key], schema: type, message: str) -> Any:
    """The key that a message is about, found by bisecting the mapping at ``keys``."""
    mapping = document
    for key in keys:
        mapping = mapping[key]
    items = list(mapping.items())
    while len(items) > 1:
        half = items[: len(items) // 2]
        try:
            msgspec.convert(_with(document, keys, dict(half)), schema)
            fails = False
        except msgspec.ValidationError as error:
            fails = str(error) == message
        items = half if fails else items[len(items) // 2 :]
    return items[0][0]


def _with(document: Any, keys: list[Key], value: object) -> Any:
    """A document with another value at ``keys``."""
    if not keys:
        return value
    copied: Any = list(document) if isinstance(document, list | tuple) else dict(document)
    copied[keys[0]] = _with(document[keys[0]], keys[1:], value)
    return copied
