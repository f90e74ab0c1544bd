"""Checks of a registered objective, with a model that reveals everything its rows read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqzoo.config import structure
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import Split
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError
from seqzoo.interfaces import MASK, Backbone, Embedder, Head, SequenceBatch
from seqzoo.model.build import Parts
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.objectives.base import Inputs, Objective, WindowSettings
from seqzoo.parts.embedders import ItemEmbedder
from seqzoo.parts.layers import init_linear
from seqzoo.plugins import catalogue
from seqzoo.specs import ArchitectureSpec, BackboneSpec, PartSpec
from seqzoo.testing.errors import ConformanceError

__all__ = [
    "CausalMixer",
    "Maskless",
    "Mixer",
    "MixerConfig",
    "TwoSidedMixer",
    "check_needs",
    "check_objective",
    "check_objective_round_trip",
    "check_one_seed",
    "check_query",
    "check_targets_are_hidden",
    "readable",
]

_ITEMS = 60
_LENGTH = 8
_USERS = 20
_SELF = "seqzoo.testing.objectives"


@dataclass
class MixerConfig:
    """Settings of the backbones that objectives are checked with."""

    hidden_size: int = 16


class Mixer(Backbone):
    """The mean of what a position may read: a small backbone of either kind."""

    streaming = False

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.mix = nn.Linear(config.hidden_size, config.hidden_size)
        init_linear(self)

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        """All positions: [B, L, D] -> [B, L, D]."""
        return self.mix(hidden + readable(hidden, batch, self.causal))  # type: ignore[no-any-return]


class CausalMixer(Mixer):
    """Every position reads the positions up to it."""

    causal = True


class TwoSidedMixer(Mixer):
    """Every position reads the whole history."""

    causal = False


def readable(values: Tensor, batch: SequenceBatch, causal: bool) -> Tensor:
    """The sum of what each position may read: [B, L, D] -> [B, L, D]."""
    values = values * batch.mask[..., None]
    return values.cumsum(1) if causal else values.sum(1, keepdim=True).expand_as(values)


class Maskless(ItemEmbedder):
    """An embedder that cannot hide events."""

    takes_mask = False


class _Identity(Embedder):
    """One-hot vectors, so that a sum of vectors shows which items are in it."""

    takes_mask = True

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("item_table", torch.eye(_ITEMS + 1))
        self.mask_vector = nn.Parameter(torch.zeros(_ITEMS + 1))

    def forward(self, batch: SequenceBatch) -> Tensor:
        return self.look_up(batch.items)


class _Copier(Backbone):
    """Every position scores all items that it can read as high as possible."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal

    def forward(self, hidden: Tensor, batch: SequenceBatch) -> Tensor:
        return readable(hidden, batch, self.causal)


class _Witness(Head):
    """Scores are the vectors themselves; remembers the score of every target."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        self.seen.append(hidden.gather(1, targets[:, None])[:, 0])
        return nn.functional.cross_entropy(hidden, targets)


def check_objective(name: str) -> None:
    """Every check of a registered objective.

    Raises:
        ConformanceError: the first check that fails.
    """
    spec = catalogue().objectives.get(name)
    needs = _make(name, causal=True).needs | _make(name, causal=False).needs
    check_needs(name, needs)
    opposite = {True: "non-causal", False: "causal"}
    kinds = [causal for causal, word in opposite.items() if word not in needs]
    if not kinds:
        raise ConformanceError(
            f"objective '{spec.name}' needs {', '.join(sorted(needs))}, which no model can be"
        )
    for causal in kinds:
        check_one_seed(name, causal)
        check_targets_are_hidden(name, causal)
        check_query(name, causal)
        check_objective_round_trip(name, causal)


def check_needs(name: str, needs: frozenset[str]) -> None:
    """A model that lacks what an objective needs is refused by name when it is built."""
    both = "non-causal" not in needs
    lacking = {
        "causal": (False, "item"),
        "non-causal": (True, "item"),
        "mask": (both, "check-maskless"),
    }
    for need in sorted(needs & lacking.keys()):
        causal, embedder = lacking[need]
        try:
            with _architecture(name, causal, embedder) as architecture:
                _build(architecture)
        except ConfigError as error:
            if f"'{name}'" in str(error):
                continue
            raise ConformanceError(
                f"objective '{name}': the error for a model that lacks '{need}' does not name the "
                f"objective: {error}"
            ) from None
        raise ConformanceError(
            f"objective '{name}' needs '{need}', but a model that lacks it is built; let check() "
            "of the base class refuse it"
        )


def check_one_seed(name: str, causal: bool) -> None:
    """The same generators give the same batches, bit for bit."""
    first, again = (_inputs(name, causal) for _ in range(2))
    if len(first) != len(again) or not all(map(_same, first, again)):
        raise ConformanceError(
            f"objective '{name}': two epochs from the same generators differ; draw all random "
            "numbers from the generator that plan() and batch() are given"
        )


def check_targets_are_hidden(name: str, causal: bool) -> None:
    """No target can be read by its own row: a model that copies what it reads scores none.

    Every history has different items. The model of the check gives each item that a row may read
    the score of how often it reads it.
    """
    objective = _prepared(name, causal)
    head = _Witness()
    parts = Parts({}, _Identity(), _Copier(causal), head, objective)
    model = SequenceModel("check", parts, _vocabulary())
    targets = 0
    for inputs in _inputs(name, causal):
        loss = objective.loss(model, inputs)
        if loss.shape != () or not bool(loss.isfinite()):
            raise ConformanceError(
                f"objective '{name}': loss() returns {loss!r}; expected a finite scalar"
            )
        targets += inputs.count
    if not targets or not head.seen:
        raise ConformanceError(
            f"objective '{name}' trains on nothing: no batch has a target, or loss() never calls "
            "model.head.loss"
        )
    read = int(sum((score > 0).sum() for score in head.seen))
    if read:
        sides = "up to its position" if causal else "of the whole history"
        raise ConformanceError(
            f"objective '{name}': {read} of {targets} targets are among the items {sides} that "
            "their row reads, so a model learns to copy them; take them out of the inputs, or "
            f"train on fewer positions (backbone with causal={causal})"
        )


def check_query(name: str, causal: bool) -> None:
    """What is read for a recommendation ends with the whole history, or all of it that fits."""
    objective = _make(name, causal)
    lengths = [1, 2, _LENGTH - 1, _LENGTH]
    histories = [list(range(1, 1 + length)) for length in lengths]
    times = [[60 * position for position in range(length)] for length in lengths]
    batch = SequenceBatch.from_histories(histories, times)
    found = objective.query(batch, _LENGTH)
    width = found.items.shape[1]
    if width > _LENGTH or int(found.lengths.max()) > width or int(found.lengths.min()) < 1:
        raise ConformanceError(
            f"objective '{name}': query() of histories of at most {_LENGTH} events gives "
            f"{width} positions and lengths {found.lengths.tolist()}; expected at most {_LENGTH}"
        )
    for history, row, length in zip(
        histories, found.items.tolist(), found.lengths.tolist(), strict=True
    ):
        real = [item for item in row[:length] if item != MASK]
        # Room for what is added is made by dropping the oldest events.
        expected = history[-min(len(history), _LENGTH - (length - len(real))) :]
        if real != expected:
            raise ConformanceError(
                f"objective '{name}': query() turns the history {history} into {row[:length]}; "
                "real events must stay in their order, and only the oldest may be dropped, where "
                f"there is no room among {_LENGTH} events"
            )
    changed = not torch.equal(found.items, batch.items)
    if changed != objective.changes_history:
        raise ConformanceError(
            f"objective '{name}': changes_history is {objective.changes_history}, but query() "
            f"{'changes' if changed else 'does not change'} the history; sessions rely on it"
        )


def check_objective_round_trip(name: str, causal: bool) -> None:
    """Saving and loading keeps the objective, its settings, and the user vectors."""
    embedder = "item-position"
    with _architecture(name, causal, embedder) as architecture:
        model = _build(architecture).eval()
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(Path(folder) / "model")
            again = SequenceModel.from_pretrained(Path(folder) / "model")
        batch = SequenceBatch.from_histories([[3, 1, 2], list(range(1, _LENGTH + 1))])
        with torch.inference_mode():
            same = torch.equal(model.read(batch), again.read(batch))
        if again.objective_name != name or again.config != model.config or not same:
            raise ConformanceError(
                f"objective '{name}': a saved and loaded model has the objective "
                f"'{again.objective_name}' and {'the same' if same else 'other'} user vectors; "
                "keep everything in the settings"
            )


def _make(name: str, causal: bool) -> Objective:
    spec = catalogue().objectives.get(name)
    objective = spec.load()(structure(spec.load_config(), {}, name), _Copier(causal))
    if not isinstance(objective, Objective):
        raise ConformanceError(
            f"objective '{name}' is a {type(objective).__name__}; expected a subclass of "
            "seqzoo.objectives.Objective"
        )
    return objective


def _data() -> tuple[Sequences, Split]:
    """Histories of 2 to 3 windows and shorter ones, each with different items."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 3 * _LENGTH, _USERS)
    items = [generator.permutation(_ITEMS)[:length] + 1 for length in lengths]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    sequences = Sequences(
        np.concatenate(items).astype(np.int32), np.arange(offsets[-1]) * 60, offsets
    )
    users = np.arange(_USERS, dtype=np.int64)
    return sequences, Split(offsets[:-1], offsets[1:], np.full(_USERS, -1), users)


_WINDOWS = WindowSettings(max_length=_LENGTH, positions_per_batch=4 * _LENGTH, context=2)


def _prepared(name: str, causal: bool) -> Objective:
    return _make(name, causal).prepared(*_data(), _WINDOWS)


def _inputs(name: str, causal: bool) -> list[Inputs]:
    """The batches of one epoch."""
    objective, (sequences, split) = _prepared(name, causal), _data()
    plan = objective.plan(split, _WINDOWS, np.random.default_rng([0, 0]))
    return [
        objective.batch(sequences, windows, np.random.default_rng([0, 0, 1 + index]))
        for index, windows in enumerate(plan)
    ]


def _same(one: Inputs, other: Inputs) -> bool:
    if one.views.keys() != other.views.keys() or one.main.targets.shape != other.main.targets.shape:
        return False
    pairs = [(one.main.histories, other.main.histories)]
    pairs += [(one.views[key], other.views[key]) for key in one.views]
    return torch.equal(one.main.targets, other.main.targets) and all(
        torch.equal(a.items, b.items) and torch.equal(a.lengths, b.lengths) for a, b in pairs
    )


def _vocabulary() -> Vocabulary:
    return Vocabulary([f"item-{index}" for index in range(1, _ITEMS + 1)])


def _build(architecture: str) -> SequenceModel:
    settings: dict[str, Any] = {"hidden_size": 16, "max_length": _LENGTH}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SequenceModel.build(architecture, settings, _vocabulary())


@contextmanager
def _architecture(objective: str, causal: bool, embedder: str) -> Iterator[str]:
    """The name of a temporary architecture with an objective."""
    kind = "CausalMixer" if causal else "TwoSidedMixer"
    backbone = BackboneSpec(
        "check-mixer", _SELF, f"{_SELF}:{kind}", f"{_SELF}:MixerConfig", causal=causal
    )
    made = ArchitectureSpec(
        "check-objective", _SELF, embedder, backbone.name, "tied-softmax", objective=objective
    )
    maskless = PartSpec(
        "check-maskless", _SELF, f"{_SELF}:Maskless", "seqzoo.parts.config:ItemEmbedderConfig"
    )
    everything = catalogue()
    with (
        everything.embedders.lend(maskless),
        everything.backbones.lend(backbone),
        everything.architectures.lend(made),
    ):
        yield made.name
