"""The table of backends and the choice: one fake for each way in which a backend fails."""

import sys
import types
from collections import Counter
from dataclasses import replace

import pytest
import torch

from seqzoo.errors import BackendUnavailableError
from seqzoo.ops import backends, causal_convolution, selective_scan, ssd
from seqzoo.ops.backends import choose, verdicts
from seqzoo.ops.causal_convolution import torch_causal_convolution
from seqzoo.ops.probe import CASES, Backend, probe
from seqzoo.ops.selective_scan import torch_selective_scan
from seqzoo.ops.ssd import torch_ssd
from tests.ops.fused import fused_convolution, fused_scan, fused_ssd

CPU = torch.device("cpu")
REFERENCE = next(b for b in backends.BACKENDS if (b.op, b.name) == ("selective-scan", "torch"))


def lacks_its_package(*arguments):
    import no_such_package  # noqa: F401 as an adapter does when it is called


def fails_when_called(*arguments):
    raise NameError("name 'bare_metal_version' is not defined")


def gives_nan(*arguments):
    return torch_selective_scan(*arguments) * float("nan")


def gives_wrong_numbers(*arguments):
    return torch_selective_scan(*arguments) * 1.01


def gives_wrong_shape(*arguments):
    return torch_selective_scan(*arguments)[:, :-1]


def has_wrong_gradients(x, step, decay, write, read):
    return torch_selective_scan(x, step, decay, write, read.detach())


def works(*arguments):
    return torch_selective_scan(*arguments)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch):
    """A module with the functions above, an empty choice cache, and a table to add to.

    The table is without the native kernels, which may not have been built; test_native.py has them.
    """
    module = types.ModuleType("stand_in")
    module.lacks_its_package = lacks_its_package
    for function in (fails_when_called, gives_nan, gives_wrong_numbers, gives_wrong_shape):
        setattr(module, function.__name__, function)
    module.has_wrong_gradients, module.works = has_wrong_gradients, works
    monkeypatch.setitem(sys.modules, "stand_in", module)
    monkeypatch.delenv(backends.VARIABLE, raising=False)
    table = [backend for backend in backends.BACKENDS if backend.name != "native"]
    monkeypatch.setattr(backends, "BACKENDS", table)
    backends._candidates.cache_clear()
    probe.cache_clear()
    yield
    backends._candidates.cache_clear()
    probe.cache_clear()


def install(function, module="stand_in", devices=("cpu",)):
    backend = Backend("selective-scan", "fast", f"{module}:{function}", devices, "reinstall it")
    backends.BACKENDS.insert(0, backend)
    return backend


@pytest.mark.parametrize(
    ("function", "module", "reason"),
    [
        ("works", "no_such_package", "cannot be imported: ModuleNotFoundError"),
        ("no_such_function", "stand_in", "cannot be imported: AttributeError"),
        (
            "lacks_its_package",
            "stand_in",
            "cannot be imported: ModuleNotFoundError: No module named",
        ),
        ("fails_when_called", "stand_in", "fails when called: NameError: name 'bare_metal"),
        ("gives_nan", "stand_in", "returns NaN or infinities"),
        ("gives_wrong_numbers", "stand_in", "differs from torch"),
        ("gives_wrong_shape", "stand_in", "shape"),
        ("has_wrong_gradients", "stand_in", "differs from torch"),
    ],
)
def test_a_backend_that_does_not_work_is_passed_over_and_says_why(function, module, reason):
    backend = install(function, module)
    assert reason in probe(backend, REFERENCE, "cpu")
    assert choose("selective-scan", CPU) is torch_selective_scan
    with pytest.raises(BackendUnavailableError, match=r"fast.*does not work on cpu.*reinstall it"):
        choose("selective-scan", CPU, "fast")
    first, *_ = (v for v in verdicts(CPU) if v.op == "selective-scan")
    assert (first.backend, first.usable, first.chosen) == ("fast", False, False)
    assert reason in first.reason


def test_a_backend_that_works_is_preferred_and_can_be_declined(monkeypatch):
    install("works")
    assert choose("selective-scan", CPU) is works
    assert choose("selective-scan", CPU, "torch") is torch_selective_scan
    monkeypatch.setenv(backends.VARIABLE, "torch")
    backends._candidates.cache_clear()
    assert choose("selective-scan", CPU) is torch_selective_scan
    assert choose("selective-scan", CPU, "fast") is works


@pytest.mark.parametrize("wanted", ["fast", "torch", "mamba-ssm", "causal-conv1d"])
def test_verdicts_show_what_the_environment_chooses(monkeypatch, wanted):
    """Stored metrics name the backend, so the name must be that of the kernels that ran."""
    install("works")
    monkeypatch.setenv(backends.VARIABLE, wanted)
    rows = [v for v in verdicts(CPU) if v.op == "selective-scan"]
    try:
        expected = [choose("selective-scan", CPU)]
    except BackendUnavailableError:
        expected = []
    names = {works: "fast", torch_selective_scan: "torch"}
    assert [v.backend for v in rows if v.chosen] == [names[function] for function in expected]


def test_a_backend_for_another_device_is_not_even_imported():
    backend = install("works", "no_such_package", ("cuda",))
    assert probe(backend, REFERENCE, "cpu") == "runs on cuda, this is cpu"


def test_a_probe_runs_once_for_each_device(monkeypatch):
    calls = []
    monkeypatch.setattr(sys.modules["stand_in"], "works", lambda *a: calls.append(1) or works(*a))
    install("works")
    for _ in range(3):
        choose("selective-scan", CPU)
    assert len(calls) == 1


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_probe_needs_gradients_in_any_mode_of_the_first_call(mode):
    backend = install("works")
    with mode():
        assert probe(backend, REFERENCE, "cpu") == ""


def test_an_unknown_backend_shows_the_nearest():
    with pytest.raises(BackendUnavailableError, match="did you mean 'mamba-ssm'"):
        choose("selective-scan", CPU, "mamba_ssm")


def test_a_backend_of_another_kernel_leaves_this_one_alone():
    assert choose("causal-convolution", CPU, "mamba-ssm") is torch_causal_convolution


def test_without_native_kernels_torch_is_chosen_on_a_cpu():
    chosen = {verdict.op: verdict.backend for verdict in verdicts(CPU) if verdict.chosen}
    assert set(chosen.values()) == {"torch"}
    assert set(chosen) == set(backends.operations())


def test_the_argument_and_the_environment_reach_the_kernels(monkeypatch):
    x, taps, bias = torch.randn(2, 5, 3), torch.randn(3, 4), torch.randn(3)
    with pytest.raises(BackendUnavailableError, match="causal-conv1d"):
        causal_convolution(x, taps, bias, "causal-conv1d")
    monkeypatch.setenv(backends.VARIABLE, "mamba-ssm")
    with pytest.raises(BackendUnavailableError, match="mamba-ssm"):
        selective_scan(x, x.exp(), -torch.ones(4, 3), torch.randn(2, 5, 4), torch.randn(2, 5, 4))


def test_the_convolution_is_causal_and_depthwise():
    x, taps, bias = torch.randn(2, 7, 3).double(), torch.randn(3, 4).double(), torch.zeros(3)
    found = torch_causal_convolution(x, taps, bias.double())
    for t in range(7):
        expected = sum(taps[:, 3 - lag] * x[:, t - lag] for lag in range(4) if t >= lag)
        torch.testing.assert_close(found[:, t], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("backend", backends.BACKENDS, ids=lambda b: f"{b.op}-{b.name}")
def test_on_a_gpu_each_backend_works_or_says_why(backend):
    reference = next(b for b in backends.BACKENDS if (b.op, b.name) == (backend.op, "torch"))
    reason = probe(backend, reference, "cuda")
    assert reason == "" or any(word in reason for word in ("import", "called", "differs"))


@pytest.fixture
def fused(monkeypatch):
    """Fakes of both packages, preferred on a CPU; how often each kernel was called."""
    calls = Counter()

    def counting(function):
        def call(*arguments, **options):
            calls[function.__name__] += 1
            return function(*arguments, **options)

        return call

    attributes = {
        "mamba_ssm.ops.triton.ssd_combined": ("mamba_chunk_scan_combined", fused_ssd),
        "mamba_ssm.ops.selective_scan_interface": ("selective_scan_fn", fused_scan),
        "causal_conv1d": ("causal_conv1d_fn", fused_convolution),
    }
    for name, (attribute, function) in attributes.items():
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(
                sys.modules, ".".join(parts[:end]), types.ModuleType(".".join(parts[:end]))
            )
        setattr(sys.modules[name], attribute, counting(function))
    anywhere = [replace(backend, devices=()) for backend in backends.BACKENDS]
    monkeypatch.setattr(backends, "BACKENDS", anywhere)
    # The tests below call the kernels with small sizes, so these probes need not be counted.
    assert_probes_pass([case for case in CASES if not case.large])
    calls.clear()
    return calls


def assert_probes_pass(cases):
    for backend in backends.BACKENDS:
        reference = next(b for b in backends.BACKENDS if (b.op, b.name) == (backend.op, "torch"))
        for case in cases if backend.name != "kernels" else ():
            assert probe(backend, reference, "cpu", case) == "", (backend, case)


def test_the_adapters_call_the_packages_as_documented(fused):
    """Fakes with the packages' own signatures and layouts pass the probe through the adapters.

    Layouts and transposes are what a GPU would get, so they are right before one is there.
    """
    assert_probes_pass([case for case in CASES if case.large])
    chosen = {verdict.op: verdict.backend for verdict in verdicts(CPU) if verdict.chosen}
    assert chosen == {
        "selective-scan": "mamba-ssm",
        "selective-scan-last": "torch",
        "selective-scan-step": "torch",
        "ssd": "mamba-ssm",
        "ssd-last": "torch",
        "ssd-step": "torch",
        "causal-convolution": "causal-conv1d",
        "feed-forward": "torch",
        "gru": "torch",
        "gru-last": "torch",
        "step": "torch",
        "int8-scan": "torch",
        "linear-cross-entropy": "torch",
        "convolved-scan-last": "torch",
        "rank-counts": "torch",
    }


def scan_arguments(dtype=torch.float32, states=8):
    draw = torch.Generator().manual_seed(1)
    x, step = (torch.randn(2, 6, 4, generator=draw) for _ in range(2))
    write, read = (torch.randn(2, 6, states, generator=draw) for _ in range(2))
    decay = -torch.rand(states, 4, generator=draw)
    return [tensor.to(dtype) for tensor in (x, step.exp(), decay, write, read)]


def ssd_arguments(dtype=torch.float32):
    draw = torch.Generator().manual_seed(1)
    x, step = torch.randn(2, 6, 3, 4, generator=draw), torch.randn(2, 6, 3, generator=draw)
    write, read = (torch.randn(2, 6, 5, generator=draw) for _ in range(2))
    decay = -torch.rand(3, generator=draw)
    return [tensor.to(dtype) for tensor in (x, step.exp(), decay, write, read)]


def convolution_arguments(dtype=torch.float32, taps=4):
    draw = torch.Generator().manual_seed(1)
    shapes = ((2, 6, 8), (8, taps), (8,))
    return [torch.randn(*shape, generator=draw).to(dtype) for shape in shapes]


KERNELS = [
    (selective_scan, torch_selective_scan, scan_arguments, "fused_scan", "mamba-ssm"),
    (ssd, torch_ssd, ssd_arguments, "fused_ssd", "mamba-ssm"),
    (
        causal_convolution,
        torch_causal_convolution,
        convolution_arguments,
        "fused_convolution",
        "causal-conv1d",
    ),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("op", "reference", "arguments", "kernel", "package"), KERNELS)
def test_half_precision_reaches_the_kernels(
    fused, op, reference, arguments, kernel, package, dtype
):
    given = arguments(dtype)
    found, expected = op(*given), reference(*(tensor.float() for tensor in given))
    assert fused[kernel] == 1
    assert found.dtype == reference(*given).dtype == dtype
    # The fake convolution sums in half precision, the CUDA kernel does not.
    torch.testing.assert_close(found, expected.to(dtype), rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("op", "reference", "arguments", "kernel", "package"), KERNELS)
def test_mixed_precision_as_autocast_gives_it(fused, op, reference, arguments, kernel, package):
    """Halves from linear layers, float32 from softplus and from the weights."""
    first, second, *rest = arguments()
    given = [first.bfloat16(), second, *rest]
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = op(*given), reference(*given)
    assert fused[kernel] == 1
    assert found.dtype == expected.dtype
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("op", "reference", "arguments", "kernel", "package"), KERNELS)
def test_float64_falls_back_to_torch(fused, op, reference, arguments, kernel, package):
    given = arguments(torch.float64)
    assert torch.equal(op(*given), reference(*given))
    assert fused[kernel] == 0
    with pytest.raises(BackendUnavailableError, match=rf"'{package}'.*float64.*use backend=auto"):
        op(*given, backend=package)


@pytest.mark.parametrize(
    ("op", "reference", "given", "package", "reason"),
    [
        (
            selective_scan,
            torch_selective_scan,
            scan_arguments(states=257),
            "mamba-ssm",
            "257 states per channel, the kernel takes up to 256",
        ),
        *(
            (
                causal_convolution,
                torch_causal_convolution,
                convolution_arguments(taps=taps),
                "causal-conv1d",
                f"{taps} taps, the kernel takes 2 to 4",
            )
            for taps in (1, 5)
        ),
    ],
)
def test_sizes_that_a_kernel_does_not_take_fall_back_to_torch(
    fused, op, reference, given, package, reason
):
    assert torch.equal(op(*given), reference(*given))
    assert not fused
    with pytest.raises(BackendUnavailableError, match=reason):
        op(*given, backend=package)


def test_sizes_at_the_limits_reach_the_kernels(fused):
    selective_scan(*scan_arguments(states=256))
    causal_convolution(*convolution_arguments(taps=2))
    assert fused == {"fused_scan": 1, "fused_convolution": 1}
