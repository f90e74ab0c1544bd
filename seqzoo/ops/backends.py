"""Which implementation of a kernel runs: its backends and the choice among them.

Each backend other than torch is probed before it is used, for the device type, the dtypes and the
size of the call; see ``seqzoo.ops.probe``. ``seqzoo doctor`` shows why a backend was rejected.

A kernel that works may still not take every dtype and size. A backend states the limits that are
known as a function of the arguments, which is called before each call of the kernel.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from seqzoo.errors import BackendUnavailableError, nearest
from seqzoo.ops import hub
from seqzoo.ops.exporting import FORMS, exporting
from seqzoo.ops.native.library import REMEDY
from seqzoo.ops.probe import CASES, Backend, Case, Implementation, cases, described, probe

__all__ = [
    "BACKENDS",
    "NATIVE_TOLERANCE",
    "VARIABLE",
    "Verdict",
    "choose",
    "compiled",
    "downloaded",
    "in_torch",
    "operations",
    "packaged",
    "register",
    "run",
    "verdicts",
]

logger = logging.getLogger("seqzoo")

VARIABLE = "SEQZOO_BACKEND"
NATIVE_TOLERANCE = 1e-5
"""Largest relative difference from torch that the compiled CPU kernels may have in float32. Their
exponential has a relative error of about 1e-7."""
_FALLBACK = "use backend=auto, which falls back to torch"


@dataclass(frozen=True)
class Verdict:
    """Whether a backend works on a device type, whether it is chosen, and why or why not."""

    op: str
    backend: str
    usable: bool
    chosen: bool
    reason: str


# The packages import torch while they are built, which they cannot in pip's isolated builds. Since
# mamba-ssm 2.3 the Mamba-1 kernel is built only with this variable; older versions ignore it.
_CUDA = (
    "pip install torch setuptools wheel packaging ninja && "
    "MAMBA_KEEP_CUDA_BUILD=TRUE pip install --no-build-isolation 'seqzoo[cuda]'"
)
_KERNELS = f"pip install 'kernels>=0.17' && export {VARIABLE}=kernels"
_DOWNLOAD = f"downloads {hub.REPOSITORY} from the Hub, so it is used only with {VARIABLE}=kernels"
BACKENDS: list[Backend] = []
"""All backends, for each kernel in order of preference. The module of a kernel registers them;
importing ``seqzoo.ops`` imports every kernel."""


def register(*backends: Backend) -> None:
    """Add the backends of a kernel, in order of preference; torch is always available and last."""
    BACKENDS.extend(backends)


def in_torch(op: str, target: str) -> Backend:
    """The implementation of a kernel that defines its results."""
    return Backend(op, "torch", target)


def compiled(op: str, target: str, limits: Callable[..., str]) -> Backend:
    """A compiled CPU kernel."""
    return Backend(op, "native", target, ("cpu",), REMEDY, limits, NATIVE_TOLERANCE)


def packaged(op: str, package: str, target: str, limits: Callable[..., str]) -> Backend:
    """A CUDA kernel of a package of the extra ``cuda``."""
    return Backend(op, package, target, ("cuda",), _CUDA, limits)


def downloaded(op: str, target: str, limits: Callable[..., str]) -> Backend:
    """A CUDA kernel of the Hub."""
    return Backend(op, "kernels", target, ("cuda",), _KERNELS, limits, on_request=_DOWNLOAD)


def operations() -> list[str]:
    """The kernels that have backends."""
    return list(dict.fromkeys(backend.op for backend in BACKENDS))


def run(op: str, name: str | None, *arguments: Any) -> Any:
    """The result of a kernel by the implementation that ``choose`` gives for these arguments.

    While a model is exported it is the exportable form, for any requested backend.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    if exporting():
        return FORMS.get(op, _torch(op).load())(*arguments)
    return choose(op, arguments[0].device, name, arguments)(*arguments)


def choose(
    op: str, device: torch.device, name: str | None = None, arguments: tuple[Any, ...] = ()
) -> Implementation:
    """The implementation of a kernel for a call.

    Args:
        op: the kernel.
        device: the device of the arguments.
        name: a backend by name, or ``auto`` for the first that works and takes the arguments. None
            reads the environment variable ``SEQZOO_BACKEND``, whose default is ``auto``. A backend
            that downloads code, ``kernels``, is used only if this variable names it: ``name`` may
            come from a checkpoint.
        arguments: the arguments of the call, which must have a dtype and a size in which the
            backend works and be within its limits; empty for a small call in float32 without
            limits.

    Raises:
        BackendUnavailableError: the requested backend does not exist, does not work on the device
            or cannot take the arguments.
    """
    requested = os.environ.get(VARIABLE) or "auto"
    wanted = name if name not in (None, "auto") else requested
    refused = ""
    for backend, implementation in _candidates(
        op, device.type, wanted, requested, cases(arguments)
    ):
        refused = backend.limits(*arguments) if backend.limits and arguments else ""
        if not refused:
            return implementation
    raise BackendUnavailableError(
        f"backend '{wanted}' of {op} cannot take these arguments: {refused}; {_FALLBACK}"
    )


def verdicts(device: torch.device, every_case: bool = False) -> list[Verdict]:
    """For each kernel and backend: whether it works on a device type, and whether it is chosen.

    The environment variable ``SEQZOO_BACKEND`` is respected, as by ``choose``.

    Args:
        device: the device.
        every_case: probe all dtypes and sizes, and say in which of them a backend that works is
            not used; otherwise only small calls in float32.
    """
    requested = os.environ.get(VARIABLE) or "auto"
    found = []
    for op in operations():
        own = [backend for backend in BACKENDS if backend.op == op]
        reasons = {backend.name: _refusal(backend, device.type, requested) for backend in own}
        usable = [name for name, reason in reasons.items() if not reason]
        allowed = [requested] if requested in reasons else usable
        chosen = next((name for name in allowed if name in usable), None)
        for backend in own:
            name, reason = backend.name, reasons[backend.name]
            why = reason or ("chosen" if name == chosen else "works; another is preferred")
            unfit: dict[str, list[Case]] = {}
            for case in CASES[1:] if every_case and not reason else ():
                if but := _refusal(backend, device.type, requested, (case,)):
                    unfit.setdefault(but, []).append(case)
            for but, those in unfit.items():
                why = f"{why}; not used for {described(those)}: {but}"
            if reason and device.type in backend.devices:
                why = f"{reason}; {backend.remedy}"
            found.append(Verdict(op, name, not reason, name == chosen, why))
    return found


def _torch(op: str) -> Backend:
    return next(b for b in BACKENDS if b.op == op and b.name == "torch")


@cache
def _candidates(
    op: str, device: str, wanted: str, requested: str, needed: tuple[Case, ...]
) -> list[tuple[Backend, Implementation]]:
    """The backends of a kernel that may run such a call, in order of preference."""
    known = {backend.name: backend for backend in BACKENDS if backend.op == op}
    everything = {backend.name for backend in BACKENDS}
    if wanted != "auto" and wanted not in everything:
        raise BackendUnavailableError(
            f"unknown backend '{wanted}'{nearest(wanted, everything) or '.'} "
            f"Known: auto, {', '.join(sorted(everything))}"
        )
    if wanted in known:
        backend = known[wanted]
        if reason := _refusal(backend, device, requested):
            remedy = backend.remedy if device in backend.devices else _FALLBACK
            raise BackendUnavailableError(
                f"backend '{wanted}' of {op} does not work on {device}: {reason}; {remedy}"
            )
        for case in needed:
            if reason := _refusal(backend, device, requested, (case,)):
                raise BackendUnavailableError(
                    f"backend '{wanted}' of {op} does not work on {device} for {case}: {reason}; "
                    f"{_FALLBACK}"
                )
        return [(backend, backend.load())]
    # Also where the name is that of a package which provides other kernels but not this one.
    found = []
    for backend in known.values():
        reason = _refusal(backend, device, requested, (CASES[0], *needed))
        if not reason:
            found.append((backend, backend.load()))
        elif device in backend.devices and not backend.on_request:
            logger.info("%s: %s is not used: %s", op, backend.name, reason)
    return found


def _refusal(
    backend: Backend, device: str, requested: str, needed: tuple[Case, ...] = CASES[:1]
) -> str:
    """Why a backend may not run calls of some cases on a device type; empty if it may.

    Args:
        backend: the backend.
        device: device type of the calls.
        requested: name of a backend in the environment.
        needed: dtypes and sizes of the calls.
    """
    reference = _torch(backend.op)
    if backend.on_request and device in backend.devices and requested != backend.name:
        return backend.on_request
    return next(filter(None, (probe(backend, reference, device, case) for case in needed)), "")
