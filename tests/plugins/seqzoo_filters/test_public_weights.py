"""Weights of the authors' code: names, shapes, and FMLP-Rec's recorded outputs.

``fmlp.npz`` has random weights under the names of Woeee/FMLP-Rec, two histories padded on the left
to 6 slots, and the vectors of all slots that its code gave on a CPU in float32.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seqzoo.errors import CheckpointError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights

RECORDED = np.load(Path(__file__).with_name("fmlp.npz"), allow_pickle=False)
D, INNER, M, ITEMS = 8, 24, 6, 10


@pytest.fixture
def imported(tmp_path):
    """The model of some weights, through what ``seqzoo import`` calls, and what it assumed."""

    def imported(weights, architecture, **settings):
        save_file(weights, tmp_path / "weights.safetensors")
        (tmp_path / "items.txt").write_text("\n".join(map(str, range(1, ITEMS + 1))))
        return import_weights(
            tmp_path / "weights.safetensors",
            architecture=architecture,
            vocabulary=tmp_path / "items.txt",
            settings=settings,
        )

    return imported


def recorded_weights():
    return {
        name.removeprefix("w/"): torch.from_numpy(RECORDED[name])
        for name in RECORDED.files
        if name.startswith("w/")
    }


def test_the_vectors_are_those_of_fmlp_rec(imported):
    model, assumed = imported(recorded_weights(), "fmlp")
    assert not assumed
    histories = [[int(item) for item in row if item] for row in RECORDED["items"]]
    batch = SequenceBatch.from_histories(histories)
    expected = torch.from_numpy(RECORDED["out"])
    with torch.inference_mode():
        whole, last = model(batch), model.last(batch)
    for row, history in enumerate(histories):
        own = expected[row, M - len(history) :]
        torch.testing.assert_close(whole[row, : len(history)], own, rtol=0, atol=2e-6)
    torch.testing.assert_close(last, expected[:, -1], rtol=0, atol=2e-6)
    # Through the ids, alone and so with less padding.
    for history, vector in zip(histories, expected[:, -1], strict=True):
        found = model.encode([[str(item) for item in history]])[0]
        torch.testing.assert_close(found, vector, rtol=0, atol=2e-6)


def published_bsarec(beta="sqrt_beta"):
    """A state dict under the names of yehjin-shin/BSARec, with random values."""
    shapes = {
        "item_embeddings.weight": (ITEMS + 1, D),
        "position_embeddings.weight": (M, D),
        "LayerNorm.weight": (D,),
        "LayerNorm.bias": (D,),
    }
    for i in range(2):
        layer = f"item_encoder.blocks.{i}.layer."
        feed = f"item_encoder.blocks.{i}.feed_forward."
        shapes[f"{layer}filter_layer.{beta}"] = (1, 1, D)
        shapes |= {
            f"{feed}dense_1.weight": (INNER, D),
            f"{feed}dense_1.bias": (INNER,),
            f"{feed}dense_2.weight": (D, INNER),
            f"{feed}dense_2.bias": (D,),
        }
        for name in ("query", "key", "value", "dense"):
            shapes[f"{layer}attention_layer.{name}.weight"] = (D, D)
            shapes[f"{layer}attention_layer.{name}.bias"] = (D,)
        for prefix in (f"{layer}filter_layer.", f"{layer}attention_layer.", feed):
            shapes[f"{prefix}LayerNorm.weight"] = shapes[f"{prefix}LayerNorm.bias"] = (D,)
    draw = torch.Generator().manual_seed(3)
    return {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}


@pytest.mark.parametrize("beta", ["sqrt_beta", "beta"])
def test_bsarec_by_both_names_of_beta(imported, beta):
    theirs = published_bsarec(beta)
    model, assumed = imported(theirs, "bsarec", alpha=0.7, cutoff=5, num_heads=1)
    assert not assumed
    settings = {"hidden_size": D, "inner_size": INNER, "max_length": M, "num_layers": 2}
    assert model.config.items() >= settings.items()
    state = model.state_dict()
    expected = {
        "embedder.item_table": theirs["item_embeddings.weight"],
        "backbone.slots.padding": theirs["item_embeddings.weight"][0],
        "backbone.slots.position_table": theirs["position_embeddings.weight"],
        "backbone.slots.norm.bias": theirs["LayerNorm.bias"],
    }
    for i in range(2):
        ours, block = f"backbone.blocks.{i}.", f"item_encoder.blocks.{i}."
        for own, name in (
            ("filter.norm.weight", "layer.filter_layer.LayerNorm.weight"),
            ("attention.norm.weight", "layer.attention_layer.LayerNorm.weight"),
            ("attention.key.bias", "layer.attention_layer.key.bias"),
            ("feed_forward.norm.bias", "feed_forward.LayerNorm.bias"),
            ("feed_forward.dense_2.weight", "feed_forward.dense_2.weight"),
        ):
            expected[ours + own] = theirs[block + name]
        expected[ours + "filter.sqrt_beta"] = theirs[f"{block}layer.filter_layer.{beta}"][0, 0]
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def test_what_weights_do_not_tell_is_named(imported):
    _, assumed = imported(published_bsarec(), "bsarec")
    assert set(assumed) == {"num_heads", "alpha", "cutoff"}


@pytest.mark.parametrize(
    ("architecture", "authors"),
    [("bsarec", "yehjin-shin/BSARec"), ("fmlp", "Woeee/FMLP-Rec")],
)
def test_other_weights_are_refused(imported, architecture, authors):
    with pytest.raises(CheckpointError, match=f"knows the names of .*{authors}"):
        imported({"weight": torch.ones(2)}, architecture)
    theirs = published_bsarec() if architecture == "bsarec" else recorded_weights()
    with pytest.raises(CheckpointError, match="extra"):
        imported(theirs | {"extra": torch.ones(2)}, architecture)
