"""BERT4Rec against the scores of RecBole's model, and seqzoo's conformance kit.

``recbole.npz`` has random weights under RecBole's names, two histories as its model reads them (of
6 positions, item 11 is the hidden event) and the scores that it gave on a CPU in float32.
"""

import random
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import seqzoo
from seqzoo.interfaces import MASK, SequenceBatch
from seqzoo.model.import_weights import import_weights
from seqzoo.testing import ArchitectureCases

RECORDED = np.load(Path(__file__).with_name("recbole.npz"), allow_pickle=False)
ITEMS = 10


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, padding, batches, gradients, seeds, saving."""

    architecture = "bert4rec"
    settings: ClassVar = {"hidden_size": 16, "inner_size": 32}


@pytest.fixture(scope="module")
def recbole(tmp_path_factory):
    """The model with RecBole's weights, through ``seqzoo import``."""
    folder = tmp_path_factory.mktemp("recbole")
    weights = {
        name.removeprefix("w/"): torch.from_numpy(RECORDED[name])
        for name in RECORDED.files
        if name.startswith("w/")
    }
    save_file(weights, folder / "weights.safetensors")
    (folder / "items.txt").write_text("\n".join(map(str, range(1, ITEMS + 1))))
    model, _ = import_weights(
        folder / "weights.safetensors",
        architecture="bert4rec",
        vocabulary=folder / "items.txt",
        settings={"num_heads": 2},
    )
    return model


def test_the_scores_are_those_of_recbole(recbole):
    given = torch.from_numpy(RECORDED["reference_input"])
    items = torch.where(given == ITEMS + 1, MASK, given)
    batch = SequenceBatch(items, (items != 0).sum(1))
    expected = torch.from_numpy(RECORDED["scores"])
    with torch.inference_mode():
        scores = recbole.head(recbole.last(batch))
        whole = recbole.head(batch.gather_last(recbole(batch)))
    torch.testing.assert_close(scores, expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(whole, expected, rtol=0, atol=2e-6)


def test_a_full_history_is_read_as_by_recbole(recbole):
    """Of a full history both drop the oldest event; of a shorter one only RecBole does."""
    full = RECORDED["items"][1]
    vector = recbole.encode([[str(item) for item in full]])
    expected = torch.from_numpy(RECORDED["scores"][1:])
    torch.testing.assert_close(recbole.head(vector).detach(), expected, rtol=0, atol=2e-6)
    best = recbole.recommend([str(item) for item in full], k=ITEMS, exclude_seen=False)
    order = 1 + np.argsort(-RECORDED["scores"][1][1:])
    assert [each.item for each in best] == [str(item) for item in order]


def test_it_learns_what_the_others_say(tmp_path):
    """Every user keeps to one of eight groups of five items, in any order."""
    draw = random.Random(0)
    rows = [(f"u{u}", f"{u % 8}-{draw.randrange(5)}", 60 * t) for u in range(64) for t in range(12)]
    settings = {"hidden_size": 32, "max_length": 12, "num_layers": 1, "mask_ratio": 0.5}
    result = seqzoo.train(
        {
            "architecture": "bert4rec",
            "model": {**settings, "dropout": 0.0, "attention_dropout": 0.0},
            "data": {"source": rows},
            "train": {"epochs": 24, "batch_size": 4, "lr": 0.005, "schedule": "constant"},
        },
        tmp_path / "run",
    )
    # By chance .11; with the group known and nothing else .59.
    assert result.metrics["loo-full"]["ndcg@10"] > 0.4
    session = seqzoo.load(tmp_path / "run").session()
    for item in ("3-0", "3-1", "3-4"):
        session.observe(item)
    assert {each.item for each in session.recommend(k=2)} == {"3-2", "3-3"}
