"""Import weights of other implementations: read safely, renamed by the plugin, checked."""

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from seqzoo.checkpoint.manifest import CONFIG
from seqzoo.checkpoint.schemas import VocabularyFile
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError, ConfigError, DataError, UsageError, one_line
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.weights import distinct_state
from seqzoo.plugins import catalogue
from seqzoo.public_weights import PublicWeights
from seqzoo.storage.documents import check, parse_json
from seqzoo.storage.messages import listing, shown
from seqzoo.storage.tensors import not_finite

__all__ = ["import_weights", "read_state_dict", "read_vocabulary_file", "save_imported"]

_PADDING_TOKEN = "[PAD]"  # noqa: S105 RecBole's name of row 0
_SHOWN = 8
_BEGINS = (b"PK", b"\x80\x02")
"""The first bytes of what torch.save writes: a zip archive, and the pickles of old versions."""


def import_weights(
    file: str | os.PathLike[str],
    *,
    architecture: str,
    vocabulary: str | os.PathLike[str] | Vocabulary,
    settings: Mapping[str, Any] | None = None,
) -> tuple[SequenceModel, tuple[str, ...]]:
    """Build a model with the weights of another implementation.

    Args:
        file: a plain state dict, as safetensors or as ``.pth``, which is read without unpickling
            anything but tensors.
        architecture: registered name; its plugin knows the public names.
        vocabulary: item ids in index order: ``vocabulary.json``, a JSON list, or a text file with
            one id on each line; a first line ``[PAD]`` means row 0.
        settings: settings that cannot be inferred from the weights.

    Returns:
        The model, and the settings that were assumed.

    Raises:
        CheckpointError: the file is not a state dict, or tensors do not fit; the message names
            them.
        DataError: the vocabulary cannot be read.
        ConfigError: the architecture has no importer, or rejects a setting.
    """
    spec = catalogue().architectures.get(architecture)
    if spec.importer is None:
        able = [other.name for other in catalogue().architectures if other.importer]
        raise ConfigError(
            f"architecture '{architecture}' has no importer; architectures with one: "
            f"{', '.join(able) or 'none'}"
        )
    if not isinstance(vocabulary, Vocabulary):
        vocabulary = read_vocabulary_file(Path(vocabulary))
    public: PublicWeights = spec.load_importer()(read_state_dict(Path(file)))
    given = dict(settings or {})
    model = SequenceModel.build(architecture, {**public.settings, **given}, vocabulary)
    _fit(model, public.weights, Path(file))
    return model.eval(), tuple(name for name in public.assumed if name not in given)


def save_imported(folder: str | os.PathLike[str], model: SequenceModel) -> None:
    """Write an imported model as a checkpoint without metrics; never replaces a checkpoint.

    Raises:
        CheckpointError: the folder holds a checkpoint or cannot be written.
    """
    if (Path(folder) / CONFIG).exists():
        raise CheckpointError(f"{folder} holds a checkpoint already; choose another folder")
    recipe = {"architecture": model.architecture, "model": model.config}
    save_model(folder, model, recipe=recipe, metrics={}, overwrite=False)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a ``.pth`` with a plain state dict.

    Raises:
        CheckpointError: the file is missing, has another format, or contains objects other than
            tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}; give the file of a state dict")
    with path.open("rb") as file:
        begin = file.read(2)
    if path.suffix != ".safetensors" and begin not in _BEGINS:
        raise _not_a_state_dict(path, "neither a zip archive nor a pickle")
    try:
        loaded: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except UnpicklingError:
        raise CheckpointError(
            f"{path} holds objects other than tensors; they are not read because they could "
            "run code; save only the tensors where it was made: "
            'torch.save(checkpoint["state_dict"], FILE)'
        ) from None
    # For damaged files torch raises exceptions of many modules; it documents few of them.
    except Exception as error:
        raise _not_a_state_dict(path, one_line(error, 120)) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path} holds {type(loaded).__name__}, expected a state dict")
    for name, value in loaded.items():
        if not isinstance(name, str) or not name.isprintable() or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {shown(name)} is {type(value).__name__}; expected a plain state dict of "
                "tensors by printable names"
            )
    tensors = {name.removeprefix("module."): value for name, value in loaded.items()}
    broken = not_finite(tensors)
    if broken:
        raise CheckpointError(f"{path} holds NaN or infinities in {listing(broken, _SHOWN)}")
    return tensors


def _not_a_state_dict(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is not a state dict ({reason}); expected safetensors or what "
        "torch.save(model.state_dict(), FILE) writes"
    )


def read_vocabulary_file(path: Path) -> Vocabulary:
    """Item ids in index order, from JSON or from one id on each line.

    Raises:
        DataError: the file is missing, is not UTF-8, or is not a valid vocabulary.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(
            f"{path} cannot be read as a vocabulary: {reason}; give item ids in index order, one "
            "on each line, or a vocabulary.json"
        ) from None
    if path.suffix != ".json":
        return _vocabulary(path, text.splitlines())
    remedy = 'give a list of item ids or {"items": […], "labels": […]}'
    try:
        document = parse_json(path, text.encode(), remedy=remedy)
        given = {"items": document} if isinstance(document, list) else document
        vocabulary = check(path, given, VocabularyFile, remedy)
    except CheckpointError as error:
        raise DataError(str(error)) from None
    return _vocabulary(path, vocabulary.items, vocabulary.labels, vocabulary.counts)


def _vocabulary(
    path: Path,
    items: list[str],
    labels: list[str | None] | None = None,
    counts: list[int] | None = None,
) -> Vocabulary:
    first = 1 if items[:1] == [_PADDING_TOKEN] else 0
    try:
        return Vocabulary(items[first:], labels and labels[first:], counts and counts[first:])
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _fit(model: SequenceModel, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy tensors into a model, or raise an error that names those that do not fit."""
    state, _ = distinct_state(model)
    rows = len(model.vocabulary) + 1
    table = next(n for n, value in model.named_parameters() if value is model.embedder.item_table)
    if table in weights and weights[table].dim() == 2 and len(weights[table]) != rows:
        raise UsageError(
            f"the vocabulary has {len(model.vocabulary)} items, so the item table must have {rows} "
            f"rows (row 0 is padding), but in {path} it has {len(weights[table])}; give the "
            "vocabulary that the weights were trained with, in the order of its indices"
        )
    problems = [f"missing tensor {name}" for name in sorted(set(state) - set(weights))]
    problems += [f"unexpected tensor {name}" for name in sorted(set(weights) - set(state))]
    problems += [
        f"{name} has shape {list(weights[name].shape)}, expected {list(state[name].shape)}"
        for name in sorted(set(state) & set(weights))
        if weights[name].shape != state[name].shape
    ]
    if problems:
        raise CheckpointError(
            f"{path}: {len(problems)} of {len(state)} tensors do not fit: "
            f"{listing(problems, _SHOWN)}; "
            "give settings that cannot be inferred from the weights (model.KEY=VALUE), or another "
            "--architecture"
        )
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(weights[name])
