"""Hostile documents with valid checksums: refused in one line where they are read."""

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest

import seqzoo
from seqzoo.checkpoint.manifest import (
    LARGEST,
    read_manifest,
    read_metrics,
    read_recipe,
    read_vocabulary,
)
from seqzoo.errors import CheckpointError
from seqzoo.model.save import save_model
from seqzoo.storage.documents import parse_json
from tests.samples import METRICS, RECIPE, make_model, replace, reseal

CARDS = Path(__file__).parents[2] / "model_cards"
HUGE = b"1" + b"0" * 400

RECIPES = {
    "a date": (b"when: 2024-01-01\n", "no date"),
    "a time": (b"when: 2024-01-01 10:00:00\n", "no datetime"),
    "a date as a key": (b"model: {2024-01-01: 1}\n", "a key in 'model'"),
    "NaN": (b"x: .nan\n", "finite"),
    "an infinity": (b"train: {lr: -.inf}\n", "'train.lr' is -inf, expected a finite number"),
    "a long number": (b"x: 0x" + b"f" * 5000 + b"\n", "<20000 bits>"),
    "a number to the base of 60": (b"x: 1" + b":1" * 1000 + b"\n", "63 bits"),
    "digits": (b"x: " + b"9" * 20_000 + b"\n", "not plain YAML"),
    "64 bits": (b"x: 9223372036854775808\n", "63 bits"),
    "64 bits below zero": (b"x: [[-9223372036854775808]]\n", "63 bits"),
    "a fraction to the base of 60": (b"x: 1" + b":1" * 1000 + b".5\n", "not plain YAML"),
    "a character beyond all": (b'x: "\\Uffffffff"\n', "not plain YAML"),
    "half a character": (b'x: "\\ud800"\n', "Unicode"),
    "NUL": (b'data: {source: "a\\0b"}\n', "without NUL"),
    "keys that are numbers": (b"data: {source: toy, 1: 2}\n", "a key in 'data' is 1"),
    "a key that is nothing": (b"data: {source: toy, ~: 3}\n", "a key in 'data' is None"),
    "data as text": (b"data: ml-1m\n", "'data' is 'ml-1m', expected settings by name"),
    "data as nothing": (b"data:\n", "'data' is None"),
    "model as a list": (b"model: [1]\n", "'model' is [1]"),
    "train as a number": (b"train: 3\n", "'train' is 3"),
    "a source that is a list": (b"data: {source: [toy]}\n", "'data.source' is ['toy']"),
    "a key twice": (b"seed: 1\ntrain: {lr: 1, lr: 2}\n", "'lr' occurs more than once"),
    "a long file": (b"#" * (1 << 16) + b"\n", "expected at most 65536"),
}


def _entry(**changes: object) -> bytes:
    return json.dumps({"loo-full": {**METRICS["loo-full"], **changes}}).encode()


def _metric(value: bytes) -> bytes:
    return b'{"loo-full": {"metrics": {"hit@10": ' + value + b'}, "data": {"name": "toy"}}}'


METRICS_FILES = {
    "infinity": (_metric(b"1e400"), "'loo-full.metrics.hit@10' is inf, expected a finite number"),
    "a long number": (_metric(HUGE), "63 bits"),
    "a truth": (_metric(b"true"), "expected a number"),
    "text": (_metric(b'"high"'), "'loo-full.metrics.hit@10' is 'high', expected a number;"),
    "a list": (_metric(b"[1]"), "expected a number"),
    "digits of others": (_entry(metrics={"hit@\u00b2": 1}), "1 to 9 digits"),
    "a long cutoff": (_entry(metrics={"hit@" + "1" * 5000: 1}), "1 to 9 digits"),
    "half a character": (b'{"\\ud800": {"metrics": {}}}', "a key in"),
    "no metrics": (_entry(metrics=None), "'loo-full.metrics' is None, expected an object"),
    "data as a list": (_entry(data=["toy"]), "'loo-full.data' is ['toy'], expected an object"),
    "data as nothing": (_entry(data=None), "'loo-full.data' is None"),
    "a name that is not text": (_entry(data={"name": ["toy"]}), "'loo-full.data.name' is ['toy']"),
    "a fingerprint that is not text": (
        _entry(data={"fingerprint": 3}),
        "'loo-full.data.fingerprint' is 3, expected a string",
    ),
    "a sample of nothing": (
        _entry(baselines_sample={"targets": 0, "of": 5, "metrics": {}}),
        "'loo-full.baselines_sample.targets' is 0, expected a whole number, 1 or more",
    ),
    "users below zero": (
        _entry(users=-1),
        "'loo-full.users' is -1, expected a whole number, 0 or more;",
    ),
    "users as text": (_entry(users="12"), "'loo-full.users' is '12'"),
    "users as a truth": (_entry(users=True), "'loo-full.users' is True"),
    "items as a fraction": (_entry(items=1.5), "'loo-full.items' is 1.5"),
    "many items": (_entry(items=2**63), "63 bits"),
    "versions as text": (
        _entry(versions="2"),
        "'loo-full.versions' is '2', expected an object of strings",
    ),
    "versions as numbers": (_entry(versions={"torch": 2}), "'loo-full.versions.torch' is 2"),
    "a seed that is infinite": (_entry().replace(b'"seed": 1', b'"seed": 1e999'), "finite"),
    "many lists": (b'{"x": [' + b"[]," * 200_000 + b"[]]}", "more lists"),
    "a list in place of protocols": (b"[]", "an object of protocols"),
    "a protocol twice": (_entry()[:-1] + b", " + _entry()[1:], "'loo-full' occurs more than once"),
    "a metric twice": (_metric(b'1, "hit@10": 2'), "'hit@10' occurs more than once"),
}


@pytest.mark.parametrize(("content", "fragment"), RECIPES.values(), ids=RECIPES)
def test_recipes(folder, content, fragment, refused_by_all):
    replace(folder, "recipe.yaml", content)
    refused_by_all(folder, "recipe.yaml", fragment)


@pytest.mark.parametrize(("content", "fragment"), METRICS_FILES.values(), ids=METRICS_FILES)
def test_metrics(folder, content, fragment, refused_by_all):
    replace(folder, "metrics.json", content)
    refused_by_all(folder, "metrics.json", fragment)


def test_metrics_without_data_are_taken(folder, says):
    replace(folder, "metrics.json", b'{"loo-full": {"metrics": {"hit@10": 0.25, "loss": 1}}}')
    assert list(read_metrics(read_manifest(folder))) == ["loo-full"]
    assert says("info", folder)[0] == says("info", folder, "--json")[0] == 0


def test_a_recipe_without_a_source_is_taken(folder, says):
    for recipe in (b"{}", b"data: {}", b"data: {source: }", b"data: {source: '2024-01-01'}"):
        replace(folder, "recipe.yaml", recipe)
        seqzoo.load(folder)
        assert says("info", folder)[0] == says("info", folder, "--json")[0] == 0


@pytest.mark.parametrize(
    "edit",
    [
        lambda document: document["config"].update(hidden_size=2**63),
        lambda document: document["config"].update(note="a\0b"),
        lambda document: document["files"]["recipe.yaml"].update(size=10**4000),
        lambda document: document["plugin"].update(version="1" * 1_000_000),
        lambda document: document.update(architecture="a" * 1_000_000),
        lambda document: document.update(format_version="1" * 1_000_000),
        lambda document: document.update({"x" * 1_000_000: 1}),
        lambda document: document["created_with"].update(torch="1 2"),
    ],
)
def test_config(folder, edit, says, refused):
    reseal(folder, edit)
    with refused("config.json", "; "):
        seqzoo.load(folder)
    for verb in ("info", "verify", "eval"):
        code, out, err = says(verb, folder)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert len(err) < 600


@pytest.mark.parametrize(
    "content",
    [
        b"x: 1" + b":1" * 32_700,
        b"x: 1" + b":59" * 21_800,
        b"x: " + b"7" * 65_000,
        b"x: 0x" + b"f" * 65_000,
        b"x: 0b" + b"1" * 65_000,
        b"x: [" + b"0," * 32_000 + b"0]",
    ],
)
def test_no_recipe_takes_long(folder, content):
    replace(folder, "recipe.yaml", content)
    manifest = read_manifest(folder)
    started = time.process_time()
    with suppress(CheckpointError):
        read_recipe(manifest)
    assert time.process_time() - started < 20


def test_recipes_of_checkpoints_are_far_from_the_limit():
    longest = max(path.stat().st_size for path in CARDS.glob("*/recipe.yaml"))
    assert 20 * longest < LARGEST["recipe.yaml"]


@pytest.mark.parametrize(
    ("recipe", "metrics"),
    [
        ({"data": "ml-1m"}, {}),
        ({"data": {"source": 3}}, {}),
        ({"seed": 2**63}, {}),
        ({"note": "x" * 70_000}, {}),
        ({}, {"loo-full": {"metrics": {}, "users": -1}}),
        ({}, {"loo-full": {"metrics": {}, "seed": 2**63}}),
        ({}, {"loo-full": {"metrics": {}, "when": {1, 2}}}),
    ],
)
def test_what_would_be_refused_is_not_written(tmp_path, model, recipe, metrics, refused):
    with refused("; "):
        save_model(tmp_path / "new", model, recipe=recipe, metrics=metrics)
    assert not (tmp_path / "new").exists()


def test_a_vocabulary_of_lists_is_refused_before_it_is_parsed(folder, refused, monkeypatch):
    replace(folder, "vocabulary.json", b'{"items": [' + b"[]," * 1000 + b"[]]}")
    manifest = read_manifest(folder)
    monkeypatch.setattr("json.loads", lambda *_, **__: pytest.fail("parsed"))
    with refused("vocabulary.json", "more lists and objects than the 105"):
        read_vocabulary(manifest)


VOCABULARIES = {
    "items twice": (b'{"items": ["a"], "items": ["b"]}', "'items' occurs more than once"),
    "an item twice": (b'{"items": ["a", "b", "a"]}', "'a' more than once"),
    "a number": (b'{"items": ["a", 2]}', "'items[1]' is 2, expected a non-empty string"),
    "an empty id": (b'{"items": [""]}', "'items[0]' is '', expected a non-empty string"),
    "no item": (b'{"items": []}', "'items' is [], expected a list of item ids, at least one"),
    "no list": (b'{"items": "abc"}', "'items' is 'abc', expected a list of item ids"),
    "no items": (b'{"labels": []}', "the document lacks 'items'"),
    "few labels": (b'{"items": ["a", "b"], "labels": ["A"]}', "2 items but 1 labels"),
    "a label that is a number": (
        b'{"items": ["a", "b"], "labels": [null, 3]}',
        "'labels[1]' is 3, expected a string or null",
    ),
    "few counts": (b'{"items": ["a", "b"], "counts": [1]}', "2 items and 1 counts"),
    "a negative count": (
        b'{"items": ["a"], "counts": [-1]}',
        "'counts[0]' is -1, expected a whole number, 0 or more",
    ),
    "a count that is text": (
        b'{"items": ["a"], "counts": ["1"]}',
        "'counts[0]' is '1', expected a whole number, 0 or more",
    ),
    "another key": (b'{"items": ["a"], "titles": []}', "the unknown key 'titles'"),
    "NUL": (b'{"items": ["a\\u0000"]}', "'items[0]' is 'a\\x00', expected a string in Unicode"),
}


@pytest.mark.parametrize(("content", "fragment"), VOCABULARIES.values(), ids=VOCABULARIES)
def test_vocabularies(folder, content, fragment, refused):
    replace(folder, "vocabulary.json", content)
    with refused("vocabulary.json", fragment, "; "):
        read_vocabulary(read_manifest(folder))


def test_brackets_in_texts_are_not_lists(folder):
    titles = ["[x] {y}", 'a "[" b', "\\", '\\"[[[', "[" * 70_000, '"[' * 40_000, "\\[\\\\"] * 2
    items = [f"[{index}]" for index in range(len(titles))]
    for ascii_only in (True, False):
        document = {"items": items, "labels": titles}
        content = json.dumps(document, ensure_ascii=ascii_only).encode()
        replace(folder, "vocabulary.json", content)
        assert read_vocabulary(read_manifest(folder)).labels == tuple(titles)


def test_lists_are_counted_across_pieces():
    content = b'["' + b"[" * 65_534 + b'",' + b"[]," * 5 + b"[]]"
    assert len(parse_json("x", content, most=7)) == 7
    with pytest.raises(CheckpointError, match="more lists"):
        parse_json("x", content, most=6)


@pytest.mark.parametrize("name", ["vocabulary.json", "metrics.json", "recipe.yaml"])
def test_what_could_not_be_read_again_is_not_saved(name, tmp_path, monkeypatch):
    model = make_model()
    monkeypatch.setitem(LARGEST, name, 10)
    with pytest.raises(CheckpointError, match=f"{name} would have .* expected at most 10"):
        save_model(tmp_path / "new", model, recipe=RECIPE, metrics=METRICS)
    assert not (tmp_path / "new").exists()
