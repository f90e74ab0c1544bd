"""The kernels compiled for aarch64 (NEON), run by an emulator, against torch in float64.

On Debian: ``apt-get install gcc-aarch64-linux-gnu qemu-user``. Skipped where these are missing.
"""

import ctypes
import gc
import platform
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from torch import Tensor

from seqzoo.ops.causal_convolution import torch_causal_convolution
from seqzoo.ops.convolved_scan import torch_convolved_scan_last
from seqzoo.ops.feed_forward import torch_feed_forward
from seqzoo.ops.gru import torch_gru, torch_gru_last
from seqzoo.ops.native import build, convolution, convolved_scan, feed_forward, gru, scan
from seqzoo.ops.native.convolution import native_causal_convolution
from seqzoo.ops.native.convolved_scan import native_convolved_scan_last
from seqzoo.ops.native.feed_forward import native_feed_forward
from seqzoo.ops.native.gru import native_gru, native_gru_last
from seqzoo.ops.native.scan import (
    native_selective_scan,
    native_selective_scan_last,
    native_selective_scan_step,
    native_ssd,
    native_ssd_last,
    native_ssd_step,
)
from seqzoo.ops.probe import _EXAMPLES, _Size, _trial
from seqzoo.ops.selective_scan import (
    torch_selective_scan,
    torch_selective_scan_last,
    torch_selective_scan_step,
)
from seqzoo.ops.ssd import torch_ssd, torch_ssd_last, torch_ssd_step

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
LIBRARIES = "/usr/aarch64-linux-gnu"
pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
    reason=f"needs {COMPILER} and {EMULATOR}",
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A library built as on aarch64, and the program that calls it."""
    folder = tmp_path_factory.mktemp("neon")
    patch = pytest.MonkeyPatch()
    patch.setenv("CC", COMPILER)
    patch.setattr(platform, "machine", lambda: "aarch64")
    build.build(folder / "kernels.so")
    patch.undo()
    source = str(Path(__file__).with_name("emulated.c"))
    command = [COMPILER, "-O1", source, "-o", str(folder / "emulated"), "-ldl"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def neon(compiled, tmp_path, monkeypatch):
    """Kernels are called in the emulator, with a copy of the tensors."""

    def call(name, arguments):
        raw = bytes(arguments._obj)
        words = {word for (word,) in struct.iter_unpack("=Q", raw)}
        storages = {}
        for tensor in [one for one in gc.get_objects() if type(one) is Tensor and one.is_cpu]:
            storage = tensor.untyped_storage()
            start, size = storage.data_ptr(), storage.nbytes()
            if any(start <= word < start + size for word in words):
                storages[start] = size
        regions = sorted(storages.items())
        file = tmp_path / "call"
        parts = [struct.pack("=Q", len(regions))]
        parts += [struct.pack("=Q", start) for start, _ in regions]
        parts += [struct.pack("=Q", size) for _, size in regions]
        parts += [struct.pack("=Q", len(raw)), raw]
        head = b"".join(parts)
        file.write_bytes(head + b"".join(ctypes.string_at(*region) for region in regions))
        program = [EMULATOR, "-L", LIBRARIES, str(compiled / "emulated")]
        subprocess.run(
            [*program, str(compiled / "kernels.so"), f"{name}_baseline", str(file)], check=True
        )
        after, at = file.read_bytes(), len(head)
        for start, size in regions:
            ctypes.memmove(start, after[at : at + size], size)
            at += size

    for module in (scan, convolution, convolved_scan, feed_forward, gru):
        monkeypatch.setattr(module, "call", call)


SIZES = [
    _Size(batch=2, length=1, channels=1, states=1, heads=1, width=1),
    _Size(batch=2, length=17, channels=65, states=5, heads=3, width=13),
    _Size(batch=2, length=50, channels=32, states=16, heads=2, width=32),
]
KERNELS = {
    "selective-scan": (native_selective_scan, torch_selective_scan),
    "selective-scan-last": (native_selective_scan_last, torch_selective_scan_last),
    "selective-scan-step": (native_selective_scan_step, torch_selective_scan_step),
    "ssd": (native_ssd, torch_ssd),
    "ssd-last": (native_ssd_last, torch_ssd_last),
    "ssd-step": (native_ssd_step, torch_ssd_step),
    "convolved-scan-last": (native_convolved_scan_last, torch_convolved_scan_last),
    "feed-forward": (native_feed_forward, torch_feed_forward),
    "gru": (native_gru, torch_gru),
    "gru-last": (native_gru_last, torch_gru_last),
    "causal-convolution": (native_causal_convolution, torch_causal_convolution),
}


@pytest.mark.usefixtures("neon")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: str(tuple(size)))
@pytest.mark.parametrize("op", KERNELS)
def test_results_and_gradients(op, size):
    native, reference = KERNELS[op]
    given = _EXAMPLES[op](size)
    exact = [tensor.double() if tensor.is_floating_point() else tensor for tensor in given]
    found, expected = _trial(native, op, given), _trial(reference, op, exact)
    for got, wanted in zip(found, expected, strict=True):
        assert got.shape == wanted.shape
        assert (got - wanted).abs().max() <= 5e-6 * wanted.abs().max()


def test_the_code_has_vector_instructions(compiled):
    tool = COMPILER.replace("gcc", "objdump")
    listing = subprocess.run(
        [tool, "-d", str(compiled / "kernels.so")], check=True, capture_output=True, text=True
    ).stdout
    assert listing.count(".4s") > 500
