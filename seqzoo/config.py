"""Strict configuration: dataclass schemas checked by OmegaConf; an unknown key is an error.

The settings of a model are flat: the fields of its embedder, backbone, head and objective together.
A field that several parts have, for example ``dropout``, is one setting that they share. Three more
settings, ``embedder``, ``head`` and ``objective``, replace those of the architecture with other
registered ones.
"""

import copy
import dataclasses
import difflib
import functools
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from seqzoo.errors import ConfigError, PluginError, one_line
from seqzoo.registry import Catalogue
from seqzoo.specs import ArchitectureSpec

__all__ = [
    "choose_parts",
    "model_config",
    "model_schema",
    "parse_overrides",
    "part_config",
    "parts_of",
    "structure",
    "without_replaced_loss",
]

logger = logging.getLogger("seqzoo")

SchemaT = TypeVar("SchemaT")

_CHOSEN = ("embedder", "head", "objective")
"""The parts that a setting of the same name replaces."""
_WORDS = ("", "on", "off", "yes", "no")
"""What YAML 1.1 takes for true, false or nothing, and what people mean as a string."""
_SHOWN = 100
"""Characters of a value in a message."""


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Turn ``["model.num_layers=2", "train.lr=5e-4"]`` into a nested dict; values are YAML.

    ``off`` and similar words stay text, which a boolean setting also accepts; nothing after the
    equals sign is an empty string.

    Raises:
        ConfigError: one is not of the form ``key=value``, or not text.
    """
    quoted = []
    for override in overrides:
        # Bytes of the command line that are not UTF-8 are surrogates here, which YAML refuses.
        if any("\ud800" <= character <= "\udfff" for character in override):
            raise ConfigError(
                f"setting {one_line(repr(override), _SHOWN)} has characters that are not UTF-8; "
                "give text in UTF-8"
            )
        key, equals, value = override.partition("=")
        if not equals or not all(part.isidentifier() for part in key.split(".")):
            raise ConfigError(
                f"setting {override!r} is not of the form section.key=value, "
                "for example model.num_layers=2 or train.lr=5e-4"
            )
        quoted.append(f"{key}='{value}'" if value.strip().lower() in _WORDS else override)
    try:
        parsed = OmegaConf.to_container(OmegaConf.from_dotlist(quoted))
    except (OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(
            f"settings {list(overrides)} cannot be read: {_first_line(error)}"
        ) from None
    return {str(key): value for key, value in parsed.items()}  # type: ignore[union-attr]


def structure(schema: type[SchemaT], values: Mapping[str, Any], section: str) -> SchemaT:
    """Build a dataclass from values, strictly.

    Args:
        schema: a dataclass whose defaults fill what is not given.
        values: settings by name.
        section: name of the settings in messages, for example ``model`` for ``model.dropout``.

    Raises:
        ConfigError: a key is unknown (shows the nearest one), a value has the wrong type, or the
            dataclass's own ``__post_init__`` rejects it.
    """
    fields = {field.name: field for field in dataclasses.fields(schema)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            close = difflib.get_close_matches(str(key), list(fields), n=1, cutoff=0.5)
            hint = f"did you mean '{section}.{close[0]}'? " if close else ""
            raise ConfigError(
                f"unknown setting '{section}.{key}'; {hint}Known: {', '.join(sorted(fields))}."
            )
    config: DictConfig = OmegaConf.structured(schema)
    for key, value in values.items():
        # OmegaConf would insert the value it refers to, including secrets of the environment.
        if "${" in str(value):
            raise ConfigError(
                f"setting '{section}.{key}' is {one_line(repr(value), _SHOWN)}; references are not "
                "supported; write the value out"
            )
        try:
            # Not `config[key] = value`: that warns if 5 is given for 5.0.
            OmegaConf.update(config, key, value, merge=False)
            number = config[key]
        except OmegaConfBaseException:
            kind = fields[key].type
            expected = getattr(kind, "__name__", kind)
            raise ConfigError(
                f"setting '{section}.{key}' is {one_line(repr(value), _SHOWN)}; expected {expected}"
            ) from None
        if isinstance(number, float) and not math.isfinite(number):
            raise ConfigError(f"setting '{section}.{key}' is {number}; expected a finite number")
    try:
        return OmegaConf.to_object(config)  # type: ignore[return-value]
    except ConfigError as error:
        raise ConfigError(f"{section}: {error}") from None
    except OmegaConfBaseException as error:
        raise ConfigError(f"{section}: {_first_line(error)}") from None


def model_schema(architecture: ArchitectureSpec, catalogue: Catalogue) -> type[Any]:
    """The flat dataclass of an architecture's settings, with its defaults in place.

    Raises:
        PluginError: two parts give one field different types, one calls a field ``embedder``,
            ``head`` or ``objective``, or a default names no field.
    """
    merged: dict[str, tuple[type, dataclasses.Field[Any]]] = {}
    owner: dict[str, str] = {}
    for part in parts_of(architecture, catalogue):
        for field in dataclasses.fields(part.load_config()):
            if field.name in merged and merged[field.name][1].type != field.type:
                raise PluginError(
                    f"architecture '{architecture.name}': setting '{field.name}' is "
                    f"{merged[field.name][1].type} in '{owner[field.name]}' and {field.type} in "
                    f"'{part.name}'"
                )
            merged.setdefault(field.name, (field.type, field))  # type: ignore[arg-type]
            owner.setdefault(field.name, part.name)
    for part in _CHOSEN:
        if part in merged:
            raise PluginError(
                f"architecture '{architecture.name}': '{owner[part]}' has a setting '{part}', the "
                f"name that chooses the {part}; rename it"
            )
    unknown = set(architecture.defaults) - set(merged)
    if unknown:
        raise PluginError(
            f"architecture '{architecture.name}' has defaults for {sorted(unknown)}, "
            f"which none of its parts has; known: {sorted(merged)}"
        )
    columns: list[tuple[str, type, Any]] = [
        (part, str, dataclasses.field(default=getattr(architecture, part))) for part in _CHOSEN
    ]
    for name, (kind, field) in merged.items():
        if name in architecture.defaults:
            # Created for each model, because a default may be a list or a dict.
            value = functools.partial(copy.deepcopy, architecture.defaults[name])
            columns.append((name, kind, dataclasses.field(default_factory=value)))
        elif field.default_factory is not dataclasses.MISSING:
            columns.append((name, kind, dataclasses.field(default_factory=field.default_factory)))
        else:
            columns.append((name, kind, dataclasses.field(default=field.default)))
    return dataclasses.make_dataclass("ModelConfig", columns)


def model_config(
    architecture: ArchitectureSpec, values: Mapping[str, Any], catalogue: Catalogue
) -> dict[str, Any]:
    """The resolved settings of a model, every field present, as plain values.

    Only ``embedder``, ``head`` and ``objective`` are left out, where they are the architecture's
    own.

    Raises:
        UnknownNameError: no embedder, head or objective has the name given.
        ConfigError: as ``structure`` does.
        PluginError: as ``model_schema`` does.
    """
    chosen = choose_parts(architecture, values, catalogue)
    resolved = dataclasses.asdict(structure(model_schema(chosen, catalogue), values, "model"))
    for part in parts_of(chosen, catalogue):
        part_config(part.load_config(), resolved)
    named = {part: resolved.pop(part) for part in _CHOSEN}
    other = {part: name for part, name in named.items() if name != getattr(architecture, part)}
    return {**other, **resolved}


def choose_parts(
    architecture: ArchitectureSpec, values: Mapping[str, Any], catalogue: Catalogue
) -> ArchitectureSpec:
    """The architecture with the embedder, head and objective that the settings name, if any.

    Defaults that only the architecture's own parts have are removed together with these, and the
    options of the architecture's loss if another loss is chosen.

    Raises:
        UnknownNameError: no embedder, head or objective has the name.
    """
    loss = architecture.defaults.get("loss")
    if loss is not None and values.get("loss", loss) != loss:
        kept = {k: v for k, v in architecture.defaults.items() if k != "loss_options"}
        architecture = dataclasses.replace(architecture, defaults=kept)
    named = {part: str(values.get(part, getattr(architecture, part))) for part in _CHOSEN}
    other: dict[str, Any] = {
        part: name for part, name in named.items() if name != getattr(architecture, part)
    }
    if not other:
        return architecture
    chosen = dataclasses.replace(architecture, **other, defaults={})
    taken = {
        field.name
        for part in parts_of(chosen, catalogue)
        for field in dataclasses.fields(part.load_config())
    }
    defaults = {key: value for key, value in architecture.defaults.items() if key in taken}
    return dataclasses.replace(chosen, defaults=defaults)


def without_replaced_loss(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The stored settings of a model, without the options of its loss if the changes name another.

    A warning says what is left out, unless the changes have options of their own.

    Args:
        stored: settings of the model of a checkpoint or a recipe.
        changes: settings that are to replace them.
    """
    before = stored.get("loss")
    after = changes.get("loss", before)
    if before is None or after == before:
        return dict(stored)
    options = stored.get("loss_options")
    if options and "loss_options" not in changes:
        logger.warning(
            "the options of the loss '%s' are left out, because the loss is now '%s': %s",
            before,
            after,
            one_line(options, _SHOWN),
        )
    return {key: value for key, value in stored.items() if key != "loss_options"}


def part_config(schema: type[SchemaT], resolved: Mapping[str, Any]) -> SchemaT:
    """The settings of one part, from the resolved settings of the model."""
    names = [field.name for field in dataclasses.fields(schema)]  # type: ignore[arg-type]
    return structure(schema, {name: resolved[name] for name in names}, "model")


def parts_of(architecture: ArchitectureSpec, catalogue: Catalogue) -> list[Any]:
    """The specs of an architecture's embedder, backbone, head and objective."""
    return [
        catalogue.embedders.get(architecture.embedder),
        catalogue.backbones.get(architecture.backbone),
        catalogue.heads.get(architecture.head),
        catalogue.objectives.get(architecture.objective),
    ]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
