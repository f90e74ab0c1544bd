"""Baselines: fitted on the same data, in comparisons, and their users."""

import dataclasses

import numpy as np
import pytest
import torch

import seqzoo
from seqzoo.checkpoint.card_baselines import baselines_table
from seqzoo.data.prepare import DataConfig, prepare
from seqzoo.errors import UsageError
from seqzoo.evaluation.baselines import baseline_names, fit_baselines
from seqzoo.evaluation.compare import compare
from seqzoo.evaluation.held_out import hold_out
from seqzoo.evaluation.protocol import get_protocol, split_of
from seqzoo.evaluation.ranks import gains_by_user
from seqzoo.model.sequence_model import SequenceModel

NAMES = ["popular", "recent-popular", "item-knn", "markov"]
SPLIT = split_of(get_protocol("loo-full"))


@pytest.fixture(scope="module")
def data():
    options = {"users": 70, "items": 40, "mean_length": 12}
    return prepare(DataConfig(source="synthetic", min_count=1, options=options))


def test_they_are_fitted_in_order_and_leave_random_numbers_alone(data):
    state = torch.get_rng_state()
    fitted = fit_baselines(data, SPLIT)
    assert list(fitted) == baseline_names() == NAMES
    assert torch.equal(torch.get_rng_state(), state)
    counts = torch.tensor([0, *fitted["popular"].vocabulary.counts], dtype=torch.float32)
    assert torch.equal(fitted["popular"].head.popularity, counts)
    assert list(fit_baselines(data, SPLIT, leave_out=["markov"])) == NAMES[:3]


def test_one_that_needs_timestamps_is_left_out_without_them(data, caplog):
    untimed = dataclasses.replace(
        data, sequences=dataclasses.replace(data.sequences, timestamps=None)
    )
    with caplog.at_level("INFO"):
        assert list(fit_baselines(untimed, SPLIT)) == ["popular", "item-knn", "markov"]
    assert "recent-popular is left out: recent-popular needs timestamps" in caplog.text


def test_a_comparison_with_baselines_measures_what_their_checkpoints_would(data, tmp_path):
    settings = {"min_count": 1, "options": {"users": 70, "items": 40, "mean_length": 12}}
    model = SequenceModel.build("sasrec", {"hidden_size": 8}, data.vocabulary).eval()
    result = compare(
        {"mine": model}, "synthetic", baselines=True, settings=settings, resamples=20,
        permutations=20,
    )  # fmt: skip
    assert [each.name for each in result.models] == ["mine", *NAMES]
    assert len(result.pairs) == 10
    recipe = {"architecture": "item-knn", "data": {"source": "synthetic", **settings}}
    trained = seqzoo.train(recipe, tmp_path / "knn")
    (knn,) = [each for each in result.models if each.name == "item-knn"]
    assert knn.metrics == trained.metrics["loo-full"]
    with pytest.raises(UsageError, match="the model 'markov' has the name of a baseline"):
        compare({"markov": model}, "synthetic", baselines=True, settings=settings)


def test_evenly_spaced_users_keep_their_values(data):
    held_out = hold_out(data, data.vocabulary, SPLIT)
    model = fit_baselines(data, SPLIT)["markov"]
    protocols = [get_protocol("loo-full")]
    (everyone,) = gains_by_user(model, held_out, protocols)
    some = held_out.evenly(9)
    (chosen,) = gains_by_user(model, some, protocols)
    places = np.linspace(0, held_out.users - 1, 9).astype(int)
    assert some.users == 9
    assert np.array_equal(chosen["ndcg@10"], everyone["ndcg@10"][places])
    assert held_out.evenly(10_000) is held_out


def test_the_table_of_a_card():
    own = {"hit@5": 0.1, "hit@10": 0.2}
    text = baselines_table(own, {"a|b": {"hit@10": 0.15}}, "on toys")
    assert text.splitlines() == [
        "| on toys | HR@10 |",
        "|---|---:|",
        "| this checkpoint | 0.2000 |",
        "| `a\\|b` | 0.1500 |",
    ]
    assert baselines_table(own, {}, "on toys") == ""
    assert baselines_table({"hit@5": 0.1}, {"a": own}, "on toys") == ""
