"""Checks of a whole model on small random histories.

Each takes a model and returns None, or raises ``ConformanceError`` with what was found, what was
expected and where to look.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from seqzoo.config import choose_parts, parts_of, structure
from seqzoo.errors import SeqzooError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.streaming import streams
from seqzoo.plugins import catalogue
from seqzoo.testing.context import check_answers, check_context_is_read, check_query_times
from seqzoo.testing.errors import ConformanceError
from seqzoo.testing.fitting import check_fit
from seqzoo.testing.items import build, check_item_features, check_new_items
from seqzoo.testing.probes import (
    example_batch,
    hidden_of,
    initial_states,
    last_of,
    perturbed,
    require_equal,
    select_rows,
    step_once,
    stepped,
    with_context,
)
from seqzoo.training.recipe import TrainConfig

__all__ = [
    "CHECKS",
    "check_batch_invariance",
    "check_capabilities",
    "check_causality",
    "check_determinism",
    "check_gradients",
    "check_last",
    "check_lengths",
    "check_model",
    "check_padding_invariance",
    "check_round_trip",
    "check_settings",
    "check_streaming",
]

_LONG = 1000
"""Sequence length that is tested if neither the parts nor the settings set a maximum."""


def check_causality(model: SequenceModel) -> None:
    """A causal backbone: changes after a position do not affect the results up to it.

    Later items are replaced; later timestamps are shifted, redrawn, compressed and stretched; later
    features are exchanged. The times of the requests up to the position stay, and then only that of
    each position moves, which no earlier one may notice. This is done in evaluation mode and, with
    the same dropout masks, in train mode.
    """
    if not model.backbone.causal:
        return
    model = perturbed(model)
    batch = example_batch(model, ragged=False)
    length = batch.items.shape[1]
    for training in (False, True):
        mode = "train" if training else "evaluation"
        before = hidden_of(model, batch, training)
        for position in sorted({0, length // 2, length - 2} - {-1, length - 1}):
            for what, other in _other_futures(batch, position, len(model.vocabulary)):
                require_equal(
                    hidden_of(model, other, training)[:, : position + 1],
                    before[:, : position + 1],
                    f"causality: in {mode} mode, other {what} after position {position} change "
                    "results up to it; look for attention without a causal mask, a convolution "
                    "padded on both sides, or a statistic of the whole history (a mean, the "
                    "smallest gap), or set causal=False",
                )
        if batch.query_times is not None:
            check_query_times(model, batch, before, training)


def _other_futures(
    batch: SequenceBatch, position: int, num_items: int
) -> Iterator[tuple[str, SequenceBatch]]:
    """The same histories up to a position with something else after it, and what that is."""
    items = batch.items.clone()
    items[:, position + 1 :] = items[:, position + 1 :] % num_items + 1
    yield "items", replace(batch, items=items)
    if batch.features:
        # The values of later events in another order.
        end = items.shape[1]
        order = torch.tensor([*range(position + 1), *range(end - 1, position, -1)])
        features = {
            name: values[:, order.to(values.device)] for name, values in batch.features.items()
        }
        yield "features", replace(batch, features=features)
    if batch.timestamps is None:
        return
    gaps = batch.timestamps[:, position + 1 :].diff(dim=1, prepend=batch.timestamps[:, [position]])
    draw = torch.Generator().manual_seed(1)
    redrawn = torch.randint(0, 100_000, tuple(gaps.shape), generator=draw).to(gaps)
    shifted = gaps.clone()
    shifted[:, 0] += 12_345
    for what, later in (
        ("timestamps (shifted by a constant)", shifted),
        ("timestamps (redrawn)", redrawn),
        ("timestamps (one second apart)", torch.ones_like(gaps)),
        ("timestamps (gaps 100 times as long)", 100 * gaps),
    ):
        timestamps = batch.timestamps.clone()
        timestamps[:, position + 1 :] = timestamps[:, [position]] + later.cumsum(1)
        # Query times stay: that of a position may be the time of the event after it.
        yield what, replace(batch, timestamps=timestamps)


def check_padding_invariance(model: SequenceModel) -> None:
    """More padding on the right changes nothing for the real events."""
    model = perturbed(model)
    # Without the first history, which has the full length, the others can be padded less.
    wide = example_batch(model).take(slice(1, None))
    length = int(wide.lengths.max())
    times, queries = wide.timestamps, wide.query_times
    narrow = replace(
        wide,
        items=wide.items[:, :length],
        timestamps=None if times is None else times[:, :length],
        query_times=None if queries is None else queries[:, :length],
        features={name: values[:, :length] for name, values in wide.features.items()},
    )
    require_equal(
        last_of(model, wide),
        last_of(model, narrow),
        "padding: the vector of the newest event depends on how far the batch is padded; use "
        "batch.mask or batch.lengths wherever positions are summed or normalised",
    )


def check_batch_invariance(model: SequenceModel) -> None:
    """A history gets the same vector alone and in a batch."""
    model = perturbed(model)
    batch = example_batch(model)
    together = last_of(model, batch)
    for row in range(len(batch.lengths)):
        one = slice(row, row + 1)
        require_equal(
            last_of(model, batch.take(one)),
            together[one],
            f"batch: the vector of history {row} differs alone and in a batch; look for a norm or "
            "a mean over the batch, or a squeeze that breaks at batch size 1",
        )


def check_last(model: SequenceModel) -> None:
    """``last`` equals ``forward`` at the newest event."""
    model = perturbed(model)
    batch = example_batch(model)
    require_equal(
        last_of(model, batch),
        batch.gather_last(hidden_of(model, batch)),
        "last: Backbone.last differs from forward at the newest event",
    )


def check_lengths(model: SequenceModel) -> None:
    """Histories of one event, batches of one history, and the shapes of the results."""
    width = model.embedder.item_table.shape[1]
    for rows, length in ((1, 1), (3, 1), (1, 7)):
        batch = example_batch(model, rows, length)
        for what, found, expected in (
            ("forward", hidden_of(model, batch), (rows, batch.items.shape[1], width)),
            ("last", last_of(model, batch), (rows, width)),
        ):
            if tuple(found.shape) != expected:
                raise ConformanceError(
                    f"shape: {what} of {rows} histories of {length} events gives "
                    f"{tuple(found.shape)}, expected {expected}"
                )


def check_streaming(model: SequenceModel) -> None:
    """Event by event gives the same as the whole sequence, and users do not share state.

    The state has the batch first, so that users can be taken out of it.
    """
    # What steps do not get, sessions read from the window.
    if not streams(model):
        return
    model = perturbed(model)
    batch = example_batch(model, rows=3, ragged=False)
    whole = hidden_of(model, batch)
    require_equal(
        stepped(model, batch),
        whole,
        "streaming: step by step differs from the whole sequence; compare what step() keeps with "
        "what forward() reads (inputs of a convolution, running sums, elapsed time)",
    )
    require_equal(
        stepped(model, batch, interleaved=True),
        whole,
        "streaming: two sessions that run in turn change each other's results; step() must return "
        "a new state and not modify the one it was given",
    )
    order, count = torch.tensor([2, 0, 1], device=batch.items.device), len(batch.items)
    reordered = batch.take(order)
    states = initial_states(model, count)
    select_rows(states, order, count)
    for t in range(batch.items.shape[1] - 1):
        _, states = step_once(model, batch, t, states)
        hidden, _ = step_once(model, reordered, t + 1, select_rows(states, order, count))
        require_equal(
            hidden,
            whole[order, t + 1],
            "streaming: a state that is reordered along the first dimension of its tensors does "
            "not give the users' results in that order; the first dimension must be the batch",
        )
    if model.reads.query_times:
        check_answers(model)


def check_gradients(model: SequenceModel) -> None:
    """Every parameter gets a gradient from the loss in train mode, and a finite one.

    In a fresh model a gradient may be zero because something else is: a gate that starts closed,
    item features before there are data. It counts as missing only if it stays zero after noise has
    been added to all parameters and to buffers of zeros. A head in closed form has no loss.
    """
    if model.head.closed_form:
        return
    fresh = _gradients(model)
    moved = _gradients(perturbed(model, buffers=True))
    for name, gradient in fresh.items():
        if gradient is not None and not bool(gradient.isfinite().all()):
            raise ConformanceError(f"gradient: that of parameter '{name}' is NaN or infinite")
        if not any(g is not None and bool(g.any()) for g in (gradient, moved[name])):
            raise ConformanceError(
                f"gradient: the loss does not depend on parameter '{name}'; use it or remove it"
            )


def _gradients(model: SequenceModel) -> dict[str, torch.Tensor | None]:
    """The gradient of every parameter, from a loss over the newest events and all positions."""
    batch = example_batch(model, rows=8)
    parameters = dict(model.named_parameters())
    was_training = model.training
    model.train()
    try:
        # As the objective reads histories: only so a vector of hidden events is used.
        loss = model.head.loss(model.read(batch), batch.items[:, 0])
        if model.backbone.causal:
            hidden = model(batch)[batch.mask]
            loss = loss + model.head.loss(hidden, batch.items[batch.mask])
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    finally:
        model.train(was_training)
    return dict(zip(parameters, gradients, strict=True))


def check_determinism(model: SequenceModel) -> None:
    """A fixed seed gives the same weights, and two passes in evaluation mode the same vectors."""
    twins = []
    for _ in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            twins.append(build(model.architecture, model.config, model.vocabulary).eval())
    for (name, one), other in zip(twins[0].named_parameters(), twins[1].parameters(), strict=True):
        if not torch.equal(one, other):
            raise ConformanceError(f"seed: parameter '{name}' differs under the same seed")
    batch = example_batch(model)
    if not torch.equal(last_of(model, batch), last_of(model, batch)):
        raise ConformanceError(
            "seed: two passes in evaluation mode differ; does dropout ignore self.training?"
        )


def check_round_trip(model: SequenceModel) -> None:
    """Saving and loading keeps settings and scores."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder) / "model")
        again = SequenceModel.from_pretrained(Path(folder) / "model")
    if again.config != model.config:
        raise ConformanceError(
            "config: settings change when saved and loaded; use plain numbers, strings and lists"
        )
    batch = example_batch(model)
    with torch.inference_mode():
        same = torch.equal(again.to(model.device).read(batch), model.eval().read(batch))
    if not same:
        raise ConformanceError(
            "round trip: a loaded model scores differently; keep all state in parameters or buffers"
        )


def check_settings(model: SequenceModel) -> None:
    """Parts that share a setting agree on its default; the architecture's recipe is valid."""
    everything = catalogue()
    spec = choose_parts(everything.architectures.get(model.architecture), model.config, everything)
    first: dict[str, tuple[str, object]] = {}
    for part in parts_of(spec, everything):
        for name, value in asdict(part.load_config()()).items():
            owner, taken = first.setdefault(name, (part.name, value))
            if value != taken and name not in spec.defaults:
                raise ConformanceError(
                    f"settings: '{name}' is {taken!r} in '{owner}' and {value!r} in "
                    f"'{part.name}', which share it; set it in the architecture's defaults="
                )
    try:
        structure(TrainConfig, spec.recipe, "train")
    except SeqzooError as error:
        raise ConformanceError(
            f"settings: the recipe of architecture '{spec.name}' cannot be trained: {error}"
        ) from None


def check_capabilities(model: SequenceModel) -> None:
    """The registered capabilities are those of the class, and results agree with them."""
    everything = catalogue()
    architecture = everything.architectures.get(model.architecture)
    spec = everything.backbones.get(architecture.backbone)
    with torch.random.fork_rng(devices=[]):
        default = build(model.architecture, {}, model.vocabulary).backbone
    for capability in ("causal", "streaming", "uses_time", "uses_query_time"):
        registered, found = getattr(spec, capability), getattr(default, capability)
        if registered != found:
            raise ConformanceError(
                f"capabilities: backbone '{spec.name}' is registered with {capability}="
                f"{registered}, its class has {capability}={found}"
            )
    model = perturbed(model)
    batch = example_batch(model)
    timestamps = None
    if batch.timestamps is not None:
        # Squared, not only scaled: a layer that normalises gaps would not notice a scale.
        elapsed = batch.timestamps - batch.timestamps[:, :1]
        timestamps = (batch.timestamps + elapsed.square()) * (batch.timestamps > 0)
    other = replace(batch, timestamps=timestamps)
    moved = not torch.equal(last_of(model, batch), last_of(model, other))
    if moved and not model.backbone.uses_time:
        raise ConformanceError("capabilities: results depend on timestamps, but uses_time is False")
    if model.backbone.uses_time and not moved:
        raise ConformanceError(
            "capabilities: uses_time is True, but other timestamps change nothing; read "
            "batch.timestamps, or set uses_time=False"
        )
    check_context_is_read(model, batch)
    _check_max_length(model)


def _check_max_length(model: SequenceModel) -> None:
    """Parts without a maximum sequence length take more events than the model reads."""
    if model.backbone.max_length is not None or model.embedder.max_length is not None:
        return
    length = min(model.max_length, _LONG) + 5
    items = torch.randint(1, len(model.vocabulary) + 1, (2, length))
    timestamps = torch.arange(length).expand(2, -1) * 60
    plain = SequenceBatch(items, torch.tensor([length, 1]), timestamps)
    batch = with_context(model, plain, torch.Generator().manual_seed(0)).to(model.device)
    found = tuple(hidden_of(model, batch).shape[:2])
    if found != (2, length):
        raise ConformanceError(
            f"capabilities: max_length is None, but {length} events give {found[1]} vectors; set "
            "max_length to the longest sequence that the backbone takes"
        )


CHECKS: dict[str, Callable[[SequenceModel], None]] = {
    "lengths": check_lengths,
    "settings": check_settings,
    "capabilities": check_capabilities,
    "causality": check_causality,
    "padding invariance": check_padding_invariance,
    "batch invariance": check_batch_invariance,
    "last": check_last,
    "streaming": check_streaming,
    "gradients": check_gradients,
    "fit": check_fit,
    "determinism": check_determinism,
    "round trip": check_round_trip,
    "item features": check_item_features,
    "new items": check_new_items,
}
"""Every check by name, in the order in which they run."""


def check_model(model: SequenceModel) -> None:
    """Run every check that applies.

    Raises:
        ConformanceError: the first check that fails.
    """
    for check in CHECKS.values():
        check(model)
