"""A crash at any moment leaves the old files or the new, and nothing else is touched."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from seqzoo.checkpoint.manifest import read_manifest, read_metrics
from seqzoo.errors import CheckpointError
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.storage import atomic
from seqzoo.storage.atomic import locate, recover, write_files
from tests.samples import make_model

OLD = {"a": b"old a", "b": b"old b", "c": b"old c"}
NEW = {"a": b"new a", "b": b"new b", "c": b"new c"}
CALLS = ("mkdir", "rename", "replace", "rmdir", "fsync", "open")


def read(folder: Path) -> dict[str, bytes]:
    return {name: locate(folder, name).read_bytes() for name in OLD}


def write_and_die(folder: Path, at: int) -> bool:
    """Write in a child that vanishes before its ``at``-th call to the system; whether it did."""
    child = os.fork()
    if child == 0:
        count = 0

        def dying(function):
            def call(*arguments, **keywords):
                nonlocal count
                count += 1
                if count == at:
                    os._exit(9)
                return function(*arguments, **keywords)

            return call

        try:
            for name in CALLS:
                setattr(os, name, dying(getattr(os, name)))
            write_files(folder, NEW)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_crash_before_any_call_leaves_all_old_or_all_new(tmp_path):
    seen = []
    for at in range(1, 200):
        folder = tmp_path / str(at)
        write_files(folder, OLD)
        (folder / "other").write_bytes(b"kept")
        died = write_and_die(folder, at)
        unrecovered = read(folder)
        assert unrecovered in (OLD, NEW)
        recover(folder)
        assert read(folder) == unrecovered
        assert {path.name for path in folder.iterdir()} == {*OLD, "other"}
        seen.append(unrecovered == NEW)
        if not died:
            break
    assert not died
    assert not seen[0]
    assert seen == sorted(seen)
    assert seen.count(True) > 5


def test_a_crash_is_mended_by_the_next_writer(tmp_path):
    for at in (8, 12, 16, 20, 24, 28):
        write_files(tmp_path, OLD)
        write_and_die(tmp_path, at)
        write_files(tmp_path, OLD)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == OLD


KILLED = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[2])
from tests.samples import make_model
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.checkpoint.manifest import read_manifest, read_metrics

folder, draw = sys.argv[1], random.Random(5)
models = [make_model(0, items=20), make_model(1, items=23)]

def save(which):
    metrics = {"loo-full": {"metrics": {"hit@10": float(which)}}}
    save_model(folder, models[which], recipe={"which": which}, metrics=metrics)

save(0)
for _ in range(20):
    child = os.fork()
    if child == 0:
        while True:
            save(1)
            save(0)
    time.sleep(draw.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    loaded = SequenceModel.from_pretrained(folder)
    which = int(len(loaded.vocabulary) == 23)
    assert read_metrics(read_manifest(folder))["loo-full"]["metrics"]["hit@10"] == which
    for name, tensor in models[which].state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert len(os.listdir(folder)) == 6, os.listdir(folder)
    print(which)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_at_a_random_moment_leaves_a_checkpoint(tmp_path):
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "checkpoint"), str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 20


def test_a_reader_beside_a_writer_sees_one_or_the_other(tmp_path):
    models = [make_model(0, items=20), make_model(1, items=23)]
    failures: list[BaseException] = []

    def save(which: int) -> None:
        metrics = {"loo-full": {"metrics": {"hit@10": float(which)}}}
        save_model(tmp_path, models[which], recipe={}, metrics=metrics)

    def keep_saving() -> None:
        try:
            for turn in range(30):
                save((turn + 1) % 2)
                time.sleep(0.01)
        except BaseException as error:
            failures.append(error)

    save(0)
    writer = threading.Thread(target=keep_saving)
    writer.start()
    while writer.is_alive():
        loaded = SequenceModel.from_pretrained(tmp_path)
        expected = models[int(len(loaded.vocabulary) == 23)]
        table = loaded.embedder.item_table
        assert torch.equal(table, expected.embedder.item_table)
    writer.join()
    assert not failures


def test_two_writers_take_turns(tmp_path):
    failures: list[BaseException] = []

    def keep_writing(files: dict[str, bytes]) -> None:
        try:
            for _ in range(20):
                write_files(tmp_path, files)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=keep_writing, args=[files]) for files in (OLD, NEW)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not failures
    assert read(tmp_path) in (OLD, NEW)


def test_a_reader_leaves_a_live_writers_files_alone(tmp_path):
    write_files(tmp_path, OLD)

    def content(path: Path) -> None:
        recover(tmp_path)
        path.write_bytes(b"new a")

    write_files(tmp_path, {"a": content, "b": b"new b", "c": b"new c"})
    assert read(tmp_path) == NEW


def test_a_writer_that_waits_too_long_says_so(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(atomic, "LOCK_SECONDS", 0.1)

    def content(path: Path) -> None:
        with refused(str(tmp_path), "another process"):
            write_files(tmp_path, NEW)
        path.write_bytes(b"old a")

    write_files(tmp_path, OLD | {"a": content})
    assert read(tmp_path) == OLD


def test_a_reader_that_may_not_write_reads_what_was_committed(tmp_path, monkeypatch):
    write_files(tmp_path, OLD)
    (tmp_path / ".commit").mkdir()
    (tmp_path / "a").write_bytes(b"new a")
    for name in ("b", "c"):
        (tmp_path / ".commit" / name).write_bytes(NEW[name])
    (tmp_path / ".commit" / ".files").write_text('["a", "b", "c"]')

    def read_only(*arguments):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", read_only)
    recover(tmp_path)
    assert read(tmp_path) == NEW


@pytest.mark.parametrize("listed", [None, "", "[", '["a', "[3]", '["../x", "a/b", ".."]', "{}"])
def test_foreign_files_in_a_commit_folder_stay_where_they_are(folder, model, listed, refused):
    """Opening a folder moves, reads or removes no files of others."""
    foreign = folder / ".commit"
    foreign.mkdir()
    (folder / "x").write_bytes(b"mine")
    for name in ("notes.txt", "config.json", "x"):
        (foreign / name).write_bytes(b"foreign")
    if listed is not None:
        (foreign / ".files").write_text(listed)
    (folder / ".incoming-mine").mkdir()
    before = {path.name for path in foreign.iterdir()}
    assert len(SequenceModel.from_pretrained(folder).vocabulary) == 20
    recover(folder)
    assert {path.name for path in foreign.iterdir()} == before
    assert (folder / "x").read_bytes() == b"mine"
    assert not (folder / "notes.txt").exists()
    assert (folder / ".incoming-mine").is_dir()
    with refused(".commit is in the way", "move them elsewhere"):
        save_model(folder, model, recipe={}, metrics={})
    assert (foreign / "notes.txt").read_bytes() == b"foreign"


def test_only_the_listed_files_of_a_commit_are_moved(tmp_path):
    write_files(tmp_path, OLD)
    commit = tmp_path / ".commit"
    commit.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    for name, content in NEW.items():
        (commit / name).write_bytes(content)
    (commit / "foreign").write_bytes(b"foreign")
    (commit / "link").symlink_to(tmp_path / "secret")
    (commit / ".files").write_text('["a", "b", "link"]')
    recover(tmp_path)
    assert read(tmp_path) == {"a": b"new a", "b": b"new b", "c": b"old c"}
    assert {path.name for path in commit.iterdir()} == {"c", "foreign", "link"}
    assert not (tmp_path / "link").exists()


def test_a_commit_folder_that_is_a_link_moves_nothing(tmp_path, refused):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a").write_bytes(b"secret")
    folder = tmp_path / "folder"
    write_files(folder, OLD)
    (folder / ".commit").symlink_to(secret)
    recover(folder)
    assert read(folder) == OLD
    assert (secret / "a").exists()
    with refused(".commit is in the way"):
        write_files(folder, NEW)
    assert read(folder) == OLD


@pytest.mark.parametrize("call", ["write_bytes", "fsync", "rename"])
def test_disk_full_keeps_the_old_one(folder, call, monkeypatch, refused):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    left = 3

    owner = os if call == "fsync" else Path
    real = getattr(owner, call)

    def full(*arguments):
        nonlocal left
        left -= 1
        if left > 0 and call != "rename":
            return real(*arguments)
        if call == "write_bytes":
            arguments[0].touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(owner, call, full)
    with refused(str(folder), "No space left on device", "free some space"):
        save_model(folder, make_model(3), recipe={}, metrics={})
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    SequenceModel.from_pretrained(folder)


def test_ctrl_c_while_writing_leaves_nothing_behind(tmp_path):
    write_files(tmp_path, OLD)

    def interrupted(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path, NEW | {"b": interrupted})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == OLD


def test_what_is_in_the_way_is_known_before_anything_moves(tmp_path, refused):
    write_files(tmp_path, {"a": b"old a"})
    (tmp_path / "b").mkdir()
    with refused("b is a folder"):
        write_files(tmp_path, NEW)
    assert (tmp_path / "a").read_bytes() == b"old a"
    (tmp_path / "file").write_bytes(b"")
    with refused("file", "choose a path that is a folder"):
        write_files(tmp_path / "file", NEW)
    with refused("file", "choose a path that is a folder"):
        write_files(tmp_path / "file" / "below", NEW)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".commit", ".incoming-1", ".files"])
def test_only_plain_names_are_written(tmp_path, name, refused):
    with refused("not a plain file name"):
        write_files(tmp_path / "new", {name: b""})
    assert not (tmp_path / "x").exists()


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "blob").write_bytes(b"blob")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "blob")
    write_files(folder, {"a": b"new a"})
    assert (tmp_path / "blob").read_bytes() == b"blob"
    assert not (folder / "a").is_symlink()


def test_a_checkpoint_with_an_interrupted_commit_is_whole(folder, tmp_path):
    other = tmp_path / "other"
    metrics = {"loo-full": {"metrics": {"hit@10": 0.5}}}
    save_model(other, make_model(4), recipe={}, metrics=metrics)
    names = [path.name for path in other.iterdir()]
    other.rename(folder / ".commit")
    (folder / ".commit" / ".files").write_text(json.dumps(names))
    (folder / ".incoming-0123456789abcdef").mkdir()
    (folder / "config.json").unlink()
    assert read_metrics(read_manifest(folder)) == metrics
    SequenceModel.from_pretrained(folder)
    assert not (folder / ".commit").exists()
    assert not (folder / ".incoming-0123456789abcdef").exists()


def test_errors_are_checkpoint_errors(tmp_path):
    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(CheckpointError, match="Input/output error"):
        write_files(tmp_path, {"a": refuse})
    assert not list(tmp_path.iterdir())


def test_no_files_at_all_make_the_folder_and_leave_nothing_in_it(tmp_path):
    write_files(tmp_path / "new", {})
    assert list((tmp_path / "new").iterdir()) == []
    write_files(tmp_path / "new", OLD)
    assert read(tmp_path / "new") == OLD
