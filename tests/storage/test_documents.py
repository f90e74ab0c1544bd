"""Untrusted documents: one line names the file, the key, what was found and what was expected."""

import time
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from seqzoo.errors import CheckpointError
from seqzoo.storage.documents import check, parse_json, read_json
from seqzoo.storage.plain_yaml import parse_yaml

Size = Annotated[int, Meta(ge=0, description="a whole number, 0 or more")]


class Entry(Struct, forbid_unknown_fields=True):
    size: Size
    names: list[Annotated[str | None, Meta(description="a name or null")]] = []


class Files(Struct, forbid_unknown_fields=True, rename={"weights": "model.safetensors"}):
    weights: Entry


class Document(Struct):
    files: Files
    groups: dict[str, dict[Annotated[str, Meta(pattern="^[a-z]+$")], Entry]] = {}
    settings: dict[str, Any] = {}


def document(entry: object = None, **more: object) -> dict[str, Any]:
    return {"files": {"model.safetensors": {"size": 1} if entry is None else entry}, **more}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], "the document is [], expected"),
        (None, "the document is None, expected"),
        ({}, "the document lacks 'files'; do this"),
        ({"files": {}}, "'files' lacks 'model.safetensors'; do this"),
        (document(3), "'files.model.safetensors' is 3, expected"),
        (document({}), "'files.model.safetensors' lacks 'size'"),
        (
            document({"size": -1}),
            "'files.model.safetensors.size' is -1, expected a whole number, 0 or more; do this",
        ),
        (document({"size": True}), "'files.model.safetensors.size' is True"),
        (document({"size": 1.0}), "'files.model.safetensors.size' is 1.0"),
        (document({"size": 2**63}), "expected a whole number of at most 63 bits"),
        (
            document({"size": 1, "sise": 2}),
            "'files.model.safetensors' has the unknown key 'sise'; did you mean 'size'?; do this",
        ),
        (
            document({"size": 1, "x` - at `$.files`\n": 2}),
            "'files.model.safetensors' has the unknown key 'x` - at `$.files`\\n'",
        ),
        (
            document({"size": 1, "names": ["a", None, 3]}),
            "'files.model.safetensors.names[2]' is 3, expected a name or null",
        ),
        (
            document(groups={f"g{i}": {"a": {"size": 2 - i}} for i in range(9)}),
            "'groups.g3.a.size' is -1, expected a whole number, 0 or more",
        ),
        (
            document(groups={"g": {"a": {"size": 1}, "b": {"size": "1"}, "c": {"size": None}}}),
            "'groups.g.b.size' is '1', expected a whole number, 0 or more",
        ),
        (
            document(groups={"f": {}, "g": {"a": {"size": 1}, "B": {"size": 1}}}),
            "a key in 'groups.g' is 'B'",
        ),
        (
            document(settings={"a": [1, [float("nan")]]}),
            "'settings.a[1][0]' is nan, expected a finite",
        ),
        (document(settings={"a": {1: 2}}), "a key in 'settings.a' is 1, expected a string"),
        (document(settings={"a\0": 1}), "a key in 'settings' is 'a\\x00', expected a string"),
        (document(settings={"a": {1, 2}}), "no set (a string may be quoted)"),
    ],
)
def test_errors_have_one_line(given, expected):
    with pytest.raises(CheckpointError) as caught:
        check("f.json", given, Document, "do this")
    message = str(caught.value)
    assert message.startswith("f.json: ")
    assert message.endswith("; do this")
    assert expected in message
    assert "\n" not in message
    assert len(message) < 300


def test_the_checked_document_comes_back_typed():
    found = check("f.json", document({"size": 3}, other=1), Document)
    assert found.files.weights.size == 3


def test_deep_documents_end_in_no_recursion():
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(CheckpointError, match="expected at most 64 levels"):
        check("f.json", document(settings={"a": deep}), Document)
    with pytest.raises(CheckpointError, match="is not the JSON that seqzoo writes"):
        parse_json("f.json", b"[" * 90_000)


def test_the_wrong_one_of_many_is_found_quickly():
    many = {"a" * (i // 26 + 1) + chr(97 + i % 26): {"size": 1} for i in range(2_000)}
    many["zz"] = {"size": -7}
    started = time.process_time()
    with pytest.raises(CheckpointError, match=r"'groups\.g\.zz\.size' is -7"):
        check("f.json", document(groups={"e": {}, "g": many}), Document)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' occurs more than once"),
        (b'{"x": [{"b": 1, "\\u0062": 2}]}', "the key 'b' occurs more than once"),
        (b"[NaN]", "it holds NaN"),
        (b"[-Infinity]", "it holds -Infinity"),
        (b"", "Expecting value"),
        (b"\xff", "utf-8"),
    ],
)
def test_json_that_is_refused(content, expected):
    with pytest.raises(
        CheckpointError, match=r"^f\.json is not the JSON that seqzoo writes"
    ) as caught:
        parse_json("f.json", content)
    assert expected in str(caught.value)


def test_yaml_without_tricks_and_repeated_keys():
    assert parse_yaml("f.yaml", b"a: {b: [1, x]}\n") == {"a": {"b": [1, "x"]}}
    for content in (b"a: 1\nb: 2\na: 3\n", b"x: [{'a': 1, \"a\": 2}]"):
        with pytest.raises(CheckpointError, match="the key 'a' occurs more than once"):
            parse_yaml("f.yaml", content)


def test_read_json_gives_the_plain_document():
    content = b'{"files": {"model.safetensors": {"size": 1}}, "note": "kept"}'
    assert read_json("f.json", content, Document)["note"] == "kept"
