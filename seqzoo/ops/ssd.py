"""The state space dual (SSD) layer of Mamba-2 (arXiv 2405.21060, section 6).

For head h, with a state of zero before the first position::

    state[t, h] = exp(step[t, h] * decay[h]) * state[t - 1, h]
                  + step[t, h] * outer(x[t, h], write[t])
    y[t, h]     = state[t, h] @ read[t]

All states of a head decay by the same factor. A chunk of positions is therefore a small matrix
product (the paper's dual, quadratic form), and only one state per chunk is computed. Time and
memory are linear in the sequence length.

Shapes in brackets: B batch, L positions, H heads, P width of a head, N states per channel, T
chunks, C positions of a chunk.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops import external
from seqzoo.ops.backends import compiled, downloaded, in_torch, packaged, register, run
from seqzoo.ops.chunks import kept_within
from seqzoo.ops.native import scan
from seqzoo.ops.padding import masked_steps
from seqzoo.ops.precision import widened, without_autocast

__all__ = ["ssd", "ssd_last", "ssd_step", "torch_ssd", "torch_ssd_last", "torch_ssd_step"]

_CHUNK_SIZE = 32


def ssd(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = _CHUNK_SIZE,
    backend: str | None = None,
) -> Tensor:
    """Run the layer over whole sequences: y [B, L, H, P].

    Args:
        x: input [B, L, H, P].
        step: step sizes [B, L, H], not negative.
        decay: negative rates [H], Mamba-2's ``A``.
        write: input projections [B, L, N], Mamba-2's ``B``, shared by all heads.
        read: output projections [B, L, N], Mamba-2's ``C``, shared by all heads.
        chunk_size: positions of a chunk; larger chunks are fewer and take more memory. Results
            depend on it only by rounding. Other backends may have a chunk size of their own.
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        ValueError: ``chunk_size`` is less than 1.
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; expected 1 or more")
    y: Tensor = run("ssd", backend, x, step, decay, write, read, chunk_size)
    return y


def torch_ssd(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = _CHUNK_SIZE,
) -> Tensor:
    """``ssd`` in PyTorch, in chunks; half precision is computed in float32."""
    given = x.dtype
    with without_autocast(x.device):
        x, step, decay, write, read = (widened(t) for t in (x, step, decay, write, read))
        return _chunked(x, step, decay, write, read, min(chunk_size, x.shape[1])).to(given)


def ssd_last(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    lengths: Tensor,
    backend: str | None = None,
) -> Tensor:
    """The state after the newest event of each sequence: [B, H, P, N].

    Positions at and after ``lengths`` [B] are ignored. Other arguments as in ``ssd``.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    state: Tensor = run("ssd-last", backend, x, step, decay, write, lengths)
    return state


def torch_ssd_last(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor
) -> Tensor:
    """``ssd_last`` in PyTorch: one matrix product per sequence."""
    given = x.dtype
    with without_autocast(x.device):
        x, step, decay, write = (widened(t) for t in (x, masked_steps(step, lengths), decay, write))
        # Summed from the end, which avoids differences of large sums.
        later = functional.pad((step * decay)[:, 1:], (0, 0, 0, 1)).flip(1).cumsum(1).flip(1)
        inputs = x * (later.exp() * step)[..., None]
        state = inputs.flatten(-2).mT @ write
        return state.view(*inputs[:, 0].shape, -1).to(given)


def ssd_step(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    state: Tensor,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Advance each sequence by one position: y [B, H, P] and the new state [B, H, P, N].

    Meant for inference.

    Args:
        x: input [B, H, P].
        step: step sizes [B, H], not negative.
        decay: negative rates [H].
        write: input projections [B, N].
        read: output projections [B, N].
        state: the state after the previous position [B, H, P, N]; it is not modified.
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        BackendUnavailableError: the requested backend does not work or cannot take the arguments.
    """
    found: tuple[Tensor, Tensor] = run("ssd-step", backend, x, step, decay, write, read, state)
    return found


def torch_ssd_step(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """``ssd_step`` in PyTorch."""
    kept = torch.exp(step * decay)[..., None, None]
    state = kept * state + (step[..., None] * x)[..., None] * write[:, None, None]
    return (state.flatten(1, 2) @ read[..., None]).view(x.shape), state


def _chunked(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, size: int
) -> Tensor:
    """``ssd`` in chunks; the last chunk is filled up with positions of step zero."""
    batch, length, heads, width = x.shape
    missing = -length % size
    chunks = (length + missing) // size
    if missing:
        x = functional.pad(x, (0, 0, 0, 0, 0, missing))
        step, write, read = (functional.pad(t, (0, 0, 0, missing)) for t in (step, write, read))

    inputs = (x * step[..., None]).reshape(batch, chunks, size, heads, width)  # [B, T, C, H, P]
    logs = (step * decay).reshape(batch, chunks, size, heads).transpose(2, 3)  # [B, T, H, C]
    # Both [B, T, C, N].
    write, read = (t.reshape(batch, chunks, size, t.shape[-1]) for t in (write, read))

    # What position i reads from position j of its own chunk: rows j, columns i.
    kept = kept_within(logs)
    y = (((write @ read.mT)[:, :, None] * kept).mT @ inputs.transpose(2, 3)).transpose(2, 3)
    if chunks > 1:
        to_end = kept[..., -1].transpose(2, 3)
        written = (inputs * to_end[..., None]).flatten(-2).mT @ write  # [B, T, H * P, N]
        from_start = logs.cumsum(-1).exp()  # [B, T, H, C]
        left = from_start[..., -1].repeat_interleave(width, dim=-1)  # [B, T, H * P]
        carried = read @ _states_before(written, left).mT  # [B, T, C, H * P]
        y = y + carried.view(inputs.shape) * from_start.transpose(2, 3)[..., None]
    return y.flatten(1, 2)[:, :length]


def _states_before(written: Tensor, left: Tensor) -> Tensor:
    """The state before each chunk [B, T, H * P, N].

    Args:
        written: what each chunk adds to the state at its end [B, T, H * P, N].
        left: factor by which a chunk decays the state before it [B, T, H * P].
    """
    state = torch.zeros_like(written[:, 0])
    states = [state]
    for chunk in range(written.shape[1] - 1):
        state = left[:, chunk, :, None] * state + written[:, chunk]
        states.append(state)
    return torch.stack(states, dim=1)


register(
    packaged("ssd", "mamba-ssm", "seqzoo.ops.external:mamba_ssm_ssd", external.ssd_limits),
    downloaded("ssd", "seqzoo.ops.hub:hub_ssd", external.ssd_limits),
    compiled("ssd", "seqzoo.ops.native.scan:native_ssd", scan.ssd_limits),
    in_torch("ssd", "seqzoo.ops.ssd:torch_ssd"),
    compiled("ssd-last", "seqzoo.ops.native.scan:native_ssd_last", scan.ssd_last_limits),
    in_torch("ssd-last", "seqzoo.ops.ssd:torch_ssd_last"),
    compiled("ssd-step", "seqzoo.ops.native.scan:native_ssd_step", scan.ssd_step_limits),
    in_torch("ssd-step", "seqzoo.ops.ssd:torch_ssd_step"),
)
