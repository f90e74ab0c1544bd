"""Prepared data are the same as data that are prepared in memory, or an error says why not."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from seqzoo.data.prepare import DataConfig, prepare, settings_of_source
from seqzoo.data.prepared import PreparedFolder, is_prepared, write_prepared
from seqzoo.errors import DataError, SeqzooError, UsageError
from seqzoo.storage.integrity import sha256_of_bytes, sha256_of_document


def config_of(source, **settings):
    return DataConfig(source=str(source), **settings)


def tied_rows(path, count=3_000):
    """Few users, items and seconds: ties everywhere, and repeats."""
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user": [f"user {number}" for number in (90 * random.random(count) ** 2).astype(int)],
            "item": [f"Ä{number}" for number in (200 * random.random(count) ** 3).astype(int)],
            "time": random.integers(0, 50, count),
            "title": [f"title {number}" for number in random.integers(0, 9, count)],
        }
    )
    frame.write_parquet(path)
    return path


@pytest.fixture
def file(tmp_path):
    return tied_rows(tmp_path / "events.parquet")


@pytest.fixture
def folder(tmp_path, file):
    config = config_of(file)
    write_prepared(tmp_path / "prepared", prepare(config), config)
    return tmp_path / "prepared"


def assert_same(one, two):
    assert two.vocabulary == one.vocabulary
    assert two.users == one.users
    assert (two.name, two.summaries) == (one.name, one.summaries)
    assert (two.fingerprint, two.fingerprints) == (one.fingerprint, one.fingerprints)
    for name in ("items", "offsets", "timestamps"):
        expected, found = getattr(one.sequences, name), getattr(two.sequences, name)
        if expected is None:
            assert found is None
        else:
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)
            assert not found.flags.writeable


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"min_count": 1},
        {"min_count": 30},
        {"order": "float32-time-row"},
        {"time_col": ""},
        {"label_col": "user", "user_col": "title"},
    ],
)
def test_prepared_data_are_the_same_as_those_in_memory(file, tmp_path, settings):
    config = config_of(file, **settings)
    in_memory = prepare(config)
    folder = write_prepared(tmp_path / "out", in_memory, config)
    assert is_prepared(tmp_path / "out")
    fixed = {"min_count": config.min_count, "order": config.order}
    assert settings_of_source(str(tmp_path / "out")) == fixed
    assert_same(in_memory, prepare(config_of(tmp_path / "out", **fixed)))
    assert sum(folder.files.values()) < 60 * len(in_memory.sequences.items)


@pytest.mark.parametrize("name", ["ml-1m", "ml-100k"])
def test_real_data(real_data, tmp_path, name):
    config = config_of(real_data(name))
    in_memory = prepare(config)
    write_prepared(tmp_path / "out", in_memory, config)
    assert_same(in_memory, prepare(config_of(tmp_path / "out")))


def test_generated_data_with_options(tmp_path):
    options = {"users": 50, "items": 30, "mean_length": 12}
    config = config_of("synthetic", options=options)
    write_prepared(tmp_path / "out", prepare(config), config)
    assert_same(prepare(config), prepare(config_of(tmp_path / "out")))
    assert PreparedFolder.open(tmp_path / "out").manifest.settings.options == options


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"min_count": 3}, DataError, "was prepared with min_count=5, and min_count=3 is needed"),
        ({"order": "float32-time-row"}, DataError, "again with --order float32-time-row, or use"),
        ({"user_col": "user"}, UsageError, "columns are chosen already; leave out user_col"),
        ({"options": {"users": 3}}, UsageError, "take no options"),
    ],
)
def test_other_settings_than_those_of_the_folder(folder, settings, error, message):
    with pytest.raises(error, match=message):
        prepare(config_of(folder, **settings))


def test_positions_leave_no_timestamps_of_earlier_data(folder, file):
    config = config_of(file, time_col="")
    with pytest.raises(DataError, match="holds prepared data already; give another --out"):
        write_prepared(folder, prepare(config), config)
    assert (folder / "timestamps.npy").exists()
    write_prepared(folder, prepare(config), config, overwrite=True)
    assert not (folder / "timestamps.npy").exists()
    assert_same(prepare(config), prepare(config_of(folder)))


@pytest.mark.parametrize("names", [["price"], []])
def test_fewer_features_leave_no_files_of_earlier_data(folder, file, names):
    config = config_of(file)
    data = prepare(config)

    def with_features(*names):
        values = {name: np.zeros(len(data.sequences.items), np.float32) for name in names}
        return replace(
            data,
            sequences=replace(data.sequences, features=values),
            vocabulary=data.vocabulary.with_features(dict.fromkeys(names)),
        )

    write_prepared(folder, with_features("price", "rating"), config, overwrite=True)
    assert (folder / "feature-2.npy").exists()
    write_prepared(folder, with_features(*names), config, overwrite=True)
    assert sorted(folder.glob("feature-*")) == [folder / "feature-1.npy"][: len(names)]
    assert list(PreparedFolder.open(folder).load().sequences.features) == names


def test_destinations_that_are_refused(tmp_path, file):
    config = config_of(file)
    data = prepare(config)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds other files, such as notes\.txt"):
        write_prepared(tmp_path / "other", data, config, overwrite=True)
    with pytest.raises(DataError, match="is not a folder; give a new folder as --out"):
        write_prepared(file, data, config)
    assert os.listdir(tmp_path / "other") == ["notes.txt"]


@pytest.mark.parametrize(
    "name",
    ["items.npy", "offsets.npy", "timestamps.npy", "vocabulary.json", "users.json",
     "prepared.json"],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "empty", "missing", "folder"])
def test_damage_is_an_error_of_one_line_that_names_the_file(folder, name, damage):
    path = folder / name
    content = path.read_bytes()
    middle = len(content) // 2
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage != "missing":
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes(
            {"flip": flipped, "cut": content[:middle], "longer": content + b" ", "empty": b""}[
                damage
            ]
        )
    if name == "prepared.json" and damage == "longer":
        prepare(config_of(folder))  # white space changes no JSON
        return
    with pytest.raises(SeqzooError) as caught:
        PreparedFolder.open(folder).load()
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def with_manifest(folder, change):
    path = folder / "prepared.json"
    document = json.loads(path.read_text())
    del document["sha256"]
    change(document)
    document["sha256"] = sha256_of_document(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format_version=2), "format version 2, newer than the 1"),
        (lambda d: d.update(more=1), "unknown key 'more'"),
        (lambda d: d["settings"].update(min_count=0), "'settings.min_count' is 0"),
        (lambda d: d["fingerprints"].update(times="x"), "'fingerprints.times' is 'x'"),
        (lambda d: d["files"].pop("items.npy"), "lacks 'items.npy'"),
        (lambda d: d["files"].update({"../x": {}}), "unknown key '../x'"),
        (lambda d: d["summaries"].clear(), "'summaries'"),
    ],
)
def test_manifests_from_outside_are_checked(folder, change, message):
    with_manifest(folder, change)
    with pytest.raises(DataError) as caught:
        PreparedFolder.open(folder)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("users.json", {}, "the document lacks 'users'"),
        ("users.json", {"users": ["a", "b"], "more": 1}, "has the unknown key 'more'"),
        ("users.json", {"users": []}, r"'users' is \[\], expected a list of ids, at least one"),
        ("users.json", {"users": ["a", 2]}, r"'users\[1\]' is 2, expected a non-empty string"),
        ("users.json", {"users": ["a", "\0"]}, r"'users\[1\]' is .*, expected a string in Unicode"),
        ("users.json", '{"users": ["a"', "is not the JSON that seqzoo writes"),
        ("users.json", '{"users": ["a"], "users": ["b"]}', "'users' occurs more than once"),
        ("vocabulary.json", {"labels": None}, "the document lacks 'items'"),
        ("vocabulary.json", {"items": ["", "b"]}, r"'items\[0\]' is '', expected a non-empty"),
        ("vocabulary.json", {"items": "a"}, "'items' is 'a', expected a list of ids"),
        pytest.param(
            "vocabulary.json", "[" * 100_000, "is not the JSON that seqzoo writes", id="deep"
        ),
        ("vocabulary.json", '{"items": ["a"], "labels": [NaN]}', "it holds NaN"),
    ],
)
def test_documents_beside_the_manifest_are_checked(folder, name, content, message):
    """Also where the manifest records the sha256 of what they hold."""
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text)
    entry = {"sha256": sha256_of_bytes(text.encode()), "size": len(text)}
    with_manifest(folder, lambda document: document["files"].update({name: entry}))
    with pytest.raises(DataError, match=message) as caught:
        PreparedFolder.open(folder).load()
    assert name in str(caught.value)
    assert "run `seqzoo data prepare` again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ids_that_could_not_be_read_again_are_not_written(tmp_path, file):
    config = config_of(file)
    data = prepare(config)
    data = replace(data, users=("a\0", *data.users[1:]))
    with pytest.raises(DataError, match=r"'users\[0\]' is .*expected a string in Unicode"):
        write_prepared(tmp_path / "out", data, config)
    assert not (tmp_path / "out").exists()


def test_arrays_that_do_not_fit_together(folder, file):
    data, config = prepare(config_of(file)), config_of(file)
    fewer = replace(data, users=data.users[:-1])
    write_prepared(folder, fewer, config, overwrite=True)
    with pytest.raises(DataError, match=r"do not fit \d+ users"):
        prepare(config_of(folder))
    beyond = replace(data.sequences, items=data.sequences.items + np.int32(500))
    write_prepared(folder, replace(data, sequences=beyond), config, overwrite=True)
    with pytest.raises(DataError, match="with items up to"):
        prepare(config_of(folder))


KILLED = """
import os, signal, sys
import numpy as np
from seqzoo.data import prepared
from seqzoo.data.prepare import DataConfig, prepare

source, out, name = sys.argv[1:]
save = np.save
def stop(path, arr, **options):
    save(path, arr, **options)
    if path.name == name:
        os.kill(os.getpid(), signal.SIGKILL)
np.save = stop
config = DataConfig(source=source, min_count=1)
prepared.write_prepared(out, prepare(config), config, overwrite=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="kills a process by a signal")
@pytest.mark.parametrize("name", ["items.npy", "timestamps.npy"])
def test_a_killed_process_leaves_no_half_written_folder(folder, file, tmp_path, name):
    before = prepare(config_of(folder))
    for out in (folder, tmp_path / "new"):
        command = [sys.executable, "-c", KILLED, str(file), str(out), name]
        assert subprocess.run(command, check=False, timeout=120).returncode == -9
    assert_same(before, prepare(config_of(folder)))
    assert not is_prepared(tmp_path / "new")
    config = config_of(file)
    write_prepared(tmp_path / "new", prepare(config), config)
    assert_same(before, prepare(config_of(tmp_path / "new")))
