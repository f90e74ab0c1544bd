"""SequenceModel: ids in, ids and titles out."""

import logging

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.data import padding
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import UnknownItemError, UsageError
from seqzoo.model.sequence_model import SequenceModel

ITEMS = tuple(f"film-{number}" for number in range(30))
LABELS = tuple(f"Film number {number}" for number in range(30))
HISTORY = ["film-3", "film-7", "film-1"]


@pytest.fixture(scope="module", params=["mamba4rec", "sasrec"])
def model(request):
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "max_length": 10}
    return SequenceModel.build(request.param, settings, Vocabulary(ITEMS, LABELS)).eval()


def test_recommendations_carry_ids_labels_and_falling_scores(model):
    best = model.recommend(HISTORY, k=5)
    assert len(best) == 5
    assert all(entry.label == f"Film number {entry.item.split('-')[1]}" for entry in best)
    assert [entry.score for entry in best] == sorted((e.score for e in best), reverse=True)


def test_the_best_items_are_those_of_the_full_scores(model):
    hidden = model.encode([HISTORY])
    scores = model.head(hidden)[0]
    allowed = [i for i in range(1, 31) if ITEMS[i - 1] not in HISTORY]
    expected = sorted(allowed, key=lambda index: -scores[index].item())[:4]
    found = [entry.item for entry in model.recommend(HISTORY, k=4)]
    assert found == [ITEMS[index - 1] for index in expected]


def test_seen_items_come_back_only_when_asked_for(model):
    assert not {entry.item for entry in model.recommend(HISTORY, k=27)} & set(HISTORY)
    everything = {entry.item for entry in model.recommend(HISTORY, k=30, exclude_seen=False)}
    assert everything == set(ITEMS)


def test_seen_items_beyond_the_window_are_excluded_too(model):
    long_history = [f"film-{number % 25}" for number in range(40)]
    found = {entry.item for entry in model.recommend(long_history, k=30)}
    assert found == {f"film-{number}" for number in range(25, 30)}


def test_only_the_newest_events_are_read(model):
    long_history = [f"film-{number % 25}" for number in range(40)]
    assert torch.equal(model.encode([long_history]), model.encode([long_history[-10:]]))


def test_candidates_restrict_the_choice(model):
    found = model.recommend(HISTORY, k=3, candidates=["film-9", "film-11", "film-3", "film-9"])
    assert sorted(entry.item for entry in found) == ["film-11", "film-9"]


def test_batches_do_not_change_the_result_or_the_order(model):
    histories = [[f"film-{(user * step) % 30}" for step in range(1, user + 2)] for user in range(9)]
    one = [model.recommend(history, k=5) for history in histories]
    many = model.recommend_many(histories, k=5, batch_size=2)
    for alone, together in zip(one, many, strict=True):
        assert [entry.item for entry in alone] == [entry.item for entry in together]
        assert [entry.score for entry in alone] == pytest.approx([e.score for e in together])
    vectors = model.encode(histories, batch_size=4)
    alone = torch.cat([model.encode([history]) for history in histories])
    torch.testing.assert_close(vectors, alone)


def test_unknown_items_are_left_out_with_a_warning(model, caplog):
    with caplog.at_level(logging.INFO, "seqzoo"):
        found = model.recommend(["nonsense", *HISTORY], k=3)
    assert "nonsense" in caplog.text
    assert found == model.recommend(HISTORY, k=3)


def test_recommending_leaves_a_model_in_training_mode_there(model):
    model.train()
    try:
        first, second = model.recommend(HISTORY, k=3), model.recommend(HISTORY, k=3)
        assert first == second
        assert model.training
    finally:
        model.eval()


@pytest.mark.parametrize("k", [0, -1, 31, 2.5])
def test_k_outside_the_catalogue_is_refused(model, k):
    with pytest.raises(UsageError, match=f"k is {k}; expected 1 to 30"):
        model.recommend(HISTORY, k=k)


@pytest.mark.parametrize(
    ("history", "options", "error", "message"),
    [
        ([], {}, UsageError, "history is empty"),
        ("film-3", {}, UsageError, "list of item ids"),
        (["nonsense"], {}, UnknownItemError, "'nonsense'.*film-0, film-1"),
        (["Film 3", "film-3"], {"on_unknown": "error"}, UnknownItemError, "did you mean 'film-3'"),
        (["film-3"], {"on_unknown": "guess"}, UsageError, "expected 'skip' or 'error'"),
        (["film-3"], {"candidates": ["nonsense"]}, UnknownItemError, "candidates.*'nonsense'"),
        (["film-3"], {"candidates": []}, UnknownItemError, "candidates"),
        (["film-3"], {"timestamps": [1, 2]}, UsageError, "2 timestamps for 1 items"),
        ({"film-3", "film-4"}, {}, UsageError, "a history is a list of item ids; got the set"),
        ({"film-3": 1}, {}, UsageError, "got the dict"),
        (None, {}, UsageError, "got the NoneType None"),
        (np.array(5), {}, UsageError, "got the ndarray"),
        (["film-3"], {"k": True}, UsageError, "k is True; expected 1 to 30"),
        (["film-3"], {"k": 2.5}, UsageError, r"k is 2\.5"),
        (["film-3"], {"candidates": "film-4"}, UsageError, "candidates is a list .*the string"),
        (["film-3"], {"candidates": 5}, UsageError, "candidates is a list .*the int 5"),
        (["film-3"], {"candidates": [["film-4"]] * 2}, UsageError, "has 2 lists for 1 users"),
        (["film-3"], {"candidates": [[4]]}, UsageError, "item ids are strings"),
        (["film-3"], {"timestamps": 5}, UsageError, "timestamps is a list of unix seconds"),
        (["film-3"], {"timestamps": ["5"]}, UsageError, "a timestamp is '5'"),
        (["film-3"], {"timestamps": [float("nan")]}, UsageError, "a timestamp is nan"),
        (["film-3"], {"timestamps": [2**63]}, UsageError, "expected .*, whole unix seconds"),
        (
            ["film-3", "film-4"],
            {"timestamps": [9, 5]},
            UsageError,
            r"timestamp 5 is earlier than that of the previous event \(9\)",
        ),
    ],
)
def test_wrong_calls_say_what_was_expected(model, history, options, error, message):
    with pytest.raises(error, match=message):
        model.recommend(history, **options)


def test_any_ordered_collection_is_a_history(model):
    """And any collection at all restricts the choice."""
    ids = ["film-3", "film-4"]
    expected = model.recommend(ids, candidates=["film-7", "film-9"])
    for history in (tuple(ids), np.array(ids), iter(ids)):
        assert model.recommend(history, candidates={"film-9", "film-7"}) == expected
    together = model.recommend_many(iter([ids]), candidates=["film-9", "film-7"])
    assert together == [expected]


def test_nobody_is_encoded_as_nothing(model):
    assert model.encode([]).shape == (0, model.encode([["film-3"]]).shape[1])
    assert model.recommend_many([]) == []


def test_a_batch_of_nobody_is_refused(model):
    with pytest.raises(UsageError, match="batch_size is 0; expected 1 or more"):
        model.recommend_many([HISTORY], batch_size=0)


def test_saving_and_loading_gives_the_same_scores(model, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    again = seqzoo.load(tmp_path / "mine")
    assert torch.equal(again.encode([HISTORY]), model.encode([HISTORY]))
    assert again.recommend(HISTORY) == model.recommend(HISTORY)
    assert type(model).from_pretrained(tmp_path / "mine").vocabulary == model.vocabulary


@pytest.mark.parametrize("timed", [True, False])
def test_histories_of_any_length_get_the_same_in_any_batches(monkeypatch, timed):
    torch.manual_seed(0)
    model = seqzoo.create("tim4rec", num_items=30, hidden_size=16, max_length=10).eval()
    histories = [
        [str(1 + (7 * user + event) % 34) for event in range(length)]
        for user, length in enumerate([3, 25, 1, 0, 10, 11, 2])
    ]
    times = [[100 * event for event in range(len(history))] for history in histories]
    given = times if timed else None
    expected = [
        model.recommend(history, timestamps=times[user] if timed else None, on_cold="empty")
        for user, history in enumerate(histories)
    ]
    for positions, batch_size in ((10, 7), (10_000, 7), (10_000, 2)):
        monkeypatch.setattr(padding, "CACHED_POSITIONS", positions)
        found = model.recommend_many(
            histories, timestamps=given, on_cold="empty", batch_size=batch_size
        )
        for answer, alone in zip(found, expected, strict=True):
            assert [each.item for each in answer] == [each.item for each in alone]
            assert [each.score for each in answer] == pytest.approx(
                [each.score for each in alone], abs=1e-5
            )
            assert (answer.unknown, answer.cold) == (alone.unknown, alone.cold)
    assert any(answer.unknown for answer in expected)
    known = [history for history in histories if history]
    vectors = model.encode(known, timestamps=[t for t in times if t] if timed else None)
    assert vectors.shape == (6, 16)
    assert not vectors.is_inference()
    assert model.encode([]).shape == (0, 16)
