"""Operations of the Hub that are killed, and what must be left."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

from huggingface_hub import constants

from seqzoo import zoo
from seqzoo.checkpoint.pull import pull_checkpoint
from seqzoo.checkpoint.record import read_checkpoint
from seqzoo.errors import CheckpointError, HubError
from tests.reliability.operation import (
    KEPT,
    NOTHING,
    Operation,
    Run,
    forever,
    left_over,
    save_which,
    which,
)


class Push(Operation):
    """Two checkpoints that replace each other in a repository."""

    name = "push"
    rounds = 1

    def prepare(self) -> None:
        for number in (0, 1):
            save_which(self.home / str(number), number)
        zoo.push(self.home / "0", "org/shop")

    def whole(self) -> None:
        constants.HF_HUB_CACHE = str(self.cache)
        for number in (1, 0):
            zoo.push(self.home / str(number), "org/shop")

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.repository, self.cache = "org/shop", home / "cache"

    def attempts(self, number: int, chance: Random) -> Sequence[Run]:
        self.repository = "org/shop"
        if number % 4 == 0:  # into a repository that does not exist yet
            self.repository = f"org/new-{number}"
            return [lambda: zoo.push(self.home / "1", self.repository)]
        return [partial(forever, self.whole)]

    def check(self) -> str:
        constants.HF_HUB_CACHE = str(self.cache)
        shutil.rmtree(self.cache, ignore_errors=True)
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
