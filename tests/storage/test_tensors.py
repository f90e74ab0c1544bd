"""Tensors in files: the bytes of the library, memory that stays bounded, and mapped files."""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save
from torch import nn

from seqzoo.errors import CheckpointError, IntegrityError
from seqzoo.model.weights import put_weights
from seqzoo.storage.integrity import sha256_of, sha256_of_bytes
from seqzoo.storage.tensors import EncodedTensors, map_tensors

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.bool,
    torch.complex64,
    torch.float8_e4m3fn,
]


@pytest.fixture
def tensors():
    torch.manual_seed(0)
    made = {f"layer.{number}": torch.ones(3, 5).to(kind) for number, kind in enumerate(DTYPES)}
    return {
        **made,
        "z": torch.randn(7),
        'a ü"\\': torch.randn(2, 2),
        "none": torch.zeros(0, 4),
        "one": torch.tensor(3.5),
        "turned": torch.randn(4, 6).T,
        "part": torch.randn(9, 4)[::2],
    }


@pytest.fixture
def file(tensors, tmp_path):
    encoded = EncodedTensors(tensors)
    path = tmp_path / "model.safetensors"
    encoded.write(path)
    return path, len(encoded), encoded.sha256


def test_the_bytes_are_those_of_the_library(tensors, file):
    plain = {name: tensor.contiguous().clone() for name, tensor in sorted(tensors.items())}
    expected = save(plain, metadata={"format": "pt"})
    encoded = EncodedTensors(tensors)
    assert bytes(encoded) == expected == file[0].read_bytes()
    assert (len(encoded), encoded.sha256) == (len(expected), sha256_of_bytes(expected))
    assert b"".join(encoded.pieces()) == expected


def test_nothing_at_all():
    assert bytes(EncodedTensors({})) == save({}, metadata={"format": "pt"})


def test_weights_that_change_while_they_are_saved(tmp_path):
    weights = {"weight": torch.zeros(5)}
    encoded = EncodedTensors(weights)
    assert encoded.sha256
    weights["weight"][2] = 1.0
    with pytest.raises(CheckpointError, match="changed while they were saved"):
        encoded.write(tmp_path / "model.safetensors")


@pytest.mark.parametrize("where", [0, 1 << 20, (1 << 20) + 1])
def test_nan_anywhere(where):
    weights = torch.zeros((1 << 20) + 2, dtype=torch.float16)
    weights[where] = torch.nan
    with pytest.raises(CheckpointError, match="weight holds NaN"):
        EncodedTensors({"weight": weights})


def test_mapped_tensors_are_equal(tensors, file):
    mapped = map_tensors(*file)
    assert mapped.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert mapped[name].dtype == tensor.dtype
        assert mapped[name].shape == tensor.shape
        assert bytes(EncodedTensors({"": mapped[name]})) == bytes(EncodedTensors({"": tensor}))


def test_changes_stay_in_memory(file):
    path = file[0]
    before = sha256_of(path)
    mapped = map_tensors(*file)
    mapped["z"].zero_()
    assert not mapped["z"].any()
    assert map_tensors(*file)["z"].any()
    assert sha256_of(path) == before


@pytest.mark.skipif(os.name != "posix", reason="Windows does not replace a mapped file")
def test_a_file_that_is_replaced_changes_nothing(tensors, file):
    path = file[0]
    mapped = map_tensors(*file)
    EncodedTensors({"z": torch.zeros(7)}).write(path.with_name("other"))
    os.replace(path.with_name("other"), path)
    assert torch.equal(mapped["z"], tensors["z"])


def test_a_file_that_is_not_the_recorded_one(file):
    path, size, sha256 = file
    with pytest.raises(IntegrityError, match=f"has {size} bytes, expected {size + 1}"):
        map_tensors(path, size + 1, sha256)
    with pytest.raises(IntegrityError, match="has sha256"):
        map_tensors(path, size, "0" * 64)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="has sha256"):
        map_tensors(path, size, sha256)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_that_changes_while_it_is_read(file, monkeypatch, replaced):
    """It is opened twice, so another one could take its place after it was hashed."""
    path, size, sha256 = file

    def then_changed(given):
        found = sha256_of(given)
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        target = path.with_name("other") if replaced else path
        target.write_bytes(content)
        os.utime(target, ns=(1, 1))
        if replaced:
            os.replace(target, path)
        return found

    monkeypatch.setattr("seqzoo.storage.tensors.sha256_of", then_changed)
    with pytest.raises(CheckpointError, match="has changed while it was read"):
        map_tensors(path, size, sha256)


@pytest.mark.parametrize("content", [b"", b"\x02\0\0\0\0\0\0\0[]", b"\xff" * 64])
def test_a_file_of_another_kind(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        map_tensors(path, len(content), sha256_of_bytes(content))


def test_nan_in_a_mapped_file(tmp_path):
    path = tmp_path / "model.safetensors"
    content = save({"weight": torch.tensor([1.0, torch.inf])})
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="holds NaN or infinities in weight"):
        map_tensors(path, len(content), sha256_of_bytes(content))


def test_large_tensors_can_be_taken_over():
    """Shared parameters stay shared, and small or narrower tensors are copied."""

    def tied():
        module = nn.Sequential(*(nn.Linear(2048, 2048) for _ in range(3)))
        module[1].weight = module[0].weight
        return module

    model = tied()
    parameters = list(model.parameters())
    weights = {name: torch.randn(shape) for name, shape in [
        ("0.weight", (2048, 2048)), ("0.bias", 2048), ("1.bias", 2048), ("2.bias", 2048)
    ]}  # fmt: skip
    weights["2.weight"] = torch.randn(2048, 2048).half()
    put_weights(model, weights, "model.safetensors", take=True)
    assert model[0].weight is model[1].weight
    assert all(one is two for one, two in zip(model.parameters(), parameters, strict=True))
    assert model[0].weight.data_ptr() == weights["0.weight"].data_ptr()
    assert model[0].weight.requires_grad
    assert model[0].bias.data_ptr() != weights["0.bias"].data_ptr()
    assert model[2].weight.dtype == torch.float32
    assert torch.equal(model[2].weight, weights["2.weight"].float())
    weights["0.weight"].zero_()
    put_weights(model, weights, "model.safetensors")
    assert model[0].weight.data_ptr() == weights["0.weight"].data_ptr()


MEMORY = """
import sys
import seqzoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.sequence_model import SequenceModel

def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

def grown(act):
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    made = act()
    return made, (status("VmHWM") - before) << 10

folder = sys.argv[1]
if len(sys.argv) > 2:
    items = [str(number) for number in range(20_000)]
    SequenceModel.build("gru4rec", {"hidden_size": 2048}, Vocabulary(items)).save_pretrained(folder)
else:
    seqzoo.load("gru4rec-ml100k")  # imports everything
    model, loading = grown(lambda: seqzoo.load(folder))
    again, saving = grown(lambda: model.save_pretrained(folder + "-2"))
    print(sum(p.nbytes for p in model.parameters()), loading, saving)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory as Linux shows it")
def test_memory_of_loading_and_saving(tmp_path):
    """At most 1.3 times the weights to load them, and .3 times more to save them."""
    folder = str(tmp_path / "model")
    subprocess.run([sys.executable, "-c", MEMORY, folder, "make"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, folder], check=True, capture_output=True, text=True
    )
    weights, loading, saving = map(int, done.stdout.split())
    assert weights > 150_000_000
    assert loading < 1.3 * weights
    assert saving < 0.3 * weights
