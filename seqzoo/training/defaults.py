"""The rule that chooses settings from the data, where neither the user nor a recipe gives them.

The protocol that selects a run is chosen for every architecture. Window length and batch size are
chosen for those whose plugin declares ``from_data`` (``zoo.architecture``), and so is what they
declare there, which comes first: by setting a value, or values by a fact about the data::

    {"model.num_layers": 2, "model.dropout": {"by": "rows", "below": [[500_000, 0.4]], "else": 0.1}}

docs/studies.md has the measurements behind the rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from seqzoo.config import model_config, structure
from seqzoo.data.sequences import SequenceData
from seqzoo.data.summary import Summary
from seqzoo.errors import PluginError
from seqzoo.plugins import catalogue
from seqzoo.training.recipe import Recipe, TrainConfig

__all__ = ["Chosen", "adapted"]

_LENGTHS = (50, 100)
"""Windows shorter than an architecture's own."""
_STEPS = 600
"""Steps of an epoch on large data."""
_POSITIONS = 400
"""The fewest positions of a step, unless the steps of an epoch would be too few."""
_FEWEST_STEPS = 240
"""Steps of an epoch on small data, as long as each has ``_FEWEST_POSITIONS``."""
_FEWEST_POSITIONS = 100
_MOST_WINDOWS = 256
_UNSEEN_FIRST = ["loo-full-unseen", "loo-full"]
_FACTS = ("rows", "users", "items", "repeats", "events_per_user", "events_per_item")


@dataclass(frozen=True)
class Chosen:
    """A setting that the rule has chosen.

    Attributes:
        setting: for example ``train.lr``.
        value: what it was set to.
        reason: the property of the data that decides it, as text.
    """

    setting: str
    value: Any
    reason: str

    def __str__(self) -> str:
        return f"{self.setting}={self.value} ({self.reason})"


def adapted(recipe: Recipe, data: SequenceData) -> tuple[Recipe, list[Chosen]]:
    """A recipe with its data-dependent settings; those given by the user stay.

    Args:
        recipe: ``given`` names the settings that stay.
        data: prepared as the recipe describes them.

    Returns:
        The recipe, and what was chosen where that differs from the defaults.

    Raises:
        PluginError: what the architecture declares is not a setting, or not of the form above.
        ConfigError: a chosen value does not fit the settings given.
    """
    spec, given = catalogue().architectures.get(recipe.architecture), recipe.given
    if not recipe.train.adapt or given is None or spec.baseline or not data.summaries:
        return recipe, []
    facts = data.summaries[-1]
    model, train = dict(recipe.model), dict(recipe.to_dict()["train"])
    chosen: list[Chosen] = []
    settled = set(given)

    def choose(setting: str, value: Any, reason: str) -> None:
        section, _, key = setting.partition(".")
        values = {"model": model, "train": train}[section]
        if setting not in settled and key in values and values[key] != value:
            values[key] = value
            chosen.append(Chosen(setting, value, reason))

    for setting, entry in spec.from_data.items():
        choose(setting, *_declared(spec.name, setting, entry, facts))
    settled |= spec.from_data.keys()
    longest = facts.events_per_user["p90"]
    length = next((each for each in _LENGTHS if longest <= each), None)
    # Windows and batches were measured for the architectures that declare something.
    if spec.from_data and length is not None and model.get("max_length", 0) > length:
        choose("model.max_length", length, f"nine of ten users have at most {longest:,.0f} events")
    window = model.get("max_length")
    if spec.from_data and window:
        small = min(max(_FEWEST_POSITIONS, facts.rows / _FEWEST_STEPS), _POSITIONS)
        positions = max(small, facts.rows / _STEPS)
        windows = min(max(1, round(positions / window)), _MOST_WINDOWS)
        choose("train.batch_size", windows, f"{facts.rows:,} events in windows of {window}")
    if not facts.repeats:
        choose("train.protocols", _UNSEEN_FIRST, "no user has an item twice")
    made = replace(
        recipe,
        model=model_config(spec, model, catalogue()),
        train=structure(TrainConfig, train, "train"),
        chosen={
            **recipe.chosen,
            **{each.setting: {"value": each.value, "reason": each.reason} for each in chosen},
        },
    )
    return made, chosen


def _declared(name: str, setting: str, entry: Any, facts: Summary) -> tuple[Any, str]:
    """The value that a declared entry gives for the data, and the reason."""
    if not isinstance(entry, Mapping):
        return entry, f"the default of '{name}' for training"
    try:
        by, limits, otherwise = entry["by"], entry["below"], entry["else"]
        value = _fact(by, facts)
        for limit, chosen in limits:
            if value < limit:
                return chosen, f"{by.replace('_', ' ')}: {value:,.4g}, below {limit:,}"
        return otherwise, f"{by.replace('_', ' ')}: {value:,.4g}"
    except (KeyError, TypeError, ValueError) as error:
        raise PluginError(
            f"architecture '{name}' declares from_data for {setting} as {dict(entry)!r}; expected "
            f"a value, or by (one of {', '.join(_FACTS)}), below ([[limit, value], …]) and else"
        ) from error


def _fact(name: str, facts: Summary) -> float:
    """A fact about the data as a number."""
    if name == "events_per_user":
        return facts.events_per_user["mean"]
    if name == "events_per_item":
        return facts.rows / max(1, facts.items)
    return float({key: getattr(facts, key) for key in _FACTS[:4]}[name])
