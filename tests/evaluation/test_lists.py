"""Metrics of lists against plain loops, and where they appear."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import polars as pl
import pytest

import seqzoo
from seqzoo.cli.app import run
from seqzoo.errors import UsageError
from seqzoo.evaluation import list_metrics as metrics
from seqzoo.evaluation.compare import compare
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.evaluation.lists import ItemCategories, RecommendedLists
from seqzoo.plugins import catalogue
from seqzoo.specs import MetricSpec

ITEMS = 25
CATEGORIES = {
    f"i{index}": tuple(name for name, by in (("a", 2), ("b", 3), ("c", 5)) if index % by == 0)
    for index in range(1, ITEMS + 1)
}
NAMES = tuple(CATEGORIES)


@pytest.fixture
def lists():
    random = np.random.default_rng(1)
    items = np.stack([random.permutation(np.arange(1, ITEMS + 1))[:12] for _ in range(40)])
    items[3, 4:] = 0
    items[7] = 0
    counts = np.concatenate([[0], random.integers(0, 30, ITEMS)])
    counts[5] = 0
    return RecommendedLists(items, counts, ItemCategories.of(NAMES, CATEGORIES))


def plain(lists, cutoff):
    shown = [[int(item) for item in row[:cutoff] if item] for row in lists.items]
    shown = [row for row in shown if row]
    total = int(lists.counts.sum())
    often = Counter(item for row in shown for item in row)
    shares = sorted(often[item] / sum(often.values()) for item in range(1, ITEMS + 1))
    distances = []
    for row in shown:
        sets = [set(CATEGORIES[f"i{item}"]) for item in row if CATEGORIES[f"i{item}"]]
        pairs = [1 - len(a & b) / len(a | b) for a, b in combinations(sets, 2)]
        if pairs:
            distances.append(sum(pairs) / len(pairs))

    def mean(values):
        values = list(values)
        return sum(values) / len(values) if values else None

    def information(item):
        return -math.log2(max(int(lists.counts[item]), 1) / total)

    return {
        "coverage": len(often) / ITEMS,
        "novelty": mean(mean(map(information, row)) for row in shown),
        "arp": mean(mean(int(lists.counts[item]) for item in row) for row in shown),
        # Half of the mean absolute difference of all pairs, relative to the mean.
        "gini": sum(abs(a - b) for a in shares for b in shares) / (2 * (ITEMS - 1)),
        "diversity": mean(distances),
    }


@pytest.mark.parametrize("cutoff", [1, 2, 5, 12, 50])
def test_against_plain_loops(lists, cutoff):
    for name, expected in plain(lists, cutoff).items():
        found = getattr(metrics, name)(lists, cutoff)
        assert found == (None if expected is None else pytest.approx(expected, rel=1e-6)), name


def test_extremes():
    counts = np.array([0, 4, 2, 2])
    one = RecommendedLists(np.array([[1], [1], [1]]), counts)
    assert metrics.coverage(one, 1) == pytest.approx(1 / 3)
    assert metrics.gini(one, 1) == pytest.approx(1.0)
    assert metrics.novelty(one, 1) == pytest.approx(1.0)
    assert metrics.arp(one, 1) == 4.0
    every = RecommendedLists(np.array([[1], [2], [3]]), counts)
    assert metrics.gini(every, 1) == pytest.approx(0.0)
    assert metrics.diversity(every, 1) is None


def test_long_lists_of_diversity_come_in_blocks(lists, monkeypatch):
    whole = metrics.diversity(lists, 10)
    monkeypatch.setattr(metrics, "_BLOCK", 500)
    assert metrics.diversity(lists, 10) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("protocol", ["loo-full", "loo-full-unseen"])
def test_the_lists_are_those_that_the_model_recommends(interactions, make, plain, protocol):
    histories = plain.histories(interactions)
    model = make(histories)
    found = evaluate(model, interactions, protocol, settings={"min_count": 1}, lists=True)
    assert found.lists["lists"] == 100
    assert found.lists["skipped"] == {
        "diversity": "neither the data nor the checkpoint have categories of items"
    }
    unseen = protocol.endswith("unseen")
    before = [items[:-1] for items in histories.values()]
    lists = model.recommend_many(before, 5, exclude_seen=unseen)
    shown = {each.item for row in lists for each in row}
    assert found.metrics["coverage@5"] == pytest.approx(len(shown) / len(model.vocabulary))
    trained = Counter(item for items in histories.values() for item in items[:-2])
    popularity = [trained[each.item] for row in lists for each in row]
    assert found.metrics["arp@5"] == pytest.approx(np.mean(popularity))
    # Ranks are the same, and only they are stored.
    alone = evaluate(model, interactions, protocol, settings={"min_count": 1})
    assert alone.lists == {}
    assert found.record(0)["metrics"] == alone.metrics == found.known_targets["metrics"]


def test_compare_measures_lists_and_compares_by_ranks_alone(interactions, make, plain):
    histories = plain.histories(interactions)
    models = {"one": make(histories), "two": make(histories, "gru4rec")}
    settings = {"min_count": 1}
    found = compare(models, interactions, lists=True, settings=settings, resamples=10)
    for each, model in zip(found.models, models.values(), strict=True):
        alone = evaluate(model, interactions, lists=True, settings=settings)
        assert each.metrics == alone.metrics
        assert "coverage@10" in each.metrics
        assert "coverage@10" not in each.interval
    with pytest.raises(UsageError, match="'gini@10' is a metric of the lists of all users"):
        compare(models, interactions, metric="gini@10", settings=settings)


def test_a_metric_of_a_plugin(interactions, make, plain, caplog):
    spec = MetricSpec("mine", "tests", "seqzoo.evaluation.list_metrics:coverage", "lists")
    wrong = MetricSpec("wrong", "tests", "seqzoo.evaluation.metrics:hit", "lists")
    with catalogue().metrics.lend(spec), catalogue().metrics.lend(wrong):
        found = evaluate(make(plain.histories(interactions)), interactions, lists=True)
    assert found.metrics["mine@20"] == found.metrics["coverage@20"]
    assert "metric 'wrong' of plugin 'tests' is left out" in caplog.text
    assert "wrong@20" not in found.metrics


def test_without_categories_in_the_data_those_of_the_checkpoint_count(tmp_path, capsys):
    rows = [
        (f"u{u}", f"i{(u * (1 + u % 3) + t) % 12}", 60 * t) for u in range(30) for t in range(8)
    ]
    kinds = {"genre": "categories", "maker": "category", "price": "number"}
    features = pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(12)],
            "genre": [["a"] if n % 2 else ["a", "b"] for n in range(12)],
            "maker": ["x" if n % 3 else "" for n in range(12)],
            "price": [float(n) for n in range(12)],
        }
    )
    recipe = {
        "architecture": "gru4rec",
        "model": {"embedder": "item-features", "hidden_size": 8, "gru_size": 8},
        "data": {"source": rows, "item_features": features, "item_columns": kinds},
        "train": {"epochs": 1, "baselines": False},
    }
    seqzoo.train(recipe, tmp_path / "run")
    model = seqzoo.load(tmp_path / "run")
    found = evaluate(model, rows, lists=True)
    assert (found.lists["categories"], found.lists["categories_of"]) == (3, "checkpoint")
    own = {
        f"i{n}": {"genre: a"} | ({"maker: x"} if n % 3 else set()) | (set() if n % 2 else {"b"})
        for n in range(12)
    }
    histories = {}
    for user, item, _ in rows:
        histories.setdefault(user, []).append(item)
    before = [items[:-1] for items in histories.values()]
    lists = model.recommend_many(before, 5, exclude_seen=False)
    distances = [
        np.mean([1 - len(one & two) / len(one | two) for one, two in combinations(sets, 2)])
        for sets in ([own[each.item] for each in row] for row in lists)
    ]
    assert found.metrics["diversity@5"] == pytest.approx(np.mean(distances))
    frame = pl.DataFrame(rows, schema=["user", "item", "timestamp"], orient="row")
    frame.write_csv(tmp_path / "rows.csv")
    words = ["eval", str(tmp_path / "run"), "--data", str(tmp_path / "rows.csv"), "--lists"]
    assert run(words) == 0
    assert "3 categories of items (item features of the checkpoint)" in capsys.readouterr().out


def test_real_categories(real_data, tmp_path):
    from seqzoo.data.readers import read_interactions

    films = read_interactions(real_data("ml-100k"))
    assert films.categories["1"] == ("Animation", "Children's", "Comedy")
    assert films.labels["1"] == "Toy Story (1995)"
    films = read_interactions(real_data("ml-latest-small"))
    assert films.categories["2"] == ("Adventure", "Children", "Fantasy")
    none = [item for item, genres in films.categories.items() if not genres]
    assert len(none) == 34
    assert not read_interactions(real_data("amazon-beauty")).categories
