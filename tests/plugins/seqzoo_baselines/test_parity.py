"""The baselines against slow plain versions that follow the definitions word by word."""

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import seqzoo_baselines.head
import seqzoo_baselines.pairs
import torch

from seqzoo.data.sequences import Sequences
from seqzoo.data.vocabulary import Vocabulary
from seqzoo.errors import ConfigError, TrainingError, UsageError
from seqzoo.interfaces import SequenceBatch
from seqzoo.model.sequence_model import SequenceModel

ITEMS = 40
NAMES = ("popular", "recent-popular", "item-knn", "markov")


def histories(seed=0, users=60):
    generator = np.random.default_rng(seed)
    draws = [generator.zipf(1.5, generator.integers(1, 25)) % ITEMS + 1 for _ in range(users)]
    return [[int(item) for item in draw] for draw in draws]


def flat(rows):
    lengths = [len(row) for row in rows]
    items = np.array([item for row in rows for item in row], dtype=np.int32)
    times = np.concatenate(
        [np.arange(n) * 86_400 * 3 + 1000 * user for user, n in enumerate(lengths)]
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Sequences(items, times.astype(np.int64), offsets)


def fitted(name, rows, items=ITEMS, **settings):
    vocabulary = Vocabulary([f"item-{index}" for index in range(1, items + 1)])
    model = SequenceModel.build(name, settings, vocabulary).eval()
    model.head.fit(flat(rows))
    return model


def scores_of(model, history):
    return model.head(model.last(SequenceBatch.from_histories([history])))[0]


def best(values, number):
    """The keys of the highest values; of equal ones the lowest key."""
    return sorted(values, key=lambda key: (-values[key], key))[:number]


def plain_popular(rows, history):
    return Counter(item for row in rows for item in row)


def plain_recent(rows, history, days=30.0):
    sequences = flat(rows)
    newest = sequences.timestamps.max()
    recent = Counter()
    for item, time in zip(sequences.items.tolist(), sequences.timestamps.tolist(), strict=True):
        recent[item] += time > newest - days * 86_400
    everything = plain_popular(rows, history)
    most = max(everything.values())
    return {item: recent[item] + everything[item] / (most + 1) for item in everything}


def plain_knn(rows, history, neighbours, shrinkage=10.0, decay=0.8, length=20):
    users = defaultdict(set)
    for user, row in enumerate(rows):
        for item in row:
            users[item].add(user)
    everything = plain_popular(rows, history)
    most = max(everything.values())
    found = {item: 1e-7 * everything[item] / (most + 1) for item in range(1, ITEMS + 1)}
    for age, item in enumerate(reversed(history[-length:])):
        similar = {}
        for other in range(1, ITEMS + 1):
            shared = len(users[item] & users[other])
            if other != item and shared:
                cosine = math.sqrt(len(users[item]) * len(users[other]))
                similar[other] = np.float32(shared / (cosine + shrinkage))
        for other in best(similar, neighbours):
            found[other] += decay**age * similar[other]
    return found


def plain_markov(rows, history, neighbours, backoff=1.0):
    followed = Counter(
        after for row in rows for before, after in itertools.pairwise(row) if before == history[-1]
    )
    everything = plain_popular(rows, history)
    events, total = sum(everything.values()), sum(followed.values())
    kept = set(
        best({key: np.float32(n / (total + backoff)) for key, n in followed.items()}, neighbours)
    )
    return {
        item: (followed[item] * (item in kept) + backoff * everything[item] / events)
        / (total + backoff)
        for item in range(1, ITEMS + 1)
    }


@pytest.mark.parametrize("neighbours", [1, 3, 100])
@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("popular", plain_popular),
        ("recent-popular", plain_recent),
        ("item-knn", plain_knn),
        ("markov", plain_markov),
    ],
)
def test_scores_are_those_of_a_plain_version(name, plain, neighbours, monkeypatch):
    # So that counting and scoring go through many blocks, of both kinds.
    monkeypatch.setattr(seqzoo_baselines.pairs, "_BLOCK", 50)
    monkeypatch.setattr(seqzoo_baselines.head, "_FEWEST_ITEMS", 7)
    monkeypatch.setattr(seqzoo_baselines.head, "_BLOCK_SCORES", 7)
    rows = histories()
    settings = {"neighbours": neighbours} if name in ("item-knn", "markov") else {}
    model = fitted(name, rows, **settings)
    for history in [[3], [1, 2, 1], *histories(seed=1, users=8)]:
        wanted = plain(rows, history, **settings)
        expected = torch.tensor([0.0] + [float(wanted.get(i, 0)) for i in range(1, ITEMS + 1)])
        torch.testing.assert_close(scores_of(model, history), expected, rtol=2e-6, atol=1e-12)


@pytest.mark.parametrize("rows", [histories(seed=3), histories(seed=4, users=200)])
def test_blocks_of_pairs_give_the_same_similarities(rows, monkeypatch):
    whole = seqzoo_baselines.pairs.most_similar(flat(rows), ITEMS, 5, 1.0)
    for size in (1, 30, 1000):
        monkeypatch.setattr(seqzoo_baselines.pairs, "_BLOCK", size)
        parts = seqzoo_baselines.pairs.most_similar(flat(rows), ITEMS, 5, 1.0)
        assert all(np.array_equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_a_catalogue_with_hardly_any_pairs_is_counted_by_sorting():
    """The dense counts of a block are made only where the pairs fill them."""
    items = 3000
    rows = [[1, 3000], [1, 3000, 7], [2999]]
    model = fitted("item-knn", rows, items=items, shrinkage=0.0)
    scores = scores_of(model, [1])
    assert scores[3000] == pytest.approx(1.0)
    assert scores[7] == pytest.approx(1 / math.sqrt(2))
    assert int((scores > 1e-6).sum()) == 2


def test_only_the_newest_items_of_a_long_history_count_for_similarities(monkeypatch):
    monkeypatch.setattr(seqzoo_baselines.pairs, "LONGEST", 2)
    model = fitted("item-knn", [[1, 2, 3], [1, 2]], shrinkage=0.0)
    assert model.head.similarity(1)[3] == -torch.inf
    assert model.head.similarity(2)[3] == pytest.approx(1 / math.sqrt(2))


@pytest.mark.parametrize("name", NAMES)
def test_sessions_and_batches_give_the_same_answers(name):
    model = fitted(name, histories())
    rows = histories(seed=5, users=6)
    ids = [[f"item-{index}" for index in row] for row in rows]
    answers = model.recommend_many(ids, 5)
    sessions = model.sessions()
    sessions.observe([(str(user), item) for user, row in enumerate(ids) for item in row])
    together = sessions.recommend([str(user) for user in range(len(ids))], 5)
    for user, row in enumerate(ids):
        session = model.session()
        for item in row:
            session.observe(item)
        wanted = [answer.item for answer in answers[user]]
        assert [answer.item for answer in session.recommend(5)] == wanted
        assert [answer.item for answer in together[user]] == wanted
        candidates = [f"item-{index}" for index in range(1, ITEMS, 3)]
        some = model.recommend(row, 4, candidates=candidates, exclude_seen=False)
        ranked = model.recommend(row, ITEMS, exclude_seen=False)
        assert [a.item for a in some] == [a.item for a in ranked if a.item in candidates][:4]


def test_similar_items_are_the_neighbours():
    model = fitted("item-knn", histories())
    head = model.head
    found = model.similar("item-2", 3)
    assert [answer.score for answer in found] == pytest.approx(head.weights[2][:3].tolist())
    assert [answer.item for answer in found] == [
        f"item-{i}" for i in head.neighbours[2][:3].tolist()
    ]
    with pytest.raises(UsageError, match="item-knn does"):
        fitted("popular", histories()).similar("item-2")


def test_vectors_that_hold_no_item_indices_are_refused():
    model = fitted("markov", histories())
    for value in (0.5, -1.0, ITEMS + 1.0):
        with pytest.raises(UsageError, match="indices of the newest items"):
            model.recommend_from(torch.tensor([[value]]))


def test_recent_popular_needs_timestamps():
    model = fitted("recent-popular", histories())
    sequences = flat(histories())
    with pytest.raises(TrainingError, match="needs timestamps"):
        model.head.fit(Sequences(sequences.items, None, sequences.offsets))


def test_the_heads_need_item_indices():
    with pytest.raises(ConfigError, match="works with the embedder 'item-index'"):
        SequenceModel.build("sasrec", {"head": "markov"}, Vocabulary(["a", "b"]))
