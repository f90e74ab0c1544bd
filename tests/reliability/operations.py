"""What is killed, and what must be left: ``kill.py`` runs these."""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import seqzoo_sasrec.backbone  # noqa: F401
import torch
import torch._dynamo

import seqzoo.checkpoint.hub.push
import seqzoo.data.synthetic
import seqzoo.training.run  # noqa: F401
from seqzoo.checkpoint.record import read_checkpoint
from seqzoo.model.load import load_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.session import Session
from seqzoo.plugins import catalogue
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter
from tests.reliability.operation import (
    INTERRUPTED,
    KEPT,
    NOTHING,
    NOTHING_TO_KEEP,
    Operation,
    Run,
    forever,
    left_over,
    models,
    save_which,
    which,
)
from tests.reliability.operations_hub import Pull, Push

# The forks of this process would import all of this again and again.
catalogue()


class Save(Operation):
    """Two checkpoints that replace each other in one folder."""

    name = "save"
    rounds = 1

    def prepare(self) -> None:
        save_which(self.home / "x", 0)

    def whole(self) -> None:
        for number in (1, 0):
            save_which(self.home / "x", number)

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        return [partial(forever, self.whole)]

    def check(self) -> str:
        return f"checkpoint {which(read_checkpoint(self.home / 'x'))}"

    def finish(self) -> None:
        names = sorted(path.name for path in (self.home / "x").iterdir())
        assert names == sorted([*KEPT, "README.md"]), names


class StreamedSession(Operation):
    """A session that is saved again and again."""

    name = "session"
    rounds = 1

    def _session(self, events: int) -> Session:
        session = models()[0].session()
        for index in range(events):
            session.observe(f"item-{index}")
        return session

    def prepare(self) -> None:
        self._session(3).save(self.home / "x")

    def whole(self) -> None:
        for events in (5, 3):
            self._session(events).save(self.home / "x")

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        return [partial(forever, self.whole)]

    def check(self) -> str:
        session = Session.restore(models()[0], self.home / "x")
        assert torch.equal(session.hidden, self._session(len(session)).hidden)
        return f"{len(session)} events"

    def finish(self) -> None:
        self._session(3).save(self.home / "x")
        assert not left_over(self.home / "x")


def recipe(seed: int) -> dict[str, Any]:
    """A run of four epochs, each a twentieth of a second."""
    return {
        "architecture": "sasrec",
        "model": {"hidden_size": 16, "max_length": 20, "num_layers": 1, "dropout": 0.2},
        "data": {
            "source": "synthetic",
            "min_count": 1,
            "options": {"users": 60, "items": 30, "mean_length": 12},
        },
        "train": {"epochs": 4, "lr": 5e-3, "batch_size": 8, "seed": seed},
    }


def hash_of(path: Path) -> str:
    """The sha256 of a file."""
    return sha256(path.read_bytes()).hexdigest()


class Epochs(Reporter):
    """Collects the weights of the best epoch after each epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best: list[str] = []

    def epoch(self, record: dict[str, Any], best: bool) -> None:
        """Called after every epoch."""
        self.best.append(hash_of(self.folder / "model.safetensors"))


class Train(Operation):
    """A run that is killed and resumed until it ends as if nothing had happened."""

    name = "train"
    seeds = (1,)

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.folder = home / "run"

    def prepare(self) -> None:
        for seed in self.seeds:
            folder = self.home / f"reference-{seed}"
            epochs = Epochs(folder)
            train(recipe(seed), folder, reporter=epochs)
            (self.home / f"epochs-{seed}").write_text(json.dumps(epochs.best))

    def whole(self) -> str | None:
        result = train(recipe(1), self.folder, reporter=Reporter())
        return INTERRUPTED if result.interrupted else None

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        if number % self.rounds == 1:
            self.forget()
        return [self.whole]

    def may_refuse(self, said: str) -> bool:
        return NOTHING_TO_KEEP in said

    def check(self) -> str:
        seen = self.home / "seen"
        committed = [self.folder / "config.json", self.folder / ".commit"]
        if not any(path.exists() for path in committed):
            assert not seen.exists(), "a checkpoint was lost"
            return NOTHING
        checkpoint = read_checkpoint(self.folder)
        model = load_model(SequenceModel, checkpoint)
        assert model.recommend(model.vocabulary.items[:2], k=3)
        seed = checkpoint.recipe["train"]["seed"]
        best = json.loads((self.home / f"epochs-{seed}").read_text())
        weights = checkpoint.manifest.files["model.safetensors"]["sha256"]
        assert weights in best, "weights of no epoch of this run"
        epoch = best.index(weights) + 1
        assert not seen.exists() or epoch >= int(seen.read_text()), "an older checkpoint"
        seen.write_text(str(epoch))
        if not checkpoint.metrics:
            return f"best of epoch {epoch} of run {seed}"
        same = read_checkpoint(self.home / f"reference-{seed}")
        assert checkpoint.metrics == same.metrics, "metrics of other weights"
        assert weights == best[-1], "metrics of later weights"
        return f"finished run {seed}"

    def finish(self) -> None:
        self.whole()
        self.must_equal(1)

    def must_equal(self, seed: int) -> None:
        """The folder must hold, byte for byte, what an uninterrupted run gives."""
        reference = self.home / f"reference-{seed}"
        for name in KEPT:
            assert hash_of(self.folder / name) == hash_of(reference / name), f"{name} differs"
        assert self.progress(self.folder) == self.progress(reference), "progress.json differs"
        assert not left_over(self.folder), left_over(self.folder)
        self.forget()

    @staticmethod
    def progress(folder: Path) -> dict[str, Any]:
        """The progress without the seconds that it took."""
        document = json.loads((folder / "training" / "progress.json").read_text())
        for record in [document, *document["epochs"]]:
            del record["seconds"]
        return dict(document)

    def forget(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.home / "seen").unlink(missing_ok=True)


class TwoRuns(Train):
    """Two runs of other recipes that want the same folder, the second one with ``--overwrite``."""

    name = "two runs"
    seeds = (1, 2)
    rounds = 2

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        if number % self.rounds == 1:
            self.forget()
        runs = [self.whole, self.other]
        chance.shuffle(runs)
        return runs

    def other(self) -> str | None:
        """The second run."""
        result = train(recipe(2), self.folder, reporter=Reporter(), overwrite=True)
        return INTERRUPTED if result.interrupted else None

    def may_refuse(self, said: str) -> bool:
        expected = ("is in use by another training", "holds a run of another recipe")
        return super().may_refuse(said) or any(text in said for text in expected)

    def check(self) -> str:
        # The second run may replace the first, so an earlier epoch is not an error.
        (self.home / "seen").unlink(missing_ok=True)
        return super().check()

    def finish(self) -> None:
        self.other()
        self.must_equal(2)


OPERATIONS: dict[str, type[Operation]] = {
    kind.name: kind for kind in (Train, Save, Push, Pull, TwoRuns, StreamedSession)
}
