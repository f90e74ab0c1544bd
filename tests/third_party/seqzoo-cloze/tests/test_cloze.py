"""Cloze against a module of plain PyTorch with the same weights, and seqzoo's conformance kit."""

import random
from typing import ClassVar

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import seqzoo
from seqzoo.model.import_weights import import_weights
from seqzoo.testing import ArchitectureCases

ITEMS, LENGTH = 10, 6


class TestConformance(ArchitectureCases):
    """Shapes, capabilities, padding, batches, gradients, seeds, saving."""

    architecture = "cloze"
    settings: ClassVar = {"hidden_size": 16, "inner_size": 32}


class Plain(nn.Module):
    """An implementation without seqzoo; item 11 is the hidden event."""

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(ITEMS + 2, 8)
        self.positions = nn.Embedding(LENGTH, 8)
        layer = nn.TransformerEncoderLayer(
            8, 2, 16, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(8)

    def forward(self, items):
        """Scores of all items, after the last event of one history without padding."""
        hidden = self.items(items) + self.positions.weight[: len(items)]
        # Two layers of one encoder begin alike; the test moves all weights.
        newest = self.norm(self.encoder(hidden[None]))[0, -1]
        return self.items.weight[: ITEMS + 1] @ newest


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    module = Plain().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn(parameter.shape)
    return module


@pytest.fixture(scope="module")
def imported(plain, tmp_path_factory):
    """The model with its weights, through ``seqzoo import``."""
    folder = tmp_path_factory.mktemp("plain")
    save_file(plain.state_dict(), folder / "weights.safetensors")
    (folder / "items.txt").write_text("\n".join(map(str, range(1, ITEMS + 1))))
    model, assumed = import_weights(
        folder / "weights.safetensors", architecture="cloze", vocabulary=folder / "items.txt"
    )
    assert assumed == ("num_heads",)
    return model


@pytest.mark.parametrize("history", [[3], [4, 4, 9], [1, 2, 3, 4, 5], [7, 1, 2, 3, 4, 5, 10]])
def test_the_scores_are_those_of_the_plain_module(plain, imported, history):
    """A hidden event follows the history; of a full one the oldest event is dropped."""
    read = [*history[1 - LENGTH :], ITEMS + 1]
    with torch.inference_mode():
        expected = plain(torch.tensor(read))
        scores = imported.head(imported.encode([[str(item) for item in history]]))[0]
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=2e-5)
    best = imported.recommend([str(item) for item in history], k=ITEMS, exclude_seen=False)
    order = 1 + torch.argsort(expected[1:], descending=True)
    assert [each.item for each in best] == [str(int(item)) for item in order]


def test_it_learns_what_the_others_say(tmp_path):
    """Every user chooses from one of eight groups of five items, in any order."""
    draw = random.Random(0)
    rows = [(f"u{u}", f"{u % 8}-{draw.randrange(5)}", 60 * t) for u in range(64) for t in range(12)]
    result = seqzoo.train(
        {
            "architecture": "cloze",
            "model": {
                "hidden_size": 32,
                "max_length": 12,
                "num_layers": 1,
                "mask_ratio": 0.5,
                "dropout": 0.0,
            },
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
