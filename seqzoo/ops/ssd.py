"""The state space dual layer of Mamba-2 (arXiv 2405.21060, section 6), in PyTorch alone.

For head h, with the state zero before the first position::

    state[t, h] = exp(step[t, h] * decay[h]) * state[t - 1, h]
                  + step[t, h] * outer(x[t, h], write[t])
    y[t, h]     = state[t, h] @ read[t]

The state decays by one number for each head, so a chunk of positions is one small matrix product
(the paper's dual, quadratic form) and only one state for each chunk is made. Work and memory are
linear in the length.

Shapes in brackets: B batch, L positions, H heads, P width of a head, N states, T chunks, C
positions of a chunk.
"""

import torch
from torch import Tensor
from torch.nn import functional

from seqzoo.ops.backends import choose
from seqzoo.ops.precision import widened, without_autocast

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
    """Run the layer over whole sequences and return y [B, L, H, P].

    Args:
        x: input [B, L, H, P].
        step: step sizes [B, L, H], not negative.
        decay: negative rates [H], Mamba-2's ``A``.
        write: input projections [B, L, N], Mamba-2's ``B``, shared by all heads.
        read: output projections [B, L, N], Mamba-2's ``C``, shared by all heads.
        chunk_size: positions of a chunk: memory against the number of chunks. Results depend on it
            by rounding alone.
        backend: name of a backend; see ``seqzoo.ops.backends.choose``.

    Raises:
        BackendUnavailableError: the backend asked for does not work here.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}; expected 1 or more")
    arguments = (x, step, decay, write, read, chunk_size)
    return choose("ssd", x.device, backend, arguments)(*arguments)


def torch_ssd(
    x: Tensor,
    step: Tensor,
    decay: Tensor,
    write: Tensor,
    read: Tensor,
    chunk_size: int = _CHUNK_SIZE,
) -> Tensor:
    """``ssd`` in PyTorch, in chunks."""
    given = x.dtype
    with without_autocast(x.device):
        x, step, decay, write, read = (widened(t) for t in (x, step, decay, write, read))
        return _chunked(x, step, decay, write, read, min(chunk_size, x.shape[1])).to(given)


def ssd_last(x: Tensor, step: Tensor, decay: Tensor, write: Tensor, lengths: Tensor) -> Tensor:
    """The state after the newest event of each sequence: [B, H, P, N].

    Positions from ``lengths`` [B] on are left out: their step is taken as zero, which neither
    decays nor writes. Other arguments as in ``ssd``. This is one matrix product for each sequence.
    """
    positions = torch.arange(x.shape[1], device=x.device)
    step = step.masked_fill((positions >= lengths[:, None])[..., None], 0.0)
    given = x.dtype
    with without_autocast(x.device):
        x, step, decay, write = (widened(t) for t in (x, step, decay, write))
        # Summed from the end: no difference of large sums is taken.
        later = functional.pad((step * decay)[:, 1:], (0, 0, 0, 1)).flip(1).cumsum(1).flip(1)
        inputs = x * (later.exp() * step)[..., None]
        state = inputs.flatten(-2).mT @ write
        return state.view(*inputs[:, 0].shape, -1).to(given)


def _chunked(
    x: Tensor, step: Tensor, decay: Tensor, write: Tensor, read: Tensor, size: int
) -> Tensor:
    """``ssd`` with the length padded to whole chunks by positions of step zero."""
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

    # What position i takes from position j of its own chunk: rows j, columns i.
    kept = _kept(logs)
    y = (((write @ read.mT)[:, :, None] * kept).mT @ inputs.transpose(2, 3)).transpose(2, 3)
    if chunks > 1:
        to_end = kept[..., -1].transpose(2, 3)
        written = (inputs * to_end[..., None]).flatten(-2).mT @ write  # [B, T, H * P, N]
        from_start = logs.cumsum(-1).exp()  # [B, T, H, C]
        left = from_start[..., -1].repeat_interleave(width, dim=-1)  # [B, T, H * P]
        carried = read @ _states_before(written, left).mT  # [B, T, C, H * P]
        y = y + carried.view(inputs.shape) * from_start.transpose(2, 3)[..., None]
    return y.flatten(1, 2)[:, :length]


def _kept(logs: Tensor) -> Tensor:
    """The share of what j wrote that is left at i: [..., C] -> [..., C (j), C (i)].

    It is ``exp(sum of logs over j + 1 .. i)``, zero for i before j. Each sum is made on its own:
    the difference of two running sums loses digits where a step before j was large. The positive
    sums of the other triangle are masked before ``exp``, where they would overflow and make NaN
    gradients.
    """
    place = torch.arange(logs.shape[-1], device=logs.device)
    after = place > place[:, None]
    sums = torch.where(after, logs[..., None, :], 0.0).cumsum(-1)
    return sums.masked_fill(place < place[:, None], -torch.inf).exp()


def _states_before(written: Tensor, left: Tensor) -> Tensor:
    """The state before each chunk [B, T, H * P, N].

    Args:
        written: what each chunk adds to the state at its end [B, T, H * P, N].
        left: the share of the state before a chunk that is left at its end [B, T, H * P].
    """
    state = torch.zeros_like(written[:, 0])
    states = [state]
    for chunk in range(written.shape[1] - 1):
        state = left[:, chunk, :, None] * state + written[:, chunk]
        states.append(state)
    return torch.stack(states, dim=1)
