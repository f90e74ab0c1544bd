"""How the kit runs a model: random histories, perturbed weights, forward passes and comparison.

Shapes in brackets: B histories in a batch, L positions, D hidden width.
"""

import copy
from dataclasses import replace

import torch
from torch import Tensor

from seqzoo.interfaces import SequenceBatch, State
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.testing.errors import ConformanceError

__all__ = [
    "TOLERANCE",
    "example_batch",
    "hidden_of",
    "initial_states",
    "last_of",
    "perturbed",
    "require_equal",
    "select_rows",
    "step_once",
    "stepped",
    "with_context",
]

TOLERANCE = 1e-5
"""Largest difference between two ways to compute the same float32 values, relative to their size"""

_NOISE = 0.1


def example_batch(
    model: SequenceModel, rows: int = 5, length: int = 12, seed: int = 0, ragged: bool = True
) -> SequenceBatch:
    """Random histories of a model's items, padded on the right, with increasing timestamps.

    Args:
        model: its vocabulary and maximum sequence length are respected.
        rows: number of histories B.
        length: length of the longest history; at most what the model reads.
        seed: random seed.
        ragged: whether lengths differ; the first history always has the full length.
    """
    generator = torch.Generator().manual_seed(seed)
    length = min(length, model.max_length)
    lengths = torch.full((rows,), length)
    if ragged and rows > 1:
        lengths[1:] = torch.randint(1, length + 1, (rows - 1,), generator=generator)
    items = torch.randint(1, len(model.vocabulary) + 1, (rows, length), generator=generator)
    gaps = torch.randint(0, 100_000, (rows, length), generator=generator)
    inside = torch.arange(length) < lengths[:, None]
    timestamps = (1_000_000_000 + gaps.cumsum(1)).masked_fill(~inside, 0)
    batch = SequenceBatch(items.masked_fill(~inside, 0), lengths, timestamps)
    return with_context(model, batch, generator).to(model.device)


def with_context(
    model: SequenceModel, batch: SequenceBatch, generator: torch.Generator
) -> SequenceBatch:
    """The same histories with random values of all other inputs of the model."""
    if not model.reads:
        return batch
    shape, inside = batch.items.shape, batch.mask
    queries = None
    if model.reads.query_times and batch.timestamps is not None:
        # The time of the next event, and some time after the newest one.
        waits = torch.randint(0, 100_000, shape, generator=generator)
        following = batch.timestamps.roll(-1, 1)
        newest = torch.arange(shape[1]) == batch.lengths[:, None] - 1
        queries = torch.where(newest, batch.timestamps + waits, following).masked_fill(~inside, 0)
    features = {}
    for name in model.reads.features:
        known = model.vocabulary.features[name]
        if known is None:
            values = torch.randn(shape, generator=generator)
        else:
            values = torch.randint(0, 1 + len(known), shape, generator=generator)
        features[name] = values.masked_fill(~inside, 0)
    users = torch.randint(0, 2**62, shape[:1], generator=generator) if model.reads.users else None
    return replace(batch, query_times=queries, features=features, users=users)


def perturbed(model: SequenceModel, buffers: bool = False) -> SequenceModel:
    """A copy with noise on every parameter: fresh ones are near zero and would hide their effect.

    Args:
        model: stays as it is.
        buffers: whether buffers that hold only zeros get noise too. They are filled by data, such
            as item features, and would hide the weights they multiply.
    """
    changed = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(0)
    tensors: list[Tensor] = list(changed.parameters())
    if buffers:
        tensors += [b for b in changed.buffers() if b.is_floating_point() and not bool(b.any())]
    with torch.no_grad():
        for tensor in tensors:
            noise = torch.randn(tensor.shape, generator=draw, dtype=torch.float32)
            tensor.add_((_NOISE * noise).to(tensor))
    return changed


def hidden_of(model: SequenceModel, batch: SequenceBatch, training: bool = False) -> Tensor:
    """All positions by ``forward`` [B, L, D]; in train mode always with the same random numbers."""
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        hidden: Tensor = model.train(training)(batch)
    return hidden


def last_of(model: SequenceModel, batch: SequenceBatch) -> Tensor:
    """The newest event of each history by ``last`` [B, D], in evaluation mode."""
    with torch.inference_mode():
        return model.eval().last(batch)


def stepped(model: SequenceModel, batch: SequenceBatch, interleaved: bool = False) -> Tensor:
    """All positions by ``step`` [B, L, D].

    Args:
        model: its backbone streams.
        batch: histories of one length.
        interleaved: whether a second session of other events runs between the steps.
    """
    states = [initial_states(model, len(batch.items)) for _ in range(1 + interleaved)]
    outputs = []
    for t in range(batch.items.shape[1]):
        hidden, states[0] = step_once(model, batch, t, states[0])
        outputs.append(hidden)
        if interleaved:
            other = replace(batch, items=batch.items.flip(1))
            _, states[1] = step_once(model, other, t, states[1])
    return torch.stack(outputs, 1)


def initial_states(model: SequenceModel, rows: int) -> tuple[State, State]:
    """The states of embedder and backbone before the first event."""
    return None, model.backbone.initial_state(rows)


def step_once(
    model: SequenceModel, batch: SequenceBatch, t: int, states: tuple[State, State]
) -> tuple[Tensor, tuple[State, State]]:
    """Stream event ``t`` of every history: [B, D] and the states of embedder and backbone.

    The vectors answer for the query time of the event where the model reads it.
    """
    elapsed = None
    if batch.timestamps is not None:
        elapsed = batch.timestamps[:, t] - batch.timestamps[:, max(t - 1, 0)]
    model.eval()
    with torch.inference_mode():
        vectors, embedder_state = model.embedder.step(batch.items[:, t], states[0])
        hidden, backbone_state = model.backbone.step(vectors, states[1], elapsed)
        if batch.query_times is not None and batch.timestamps is not None:
            waited = batch.query_times[:, t] - batch.timestamps[:, t]
            # The state must keep nothing of another request.
            model.backbone.answer(backbone_state, waited + 40_000_000)
            hidden = model.backbone.answer(backbone_state, waited)
    return hidden, (embedder_state, backbone_state)


def select_rows(state: State, rows: Tensor, batch_size: int) -> State:
    """The state of some users out of that of all, by the first dimension of every tensor.

    Raises:
        ConformanceError: a tensor does not have the batch as its first dimension.
    """
    if isinstance(state, Tensor):
        if state.dim() == 0 or len(state) != batch_size:
            raise ConformanceError(
                f"streaming: the state of {batch_size} users holds a tensor of shape "
                f"{tuple(state.shape)}; the first dimension must be the batch"
            )
        return state[rows]
    if isinstance(state, dict):
        return {key: select_rows(value, rows, batch_size) for key, value in state.items()}
    if isinstance(state, tuple | list):
        return type(state)([select_rows(value, rows, batch_size) for value in state])
    return state


def require_equal(found: Tensor, expected: Tensor, message: str) -> None:
    """Compare up to rounding.

    Raises:
        ConformanceError: the values differ by more than ``TOLERANCE``; NaN differs from anything.
    """
    difference = float((found - expected).abs().max())
    scale = max(1.0, float(expected.abs().max()))
    if not difference <= TOLERANCE * scale:
        raise ConformanceError(f"{message} (largest difference {difference:.2g})")
