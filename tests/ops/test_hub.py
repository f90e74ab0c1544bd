"""Prebuilt kernels of the Hub, with a fake ``kernels`` package."""

import sys
import types
from dataclasses import replace

import pytest
import torch

import seqzoo
from seqzoo.errors import BackendUnavailableError
from seqzoo.ops import backends, causal_convolution, hub, selective_scan, ssd
from seqzoo.ops.backends import verdicts
from seqzoo.ops.causal_convolution import torch_causal_convolution
from seqzoo.ops.probe import probe
from seqzoo.ops.selective_scan import torch_selective_scan
from seqzoo.ops.ssd import torch_ssd
from seqzoo.testing import example_batch
from tests.ops.fused import fused_convolution, fused_scan, fused_ssd

CPU = torch.device("cpu")
OPS = ["selective-scan", "ssd", "causal-convolution"]
draw = torch.Generator().manual_seed(0)
SCAN = [torch.randn(2, 6, 4, generator=draw), torch.rand(2, 6, 4), -torch.rand(3, 4)]
SCAN += [torch.randn(2, 6, 3), torch.randn(2, 6, 3)]
SSD = [torch.randn(2, 6, 3, 4), torch.rand(2, 6, 3), -torch.rand(3)]
SSD += [torch.randn(2, 6, 5), torch.randn(2, 6, 5)]
CONVOLUTION = [torch.randn(2, 6, 8), torch.randn(8, 4), torch.randn(8)]
CALLS = [
    (selective_scan, torch_selective_scan, SCAN),
    (ssd, torch_ssd, SSD),
    (causal_convolution, torch_causal_convolution, CONVOLUTION),
]


@pytest.fixture
def downloads(monkeypatch):
    """The downloads of a fake ``kernels`` package; its kernels run on a CPU."""
    asked = []
    module = types.ModuleType("kernels")
    module.refusal = None

    def get_kernel(repository, *, revision):
        asked.append((repository, revision))
        if module.refusal is not None:
            raise module.refusal
        return types.SimpleNamespace(
            selective_scan_fn=fused_scan,
            mamba_chunk_scan_combined=fused_ssd,
            causal_conv1d_fn=fused_convolution,
        )

    module.get_kernel = get_kernel
    monkeypatch.setitem(sys.modules, "kernels", module)
    monkeypatch.delenv(backends.VARIABLE, raising=False)
    anywhere = [
        replace(backend, devices=("cpu",)) if backend.name == "kernels" else backend
        for backend in backends.BACKENDS
        if backend.name in ("kernels", "torch")
    ]
    monkeypatch.setattr(backends, "BACKENDS", anywhere)
    caches = (probe, backends._candidates, hub._kernels)
    for cached in caches:
        cached.cache_clear()
    asked_and_module = types.SimpleNamespace(asked=asked, module=module)
    yield asked_and_module
    for cached in caches:
        cached.cache_clear()


@pytest.mark.parametrize(("op", "reference", "arguments"), CALLS)
def test_nothing_is_downloaded_unless_the_environment_asks_for_it(
    downloads, op, reference, arguments
):
    """Not by a call, not by ``doctor``, not by a setting that a checkpoint may bring."""
    assert torch.equal(op(*arguments), reference(*arguments))
    rows = [v for v in verdicts(CPU, every_case=True) if v.backend == "kernels"]
    assert sorted(row.op for row in rows) == sorted(OPS)
    for row in rows:
        assert not row.usable
        assert "downloads kernels-community/mamba-ssm from the Hub" in row.reason
        assert "pip install 'kernels>=0.17' && export SEQZOO_BACKEND=kernels" in row.reason
    with pytest.raises(BackendUnavailableError, match="only with SEQZOO_BACKEND=kernels"):
        op(*arguments, backend="kernels")
    assert not downloads.asked


def test_a_model_whose_configuration_names_the_backend_downloads_nothing(downloads):
    model = seqzoo.create("mamba4rec", num_items=20, backend="kernels")
    with pytest.raises(BackendUnavailableError, match="only with SEQZOO_BACKEND=kernels"):
        model(example_batch(model))
    model.recommend(["1", "2"])  # by a kernel that has no such backend
    assert not downloads.asked


@pytest.mark.parametrize(("op", "reference", "arguments"), CALLS)
def test_asked_for_it_is_downloaded_once_at_the_pinned_commit(
    downloads, monkeypatch, op, reference, arguments
):
    monkeypatch.setenv(backends.VARIABLE, "kernels")
    for _ in range(2):
        torch.testing.assert_close(op(*arguments), reference(*arguments))
    assert downloads.asked == [("kernels-community/mamba-ssm", hub.REVISION)]
    assert len(hub.REVISION) == 40
    assert {v.op for v in verdicts(CPU) if v.chosen and v.backend == "kernels"} == set(OPS)
    assert len(downloads.asked) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(downloads, monkeypatch, dtype):
    monkeypatch.setenv(backends.VARIABLE, "kernels")
    for op, reference, arguments in CALLS:
        given = [tensor.to(dtype) for tensor in arguments]
        expected = reference(*(tensor.float() for tensor in given))
        torch.testing.assert_close(op(*given), expected.to(dtype), rtol=0.02, atol=0.02)


def test_kernels_without_a_backend_there_run_as_usual(downloads, monkeypatch):
    monkeypatch.setenv(backends.VARIABLE, "kernels")
    names = {v.op: v.backend for v in verdicts(CPU) if v.chosen}
    assert names["selective-scan-last"] == names["ssd-step"] == "torch"


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (ImportError("No module named 'kernels'"), "cannot be imported: ImportError"),
        (FileNotFoundError("no build for torch 2.13"), "no build for torch 2.13"),
        (OSError("offline"), "offline"),
    ],
)
def test_a_download_that_fails_is_an_error_with_its_reason(downloads, monkeypatch, refusal, reason):
    monkeypatch.setenv(backends.VARIABLE, "kernels")
    downloads.module.refusal = refusal
    with pytest.raises(BackendUnavailableError, match=reason) as raised:
        selective_scan(*SCAN)
    assert "pip install 'kernels>=0.17'" in str(raised.value)
    row = next(v for v in verdicts(CPU) if v.backend == "kernels")
    assert not row.usable
    assert reason in row.reason


def test_on_a_cpu_it_is_refused_before_any_download(downloads, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv(backends.VARIABLE, "kernels")
    backends._candidates.cache_clear()
    with pytest.raises(BackendUnavailableError, match="runs on cuda, this is cpu; use backend=a"):
        selective_scan(*SCAN)
