"""Damage to the content of a file, drawn from a ``random.Random``.

The same functions serve the long run, which draws case ``n`` of a reader from a seed, and the test
suite, in which Hypothesis plays the random generator and shrinks what it finds.
"""

import json
import re
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from io import BytesIO
from random import Random
from typing import Any
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

import yaml

Document = Any
Change = Callable[[bytes, Random], bytes]

_TOKEN = "@@{}@@"
_TOKENS = re.compile('"@@([^"@]*)@@"')
DEEP = 3000
"""Levels of nesting, more than Python's parser has."""

RAW = {
    "infinity": "Infinity",
    "minus infinity": "-Infinity",
    "not a number": "NaN",
    "digits": "9" * 5000,
    "minus digits": "-" + "9" * 400,
    "exponent": "1e999999999",
    "small": "1e-999999999",
    "zero": "-0",
    "leading zero": "007",
    "hexadecimal": "0x7f",
    "surrogate": r'"\ud800"',
    "pair reversed": r'"\udc00\ud800"',
    "escape": r'"\u0000"',
    "bad escape": r'"\x41"',
    "newline": '"a\nb"',
    "deep lists": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "unclosed": "[" * DEEP,
    "many lists": "[" + "[]," * 20_000 + "[]]",
    "nothing": "",
    "comment": "/* */",
    "single quotes": "'a'",
}
"""JSON, or nearly JSON, that ``json.dumps`` does not write."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, -0.0, 1e-320, 1e308, 2**31, -(2**31), 2**53 + 1, 2**63 - 1,
    2**63, -(2**63) - 1, 2**64, 10**30, [], {}, [[]], [None], {"": 0}, {"a": {"a": {}}},
    [1, "a", None], "", " ", "\0", "\x1b[31m", "\u202e\u200b\ufeff", "\U0010ffff", "ä" * 300,
    "a" * 100_000, "1", "true", "null", "nan", "2024-13-45", "..", "../../etc/passwd",
    "/etc/passwd", "C:\\x", "hf://a/b", "~", "${oc.env:HOME}", "${x}", "???", "%s%n{0}", "--help",
    "-1", "a\nb\r\nc", "<script>alert(1)</script>", "![x](http://tracker/x.png)",
    "<!-- /seqzoo:generated -->", "```\n# head", "---\nlicense: mit\n---", "sasrec", "item",
    "tied-softmax", "loo-full", "hit@10", "hit@0", "hit@-1", "0" * 64, "0" * 40,
)  # fmt: skip
"""Values for any place of a document."""

BYTES = (
    b"\0", b"\xff", b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\r", b"\n", b"\r\n", b"\n\n\n", b"\x85", b"\x1a", b'"', b'""', b"'", b",", b";",
    b"\t", b"|", b"::", b":", b"[", b"]", b"{", b"}", b"-", b"---\n", b"&a ", b"*a",
    b"!!python/object/apply:os.system ", b"<<: ", b"%YAML 9.9\n", b"? ", b"| ", b"> ", b"# ",
    b"1:1:1:1", b"0o777", b"2001-01-01", b".nan", b".inf", b"\\ud800", b"\\", b"9" * 400, b"1e400",
    b"-9223372036854775809", b"18446744073709551616", b"NaN", b"\xe2\x80\xa8", b"=cmd()",
    b"<!-- seqzoo:generated x -->", b"<!-- /seqzoo:generated -->",
)  # fmt: skip
"""Bytes to put anywhere."""

EXTREMES = (0, 1, 7, 255, 2**16, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
"""Sizes and offsets of binary formats."""


def damage(content: bytes, chance: Random) -> bytes:
    """Change the bytes of a file in one to four places."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(_CHANGES)(content, chance)
    return content


def _flip(content: bytes, chance: Random) -> bytes:
    if not content:
        return b"\0"
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]


def _set_byte(content: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]


def _cut(content: bytes, chance: Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _cut_start(content: bytes, chance: Random) -> bytes:
    return content[chance.randrange(len(content) + 1) :]


def _insert(content: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.choice(BYTES) + content[at:]


def _overwrite(content: bytes, chance: Random) -> bytes:
    at, new = chance.randrange(len(content) + 1), chance.choice(BYTES)
    return content[:at] + new + content[at + len(new) :]


def _remove(content: bytes, chance: Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    return content[:start] + content[start + chance.choice((1, 2, 8, 64, 1000)) :]


def _repeat(content: bytes, chance: Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    piece = content[start : start + chance.choice((1, 4, 16, 200))]
    return content[:start] + piece * chance.choice((2, 2, 2, 300)) + content[start:]


def _move(content: bytes, chance: Random) -> bytes:
    start, to = chance.randrange(len(content) + 1), chance.randrange(len(content) + 1)
    piece = content[start : start + 16]
    return content[:to] + piece + content[to:]


def _extreme(content: bytes, chance: Random) -> bytes:
    """Write an extreme size where a binary format may have one."""
    at, width = chance.randrange(len(content) + 1), chance.choice((2, 4, 8))
    number = chance.choice(EXTREMES) % (1 << 8 * width)
    order = chance.choice(("little", "little", "big"))
    return content[:at] + number.to_bytes(width, order) + content[at + width :]  # type: ignore[arg-type]


def _number(content: bytes, chance: Random) -> bytes:
    """Write another number in place of one that is written in digits."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content[:200_000]))
    if not found:
        return _insert(content, chance)
    one = chance.choice(found)
    odd = (b"-1", b"0", b"1e400", b"NaN", b"", b"9" * 400, b"1.5", b"9223372036854775808", b"0x10")
    return content[: one.start()] + chance.choice(odd) + content[one.end() :]


def _line(content: bytes, chance: Random) -> bytes:
    """Remove, repeat or move a line, or let it be all blanks."""
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    kind = chance.randrange(4)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines[at:at] = [lines[at]] * chance.choice((1, 2, 50))
    elif kind == 2:
        lines.insert(chance.randrange(len(lines)), lines.pop(at))
    else:
        lines[at] = chance.choice((b"", b"   ", b"\t\t", b",,,", b"::::::"))
    return b"\n".join(lines)


def _encode(content: bytes, chance: Random) -> bytes:
    encoding = chance.choice(("utf-16", "utf-16-le", "utf-32", "utf-7"))
    return content.decode("utf-8", "replace").encode(encoding, "replace")


def _nothing(content: bytes, chance: Random) -> bytes:
    return chance.choice((b"", b" ", b"\n", b"\0" * 64, b"\xef\xbb\xbf"))


_CHANGES: tuple[Change, ...] = (
    _flip, _flip, _flip, _set_byte, _cut, _cut_start, _insert, _insert, _overwrite, _overwrite,
    _remove, _repeat, _move, _extreme, _extreme, _number, _number, _line, _line, _encode, _nothing,
)  # fmt: skip


def damage_document(document: Document, chance: Random) -> Document:
    """Change a JSON document in one to three places; ``render`` writes the result."""
    document = json.loads(json.dumps(document))
    for _ in range(chance.choice((1, 1, 2, 3))):
        document = _change(document, chance)
    return document


def _change(value: Document, chance: Random) -> Document:
    inner = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    # The upper levels have few values and most of the meaning.
    if not inner or chance.randrange(6) == 0:
        return _odd(value, chance)
    key = chance.choice(list(inner)[:50])
    kind = chance.randrange(9)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[chance.choice(("", "x", "\0", "a" * 300, key + " ", "__class__", "sha256"))] = (
            value.pop(key)
        )
    elif kind == 2 and isinstance(value, dict):
        value[_TOKEN.format(f"key {key}")] = deepcopy(value[key])
    elif kind == 3 and isinstance(value, dict):
        value[chance.choice(("", "x", "\u202e", "items", key.upper()))] = _odd(value[key], chance)
    elif kind == 4 and isinstance(value, list):
        value[key:key] = [deepcopy(value[key]) for _ in range(chance.choice((1, 3, 100)))]
    elif kind == 5 and isinstance(value, list):
        value.reverse()
    else:
        value[key] = _change(value[key], chance)
    return value


def _odd(value: Document, chance: Random) -> Document:
    kind = chance.randrange(8)
    if kind < 4:
        return deepcopy(chance.choice(VALUES))
    if kind < 6:
        return _TOKEN.format(chance.choice(list(RAW)))
    if kind == 6:
        return [value]
    return (
        value * chance.choice((0, 2, -1, 10**20))
        if isinstance(value, int | float)
        else {"a": value}
    )


def render(document: Document, **options: Any) -> bytes:
    """A document as JSON or nearly so, with what ``damage_document`` put into it."""

    def raw(found: re.Match[str]) -> str:
        name = found[1].encode().decode("unicode_escape") if "\\" in found[1] else found[1]
        return RAW[name] if name in RAW else json.dumps(name.removeprefix("key "))

    text = _TOKENS.sub(raw, json.dumps(document, **options))
    return text.encode("utf-8", "surrogatepass")


def render_yaml(document: Document, chance: Random) -> bytes:
    """A document as YAML or nearly so."""
    if chance.randrange(2):
        return render(document)  # nearly all JSON is YAML
    text = yaml.safe_dump(_untokened(document), sort_keys=False, allow_unicode=True)
    return text.encode("utf-8", "surrogatepass")


def _untokened(value: Document) -> Document:
    if isinstance(value, dict):
        return {_untokened(key): _untokened(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_untokened(inner) for inner in value]
    if isinstance(value, str) and value.startswith("@@"):
        return RAW.get(value[2:-2], value[2:-2])[:200]
    return value


def damage_archive(members: Sequence[tuple[str, bytes]], chance: Random) -> bytes:
    """A zip archive with damaged members, names, sizes, or a bomb."""
    packed = BytesIO()
    with warnings.catch_warnings(), ZipFile(packed, "w") as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in members:
            kind = chance.randrange(12)
            method = chance.choice((ZIP_STORED, ZIP_DEFLATED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA))
            if kind == 0:
                content = damage(content, chance)
            elif kind == 1:
                name = chance.choice(
                    ("../" + name, "/" + name, name + "/", "a/" * 50 + name, "a\0b", name.upper())
                )
            elif kind == 2:
                archive.writestr(name, content[:20], compress_type=method)
            elif kind == 3 and chance.randrange(12) == 0:
                content, method = bytes(chance.choice((65, 200)) << 20), ZIP_DEFLATED
            elif kind == 4:
                continue
            archive.writestr(name, content, compress_type=method)
    content = packed.getvalue()
    return damage(content, chance) if chance.randrange(2) else content
