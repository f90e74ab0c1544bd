"""Weights of the public PyTorch code: names, shapes and recorded outputs.

``pytorch.npz`` has random weights under the names of pmixer/TiSASRec.pytorch, two histories padded
on the left to 6 positions, their intervals, and the vectors that its code gave on a CPU in float32.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seqzoo.errors import CheckpointError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights

RECORDED = np.load(Path(__file__).with_name("pytorch.npz"), allow_pickle=False)
ITEMS, LENGTH, LARGEST = 10, 6, 16


def recorded_weights():
    return {
        name.removeprefix("w/"): torch.from_numpy(RECORDED[name])
        for name in RECORDED.files
        if name.startswith("w/")
    }


@pytest.fixture
def imported(tmp_path):
    def imported(weights, **settings):
        save_file(weights, tmp_path / "weights.safetensors")
        (tmp_path / "items.txt").write_text("\n".join(map(str, range(1, ITEMS + 1))))
        return import_weights(
            tmp_path / "weights.safetensors",
            architecture="tisasrec",
            vocabulary=tmp_path / "items.txt",
            settings=settings,
        )

    return imported


def recorded_histories():
    """The events of the recorded histories, and seconds that have the recorded intervals."""
    histories, times = [], []
    for items, pairs in zip(RECORDED["items"], RECORDED["intervals"], strict=True):
        start = int((items == 0).sum())
        steps = [int(pairs[t, t + 1]) for t in range(start, LENGTH - 1)]
        # From an empty position, whose time is 0, the oldest event is 1 away.
        seconds = np.cumsum([0, *steps])
        full = np.concatenate([np.full(start, -1), seconds]) + 1
        found = np.minimum(np.abs(full[:, None] - full[None, :]), LARGEST)
        assert (found == pairs).all()
        histories.append(items[start:].tolist())
        times.append((978_300_000 + seconds).tolist())
    return histories, times


def test_the_vectors_are_those_of_the_public_code(imported):
    model, assumed = imported(recorded_weights(), num_heads=2, scale="unit", unit=1)
    assert not assumed
    assert model.config["max_interval"] == LARGEST
    assert model.config["max_length"] == LENGTH
    assert model.config["position_order"] == "newest"
    assert model.config["mask_padded_keys"] is False
    histories, times = recorded_histories()
    batch = SequenceBatch.from_histories(histories, times)
    expected = torch.from_numpy(RECORDED["out"])
    with torch.inference_mode():
        whole, last = model(batch), model.last(batch)
    for row, history in enumerate(histories):
        own = expected[row, LENGTH - len(history) :]
        torch.testing.assert_close(whole[row, : len(history)], own, rtol=0, atol=5e-6)
    torch.testing.assert_close(last, expected[:, -1], rtol=0, atol=5e-6)


def test_settings_that_are_inferred(imported):
    model, assumed = imported(recorded_weights())
    assert assumed == ("num_heads",)
    assert model.config["scale"] == "user_min"
    assert model.config["num_layers"] == 2
    assert model.config["norm_eps"] == 1e-8
    assert model.config["embedding_norm"] == "none"


def test_keys_of_an_early_version(imported):
    """It has as many of them as items; the first are for intervals."""
    weights = recorded_weights()
    keys = weights["time_matrix_K_emb.weight"]
    weights["time_matrix_K_emb.weight"] = torch.cat([keys, torch.ones(3, 8)])
    model, _ = imported(weights)
    assert torch.equal(model.backbone.interval_keys, keys)


def test_other_weights_are_refused(imported):
    with pytest.raises(CheckpointError, match=r"knows the names of .*pmixer/TiSASRec\.pytorch"):
        imported({"weight": torch.ones(2)})
    with pytest.raises(CheckpointError, match="extra"):
        imported(recorded_weights() | {"extra": torch.ones(2)})
