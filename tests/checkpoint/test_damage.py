"""Any damage is a CheckpointError of one line that names the file and says what to do."""

import json
import os
import random
import struct
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load, save

from seqzoo.checkpoint.manifest import (
    HASHED,
    read_manifest,
    read_metrics,
    read_recipe,
    read_verified,
    verify_file,
)
from seqzoo.checkpoint.record import read_file
from seqzoo.errors import CheckpointError, FormatVersionError, IntegrityError
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import Plugins, plugins
from seqzoo.storage.integrity import inside
from tests.samples import make_model, parameters_in, replace, reseal

ALL = ("config.json", *HASHED)


@pytest.mark.parametrize("name", ALL)
def test_cut_file(folder, name, refused):
    path = folder / name
    content = path.read_bytes()
    for keep in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        with refused(str(path), "; "):
            SequenceModel.from_pretrained(folder)
    path.write_bytes(content + b"\n")
    with refused(str(path), "; "):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ALL)
def test_flipped_byte_anywhere(folder, name, refused):
    path = folder / name
    content = path.read_bytes()
    draw = random.Random(name)
    places = {0, len(content) - 1, *(draw.randrange(len(content)) for _ in range(300))}
    for place in places:
        flipped = content[place] ^ draw.choice([1 << bit for bit in range(8)] + [0x2A, 0xFF])
        path.write_bytes(content[:place] + bytes([flipped]) + content[place + 1 :])
        with refused(str(path), "; "):
            manifest = read_manifest(folder)
            if name in HASHED:
                read_verified(manifest, name)
    with refused(str(path)):
        SequenceModel.from_pretrained(folder)


def test_a_flip_that_leaves_the_values_alone_is_seen_in_config(folder, refused):
    path = folder / "config.json"
    path.write_text(path.read_text().replace(": {", ":  {", 1))
    with refused("config.json", "is not formatted", error=IntegrityError):
        read_manifest(folder)


@pytest.mark.parametrize("name", ALL)
def test_missing_file(folder, name, refused):
    (folder / name).unlink()
    with refused(name, "; "):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ALL)
def test_a_folder_in_place_of_a_file(folder, name, refused):
    (folder / name).unlink()
    (folder / name).mkdir()
    with refused(name, "regular file"):
        SequenceModel.from_pretrained(folder)


def test_a_pipe_in_place_of_a_file_does_not_hang(folder, refused):
    (folder / "recipe.yaml").unlink()
    os.mkfifo(folder / "recipe.yaml")
    with refused("recipe.yaml", "regular file"):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize("name", HASHED)
def test_file_of_another_checkpoint(folder, name, tmp_path, refused):
    other = tmp_path / "other"
    save_model(other, make_model(1, items=21), recipe={"a": 1}, metrics={})
    (folder / name).write_bytes((other / name).read_bytes())
    with refused(name, "expected", "fetch the checkpoint again", error=IntegrityError):
        for file in HASHED:
            verify_file(read_manifest(folder), file)


def test_weights_and_vocabulary_that_do_not_belong_together(folder, refused):
    items = [f"item-{index}" for index in range(19)]
    replace(folder, "vocabulary.json", json.dumps({"items": items}).encode())
    with refused("vocabulary.json has 19 items", "model.safetensors", "20 rows", "[21, 16]"):
        SequenceModel.from_pretrained(folder)


def test_not_a_checkpoint(folder, tmp_path, refused):
    with refused("no folder", "did you mean 'checkpoint'?"):
        SequenceModel.from_pretrained(tmp_path / "chekpoint")
    with refused("holds no config.json", str(folder)):
        SequenceModel.from_pretrained(tmp_path)
    with refused("is a file", str(folder)):
        SequenceModel.from_pretrained(folder / "config.json")


@pytest.mark.parametrize("name", HASHED)
def test_link_out_of_the_folder(folder, name, tmp_path, refused):
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with refused(name, "link out of the checkpoint's folder"):
        SequenceModel.from_pretrained(folder)


def test_link_loop(folder, refused):
    (folder / "metrics.json").unlink()
    (folder / "metrics.json").symlink_to("metrics.json")
    with refused("metrics.json"):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", "c:x", "a\0b", None, 3]
)
def test_inside_takes_plain_names_only(folder, name, refused):
    with refused("not a plain file name"):
        inside(folder, name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "sub/x", "extra.bin"])
def test_path_tricks_in_files(folder, name, refused):
    entry = {"sha256": "0" * 64, "size": 1}
    reseal(folder, lambda document: document["files"].update({name: entry}))
    with refused("config.json", "'files'"):
        SequenceModel.from_pretrained(folder)


def _delete(key):
    return lambda document: document.pop(key)


def _set(key, value):
    return lambda document: document.update({key: value})


@pytest.mark.parametrize(
    "edit",
    [
        *(
            _delete(key)
            for key in ("format_version", "architecture", "parts", "plugin", "config", "files")
        ),
        _delete("created_with"),
        _set("format_version", "1"),
        _set("format_version", True),
        _set("format_version", 0),
        _set("architecture", 3),
        _set("architecture", ""),
        _set("plugin", {"name": "x", "distribution": "y; rm -rf ~", "version": "1"}),
        _set("plugin", {"name": "x\n", "distribution": "y", "version": "1"}),
        _set("plugin", {"name": "x", "distribution": "--index-url=z", "version": "1"}),
        _set("parts", []),
        _set("parts", {"embedder": "item"}),
        _set("plugin", {"name": "x", "distribution": "y", "version": 1}),
        _set("config", None),
        _set("files", []),
        _set("files", {}),
        _set("created_with", {"seqzoo": None}),
        _set("surprise", 1),
        lambda document: document["files"]["recipe.yaml"].update(size=-1),
        lambda document: document["files"]["recipe.yaml"].update(size=True),
        lambda document: document["files"]["recipe.yaml"].update(size=1e3),
        lambda document: document["files"]["recipe.yaml"].update(sha256="0"),
        lambda document: document["files"]["recipe.yaml"].update(md5="0"),
        lambda document: document["files"].update({"recipe.yaml": None}),
    ],
)
def test_fields_of_config(folder, edit, refused):
    reseal(folder, edit)
    with refused("config.json", "; "):
        read_manifest(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"format_version": NaN}',
        b'{"format_version": 1, "sha256": "\\ud800"}',
        b'{"format_version": ' + b"9" * 10_000 + b"}",
        b" " * (5 << 20),
    ],
)
def test_damaged_configs(folder, content, refused):
    (folder / "config.json").write_bytes(content)
    with refused("config.json"):
        read_manifest(folder)


def test_newer_format_version(folder, refused):
    reseal(folder, lambda document: document.update(format_version=2, something="new"))
    with refused("format_version 2", "pip install -U seqzoo", error=FormatVersionError):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize("name", ["vocabulary.json", "metrics.json"])
@pytest.mark.parametrize("content", [b"[" * 50_000, b'{"a":' * 200 + b"1" + b"}" * 200, b"3"])
def test_deep_or_wrong_json(folder, name, content, refused):
    replace(folder, name, content)
    with refused(name):
        manifest = read_manifest(folder)
        read_metrics(manifest)
        SequenceModel.from_pretrained(folder)


BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (BOMB.encode(), "an anchor"),
        (b"a: *b", "an alias"),
        (b"a: !!python/object/apply:os.system [true]", "a tag"),
        (b"%YAML 1.1\n---\na: 1", "a directive"),
        (b"a: " + b"[" * 5_000, "levels"),
        (b"- 1", "expected settings"),
        (b"1: 2", "a key in the document is 1, expected a string"),
        (b"", "expected settings"),
        (b"a: [", "not plain YAML"),
        (b"a: 2024-13-45", "not plain YAML"),
        (b"\xff", "not plain YAML"),
        (b"a: 1\n---\nb: 2", "not plain YAML"),
        (b"#" * (2 << 20), "at most"),
    ],
)
def test_recipes_that_are_refused(folder, content, fragment, refused):
    replace(folder, "recipe.yaml", content)
    with refused("recipe.yaml", fragment):
        read_recipe(read_manifest(folder))


def _rewrite_weights(folder, edit):
    weights = load((folder / "model.safetensors").read_bytes())
    edit(weights)
    replace(folder, "model.safetensors", save(weights))


def test_extra_and_missing_tensors(folder, refused):
    _rewrite_weights(folder, lambda weights: weights.update(surprise=torch.ones(1)))
    with refused("model.safetensors", "surprise", "does not know"):
        SequenceModel.from_pretrained(folder)
    _rewrite_weights(folder, lambda weights: weights.pop("surprise"))
    _rewrite_weights(folder, lambda weights: weights.pop("embedder.item_table"))
    with refused("model.safetensors", "lacks embedder.item_table"):
        SequenceModel.from_pretrained(folder)
    _rewrite_weights(folder, lambda weights: weights.clear())
    with refused("model.safetensors", "lacks", "more"):
        SequenceModel.from_pretrained(folder)


def test_wrong_shape(folder, refused):
    def transpose(weights):
        name = next(
            n
            for n, t in weights.items()
            if t.dim() == 2 and t.shape[0] != t.shape[1] and n != "embedder.item_table"
        )
        weights[name] = weights[name].T.contiguous()

    _rewrite_weights(folder, transpose)
    with refused("model.safetensors", "1 wrong shapes", "expected ["):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(folder, value, refused):
    def spoil(weights):
        weights["embedder.item_table"][3, 1] = value

    _rewrite_weights(folder, spoil)
    with refused("model.safetensors", "embedder.item_table", "NaN"):
        SequenceModel.from_pretrained(folder)


def _header(document: object, length: int | None = None) -> bytes:
    text = json.dumps(document).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        _header({}, 2**63),
        _header({}, 2**64 - 1),
        _header({}, 1_000),
        _header([]),
        _header({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}) + b"1234",
        _header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}) + b"1234",
        _header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}) + b"1234",
        _header({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}) + b"1234",
        _header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}) + b"1234",
        struct.pack("<Q", 100_000) + b"[" * 100_000,
    ],
)
def test_damaged_safetensors_header(folder, content, refused):
    replace(folder, "model.safetensors", content)
    manifest = read_manifest(folder)
    with refused("model.safetensors"):
        read_file(manifest, "model.safetensors")
    # Counting looks at the shapes alone, so it may take what reading does not.
    with suppress(CheckpointError):
        parameters_in(folder)


def test_unknown_architecture_names_the_plugin(folder, refused):
    plugin = {"name": "linrec", "distribution": "seqzoo-linrec", "version": "0.3"}
    reseal(folder, lambda document: document.update(architecture="linrec", plugin=plugin))
    with refused("'linrec'", "pip install seqzoo-linrec"):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("status", "reason"),
    [("disabled", "named in SEQZOO_DISABLE_PLUGINS"), ("broken", "ImportError: no module x")],
)
def test_a_plugin_that_is_not_at_work_is_named(folder, status, reason, refused, monkeypatch):
    name = read_manifest(folder).plugin["name"]
    real = plugins()
    catalogue = type(real.catalogue)()
    record = next(record for record in real.records if record.name == name)
    absent = type(record)(name, record.distribution, record.version, status, reason)
    monkeypatch.setattr("seqzoo.model.load.plugins", lambda: Plugins(catalogue, [absent]))
    with refused(f"plugin '{name}'", reason):
        SequenceModel.from_pretrained(folder)


def test_settings_that_the_architecture_does_not_take(folder, refused):
    reseal(folder, lambda document: document["config"].update(hidden_sise=3))
    with refused("config.json", "hidden_sise", "hidden_size", "pip install"):
        SequenceModel.from_pretrained(folder)


@pytest.mark.parametrize("setting", ["hidden_size", "num_layers"])
@pytest.mark.parametrize("value", [10**6, 2**31, 10**15, 10**30])
def test_settings_that_would_need_all_memory(folder, setting, value, refused):
    if setting not in read_manifest(folder).config:
        pytest.skip(f"the first architecture has no {setting}")
    reseal(folder, lambda document: document["config"].update({setting: value}))
    with refused("config.json", "; "):
        SequenceModel.from_pretrained(folder)


def test_parts_that_are_not_the_architectures(folder, refused):
    reseal(folder, lambda document: document["parts"].update(head="another"))
    with refused("config.json", "head 'another'"):
        SequenceModel.from_pretrained(folder)


def test_the_card_may_be_edited_or_missing(folder):
    (folder / "README.md").write_text("my own words")
    SequenceModel.from_pretrained(folder)
    (folder / "README.md").unlink()
    SequenceModel.from_pretrained(folder)
