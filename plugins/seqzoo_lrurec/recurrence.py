"""The diagonal linear recurrence ``h[t] = decay * h[t - 1] + u[t]`` over whole histories.

Time comes first, so that one position of all histories is one block of memory. The positions are
taken in chunks of about sqrt(L), first inside all chunks at once, then from chunk to chunk: every
value is read and written twice. A scan that joins halves does so log2(L) times, and a plain loop
over the positions, once, but by L calls.

Shapes in brackets: L positions, B histories, H complex channels.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["powers", "recurrence"]


def recurrence(inputs: Tensor, decay: Tensor) -> Tensor:
    """All states, starting from zero.

    Args:
        inputs: u, complex [L, B, H].
        decay: complex [H], of absolute value up to 1.

    Returns:
        States, complex [L, B, H].
    """
    states: Tensor = _Recurrence.apply(inputs, decay)  # type: ignore[no-untyped-call]
    return states


def powers(decay: Tensor, count: int) -> Tensor:
    """``decay^0 .. decay^(count - 1)``: [H] -> [count, H].

    By products: the angle of ``exp(k * log(decay))`` would be rounded at the size of k turns.
    """
    found, factor = torch.ones_like(decay)[None], decay
    while len(found) < count:
        found = torch.cat([found, found * factor])
        factor = factor * factor
    return found[:count]


class _Recurrence(torch.autograd.Function):
    """The recurrence in place; autograd alone would keep what every step has read.

    The gradient of the inputs is the same recurrence backwards in time with the conjugate decay.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, decay: Tensor) -> Tensor:
        states = inputs.clone(memory_format=torch.contiguous_format)
        _run(states, decay, backwards=False)
        ctx.save_for_backward(states, decay)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, Tensor]:
        states, decay = ctx.saved_tensors
        grad_inputs = grad_states.clone(memory_format=torch.contiguous_format)
        _run(grad_inputs, decay.conj().resolve_conj(), backwards=True)
        grad_decay = (grad_inputs[1:] * states[:-1].conj()).sum((0, 1))
        return grad_inputs, grad_decay


def _run(states: Tensor, decay: Tensor, backwards: bool) -> None:
    """Turn inputs into states, in place: [L, B, H], [H]."""
    length = len(states)
    size = math.isqrt(length)
    count = length // size
    rest = length - count * size
    # What does not fill a chunk comes last in the order of the recurrence.
    chunks = states[rest:] if backwards else states[: length - rest]
    chunks = chunks.view(count, size, *states.shape[1:])
    _each(chunks.transpose(0, 1), decay, backwards)
    factors = powers(decay, size + 1)[1:, None]
    edge = 0 if backwards else -1
    if backwards:
        factors = factors.flip(0)
    for before, now in _neighbours(count, backwards):
        chunks[now].addcmul_(chunks[before][edge], factors)
    if rest:
        tail = states[: rest + 1] if backwards else states[length - rest - 1 :]
        _each(tail, decay, backwards)


def _each(states: Tensor, decay: Tensor, backwards: bool) -> None:
    """One position after another."""
    for before, now in _neighbours(len(states), backwards):
        states[now].addcmul_(states[before], decay)


def _neighbours(count: int, backwards: bool) -> list[tuple[int, int]]:
    """Each position after the first one in order, with the one before it."""
    if backwards:
        return [(now + 1, now) for now in range(count - 2, -1, -1)]
    return [(now - 1, now) for now in range(1, count)]
