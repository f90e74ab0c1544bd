"""The selective scan of Mamba-1 (arXiv 2312.00752, algorithm 2).

For channel i and state n, with a state of zero before the first position::

    state[t, n, i] = exp(step[t, i] * decay[n, i]) * state[t - 1, n, i]
                     + step[t, i] * x[t, i] * write[t, n]
    y[t, i]        = sum_n state[t, n, i] * read[t, n]

Shapes in brackets: B batch, L positions, I channels, N states per channel.

In the PyTorch implementation time is the first axis and channels are the last, so that elementwise
operations run over contiguous channels. The forward pass keeps one state per chunk of positions,
never all states; the backward pass, written by hand, computes a chunk's states again.
"""

from typing import Any

import torch
from torch import Tensor

from seqzoo.ops import external
from seqzoo.ops.backends import compiled, downloaded, in_torch, packaged, register, run
from seqzoo.ops.native import scan
from seqzoo.ops.padding import masked_steps
from seqzoo.ops.precision import widened, without_autocast

__all__ = [
    "selective_scan",
    "selective_scan_last",
    "selective_scan_step",
    "torch_selective_scan",
    "torch_selective_scan_last",
    "torch_selective_scan_step",
]

_CHUNK_ELEMENTS = 2**20
"""Number of state values in a chunk: a few MB, which fit the processor's cache."""
_LAST_ELEMENTS = 2**18
"""The same where only the running state is kept."""


def selective_scan(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    backend: str | None = None,
) -> Tensor:
    """Scan whole sequences: y [B, L, I].

    Args:
        x: input [B, L, I].
        step: positive step sizes [B, L, I].
        decay: negative rates [N, I], the transpose of Mamba's ``A``.
        write: input projections [B, L, N], Mamba's ``B``.
        read: output projections [B, L, N], Mamba's ``C``.
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    y: Tensor = run("selective-scan", backend, x, step, decay, write, read)
    return y


def torch_selective_scan(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
) -> Tensor:
    """``selective_scan`` in PyTorch, in chunks; half precision is computed in float32."""
    given = x.dtype
    x, step, write, read = (_time_first(tensor) for tensor in (x, step, write, read))
    with without_autocast(x.device):
        y: Tensor = _SelectiveScan.apply(  # type: ignore[no-untyped-call]
            x, step, widened(decay), write, read
        )
    return y.transpose(0, 1).to(given)


def selective_scan_last(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    lengths: Tensor,
    backend: str | None = None,
) -> Tensor:
    """The state after the newest event of each sequence: [B, N, I].

    Positions at and after ``lengths`` [B] are ignored. Other arguments as in ``selective_scan``.
    Meant for inference.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    state: Tensor = run("selective-scan-last", backend, x, step, decay, write, lengths)
    return state


def selective_scan_step(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    state: Tensor,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Advance each sequence by one position: y [B, I] and the new state [B, N, I].

    Args:
        x: input [B, I].
        step: positive step sizes [B, I].
        decay: negative rates [N, I].
        write: input projections [B, N].
        read: output projections [B, N].
        state: the state after the previous position [B, N, I]; it is not modified.
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    found: tuple[Tensor, Tensor] = run(
        "selective-scan-step", backend, x, step, decay, write, read, state
    )
    return found


def torch_selective_scan_step(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """``selective_scan_step`` in PyTorch."""
    state = state * torch.exp(step[:, None] * decay) + (step * x)[:, None] * write[..., None]
    return torch.einsum("bni,bn->bi", state, read), state


def torch_selective_scan_last(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor
) -> Tensor:
    """``selective_scan_last`` in PyTorch."""
    given = x.dtype
    x, step, write = (_time_first(t) for t in (x, masked_steps(step, lengths), write))
    decay = widened(decay)
    inputs = x * step
    state = x.new_zeros(x.shape[1], *decay.shape)
    chunk = _chunk_length(x.shape[1], decay, _LAST_ELEMENTS)
    for start in range(0, len(x), chunk):
        factors = (step[start : start + chunk, :, None] * decay).exp_()
        for t, factor in enumerate(factors, start):
            state = state.mul_(factor).addcmul_(inputs[t][:, None], write[t][..., None])
    return state.to(given)


def _time_first(tensor: Tensor) -> Tensor:
    return widened(tensor).transpose(0, 1).contiguous()


def _chunk_length(batch: int, decay: Tensor, elements: int) -> int:
    return max(1, min(64, elements // (batch * decay.numel())))


def _chunk_states(
    state: Tensor, step: Tensor, inputs: Tensor, decay: Tensor, write: Tensor
) -> tuple[Tensor, Tensor]:
    """Decay factors and states of a chunk of T positions, both [T, B, N, I]."""
    factors = (step[:, :, None] * decay).exp_()
    states = inputs[:, :, None] * write[..., None]
    for t in range(len(states)):
        state = states[t].addcmul_(state, factors[t])
    return factors, states


class _SelectiveScan(torch.autograd.Function):
    """Time first, for arguments and result: x, step, y [L, B, I]; write, read [L, B, N]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor
    ) -> Tensor:
        length, batch, _ = x.shape
        chunk = max(4, _chunk_length(batch, decay, _CHUNK_ELEMENTS))
        inputs = x * step
        y = torch.empty_like(x)
        state = x.new_zeros(batch, *decay.shape)
        starts = []
        for start in range(0, length, chunk):
            part = slice(start, start + chunk)
            starts.append(state)
            _, states = _chunk_states(state, step[part], inputs[part], decay, write[part])
            y[part] = torch.matmul(read[part, :, None], states).squeeze(2)
            state = states[-1].clone()
        ctx.save_for_backward(x, step, decay, write, read, *starts)
        ctx.chunk = chunk
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        x, step, decay, write, read, *starts = ctx.saved_tensors
        grad_y = gradients[0].contiguous()
        inputs = x * step
        grad_inputs, grad_step = torch.empty_like(x), torch.empty_like(x)
        grad_write, grad_read = torch.empty_like(write), torch.empty_like(read)
        grad_decay = torch.zeros_like(decay)
        carry: Tensor | None = None
        for index in reversed(range(len(starts))):
            part = slice(index * ctx.chunk, (index + 1) * ctx.chunk)
            factors, states = _chunk_states(
                starts[index], step[part], inputs[part], decay, write[part]
            )
            grad_read[part] = torch.matmul(states, grad_y[part, ..., None]).squeeze(-1)
            grad_states = grad_y[part, :, None] * read[part, ..., None]
            if carry is not None:
                grad_states[-1] += carry
            for t in range(len(states) - 1, 0, -1):
                grad_states[t - 1].addcmul_(grad_states[t], factors[t])
            grad_inputs[part] = torch.matmul(write[part, :, None], grad_states).squeeze(2)
            grad_write[part] = torch.matmul(grad_states, inputs[part, ..., None]).squeeze(-1)
            # From here on grad_states holds the gradient of the product step * decay.
            grad_states.mul_(factors)
            carry = grad_states[0].clone()
            grad_states[1:].mul_(states[:-1])
            grad_states[0].mul_(starts[index])
            grad_decay += (grad_states * step[part, :, None]).sum((0, 1))
            grad_step[part] = grad_states.mul_(decay).sum(2)
        grad_step.addcmul_(grad_inputs, x)
        return grad_inputs * step, grad_step, grad_decay, grad_write, grad_read


_NATIVE, _TORCH = "seqzoo.ops.native.scan", "seqzoo.ops.selective_scan"
register(
    packaged(
        "selective-scan",
        "mamba-ssm",
        "seqzoo.ops.external:mamba_ssm_selective_scan",
        external.scan_limits,
    ),
    downloaded("selective-scan", "seqzoo.ops.hub:hub_selective_scan", external.scan_limits),
    compiled("selective-scan", f"{_NATIVE}:native_selective_scan", scan.scan_limits),
    in_torch("selective-scan", f"{_TORCH}:torch_selective_scan"),
    compiled("selective-scan-last", f"{_NATIVE}:native_selective_scan_last", scan.last_limits),
    in_torch("selective-scan-last", f"{_TORCH}:torch_selective_scan_last"),
    compiled("selective-scan-step", f"{_NATIVE}:native_selective_scan_step", scan.step_limits),
    in_torch("selective-scan-step", f"{_TORCH}:torch_selective_scan_step"),
)
