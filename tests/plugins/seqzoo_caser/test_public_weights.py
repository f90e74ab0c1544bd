"""Caser with the weights of both public versions, against the scores that these gave.

The ``.npz`` files have random weights under the public names, two histories of at most five events
(padded on the left in ``port.npz``, on the right in ``recbole.npz``), the users, and the scores of
the public code on a CPU in float32.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seqzoo.errors import CheckpointError, UsageError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.import_weights import import_weights
from seqzoo.zoo import create

ITEMS = 10
SIZES = {"hidden_size": 8, "window": 5, "vertical_filters": 2, "horizontal_filters": 3}


def recorded(name):
    with np.load(Path(__file__).with_name(f"{name}.npz"), allow_pickle=False) as file:
        found = {key: torch.from_numpy(file[key]) for key in file.files}
    weights = {k.removeprefix("w/"): value for k, value in found.items() if k.startswith("w/")}
    items = [row[row > 0] for row in found["items"]]
    return weights, SequenceBatch.from_histories([row.tolist() for row in items]), found


@pytest.fixture
def imported(tmp_path):
    """The model through what ``seqzoo import`` calls."""

    def imported(weights, items=ITEMS, **settings):
        save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "w.safetensors")
        (tmp_path / "items.txt").write_text("\n".join(map(str, range(1, items + 1))))
        model, assumed = import_weights(
            tmp_path / "w.safetensors",
            architecture="caser",
            vocabulary=tmp_path / "items.txt",
            settings=settings,
        )
        assert assumed == ("activation",)
        return model

    return imported


def scores_of(model, batch):
    with torch.inference_mode():
        by_last = model.head(model.last(batch))
        whole = model.head(batch.gather_last(model(batch)))
    torch.testing.assert_close(by_last, whole, rtol=0, atol=1e-6)
    return by_last


def test_the_port_of_the_authors(imported):
    weights, batch, found = recorded("port")
    assert sorted(batch.lengths.tolist()) != [5, 5], "one history is padded"
    model = imported(weights)
    expected = {**SIZES, "second_layer": False, "head": "untied-softmax", "output_bias": True}
    assert expected.items() <= model.config.items()
    # Its score is a sum in which the user's vector has a part of its own.
    own = weights["user_embeddings.weight"][found["users"]] @ weights["W2.weight"][:, 8:].T
    torch.testing.assert_close(scores_of(model, batch) + own, found["scores"], rtol=0, atol=1e-5)
    assert own.abs().max() > 1e-2


def with_users(weights):
    """The model of all of RecBole's weights, users included."""
    settings = {**SIZES, "window_padding": "right", "user_vectors": 4}
    model = create("caser", num_items=ITEMS, **settings).eval()
    state = {
        "embedder.item_table": weights["item_embedding.weight"],
        "backbone.start": weights["item_embedding.weight"][0],
        "backbone.user_table": weights["user_embedding.weight"],
    }
    for name, values in weights.items():
        if name.startswith("conv"):
            state[f"backbone.filters.{name}"] = values
        elif name.startswith("fc"):
            state[f"backbone.{name}"] = values
    model.load_state_dict(state)
    return model


def test_recbole_with_its_users():
    weights, batch, found = recorded("recbole")
    batch = SequenceBatch(batch.items, batch.lengths, users=found["users"])
    scores = scores_of(with_users(weights), batch)
    torch.testing.assert_close(scores, found["scores"], rtol=0, atol=1e-5)


def test_recbole_imported_serves_users_that_it_does_not_know(imported):
    """The scores are those that RecBole's weights give to a user whose vector is zero."""
    weights, batch, found = recorded("recbole")
    model = imported(weights)
    assert {
        **SIZES,
        "window_padding": "right",
        "second_layer": True,
    }.items() <= model.config.items()
    nobody = {**weights, "user_embedding.weight": torch.zeros(4, 8)}
    known = SequenceBatch(batch.items, batch.lengths, users=found["users"])
    expected = scores_of(with_users(nobody), known)
    torch.testing.assert_close(scores_of(model, batch), expected, rtol=0, atol=1e-6)
    assert not torch.allclose(expected, found["scores"], rtol=0, atol=1e-3)
    # The whole path, by item ids.
    row = int(batch.lengths.argmax())
    history = [str(int(item)) for item in batch.items[row]]
    best = model.recommend(history, k=ITEMS, exclude_seen=False)
    order = 1 + torch.argsort(expected[row, 1:], descending=True)
    assert [each.item for each in best] == [str(int(item)) for item in order]


@pytest.mark.parametrize("name", ["port", "recbole"])
def test_padding_is_read_as_the_row_of_padding(name, imported):
    weights, batch, _ = recorded(name)
    table = next(values for key, values in weights.items() if key.startswith("item_emb"))
    model = imported(weights)
    assert torch.equal(model.backbone.start, table[0])
    padded = batch.lengths < 5
    assert padded.any()
    with torch.no_grad():
        before = scores_of(model, batch)
        model.backbone.start += 1.0
    changed = (scores_of(model, batch) - before).abs().amax(1) > 1e-3
    assert torch.equal(changed, padded)


def test_what_does_not_fit_is_refused(imported):
    weights, _, _ = recorded("recbole")
    with pytest.raises(CheckpointError, match="names of RecBole's Caser, and those of graytowne"):
        imported({"item_emb.weight": torch.zeros(11, 8)})
    less = {name: values for name, values in weights.items() if name != "conv_h.2.bias"}
    with pytest.raises(CheckpointError, match=r"missing tensor backbone\.filters\.conv_h\.2\.bias"):
        imported(less)
    with pytest.raises(CheckpointError, match=r"there is no tensor 'fc2\.weight'"):
        imported({name: values for name, values in weights.items() if "fc2" not in name})
    with pytest.raises(UsageError, match="has 9 items, so the item table must have 10 rows"):
        imported(weights, items=9)
