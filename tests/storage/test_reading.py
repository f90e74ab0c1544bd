"""``read_bytes``: a file of at most so many bytes."""

import os
import threading

import pytest

from seqzoo.errors import CheckpointError
from seqzoo.storage.integrity import read_bytes


def test_a_small_file_needs_little_memory_whatever_its_limit_is(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"0123456789")
    # So much memory can be reserved nowhere.
    assert read_bytes(path, 1 << 60) == b"0123456789"


def test_a_file_of_the_longest_size_is_read_and_a_longer_one_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_bytes(path, 10) == b"0123456789"
    with pytest.raises(CheckpointError, match="is longer than the 9 bytes expected"):
        read_bytes(path, 9)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("limit", [100_000, 99_999])
def test_a_pipe_whose_size_is_not_known_is_read_to_its_end(tmp_path, limit):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    content = b"0123456789" * 10_000
    writer = threading.Thread(target=lambda: path.write_bytes(content), daemon=True)
    writer.start()
    if limit == len(content):
        assert read_bytes(path, limit) == content
    else:
        with pytest.raises(CheckpointError, match="is longer"):
            read_bytes(path, limit)
    writer.join(10)
