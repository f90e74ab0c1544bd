"""Downloads against a real server that behaves well, breaks off, or ignores ranges."""

import hashlib
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from seqzoo.data.download import download
from seqzoo.errors import DownloadError, UsageError

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append((asked, self.headers.get("If-Range")))
        if server.status != 200:
            self.send_error(server.status)
            return
        content, start = server.content, 0
        changed = self.headers.get("If-Range") not in (None, server.etag)
        if asked and server.ranges and not changed:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.tell_length:
            self.send_header("Content-Length", str(len(content) - start))
        else:
            self.close_connection = True
        self.end_headers()
        end = len(content)
        if server.cut_after is not None:
            end, server.cut_after = min(end, start + server.cut_after), None
            self.close_connection = True
        self.wfile.write(content[start:end])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(serve):
    server = serve(Handler)
    server.content, server.status, server.ranges, server.etag = CONTENT, 200, True, '"one"'
    server.cut_after, server.tell_length = None, True
    server.url = f"http://127.0.0.1:{server.server_port}/data.zip"
    return server


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "deep" / "data.zip"


def names(destination):
    """The files of the folder except the lock."""
    return sorted(path.name for path in destination.parent.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("tell_length", [True, False])
def test_whole_file(server, destination, tell_length, capsys):
    server.tell_length = tell_length
    expected = {"size": len(CONTENT), "md5": MD5, "sha256": SHA256.upper()}
    assert download(server.url, destination, **expected) == destination
    assert destination.read_bytes() == CONTENT
    assert names(destination) == ["data.zip"]
    download(server.url, destination, **expected)
    assert len(server.requests) == 1
    assert capsys.readouterr() == ("", "")


def test_cut_connection_resumes(server, destination):
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match=r"cut off after 100,000 of 300,000 bytes; run the sam"):
        download(server.url, destination, sha256=SHA256)
    assert names(destination) == ["data.zip.part", "data.zip.part.tag"]
    server.cut_after = 50_000
    with pytest.raises(DownloadError, match="cut off after 150,000 of 300,000"):
        download(server.url, destination, sha256=SHA256)
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT
    assert [asked for asked, _ in server.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert names(destination) == ["data.zip"]


def test_a_server_that_ignores_ranges_sends_everything(server, destination):
    server.ranges, server.cut_after = False, 100_000
    with pytest.raises(DownloadError, match="cut off"):
        download(server.url, destination, md5=MD5)
    download(server.url, destination, md5=MD5)
    assert destination.read_bytes() == CONTENT


def test_a_file_that_changed_is_downloaded_from_its_start(server, destination):
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match="cut off"):
        download(server.url, destination)
    server.content, server.etag = CONTENT[::-1], '"two"'
    download(server.url, destination)
    assert destination.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("tag", [b"\xff", b'"one"\r\nHost: x', b'W/"one"'])
def test_a_damaged_tag_starts_the_download_again(server, destination, tag):
    server.cut_after = 100_000
    with pytest.raises(DownloadError, match="cut off"):
        download(server.url, destination, sha256=SHA256)
    destination.with_name("data.zip.part.tag").write_bytes(tag)
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT
    assert [asked for asked, _ in server.requests] == [None, None]


@pytest.mark.parametrize("surplus", [0, 10])
def test_a_partial_file_that_is_complete_or_too_long(server, destination, surplus):
    destination.parent.mkdir()
    destination.with_name("data.zip.part").write_bytes(CONTENT + b"x" * surplus)
    download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"md5": "0" * 32}, {"size": 5}])
def test_wrong_checksum_leaves_nothing(server, destination, wrong):
    kind = next(iter(wrong))
    with pytest.raises(DownloadError, match=f"a file with {kind} .*, expected {wrong[kind]}; it w"):
        download(server.url, destination, **{"sha256": SHA256, **wrong})
    assert names(destination) == []


def test_an_existing_file_with_another_checksum_is_kept_but_refused(server, destination):
    destination.parent.mkdir()
    destination.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="delete it and run again"):
        download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == b"mine"
    assert server.requests == []


def test_the_first_checksum_is_recorded(server, destination):
    download(server.url, destination)
    record = destination.with_name("data.zip.sha256")
    assert record.read_text() == f"{SHA256}  data.zip\n"
    download(server.url, destination)

    destination.write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError, match=f"expected {SHA256}; delete it and run again"):
        download(server.url, destination)
    destination.unlink()
    server.content = b"renewed"
    with pytest.raises(
        DownloadError, match=r"if the publisher has updated the file, delete .*sha256"
    ):
        download(server.url, destination)
    record.unlink()
    download(server.url, destination)
    assert destination.read_bytes() == b"renewed"

    record.write_text("nonsense")
    with pytest.raises(DownloadError, match="does not hold a sha256; delete it"):
        download(server.url, destination)


@pytest.mark.parametrize("status", [404, 403, 500])
def test_errors_of_the_server(server, destination, status):
    server.status = status
    with pytest.raises(DownloadError, match=f"answered {status} .*; check the address"):
        download(server.url, destination)
    assert names(destination) == []


def test_no_server(server, destination):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"could not be fetched .*refused; run the same comma"):
        download(server.url, destination)


@pytest.mark.parametrize("url", ["file:///etc/hosts", "ftp://host/a", "data.zip"])
def test_other_addresses(destination, url):
    with pytest.raises(UsageError, match="expected http:// or https://"):
        download(url, destination)


def test_a_folder_that_cannot_be_created(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="could not be fetched into"):
        download(server.url, tmp_path / "file" / "data.zip")


def test_simultaneous_downloads_fetch_once(server, destination):
    threads = [
        threading.Thread(target=download, args=(server.url, destination), kwargs={"sha256": SHA256})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert destination.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_body_that_is_longer_than_the_file_is_not_stored(server, destination):
    server.content = bytes(40_000_000)
    for tell in (True, False):
        server.tell_length = tell
        with pytest.raises(DownloadError, match=r"gave a file with size 1\d{6}, expected 1000"):
            download(server.url, destination, size=1000)
        assert names(destination) == []


@pytest.mark.parametrize("etag", ["\xff", "a" * 60_000])
def test_headers_that_are_not_those_of_a_file(server, destination, etag):
    server.etag = etag
    with suppress(DownloadError):
        download(server.url, destination)
