"""Which implementation of a kernel runs: a table of backends, a probe of each, and the choice.

An installed package need not be usable: a wheel loads and then raises, a kernel was left out of the
build, results are wrong. Each backend other than torch is therefore probed once per device type, by
a small call whose result and gradients must agree with the torch implementation. ``seqzoo doctor``
shows why a backend was rejected.

A kernel that works may still not take every dtype and size. A backend states such limits as a
function of the arguments, which is asked before each call.
"""

import importlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from seqzoo.errors import BackendUnavailableError, error_text, nearest
from seqzoo.ops import external
from seqzoo.ops.native import convolution, scan
from seqzoo.ops.native.library import REMEDY

logger = logging.getLogger("seqzoo")

VARIABLE = "SEQZOO_BACKEND"
TOLERANCE = 1e-3
"""Largest difference from torch that a backend may have in float32, relative to the values."""
NATIVE_TOLERANCE = 1e-5
"""The same for the compiled CPU kernels, whose exponential has a relative error of about 1e-7."""

Implementation = Callable[..., Any]
"""Returns a tensor, or a tuple of tensors."""


@dataclass(frozen=True)
class Backend:
    """One implementation of one kernel.

    Attributes:
        op: the kernel, ``selective-scan`` for example.
        name: ``torch``, ``native`` for the compiled CPU kernels, or the package that provides it.
        target: lazy ``"module:function"`` with the signature of the torch implementation.
        devices: device types that it runs on; empty for all.
        remedy: what to do if it does not work.
        limits: takes the arguments of a call and returns why the kernel cannot take them, or an
            empty string; None for a kernel without limits.
        tolerance: largest difference from torch in float32, relative to the values.
    """

    op: str
    name: str
    target: str
    devices: tuple[str, ...] = ()
    remedy: str = ""
    limits: Callable[..., str] | None = None
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Verdict:
    """Whether a backend works on a device type, whether it is chosen, and why or why not."""

    op: str
    backend: str
    usable: bool
    chosen: bool
    reason: str


def _native(op: str, target: str, limits: Callable[..., str]) -> Backend:
    target = f"seqzoo.ops.native.{target}"
    return Backend(op, "native", target, ("cpu",), REMEDY, limits, NATIVE_TOLERANCE)


# The packages import torch while they are built, which they cannot in pip's isolated builds.
_CUDA = (
    "pip install torch setuptools wheel packaging ninja, then "
    "pip install --no-build-isolation 'seqzoo[cuda]'"
)
BACKENDS: list[Backend] = [
    Backend(
        "selective-scan",
        "mamba-ssm",
        "seqzoo.ops.external:mamba_ssm_selective_scan",
        ("cuda",),
        f"{_CUDA}; since mamba-ssm 2.3 the Mamba-1 kernel is built only with "
        "MAMBA_KEEP_CUDA_BUILD=TRUE in the environment",
        external.scan_limits,
    ),
    _native("selective-scan", "scan:native_selective_scan", scan.scan_limits),
    Backend("selective-scan", "torch", "seqzoo.ops.selective_scan:torch_selective_scan"),
    _native("selective-scan-last", "scan:native_selective_scan_last", scan.last_limits),
    Backend("selective-scan-last", "torch", "seqzoo.ops.selective_scan:torch_selective_scan_last"),
    _native("selective-scan-step", "scan:native_selective_scan_step", scan.step_limits),
    Backend("selective-scan-step", "torch", "seqzoo.ops.selective_scan:torch_selective_scan_step"),
    Backend(
        "ssd",
        "mamba-ssm",
        "seqzoo.ops.external:mamba_ssm_ssd",
        ("cuda",),
        _CUDA,
        external.ssd_limits,
    ),
    _native("ssd", "scan:native_ssd", scan.ssd_limits),
    Backend("ssd", "torch", "seqzoo.ops.ssd:torch_ssd"),
    _native("ssd-last", "scan:native_ssd_last", scan.ssd_last_limits),
    Backend("ssd-last", "torch", "seqzoo.ops.ssd:torch_ssd_last"),
    Backend(
        "causal-convolution",
        "causal-conv1d",
        "seqzoo.ops.external:causal_conv1d_convolution",
        ("cuda",),
        _CUDA,
        external.convolution_limits,
    ),
    _native(
        "causal-convolution",
        "convolution:native_causal_convolution",
        convolution.convolution_limits,
    ),
    Backend(
        "causal-convolution", "torch", "seqzoo.ops.causal_convolution:torch_causal_convolution"
    ),
    Backend(
        "linear-cross-entropy", "torch", "seqzoo.ops.linear_cross_entropy:linear_cross_entropy"
    ),
]
"""All backends, for each kernel in order of preference; torch is always available and last."""


def operations() -> list[str]:
    """The kernels that have backends."""
    return list(dict.fromkeys(backend.op for backend in BACKENDS))


def choose(
    op: str, device: torch.device, name: str | None = None, arguments: tuple[Any, ...] = ()
) -> Implementation:
    """The implementation of a kernel for a call.

    Args:
        op: the kernel.
        device: of the arguments.
        name: a backend by name, or ``auto`` for the first that works and takes the arguments. None
            reads the environment variable ``SEQZOO_BACKEND``, whose default is ``auto``.
        arguments: of the call, checked against the limits of the backend; empty for no check.

    Raises:
        BackendUnavailableError: the requested backend does not exist, does not work on the device
            or cannot take the arguments.
    """
    wanted = name if name not in (None, "auto") else os.environ.get(VARIABLE) or "auto"
    refused = ""
    for backend, implementation in _candidates(op, device.type, wanted):
        refused = backend.limits(*arguments) if backend.limits and arguments else ""
        if not refused:
            return implementation
    raise BackendUnavailableError(
        f"backend '{wanted}' of {op} cannot take these arguments: {refused}; use backend=auto, "
        "which falls back to torch"
    )


def verdicts(device: torch.device) -> list[Verdict]:
    """For each kernel and backend: whether it works on a device type, and whether it is chosen.

    The environment variable ``SEQZOO_BACKEND`` is respected, as by ``choose``.
    """
    wanted = os.environ.get(VARIABLE) or "auto"
    found = []
    for op in operations():
        own = [backend for backend in BACKENDS if backend.op == op]
        reasons = {backend.name: probe(backend, device.type) for backend in own}
        usable = [name for name, reason in reasons.items() if not reason]
        allowed = [wanted] if wanted in reasons else usable
        chosen = next((name for name in allowed if name in usable), None)
        for backend in own:
            name, reason = backend.name, reasons[backend.name]
            why = reason or ("chosen" if name == chosen else "works; another is preferred")
            if reason and device.type in backend.devices:
                why = f"{reason}; {backend.remedy}"
            found.append(Verdict(op, name, not reason, name == chosen, why))
    return found


@cache
def _candidates(op: str, device: str, wanted: str) -> list[tuple[Backend, Implementation]]:
    """The backends of a kernel that may run on a device type, in order of preference."""
    known = {backend.name: backend for backend in BACKENDS if backend.op == op}
    everything = {backend.name for backend in BACKENDS}
    if wanted != "auto" and wanted not in everything:
        raise BackendUnavailableError(
            f"unknown backend '{wanted}'{nearest(wanted, everything) or '.'} "
            f"Known: auto, {', '.join(sorted(everything))}"
        )
    if wanted in known:
        backend = known[wanted]
        if reason := probe(backend, device):
            raise BackendUnavailableError(
                f"backend '{wanted}' of {op} does not work on {device}: {reason}; "
                f"{backend.remedy or 'use backend=auto'}"
            )
        return [(backend, _load(backend))]
    # Also where the name is that of a package which provides other kernels but not this one.
    found = []
    for backend in known.values():
        reason = probe(backend, device)
        if not reason:
            found.append((backend, _load(backend)))
        elif device in backend.devices:
            logger.info("%s: %s is not used: %s", op, backend.name, reason)
    return found


@cache
def probe(backend: Backend, device: str) -> str:
    """Why a backend does not work on a device type; empty if it does."""
    if backend.devices and device not in backend.devices:
        return f"runs on {', '.join(backend.devices)}, this is {device}"
    if backend.name == "torch":
        return ""
    try:
        implementation = _load(backend)
    # A missing package, an undefined symbol or whatever else a foreign import raises.
    except Exception as error:
        return f"cannot be imported: {_short(error)}"
    reference = _load(next(b for b in BACKENDS if b.op == backend.op and b.name == "torch"))
    try:
        found = _trial(implementation, backend.op, device)
    # The adapters import their package when they are called.
    except ImportError as error:
        return f"cannot be imported: {_short(error)}"
    # Foreign kernels raise anything from NameError to CUDA faults.
    except Exception as error:
        return f"fails when called: {_short(error)}"
    for one, other in zip(found, _trial(reference, backend.op, device), strict=True):
        if one.shape != other.shape:
            return f"returns shape {tuple(one.shape)}, torch returns {tuple(other.shape)}"
        if not bool(one.isfinite().all()):
            return "returns NaN or infinities"
        difference = float((one - other).abs().max()) / max(1.0, float(other.abs().max()))
        if difference > backend.tolerance:
            allowed = f"allowed {backend.tolerance:.1g}"
            return f"differs from torch by a relative {difference:.1g}, {allowed}"
    return ""


def _trial(implementation: Implementation, op: str, device: str) -> list[Tensor]:
    """Results and gradients of a small call."""
    # Whatever the mode of the first call that asks for the kernel.
    with torch.inference_mode(False), torch.set_grad_enabled(op not in _INFERENCE):
        arguments = [tensor.to(device) for tensor in _EXAMPLES[op]()]
        if op in _INFERENCE:
            found = implementation(*arguments)
            return [found] if isinstance(found, Tensor) else list(found)
        arguments = [tensor.requires_grad_() for tensor in arguments]
        result = implementation(*arguments)
        weights = torch.linspace(-1.0, 1.0, result.numel(), device=result.device)
        (result * weights.view(result.shape)).sum().backward()
    gradients = [
        torch.zeros_like(argument) if argument.grad is None else argument.grad
        for argument in arguments
    ]
    return [result.detach(), *gradients]


def _draw(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _scan_example() -> list[Tensor]:
    batch, length, channels, states = 2, 9, 16, 8
    values = (batch, length, channels)
    projections = (batch, length, states)
    x, step, decay, write, read = _draw(
        values, values, (states, channels), projections, projections
    )
    return [x, step.exp() * 0.1, -decay.exp(), write, read]


def _scan_step_example() -> list[Tensor]:
    x, step, decay, write, read = _scan_example()
    return [x[:, 0], step[:, 0], decay, write[:, 0], read[:, 0], *_draw((2, 8, 16))]


def _ssd_example() -> list[Tensor]:
    batch, length, heads, width, states = 2, 70, 4, 16, 16
    projections = (batch, length, states)
    x, step, decay, write, read = _draw(
        (batch, length, heads, width), (batch, length, heads), (heads,), projections, projections
    )
    return [x, step.exp() * 0.1, -decay.exp(), write, read]


_EXAMPLES: dict[str, Callable[[], list[Tensor]]] = {
    "selective-scan": _scan_example,
    "selective-scan-last": lambda: [*_scan_example()[:4], torch.tensor([9, 4])],
    "selective-scan-step": _scan_step_example,
    "ssd": _ssd_example,
    "ssd-last": lambda: [*_ssd_example()[:4], torch.tensor([70, 3])],
    "causal-convolution": lambda: _draw((2, 9, 16), (16, 4), (16,)),
}
_INFERENCE = ("selective-scan-last", "selective-scan-step", "ssd-last")
"""Kernels of which backends need no gradients."""


def _load(backend: Backend) -> Implementation:
    module, _, attribute = backend.target.partition(":")
    implementation: Any = getattr(importlib.import_module(module), attribute)
    return implementation  # type: ignore[no-any-return]


def _short(error: Exception) -> str:
    return error_text(error)[:200]
