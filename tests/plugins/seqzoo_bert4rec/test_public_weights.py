"""BERT4Rec with RecBole's weights against the scores of RecBole's own model.

``recbole.npz`` has random weights under RecBole's names, two histories (of items, and as its model
reads them: 6 positions, item 11 is the hidden event) and the scores that it gave on a CPU in
float32.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seqzoo.errors import CheckpointError, ConfigError
from seqzoo.interfaces import MASK, SequenceBatch
from seqzoo.model.import_weights import import_weights

RECORDED = np.load(Path(__file__).with_name("recbole.npz"), allow_pickle=False)
ITEMS = 10
WEIGHTS = {
    name.removeprefix("w/"): torch.from_numpy(RECORDED[name])
    for name in RECORDED.files
    if name.startswith("w/")
}
HISTORIES = [
    [str(item) for item in row[:length]]
    for row, length in zip(RECORDED["items"], RECORDED["lengths"], strict=True)
]


@pytest.fixture
def imported(tmp_path):
    """``imported(weights, num_heads=2)``: the model through what ``seqzoo import`` calls."""

    def imported(weights=WEIGHTS, items=ITEMS, **settings):
        save_file(dict(weights), tmp_path / "weights.safetensors")
        (tmp_path / "items.txt").write_text("\n".join(map(str, range(1, items + 1))))
        model, assumed = import_weights(
            tmp_path / "weights.safetensors",
            architecture="bert4rec",
            vocabulary=tmp_path / "items.txt",
            settings=settings,
        )
        assert set(assumed) == {"num_heads", "norm_eps"} - set(settings)
        return model

    return imported


def test_settings_and_every_tensor_have_their_place(imported):
    model = imported()
    sizes = {"hidden_size": 8, "max_length": 6, "inner_size": 16, "num_layers": 2}
    assert {**sizes, "drop_oldest": True, "output_bias": True}.items() <= model.config.items()
    assert torch.equal(model.embedder.item_table, WEIGHTS["item_embedding.weight"][:-1])
    assert torch.equal(model.embedder.mask_vector, WEIGHTS["item_embedding.weight"][-1])
    assert torch.equal(model.head.bias, WEIGHTS["output_bias"])
    # The mask row of the public table is the mask vector.
    assert model.num_parameters == sum(values.numel() for values in WEIGHTS.values())


def test_the_scores_are_those_of_recbole(imported):
    model = imported(num_heads=2)
    given = torch.from_numpy(RECORDED["reference_input"])
    items = torch.where(given == ITEMS + 1, MASK, given)
    batch = SequenceBatch(items, (items != 0).sum(1))
    expected = torch.from_numpy(RECORDED["scores"])
    with torch.inference_mode():
        scores = model.head(model.last(batch))
        whole = model.head(batch.gather_last(model(batch)))
    torch.testing.assert_close(scores, expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(whole, expected, rtol=0, atol=2e-6)


def test_histories_are_read_as_by_recbole(imported):
    """It leaves out the oldest event of every history; ``drop_oldest=False`` only of a full one."""
    model = imported(num_heads=2)
    expected = torch.from_numpy(RECORDED["scores"])
    found = model.head(model.encode(HISTORIES)).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    for row, history in enumerate(HISTORIES):
        best = model.recommend(history, k=ITEMS, exclude_seen=False)
        order = 1 + np.argsort(-RECORDED["scores"][row][1:])
        assert [each.item for each in best] == [str(item) for item in order]

    whole = imported(num_heads=2, drop_oldest=False)
    found = whole.head(whole.encode(HISTORIES)).detach()
    full = RECORDED["lengths"] == 6
    assert full.tolist() == [False, True]
    assert torch.allclose(found[full], expected[full], rtol=0, atol=2e-6)
    assert not torch.allclose(found[~full], expected[~full], rtol=0, atol=1e-3)


def test_what_does_not_fit_is_refused(imported):
    with pytest.raises(ConfigError, match="not a multiple of num_heads = 3"):
        imported(num_heads=3)
    sasrec = {name: values for name, values in WEIGHTS.items() if "output" not in name}
    with pytest.raises(CheckpointError, match=r"missing tensor backbone\.norm\.bias"):
        imported(sasrec)
    with pytest.raises(CheckpointError, match="the names of RecBole's BERT4Rec"):
        imported({"item_emb.weight": torch.zeros(12, 8)})
    tableless = {n: values for n, values in WEIGHTS.items() if n != "item_embedding.weight"}
    with pytest.raises(CheckpointError, match=r"no tensor 'item_embedding\.weight'"):
        imported(tableless)
    with pytest.raises(Exception, match="has 9 items, so the item table must have 10 rows"):
        imported(items=9)
