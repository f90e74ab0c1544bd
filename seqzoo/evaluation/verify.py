"""Verify a checkpoint: every file, the weights against the model, and the metrics on request."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqzoo.checkpoint.manifest import (
    CONFIG,
    WEIGHTS,
    read_manifest,
)
from seqzoo.checkpoint.record import checkpoint_from, read_file
from seqzoo.errors import CheckpointError, UsageError, error_text
from seqzoo.evaluation.evaluate import evaluate_all
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.inference import inference
from seqzoo.model.sequence_model import SequenceModel

__all__ = ["Check", "Verified", "verify_folder", "verify_metrics"]

_WINDOWS, _WINDOW, _BATCH = 256, 100, 16
_DAY = 86_400


@dataclass(frozen=True)
class Check:
    """One check: its subject, whether it passed, and what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Verified:
    """The result of a verification.

    Attributes:
        checks: the checks in the order in which they ran.
        model: the model of the checkpoint, if it can be loaded.
    """

    checks: list[Check]
    model: SequenceModel | None

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)


def verify_folder(folder: Path) -> Verified:
    """Check ``config.json``, every recorded file, the weights, the scores, metrics and recipe.

    Each file is read once. The scores are those after at most 256 histories of at most 100 events.

    Raises:
        CheckpointError: the folder is not a checkpoint.
    """
    manifest = read_manifest(folder)
    checks = [Check(CONFIG, True, f"sha256 {manifest.sha256}")]
    parsed: dict[str, Any] = {}
    for name in manifest.names:
        try:
            parsed[name] = read_file(manifest, name)
        except CheckpointError as error:
            checks.append(Check(name, False, str(error)))
        else:
            checks.append(Check(name, True, f"sha256 {manifest.files[name]['sha256']}"))
    if len(parsed) < len(manifest.names):
        return Verified(checks, None)
    model: SequenceModel | None = None
    try:
        checkpoint = checkpoint_from(manifest, parsed)
    except CheckpointError as error:
        return Verified([*checks, Check("model", False, str(error))], None)
    try:
        model = SequenceModel.from_checkpoint(checkpoint)
    except CheckpointError as error:
        checks.append(Check("model", False, str(error)))
    else:
        detail = (
            f"{model.architecture}: {model.num_parameters:,} parameters and "
            f"{len(model.vocabulary):,} items match {WEIGHTS} exactly"
        )
        checks += [Check("model", True, detail), _scores(model)]
    on_all_events = checkpoint.recipe.get("train", {}).get("hold_out") == "none"
    if checkpoint.metrics:
        detail = f"stored under {', '.join(sorted(checkpoint.metrics))}"
    elif on_all_events:
        detail = "none, because it was trained on all events (train.hold_out=none)"
    else:
        detail = "none are stored; `seqzoo train` stores them"
    checks.append(Check("metrics", bool(checkpoint.metrics) or on_all_events, detail))
    source = checkpoint.recipe.get("data", {}).get("source")
    detail = "it does not say what data the model was trained on"
    if source:
        detail = f"trained on {source}, {len(checkpoint.vocabulary):,} items"
    checks.append(Check("recipe", bool(source), detail))
    return Verified(checks, model)


def verify_metrics(
    model: SequenceModel,
    source: str | None = None,
    *,
    name: str,
    advance: Callable[[int], None] = lambda users: None,
) -> list[Check]:
    """Measure all stored metrics again, with the data prepared once; a check for each protocol.

    Args:
        model: loaded from a checkpoint.
        source: the data; None for the recipe's.
        name: name of the model in messages.
        advance: called with the number of finished users, for a progress bar.

    Raises:
        UsageError: neither ``source`` nor the recipe names data.
        DataError: the data cannot be read.
    """
    source = source or model.recipe.get("data", {}).get("source")
    if not source:
        raise UsageError(f"{name} does not say what data it was trained on; give them with --data")
    results = evaluate_all(model, source, list(model.metrics), name=name, advance=advance)
    differs = {
        "timestamps": "has other timestamps than",
        "features": "has other features of the events than",
        "split": "is split otherwise than",
        "other": "differs from",
    }
    checks = []
    for result in results:
        ok = False
        if result.data["match"] != "same":
            detail = (
                f"{source} {differs[result.data['match']]} the data of the stored metrics "
                f"({result.data['stored'].get('name')})"
            )
        elif result.drift:
            drift = ", ".join(f"{key} {value:+.4f}" for key, value in result.drift.items())
            detail = f"drift: {drift}"
        else:
            ok, detail = True, f"all {len(result.metrics)} metrics agree to 4 digits"
        checks.append(Check(result.protocol, ok, detail))
    return checks


def _scores(model: SequenceModel) -> Check:
    """Whether all scores are finite, after histories that hold as many items as is quick.

    Weights can be finite and still overflow in the forward pass.
    """
    items, length = len(model.vocabulary), min(model.max_length, _WINDOW)
    read = np.unique(np.linspace(1, items, min(items, _WINDOWS * length), dtype=np.int64))
    histories = [read[start : start + length].tolist() for start in range(0, len(read), length)]
    broken = 0
    try:
        with inference(model):
            for start in range(0, len(histories), _BATCH):
                rows = histories[start : start + _BATCH]
                times = [[day * _DAY for day in range(len(row))] for row in rows]
                batch = _with_context(model, SequenceBatch.from_histories(rows, times))
                scores = model.head(model.read(batch.to(model.device)))[:, 1:]
                broken += int((~scores.isfinite()).any(1).sum())
    # The parts are third-party code: after any exception the checkpoint cannot be used.
    except Exception as error:
        return Check("scores", False, f"the forward pass fails: {error_text(error)}")
    if broken:
        return Check(
            "scores",
            False,
            f"not finite numbers after {broken} of {len(histories)} histories: the weights are "
            "damaged or overflow; use another checkpoint, or train again with a lower train.lr",
        )
    return Check(
        "scores", True, f"finite after {len(histories)} histories with {len(read):,} items"
    )


def _with_context(model: SequenceModel, batch: SequenceBatch) -> SequenceBatch:
    """The same histories with all other inputs of the model; features take each of their codes."""
    reads, features = model.reads, {}
    for name in reads.features:
        known = model.vocabulary.features[name]
        features[name] = batch.mask.float() if known is None else batch.items % (1 + len(known))
    queries = None
    if reads.query_times and batch.timestamps is not None:
        queries = (batch.timestamps + _DAY) * batch.mask
    users = torch.arange(len(batch.items)) if reads.users else None
    return replace(batch, query_times=queries, features=features, users=users)
