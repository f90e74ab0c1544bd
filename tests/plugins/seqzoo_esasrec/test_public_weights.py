"""eSASRec with recorded weights against what RecTools computed from them.

``rectools.npz`` has random weights under RecTools' names, two histories that are padded on the
left, and the vectors that its network gave on a CPU in float32.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from seqzoo_esasrec.public_weights import from_public

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights

RECORDED = Path(__file__).with_name("rectools.npz")
TABLE = "item_model.item_net_blocks.0.ids_emb.weight"


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


@pytest.fixture(scope="module")
def weights(recorded):
    found = {key[2:]: value for key, value in recorded.items() if key.startswith("w/")}
    return {f"torch_model.{n}": v for n, v in {**found, TABLE: recorded["item_table"]}.items()}


def test_the_vectors_of_rectools(recorded, weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    rows = len(recorded["item_table"])
    model, assumed = import_weights(
        tmp_path / "a.safetensors",
        architecture="esasrec",
        vocabulary=Vocabulary([str(index) for index in range(1, rows)]),
        settings={"num_heads": 2},
    )
    assert assumed == ()
    settings = ("hidden_size", "max_length", "inner_factor", "num_layers", "position_order")
    assert [model.config[name] for name in settings] == [8, 6, 2, 2, "newest"]
    items, expected = recorded["items"], recorded["out"]
    for row, history in enumerate(items):
        real = history > 0
        batch = SequenceBatch(history[real][None], real.sum()[None])
        with torch.inference_mode():
            found, newest = model(batch)[0], model.last(batch)[0]
        scale = expected.abs().max()
        assert (found - expected[row][real]).abs().max() <= 2e-6 * scale
        assert (newest - expected[row, -1]).abs().max() <= 2e-6 * scale


def test_heads_must_be_given(weights):
    assert from_public(weights).assumed == ("num_heads",)


def test_other_names():
    with pytest.raises(CheckpointError, match="the names of RecTools' SASRecModel with LiGRLayers"):
        from_public({"item_embedding.weight": torch.zeros(3, 4)})


def test_a_tensor_without_a_counterpart_is_named(weights, tmp_path):
    extra = "transformer_layers.transformer_blocks.0.feed_forward.ff_linear_1.bias"
    save_file({**weights, extra: torch.zeros(16)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"unexpected tensor .*ff_linear_1\.bias"):
        import_weights(
            tmp_path / "a.safetensors",
            architecture="esasrec",
            vocabulary=Vocabulary([str(index) for index in range(1, 11)]),
            settings={"num_heads": 2},
        )
