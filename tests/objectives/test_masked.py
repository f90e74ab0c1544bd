"""The masked-item objective: which items it masks, and how it reads a history."""

import numpy as np
import pytest
import torch

from seqzoo.data.batches import Windows
from seqzoo.data.sequences import Sequences
from seqzoo.data.splits import LeaveOneOut
from seqzoo.errors import SeqzooError
from seqzoo.interfaces import MASK, SequenceBatch
from seqzoo.objectives.base import WindowSettings
from seqzoo.objectives.masked import MaskedItem, with_mask
from seqzoo.parts.config import MaskedItemConfig
from seqzoo.training.loop import train
from seqzoo.training.progress import Reporter
from seqzoo.zoo import create, load

LENGTHS = [1, 2, 3, 4, 9, 20, 33, 70]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
SEQUENCES = Sequences(
    np.arange(1, OFFSETS[-1] + 1, dtype=np.int32), np.arange(OFFSETS[-1]) * 60, OFFSETS
)


def small(**settings):
    """A bidirectional Elastic."""
    torch.manual_seed(0)
    return create(
        "elastic",
        num_items=30,
        hidden_size=16,
        max_length=6,
        causal=False,
        objective="masked-item",
        **settings,
    ).eval()


def inputs_of(windows, seed=0, **settings):
    objective = MaskedItem(MaskedItemConfig(**settings), None)
    return objective.batch(SEQUENCES, windows, np.random.default_rng(seed))


def test_exactly_a_share_of_the_items_is_hidden_and_these_are_the_targets():
    windows = Windows(np.array([19, 39, 39]), np.array([20, 10, 2]), np.array([0, 4, 0]))
    inputs = inputs_of(windows, mask_ratio=0.25, mask_newest_ratio=0.0)
    items, targets = inputs.main.histories.items, inputs.main.targets
    # A quarter of 20 and of the 6 after the context; at least one.
    assert (items == MASK).sum(1).tolist() == (targets > 0).sum(1).tolist() == [5, 2, 1]
    assert not targets[1, :4].any(), "the context has no targets"
    for row, (start, length) in enumerate(zip(windows.starts, windows.lengths, strict=True)):
        whole = torch.where(targets[row] > 0, targets[row], items[row])
        assert whole[:length].tolist() == list(range(start + 1, start + length + 1))
        assert not whole[length:].any()
    assert inputs.count == 8


def test_in_some_windows_only_the_newest_item_is_hidden():
    windows = Windows(np.full(1000, 39), np.full(1000, 10), np.zeros(1000, dtype=np.int64))
    targets = inputs_of(windows, mask_ratio=0.5, mask_newest_ratio=0.3).main.targets
    newest = (targets > 0).sum(1) == 1
    assert 250 < int(newest.sum()) < 350
    assert (targets[newest, 9] == 49).all()
    assert not torch.equal(targets, inputs_of(windows, seed=1).main.targets)


@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("shift", [False, True])
def test_windows_have_every_event_of_a_training_history(shift, context):
    objective = MaskedItem(MaskedItemConfig(), None)
    split = LeaveOneOut().part(SEQUENCES, "train")
    settings = WindowSettings(10, 40, shift, context)
    plan = objective.plan(split, settings, np.random.default_rng(0))
    free = []
    for windows in plan:
        assert windows.lengths.max() <= 10
        assert windows.lengths.min() >= 2
        for start, length, before in zip(
            windows.starts, windows.lengths, windows.contexts, strict=True
        ):
            free += range(start + before, start + length)
    expected = [
        position
        for user, length in enumerate(LENGTHS)
        for position in range(OFFSETS[user], OFFSETS[user + 1] - (2 if length > 2 else 0))
    ]
    assert len(free) == len(set(free))
    assert set(free) <= set(expected)
    # An event alone in its window cannot be predicted from others.
    assert len(expected) - len(free) <= len(LENGTHS)


def test_a_hidden_event_follows_the_history_and_only_a_full_one_loses_its_oldest():
    batch = SequenceBatch.from_histories(
        [[1], [1, 2, 3, 4], [5, 6, 7]], [[9], [1, 2, 3, 4], [5, 6, 7]]
    )
    read = with_mask(batch, 4)
    assert read.items.tolist() == [[1, MASK, 0, 0], [2, 3, 4, MASK], [5, 6, 7, MASK]]
    assert read.lengths.tolist() == [2, 4, 4]
    assert read.timestamps.tolist() == [[9, 9, 0, 0], [2, 3, 4, 4], [5, 6, 7, 7]]
    roomy = with_mask(batch, 9)
    assert roomy.items.tolist() == [[1, MASK, 0, 0, 0], [1, 2, 3, 4, MASK], [5, 6, 7, MASK, 0]]
    assert with_mask(SequenceBatch.from_histories([[3]]), 1).items.tolist() == [[MASK]]
    for room in (4, 9):
        shifted = with_mask(batch, room, drop_oldest=True)
        assert shifted.items.tolist() == [[MASK, 0, 0, 0], [2, 3, 4, MASK], [6, 7, MASK, 0]]
        assert shifted.lengths.tolist() == [1, 4, 3]
        assert shifted.timestamps.tolist() == [[9, 0, 0, 0], [2, 3, 4, 4], [6, 7, 7, 0]]


def test_everything_reads_the_hidden_event():
    model = small()
    histories = [["3"], ["3", "1", "4", "1", "5", "9", "2", "6"]]
    by_hand = []
    for history in histories:
        newest = [*map(int, history[-5:]), MASK]
        batch = SequenceBatch.from_histories([newest])
        by_hand.append(model(batch)[:, -1])
    expected = torch.cat(by_hand).detach()
    vectors = model.encode(histories)
    torch.testing.assert_close(vectors, expected, rtol=0, atol=1e-5)
    assert not torch.allclose(vectors[0], model.last(SequenceBatch.from_histories([[3]]))[0])
    session, sessions = model.session(), model.sessions()
    for item in histories[1]:
        session.observe(item)
        sessions.observe([("ann", item)])
    torch.testing.assert_close(session.hidden, expected[1], rtol=0, atol=1e-5)
    best = [each.item for each in model.recommend(histories[1], k=20)]
    assert best == [each.item for each in session.recommend(k=20)]
    assert best == [each.item for each in sessions.recommend(["ann"], k=20)[0]]
    assert best == [each.item for each in model.recommend_from(vectors[1:], k=25)[0]
                    if each.item not in histories[1]][:20]  # fmt: skip


def test_the_mask_is_saved_and_is_not_an_item(tmp_path):
    model = small(mask_ratio=0.3)
    assert model.embedder.item_table.shape == (31, 16)
    model.save_pretrained(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.parts["objective"] == "masked-item"
    assert (again.config["mask_ratio"], again.config["objective"]) == (0.3, "masked-item")
    torch.testing.assert_close(again.embedder.mask_vector, model.embedder.mask_vector)
    torch.testing.assert_close(again.encode([["3", "1"]]), model.encode([["3", "1"]]))


def test_a_causal_backbone_is_refused_by_name():
    with pytest.raises(
        SeqzooError, match="'masked-item' needs a non-causal backbone; 'sasrec' is causal"
    ):
        create("sasrec", num_items=9, objective="masked-item")


def test_an_unknown_objective_shows_the_nearest():
    with pytest.raises(SeqzooError, match=r"unknown objective 'maskd-item'; did you mean"):
        create("sasrec", num_items=9, objective="maskd-item")


class Stops(Reporter):
    """Ctrl-C after the first epoch."""

    def epoch(self, record, best):
        raise KeyboardInterrupt


@pytest.mark.parametrize("objective", ["masked-item", "cl4srec", "duorec"])
def test_a_run_resumes_to_the_same_weights(tmp_path, objective):
    recipe = {
        "architecture": "elastic",
        "model": {"hidden_size": 8, "max_length": 8, "causal": False, "objective": objective},
        "data": {"source": "synthetic", "options": {"users": 60, "items": 30}, "min_count": 1},
        "train": {"epochs": 3},
    }
    assert train(recipe, tmp_path / "parts", reporter=Stops()).interrupted
    train(recipe, tmp_path / "parts")
    train(recipe, tmp_path / "whole")
    parts, whole = (
        (tmp_path / name / "training/state.safetensors").read_bytes() for name in ("parts", "whole")
    )
    assert parts == whole
