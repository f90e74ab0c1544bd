"""Kernels in a form that can be exported: a scan over positions whose number is not fixed.

Loops in Python and hand-written backward passes cannot be traced for any length. Inside
``exportable`` every kernel consists of PyTorch operations, and each recurrence is one ``scan``
operator, which ONNX has as well. It goes from chunk to chunk, as one operation on a few positions
takes much less time than one on each. States are in the precision of the arguments.

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

from seqzoo.ops.chunks import in_chunks, kept_within
from seqzoo.ops.padding import masked_steps

__all__ = [
    "FORMS",
    "each",
    "exportable",
    "exporting",
    "scan",
    "softplus",
]

_SCAN_CHUNK, _LAST_CHUNK = 8, 16
"""Positions of a chunk: each of the former is a part of the graph."""
_FADED = -60.0
"""Logarithm of what counts as nothing: results that are subnormal take many times as long."""

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


def softplus(values: Tensor) -> Tensor:
    """``log(1 + exp(values))``; while a model is traced, of operations that runtimes do fast."""
    if not exporting():
        return functional.softplus(values)
    small = (-values.abs()).exp()
    more = 1 + small
    # The last term is what rounding took from `small` in the sum.
    return values.clamp(min=0) + more.log() + (small - (more - 1)) / more


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


def each(run: Callable[[Any], Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
    """Run a computation for each history separately, in a form that can be exported.

    Its intermediate values then take the memory of one history, and fit the processor's cache.

    Args:
        run: maps the inputs of one history to its output.
        inputs: the inputs of all histories, batch first.

    Returns:
        The outputs of all histories, batch first.
    """

    def advance(count: Tensor, now: Any) -> tuple[Tensor, Tensor]:
        return count + 1, run(now)  # a scan has a state

    found: Tensor = scan(advance, inputs[0].new_zeros(1), inputs)[1]
    return found


def _selective_scan(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor) -> Tensor:
    """Chunk by chunk; within one, the positions are operations of the graph."""
    sizes, values, write, read = in_chunks(_SCAN_CHUNK, step, x * step, write, read)

    def advance(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        sizes, values, write, read = now  # [C, 1, I], [C, 1, I], [C, N, 1], [C, 1, N]
        found = []
        for kept, added in zip(
            torch.split(_left(sizes * decay), 1), torch.split(values * write, 1), strict=True
        ):
            state = state * kept + added
            found.append(state)
        return state, (read @ torch.cat(found))[:, 0]

    def run(now: tuple[Tensor, ...]) -> Tensor:
        return scan(advance, x.new_zeros(1, *decay.shape), now)[1]  # type: ignore[no-any-return]

    y = each(
        run, (sizes[:, :, :, None], values[:, :, :, None], write[..., None], read[:, :, :, None])
    )
    return y.flatten(1, 2)[:, : x.shape[1]]


def _selective_scan_last(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor
) -> Tensor:
    """Chunk by chunk: a chunk adds the sum over its events of what each has left at its end."""
    size = _LAST_CHUNK
    step = masked_steps(step, lengths)
    sizes, values, write = in_chunks(size, step, x * step, write)
    # Summed over the later positions themselves, which avoids differences of large sums.
    later = torch.ones(size, size, dtype=x.dtype, device=x.device).triu(1) @ sizes

    def advance(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        later, values, write, whole = now  # [1, C, I], [1, C, I], [N, 1, C], [I]
        left = _left(later * decay[:, None]) * values  # [N, C, I]
        added = (write @ left)[:, 0]
        # A scan has outputs; a single number is the least.
        return state * _left(whole * decay) + added, whole[:1]

    def run(now: tuple[Tensor, ...]) -> Tensor:
        return scan(advance, x.new_zeros(decay.shape), now)[0]  # type: ignore[no-any-return]

    write = write.transpose(2, 3)[:, :, :, None]
    return each(run, (later[:, :, None], values[:, :, None], write, sizes.sum(2)))


def _ssd(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, chunk_size: int
) -> Tensor:
    """The chunks of PyTorch's implementation, one after the other."""
    heads, width, states = *x.shape[2:], write.shape[-1]
    values, logs, write, read = in_chunks(
        chunk_size, x * step[..., None], step * decay, write, read
    )

    def advance(state: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        values, logs, write, read = now  # [C, H, P], [H, C], [C, N], [C, N]
        kept = kept_within(logs)
        weights = (write @ read.T) * kept  # [H, C (j), C (i)]
        y = (weights.transpose(1, 2) @ values.transpose(0, 1)).transpose(0, 1)
        from_start = logs.cumsum(-1).exp()
        carried = torch.unflatten(read @ state.T, -1, (heads, width))  # [C, H, P]
        y = y + carried * from_start.T[..., None]
        written = (values * kept[..., -1].T[..., None]).flatten(1).T @ write
        left = from_start[:, -1:].expand(-1, width).flatten()
        return left[:, None] * state + written, y

    def run(now: tuple[Tensor, ...]) -> Tensor:
        return scan(advance, x.new_zeros(heads * width, states), now)[1]  # type: ignore[no-any-return]

    y = each(run, (values, logs.transpose(2, 3), write, read))
    return y.flatten(1, 2)[:, : x.shape[1]]


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


def _left(logs: Tensor) -> Tensor:
    """What a decay leaves, by its logarithm."""
    return logs.clamp(min=_FADED).exp()


FORMS: dict[str, Callable[..., Any]] = {
    "selective-scan": _selective_scan,
    "selective-scan-last": _selective_scan_last,
    "ssd": _ssd,
    "ssd-last": _ssd_last,
}
"""Exportable forms by kernel; PyTorch's own implementation of the others can be exported as is."""
