"""Weights with valid checksums and hostile content: refused before they are read."""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from seqzoo.checkpoint.manifest import read_manifest, read_metrics, read_recipe, read_verified
from seqzoo.errors import CheckpointError, IntegrityError
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.storage.safetensors_header import LARGEST_HEADER
from tests.samples import parameters_in, replace, reseal

CARDS = Path(__file__).parents[2] / "model_cards"


def _weights(shape: str, data: bytes = b"") -> bytes:
    header = f'{{"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": [0, 4]}}}}'.encode()
    return struct.pack("<Q", len(header)) + header + data


_LONG = "1" + "0" * 4200
SHAPES = {
    "long numbers": _weights(f"[{_LONG}, {_LONG}]"),
    "64 bits": _weights("[9223372036854775808]"),
    "below zero": _weights("[-1]", bytes(4)),
    "truths": _weights("[true]", bytes(4)),
    "a fraction": _weights("[1.0]", bytes(4)),
    "a large product": _weights("[4611686018427387904, 4611686018427387904]", bytes(4)),
    "many extents": _weights(f"[{', '.join(['9007199254740992'] * 20_000)}]", bytes(4)),
    "more than the file": _weights("[9]", bytes(4)),
    "less than the file": _weights("[1]", bytes(400)),
    "no shape": _weights('"1"', bytes(4)),
    "a list": struct.pack("<Q", 2) + b"[]",
}


@pytest.mark.parametrize("content", SHAPES.values(), ids=SHAPES)
def test_shapes(folder, content, refused_by_all, refused):
    replace(folder, "model.safetensors", content)
    refused_by_all(folder, "model.safetensors", "")
    with refused("model.safetensors"):
        parameters_in(folder)


def test_an_empty_tensor_has_no_numbers(folder):
    replace(folder, "model.safetensors", _weights("[4611686018427387904, 4611686018427387904, 0]"))
    assert parameters_in(folder) == 0


def test_a_header_longer_than_any_models(folder, refused):
    text = b"{}" + b" " * LARGEST_HEADER
    replace(folder, "model.safetensors", struct.pack("<Q", len(text)) + text)
    for read in (parameters_in, SequenceModel.from_pretrained):
        with refused("model.safetensors", "declares a header", str(LARGEST_HEADER)):
            read(folder)


def _holed(folder: Path, size: int, start: bytes, sha256: str | None) -> None:
    """Weights that begin with some bytes and are a sparse file otherwise."""
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(start)
        stream.truncate(size)
    if sha256 is None:
        digest = hashlib.sha256()
        with (folder / "model.safetensors").open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        sha256 = digest.hexdigest()
    entry = {"sha256": sha256, "size": size}
    reseal(folder, lambda document: document["files"].update({"model.safetensors": entry}))


@pytest.mark.parametrize(
    ("start", "sha256", "error"),
    [
        (b"", "0" * 64, IntegrityError),
        (b"", None, CheckpointError),
        (struct.pack("<Q", 2) + b"{}", None, CheckpointError),
        (_weights("[1]"), None, CheckpointError),
    ],
)
def test_a_large_hole_is_never_read_as_a_whole(folder, start, sha256, error, refused, monkeypatch):
    def read(manifest, name):
        assert name != "model.safetensors", "read as a whole"
        return read_verified(manifest, name)

    monkeypatch.setattr("seqzoo.checkpoint.record.read_verified", read)
    _holed(folder, 65 << 20, start, sha256)
    with refused("model.safetensors", "; ", error=error):
        SequenceModel.from_pretrained(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_large_hole_takes_no_memory(folder):
    _holed(folder, 1 << 29, b"", "0" * 64)
    # The peak that getrusage gives is at least the parent's, so the memory is limited instead.
    code = (
        "import resource, sys, seqzoo; from seqzoo.model.sequence_model import SequenceModel\n"
        "from seqzoo.errors import IntegrityError\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "most = pages * resource.getpagesize() + (256 << 20)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "try: SequenceModel.from_pretrained(sys.argv[1])\n"
        "except IntegrityError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in CARDS.iterdir() if path.is_dir()))
def test_bundled_checkpoints_pass(name):
    manifest = read_manifest(CARDS / name)
    assert read_recipe(manifest)["data"]["source"]
    assert read_metrics(manifest)
    assert SequenceModel.from_pretrained(CARDS / name).num_parameters == parameters_in(CARDS / name)
