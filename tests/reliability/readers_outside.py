"""Readers of what others send: the Hub's answers, downloads, foreign weights, the command line."""

import io
import json
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from types import SimpleNamespace

import torch
from huggingface_hub import constants
from safetensors.torch import save

from seqzoo.checkpoint.hub import api
from seqzoo.checkpoint.hub.address import HubAddress
from seqzoo.checkpoint.hub.errors import hub_errors
from seqzoo.checkpoint.hub.schemas import HubEntry
from seqzoo.cli.app import run
from seqzoo.data.download import download
from seqzoo.model.import_weights import import_weights, read_vocabulary_file
from seqzoo.model.save import save_model
from tests.reliability import mutations
from tests.reliability.readers import reader
from tests.reliability.readers_checkpoint import any_json, any_tensors, make_model

ADDRESS = HubAddress("org/shop", "0" * 40)


class RawServer:
    """Answers every request with the same bytes and hangs up."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            try:
                with connection:
                    connection.settimeout(5)
                    asked = b""
                    while b"\r\n\r\n" not in asked:
                        asked += connection.recv(65536) or b"\r\n\r\n"
                    connection.sendall(self.answer)
                    connection.shutdown(socket.SHUT_WR)
                    # Closing with unread data would reset the connection before the answer is read.
                    while connection.recv(65536):
                        pass
            except OSError:
                continue


HEADERS = (
    b"Content-Encoding: gzip", b"Transfer-Encoding: chunked", b"Content-Length: -1",
    b"Content-Length: 9", b"Content-Length: 999999999999", b"Content-Length: x", b"Location: /",
    b"Location: file:///etc/passwd", b"Location: http://[", b"Location: //",
    b'Link: <http://x/>; rel="next"', b"Link: <", b"Link: ;;;,,,=", b'Link: <>; rel="next"',
    b"Retry-After: -1", b"Retry-After: nan", b"X-Error-Code: RepoNotFound",
    b"X-Error-Message: \x1b[31m", b"X-Error-Code: GatedRepo", b"X-Error-Code: EntryNotFound",
    b"ETag: ../../x", b"Set-Cookie: a=b", b"X: " + b"a" * 70_000, b"Content-Range: bytes 5-9/2",
    b"\xff: \xff", b"", b"no colon",
)  # fmt: skip
STATUS = (
    b"200 OK", b"200", b"206 Partial", b"204 No", b"301 Moved", b"302 Found", b"304 Not",
    b"400 Bad", b"401 No", b"403 No", b"404 No", b"412 No", b"416 No", b"429 Wait", b"500 Oops",
    b"999 X", b"100 Continue", b"0 0", b"-1 x", b"abc",
)  # fmt: skip


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An HTTP answer; the length is that of the body unless a header says otherwise."""
    length = [] if any(h.startswith((b"Content-Length", b"Transfer")) for h in headers) else [
        b"Content-Length: %d" % len(body)
    ]  # fmt: skip
    return b"\r\n".join([b"HTTP/1.1 " + status, *length, *headers, b"", body])


def any_answer(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to the body of an answer, to its headers, or to any of its bytes."""
    seed = chance.choice(seeds)
    kind = chance.randrange(8)
    if kind < 4:
        return answer(any_json([seed], chance))
    headers = [chance.choice(HEADERS) for _ in range(chance.randrange(3))]
    status = chance.choice(STATUS) if chance.randrange(2) else STATUS[0]
    if kind == 4:
        size = chance.choice((b"5", b"0", b"ffffffffffffffff", b"-1", b"x", b"%x" % len(seed)))
        return answer(
            size + b"\r\n" + seed + b"\r\n0\r\n\r\n", b"Transfer-Encoding: chunked", status=status
        )
    if kind < 7:
        return answer(seed, *headers, status=status)
    return mutations.damage(answer(seed, *headers, status=status), chance)


class HubAnswer:
    """An answer to one call of the Hub."""

    def __init__(self, home: Path) -> None:
        self.server = RawServer()
        constants.ENDPOINT = self.server.url
        constants.HUGGINGFACE_CO_URL_TEMPLATE = (
            self.server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        constants.HF_HUB_CACHE = str(home / "cache")
        constants.HF_HUB_DOWNLOAD_TIMEOUT = 2  # type: ignore[misc]
        api.PATIENCE = 2.0
        # Waiting between two attempts is tested elsewhere.
        clock = SimpleNamespace(monotonic=api.time.monotonic, sleep=lambda seconds: None)
        api.time = clock  # type: ignore[assignment]

    seeds: Sequence[bytes] = ()

    def put(self, content: bytes) -> None:
        """Let the server answer with this; a seed is only a body."""
        self.server.answer = answer(content) if content in self.seeds else content

    def read(self, content: bytes) -> object:
        self.put(content)
        with hub_errors(ADDRESS):
            return self.ask()

    def ask(self) -> object:
        """The call."""
        raise NotImplementedError


REFERENCE = {"name": "main", "ref": "refs/heads/main", "targetCommit": "0" * 40}
MODEL = {
    "id": "a/b",
    "sha": "0" * 40,
    "tags": ["seqzoo"],
    "likes": 1,
    "lastModified": "2026-01-01",
}
ENTRY = {"type": "file", "oid": "0" * 40, "size": 3, "path": "config.json"}
LARGE = {**ENTRY, "path": "model.safetensors", "lfs": {"oid": "0" * 64, "size": 3}}


@reader("the Hub's answer: a repository", "hub", any_answer)
class ModelAnswer(HubAnswer):
    seeds = (json.dumps({"sha": "0" * 40, "private": False, "id": "org/shop"}).encode(),)

    def ask(self) -> object:
        return api.model_info(ADDRESS)


@reader("the Hub's answer: files", "hub", any_answer)
class FilesAnswer(HubAnswer):
    seeds = (json.dumps([ENTRY, LARGE]).encode(),)

    def ask(self) -> object:
        return api.list_files(ADDRESS, ["config.json", "model.safetensors"])


@reader("the Hub's answer: branches and tags", "hub", any_answer)
class ReferencesAnswer(HubAnswer):
    seeds = (json.dumps({"branches": [REFERENCE], "tags": [REFERENCE]}).encode(),)

    def ask(self) -> object:
        return api.list_references(ADDRESS)


@reader("the Hub's answer: a list of models", "hub", any_answer)
class ListAnswer(HubAnswer):
    seeds = (json.dumps([MODEL, {**MODEL, "id": "c/d"}]).encode(),)

    def ask(self) -> object:
        return api.list_models("seqzoo", None, 10)


@reader("the Hub's answer: a file", "hub", any_answer)
class FileAnswer(HubAnswer):
    seeds = (b"{}\n",)

    def ask(self) -> object:
        # What git calls the content "{}\n".
        oid = "0967ef424bce6791893e9a57bb952f80fd536e93"
        return api.download(ADDRESS, HubEntry("config.json", oid, size=3))


@reader("a publisher's answer to a download", "data", any_answer)
class PublisherAnswer(HubAnswer):
    seeds = (b"1234567890" * 20, b"{}")

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.home, self.count = home, 0

    def read(self, content: bytes) -> object:
        self.put(content)
        self.count += 1
        to = self.home / "downloads" / f"{self.count}.zip"
        if len(content) % 2:
            part = to.with_name(to.name + ".part")
            part.parent.mkdir(exist_ok=True)
            part.write_bytes(b"1234")
        return download(self.server.url, to, size=200, progress=False)


@reader("foreign weights, .safetensors", "import", any_tensors)
class ForeignTensors:
    name = "foreign.safetensors"

    def __init__(self, home: Path) -> None:
        self.path, self.model = home / self.name, make_model()
        self.seeds: Sequence[bytes] = [self.save(recbole())]

    @staticmethod
    def save(tensors: dict[str, torch.Tensor]) -> bytes:
        return save(tensors)

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        return import_weights(self.path, architecture="gru4rec", vocabulary=self.model.vocabulary)


def recbole() -> dict[str, torch.Tensor]:
    """The state dict of RecBole's GRU4Rec for eight items."""
    shapes = {
        "item_embedding.weight": (9, 4), "gru_layers.weight_ih_l0": (12, 4),
        "gru_layers.weight_hh_l0": (12, 4),
        "dense.weight": (4, 4), "dense.bias": (4,),
    }  # fmt: skip
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


@reader("foreign weights, .pth", "import")
class ForeignPickle(ForeignTensors):
    name = "foreign.pth"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        old = io.BytesIO()
        torch.save(recbole(), old, _use_new_zipfile_serialization=False)
        self.seeds = [*self.seeds, old.getvalue()]

    @staticmethod
    def save(tensors: dict[str, torch.Tensor]) -> bytes:
        stream = io.BytesIO()
        torch.save({"state_dict": tensors, "epoch": 3}, stream)
        return stream.getvalue()


@reader("vocabulary of foreign weights", "import", any_json)
class ForeignVocabulary:
    def __init__(self, home: Path) -> None:
        self.paths = (home / "items.json", home / "items.txt")
        self.seeds: Sequence[bytes] = [b'{"items": ["[PAD]", "a", "b"]}', b'["[PAD]", "a", "b"]']

    def read(self, content: bytes) -> object:
        path = self.paths[len(content) % 4 == 0]
        path.write_bytes(content)
        return read_vocabulary_file(path)


@reader("a branch in the Hub's cache", "hub")
class CachedReference:
    def __init__(self, home: Path) -> None:
        constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(home), True
        self.home = home / "models--org--shop"
        save_model(self.home / "snapshots" / ("0" * 40), make_model(), recipe={}, metrics={})
        self.path = self.home / "refs" / "main"
        self.path.parent.mkdir()
        self.seeds: Sequence[bytes] = [b"0" * 40]

    def read(self, content: bytes) -> object:
        from seqzoo import zoo

        self.path.write_bytes(content)
        return zoo.load("hf://org/shop")


COMMANDS = """
recommend MODEL --history item-1 item-2 -k 3 --json
recommend MODEL --history item-1 --candidates item-3 --timestamps 978300019
recommend MODEL --history=item-1 --on-unknown error --include-seen
info MODEL --json
info sasrec-ml1m
list mamba* --json
verify MODEL
eval MODEL --data missing.csv --protocol loo-full
train sasrec --data missing.csv --min-count 3 model.hidden_size=16 train.lr=5e-4
train sasrec --data missing.csv --user-col u data.options.users=3 model.head=item
compare MODEL sasrec-ml1m --data missing.csv
pull hf://org/shop@main
push MODEL org/shop --dry-run --tag v1
plugins --json
new-plugin linrec
import missing.pth --architecture gru4rec --vocabulary missing.txt --out imported
list --hub
doctor --json
""".strip().splitlines()


def any_command(seeds: Sequence[bytes], chance: Random) -> bytes:
    """A command line with odd words; words are separated by NUL."""
    words = chance.choice(seeds).split(b"\0")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(words))
        kind = chance.randrange(6)
        if kind == 0:
            value = chance.choice(mutations.VALUES)
            text = value if isinstance(value, str) else json.dumps(value)
            words[at] = text.encode("utf-8", "surrogatepass")[:2000]
        elif kind == 1:
            words[at] = mutations.damage(words[at], chance)
        elif kind == 2:
            words.insert(at, chance.choice(mutations.BYTES))
        elif kind == 3:
            words.insert(at, words[at])
        elif kind == 4 and b"=" in words[at]:
            key = words[at].partition(b"=")[0]
            words[at] = key + b"=" + mutations.damage(words[at], chance)
        elif len(words) > 1:
            del words[at]
    return b"\0".join(word.replace(b"\0", b"") for word in words)


@reader("ids, options and settings on the command line", "command line", any_command)
class CommandLine:
    def __init__(self, home: Path) -> None:
        folder = home / "a" / "b" / "c"
        folder.mkdir(parents=True)
        os.chdir(folder)
        os.environ.update(HOME=str(home / "home"), HF_HUB_OFFLINE="1", SEQZOO_DATA=str(home))
        constants.HF_HUB_OFFLINE, constants.HF_HUB_CACHE = True, str(home / "cache")
        save_model(folder / "mine", make_model(), recipe={}, metrics={})
        commands = [line.replace("MODEL", "./mine").split() for line in COMMANDS]
        self.seeds = ["\0".join(words).encode() for words in commands]

    def read(self, content: bytes) -> object:
        words = [word.decode("utf-8", "surrogateescape") for word in content.split(b"\0")]
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run(words)
        said = err.getvalue()
        assert code in (0, 1, 2), f"exit code {code}: {said}"
        assert "Traceback" not in said, said
        if code == 2:
            assert said.startswith("error: ") or "\nerror: " in said, said
            assert said.count("error: ") == said.rstrip("\n").rpartition("\n")[2].count(
                "error: "
            ), said
        return code
