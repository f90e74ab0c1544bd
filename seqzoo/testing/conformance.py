"""Checks of a whole model on small random histories; each takes a model and raises or returns.

The tolerance is for float32 results of different but equal computations: ``TOLERANCE`` times the
size of the values.
"""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from seqzoo.config import choose_head, parts_of, structure
from seqzoo.errors import SeqzooError
from seqzoo.interfaces import SequenceBatch, State
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue
from seqzoo.testing.errors import ConformanceError
from seqzoo.training.recipe import TrainConfig

TOLERANCE = 1e-5
_SHAKE = 0.1


def example_batch(
    model: SequenceModel, rows: int = 5, length: int = 12, seed: int = 0, ragged: bool = True
) -> SequenceBatch:
    """Random histories of a model's items, padded on the right, with rising times.

    Args:
        model: whose vocabulary and longest history count.
        rows: how many.
        length: of the longest; at most what the model reads.
        seed: of everything random.
        ragged: whether lengths differ; the first row is always whole.
    """
    generator = torch.Generator().manual_seed(seed)
    length = min(length, model.max_length)
    lengths = torch.full((rows,), length)
    if ragged and rows > 1:
        lengths[1:] = torch.randint(1, length + 1, (rows - 1,), generator=generator)
    items = torch.randint(1, len(model.vocabulary) + 1, (rows, length), generator=generator)
    gaps = torch.randint(0, 100_000, (rows, length), generator=generator)
    inside = torch.arange(length) < lengths[:, None]
    times = (1_000_000_000 + gaps.cumsum(1)).masked_fill(~inside, 0)
    return SequenceBatch(items.masked_fill(~inside, 0), lengths, times).to(model.device)


def check_causality(model: SequenceModel) -> None:
    """A causal backbone: change the events after any position and nothing up to it moves."""
    if not model.backbone.causal:
        return
    model = _shaken(model)
    batch = example_batch(model, ragged=False)
    before = _hidden(model, batch)
    length = batch.items.shape[1]
    for position in {0, length // 2, length - 2} - {-1, length - 1}:
        items = batch.items.clone()
        items[:, position + 1 :] = items[:, position + 1 :] % len(model.vocabulary) + 1
        times = batch.timestamps
        if times is not None:
            later = torch.arange(length, device=times.device) > position
            times = times + 12_345 * later
        after = _hidden(model, replace(batch, items=items, timestamps=times))
        _same(
            before[:, : position + 1],
            after[:, : position + 1],
            f"causality: changing the events after position {position} moves results before them; "
            "look for attention without a causal mask, a convolution padded on both sides, or a "
            "mean over the whole history, or claim causal=False",
        )


def check_padding_invariance(model: SequenceModel) -> None:
    """More padding on the right changes nothing for the real events."""
    model = _shaken(model)
    batch = example_batch(model)
    length = int(batch.lengths[1:].max())
    rows = slice(1, None)
    wide = SequenceBatch(
        batch.items[rows],
        batch.lengths[rows],
        None if batch.timestamps is None else batch.timestamps[rows],
    )
    narrow = SequenceBatch(
        wide.items[:, :length],
        wide.lengths,
        None if wide.timestamps is None else wide.timestamps[:, :length],
    )
    _same(
        _last(model, wide),
        _last(model, narrow),
        "padding: the vector of the newest event depends on how far the batch is padded; use "
        "batch.mask or batch.lengths wherever positions are summed or normalised",
    )


def check_batch_invariance(model: SequenceModel) -> None:
    """A history gets the same vector alone and among others."""
    model = _shaken(model)
    batch = example_batch(model)
    together = _last(model, batch)
    for row in range(len(batch.lengths)):
        one = slice(row, row + 1)
        times = None if batch.timestamps is None else batch.timestamps[one]
        alone = SequenceBatch(batch.items[one], batch.lengths[one], times)
        _same(
            _last(model, alone),
            together[one],
            f"batch: history {row} gets another vector alone than among others; look for a norm or "
            "a mean over the batch, or a squeeze that breaks at batch size 1",
        )


def check_last(model: SequenceModel) -> None:
    """``last`` is the gather of ``forward`` at the newest event."""
    model = _shaken(model)
    batch = example_batch(model)
    _same(
        _last(model, batch),
        batch.gather_last(_hidden(model, batch)),
        "last: Backbone.last differs from the newest position of forward",
    )


def check_lengths(model: SequenceModel) -> None:
    """Histories of one event, batches of one, and the shapes promised."""
    width = model.embedder.item_table.shape[1]
    for rows, length in ((1, 1), (3, 1), (1, 7)):
        batch = example_batch(model, rows, length)
        for what, found, expected in (
            ("forward", _hidden(model, batch), (rows, batch.items.shape[1], width)),
            ("last", _last(model, batch), (rows, width)),
        ):
            if tuple(found.shape) != expected:
                raise ConformanceError(
                    f"shape: {what} of {rows} histories of {length} events gives "
                    f"{tuple(found.shape)}, expected {expected}"
                )


def check_streaming(model: SequenceModel) -> None:
    """Event by event gives what the whole sequence gives, and users share no state."""
    if not model.backbone.streaming:
        return
    model = _shaken(model)
    batch = example_batch(model, rows=3, ragged=False)
    whole = _hidden(model, batch)
    _same(
        _stepped(model, batch, interleaved=False),
        whole,
        "streaming: step by step differs from the whole sequence; compare what step() keeps with "
        "what forward() reads (convolution tail, running sums, elapsed time)",
    )
    _same(
        _stepped(model, batch, interleaved=True),
        whole,
        "streaming: two sessions at once disturb each other; step() must return a new state and "
        "leave the one it was given alone",
    )


def check_gradients(model: SequenceModel) -> None:
    """Every parameter gets a gradient that is a number, from a loss over the newest events."""
    batch = example_batch(model, rows=8)
    was_training = model.training
    model.train()
    model.zero_grad()
    try:
        targets = batch.items[:, 0]
        loss = model.head.loss(model.last(batch), targets)
        if model.backbone.causal:
            hidden = model(batch)[batch.mask]
            loss = loss + model.head.loss(hidden, batch.items[batch.mask])
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            if parameter.grad is None or not bool(parameter.grad.abs().sum() > 0):
                raise ConformanceError(
                    f"gradient: the loss does not reach parameter '{name}'; use it or remove it"
                )
            if not bool(parameter.grad.isfinite().all()):
                raise ConformanceError(f"gradient: that of parameter '{name}' is not a number")
    finally:
        model.zero_grad()
        model.train(was_training)


def check_determinism(model: SequenceModel) -> None:
    """A fixed seed makes the same weights, and scoring twice gives the same vectors."""
    twins = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            twins.append(
                SequenceModel.build(model.architecture, model.config, model.vocabulary).eval()
            )
    for (name, one), other in zip(twins[0].named_parameters(), twins[1].parameters(), strict=True):
        if not torch.equal(one, other):
            raise ConformanceError(f"seed: parameter '{name}' differs under one seed")
    batch = example_batch(model)
    if not torch.equal(_last(model, batch), _last(model, batch)):
        raise ConformanceError("seed: two passes in evaluation mode differ; is dropout left on?")


def check_round_trip(model: SequenceModel) -> None:
    """Saving and loading keeps settings and scores."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder) / "model")
        again = SequenceModel.from_pretrained(Path(folder) / "model")
    if again.config != model.config:
        raise ConformanceError(
            "config: settings change when saved and loaded; use plain numbers, texts and lists"
        )
    batch = example_batch(model)
    if not torch.equal(_last(again.to(model.device), batch), _last(model, batch)):
        raise ConformanceError(
            "round trip: a loaded model scores differently; keep all state in parameters or buffers"
        )


def check_settings(model: SequenceModel) -> None:
    """No part's own default is lost to another's, and the architecture's recipe can be trained."""
    everything = catalogue()
    spec = choose_head(everything.architectures.get(model.architecture), model.config, everything)
    first: dict[str, tuple[str, object]] = {}
    for part in parts_of(spec, everything):
        for name, value in asdict(part.load_config()()).items():
            owner, taken = first.setdefault(name, (part.name, value))
            if value != taken and name not in spec.defaults:
                raise ConformanceError(
                    f"settings: '{name}' is {taken!r} in '{owner}' and {value!r} in "
                    f"'{part.name}', which share it; say which in the architecture's defaults="
                )
    try:
        structure(TrainConfig, spec.recipe, "train")
    except SeqzooError as error:
        raise ConformanceError(
            f"settings: the recipe of architecture '{spec.name}' cannot be trained: {error}"
        ) from None


def check_claims(model: SequenceModel) -> None:
    """What was registered is what the default configuration says of itself."""
    everything = catalogue()
    architecture = everything.architectures.get(model.architecture)
    spec = everything.backbones.get(architecture.backbone)
    with torch.random.fork_rng(devices=[]):
        default = SequenceModel.build(model.architecture, {}, model.vocabulary).backbone
    for claim in ("causal", "streaming", "uses_time"):
        said, found = getattr(spec, claim), getattr(default, claim)
        if said != found:
            raise ConformanceError(
                f"claims: backbone '{spec.name}' is registered with {claim}={said}, its class says "
                f"{claim}={found}"
            )
    model = _shaken(model)
    batch = example_batch(model)
    times = None
    if batch.timestamps is not None:
        # Bent, not only stretched: a layer that normalises gaps would not see the latter.
        elapsed = batch.timestamps - batch.timestamps[:, :1]
        times = (batch.timestamps + elapsed.square()) * (batch.timestamps > 0)
    moved = not torch.equal(_last(model, batch), _last(model, replace(batch, timestamps=times)))
    if moved and not model.backbone.uses_time:
        raise ConformanceError("claims: results depend on timestamps, but uses_time is False")
    if model.backbone.uses_time and not moved:
        raise ConformanceError(
            "claims: uses_time is True, but other timestamps change nothing; read "
            "batch.timestamps, or claim uses_time=False"
        )
    _check_max_length(model)


def _check_max_length(model: SequenceModel) -> None:
    """A backbone without a longest history takes one that is longer than what the model reads."""
    if model.backbone.max_length is not None or model.embedder.max_length is not None:
        return
    length = model.max_length + 5
    items = torch.randint(1, len(model.vocabulary) + 1, (2, length))
    times = torch.arange(length).expand(2, -1) * 60
    batch = SequenceBatch(items, torch.tensor([length, 1]), times).to(model.device)
    found = tuple(_hidden(model, batch).shape[:2])
    if found != (2, length):
        raise ConformanceError(
            f"claims: max_length is None, but {length} events give {found[1]} vectors; state the "
            "longest history as max_length"
        )


CHECKS: dict[str, Callable[[SequenceModel], None]] = {
    "lengths": check_lengths,
    "settings": check_settings,
    "claims": check_claims,
    "causality": check_causality,
    "padding invariance": check_padding_invariance,
    "batch invariance": check_batch_invariance,
    "last": check_last,
    "streaming": check_streaming,
    "gradients": check_gradients,
    "determinism": check_determinism,
    "round trip": check_round_trip,
}
"""Every check by name, in the order in which they are run."""


def check_model(model: SequenceModel) -> None:
    """Run every check that applies.

    Raises:
        ConformanceError: the first promise that is not kept.
    """
    for check in CHECKS.values():
        check(model)


def _shaken(model: SequenceModel) -> SequenceModel:
    """A copy with every parameter moved: fresh ones are near zero and would hide what they do."""
    shaken = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in shaken.parameters():
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float32)
            parameter.add_((_SHAKE * noise).to(parameter))
    return shaken


def _hidden(model: SequenceModel, batch: SequenceBatch) -> Tensor:
    with torch.inference_mode():
        hidden: Tensor = model.eval()(batch)
        return hidden


def _last(model: SequenceModel, batch: SequenceBatch) -> Tensor:
    with torch.inference_mode():
        return model.eval().last(batch)


def _stepped(model: SequenceModel, batch: SequenceBatch, interleaved: bool) -> Tensor:
    """All positions by ``step`` [B, L, D]; interleaved with a second session of other events."""
    model.eval()
    rows, length = batch.items.shape
    states: list[tuple[State, State]] = [
        (None, model.backbone.initial_state(rows)) for _ in range(1 + interleaved)
    ]
    outputs = []
    with torch.inference_mode():
        for t in range(length):
            elapsed = None
            if batch.timestamps is not None:
                previous = batch.timestamps[:, max(t - 1, 0)]
                elapsed = batch.timestamps[:, t] - previous
            for session, (embedder_state, backbone_state) in enumerate(states):
                items = batch.items[:, t] if session == 0 else batch.items[:, -1 - t]
                vectors, embedder_state = model.embedder.step(items, embedder_state)
                hidden, backbone_state = model.backbone.step(vectors, backbone_state, elapsed)
                states[session] = (embedder_state, backbone_state)
                if session == 0:
                    outputs.append(hidden)
    return torch.stack(outputs, 1)


def _same(found: Tensor, expected: Tensor, message: str) -> None:
    difference = float((found - expected).abs().max())
    scale = max(1.0, float(expected.abs().max()))
    if not difference <= TOLERANCE * scale:
        raise ConformanceError(f"{message} (largest difference {difference:.2g})")
