"""Which implementation of a kernel runs: a table, a probe for each entry, and the choice.

An installed package is not yet a usable one: wheels load and then raise, kernels are left out of a
build, numbers come out wrong. So a backend other than torch is probed once for each kind of device,
by a tiny call forward and backward that must agree with the torch implementation; why it was turned
down is kept and shown by ``seqzoo doctor``.
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

from seqzoo.errors import BackendUnavailableError, nearest

logger = logging.getLogger("seqzoo")

VARIABLE = "SEQZOO_BACKEND"
TOLERANCE = 1e-3
"""Largest difference to torch that a backend may have in float32, relative to the values' size."""

Implementation = Callable[..., Tensor]


@dataclass(frozen=True)
class Backend:
    """One implementation of one kernel.

    Attributes:
        op: the kernel, ``selective-scan`` for example.
        name: ``torch``, or the package that brings it.
        target: lazy ``"module:function"`` with the signature of the torch implementation.
        devices: kinds of device it runs on; empty for all.
        remedy: what to do where it does not work.
    """

    op: str
    name: str
    target: str
    devices: tuple[str, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class Verdict:
    """Whether a backend works on a kind of device, and why not."""

    op: str
    backend: str
    usable: bool
    chosen: bool
    reason: str


_CUDA = "pip install 'seqzoo[cuda]' on a machine with an NVIDIA GPU"
BACKENDS: list[Backend] = [
    Backend(
        "selective-scan",
        "mamba-ssm",
        "seqzoo.ops.external:mamba_ssm_selective_scan",
        ("cuda",),
        f"{_CUDA}; since mamba-ssm 2.3 the Mamba-1 kernel is built only with "
        "MAMBA_KEEP_CUDA_BUILD=TRUE and --no-build-isolation",
    ),
    Backend("selective-scan", "torch", "seqzoo.ops.selective_scan:torch_selective_scan"),
    Backend("ssd", "mamba-ssm", "seqzoo.ops.external:mamba_ssm_ssd", ("cuda",), _CUDA),
    Backend("ssd", "torch", "seqzoo.ops.ssd:torch_ssd"),
    Backend(
        "causal-convolution",
        "causal-conv1d",
        "seqzoo.ops.external:causal_conv1d_convolution",
        ("cuda",),
        _CUDA,
    ),
    Backend(
        "causal-convolution", "torch", "seqzoo.ops.causal_convolution:torch_causal_convolution"
    ),
    Backend(
        "linear-cross-entropy", "torch", "seqzoo.ops.linear_cross_entropy:linear_cross_entropy"
    ),
]
"""All backends, the preferred one of each kernel first, torch the last of each and always there."""


def operations() -> list[str]:
    """The kernels that have backends."""
    return list(dict.fromkeys(backend.op for backend in BACKENDS))


def choose(op: str, device: torch.device, name: str | None = None) -> Implementation:
    """The implementation of a kernel for a device.

    Args:
        op: the kernel.
        device: where its arguments are.
        name: a backend by name, or ``auto``; where None the environment variable
            ``SEQZOO_BACKEND``, else ``auto``, which takes the first that works.

    Raises:
        BackendUnavailableError: the backend asked for does not exist or does not work here.
    """
    wanted = name if name not in (None, "auto") else os.environ.get(VARIABLE) or "auto"
    return _choose(op, device.type, wanted)


def verdicts(device: torch.device) -> list[Verdict]:
    """What works on a kind of device and what ``auto`` takes, for every kernel and backend."""
    found = []
    for op in operations():
        taken = False
        for backend in BACKENDS:
            if backend.op != op:
                continue
            reason = probe(backend, device.type)
            chosen = not reason and not taken
            taken = taken or chosen
            why = reason or ("chosen" if chosen else "works; another one is preferred")
            found.append(Verdict(op, backend.name, not reason, chosen, why))
    return found


@cache
def _choose(op: str, device: str, wanted: str) -> Implementation:
    known = [backend for backend in BACKENDS if backend.op == op]
    if wanted == "auto":
        for backend in known:
            reason = probe(backend, device)
            if not reason:
                return _load(backend)
            if device in backend.devices:
                logger.info("%s: %s is not used: %s", op, backend.name, reason)
        raise BackendUnavailableError(f"no backend of {op} works on {device}")
    names = [backend.name for backend in known]
    everything = {backend.name for backend in BACKENDS}
    if wanted not in everything:
        raise BackendUnavailableError(
            f"unknown backend '{wanted}'{nearest(wanted, everything) or '.'} "
            f"Known: auto, {', '.join(sorted(everything))}"
        )
    if wanted not in names:
        # The name of another kernel's package says nothing about this one.
        return _choose(op, device, "auto")
    backend = known[names.index(wanted)]
    reason = probe(backend, device)
    if reason:
        raise BackendUnavailableError(
            f"backend '{wanted}' of {op} does not work on {device}: {reason}; "
            f"{backend.remedy or 'use backend=auto'}"
        )
    return _load(backend)


@cache
def probe(backend: Backend, device: str) -> str:
    """Why a backend does not work on a kind of device; empty where it does."""
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
    # Foreign kernels raise anything from NameError to CUDA faults.
    except Exception as error:
        return f"fails when called: {_short(error)}"
    for one, other in zip(found, _trial(reference, backend.op, device), strict=True):
        if one.shape != other.shape:
            return f"gives the shape {tuple(one.shape)}, torch gives {tuple(other.shape)}"
        if not bool(one.isfinite().all()):
            return "gives values that are not numbers"
        difference = float((one - other).abs().max()) / max(1.0, float(other.abs().max()))
        if difference > TOLERANCE:
            return f"differs from torch by {difference:.1g} of the values' size"
    return ""


def _trial(implementation: Implementation, op: str, device: str) -> list[Tensor]:
    """Result and gradients of a tiny call."""
    arguments = [tensor.to(device).requires_grad_() for tensor in _EXAMPLES[op]()]
    result = implementation(*arguments)
    weights = torch.linspace(-1.0, 1.0, result.numel(), device=result.device).view(result.shape)
    (result * weights).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [
        torch.zeros_like(argument) if argument.grad is None else argument.grad
        for argument in arguments
    ]
    return [result.detach(), *gradients]


def _scan_example() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch, length, channels, states = 2, 9, 16, 8

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return [
        normal(batch, length, channels),
        normal(batch, length, channels).exp() * 0.1,
        -normal(states, channels).exp(),
        normal(batch, length, states),
        normal(batch, length, states),
    ]


def _ssd_example() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch, length, heads, width, states = 2, 70, 4, 16, 16

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return [
        normal(batch, length, heads, width),
        normal(batch, length, heads).exp() * 0.1,
        -normal(heads).exp(),
        normal(batch, length, states),
        normal(batch, length, states),
    ]


def _convolution_example() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, 9, 16, generator=generator),
        torch.randn(16, 4, generator=generator),
        torch.randn(16, generator=generator),
    ]


_EXAMPLES: dict[str, Callable[[], list[Tensor]]] = {
    "selective-scan": _scan_example,
    "ssd": _ssd_example,
    "causal-convolution": _convolution_example,
}


def _load(backend: Backend) -> Implementation:
    module, _, attribute = backend.target.partition(":")
    implementation: Any = getattr(importlib.import_module(module), attribute)
    return implementation  # type: ignore[no-any-return]


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text[:160]}"
