"""Readers of what seqzoo stores between two calls: sessions, runs, tunings, pins, arrays."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import polars as pl
import torch

from seqzoo.checkpoint.pins_file import Pin, read_pins, render_pins
from seqzoo.data.checksums import record_of, remembered
from seqzoo.data.sequences import Sequences
from seqzoo.model.session import Session
from seqzoo.serving.batch.job import Job, Part
from seqzoo.storage.integrity import sha256_of_bytes, sha256_of_document
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter
from seqzoo.training.recipe import Recipe
from seqzoo.training.state import read_state
from seqzoo.tuning.folder import TUNING, open_folder
from seqzoo.tuning.space import parse_space
from tests.reliability import mutations
from tests.reliability.readers import reader
from tests.reliability.readers_checkpoint import RECIPE, any_json, any_tensors, make_model


class SessionFile:
    """A file of a saved session; the sums agree where that is possible."""

    name = ""

    def __init__(self, home: Path) -> None:
        self.model, self.folder = make_model(), home / "session"
        session = Session(self.model)
        for index in range(3):
            session.observe(f"item-{index}", timestamp=1000 + index)
        session.save(self.folder)
        self.good = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        self.seeds: Sequence[bytes] = [self.good[self.name]]

    def read(self, content: bytes) -> object:
        files = {**self.good, self.name: content}
        with suppress(ValueError, RecursionError, TypeError):
            document = json.loads(files["session.json"])
            if isinstance(document, dict) and len(content) % 4:
                document.pop("sha256", None)
                if self.name != "session.json":
                    document["tensors"] = sha256_of_bytes(content)
                document["sha256"] = sha256_of_document(document)
                files["session.json"] = json.dumps(document).encode()
        for name, given in files.items():
            (self.folder / name).write_bytes(given)
        session = Session.restore(self.model, self.folder)
        session.recommend(1)
        session.observe("item-4", timestamp=2**40)
        return session.recommend(1)


@reader("session.json", "session", any_json)
class SessionJson(SessionFile):
    name = "session.json"


@reader("session.safetensors", "session", any_tensors)
class SessionTensors(SessionFile):
    name = "session.safetensors"


class StateFile:
    """A file of a training run."""

    name = ""

    def __init__(self, home: Path) -> None:
        self.out = home / "run"
        train(RECIPE, self.out, reporter=Reporter())
        self.path = self.out / "training" / self.name
        self.seeds: Sequence[bytes] = [self.path.read_bytes()]


@reader("progress.json of a run", "training", any_json)
class Progress(StateFile):
    name = "progress.json"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        document = json.loads(self.seeds[0])
        unfinished = {**document, "finished": False}
        self.seeds = [self.seeds[0], json.dumps(unfinished).encode()]

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        return train(RECIPE, self.out, reporter=Reporter())


@reader("state.safetensors of a run", "training", any_tensors)
class State(StateFile):
    name = "state.safetensors"

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        model = make_model()
        optimizer = torch.optim.AdamW(model.parameters())
        read_state(self.out, model, optimizer)
        model.encode([["item-1", "item-2"]])
        return optimizer.step()


@reader("tuning.json of a tuning", "training", any_json)
class Tuning:
    def __init__(self, home: Path) -> None:
        self.folder = home / "tuned"
        self.base = Recipe.make(RECIPE)
        self.space = parse_space({"train.lr": "1e-3..1e-2", "model.dropout": [0.1, 0.2]})
        open_folder(self.folder, self.base, self.space)
        self.seeds: Sequence[bytes] = [(self.folder / TUNING).read_bytes()]

    def read(self, content: bytes) -> object:
        (self.folder / TUNING).write_bytes(content)
        return open_folder(self.folder, self.base, self.space)


@reader("the log of recommendations for a file", "data")
class Log:
    def __init__(self, home: Path) -> None:
        self.out = home / "out.jsonl"
        job = Job(self.out)
        job.start({})
        for number in range(2):
            job.add(pl.DataFrame({"user": ["a"]}), Part(number, 1, 0, 1, 0))
        job.close()
        self.path = job.folder / "done.jsonl"
        self.seeds: Sequence[bytes] = [self.path.read_bytes()]

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        job = Job(self.out)
        job.start({})
        job.close()
        return job.done


@reader("pins.json", "pins", any_json)
class Pins:
    def __init__(self, home: Path) -> None:
        self.path = home / "pins.json"
        pin = Pin("org/name", "0" * 40, "0" * 64)
        self.seeds: Sequence[bytes] = [render_pins({"sasrec-a": pin, "sasrec-b": pin}).encode()]

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        return read_pins(self.path)


def any_array(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to a file of ``Sequences.save``, which the first byte names."""
    seed = chance.choice(seeds)
    damaged = seed[1:101] if chance.randrange(2) else seed[1:]
    return seed[:1] + mutations.damage(damaged, chance) + seed[1 + len(damaged) :]


@reader("items.npy, offsets.npy, timestamps.npy", "data", any_array)
class Arrays:
    NAMES = ("items.npy", "offsets.npy", "timestamps.npy")

    def __init__(self, home: Path) -> None:
        self.folder = home
        Sequences(
            np.array([1, 2, 3, 1], np.int32), np.array([1, 2, 3, 4]), np.array([0, 2, 4])
        ).save(home)
        self.good = {name: (home / name).read_bytes() for name in self.NAMES}
        self.seeds = [bytes([i]) + self.good[name] for i, name in enumerate(self.NAMES)]

    def read(self, content: bytes) -> object:
        for name, good in self.good.items():
            (self.folder / name).write_bytes(good)
        (self.folder / self.NAMES[content[0] % 3]).write_bytes(content[1:])
        loaded = Sequences.load(self.folder, mmap=len(content) % 2 == 0)
        return [loaded[user].sum() for user in range(min(len(loaded), 100))]


@reader("the sha256 record of a download", "data")
class Record:
    def __init__(self, home: Path) -> None:
        self.path = home / "ml-1m.zip"
        self.seeds: Sequence[bytes] = [b"0" * 64 + b"  ml-1m.zip\n"]

    def read(self, content: bytes) -> object:
        record_of(self.path).write_bytes(content)
        return remembered(self.path)
