"""The compiled kernels against the torch implementations in float64, for every set of instructions.

Without a C compiler they are not there, and these tests are skipped but for those of the build.
"""

import importlib
import subprocess
import sys
import zipfile
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from seqzoo.errors import BackendUnavailableError
from seqzoo.ops import backends, selective_scan
from seqzoo.ops.native import build, library
from seqzoo.ops.selective_scan import torch_selective_scan

CPU = torch.device("cpu")


def why_not() -> str:
    try:
        library.library()
    except ImportError as error:
        return str(error)
    return ""


needs_native = pytest.mark.skipif(bool(why_not()), reason=why_not())
LEVELS = ("baseline", "avx2", "avx512")


@pytest.fixture(params=LEVELS)
def level(request, monkeypatch):
    """Each set of instructions up to the widest that the processor has."""
    if LEVELS.index(request.param) > LEVELS.index(library.level()):
        pytest.skip(f"this processor has no {request.param}")
    monkeypatch.setattr(library, "level", lambda: request.param)
    return request.param


def scan_arguments(batch, length, channels, states, largest_step=1.0):
    """Float32 arguments as float64; steps spread over four orders of magnitude."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).double()

    spread = torch.rand(batch, length, channels, generator=draw)
    return [
        normal(batch, length, channels),
        (largest_step * 10.0 ** (-4.0 * spread)).double(),
        -normal(states, channels).exp().float().double(),
        normal(batch, length, states),
        normal(batch, length, states),
    ]


def results(function, given, dtype):
    """Output and all gradients."""
    inputs = [tensor.to(dtype).requires_grad_() for tensor in given]
    output = function(*inputs)
    weights = torch.linspace(-1.0, 2.0, output.numel(), dtype=dtype).view_as(output)
    return [output.detach(), *torch.autograd.grad((output * weights).sum(), inputs)]


SIZES = [
    (1, 1, 1, 1),
    (1, 1, 6, 5),
    (2, 15, 16, 3),
    (3, 16, 64, 8),
    (1, 17, 65, 32),
    (5, 50, 130, 17),
    (2, 200, 128, 32),
]


@needs_native
@pytest.mark.parametrize("largest_step", [1.0, 50.0])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_scan_and_its_gradients(level, size, largest_step):
    given = scan_arguments(*size, largest_step)
    exact = results(torch_selective_scan, given, torch.float64)
    found = results(lambda *a: selective_scan(*a, backend="native"), given, torch.float32)
    for got, wanted in zip(found, exact, strict=True):
        assert got.dtype == torch.float32
        assert got.shape == wanted.shape
        # Sums of up to 200 positions by 130 channels, each term rounded at 6e-8.
        assert (got - wanted).abs().max() <= 3e-6 * wanted.abs().max()


@needs_native
def test_two_runs_give_the_same_bits_at_any_number_of_threads():
    given = scan_arguments(8, 120, 128, 32)
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 1, 2, 3, 3):
            torch.set_num_threads(count)
            found = results(lambda *a: selective_scan(*a, backend="native"), given, torch.float32)
            runs.append(found)
    finally:
        torch.set_num_threads(threads)
    # The kernel's own results are the same at any number; torch sums some gradients afterwards.
    for one, other in pairwise(runs):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@needs_native
def test_arguments_may_be_slices_and_transposes(level):
    """As the models pass them: parts of one projection, and the transpose of the rates."""
    x, step, decay, write, read = (t.float() for t in scan_arguments(2, 20, 24, 8))
    joined = torch.cat([write, x, read], -1)
    parts = joined.split([8, 24, 8], -1)
    assert not parts[0].is_contiguous()
    transposed = step.transpose(0, 1).contiguous().transpose(0, 1)
    odd = [parts[1], transposed, decay.T.contiguous().T, parts[0], parts[2]]
    plain = results(lambda *a: selective_scan(*a, backend="native"), (x, step, decay, write, read),
                    torch.float32)  # fmt: skip
    sliced = results(lambda *a: selective_scan(*a, backend="native"), odd, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(plain, sliced, strict=True))
    # The gradient of a plain sum is one number with strides of zero.
    inputs = [tensor.clone().requires_grad_() for tensor in (x, step, decay, write, read)]
    ours = torch.autograd.grad(selective_scan(*inputs, backend="native").sum(), inputs)
    theirs = torch.autograd.grad(torch_selective_scan(*inputs).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@needs_native
def test_extreme_values(level):
    """Steps so large that all is forgotten, NaN that stays NaN, and a growing state."""
    x, step, decay, write, read = (t.float() for t in scan_arguments(2, 20, 24, 8))
    for sizes, rates in ((step * 1e8, decay), (step, -decay)):
        expected = torch_selective_scan(x, sizes, rates, write, read)
        found = selective_scan(x, sizes, rates, write, read, "native")
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    step[1, 3, 5] = float("nan")
    spoiled = selective_scan(x, step, decay, write, read, "native")
    assert spoiled[1, 3:, 5].isnan().all()
    assert spoiled.isnan().sum() == 17


@needs_native
def test_no_more_than_the_arguments_is_kept():
    sizes = {}

    def watched(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    inputs = [t.float().requires_grad_() for t in scan_arguments(2, 64, 32, 16)]
    with torch.autograd.graph.saved_tensors_hooks(watched, lambda tensor: tensor):
        selective_scan(*inputs, backend="native")
    assert sum(sizes.values()) == sum(t.untyped_storage().nbytes() for t in inputs)


@needs_native
def test_what_the_kernels_cannot_take_is_left_to_torch():
    given = scan_arguments(2, 9, 6, 4)
    assert torch.equal(selective_scan(*given), torch_selective_scan(*given))
    with pytest.raises(BackendUnavailableError, match=r"'native'.*float64.*use backend=auto"):
        selective_scan(*given, backend="native")
    floats = [tensor.float() for tensor in given]
    exported = torch.export.export(Scan(), tuple(floats))
    torch.testing.assert_close(exported.module()(*floats), torch_selective_scan(*floats))
    assert "native" in {v.backend for v in backends.verdicts(CPU) if v.chosen}


class Scan(torch.nn.Module):
    def forward(self, *arguments):
        return selective_scan(*arguments)


@needs_native
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    given = [tensor.to(dtype) for tensor in scan_arguments(3, 20, 70, 5)]
    expected = selective_scan(*(tensor.float() for tensor in given), backend="native")
    found = selective_scan(*given, backend="native")
    assert torch.equal(found, expected.to(dtype))


@needs_native
def test_gradients_of_gradients_are_refused():
    inputs = [t.float().requires_grad_() for t in scan_arguments(1, 5, 4, 3)]
    output = selective_scan(*inputs, backend="native").square().sum()
    (gradient, *_) = torch.autograd.grad(output, inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


def test_without_a_compiler_the_wheel_is_pure_python(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "/nonexistent")
    with pytest.raises(build.BuildError, match=r"no C compiler found.*nonexistent"):
        build.build(tmp_path / "kernels.so")
    root = build.FOLDER.parents[2]
    command = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(tmp_path), str(root)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("py3-none-any.whl")
    assert not [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith(build.LIBRARY.name)]


def test_a_compiler_that_fails_is_quoted(tmp_path, monkeypatch):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no such instruction >&2\nexit 3\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(build.BuildError, match=r"failed:\nno such instruction"):
        build.build(tmp_path / "kernels.so")


@pytest.mark.parametrize("state", ["missing", "broken", "stale"])
def test_a_library_that_cannot_be_used_leaves_the_work_to_torch(state, tmp_path, monkeypatch):
    """As ``doctor`` shows it; a stale library could read its arguments wrongly."""
    path = tmp_path / "kernels.so"
    if state == "broken":
        path.write_bytes(b"not a library")
    if state == "stale":
        if why_not():
            pytest.skip(why_not())
        monkeypatch.setattr(library, "source_fingerprint", lambda: "another")
        path = build.LIBRARY
    monkeypatch.setattr(library, "LIBRARY", path)
    caches = (library.library, library.level, library.function, backends.probe)
    caches += (backends._candidates,)
    for cached in caches:
        cached.cache_clear()
    try:
        rows = [v for v in backends.verdicts(CPU) if v.op == "selective-scan"]
        row = next(v for v in rows if v.backend == "native")
        words = {"missing": "was not built", "broken": "cannot be loaded", "stale": "other source"}
        assert words[state] in row.reason
        assert [v.backend for v in rows if v.chosen] == ["torch"]
        with pytest.raises(BackendUnavailableError, match="install a C compiler"):
            backends.choose("selective-scan", CPU, "native")
    finally:
        for cached in caches:
            cached.cache_clear()


def test_the_build_needs_nothing_of_seqzoo():
    """The build hook runs it before torch is installed."""
    names = set(vars(importlib.import_module("seqzoo.ops.native.build")))
    assert not names & {"torch", "seqzoo"}
    subprocess.run([sys.executable, "-I", "-S", "-c",
        f"import runpy; runpy.run_path({build.__file__!r})"], check=True)  # fmt: skip
