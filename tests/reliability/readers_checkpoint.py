"""Readers of a checkpoint's files. Their checksums agree, as after damage on purpose."""

import json
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import torch
import yaml

from seqzoo import zoo
from seqzoo.checkpoint.card import card_of, split_card
from seqzoo.checkpoint.card_merge import decode_card, merge_cards
from seqzoo.checkpoint.manifest import read_manifest
from seqzoo.checkpoint.record import Checkpoint, read_checkpoint
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.model.load import load_model
from seqzoo.model.save import save_model
from seqzoo.model.sequence_model import SequenceModel
from seqzoo.storage.atomic import locate, recover
from seqzoo.storage.safetensors_header import count_parameters
from seqzoo.training.recipe import Recipe, read_recipe_file
from tests import samples
from tests.reliability import mutations
from tests.reliability.readers import reader

RECIPE = {
    "architecture": "sasrec",
    "model": {"hidden_size": 8, "max_length": 6, "num_layers": 1},
    "data": {"source": "synthetic", "min_count": 1, "options": {"users": 12, "items": 8}},
    "train": {"epochs": 2, "lr": 5e-3, "protocols": ["loo-full"], "seed": 1},
    "seqzoo": "0.1",
}


def make_model() -> SequenceModel:
    """The smallest model."""
    torch.manual_seed(0)
    items = Vocabulary(
        [f"item-{index}" for index in range(8)], [f"Tïtle {index}" for index in range(8)]
    )
    return SequenceModel.build("sasrec", dict(RECIPE["model"]), items)  # type: ignore[call-overload]


def any_json(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to the values of a JSON document, or to its bytes."""
    if chance.randrange(3) == 0:
        return mutations.damage(chance.choice(seeds), chance)
    return mutations.render(mutations.damage_document(json.loads(chance.choice(seeds)), chance))


def any_yaml(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to the values of a YAML document, or to its bytes."""
    if chance.randrange(2):
        return mutations.damage(chance.choice(seeds), chance)
    document = yaml.safe_load(chance.choice(seeds))
    return mutations.render_yaml(mutations.damage_document(document, chance), chance)


def any_tensors(seeds: Sequence[bytes], chance: Random) -> bytes:
    """Damage to the header of a safetensors file, to the values in it, or to any byte."""
    content = chance.choice(seeds)
    end = 8 + int.from_bytes(content[:8], "little")
    kind = chance.randrange(4)
    if kind == 0:
        return mutations.damage(content, chance)
    if kind == 1:
        return mutations.damage(content[:end], chance) + content[end:]
    if kind == 2:
        header, body = content[8:end], bytearray(content[end:])
        at = chance.randrange(len(body) // 4) * 4 if len(body) >= 4 else 0
        body[at : at + 4] = chance.choice(
            (b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\1\0\0\0")
        )
        return struct.pack("<Q", len(header)) + header + bytes(body)
    header = mutations.render(mutations.damage_document(json.loads(content[8:end]), chance))
    length = len(header) if chance.randrange(4) else chance.choice(mutations.EXTREMES)
    return struct.pack("<Q", length) + header + content[end:]


class CheckpointFile:
    """One file of a checkpoint; everything that reads checkpoints is called."""

    name = ""

    def __init__(self, home: Path) -> None:
        self.folder = home / "checkpoint"
        save_model(self.folder, make_model(), recipe=RECIPE, metrics=samples.METRICS)
        self.path = self.folder / self.name
        self.config = (self.folder / "config.json").read_bytes()
        self.seeds: Sequence[bytes] = [self.path.read_bytes()]

    def put(self, content: bytes) -> None:
        """Write the content and make the sums agree."""
        (self.folder / "config.json").write_bytes(self.config)
        samples.replace(self.folder, self.name, content)

    def read(self, content: bytes) -> object:
        self.put(content)
        zoo.info(self.folder)
        checkpoint = read_checkpoint(self.folder, keep=True)
        return self.use(checkpoint)

    def use(self, checkpoint: Checkpoint) -> object:
        """Do with a readable checkpoint what users do."""
        card = card_of(checkpoint, name="x", source="./x", curve=None, existing=None)
        split_card(card)
        model = load_model(SequenceModel, checkpoint)
        return model.recommend(model.vocabulary.items[:2], k=1, on_unknown="skip")


@reader("config.json", "checkpoint", any_json)
class Config(CheckpointFile):
    name = "config.json"

    def put(self, content: bytes) -> None:
        self.path.write_bytes(content)
        # Half of the damage is sealed, to get past the sum of the file itself.
        with suppress(ValueError, RecursionError, TypeError, AttributeError, UnicodeError):
            if len(content) % 2:
                samples.reseal(self.folder, lambda document: document.items())


@reader("vocabulary.json", "checkpoint", any_json)
class VocabularyJson(CheckpointFile):
    name = "vocabulary.json"


@reader("metrics.json", "checkpoint", any_json)
class Metrics(CheckpointFile):
    name = "metrics.json"


@reader("recipe.yaml in a checkpoint", "checkpoint", any_yaml)
class RecipeYaml(CheckpointFile):
    name = "recipe.yaml"


@reader("model.safetensors", "checkpoint", any_tensors)
class Weights(CheckpointFile):
    name = "model.safetensors"

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        try:
            count_parameters(self.path, len(content))
        finally:
            super().read(content)


@reader("a damaged checkpoint whose sums do not agree", "checkpoint")
class Unsealed(CheckpointFile):
    """The file that a byte of the content chooses gets the rest of it."""

    name = "config.json"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.good = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        self.names = sorted(self.good)
        self.seeds = [bytes([i]) + self.good[name] for i, name in enumerate(self.names)]

    def put(self, content: bytes) -> None:
        for name, good in self.good.items():
            (self.folder / name).write_bytes(good)
        name = self.names[content[0] % len(self.names)] if content else "config.json"
        (self.folder / name).write_bytes(content[1:])


@reader("the list of a commit folder", "checkpoint")
class CommitList(CheckpointFile):
    name = "config.json"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.seeds = [b'["config.json", "metrics.json"]']

    def read(self, content: bytes) -> object:
        commit = self.folder / ".commit"
        commit.mkdir(exist_ok=True)
        (commit / "config.json").write_bytes(self.config)
        (commit / ".files").write_bytes(content)
        locate(self.folder, "config.json")
        recover(self.folder)
        return read_manifest(self.folder)


@reader("recipe.yaml to train", "recipe", any_yaml)
class RecipeToTrain:
    def __init__(self, home: Path) -> None:
        self.path = home / "recipe.yaml"
        self.seeds: Sequence[bytes] = [yaml.safe_dump(RECIPE, sort_keys=False).encode()]

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        recipe = Recipe.make(read_recipe_file(self.path))
        return recipe.to_dict()


CARD = b"""---
license: apache-2.0
license_name: mine
library_name: seqzoo
tags:
- sequential-recommendation
- my-tag
datasets: [org/movies]
model-index:
- name: tiny
  results:
  - task: {type: sequential-recommendation}
    dataset: {type: org/movies, name: Movies}
    metrics:
    - {type: ndcg@10, value: 0.25}
---

# Tiny

My own words.
"""


@reader("README.md", "card")
class Card(CheckpointFile):
    name = "README.md"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.checkpoint = read_checkpoint(self.folder)
        self.generated = self.path.read_text("utf-8")
        self.seeds = [CARD, CARD, self.path.read_bytes()]

    def read(self, content: bytes) -> object:
        self.path.write_bytes(content)
        zoo.info(self.folder)
        text = decode_card(content, "README.md")
        card = card_of(self.checkpoint, name="x", source="./x", curve=None, existing=text)
        split_card(card)
        merge_cards(card, text, "ours", "theirs")
        return merge_cards(text, self.generated, "ours", "theirs")
