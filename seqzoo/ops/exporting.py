"""Kernels in a form that can be exported: a scan over positions whose number is not fixed.

Loops in Python and hand-written backward passes cannot be traced for any length. Inside
``exportable`` every kernel consists of PyTorch operations, and each recurrence is one ``scan``
operator, which ONNX has as well. States are in the precision of the arguments.

Shapes in brackets as in ``selective_scan`` and ``ssd``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

from seqzoo.ops.padding import masked_steps

__all__ = [
    "FORMS",
    "exportable",
    "exporting",
    "scan",
]

_EXPORTING: ContextVar[bool] = ContextVar("exporting", default=False)


@contextmanager
def exportable() -> Iterator[None]:
    """Run all kernels in their exportable form while a model is traced."""
    token = _EXPORTING.set(True)
    try:
        yield
    finally:
        _EXPORTING.reset(token)


def exporting() -> bool:
    """Whether a model is being traced; a part without an exportable form must then choose one."""
    return _EXPORTING.get()


def scan(step: Callable[[Any, Any], tuple[Any, Any]], state: Any, inputs: Any) -> tuple[Any, Any]:
    """Run a step for each position, in a form that can be exported.

    Args:
        step: maps the state and the inputs of one position to the new state, nested alike, and the
            outputs of the position.
        state: the state before the first position; tensors in tuples, lists or dicts.
        inputs: the inputs of all positions, time first.

    Returns:
        The state after the last position, and the outputs of all positions, time first.
    """
    from torch._higher_order_ops.scan import scan as torch_scan

    def without_sharing(before: Any, now: Any) -> Any:
        # The operator refuses results that share memory with each other or with its inputs.
        return tree_map(torch.clone, step(before, now))

    found: tuple[Any, Any] = torch_scan(without_sharing, state, inputs)
    return found


def _selective_scan(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor) -> Tensor:
    def advance(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        size, value, write, read = now
        state = state * torch.exp(size[:, None] * decay) + value[:, None] * write[..., None]
        return state, (state * read[..., None]).sum(1)

    _, y = scan(
        advance, x.new_zeros(x.shape[0], *decay.shape), _time_first(step, x * step, write, read)
    )
    return y.transpose(0, 1)  # type: ignore[no-any-return]


def _selective_scan_last(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor
) -> Tensor:
    step = masked_steps(step, lengths)

    def advance(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        size, value, write = now
        state = state * torch.exp(size[:, None] * decay) + value[:, None] * write[..., None]
        # A scan has outputs; a single number for each position is the least.
        return state, value[:, 0]

    state, _ = scan(
        advance, x.new_zeros(x.shape[0], *decay.shape), _time_first(step, x * step, write)
    )
    return state  # type: ignore[no-any-return]


def _projected_scan_last(
    x: Tensor,
    low: Tensor,
    weight: Tensor,
    bias: Tensor,
    decay: Tensor,
    write: Tensor,
    lengths: Tensor,
) -> Tensor:
    step = functional.softplus(functional.linear(low, weight, bias))
    return _selective_scan_last(x, step, decay, write, lengths)


def _ssd(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, chunk_size: int
) -> Tensor:
    def advance(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        value, kept, write, read = now
        state = kept[..., None, None] * state + value[..., None] * write[:, None, None]
        return state, (state * read[:, None, None]).sum(-1)

    start = x.new_zeros(x.shape[0], *x.shape[2:], write.shape[-1])
    kept = (step * decay).exp()
    _, y = scan(advance, start, _time_first(x * step[..., None], kept, write, read))
    return y.transpose(0, 1)  # type: ignore[no-any-return]


def _ssd_last(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor) -> Tensor:
    """The matrix product of PyTorch's implementation.

    It has no tensor of L - 1 positions, which a tracer would take for more than one.
    """
    step = masked_steps(step, lengths)
    # Padded before it is cut.
    later = functional.pad(step * decay, (0, 0, 0, 1))[:, 1:].flip(1).cumsum(1).flip(1)
    inputs = x * (later.exp() * step)[..., None]
    state = inputs.flatten(-2).transpose(1, 2) @ write
    return state.view(x.shape[0], *x.shape[2:], -1)


def _time_first(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.transpose(0, 1) for tensor in tensors)


FORMS: dict[str, Callable[..., Any]] = {
    "selective-scan": _selective_scan,
    "selective-scan-last": _selective_scan_last,
    "projected-scan-last": _projected_scan_last,
    "ssd": _ssd,
    "ssd-last": _ssd_last,
}
"""Exportable forms by kernel; PyTorch's own implementation of the others can be exported as is."""
