"""A small checkpoint, and the tools to damage one and make its sums agree again."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.plugins import catalogue
from seqzoo.storage.integrity import sha256_of_document

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
    """A small model of whichever architecture is registered first."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary(
        [f"item-{index}" for index in range(items)], [f"Tïtle {index}" for index in range(items)]
    )
    return SequenceModel.build(
        catalogue().architectures.names()[0], {"hidden_size": 16}, vocabulary
    )


@pytest.fixture(scope="session")
def model() -> SequenceModel:
    return make_model()


@pytest.fixture(scope="session")
def _pristine(model: SequenceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine") / "checkpoint"
    save_model(folder, model, recipe=RECIPE, metrics=METRICS)
    return folder


@pytest.fixture
def folder(_pristine: Path, tmp_path: Path) -> Path:
    """A checkpoint to do anything to."""
    return Path(shutil.copytree(_pristine, tmp_path / "checkpoint"))


@contextmanager
def _refused(*fragments: str, error: type[CheckpointError] = CheckpointError) -> Iterator[None]:
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for fragment in fragments:
        assert fragment in message, message


@pytest.fixture
def refused() -> Callable[..., AbstractContextManager[None]]:
    """``with refused("model.safetensors", "sha256"):`` the error is one line that says all that."""
    return _refused


def reseal(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change ``config.json`` and make its own sum agree, as somebody with intent would."""
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
