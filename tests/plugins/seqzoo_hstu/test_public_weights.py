"""HSTU with recorded weights against what the published code and RecTools computed from them.

``published.npz`` and ``rectools.npz`` have random weights under the public names, histories, and
the vectors that the implementations gave on a CPU in float32.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from seqzoo_hstu.public_weights import from_public
from torch.nn import functional

from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import CheckpointError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights
from seqzoo.model.sequence_model import SequenceModel

HERE = Path(__file__).parent
TABLE = "item_model.item_net_blocks.0.ids_emb.weight"


def recorded(name):
    with np.load(HERE / name, allow_pickle=False) as arrays:
        found = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    weights = {key[2:]: value for key, value in found.items() if key.startswith("w/")}
    return weights, {key: value for key, value in found.items() if not key.startswith("w/")}


def vocabulary(rows):
    return Vocabulary([str(index) for index in range(1, rows)])


def from_left(values, lengths):
    """Histories padded on the left, padded on the right."""
    width = values.shape[1]
    place = (torch.arange(width) + width - lengths[:, None]).clamp(max=width - 1)
    return values.gather(1, place)


@pytest.fixture
def published():
    """The model with the published code's weights; 4 of its 16 positions are spare here."""
    weights, given = recorded("published.npz")
    public = from_public({**weights, "_attn_mask": torch.ones(16, 16, dtype=torch.bool)}, spare=4)
    assert public.settings["divisor"] == 16
    table = weights["_embedding_module._item_emb.weight"]
    model = SequenceModel.build("hstu", {**public.settings, "num_heads": 2}, vocabulary(len(table)))
    model.load_state_dict(public.weights)
    return model.eval(), given


def test_the_published_vectors(published):
    model, given = published
    times, lengths = given["timestamps"], given["lengths"]
    width = int(lengths.max())
    # The time of the request takes the position of the next event.
    batch = SequenceBatch(
        given["items"][:, :width],
        lengths,
        times[:, :width],
        times[:, 1 : width + 1],
    )
    batch = SequenceBatch(
        batch.items,
        lengths,
        batch.timestamps * batch.mask,
        batch.query_times * batch.mask,
    )
    expected = given["out"][:, :width]
    with torch.inference_mode():
        found = functional.normalize(model(batch), dim=-1)
        newest = functional.normalize(model.last(batch), dim=-1)
    difference = (found - expected)[batch.mask].abs().max()
    assert difference <= 2e-6, difference
    assert (newest - batch.gather_last(expected)).abs().max() <= 2e-6


def test_the_vectors_of_rectools():
    weights, given = recorded("rectools.npz")
    weights |= {TABLE: given["item_table"]}
    public = from_public({f"torch_model.{name}": value for name, value in weights.items()})
    assert public.settings["position_order"] == "newest"
    assert public.assumed == ("num_heads", "temperature")
    model = SequenceModel.build(
        "hstu", {**public.settings, "num_heads": 2}, vocabulary(len(given["item_table"]))
    )
    model.load_state_dict(public.weights)
    lengths = (given["items"] > 0).sum(1)
    times = given["unix_ts"].long()
    batch = SequenceBatch(
        from_left(given["items"], lengths),
        lengths,
        from_left(times[:, :-1], lengths),
        from_left(times[:, 1:], lengths),
    )
    with torch.inference_mode():
        found, newest = model.eval()(batch), model.last(batch)
    expected = given["out"].gather(
        1,
        (torch.arange(6) + 6 - lengths[:, None]).clamp(max=5)[..., None].expand(-1, -1, 8),
    )
    scale = expected.abs().max()
    assert (found - expected)[batch.mask].abs().max() <= 2e-6 * scale
    assert (newest - batch.gather_last(expected)).abs().max() <= 2e-6 * scale


def test_import(tmp_path):
    """As `seqzoo import` does it: rows that no history of the published code reaches are cut."""
    weights, _ = recorded("published.npz")
    table = weights["_embedding_module._item_emb.weight"]
    save_file(
        {name: value.contiguous() for name, value in weights.items()}, tmp_path / "a.safetensors"
    )
    model, assumed = import_weights(
        tmp_path / "a.safetensors",
        architecture="hstu",
        vocabulary=vocabulary(len(table)),
        settings={"num_heads": 2},
    )
    assert assumed == ("temperature",)
    assert model.config["max_length"] == 16 - 11
    assert model.config["divisor"] == 16
    assert (model.config["query_size"], model.config["value_size"]) == (8, 16)
    layer = model.backbone.layers[0]
    biases = weights["_hstu._attention_layers.0._rel_attn_bias._pos_w"]
    assert torch.equal(layer.bias.position_weight, biases[11:16].flip(0))


def test_too_few_positions():
    weights, _ = recorded("published.npz")
    name = "_input_features_preproc._pos_emb.weight"
    with pytest.raises(CheckpointError, match="has 11 rows; expected more than 11"):
        from_public({**weights, name: weights[name][:11]})


@pytest.mark.parametrize("tensors", [{}, {"item_embedding.weight": torch.zeros(3, 4)}])
def test_other_names(tensors):
    with pytest.raises(CheckpointError, match="generative-recommenders, or of RecTools' HSTUModel"):
        from_public(tensors)
