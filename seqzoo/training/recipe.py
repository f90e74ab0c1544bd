"""Recipes: everything that training needs, as data; ``seqzoo train recipe.yaml`` runs one."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from seqzoo.checkpoint.recipe_file import parse_recipe
from seqzoo.checkpoint.schemas import GivenRecipe, RecipeSections
from seqzoo.config import model_config, structure
from seqzoo.data.datasets import source_name
from seqzoo.data.interactions import Interactions
from seqzoo.data.prepare import DataConfig, settings_of_source
from seqzoo.data.readers.memory import InMemory
from seqzoo.errors import CheckpointError, ConfigError, SeqzooError
from seqzoo.parts.config import check_choice, check_range
from seqzoo.plugins import catalogue
from seqzoo.storage.documents import match
from seqzoo.training.start import Start

__all__ = [
    "PRECISIONS",
    "SCHEDULES",
    "Recipe",
    "TrainConfig",
    "differences",
    "read_recipe_file",
    "table_in",
]

logger = logging.getLogger("seqzoo")

SCHEDULES = ("constant", "linear", "cosine")
PRECISIONS = ("no", "bf16", "fp16")
HOLD_OUT = ("split", "none")
PARTS = ("embedder", "backbone", "head")
_REMEDY = (
    "a setting belongs to 'model', 'data' or 'train', for example train.lr=5e-4; "
    "`seqzoo train FILE` reads a recipe from a file"
)
_MOST_THREADS = 1024
"""torch ends the process, without an exception, when it cannot start its threads."""


@dataclass
class TrainConfig:
    """How a model is trained.

    Attributes:
        epochs: maximum number of passes over all interactions; schedules end there.
        batch_size: number of windows of ``max_length`` events in a batch, over all processes; a
            batch of shorter windows has more of them, with the same total number of positions.
        lr: maximum learning rate of AdamW.
        schedule: ``constant``, or falling to zero at the last epoch: ``linear``, ``cosine``.
        warmup: epochs (or a fraction of one) in which the learning rate rises from zero.
        weight_decay: decoupled weight decay of matrices.
        sparse_table: update only the rows of the item table that a batch reads, each with AdamW
            steps of its own. For large catalogues, with a loss that samples items.
        clip_norm: maximum norm of the gradient; 0 does not clip.
        shift_windows: cut long histories at different positions in every epoch.
        context: number of events that every window of a long history reads before its first
            target, and by which windows overlap; less than the model's ``max_length``.
        patience: stop after this many epochs without a better validation metric.
        metric: validation metric that selects the best epoch.
        seed: random seed of weights, order and dropout.
        threads: number of CPU threads; 0 takes torch's default. The stored recipe has the number
            used, because results are the same bit for bit only with the same number.
        precision: ``no`` is float32; ``bf16`` and ``fp16`` are mixed precision.
        protocols: protocols under which the finished checkpoint is measured on the test items.
        adapt: derive unset settings from the data, see ``seqzoo.training.defaults``.
        baselines: fit the registered baselines too, measure them on the same test items, and warn
            if the model does not beat them.
        hold_out: ``split`` keeps validation and test items out of training, as the protocols' split
            says; ``none`` trains on all events for exactly ``epochs`` epochs, without validation
            and without stored metrics.
        freeze: parts whose weights stay as they are: ``embedder``, ``backbone``, ``head``.
        replay: number of older events that are trained on again for each newer one, in every epoch;
            needs ``data.replay_source``.
    """

    epochs: int = 100
    batch_size: int = 32
    lr: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.0
    weight_decay: float = 0.0
    sparse_table: bool = False
    clip_norm: float = 0.0
    shift_windows: bool = True
    context: int = 0
    patience: int = 10
    metric: str = "ndcg@10"
    seed: int = 0
    threads: int = 0
    precision: str = "no"
    protocols: list[str] = field(default_factory=lambda: ["loo-full", "loo-full-unseen"])
    adapt: bool = True
    baselines: bool = True
    hold_out: str = "split"
    freeze: list[str] = field(default_factory=list)
    replay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            check_range(name, getattr(self, name), 1)
        for name in ("warmup", "weight_decay", "clip_norm", "context", "replay"):
            check_range(name, getattr(self, name), 0)
        check_range("threads", self.threads, 0, _MOST_THREADS, closed=True)
        check_range("seed", self.seed, 0, 2**32)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("hold_out", self.hold_out, HOLD_OUT)
        for part in self.freeze:
            check_choice("freeze", part, PARTS)
        if not self.protocols:
            raise ConfigError("setting 'protocols' is empty; name one, loo-full for example")
        if self.lr <= 0:
            raise ConfigError(f"setting 'lr' is {self.lr}; expected more than 0")


@dataclass(frozen=True)
class Recipe:
    """Everything that reproduces a checkpoint.

    Attributes:
        architecture: registered name.
        model: resolved settings of the model.
        data: which interactions it is trained on.
        train: how it is trained.
        start: the checkpoint that training starts from; None for new weights.
        given: names of the settings that were given (``train.lr``); None if none of the others
            depends on the data.
        chosen: value and reason of each data-dependent setting, by its name.
    """

    architecture: str
    model: Mapping[str, Any]
    data: DataConfig
    train: TrainConfig
    start: Start | None = None
    given: frozenset[str] | None = field(default=None, compare=False)
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        values: Mapping[str, Any],
        source: str | Path | Interactions | InMemory | None = None,
    ) -> "Recipe":
        """Check plain values and complete them with the architecture's defaults.

        Args:
            values: sections by name, as in ``recipe.yaml``.
            source: what takes the place of ``data.source``.

        Raises:
            ConfigError: a section or a setting is unknown or has the wrong type.
            UnknownNameError: no architecture has the name.
        """
        try:
            sections = match("the recipe", values, GivenRecipe, _REMEDY)
        except CheckpointError as error:
            raise ConfigError(str(error)) from None
        everything = catalogue()
        start = None if sections.start is None else Start.open(sections.start)
        if start is not None:
            sections = _completed(sections, start, source)
        spec = everything.architectures.get(sections.architecture)
        section = dict(sections.data)
        if source is not None:
            section["source"] = source_name(source)
        section = {**settings_of_source(section.get("source")), **section}
        for key in ("replay_source", "item_features"):
            if section.get(key) is not None:
                section[key] = source_name(section[key])
        data = structure(DataConfig, section, "data")
        if not data.source and start is not None:
            raise ConfigError(
                f"no newer data given to continue from {start.source}; name them: --data NEWER (to "
                f"train its own recipe again: seqzoo train {start.source}/recipe.yaml)"
            )
        if not data.source:
            raise ConfigError(
                "no data given; name a data set or a file with --data "
                f"(data sets: {', '.join(everything.datasets.names())})"
            )
        train = structure(TrainConfig, {**spec.recipe, **sections.train}, "train")
        _check_epochs(train, sections.train)
        model = model_config(spec, sections.model, everything)
        if start is not None:
            # Its settings are those of the start and do not depend on the newer data.
            start.check_settings(model)
            return cls(spec.name, model, data, train, start)
        now = {
            f"{name}.{key}": value
            for name, own in (("model", model), ("train", asdict(train)))
            for key, value in own.items()
        }
        given = frozenset(
            f"{name}.{key}"
            for name, own in (("model", sections.model), ("train", sections.train))
            for key in own
        )
        # A stored reason is kept as long as its value is.
        chosen = {
            key: why for key, why in sections.chosen.items() if now.get(key) == why.get("value")
        }
        return cls(spec.name, model, data, train, None, given, chosen)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in ``recipe.yaml``."""
        return {
            "architecture": self.architecture,
            "model": dict(self.model),
            "data": {key: value for key, value in asdict(self.data).items() if value is not None},
            "train": asdict(self.train),
            **({} if self.start is None else {"start": self.start.to_dict()}),
            **({"chosen": dict(self.chosen)} if self.chosen else {}),
        }

    def asked_for(self) -> dict[str, Any]:
        """Plain values without those that a run adds: the data's fingerprint and the threads."""
        values = self.to_dict()
        values["data"].pop("fingerprint", None)
        values["train"].pop("threads")
        values.pop("chosen", None)
        return values


def _completed(sections: RecipeSections, start: Start, source: object) -> RecipeSections:
    """The sections of a recipe with what they take from the checkpoint that it starts from."""
    given = {"model": sections.model, "data": sections.data, "train": sections.train}
    names = [each.name for each in fields(TrainConfig)]
    source = sections.data.get("source") if source is None else source
    return RecipeSections(
        architecture=start.check_architecture(sections.architecture),
        start=sections.start,
        **start.defaults(given, names, source),
    )


def _check_epochs(train: TrainConfig, given: Mapping[str, Any]) -> None:
    """Without validation nothing stops a run early, so the number of epochs must be given."""
    if train.hold_out == "none" and "epochs" not in given:
        raise ConfigError(
            "train.hold_out=none trains without validation for a fixed number of epochs: set it, "
            "for example train.epochs=20, the best epoch of an earlier run with validation"
        )


def differences(stored: Mapping[str, Any], asked_for: Mapping[str, Any]) -> list[str]:
    """The differences between a run's stored recipe and another one, as text.

    A setting that an older version did not store has its default, so that a run of that version
    resumes unless the new setting is used.
    """
    # Its start is compared, not read: a stored recipe is complete without it.
    own = {key: value for key, value in stored.items() if key != "start"}
    try:
        known = Recipe.make(own).asked_for()
    except SeqzooError as error:
        return [f"that this version cannot run: {error}"]
    if "start" in stored:
        known["start"] = stored["start"]
    found = []
    for section in {**asked_for, **known}:
        here, there = asked_for.get(section, {}), known.get(section, {})
        if not (isinstance(here, Mapping) and isinstance(there, Mapping)):
            here, there = {"": here}, {"": there}
        for key in sorted(here.keys() | there.keys()):
            one, two = there.get(key, "not set"), here.get(key, "not set")
            if one != two:
                name = f"{section}.{key}" if key else section
                found.append(f"{name} is {one} there and {two} here")
    return found


def read_recipe_file(path: str | Path) -> dict[str, Any]:
    """The plain values of a recipe file.

    Raises:
        ConfigError: the file cannot be read.
        CheckpointError: it is not plain YAML.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"recipe {path} cannot be read: {error.strerror}") from None
    return dict(parse_recipe(path, content))


def table_in(recipe: Mapping[str, Any], key: str) -> Any:
    """The table in memory in a recipe's data section, or None."""
    section = recipe.get("data")
    source = section.get(key) if isinstance(section, Mapping) else None
    return None if isinstance(source, str) else source
