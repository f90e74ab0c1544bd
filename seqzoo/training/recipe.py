"""A recipe: all settings of a training run; ``seqzoo train recipe.yaml`` runs it."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seqzoo.checkpoint.recipe_file import parse_recipe
from seqzoo.config import model_config, structure
from seqzoo.data.prepare import DataConfig
from seqzoo.errors import ConfigError, SeqzooError, nearest
from seqzoo.plugins import catalogue

logger = logging.getLogger("seqzoo")

SCHEDULES = ("constant", "linear", "cosine")
_MOST_THREADS = 1024
"""Far more than that end the process instead of raising."""


@dataclass
class TrainConfig:
    """How a model is trained.

    Attributes:
        epochs: maximum number of passes over all interactions; learning rate schedules end there.
        batch_size: windows of full length in a batch; shorter windows are packed to as many
            positions.
        lr: peak learning rate of Adam.
        schedule: ``constant``, or decay to zero at the last epoch: ``linear``, ``cosine``.
        warmup: epochs (or a fraction of one) in which the learning rate rises from zero.
        weight_decay: decoupled weight decay of matrices.
        clip_norm: maximum norm of the gradient; 0 turns clipping off.
        shift_windows: cut long histories at different positions in every epoch.
        context: events that every window of a long history reads before its first target, so
            that windows overlap by as many; less than the model's ``max_length``.
        patience: stop after this many epochs without a better validation metric.
        metric: validation metric that selects the best epoch.
        seed: random seed of weights, batch order and dropout.
        threads: CPU threads; 0 for torch's default. The number is stored in the recipe of the
            checkpoint, because results are bit-for-bit equal only with the same number.
        precision: ``no`` is float32; ``bf16`` and ``fp16`` use mixed precision.
        protocols: protocols under which the finished checkpoint is measured on the test items.
    """

    epochs: int = 100
    batch_size: int = 32
    lr: float = 1e-3
    schedule: str = "cosine"
    warmup: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    shift_windows: bool = True
    context: int = 0
    patience: int = 10
    metric: str = "ndcg@10"
    seed: int = 0
    threads: int = 0
    precision: str = "no"
    protocols: list[str] = field(default_factory=lambda: ["loo-full", "loo-full-unseen"])

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"setting '{name}' is {getattr(self, name)}; expected 1 or more")
        for name in ("warmup", "weight_decay", "clip_norm", "context", "seed", "threads"):
            if getattr(self, name) < 0:
                raise ConfigError(f"setting '{name}' is {getattr(self, name)}; expected 0 or more")
        if self.threads > _MOST_THREADS:
            raise ConfigError(f"setting 'threads' is {self.threads}; expected 0 to {_MOST_THREADS}")
        if self.seed >= 2**32:
            raise ConfigError(f"setting 'seed' is {self.seed}; expected less than 2**32")
        if not self.protocols:
            raise ConfigError("setting 'protocols' is empty; name one, loo-full for example")
        if self.lr <= 0:
            raise ConfigError(f"setting 'lr' is {self.lr}; expected more than 0")
        for name, choices in (("schedule", SCHEDULES), ("precision", ("no", "bf16", "fp16"))):
            if getattr(self, name) not in choices:
                raise ConfigError(
                    f"setting '{name}' is '{getattr(self, name)}'; expected one of: "
                    f"{', '.join(choices)}"
                )


@dataclass(frozen=True)
class Recipe:
    """Everything needed to reproduce a checkpoint.

    Attributes:
        architecture: registered name.
        model: resolved settings of the model.
        data: the data, and how they are filtered.
        train: training settings.
    """

    architecture: str
    model: Mapping[str, Any]
    data: DataConfig
    train: TrainConfig

    @classmethod
    def make(cls, values: Mapping[str, Any]) -> "Recipe":
        """Check and resolve plain values; missing ones come from the architecture's defaults.

        Raises:
            ConfigError: a section or a setting is unknown or has the wrong type.
            UnknownNameError: no architecture has the name.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"a recipe is a mapping, {{'architecture': 'sasrec', 'data': {{…}}}} for example; "
                f"got {values!r}; a recipe's file: seqzoo train FILE"
            )
        sections = ("architecture", "model", "data", "train", "seqzoo")
        for key in values:
            if key not in sections:
                raise ConfigError(
                    f"unknown section '{key}'{nearest(str(key), sections) or '.'} A setting "
                    "belongs to 'model', 'data' or 'train', for example train.lr=5e-4"
                )
            if key in ("model", "data", "train") and not isinstance(values[key], Mapping):
                raise ConfigError(f"section '{key}' is {values[key]!r}; expected settings by name")
        everything = catalogue()
        spec = everything.architectures.get(str(values.get("architecture", "")))
        data = structure(DataConfig, values.get("data", {}), "data")
        if not data.source:
            raise ConfigError(
                "no data given; name a data set or a file with --data "
                f"(data sets: {', '.join(everything.datasets.names())})"
            )
        return cls(
            spec.name,
            model_config(spec, values.get("model", {}), everything),
            data,
            structure(TrainConfig, {**spec.recipe, **values.get("train", {})}, "train"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in ``recipe.yaml``."""
        return {
            "architecture": self.architecture,
            "model": dict(self.model),
            "data": {key: value for key, value in asdict(self.data).items() if value is not None},
            "train": asdict(self.train),
        }

    def asked_for(self) -> dict[str, Any]:
        """Plain values without those that a run adds: the data's fingerprint, threads."""
        values = self.to_dict()
        values["data"].pop("fingerprint", None)
        values["train"].pop("threads")
        return values


def differences(stored: Mapping[str, Any], asked_for: Mapping[str, Any]) -> list[str]:
    """The differences between a run's stored recipe and a recipe, in words; none if empty.

    A setting that the stored recipe lacks counts as its default, so that a run started by an older
    version can resume as long as no new setting is used.
    """
    try:
        known = Recipe.make(stored).asked_for()
    except SeqzooError as error:
        return [f"that this version cannot run: {error}"]
    found = []
    for section, here in asked_for.items():
        there = known[section]
        if not isinstance(here, Mapping):
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
