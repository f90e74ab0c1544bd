"""Users without a known item, items that are never recommended, and lists of candidates."""

import logging
import time

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import DataError, UnknownItemError, UsageError
from seqzoo.model.sequence_model import SequenceModel

ITEMS = tuple(f"film-{number}" for number in range(30))
HISTORY = ["film-3", "film-7", "film-1"]
COUNTS = [number % 10 for number in range(30)]
POPULAR = [f"film-{number}" for number in (9, 19, 29, 8, 18, 28, 7)]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    settings = {"hidden_size": 16, "max_length": 10}
    labels = [f"Film number {number}" for number in range(30)]
    return SequenceModel.build("gru4rec", settings, Vocabulary(ITEMS, labels, COUNTS)).eval()


@pytest.fixture
def without_counts(model):
    counted, model.vocabulary = model.vocabulary, Vocabulary(ITEMS)
    yield model
    model.vocabulary = counted


def ids(recommendations):
    return [each.item for each in recommendations]


@pytest.mark.parametrize("cold", [[], ["gone"], ["gone", "also gone"]])
def test_a_cold_user_among_others(model, cold):
    expected = model.recommend_many([HISTORY, HISTORY[:1]], k=5)
    first, second, third = model.recommend_many([HISTORY, cold, HISTORY[:1]], 5, on_cold="popular")
    assert [ids(first), ids(third)] == [ids(each) for each in expected]
    assert ids(second) == POPULAR[:5]
    assert [each.score for each in second] == [9.0, 9.0, 9.0, 8.0, 8.0]
    assert second[0].label == "Film number 9"
    assert (first.cold, second.cold, third.cold) == (False, True, False)
    assert second.unknown == cold
    empty = model.recommend_many([HISTORY, cold], 5, on_cold="empty")[1]
    assert (list(empty), empty.cold, empty.unknown) == ([], True, cold)


def test_only_cold_users(model):
    answers = model.recommend_many([[], ["gone"]], k=3, on_cold="popular")
    assert [ids(answer) for answer in answers] == [POPULAR[:3]] * 2
    assert model.recommend_many([[], []], on_cold="empty") == [[], []]


def test_a_cold_user_in_the_middle_is_an_error_that_names_the_row(model):
    with pytest.raises(UnknownItemError, match=r"histories\[1\]: .*'gone'.*on_cold .*popular"):
        model.recommend_many([HISTORY, ["gone"], HISTORY])
    with pytest.raises(UsageError, match=r"histories\[2\]: the history is empty.*on_cold"):
        model.recommend_many([HISTORY, HISTORY, []])
    with pytest.raises(UnknownItemError, match=r"histories\[0\]: .*vocabulary.json\)$"):
        model.encode([["gone"], HISTORY])


def test_cold_users_with_exclusions_and_candidates(model):
    def popular(**options):
        return [
            ids(each) for each in model.recommend_many([[], []], 3, on_cold="popular", **options)
        ]

    assert popular(exclude=POPULAR[:2]) == [POPULAR[2:5]] * 2
    assert popular(exclude=[POPULAR[1:3], []]) == [[POPULAR[0], *POPULAR[3:5]], POPULAR[:3]]
    assert (
        popular(candidates=["film-0", "film-8", "film-19"]) == [["film-19", "film-8", "film-0"]] * 2
    )
    assert popular(candidates=["film-8"], exclude=["film-8"]) == [[], []]
    everything = popular(exclude=[list(ITEMS), []])
    assert everything == [[], POPULAR[:3]]


def test_unknown_items_of_a_cold_user_are_refused_if_asked(model):
    with pytest.raises(UnknownItemError, match=r"history: .*'gone'"):
        model.recommend(["gone"], on_cold="popular", on_unknown="error")
    assert ids(model.recommend([], k=2, on_cold="popular", on_unknown="error")) == POPULAR[:2]


def test_a_model_without_item_counts_says_so_in_one_line(without_counts):
    with pytest.raises(UsageError, match=r"no item counts.*`seqzoo train`.*with_counts") as caught:
        without_counts.recommend([], on_cold="popular")
    assert "\n" not in str(caught.value)
    # Whether anybody is cold must not decide whether the call works.
    with pytest.raises(UsageError, match="no item counts"):
        without_counts.recommend(HISTORY, on_cold="popular")
    assert without_counts.recommend([], on_cold="empty") == []


def test_counts_travel_in_the_checkpoint(model, tmp_path):
    model.save_pretrained(tmp_path / "mine")
    loaded = seqzoo.load(tmp_path / "mine")
    assert loaded.vocabulary.counts == tuple(COUNTS)
    assert ids(loaded.recommend([], k=7, on_cold="popular")) == POPULAR


def test_a_checkpoint_without_counts_stays_as_it_is(tmp_path):
    """The bundled checkpoints were made before there were counts."""
    model = seqzoo.load("gru4rec-ml100k")
    assert model.vocabulary.counts is None
    model.save_pretrained(tmp_path / "copy")
    saved = (tmp_path / "copy" / "vocabulary.json").read_bytes()
    assert b'"counts"' not in saved
    with pytest.raises(UsageError, match="no item counts"):
        model.recommend([], on_cold="popular")
    model.vocabulary = model.vocabulary.with_counts(range(len(model.vocabulary)))
    assert ids(model.recommend([], k=1, on_cold="popular")) == [model.vocabulary.items[-1]]


@pytest.mark.parametrize(
    ("counts", "message"), [([1, 2], "30 items and 2 counts"), ([1.5] * 30, "whole numbers")]
)
def test_counts_that_do_not_fit(model, counts, message):
    with pytest.raises(DataError, match=message):
        model.vocabulary.with_counts(counts)


def test_items_that_nobody_gets(model):
    best = ids(model.recommend(HISTORY, k=6))
    for exclude in (best[:2], tuple(best[:2]), set(best[:2]), np.array(best[:2]), iter(best[:2])):
        assert ids(model.recommend(HISTORY, k=4, exclude=exclude)) == best[2:]
    assert ids(model.recommend_many([HISTORY, HISTORY], 4, exclude=best[:2])[1]) == best[2:]
    assert ids(model.recommend(HISTORY, k=4, exclude=[])) == best[:4]


def test_items_that_single_users_do_not_get(model):
    best = ids(model.recommend(HISTORY, k=6))
    histories = [HISTORY] * 3
    exclude = [[best[0]], [], [best[1], best[0], best[1]]]
    first, second, third = model.recommend_many(histories, 3, exclude=exclude, batch_size=2)
    assert ids(first) == best[1:4]
    assert ids(second) == best[:3]
    assert ids(third) == best[2:5]
    exclude = ({best[0]}, (), np.array(best[:2]))
    again = model.recommend_many(histories, 3, exclude=exclude)
    assert [ids(each) for each in again] == [best[1:4], best[:3], best[2:5]]


def test_exclusions_follow_the_users_when_batches_sort_them(model):
    histories = [[f"film-{(user + step) % 30}" for step in range(9 - user)] for user in range(9)]
    histories[4] = []
    plain = model.recommend_many(histories, 4, on_cold="popular")
    exclude = [[answer[0].item] for answer in plain]
    left = model.recommend_many(histories, 3, exclude=exclude, batch_size=2, on_cold="popular")
    assert [ids(answer) for answer in left] == [ids(answer)[1:] for answer in plain]


@pytest.mark.parametrize("repeats", [True, False])
def test_repeats_allowed_or_not(model, repeats):
    found = model.recommend(HISTORY, k=30, exclude_seen=not repeats, exclude=["film-3"])
    left_out = {"film-3"} if repeats else set(HISTORY)
    assert set(ids(found)) == set(ITEMS) - left_out


def test_exclusions_meet_candidates_and_the_history(model):
    candidates = ["film-9", "film-11", "film-3", "film-20"]
    found = model.recommend(HISTORY, candidates=candidates, exclude=["film-9"])
    assert sorted(ids(found)) == ["film-11", "film-20"]
    assert model.recommend(HISTORY, candidates=candidates, exclude=candidates) == []
    assert model.recommend(HISTORY, candidates=["film-3"]) == []
    assert model.recommend(HISTORY, exclude=ITEMS) == []
    many = model.recommend_many([HISTORY] * 2, exclude=[ITEMS, []])
    assert (many[0], len(many[1])) == ([], 10)


def test_unknown_ids_are_skipped_and_logged_or_refused(model, caplog):
    expected = model.recommend(HISTORY, candidates=["film-9", "film-11"], exclude=["film-9"])
    with caplog.at_level(logging.INFO, "seqzoo"):
        found = model.recommend(
            HISTORY, candidates=["film-9", "new", "film-11"], exclude=["film-9", "old"]
        )
    assert found == expected
    assert "candidates the model does not know: new" in caplog.text
    assert "exclude the model does not know: old" in caplog.text
    for what in ("candidates", "exclude"):
        with pytest.raises(UnknownItemError, match=f"{what}: .*'Film 9'; did you mean 'film-9'"):
            model.recommend(HISTORY, on_unknown="error", **{what: ["film-4", "Film 9"]})
    with pytest.raises(UnknownItemError, match=r"candidates: .*'new'"):
        model.recommend(HISTORY, candidates=["new"])
    assert len(model.recommend(HISTORY, exclude=["old"])) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_cold": "guess"}, "on_cold is 'guess'; expected 'error' or 'empty' or 'popular'"),
        ({"on_cold": "populr"}, "did you mean 'popular'"),
        ({"on_cold": None}, "on_cold is None"),
        ({"exclude": "film-3"}, "exclude is a list .*the string 'film-3'"),
        ({"exclude": 5}, "exclude is a list .*the int 5"),
        ({"exclude": {"film-3": 1}}, "exclude is a list .*the dict"),
        ({"exclude": [5]}, "exclude is a list of item ids; got the int 5"),
        ({"exclude": [["film-3"]]}, "exclude has 1 lists for 2 users; give one list"),
        ({"exclude": [["film-3"], "film-4"]}, "exclude is a list of item ids; got the string"),
        ({"exclude": [["film-3"], [7]]}, "item ids are strings"),
        ({"exclude": [["film-3"], None]}, "got the NoneType"),
    ],
)
def test_wrong_calls_say_what_was_expected(model, options, message):
    with pytest.raises(UsageError, match=message):
        model.recommend_many([HISTORY, HISTORY], **options)


def test_vectors_are_scored_with_the_same_choice(model):
    vectors = model.encode([HISTORY, HISTORY[:1]])
    exclude = [["film-2"], ["film-5", "film-6"]]
    direct = model.recommend_many([HISTORY, HISTORY[:1]], exclude=exclude, exclude_seen=False)
    assert [ids(each) for each in model.recommend_from(vectors, exclude=exclude)] == [
        ids(each) for each in direct
    ]
    with pytest.raises(UnknownItemError, match="exclude"):
        model.recommend_from(vectors, exclude=["gone"], on_unknown="error")
    assert model.recommend_from(vectors[:0], exclude=["film-2"], seen=[]) == []


def test_a_session_answers_before_its_first_event(model):
    session = model.session()
    with pytest.raises(UsageError, match=r"nothing has been observed yet.*on_cold='popular'"):
        session.recommend()
    assert session.recommend(on_cold="empty") == []
    found = session.recommend(3, on_cold="popular", exclude=POPULAR[:1])
    assert (ids(found), found.cold) == (POPULAR[1:4], True)
    for item in HISTORY:
        session.observe(item)
    best = ids(model.recommend(HISTORY, k=6))
    assert ids(session.recommend(4, exclude=best[:2], on_cold="popular")) == best[2:]
    assert ids(session.recommend(4, candidates=[*best[1:3], "gone"])) == best[1:3]
    with pytest.raises(UnknownItemError, match=r"exclude: .*'gone'"):
        session.recommend(exclude=["gone"], on_unknown="error")
    with pytest.raises(UsageError, match="on_cold is 'guess'"):
        session.recommend(on_cold="guess")


def test_a_stock_list_of_100_000_items_is_quick():
    """Within a bound that a loop over users and items would miss by far."""
    items = [f"SKU-{number}" for number in range(120_000)]
    settings = {"hidden_size": 8, "max_length": 10}
    model = SequenceModel.build("gru4rec", settings, Vocabulary(items)).eval()
    stock = [*items[:100_000], *(f"NEW-{number}" for number in range(5_000))]
    histories = [[items[user], items[user + 7]] for user in range(64)]
    model.recommend_many(histories[:1], candidates=stock[:10])
    started = time.process_time()
    for options in ({"candidates": stock}, {"exclude": items[100_000:]}):
        found = model.recommend_many(histories, k=20, **options)
        assert all(int(item[4:]) < 100_000 for answer in found for item in ids(answer))
    assert time.process_time() - started < 10
