"""A small model and its checkpoint, and the tools to damage one and make its sums agree again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.storage.integrity import sha256_of_document
from seqzoo.storage.safetensors_header import count_parameters

RECIPE = {"data": {"name": "toy"}, "train": {"lr": 1e-5, "epochs": 3}, "note": "ünïcode: yes"}
METRICS = {
    "loo-full": {
        "metrics": {"hit@5": 0.2, "hit@10": 0.25, "ndcg@10": 1e-05, "mrr@10": 0.1},
        "data": {"name": "toy", "fingerprint": "f" * 16},
        "users": 12,
        "items": 20,
        "seed": 1,
        "backend": "reference",
        "dtype": "float32",
        "versions": {"torch": "2"},
    }
}


def make_model(seed: int = 0, items: int = 20) -> SequenceModel:
    """A small model."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary(
        [f"item-{index}" for index in range(items)], [f"Tïtle {index}" for index in range(items)]
    )
    return SequenceModel.build("sasrec", {"hidden_size": 16}, vocabulary)


def reseal(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change ``config.json`` and correct its own checksum, as an attacker would."""
    path = folder / "config.json"
    document = json.loads(path.read_text("utf-8"))
    edit(document)
    document.pop("sha256", None)
    document["sha256"] = sha256_of_document(document)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")


def replace(folder: Path, name: str, content: bytes) -> None:
    """Replace a file and record its new sum."""
    (folder / name).write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    reseal(folder, lambda document: document["files"].update({name: entry}))


def parameters_in(folder: Path) -> int:
    """How many parameters a checkpoint has, by the header of its weights."""
    path = folder / "model.safetensors"
    return count_parameters(path, path.stat().st_size)
