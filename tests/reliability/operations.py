"""What is killed, and what must be left: ``kill.py`` runs these."""

import json
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import seqzoo_sasrec.backbone  # noqa: F401
import torch
import torch._dynamo
from huggingface_hub import constants

import seqzoo.checkpoint.hub.push
import seqzoo.data.synthetic
import seqzoo.training.run  # noqa: F401
from seqzoo import zoo
from seqzoo.checkpoint.pull import pull_checkpoint
from seqzoo.checkpoint.record import Checkpoint, read_checkpoint
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError, HubError
from seqzoo.model.load import load_model
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.model.session import Session
from seqzoo.plugins import catalogue
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter

# The forks of this process would import all of this again and again.
catalogue()
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
        """The folder must hold, byte for byte, what the run gives that nobody killed."""
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
        # The second run may replace the first, so that an earlier epoch is no loss.
        (self.home / "seen").unlink(missing_ok=True)
        return super().check()

    def finish(self) -> None:
        self.other()
        self.must_equal(2)


class Push(Operation):
    """Two checkpoints that replace each other in a repository."""

    name = "push"
    rounds = 1

    def prepare(self) -> None:
        for number in (0, 1):
            save_which(self.home / str(number), number)
        zoo.push(self.home / "0", "org/shop")

    def whole(self) -> None:
        for number in (1, 0):
            zoo.push(self.home / str(number), "org/shop")

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.repository = "org/shop"

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        self.repository = "org/shop"
        if number % 4 == 0:  # into a repository that does not exist yet
            self.repository = f"org/new-{number}"
            return [lambda: zoo.push(self.home / "1", self.repository)]
        return [partial(forever, self.whole)]

    def check(self) -> str:
        constants.HF_HUB_CACHE = str(self.home / "cache")
        shutil.rmtree(self.home / "cache", ignore_errors=True)
        try:
            pulled = pull_checkpoint(f"hf://{self.repository}")
        except (CheckpointError, HubError) as error:
            empty = ("there is no repository", "has no config.json")
            if self.repository == "org/shop" or not any(text in str(error) for text in empty):
                raise
            return NOTHING
        return f"checkpoint {which(read_checkpoint(pulled.folder))}"

    def finish(self) -> None:
        zoo.push(self.home / "1", self.repository)
        assert self.check() == "checkpoint 1"
        assert not zoo.push(self.home / "1", self.repository).committed


class Pull(Operation):
    """A repository that is pulled into the cache and into a folder, also over an older commit."""

    name = "pull"
    rounds = 2

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.cache, self.folder = home / "cache", home / "copy"

    def prepare(self) -> None:
        for number in (0, 1):
            save_which(self.home / str(number), number)
            pushed = zoo.push(self.home / str(number), "org/pulled")
            (self.home / f"commit-{number}").write_text(pushed.commit or "")

    def whole(self) -> None:
        constants.HF_HUB_CACHE = str(self.cache)
        pull_checkpoint(f"hf://org/pulled@{(self.home / 'commit-0').read_text()}")
        pull_checkpoint("hf://org/pulled", to=self.folder)

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        if number % self.rounds == 1:
            self.forget()
        return [self.whole]

    def forget(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def check(self) -> str:
        constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(self.cache), True
        found = []
        for number in (0, 1):
            commit = (self.home / f"commit-{number}").read_text()
            try:
                folder = pull_checkpoint(f"hf://org/pulled@{commit}").folder
            except HubError as error:
                if "is not complete in the local cache" not in str(error):
                    raise
                continue
            assert which(read_checkpoint(folder)) == number
            found.append(str(number))
        try:
            copied = which(read_checkpoint(self.folder))
        except CheckpointError:
            assert not (self.folder / "config.json").exists()
            assert not any((self.folder / name).exists() for name in KEPT)
            return f"cache {'+'.join(found) or NOTHING}, copy {NOTHING}"
        assert copied == 1
        return f"cache {'+'.join(found) or NOTHING}, copy complete"

    def finish(self) -> None:
        self.whole()
        assert which(read_checkpoint(self.folder)) == 1
        assert not left_over(self.folder)


OPERATIONS: dict[str, type[Operation]] = {
    kind.name: kind for kind in (Train, Save, Push, Pull, TwoRuns, StreamedSession)
}
