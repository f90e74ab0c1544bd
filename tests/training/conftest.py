"""Runs on small generated data: an epoch takes a twentieth of a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.data.sequences import SequenceData
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.training.loop import TrainingResult, train
from seqzoo.training.progress import Reporter

OPTIONS = {"users": 80, "items": 40, "mean_length": 20}
TRAIN = {"epochs": 3, "lr": 5e-3, "batch_size": 8, "schedule": "constant", "warmup": 0.0}
KEPT = ("model.safetensors", "vocabulary.json", "recipe.yaml", "metrics.json", "config.json")


def small_recipe(
    architecture: str = "sasrec",
    model: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    # Defaults that may be tuned one day are written out.
    small = {"hidden_size": 16, "max_length": 20, "num_layers": 1, "dropout": 0.2}
    if architecture == "sasrec":
        small["attention_dropout"] = 0.2
    return {
        "architecture": architecture,
        "model": {**small, **(model or {})},
        "data": {"source": "synthetic", "min_count": 1, "options": OPTIONS, **(data or {})},
        "train": {**TRAIN, **settings},
    }


class Heard(Reporter):
    """Records the progress it is given."""

    def __init__(self) -> None:
        self.started: list[tuple[int, int, int]] = []
        self.batches: list[float] = []
        self.records: list[dict[str, Any]] = []
        self.best: list[bool] = []

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        self.started.append((epoch, epochs, batches))

    def batch(self, loss: float, examples_per_second: float) -> None:
        self.batches.append(loss)

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        self.records.append(record)
        self.best.append(best)


@pytest.fixture(scope="session")
def recipe() -> Callable[..., dict[str, Any]]:
    """``recipe("sasrec", lr=1e-3)``: small, with keywords for the section ``train``."""
    return small_recipe


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., tuple[TrainingResult, Heard]]:
    """The result of a whole run of an architecture, and what its reporter heard; trained once."""
    runs: dict[str, tuple[TrainingResult, Heard]] = {}

    def finished(architecture: str, **settings: Any) -> tuple[TrainingResult, Heard]:
        key = f"{architecture} {settings}"
        if key not in runs:
            heard = Heard()
            out = tmp_path_factory.mktemp("finished") / "run"
            runs[key] = (
                train(small_recipe(architecture, **settings), out, reporter=heard),
                heard,
            )
        return runs[key]

    return finished


@pytest.fixture(scope="session")
def same_files() -> Callable[[Path, Path], None]:
    """See that two folders hold the same checkpoint, byte for byte."""

    def same_files(one: Path, other: Path) -> None:
        for name in KEPT:
            assert (one / name).read_bytes() == (other / name).read_bytes(), name

    return same_files


@pytest.fixture(scope="session")
def fresh_model() -> tuple[SequenceModel, SequenceData]:
    """An untrained model, and the data whose items it knows."""
    data = prepare(DataConfig(source="synthetic", min_count=1, options=OPTIONS))
    torch.manual_seed(0)
    return SequenceModel.build("sasrec", {"hidden_size": 8}, data.vocabulary).eval(), data
