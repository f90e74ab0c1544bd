"""An operation that is killed, and the two checkpoints that operations write."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import torch

from seqzoo.checkpoint.record import Checkpoint
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.load import load_model
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel

KEPT = ("model.safetensors", "vocabulary.json", "recipe.yaml", "metrics.json", "config.json")
NOTHING = "nothing"
INTERRUPTED = "interrupted by Ctrl-C"
NOTHING_TO_KEEP = "stopped before the first epoch ended"
"""What Ctrl-C leads to before there is a checkpoint."""
Run = Callable[[], object]


class Operation:
    """Something that writes.

    Attributes:
        name: of the operation.
        rounds: after how many attempts ``finish`` is called.
        home: a folder of its own.
    """

    name = ""
    rounds = 3

    def __init__(self, home: Path) -> None:
        self.home = home

    def prepare(self) -> None:
        """Write what all attempts need, once."""

    def whole(self) -> object:
        """The operation from its start to its end; its duration is measured."""

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        """The processes of an attempt."""
        return [self.whole]

    def may_refuse(self, said: str) -> bool:
        """Whether an error of one line is expected."""
        return False

    def check(self) -> str:
        """A name for what is left; raises if it is lost or mixed."""
        raise NotImplementedError

    def finish(self) -> None:
        """Run to the end without a kill, check the result, and begin again in a new folder."""

    def forget(self) -> None:
        """Begin again after a failure."""


def models() -> list[SequenceModel]:
    """Two models with other items and other weights."""
    found = []
    for seed, items in ((0, 20), (1, 23)):
        torch.manual_seed(seed)
        names = Vocabulary([f"item-{index}" for index in range(items)])
        settings = {"hidden_size": 16, "max_length": 10}
        found.append(SequenceModel.build("sasrec", settings, names))
    return found


def which(checkpoint: Checkpoint) -> int:
    """Which of the two models a checkpoint is; raises if it is a mixture."""
    model = load_model(SequenceModel, checkpoint)
    number = int(len(model.vocabulary) == 23)
    assert checkpoint.recipe == {"which": number}, "the recipe of the other one"
    assert checkpoint.metrics["loo-full"]["metrics"]["hit@10"] == number, "the other's metrics"
    for name, tensor in models()[number].state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), f"{name} of the other one"
    return number


def save_which(folder: Path, number: int) -> None:
    """Write one of the two models."""
    metrics = {"loo-full": {"metrics": {"hit@10": float(number)}}}
    save_model(folder, models()[number], recipe={"which": number}, metrics=metrics)


def left_over(folder: Path) -> list[str]:
    """Names of half-written files."""
    marks = (".incoming", ".commit", ".part", ".tmp")
    return [path.name for path in folder.rglob("*") if path.name.startswith(marks[:2])]


def forever(function: Callable[[], object]) -> None:
    """Call a function until the process is killed."""
    while True:
        function()
