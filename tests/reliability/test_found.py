"""One direct case for each failure that the attacks found."""

import io
import json
import zipfile
from contextlib import suppress
from datetime import timedelta

import numpy as np
import polars as pl
import pyarrow.parquet
import pytest
import torch

from seqzoo.checkpoint.manifest import read_manifest
from seqzoo.data.readers import read_interactions
from seqzoo.data.readers.parquet_pages import ALWAYS_ROWS, ROWS_PER_BYTE, check_pages
from seqzoo.data.readers.sources import SourceFile
from seqzoo.data.sequences import Sequences
from seqzoo.errors import CheckpointError, DataError, UsageError
from seqzoo.model.import_weights import read_state_dict
from seqzoo.model.save import save_model
from seqzoo.model.session import Session
from seqzoo.storage.integrity import sha256_of_document
from seqzoo.training.loop import train
from tests.reliability.fuzz import worker_of
from tests.reliability.operation import models
from tests.reliability.operations import recipe


@pytest.mark.parametrize("column", ["user", "item"])
def test_a_column_of_durations_holds_no_ids(column):
    frame = pl.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "timestamp": [1, 2]})
    frame = frame.with_columns(pl.Series(column, [timedelta(1), timedelta(2)]))
    with pytest.raises(DataError, match=r"holds Duration.*; expected the ids"):
        read_interactions(frame)


@pytest.mark.parametrize(
    "header", ["{'descr': '<i4', 'shape': (4,", "{'descr': ", "(" * 500, "'''"]
)
def test_a_damaged_header_of_an_array(tmp_path, header):
    Sequences(np.array([1, 2], np.int32), None, np.array([0, 1, 2])).save(tmp_path)
    content = (tmp_path / "items.npy").read_bytes()
    start = content.index(b"{")
    damaged = header.encode().ljust(len(content) - start - 8 - 1) + b"\n"
    (tmp_path / "items.npy").write_bytes(content[:start] + damaged + content[-8:])
    with pytest.raises(DataError, match=r"items.npy cannot be read as an array \(.*\); save"):
        Sequences.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02u.",  # the pickle takes from an empty stack
        b"\x80\x02X\xff\xff\xff\x7fab.",  # it declares a text of two gigabytes
        b"\x80\x02K\x01K\x02R.",
        b"\x80\x02}q\x00." * 3,
    ],
)
def test_a_damaged_pickle_of_foreign_weights(tmp_path, content):
    path = tmp_path / "foreign.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


def test_a_storage_that_an_old_file_lacks(tmp_path):
    stream = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, stream, _use_new_zipfile_serialization=False)
    content = stream.getvalue()
    at = content.rindex(b"cpu")
    path = tmp_path / "foreign.pth"
    for place in range(max(0, at - 40), len(content), 1):
        path.write_bytes(content[:place] + b"9" + content[place + 1 :])
        with suppress(CheckpointError):
            read_state_dict(path)


def test_a_half_written_checkpoint_is_not_suggested(tmp_path):
    save_model(tmp_path / ".incoming-0123456789abcdef", models()[0], recipe={}, metrics={})
    with pytest.raises(CheckpointError, match="`seqzoo train` makes one"):
        read_manifest(tmp_path)


def test_a_damaged_branch_in_the_cache_counts_as_missing(tmp_path, work):
    reference = tmp_path / "models--org--none" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_bytes(b"\xff\xfe")
    reply = work("seqzoo.load('hf://org/none')", tmp_path, offline=True).expect("HubError")
    assert "is not complete in the local cache" in reply.message


def test_a_session_whose_state_has_another_form(tmp_path):
    model = models()[0]
    session = model.session()
    session.observe("item-1")
    session.save(tmp_path)
    path = tmp_path / "session.json"
    saved = json.loads(path.read_bytes())
    for key in saved["state"]["dict"]:
        document = json.loads(json.dumps(saved))
        document["state"]["dict"][key] = {"value": "a text"}
        document.pop("sha256")
        document["sha256"] = sha256_of_document(document)
        path.write_text(json.dumps(document))
        with pytest.raises(UsageError) as caught:
            Session.restore(model, tmp_path).recommend(1)
        assert "\n" not in str(caught.value)


def test_a_finished_run_is_tidied_when_it_is_read(tmp_path):
    """A kill after the last commit left an empty folder behind for good."""
    train(recipe(1), tmp_path / "run")
    commit = tmp_path / "run" / "training" / ".commit"
    commit.mkdir()
    (commit / ".files").write_text('["progress.json"]')
    train(recipe(1), tmp_path / "run")
    assert not commit.exists()


def test_a_line_break_in_the_name_of_a_column(tmp_path):
    frame = pl.DataFrame({"user": ["a"], "item": ["x"], "a\nb": [1]})
    frame.write_parquet(tmp_path / "shop.parquet")
    with pytest.raises(DataError, match=r"\(columns: user, item, a b\)"):
        read_interactions(tmp_path / "shop.parquet")


def parquet(rows: int = 300) -> bytes:
    stream = io.BytesIO()
    names = [f"item-{index % 60}" for index in range(rows)]
    table = {"user": [f"u{index % 40}" for index in range(rows)], "item": names}
    pl.DataFrame({**table, "timestamp": list(range(rows))}).write_parquet(stream)
    return stream.getvalue()


@pytest.mark.parametrize("value", [0xD9, 0xFF])
def test_the_size_of_a_page_ends_no_process(value):
    """Of the bytes in the first headers, some made polars ask for more memory than there is."""
    content = parquet()
    with worker_of("Parquet") as worker:
        for place in range(4, 300):
            outcome = worker.read(content[:place] + bytes([value]) + content[place + 1 :])
            assert not outcome.failed, (place, outcome)


def test_headers_of_pages_are_read_as_parquet_writes_them(tmp_path):
    table = pl.read_parquet(io.BytesIO(parquet(5000)))
    table = table.with_columns(
        pl.lit(None).alias("nothing"), pl.lit([[1, 2]]).alias("list"), pl.lit("x").alias("same")
    )
    path = tmp_path / "shop.parquet"
    for compression in ("zstd", "snappy", "gzip", "lz4", "uncompressed"):
        for statistics in (True, False, "full"):
            table.write_parquet(
                path, compression=compression, statistics=statistics, row_group_size=700
            )
            check_pages(SourceFile("shop", path))
    arrow = table.to_arrow()
    for options in (
        {"data_page_version": "2.0"},
        {"use_dictionary": False, "write_page_index": True, "write_page_checksum": True},
        {"version": "1.0", "data_page_size": 100, "row_group_size": 700},
    ):
        pyarrow.parquet.write_table(arrow, path, **options)
        check_pages(SourceFile("shop", path))
    assert len(read_interactions(path)) == 5000


def equal_rows(path, rows):
    """A Parquet file of few different rows, in groups of a million."""
    table = pyarrow.table({"user": [0, 1] * 500_000, "item": [2] * 10**6, "timestamp": [3] * 10**6})
    with pyarrow.parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(rows // 10**6):
            writer.write_table(table)


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_file_of_very_many_rows_is_refused_before_they_are_read(
    tmp_path, monkeypatch, packed
):
    path = tmp_path / "shop.parquet"
    equal_rows(path, ALWAYS_ROWS + 10**6)
    size = path.stat().st_size
    assert ROWS_PER_BYTE * size < ALWAYS_ROWS
    if packed:
        path = tmp_path / "shop.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "shop.parquet", "shop.parquet")
    monkeypatch.setattr("polars.read_parquet", None)
    monkeypatch.setattr("polars.scan_parquet", None)
    message = rf"declares 11,000,000 rows in {size:,} bytes; expected at most 10,000,000 .* as CSV"
    with pytest.raises(DataError, match=message):
        read_interactions(path)


def test_as_many_rows_as_a_file_has_room_for_are_read(tmp_path, monkeypatch):
    path = tmp_path / "shop.parquet"
    equal_rows(path, 10**6)
    assert len(read_interactions(path)) == 10**6
    monkeypatch.setattr("seqzoo.data.readers.parquet_pages.ALWAYS_ROWS", 1)
    with pytest.raises(DataError, match=r"1,000,000 rows"):
        read_interactions(path)
    path.write_bytes(parquet(5000))
    assert len(read_interactions(path)) == 5000


@pytest.mark.parametrize("line", ["a,x\ry,1", 'a\r,"x",2'])
def test_a_carriage_return_in_a_field(tmp_path, line):
    path = tmp_path / "shop.csv"
    path.write_bytes(f"user,item,timestamp\nb,x,1\n{line}\n,y,3\n".encode())
    with pytest.raises(DataError, match=r"shop.csv"):
        read_interactions(path)
    path.write_bytes(b'user,"item\r",timestamp\rx\na,x,1\nb,y,2\n')
    with pytest.raises(DataError, match=r"shop.csv"):
        read_interactions(path)


def test_titles_of_a_file_whose_columns_have_no_types(tmp_path):
    (tmp_path / "shop.inter").write_text(
        "user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\nv\ta\t2\n"
    )
    (tmp_path / "shop.item").write_text("item_id\ttitle:token_seq\na\tA\n")
    assert read_interactions(tmp_path / "shop.inter").labels == {"a": "A"}


def test_messages_are_cut_in_the_middle():
    text = str(DataError(f"{'a' * 5000}\nx; the remedy"))
    assert len(text) == 2000
    assert text.startswith("aaa")
    assert text.endswith("x; the remedy")
