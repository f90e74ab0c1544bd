"""Ranks and metrics against plain loops, on generated and on real data."""

import pytest
import torch

from seqzoo.data.build import build_sequences
from seqzoo.data.interactions import Interactions
from seqzoo.data.readers import read_interactions
from seqzoo.data.splits import choose_split
from seqzoo.errors import DataError
from seqzoo.evaluation.evaluate import evaluate
from seqzoo.evaluation.held_out import hold_out
from seqzoo.evaluation.protocol import Protocol, get_protocol
from seqzoo.evaluation.ranks import gains_by_user, means, rank_targets
from seqzoo.interfaces import Head

LOO = choose_split("leave-one-out", {})
PROTOCOLS = {"loo-full": False, "loo-full-unseen": True}


def ranks_of(model, interactions, remove_seen, part="test", **options):
    held_out = hold_out(build_sequences(interactions), model.vocabulary, LOO, part)
    found = rank_targets(
        model, held_out.sequences, held_out.split, remove_seen=remove_seen, **options
    )
    return [list(zip(ranks.better.tolist(), ranks.tied.tolist(), strict=True)) for ranks in found]


def metrics_of(model, interactions, protocols, part="test", **options):
    held_out = hold_out(build_sequences(interactions), model.vocabulary, LOO, part)
    return [means(gains) for gains in gains_by_user(model, held_out, protocols, **options)]


def without_candidates(ranks):
    return [rank[:2] for rank in ranks if rank is not None]


def test_the_data_have_what_can_go_wrong(interactions, plain):
    """Targets seen before, items seen only before the window, histories of any length."""
    histories = plain.histories(interactions).values()
    assert sum(history[-1] in history[:-1] for history in histories) >= 5
    assert sum(len(set(history[:-8]) - set(history[-8:-1])) > 2 for history in histories) >= 20
    assert {5, 6, 7, 8, 9} <= {len(history) for history in histories}


@pytest.mark.parametrize("architecture", ["mamba4rec", "sasrec"])
@pytest.mark.parametrize("coarse", [0.0, 1.0])
@pytest.mark.parametrize("part", ["valid", "test"])
def test_ranks_and_metrics_of_generated_data(interactions, make, plain, architecture, coarse, part):
    histories = plain.histories(interactions)
    model = make(histories, architecture, coarse)
    model.train()  # dropout must not matter
    expected = [
        plain.ranks(
            model, histories, remove_seen=seen, window=7, held_out=1 if part == "test" else 2
        )
        for seen in PROTOCOLS.values()
    ]
    tied = sum(rank[1] > 1 for rank in expected[0])
    assert tied > 50 if coarse else tied == 0
    model.train()
    found = ranks_of(model, interactions, list(PROTOCOLS.values()), part)
    assert found == [without_candidates(ranks) for ranks in expected]
    protocols = [get_protocol(name) for name in PROTOCOLS]
    metrics = metrics_of(model, interactions, protocols, part, batch_size=17)
    for got, ranks in zip(metrics, expected, strict=True):
        assert got == pytest.approx(plain.metrics(ranks), abs=1e-12)


def test_ranks_and_metrics_of_ml_100k(real_data, make, plain):
    interactions = read_interactions(real_data("ml-100k"))
    histories = plain.histories(interactions, 5)
    model = make(histories, "mamba4rec", max_length=20, hidden_size=8)
    sample = dict(list(histories.items())[::9])
    assert len(histories) == 943
    assert 100 <= len(sample) <= 110
    for protocol, remove_seen in PROTOCOLS.items():
        frame = interactions.frame
        part = Interactions.from_frame(frame.filter(frame["user"].is_in(list(sample))))
        whole = plain.histories(part)
        expected = plain.ranks(model, whole, remove_seen=remove_seen, window=20)
        found = evaluate(model, part, protocol, settings={"min_count": 1})
        # The model does not know the items that the filter removed.
        assert found.data["unknown_interactions"] > 0
        assert (found.users, found.items) == (len(sample), 1_349)
        assert found.metrics == pytest.approx(plain.metrics(expected), abs=1e-12)
        (ranks,) = ranks_of(model, part, [remove_seen])
        assert sorted(ranks) == sorted(without_candidates(expected))


@pytest.mark.parametrize("batch_size", [1, 13, 1000])
def test_neither_batches_nor_company_change_ranks(interactions, make, plain, batch_size):
    model = make(plain.histories(interactions))
    both = ranks_of(model, interactions, [False, True])
    done = []
    other = ranks_of(model, interactions, [True, False], batch_size=batch_size, advance=done.append)
    assert other == both[::-1]
    assert sum(done) == 100
    assert max(done) == min(batch_size, 100)
    assert ranks_of(model, interactions, [True], batch_size=batch_size) == both[1:]


def test_targets_of_minus_infinity_tie_with_candidates_alone(interactions, make, plain):
    """A head may rule out items; padding and removed items are not candidates even then."""
    histories = plain.histories(interactions)
    model = make(histories)
    model.head = Alike(len(model.vocabulary), -torch.inf)
    kept, unseen = ranks_of(model, interactions, [False, True])
    items = len(model.vocabulary)
    assert set(kept) == {(0, items)}
    seen = [len(set(history[:-1]) - {history[-1]}) for history in histories.values()]
    assert unseen == [(0, items - number) for number in seen]


@pytest.mark.parametrize("window", [1, 3, 7, 20])
def test_window_of_a_protocol(interactions, make, plain, window):
    """Never more than the model reads, and items before the window still count as seen."""
    histories = plain.histories(interactions)
    model = make(histories)
    protocols = [
        Protocol("ordinary", remove_seen=True),
        Protocol("other", remove_seen=True, window=window),
    ]
    ordinary, other = metrics_of(model, interactions, protocols)
    ranks = plain.ranks(model, histories, remove_seen=True, window=min(window, 7))
    assert other == pytest.approx(plain.metrics(ranks), abs=1e-12)
    assert (ordinary == other) == (window >= 7)


class Scorer(Head):
    def loss(self, hidden, targets):
        raise NotImplementedError


class Alike(Scorer):
    def __init__(self, items: int, value: float) -> None:
        super().__init__()
        self.items, self.value = items, value

    def forward(self, hidden):
        return hidden.new_full((len(hidden), self.items + 1), self.value)


@pytest.mark.parametrize("value", [0.0, -1e30, 3.0])
def test_a_model_that_scores_everything_alike_gets_what_chance_gives(
    interactions, make, plain, value
):
    histories = plain.histories(interactions)
    model = make(histories)
    items = len(model.vocabulary)
    model.head = Alike(items, value)
    everything = {"min_count": 1}
    found = evaluate(model, interactions, "loo-full", settings=everything).metrics
    for cutoff in (5, 10, 20, 50):
        assert found[f"hit@{cutoff}"] == pytest.approx(cutoff / items, abs=1e-15)
        gain = sum(1 / rank for rank in range(1, cutoff + 1))
        assert found[f"mrr@{cutoff}"] == pytest.approx(gain / items, abs=1e-15)
    left = [items - len({*history[:-1]} - {history[-1]}) for history in histories.values()]
    assert min(left) < max(left) < items
    found = evaluate(model, interactions, "loo-full-unseen", settings=everything).metrics
    for cutoff in (5, 10, 20, 50):
        chance = sum(min(1.0, cutoff / candidates) for candidates in left) / len(left)
        assert found[f"hit@{cutoff}"] == pytest.approx(chance, abs=1e-14)


@pytest.mark.parametrize("size", [1, 7, 60])
@pytest.mark.parametrize("coarse", [False, True])
def test_blocks_of_items_do_not_change_ranks(interactions, make, plain, monkeypatch, size, coarse):
    """Ties included: the vectors are whole numbers, whose products are exact."""
    model = make(plain.histories(interactions))
    if coarse:
        with torch.no_grad():
            model.embedder.item_table.round_()
    expected = ranks_of(model, interactions, [True, False])
    if coarse:
        assert sum(tied > 1 for _, tied in expected[1]) > 5
    monkeypatch.setattr("seqzoo.parts.heads._FEWEST_ITEMS", size)
    monkeypatch.setattr("seqzoo.parts.heads._BLOCK_SCORES", 1)
    blocks = list(model.head.score_blocks(torch.zeros(3, 16, dtype=torch.float64)))
    assert len(blocks) == -(-(len(model.vocabulary) + 1) // size)
    assert ranks_of(model, interactions, [True, False], batch_size=17) == expected


@pytest.mark.parametrize("item", [1, 30, 60])
def test_nan_in_any_block(interactions, make, plain, monkeypatch, item):
    model = make(plain.histories(interactions))
    monkeypatch.setattr("seqzoo.parts.heads._FEWEST_ITEMS", 8)
    monkeypatch.setattr("seqzoo.parts.heads._BLOCK_SCORES", 1)
    with torch.no_grad():
        model.embedder.item_table[item, 3] = torch.nan
    with pytest.raises(DataError, match="NaN scores"):
        evaluate(model, interactions)


def test_padding_is_not_a_candidate(interactions, make, plain):
    model = make(plain.histories(interactions))
    expected = ranks_of(model, interactions, [False, True])
    head = model.head

    class PaddingFirst(Scorer):
        def forward(self, hidden):
            scores = head(hidden)
            scores[:, 0] = 1e9
            return scores

    model.head = PaddingFirst()
    assert ranks_of(model, interactions, [False, True]) == expected


@pytest.mark.parametrize("where", ["everywhere", "one item of one user"])
def test_scores_that_are_not_numbers(interactions, make, plain, where):
    model = make(plain.histories(interactions))

    class Broken(Scorer):
        def forward(self, hidden):
            scores = hidden.new_zeros(len(hidden), len(model.vocabulary) + 1)
            if where == "everywhere":
                return scores * torch.nan
            scores[0, 17] = torch.nan
            return scores

    model.head = Broken()
    with pytest.raises(DataError, match="NaN scores"):
        evaluate(model, interactions)
