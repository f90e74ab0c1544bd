"""The probe of a backend: small and large calls in each dtype, compared with torch in float64.

An installed package need not be usable: a wheel loads and then raises, a kernel was left out of the
build, results are wrong, or wrong only in half precision or for long sequences. A backend is used
only for the dtypes and sizes in which its results and gradients agreed with torch. Each case is
probed once per process, when it is first needed.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqzoo.errors import error_text
from seqzoo.ops.int8 import LARGEST, Quantised
from seqzoo.ops.step_example import run_example

__all__ = [
    "CASES",
    "TOLERANCE",
    "Backend",
    "Case",
    "Implementation",
    "cases",
    "described",
    "is_large",
    "probe",
]

TOLERANCE = 1e-3
"""Largest difference from torch that a backend may have in float32, relative to the values."""
_HALF_TOLERANCE = 4
"""The same in half precision, in units of its rounding."""
_SMALL = 256
"""A call with more sequences or positions than this is large."""
_SHOWN = 200
"""Characters of a foreign error message that are shown."""

Implementation = Callable[..., Any]
"""Returns a tensor, or a tuple of tensors."""


class Case(NamedTuple):
    """A dtype and a size, for which a backend is probed."""

    dtype: torch.dtype
    large: bool

    def __str__(self) -> str:
        size = "large" if self.large else "small"
        return f"{size} calls in {str(self.dtype).removeprefix('torch.')}"


def described(cases: Sequence[Case]) -> str:
    """Cases in words; sizes are named only where the dtypes of small and large calls differ."""
    dtypes = {
        large: [str(case.dtype).removeprefix("torch.") for case in cases if case.large == large]
        for large in (False, True)
    }
    if dtypes[False] == dtypes[True]:
        return f"calls in {' and '.join(dtypes[True])}"
    return " and ".join(str(case) for case in cases)


CASES = tuple(
    Case(dtype, large)
    for large in (False, True)
    for dtype in (torch.float32, torch.bfloat16, torch.float16)
)
"""All cases. A backend must pass the first one, or is not used at all."""


def cases(arguments: Sequence[Any]) -> tuple[Case, ...]:
    """The cases that a call belongs to: one for each dtype among its arguments.

    In mixed precision a kernel gets several dtypes. No case has float64, which no kernel but
    torch's takes.
    """
    tensors = [argument for argument in arguments if isinstance(argument, Tensor)]
    dtypes = {tensor.dtype for tensor in tensors}
    # The symbolic sizes of torch.export are not compared: that would fix them.
    sizes = tensors[0].shape[:2] if tensors else ()
    large = is_large(sizes)
    return tuple(case for case in CASES if case.large == large and case.dtype in dtypes)


def is_large(sizes: Sequence[Any]) -> bool:
    """Whether a call with so many sequences and positions is large."""
    return any(isinstance(size, int) and size > _SMALL for size in sizes)


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
        on_request: what it would do unless it is requested, such as a download; empty if it may be
            chosen without a request.
    """

    op: str
    name: str
    target: str
    devices: tuple[str, ...] = ()
    remedy: str = ""
    limits: Callable[..., str] | None = None
    tolerance: float = TOLERANCE
    on_request: str = ""

    def load(self) -> Implementation:
        """Import the implementation."""
        module, _, attribute = self.target.partition(":")
        implementation: Any = getattr(importlib.import_module(module), attribute)
        return implementation  # type: ignore[no-any-return]


@cache
def probe(backend: Backend, reference: Backend, device: str, case: Case = CASES[0]) -> str:
    """Why a backend does not work on a device type; empty if it does.

    Args:
        backend: the backend.
        reference: the torch implementation of its kernel.
        device: device type of the call.
        case: dtype and size of the call.
    """
    if backend.devices and device not in backend.devices:
        return f"runs on {', '.join(backend.devices)}, this is {device}"
    if backend == reference:
        return ""
    try:
        implementation = backend.load()
    # A missing package, an undefined symbol or any other error of a foreign import.
    except Exception as error:
        return f"cannot be imported: {error_text(error)[:_SHOWN]}"
    try:
        example = [
            tensor.to(device, case.dtype if tensor.is_floating_point() else None)
            for tensor in _EXAMPLES[backend.op](_LARGE if case.large else _TINY)
        ]
        if backend.limits is not None and (reason := backend.limits(*example)):
            return reason
        found = _trial(implementation, backend.op, example)
    # The adapters import their package when they are called.
    except ImportError as error:
        return f"cannot be imported: {error_text(error)[:_SHOWN]}"
    # Foreign kernels raise anything from NameError to CUDA faults.
    except Exception as error:
        return f"fails when called: {error_text(error)[:_SHOWN]}"
    exact = [tensor.double() if tensor.is_floating_point() else tensor for tensor in example]
    allowed = backend.tolerance
    if case.dtype != torch.float32:
        allowed = max(allowed, _HALF_TOLERANCE * torch.finfo(case.dtype).eps)
    for one, other in zip(found, _trial(reference.load(), backend.op, exact), strict=True):
        if one.shape != other.shape:
            return f"returns shape {tuple(one.shape)}, torch returns {tuple(other.shape)}"
        if not bool(one.isfinite().all()):
            return "returns NaN or infinities"
        difference = float((one - other).abs().max()) / max(1.0, float(other.abs().max()))
        if difference > allowed:
            return f"differs from torch by a relative {difference:.1g}, allowed {allowed:.1g}"
    return ""


def _trial(implementation: Implementation, op: str, example: list[Tensor]) -> list[Tensor]:
    """Results of a call, and gradients if the kernel has any."""
    # Independent of the mode of the call that needs the kernel first.
    with torch.inference_mode(False), torch.set_grad_enabled(op not in _INFERENCE):
        arguments = [tensor.clone() for tensor in example]
        if op in _INFERENCE:
            call = _CALLS.get(op)
            found = implementation(*arguments) if call is None else call(implementation, *arguments)
            return [found] if isinstance(found, Tensor) else list(found)
        arguments = [tensor.requires_grad_() for tensor in arguments]
        result = implementation(*arguments)
        # Weights of one sign for the most part: sums that cancel would show only rounding.
        weights = torch.linspace(-1.0, 2.0, result.numel(), device=result.device)
        (result * weights.view(result.shape)).sum().backward()
    gradients = [
        torch.zeros_like(argument) if argument.grad is None else argument.grad
        for argument in arguments
    ]
    return [result.detach(), *gradients]


class _Size(NamedTuple):
    """Sizes of an example; heads and their width are those of SSD."""

    batch: int
    length: int
    channels: int
    states: int
    heads: int
    width: int


_TINY = _Size(batch=2, length=9, channels=16, states=8, heads=4, width=16)
_LARGE = _Size(batch=2, length=2100, channels=70, states=8, heads=3, width=24)
"""Several of the largest chunk of positions that a kernel has (2,048), several threads, and
channels that end within a vector and within a block."""


def _draw(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _scan_example(size: _Size) -> list[Tensor]:
    values = (size.batch, size.length, size.channels)
    projections = (size.batch, size.length, size.states)
    x, step, decay, write, read = _draw(
        values, values, (size.states, size.channels), projections, projections
    )
    return [x, step.exp() * 0.1, -decay.exp(), write, read]


def _convolved_example(size: _Size) -> list[Tensor]:
    channels, states = size.channels, size.states
    hidden, project, taps, taps_bias, select, weight, bias, rates = _draw(
        (size.batch, size.length, states),
        (channels, states),
        (channels, 4),
        (channels,),
        (3 + states, channels),
        (channels, 3),
        (channels,),
        (states, channels),
    )
    layers = [hidden, 0.3 * project, taps, taps_bias, 0.1 * select, 0.3 * weight, bias - 2.0]
    return [*layers, -rates.exp(), _lengths(size)]


def _scan_step_example(size: _Size) -> list[Tensor]:
    x, step, decay, write, read = _scan_example(_one_position(size))
    (state,) = _draw((len(x), size.states, size.channels))
    return [x[:, 0], step[:, 0], decay, write[:, 0], read[:, 0], state]


def _ssd_example(size: _Size) -> list[Tensor]:
    projections = (size.batch, size.length, 2 * size.states)
    heads = (size.batch, size.length, size.heads)
    x, step, decay, write, read = _draw(
        (*heads, size.width), heads, (size.heads,), projections, projections
    )
    return [x, step.exp() * 0.1, -decay.exp(), write, read]


def _ssd_step_example(size: _Size) -> list[Tensor]:
    x, step, decay, write, read = _ssd_example(_one_position(size))
    (state,) = _draw((*x[:, 0].shape, write.shape[-1]))
    return [x[:, 0], step[:, 0], decay, write[:, 0], read[:, 0], state]


def _feed_forward_example(size: _Size) -> list[Tensor]:
    rows, inner, width = 70 * size.batch, 2 * size.channels + 3, size.channels
    shapes = ((rows, width), (inner, width), (inner,), (width, inner), (width,), (width,), (width,))
    x, first, *others = _draw(*shapes)
    return [x, 0.1 * first, *others]


def _gru_example(size: _Size) -> list[Tensor]:
    x, outer, inner = _draw(
        (size.batch, size.length, size.states),
        (3 * size.channels, size.states),
        (3 * size.channels, size.channels),
    )
    return [x, 0.5 * outer, 0.1 * inner]


def _step_example(size: _Size) -> list[Tensor]:
    one = _one_position(size)
    hidden, *state = _draw(
        (one.batch, one.channels),
        (one.batch, 3, one.channels),
        (one.batch, one.states, one.channels),
        (one.batch, one.heads, one.width, one.states),
        (one.batch, 2, one.channels + 3),
        (one.batch, one.states, 2),
    )
    return [hidden, torch.arange(one.batch) * 86_400 - 5, *state]


def _int8_example(size: _Size) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    found = []
    for count in (3 * size.length, size.batch):
        codes = torch.randint(-LARGEST, LARGEST + 1, (count, size.channels), generator=draw)
        found += [codes.to(torch.int8), *torch.rand(3, count, generator=draw)]
    return found


def _rank_counts_example(size: _Size) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    shape = (size.batch * size.states, size.length)
    # Whole numbers: many are equal, and half precision can hold them.
    scores = torch.randint(-9, 10, shape, generator=draw).float()
    own = torch.arange(len(scores)) % size.length - 1
    wanted = scores.gather(1, own.clamp(min=0)[:, None])[:, 0]
    pairs = (torch.randint(0, end, (size.length,), generator=draw) for end in shape)
    return [scores, wanted, own, *pairs]


def _scan_all_items(implementation: Implementation, *tensors: Tensor) -> list[Tensor]:
    """The bounds of all items for each user."""
    items, users = Quantised(*tensors[:4]), Quantised(*tensors[4:])
    none = [torch.zeros(0, dtype=torch.int64)] * len(users.codes)
    found = implementation(items).candidates(users, len(items.codes), none)
    return [bound for of_user in found for bound in (of_user.lower, of_user.upper)]


def _one_position(size: _Size) -> _Size:
    """As many sequences as fit the size, of one position each."""
    return size._replace(batch=max(size.batch, size.length // 4), length=1)


def _lengths(size: _Size) -> Tensor:
    return torch.tensor([size.length, size.length // 2])


_EXAMPLES: dict[str, Callable[[_Size], list[Tensor]]] = {
    "selective-scan": _scan_example,
    "selective-scan-last": lambda size: [*_scan_example(size)[:4], _lengths(size)],
    "convolved-scan-last": _convolved_example,
    "selective-scan-step": _scan_step_example,
    "ssd": _ssd_example,
    "ssd-last": lambda size: [*_ssd_example(size)[:4], _lengths(size)],
    "ssd-step": _ssd_step_example,
    "causal-convolution": lambda size: _draw(
        (size.batch, size.length, size.channels), (size.channels, 4), (size.channels,)
    ),
    "feed-forward": _feed_forward_example,
    "gru": _gru_example,
    "gru-last": lambda size: [*_gru_example(size), _lengths(size)],
    "int8-scan": _int8_example,
    "rank-counts": _rank_counts_example,
    "step": _step_example,
}
_CALLS: dict[str, Callable[..., Sequence[Tensor]]] = {
    "int8-scan": _scan_all_items,
    "step": run_example,
}
"""How the implementation of a kernel is called for an example, where it takes more than tensors."""
_INFERENCE = (
    *("selective-scan-last", "convolved-scan-last", "selective-scan-step"),
    *("ssd-last", "ssd-step", "gru-last"),
    *("int8-scan", "rank-counts", "step", "feed-forward"),
)
"""Kernels whose backends need no gradients."""
