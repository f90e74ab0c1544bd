"""The probe in each dtype and size: a backend is used only where it agrees with torch."""

import sys
import types

import pytest
import torch

from seqzoo.errors import BackendUnavailableError
from seqzoo.ops import backends, selective_scan
from seqzoo.ops.backends import choose, verdicts
from seqzoo.ops.probe import CASES, Backend, Case, cases, described, probe
from seqzoo.ops.selective_scan import torch_selective_scan

CPU = torch.device("cpu")
TORCH = next(b for b in backends.BACKENDS if (b.op, b.name) == ("selective-scan", "torch"))


def arguments(length=9, dtype=torch.float32):
    draw = torch.Generator().manual_seed(0)
    shapes = ((2, length, 4), (2, length, 4), (3, 4), (2, length, 3), (2, length, 3))
    x, step, decay, write, read = (torch.randn(s, generator=draw).to(dtype) for s in shapes)
    return x, step.exp(), -decay.exp(), write, read


@pytest.fixture
def faulty(monkeypatch):
    """Installs a backend that is right except in calls that a test names; the cases it ran."""
    ran = []

    def install(fault):
        def scan(x, step, decay, write, read):
            if not ran or ran[-1] != (x.dtype, x.shape[1]):
                ran.append((x.dtype, x.shape[1]))
            return fault(x, torch_selective_scan(x, step, decay, write, read))

        module = types.ModuleType("stand_in")
        module.scan = scan
        monkeypatch.setitem(sys.modules, "stand_in", module)
        backend = Backend("selective-scan", "faulty", "stand_in:scan", ("cpu",), "reinstall it")
        monkeypatch.setattr(backends, "BACKENDS", [backend, TORCH])
        return backend

    monkeypatch.delenv(backends.VARIABLE, raising=False)
    for cached in (probe, backends._candidates):
        cached.cache_clear()
    install.ran = ran
    yield install
    for cached in (probe, backends._candidates):
        cached.cache_clear()


def chosen(given, name=None):
    return choose("selective-scan", CPU, name, given)


def raises_in_half(x, y):
    if x.dtype == torch.bfloat16:
        raise RuntimeError("expected scalar type Float")
    return y


def wrong_in_half(x, y):
    return y * 1.1 if x.dtype == torch.bfloat16 else y


def wrong_when_large(x, y):
    return torch.cat([y[:, :2048], 2 * y[:, 2048:]], 1)


def slightly_off(x, y):
    return y * (1 + 3e-5)


@pytest.mark.parametrize("fault", [raises_in_half, wrong_in_half])
def test_a_backend_that_fails_in_one_dtype_is_used_in_the_others(faulty, fault):
    backend = faulty(fault)
    assert chosen(arguments()) is backend.load()
    assert chosen(arguments(dtype=torch.float16)) is backend.load()
    half = arguments(dtype=torch.bfloat16)
    assert chosen(half) is torch_selective_scan
    with pytest.raises(
        BackendUnavailableError,
        match=r"'faulty' of selective-scan does not work on cpu for small calls in bfloat16: "
        r"(fails when called: RuntimeError|differs from torch).*use backend=auto",
    ):
        chosen(half, "faulty")


def test_mixed_precision_needs_every_dtype_among_the_arguments(faulty):
    """As autocast gives them: halves from linear layers, float32 from softplus."""
    backend = faulty(wrong_in_half)
    x, *rest = arguments()
    assert chosen((x.bfloat16(), *rest)) is torch_selective_scan
    assert chosen((x.half(), *rest)) is backend.load()


def test_a_backend_that_fails_for_long_sequences_is_used_for_short_ones(faulty):
    backend = faulty(wrong_when_large)
    assert chosen(arguments(256)) is backend.load()
    assert chosen(arguments(257)) is torch_selective_scan
    many = [t.repeat(150, *[1] * (t.dim() - 1)) if t.dim() == 3 else t for t in arguments()]
    assert chosen(many) is torch_selective_scan
    x = arguments(300)
    assert torch.equal(selective_scan(*x), torch_selective_scan(*x))


def test_a_case_is_probed_once_and_only_when_it_is_needed(faulty):
    faulty(lambda x, y: y)
    for _ in range(3):
        chosen(arguments())
    assert faulty.ran == [(torch.float32, 9)]
    for _ in range(3):
        chosen(arguments(300, torch.bfloat16))
    assert faulty.ran[1:] == [(torch.bfloat16, 2100)]


def test_a_small_error_passes_in_float32_and_a_large_one_in_no_dtype(faulty):
    backend = faulty(slightly_off)
    assert {probe(backend, TORCH, "cpu", case) for case in CASES} == {""}
    backend = faulty(lambda x, y: y * 1.1)
    probe.cache_clear()
    for case in CASES:
        assert "differs from torch by a relative 0.1" in probe(backend, TORCH, "cpu", case)


def test_doctor_names_the_cases_in_which_a_backend_is_not_used(faulty):
    faulty(wrong_in_half)
    rows = {v.backend: v for v in verdicts(CPU, every_case=True)}
    assert rows["faulty"].chosen
    reason = rows["faulty"].reason
    assert reason.startswith("chosen; not used for calls in bfloat16: differs"), reason
    assert reason.count("not used for") == 1, reason
    assert "float16: " not in reason.replace("bfloat16: ", "")
    assert [v.reason for v in verdicts(CPU)] == ["chosen", "works; another is preferred"]


def test_the_words_for_cases():
    small, large = CASES[1:3], CASES[4:]
    assert described([*small, *large]) == "calls in bfloat16 and float16"
    assert described([small[0], large[0]]) == "calls in bfloat16"
    assert described([small[0], *large]) == (
        "small calls in bfloat16 and large calls in bfloat16 and large calls in float16"
    )


def test_the_cases_of_a_call():
    assert cases(arguments()) == (Case(torch.float32, False),)
    assert cases(arguments(300)) == (Case(torch.float32, True),)
    assert cases(arguments(dtype=torch.float64)) == ()
    assert cases(()) == ()
    assert str(Case(torch.bfloat16, True)) == "large calls in bfloat16"


@pytest.mark.parametrize("backend", backends.BACKENDS, ids=lambda b: f"{b.op}-{b.name}")
def test_every_backend_of_a_cpu_passes_every_case(backend, native_refusal):
    if backend.name not in ("native", "torch") or (backend.name == "native" and native_refusal):
        pytest.skip("not usable here")
    reference = next(b for b in backends.BACKENDS if (b.op, b.name) == (backend.op, "torch"))
    for case in CASES:
        found = probe(backend, reference, "cpu", case)
        half = case.dtype != torch.float32
        if half and backend.name == "native" and backend.op in ("step", "rank-counts"):
            # Half precision is left to PyTorch.
            assert found.endswith("float32")
        else:
            assert found == "", case
